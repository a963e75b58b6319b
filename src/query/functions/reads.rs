//! Whether an event read a record: what picks the actions that a bad source record misled.
//!
//! In: the column `inputs` and the parts of a record. Out: true or false, never null. Invariant: the rule is that of
//! the blast radius: an input without `field` read the whole record, hence each of its fields. An argument of another
//! type is refused when the query is planned, before any content is read.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StringViewArray};
use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use super::FunctionNote;
use super::scalar::texts;

const NAME: &str = "reads";
/// What an input names, in the order of the arguments.
const PARTS: [&str; 4] = ["system", "record_type", "record_id", FIELD];
/// The part that is missing where the whole record was read.
const FIELD: &str = "field";

pub(super) const NOTES: &[FunctionNote] = &[FunctionNote {
    call: "reads(inputs, system, record_type, record_id [, field])",
    gives: "whether an event read that record; a part that is null is any, an input without field is the whole record",
}];

pub(super) fn functions() -> Vec<ScalarUDF> {
    // Not a signature for each number of arguments: whoever gives another number would be told of a defect.
    vec![ScalarUDF::new_from_impl(Reads { signature: Signature::variadic_any(Volatility::Immutable) })]
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Reads {
    signature: Signature,
}

impl ScalarUDFImpl for Reads {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        let call = NOTES[0].call;
        if given.len() != PARTS.len() && given.len() != PARTS.len() + 1 {
            return Err(DataFusionError::Plan(format!("`{call}` was given {} arguments", given.len())));
        }
        let fits = |(place, given): (usize, &DataType)| if place == 0 { is_inputs(given) } else { is_text(given) };
        let Some(place) = given.iter().enumerate().position(|argument| !fits(argument)) else {
            return Ok(DataType::Boolean);
        };
        let expected = if place == 0 { "the column inputs" } else { "text" };
        let (place, given) = (place + 1, &given[place]);
        Err(DataFusionError::Plan(format!("`{call}`: argument {place} is of type {given}, expected {expected}")))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let given = ColumnarValue::values_to_arrays(&args.args)?;
        let Some((inputs, wanted)) = given.split_first() else { return Err(unfit()) };
        Ok(ColumnarValue::Array(Arc::new(reads(inputs, wanted)?)))
    }
}

fn is_text(given: &DataType) -> bool {
    matches!(given, DataType::Null | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Whether `given` is a list of structs with the parts of a record, or a null that has no type.
fn is_inputs(given: &DataType) -> bool {
    let DataType::List(element) = given else { return given.is_null() };
    let DataType::Struct(fields) = element.data_type() else { return false };
    PARTS.iter().all(|part| fields.find(part).is_some_and(|(_, field)| is_text(field.data_type())))
}

fn unfit() -> DataFusionError {
    DataFusionError::Internal(format!("`{NAME}` was planned with arguments that it does not take"))
}

/// A part of the records that are asked for, one a row, and of those that were read, one an input.
struct Part {
    name: &'static str,
    wanted: StringViewArray,
    named: StringViewArray,
}

impl Part {
    /// Whether what `row` asks for is what `input` names.
    fn is_met(&self, row: usize, input: usize) -> bool {
        if self.wanted.is_null(row) {
            return true;
        }
        if self.named.is_null(input) {
            return self.name == FIELD;
        }
        self.wanted.value(row) == self.named.value(input)
    }
}

/// For each row whether one of its `inputs` names the record whose parts are `wanted`.
fn reads(inputs: &ArrayRef, wanted: &[ArrayRef]) -> Result<BooleanArray> {
    if inputs.data_type().is_null() {
        return Ok(BooleanArray::from(vec![false; inputs.len()]));
    }
    let lists = inputs.as_list_opt::<i32>().ok_or_else(unfit)?;
    let entries = lists.values().as_struct_opt().ok_or_else(unfit)?;
    let mut parts = Vec::with_capacity(wanted.len());
    for (name, wanted) in PARTS.into_iter().zip(wanted) {
        let named = entries.column_by_name(name).ok_or_else(unfit)?;
        parts.push(Part { name, wanted: texts(wanted)?, named: texts(named)? });
    }
    let offsets = lists.value_offsets();
    let is_read = |row: usize| {
        let mut own = offsets[row] as usize..offsets[row + 1] as usize;
        lists.is_valid(row)
            && own.any(|input| entries.is_valid(input) && parts.iter().all(|part| part.is_met(row, input)))
    };
    Ok((0..lists.len()).map(|row| Some(is_read(row))).collect())
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::SessionContext;

    use super::super::testing::text;
    use super::*;

    /// What `reads` gives for a field of a lead and a whole order, asked for the records in `asked`.
    async fn found(asked: &[&str]) -> Vec<bool> {
        let inputs = "make_array(
            named_struct('system', 'crm', 'record_type', 'lead', 'record_id', 'L-1', 'field', 'owner'),
            named_struct('system', 'erp', 'record_type', 'order', 'record_id', '7', 'field', nullif('x', 'x')))";
        let mut found = Vec::new();
        for record in asked {
            let shown = text(&format!("select reads(i, {record}) as is_read from (select {inputs} as i) as t")).await;
            assert!(shown.contains("| true ") ^ shown.contains("| false "), "{record}: {shown}");
            found.push(shown.contains("| true "));
        }
        found
    }

    #[tokio::test]
    async fn one_input_names_all_parts_that_are_asked_for() {
        let asked = ["'crm', 'lead', 'L-1'", "'crm', 'lead', '7'", "'erp', 'order', '7'", "'crm', 'order', '7'"];
        assert_eq!(found(&asked).await, [true, false, true, false]);
    }

    #[tokio::test]
    async fn a_null_part_is_any() {
        let asked =
            ["null, null, 'L-1'", "'erp', null, null", "null, null, null", "'hr', null, null", "'', null, null"];
        assert_eq!(found(&asked).await, [true, true, true, false, false]);
    }

    #[tokio::test]
    async fn an_input_without_field_read_every_field_and_one_with_it_that_alone() {
        let asked = ["'crm', 'lead', 'L-1', 'owner'", "'crm', 'lead', 'L-1', 'phone'", "'erp', 'order', '7', 'total'"];
        assert_eq!(found(&asked).await, [true, false, true]);
        assert_eq!(found(&["'crm', 'lead', 'L-1', null"]).await, [true]);
    }

    #[tokio::test]
    async fn rows_are_judged_by_their_own_inputs_and_no_inputs_read_nothing() {
        let lead = "named_struct('system', 'crm', 'record_type', 'lead', 'record_id', id, 'field', 'owner')";
        let sql = format!(
            "select id, reads(case when id = 'none' then null else make_array({lead}) end, 'crm', null, 'b') as is_read,
                    reads(null, null, null, null) as of_nothing
             from (values ('a'), ('b'), ('none')) as t(id) order by id"
        );
        let shown = text(&sql).await;
        for row in
            ["| a    | false   | false      |", "| b    | true    | false      |", "| none | false   | false      |"]
        {
            assert!(shown.contains(row), "{shown}");
        }
    }

    #[tokio::test]
    async fn what_is_no_input_or_no_text_is_refused_before_it_is_read() {
        let context = SessionContext::new();
        functions().into_iter().for_each(|function| context.register_udf(function));
        let refusal =
            async |call: &str| context.sql(&format!("select {call}")).await.map(drop).unwrap_err().to_string();
        assert!(refusal("reads('crm', 'crm', null, null)").await.contains("expected the column inputs"));
        assert!(refusal("reads(make_array(1), 'crm', null, null)").await.contains("expected the column inputs"));
        assert!(refusal("reads(null, 'crm', null, 7)").await.contains("argument 4 is of type Int64, expected text"));
        assert!(refusal("reads(null, 'crm', null)").await.contains("was given 3 arguments"));
        assert!(refusal("reads(null, 'a', 'b', 'c', 'd', 'e')").await.contains("was given 6 arguments"));
    }
}

//! The policy in SQL: a document's rules as rows.
//!
//! In: columns of policy documents. Out: lists of structs, one per rule. Invariant: a document that cannot be
//! read is null; the rules are those of [`Policy::rules`], nothing is decided here.

use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanBuilder, Decimal128Builder, Float64Builder, Int64Builder, ListArray,
    StringBuilder, StringViewArray, StringViewBuilder, StructArray, TimestampMicrosecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Decimal128Type, Field, Fields, Int64Type, TimeUnit};
use datafusion::common::Result;

use super::FunctionNote;
use super::scalar::{Scalar, takes, takes_texts, texts};
use crate::policy::ruling::{Case, Judge};
use crate::policy::{BUILT_IN, Policy, Rule};

pub(super) const NOTES: &[FunctionNote] = &[
    FunctionNote { call: "parse_policy(document)", gives: "the rules of a policy document, a list of structs" },
    FunctionNote { call: "policy_effective_from(document)", gives: "the instant from which on a policy holds" },
    FunctionNote { call: "default_policy()", gives: "the document of the built-in policy" },
    FunctionNote {
        call: "policy_ruling(document, workflow, area, level, system, record_type, field, operation, issue_type, amount, currency, policy_outcome)",
        gives: "what a policy asks of an action: level, is_level_in_need, needs_approval, because; null: not known",
    },
];

pub(super) fn functions() -> Vec<Scalar> {
    let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    vec![
        Scalar {
            name: "parse_policy",
            signature: takes_texts(1),
            returns: DataType::List(element()),
            run: |columns| rules(&columns[0]),
        },
        Scalar {
            name: "policy_effective_from",
            signature: takes_texts(1),
            returns: instant,
            run: |columns| {
                let from = |text: &str| Policy::parse(text).ok()?.effective_from();
                let found: TimestampMicrosecondArray = texts(&columns[0])?.iter().map(|text| from(text?)).collect();
                Ok(Arc::new(found.with_timezone("UTC")))
            },
        },
        Scalar {
            name: "default_policy",
            signature: takes(vec![]),
            // A view: rows that carry the document share its text.
            returns: DataType::Utf8View,
            run: |_| Ok(Arc::new(arrow::array::StringViewArray::from(vec![BUILT_IN]))),
        },
        Scalar {
            name: "policy_ruling",
            signature: takes(ruling_types()),
            returns: DataType::Struct(ruling_fields()),
            run: rulings,
        },
    ]
}

fn ruling_types() -> Vec<DataType> {
    let text = || DataType::Utf8View;
    let mut types = vec![text(), text(), text(), DataType::Int64];
    types.extend((0..5).map(|_| text()));
    types.extend([DataType::Decimal128(18, 2), text(), text()]);
    types
}

fn ruling_fields() -> Fields {
    let columns = [
        ("level", DataType::Int64),
        ("is_level_in_need", DataType::Boolean),
        ("needs_approval", DataType::Boolean),
        ("because", DataType::Utf8View),
    ];
    columns.into_iter().map(|(name, kind)| Field::new(name, kind, true)).collect()
}

/// One ruling a row; rows that follow each other mostly have the same document, which is parsed once.
fn rulings(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let text = |column: usize| texts(&columns[column]);
    let (documents, workflow, area) = (text(0)?, text(1)?, text(2)?);
    let level = columns[3].as_primitive::<Int64Type>();
    let [system, record_type, field, operation, issue_type] = [text(4)?, text(5)?, text(6)?, text(7)?, text(8)?];
    let amount = columns[9].as_primitive::<Decimal128Type>();
    let (currency, policy_outcome) = (text(10)?, text(11)?);
    fn at(texts: &StringViewArray, row: usize) -> Option<&str> {
        texts.is_valid(row).then(|| texts.value(row))
    }
    let mut judges: Vec<(String, Option<Judge>)> = Vec::new();
    let (mut levels, mut in_need) = (Int64Builder::new(), BooleanBuilder::new());
    let (mut needs, mut because) = (BooleanBuilder::new(), StringViewBuilder::new());
    for row in 0..documents.len() {
        let document = at(&documents, row).unwrap_or_default();
        if judges.last().is_none_or(|(known, _)| known != document) {
            let known = judges.iter().position(|(known, _)| known == document);
            let judge = known.map(|place| judges.remove(place)).unwrap_or_else(|| {
                let judge = Policy::parse(document).ok().map(|policy| Judge::new(policy.rules()));
                (document.to_owned(), judge)
            });
            judges.push(judge);
        }
        let case = Case {
            workflow: at(&workflow, row),
            area: at(&area, row),
            level: level.is_valid(row).then(|| level.value(row)),
            system: at(&system, row),
            record_type: at(&record_type, row),
            field: at(&field, row),
            operation: at(&operation, row),
            issue_type: at(&issue_type, row),
            amount: amount.is_valid(row).then(|| amount.value(row)),
            currency: at(&currency, row),
            policy_outcome: at(&policy_outcome, row),
        };
        let ruling = judges.last().and_then(|(_, judge)| judge.as_ref()).map(|judge| judge.rule(&case));
        let ruling = ruling.unwrap_or_default();
        levels.append_option(ruling.level);
        in_need.append_option(ruling.is_level_in_need);
        needs.append_option(ruling.needs_approval);
        because.append_option(ruling.because);
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(levels.finish()),
        Arc::new(in_need.finish()),
        Arc::new(needs.finish()),
        Arc::new(because.finish()),
    ];
    Ok(Arc::new(StructArray::try_new(ruling_fields(), columns, None)?))
}

const TEXTS: [&str; 12] = [
    "kind",
    "name",
    "workflow",
    "area",
    "system",
    "record_type",
    "field",
    "operation",
    "issue_type",
    "principal",
    "currency",
    "words",
];

fn fields() -> Fields {
    static FIELDS: LazyLock<Fields> = LazyLock::new(|| {
        let columns = [
            ("kind", DataType::Utf8),
            ("position", DataType::Int64),
            ("name", DataType::Utf8),
            ("workflow", DataType::Utf8),
            ("area", DataType::Utf8),
            ("system", DataType::Utf8),
            ("record_type", DataType::Utf8),
            ("field", DataType::Utf8),
            ("operation", DataType::Utf8),
            ("issue_type", DataType::Utf8),
            ("level", DataType::Int64),
            ("principal", DataType::Utf8),
            ("amount", DataType::Decimal128(18, 2)),
            ("currency", DataType::Utf8),
            ("number", DataType::Float64),
            ("hours", DataType::Float64),
            ("days", DataType::Int64),
            ("words", DataType::Utf8),
        ];
        columns.into_iter().map(|(name, kind)| Field::new(name, kind, true)).collect()
    });
    FIELDS.clone()
}

fn element() -> Arc<Field> {
    Arc::new(Field::new("item", DataType::Struct(fields()), true))
}

fn rules(documents: &ArrayRef) -> Result<ArrayRef> {
    let parsed: Vec<Option<Vec<Rule>>> =
        texts(documents)?.iter().map(|text| Some(Policy::parse(text?).ok()?.rules())).collect();
    let offsets = OffsetBuffer::from_lengths(parsed.iter().map(|rules| rules.as_ref().map_or(0, Vec::len)));
    let valid = NullBuffer::from_iter(parsed.iter().map(Option::is_some));
    let all: Vec<Rule> = parsed.into_iter().flatten().flatten().collect();
    let columns = fields().iter().map(|field| column(&all, field.name())).collect::<Result<Vec<_>>>()?;
    let entries = StructArray::try_new_with_length(fields(), columns, None, all.len())?;
    Ok(Arc::new(ListArray::try_new(element(), offsets, Arc::new(entries), Some(valid))?))
}

fn column(rules: &[Rule], name: &str) -> Result<ArrayRef> {
    if TEXTS.contains(&name) {
        let mut column = StringBuilder::new();
        rules.iter().for_each(|rule| column.append_option(text(rule, name)));
        return Ok(Arc::new(column.finish()));
    }
    Ok(match name {
        "amount" => {
            let mut column = Decimal128Builder::new().with_precision_and_scale(18, 2)?;
            rules.iter().for_each(|rule| column.append_option(rule.amount.map(i128::from)));
            Arc::new(column.finish())
        }
        "number" | "hours" => {
            let mut column = Float64Builder::new();
            rules.iter().for_each(|rule| column.append_option(if name == "hours" { rule.hours } else { rule.number }));
            Arc::new(column.finish())
        }
        _ => {
            let mut column = Int64Builder::new();
            rules.iter().for_each(|rule| {
                column.append_option(match name {
                    "position" => Some(rule.position),
                    "level" => rule.level,
                    _ => rule.days,
                });
            });
            Arc::new(column.finish())
        }
    })
}

fn text<'a>(rule: &'a Rule, name: &str) -> Option<&'a str> {
    let scope = &rule.scope;
    match name {
        "kind" => return Some(rule.kind),
        "name" => &rule.name,
        "workflow" => &scope.workflow,
        "area" => &scope.area,
        "system" => &scope.system,
        "record_type" => &scope.record_type,
        "field" => &scope.field,
        "operation" => &scope.operation,
        "issue_type" => &scope.issue_type,
        "principal" => &rule.principal,
        "currency" => &rule.currency,
        _ => &rule.words,
    }
    .as_deref()
}

#[cfg(test)]
mod tests {
    use super::super::testing::text;

    #[tokio::test]
    async fn a_document_becomes_rows() {
        let shown = text(
            "select r['kind'] as kind, r['workflow'] as workflow, r['system'] as system, r['level'] as level, r['principal'] as who
             from (select unnest(parse_policy(
                 'version = \"1\"\n[[workflow]]\nname = \"w\"\nstage = 3\nagents = [\"a\"]\n[[permission]]\nlevel = 4\nsystem = \"crm\"')) as r)
             where r['kind'] <> 'setting' order by kind",
        )
        .await;
        let expected = "\
+------------+----------+--------+-------+-----+
| kind       | workflow | system | level | who |
+------------+----------+--------+-------+-----+
| agent      | w        |        |       | a   |
| permission |          | crm    | 4     |     |
| workflow   | w        |        | 3     |     |
+------------+----------+--------+-------+-----+";
        assert_eq!(shown, expected);
    }

    #[tokio::test]
    async fn the_built_in_policy_has_rules_and_what_is_no_policy_has_none() {
        let shown = text(
            "select cardinality(parse_policy(default_policy())) > 3 as some, parse_policy('x') is null as none,
                    policy_effective_from('version = \"1\"\neffective_from = 2026-03-01T00:00:00Z') as since",
        )
        .await;
        assert!(shown.contains("| true | true | 2026-03-01T00:00:00Z |"), "{shown}");
    }
}

//! The SQL function `blast_radius('predicate' [, from [, to [, environment [, depth]]]])`: one row per affected cell.
//!
//! In: constants. Out: a table to select from and join with. Invariant: a call is computed once a query and only when
//! it runs, up to the as-of point of the session; what an argument leaves open is as in [`Selector::new`]. What the
//! predicate may do is decided where the direct actions are found.

use std::sync::Arc;

use arrow::array::TimestampMicrosecondArray;
use arrow::array::{ArrayRef, Int64Array, ListBuilder, RecordBatch, StringViewArray, StringViewBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::streaming::StreamingTable;
use datafusion::catalog::{TableFunction, TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::{TryStreamExt, stream};
use tokio::sync::OnceCell;

use super::{Ground, Selector, direct, read_environment, read_instant};
use crate::blast::{Cell, Radius};
use crate::clock::Micros;
use crate::error::Error;
use crate::limits::PAGE_ROWS;
use crate::query::functions::FunctionNote;

const NAME: &str = "blast_radius";
/// Arguments that may follow the predicate.
const MORE: usize = 4;

/// The functions made here, in words.
pub const NOTES: &[FunctionNote] = &[FunctionNote {
    call: "blast_radius('predicate' [, from [, to [, environment [, depth]]]])",
    gives: "a table: one row per cell that the actions with an event matching the predicate reached, and its state; \
            null: no bound, production, to the end of the spread",
}];

/// The table functions of a session over `ground`.
pub(in crate::query) fn functions(ground: &Arc<Ground>) -> Vec<Arc<TableFunction>> {
    vec![Arc::new(TableFunction::new(NAME.to_owned(), Arc::new(BlastRadius { ground: ground.clone() })))]
}

#[derive(Debug)]
struct BlastRadius {
    ground: Arc<Ground>,
}

impl TableFunctionImpl for BlastRadius {
    fn call_with_args(&self, args: TableFunctionArgs<'_, '_>) -> Result<Arc<dyn TableProvider>> {
        let selector = selector(args.exprs()).map_err(foreign)?;
        let cells = Cells { ground: self.ground.clone(), selector, schema: schema(), rows: OnceCell::new() };
        let cells: Arc<dyn PartitionStream> = Arc::new(Shared(Arc::new(cells)));
        Ok(Arc::new(StreamingTable::try_new(schema(), vec![cells])?))
    }
}

fn foreign(err: Error) -> DataFusionError {
    DataFusionError::External(Box::new(err))
}

/// What the arguments ask for.
fn selector(args: &[Expr]) -> crate::error::Result<Selector> {
    let [predicate, more @ ..] = args else { return Err(usage()) };
    if more.len() > MORE {
        return Err(usage());
    }
    let predicate = text(constant(predicate)?)?;
    direct::check(predicate)?;
    let given = |place: usize| -> crate::error::Result<Option<&ScalarValue>> {
        let value = more.get(place).map(constant).transpose()?;
        Ok(value.filter(|value| !value.is_null()))
    };
    let mut selector = Selector::new(predicate);
    (selector.from, selector.to) = (given(0)?.map(bound).transpose()?, given(1)?.map(bound).transpose()?);
    if let Some(environment) = given(2)? {
        selector.environment = read_environment(text(environment)?)?;
    }
    selector.depth = given(3)?.map(steps).transpose()?;
    Ok(selector)
}

fn usage() -> Error {
    Error::invalid(
        "blast_radius takes constants: a predicate as text, then from, to, environment and depth, each optional, null \
         for none",
    )
}

fn constant(arg: &Expr) -> crate::error::Result<&ScalarValue> {
    match arg {
        Expr::Literal(value, _) => Ok(value),
        _ => Err(usage()),
    }
}

fn text(value: &ScalarValue) -> crate::error::Result<&str> {
    value.try_as_str().flatten().ok_or_else(usage)
}

fn bound(value: &ScalarValue) -> crate::error::Result<Micros> {
    match value {
        ScalarValue::TimestampMicrosecond(Some(at), _) => Ok(*at),
        other => read_instant(text(other)?),
    }
}

fn steps(value: &ScalarValue) -> crate::error::Result<u32> {
    let steps = match value {
        ScalarValue::Int64(Some(steps)) => u32::try_from(*steps).ok(),
        _ => None,
    };
    steps.ok_or_else(|| {
        let kind = value.data_type();
        Error::invalid(format!("blast_radius: depth {value} ({kind}) is no whole number from 0 to {}", u32::MAX))
    })
}

/// The cells of one call.
#[derive(Debug)]
struct Cells {
    ground: Arc<Ground>,
    selector: Selector,
    schema: SchemaRef,
    rows: OnceCell<RecordBatch>,
}

/// A handle that a stream can keep.
#[derive(Debug)]
struct Shared(Arc<Cells>);

impl PartitionStream for Shared {
    fn schema(&self) -> &SchemaRef {
        &self.0.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let cells = self.0.clone();
        let whole = stream::once(async move { cells.rows().await });
        let cut = |rows: RecordBatch| stream::iter(pages(&rows).into_iter().map(Ok::<RecordBatch, DataFusionError>));
        Box::pin(RecordBatchStreamAdapter::new(schema(), whole.map_ok(cut).try_flatten()))
    }
}

impl Cells {
    async fn rows(&self) -> Result<RecordBatch> {
        let compute = async || {
            let reached = self.ground.radius(&self.selector).await.map_err(foreign)?;
            batch(&reached.radius)
        };
        self.rows.get_or_try_init(compute).await.cloned()
    }
}

fn pages(rows: &RecordBatch) -> Vec<RecordBatch> {
    let page = |from: usize| rows.slice(from, PAGE_ROWS.min(rows.num_rows() - from));
    (0..rows.num_rows()).step_by(PAGE_ROWS).map(page).collect()
}

fn schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8View, true);
    let number = |name: &str| Field::new(name, DataType::Int64, true);
    let instant = |name: &str| Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true);
    let flag = Arc::new(Field::new("item", DataType::Utf8View, true));
    Arc::new(Schema::new(vec![
        text("system"),
        text("record_type"),
        text("record_id"),
        text("field"),
        text("state"),
        number("depth"),
        number("parent_seq"),
        number("first_bad_seq"),
        instant("first_bad_at"),
        number("last_bad_seq"),
        instant("last_bad_at"),
        text("old_value"),
        text("bad_value"),
        text("current_value"),
        number("current_seq"),
        text("current_writer"),
        Field::new("flags", DataType::List(flag), true),
        text("via_action"),
    ]))
}

/// The cells of `radius` as rows of [`schema`].
fn batch(radius: &Radius) -> Result<RecordBatch> {
    let cells = &radius.cells;
    let text = |of: &dyn for<'a> Fn(&'a Cell) -> Option<&'a str>| -> ArrayRef {
        Arc::new(cells.iter().map(of).collect::<StringViewArray>())
    };
    let number =
        |of: &dyn Fn(&Cell) -> Option<i64>| -> ArrayRef { Arc::new(cells.iter().map(of).collect::<Int64Array>()) };
    let instant = |of: &dyn Fn(&Cell) -> Option<Micros>| -> ArrayRef {
        Arc::new(cells.iter().map(of).collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
    };
    let mut flags = ListBuilder::new(StringViewBuilder::new());
    for cell in cells {
        cell.flags.names().into_iter().for_each(|flag| flags.values().append_value(flag));
        flags.append(true);
    }
    // Of the write that affected the cell first.
    let actions = cells.iter().map(|cell| Some(radius.actions[cell.first_action].action_id.as_str()));
    let actions: StringViewArray = actions.collect();
    let columns: Vec<ArrayRef> = vec![
        text(&|cell| Some(cell.record.system.as_str())),
        text(&|cell| Some(cell.record.record_type.as_str())),
        text(&|cell| Some(cell.record.record_id.as_str())),
        text(&|cell| cell.field.as_deref()),
        text(&|cell| Some(cell.state.name())),
        number(&|cell| Some(i64::from(cell.depth))),
        number(&|cell| cell.parent_seq),
        number(&|cell| cell.first_bad_seq),
        instant(&|cell| cell.first_bad_at),
        number(&|cell| cell.last_bad_seq),
        instant(&|cell| cell.last_bad_at),
        text(&|cell| cell.old_value.as_deref()),
        text(&|cell| cell.bad_value.as_deref()),
        text(&|cell| cell.current_value.as_deref()),
        number(&|cell| cell.current_seq),
        text(&|cell| cell.current_actor.as_deref()),
        Arc::new(flags.finish()),
        Arc::new(actions),
    ];
    Ok(RecordBatch::try_new(schema(), columns)?)
}

//! Mappings: one SELECT over the table `source` that yields evidence columns.
//!
//! In: a mapping's SQL and a spooled source. Out: a stream of rows in ledger order with the place each came
//! from. Invariant: rows keep the order of the source rows, and within a row the order of the arms of a UNION
//! ALL, unless the mapping orders them itself; a mapping reads its source and nothing else.

use std::path::Path;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use datafusion::error::DataFusionError;
use datafusion::execution::disk_manager::DiskManagerBuilder;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::{LogicalPlan, ScalarUDF};
use datafusion::prelude::{DataFrame, ParquetReadOptions, SessionConfig, SessionContext};
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, OrderBy, OrderByExpr, OrderByKind, OrderByOptions, Query, SelectItem, SetExpr, SetOperator, Statement,
    Value,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};

use super::decode::{FILE_COLUMN, ROW_COLUMN};
use super::spool::Spool;
use crate::error::{Error, Result};
use crate::limits::{QUERY_MEMORY_BYTES, QUERY_SPILL_BYTES, SQL_BYTES};

const ARM_COLUMN: &str = "_arm";

/// A mapping that is one SELECT.
#[derive(Debug)]
pub struct Mapping {
    name: String,
    query: Box<Query>,
}

impl Mapping {
    /// Parses the text of a mapping.
    ///
    /// # Errors
    /// When it is not exactly one SELECT.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let bad = |why: &str| Error::invalid(format!("mapping `{name}` {why}"));
        if text.len() > SQL_BYTES {
            return Err(Error::limit(format!("mapping `{name}` has {} bytes, the limit is {SQL_BYTES}", text.len())));
        }
        let mut statements =
            Parser::parse_sql(&GenericDialect {}, text).map_err(|e| bad("is no valid SQL").because(e))?;
        match (statements.pop(), statements.is_empty()) {
            (Some(Statement::Query(query)), true) => Ok(Self { name: name.to_owned(), query }),
            _ => Err(bad("must be exactly one SELECT over the table `source`")),
        }
    }

    /// Runs the mapping over `spool`, which it keeps until the stream ends; `functions` are there beside the
    /// engine's own.
    ///
    /// # Errors
    /// When the SQL does not fit the source, or does not say in which order its rows come.
    pub async fn run(
        &self,
        spool: Spool,
        functions: Vec<ScalarUDF>,
    ) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let name = self.name.clone();
        let failed = move |e: DataFusionError| {
            Error::invalid(format!("mapping `{name}` does not work on this source")).because(e)
        };
        let context = context()?;
        functions.into_iter().for_each(|function| context.register_udf(function));
        let path = spool.file.path().to_string_lossy().into_owned();
        let options = ParquetReadOptions::default().file_extension(extension(spool.file.path()));
        context.register_parquet("source", path, options).await.map_err(&failed)?;
        let frame = self.plan(&context).await?;
        let stream = frame.execute_stream().await.map_err(&failed)?;
        let name = self.name.clone();
        let stream = stream.map_err(move |e| broken(&name, e)).map_ok(without_arm);
        // The spool file lives as long as the stream reads it.
        Ok(stream
            .map(move |batch| {
                let _ = &spool;
                batch
            })
            .boxed())
    }

    async fn plan(&self, context: &SessionContext) -> Result<DataFrame> {
        let is_ordered = self.query.order_by.is_some();
        if let Ok(frame) = frame(context, &self.with_places(!is_ordered)).await {
            return Ok(frame);
        }
        let planned = frame(context, &self.query).await;
        let planned = planned
            .map_err(|e| Error::invalid(format!("mapping `{}` does not work on this source", self.name)).because(e))?;
        if !is_ordered {
            return Err(Error::invalid(format!(
                "mapping `{}` hides `{ROW_COLUMN}`, so its rows have no order; pass `{ROW_COLUMN}` through or add an order by",
                self.name
            )));
        }
        Ok(planned)
    }

    /// The query with the place of each row, ordered by it and by the arm if asked for.
    fn with_places(&self, is_order_added: bool) -> Query {
        let mut query = (*self.query).clone();
        let mut arm = 0;
        add_places(&mut query.body, &mut arm, is_order_added);
        if is_order_added {
            let keys = [FILE_COLUMN, ROW_COLUMN, ARM_COLUMN].map(|name| OrderByExpr {
                expr: Expr::Identifier(Ident::new(name)),
                options: OrderByOptions { asc: Some(true), nulls_first: None },
                with_fill: None,
            });
            query.order_by = Some(OrderBy { kind: OrderByKind::Expressions(keys.to_vec()), interpolate: None });
        }
        query
    }
}

fn add_places(body: &mut SetExpr, arm: &mut i64, is_arm_added: bool) {
    match body {
        SetExpr::Select(select) => {
            let has = |items: &[SelectItem], name: &str| {
                items.iter().any(|item| match item {
                    SelectItem::UnnamedExpr(Expr::Identifier(ident)) => ident.value == name,
                    SelectItem::ExprWithAlias { alias, .. } => alias.value == name,
                    _ => false,
                })
            };
            for name in [ROW_COLUMN, FILE_COLUMN] {
                if !has(&select.projection, name) {
                    select.projection.push(SelectItem::UnnamedExpr(Expr::Identifier(Ident::new(name))));
                }
            }
            if is_arm_added {
                *arm += 1;
                let number = Expr::Value(Value::Number(arm.to_string(), false).into());
                select.projection.push(SelectItem::ExprWithAlias { expr: number, alias: Ident::new(ARM_COLUMN) });
            }
        }
        SetExpr::SetOperation { op: SetOperator::Union, left, right, .. } => {
            add_places(left, arm, is_arm_added);
            add_places(right, arm, is_arm_added);
        }
        _ => {}
    }
}

/// What ended the mapping `name` while rows came: a value that it cannot make something of, or something that no row is
/// to blame for.
fn broken(name: &str, cause: DataFusionError) -> Error {
    match cause.find_root() {
        DataFusionError::ResourcesExhausted(_) => {
            let (memory, room) = (QUERY_MEMORY_BYTES / (1024 * 1024), QUERY_SPILL_BYTES / (1024 * 1024 * 1024));
            Error::limit(format!(
                "mapping `{name}` needs more memory than {memory} MiB or more temporary files than {room} GiB for this \
                 source; split the source, or join and sort less"
            ))
        }
        DataFusionError::IoError(_) | DataFusionError::ObjectStore(_) => {
            Error::unavailable(format!("mapping `{name}` cannot read its source or write temporary files"))
                .because(cause)
        }
        // The engine's words for a value that it cannot cast repeat the value: they are cut out.
        DataFusionError::ArrowError(..) | DataFusionError::Execution(_) => {
            let what = without_quoted(&cause.to_string());
            Error::invalid(format!(
                "mapping `{name}` fails on a value ({what}); write try_cast or a case, so that such a row is refused alone"
            ))
        }
        root => {
            let what = without_quoted(&root.to_string());
            Error::invalid(format!("mapping `{name}` does not work on this source ({what})"))
        }
    }
}

/// The first line of `text` with `…` in place of everything quoted.
fn without_quoted(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.split('\'').enumerate().map(|(i, part)| if i % 2 == 0 { part } else { "…" }).collect::<Vec<_>>().join("'")
}

async fn frame(context: &SessionContext, query: &Query) -> datafusion::error::Result<DataFrame> {
    use datafusion::sql::parser::Statement as Parsed;
    let statement = Parsed::Statement(Box::new(Statement::Query(Box::new(query.clone()))));
    let plan: LogicalPlan = context.state().statement_to_plan(statement).await?;
    context.execute_logical_plan(plan).await
}

fn without_arm(batch: RecordBatch) -> RecordBatch {
    match batch.schema().index_of(ARM_COLUMN) {
        Ok(arm) => {
            let others: Vec<usize> = (0..batch.num_columns()).filter(|i| *i != arm).collect();
            batch.project(&others).unwrap_or(batch)
        }
        Err(_) => batch,
    }
}

fn extension(path: &Path) -> &str {
    path.extension().and_then(|e| e.to_str()).unwrap_or("parquet")
}

fn context() -> Result<SessionContext> {
    let disk = DiskManagerBuilder::default().with_max_temp_directory_size(QUERY_SPILL_BYTES);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(FairSpillPool::new(QUERY_MEMORY_BYTES)))
        .with_disk_manager_builder(disk)
        .build_arc()
        .map_err(|e| Error::internal("cannot start the SQL engine").because(e))?;
    // No session time zone: a mapping states the zone of its times.
    let mut config = SessionConfig::new().with_information_schema(false);
    // Plain text, no views: a sort counts the buffers behind views once per batch and runs out of memory.
    config.options_mut().execution.parquet.schema_force_view_types = false;
    config.options_mut().sql_parser.map_string_types_to_utf8view = false;
    Ok(SessionContext::new_with_config_rt(config, runtime))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::ingest::spool::Shape;

    async fn run(sql: &str, csv: &str) -> Result<String> {
        let spool = Spool::read(Shape::Csv, "f.csv", Box::new(std::io::Cursor::new(csv.as_bytes().to_vec())))?;
        let batches: Vec<_> = Mapping::parse("m", sql)?.run(spool, Vec::new()).await?.try_collect().await?;
        Ok(arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string())
    }

    #[tokio::test]
    async fn rows_keep_the_order_of_the_source_and_of_the_arms() {
        let csv: String = "id,kind\n".to_owned() + &(0..30).map(|i| format!("r{i:02},{}\n", i % 3)).collect::<String>();
        let sql = "select id || 'a' as event_id from source union all select id || 'b' as event_id from source where kind = '0'";
        let table = run(sql, &csv).await.unwrap();
        let ids: Vec<&str> =
            table.lines().filter_map(|l| l.split('|').nth(1)).map(str::trim).filter(|s| s.starts_with('r')).collect();
        assert_eq!(ids[..5], ["r00a", "r00b", "r01a", "r02a", "r03a"]);
        assert!(ids.is_sorted(), "{ids:?}");
        assert!(table.contains("f.csv") && !table.contains("_arm"));
    }

    #[tokio::test]
    async fn a_mapping_that_hides_the_row_must_order_itself() {
        let message = run("select id as event_id, count(*) as n from source group by id", "id\nx\n")
            .await
            .unwrap_err()
            .to_string();
        assert!(message.contains("order by"), "{message}");
        assert!(run("select id as event_id from source group by id order by id", "id\nx\n").await.is_ok());
    }

    #[tokio::test]
    async fn a_value_that_cannot_be_cast_is_not_repeated() {
        let sql = "select cast(id as int) as event_id from source";
        let message = run(sql, "id\nsecret\n").await.unwrap_err().to_string();
        assert!(message.contains("try_cast") && !message.contains("secret"), "{message}");
    }

    #[test]
    fn what_ends_a_mapping_is_a_value_a_bound_or_a_disk() {
        let said = |cause: DataFusionError| broken("m", cause.context("somewhere"));
        let value = said(DataFusionError::Execution("cannot cast 'secret'".to_owned()));
        assert!(value.kind() == ErrorKind::Invalid && value.to_string().contains("fails on a value"), "{value}");
        assert!(!value.to_string().contains("secret"), "{value}");
        let bound = said(DataFusionError::ResourcesExhausted("'secret'".to_owned()));
        assert!(bound.kind() == ErrorKind::Limit && bound.to_string().contains("memory"), "{bound}");
        let disk = said(DataFusionError::IoError(std::io::Error::other("full")));
        assert!(disk.kind() == ErrorKind::Unavailable && !disk.to_string().contains("value"), "{disk}");
        assert_eq!(said(DataFusionError::Internal("x".to_owned())).kind(), ErrorKind::Invalid);
    }

    #[tokio::test]
    async fn a_mapping_reads_its_source_and_nothing_else() {
        for sql in [
            "select * from '/etc/passwd'",
            "select 1; select 2",
            "drop table source",
            "select nope from source",
            "copy source to 'x'",
        ] {
            assert!(run(sql, "id\nx\n").await.is_err(), "{sql}");
        }
    }
}

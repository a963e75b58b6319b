//! A session without sealed values: what callers see who may not read them.
//!
//! In: a session over everything. Out: what takes the place of the tables and functions that strangers' SQL meets, and
//! of the answers of named queries. Sealed are the columns of `evidence` with [`Role::Sealed`](crate::event::columns::Role::Sealed), and of views and named
//! queries those whose note in `-- returns:` begins with `sealed`: columns that repeat such text or are made from it.
//! A boolean, count or instant says no text and stays; so does what the engine itself writes into a sealed column in
//! closed words, numbers and digests (the state of an incident, the verdict of a review, counts of an ingest), and a
//! policy once it is parsed into rules, since every finding is judged by them; its document is left out.
//!
//! Invariants:
//! - Strangers' SQL meets tables, views and `blast_radius(...)` in which the sealed columns are not there: to name one,
//!   anywhere, is to name an unknown column, and no wildcard gives one. A table that is not known to be open is not
//!   there at all. The predicate of a blast radius is judged over the same columns.
//! - `EXPLAIN ANALYZE` is refused: a join that runs shows the values that it filters by, sealed ones among them.
//! - Queries that ship with the program read everything inside and leave sealed columns out of their answer. Any other
//!   named query is planned over the tables that strangers meet.
//! - A blast radius computed through the library has no values in its cells.
//!
//! Digests of sealed values are open: without the salt, which nobody can read, they tell nothing. It must not be taken
//! for a filter of documents that were computed in another session.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, TableFunction, TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::Result as PlanResult;
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::parser::Statement;

use super::blast::{self, Ground, Reached};
use super::engine::EVIDENCE;
use super::failure;
use super::header::NamedQuery;
use super::provider::EvidenceTable;
use super::runtime::QueryRuntime;
use super::session::{catalogs_of, schema_of, strangers_state};
use crate::error::{Error, ErrorKind, Result};

/// Columns of `blast_radius(...)` that hold sealed text.
const SEALED_OF_CELLS: [&str; 3] = ["old_value", "bad_value", "current_value"];

/// What strangers' SQL and predicates are planned over.
#[derive(Debug, Clone)]
pub(super) struct Strangers {
    /// The planner of SQL.
    pub(super) state: Arc<SessionState>,
    /// What picks the actions of a predicate.
    pub(super) ground: Arc<Ground>,
}

/// What strangers meet in the session of `shipped` and `ground` where they may not see sealed values.
///
/// # Errors
/// When the journal cannot be put in order.
pub(super) fn strangers(runtime: &QueryRuntime, shipped: &SessionState, ground: &Ground) -> Result<Strangers> {
    let evidence = Arc::new(ground.table.without_sealed()?);
    let open = |view: &NamedQuery| -> (String, BTreeSet<String>) {
        let open = view.returns.iter().filter(|column| !column.is_sealed).map(|column| column.name.clone());
        (view.name.clone(), open.collect())
    };
    let views = ground.views.catalogue().views().map(open).collect();
    let tables = OpenTables { all: schema_of(shipped)?, evidence: evidence.clone(), views };
    let catalogs = catalogs_of(&shipped.config_options().catalog, Arc::new(tables))?;
    let ground = Arc::new(Ground {
        state: ground.state.clone(),
        table: evidence,
        views: ground.views.clone(),
        snapshot: ground.snapshot.clone(),
        as_of: ground.as_of,
    });
    let functions = blast::functions(&ground).into_iter().map(|function| {
        let name = function.name().to_owned();
        Arc::new(TableFunction::new(name, Arc::new(OpenCells { inner: function })))
    });
    let (env, functions) = (shipped.runtime_env().clone(), functions.collect());
    let state = Arc::new(strangers_state(runtime, env, ground.as_of.at, (catalogs, functions)));
    Ok(Strangers { state, ground })
}

/// Refuses a statement whose answer would show values that its plan passes along.
///
/// # Errors
/// Denied, for `EXPLAIN ANALYZE`.
pub(super) fn check(statement: &Statement) -> Result<()> {
    match statement {
        Statement::Explain(explain) if explain.options.analyze => Err(Error::new(
            ErrorKind::Denied,
            "EXPLAIN ANALYZE shows values that a query passes along, and sealed values are not open to you; EXPLAIN \
             alone is",
        )),
        _ => Ok(()),
    }
}

/// `plan` of the shipped `query` without the sealed columns of its answer.
///
/// # Errors
/// Never for a plan that has the columns of its header.
pub(super) fn answer(plan: LogicalPlan, query: &NamedQuery) -> Result<LogicalPlan> {
    if query.returns.iter().all(|column| !column.is_sealed) {
        return Ok(plan);
    }
    let columns = plan.schema().columns().into_iter().zip(&query.returns);
    let open: Vec<Expr> = columns.filter(|(_, said)| !said.is_sealed).map(|(c, _)| Expr::Column(c)).collect();
    LogicalPlanBuilder::from(plan).project(open).and_then(LogicalPlanBuilder::build).map_err(failure::error)
}

/// `reached` without the values of its cells.
pub(super) fn reached(mut reached: Reached) -> Reached {
    for cell in &mut reached.radius.cells {
        (cell.old_value, cell.bad_value, cell.current_value) = (None, None, None);
    }
    reached
}

/// The tables of a session without their sealed columns.
#[derive(Debug)]
struct OpenTables {
    all: Arc<dyn SchemaProvider>,
    evidence: Arc<EvidenceTable>,
    /// The open columns of each view.
    views: BTreeMap<String, BTreeSet<String>>,
}

#[async_trait]
impl SchemaProvider for OpenTables {
    fn table_names(&self) -> Vec<String> {
        self.all.table_names()
    }

    fn table_exist(&self, name: &str) -> bool {
        self.all.table_exist(name)
    }

    async fn table(&self, name: &str) -> PlanResult<Option<Arc<dyn TableProvider>>> {
        if name == EVIDENCE {
            return Ok(Some(self.evidence.clone()));
        }
        let (Some(open), Some(table)) = (self.views.get(name), self.all.table(name).await?) else { return Ok(None) };
        let is_open = table.schema().fields().iter().all(|field| open.contains(field.name()));
        if is_open { Ok(Some(table)) } else { narrowed(name, table, |column| open.contains(column)).map(Some) }
    }
}

/// `table` with those columns that `is_open`, as a view over it.
fn narrowed(
    name: &str,
    table: Arc<dyn TableProvider>,
    is_open: impl Fn(&str) -> bool,
) -> PlanResult<Arc<dyn TableProvider>> {
    let all = LogicalPlanBuilder::scan(name, provider_as_source(table), None)?;
    let open: Vec<Expr> =
        all.schema().columns().into_iter().filter(|column| is_open(&column.name)).map(Expr::Column).collect();
    Ok(Arc::new(ViewTable::new(all.project(open)?.build()?, None)))
}

/// A table function without the values of its cells.
#[derive(Debug)]
struct OpenCells {
    inner: Arc<TableFunction>,
}

impl TableFunctionImpl for OpenCells {
    fn call_with_args(&self, args: TableFunctionArgs<'_, '_>) -> PlanResult<Arc<dyn TableProvider>> {
        let cells = self.inner.create_table_provider_with_args(args)?;
        narrowed(self.inner.name(), cells, |column| !SEALED_OF_CELLS.contains(&column))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::answer::{Answer, Limits};
    use super::super::catalogue::Catalogue;
    use super::super::engine::Engine;
    use super::super::header::Kind;
    use super::super::objects::rows;
    use super::super::params::Params;
    use super::super::testing::{START, engine, snapshot};
    use super::super::types::ValueType;
    use super::*;
    use crate::clock::{DAY, HOUR, rfc3339};
    use crate::event::columns::Role;
    use crate::event::{COLUMNS, Column};

    /// The text in every sealed column of the log.
    const MARK: &str = "ne1ther-seen-nor-heard";

    fn line(number: usize, event: Value) -> String {
        let mut all = json!({
            "event_id": format!("e{number}"), "source": "crm", "environment": "production", "workflow": "w",
            "occurred_at": rfc3339(START + number as i64 * HOUR), "system": "crm", "record_type": "lead",
            "record_id": format!("r{}", number % 3), "field": "owner", "batch_id": "b1", "comment": MARK,
            "old_value": MARK, "new_value": MARK, "error": MARK, "permission_area": "crm_fields",
            "extra": {"note": [MARK], "title": MARK, "class": MARK, "item": MARK, "mark": MARK},
        });
        for (name, value) in event.as_object().unwrap() {
            all[name] = value.clone();
        }
        all.to_string()
    }

    /// An event of the engine's own, with what people wrote in its free text.
    fn own(number: usize, event_type: &str, more: Value, mut extra: Value) -> String {
        for name in ["title", "class", "note", "comment", "where"] {
            extra[name] = MARK.into();
        }
        let mut event = json!({"source": "probity", "event_type": event_type, "extra": extra});
        for (name, value) in more.as_object().unwrap() {
            event[name] = value.clone();
        }
        line(number, event)
    }

    /// A log with every kind of event.
    fn log() -> Vec<String> {
        let mut lines = Vec::new();
        let mut add = |make: &dyn Fn(usize) -> String| lines.push(make(lines.len()));
        let written = format!("{MARK} again");
        for i in 0..6 {
            let action = json!({"action_id": format!("a{i}"), "actor_kind": "agent", "actor_id": "agent-1"});
            let told = |event_type: &str, more: Value| {
                let mut event = action.clone();
                event["event_type"] = event_type.into();
                more.as_object().unwrap().iter().for_each(|(name, value)| event[name] = value.clone());
                event
            };
            add(&|n| line(n, json!({"event_type": "record.reviewed"})));
            add(&|n| line(n, told("action.proposed", json!({"reason_code": "stale", "prompt_version": "p1"}))));
            let decided = json!({"decision": "approved", "reviewer": "rita", "actor_kind": "human"});
            add(&|n| line(n, told("action.decided", decided.clone())));
            add(&|n| line(n, told("action.executed", json!({"outcome": "succeeded", "new_value": written}))));
            add(&|n| line(n, told("action.rolled_back", json!({"outcome": "failed"}))));
            add(&|n| line(n, told("action.labeled", json!({"label": "true_positive", "actor_kind": "human"}))));
            let repair = json!({"event_type": "record.corrected", "correction": "owner", "actor_kind": "human",
                                "old_value": "x"});
            add(&|n| line(n, repair.clone()));
        }
        for field in ["prompt_version", "rule_version", "policy"] {
            add(&|n| line(n, json!({"event_type": "config.changed", "field": field})));
            add(&|n| line(n, json!({"event_type": "config.changed", "field": field, "source": "probity"})));
        }
        for event_type in ["data.accessed", "action.evaluated", "exception.raised", "workflow.paused"] {
            add(&|n| line(n, json!({"event_type": event_type, "incident_id": "i1"})));
        }
        let incident = json!({"incident_id": "i1"});
        for event_type in ["incident.opened", "incident.updated", "incident.closed"] {
            add(&|n| own(n, event_type, incident.clone(), json!({"state": "open", "severity": "high"})));
        }
        let review = json!({"review_id": "s1", "reviewer": "rita"});
        let plan = json!({"purpose": "re_enable", "plan": {"attempt": 1, "claim": {"below": "1/100"}}});
        add(&|n| own(n, "review.planned", review.clone(), plan.clone()));
        add(&|n| own(n, "review.marked", review.clone(), json!({"item": "a1", "mark": "correct"})));
        add(&|n| own(n, "review.decided", review.clone(), json!({"status": {"decision": "ENABLE", "n": 1, "k": 0}})));
        add(&|n| own(n, "report.issued", json!({}), json!({"report": "monthly", "subject": "2026-01"})));
        add(&|n| own(n, "evidence.received", json!({}), json!({"counts": [{"source": "crm", "received": 1}]})));
        lines
    }

    /// Both kinds of session over [`log`], part of it folded.
    async fn sessions() -> (Engine, Engine) {
        let lines = log();
        let open = engine(&snapshot(&lines, lines.len() - 9, 20).await).await;
        let unsealed = open.without_sealed().unwrap();
        (open, unsealed)
    }

    fn params(query: &NamedQuery) -> Params {
        let value = |value_type: ValueType, name: &str| match value_type {
            ValueType::Timestamp if name.ends_with("end") => rfc3339(START + 40 * DAY),
            ValueType::Timestamp => rfc3339(START - DAY),
            ValueType::Date => "2026-01-01".to_owned(),
            ValueType::Int64 => "5".to_owned(),
            ValueType::Float64 => "0.5".to_owned(),
            ValueType::Boolean => "true".to_owned(),
            _ => "b1".to_owned(),
        };
        let given = query.params.iter().filter(|p| p.default.is_none() && p.name != "as_of");
        given.map(|p| (p.name.clone(), value(p.value_type, &p.name))).collect()
    }

    fn shows_mark(answer: &Answer) -> bool {
        format!("{:?}", rows(answer).unwrap()).contains(MARK)
    }

    #[tokio::test]
    async fn no_shipped_query_gives_sealed_text_to_who_may_not_see_it() {
        let (open, unsealed) = sessions().await;
        let mut shown = Vec::new();
        for query in Catalogue::shipped().unwrap().list().filter(|q| q.kind != Kind::Mapping) {
            let whole = open.run(query, &params(query)).await.unwrap();
            let answer = unsealed.run(query, &params(query)).await.unwrap_or_else(|e| panic!("{}: {e}", query.name));
            assert!(!shows_mark(&answer), "{}: mark the column in its header as sealed", query.file);
            assert_eq!(answer.judgement, whole.judgement, "{}", query.name);
            assert_eq!(answer.rows(), whole.rows(), "{}", query.name);
            let left = query.returns.iter().filter(|c| !c.is_sealed).map(|c| c.name.as_str());
            assert_eq!(answer.columns(), left.collect::<Vec<_>>(), "{}", query.name);
            if shows_mark(&whole) {
                shown.push(query.name.as_str());
            }
        }
        // The log does reach them: a mark that nobody can see would prove nothing.
        for name in ["events", "actions", "action_events", "action_writes", "repairs", "changes", "incidents"] {
            assert!(shown.contains(&name), "{name} is not among {shown:?}");
        }
        assert!(shown.contains(&"batch_packet") && shown.contains(&"change_effects"), "{shown:?}");
    }

    #[tokio::test]
    async fn no_table_gives_sealed_text_to_who_may_not_see_it() {
        let (_, unsealed) = sessions().await;
        let catalogue = Catalogue::shipped().unwrap();
        let tables: Vec<&str> = catalogue.views().map(|v| v.name.as_str()).chain(["evidence"]).collect();
        for table in tables.into_iter().chain(["blast_radius('true')"]) {
            let answer = unsealed.sql(&format!("select * from {table}"), Limits::default()).await;
            let answer = answer.unwrap_or_else(|e| panic!("{table}: {e}"));
            assert!(!shows_mark(&answer), "{table}");
        }
    }

    #[tokio::test]
    async fn a_sealed_column_is_an_unknown_column_however_it_is_named() {
        let (open, unsealed) = sessions().await;
        let sealed = COLUMNS.iter().filter(|column| column.role == Role::Sealed).map(|column| column.name);
        let mut attempts = Vec::new();
        for column in sealed.chain([Column::Salt.name()]) {
            attempts.push(format!("select {column} from evidence"));
            attempts.push(format!("select e.\"{column}\" from events as e"));
            attempts.push(format!("select count(*) from events where {column} like 'a%'"));
        }
        attempts.extend(
            [
                "select OLD_VALUE from evidence",
                "select seq from events order by new_value",
                "select count(distinct extra) from evidence",
                "select seq from events group by seq having max(comment) > 'a'",
                "select seq, (select max(e.error) from events as e where e.seq = o.seq) from events as o",
                "select seq from events where exists (select 1 from evidence as x where x.extra = events.event_id)",
                "with e as (select * from evidence) select comment from e",
                "select v from (select * from events) as e (v) where old_value is not null",
                "select first_value(new_value) over (order by seq) from events",
                "select a.seq from events as a join evidence as b on a.event_id = b.comment",
                "select a.seq from events as a join evidence as b using (extra)",
                "select error from evidence union all select event_id from evidence",
                "select * except (old_value) from evidence",
                "select json_text(extra, '/title') from events",
                "select old_value from actions",
                "select last_succeeded_old_value from actions",
                "select new_value from action_writes",
                "select new_value from action_events",
                "select new_value from repairs",
                "select document from policies",
                "select old_value from blast_radius('true')",
                "select bad_value from blast_radius('true')",
                "select b.current_value from blast_radius('true') as b",
                "select * from blast_radius('new_value = ''x''')",
                "select * from blast_radius('events.extra is not null')",
                "select * from blast_radius('json_text(comment, ''/a'') is null')",
            ]
            .map(str::to_owned),
        );
        for sql in attempts {
            let err = match unsealed.sql(&sql, Limits::default()).await {
                Ok(answer) => panic!("{sql}: {} rows", answer.rows()),
                Err(err) => err,
            };
            assert_eq!(err.kind(), ErrorKind::Invalid, "{sql}: {err}");
            assert!(!err.to_string().contains(MARK), "{sql}: {err}");
        }
        for sql in ["explain analyze select * from verdicts", "explain (analyze) select 1"] {
            assert_eq!(unsealed.sql(sql, Limits::default()).await.unwrap_err().kind(), ErrorKind::Denied, "{sql}");
        }
        for sql in ["select * from information_schema.columns", "select * from information_schema.views"] {
            assert!(unsealed.sql(sql, Limits::default()).await.is_err(), "{sql}");
        }
        // What is open is as it was, and the session that it was made from sees everything still.
        let count = "select count(*), count(old_value_digest), max(event_id) from events";
        assert!(unsealed.sql(count, Limits::default()).await.is_ok());
        assert!(unsealed.sql("explain select * from verdicts", Limits::default()).await.is_ok());
        assert!(shows_mark(&open.sql("select comment, extra from evidence", Limits::default()).await.unwrap()));
    }

    #[tokio::test]
    async fn a_selector_names_no_sealed_column_and_its_cells_have_no_values() {
        let (open, unsealed) = sessions().await;
        let all = blast::Selector::new("event_type = 'action.executed'");
        let (whole, reached) = (open.blast_radius(&all).await.unwrap(), unsealed.blast_radius(&all).await.unwrap());
        assert!(
            whole.radius.cells.iter().any(|cell| cell.bad_value.as_deref() == Some("ne1ther-seen-nor-heard again"))
        );
        assert!(!format!("{reached:?}").contains(MARK));
        assert_eq!(reached.radius.states(), whole.radius.states());
        for predicate in ["new_value = 'x'", "events.comment is null", "length(extra) > 1"] {
            let selector = blast::Selector::new(predicate);
            assert_eq!(unsealed.blast_radius(&selector).await.unwrap_err().kind(), ErrorKind::Invalid, "{predicate}");
            assert_eq!(unsealed.matching(&selector).await.unwrap_err().kind(), ErrorKind::Invalid, "{predicate}");
            assert!(open.matching(&selector).await.is_ok(), "{predicate}");
        }
    }

    #[tokio::test]
    async fn a_query_of_the_users_own_reads_what_strangers_read() {
        let (open, unsealed) = sessions().await;
        let text = "-- question: q\n-- grain: g\n-- returns: comment utf8\n\nselect comment from events limit 1";
        let query = NamedQuery::parse("metrics/theirs.sql", text).unwrap();
        assert!(shows_mark(&open.run(&query, &Params::new()).await.unwrap()));
        assert!(unsealed.run(&query, &Params::new()).await.is_err());
        // A shipped one that was changed is none of ours, whatever its name.
        let mut changed = Catalogue::shipped().unwrap().get("events").unwrap().clone();
        changed.returns.iter_mut().for_each(|column| column.is_sealed = false);
        assert!(unsealed.run(&changed, &Params::new()).await.is_err());
    }
}

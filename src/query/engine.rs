//! A session over one prefix of the evidence: the table, the views, named queries and guarded SQL.
//!
//! In: a snapshot, an as-of point, queries with their parameters. Out: answers. Invariant: named queries and
//! strangers' SQL read the same tables; only the former may recurse, only the latter are guarded and capped.
//! `now()` is the as-of instant, so that an answer depends on nothing but the ledger and the question. What a session
//! for callers who may not see sealed values shows is said in `query::unsealed`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use datafusion::execution::SessionState;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, ident, lit};
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{Expr, Statement as SqlStatement, Value, visit_expressions_mut};
use tokio::task::JoinSet;

use super::answer::{Answer, AnswerStream, Deadline, Limits, Work};
use super::asof::{AsOf, AsOfText};
use super::blast::{self, Ground, Matching, Reached, Selector};
use super::catalogue::{self, Catalogue};
use super::guard;
use super::header::{Kind, NamedQuery};
use super::params::{Bound, Params};
use super::provider::EvidenceTable;
use super::runtime::QueryRuntime;
use super::session::{schema_of, shipped_state, strangers_state};
use super::types::ValueType;
use super::unsealed::{self, Strangers};
use super::views::{Keeping, Views};
use super::window::Window;
use super::{capped, failure, growth};
use crate::blast::Summary;
use crate::clock::Micros;
use crate::error::{Error, Result};
use crate::store::snapshot::Snapshot;

/// The name of the table.
pub const EVIDENCE: &str = "evidence";
/// The column that says what a row of a metric is about.
const GRAIN: &str = "grain";
/// Nesting of SQL text that ships with the program.
const SHIPPED_DEPTH: usize = 200;

/// A session over one snapshot at one as-of point; a clone shares all that was made for it.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(super) runtime: Arc<QueryRuntime>,
    as_of: AsOf,
    version: i64,
    shipped: Arc<SessionState>,
    /// What strangers' SQL and predicates see.
    strangers: Strangers,
    /// What those of a session without sealed columns see, made when first asked for.
    unsealed: Arc<OnceLock<Strangers>>,
    sees_sealed: bool,
    views: Arc<Views>,
    table: Arc<EvidenceTable>,
    /// What blast radii are made from.
    pub(super) ground: Arc<Ground>,
    /// Sessions restricted to a period; none where every question reads everything.
    windows: Option<Arc<Mutex<HashMap<Window, Session>>>>,
}

/// A planner and the views that it knows.
type Session = (Arc<SessionState>, Arc<Views>);

impl Engine {
    /// A session over the first `as_of.size` events of `snapshot`, with the shipped views.
    ///
    /// # Errors
    /// When the as-of point lies beyond the snapshot, or a shipped view does not fit.
    pub async fn new(runtime: &Arc<QueryRuntime>, snapshot: &Snapshot, as_of: AsOf) -> Result<Self> {
        Self::open(runtime, snapshot, as_of, (Catalogue::shipped()?, Keeping::Deep)).await
    }

    /// As [`Engine::new`], with the views of `catalogue`, computed once and read back as `keeping` says.
    ///
    /// # Errors
    /// When the as-of point lies beyond the snapshot.
    pub async fn open(
        runtime: &Arc<QueryRuntime>,
        snapshot: &Snapshot,
        as_of: AsOf,
        (catalogue, keeping): (&Catalogue, Keeping),
    ) -> Result<Self> {
        let table = Arc::new(EvidenceTable::new(snapshot, as_of.size)?);
        let env = runtime.env(table.objects());
        let evidence = (Arc::new(snapshot.clone()), as_of.size);
        let views = Views::new(catalogue, keeping, runtime.spill_dir(), evidence.clone(), runtime.piece_events());
        let views = Arc::new(views);
        let plain = Arc::new(shipped_state(runtime, env.clone(), as_of.at, Vec::new()));
        let ground = Ground { state: plain, table: table.clone(), views: views.clone(), snapshot: evidence.0, as_of };
        let ground = Arc::new(ground);
        let shipped = shipped_state(runtime, env.clone(), as_of.at, blast::functions(&ground));
        let schema = schema_of(&shipped)?;
        schema.register_table(EVIDENCE.to_owned(), table.clone()).map_err(failure::error)?;
        let catalogs = shipped.catalog_list().clone();
        let strangers = strangers_state(runtime, env, as_of.at, (catalogs, blast::functions(&ground)));
        let strangers = Strangers { state: Arc::new(strangers), ground: ground.clone() };
        Ok(Self {
            runtime: runtime.clone(),
            as_of,
            version: snapshot.version,
            shipped: Arc::new(shipped),
            strangers,
            unsealed: Arc::default(),
            sees_sealed: true,
            views,
            table,
            ground,
            windows: Some(Arc::default()),
        })
    }

    /// The same session with every question reading everything, whatever its header says of a window.
    pub fn without_windows(self) -> Self {
        Self { windows: None, ..self }
    }

    /// The same session for callers who may not see sealed values; `query::unsealed` says what it shows. It shares all
    /// that is kept, so that it can be made for each request.
    ///
    /// # Errors
    /// When the journal cannot be put in order.
    pub fn without_sealed(&self) -> Result<Self> {
        let strangers = match self.unsealed.get() {
            Some(known) => known.clone(),
            None => {
                let made = unsealed::strangers(&self.runtime, &self.shipped, &self.ground)?;
                self.unsealed.get_or_init(|| made).clone()
            }
        };
        Ok(Self { strangers, sees_sealed: false, ..self.clone() })
    }

    /// Whether sealed values can be seen in this session.
    pub fn sees_sealed(&self) -> bool {
        self.sees_sealed
    }

    /// The planner and the views that answer `query` for the period of `bound`.
    fn session(&self, query: &NamedQuery, bound: &Bound) -> Result<Session> {
        let whole = (self.shipped.clone(), self.views.clone());
        let (Some(windows), Some(window)) = (&self.windows, Window::of(query, bound)) else { return Ok(whole) };
        let window = self.views.window_for(window);
        let mut windows = windows.lock().unwrap_or_else(|e| e.into_inner());
        // What is kept for a longer period answers for a part of it: nothing of it is computed anew.
        let is_shared = self.views.is_shared();
        let known = windows.iter().filter(|(known, _)| **known == window || is_shared && known.contains(&window));
        if let Some((_, session)) = known.min_by_key(|(known, _)| known.length()) {
            return Ok(session.clone());
        }
        let functions = blast::functions(&self.ground);
        let state = shipped_state(&self.runtime, self.shipped.runtime_env().clone(), self.as_of.at, functions);
        schema_of(&state)?.register_table(EVIDENCE.to_owned(), self.table.clone()).map_err(failure::error)?;
        let session = (Arc::new(state), Arc::new(self.views.within(window)));
        windows.insert(window, session.clone());
        Ok(session)
    }

    /// The as-of point of this session.
    pub fn as_of(&self) -> AsOf {
        self.as_of
    }

    /// The version of the folded table that this session reads from.
    pub fn version(&self) -> i64 {
        self.version
    }

    /// The values that `query` gets when `params` are given.
    ///
    /// # Errors
    /// Missing, unknown or badly written parameters.
    pub fn bind(&self, query: &NamedQuery, params: &Params) -> Result<Bound> {
        Bound::new(query, params, self.as_of.at)
    }

    /// The answer of `query`, without a row limit.
    ///
    /// # Errors
    /// As [`Engine::stream`].
    pub async fn run(&self, query: &NamedQuery, params: &Params) -> Result<Answer> {
        let limits = Limits { rows: usize::MAX, ..Limits::default() };
        self.stream(query, params, limits).await?.collect().await
    }

    /// The rows of `query` of one `grain`, such as `period`, without a row limit; what only others need is not computed.
    ///
    /// # Errors
    /// As [`Engine::stream`], and when the query has no grains.
    pub async fn run_grain(&self, query: &NamedQuery, params: &Params, grain: &str) -> Result<Answer> {
        let limits = Limits { rows: usize::MAX, ..Limits::default() };
        self.start(query, params, limits, Some(grain.to_owned())).await?.collect().await
    }

    /// The answer of `query` as it comes.
    ///
    /// # Errors
    /// Bad parameters, a query whose columns differ from its header, a bound that is met.
    pub async fn stream(&self, query: &NamedQuery, params: &Params, limits: Limits) -> Result<AnswerStream> {
        self.start(query, params, limits, None).await
    }

    async fn start(
        &self,
        query: &NamedQuery,
        params: &Params,
        limits: Limits,
        grain: Option<String>,
    ) -> Result<AnswerStream> {
        let deadline = Deadline::within(limits.seconds);
        let bound = self.bind(query, params)?;
        let is_control = query.kind == Kind::Control;
        let sees_sealed = self.sees_sealed;
        // Only what ships with the program is known to tell of sealed values no more than its header says.
        let is_trusted = sees_sealed || Catalogue::shipped()?.get(&query.name).is_ok_and(|shipped| shipped == query);
        let whole = (self.shipped.clone(), self.views.clone());
        let (maker, views) = if is_trusted { self.session(query, &bound)? } else { whole };
        let state = if is_trusted { maker.clone() } else { self.strangers.state.clone() };
        let query = query.clone();
        let work = QueryRuntime::on_deep_stack(self.runtime.handle(), async move {
            views.make(&maker, &catalogue::tables_in(&query)).await?;
            let plan = plan_named(&state, &query, &bound).await?;
            check_returns(&query, &plan)?;
            let plan = if sees_sealed { plan } else { unsealed::answer(plan, &query)? };
            let plan = match grain {
                Some(grain) => LogicalPlanBuilder::from(plan)
                    .filter(ident(GRAIN).eq(lit(grain)))
                    .and_then(LogicalPlanBuilder::build)
                    .map_err(failure::error)?,
                None => plan,
            };
            Work::planned(state, plan).await
        });
        let work = deadline.hold(work).await??;
        let answer = AnswerStream::start(&self.runtime.handle(), work, (limits.rows, deadline), None);
        Ok(if is_control { answer.judged() } else { answer })
    }

    /// What the actions that `selector` picks have reached.
    ///
    /// # Errors
    /// A predicate that is none, too many actions, evidence that cannot be read.
    pub async fn blast_radius(&self, selector: &Selector) -> Result<Reached> {
        let (ground, selector) = (self.strangers.ground.clone(), selector.clone());
        let mut work = JoinSet::new();
        work.spawn_on(async move { ground.radius(&selector).await }, &self.runtime.handle());
        match work.join_next().await {
            Some(Ok(Ok(reached))) if !self.sees_sealed => Ok(unsealed::reached(reached)),
            Some(Ok(reached)) => reached,
            _ => Err(Error::internal("the blast radius failed by a defect")),
        }
    }

    /// What the window of `selector` says of the completeness of the log: late events, and numbers that sources gave.
    ///
    /// # Errors
    /// Evidence that cannot be read.
    pub async fn summary(&self, selector: &Selector) -> Result<Summary> {
        let (ground, selector) = (self.ground.clone(), selector.clone());
        let mut work = JoinSet::new();
        work.spawn_on(async move { ground.summary(&selector).await }, &self.runtime.handle());
        match work.join_next().await {
            Some(Ok(summary)) => summary,
            _ => Err(Error::internal("counting the events of a window failed by a defect")),
        }
    }

    /// The events of actions that `selector` picks, one by one.
    ///
    /// # Errors
    /// A predicate that is none, evidence that cannot be read.
    pub async fn matching(&self, selector: &Selector) -> Result<Matching> {
        let (ground, selector) = (self.strangers.ground.clone(), selector.clone());
        let mut work = JoinSet::new();
        work.spawn_on(async move { ground.matching(&selector).await }, &self.runtime.handle());
        match work.join_next().await {
            Some(Ok(matching)) => matching,
            _ => Err(Error::internal("the search for events failed by a defect")),
        }
    }

    /// The answer of a stranger's SQL.
    ///
    /// # Errors
    /// As [`Engine::sql_stream`].
    pub async fn sql(&self, text: &str, limits: Limits) -> Result<Answer> {
        self.sql_stream(text, limits).await?.collect().await
    }

    /// The answer of a stranger's SQL as it comes. `$as_of` is the as-of instant.
    ///
    /// # Errors
    /// Anything but one reading query within the bounds of [`guard`], a bound that is met.
    pub async fn sql_stream(&self, text: &str, limits: Limits) -> Result<AnswerStream> {
        guard::check_text(text)?;
        let deadline = Deadline::within(limits.seconds);
        let guest = deadline.hold(self.runtime.guest()).await??;
        let (state, shipped, views) = (self.strangers.state.clone(), self.shipped.clone(), self.views.clone());
        let (text, bound, sees_sealed) = (text.to_owned(), Bound::as_of(self.as_of.at), self.sees_sealed);
        let work = QueryRuntime::on_deep_stack(guest.handle(), async move {
            let mut statement = guard::parse(&text)?;
            if !sees_sealed {
                unsealed::check(&statement)?;
            }
            let weights = views.make(&shipped, &catalogue::tables_of(guard::query_of(&statement)?)).await?;
            guard::check_statement(&statement, &weights)?;
            fill(&mut statement, &bound)?;
            let plan = state.statement_to_plan(statement).await.map_err(failure::error)?;
            reading().verify_plan(&plan).map_err(failure::error)?;
            growth::check(&plan)?;
            let plan = capped::cap(plan).map_err(failure::error)?;
            let work = Work { again: None, ..Work::planned(state, plan).await? };
            // The place stays taken while planning goes on, even when the caller has left.
            Ok((work, guest))
        });
        let (work, guest) = deadline.hold(work).await??;
        let handle = guest.handle();
        Ok(AnswerStream::start(&handle, work, (limits.rows, deadline), Some(guest)))
    }
}

/// The as-of point that `text` means over `snapshot`, at the instant `now`.
///
/// `size_at_version` is the number of events in the table at the version that `text` names, if it names one.
///
/// # Errors
/// A size or version that the ledger does not have.
pub async fn resolve(
    runtime: &Arc<QueryRuntime>,
    snapshot: &Snapshot,
    text: AsOfText,
    now: Micros,
    size_at_version: Option<i64>,
) -> Result<AsOf> {
    let head = AsOf { size: snapshot.size, at: now };
    let size = match text {
        AsOfText::Head => return Ok(head),
        AsOfText::At(at) => return Ok(AsOf { size: recorded_until(runtime, snapshot, at).await?, at }),
        AsOfText::Size(size) => size,
        AsOfText::Version(version) => size_at_version.ok_or_else(|| {
            Error::not_found(format!("the table has no version {version}; its newest is {}", snapshot.version))
        })?,
    };
    if !(0..=snapshot.size).contains(&size) {
        let have = snapshot.size;
        return Err(Error::invalid(format!("the as-of size {size} is beyond the ledger, which has {have} events")));
    }
    let last = size - 1;
    let sql = format!("select cast(max(recorded_at) as bigint) from {EVIDENCE} where seq = {last}");
    let at = look_up(runtime, snapshot, &sql).await?;
    // Before the first event nothing was recorded: any instant gives the same answers.
    Ok(AsOf { size, at: at.unwrap_or(0) })
}

/// The number of events of `snapshot` recorded until `at`: `recorded_at` never decreases with `seq`.
async fn recorded_until(runtime: &Arc<QueryRuntime>, snapshot: &Snapshot, at: Micros) -> Result<i64> {
    // Files wholly before the instant need no reading.
    let whole =
        snapshot.files.iter().filter(|file| file.recorded_at.1 <= at).map(|file| file.seq.1 + 1).max().unwrap_or(0);
    let instant = crate::clock::rfc3339(at);
    let sql = format!("select max(seq) from {EVIDENCE} where recorded_at <= timestamp '{instant}' and seq >= {whole}");
    let last = look_up(runtime, snapshot, &sql).await?;
    Ok(last.map_or(whole, |seq| seq + 1))
}

async fn look_up(runtime: &Arc<QueryRuntime>, snapshot: &Snapshot, sql: &str) -> Result<Option<i64>> {
    let head = AsOf { size: snapshot.size, at: 0 };
    let engine = Engine::open(runtime, snapshot, head, (&Catalogue::default(), Keeping::Deep)).await?;
    let answer = engine.sql(sql, Limits::default()).await?;
    let column = answer.batches.first().map(|batch| batch.column(0).clone());
    Ok(column.and_then(|c| {
        arrow::array::AsArray::as_primitive_opt::<arrow::datatypes::Int64Type>(&c)
            .and_then(|c| c.iter().next().flatten())
    }))
}

/// The plan of `query` with the values of `bound` filled in.
pub(super) async fn plan_named(state: &SessionState, query: &NamedQuery, bound: &Bound) -> Result<LogicalPlan> {
    let defect = |what: String| Error::internal(format!("queries/{}: {what}", query.file));
    let parser = DFParserBuilder::new(query.text.as_str()).with_recursion_limit(SHIPPED_DEPTH).build();
    let parsed = parser.and_then(|mut parser| parser.parse_statements());
    let mut statements = parsed.map_err(|e| defect(failure::syntax(&e)))?;
    let (Some(mut statement), true) = (statements.pop_front(), statements.is_empty()) else {
        return Err(defect("the file holds more or less than one statement".to_owned()));
    };
    guard::query_of(&statement).map_err(|e| defect(e.to_string()))?;
    fill(&mut statement, bound)?;
    let plan = state.statement_to_plan(statement).await.map_err(|e| defect(failure::error(e).to_string()))?;
    reading().verify_plan(&plan).map_err(|e| defect(failure::error(e).to_string()))?;
    Ok(plan)
}

fn reading() -> SQLOptions {
    SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false)
}

/// Puts the values of `bound` in the places of `statement`, as typed literals.
///
/// They are filled in before planning, so that every expression has its final type from the start.
fn fill(statement: &mut Statement, bound: &Bound) -> Result<()> {
    let inner: &mut SqlStatement = match statement {
        Statement::Statement(inner) => inner,
        Statement::Explain(explain) => return fill(&mut explain.statement, bound),
        _ => return Ok(()),
    };
    let filled = visit_expressions_mut(inner, |expr| {
        let Expr::Value(value) = expr else { return std::ops::ControlFlow::Continue(()) };
        let Value::Placeholder(name) = &value.value else { return std::ops::ControlFlow::Continue(()) };
        match bound.get(name.trim_start_matches('$')) {
            Some((value_type, value)) => {
                *expr = value_type.literal(value);
                std::ops::ControlFlow::Continue(())
            }
            None => std::ops::ControlFlow::Break(name.clone()),
        }
    });
    match filled {
        std::ops::ControlFlow::Break(name) => Err(Error::invalid(format!("parameter {name} has no value"))),
        std::ops::ControlFlow::Continue(()) => Ok(()),
    }
}

/// Compares the columns of `plan` with those that the header of `query` promises.
pub(super) fn check_returns(query: &NamedQuery, plan: &LogicalPlan) -> Result<()> {
    let defect = |what: String| Err(Error::internal(format!("queries/{}: {what}", query.file)));
    let fields = plan.schema().fields();
    if fields.len() != query.returns.len() {
        return defect(format!(
            "the header promises {} columns, the query gives {}",
            query.returns.len(),
            fields.len()
        ));
    }
    for (promised, field) in query.returns.iter().zip(fields) {
        if promised.name != *field.name() {
            return defect(format!(
                "the header promises column `{}`, the query gives `{}`",
                promised.name,
                field.name()
            ));
        }
        if ValueType::of(field.data_type()) != Some(promised.value_type) {
            let (word, name) = (promised.value_type.word(), &promised.name);
            return defect(format!("the header promises `{name}` as {word}, the query gives {}", field.data_type()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::runtime::RuntimeLimits;
    use super::super::testing::{START, engine, random_events, snapshot};
    use super::*;
    use crate::clock::DAY;
    use crate::error::ErrorKind;

    fn params(query: &NamedQuery) -> Params {
        let value = |value_type: ValueType, name: &str| match value_type {
            ValueType::Timestamp if name.ends_with("end") => "2026-12-01T00:00:00Z",
            ValueType::Timestamp => "2026-01-01T00:00:00Z",
            ValueType::Date => "2026-01-01",
            ValueType::Int64 => "5",
            ValueType::Float64 => "0.5",
            ValueType::Boolean => "true",
            _ => "b1",
        };
        let given = query.params.iter().filter(|p| p.default.is_none() && p.name != "as_of");
        given.map(|p| (p.name.clone(), value(p.value_type, &p.name).to_owned())).collect()
    }

    #[tokio::test]
    async fn every_shipped_query_gives_the_columns_of_its_header() {
        let engine = engine(&snapshot(&random_events(7, 200), 150, 80).await).await;
        let mut defects = Vec::new();
        for query in Catalogue::shipped().unwrap().list().filter(|q| q.kind != Kind::Mapping) {
            if let Err(err) = engine.run(query, &params(query)).await {
                defects.push(err.to_string());
            }
        }
        assert!(defects.is_empty(), "{}", defects.join("\n"));
    }

    #[tokio::test]
    async fn every_shipped_query_answers_an_empty_ledger() {
        let engine = engine(&snapshot(&[], 0, 1).await).await;
        for query in Catalogue::shipped().unwrap().list().filter(|q| q.kind != Kind::Mapping) {
            let answer = engine.run(query, &params(query)).await;
            assert!(answer.is_ok(), "{}: {}", query.name, answer.unwrap_err());
        }
    }

    fn query(head: &str, sql: &str) -> NamedQuery {
        NamedQuery::parse("metrics/x.sql", &format!("-- question: q\n-- grain: g\n{head}\n{sql}")).unwrap()
    }

    #[tokio::test]
    async fn parameters_have_their_types_from_the_start() {
        let engine = engine(&snapshot(&random_events(7, 20), 10, 10).await).await;
        let head = "-- params: since timestamp\n--         n int64 = 3\n--         f float64 = -0.5\n--         t utf8 = 'a b'\n\
                    --         b bool = true\n--         d date = 2026-02-03\n--         z utf8 = null\n\
                    -- returns: since timestamp\n--          n int64\n--          f float64\n--          t utf8\n--          b boolean\n\
                    --          d date\n--          z utf8\n--          as_of timestamp\n";
        let sql = "select $since as since, $n as n, $f as f, $t as t, $b as b, $d as d, $z as z, $as_of as as_of";
        let query = query(head, sql);
        let given = Params::from([
            ("since".to_owned(), "2026-01-01T00:00:00.000001Z".to_owned()),
            ("t".to_owned(), "it's $n".to_owned()),
        ]);
        let answer = engine.run(&query, &given).await.unwrap();
        let shown = serde_json::to_string(&super::super::rows::row(&answer.batches[0], 0).unwrap()).unwrap();
        assert_eq!(
            shown,
            r#"["2026-01-01T00:00:00.000001Z",3,-0.5,"it's $n",true,"2026-02-03",null,"2026-10-28T00:00:00.000000Z"]"#
        );
    }

    #[tokio::test]
    async fn a_header_that_promises_other_columns_is_a_defect() {
        let engine = engine(&snapshot(&random_events(7, 20), 10, 10).await).await;
        for (returns, sql, why) in [
            ("a int64", "select 1 as b", "promises column `a`, the query gives `b`"),
            ("a int64", "select 'x' as a", "promises `a` as int64, the query gives Utf8"),
            ("a int64", "select 1 as a, 2 as b", "promises 1 columns, the query gives 2"),
            ("a int64", "delete from evidence", "only one SELECT"),
        ] {
            let err = engine.run(&query(&format!("-- returns: {returns}"), sql), &Params::new()).await.unwrap_err();
            assert_eq!(err.kind(), ErrorKind::Internal);
            assert!(err.to_string().starts_with("queries/metrics/x.sql: ") && err.to_string().contains(why), "{err}");
        }
    }

    #[tokio::test]
    async fn only_shipped_queries_recurse() {
        let engine = engine(&snapshot(&random_events(7, 20), 10, 10).await).await;
        let sql =
            "with recursive r as (select 1 as n union all select n + 1 from r where n < 5) select max(n) as n from r";
        let answer = engine.run(&query("-- returns: n int64", sql), &Params::new()).await.unwrap();
        assert_eq!(answer.rows(), 1);
        assert!(engine.sql(sql, Limits::default()).await.is_err());
    }

    #[tokio::test]
    async fn the_same_as_of_point_means_the_same_prefix_however_far_the_ledger_has_grown() {
        let runtime = QueryRuntime::new(&RuntimeLimits { threads: 2, ..RuntimeLimits::default() }).unwrap();
        let lines = random_events(9, 120);
        let minute = 60_000_000;
        let recorded = START + 200 * DAY;
        for (count, folded) in [(60, 0), (60, 35), (120, 40), (120, 120)] {
            let snapshot = snapshot(&lines[..count], folded, 15).await;
            let resolve = async |text: &str| resolve(&runtime, &snapshot, text.parse().unwrap(), 77, Some(20)).await;
            // Ten events are recorded in each minute.
            let at = |micros: i64| crate::clock::rfc3339(micros);
            assert_eq!(resolve(&at(recorded - 1)).await.unwrap(), AsOf { size: 0, at: recorded - 1 });
            assert_eq!(resolve(&at(recorded)).await.unwrap(), AsOf { size: 10, at: recorded });
            assert_eq!(
                resolve(&at(recorded + 3 * minute + 1)).await.unwrap(),
                AsOf { size: 40, at: recorded + 3 * minute + 1 }
            );
            assert_eq!(
                resolve(&at(recorded + 4 * minute - 1)).await.unwrap(),
                AsOf { size: 40, at: recorded + 4 * minute - 1 }
            );
            assert_eq!(resolve("41").await.unwrap(), AsOf { size: 41, at: recorded + 4 * minute });
            assert_eq!(resolve("40").await.unwrap(), AsOf { size: 40, at: recorded + 3 * minute });
            assert_eq!(resolve("v1").await.unwrap(), AsOf { size: 20, at: recorded + minute });
            assert_eq!(resolve("0").await.unwrap(), AsOf { size: 0, at: 0 });
            let late = resolve("1000").await.unwrap_err();
            assert_eq!(late.to_string(), format!("the as-of size 1000 is beyond the ledger, which has {count} events"));
            let as_of = AsOf { size: 40, at: recorded + 3 * minute };
            let engine = Engine::new(&runtime, &snapshot, as_of).await.unwrap();
            let answer =
                engine.sql("select count(*), max(seq), now() = $as_of from evidence", Limits::default()).await.unwrap();
            let shown = super::super::rows::row(&answer.batches[0], 0).unwrap();
            assert_eq!(serde_json::to_string(&shown).unwrap(), "[40,39,true]");
        }
    }

    #[tokio::test]
    async fn a_row_limit_cuts_and_says_so() {
        let engine = engine(&snapshot(&random_events(7, 60), 30, 30).await).await;
        for (rows, is_truncated) in [(1, true), (59, true), (60, false), (61, false), (0, true)] {
            let answer = engine.sql("select seq from evidence", Limits { rows, seconds: 60 }).await.unwrap();
            assert_eq!((answer.rows(), answer.is_truncated), (rows.min(60), is_truncated));
        }
    }
}

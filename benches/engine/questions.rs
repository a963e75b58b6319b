//! Opening a store, every named query, look-ups, the monthly report: over the store that is named.

use std::sync::Arc;
use std::time::Instant;

use probity::clock::Clock;
use probity::error::Result;
use probity::query::answer::{Answer, Limits};
use probity::query::asof::AsOf;
use probity::query::catalogue::Catalogue;
use probity::query::engine::Engine;
use probity::query::header::Kind;
use probity::query::objects::rows;
use probity::query::params::Params;
use probity::query::runtime::{QueryRuntime, RuntimeLimits};
use probity::query::views::Keeping;
use probity::report::monthly::{Request, dashboard, review};
use probity::report::period::Month;
use probity::store::object::Location;
use probity::store::{Snapshot, Store, keys};
use serde_json::{Value, json};

use crate::Ask;
use crate::measure::{line, peak_mib, times};

/// The store that is named, at this moment.
pub struct Opened {
    runtime: Arc<QueryRuntime>,
    /// All of it.
    pub snapshot: Snapshot,
    as_of: AsOf,
}

/// Opens the store that is named.
pub async fn opened(ask: &Ask) -> Opened {
    let store = open_store(ask).await;
    let snapshot = store.snapshot().await.expect("a snapshot");
    let as_of = AsOf { size: snapshot.size, at: Clock::system().now() };
    Opened { runtime: QueryRuntime::new(&RuntimeLimits::default()).expect("threads"), snapshot, as_of }
}

/// The store that is named, with its key if it has one.
pub async fn open_store(ask: &Ask) -> Store {
    let location = Location::open(ask.store.to_str().expect("a name")).expect("a store");
    let store =
        Store::open(location.clone(), "default", Clock::system()).await.expect("a store; name one with --store");
    match keys::load(&location, "default", None).expect("a key") {
        Some(signer) => store.signed_by(Arc::new(signer)),
        None => store,
    }
}

impl Opened {
    /// A session over it.
    pub async fn engine(&self) -> Engine {
        Engine::new(&self.runtime, &self.snapshot, self.as_of).await.expect("a session")
    }

    /// What is said of the last answer beside the times.
    fn told(&self, answer: Option<Result<Answer>>) -> Value {
        match answer.expect("a run") {
            Ok(answer) => json!({"events": self.snapshot.size, "rows": count(&answer), "peak_mib": peak_mib()}),
            Err(e) => json!({"error": e.to_string()}),
        }
    }
}

/// From nothing to a consistent prefix.
pub async fn open(ask: &Ask) {
    let (times, snapshot) = times(ask.runs, async || open_store(ask).await.snapshot().await.expect("a snapshot")).await;
    let snapshot = snapshot.expect("a run");
    line("open", &times, json!({"events": snapshot.size, "files": snapshot.files.len()}));
}

/// Every metric, control and table of the review, and what people ask in SQL; each run in a session of its own.
pub async fn queries(ask: &Ask) {
    let opened = opened(ask).await;
    let catalogue = Catalogue::shipped().expect("queries");
    let kinds = [Kind::Metric, Kind::Control, Kind::Governance, Kind::Health];
    for query in catalogue.list().filter(|query| kinds.contains(&query.kind) && ask.wants(&query.name)) {
        let mut params = Params::new();
        for (name, value) in [("period_start", &ask.period.0), ("period_end", &ask.period.1)] {
            if query.params.iter().any(|param| param.name == name) {
                params.insert(name.to_owned(), value.clone());
            }
        }
        if query
            .params
            .iter()
            .any(|param| param.default.is_none() && !params.contains_key(&param.name) && param.name != "as_of")
        {
            continue;
        }
        let run = async || opened.engine().await.run(query, &params).await;
        let (times, answer) = times(ask.runs, run).await;
        line(&query.name, &times, opened.told(answer));
    }
    for (name, sql) in SQL.iter().filter(|(name, _)| ask.wants(name)) {
        let (times, answer) = times(ask.runs, async || opened.engine().await.sql(sql, Limits::default()).await).await;
        line(name, &times, opened.told(answer));
    }
}

/// The questions of `--file`, which `benches/compare/run.py --questions-to` wrote, each run in a session of its own: what
/// the other engines are asked there in process as well.
pub async fn asked(ask: &Ask) {
    let opened = opened(ask).await;
    let file = ask.file.as_ref().expect("questions; name them with --file");
    let questions = std::fs::read_to_string(file).expect("a file of questions");
    let catalogue = Catalogue::shipped().expect("queries");
    for question in questions.lines().map(|text| serde_json::from_str::<Value>(text).expect("a question")) {
        let name = question["name"].as_str().expect("a name");
        if !ask.wants(name) {
            continue;
        }
        let given = question["params"].as_object().into_iter().flatten();
        let params: Params =
            given.map(|(name, value)| (name.clone(), value.as_str().expect("a text").to_owned())).collect();
        let run = async || match question["sql"].as_str() {
            Some(sql) => opened.engine().await.sql(sql, Limits { rows: usize::MAX, ..Limits::default() }).await,
            None => opened.engine().await.run(catalogue.get(name)?, &params).await,
        };
        let (times, answer) = times(ask.runs, run).await;
        line(name, &times, opened.told(answer));
    }
}

fn count(answer: &Answer) -> usize {
    answer.batches.iter().map(|batch| batch.num_rows()).sum()
}

/// Questions that are no shipped query; `benches/compare/` asks the same of the other engines.
const SQL: [(&str, &str); 6] = [
    (
        "fold_of_actions",
        "select count(*) as actions, count(final_decision) as decided, count(*) filter (where final_decision = 'approved') as approved, \
         count(*) filter (where outcome = 'succeeded') as succeeded, sum(length(new_value)) as new_value_length from actions",
    ),
    (
        "weekly_counts",
        "select date_trunc('week', occurred_at) as week, workflow, count(*) as n from events group by 1, 2 order by 1, 2",
    ),
    (
        "records_per_batch",
        "select batch_id, count(distinct record_id) as records from events where event_type = 'record.reviewed' group by 1 order by 1",
    ),
    (
        "decisions_by_reviewer",
        "select workflow, issue_type, reviewer, decision, count(*) as n from events where event_type = 'action.decided' group by 1, 2, 3, 4 order by 1, 2, 3, 4",
    ),
    ("count_by_month", "select occurred_month, count(*) as n from events group by 1 order by 1"),
    ("count_all", "select count(*) as n from events"),
];

/// One event, one record's history, one action's dossier, through SQL; keys drawn from the store itself.
pub async fn look_ups(ask: &Ask) {
    let opened = opened(ask).await;
    let keys = keys(&opened).await;
    for (name, column) in
        [("event_by_id", "event_id"), ("record_history", "record_id"), ("action_dossier", "action_id")]
    {
        if !ask.wants(name) {
            continue;
        }
        let engine = opened.engine().await;
        let (mut times, mut found) = (Vec::new(), 0);
        for key in keys.iter().filter(|(of, _)| *of == column).map(|(_, key)| key) {
            let sql = format!("select * from events where {column} = '{key}' order by occurred_at, seq");
            let start = Instant::now();
            let answer = engine.sql(&sql, Limits::default()).await.expect("a look-up");
            times.push(start.elapsed());
            found += count(&answer);
        }
        line(name, &times, json!({"events": opened.snapshot.size, "rows": found, "peak_mib": peak_mib()}));
    }
}

/// Keys spread over the log.
async fn keys(opened: &Opened) -> Vec<(&'static str, String)> {
    let engine = opened.engine().await;
    let (size, mut keys) = (opened.snapshot.size, Vec::new());
    let seqs: Vec<String> = (0..60).map(|i| (size / 61 * (i + 1)).to_string()).collect();
    let sql = format!("select event_id, record_id, action_id from events where seq in ({})", seqs.join(", "));
    for row in rows(&engine.sql(&sql, Limits::default()).await.expect("keys")).expect("rows") {
        for column in ["event_id", "record_id", "action_id"] {
            if let Some(key) = row.get(column).and_then(Value::as_str) {
                keys.push((column, key.to_owned()));
            }
        }
    }
    keys
}

/// The monthly review, in a new session and a new runtime each time.
pub async fn report(ask: &Ask) {
    let month = Month::parse(&ask.period.0[..7]).expect("a month");
    let run = async || {
        let opened = opened(ask).await;
        let catalogue = Catalogue::shipped().expect("queries");
        let keeping = (catalogue, Keeping::Costly);
        let engine = Engine::open(&opened.runtime, &opened.snapshot, opened.as_of, keeping).await.expect("a session");
        let request = Request { month, params: Params::new(), tenant: "default".to_owned() };
        let dashboard = dashboard().expect("a dashboard");
        review(&engine, &request, (&dashboard, catalogue)).await.map(|report| (report.html.len(), opened.snapshot.size))
    };
    let (times, answer) = times(ask.runs, run).await;
    let more = match answer.expect("a run") {
        Ok((bytes, events)) => json!({"events": events, "html_bytes": bytes, "peak_mib": peak_mib()}),
        Err(e) => json!({"error": e.to_string()}),
    };
    line("monthly_report", &times, more);
}

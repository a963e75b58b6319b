//! `POST /v1/incidents/reconcile`: a field history of the system of record beside the evidence.
//!
//! In: the history as the body, the mapping that reads it. Out: the document of the command line, or one list of
//! findings as CSV. Invariants: nothing of the history is stored; it is on record that it was compared, before anything
//! of the result leaves. It compares values, so that whoever may not see sealed ones is refused: what he sends would
//! tell him whether it is theirs.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::{RECONCILE, place};
use crate::error::{Error, ErrorKind, Result};
use crate::incident::reconcile::{self, History, List, Reconciliation, read_tolerance};
use crate::ingest::Source;
use crate::ingest::mapping::Mapping;
use crate::ingest::spool::Shape;
use crate::query::blast::{read_environment, read_instant};
use crate::server::api::asking::{Asked, CSV, JSON, Params, document, file, form};
use crate::server::api::bundle::{reads, whole};
use crate::server::api::received::{Made, REQUEST, Received, made, shape, shipped_mapping};
use crate::server::caller::Caller;
use crate::server::problem::Reply;
use crate::server::state::App;

/// The parameters; `agent`, which may be given several times, is taken out before the others are looked at.
const TAKEN: [&str; 9] = ["map", "agent", "from", "to", "tolerance", "environment", "as_of", "format", "list"];

pub(super) async fn reconciled(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    mut asked: Asked,
    received: Received,
) -> Reply {
    let agents = asked.several("agent");
    let params = asked.only(&TAKEN)?;
    let answer = Answer::of(&params, &headers)?;
    let Some(map) = params.text("map") else {
        return Err(Error::invalid("a history is read through a mapping; name one with ?map=NAME").into());
    };
    let (map, mapping) = (map.to_owned(), shipped_mapping(map)?);
    let (shape, rules) = (shape(&received.media_type)?, rules(agents, &params)?);
    if !caller.sees_sealed {
        let words = "a reconciliation compares sealed values, which this token does not see";
        return Err(Error::new(ErrorKind::Denied, words).into());
    }
    let work = Work { app, caller, params, rules, history: (received.bytes, shape), mapping };
    let runtime = Handle::current();
    // On a thread of its own: it sorts and compares for long, and other requests must not wait for that.
    let comparing = tokio::task::spawn_blocking(move || runtime.block_on(work.compared()));
    let found = comparing.await.map_err(|e| Error::internal("the comparison died").because(e))??;
    answer.told(&found, &map)
}

/// A history that is to be compared.
struct Work {
    app: App,
    caller: Caller,
    params: Params,
    rules: reconcile::Asked,
    history: (Bytes, Shape),
    mapping: Mapping,
}

impl Work {
    async fn compared(self) -> Result<Reconciliation> {
        let Self { app, caller, params, rules, history, mapping } = self;
        let _place = place(&app).await?;
        let store = caller.tenant.store();
        let engine = whole(&caller, params.text("as_of")).await?;
        let said = json!({"params": params.0, "agents": rules.agents, "bytes": history.0.len()});
        reads(&caller, RECONCILE, said).await?;
        let Made { rows, refused, place: _reading } = made(history, REQUEST, &mapping).await?;
        let source = Source::Mapped { name: REQUEST.to_owned(), rows, refused };
        let history = History::read(source, store.clock()).await?;
        reconcile::reconcile(store, &engine, history, &rules).await
    }
}

/// What is asked besides the history.
fn rules(agents: Vec<String>, params: &Params) -> Result<reconcile::Asked> {
    let usual = reconcile::Asked::default();
    let instant = |name: &str| params.text(name).map(read_instant).transpose();
    let (from, to) = (instant("from")?, instant("to")?);
    if from.zip(to).is_some_and(|(from, to)| from >= to) {
        return Err(Error::invalid("`from` is not before `to`; the window holds no instant"));
    }
    if agents.iter().any(|id| id.trim().is_empty()) {
        return Err(Error::invalid("`agent` names nobody; write the identity as it stands in the history"));
    }
    Ok(reconcile::Asked {
        agents: agents.into_iter().collect(),
        from,
        to,
        tolerance: params.text("tolerance").map(read_tolerance).transpose()?.unwrap_or(usual.tolerance),
        environment: params.text("environment").map(read_environment).transpose()?.unwrap_or(usual.environment),
    })
}

/// The form of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// All of it as JSON.
    Whole,
    /// One list of findings as CSV.
    Table(List),
}

impl Answer {
    fn of(params: &Params, headers: &HeaderMap) -> Result<Self> {
        let names: BTreeMap<&str, List> = List::ALL.into_iter().map(|list| (list.name(), list)).collect();
        let known = || names.keys().copied().collect::<Vec<_>>().join(", ");
        match (params.text("list"), form(params.text("format"), headers, &[JSON, CSV])?) {
            (Some(_), JSON) if params.text("format").is_some() => {
                Err(Error::invalid("a list of findings is CSV; leave `list` out for JSON, which holds them all"))
            }
            (Some(name), _) => names.get(name).copied().map(Self::Table).ok_or_else(|| {
                Error::not_found(format!("there is no list `{}`; there are: {}", name.escape_debug(), known()))
            }),
            (None, CSV) => Err(Error::invalid(format!("which findings? give list=NAME, one of: {}", known()))),
            (None, _) => Ok(Self::Whole),
        }
    }

    /// `found`, through the mapping `map`, in this form.
    fn told(self, found: &Reconciliation, map: &str) -> Reply {
        match self {
            Self::Whole => {
                let mut told = found.to_json()?;
                told["mapping"] = Value::from(map);
                Ok(document(&told))
            }
            Self::Table(list) => {
                let mut text = Vec::new();
                let written = found.write_csv(list, &mut text);
                written.map_err(|e| Error::internal("a list of findings cannot be written").because(e))?;
                Ok(file(&format!("{}.csv", list.name()), CSV, text))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SECOND;

    fn params(pairs: &[(&str, &str)]) -> Params {
        Params(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn what_is_not_asked_is_as_on_the_command_line() {
        assert_eq!(rules(Vec::new(), &params(&[])).unwrap(), reconcile::Asked::default());
        let asked = params(&[("tolerance", "90s"), ("from", "2026-03-01"), ("environment", "shadow")]);
        let read = rules(vec!["bot".to_owned()], &asked).unwrap();
        assert_eq!((read.tolerance, read.environment.as_str(), read.agents.len()), (90 * SECOND, "shadow", 1));
        assert!(rules(vec![" ".to_owned()], &params(&[])).is_err());
        assert!(rules(Vec::new(), &params(&[("from", "2026-03-02"), ("to", "2026-03-01")])).is_err());
    }

    #[test]
    fn a_table_is_one_list_by_its_name() {
        let answer = |pairs: &[(&str, &str)]| Answer::of(&params(pairs), &HeaderMap::new());
        assert_eq!(answer(&[]).unwrap(), Answer::Whole);
        assert_eq!(answer(&[("list", "unlogged")]).unwrap(), Answer::Table(List::Unlogged));
        assert_eq!(answer(&[("list", "unlogged"), ("format", "csv")]).unwrap(), Answer::Table(List::Unlogged));
        assert!(answer(&[("list", "unlogged"), ("format", "json")]).is_err());
        assert!(answer(&[("format", "csv")]).unwrap_err().to_string().contains("not_landed"));
        assert!(answer(&[("list", "x")]).unwrap_err().to_string().contains("wrong_values"));
    }
}

//! Evidence packs over HTTP: made, verified as their reader will, stated in the ledger, then streamed.
//!
//! In: which rows, what to withhold, what the auditor holds. Out: a `.tar.gz`. Invariants: a pack that does not verify is
//! never handed out; that it is handed out is in the ledger, as `evidence.exported` with its hash, before its first byte
//! leaves; who may not see sealed values gets a pack without them. What is made lies in a temporary folder that goes
//! when the answer is over.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::asking::{Asked, JSON, Sent};
use super::ledger::{check_signing, cover};
use super::query::texts;
use super::received::place;
use crate::access::role::May;
use crate::custody::exported::{Handed, exported, measured};
use crate::custody::handout::{self, Ask, Chosen, archive};
use crate::error::{Error, ErrorKind, Result};
use crate::event::Column;
use crate::event::columns::SEALED;
use crate::ledger::note::Note;
use crate::ledger::pack::format::Manifest;
use crate::ledger::trust::Policy;
use crate::server::caller::Caller;
use crate::server::problem::Reply;
use crate::server::route::{self, About, Answer, Route};
use crate::store::Store;
use crate::witness::client::Client;

const GZIP: &str = "application/gzip";
/// Header with the hash of the archive.
const SHA256: &str = "probity-pack-sha256";
/// Bytes of the archive that are sent at a time.
const CHUNK_BYTES: usize = 128 * 1024;

/// Packs that are made at once.
static PACKS: Semaphore = Semaphore::const_new(1);

/// The routes of this file.
pub fn routes() -> Vec<Route> {
    vec![Route::post("/v1/packs", Some(May::Export), post).about(About {
        summary: "An evidence pack that a stranger can check offline with `probity-verify`.",
        params: &[],
        body: Some(route::Body {
            types: &[JSON],
            schema: "PackOrder",
            note: "rows by `from_seq` and `to_seq` (exclusive), by `query` with `params`, by `subject`, or by `receipt`; \
                   `withhold` names sealed columns to leave out; `held` is a signed checkpoint that the auditor has, \
                   `trust` his policy, which the pack must satisfy: 409 where the ledger is not cosigned so; its \
                   witnesses are asked for an administrator alone",
        }),
        answers: &[Answer {
            status: 200,
            types: &[GZIP],
            schema: "",
            note: "a .tar.gz; `Probity-Pack-Sha256` is its hash, which the ledger tells too",
        }],
    })]
}

/// What is ordered.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Order {
    from_seq: Option<u64>,
    to_seq: Option<u64>,
    query: Option<String>,
    params: BTreeMap<String, Value>,
    subject: Option<String>,
    /// The text of a signed receipt.
    receipt: Option<String>,
    withhold: Vec<String>,
    /// The text of a signed checkpoint.
    held: Option<String>,
    /// The text of a trust policy.
    trust: Option<String>,
    as_of: Option<String>,
}

async fn post(caller: Caller, asked: Asked, Sent(order): Sent<Order>) -> Reply {
    asked.only(&[])?;
    let place = place(&PACKS, "packs").await?;
    let desk = TempDir::new().map_err(no_room)?;
    let ask = ask(&order, desk.path(), sealed_for(&caller, &order)?)?;
    let store = caller.tenant.store();
    handout::signer(store)?;
    check_signing(store).await?;
    let engine = caller.engine(order.as_of.as_deref()).await?;
    cover(&caller.tenant, engine.as_of().size.unsigned_abs()).await?;
    let policy = order.trust.as_deref().map(|text| Policy::parse(text.as_bytes())).transpose()?;
    if let Some(policy) = &policy {
        cosign(&caller, policy).await?;
        check_cosigned(store, policy).await?;
    }
    let folder = desk.path().join("pack");
    std::fs::create_dir(&folder).map_err(no_room)?;
    let manifest = match (handout::make(store, &engine, &ask, &folder).await, &policy) {
        (Ok(manifest), _) => manifest,
        (Err(failed), None) => return Err(of_order(failed, desk.path()).into()),
        (Err(failed), Some(policy)) => {
            // A fold meanwhile has signed a checkpoint that nobody cosigned.
            check_cosigned(store, policy).await?;
            return Err(of_order(failed, desk.path()).into());
        }
    };
    let packing = tokio::task::spawn_blocking(move || packed(&folder));
    let packed = packing.await.map_err(|e| Error::internal("packing died").because(e))??;
    state(&caller, &ask, &manifest, &packed).await?;
    Ok(told(&manifest, packed, (desk, place)))
}

/// Has the newest checkpoint cosigned by the witnesses of `policy`, for who may administer the server: nobody else makes
/// it call an address that he sends.
async fn cosign(caller: &Caller, policy: &Policy) -> Result<()> {
    if !caller.may(May::Administer) {
        return Ok(());
    }
    let store = caller.tenant.store();
    let known = policy.witnesses().filter_map(|(_, key, url)| url.map(|url| Client::new(url, key)));
    let clients = known.collect::<Result<Vec<Client>>>()?;
    for client in &clients {
        // One that does not answer may not be needed, or have cosigned already: the check afterwards decides.
        let _ = store.ask_witness(client).await;
    }
    Ok(())
}

/// Refuses a policy that the newest checkpoint does not satisfy.
async fn check_cosigned(store: &Store, policy: &Policy) -> Result<()> {
    let Some(sealed) = store.log().newest().await? else {
        return Err(Error::new(
            ErrorKind::Conflict,
            "nothing of this ledger is signed yet, so that nobody cosigned it",
        ));
    };
    let note = Note::parse(store.cosigned(&sealed).await?.as_bytes())?;
    let words = "the newest checkpoint is not cosigned as the trust policy asks; have it cosigned with `probity witness \
                 ask` and order the pack again";
    policy.satisfied_by(&note).map(drop).map_err(|e| Error::new(ErrorKind::Conflict, words).because(e))
}

/// `err` in the words of an order: what was sent as text has a path here only.
fn of_order(err: Error, desk: &Path) -> Error {
    let place = format!("{}/", desk.display());
    let told = err.to_string();
    if told.contains(&place) { Error::new(err.kind(), told.replace(&place, "the ")) } else { err }
}

fn no_room(cause: std::io::Error) -> Error {
    Error::unavailable("cannot write temporary files; is there room where TMPDIR points?").because(cause)
}

/// The columns to withhold: those named, and all that the caller may not see.
fn sealed_for(caller: &Caller, order: &Order) -> Result<Vec<Column>> {
    let named = handout::withheld(&order.withhold)?;
    Ok(if caller.sees_sealed { named } else { SEALED.iter().map(|(column, _)| *column).collect() })
}

/// What the order asks for; texts that the auditor holds are laid on the desk as files.
fn ask(order: &Order, desk: &Path, withheld: Vec<Column>) -> Result<Ask> {
    let lay = |name: &str, text: &String| -> Result<PathBuf> {
        let path = desk.join(name);
        std::fs::write(&path, text).map_err(no_room)?;
        Ok(path)
    };
    let range = match (order.from_seq, order.to_seq) {
        (Some(from), Some(to)) => Some(Chosen::Range(from, to)),
        (None, None) => None,
        _ => return Err(Error::invalid("a range has both `from_seq` and `to_seq`")),
    };
    let query = order.query.clone().map(|text| Ok::<_, Error>(Chosen::Query(text, texts(&order.params)?)));
    let subject = order.subject.clone().map(Chosen::Subject);
    let receipt = order.receipt.as_ref().map(|text| lay("receipt", text).map(Chosen::Receipt));
    let ways = [range, query.transpose()?, subject, receipt.transpose()?];
    let mut chosen = ways.into_iter().flatten();
    let (Some(chosen), None) = (chosen.next(), chosen.next()) else {
        return Err(Error::invalid(
            "say in one way which rows: `from_seq` and `to_seq`, `query`, `subject` or `receipt`",
        ));
    };
    if !order.params.is_empty() && order.query.is_none() {
        return Err(Error::invalid("`params` are those of a `query`"));
    }
    let held = order.held.as_ref().map(|text| lay("held", text)).transpose()?;
    let trust = order.trust.as_ref().map(|text| lay("trust", text)).transpose()?;
    Ok(Ask { chosen, withheld, held, trust })
}

/// A finished archive.
struct Packed {
    file: File,
    bytes: u64,
    sha256: String,
}

/// Packs the files of `folder`.
fn packed(folder: &Path) -> Result<Packed> {
    let mut file = tempfile::tempfile().map_err(no_room)?;
    archive(folder, &file).map_err(no_room)?;
    let (bytes, sha256) = measured(&mut file).map_err(no_room)?;
    Ok(Packed { file, bytes, sha256 })
}

/// States in the ledger what is handed out, to whom; durable when it returns.
async fn state(caller: &Caller, ask: &Ask, manifest: &Manifest, packed: &Packed) -> Result<()> {
    let known = [("sha256", json!(packed.sha256)), ("role", json!(caller.role.word()))];
    let token = caller.token_id.as_ref().map(|id| ("token", json!(id)));
    let facts = known.into_iter().chain(token).map(|(name, fact)| (name.to_owned(), fact)).collect();
    let handed = Handed { by: &caller.name, bytes: packed.bytes, facts };
    let event = exported(caller.tenant.store().clock(), (ask, manifest), handed);
    caller.tenant.appender().state(vec![event]).await.map(drop)
}

/// The archive as it is read, with what must live until it is sent.
fn told(manifest: &Manifest, packed: Packed, kept: (TempDir, SemaphorePermit<'static>)) -> Response {
    let Packed { file, bytes, sha256 } = packed;
    let chunks = stream::try_unfold((file, kept), |(mut file, kept)| async move {
        let reading = tokio::task::spawn_blocking(move || {
            let mut chunk = vec![0; CHUNK_BYTES];
            let read = file.read(&mut chunk)?;
            chunk.truncate(read);
            std::io::Result::Ok((chunk, file))
        });
        let (chunk, file) = reading.await.map_err(std::io::Error::other)??;
        std::io::Result::Ok((!chunk.is_empty()).then(|| (Bytes::from(chunk), (file, kept))))
    });
    let mut response = ([(CONTENT_TYPE, GZIP)], Body::from_stream(chunks)).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes));
    let name = format!("attachment; filename=\"evidence-{}.tar.gz\"", manifest.tree_size);
    for (header, text) in [(CONTENT_DISPOSITION, name), (HeaderName::from_static(SHA256), sha256)] {
        if let Ok(text) = HeaderValue::from_str(&text) {
            headers.insert(header, text);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(order: Value) -> Result<Ask> {
        let desk = tempfile::tempdir().unwrap();
        ask(&serde_json::from_value(order).unwrap(), desk.path(), Vec::new())
    }

    #[test]
    fn rows_are_chosen_in_one_way() {
        assert_eq!(read(json!({"from_seq": 3, "to_seq": 9})).unwrap().chosen, Chosen::Range(3, 9));
        let by_query = read(json!({"query": "changes", "params": {"n": 1}})).unwrap().chosen;
        assert_eq!(by_query, Chosen::Query("changes".to_owned(), [("n".to_owned(), "1".to_owned())].into()));
        for bad in [
            json!({}),
            json!({"from_seq": 3}),
            json!({"from_seq": 3, "to_seq": 9, "subject": "s"}),
            json!({"subject": "s", "params": {"n": 1}}),
        ] {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_path_of_the_server_is_told() {
        let desk = Path::new("/tmp/.tmpX");
        let told =
            of_order(Error::invalid("/tmp/.tmpX/receipt is no receipt").because(std::io::Error::other("cut")), desk);
        assert_eq!(told.to_string(), "the receipt is no receipt: cut");
        let other = of_order(Error::limit("too many").because(std::io::Error::other("rows")), desk);
        assert_eq!(other.to_string(), "too many: rows");
    }

    #[test]
    fn what_the_auditor_holds_is_laid_down_as_it_was_sent() {
        let desk = tempfile::tempdir().unwrap();
        let order = serde_json::from_value(json!({"receipt": "a\nb\n", "held": "c\n", "trust": "d\n"})).unwrap();
        let ask = ask(&order, desk.path(), Vec::new()).unwrap();
        let Chosen::Receipt(receipt) = ask.chosen else { panic!("no receipt") };
        assert_eq!(std::fs::read_to_string(receipt).unwrap(), "a\nb\n");
        assert_eq!(std::fs::read_to_string(ask.held.unwrap()).unwrap(), "c\n");
        assert_eq!(std::fs::read_to_string(ask.trust.unwrap()).unwrap(), "d\n");
    }
}

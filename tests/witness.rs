//! The witness: of a log it vouches for one line of trees, over HTTP, and packs carry what it says.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;

use probity::auditor::{Asked, verify};
use probity::clock::Clock;
use probity::error::{Error, ErrorKind, Result};
use probity::ledger::checkpoint::Checkpoint;
use probity::ledger::cosignature;
use probity::ledger::note::{Kind, Note, Signer};
use probity::ledger::pack::Verdict;
use probity::ledger::pack::format::Selection;
use probity::ledger::witness::Request;
use probity::limits::WITNESS_REQUEST_BYTES;
use probity::store::Store;
use probity::store::object::Location;
use probity::store::pack::{Order, Wanted};
use probity::witness::client::Client;
use probity::witness::server::{Witness, serve};
use serde_json::Map;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::support::command::{probity, run};
use crate::support::{T0, event, ingest};

fn log() -> Signer {
    Signer::new("example.com/evidence", [7; 32]).unwrap()
}

fn auditor() -> Signer {
    Signer::new("auditor.example.com/witness", [8; 32]).unwrap()
}

fn open(folder: &Path) -> Result<Witness> {
    open_for(folder, &log())
}

fn open_for(folder: &Path, log: &Signer) -> Result<Witness> {
    Witness::open(auditor(), &[log.verifier(Kind::Ed25519)], folder, Clock::fixed(T0))
}

/// A witness that listens.
struct Running {
    url: String,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<()>>,
}

impl Running {
    async fn start(folder: &Path) -> Self {
        Self::start_for(folder, &log()).await
    }

    async fn start_for(folder: &Path, log: &Signer) -> Self {
        let witness = open_for(folder, log).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(serve(listener, witness, async move { stopped.await.unwrap_or_default() }));
        Self { url, stop, task }
    }

    fn client(&self) -> Client {
        Client::new(&self.url, &auditor().verifier(Kind::Cosignature)).unwrap()
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap();
    }
}

/// A store of the log with these events, in two folds.
async fn store_of(prefix: &str, events: Range<i64>) -> Store {
    let store = Store::create(Location::memory(), "default", Clock::simulated(T0, 7)).await.unwrap();
    let store = store.signed_by(Arc::new(log()));
    grow(&store, prefix, events).await;
    store
}

async fn grow(store: &Store, prefix: &str, events: Range<i64>) {
    ingest(store, events.map(|i| event(&format!("{prefix}{i}"), i) + "\n").collect::<String>()).await;
    store.fold().await.unwrap();
}

async fn size_of(store: &Store) -> u64 {
    store.newest_checkpoint().await.unwrap().checkpoint.size
}

/// Status and body of a request as it is.
async fn post(url: &str, body: Vec<u8>) -> (u16, String) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = http.post(format!("{url}/add-checkpoint")).body(body).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

async fn overview(url: &str) -> String {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    http.get(url).send().await.unwrap().text().await.unwrap()
}

/// The first request about the newest checkpoint of a store.
async fn first_request(store: &Store) -> Vec<u8> {
    let note = store.newest_checkpoint().await.unwrap().note;
    let checkpoint = String::from_utf8(note.to_vec()).unwrap();
    Request { old: 0, proof: Vec::new(), checkpoint }.to_text().into_bytes()
}

fn is_refused(err: &Error, words: &str) {
    assert_eq!(err.kind(), ErrorKind::Damaged, "{err}");
    assert!(err.to_string().contains(words), "{err}");
}

/// The verdict about a pack of a store's first rows under a policy that asks for this witness.
async fn packed(store: &Store, folder: &Path, witness: &Signer) -> Verdict {
    let order = Order {
        rows: Wanted::Range(0..10),
        selection: Selection::Range { from_seq: 0, to_seq: 10 },
        as_of: Map::new(),
        withheld: Vec::new(),
        held: None,
    };
    let (pack, trust) = (folder.join("pack"), folder.join("policy"));
    std::fs::create_dir_all(&pack).unwrap();
    store.pack(&order, &pack, &log()).await.unwrap();
    std::fs::write(&trust, format!("witness w {}\nquorum w\n", cosignature::vkey(witness))).unwrap();
    let vkey = log().vkey();
    verify(&Asked { pack: &pack, key: OsStr::new(&vkey), trust: Some(&trust), held: None, receipt: None }).unwrap()
}

/// The one file that a witness keeps besides its lock.
fn kept(folder: &Path) -> PathBuf {
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut kept: Vec<PathBuf> = files.filter(|path| !path.ends_with("lock")).collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    kept.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_growing_ledger_is_cosigned_and_its_packs_satisfy_the_policy_that_asks_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(&folder.path().join("seen")).await;
    let store = store_of("a", 0..40).await;
    let first = store.ask_witness(&running.client()).await.unwrap();
    assert_eq!((first.size, first.time), (size_of(&store).await, T0 as u64 / 1_000_000));
    assert!(packed(&store, folder.path(), &auditor()).await.is_ok);
    grow(&store, "a", 40..700).await;
    let verdict = packed(&store, folder.path(), &auditor()).await;
    assert!(!verdict.is_ok, "the new checkpoint is not cosigned yet");
    let second = store.ask_witness(&running.client()).await.unwrap();
    assert!(second.size > first.size + 600, "{second:?}");
    assert_eq!(store.ask_witness(&running.client()).await.unwrap(), second, "the same tree may be cosigned again");
    assert!(packed(&store, folder.path(), &auditor()).await.is_ok);
    let other = Signer::new("other.example.com/witness", [9; 32]).unwrap();
    let verdict = packed(&store, folder.path(), &other).await;
    assert!(verdict.failed().any(|check| check.name.contains("trust policy")), "{verdict}");
    let seen = overview(&running.url).await;
    assert!(seen.contains(&format!("log example.com/evidence cosigned {}\n", second.size)), "{seen}");
    assert!(seen.contains(&cosignature::vkey(&auditor())), "{seen}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_was_rolled_back_or_rewritten_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path()).await;
    let store = store_of("a", 0..300).await;
    store.ask_witness(&running.client()).await.unwrap();
    let smaller = store_of("a", 0..20).await;
    is_refused(&smaller.ask_witness(&running.client()).await.unwrap_err(), "rolled back");
    let larger = store_of("b", 0..500).await;
    is_refused(&larger.ask_witness(&running.client()).await.unwrap_err(), "422");
    let rewritten = store_of("b", 0..300).await;
    assert_eq!(size_of(&rewritten).await, size_of(&store).await);
    is_refused(&rewritten.ask_witness(&running.client()).await.unwrap_err(), "another root");
    for refused in [&smaller, &larger, &rewritten] {
        let sealed = refused.newest_checkpoint().await.unwrap();
        assert_eq!(refused.cosigned(&sealed).await.unwrap().as_bytes(), &sealed.note[..], "nothing was stored");
    }
    store.ask_witness(&running.client()).await.unwrap();
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_witness_remembers_and_two_never_share_a_directory() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path()).await;
    assert_eq!(open(folder.path()).unwrap_err().kind(), ErrorKind::Conflict);
    let store = store_of("a", 0..60).await;
    store.ask_witness(&running.client()).await.unwrap();
    running.stop().await;
    let held = Note::parse(&std::fs::read(kept(folder.path())).unwrap()).unwrap();
    let keys = [log().verifier(Kind::Ed25519), auditor().verifier(Kind::Cosignature)];
    assert_eq!(held.verify(&keys).unwrap().len(), 2, "what is kept is the checkpoint that both signed");
    let running = Running::start(folder.path()).await;
    let forked = store_of("b", 0..30).await;
    is_refused(&forked.ask_witness(&running.client()).await.unwrap_err(), "rolled back");
    grow(&store, "a", 60..90).await;
    store.ask_witness(&running.client()).await.unwrap();
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_trees_sent_at_once_one_is_cosigned() {
    let [left, right] = [store_of("a", 0..30).await, store_of("b", 0..40).await];
    for _ in 0..8 {
        let folder = tempfile::tempdir().unwrap();
        let running = Running::start(folder.path()).await;
        let (one, other) = (running.client(), running.client());
        let (one, other) = tokio::join!(left.ask_witness(&one), right.ask_witness(&other));
        assert_ne!(one.is_ok(), other.is_ok(), "{one:?} {other:?}");
        running.stop().await;
    }
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path()).await;
    let body = first_request(&left).await;
    let posts = (0..8).map(|_| post(&running.url, body.clone()));
    let answers = futures::future::join_all(posts).await;
    let mut statuses: Vec<u16> = answers.iter().map(|(status, _)| *status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409, 409, 409, 409, 409, 409, 409], "{answers:?}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_whose_file_is_damaged_is_not_taken_for_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path()).await;
    let store = store_of("a", 0..30).await;
    store.ask_witness(&running.client()).await.unwrap();
    running.stop().await;
    let file = kept(folder.path());
    let good = std::fs::read(&file).unwrap();
    std::fs::write(&file, &good[..good.len() / 2]).unwrap();
    assert_eq!(open(folder.path()).unwrap().refused().len(), 1);
    let running = Running::start(folder.path()).await;
    let (status, said) = post(&running.url, first_request(&store).await).await;
    assert_eq!(status, 500, "{said}");
    assert!(!said.contains(folder.path().to_str().unwrap()), "{said}");
    let refused = store.ask_witness(&running.client()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
    assert!(overview(&running.url).await.contains("log example.com/evidence not followed"));
    running.stop().await;
    std::fs::write(&file, &good).unwrap();
    let running = Running::start(folder.path()).await;
    store.ask_witness(&running.client()).await.unwrap();
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_of_a_known_log_is_answered_with_its_status() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path()).await;
    let signed = |signer: &Signer| {
        let checkpoint = Checkpoint { origin: signer.name().to_owned(), size: 1, root: [3; 32] };
        let checkpoint = Note::signed(&checkpoint.to_text(), signer).unwrap().to_string();
        Request { old: 0, proof: Vec::new(), checkpoint }.to_text().into_bytes()
    };
    let unknown = Signer::new("example.com/unknown", [7; 32]).unwrap();
    let impostor = Signer::new("example.com/evidence", [6; 32]).unwrap();
    for (body, expected) in [
        (signed(&unknown), 404),
        (signed(&impostor), 403),
        (b"old zero\n\n".to_vec(), 400),
        (Vec::new(), 400),
        (vec![b'x'; WITNESS_REQUEST_BYTES + 1], 413),
    ] {
        let (status, said) = post(&running.url, body).await;
        assert_eq!(status, expected, "{said}");
    }
    assert!(overview(&running.url).await.contains("cosigned nothing yet"));
    running.stop().await;
}

/// `probity witness serve` as a process that ends with the test.
struct Served {
    child: Child,
    url: String,
}

impl Served {
    fn start(dir: &Path, log: &str) -> Self {
        let args = ["witness", "serve", "--witness-key", "w.key", "--state", "seen", "--listen", "127.0.0.1:0"];
        let mut child = probity(dir).args(args).args(["--log", log]).stdout(Stdio::piped()).spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        Self { child, url: url.trim_end().to_owned() }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_auditor_runs_a_witness_and_asks_for_packs_that_it_cosigned() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let text: String = (0..50).map(|i| event(&i.to_string(), i) + "\n").collect();
    std::fs::write(dir.join("e.ndjson"), text).unwrap();
    run(dir, &["init", "--origin", "evidence.example.com/crm"]).ended(0);
    run(dir, &["ingest", "e.ndjson"]).ended(0);
    let log = run(dir, &["init", "--json"]).ended(0).json()["vkey"].as_str().unwrap().to_owned();
    let make = ["witness", "init", "--witness-key", "w.key", "--name", "auditor.example.com/witness", "--json"];
    let witness = run(dir, &make).ended(0).json()["vkey"].as_str().unwrap().to_owned();
    let secret = std::fs::read(dir.join("w.key")).unwrap();
    run(dir, &make).ended(2);
    assert_eq!(std::fs::read(dir.join("w.key")).unwrap(), secret, "a key is never overwritten");
    let trust = |url: &str| {
        let policy = format!("log {log}\nwitness auditor {witness} {url}\nquorum auditor\n");
        std::fs::write(dir.join("policy"), policy).unwrap();
    };
    trust("http://127.0.0.1:1");
    let asked = run(dir, &["witness", "ask", "--trust", "policy", "--json"]).ended(1).json();
    assert_eq!((asked["ok"].as_bool(), asked["witnesses"][0]["cosigned"].as_bool()), (Some(false), Some(false)));
    let pack = ["export", "--from", "0", "--to", "10", "--trust", "policy", "--out", "pack"];
    let refused = run(dir, &pack).ended(2);
    assert!(refused.err.contains("not handed out") && !dir.join("pack").exists(), "{refused:?}");
    let served = Served::start(dir, &log);
    trust(&served.url);
    run(dir, &pack).ended(0);
    run(dir, &["verify", "pack", "pack", "--vkey", &log, "--trust", "policy"]).ended(0);
    run(dir, &["verify", "pack", "pack", "--vkey", &log]).ended(0);
    let asked = run(dir, &["witness", "ask", "--trust", "policy", "--json"]).ended(0).json();
    assert_eq!(asked["witnesses"][0]["name"], "auditor");
    run(dir, &["witness", "ask", "--url", &served.url, "--vkey", &witness]).ended(0);
    run(dir, &["witness", "ask", "--url", &served.url, "--vkey", &log]).ended(2);
    run(dir, &["witness", "ask", "--url", &served.url]).ended(2);
    run(dir, &["witness", "ask"]).ended(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_started_with_the_next_key_follows_on_what_it_saw_under_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let next = Signer::new("example.com/evidence", [9; 32]).unwrap();
    let store = store_of("a", 0..20).await;
    let witness = Running::start(folder.path()).await;
    let seen = store.ask_witness(&witness.client()).await.unwrap();
    witness.stop().await;
    store.hand_over(&next).await.unwrap();
    let store = store.signed_by(Arc::new(next.clone()));
    grow(&store, "b", 20..40).await;
    let witness = Running::start_for(folder.path(), &next).await;
    let later = store.ask_witness(&witness.client()).await.unwrap();
    assert!(later.size > seen.size);
    // Another tree under the next key is refused as it was under the first.
    let other = store_of("c", 0..60).await;
    other.hand_over(&next).await.unwrap();
    let other = other.signed_by(Arc::new(next));
    grow(&other, "d", 60..80).await;
    assert!(other.ask_witness(&witness.client()).await.is_err());
    witness.stop().await;
}

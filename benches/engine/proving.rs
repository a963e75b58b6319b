//! What proof costs: hashing, the tree, verifying a store, proving one row, packing scattered rows.

use std::fs::File;
use std::sync::Arc;
use std::time::Instant;

use flate2::Compression;
use flate2::write::GzEncoder;
use probity::clock::Clock;
use probity::event::batch::assign;
use probity::event::{BatchBuilder, Rows, leaves};
use probity::ledger::checkpoint::Checkpoint;
use probity::ledger::edge::Edge;
use probity::ledger::note::{Kind, Note, Signer};
use probity::ledger::pack::format::{NODES, Selection};
use probity::simulate::{Plan, Simulation};
use probity::store::pack::{Order, Wanted};
use serde_json::{Map, json};

use crate::Ask;
use crate::measure::{alive_mib, count_memory, line, peak_mib, times};
use crate::questions::open_store;
use crate::writing::folder;

/// Events of one batch, as ingest hashes them.
const BATCH: usize = 32 * 1024;
/// Leaves between two checkpoints, about what a fold of a bulk load holds.
const FOLD: usize = 250_000;
/// Rows of the pack.
const SCATTERED: u64 = 10_000;

/// Canonical form and leaf hash of simulated events, on one core.
pub fn hash(ask: &Ask) {
    let mut simulation = Simulation::new(Plan { events: ask.events, seed: 1, ..Plan::default() });
    let (mut took, mut events) = (Vec::new(), 0);
    loop {
        let mut builder = BatchBuilder::default();
        while builder.len() < BATCH
            && let Some(event) = simulation.next_event()
        {
            builder.append(&event);
        }
        if builder.is_empty() {
            break;
        }
        let stored = assign(&builder.finish(), events, 0, &Clock::system()).expect("rows");
        let rows = Rows::new(&stored).expect("rows");
        let start = Instant::now();
        events += std::hint::black_box(leaves(&rows)).len() as i64;
        took.push(start.elapsed());
    }
    let all: f64 = took.iter().map(|time| time.as_secs_f64()).sum();
    line("canonicalise_and_hash", &took, json!({"events": events, "events_per_second": (events as f64 / all).round()}));
}

/// The tree over known leaves, its tiles on disk, and a signed checkpoint now and then: what the ledger adds to ingest.
pub fn tree(ask: &Ask) {
    let folder = folder(ask);
    let signer = Signer::new("example.com/evidence", [7; 32]).expect("a signer");
    let leaves: Vec<[u8; 32]> = (0..ask.events).map(leaf).collect();
    let start = Instant::now();
    let mut edge = Edge::default();
    for part in leaves.chunks(FOLD) {
        let write = |name: String, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(path, bytes).expect("a tile");
        };
        for leaf in part {
            edge.append(*leaf, |tile, hashes| write(tile.path(), hashes.as_flattened()));
        }
        for (tile, hashes) in edge.partial() {
            write(tile.path(), hashes.as_flattened());
        }
        let checkpoint = Checkpoint { origin: signer.name().to_owned(), size: edge.size(), root: edge.root() };
        let note = Note::signed(&checkpoint.to_text(), &signer).expect("a note").to_string();
        let mut file = File::create(folder.path().join(format!("{:020}", edge.size()))).expect("a checkpoint");
        std::io::Write::write_all(&mut file, note.as_bytes()).and_then(|()| file.sync_all()).expect("a checkpoint");
    }
    let took = start.elapsed();
    let per_second = (ask.events as f64 / took.as_secs_f64()).round();
    line("tree_tiles_checkpoints", &[took], json!({"events": ask.events, "events_per_second": per_second}));
}

/// A leaf like any other: its bytes matter to nothing.
fn leaf(number: u64) -> [u8; 32] {
    let mut leaf = [0; 32];
    for (at, part) in leaf.chunks_exact_mut(8).enumerate() {
        part.copy_from_slice(&(number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15 ^ at as u64).to_le_bytes());
    }
    leaf
}

/// `verify store`.
pub async fn verify(ask: &Ask) {
    probity::cli::give_memory_back();
    count_memory();
    let store = open_store(ask).await;
    let keys: Vec<_> = store.signer().map(|signer| signer.verifier(Kind::Ed25519)).into_iter().collect();
    let (times, found) = times(ask.runs, async || store.verify(&keys, |_| {}).await.expect("a verification")).await;
    let found = found.expect("a run");
    let best = times.iter().min().expect("a run").as_secs_f64();
    let per_second = (found.rows as f64 / best).round();
    let more = json!({
        "events": found.rows, "events_per_second": per_second, "findings": found.count, "alive_mib": alive_mib(),
        "peak_mib": peak_mib(),
    });
    line("verify_store", &times, more);
}

/// The proof of one row, of rows all over the log.
pub async fn prove(ask: &Ask) {
    let store = open_store(ask).await;
    let size = store.newest_checkpoint().await.expect("a signed store").checkpoint.size;
    let mut took = Vec::new();
    for number in 0..200 {
        let start = Instant::now();
        store.prove(spread(number, 200, size), &[]).await.expect("a proof");
        took.push(start.elapsed());
    }
    line("prove_one_row", &took, json!({"events": size, "peak_mib": peak_mib()}));
}

/// A pack of rows all over the log, and how many bytes the nodes of its proof take, packed as in a `.tar.gz`.
pub async fn pack(ask: &Ask) {
    let store = open_store(ask).await;
    let signer = store.signer().cloned().unwrap_or_else(|| Arc::new(Signer::new("none", [1; 32]).expect("a signer")));
    let size = store.newest_checkpoint().await.expect("a signed store").checkpoint.size;
    let rows: Vec<u64> = (0..SCATTERED).map(|number| spread(number, SCATTERED, size)).collect();
    let order = Order {
        rows: Wanted::These(rows),
        selection: Selection::Query { query: "scattered rows".to_owned(), params: Map::new() },
        as_of: Map::new(),
        withheld: Vec::new(),
        held: None,
    };
    let folder = folder(ask);
    let start = Instant::now();
    store.pack(&order, folder.path(), &signer).await.expect("a pack");
    let took = start.elapsed();
    let nodes = std::fs::read(folder.path().join(NODES)).expect("nodes");
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    std::io::Write::write_all(&mut packed, &nodes).expect("memory");
    let packed = packed.finish().expect("memory").len();
    let more = json!({"events": size, "rows": SCATTERED, "nodes_bytes": nodes.len(), "nodes_packed_bytes": packed, "peak_mib": peak_mib()});
    line("pack_of_scattered_rows", &[took], more);
}

/// The so manieth of `of` places in a log of `size` events, at an uneven distance from each other.
fn spread(number: u64, of: u64, size: u64) -> u64 {
    let step = size / of;
    number * step + number.wrapping_mul(0x9E37_79B9_7F4A_7C15) % step.max(1)
}

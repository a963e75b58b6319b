//! How fast the engine is: ingest, acknowledgement, opening, questions, look-ups, reports, compaction.
//!
//! usage: cargo bench --bench engine -- WORK [--store DIR] [--file NDJSON] [--events N] [--runs K] [--only NAME,…]
//!
//! WORK is one of ingest, ack, open, queries, asked, lookups, report, compact, hash, tree, verify, prove, pack, scope,
//! review, serve, plot.
//! Each measurement is one line of JSON on standard output; words go to standard error. Nothing here passes or fails: a
//! run is kept in `benches/runs/` with machine, command and versions, and compared by people. `benches/compare/` puts
//! other engines beside it.

mod growth;
mod measure;
mod proving;
mod questions;
mod reviewing;
mod scoping;
mod serving;
mod writing;

use std::path::PathBuf;

/// What the command line asks for.
pub struct Ask {
    store: PathBuf,
    file: Option<PathBuf>,
    events: u64,
    runs: usize,
    only: Vec<String>,
    period: (String, String),
}

impl Ask {
    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }
}

#[global_allocator]
static ALLOCATOR: measure::Counting = measure::Counting(mimalloc::MiMalloc);

fn main() {
    probity::cli::keep_memory();
    // Cargo passes `--bench` to every bench target.
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let Some((work, options)) = args.split_first() else {
        eprintln!(
            "name a work: ingest, ack, open, queries, asked, lookups, report, compact, hash, tree, verify, prove, pack, \
             scope, review, serve, plot (see benches/engine/main.rs)"
        );
        return;
    };
    // As the commands of the program do.
    if matches!(work.as_str(), "ingest" | "ack" | "compact") {
        probity::cli::use_large_pages();
    }
    let ask = parse(options);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    runtime.block_on(async {
        match work.as_str() {
            "ingest" => writing::ingest(&ask).await,
            "ack" => writing::acknowledge(&ask).await,
            "compact" => writing::compact(&ask).await,
            "open" => questions::open(&ask).await,
            "queries" => questions::queries(&ask).await,
            "asked" => questions::asked(&ask).await,
            "lookups" => questions::look_ups(&ask).await,
            "hash" => proving::hash(&ask),
            "tree" => proving::tree(&ask),
            "verify" => proving::verify(&ask).await,
            "prove" => proving::prove(&ask).await,
            "pack" => proving::pack(&ask).await,
            "scope" => scoping::scope(&ask).await,
            "review" => reviewing::review(&ask),
            "serve" => serving::serve(&ask),
            "plot" => growth::plot(&ask),
            "report" => questions::report(&ask).await,
            other => eprintln!("there is no work `{other}`"),
        }
    });
}

fn parse(options: &[String]) -> Ask {
    let value = |name: &str| {
        let at = options.iter().position(|option| option == name)?;
        options.get(at + 1).cloned()
    };
    Ask {
        store: value("--store").unwrap_or_else(|| "probity-data".to_owned()).into(),
        file: value("--file").map(PathBuf::from),
        events: value("--events").and_then(|n| n.parse().ok()).unwrap_or(1_000_000),
        runs: value("--runs").and_then(|n| n.parse().ok()).unwrap_or(3),
        only: value("--only").map(|names| names.split(',').map(str::to_owned).collect()).unwrap_or_default(),
        period: (
            value("--from").unwrap_or_else(|| "2026-09-01T00:00:00Z".to_owned()),
            value("--to").unwrap_or_else(|| "2026-10-01T00:00:00Z".to_owned()),
        ),
    }
}

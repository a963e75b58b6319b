//! The command line: one file per verb.
//!
//! In: arguments. Out: words on standard error, results on standard output, and an exit code that is a
//! contract: 0 done, 1 it ran and the answer is no or not all, 2 it could not be done. Nothing is computed
//! here; commands call the rooms below and print.

mod args;
mod custody;
mod demo;
mod export;
mod guardrail;
mod incident;
mod incident_report;
mod ingest;
mod input;
mod key;
mod maintain;
mod memory;
pub mod output;
mod policy;
mod prove;
mod query;
mod reconcile;
mod register;
mod report;
mod review;
mod review_sample;
mod serve;
mod simulate;
mod token;
mod verify;
mod witness;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;

use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::query::asof::{AsOf, AsOfText};
use crate::query::catalogue::Catalogue;
use crate::query::engine::{Engine, resolve};
use crate::query::runtime::{QueryRuntime, RuntimeLimits};
use crate::query::views::Keeping;
use crate::store::keys;
use crate::store::object::Location;
use crate::store::projection::Lag;
use crate::store::{Snapshot, Store};
use args::{
    Cli, Command, Global, IncidentCommand, KeyCommand, PolicyCommand, ReportCommand, ReviewCommand, TokenCommand,
    VerifyCommand, WitnessCommand,
};
pub use memory::{give_memory_back, keep_memory, reuse_memory, use_large_pages};
use output::Output;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Done, or yes.
    Done,
    /// It ran; the answer is no, or not all of it was done.
    NotAll,
}

/// Parses the arguments, runs the command, and gives its exit code.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let out = Output { is_json: cli.global.json, is_quiet: cli.global.quiet };
    if matches!(cli.command, Command::Ingest(_) | Command::Simulate(_) | Command::Maintain(_)) {
        use_large_pages();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(run(&cli, &out)),
        Err(e) => Err(Error::internal("cannot start").because(e)),
    };
    match outcome {
        Ok(Answer::Done) => ExitCode::SUCCESS,
        Ok(Answer::NotAll) => ExitCode::from(1),
        // The reader of our output has seen enough, as in `| head`.
        Err(e) if is_broken_pipe(&e) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::from(2)
        }
    }
}

fn is_broken_pipe(err: &Error) -> bool {
    let mut cause = std::error::Error::source(err);
    while let Some(e) = cause {
        if e.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe) {
            return true;
        }
        cause = e.source();
    }
    false
}

async fn run(cli: &Cli, out: &Output) -> Result<Answer> {
    let global = &cli.global;
    let is_writing = matches!(
        cli.command,
        Command::Init(_)
            | Command::Ingest(_)
            | Command::Erase(_)
            | Command::Hold(_)
            | Command::Release(_)
            | Command::Maintain(_)
            | Command::Demo(_)
            | Command::Serve(_)
            | Command::Simulate(_)
            | Command::Token(TokenCommand::Create(_) | TokenCommand::Revoke(_))
            | Command::Policy(PolicyCommand::Apply(_))
            | Command::Incident(IncidentCommand::Open(_) | IncidentCommand::Update(_) | IncidentCommand::Close(_))
            | Command::Review(
                ReviewCommand::Plan(_) | ReviewCommand::Draw(_) | ReviewCommand::Mark(_) | ReviewCommand::Decide(_)
            )
            | Command::Witness(_)
            | Command::Key(KeyCommand::Rotate(_))
    );
    if is_writing && global.as_of.is_some() {
        return Err(Error::invalid("--as-of is for commands that read; this one writes now"));
    }
    match &cli.command {
        Command::Init(args) => maintain::init(global, args, out).await,
        Command::Ingest(args) => ingest::run(global, args, out).await,
        Command::Erase(args) => custody::erase(global, args, out).await,
        Command::Hold(args) => custody::hold(global, args, out).await,
        Command::Release(args) => custody::release(global, args, out).await,
        Command::Maintain(args) => maintain::run(global, args, out).await,
        Command::Serve(args) => serve::run(global, args, out).await,
        Command::Token(command) => token::run(global, command, out).await,
        Command::Simulate(args) => simulate::run(global, args, out).await,
        Command::Demo(args) => demo::run(global, args, out).await,
        Command::Query(args) => query::run(global, args, out).await,
        Command::Queries => query::list(out),
        Command::Policy(PolicyCommand::Apply(args)) => policy::apply(global, args, out).await,
        Command::Policy(PolicyCommand::Show(args)) => policy::show(global, args, out).await,
        Command::Policy(PolicyCommand::Check(args)) => policy::check(global, args, out).await,
        Command::Incident(IncidentCommand::Scope(args)) => incident::scope(global, args, out).await,
        Command::Incident(IncidentCommand::Plan(args)) => incident::plan(global, args, out).await,
        Command::Incident(IncidentCommand::Open(args)) => register::open(global, args, out).await,
        Command::Incident(IncidentCommand::Update(args)) => register::update(global, args, out).await,
        Command::Incident(IncidentCommand::Close(args)) => register::close(global, args, out).await,
        Command::Incident(IncidentCommand::List) => register::list(global, out).await,
        Command::Incident(IncidentCommand::Show(args)) => register::show(global, args, out).await,
        Command::Incident(IncidentCommand::Report(args)) => incident_report::run(global, args, out).await,
        Command::Incident(IncidentCommand::Reconcile(args)) => reconcile::run(global, args, out).await,
        Command::Incident(IncidentCommand::Guardrail(args)) => guardrail::run(global, args, out).await,
        Command::Review(command) => review::run(global, command, out).await,
        Command::Verify(VerifyCommand::Store(args)) => verify::store(global, args, out).await,
        Command::Verify(VerifyCommand::Pack(args)) => verify::pack(args, out),
        Command::Verify(VerifyCommand::Proof(args)) => verify::proof(args, out),
        Command::Export(args) => export::run(global, args, out).await,
        Command::Prove(args) => prove::run(global, args, out).await,
        Command::Key(KeyCommand::Show) => key::show(global, out).await,
        Command::Key(KeyCommand::Rotate(args)) => key::rotate(global, args, out).await,
        Command::Witness(WitnessCommand::Init(args)) => witness::init(args, out),
        Command::Witness(WitnessCommand::Serve(args)) => witness::serve(args, out).await,
        Command::Witness(WitnessCommand::Ask(args)) => witness::ask(global, args, out).await,
        Command::Report(ReportCommand::Monthly(args)) => report::monthly(global, args, out).await,
        Command::Report(ReportCommand::Batch(args)) => report::batch(global, args, out).await,
    }
}

/// Opens the store that the options name.
///
/// # Errors
/// When there is none.
pub async fn open(global: &Global) -> Result<Store> {
    let location = Location::open(&global.store())?;
    keys::open_store(location, &global.tenant, global.key().as_deref(), Clock::system()).await
}

/// Creates the store and, where it is to have one and has none yet, its key.
async fn create(global: &Global, origin: Option<&str>) -> Result<Store> {
    let (location, clock) = (Location::open(&global.store())?, Clock::system());
    let file = global.key().or_else(|| keys::path_of(&location, &global.tenant));
    let store = Store::create(location.clone(), &global.tenant, clock.clone()).await?;
    // A ledger that was signed before has its key somewhere else; another one would not fit.
    if let Some(file) = file.filter(|file| !file.exists())
        && store.log().newest().await?.is_none()
    {
        let fresh = || keys::fresh_origin(&global.tenant, &clock);
        keys::create(&file, &origin.map_or_else(fresh, str::to_owned), &clock)?;
    }
    let store = open(global).await?;
    store.fold().await?;
    Ok(store)
}

/// Opens the store, or creates a local one and says so.
async fn open_or_create(global: &Global, out: &Output) -> Result<Store> {
    match open(global).await {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let location = Location::open(&global.store())?;
            if location.directory.is_none() {
                return Err(e);
            }
            let store = create(global, None).await?;
            out.say(&format!("created {}", store.url()));
            Ok(store)
        }
        opened => opened,
    }
}

/// A session for one question.
async fn session(global: &Global, store: &Store) -> Result<Engine> {
    let (runtime, snapshot, as_of) = point(global, store).await?;
    Engine::new(&runtime, &snapshot, as_of).await
}

/// A session for many questions, with the views of `catalogue`.
async fn judging_session(global: &Global, store: &Store, catalogue: &Catalogue) -> Result<Engine> {
    let (runtime, snapshot, as_of) = point(global, store).await?;
    Engine::open(&runtime, &snapshot, as_of, (catalogue, Keeping::Costly)).await
}

/// The person who acts: as named, else the user of the operating system.
///
/// # Errors
/// When there is no name at all.
fn person(named: Option<&str>) -> Result<String> {
    let user = || ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
    let found = named.filter(|name| !name.trim().is_empty()).map(str::to_owned).or_else(user).or_else(user_id);
    found.ok_or_else(|| Error::invalid("nobody is named; say who decides this with --by NAME"))
}

#[cfg(unix)]
fn user_id() -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").ok().map(|own| format!("uid-{}", own.uid()))
}

#[cfg(not(unix))]
fn user_id() -> Option<String> {
    None
}

/// What to look at: the snapshot, and the point in it that the options name.
async fn point(global: &Global, store: &Store) -> Result<(Arc<QueryRuntime>, Snapshot, AsOf)> {
    let asked: AsOfText = global.as_of.as_deref().map_or(Ok(AsOfText::Head), str::parse)?;
    if let AsOfText::At(at) = asked
        && at > store.clock().now()
    {
        return Err(Error::invalid("--as-of lies in the future: what will be known then cannot be told now"));
    }
    // Once after a bulk load, so that this and every later question need not. Who cannot write folds for himself.
    let _ = store.project(Lag::Some).await;
    let snapshot = store.snapshot().await?;
    let size = match asked {
        AsOfText::Version(version) => Some(store.size_at_version(version).await?),
        _ => None,
    };
    let runtime = QueryRuntime::new(&RuntimeLimits::default())?;
    let as_of = resolve(&runtime, &snapshot, asked, store.clock().now(), size).await?;
    Ok((runtime, snapshot, as_of))
}

//! `probity report`: documents into files.

use std::path::{Path, PathBuf};

use super::args::{BatchArgs, Global, MonthlyArgs, ReportArgs};
use super::output::Output;
use super::query::parse_params;
use super::{Answer, judging_session, open, person};
use crate::error::{Error, Result};
use crate::query::catalogue::Catalogue;
use crate::query::engine::Engine;
use crate::report::dashboard::Dashboard;
use crate::report::files::Report;
use crate::report::period::Month;
use crate::report::{batch, gather, issued, monthly};
use crate::store::Store;

/// Writes the review of one month.
///
/// # Errors
/// When the month or a parameter is wrong, a query fails, or the files cannot be written.
pub async fn monthly(global: &Global, args: &MonthlyArgs, out: &Output) -> Result<Answer> {
    let request = monthly::Request {
        month: Month::parse(&args.month)?,
        params: parse_params(&args.report.params)?,
        tenant: global.tenant.clone(),
    };
    let (dashboard, catalogue) = page(global, monthly::dashboard()?, &args.report)?;
    super::reuse_memory();
    let store = open(global).await?;
    let engine = judging_session(global, &store, &catalogue).await?;
    let report = monthly::review(&engine, &request, (&dashboard, &catalogue)).await?;
    finish(&store, (&report, &args.report), out).await
}

/// Writes the weekly packet of one batch.
///
/// # Errors
/// As [`monthly`], and when there is no such batch.
pub async fn batch(global: &Global, args: &BatchArgs, out: &Output) -> Result<Answer> {
    let request = batch::Request {
        batch_id: args.batch.clone(),
        params: parse_params(&args.report.params)?,
        tenant: global.tenant.clone(),
    };
    let (dashboard, catalogue) = page(global, batch::dashboard()?, &args.report)?;
    super::reuse_memory();
    let store = open(global).await?;
    let engine = judging_session(global, &store, &catalogue).await?;
    let report = batch::packet(&engine, &request, (&dashboard, &catalogue)).await?;
    finish(&store, (&report, &args.report), out).await
}

/// The dashboard with the user's own sections, and the queries that it names. What cannot end well is said before
/// anything is computed.
fn page(global: &Global, mut dashboard: Dashboard, args: &ReportArgs) -> Result<(Dashboard, Catalogue)> {
    if args.issue && global.as_of.is_some() {
        return Err(Error::invalid("--issue states what is known now; leave --as-of out"));
    }
    if let Some(directory) = &args.out {
        make(directory)?;
    }
    let mut catalogue = Catalogue::shipped()?.clone();
    for file in &args.dashboards {
        gather::add_dashboard(&mut dashboard, &mut catalogue, file)?;
    }
    Ok((dashboard, catalogue))
}

async fn finish(store: &Store, (report, args): (&Report, &ReportArgs), out: &Output) -> Result<Answer> {
    out.say(&report.headline);
    // With --json the document is on standard output; files are written where they were asked for.
    if !out.is_json || args.out.is_some() {
        let directory = args.out.clone().unwrap_or_else(|| PathBuf::from("report"));
        let page = write(report, &directory)?;
        out.print(&page.display().to_string())?;
    }
    if args.issue {
        let by = person(args.by.as_deref())?;
        let seq = issued::state(store, report, &by).await?;
        out.say(&format!("issued by {by} as event {seq}: later reports show these numbers beside their own"));
    }
    out.json(&report.json)?;
    Ok(Answer::Done)
}

/// Writes and names the files of a review for a command that has an engine already.
///
/// # Errors
/// As [`monthly`].
pub async fn write_monthly(engine: &Engine, request: &monthly::Request, directory: &Path) -> Result<(PathBuf, Report)> {
    let (dashboard, catalogue) = (monthly::dashboard()?, Catalogue::shipped()?);
    let report = monthly::review(engine, request, (&dashboard, catalogue)).await?;
    Ok((write(&report, directory)?, report))
}

/// Writes the files of `report`; gives the page.
///
/// # Errors
/// When they cannot be written.
pub fn write(report: &Report, directory: &Path) -> Result<PathBuf> {
    let name = |rest: &str| directory.join(format!("{}{rest}", report.name));
    let put = |path: &Path, text: &str| {
        std::fs::write(path, text)
            .map_err(|e| Error::unavailable(format!("cannot write {}", path.display())).because(e))
    };
    make(directory)?;
    let page = name(".html");
    put(&page, &report.html)?;
    put(&name(".json"), &format!("{:#}\n", report.json))?;
    for (table, text) in &report.csv {
        put(&name(&format!("-{table}")), text)?;
    }
    Ok(page)
}

fn make(directory: &Path) -> Result<()> {
    std::fs::create_dir_all(directory)
        .map_err(|e| Error::unavailable(format!("cannot make {}", directory.display())).because(e))
}

//! `probity incident report`: the account of an incident as a page that stands alone.

use std::path::PathBuf;

use super::args::{Global, IncidentReportArgs};
use super::output::Output;
use super::{Answer, judging_session, open};
use crate::error::Result;
use crate::query::catalogue::Catalogue;
use crate::report::incident::gather::{Reader, gather};
use crate::report::withheld::Sight;

/// Writes the report of an incident.
///
/// # Errors
/// When there is no such incident, a bound is met, or the files cannot be written.
pub async fn run(global: &Global, args: &IncidentReportArgs, out: &Output) -> Result<Answer> {
    let store = open(global).await?;
    let engine = judging_session(global, &store, Catalogue::shipped()?).await?;
    let reader = Reader { tenant: &global.tenant, is_as_of: global.as_of.is_some(), sight: Sight::Shown };
    let report = gather(&store, &engine, &args.incident, reader).await?;
    out.say(&report.headline);
    // With --json the document is on standard output; files are written where they were asked for.
    if !out.is_json || args.out.is_some() {
        let directory = args.out.clone().unwrap_or_else(|| PathBuf::from("report"));
        let page = super::report::write(&report, &directory)?;
        out.print(&page.display().to_string())?;
    }
    out.json(&report.json)?;
    Ok(Answer::Done)
}

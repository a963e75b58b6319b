//! `probity report`: documents into files.

use std::path::{Path, PathBuf};

use super::args::{Global, MonthlyArgs};
use super::output::Output;
use super::query::parse_params;
use super::{Answer, engine};
use crate::error::{Error, Result};
use crate::query::engine::Engine;
use crate::report::monthly::{Month, Request, Review, review};

/// Writes the review of one month.
///
/// # Errors
/// When the month or a parameter is wrong, a query fails, or the files cannot be written.
pub async fn monthly(global: &Global, args: &MonthlyArgs, out: &Output) -> Result<Answer> {
    let request = Request {
        month: Month::parse(&args.month)?,
        params: parse_params(&args.params)?,
        tenant: global.tenant.clone(),
    };
    let engine = engine(global).await?;
    let review = review(&engine, &request).await?;
    out.say(&review.headline);
    // With --json the document is on standard output; files are written where they were asked for.
    if !out.is_json || args.out.is_some() {
        let directory = args.out.clone().unwrap_or_else(|| PathBuf::from("report"));
        let page = write(&review, &request, &directory)?;
        out.print(&page.display().to_string())?;
    }
    out.json(&review.json)?;
    Ok(Answer::Done)
}

/// Writes and names the files of a review for a command that has an engine already.
///
/// # Errors
/// As [`monthly`].
pub async fn write_monthly(engine: &Engine, request: &Request, directory: &Path) -> Result<(PathBuf, Review)> {
    let review = review(engine, request).await?;
    Ok((write(&review, request, directory)?, review))
}

fn write(review: &Review, request: &Request, directory: &Path) -> Result<PathBuf> {
    let name = |rest: &str| directory.join(format!("monthly-{}{rest}", request.month));
    let put = |path: &Path, text: &str| {
        std::fs::write(path, text)
            .map_err(|e| Error::unavailable(format!("cannot write {}", path.display())).because(e))
    };
    std::fs::create_dir_all(directory)
        .map_err(|e| Error::unavailable(format!("cannot make {}", directory.display())).because(e))?;
    let page = name(".html");
    put(&page, &review.html)?;
    put(&name(".json"), &format!("{:#}\n", review.json))?;
    for (table, text) in &review.csv {
        put(&name(&format!("-{table}")), text)?;
    }
    Ok(page)
}

//! `probity demo`: a store built from a real audit log, the review of its busiest month, and the server over both.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::json;

use super::args::{DemoArgs, Global, IngestArgs};
use super::output::Output;
use super::{Answer, give_memory_back, ingest, judging_session, open, report, serve};
use crate::access::token;
use crate::error::{Error, Result};
use crate::query::catalogue::Catalogue;
use crate::query::engine::Engine;
use crate::query::objects::{count, rows, text};
use crate::query::params::Params;
use crate::report::monthly::Request;
use crate::report::period::Month;
use crate::server::listen::Door;
use crate::server::state::{App, Reach};

/// The ServiceNow log of UCI dataset 498, CC BY 4.0; see the ORIGIN.md beside it.
const LOG: &[u8] = include_bytes!("../../tests/fixtures/incident_event_log/incident_event_log.csv.gz");
const MAPPING: &str = "servicenow_incident_log";
const OTLP_MAPPING: &str = "otel_genai";
/// Where the store is served: the first free one of these ports.
const PORTS: std::ops::Range<u16> = 8787..8797;

/// Builds the store, or finds it built, and writes the review.
///
/// # Errors
/// When the store or the report cannot be written.
pub async fn run(global: &Global, args: &DemoArgs, out: &Output) -> Result<Answer> {
    let store = global.store.clone().unwrap_or_else(|| "./probity-demo".to_owned());
    let global = Global { store: Some(store.clone()), ..global.clone() };
    // A demo ends well whatever it finds; what was refused is said by the ingest itself.
    let quiet = Output { is_json: false, ..*out };
    let map = Some(MAPPING.to_owned());
    let ingest_args = IngestArgs { files: Vec::new(), map, strict: false, receipt: None, acknowledge: None };
    ingest::run_bytes(&global, &ingest_args, ("incident_event_log.csv.gz", LOG), &quiet).await?;
    let engine = judging_session(&global, &open(&global).await?, Catalogue::shipped()?).await?;
    let month = busiest_month(&engine).await?;
    let request = Request { month: Month::parse(&month)?, params: Params::new(), tenant: global.tenant.clone() };
    let directory = args.out.clone().unwrap_or_else(|| PathBuf::from("report"));
    let (page, review) = report::write_monthly(&engine, &request, &directory).await?;
    out.say(&review.headline);
    out.say(&format!("more to ask: probity --store {store} query months; probity queries"));
    out.print(&page.display().to_string())?;
    out.json(&json!({"store": store, "month": month, "page": page, "metrics": review.json["metrics"]}))?;
    if args.serve {
        return serve_store(&global, &month, out).await;
    }
    Ok(Answer::Done)
}

/// Serves the store on the first free port, for this machine.
async fn serve_store(global: &Global, month: &str, out: &Output) -> Result<Answer> {
    let has_tokens = !token::list(&open(global).await?).await?.is_empty();
    for port in PORTS {
        let Ok(door) = Door::open(SocketAddr::from(([127, 0, 0, 1], port)), None).await else { continue };
        give_memory_back();
        let app = App::open(serve::setup(global, (OTLP_MAPPING, Reach::Loopback), out)?).await?;
        out.say(&format!("serving the review on http://{}/monthly/{month}", door.address()?));
        return serve::serve(app, door, has_tokens, out).await;
    }
    Err(Error::unavailable(format!("no port of {}..{} is free on 127.0.0.1", PORTS.start, PORTS.end - 1)))
}

/// The month with most records reviewed; the first one of equals.
async fn busiest_month(engine: &Engine) -> Result<String> {
    let months = engine.run(Catalogue::shipped()?.get("months")?, &Params::new()).await?;
    let months = rows(&months)?;
    let busiest = months.iter().rev().max_by_key(|row| count(row, "reviewed").unwrap_or(0));
    let month = busiest.map(|row| text(row, "month").to_owned());
    month.ok_or_else(|| Error::internal("the demo store holds no events"))
}

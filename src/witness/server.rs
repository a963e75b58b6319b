//! The witness as an HTTP server: `POST /add-checkpoint`, and a page of text that says who it is.
//!
//! In: requests as C2SP tlog-witness asks for them. Out: the answers of [`ledger::witness`](crate::ledger::witness).
//! Invariants: requests are decided one at a time; a cosignature is sent after its checkpoint is durable. A request
//! that was begun is finished even when its sender goes away, or the next one would be decided between its decision and
//! its file. It must not follow a log whose file is damaged, nor treat it as new.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::net::TcpListener;

use super::state::Directory;
use crate::clock::{Clock, SECOND};
use crate::error::{Error, Result};
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::cosignature;
use crate::ledger::note::{Kind, Note, Signature, Signer, Verifier};
use crate::ledger::witness::{Answer, Log, Request, TEXT_TYPE, add_checkpoint};
use crate::limits::WITNESS_REQUEST_BYTES;

/// A witness: its key, the logs that it follows, and what it keeps.
#[derive(Debug)]
pub struct Witness {
    signer: Signer,
    clock: Clock,
    directory: Directory,
    /// The logs that it can follow, each with the checkpoint cosigned last. What is here is on disk.
    logs: Mutex<Vec<Log>>,
    /// The others, each with the reason.
    refused: Vec<(String, Error)>,
}

impl Witness {
    /// A witness that signs with `signer`, follows `logs` and keeps what it cosigned in `folder`.
    ///
    /// # Errors
    /// Invalid for two keys of one name; Conflict when another witness has the folder; Unavailable when it cannot be
    /// written. A log whose file is damaged is no error: see [`refused`](Self::refused).
    pub fn open(signer: Signer, logs: &[Verifier], folder: &Path, clock: Clock) -> Result<Self> {
        let directory = Directory::open(folder)?;
        let (mut followed, mut refused): (Vec<Log>, Vec<(String, Error)>) = (Vec::new(), Vec::new());
        for (at, key) in logs.iter().enumerate() {
            if logs[..at].iter().any(|other| other.name() == key.name()) {
                return Err(Error::invalid(format!("two keys of the log `{}` are given; give one", key.name())));
            }
            match directory.latest(key, &signer.verifier(Kind::Cosignature)) {
                Ok(latest) => followed.push(Log { key: key.clone(), latest }),
                Err(e) => refused.push((key.name().to_owned(), e)),
            }
        }
        Ok(Self { signer, clock, directory, logs: Mutex::new(followed), refused })
    }

    /// The logs that are not followed although they were given, with the reason.
    pub fn refused(&self) -> &[(String, Error)] {
        &self.refused
    }

    /// Its public key as text.
    pub fn vkey(&self) -> String {
        cosignature::vkey(&self.signer)
    }

    /// Decides about the body of a request; a checkpoint that is cosigned is durable when this returns.
    pub fn answer(&self, body: &[u8]) -> Answer {
        let request = Request::parse(body).ok();
        let origin = request.as_ref().and_then(|request| request.checkpoint.split('\n').next());
        if let Some((name, _)) = self.refused.iter().find(|(name, _)| Some(name.as_str()) == origin) {
            return failure(format!("what is kept of `{name}` here cannot be read; the witness's operator must look"));
        }
        // After a panic the list still says no more than what is on disk.
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        let time = (self.clock.now() / SECOND).max(0) as u64;
        let answer = add_checkpoint(body, &logs, &self.signer, time);
        let Some(accepted) = &answer.accepted else { return answer };
        let kept = match &request {
            Some(request) => self.keep(&mut logs, request, accepted, &answer.body),
            None => Err(Error::internal("a request that cannot be read was accepted")),
        };
        match kept {
            Ok(()) => answer,
            Err(e) => {
                // Who runs the witness sees why; who asks learns no path of this machine.
                eprintln!("error: {e}");
                failure("the checkpoint cannot be kept here, so it is not cosigned; try again later")
            }
        }
    }

    fn keep(&self, logs: &mut [Log], request: &Request, accepted: &Checkpoint, cosignature: &str) -> Result<()> {
        let log = logs.iter_mut().find(|log| log.key.name() == accepted.origin);
        let log = log.ok_or_else(|| Error::internal("a checkpoint of an unknown log was accepted"))?;
        let note = Note::parse(request.checkpoint.as_bytes())?;
        let of_log = note.signatures.iter().find(|signature| signature.is_by(&log.key)).cloned();
        let own = Signature::parse(cosignature.trim_end_matches('\n'))?;
        let kept = Note { text: note.text, signatures: of_log.into_iter().chain([own]).collect() };
        self.directory.keep(&accepted.origin, &kept)?;
        log.latest = Some(accepted.clone());
        Ok(())
    }

    /// Who it is and how far it has seen each log.
    fn overview(&self) -> String {
        let mut text = format!("witness {}\nvkey {}\n", self.signer.name(), self.vkey());
        for log in self.logs.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let seen = log.latest.as_ref().map_or_else(|| "nothing yet".to_owned(), |latest| latest.size.to_string());
            text.push_str(&format!("log {} cosigned {seen}\n", log.key.name()));
        }
        for (name, _) in &self.refused {
            text.push_str(&format!("log {name} not followed: what is kept of it cannot be read\n"));
        }
        text
    }
}

fn failure(reason: impl std::fmt::Display) -> Answer {
    Answer { status: 500, content_type: TEXT_TYPE, body: format!("{reason}\n"), accepted: None }
}

/// Serves `witness` on `listener` until `shutdown`; requests that were begun are answered, and nothing holds the
/// directory when this returns.
///
/// # Errors
/// Unavailable when the server stops by itself.
pub async fn serve(
    listener: TcpListener,
    witness: Witness,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let witness = Arc::new(witness);
    let router = Router::new()
        .route("/", get(show))
        .route("/add-checkpoint", post(add))
        .layer(DefaultBodyLimit::max(WITNESS_REQUEST_BYTES))
        .with_state(witness.clone());
    axum::serve(listener, router)
        .with_graceful_shutdown(shutdown)
        .await
        .map_err(|e| Error::unavailable("the witness stopped").because(e))?;
    // Decisions that were begun, and connections that are closing: the directory is free when this returns.
    while Arc::strong_count(&witness) > 1 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

/// Ends when the process is asked to: ctrl-c, or SIGTERM.
pub async fn interrupted() {
    let by_person = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
    #[cfg(unix)]
    if let Ok(mut asked) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        tokio::select! {
            () = by_person => {}
            _ = asked.recv() => {}
        }
        return;
    }
    by_person.await;
}

async fn show(State(witness): State<Arc<Witness>>) -> String {
    witness.overview()
}

async fn add(State(witness): State<Arc<Witness>>, body: Bytes) -> Response {
    // On a thread of its own: this future ends when the sender goes away, that thread does not.
    let decided = tokio::task::spawn_blocking(move || witness.answer(&body)).await;
    let answer = decided.unwrap_or_else(|_| failure("the witness failed"));
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(CONTENT_TYPE, answer.content_type)], answer.body).into_response()
}

//! Custody: what the law asks of who keeps evidence, to hand it out, to erase a person, to hold what is disputed, to let
//! old months go.
//!
//! In: orders of a person, with a reason. Out: packs; of a removal an event, in the ledger before anything is removed,
//! and then the removal. Invariants: what a hold names is not removed until it is released; a removal leaves every leaf and
//! every proof that was given out valid; a removal that was begun is finished by whoever comes next.

pub mod erase;
pub mod exported;
pub mod handout;
pub mod hold;
mod reach;
pub mod retention;

use crate::clock::Micros;
use crate::error::{Error, Result};
use crate::event::{Column, Draft};
use crate::ingest::writer::Writer;

/// Characters of a reason.
const REASON_CHARACTERS: usize = 256;

/// Who orders it, and why.
#[derive(Debug, Clone)]
pub struct Order {
    /// The person.
    pub by: String,
    /// The reason, which stays readable for ever: a case number rather than a story.
    pub reason: String,
}

impl Order {
    /// Checks the reason.
    ///
    /// # Errors
    /// Invalid when it is empty, too long, or has control characters.
    pub fn new(by: String, reason: &str) -> Result<Self> {
        let reason = reason.trim();
        if reason.is_empty() || reason.chars().count() > REASON_CHARACTERS || reason.chars().any(char::is_control) {
            return Err(Error::invalid(format!(
                "the reason must be one line of at most {REASON_CHARACTERS} characters; it stays in the ledger for ever, \
                 so name a case rather than a person"
            )));
        }
        Ok(Self { by, reason: reason.to_owned() })
    }

    /// The event that states it.
    fn statement(&self, writer: &Writer<'_>, event_type: &str) -> Draft<'static> {
        let mut event = writer.statement(event_type);
        event.set_text(Column::ActorKind, "human");
        event.set_text(Column::ActorId, self.by.clone());
        event.set_text(Column::ReasonCode, self.reason.clone());
        event
    }
}

/// First instant of a month `YYYY-MM`, and of the next one.
///
/// # Errors
/// Invalid when it is no month.
pub fn month_span(month: &str) -> Result<(Micros, Micros)> {
    let wrong = || Error::invalid(format!("`{month}` is no month; write it as YYYY-MM"));
    let (year, number) = month.split_once('-').ok_or_else(wrong)?;
    let (year, number): (i64, i64) = (year.parse().map_err(|_| wrong())?, number.parse().map_err(|_| wrong())?);
    let begin = |year: i64, number: i64| {
        crate::event::parse::instant(&format!("{year:04}-{number:02}-01T00:00:00Z")).map_err(|_| wrong())
    };
    let next = if number == 12 { begin(year + 1, 1) } else { begin(year, number + 1) };
    Ok((begin(year, number)?, next?))
}

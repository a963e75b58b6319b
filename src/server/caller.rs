//! Who asks, and what he may see.
//!
//! In: what the guard found out. Out: the caller as handlers take it, the sessions that he may read, and the statement
//! of every read. Invariants: a handler has a caller only from the guard; the tenant comes from the token, never from the
//! request; no row leaves before the read is evidence.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde_json::{Map, Value, json};
use subtle::ConstantTimeEq;

use super::problem::Problem;
use super::state::{App, Tenant};
use crate::access::role::{May, Role};
use crate::error::{Error, ErrorKind, Result};
use crate::event::Column;
use crate::limits::READ_NOTE_BYTES;
use crate::query::engine::Engine;

/// How the caller made himself known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// A bearer token.
    Token,
    /// A session of the pages.
    Session,
    /// This machine, while no token exists.
    Local,
}

/// Who asks.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Whose evidence he works on.
    pub tenant: Arc<Tenant>,
    /// His name.
    pub name: String,
    /// What he may do.
    pub role: Role,
    /// Whether he sees sealed values.
    pub sees_sealed: bool,
    /// What every form of his carries.
    pub csrf: String,
    /// How he made himself known.
    pub via: Via,
    /// Id of his token; none in local mode.
    pub token_id: Option<String>,
}

/// A read, as the evidence is to tell of it.
#[derive(Debug)]
pub struct Read<'a> {
    /// Name of the route or the query.
    pub what: &'a str,
    /// System, type and id of the record, where one record is read.
    pub subject: Option<(&'a str, &'a str, &'a str)>,
    /// What else is to be told: parameters, the text of SQL. An object, or null.
    pub extra: Value,
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> std::result::Result<Self, Problem> {
        let found = parts.extensions.get::<Self>().cloned();
        // The guard put it there, unless a route is open to everybody and asks for a caller all the same.
        found.ok_or_else(|| Problem(Error::internal("a route that is open to everybody asks for its caller")))
    }
}

impl Caller {
    /// Whether the caller may do `what`.
    pub fn may(&self, what: May) -> bool {
        self.role.may(what)
    }

    /// States the read in the evidence; it is durable when this returns, so call it before the first row leaves.
    ///
    /// # Errors
    /// Limit when the note is too long or too much waits to be written; when the store fails.
    pub async fn reads(&self, read: Read<'_>) -> Result<()> {
        let mut event = self.tenant.appender().statement("evidence.queried");
        event.set_text(Column::ActorKind, "human");
        event.set_text(Column::ActorId, self.name.clone());
        if let Some((system, record_type, record_id)) = read.subject {
            event.set_text(Column::System, system.to_owned());
            event.set_text(Column::RecordType, record_type.to_owned());
            event.set_text(Column::RecordId, record_id.to_owned());
        }
        let note = self.note(&read)?;
        event.set_text(Column::Extra, note);
        self.tenant.appender().state(vec![event]).await?;
        Ok(())
    }

    /// The `extra` of a read: keys in canonical order.
    fn note(&self, read: &Read<'_>) -> Result<String> {
        let mut extra = match &read.extra {
            Value::Object(given) => given.clone(),
            Value::Null => Map::new(),
            other => Map::from_iter([("params".to_owned(), other.clone())]),
        };
        extra.insert("what".to_owned(), json!(read.what));
        extra.insert("role".to_owned(), json!(self.role.word()));
        if let Some(id) = &self.token_id {
            extra.insert("token".to_owned(), json!(id));
        }
        let note = Value::Object(extra).to_string();
        if note.len() > READ_NOTE_BYTES {
            return Err(Error::limit(format!(
                "the question has {} bytes, the limit is {READ_NOTE_BYTES}; ask a shorter one",
                note.len()
            )));
        }
        Ok(note)
    }

    /// For forms: whether `given` is what the caller's pages carry. A request by bearer token carries none.
    ///
    /// # Errors
    /// Denied when it is not.
    pub fn check_csrf(&self, given: &str) -> Result<()> {
        if self.via == Via::Token || bool::from(self.csrf.as_bytes().ct_eq(given.as_bytes())) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Denied, "the form is of another session; load the page again and send it once more"))
    }

    /// The session over the caller's evidence: as of `as_of`, or of all that is acknowledged by now; without the sealed
    /// columns for who may not see them.
    ///
    /// # Errors
    /// Invalid or NotFound for an as-of point that is none; when the store cannot be read.
    pub async fn engine(&self, as_of: Option<&str>) -> Result<Arc<Engine>> {
        let whole = match as_of {
            Some(as_of) => self.tenant.engine_at(as_of).await?,
            None => self.tenant.engine().await?,
        };
        match self.sees_sealed {
            true => Ok(whole),
            false => Ok(Arc::new(whole.without_sealed()?)),
        }
    }
}

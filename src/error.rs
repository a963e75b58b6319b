//! The one error type.
//!
//! In: what went wrong, said by the code that noticed it. Out: a kind that tells the caller what to do, a
//! message that tells the person. Invariant: a message never holds a secret or the content of a record.
//! Refused input is not an error: it is counted and quarantined in an ordinary result.

use std::error::Error as StdError;
use std::fmt;

/// Result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// What the caller can do about an error; a new kind only where a caller would act differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request is wrong; change it.
    Invalid,
    /// The thing named does not exist.
    NotFound,
    /// Not allowed, whoever asks again.
    Denied,
    /// Somebody else was first; read again and retry.
    Conflict,
    /// A bound of [`limits`](crate::limits) was met; ask for less.
    Limit,
    /// The disk, the network or the object store failed; retry later.
    Unavailable,
    /// The evidence on disk is not what was written; stop and investigate.
    Damaged,
    /// A defect of this program.
    Internal,
}

/// An error: kind, message (lower case; what, where, expected and found, what to do) and cause.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind` that says `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// The request is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// The thing named does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// A bound was met.
    pub fn limit(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Limit, message)
    }

    /// Disk, network or object store failed.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    /// The evidence at rest is damaged.
    pub fn damaged(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Damaged, message)
    }

    /// A defect of this program.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// The same error with its cause attached.
    pub fn because(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(cause.into());
        self
    }

    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message without its causes.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    /// The message, then the causes that it does not already repeat.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        let mut said = self.message.clone();
        let mut cause = self.source();
        while let Some(err) = cause {
            // Foreign messages may carry a backtrace behind their first line.
            let text = err.to_string().lines().next().unwrap_or_default().trim_end().to_owned();
            if !text.is_empty() && !said.contains(&text) {
                write!(f, ": {text}")?;
                said = text;
            }
            cause = err.source();
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|e| e as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_printed_once_after_the_message() {
        let inner = std::io::Error::other("disk is full");
        let err = Error::unavailable("cannot write journal/7").because(inner);
        assert_eq!(err.to_string(), "cannot write journal/7: disk is full");
        let err = Error::unavailable("cannot write: disk is full").because(std::io::Error::other("disk is full"));
        assert_eq!(err.to_string(), "cannot write: disk is full");
    }
}

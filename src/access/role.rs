//! Roles: fixed sets of what a caller may do.
//!
//! In: a role and a need. Out: yes or no. Invariant: this table is the only place that says so.

use crate::error::{Error, Result};

/// Who somebody is to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// A producer of events: writes them, reads nothing.
    Ingest,
    /// Reads.
    Analyst,
    /// Reads, and marks the items of sample reviews.
    Reviewer,
    /// Reads, and works on incidents and reviews.
    Responder,
    /// Reads and exports; sees sealed values only where that was granted.
    Auditor,
    /// Everything.
    Admin,
}

/// What a route needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum May {
    /// Send events.
    Write,
    /// Read evidence, reports and proofs.
    Read,
    /// Mark items of a sample review.
    Mark,
    /// Open, scope, plan, update and close incidents; draw up and decide reviews; note pauses.
    Respond,
    /// Take evidence packs away.
    Export,
    /// Issue reports and run the server.
    Administer,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 6] =
        [Self::Ingest, Self::Analyst, Self::Reviewer, Self::Responder, Self::Auditor, Self::Admin];

    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Analyst => "analyst",
            Self::Reviewer => "reviewer",
            Self::Responder => "responder",
            Self::Auditor => "auditor",
            Self::Admin => "admin",
        }
    }

    /// The role with this name.
    ///
    /// # Errors
    /// Invalid for any other word.
    pub fn parse(word: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|role| role.word() == word);
        found.ok_or_else(|| {
            let known = Self::ALL.map(Self::word).join(", ");
            Error::invalid(format!("`{}` is no role; give one of: {known}", word.escape_debug()))
        })
    }

    /// Whether it may do `what`.
    pub fn may(self, what: May) -> bool {
        match self {
            Self::Ingest => what == May::Write,
            Self::Analyst => what == May::Read,
            Self::Reviewer => matches!(what, May::Read | May::Mark),
            Self::Responder => matches!(what, May::Read | May::Respond),
            Self::Auditor => matches!(what, May::Read | May::Export),
            Self::Admin => true,
        }
    }
}

impl May {
    /// All needs.
    pub const ALL: [Self; 6] = [Self::Write, Self::Read, Self::Mark, Self::Respond, Self::Export, Self::Administer];

    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Read => "read",
            Self::Mark => "mark",
            Self::Respond => "respond",
            Self::Export => "export",
            Self::Administer => "administer",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_do_what_its_line_says_and_nothing_else() {
        let lines = [
            (Role::Ingest, "write"),
            (Role::Analyst, "read"),
            (Role::Reviewer, "read mark"),
            (Role::Responder, "read respond"),
            (Role::Auditor, "read export"),
            (Role::Admin, "write read mark respond export administer"),
        ];
        assert_eq!(lines.map(|(role, _)| role), Role::ALL);
        for (role, may) in lines {
            let found: Vec<_> = May::ALL.into_iter().filter(|what| role.may(*what)).map(May::word).collect();
            assert_eq!(found.join(" "), may, "{}", role.word());
        }
    }

    #[test]
    fn a_role_is_read_by_its_word() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.word()).unwrap(), role);
        }
        for word in ["", "Admin", "root", "admin "] {
            assert!(Role::parse(word).is_err(), "{word}");
        }
    }
}

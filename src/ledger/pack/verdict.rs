//! What a verification found: a list of checks, each passed, failed or not asked for, and what is wrong where.
//!
//! In: findings of the checks. Out: values that print as words and serialise as JSON. Invariant: a check with a
//! finding has failed, and the number of findings kept is bounded while all are counted. Text out of a pack is
//! printed without control characters: it comes from the one who is being examined.

use std::fmt;

use serde::Serialize;

use super::format::Completeness;

/// Findings kept of one check; the rest is counted. A broken pack of a million rows has a million of them.
const KEPT_FINDINGS: usize = 100;
/// Characters of a text that may repeat a name out of the pack, which has no bound of its own.
const TEXT_CHARACTERS: usize = 2_000;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file.
    pub file: String,
    /// Its line, 1-based.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// What is wrong: expected and found.
    pub reason: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, " line {line}")?;
        }
        if let Some(seq) = self.seq {
            write!(f, " (seq {seq})")?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// Things that are wrong: the first ones, and how many more.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// The first ones, in the order of their discovery.
    #[serde(rename = "findings")]
    pub list: Vec<Finding>,
    /// How many more there were.
    #[serde(rename = "more_findings")]
    pub more: u64,
}

impl Findings {
    /// Something is wrong with a file as a whole.
    pub(super) fn file(&mut self, file: &str, reason: impl Into<String>) {
        self.push(file, None, None, reason.into());
    }

    /// Something is wrong with a line that could not be read.
    pub(super) fn line(&mut self, file: &str, line: u64, reason: impl Into<String>) {
        self.push(file, Some(line), None, reason.into());
    }

    /// Something is wrong with the event on a line.
    pub(super) fn row(&mut self, file: &str, line: u64, seq: u64, reason: impl Into<String>) {
        self.push(file, Some(line), Some(seq), reason.into());
    }

    /// Something is wrong with an event.
    pub(super) fn seq(&mut self, file: &str, seq: u64, reason: impl Into<String>) {
        self.push(file, None, Some(seq), reason.into());
    }

    /// Takes the findings of `other`.
    pub(super) fn append(&mut self, other: Findings) {
        self.more += other.more;
        for finding in other.list {
            self.keep(finding);
        }
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty() && self.more == 0
    }

    fn push(&mut self, file: &str, line: Option<u64>, seq: Option<u64>, reason: String) {
        self.keep(Finding { file: printable(file), line, seq, reason: printable(&reason) });
    }

    fn keep(&mut self, finding: Finding) {
        if self.list.len() < KEPT_FINDINGS {
            self.list.push(finding);
        } else {
            self.more += 1;
        }
    }
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was made and nothing is wrong.
    Passed,
    /// Something is wrong, or it could not be made.
    Failed,
    /// The auditor did not ask for it; `says` tells what stays open.
    NotAsked,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was to be shown.
    pub name: &'static str,
    /// How it ended.
    pub outcome: Outcome,
    /// What it shows, or why it was not made.
    pub says: String,
    /// What is wrong.
    #[serde(flatten)]
    pub findings: Findings,
}

impl Check {
    /// A check that was made: passed when nothing was found.
    pub(super) fn made(name: &'static str, says: impl Into<String>, findings: Findings) -> Self {
        if findings.is_empty() {
            Self { name, outcome: Outcome::Passed, says: printable(&says.into()), findings }
        } else {
            Self { name, outcome: Outcome::Failed, says: String::new(), findings }
        }
    }

    /// A check that nobody asked for.
    pub(super) fn not_asked(name: &'static str, says: &str) -> Self {
        Self { name, outcome: Outcome::NotAsked, says: says.to_owned(), findings: Findings::default() }
    }
}

/// How many sealed values of the rows are in which state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Values {
    /// In the pack, and the same that the ledger committed to.
    pub disclosed: u64,
    /// Committed to, not in the pack.
    pub withheld: u64,
    /// Committed to, erased since by an event that is in the pack.
    pub erased: u64,
}

/// What a pack proves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Whether every check that was asked for passed.
    pub is_ok: bool,
    /// The log of the checkpoint; absent when it could not be trusted.
    pub origin: Option<String>,
    /// The size of its tree.
    pub tree_size: Option<u64>,
    /// The lines of `entries.ndjson`.
    pub rows: u64,
    /// The states of their sealed values.
    pub values: Values,
    /// Whether the pack proves that no row of its selection is missing; absent unless `is_ok`.
    pub completeness: Option<Completeness>,
    /// The checks: in the order in which the specification lists them, then keys and receipt.
    pub checks: Vec<Check>,
}

impl Verdict {
    /// The checks that failed.
    pub fn failed(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| check.outcome == Outcome::Failed)
    }

    /// The verdict in one sentence.
    pub fn sentence(&self) -> String {
        let failed = self.failed().count();
        if failed > 0 {
            return format!("not verified: {failed} of {} checks failed; do not rely on this pack", self.checks.len());
        }
        let completeness = match self.completeness {
            Some(Completeness::Proven) => "that none of the range is missing is proven",
            _ => "that none of the selection is missing is not proven",
        };
        let (rows, origin) = (self.rows, self.origin.as_deref().unwrap_or_default());
        let size = self.tree_size.unwrap_or_default();
        format!("verified: {rows} rows stand unaltered in the log {origin} of {size} events; {completeness}")
    }
}

impl fmt::Display for Verdict {
    /// The checks with what is wrong, the values, the verdict, and what it does not say.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_checks(&self.checks, f)?;
        let Values { disclosed, withheld, erased } = self.values;
        writeln!(f, "sealed values: {disclosed} disclosed, {withheld} withheld, {erased} erased")?;
        writeln!(f, "{}", self.sentence())?;
        f.write_str(
            "This is tamper-evident, not tamper-proof: facts that never arrived, false content at the source, and \
             edits before the first checkpoint that somebody outside has seen are not detected.\n",
        )
    }
}

/// The checks as a numbered list, each with what is wrong.
pub(super) fn write_checks(checks: &[Check], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (i, check) in checks.iter().enumerate() {
        let outcome = match check.outcome {
            Outcome::Passed => "ok",
            Outcome::Failed => "FAILED",
            Outcome::NotAsked => "not asked",
        };
        let separator = if check.says.is_empty() { "" } else { ": " };
        writeln!(f, "{:>2}. {outcome:<9}  {}{separator}{}", i + 1, check.name, check.says)?;
        for finding in &check.findings.list {
            writeln!(f, "               {finding}")?;
        }
        if check.findings.more > 0 {
            writeln!(f, "               and {} more", check.findings.more)?;
        }
    }
    Ok(())
}

/// The text without control characters, as much of it as a person reads.
pub(super) fn printable(text: &str) -> String {
    text.chars().take(TEXT_CHARACTERS).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_bounded_and_all_counted() {
        let mut findings = Findings::default();
        for line in 0..250 {
            findings.line("entries.ndjson", line, "is wrong");
        }
        let mut all = findings.clone();
        all.append(findings);
        assert_eq!((all.list.len(), all.more), (KEPT_FINDINGS, 400));
    }

    #[test]
    fn a_finding_says_where_and_prints_no_control_characters() {
        let mut findings = Findings::default();
        findings.row("entries.ndjson", 3, 7, "has\u{1b}[2J a trick");
        assert_eq!(findings.list[0].to_string(), "entries.ndjson line 3 (seq 7): has\u{fffd}[2J a trick");
        let check = Check::made("a check", "fine", findings);
        assert_eq!((check.outcome, check.says.as_str()), (Outcome::Failed, ""));
    }
}

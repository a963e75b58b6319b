//! `probity-verify`: checks an evidence pack offline, and nothing else.
//!
//! In: a pack (directory or `.tar.gz`), the log's public key, and if the auditor has them a trust policy and a
//! checkpoint that he saw earlier. Out: the list of checks on standard output and an exit code that is a contract:
//! 0 verified, 1 not verified, 2 it could not be done. Small on purpose, so that whoever relies on it can read it: of
//! this project it uses `error`, `ledger` and `auditor` alone. It must not write a file, or look anything up.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use probity::auditor::{Asked, verify};
use probity::error::{Error, Result};
use probity::ledger::pack::Verdict;

const USAGE: &str = "\
usage: probity-verify PACK --key VKEY|FILE [--trust FILE] [--held FILE] [--json]

  PACK         evidence pack: a directory or a .tar.gz
  --key        the log's public key from your own records, as text or in a file
  --trust      trust policy (c2sp.org/tlog-policy): whose cosignatures you ask for
  --held       a signed checkpoint of the log that you saw earlier
  --json       print the verdict as JSON

exit code: 0 verified, 1 not verified, 2 it could not be done
";

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    if words.iter().any(|word| word == "--help" || word == "-h") {
        print(USAGE);
        return ExitCode::SUCCESS;
    }
    match Args::parse(words).and_then(|args| run(&args)) {
        Ok(verdict) if verdict.is_ok => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(e) => {
            // Nobody is left to be told when standard error is closed.
            let _ = writeln!(io::stderr(), "error: {e}");
            ExitCode::from(2)
        }
    }
}

/// The arguments as they were written.
#[derive(Default)]
struct Args {
    pack: Option<OsString>,
    key: Option<OsString>,
    trust: Option<OsString>,
    held: Option<OsString>,
    is_json: bool,
}

impl Args {
    fn parse(words: Vec<OsString>) -> Result<Self> {
        let mut args = Self::default();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            match word.to_str() {
                Some("--json") => args.is_json = true,
                Some("--key") => set(&mut args.key, "--key", words.next())?,
                Some("--trust") => set(&mut args.trust, "--trust", words.next())?,
                Some("--held") => set(&mut args.held, "--held", words.next())?,
                Some(option) if option.starts_with('-') => {
                    return Err(Error::invalid(format!("there is no option {option}; see --help")));
                }
                _ => set(&mut args.pack, "PACK", Some(word))?,
            }
        }
        Ok(args)
    }
}

fn set(place: &mut Option<OsString>, name: &str, value: Option<OsString>) -> Result<()> {
    let value = value.ok_or_else(|| Error::invalid(format!("{name} needs a value; see --help")))?;
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Error::invalid(format!("{name} is given twice"))),
    }
}

fn run(args: &Args) -> Result<Verdict> {
    let need = |name: &str| Error::invalid(format!("{name} is missing; see --help"));
    let verdict = verify(&Asked {
        pack: Path::new(args.pack.as_ref().ok_or_else(|| need("PACK"))?),
        key: args.key.as_ref().ok_or_else(|| need("--key"))?,
        trust: args.trust.as_ref().map(Path::new),
        held: args.held.as_ref().map(Path::new),
    })?;
    if args.is_json {
        let json = serde_json::to_string_pretty(&verdict);
        print(&(json.map_err(|e| Error::internal("cannot write the verdict").because(e))? + "\n"));
    } else {
        print(&verdict.to_string());
    }
    Ok(verdict)
}

/// Prints to standard output. The exit code counts, also for a reader that has seen enough, as in `| head`.
fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

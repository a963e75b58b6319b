//! `probity-verify`: checks an evidence pack, or the proof of one row, offline, and nothing else.
//!
//! In: a pack (directory or `.tar.gz`) or a `.tlog-proof`, the log's public key, and if the auditor has them a trust
//! policy, a checkpoint that he saw earlier and a receipt that the log answered. Out: the list of checks on standard output and an exit code that is a contract:
//! 0 verified, 1 not verified, 2 it could not be done. Small on purpose, so that whoever relies on it can read it: of
//! this project it uses `error`, `ledger` and `auditor` alone. It must not write a file, or look anything up.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use probity::auditor::{Asked, verify, verify_row};
use probity::error::{Error, Result};
use serde::Serialize;

const USAGE: &str = "\
usage: probity-verify PACK --key VKEY|FILE [--trust FILE] [--held FILE] [--receipt FILE] [--json]
       probity-verify ROW.tlog-proof --key VKEY|FILE [--trust FILE] [--json]

  PACK         evidence pack: a directory or a .tar.gz
  ROW          proof of one row: a file whose name ends in .tlog-proof
  --key        the log's public key from your own records, as text or in a file
  --trust      trust policy (c2sp.org/tlog-policy): whose cosignatures you ask for
  --held       a signed checkpoint of the log that you saw earlier
  --receipt    a signed receipt that the log answered when it accepted events
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
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
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
    receipt: Option<OsString>,
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
                Some("--receipt") => set(&mut args.receipt, "--receipt", words.next())?,
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

/// Prints the verdict; whether it is yes.
fn run(args: &Args) -> Result<bool> {
    let need = |name: &str| Error::invalid(format!("{name} is missing; see --help"));
    let pack = Path::new(args.pack.as_ref().ok_or_else(|| need("PACK"))?);
    let key = args.key.as_ref().ok_or_else(|| need("--key"))?;
    let trust = args.trust.as_ref().map(Path::new);
    let (held, receipt) = (args.held.as_ref().map(Path::new), args.receipt.as_ref().map(Path::new));
    if pack.extension().is_some_and(|extension| extension == "tlog-proof") {
        if held.is_some() || receipt.is_some() {
            return Err(Error::invalid("--held and --receipt need a pack; one row cannot be compared with them"));
        }
        let verdict = verify_row(pack, key, trust)?;
        tell(&verdict, &verdict.to_string(), args.is_json)?;
        return Ok(verdict.is_ok);
    }
    let verdict = verify(&Asked { pack, key, trust, held, receipt })?;
    tell(&verdict, &verdict.to_string(), args.is_json)?;
    Ok(verdict.is_ok)
}

fn tell(verdict: &impl Serialize, words: &str, is_json: bool) -> Result<()> {
    if !is_json {
        print(words);
        return Ok(());
    }
    let json = serde_json::to_string_pretty(verdict);
    print(&(json.map_err(|e| Error::internal("cannot write the verdict").because(e))? + "\n"));
    Ok(())
}

/// Prints to standard output. The exit code counts, also for a reader that has seen enough, as in `| head`.
fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

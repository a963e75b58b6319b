//! The `probity` binary: parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    probity::cli::main()
}

//! The `probity` binary: parse, run, exit code.

use std::process::ExitCode;

/// Queries allocate by the million from several threads, which the allocator of the C library serves slowly.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    probity::cli::keep_memory();
    probity::cli::main()
}

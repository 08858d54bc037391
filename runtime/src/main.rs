//! The binary `mayfly`.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// The system's own makes threads wait for each other: an invocation is made on
/// one and dropped on another.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    mayfly::cli::main()
}

//! The binary `mayfly`.

use std::{ffi::c_long, process::ExitCode};

use libmimalloc_sys::{mi_option_set_default, mi_option_t};
use mimalloc::MiMalloc;

/// The system's own makes threads wait for each other: an invocation is made on
/// one and dropped on another.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// The allocator's `mi_option_purge_delay`, which has no name in Rust.
const PURGE_DELAY: mi_option_t = 15;

/// How long it keeps what is free, in ms. It only looks when something else is
/// freed or asked for: with its own second, what many connections free as they
/// become idle together would stay, as nothing follows.
const PURGE_DELAY_MS: c_long = 10;

fn main() -> ExitCode {
    give_back_soon();
    mayfly::cli::main()
}

/// Has the allocator give memory back, unless `MIMALLOC_PURGE_DELAY` says when.
#[allow(unsafe_code, reason = "the allocator's options are set in C")]
fn give_back_soon() {
    // SAFETY: it is one of the allocator's options, and no pointer is involved.
    unsafe { mi_option_set_default(PURGE_DELAY, PURGE_DELAY_MS) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(unsafe_code, reason = "the allocator's options are read in C")]
    fn purge_delay() -> c_long {
        // SAFETY: as of setting it.
        unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) }
    }

    #[test]
    fn it_is_the_purge_delay_that_is_set() {
        assert_eq!(purge_delay(), 1000, "mimalloc has other options than it had");
        give_back_soon();
        assert_eq!(purge_delay(), PURGE_DELAY_MS);
    }
}

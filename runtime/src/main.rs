//! The binary `mayfly`.

use std::{ffi::c_long, process::ExitCode};

use libmimalloc_sys::{mi_option_set_default, mi_option_t};
use mimalloc::MiMalloc;

/// The system's own makes threads wait for each other: an invocation is made on
/// one and dropped on another.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// An option of the allocator, none of which has a name in Rust, and the value
/// that it has here.
type Setting = (mi_option_t, c_long);

/// `mi_option_purge_delay`: how long it keeps what is free, in ms. It only looks
/// when something else is freed or asked for: with its own second, what many
/// connections free as they become idle together would stay, as nothing follows.
const PURGE_DELAY: Setting = (15, 10);

/// `mi_option_page_full_retain`: how many full pages stay among those that may
/// have room. With such a one beside it, a page that becomes empty is given up at
/// once, to be made anew by the next request. -1: none does, and all stay their
/// thread's; with 0 they would be nobody's, and what is freed in them would never
/// be given back.
const PAGE_FULL_RETAIN: Setting = (36, -1);

const SETTINGS: [Setting; 2] = [PURGE_DELAY, PAGE_FULL_RETAIN];

fn main() -> ExitCode {
    set_up_allocator();
    mayfly::cli::main()
}

/// Sets the allocator's options, but for those that the environment sets, as
/// `MIMALLOC_PURGE_DELAY` does. Threads that are there before don't see all.
#[allow(unsafe_code, reason = "the allocator's options are set in C")]
fn set_up_allocator() {
    for (option, value) in SETTINGS {
        // SAFETY: it is one of the allocator's options, and no pointer is involved.
        unsafe { mi_option_set_default(option, value) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(unsafe_code, reason = "the allocator's options are read in C")]
    fn values() -> [c_long; 2] {
        // SAFETY: as of setting them.
        SETTINGS.map(|(option, _)| unsafe { libmimalloc_sys::mi_option_get(option) })
    }

    #[test]
    fn it_is_those_options_that_are_set() {
        assert_eq!(values(), [1000, 2], "mimalloc has other options than it had");
        set_up_allocator();
        assert_eq!(values(), SETTINGS.map(|(_, value)| value));
    }
}

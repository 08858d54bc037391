//! Log records of the invocation.
//!
//! The host drops what goes beyond the invocation's log limit. In tests on the
//! host the lines go to standard error, which `cargo test` shows when a test
//! fails.
//!
//! ```
//! use mayfly_guest::log;
//!
//! log::info!("{} messages on the board", 3);
//! ```

use std::fmt;

#[doc(inline)]
pub use crate::{debug, error, info, trace, warn};

/// How much a line matters.
///
/// ```
/// use mayfly_guest::log::Level;
///
/// assert!(Level::Error > Level::Info);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Every step.
    Trace,
    /// What helps to find an error.
    Debug,
    /// What an operator wants to know.
    Info,
    /// What is wrong but survivable.
    Warn,
    /// What failed.
    Error,
}

/// Writes one record; the macros call this.
///
/// ```
/// use mayfly_guest::log::{Level, write};
///
/// write(Level::Warn, format_args!("{} retries", 2));
/// ```
pub fn write(level: Level, message: fmt::Arguments<'_>) {
    // A literal needs no copy.
    match message.as_str() {
        Some(message) => crate::platform::log(level, message),
        None => crate::platform::log(level, &message.to_string()),
    }
}

/// Writes a record of the level `trace`.
///
/// ```
/// mayfly_guest::trace!("step {}", 1);
/// ```
#[macro_export]
macro_rules! trace {
    ($($argument:tt)+) => { $crate::log::write($crate::log::Level::Trace, ::std::format_args!($($argument)+)) };
}

/// Writes a record of the level `debug`.
///
/// ```
/// mayfly_guest::debug!("the cache holds {} entries", 2);
/// ```
#[macro_export]
macro_rules! debug {
    ($($argument:tt)+) => { $crate::log::write($crate::log::Level::Debug, ::std::format_args!($($argument)+)) };
}

/// Writes a record of the level `info`.
///
/// ```
/// mayfly_guest::info!("user {} signed in", "ada");
/// ```
#[macro_export]
macro_rules! info {
    ($($argument:tt)+) => { $crate::log::write($crate::log::Level::Info, ::std::format_args!($($argument)+)) };
}

/// Writes a record of the level `warn`.
///
/// ```
/// mayfly_guest::warn!("the quota is nearly spent");
/// ```
#[macro_export]
macro_rules! warn {
    ($($argument:tt)+) => { $crate::log::write($crate::log::Level::Warn, ::std::format_args!($($argument)+)) };
}

/// Writes a record of the level `error`.
///
/// ```
/// mayfly_guest::error!("the payment failed: {}", "card expired");
/// ```
#[macro_export]
macro_rules! error {
    ($($argument:tt)+) => { $crate::log::write($crate::log::Level::Error, ::std::format_args!($($argument)+)) };
}

//! Times as they are kept, in milliseconds since 1970, and as AWS writes them.

use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};

const LAMBDA: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]+0000");
const RECORD: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
const EVENT: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");

/// Now.
pub fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

/// Now, in milliseconds since 1970.
pub fn now_ms() -> i64 {
    ms(now())
}

/// A time in milliseconds since 1970.
pub fn ms(time: OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

/// The time so many milliseconds after 1970; what no calendar has is 1970.
pub fn of_ms(ms: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// `2026-01-31T12:00:00.000+0000`, as Lambda has it.
pub fn lambda(time: OffsetDateTime) -> String {
    time.format(LAMBDA).unwrap_or_default()
}

/// `2026-01-31T12:00:00.000Z`, as destinations have it.
pub fn record(time: OffsetDateTime) -> String {
    time.format(RECORD).unwrap_or_default()
}

/// `2026-01-31T12:00:00Z`, as EventBridge has it.
pub fn event(time: OffsetDateTime) -> String {
    time.format(EVENT).unwrap_or_default()
}

//! Counters on disk: a SQLite database in the data folder.
//!
//! Changes are written as differences, so that several processes may count
//! into one file. It has a log of its own (WAL): a process that dies loses
//! what it had not written yet and nothing else.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use rusqlite::{Connection, ErrorCode, OptionalExtension as _, TransactionBehavior, params};
use time::{
    Date, OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description,
};

use super::counters::Pending;
use crate::config::Window;

const NAME: &str = "usage.sqlite";

/// The form of the file, in its `user_version`.
const VERSION: i64 = 1;

/// How long a write waits for other processes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long before it is opened again.
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// How long counters of past periods are kept, in days: as long as the service
/// tells of them.
pub const KEPT_DAYS: i64 = 90;

const DATE: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]");

/// Why counters cannot be kept.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StateError(pub(super) String);

/// The open file.
pub struct File {
    path: PathBuf,
    connection: Connection,
}

impl File {
    /// Opens `data/usage.sqlite`, or begins it. One that is damaged is set
    /// aside under another name.
    pub fn open(data: &Path) -> Result<Self, StateError> {
        let path = data.join(NAME);
        fs::create_dir_all(data).map_err(|error| failed(&path, &error))?;
        match patiently(&path) {
            Err(Unusable::Damaged(reason)) => {
                let aside = set_aside(&path).map_err(|error| failed(&path, &error))?;
                let (path, aside) = (path.display(), aside.display());
                tracing::error!(
                    "{path} is damaged ({reason}): it is now {aside}, and counting begins anew"
                );
            }
            opened => return opened.map_err(|error| failed(&path, &error)),
        }
        patiently(&path).map_err(|error| failed(&path, &error))
    }

    /// Counters of periods that are not over at `today`.
    pub fn load(&self, today: Date) -> Result<Vec<(String, Window, u64)>, StateError> {
        let read = || {
            let mut statement = self
                .connection
                .prepare("SELECT name, first, until, used FROM counter WHERE until > ?1")?;
            let rows = statement.query_map([text(today)], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })?;
            rows.collect::<rusqlite::Result<Vec<(String, String, String, i64)>>>()
        };
        let rows = read().map_err(|error| failed(&self.path, &error))?;
        let counter = |(name, first, until, used): (String, String, String, i64)| {
            let first = Date::parse(&first, DATE).ok()?;
            let until = Date::parse(&until, DATE).ok()?;
            Some((name, Window { first, until }, u64::try_from(used).unwrap_or(0)))
        };
        Ok(rows.into_iter().filter_map(counter).collect())
    }

    /// Writes all changes or none, and tells what each makes.
    pub fn write(&mut self, changes: &[Pending]) -> rusqlite::Result<Vec<i64>> {
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut totals = Vec::with_capacity(changes.len());
        {
            let mut statement = transaction.prepare_cached(
                // Whatever the file says, a sum stays a whole number.
                "INSERT INTO counter (name, first, until, used) VALUES (?1, ?2, ?3, max(0, ?4))
                 ON CONFLICT (name, first, until)
                 DO UPDATE SET used = min(max(0, used + ?4), 4611686018427387904)
                 RETURNING used",
            )?;
            for pending in changes {
                let (first, until) = (text(pending.window.first), text(pending.window.until));
                let values = params![pending.name(), first, until, pending.change];
                totals.push(statement.query_row(values, |row| row.get(0))?);
            }
        }
        transaction.commit()?;
        Ok(totals)
    }

    /// What is counted under a name in a period.
    pub fn used(&self, name: &str, window: Window) -> Result<u64, StateError> {
        let read = || {
            let mut statement = self.connection.prepare_cached(
                "SELECT used FROM counter WHERE name = ?1 AND first = ?2 AND until = ?3",
            )?;
            let values = params![name, text(window.first), text(window.until)];
            statement.query_row(values, |row| row.get::<_, i64>(0)).optional()
        };
        let used = read().map_err(|error| failed(&self.path, &error))?;
        Ok(used.map_or(0, |used| u64::try_from(used).unwrap_or(0)))
    }
}

/// The date in UTC.
pub fn today() -> Date {
    OffsetDateTime::now_utc().date()
}

/// As SQL compares it.
fn text(date: Date) -> String {
    date.format(DATE).unwrap_or_default()
}

fn failed(path: &Path, error: &dyn std::fmt::Display) -> StateError {
    StateError(format!("{} cannot be used: {error}", path.display()))
}

#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("{0}")]
    Damaged(String),
    #[error("it was written by a newer Mayfly (hint: use that one, or another data folder)")]
    Newer,
    #[error("{0}")]
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Unusable {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                Self::Damaged(error.to_string())
            }
            _ => Self::Sqlite(error),
        }
    }
}

/// Opens a file that another process may be opening too: who turns its log on
/// meets the other without being made to wait.
fn patiently(path: &Path) -> Result<File, Unusable> {
    let begun = Instant::now();
    loop {
        match open(path) {
            Err(Unusable::Sqlite(error)) if is_busy(&error) && begun.elapsed() < BUSY_TIMEOUT => {
                std::thread::sleep(BUSY_PAUSE);
            }
            outcome => return outcome,
        }
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    matches!(code, Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

fn open(path: &Path) -> Result<File, Unusable> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    let check: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if check != "ok" {
        return Err(Unusable::Damaged(check));
    }
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version > VERSION {
        return Err(Unusable::Newer);
    }
    // What is committed outlives the process; a machine that loses its power
    // may lose the last commits, and damages nothing.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS counter (
             name TEXT NOT NULL, first TEXT NOT NULL, until TEXT NOT NULL, used INTEGER NOT NULL,
             PRIMARY KEY (name, first, until)
         ) STRICT, WITHOUT ROWID;
         PRAGMA user_version = 1;",
    )?;
    let oldest = today().saturating_sub(time::Duration::days(KEPT_DAYS));
    connection.execute("DELETE FROM counter WHERE until < ?1", [text(oldest)])?;
    Ok(File { path: path.to_owned(), connection })
}

/// Renames the file, its log with it.
fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let aside = format!("{NAME}.damaged-{}", seconds.as_secs());
    for suffix in ["", "-wal", "-shm"] {
        let own = path.with_file_name(format!("{NAME}{suffix}"));
        match fs::rename(own, path.with_file_name(format!("{aside}{suffix}"))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(path.with_file_name(aside))
}

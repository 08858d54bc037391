//! What outlives the process: a SQLite database in the data folder, and one
//! thread that writes to it.
//!
//! A write is answered when it is on the disk, not before. Writes that come
//! together are committed together, so that they wait for the disk once.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

const NAME: &str = "lambda.sqlite";

/// The form of the file, in its `user_version`.
const VERSION: i64 = 2;

/// How long a write waits for other processes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Writes that wait for the thread; further ones wait to be taken.
const WAITING_MAX: usize = 1024;

/// Writes that are committed together.
const BATCH_MAX: usize = 256;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS version (
    function TEXT NOT NULL, number INTEGER NOT NULL, sha256 BLOB NOT NULL, size INTEGER NOT NULL,
    description TEXT NOT NULL, published_ms INTEGER NOT NULL, revision TEXT NOT NULL,
    PRIMARY KEY (function, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS version_number (
    function TEXT PRIMARY KEY, last INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS alias (
    function TEXT NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL, description TEXT NOT NULL,
    weights TEXT NOT NULL, revision TEXT NOT NULL,
    PRIMARY KEY (function, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS concurrency (
    function TEXT PRIMARY KEY, reserved INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS event_config (
    function TEXT NOT NULL, qualifier TEXT NOT NULL, retries INTEGER, age_seconds INTEGER,
    on_success TEXT, on_failure TEXT, modified_ms INTEGER NOT NULL,
    PRIMARY KEY (function, qualifier)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS url (
    function TEXT NOT NULL, qualifier TEXT NOT NULL, auth TEXT NOT NULL, cors TEXT,
    invoke_mode TEXT NOT NULL, created_ms INTEGER NOT NULL, modified_ms INTEGER NOT NULL,
    PRIMARY KEY (function, qualifier)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS event (
    id INTEGER PRIMARY KEY AUTOINCREMENT, function TEXT NOT NULL, qualifier TEXT,
    request_id TEXT NOT NULL, payload TEXT NOT NULL, accepted_ms INTEGER NOT NULL,
    due_ms INTEGER NOT NULL, failures INTEGER NOT NULL, deferrals INTEGER NOT NULL,
    hops INTEGER NOT NULL, client_context TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS schedule (
    name TEXT PRIMARY KEY, expression TEXT NOT NULL, created_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS usage (
    function TEXT PRIMARY KEY, invocations INTEGER NOT NULL, errors INTEGER NOT NULL,
    throttles INTEGER NOT NULL, billed_ms INTEGER NOT NULL, megabyte_ms INTEGER NOT NULL,
    cpu_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
PRAGMA user_version = 2;
";

/// Why nothing can be kept.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);

/// A way to the thread that has the file.
pub struct Store {
    path: PathBuf,
    jobs: mpsc::Sender<Box<dyn Job>>,
}

trait Job: Send {
    /// Does the work; false where it has to be undone.
    fn run(&mut self, connection: &Connection) -> bool;
    /// Answers, once it is known whether the work is on the disk.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Pending<W, T> {
    work: Option<W>,
    result: Option<rusqlite::Result<T>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<W, T> Job for Pending<W, T>
where
    W: FnOnce(&Connection) -> rusqlite::Result<T> + Send,
    T: Send,
{
    fn run(&mut self, connection: &Connection) -> bool {
        self.result = self.work.take().map(|work| work(connection));
        matches!(self.result, Some(Ok(_)))
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let result = match self.result {
            Some(Ok(value)) => committed.map(|()| value),
            Some(Err(error)) => Err(StoreError(error.to_string())),
            None => Err(StoreError("it was not begun".to_owned())),
        };
        // Whoever asked may have gone.
        let _ = self.reply.send(result);
    }
}

impl Store {
    /// Opens `data/lambda.sqlite`, or begins it.
    ///
    /// # Errors
    /// Where it cannot be used. Nothing is set aside: it may hold events that
    /// were accepted.
    pub fn open(data: &Path) -> Result<(Self, Connection), StoreError> {
        let path = data.join(NAME);
        let failed = |error: &dyn std::fmt::Display| {
            StoreError(format!("{} cannot be used: {error}", path.display()))
        };
        fs::create_dir_all(data).map_err(|error| failed(&error))?;
        let connection = connect(&path).map_err(|error| {
            failed(&format!(
                "{error} (hint: it keeps versions, aliases and queued events; restore it from a copy, or move it away to begin anew)"
            ))
        })?;
        let own = connect(&path).map_err(|error| failed(&error))?;
        let (jobs, waiting) = mpsc::channel(WAITING_MAX);
        std::thread::Builder::new()
            .name("lambda-store".to_owned())
            .spawn(move || serve(own, waiting))
            .map_err(|error| failed(&error))?;
        Ok((Self { path, jobs }, connection))
    }

    /// Does `work`, and returns when what it wrote is on the disk.
    ///
    /// # Errors
    /// Where it failed, or could not be written; then nothing of it was.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let gone = || StoreError(format!("{}: its thread has ended", self.path.display()));
        let (reply, answer) = oneshot::channel();
        let job = Pending { work: Some(work), result: None, reply };
        self.jobs.send(Box::new(job)).await.map_err(|_| gone())?;
        let result = answer.await.map_err(|_| gone())?;
        result.map_err(|error| StoreError(format!("{}: {error}", self.path.display())))
    }
}

fn connect(path: &Path) -> Result<Connection, String> {
    let open = || -> rusqlite::Result<(Connection, i64)> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        let version = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        Ok((connection, version))
    };
    let (connection, version) = open().map_err(|error| error.to_string())?;
    if version > VERSION {
        return Err("it was written by a newer Mayfly".to_owned());
    }
    let begin = || -> rusqlite::Result<()> {
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // Each commit waits for the disk: what was accepted survives a loss of power.
        connection.pragma_update(None, "synchronous", "FULL")?;
        // Whoever only reads does not wait for those who write.
        if version < VERSION { connection.execute_batch(SCHEMA) } else { Ok(()) }
    };
    begin().map_err(|error| error.to_string())?;
    Ok(connection)
}

/// Commits what waits, until nobody can ask any more.
fn serve(mut connection: Connection, mut waiting: mpsc::Receiver<Box<dyn Job>>) {
    while let Some(first) = waiting.blocking_recv() {
        let mut batch = vec![first];
        while batch.len() < BATCH_MAX
            && let Ok(next) = waiting.try_recv()
        {
            batch.push(next);
        }
        let committed =
            commit(&mut connection, &mut batch).map_err(|error| StoreError(error.to_string()));
        for job in batch {
            job.answer(committed.clone());
        }
    }
}

fn commit(connection: &mut Connection, batch: &mut [Box<dyn Job>]) -> rusqlite::Result<()> {
    let mut transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for job in batch {
        let savepoint = transaction.savepoint()?;
        // One that fails takes no other with it: dropped, it is rolled back.
        if job.run(&savepoint) {
            savepoint.commit()?;
        }
    }
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_write_that_fails_takes_no_other_with_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let (store, connection) = Store::open(folder.path()).expect("a store");
        let put = |name: &'static str, fails: bool| {
            store.run(move |connection| {
                let sql = "INSERT INTO concurrency (function, reserved) VALUES (?1, 1)";
                connection.execute(sql, [name])?;
                if fails { Err(rusqlite::Error::InvalidQuery) } else { Ok(()) }
            })
        };
        let (one, two, three) = tokio::join!(put("a", false), put("b", true), put("c", false));
        assert!(one.is_ok() && two.is_err() && three.is_ok());
        let sql = "SELECT group_concat(function) FROM concurrency ORDER BY function";
        let names: String = connection.query_row(sql, [], |row| row.get(0)).expect("names");
        assert_eq!(names, "a,c");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named_and_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(NAME);
        fs::write(&path, "not a database at all, but long enough to be looked at".repeat(100))
            .expect("written");
        let error = Store::open(folder.path()).err().expect("an error").to_string();
        assert!(error.contains("lambda.sqlite cannot be used"), "{error}");
        assert!(fs::read_to_string(&path).expect("text").starts_with("not a database"));
    }
}

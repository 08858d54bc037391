//! Asynchronous invocations: a queue on the disk, oldest first for each
//! function, and functions in turn.
//!
//! An event is accepted when it is on the disk, and leaves it in the same
//! write in which its destinations' events come to be. Whoever is killed in
//! between runs it again.

mod index;
mod run;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension as _, params};
use tokio::sync::Notify;

use super::{
    Lambda, StoreError,
    error::{ErrorKind, LambdaError},
    moment,
};
use crate::config::FunctionReference;
use index::{Index, Queued};

/// The longest event that a caller may send, in bytes: Lambda's.
pub const EVENT_BYTES_MAX: usize = 1024 * 1024;

/// Events that wait, over all functions.
const QUEUE_EVENTS_MAX: usize = 100_000;

/// The same in bytes.
const QUEUE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// How many functions tell each other of their results before it is taken for
/// a circle: Lambda's.
const HOPS_MAX: u32 = 16;

/// What waits, by when it is due.
pub struct Queue {
    index: Arc<Mutex<Index>>,
    wake: Notify,
}

/// An event that waits for its function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What is invoked.
    pub function: FunctionReference,
    /// The id of the invocation, the same for each attempt.
    pub request_id: String,
    /// The event, a JSON text.
    pub payload: String,
    /// What its caller said beside it, a JSON text.
    pub client_context: Option<String>,
    /// When it was accepted, in milliseconds since 1970.
    pub accepted_ms: i64,
    /// How often the function has failed with it.
    pub failures: u32,
    /// How often it could not be invoked at all.
    pub deferrals: u32,
    /// How many functions have told each other of it.
    pub hops: u32,
}

impl Event {
    /// A new event.
    pub fn new(function: FunctionReference, request_id: String, payload: String) -> Self {
        let accepted_ms = moment::now_ms();
        Self {
            function,
            request_id,
            payload,
            client_context: None,
            accepted_ms,
            failures: 0,
            deferrals: 0,
            hops: 0,
        }
    }

    fn insert(&self, connection: &Connection, due_ms: i64) -> rusqlite::Result<i64> {
        let FunctionReference { name, qualifier } = &self.function;
        let sql = "INSERT INTO event (function, qualifier, request_id, payload, accepted_ms, due_ms, failures, deferrals, hops, client_context)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
        connection.prepare_cached(sql)?.execute(params![
            name,
            qualifier,
            self.request_id,
            self.payload,
            self.accepted_ms,
            due_ms,
            self.failures,
            self.deferrals,
            self.hops,
            self.client_context
        ])?;
        Ok(connection.last_insert_rowid())
    }

    fn load(connection: &Connection, id: i64) -> rusqlite::Result<Option<Self>> {
        let sql = "SELECT function, qualifier, request_id, payload, accepted_ms, failures, deferrals, hops, client_context
                   FROM event WHERE id = ?1";
        let row = |row: &rusqlite::Row<'_>| {
            Ok(Self {
                function: FunctionReference { name: row.get(0)?, qualifier: row.get(1)? },
                request_id: row.get(2)?,
                payload: row.get(3)?,
                accepted_ms: row.get(4)?,
                failures: row.get(5)?,
                deferrals: row.get(6)?,
                hops: row.get(7)?,
                client_context: row.get(8)?,
            })
        };
        connection.prepare_cached(sql)?.query_row([id], row).optional()
    }
}

/// All events that wait, without their payloads.
fn list(connection: &Connection) -> rusqlite::Result<Vec<Queued>> {
    let sql = "SELECT id, function, due_ms, octet_length(payload) FROM event";
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([], |row| {
        let bytes: i64 = row.get(3)?;
        Ok(Queued {
            id: row.get(0)?,
            function: row.get(1)?,
            due_ms: row.get(2)?,
            bytes: u64::try_from(bytes).unwrap_or_default(),
        })
    })?;
    rows.collect()
}

impl Queue {
    /// The queue as the disk has it.
    pub fn new(connection: &Connection) -> rusqlite::Result<Self> {
        let mut index = Index::default();
        index.replace(list(connection)?);
        Ok(Self { index: Arc::new(Mutex::new(index)), wake: Notify::new() })
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        lock(&self.index)
    }

    fn has_room(&self, bytes: usize) -> bool {
        let index = self.index();
        index.len() < QUEUE_EVENTS_MAX && index.bytes() + bytes as u64 <= QUEUE_BYTES_MAX
    }

    fn add(&self, queued: Queued) {
        self.index().add(queued);
        self.wake.notify_one();
    }
}

fn lock(index: &Mutex<Index>) -> MutexGuard<'_, Index> {
    index.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lambda {
    /// Accepts an event: when this returns, it is on the disk. The id is its
    /// place in the queue.
    ///
    /// # Errors
    /// Where the event is too long, the queue is full or cannot be written.
    pub async fn enqueue(&self, event: Event) -> Result<i64, LambdaError> {
        let size = event.payload.len();
        if size > EVENT_BYTES_MAX {
            return Err(LambdaError::event_too_large(size as u64, EVENT_BYTES_MAX));
        }
        if !self.queue.has_room(size) {
            let message = format!(
                "The queue of asynchronous invocations is full: {QUEUE_EVENTS_MAX} events, or {QUEUE_BYTES_MAX} bytes."
            );
            return Err(LambdaError::new(ErrorKind::QueueFull, message));
        }
        let due_ms = event.accepted_ms;
        let (function, bytes) = (event.function.name.clone(), size as u64);
        let id = self.store.run(move |connection| event.insert(connection, due_ms)).await?;
        self.queue.add(Queued { id, function, due_ms, bytes });
        Ok(id)
    }

    /// How many events wait or are being worked on.
    pub fn queued(&self) -> usize {
        self.queue.index().len()
    }

    /// Takes an event out of the queue, or changes when it is due, together
    /// with the events that come of it.
    async fn settle(&self, id: i64, settled: Settled) -> Result<(), StoreError> {
        let now = moment::now_ms();
        let (again, events) = match settled {
            Settled::Over(events) => (None, events),
            Settled::Again { due_ms, event } => (Some((due_ms, event)), Vec::new()),
        };
        let queued = self.store.run(move |connection| {
            match &again {
                None => {
                    connection.prepare_cached("DELETE FROM event WHERE id = ?1")?.execute([id])?;
                }
                Some((due_ms, event)) => {
                    let sql =
                        "UPDATE event SET due_ms = ?2, failures = ?3, deferrals = ?4 WHERE id = ?1";
                    let values = params![id, due_ms, event.failures, event.deferrals];
                    connection.prepare_cached(sql)?.execute(values)?;
                }
            }
            let queued = |id: i64, due_ms: i64, event: &Event| Queued {
                id,
                function: event.function.name.clone(),
                due_ms,
                bytes: event.payload.len() as u64,
            };
            let mut all = Vec::new();
            all.extend(again.iter().map(|(due_ms, event)| queued(id, *due_ms, event)));
            for event in &events {
                all.push(queued(event.insert(connection, now)?, now, event));
            }
            Ok(all)
        });
        let queued = queued.await?;
        // Until it is written, nobody may take it for one that waits.
        self.queue.index().end(id);
        queued.into_iter().for_each(|queued| self.queue.add(queued));
        Ok(())
    }
}

/// What becomes of an event that was tried.
enum Settled {
    /// It is done with; these come of it.
    Over(Vec<Event>),
    /// It is tried again.
    Again { due_ms: i64, event: Event },
}

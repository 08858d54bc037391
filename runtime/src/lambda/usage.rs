//! What functions have used, over restarts.

use std::{path::Path, sync::Arc, time::Duration};

use rusqlite::{Connection, params};
use tokio::sync::watch;

use super::{Lambda, StoreError, store::Store};
use crate::sandbox::Usage;

/// How long usage is gathered before it is written: what a process that is
/// killed loses at most.
const BATCH: Duration = Duration::from_secs(1);

/// The usage of one function.
#[derive(Debug, Clone, PartialEq)]
pub struct FunctionUsage {
    /// Its name.
    pub function: String,
    /// What it has used.
    pub usage: Usage,
}

impl FunctionUsage {
    /// Gigabyte-seconds, as Lambda bills them.
    pub fn gigabyte_seconds(&self) -> f64 {
        self.usage.megabyte_ms as f64 / 1024.0 / 1000.0
    }
}

impl Lambda {
    /// Writes usage until `stop` turns true.
    pub async fn write_usage(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(BATCH) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            self.flush_usage().await;
        }
    }

    /// Writes what was used and is not on the disk yet.
    pub async fn flush_usage(&self) {
        let accounts = self.sandbox.accounts();
        let used = accounts.take_usage();
        if used.is_empty() {
            return;
        }
        let rows = used.clone();
        let written = self.store.run(move |connection| {
            rows.iter().try_for_each(|(function, usage)| add(connection, function, usage))
        });
        if let Err(error) = written.await {
            tracing::error!(%error, "what functions used cannot be written; it is kept in memory");
            accounts.put_back(&used);
        }
    }
}

fn add(connection: &Connection, function: &str, usage: &Usage) -> rusqlite::Result<()> {
    let sql = "INSERT INTO usage VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
               ON CONFLICT (function) DO UPDATE SET invocations = invocations + ?2,
               errors = errors + ?3, throttles = throttles + ?4, billed_ms = billed_ms + ?5,
               megabyte_ms = megabyte_ms + ?6, cpu_us = cpu_us + ?7";
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let values = params![
        function,
        number(usage.invocations),
        number(usage.errors),
        number(usage.throttles),
        number(usage.billed_ms),
        number(usage.megabyte_ms),
        number(usage.cpu_us)
    ];
    connection.prepare_cached(sql)?.execute(values).map(|_| ())
}

/// What each function has used, as the folder `data` has it.
///
/// # Errors
/// Where it cannot be read.
pub fn used(data: &Path) -> Result<Vec<FunctionUsage>, StoreError> {
    let (_, connection) = Store::open(data)?;
    let read = || {
        let mut statement = connection.prepare("SELECT * FROM usage ORDER BY function")?;
        let number = |value: i64| u64::try_from(value).unwrap_or_default();
        let rows = statement.query_map([], |row| {
            Ok(FunctionUsage {
                function: row.get(0)?,
                usage: Usage {
                    invocations: number(row.get(1)?),
                    errors: number(row.get(2)?),
                    throttles: number(row.get(3)?),
                    billed_ms: number(row.get(4)?),
                    megabyte_ms: number(row.get(5)?),
                    cpu_us: number(row.get(6)?),
                },
            })
        })?;
        rows.collect::<rusqlite::Result<Vec<_>>>()
    };
    read().map_err(|error| StoreError(error.to_string()))
}

//! Settings that the API has made: how asynchronous invocations go.

use std::time::Duration;

use rusqlite::{Connection, params};
use time::OffsetDateTime;

use super::moment;
use crate::config::{AsyncConfig, FunctionReference};

/// What was set for a version or alias, in place of what is configured.
#[derive(Debug, Clone, PartialEq)]
pub struct EventConfig {
    /// How often a failed invocation is tried again.
    pub retries: Option<u32>,
    /// How old an event may get, in seconds.
    pub age_seconds: Option<u32>,
    /// The function that is told of success.
    pub on_success: Option<String>,
    /// The function that is told of failure.
    pub on_failure: Option<String>,
    /// When it was set.
    pub modified: OffsetDateTime,
}

impl EventConfig {
    /// All of them, with function and qualifier.
    pub fn load(connection: &Connection) -> rusqlite::Result<Vec<(String, String, Self)>> {
        let mut statement = connection.prepare(
            "SELECT function, qualifier, retries, age_seconds, on_success, on_failure, modified_ms FROM event_config",
        )?;
        let rows = statement.query_map([], |row| {
            let config = Self {
                retries: row.get(2)?,
                age_seconds: row.get(3)?,
                on_success: row.get(4)?,
                on_failure: row.get(5)?,
                modified: moment::of_ms(row.get(6)?),
            };
            Ok((row.get(0)?, row.get(1)?, config))
        })?;
        rows.collect()
    }

    /// Writes it.
    pub fn write(
        &self,
        connection: &Connection,
        function: &str,
        qualifier: &str,
    ) -> rusqlite::Result<()> {
        let sql = "INSERT OR REPLACE INTO event_config VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let modified = moment::ms(self.modified);
        let values = params![
            function,
            qualifier,
            self.retries,
            self.age_seconds,
            self.on_success,
            self.on_failure,
            modified
        ];
        connection.execute(sql, values).map(|_| ())
    }

    /// What holds: what was set, else what is configured.
    pub fn over(&self, configured: &AsyncConfig) -> AsyncConfig {
        let reference = |text: &Option<String>, else_: &Option<FunctionReference>| match text {
            Some(text) => FunctionReference::parse(text).ok(),
            None => else_.clone(),
        };
        AsyncConfig {
            maximum_retry_attempts: self.retries.unwrap_or(configured.maximum_retry_attempts),
            maximum_event_age: self
                .age_seconds
                .map_or(configured.maximum_event_age, |age| Duration::from_secs(age.into())),
            on_success: reference(&self.on_success, &configured.on_success),
            on_failure: reference(&self.on_failure, &configured.on_failure),
            ..configured.clone()
        }
    }
}

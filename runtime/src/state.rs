//! What requests share beyond their own life: token buckets, quotas and kept
//! values, behind one small interface.
//!
//! A request is held to a list of [`Limit`]s at once: it takes from all of
//! them, or from none. So one that is refused costs its caller nothing, and a
//! store on another machine is asked once.
//!
//! The store is embedded: buckets and values are in memory, quotas in the data
//! folder as well. Nothing here waits for the disk but [`State::used`] and
//! [`State::flush`]. All of it outlives a reload.

mod buckets;
mod counters;
mod embedded;
mod file;
mod shards;
#[cfg(test)]
mod tests;
mod values;

use std::{path::Path, time::Duration};

use crate::config::Window;
use embedded::Embedded;

pub use buckets::{BUCKETS_MAX, Bucket};
pub use file::StateError;
pub use values::Values;

/// The state of a gateway.
pub struct State(Store);

/// Where it is kept.
enum Store {
    Embedded(Embedded),
}

/// What a request is held to.
#[derive(Debug, Clone, Copy)]
pub enum Limit<'l> {
    /// One from a token bucket.
    Bucket(&'l Bucket),
    /// One more within a period.
    Quota {
        /// Who is counted.
        name: &'l str,
        /// The period.
        window: Window,
        /// How many there may be; none for any number, which is only counted.
        limit: Option<u64>,
    },
}

/// The limit that does not let a request through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Which it is, by its place in the list.
    pub limit: usize,
    /// How long a bucket is empty for; none for a quota.
    pub wait: Option<Duration>,
}

impl State {
    /// Opens what the folder `data` holds, or begins it.
    ///
    /// # Errors
    /// Where `data` cannot be written, or its file is of a newer Mayfly. A
    /// damaged file is set aside.
    pub fn open(data: &Path) -> Result<Self, StateError> {
        Ok(Self(Store::Embedded(Embedded::open(data)?)))
    }

    /// Takes from every limit, or from none. While one refuses, what those
    /// before it gave may be missing to others for a moment.
    ///
    /// # Errors
    /// The first limit that lets nothing through.
    pub async fn take(&self, limits: &[Limit<'_>]) -> Result<(), Refusal> {
        match &self.0 {
            Store::Embedded(embedded) => embedded.take(limits),
        }
    }

    /// How many were counted under each name in its period, by whatever
    /// process.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub async fn used(&self, counters: Vec<(String, Window)>) -> Result<Vec<u64>, StateError> {
        match &self.0 {
            Store::Embedded(embedded) => embedded.used(counters).await,
        }
    }

    /// A space of its own for values of at most `capacity_bytes` together.
    pub fn values(&self, capacity_bytes: u64) -> Values {
        match &self.0 {
            Store::Embedded(_) => Values::new(capacity_bytes),
        }
    }

    /// Writes what has been counted and is not on disk yet, and waits for it.
    pub fn flush(&self) {
        match &self.0 {
            Store::Embedded(embedded) => embedded.flush(),
        }
    }
}

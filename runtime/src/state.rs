//! What requests share beyond their own life: token buckets and quotas, and the
//! values that several gateways keep together, behind one small interface.
//!
//! A request is held to a list of [`Limit`]s at once: it takes from all of
//! them, or from none. So one that is refused costs its caller nothing, and a
//! store on another machine is asked once.
//!
//! The store is embedded: buckets are in memory, quotas in the data folder as
//! well, and values are left to whoever has them. Nothing there waits for the
//! disk but [`State::used`] and [`State::flush`]. Or it is a Redis, which other
//! gateways have too. All of it outlives a reload.

mod buckets;
mod counters;
mod embedded;
mod file;
mod redis;
mod shards;
#[cfg(test)]
mod tests;
mod values;

use std::{net::IpAddr, path::Path, sync::Arc, time::Duration};

use crate::config::{ServerConfig, StateConfig, ThrottleConfig, Window};
use embedded::Embedded;
use redis::Redis;

pub use buckets::{BUCKETS_MAX, Bucket};
pub use counters::Counter;
pub use file::StateError;
pub use redis::{VALUE_BYTES_MAX, check_url};
pub use values::Values;

/// The state of a gateway.
pub struct State(Store);

/// Where it is kept.
enum Store {
    Embedded(Embedded),
    Redis(Redis),
}

/// What a request is held to.
#[derive(Debug, Clone, Copy)]
pub enum Limit<'l> {
    /// Nothing.
    None,
    /// One from a token bucket.
    Bucket(&'l Bucket),
    /// One from the bucket of a client.
    Client {
        /// The client's address.
        address: IpAddr,
        /// What its bucket holds.
        throttle: &'l ThrottleConfig,
    },
    /// One more within a period.
    Quota {
        /// What it is counted under.
        counter: &'l Counter,
        /// The period.
        window: Window,
        /// How many there may be; none for any number, which is only counted.
        limit: Option<u64>,
    },
}

impl<'l> From<Option<&'l Bucket>> for Limit<'l> {
    fn from(bucket: Option<&'l Bucket>) -> Self {
        bucket.map_or(Self::None, Self::Bucket)
    }
}

/// Why a request is not let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// A limit refuses.
    Refused(Refusal),
    /// Nobody can be asked, and the configuration says that nobody is then let
    /// through.
    Unavailable,
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

    /// What the configuration names: the data folder, or a Redis, which need not
    /// be there yet.
    ///
    /// # Errors
    /// As [`Self::open`], and where the configuration's `state` is invalid.
    pub fn of(server: &ServerConfig) -> Result<Self, StateError> {
        match &server.state {
            StateConfig::Embedded => Self::open(&server.data),
            StateConfig::Redis(config) => Ok(Self(Store::Redis(Redis::new(config)?))),
            StateConfig::Unknown => {
                Err(StateError("state: the configuration does not say where it is".to_owned()))
            }
        }
    }

    /// The bucket that is called `name` and holds what `throttle` says, to be
    /// taken from here.
    pub fn bucket(&self, name: &str, throttle: &ThrottleConfig) -> Bucket {
        match &self.0 {
            Store::Embedded(embedded) => embedded.bucket(name, throttle),
            Store::Redis(redis) => redis.bucket(name, throttle),
        }
    }

    /// What is counted here under a name.
    pub fn counter(&self, name: &str) -> Arc<Counter> {
        match &self.0 {
            Store::Embedded(embedded) => embedded.counter(name),
            Store::Redis(_) => Arc::new(Counter::new(name)),
        }
    }

    /// Takes from every limit, or from none. While one refuses, what those
    /// before it gave may be missing to others for a moment.
    ///
    /// # Errors
    /// The first limit that lets nothing through, or that nobody can be asked.
    pub async fn take(&self, limits: &[Limit<'_>]) -> Result<(), Denied> {
        match &self.0 {
            Store::Embedded(embedded) => embedded.take(limits).map_err(Denied::Refused),
            // Apart, so that requests which ask nobody don't have room for it.
            Store::Redis(redis) => Box::pin(redis.take(limits)).await,
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
            Store::Redis(redis) => redis.used(&counters).await,
        }
    }

    /// Values that are shared with other gateways, in a space by its name; none
    /// where nobody is to share them with.
    pub fn values(&self, space: String) -> Option<Values> {
        match &self.0 {
            Store::Embedded(_) => None,
            Store::Redis(redis) => Some(Values::new(redis.clone(), space)),
        }
    }

    /// Whether other gateways have it too.
    pub fn is_shared(&self) -> bool {
        matches!(self.0, Store::Redis(_))
    }

    /// Writes what has been counted and is not on disk yet, and waits for it.
    pub fn flush(&self) {
        match &self.0 {
            Store::Embedded(embedded) => embedded.flush(),
            Store::Redis(_) => {}
        }
    }
}

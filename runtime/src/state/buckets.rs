//! Token buckets: how often something may happen.
//!
//! A bucket is one number, the time at which it will be full again: the
//! generic cell rate algorithm. Taking is one compare-and-swap, and what was
//! taken can be given back, which a library's buckets lack. What a
//! configuration names is looked up when it is loaded; of clients, whose
//! buckets come and go, each is looked up when it calls.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-request-throttling.html>

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::shards::{SHARDS, Shard, Shards, shard_of};
use crate::config::ThrottleConfig;

/// The most buckets of clients that are remembered, and as many that no
/// configuration names any more. Beyond it those that are full again are
/// forgotten, which loses nothing, else the fullest.
pub const BUCKETS_MAX: usize = 131_072;

/// From how many names on it is looked for those that nobody uses any more.
const NAMES_MIN: usize = 1024;

/// Rate and burst as times, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pace {
    /// The time that one takes to come back.
    interval: u64,
    /// The time that all of them take.
    capacity: u64,
}

impl Pace {
    pub fn new(throttle: &ThrottleConfig) -> Self {
        // Rates have bounds: this is neither zero nor more than a u64 holds.
        let interval = ((1e9 / throttle.rate).round() as u64).max(1);
        Self { interval, capacity: interval.saturating_mul(u64::from(throttle.burst.get())) }
    }

    /// How long one takes to come back, and all of them, in microseconds.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53 where it matters")]
    pub fn microseconds(self) -> (f64, f64) {
        (self.interval as f64 / 1e3, self.capacity as f64 / 1e3)
    }

    /// Takes one, or tells how long there is none for.
    fn take(self, full_at: &AtomicU64, now: u64) -> Result<(), Duration> {
        let next = |at: u64| at.max(now).saturating_add(self.interval);
        let take = |at| Some(next(at)).filter(|next| next - now <= self.capacity);
        match full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => Ok(()),
            Err(at) => Err(Duration::from_nanos(next(at) - now - self.capacity)),
        }
    }

    /// Puts one back that was taken in vain.
    fn give_back(self, full_at: &AtomicU64) {
        let give = |at: u64| Some(at.saturating_sub(self.interval));
        // It always gives a time.
        let _ = full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, give);
    }
}

/// A bucket by its name, rate and burst: where one of these changes, it is
/// another bucket, and full. Snapshots that name it share it.
#[derive(Debug, Clone)]
pub struct Bucket {
    name: Box<str>,
    pace: Pace,
    full_at: Arc<AtomicU64>,
}

impl Bucket {
    /// Its name, with rate and burst.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How often one may be taken.
    pub(super) fn pace(&self) -> Pace {
        self.pace
    }

    /// Takes one.
    ///
    /// # Errors
    /// How long it is empty for.
    pub(super) fn take(&self, now: u64) -> Result<(), Duration> {
        self.pace.take(&self.full_at, now)
    }

    /// Puts one back that was taken in vain.
    pub(super) fn give_back(&self) {
        self.pace.give_back(&self.full_at);
    }
}

/// All buckets. A time is in nanoseconds since their beginning.
pub struct Buckets {
    names: Mutex<Names>,
    /// Those of clients, by address and pace: however many there are, only
    /// others of them are forgotten for them.
    clients: Shards<(IpAddr, Pace), AtomicU64>,
    shard_max: usize,
}

/// What configurations name, and have named.
struct Names {
    full_at: HashMap<Box<str>, Arc<AtomicU64>>,
    /// Beyond how many it is looked again for those that nobody uses.
    sweep_at: usize,
}

impl Buckets {
    pub fn new(clients_max: usize) -> Self {
        let names = Names { full_at: HashMap::new(), sweep_at: NAMES_MIN };
        let shard_max = (clients_max / SHARDS).max(1);
        Self { names: Mutex::new(names), clients: Shards::new(), shard_max }
    }

    /// What is called `name` and holds what `throttle` says.
    pub fn named(&self, name: &str, throttle: &ThrottleConfig, now: u64) -> Bucket {
        let ThrottleConfig { rate, burst } = throttle;
        let name: Box<str> = format!("{name}:{rate}:{burst}").into();
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.full_at.len() >= names.sweep_at {
            names.sweep(now);
        }
        let full_at = Arc::clone(names.full_at.entry(name.clone()).or_default());
        Bucket { name, pace: Pace::new(throttle), full_at }
    }

    /// Takes one from a client's bucket.
    ///
    /// # Errors
    /// How long it is empty for.
    pub fn take_client(
        &self,
        address: IpAddr,
        throttle: &ThrottleConfig,
        now: u64,
    ) -> Result<(), Duration> {
        let pace = Pace::new(throttle);
        let key = (address, pace);
        let place = shard_of(&key);
        if let Some(full_at) = self.clients.read(place).get(&key) {
            return pace.take(full_at, now);
        }
        let mut shard = self.clients.write(place);
        if shard.len() >= self.shard_max && !shard.contains_key(&key) {
            make_room(&mut shard, now);
        }
        pace.take(shard.entry(key).or_default(), now)
    }

    /// Puts one back that was taken in vain.
    pub fn give_back_client(&self, address: IpAddr, throttle: &ThrottleConfig) {
        let pace = Pace::new(throttle);
        let key = (address, pace);
        if let Some(full_at) = self.clients.read(shard_of(&key)).get(&key) {
            pace.give_back(full_at);
        }
    }

    #[cfg(test)]
    pub fn clients(&self) -> usize {
        (0..SHARDS).map(|shard| self.clients.read(shard).len()).sum()
    }

    #[cfg(test)]
    pub fn names(&self) -> usize {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).full_at.len()
    }
}

impl Names {
    /// Forgets those that nobody uses: a bucket that is full again is as good
    /// as a new one, the others are kept within a bound.
    fn sweep(&mut self, now: u64) {
        let is_used = |full_at: &Arc<AtomicU64>| Arc::strong_count(full_at) > 1;
        let is_full = |full_at: &AtomicU64| full_at.load(Ordering::Relaxed) <= now;
        self.full_at.retain(|_, full_at| is_used(full_at) || !is_full(full_at));
        let unused = self.full_at.values().filter(|full_at| !is_used(full_at)).count();
        if unused > BUCKETS_MAX {
            self.full_at.retain(|_, full_at| is_used(full_at));
        }
        // So that a long configuration is not gone through for each of its names.
        self.sweep_at = (2 * self.full_at.len()).max(NAMES_MIN);
    }
}

/// Makes room for one more client.
fn make_room(shard: &mut Shard<(IpAddr, Pace), AtomicU64>, now: u64) {
    let before = shard.len();
    shard.retain(|_, full_at| *full_at.get_mut() > now);
    if shard.len() == before {
        let fullest = shard.iter().min_by_key(|(_, full_at)| full_at.load(Ordering::Relaxed));
        let fullest = fullest.map(|(key, _)| *key);
        fullest.and_then(|key| shard.remove(&key));
    }
}

//! Token buckets: how often something may happen.
//!
//! A bucket is one number, the time at which it will be full again: the
//! generic cell rate algorithm. Taking is one compare-and-swap, and what was
//! taken can be given back, which a library's buckets lack.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-request-throttling.html>

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::shards::{SHARDS, Shard, Shards, shard_of};
use crate::config::ThrottleConfig;

/// The most buckets that are remembered, and as many of clients. Beyond it those that are full again
/// are forgotten, which loses nothing, else the fullest.
pub const BUCKETS_MAX: usize = 131_072;

/// A bucket by its name, rate and burst: where one of these changes, it is
/// another bucket, and full.
#[derive(Debug, Clone)]
pub struct Bucket {
    name: Box<str>,
    shard: usize,
    is_of_client: bool,
    /// The time that one takes to come back, in nanoseconds.
    interval: u64,
    /// The time that all of them take.
    capacity: u64,
}

impl Bucket {
    /// What is called `name` and holds what `throttle` says.
    pub fn new(name: &str, throttle: &ThrottleConfig) -> Self {
        let ThrottleConfig { rate, burst } = throttle;
        let name = format!("{name}:{rate}:{burst}");
        // Rates have bounds: this is neither zero nor more than a u64 holds.
        let interval = ((1e9 / rate).round() as u64).max(1);
        Self {
            shard: shard_of(&name),
            name: name.into(),
            is_of_client: false,
            interval,
            capacity: interval.saturating_mul(u64::from(burst.get())),
        }
    }

    /// The same for a name that a client chooses, such as its address: however
    /// many there are, only others of them are forgotten for them.
    pub fn of_client(name: &str, throttle: &ThrottleConfig) -> Self {
        Self { is_of_client: true, ..Self::new(name, throttle) }
    }

    /// Its name, with rate and burst.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How long one takes to come back, and all of them, in microseconds.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53 where it matters")]
    pub fn microseconds(&self) -> (f64, f64) {
        (self.interval as f64 / 1e3, self.capacity as f64 / 1e3)
    }

    /// Takes one, or tells how long there is none for.
    fn take_from(&self, full_at: &AtomicU64, now: u64) -> Result<(), Duration> {
        let next = |at: u64| at.max(now).saturating_add(self.interval);
        let take = |at| Some(next(at)).filter(|next| next - now <= self.capacity);
        match full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => Ok(()),
            Err(at) => Err(Duration::from_nanos(next(at) - now - self.capacity)),
        }
    }
}

/// All buckets. A time is in nanoseconds since their beginning.
pub struct Buckets {
    shards: Shards<AtomicU64>,
    /// Those of names that clients choose.
    clients: Shards<AtomicU64>,
    shard_max: usize,
}

impl Buckets {
    pub fn new(max: usize) -> Self {
        let shard_max = (max / SHARDS).max(1);
        Self { shards: Shards::new(), clients: Shards::new(), shard_max }
    }

    fn shards(&self, bucket: &Bucket) -> &Shards<AtomicU64> {
        if bucket.is_of_client { &self.clients } else { &self.shards }
    }

    /// Takes one from a bucket.
    ///
    /// # Errors
    /// How long it is empty for.
    pub fn take(&self, bucket: &Bucket, now: u64) -> Result<(), Duration> {
        let shards = self.shards(bucket);
        if let Some(full_at) = shards.read(bucket.shard).get(&bucket.name) {
            return bucket.take_from(full_at, now);
        }
        let mut shard = shards.write(bucket.shard);
        if shard.len() >= self.shard_max && !shard.contains_key(&bucket.name) {
            make_room(&mut shard, now);
        }
        bucket.take_from(shard.entry(bucket.name.clone()).or_default(), now)
    }

    /// Puts one back that was taken in vain.
    pub fn give_back(&self, bucket: &Bucket) {
        if let Some(full_at) = self.shards(bucket).read(bucket.shard).get(&bucket.name) {
            let give = |at: u64| Some(at.saturating_sub(bucket.interval));
            // It always gives a time.
            let _ = full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, give);
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        let len = |shard| self.shards.read(shard).len() + self.clients.read(shard).len();
        (0..SHARDS).map(len).sum()
    }
}

/// A bucket that is full again is as good as a new one.
fn make_room(shard: &mut Shard<AtomicU64>, now: u64) {
    let before = shard.len();
    shard.retain(|_, full_at| *full_at.get_mut() > now);
    if shard.len() == before {
        let fullest = shard.iter().min_by_key(|(_, full_at)| full_at.load(Ordering::Relaxed));
        let fullest = fullest.map(|(name, _)| name.clone());
        fullest.and_then(|name| shard.remove(&name));
    }
}

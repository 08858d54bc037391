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

/// The most buckets that are remembered. Beyond it those that are full again
/// are forgotten, which loses nothing, else the fullest.
pub const BUCKETS_MAX: usize = 131_072;

/// A bucket by its name, rate and burst: where one of these changes, it is
/// another bucket, and full.
#[derive(Debug, Clone)]
pub struct Bucket {
    name: Box<str>,
    shard: usize,
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
            interval,
            capacity: interval.saturating_mul(u64::from(burst.get())),
        }
    }

    /// Its name, with rate and burst.
    pub fn name(&self) -> &str {
        &self.name
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
    shard_max: usize,
}

impl Buckets {
    pub fn new(max: usize) -> Self {
        Self { shards: Shards::new(), shard_max: (max / SHARDS).max(1) }
    }

    /// Takes one from a bucket.
    ///
    /// # Errors
    /// How long it is empty for.
    pub fn take(&self, bucket: &Bucket, now: u64) -> Result<(), Duration> {
        if let Some(full_at) = self.shards.read(bucket.shard).get(&bucket.name) {
            return bucket.take_from(full_at, now);
        }
        let mut shard = self.shards.write(bucket.shard);
        if shard.len() >= self.shard_max && !shard.contains_key(&bucket.name) {
            make_room(&mut shard, now);
        }
        bucket.take_from(shard.entry(bucket.name.clone()).or_default(), now)
    }

    /// Puts one back that was taken in vain.
    pub fn give_back(&self, bucket: &Bucket) {
        if let Some(full_at) = self.shards.read(bucket.shard).get(&bucket.name) {
            let give = |at: u64| Some(at.saturating_sub(bucket.interval));
            // It always gives a time.
            let _ = full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, give);
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        (0..SHARDS).map(|shard| self.shards.read(shard).len()).sum()
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

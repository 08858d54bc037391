//! Values that are kept for a time.

use std::time::{Duration, Instant};

use bytes::Bytes;
use moka::{Expiry, sync::Cache};

/// A space of values, bounded in bytes: the least used go first.
#[derive(Clone)]
pub struct Values {
    kept: Cache<Bytes, Kept>,
    capacity_bytes: u64,
}

#[derive(Clone)]
struct Kept {
    value: Bytes,
    ttl: Duration,
}

/// Each value lasts as long as it was put for.
struct Own;

impl Expiry<Bytes, Kept> for Own {
    fn expire_after_create(&self, _: &Bytes, kept: &Kept, _: Instant) -> Option<Duration> {
        Some(kept.ttl)
    }

    fn expire_after_update(
        &self,
        _: &Bytes,
        kept: &Kept,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(kept.ttl)
    }
}

impl Values {
    pub(super) fn new(capacity_bytes: u64) -> Self {
        let weigh = |key: &Bytes, kept: &Kept| {
            u32::try_from(key.len() + kept.value.len()).unwrap_or(u32::MAX)
        };
        let kept = Cache::builder().max_capacity(capacity_bytes).weigher(weigh).expire_after(Own);
        Self { kept: kept.build(), capacity_bytes }
    }

    /// The value of a key, while it lasts.
    pub async fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.kept.get(key).map(|kept| kept.value)
    }

    /// Keeps a value for a time, in place of the one before.
    pub async fn put(&self, key: &[u8], value: Bytes, ttl: Duration) {
        // One that is too large would stay until others are sorted out.
        if (key.len() + value.len()) as u64 <= self.capacity_bytes {
            self.kept.insert(Bytes::copy_from_slice(key), Kept { value, ttl });
        } else {
            self.kept.invalidate(key);
        }
    }

    /// Forgets a value.
    pub async fn forget(&self, key: &[u8]) {
        self.kept.invalidate(key);
    }
}

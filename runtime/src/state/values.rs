//! Values that several gateways share, each kept for a time.

use std::time::Duration;

use bytes::Bytes;

use super::redis::Redis;

/// A space of values, which nobody else reads.
#[derive(Clone)]
pub struct Values {
    redis: Redis,
    space: String,
}

impl Values {
    pub(super) fn new(redis: Redis, space: String) -> Self {
        Self { redis, space }
    }

    /// The value of a key, while it lasts; none while nobody can be asked.
    pub async fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.redis.get(&self.space, key).await
    }

    /// Keeps a value for a time, in place of the one before. One that is too
    /// long is not kept.
    pub async fn put(&self, key: &[u8], value: &[u8], ttl: Duration) {
        self.redis.put(&self.space, key, value, ttl).await;
    }

    /// Forgets a value.
    pub async fn forget(&self, key: &[u8]) {
        self.redis.forget(&self.space, key).await;
    }
}

//! The response cache of a stage.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-caching.html>

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use moka::{Expiry, future::Cache};

/// The longest answer that is kept, in bytes: API Gateway's.
pub const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// What tells one answer from another: method, path, and the values of the
/// route's key.
pub type Key = (String, Vec<Vec<String>>);

/// An answer that is kept.
#[derive(Debug)]
pub struct Kept {
    /// The status code.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// How long it is kept.
    pub ttl: Duration,
}

/// Answers of one stage, bounded in bytes.
#[derive(Clone)]
pub struct StageCache(Cache<Key, Arc<Kept>>);

impl fmt::Debug for StageCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StageCache")
    }
}

/// Each answer lasts as long as its route says.
struct Own;

impl Expiry<Key, Arc<Kept>> for Own {
    fn expire_after_create(&self, _: &Key, kept: &Arc<Kept>, _: Instant) -> Option<Duration> {
        Some(kept.ttl)
    }

    fn expire_after_update(
        &self,
        _: &Key,
        kept: &Arc<Kept>,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(kept.ttl)
    }
}

impl StageCache {
    /// An empty cache.
    pub fn new(capacity_bytes: u64) -> Self {
        let weigh = |(path, values): &Key, kept: &Arc<Kept>| {
            let key: usize = path.len() + values.iter().flatten().map(String::len).sum::<usize>();
            let headers: usize =
                kept.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
            u32::try_from(key + headers + kept.body.len()).unwrap_or(u32::MAX)
        };
        Self(Cache::builder().max_capacity(capacity_bytes).weigher(weigh).expire_after(Own).build())
    }

    /// Forgets an answer.
    pub async fn forget(&self, key: &Key) {
        self.0.invalidate(key).await;
    }

    /// The answer that is kept; else what `make` makes, once for all who ask
    /// for it meanwhile. None where that is not to be kept.
    pub async fn get_or(
        &self,
        key: Key,
        make: impl Future<Output = Option<Arc<Kept>>>,
    ) -> Option<Arc<Kept>> {
        self.0.optionally_get_with(key, make).await
    }
}

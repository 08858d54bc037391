//! The response cache of a stage.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-caching.html>

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use moka::{Expiry, future::Cache};
use serde::{Deserialize, Serialize};

use crate::state::Values;

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
pub struct StageCache {
    own: Cache<Key, Arc<Kept>>,
    /// Where all gateways have them; then our own only bring those together who
    /// ask at the same time.
    shared: Option<Values>,
}

impl fmt::Debug for StageCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StageCache")
    }
}

/// Each answer lasts as long as its route says, unless it is kept elsewhere.
struct Own {
    is_shared: bool,
}

impl Own {
    fn ttl(&self, kept: &Kept) -> Duration {
        if self.is_shared { Duration::ZERO } else { kept.ttl }
    }
}

impl Expiry<Key, Arc<Kept>> for Own {
    fn expire_after_create(&self, _: &Key, kept: &Arc<Kept>, _: Instant) -> Option<Duration> {
        Some(self.ttl(kept))
    }

    fn expire_after_update(
        &self,
        _: &Key,
        kept: &Arc<Kept>,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(self.ttl(kept))
    }
}

impl StageCache {
    /// A cache: empty, or what all gateways have.
    pub fn new(capacity_bytes: u64, shared: Option<Values>) -> Self {
        let weigh = |(path, values): &Key, kept: &Arc<Kept>| {
            let key: usize = path.len() + values.iter().flatten().map(String::len).sum::<usize>();
            let headers: usize =
                kept.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
            u32::try_from(key + headers + kept.body.len()).unwrap_or(u32::MAX)
        };
        let own = Own { is_shared: shared.is_some() };
        let own = Cache::builder().max_capacity(capacity_bytes).weigher(weigh).expire_after(own);
        Self { own: own.build(), shared }
    }

    /// Forgets an answer.
    pub async fn forget(&self, key: &Key) {
        match &self.shared {
            Some(shared) => shared.forget(&encoded(key)).await,
            None => self.own.invalidate(key).await,
        }
    }

    /// The answer that is kept; else what `make` makes, once for all who ask
    /// for it meanwhile. None where that is not to be kept.
    pub async fn get_or(
        &self,
        key: Key,
        make: impl Future<Output = Option<Arc<Kept>>>,
    ) -> Option<Arc<Kept>> {
        let Some(shared) = &self.shared else {
            return self.own.optionally_get_with(key, make).await;
        };
        let name = encoded(&key);
        let find = async {
            if let Some(kept) = shared.get(&name).await.and_then(|bytes| Kept::decode(&bytes)) {
                return Some(Arc::new(kept));
            }
            let made = make.await?;
            shared.put(&name, &made.encode(), made.ttl).await;
            Some(made)
        };
        self.own.optionally_get_with(key, find).await
    }
}

/// A key as bytes, so that no two are the same.
fn encoded((path, values): &Key) -> Vec<u8> {
    // Strings in arrays are always JSON.
    serde_json::to_vec(&(path, values)).unwrap_or_default()
}

/// The head of an answer as others read it. Values of headers are bytes.
#[derive(Serialize, Deserialize)]
struct Head {
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
}

impl Kept {
    /// A line of JSON, and the body.
    fn encode(&self) -> Vec<u8> {
        let header = |(name, value): (&HeaderName, &HeaderValue)| {
            (name.as_str().to_owned(), value.as_bytes().to_vec())
        };
        let headers = self.headers.iter().map(header).collect();
        let head = Head { status: self.status.as_u16(), headers };
        // Numbers and strings are always JSON.
        let mut bytes = serde_json::to_vec(&head).unwrap_or_default();
        bytes.push(b'\n');
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// None for what nobody encoded.
    fn decode(bytes: &Bytes) -> Option<Self> {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let head: Head = serde_json::from_slice(&bytes[..end]).ok()?;
        let mut headers = HeaderMap::new();
        for (name, value) in head.headers {
            headers.append(HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?);
        }
        Some(Self {
            status: StatusCode::from_u16(head.status).ok()?,
            headers,
            body: bytes.slice(end + 1..),
            // It lasts as long as there.
            ttl: Duration::ZERO,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_as_it_was_written() {
        let mut headers = HeaderMap::new();
        headers.append("a", HeaderValue::from_static("1"));
        headers.append("a", HeaderValue::from_bytes(b"\xff\"\t").expect("a value"));
        let body = Bytes::from_static(b"\n{\0}\n");
        let ttl = Duration::from_secs(1);
        let kept = Kept { status: StatusCode::CREATED, headers, body, ttl };
        let read = Kept::decode(&kept.encode().into()).expect("an answer");
        assert_eq!((read.status, &read.headers), (kept.status, &kept.headers));
        assert_eq!(read.body, kept.body);
    }

    #[test]
    fn keys_are_told_apart() {
        let key = |path: &str, values: &[&[&str]]| {
            let own = |of: &&[&str]| of.iter().map(|text| (*text).to_owned()).collect();
            encoded(&(path.to_owned(), values.iter().map(own).collect()))
        };
        assert_ne!(key("a", &[&["b"]]), key("a", &[&["b"], &[]]));
        assert_ne!(key("a", &[&["b", "c"]]), key("a", &[&["b"], &["c"]]));
        assert_ne!(key("a", &[&["b,c"]]), key("a", &[&["b", "c"]]));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_an_answer_or_none(bytes in "(\\{\"status\":|[0-9]{1,3}|,\"headers\":\\[|\\]|\\}|\n|\\PC){0,8}") {
            let _ = Kept::decode(&Bytes::from(bytes));
        }
    }
}

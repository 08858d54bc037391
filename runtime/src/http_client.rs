//! HTTP clients: pools of connections, made in one way, and shared by all who
//! want the same for as long as anybody has them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use http_body::Body;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{Connect, HttpConnector},
    },
    rt::{TokioExecutor, TokioTimer},
};
use rustls::ClientConfig;

/// The longest that a connection may take to be made.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection is kept without being used.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Connections to one host that are kept without being used.
const IDLE_MAX: usize = 64;

/// What is read of an answer at once, and so the longest head of one, in bytes.
const BUFFER_BYTES_MAX: usize = 64 * 1024;

/// The longest head of an answer over HTTP/2, in bytes.
const HEADER_LIST_BYTES_MAX: u32 = 64 * 1024;

/// Header lines of an answer.
const HEADERS_MAX: usize = 256;

/// A pool of connections to addresses that `R` finds, for bodies `B`.
pub type Pool<R, B> = Client<HttpsConnector<HttpConnector<R>>, B>;

/// A pool without connections yet.
pub fn pool<R, B>(resolver: R, tls: ClientConfig) -> Pool<R, B>
where
    HttpsConnector<HttpConnector<R>>: Connect + Clone,
    B: Body + Send,
    B::Data: Send,
{
    let mut connector = HttpConnector::new_with_resolver(resolver);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    connector.set_nodelay(true);
    connector.enforce_http(false);
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .enable_http2()
        .wrap_connector(connector);
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(IDLE_MAX)
        .http1_max_buf_size(BUFFER_BYTES_MAX)
        .http1_max_headers(HEADERS_MAX)
        .http2_max_header_list_size(HEADER_LIST_BYTES_MAX)
        .build(connector)
}

/// Pools by what they were made for. A snapshot is made while the one before
/// it is still there, so that a reload keeps connections.
pub struct Shared<K, P>(Mutex<BTreeMap<K, Weak<P>>>);

impl<K, P> Default for Shared<K, P> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Ord + Clone, P> Shared<K, P> {
    /// The pool that somebody has for `key`, else a new one.
    pub fn get(&self, key: &K, new: impl FnOnce() -> P) -> Arc<P> {
        let mut pools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.get(key).and_then(Weak::upgrade) {
            return pool;
        }
        pools.retain(|_, pool| pool.strong_count() > 0);
        let pool = Arc::new(new());
        pools.insert(key.clone(), Arc::downgrade(&pool));
        pool
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_is_shared_as_long_as_anybody_has_it() {
        let pools = Shared::default();
        let first = pools.get(&1, || "first");
        let other = pools.get(&2, || "other");
        assert!(Arc::ptr_eq(&first, &pools.get(&1, || "second")));
        drop(first);
        assert_eq!(*pools.get(&1, || "second"), "second");
        drop(other);
        // Nobody has that of 1 any more, nor that of 2.
        let third = pools.get(&3, || "third");
        let kept = pools.0.lock().expect("no panic").keys().copied().collect::<Vec<_>>();
        assert_eq!((kept, *third), (vec![3], "third"));
    }
}

//! State in a Redis that several gateways share.
//!
//! Each call has a deadline. One that fails opens the circuit: nobody asks
//! until a task of its own has found Redis able to write again, so that
//! requests never pile up behind it. Names of keys are digests: they may hold
//! addresses, and no client chooses what they look like.

use std::{
    sync::{
        Arc, LazyLock, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use redis::{
    AsyncConnectionConfig, Client, Cmd, FromRedisValue, IntoConnectionInfo as _, RedisResult,
    Script, aio::MultiplexedConnection,
};
use sha2::{Digest as _, Sha256};
use time::{OffsetDateTime, Time};

use super::{
    Denied, Limit, Refusal, StateError,
    buckets::{Bucket, Buckets, Pace},
    file::KEPT_DAYS,
};
use crate::{
    config::{RedisConfig, ThrottleConfig, Unavailable, Window},
    sandbox::hex,
};

/// How long connecting may take, with TLS and names to look up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long nobody asks after a failure.
const PAUSE: Duration = Duration::from_millis(500);

/// The longest value that is kept or read, in bytes: an answer with its head.
pub const VALUE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// The most buckets that are remembered while Redis is gone.
const LOCAL_BUCKETS_MAX: usize = 16_384;

/// How much of a digest names a key, in bytes.
const NAME_BYTES: usize = 20;

static TAKE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("take.lua")));

/// A Redis.
#[derive(Clone)]
pub struct Redis(Arc<Inner>);

struct Inner {
    client: Client,
    config: RedisConfig,
    connection: ArcSwapOption<MultiplexedConnection>,
    /// Held by who connects.
    connecting: tokio::sync::Mutex<()>,
    is_down: AtomicBool,
    /// How often it has come back: a failure of the time before is none now.
    generation: AtomicU64,
    started: Instant,
    local: Buckets,
}

/// Redis cannot be asked.
#[derive(Debug)]
pub struct Down;

/// Whether a URL is one of a Redis.
///
/// # Errors
/// Why not, without a word of it.
pub fn check_url(url: &str) -> Result<(), String> {
    if !url.starts_with("redis://") && !url.starts_with("rediss://") {
        return Err("it does not begin with redis:// or rediss://".to_owned());
    }
    let parsed = url.into_connection_info();
    parsed.map(drop).map_err(|error| error.category().to_owned())
}

impl Redis {
    pub fn new(config: &RedisConfig) -> Result<Self, StateError> {
        // Where other crates bring other cryptography, this is the one that counts.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::open(config.url.reveal());
        let client = client.map_err(|error| StateError(format!("Redis: {}", error.category())))?;
        Ok(Self(Arc::new(Inner {
            client,
            config: config.clone(),
            connection: ArcSwapOption::empty(),
            connecting: tokio::sync::Mutex::new(()),
            is_down: AtomicBool::new(false),
            generation: AtomicU64::new(0),
            started: Instant::now(),
            local: Buckets::new(LOCAL_BUCKETS_MAX),
        })))
    }

    /// What stands in for a bucket while Redis is gone.
    pub fn bucket(&self, name: &str, throttle: &ThrottleConfig) -> Bucket {
        self.0.local.named(name, throttle, self.0.now())
    }

    /// As [`super::State::take`]; as is configured while Redis is gone.
    pub async fn take(&self, limits: &[Limit<'_>]) -> Result<(), Denied> {
        if limits.iter().all(|limit| matches!(limit, Limit::None)) {
            return Ok(());
        }
        match (self.take_there(limits).await, self.0.config.unavailable) {
            (Ok((0, _)), _) => Ok(()),
            (Ok((place, wait)), _) => {
                let wait = u64::try_from(wait).ok().map(Duration::from_micros);
                // It counts from one, and only those that it knows.
                let mut asked = (0..limits.len()).filter(|at| !matches!(limits[*at], Limit::None));
                let limit = asked.nth(place.saturating_sub(1)).unwrap_or_default();
                Err(Denied::Refused(Refusal { limit, wait }))
            }
            (Err(Down), Unavailable::Closed) => Err(Denied::Unavailable),
            (Err(Down), Unavailable::Open) => self.take_here(limits).map_err(Denied::Refused),
        }
    }

    async fn take_there(&self, limits: &[Limit<'_>]) -> Result<(usize, i64), Down> {
        let mut invocation = TAKE.prepare_invoke();
        for limit in limits {
            let mut bucket = |name: &str, pace: Pace| {
                let (interval, capacity) = pace.microseconds();
                invocation.key(self.key("b", name));
                invocation.arg("b").arg(format!("{interval:.3}")).arg(format!("{capacity:.3}"));
            };
            match limit {
                Limit::None => {}
                Limit::Bucket(own) => bucket(own.name(), own.pace()),
                Limit::Client { address, throttle } => {
                    let ThrottleConfig { rate, burst } = throttle;
                    bucket(&format!("address:{address}:{rate}:{burst}"), Pace::new(throttle));
                }
                Limit::Quota { counter, window, limit } => {
                    invocation.key(self.counter(counter.name(), *window));
                    let limit = limit.and_then(|limit| i64::try_from(limit).ok()).unwrap_or(-1);
                    invocation.arg("q").arg(limit).arg(forgotten_at(*window));
                }
            }
        }
        self.call(|mut connection| async move { invocation.invoke_async(&mut connection).await })
            .await
    }

    /// Buckets alone, each for this process.
    fn take_here(&self, limits: &[Limit<'_>]) -> Result<(), Refusal> {
        let local = &self.0.local;
        let now = self.0.now();
        for (place, limit) in limits.iter().enumerate() {
            let taken = match *limit {
                Limit::None | Limit::Quota { .. } => Ok(()),
                Limit::Bucket(bucket) => bucket.take(now),
                Limit::Client { address, throttle } => local.take_client(address, throttle, now),
            };
            if let Err(wait) = taken {
                for taken in &limits[..place] {
                    match *taken {
                        Limit::None | Limit::Quota { .. } => {}
                        Limit::Bucket(bucket) => bucket.give_back(),
                        Limit::Client { address, throttle } => {
                            local.give_back_client(address, throttle);
                        }
                    }
                }
                return Err(Refusal { limit: place, wait: Some(wait) });
            }
        }
        Ok(())
    }

    /// As [`super::State::used`].
    pub async fn used(&self, counters: &[(String, Window)]) -> Result<Vec<u64>, StateError> {
        if counters.is_empty() {
            return Ok(Vec::new());
        }
        let mut command = redis::cmd("MGET");
        for (name, window) in counters {
            command.arg(self.counter(name, *window));
        }
        let used: Result<Vec<Option<u64>>, Down> = self.query(&command).await;
        let used = used.map_err(|Down| StateError("Redis is unavailable".to_owned()))?;
        Ok(used.into_iter().map(Option::unwrap_or_default).collect())
    }

    pub async fn get(&self, space: &str, key: &[u8]) -> Option<Bytes> {
        let mut command = redis::cmd("GETRANGE");
        command.arg(self.value(space, key)).arg(0).arg(VALUE_BYTES_MAX);
        let value: Vec<u8> = self.query(&command).await.ok()?;
        // One byte more than may be is not ours.
        (!value.is_empty() && value.len() <= VALUE_BYTES_MAX).then(|| value.into())
    }

    pub async fn put(&self, space: &str, key: &[u8], value: &[u8], ttl: Duration) {
        let ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        if value.len() > VALUE_BYTES_MAX || ms == 0 {
            return;
        }
        let mut command = redis::cmd("SET");
        command.arg(self.value(space, key)).arg(value).arg("PX").arg(ms);
        // What is not kept is made again.
        let _: Result<(), Down> = self.query(&command).await;
    }

    pub async fn forget(&self, space: &str, key: &[u8]) {
        let mut command = redis::cmd("DEL");
        command.arg(self.value(space, key));
        let _: Result<(), Down> = self.query(&command).await;
    }

    async fn query<T: FromRedisValue + Send>(&self, command: &Cmd) -> Result<T, Down> {
        self.call(|mut connection| async move { command.query_async(&mut connection).await }).await
    }

    /// Asks, unless the circuit is open; a failure opens it.
    async fn call<T, F>(&self, ask: impl FnOnce(MultiplexedConnection) -> F) -> Result<T, Down>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let inner = &*self.0;
        let generation = inner.generation.load(Ordering::Acquire);
        if inner.is_down.load(Ordering::Acquire) {
            return Err(Down);
        }
        let connected = inner.connection.load_full();
        let timeout = match connected {
            Some(_) => inner.config.timeout,
            None => CONNECT_TIMEOUT + inner.config.timeout,
        };
        let asked = async {
            let connection = match connected {
                Some(connection) => MultiplexedConnection::clone(&connection),
                None => inner.connect().await?,
            };
            ask(connection).await
        };
        match tokio::time::timeout(timeout, asked).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.fail(generation, &error.to_string())),
            Err(_) => Err(self.fail(generation, &format!("no answer within {timeout:?}"))),
        }
    }

    /// Opens the circuit, and has somebody look after Redis.
    fn fail(&self, generation: u64, reason: &str) -> Down {
        let inner = &*self.0;
        if inner.generation.load(Ordering::Acquire) != generation
            || inner.is_down.swap(true, Ordering::AcqRel)
        {
            return Down;
        }
        inner.connection.store(None);
        let consequence = match inner.config.unavailable {
            Unavailable::Open => "throttles hold for this gateway alone, and quotas don't",
            Unavailable::Closed => "what would be counted is refused",
        };
        tracing::error!("state: Redis is unavailable ({reason}): {consequence}");
        tokio::spawn(heal(Arc::downgrade(&self.0)));
        Down
    }

    fn key(&self, kind: &str, name: &str) -> String {
        format!("{}{kind}:{}", self.0.config.prefix, digest(&[name.as_bytes()]))
    }

    fn counter(&self, name: &str, window: Window) -> String {
        format!("{}:{}:{}", self.key("q", name), window.first, window.until)
    }

    fn value(&self, space: &str, key: &[u8]) -> String {
        format!("{}v:{}", self.0.config.prefix, digest(&[space.as_bytes(), key]))
    }
}

impl Inner {
    /// The time as buckets have it.
    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// The connection that all share, made once.
    async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let _one = self.connecting.lock().await;
        if let Some(connection) = self.connection.load_full() {
            return Ok(MultiplexedConnection::clone(&connection));
        }
        let connection = self.connected().await?;
        self.connection.store(Some(Arc::new(connection.clone())));
        Ok(connection)
    }

    async fn connected(&self) -> RedisResult<MultiplexedConnection> {
        // The deadlines are ours.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(None);
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }

    /// Whether Redis does what it is for: one that can only be read, is full or
    /// runs no scripts is of no use.
    async fn probe(&self) -> RedisResult<MultiplexedConnection> {
        let mut connection = self.connected().await?;
        let mut invocation = TAKE.prepare_invoke();
        // One a microsecond: this bucket is never empty.
        invocation.key(format!("{}probe", self.config.prefix)).arg("b").arg(1).arg(1_000_000);
        let _: (usize, i64) = invocation.invoke_async(&mut connection).await?;
        Ok(connection)
    }
}

/// Looks from time to time whether Redis is back, as long as anybody needs it.
async fn heal(redis: Weak<Inner>) {
    loop {
        tokio::time::sleep(PAUSE).await;
        let Some(inner) = redis.upgrade() else { return };
        let probed = tokio::time::timeout(CONNECT_TIMEOUT * 2, inner.probe()).await;
        if let Ok(Ok(connection)) = probed {
            inner.connection.store(Some(Arc::new(connection)));
            inner.generation.fetch_add(1, Ordering::AcqRel);
            inner.is_down.store(false, Ordering::Release);
            tracing::info!("state: Redis is available again");
            return;
        }
    }
}

/// When a counter may be forgotten, in seconds since 1970.
fn forgotten_at(window: Window) -> i64 {
    let until = OffsetDateTime::new_utc(window.until, Time::MIDNIGHT).unix_timestamp();
    until + KEPT_DAYS * 24 * 60 * 60
}

/// A name of parts that cannot be taken for others.
fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    hex(&hash.finalize()[..NAME_BYTES])
}

//! State of one machine: decided in memory, written by a thread.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::{
    BUCKETS_MAX, Limit, Refusal,
    buckets::{Bucket, Buckets},
    counters::{Counter, Counters},
    file::{File, StateError, today},
};
use crate::config::{ThrottleConfig, Window};

/// How long counts are gathered before they are written: what a process that
/// is killed loses at most, beside what it is writing.
const BATCH: Duration = Duration::from_millis(100);

/// After a write that failed.
const RETRY: Duration = Duration::from_secs(1);

pub struct Embedded {
    inner: Arc<Inner>,
    writer: Option<JoinHandle<()>>,
}

struct Inner {
    started: Instant,
    buckets: Buckets,
    counters: Counters,
    file: Mutex<File>,
    stops: AtomicBool,
    has_failed: AtomicBool,
}

impl Embedded {
    pub fn open(data: &Path) -> Result<Self, StateError> {
        let file = File::open(data)?;
        let counters = Counters::new(file.load(today())?);
        let inner = Arc::new(Inner {
            started: Instant::now(),
            buckets: Buckets::new(BUCKETS_MAX),
            counters,
            file: Mutex::new(file),
            stops: AtomicBool::new(false),
            has_failed: AtomicBool::new(false),
        });
        let own = Arc::clone(&inner);
        let writer = std::thread::Builder::new().name("usage".to_owned());
        let writer = writer.spawn(move || own.write_behind());
        let writer = writer.map_err(|error| {
            StateError(format!("the thread that writes usage cannot be started: {error}"))
        })?;
        Ok(Self { inner, writer: Some(writer) })
    }

    pub fn bucket(&self, name: &str, throttle: &ThrottleConfig) -> Bucket {
        self.inner.buckets.named(name, throttle, self.inner.now())
    }

    pub fn counter(&self, name: &str) -> Arc<Counter> {
        self.inner.counters.named(name)
    }

    pub fn take(&self, limits: &[Limit<'_>]) -> Result<(), Refusal> {
        let inner = &*self.inner;
        let now = inner.now();
        let mut counts = false;
        for (place, limit) in limits.iter().enumerate() {
            let taken = match *limit {
                Limit::None => Ok(()),
                Limit::Bucket(bucket) => bucket.take(now).map_err(Some),
                Limit::Client { address, throttle } => {
                    inner.buckets.take_client(address, throttle, now).map_err(Some)
                }
                Limit::Quota { counter, window, limit } => {
                    counts = true;
                    counter.count(window, limit).then_some(()).ok_or(None)
                }
            };
            if let Err(wait) = taken {
                inner.give_back(&limits[..place]);
                return Err(Refusal { limit: place, wait });
            }
        }
        if counts {
            self.wake();
        }
        Ok(())
    }

    /// The thread is woken once for all that is counted until it writes.
    fn wake(&self) {
        if self.inner.counters.mark_dirty()
            && let Some(writer) = &self.writer
        {
            writer.thread().unpark();
        }
    }

    pub async fn used(&self, counters: Vec<(String, Window)>) -> Result<Vec<u64>, StateError> {
        let inner = Arc::clone(&self.inner);
        let read = move || {
            inner.flush();
            let file = inner.file.lock().unwrap_or_else(PoisonError::into_inner);
            counters.iter().map(|(name, window)| file.used(name, *window)).collect()
        };
        let read = tokio::task::spawn_blocking(read).await;
        read.unwrap_or_else(|error| Err(StateError(format!("usage cannot be read: {error}"))))
    }

    pub fn flush(&self) {
        self.inner.flush();
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.inner.stops.store(true, Ordering::Release);
        if let Some(writer) = self.writer.take() {
            writer.thread().unpark();
            // It has said what went wrong.
            let _ = writer.join();
        }
    }
}

impl Inner {
    /// The time as buckets have it.
    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn give_back(&self, taken: &[Limit<'_>]) {
        for limit in taken {
            match *limit {
                Limit::None => {}
                Limit::Bucket(bucket) => bucket.give_back(),
                Limit::Client { address, throttle } => {
                    self.buckets.give_back_client(address, throttle);
                }
                Limit::Quota { counter, window, .. } => counter.uncount(window),
            }
        }
    }

    /// Writes in batches until it is told to stop.
    fn write_behind(&self) {
        while !self.stops.load(Ordering::Acquire) {
            if !self.counters.is_dirty() {
                std::thread::park();
                continue;
            }
            std::thread::park_timeout(BATCH);
            if !self.flush() && !self.stops.load(Ordering::Acquire) {
                std::thread::park_timeout(RETRY);
            }
        }
        self.flush();
    }

    /// Writes what there is to write; false where that fails.
    fn flush(&self) -> bool {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let pending = self.counters.take_pending();
        if pending.is_empty() {
            return true;
        }
        match file.write(&pending) {
            Ok(totals) => {
                for (pending, total) in pending.iter().zip(totals) {
                    pending.written(total);
                }
                // Clocks may go back a little.
                let yesterday = today().previous_day().unwrap_or(time::Date::MIN);
                self.counters.forget_before(yesterday);
                if self.has_failed.swap(false, Ordering::Relaxed) {
                    tracing::info!("usage is written again");
                }
                true
            }
            Err(error) => {
                self.counters.put_back(&pending);
                if !self.has_failed.swap(true, Ordering::Relaxed) {
                    tracing::error!(%error, "usage cannot be written; it is kept in memory and tried again");
                }
                false
            }
        }
    }
}

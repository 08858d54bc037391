//! What is counted per period: decided in memory, written down afterwards.

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
};

use time::Date;

use crate::config::Window;

/// Counters by name. Whoever counts has looked theirs up beforehand.
pub struct Counters {
    names: RwLock<HashMap<Box<str>, Arc<Counter>>>,
    /// Whether anything has to be written.
    pub is_dirty: AtomicBool,
}

/// What is counted under a name, in a few periods.
#[derive(Debug)]
pub struct Counter {
    name: Box<str>,
    periods: RwLock<Vec<Count>>,
}

/// What is counted in one period.
#[derive(Debug)]
struct Count {
    window: Window,
    used: AtomicU64,
    /// What is not on disk yet.
    pending: AtomicI64,
    /// What was on disk when we last looked. Only who writes reads it.
    stored: AtomicI64,
}

/// What is to be written of a counter.
#[derive(Debug, Clone)]
pub struct Pending {
    counter: Arc<Counter>,
    pub window: Window,
    pub change: i64,
}

impl Count {
    fn new(window: Window, stored: u64) -> Self {
        Self {
            window,
            used: AtomicU64::new(stored),
            pending: AtomicI64::new(0),
            stored: AtomicI64::new(i64::try_from(stored).unwrap_or(i64::MAX)),
        }
    }

    fn count(&self, limit: Option<u64>) -> bool {
        let more = |used: u64| limit.is_none_or(|limit| used < limit).then_some(used + 1);
        let counted = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok();
        if counted {
            self.pending.fetch_add(1, Ordering::Relaxed);
        }
        counted
    }
}

impl Counter {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.into(), periods: RwLock::default() }
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Counts one, unless there are `limit` already.
    pub(super) fn count(&self, window: Window, limit: Option<u64>) -> bool {
        if let Some(count) = find(&self.read(), window) {
            return count.count(limit);
        }
        let mut periods = self.write();
        // Another may have begun it meanwhile.
        if find(&periods, window).is_none() {
            periods.push(Count::new(window, 0));
        }
        find(&periods, window).is_some_and(|count| count.count(limit))
    }

    /// Takes back one that was counted in vain.
    pub(super) fn uncount(&self, window: Window) {
        if let Some(count) = find(&self.read(), window) {
            // The file may tell of fewer than we have counted: someone set it back.
            let less = |used: u64| Some(used.saturating_sub(1));
            // It always gives a number.
            let _ = count.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
            count.pending.fetch_sub(1, Ordering::Relaxed);
        }
    }

    // A panic under a lock leaves numbers that are whole all the same.
    fn read(&self) -> RwLockReadGuard<'_, Vec<Count>> {
        self.periods.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vec<Count>> {
        self.periods.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counters {
    /// Counters as they were written.
    pub fn new(stored: Vec<(String, Window, u64)>) -> Self {
        let mut names: HashMap<Box<str>, Arc<Counter>> = HashMap::new();
        for (name, window, used) in stored {
            let new = || Arc::new(Counter::new(&name));
            let counter = names.entry(name.as_str().into()).or_insert_with(new);
            counter.write().push(Count::new(window, used));
        }
        Self { names: RwLock::new(names), is_dirty: AtomicBool::new(false) }
    }

    /// What is counted under this name.
    pub fn named(&self, name: &str) -> Arc<Counter> {
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Counter::new(name));
        Arc::clone(names.entry(name.into()).or_insert_with(new))
    }

    /// What is to be written, which is thereby the caller's to write.
    pub fn take_pending(&self) -> Vec<Pending> {
        let mut pending = Vec::new();
        for counter in self.names.read().unwrap_or_else(PoisonError::into_inner).values() {
            for count in &*counter.read() {
                let change = count.pending.swap(0, Ordering::Relaxed);
                if change != 0 {
                    let (counter, window) = (Arc::clone(counter), count.window);
                    pending.push(Pending { counter, window, change });
                }
            }
        }
        pending
    }

    /// Forgets periods that ended before `day` and are written, and names that
    /// nobody uses and that have none.
    pub fn forget_before(&self, day: Date) {
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        names.retain(|_, counter| {
            let mut periods = counter.write();
            periods.retain(|count| {
                count.window.until >= day || count.pending.load(Ordering::Relaxed) != 0
            });
            let is_empty = periods.is_empty();
            drop(periods);
            !is_empty || Arc::strong_count(counter) > 1
        });
    }
}

impl Pending {
    /// What it is counted under.
    pub fn name(&self) -> &str {
        &self.counter.name
    }

    /// What could not be written stays to be written.
    pub fn put_back(&self) {
        if let Some(count) = find(&self.counter.read(), self.window) {
            count.pending.fetch_add(self.change, Ordering::Relaxed);
        }
    }

    /// The change is written, and makes `total`: what it makes beside our own
    /// change, other processes have counted.
    pub fn written(&self, total: i64) {
        if let Some(count) = find(&self.counter.read(), self.window) {
            let before = count.stored.swap(total, Ordering::Relaxed);
            let others = total.saturating_sub(before).saturating_sub(self.change);
            let more = |used: u64| Some(used.saturating_add_signed(others));
            // It always gives a number.
            let _ = count.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        }
    }
}

fn find(periods: &[Count], window: Window) -> Option<&Count> {
    periods.iter().find(|count| count.window == window)
}

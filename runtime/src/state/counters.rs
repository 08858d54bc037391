//! What is counted per period: decided in memory, written down afterwards.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use time::Date;

use crate::config::Window;

/// Counters by name. Whoever counts has looked theirs up beforehand.
pub struct Counters {
    names: Mutex<HashMap<Box<str>, Arc<Counter>>>,
    /// Whether anything has to be written.
    is_dirty: AtomicBool,
}

/// What is counted under a name, in a few periods.
#[derive(Debug)]
pub struct Counter {
    name: Box<str>,
    // Read by every request and changed when a day begins: without a lock.
    periods: ArcSwap<Vec<Arc<Count>>>,
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
            // Before it is asked whether somebody will write it.
            self.pending.fetch_add(1, Ordering::SeqCst);
        }
        counted
    }
}

impl Counter {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.into(), periods: ArcSwap::default() }
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Counts one, unless there are `limit` already.
    pub(super) fn count(&self, window: Window, limit: Option<u64>) -> bool {
        if let Some(count) = find(&self.periods.load(), window) {
            return count.count(limit);
        }
        self.begin(window, 0).count(limit)
    }

    /// Begins a period, unless another has done so meanwhile.
    fn begin(&self, window: Window, stored: u64) -> Arc<Count> {
        let new = Arc::new(Count::new(window, stored));
        let before = self.periods.rcu(|periods| {
            let mut periods = Vec::clone(periods);
            if find(&periods, window).is_none() {
                periods.push(Arc::clone(&new));
            }
            periods
        });
        find(&before, window).map_or(new, Arc::clone)
    }

    /// Forgets periods that ended before `day` and are written.
    fn forget_before(&self, day: Date) {
        let is_needed = |count: &Arc<Count>| {
            count.window.until >= day || count.pending.load(Ordering::Relaxed) != 0
        };
        if !self.periods.load().iter().all(is_needed) {
            self.periods.rcu(|periods| {
                periods.iter().filter(|count| is_needed(count)).cloned().collect::<Vec<_>>()
            });
        }
    }

    /// Takes back one that was counted in vain.
    pub(super) fn uncount(&self, window: Window) {
        if let Some(count) = find(&self.periods.load(), window) {
            // The file may tell of fewer than we have counted: someone set it back.
            let less = |used: u64| Some(used.saturating_sub(1));
            // It always gives a number.
            let _ = count.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
            count.pending.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Counters {
    /// Counters as they were written.
    pub fn new(stored: Vec<(String, Window, u64)>) -> Self {
        let mut names: HashMap<Box<str>, Arc<Counter>> = HashMap::new();
        for (name, window, used) in stored {
            let new = || Arc::new(Counter::new(&name));
            let counter = names.entry(name.as_str().into()).or_insert_with(new);
            counter.begin(window, used);
        }
        Self { names: Mutex::new(names), is_dirty: AtomicBool::new(false) }
    }

    /// What is counted under this name.
    pub fn named(&self, name: &str) -> Arc<Counter> {
        let new = || Arc::new(Counter::new(name));
        Arc::clone(self.names().entry(name.into()).or_insert_with(new))
    }

    /// Says that something has to be written; whether nobody had said so.
    pub fn mark_dirty(&self) -> bool {
        // Mostly somebody has, and reading keeps nobody waiting.
        !self.is_dirty.load(Ordering::SeqCst) && !self.is_dirty.swap(true, Ordering::SeqCst)
    }

    /// Whether anything has to be written.
    pub fn is_dirty(&self) -> bool {
        self.is_dirty.load(Ordering::SeqCst)
    }

    /// What is to be written, which is thereby the caller's to write. Whatever
    /// is counted from now on is said again.
    pub fn take_pending(&self) -> Vec<Pending> {
        self.is_dirty.store(false, Ordering::SeqCst);
        let mut pending = Vec::new();
        for counter in self.names().values() {
            for count in &**counter.periods.load() {
                let change = count.pending.swap(0, Ordering::SeqCst);
                if change != 0 {
                    let (counter, window) = (Arc::clone(counter), count.window);
                    pending.push(Pending { counter, window, change });
                }
            }
        }
        pending
    }

    /// What could not be written stays to be written.
    pub fn put_back(&self, pending: &[Pending]) {
        pending.iter().for_each(Pending::put_back);
        self.is_dirty.store(true, Ordering::SeqCst);
    }

    /// Forgets periods that ended before `day` and are written, and names that
    /// nobody uses and that have none.
    pub fn forget_before(&self, day: Date) {
        self.names().retain(|_, counter| {
            counter.forget_before(day);
            !counter.periods.load().is_empty() || Arc::strong_count(counter) > 1
        });
    }

    // A panic under a lock leaves numbers that are whole all the same.
    fn names(&self) -> MutexGuard<'_, HashMap<Box<str>, Arc<Counter>>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    /// What it is counted under.
    pub fn name(&self) -> &str {
        &self.counter.name
    }

    fn put_back(&self) {
        if let Some(count) = find(&self.counter.periods.load(), self.window) {
            count.pending.fetch_add(self.change, Ordering::Relaxed);
        }
    }

    /// The change is written, and makes `total`: what it makes beside our own
    /// change, other processes have counted.
    pub fn written(&self, total: i64) {
        if let Some(count) = find(&self.counter.periods.load(), self.window) {
            let before = count.stored.swap(total, Ordering::Relaxed);
            let others = total.saturating_sub(before).saturating_sub(self.change);
            let more = |used: u64| Some(used.saturating_add_signed(others));
            // It always gives a number.
            let _ = count.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        }
    }
}

fn find(periods: &[Arc<Count>], window: Window) -> Option<&Arc<Count>> {
    periods.iter().find(|count| count.window == window)
}

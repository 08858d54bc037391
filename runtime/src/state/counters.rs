//! What is counted per period: decided in memory, written down afterwards.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use time::Date;

use super::shards::{SHARDS, Shards, shard_of};
use crate::config::Window;

/// Counters by name, a few periods each.
pub struct Counters {
    shards: Shards<Vec<Counter>>,
    /// Whether anything has to be written.
    pub is_dirty: AtomicBool,
}

/// What is counted under a name in one period.
struct Counter {
    window: Window,
    used: AtomicU64,
    /// What is not on disk yet.
    pending: AtomicI64,
    /// What was on disk when we last looked. Only who writes reads it.
    stored: AtomicI64,
}

/// What is to be written of a counter.
#[derive(Debug, Clone, PartialEq)]
pub struct Pending {
    pub name: Box<str>,
    pub window: Window,
    pub change: i64,
}

impl Counter {
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

impl Counters {
    /// Counters as they were written.
    pub fn new(stored: Vec<(String, Window, u64)>) -> Self {
        let counters = Self { shards: Shards::new(), is_dirty: AtomicBool::new(false) };
        for (name, window, used) in stored {
            let mut shard = counters.shards.write(shard_of(&name));
            shard.entry(name.into()).or_default().push(Counter::new(window, used));
        }
        counters
    }

    /// Counts one, unless there are `limit` already.
    pub fn count(&self, name: &str, window: Window, limit: Option<u64>) -> bool {
        let shard = shard_of(name);
        if let Some(counter) = find(self.shards.read(shard).get(name), window) {
            return counter.count(limit);
        }
        let mut shard = self.shards.write(shard);
        let own = shard.entry(name.into()).or_default();
        let place = own.iter().position(|counter| counter.window == window);
        let place = place.unwrap_or_else(|| {
            own.push(Counter::new(window, 0));
            own.len() - 1
        });
        own[place].count(limit)
    }

    /// Takes back one that was counted in vain.
    pub fn uncount(&self, name: &str, window: Window) {
        if let Some(counter) = find(self.shards.read(shard_of(name)).get(name), window) {
            // The file may tell of fewer than we have counted: someone set it back.
            let less = |used: u64| Some(used.saturating_sub(1));
            // It always gives a number.
            let _ = counter.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
            counter.pending.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// What is to be written, which is thereby the caller's to write.
    pub fn take_pending(&self) -> Vec<Pending> {
        let mut pending = Vec::new();
        for shard in 0..SHARDS {
            for (name, own) in self.shards.read(shard).iter() {
                for counter in own {
                    let change = counter.pending.swap(0, Ordering::Relaxed);
                    if change != 0 {
                        pending.push(Pending {
                            name: name.clone(),
                            window: counter.window,
                            change,
                        });
                    }
                }
            }
        }
        pending
    }

    /// What could not be written stays to be written.
    pub fn put_back(&self, pending: &[Pending]) {
        for Pending { name, window, change } in pending {
            if let Some(counter) = find(self.shards.read(shard_of(name)).get(name), *window) {
                counter.pending.fetch_add(*change, Ordering::Relaxed);
            }
        }
    }

    /// A change is written, and makes `total`: what it makes beside our own
    /// change, other processes have counted.
    pub fn written(&self, Pending { name, window, change }: &Pending, total: i64) {
        if let Some(counter) = find(self.shards.read(shard_of(name)).get(name), *window) {
            let before = counter.stored.swap(total, Ordering::Relaxed);
            let others = total.saturating_sub(before).saturating_sub(*change);
            let more = |used: u64| Some(used.saturating_add_signed(others));
            // It always gives a number.
            let _ = counter.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        }
    }

    /// Forgets periods that ended before `day` and are written.
    pub fn forget_before(&self, day: Date) {
        for shard in 0..SHARDS {
            let mut shard = self.shards.write(shard);
            for own in shard.values_mut() {
                own.retain(|counter| {
                    counter.window.until >= day || counter.pending.load(Ordering::Relaxed) != 0
                });
            }
            shard.retain(|_, own| !own.is_empty());
        }
    }
}

fn find(own: Option<&Vec<Counter>>, window: Window) -> Option<&Counter> {
    own?.iter().find(|counter| counter.window == window)
}

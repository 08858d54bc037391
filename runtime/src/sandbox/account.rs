//! What a function has running and what it has used, over all of its versions
//! and reloads.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::threads;

/// Where [`Account::reserved`] has nothing of its own.
const UNSET: i64 = -1;

/// After how many long invocations in a row the next one is expected to be long:
/// a single one may have been kept waiting for a processor.
const LONG_IN_A_ROW_MIN: u32 = 2;

/// Accounts by the function's name. There are as many as there were handlers.
#[derive(Default)]
pub struct Accounts(Mutex<BTreeMap<String, Arc<Account>>>);

/// One function's.
pub struct Account {
    running: AtomicU32,
    reserved: AtomicI64,
    long_in_a_row: AtomicU32,
    usage: Counters,
}

#[derive(Default)]
struct Counters {
    invocations: AtomicU64,
    errors: AtomicU64,
    throttles: AtomicU64,
    billed_ms: AtomicU64,
    megabyte_ms: AtomicU64,
    cpu_us: AtomicU64,
}

/// What a function has used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Invocations that began.
    pub invocations: u64,
    /// Those that failed.
    pub errors: u64,
    /// Those that never began, for want of concurrency.
    pub throttles: u64,
    /// Billed time, in milliseconds.
    pub billed_ms: u64,
    /// Billed time by memory size, in MiB · ms.
    pub megabyte_ms: u64,
    /// Processor time, in microseconds.
    pub cpu_us: u64,
}

/// One of the invocations that a function has running; ends with it.
pub struct Running(Arc<Account>);

impl Accounts {
    /// The account of a function.
    pub fn get(&self, function: &str) -> Arc<Account> {
        let mut accounts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match accounts.get(function) {
            Some(account) => Arc::clone(account),
            None => {
                let account = Arc::new(Account {
                    running: AtomicU32::new(0),
                    reserved: AtomicI64::new(UNSET),
                    long_in_a_row: AtomicU32::new(0),
                    usage: Counters::default(),
                });
                accounts.insert(function.to_owned(), Arc::clone(&account));
                account
            }
        }
    }

    /// What has been used since the last call, by function.
    pub fn take_usage(&self) -> Vec<(String, Usage)> {
        let accounts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let used = accounts.iter().map(|(name, account)| (name.clone(), account.usage.take()));
        used.filter(|(_, usage)| *usage != Usage::default()).collect()
    }

    /// What was taken and could not be kept counts again.
    pub fn put_back(&self, used: &[(String, Usage)]) {
        for (name, usage) in used {
            self.get(name).usage.add(usage);
        }
    }
}

impl Account {
    /// Begins an invocation, if `configured` or what was set instead allows
    /// one more.
    ///
    /// # Errors
    /// The limit that is reached.
    pub fn begin(self: &Arc<Self>, configured: Option<u32>) -> Result<Running, u32> {
        let limit = self.reserved().or(configured);
        let more = |running: u32| {
            limit.is_none_or(|limit| running < limit).then(|| running.saturating_add(1))
        };
        match self.running.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(_) => Ok(Running(Arc::clone(self))),
            Err(_) => {
                self.usage.throttles.fetch_add(1, Ordering::Relaxed);
                Err(limit.unwrap_or_default())
            }
        }
    }

    /// The reserved concurrency in place of the configured one.
    pub fn reserved(&self) -> Option<u32> {
        u32::try_from(self.reserved.load(Ordering::Relaxed)).ok()
    }

    /// Sets it, or leaves it to the configuration.
    pub fn reserve(&self, limit: Option<u32>) {
        self.reserved.store(limit.map_or(UNSET, i64::from), Ordering::Relaxed);
    }

    /// Whether its next invocation is expected to be long, as its last ones were.
    pub fn takes_long(&self) -> bool {
        self.long_in_a_row.load(Ordering::Relaxed) >= LONG_IN_A_ROW_MIN
    }

    /// Counts an invocation that is over.
    pub fn count(&self, failed: bool, billed: Duration, memory_mb: u32, cpu: Duration) {
        let before = self.long_in_a_row.load(Ordering::Relaxed);
        let is_long = cpu > threads::SHORT_MAX;
        let now = if is_long { (before + 1).min(LONG_IN_A_ROW_MIN) } else { 0 };
        // All threads share it.
        if now != before {
            self.long_in_a_row.store(now, Ordering::Relaxed);
        }
        let billed_ms = u64::try_from(billed.as_millis()).unwrap_or(u64::MAX);
        self.usage.add(&Usage {
            invocations: 1,
            errors: u64::from(failed),
            throttles: 0,
            billed_ms,
            megabyte_ms: billed_ms.saturating_mul(memory_mb.into()),
            cpu_us: u64::try_from(cpu.as_micros()).unwrap_or(u64::MAX),
        });
    }
}

impl Counters {
    fn take(&self) -> Usage {
        let take = |counter: &AtomicU64| counter.swap(0, Ordering::Relaxed);
        Usage {
            invocations: take(&self.invocations),
            errors: take(&self.errors),
            throttles: take(&self.throttles),
            billed_ms: take(&self.billed_ms),
            megabyte_ms: take(&self.megabyte_ms),
            cpu_us: take(&self.cpu_us),
        }
    }

    fn add(&self, usage: &Usage) {
        let add = |counter: &AtomicU64, by| counter.fetch_add(by, Ordering::Relaxed);
        add(&self.invocations, usage.invocations);
        add(&self.errors, usage.errors);
        add(&self.throttles, usage.throttles);
        add(&self.billed_ms, usage.billed_ms);
        add(&self.megabyte_ms, usage.megabyte_ms);
        add(&self.cpu_us, usage.cpu_us);
    }
}

impl Running {
    /// The account of its function.
    pub fn account(&self) -> &Arc<Account> {
        &self.0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_wins_over_what_is_configured() {
        let accounts = Accounts::default();
        let account = accounts.get("pets");
        let one = account.begin(Some(1)).expect("the first");
        assert_eq!(account.begin(Some(1)).err(), Some(1));
        account.reserve(Some(2));
        let two = accounts.get("pets").begin(Some(1)).expect("the second");
        assert_eq!(account.begin(None).err(), Some(2));
        drop((one, two));
        account.reserve(Some(0));
        assert_eq!(account.begin(None).err(), Some(0));
        account.reserve(None);
        assert!(account.begin(None).is_ok());
        assert_eq!(accounts.take_usage()[0].1.throttles, 3);
        assert_eq!(accounts.take_usage(), []);
    }

    #[test]
    fn what_took_long_is_expected_to_again() {
        let account = Accounts::default().get("pets");
        let ms = Duration::from_millis;
        assert!(!account.takes_long());
        let short = threads::SHORT_MAX;
        let invocations =
            [(ms(1), false), (ms(20), true), (ms(1), true), (short, false), (ms(1), false)];
        for (cpu, takes_long) in invocations {
            account.count(false, ms(30), 128, cpu);
            assert_eq!(account.takes_long(), takes_long, "{cpu:?}");
        }
    }

    #[test]
    fn usage_is_counted_once_and_can_be_put_back() {
        let accounts = Accounts::default();
        let ms = Duration::from_millis;
        accounts.get("pets").count(true, ms(2), 128, ms(1));
        accounts.get("pets").count(false, ms(3), 64, ms(1));
        let used = accounts.take_usage();
        let expected = Usage {
            invocations: 2,
            errors: 1,
            throttles: 0,
            billed_ms: 5,
            megabyte_ms: 2 * 128 + 3 * 64,
            cpu_us: 2000,
        };
        assert_eq!(used, [("pets".to_owned(), expected)]);
        accounts.put_back(&used);
        assert_eq!(accounts.take_usage(), used);
    }
}

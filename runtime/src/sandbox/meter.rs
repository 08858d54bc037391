//! What one invocation costs: time, processor time and memory; told in
//! Lambda's START, END and REPORT lines, and counted, on every exit.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    CallContext, Function, InvokeError,
    account::{Account, Running},
    engine::MIB,
};
use crate::telemetry::InvocationLog;

/// What is measured while the guest runs.
#[derive(Default)]
pub struct Meter {
    cpu_nanos: AtomicU64,
    memory_bytes: AtomicUsize,
    is_long: AtomicBool,
}

/// An invocation that has begun. When it is dropped it has ended, however it
/// did. Whoever can still find its answer at fault shares it.
pub struct Metered {
    memory_mb: u32,
    timeout: Duration,
    // Where anybody reads what is told of it.
    told: Option<String>,
    log: InvocationLog,
    started: Instant,
    meter: Arc<Meter>,
    account: Arc<Account>,
    ending: Mutex<Ending>,
}

/// What is known of an invocation's end by now.
struct Ending {
    status: Status,
    at: Option<Instant>,
    running: Option<Running>,
}

/// How an invocation ended.
enum Status {
    /// Whoever waited for it has gone.
    Abandoned,
    Success,
    Timeout,
    /// With the type of Lambda's own errors, where it is one.
    Error(Option<&'static str>),
}

impl Meter {
    /// The memory that the guest has by now, in bytes.
    pub fn memory(&self, bytes: usize) {
        self.memory_bytes.fetch_max(bytes, Ordering::Relaxed);
    }

    /// The guest was interrupted, as it has computed for more than a tick.
    pub fn interrupted(&self) {
        self.is_long.store(true, Ordering::Relaxed);
    }

    /// Whether it computes for longer than others should wait for.
    pub fn is_long(&self) -> bool {
        self.is_long.load(Ordering::Relaxed)
    }

    /// Runs a future, and adds the processor's time that it takes. A guest
    /// runs on the thread that polls it, up to the next tick. Its first turn,
    /// which is all that most need, is taken by the clock: to ask the system
    /// for a thread's own time costs as much as a short guest.
    pub async fn measure<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        let mut is_first = true;
        poll_fn(|context| {
            let (polled, taken) = match std::mem::take(&mut is_first) {
                true => {
                    let before = Instant::now();
                    (future.as_mut().poll(context), before.elapsed())
                }
                false => {
                    let before = thread_time();
                    let polled = future.as_mut().poll(context);
                    (polled, thread_time().saturating_sub(before))
                }
            };
            let nanos = u64::try_from(taken.as_nanos()).unwrap_or(u64::MAX);
            self.cpu_nanos.fetch_add(nanos, Ordering::Relaxed);
            polled
        })
        .await
    }

    fn cpu(&self) -> Duration {
        Duration::from_nanos(self.cpu_nanos.load(Ordering::Relaxed))
    }
}

impl Metered {
    /// Begins an invocation.
    pub fn start(
        function: &Function,
        context: &CallContext,
        log: InvocationLog,
        running: Running,
        meter: Arc<Meter>,
    ) -> Self {
        let told = log.tells_lifecycle().then(|| context.request_id.clone());
        if let Some(request_id) = &told {
            let version = &function.version;
            log.lifecycle(&format!("START RequestId: {request_id} Version: {version}"), None);
        }
        Self {
            memory_mb: function.config.memory_mb,
            timeout: function.config.timeout,
            told,
            log,
            started: Instant::now(),
            meter,
            account: Arc::clone(running.account()),
            ending: Mutex::new(Ending {
                status: Status::Abandoned,
                at: None,
                running: Some(running),
            }),
        }
    }

    /// What measures it.
    pub fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    /// It has ended, or its answer is not taken; the first error counts.
    pub fn end(&self, outcome: Result<(), &InvokeError>) {
        let mut ending = self.ending.lock().unwrap_or_else(PoisonError::into_inner);
        ending.at.get_or_insert_with(Instant::now);
        ending.running = None;
        if matches!(ending.status, Status::Abandoned | Status::Success) {
            ending.status = match outcome {
                Ok(()) => Status::Success,
                Err(InvokeError::Timeout(_)) => Status::Timeout,
                Err(error) => Status::Error(error.runtime_error_type()),
            };
        }
    }

    fn report(&self, request_id: &str, status: &Status, duration: Duration, billed: Duration) {
        let ms = duration.as_secs_f64() * 1000.0;
        let used = self.meter.memory_bytes.load(Ordering::Relaxed).div_ceil(MIB);
        let mut report = format!(
            "REPORT RequestId: {request_id}\tDuration: {ms:.2} ms\tBilled Duration: {} ms\tMemory Size: {} MB\tMax Memory Used: {used} MB",
            billed.as_millis(),
            self.memory_mb,
        );
        match status {
            Status::Success => {}
            Status::Timeout => {
                let seconds = self.timeout.as_secs_f64();
                let line = format!("{request_id} Task timed out after {seconds:.2} seconds");
                self.log.lifecycle(&line, None);
                report.push_str("\tStatus: timeout");
            }
            Status::Abandoned => report.push_str("\tStatus: error\tError Type: Client.Gone"),
            Status::Error(None) => report.push_str("\tStatus: error"),
            Status::Error(Some(kind)) => {
                report.push_str("\tStatus: error\tError Type: ");
                report.push_str(kind);
            }
        }
        self.log.lifecycle(&format!("END RequestId: {request_id}"), None);
        self.log.lifecycle(&report, Some(self.meter.cpu()));
    }
}

impl Drop for Metered {
    fn drop(&mut self) {
        let ending = self.ending.lock().unwrap_or_else(PoisonError::into_inner);
        let duration = match ending.at {
            Some(at) => at.duration_since(self.started),
            None => self.started.elapsed(),
        };
        let billed = billed(duration);
        let failed = !matches!(ending.status, Status::Success);
        self.account.count(failed, billed, self.memory_mb, self.meter.cpu());
        if let Some(request_id) = &self.told {
            self.report(request_id, &ending.status, duration, billed);
        }
        self.log.end();
    }
}

/// Whole milliseconds, rounded up.
fn billed(duration: Duration) -> Duration {
    let ms = duration.as_micros().div_ceil(1000).max(1);
    Duration::from_millis(u64::try_from(ms).unwrap_or(u64::MAX))
}

/// The processor's time that this thread has used.
#[cfg(unix)]
fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

#[cfg(not(unix))]
fn thread_time() -> Duration {
    Duration::ZERO
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_billed_by_the_millisecond() {
        for (micros, ms) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (2_999_999, 3000)] {
            assert_eq!(billed(Duration::from_micros(micros)), Duration::from_millis(ms));
        }
    }

    #[test]
    fn processor_time_is_that_of_the_future_alone() {
        let meter = Meter::default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let work = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let begun = thread_time();
            while thread_time() - begun < Duration::from_millis(20) {
                std::hint::black_box(());
            }
        };
        runtime.expect("a runtime").block_on(meter.measure(work));
        let cpu = meter.cpu();
        let bounds = Duration::from_millis(20)..Duration::from_millis(250);
        assert!(bounds.contains(&cpu), "{cpu:?}");
    }
}

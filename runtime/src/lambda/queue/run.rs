//! Works the queue off: one process at a time, a bounded number at once.

use std::{fs, io, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::{sync::watch, time::Instant};
use tokio_util::task::TaskTracker;

use super::{Event, HOPS_MAX, Queued, Settled, list, lock};
use crate::{
    config::AsyncConfig,
    gateway::Gateway,
    lambda::{
        Lambda, Resolved, StoreError, moment,
        record::{self, Attempt, Condition},
    },
    sandbox::{CallContext, Invocation, InvokeError},
};

/// Asynchronous invocations at once.
const CONCURRENCY_MAX: usize = 64;

/// How often it is looked for what other processes have queued.
const LOOK: Duration = Duration::from_secs(1);

/// How long an event waits that could not be tried: doubled each time, up to
/// five minutes. Lambda's.
const DEFERRAL_MS: i64 = 1000;
const DEFERRAL_MS_MAX: i64 = 5 * 60 * 1000;

/// After a write that failed.
const STORE_RETRY_MS: i64 = 1000;

/// Who holds it works the queue off.
const LOCK: &str = "lambda.lock";

impl Lambda {
    /// Works events off until `stop` turns true, then finishes those that have
    /// begun, within `drain`.
    pub async fn run_queue(
        self: Arc<Self>,
        gateway: Arc<ArcSwap<Gateway>>,
        mut stop: watch::Receiver<bool>,
        drain: Duration,
    ) {
        let data = gateway.load().config.server.data.clone();
        let mut said = false;
        let _lock = loop {
            match claim(&data) {
                Ok(Some(lock)) => break lock,
                Ok(None) if !said => {
                    tracing::warn!("another mayfly works off the queue of this data folder");
                    said = true;
                }
                Err(error) if !said => {
                    tracing::error!(%error, "{LOCK} cannot be locked: queued events wait");
                    said = true;
                }
                _ => {}
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        };
        let tasks = TaskTracker::new();
        // What other processes queue shows by looking alone, at once for whatever was
        // queued before the lock was ours.
        let (mut seen, mut look_at) = (None, Instant::now());
        loop {
            if Instant::now() >= look_at {
                self.look(&mut seen).await;
                look_at = Instant::now() + LOOK;
            }
            while let Some(queued) = self.next() {
                let (lambda, gateway) = (Arc::clone(&self), Arc::clone(&gateway));
                tasks.spawn(async move { lambda.work(queued, &gateway.load_full()).await });
            }
            let until = look_at.min(Instant::now() + self.wait());
            tokio::select! {
                () = self.queue.wake.notified() => {}
                () = tokio::time::sleep_until(until) => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        tasks.close();
        // Those that take longer are tried again after the next start.
        let _ = tokio::time::timeout(drain, tasks.wait()).await;
    }

    /// Tries one event at once, if no other process works off the queue.
    pub async fn run_event(&self, id: i64, gateway: &Gateway) -> io::Result<bool> {
        let Some(_lock) = claim(&gateway.config.server.data)? else { return Ok(false) };
        let taken = self.queue.index().take_id(id);
        if let Some(queued) = taken {
            self.work(queued, gateway).await;
        }
        Ok(true)
    }

    fn next(&self) -> Option<Queued> {
        let mut index = self.queue.index();
        if index.running() >= CONCURRENCY_MAX { None } else { index.take(moment::now_ms()) }
    }

    /// Until the next event is due, but no longer than until one looks again.
    fn wait(&self) -> Duration {
        let index = self.queue.index();
        let full = index.running() >= CONCURRENCY_MAX;
        let due = index.next_due().filter(|_| !full);
        let ms = due.map_or(i64::MAX, |due| (due - moment::now_ms()).max(1));
        LOOK.min(Duration::from_millis(u64::try_from(ms).unwrap_or_default()))
    }

    /// Takes over what other processes have changed since `seen`.
    async fn look(&self, seen: &mut Option<i64>) {
        let before = *seen;
        let index = Arc::clone(&self.queue.index);
        let version = self.store.run(move |connection| {
            let now: i64 = connection.query_row("PRAGMA data_version", [], |row| row.get(0))?;
            if before != Some(now) {
                // Here, where no write can come in between.
                lock(&index).replace(list(connection)?);
            }
            Ok(now)
        });
        match version.await {
            Ok(version) => *seen = Some(version),
            Err(error) => tracing::error!(%error, "the queue cannot be read"),
        }
    }

    /// Tries an event, and writes what became of it.
    async fn work(&self, queued: Queued, gateway: &Gateway) {
        let id = queued.id;
        let worked = async {
            let event = self.store.run(move |connection| Event::load(connection, id)).await?;
            match event {
                Some(event) => self.settle(id, self.attempt(&event, gateway).await).await,
                // It is done with.
                None => {
                    self.queue.index().end(id);
                    Ok(())
                }
            }
        };
        let worked: Result<(), StoreError> = worked.await;
        if let Err(error) = worked {
            tracing::error!(%error, "what became of an event cannot be written: it is tried again");
            self.queue.index().end(id);
            let due_ms = moment::now_ms() + STORE_RETRY_MS;
            self.queue.add(Queued { due_ms, ..queued });
        }
        // There is room for another one.
        self.queue.wake.notify_one();
    }

    async fn attempt(&self, event: &Event, gateway: &Gateway) -> Settled {
        let config = self.async_config(event, gateway);
        let age = moment::now_ms().saturating_sub(event.accepted_ms);
        let age_max = i64::try_from(config.maximum_event_age.as_millis()).unwrap_or(i64::MAX);
        if age > age_max {
            return self.over(event, &config, Condition::EventAgeExceeded, None);
        }
        let resolved = match self.resolve(gateway, &event.function) {
            Ok(resolved) => resolved,
            Err(error) => {
                tracing::warn!(function = %event.function, request_id = event.request_id, "deferred: {error}");
                return deferred(event, age_max);
            }
        };
        let Resolved { function, qualifier } = resolved;
        let client_context = event.client_context.clone();
        let context = CallContext::direct(event.request_id.clone());
        let context = CallContext { qualifier, client_context, ..context };
        let invocation = Invocation { event: event.payload.clone(), context };
        let attempt = match function.invoke(invocation).await {
            Ok(response) => Attempt { version: function.version.clone(), outcome: Ok(response) },
            Err(InvokeError::Throttled(_) | InvokeError::Unusable(_)) => {
                return deferred(event, age_max);
            }
            Err(error) => {
                let payload = error.payload(&event.request_id).to_string();
                let failed = Event { failures: event.failures + 1, ..event.clone() };
                let (name, id) = (&function.name, &event.request_id);
                if failed.failures <= config.maximum_retry_attempts {
                    let delay = config.retry_delay * 2_u32.pow(event.failures.min(8));
                    tracing::warn!(
                        function = name,
                        request_id = id,
                        "{error}; tried again in {delay:?}"
                    );
                    let delay = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
                    let due_ms = moment::now_ms().saturating_add(delay);
                    return Settled::Again { due_ms, event: failed };
                }
                tracing::error!(function = name, request_id = id, "{error}; given up");
                let attempt = Attempt { version: function.version.clone(), outcome: Err(payload) };
                return self.over(&failed, &config, Condition::RetriesExhausted, Some(&attempt));
            }
        };
        self.over(event, &config, Condition::Success, Some(&attempt))
    }

    /// What was set for the version or alias, over what is configured.
    fn async_config(&self, event: &Event, gateway: &Gateway) -> AsyncConfig {
        let configured = &gateway.config.function(&event.function.name).asynchronous;
        let own = self.own(&event.function.name);
        match own.event_configs.get(event.function.version()) {
            Some(set) => set.over(configured),
            None => configured.clone(),
        }
    }

    /// The event is done with: who wants to know is told.
    fn over(
        &self,
        event: &Event,
        config: &AsyncConfig,
        condition: Condition,
        attempt: Option<&Attempt>,
    ) -> Settled {
        let mut events = Vec::new();
        let failed = condition != Condition::Success;
        let destination = if failed { &config.on_failure } else { &config.on_success };
        if let Some(destination) = destination {
            let payload = record::destination(event, condition, attempt);
            events.push((destination, payload));
        }
        if let Some(dead_letter) = config.dead_letter.as_ref().filter(|_| failed) {
            events.push((dead_letter, record::dead_letter(event, condition, attempt)));
        }
        if condition == Condition::EventAgeExceeded {
            let (function, request_id) = (&event.function, &event.request_id);
            tracing::error!(%function, request_id, "the event is older than maximum_event_age_seconds; given up");
        }
        let told = events.into_iter().filter_map(|(function, payload)| {
            let hops = event.hops + 1;
            let refused = if hops > HOPS_MAX {
                Some("functions tell each other of their results in a circle")
            } else if !self.queue.has_room(payload.len()) {
                Some("the queue is full")
            } else {
                None
            };
            if let Some(why) = refused {
                tracing::error!(%function, request_id = event.request_id, "not told what became of an event: {why}");
                return None;
            }
            let id = uuid::Uuid::new_v4().to_string();
            Some(Event { hops, ..Event::new(function.clone(), id, payload) })
        });
        Settled::Over(told.collect())
    }
}

/// An event that could not be tried waits, but not beyond its age.
fn deferred(event: &Event, age_max: i64) -> Settled {
    let deferrals = event.deferrals.saturating_add(1);
    let wait = DEFERRAL_MS.saturating_mul(1 << event.deferrals.min(20)).min(DEFERRAL_MS_MAX);
    let latest = event.accepted_ms.saturating_add(age_max).saturating_add(1);
    let due_ms = moment::now_ms().saturating_add(wait).min(latest);
    Settled::Again { due_ms, event: Event { deferrals, ..event.clone() } }
}

/// The lock of the data folder's queue; none where another process has it.
fn claim(data: &std::path::Path) -> io::Result<Option<fs::File>> {
    let path = data.join(LOCK);
    let file = fs::File::options().create(true).append(true).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

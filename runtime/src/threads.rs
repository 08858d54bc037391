//! The threads that requests are served on.
//!
//! A connection belongs to one thread, which has an event loop of its own: for
//! what comes nobody else has to be woken, and what a request needs is in that
//! processor's caches since the one before. What takes long goes on elsewhere,
//! on the workers of the runtime that all share, so that it holds nobody up.
//!
//! A request to a function runs much code, and most of it once. So requests that
//! are there together do its parts in step: all that comes before the sandbox,
//! then the sandboxes, then the answers. What one has brought into the caches
//! serves the next one too, and a client that waits is woken once for all of
//! them. It is known as cohort scheduling: Larus and Parkes, USENIX 2002.

use std::{
    cell::{Cell, OnceCell},
    future::poll_fn,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    thread,
    time::{Duration, Instant},
};

use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
    task::{JoinError, JoinHandle},
};
use tokio_util::task::AbortOnDropHandle;

use crate::turns::Turns;

/// Threads that may block, of all these together: as many as tokio gives one
/// runtime.
const BLOCKING_THREADS_MAX: usize = 512;

/// The stack of a thread that may run guests, in bytes: some run on it, and have half of it.
pub const STACK_BYTES: usize = 2 * 1024 * 1024;

/// Work of more than this is long: others had better not wait for it.
pub const SHORT_MAX: Duration = Duration::from_micros(500);

/// How much work in step a thread does before it lets others have its processor, if it
/// hardly rests. Its client, if that is on this machine, may have been waiting for it since
/// the first answer of another thread, which waits for the client in turn.
const STEPS_MAX: u32 = 16;

/// Who rests more often meanwhile lets others have it anyway.
const RESTS_MAX: u32 = 4;

/// Whoever then has the processor for longer is no client.
const AWAY_MAX: Duration = Duration::from_millis(2);

/// How often this thread then keeps its processor: about a second long.
const AWAY_PAUSE: u32 = 1024;

/// After how many of what is short nothing long is expected to be among the rest:
/// more than are ready on a thread at once, as a rule.
const SHORT_IN_A_ROW_MIN: u32 = 32;

thread_local! {
    /// The runtime that all share, where a thread has another of its own.
    static SHARED: OnceCell<Handle> = const { OnceCell::new() };
    /// How much short work there was on this thread since some that takes long.
    static SHORT_IN_A_ROW: Cell<u32> = const { Cell::new(SHORT_IN_A_ROW_MIN) };
    /// How much of it was done in step since others could have this thread's processor.
    static STEPS: Cell<u32> = const { Cell::new(0) };
    /// How often it had nothing to do meanwhile.
    static RESTS: Cell<u32> = const { Cell::new(0) };
    /// Whether it pays that they can.
    static TURNS: Turns = const { Turns::new(AWAY_PAUSE, AWAY_PAUSE) };
}

/// Threads of which each serves its own connections; they end with this.
pub struct Threads(Vec<Thread>);

struct Thread {
    runtime: Handle,
    connections: Arc<AtomicUsize>,
    // Whose end it waits for.
    _alive: oneshot::Sender<()>,
}

impl Threads {
    /// Starts one for each processor. To be called on the runtime that is shared.
    ///
    /// # Errors
    /// Where the system has none to give.
    pub fn start() -> io::Result<Self> {
        let number = thread::available_parallelism().map_or(1, usize::from);
        (0..number).map(|index| Thread::start(index, number)).collect::<io::Result<_>>().map(Self)
    }

    /// Serves a connection on the thread that has the fewest.
    pub fn spawn(&self, connection: impl Future<Output = ()> + Send + 'static) {
        let fewest = self.0.iter().min_by_key(|own| own.connections.load(Ordering::Relaxed));
        // There is at least one processor.
        let Some(thread) = fewest else { return };
        let one = One::of(&thread.connections);
        thread.runtime.spawn(async move {
            connection.await;
            drop(one);
        });
    }
}

impl Thread {
    fn start(index: usize, number: usize) -> io::Result<Self> {
        let shared = Handle::current();
        let blocking = BLOCKING_THREADS_MAX.div_ceil(number);
        let runtime = Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(blocking)
            .on_thread_park(rest)
            .build()?;
        let handle = runtime.handle().clone();
        let (alive, ended) = oneshot::channel();
        let thread = thread::Builder::new().name(format!("connections-{index}"));
        thread.stack_size(STACK_BYTES).spawn(move || {
            await_turns();
            SHARED.with(|own| drop(own.set(shared)));
            // Its end is that of whoever has started it.
            let _ = runtime.block_on(ended);
            // Whatever still waits for the disk does not hold up the end.
            runtime.shutdown_background();
        })?;
        Ok(Self { runtime: handle, connections: Arc::default(), _alive: alive })
    }
}

/// From now on this thread, when something comes for it, pushes nobody off a
/// processor: it runs where one is idle, or when who runs there has to wait. A
/// client on this machine, or a proxy, sends all that it has then, and is not
/// held up at each request. Beside whoever computes it gets its share, as before.
/// sched(7), `SCHED_BATCH`. Whoever has started the process under another policy
/// than the usual one has chosen that.
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "nobody has a safe function for it")]
fn await_turns() {
    // SAFETY: the structure is of numbers, of which none means anything here, and
    // lives until the calls, which are about this thread alone, are over.
    let outcome = unsafe {
        if libc::sched_getscheduler(0) != libc::SCHED_OTHER {
            return;
        }
        let none: libc::sched_param = std::mem::zeroed();
        libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const none)
    };
    if outcome != 0 {
        let error = io::Error::last_os_error();
        tracing::debug!(%error, "threads of connections push others off their processors");
    }
}

/// Elsewhere there is no such policy.
#[cfg(not(target_os = "linux"))]
fn await_turns() {}

/// One more of what is counted, for as long as it lives.
struct One(Arc<AtomicUsize>);

impl One {
    fn of(counter: &Arc<AtomicUsize>) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(counter))
    }
}

impl Drop for One {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Spawns a task on the runtime that all share.
pub fn spawn_shared<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    SHARED.with(|shared| match shared.get() {
        Some(shared) => shared.spawn(future),
        None => tokio::spawn(future),
    })
}

/// Whether this thread's connections would wait for what takes long.
pub fn serves_connections() -> bool {
    SHARED.with(|shared| shared.get().is_some())
}

/// Does work in step with the others that are ready on this thread: it begins
/// when they have come to their own, and who has done it goes on when they have.
/// Where some of it `takes_long`, each goes on at once, in the order in which it
/// came: in step, it would wait for that at every pause.
pub async fn in_step<F: Future>(takes_long: bool, work: F) -> F::Output {
    if !serves_connections() || !are_all_short(takes_long) {
        return work.await;
    }
    let_others_go_ahead().await;
    let output = work.await;
    let_others_go_ahead().await;
    if has_done_enough() {
        TURNS.with(give_way);
    }
    output
}

/// Counts a step, and whether it is time for others.
fn has_done_enough() -> bool {
    let steps = STEPS.get() + 1;
    STEPS.set(steps % STEPS_MAX);
    steps == STEPS_MAX && RESTS.take() <= RESTS_MAX
}

/// Counts that there is nothing to do.
fn rest() {
    RESTS.set(RESTS.get().saturating_add(1));
}

/// Lets whoever waits for this thread's processor have it now. Where somebody computes
/// there, and has it for long, that is hardly tried: it would slow this thread down by
/// more than its share.
fn give_way(turns: &Turns) {
    if turns.is_next() {
        let began = Instant::now();
        thread::yield_now();
        turns.count(began.elapsed() < AWAY_MAX);
    }
}

/// Whether this work and what came before it on this thread is short.
fn are_all_short(takes_long: bool) -> bool {
    if takes_long {
        SHORT_IN_A_ROW.set(0);
        return false;
    }
    let before = SHORT_IN_A_ROW.get();
    SHORT_IN_A_ROW.set(before.saturating_add(1));
    before >= SHORT_IN_A_ROW_MIN
}

/// Goes to the end of this thread's queue, which is in order. tokio's own
/// `yield_now` would ask the system for what else has come, which costs more.
async fn let_others_go_ahead() {
    let mut went = false;
    poll_fn(|cx| match std::mem::replace(&mut went, true) {
        true => Poll::Ready(()),
        false => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await;
}

/// Runs a future on this thread; from the turn on after which it `is_long`, on
/// the runtime that all share, where that is another. Dropping this ends it.
///
/// # Errors
/// Where it was ended from outside, or panicked there.
pub async fn run<F>(
    mut future: Pin<Box<F>>,
    is_long: impl Fn() -> bool,
) -> Result<F::Output, JoinError>
where
    F: Future<Output: Send> + Send + 'static,
{
    let short = poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if is_long() && serves_connections() => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    });
    match short.await {
        Some(output) => Ok(output),
        None => AbortOnDropHandle::new(spawn_shared(future)).await,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use tokio::{sync::mpsc, task::yield_now};

    use super::*;

    fn name() -> String {
        thread::current().name().unwrap_or_default().to_owned()
    }

    async fn on_a_thread<T: Send + 'static>(
        threads: &Threads,
        future: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let (done, outcome) = oneshot::channel();
        threads.spawn(async move { drop(done.send(future.await)) });
        outcome.await.expect("it ends")
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn only_what_is_long_leaves_its_thread() {
        let threads = Threads::start().expect("threads");
        for (turns, leaves) in [(0, false), (3, false), (3, true)] {
            let is_long = Arc::new(AtomicBool::new(false));
            let own = Arc::clone(&is_long);
            let work = Box::pin(async move {
                let began = name();
                for turn in 0..turns {
                    own.store(leaves && turn == 1, Ordering::Relaxed);
                    yield_now().await;
                }
                (began, name())
            });
            let ran = run(work, move || is_long.load(Ordering::Relaxed));
            let (began, ended) = on_a_thread(&threads, ran).await.expect("it is not ended");
            assert!(began.starts_with("connections-"), "{began}");
            assert_eq!(ended.starts_with("connections-"), !leaves, "{ended}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_dropped_ends_wherever_it_is() {
        let threads = Threads::start().expect("threads");
        let (alive, ended) = oneshot::channel::<()>();
        let work = Box::pin(async move {
            let _alive = alive;
            loop {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        let ran = async move {
            let ran = run(work, || true);
            let limit = Duration::from_millis(50);
            tokio::time::timeout(limit, ran).await.is_err()
        };
        assert!(on_a_thread(&threads, ran).await);
        ended.await.expect_err("it was dropped");
    }

    #[test]
    fn who_hardly_rests_lets_others_go_after_sixteen_steps() {
        let steps = || (0..100).take_while(|_| !has_done_enough()).count() + 1;
        assert_eq!([steps(), steps()], [16, 16]);
        (0..RESTS_MAX).for_each(|_| rest());
        assert_eq!(steps(), 16);
        // Rests are those since the last sixteen.
        (0..=RESTS_MAX).for_each(|_| rest());
        assert_eq!(steps(), 32);
    }

    /// What happens, in order, when tasks are ready together, each with its name
    /// and whether its work takes long.
    async fn happens(tasks: &'static [(&'static str, bool)]) -> String {
        let (happens, mut happened) = mpsc::unbounded_channel();
        let tasks = tasks.iter().map(|&(name, takes_long)| {
            let happens = happens.clone();
            tokio::spawn(async move {
                let tell = |what| drop(happens.send(format!("{what} {name}")));
                tell("came");
                in_step(takes_long, async { tell("did") }).await;
                tell("went");
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.expect("it is not ended");
        }
        drop(happens);
        let mut all = Vec::new();
        while let Some(what) = happened.recv().await {
            all.push(what);
        }
        all.join(", ")
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_is_there_together_goes_in_step() {
        let threads = Threads::start().expect("threads");
        let happened = on_a_thread(&threads, happens(&[("a", false), ("b", false)])).await;
        assert_eq!(happened, "came a, came b, did a, did b, went a, went b");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn beside_what_takes_long_all_go_on_at_once() {
        let threads = Threads::start().expect("threads");
        let tasks = &[("long", true), ("a", false), ("b", false)];
        let one_by_one = |names: [&str; 2]| {
            names.map(|name| format!("came {name}, did {name}, went {name}")).join(", ")
        };
        let expected = format!("came long, did long, went long, {}", one_by_one(["a", "b"]));
        let (happened, and_then) = on_a_thread(&threads, async {
            let happened = happens(tasks).await;
            let short = || happens(&[("a", false), ("b", false)]);
            for _ in 2..SHORT_IN_A_ROW_MIN / 2 {
                short().await;
            }
            (happened, [short().await, short().await])
        })
        .await;
        assert_eq!(happened, expected);
        let in_step = "came a, came b, did a, did b, went a, went b";
        assert_eq!(and_then, [one_by_one(["a", "b"]), in_step.to_owned()]);
    }

    #[tokio::test]
    async fn elsewhere_nobody_waits_for_others() {
        let happened = happens(&[("a", false), ("b", false)]).await;
        assert_eq!(happened, "came a, did a, went a, came b, did b, went b");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test(flavor = "multi_thread")]
    async fn who_serves_pushes_nobody_away() {
        let threads = Threads::start().expect("threads");
        let of_connections = on_a_thread(&threads, async move { policy() }).await;
        let expected = match policy() {
            Some(libc::SCHED_OTHER) => Some(libc::SCHED_BATCH),
            chosen => chosen,
        };
        assert_eq!(of_connections, expected);
    }

    /// The scheduling policy of this thread.
    #[cfg(target_os = "linux")]
    fn policy() -> Option<i32> {
        // proc_pid_stat(5): the 41st field, of those behind the name the 39th.
        let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("it is there");
        let (_, fields) = stat.rsplit_once(')').expect("a name");
        fields.split_whitespace().nth(38).and_then(|field| field.parse().ok())
    }

    #[cfg(target_os = "linux")]
    #[test]
    #[allow(unsafe_code, reason = "nobody has a safe function for it")]
    fn a_policy_that_was_chosen_stays() {
        let chosen = thread::spawn(|| {
            // SAFETY: as in `await_turns`.
            let outcome = unsafe {
                let none: libc::sched_param = std::mem::zeroed();
                libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const none)
            };
            assert_eq!(outcome, 0, "anybody may have this one");
            await_turns();
            policy()
        });
        assert_eq!(chosen.join().expect("no panic"), Some(libc::SCHED_IDLE));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn connections_go_where_the_fewest_are() {
        let threads = Threads::start().expect("threads");
        let number = threads.0.len();
        let (end, ended) = tokio::sync::watch::channel(());
        for _ in 0..2 * number {
            let mut ended = ended.clone();
            threads.spawn(async move { drop(ended.changed().await) });
        }
        let each = || threads.0.iter().map(|own| own.connections.load(Ordering::Relaxed));
        assert!(each().all(|connections| connections == 2), "{:?}", each().collect::<Vec<_>>());
        end.send_replace(());
        while each().any(|connections| connections > 0) {
            yield_now().await;
        }
    }
}

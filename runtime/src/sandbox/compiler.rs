//! Loads code on all cores: what the cache has is ready at once, the rest is
//! compiled by threads that live as long as there is something to compile.

use std::{
    cmp::Reverse,
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak, mpsc::SyncSender},
    thread,
    time::Instant,
};

use super::{
    Hosts,
    cache::digest_of_bytes,
    code::{Code, CodeFile},
    component::{self, Compiled},
};

/// Files of this size, in bytes, have all cores, one after the other: alone on
/// one, such a file would take longer than many others side by side.
const LARGE_BYTES: usize = 2 * 1024 * 1024;

/// How much nicer than others a thread that compiles is, of the system's 19:
/// enough that a thread with a request need not wait for it, and little enough
/// that it goes on where requests take all there is.
#[cfg(target_os = "linux")]
const NICE: i32 = 5;

/// Who compiles, and what there is to compile.
pub struct Compiler {
    hosts: Arc<Hosts>,
    // At least two, so that a large file never holds up all others.
    threads_max: usize,
    /// The same bytes are the same code, for as long as somebody has it.
    known: Mutex<HashMap<[u8; 32], Weak<Code>>>,
    queue: Mutex<Queue>,
    settled: Condvar,
    failed: OnceLock<SyncSender<()>>,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Job>,
    threads: usize,
    running: usize,
    large_runs: bool,
    // Since there was nothing to do that functions wait for.
    done: usize,
    total: usize,
}

struct Job {
    code: Arc<Code>,
    file: CodeFile,
    // What is left to do, as all else is there.
    is_direct: bool,
}

impl Queue {
    /// Which one is next: first what somebody waits for, then what is small, so
    /// that few wait for the large ones, and last what can do without.
    fn next(&self) -> Option<usize> {
        let jobs = self.waiting.iter().enumerate();
        let jobs = jobs.filter(|(_, job)| !(self.large_runs && job.is_large()));
        let next = jobs
            .max_by_key(|(_, job)| (!job.is_direct, job.code.is_wanted(), Reverse(job.code.size)));
        next.map(|(index, _)| index)
    }
}

impl Job {
    /// The file, if it is what it was.
    fn wasm(&self) -> Result<Vec<u8>, String> {
        let wasm = self.file.read()?;
        match digest_of_bytes(&wasm) == self.code.sha256 {
            true => Ok(wasm),
            false => Err("it has changed since it was looked at".to_owned()),
        }
    }

    fn is_large(&self) -> bool {
        self.code.size >= LARGE_BYTES
    }
}

impl Compiler {
    pub fn new(hosts: Arc<Hosts>) -> Self {
        Self {
            hosts,
            threads_max: thread::available_parallelism().map_or(1, usize::from).max(2),
            known: Mutex::default(),
            queue: Mutex::default(),
            settled: Condvar::new(),
            failed: OnceLock::new(),
        }
    }

    /// Who is told when code turns out to be no function.
    pub fn tell_failures(&self, waker: SyncSender<()>) {
        let _ = self.failed.set(waker);
    }

    /// The code of each file, in their order. What is not in the cache is
    /// compiled from now on.
    pub fn begin(self: &Arc<Self>, files: &[CodeFile]) -> Vec<Result<Arc<Code>, String>> {
        let found = side_by_side(self.threads_max, files, |file| self.find(file));
        let job = |file: &CodeFile, found: &Result<(Arc<Code>, bool), String>| {
            let (code, is_new) = found.as_ref().ok()?;
            let is_job = *is_new && !code.is_settled();
            is_job.then(|| Job { code: Arc::clone(code), file: file.clone(), is_direct: false })
        };
        self.enqueue(
            files.iter().zip(&found).filter_map(|(file, found)| job(file, found)).collect(),
        );
        found.into_iter().map(|found| Ok(found?.0)).collect()
    }

    /// Waits until it is known what has become of each.
    pub fn wait_for<'c>(&self, codes: impl Iterator<Item = &'c Arc<Code>>) {
        for code in codes.filter(|code| !code.is_settled()) {
            code.want();
            let mut queue = self.queue();
            while !code.is_settled() {
                queue = self.settled.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// Waits until there is nothing left to compile.
    pub fn finish(&self) {
        let mut queue = self.queue();
        while queue.running > 0 || !queue.waiting.is_empty() {
            queue = self.settled.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The code of a file, as it is known or found in the cache, and whether
    /// nobody had it before.
    fn find(self: &Arc<Self>, file: &CodeFile) -> Result<(Arc<Code>, bool), String> {
        let wasm = file.read()?;
        let sha256 = digest_of_bytes(&wasm);
        let known = || {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            let code = known.get(&sha256).and_then(Weak::upgrade);
            // What has failed may do so for another reason than what it is.
            (known, code.filter(|code| code.problem().is_none()))
        };
        if let (_, Some(code)) = known() {
            return Ok((code, false));
        }
        let compiled = component::find(&self.hosts, &wasm, &sha256);
        let compiled = compiled.map_err(|error| error.to_string())?;
        let (mut others, code) = known();
        if let Some(code) = code {
            return Ok((code, false));
        }
        let code = Code::new(sha256, wasm.len(), compiled);
        let code = Arc::new(code.of_file(Arc::downgrade(self), file.clone()));
        others.retain(|_, code| code.strong_count() > 0);
        others.insert(sha256, Arc::downgrade(&code));
        Ok((code, true))
    }

    /// Makes code that can be called without its component, now that it is called often.
    pub fn compile_further(self: &Arc<Self>, code: &Arc<Code>, file: &CodeFile) {
        let (code, file) = (Arc::clone(code), file.clone());
        self.enqueue(vec![Job { code, file, is_direct: true }]);
    }

    fn enqueue(self: &Arc<Self>, jobs: Vec<Job>) {
        let mut queue = self.queue();
        queue.total += jobs.iter().filter(|job| !job.is_direct).count();
        queue.waiting.extend(jobs);
        let needed = self.threads_max.min(queue.running + queue.waiting.len());
        for _ in queue.threads..needed {
            let own = Arc::clone(self);
            let begun = thread::Builder::new().name("compile".to_owned()).spawn(move || own.run());
            match begun {
                Ok(_) => queue.threads += 1,
                // Those that there are do it.
                Err(_) if queue.threads > 0 => break,
                Err(error) => {
                    tracing::error!(%error, "no thread can be started to compile");
                    for job in queue.waiting.drain(..) {
                        job.code.settle(Err(format!("no thread can be started: {error}")));
                    }
                    return;
                }
            }
        }
    }

    /// The life of a thread.
    fn run(&self) {
        be_nice();
        // Within a pool of one, wasmtime compiles a file's functions one after
        // the other; else it takes the pool that has all cores.
        let own = rayon::ThreadPoolBuilder::new().num_threads(1).build();
        while let Some((job, is_alone)) = self.take() {
            let begun = Instant::now();
            let work = || match job.is_direct {
                true => {
                    // Who calls can do without.
                    let _ = catch_unwind(AssertUnwindSafe(|| self.compile_directly(&job)));
                    None
                }
                false => Some(
                    catch_unwind(AssertUnwindSafe(|| self.compile(&job)))
                        .unwrap_or_else(|_| Err("the compiler failed at it".to_owned())),
                ),
            };
            let outcome = match &own {
                Ok(own) if !is_alone && !job.is_large() => own.install(work),
                _ => work(),
            };
            self.end(&job, outcome, begun);
        }
    }

    /// The next one, and whether it is the only one.
    fn take(&self) -> Option<(Job, bool)> {
        let mut queue = self.queue();
        let Some(next) = queue.next() else {
            queue.threads -= 1;
            return None;
        };
        let job = queue.waiting.swap_remove(next);
        queue.running += 1;
        queue.large_runs |= job.is_large();
        Some((job, queue.running == 1 && queue.waiting.is_empty()))
    }

    fn compile(&self, job: &Job) -> Result<Compiled, String> {
        let wasm = job.wasm()?;
        let compiled = component::load(&self.hosts, &wasm, &job.code.sha256);
        compiled.map_err(|error| error.to_string())
    }

    fn compile_directly(&self, job: &Job) -> Option<()> {
        let (compiled, wasm) = (job.code.ready()?, job.wasm().ok()?);
        let direct = component::direct(&self.hosts, &wasm, &job.code.sha256)?;
        compiled.set_direct(direct);
        tracing::debug!("{} can be called without its component", job.file.name);
        Some(())
    }

    /// A job is over; of what could not be done without, with its outcome.
    fn end(&self, job: &Job, outcome: Option<Result<Compiled, String>>, begun: Instant) {
        let (name, took) = (&job.file.name, begun.elapsed().as_millis());
        let mut queue = self.queue();
        queue.running -= 1;
        queue.large_runs &= !job.is_large();
        let mut has_failed = false;
        if let Some(outcome) = outcome {
            queue.done += 1;
            let (done, total) = (queue.done, queue.total);
            match &outcome {
                Ok(_) => tracing::info!("compiled {done} of {total}: {name} in {took} ms"),
                // It may still be being written.
                Err(_) if job.file.is_reported => {}
                Err(reason) => tracing::error!("{name} cannot be invoked: {reason}"),
            }
            has_failed = outcome.is_err();
            job.code.settle(outcome);
        }
        if queue.done == queue.total {
            (queue.done, queue.total) = (0, 0);
        }
        drop(queue);
        self.settled.notify_all();
        if has_failed && let Some(waker) = self.failed.get() {
            // One wake-up stands for any number.
            let _ = waker.try_send(());
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets others go first, from now on: this thread and those that it starts, such
/// as wasmtime's. Elsewhere than on Linux that would be the whole process.
fn be_nice() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::debug!(%error, "compiling has the priority of requests");
    }
}

/// What `work` makes of each item, in their order, on so many threads.
fn side_by_side<T: Sync, R: Send>(
    threads: usize,
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let (part, work) = (items.len().div_ceil(threads).max(1), &work);
    let mut parts = items.chunks(part);
    let first = parts.next().unwrap_or_default();
    thread::scope(|scope| {
        let others: Vec<_> = parts
            .map(|part| scope.spawn(move || part.iter().map(work).collect::<Vec<R>>()))
            .collect();
        let mut made: Vec<R> = first.iter().map(work).collect();
        for other in others {
            match other.join() {
                Ok(part) => made.extend(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        made
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn what_is_waited_for_is_next_and_then_what_is_small() {
        let job = |size: usize| Job {
            code: Arc::new(Code::new([0; 32], size, None)),
            file: CodeFile { name: size.to_string(), path: PathBuf::new(), is_reported: true },
            is_direct: false,
        };
        let sizes = [LARGE_BYTES, 30, 10, LARGE_BYTES + 1, 20];
        let mut queue = Queue { waiting: sizes.map(job).into(), ..Queue::default() };
        for index in [1, 3] {
            queue.waiting[index].code.want();
        }
        let mut order = Vec::new();
        while let Some(next) = queue.next() {
            let job = queue.waiting.swap_remove(next);
            queue.large_runs |= job.is_large();
            order.push(job.code.size);
        }
        assert_eq!(order, [30, LARGE_BYTES + 1, 10, 20]);
        queue.large_runs = false;
        assert_eq!(queue.next(), Some(0));
    }

    #[test]
    fn what_functions_can_do_without_is_last() {
        let job = |(size, is_direct)| Job {
            code: Arc::new(Code::new([0; 32], size, None)),
            file: CodeFile { name: size.to_string(), path: PathBuf::new(), is_reported: true },
            is_direct,
        };
        let waiting = [(10, true), (30, false), (20, false)].map(job).into();
        let mut queue = Queue { waiting, ..Queue::default() };
        assert_eq!(queue.next(), Some(2));
        queue.waiting.truncate(1);
        assert_eq!(queue.next(), Some(0));
        queue.waiting.push(job((40, false)));
        assert_eq!(queue.next(), Some(1));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_compiles_is_nicer_than_who_started_it() {
        let own = || rustix::process::getpriority_process(None).expect("a priority");
        let before = own();
        let nice = move || {
            be_nice();
            (own(), thread::spawn(own).join().expect("it ends"))
        };
        let expected = (before + NICE).min(19);
        assert_eq!(thread::spawn(nice).join().expect("it ends"), (expected, expected));
        assert_eq!(own(), before);
    }

    #[test]
    fn what_is_made_side_by_side_keeps_its_order() {
        for count in [0, 1, 2, 3, 7, 8, 100] {
            let items: Vec<usize> = (0..count).collect();
            let expected: Vec<usize> = items.iter().map(|item| item + 1).collect();
            for threads in [1, 2, 3, 16] {
                assert_eq!(side_by_side(threads, &items, |item| item + 1), expected);
            }
        }
    }
}

//! The thread that watches files and reloads.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{
        Arc, Weak,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};

use notify::{Config, Event, EventKind, PollWatcher, RecommendedWatcher, RecursiveMode, Watcher};

use super::{Loader, Shared, files::fingerprint};

/// A burst of events is over when none came for this long.
const QUIET: Duration = Duration::from_millis(10);

/// A burst that does not end is acted upon after this long.
const BURST_MAX: Duration = Duration::from_millis(1000);

/// An invalid file that nobody has touched for this long is reported.
const SETTLE: Duration = Duration::from_millis(300);

/// How often files are looked at where the system cannot tell of changes.
const POLL: Duration = Duration::from_millis(500);

/// Starts watching: changes take effect in `shared` for as long as anybody
/// else holds it.
///
/// # Errors
/// Where no thread can be started.
pub fn start(loader: Loader, shared: &Arc<Shared>) -> std::io::Result<()> {
    let shared = Arc::downgrade(shared);
    // One waiting wake-up stands for any number of events.
    let (waker, woken) = sync_channel(1);
    // What was being compiled when the gateway began to serve is told of as a
    // changed file is.
    loader.sandbox.tell_failures(waker.clone());
    std::thread::Builder::new()
        .name("reload".to_owned())
        .spawn(move || run(loader, &shared, &woken, Follower::new(waker)))?;
    Ok(())
}

fn run(
    mut loader: Loader,
    shared: &Weak<Shared>,
    woken: &Receiver<()>,
    mut follower: Option<Follower>,
) {
    let mut follow = |loader: &Loader| {
        follower.as_mut().is_some_and(|follower| follower.follow(&loader.folders()))
    };
    follow(&loader);
    // At first for what changed between the first load and the first watch.
    let mut again = true;
    while let Some(shared) = shared.upgrade() {
        again = again && loader.reload(&shared);
        // A folder that was not watched while it was read is read once more.
        if follow(&loader) {
            again = true;
            continue;
        }
        drop(shared);
        let woke = match again {
            true => woken.recv_timeout(SETTLE),
            false => woken.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match woke {
            Ok(()) => wait_for_quiet(woken),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        again = true;
    }
}

fn wait_for_quiet(woken: &Receiver<()>) {
    let begun = Instant::now();
    while begun.elapsed() < BURST_MAX && woken.recv_timeout(QUIET).is_ok() {}
}

/// The watched folders, each with the inode it had: one that was removed and
/// made again is another one.
struct Follower {
    watcher: Box<dyn Watcher>,
    folders: BTreeMap<PathBuf, u64>,
}

impl Follower {
    fn new(waker: SyncSender<()>) -> Option<Self> {
        let wake = move |event: notify::Result<Event>| {
            let relevant = match &event {
                Ok(event) => {
                    !matches!(event.kind, EventKind::Access(_)) && is_relevant(&event.paths)
                }
                // Events may have been lost: better to look.
                Err(_) => true,
            };
            if relevant {
                let _ = waker.try_send(());
            }
        };
        let watcher: Result<Box<dyn Watcher>, notify::Error> = match RecommendedWatcher::new(
            wake.clone(),
            Config::default(),
        ) {
            Ok(watcher) => Ok(Box::new(watcher)),
            Err(error) => {
                tracing::warn!(%error, "the system cannot tell of changed files; looking every {POLL:?}");
                PollWatcher::new(wake, Config::default().with_poll_interval(POLL))
                    .map(|watcher| Box::new(watcher) as Box<dyn Watcher>)
            }
        };
        match watcher {
            Ok(watcher) => Some(Self { watcher, folders: BTreeMap::new() }),
            Err(error) => {
                tracing::error!(%error, "files cannot be watched: changes need a restart");
                None
            }
        }
    }

    /// Watches exactly `folders`, as far as they exist; true where one is new.
    fn follow(&mut self, folders: &BTreeSet<PathBuf>) -> bool {
        let inode = |folder: &Path| fingerprint(folder).ok().map(|print| print.inode);
        let gone = |folder: &PathBuf, known: u64| {
            !folders.contains(folder) || inode(folder) != Some(known)
        };
        let old = std::mem::take(&mut self.folders);
        for (folder, known) in old {
            if gone(&folder, known) {
                let _ = self.watcher.unwatch(&folder);
            } else {
                self.folders.insert(folder, known);
            }
        }
        let mut added = false;
        for folder in folders {
            let (false, Some(inode)) = (self.folders.contains_key(folder), inode(folder)) else {
                continue;
            };
            match self.watcher.watch(folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    added = true;
                    self.folders.insert(folder.clone(), inode);
                }
                Err(error) => {
                    tracing::warn!(folder = %folder.display(), %error, "changes here are not noticed");
                }
            }
        }
        added
    }
}

/// Files that the gateway itself or its user's shell writes beside the
/// configuration all the time are not worth a look.
fn is_relevant(paths: &[PathBuf]) -> bool {
    let ignored = |path: &Path| {
        path.extension().is_some_and(|extension| extension == "log" || extension == "tmp")
    };
    paths.is_empty() || !paths.iter().all(|path| ignored(path))
}

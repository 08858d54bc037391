//! Keeps resident what guests with a large memory write to.
//!
//! A slot's memory is a private mapping of the memory image that lies in the
//! file of the guest's code. When a guest has ended, wasmtime copies back the
//! pages that it wrote to, as far as they lie in 32 runs, and drops everything
//! after them, for the next guest to fault in page by page; a page that is read
//! before it is written to interrupts every other core on top of that. An engine
//! of a language writes to hundreds of pages all over its image.
//!
//! So now and then, when a guest has ended, we look which pages were written to,
//! cover all that ever were with runs few enough, and have the kernel make these
//! writable wherever that image is mapped. From then on all of it is copied back
//! and nothing is dropped. A page's content does not change when it is made
//! writable, so that it does not matter whose turn a slot is in meanwhile.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Mutex,
    time::{Duration, Instant},
};

use procfs::{
    ProcResult,
    process::{MMPermissions, MemoryMap, MemoryPageFlags, PageInfo, PageMap, Process},
};
use rustix::mm::{Advice, madvise};
use wasmtime::{Engine, component::Component};

use super::engine;

/// Runs of pages that written ones are covered with: wasmtime keeps 32, of which
/// some are left for a stack before the image and for what is written rarely.
const RUNS_MAX: usize = 28;

/// What is left of the memory that a slot keeps, for the same, in bytes.
const SPARE_BYTES: usize = 512 * 1024;

/// What slots that wait may keep resident altogether, in bytes. Beyond it no
/// more of them are covered.
const SLOTS_BYTES_MAX: usize = 512 << 20;

/// Slots of a function that are looked at; wasmtime takes the same ones again.
const SLOTS_MAX: usize = 64;

/// How much of a memory is looked at, from its image on, in bytes.
const LOOK_BYTES_MAX: u64 = 32 << 20;

/// Time from one look to the next, of all functions together, and of one while
/// there is something new to see. A look takes a few milliseconds.
const SOON: Duration = Duration::from_millis(100);

/// The same for one when there has been nothing new for long. It is doubled from
/// look to look.
const LATE: Duration = Duration::from_secs(10);

/// When there may be the next look, of whichever function.
static NEXT: Mutex<Option<Instant>> = Mutex::new(None);

/// What is known of one component's memory.
pub struct Resident {
    // Where its code is mapped.
    code: Range<u64>,
    engine: Engine,
    seen: Mutex<Seen>,
}

struct Seen {
    next: Instant,
    pause: Duration,
    // By where its image lies in the file; from the image's first page on.
    written: BTreeMap<u64, BTreeSet<u64>>,
}

/// A memory that has an image.
struct Slot {
    /// Where that lies in the file.
    image: u64,
    /// Where it is mapped, with the memory that follows it.
    mapped: Range<u64>,
}

impl Resident {
    /// For a component whose memory is worth it: what begins with less rarely writes
    /// to more than a few runs.
    pub fn new(component: &Component) -> Option<Self> {
        let needs = component.resources_required()?;
        if needs.max_initial_memory_size? < engine::LARGE_MEMORY_PAGES
            || !engine::knows_written_pages()
        {
            return None;
        }
        let code = component.image_range();
        let seen = Seen { next: Instant::now(), pause: SOON, written: BTreeMap::new() };
        Some(Self {
            code: code.start.addr() as u64..code.end.addr() as u64,
            engine: component.engine().clone(),
            seen: Mutex::new(seen),
        })
    }

    /// Called when a guest has ended whose memory is still there. Looks if it is
    /// time.
    pub fn look(&self) {
        // Whoever is second has nothing to add.
        let (Ok(mut seen), now) = (self.seen.try_lock(), Instant::now()) else { return };
        if now < seen.next {
            return;
        }
        let Ok(mut next) = NEXT.try_lock() else { return };
        if next.is_some_and(|next| now < next) {
            return;
        }
        let is_new = self.look_at_slots(&mut seen.written).unwrap_or_else(|error| {
            tracing::debug!(%error, "what guests write to cannot be looked at");
            false
        });
        seen.pause = if is_new { SOON } else { (seen.pause * 2).min(LATE) };
        seen.next = Instant::now() + seen.pause;
        *next = Some(Instant::now() + SOON);
    }

    /// Whether there was anything new.
    fn look_at_slots(&self, written: &mut BTreeMap<u64, BTreeSet<u64>>) -> ProcResult<bool> {
        let page = procfs::page_size();
        let process = Process::myself()?;
        let mut slots = slots(&process.maps()?.0, &self.code);
        slots.truncate(SLOTS_MAX);
        let mut pagemap = process.pagemap()?;
        let mut theirs = Vec::with_capacity(slots.len());
        let mut is_new = false;
        for slot in slots {
            let own = private_pages(&mut pagemap, &slot.mapped, page)?;
            let known = written.entry(slot.image).or_default();
            for (at, _) in (0..).zip(&own).filter(|(_, is_private)| **is_private) {
                is_new |= known.insert(at);
            }
            theirs.push((slot, own));
        }

        let bytes_max = engine::MEMORY_RESIDENT_BYTES - SPARE_BYTES;
        let pages_max = bytes_max as u64 / page;
        let covers: BTreeMap<u64, Vec<Range<u64>>> = written
            .iter()
            .map(|(image, written)| (*image, cover(written, RUNS_MAX, pages_max)))
            .collect();
        let kept = self.engine.pooling_allocator_metrics();
        let kept = kept.map_or(0, |metrics| metrics.unused_memory_bytes_resident());
        let mut left = SLOTS_BYTES_MAX.saturating_sub(kept) as u64;
        for (Slot { image, mapped }, own) in theirs {
            for run in covers.get(&image).into_iter().flatten() {
                // A memory may be shorter than it was elsewhere.
                let at = |page: u64| own.len().min(page as usize);
                let pages = &own[at(run.start)..at(run.end)];
                let missing = pages.iter().filter(|is_private| !**is_private).count() as u64 * page;
                if missing == 0 {
                    continue;
                }
                let Some(less) = left.checked_sub(missing) else { return Ok(is_new) };
                left = less;
                let begin = mapped.start + run.start * page;
                is_new |= populate(begin..begin + pages.len() as u64 * page);
            }
        }
        Ok(is_new)
    }
}

/// The memories whose image lies in the same file as code.
fn slots(maps: &[MemoryMap], code: &Range<u64>) -> Vec<Slot> {
    let file = maps.iter().find(|map| map.address.0 <= code.start && code.start < map.address.1);
    let Some(file) = file.filter(|file| file.inode != 0) else { return Vec::new() };
    let is_memory = |map: &MemoryMap| {
        map.perms == MMPermissions::READ | MMPermissions::WRITE | MMPermissions::PRIVATE
    };
    let mut slots = Vec::new();
    for (at, map) in maps.iter().enumerate() {
        let is_of_file = map.inode == file.inode && map.dev == file.dev;
        if !is_of_file || !is_memory(map) || code.contains(&map.address.0) {
            continue;
        }
        let (begin, end) = map.address;
        let follows =
            |next: &&MemoryMap| next.address.0 == end && next.inode == 0 && is_memory(next);
        let end = maps.get(at + 1).filter(follows).map_or(end, |next| next.address.1);
        let mapped = begin..end.min(begin + LOOK_BYTES_MAX);
        slots.push(Slot { image: map.offset, mapped });
    }
    slots
}

/// For each page of a memory, whether it is its own and no file's.
fn private_pages(pagemap: &mut PageMap, mapped: &Range<u64>, page: u64) -> ProcResult<Vec<bool>> {
    let pages = (mapped.start / page) as usize..(mapped.end / page) as usize;
    let is_private = |info: PageInfo| match info {
        PageInfo::MemoryPage(flags) => {
            flags.contains(MemoryPageFlags::PRESENT) && !flags.contains(MemoryPageFlags::FILE)
        }
        PageInfo::SwapPage(_) => false,
    };
    Ok(pagemap.get_range_info(pages)?.into_iter().map(is_private).collect())
}

/// Runs of pages with all of `written` among them, or as many of the first as
/// fit into `runs_max` runs of `pages_max` pages together.
fn cover(written: &BTreeSet<u64>, runs_max: usize, pages_max: u64) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    for &page in written {
        match runs.last_mut() {
            Some(run) if run.end == page => run.end += 1,
            _ => runs.push(page..page + 1),
        }
    }
    loop {
        let covered = joined(&runs, runs_max);
        if covered.iter().map(|run| run.end - run.start).sum::<u64>() <= pages_max {
            return covered;
        }
        // A tenth less, and at least one.
        runs.truncate(runs.len() * 9 / 10);
    }
}

/// At most `runs_max` runs, with the smallest gaps filled.
fn joined(runs: &[Range<u64>], runs_max: usize) -> Vec<Range<u64>> {
    let mut gaps: Vec<(u64, usize)> = runs
        .windows(2)
        .enumerate()
        .map(|(at, pair)| (pair[1].start - pair[0].end, at + 1))
        .collect();
    gaps.sort_unstable();
    let filled = runs.len().saturating_sub(runs_max);
    let filled: BTreeSet<usize> = gaps.into_iter().take(filled).map(|(_, at)| at).collect();
    let mut joined: Vec<Range<u64>> = Vec::with_capacity(runs_max);
    for (at, run) in runs.iter().enumerate() {
        match joined.last_mut() {
            Some(last) if filled.contains(&at) => last.end = run.end,
            _ => joined.push(run.clone()),
        }
    }
    joined
}

/// Has the kernel make pages writable that may be, and says whether it did. It
/// cannot for what is not mapped any more, and does not before Linux 5.14.
#[allow(unsafe_code, reason = "an address alone says what is meant")]
fn populate(pages: Range<u64>) -> bool {
    let start = std::ptr::with_exposed_provenance_mut(pages.start as usize);
    let bytes = (pages.end - pages.start) as usize;
    // SAFETY: no content changes, whatever it is by now that is mapped there.
    unsafe { madvise(start, bytes, Advice::LinuxPopulateWrite) }.is_ok()
}

/// Lets the system have the memory of a component's code, which is hardly called any more.
/// What is called all the same is read again.
#[allow(unsafe_code, reason = "it is about memory that wasmtime has mapped")]
pub fn leave(component: &Component) {
    let code = component.image_range();
    let bytes = code.end.addr() - code.start.addr();
    // SAFETY: the component's code is mapped for as long as this borrows it, and no content
    // changes.
    if let Err(error) =
        unsafe { madvise(code.start.cast_mut().cast(), bytes, Advice::LinuxPageOut) }
    {
        tracing::debug!(%error, "code that is hardly called stays in memory");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn smallest_gaps_are_filled() {
        let written = BTreeSet::from([1, 2, 5, 20, 22, 90]);
        assert_eq!(cover(&written, 6, 100), [1..3, 5..6, 20..21, 22..23, 90..91]);
        assert_eq!(cover(&written, 3, 100), [1..6, 20..23, 90..91]);
        assert_eq!(cover(&written, 2, 100), [1..23, 90..91]);
    }

    #[test]
    fn what_does_not_fit_is_left_out_at_the_end() {
        let written = BTreeSet::from([1, 2, 5, 20, 22, 90]);
        assert_eq!(cover(&written, 2, 20), [1..6, 20..23]);
        assert_eq!(cover(&written, 2, 1), []);
        assert_eq!(cover(&BTreeSet::new(), 2, 100), []);
    }

    proptest! {
        #[test]
        fn a_cover_is_within_its_bounds(
            written in proptest::collection::btree_set(0..5_000_u64, 0..300),
            runs_max in 1..40_usize,
            pages_max in 1..3_000_u64,
        ) {
            let runs = cover(&written, runs_max, pages_max);
            prop_assert!(runs.len() <= runs_max);
            prop_assert!(runs.iter().map(|run| run.end - run.start).sum::<u64>() <= pages_max);
            prop_assert!(runs.windows(2).all(|pair| pair[0].end < pair[1].start));
            // The first ones are covered without a hole.
            let end = runs.last().map_or(0, |run| run.end);
            let is_covered = |page: &u64| runs.iter().any(|run| run.contains(page));
            prop_assert!(written.range(..end).all(is_covered));
            if written.len() as u64 <= pages_max.min(runs_max as u64) {
                prop_assert!(written.iter().all(is_covered));
            }
        }
    }
}

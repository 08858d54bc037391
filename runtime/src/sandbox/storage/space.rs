//! What the files of one `/tmp` hold: blocks of one file of the host.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::Semaphore;
use tracing::Level;

use super::Errno;
use crate::telemetry::InvocationLog;

/// What is given to a file at a time, in bytes.
const BLOCK_BYTES: u64 = 4096;

/// A block that nothing was written to yet: it reads as zeros.
const HOLE: u32 = u32::MAX;

/// The most that one call reads or writes, in bytes.
pub const TRANSFER_BYTES_MAX: usize = 64 * 1024;

/// The blocks of a volume.
pub struct Space {
    folder: Arc<Path>,
    blocks_max: u32,
    blocks: Mutex<Blocks>,
    // Made with the first block: most that is ever opened is empty or not there.
    file: Mutex<Option<File>>,
    log: InvocationLog,
    /// One operation of the volume at a time has a thread that may wait for
    /// the disk: all of them share the host's.
    turn: Arc<Semaphore>,
}

#[derive(Default)]
struct Blocks {
    /// What the lengths of all files come to, holes included.
    charged: u32,
    /// The first that was never given out.
    next: u32,
    free: Vec<u32>,
}

/// What one file holds.
pub struct Contents {
    space: Arc<Space>,
    // Beside the blocks, so that nobody who asks for it waits for the disk.
    size: AtomicU64,
    blocks: Mutex<Vec<u32>>,
}

/// Locks; what a thread that panicked leaves is as good as ever.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Space {
    pub fn new(folder: Arc<Path>, size_mb: u32, log: InvocationLog) -> Arc<Self> {
        let per_mb = 1024 * 1024 / u32::try_from(BLOCK_BYTES).unwrap_or(u32::MAX);
        Arc::new(Self {
            folder,
            blocks_max: size_mb.saturating_mul(per_mb),
            blocks: Mutex::default(),
            file: Mutex::new(None),
            log,
            turn: Arc::new(Semaphore::new(1)),
        })
    }

    /// Charges a file that grows from `old` to `new` blocks, or shrinks.
    fn charge(&self, old: usize, new: usize) -> Result<(), Errno> {
        let mut blocks = lock(&self.blocks);
        let charged = (blocks.charged as usize).saturating_sub(old).saturating_add(new);
        let charged = u32::try_from(charged).map_err(|_| Errno::InsufficientSpace)?;
        if new > old && charged > self.blocks_max {
            return Err(Errno::InsufficientSpace);
        }
        blocks.charged = charged;
        Ok(())
    }

    /// A block for a file that was charged for it, so that there is one.
    fn take(&self) -> u32 {
        let mut blocks = lock(&self.blocks);
        blocks.free.pop().unwrap_or_else(|| {
            let block = blocks.next;
            blocks.next += 1;
            debug_assert!(block < self.blocks_max, "no more are given than are charged");
            block
        })
    }

    /// The blocks that count against the quota.
    #[cfg(test)]
    pub fn charged(&self) -> usize {
        lock(&self.blocks).charged as usize
    }

    fn give_back(&self, given: &[u32]) {
        lock(&self.blocks).free.extend(given.iter().filter(|block| **block != HOLE));
    }

    /// Works on the host's file, which is made if it is not there. What goes
    /// wrong there is told to whoever reads the function's log.
    fn file<T>(&self, work: impl FnOnce(&mut File) -> io::Result<T>) -> Result<T, Errno> {
        let mut file = lock(&self.file);
        let opened = match &mut *file {
            Some(file) => Ok(file),
            empty => tempfile::tempfile_in(&self.folder).map(|new| empty.insert(new)),
        };
        opened.and_then(work).map_err(|error| {
            let folder = self.folder.display();
            self.log.line(Level::ERROR, &format!("/tmp, in a file of {folder}: {error}"));
            match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    Errno::InsufficientSpace
                }
                _ => Errno::Io,
            }
        })
    }
}

impl Drop for Space {
    /// To close the file is to delete it, which waits for the disk.
    fn drop(&mut self) {
        let file = lock(&self.file).take();
        if let (Some(file), Ok(runtime)) = (file, tokio::runtime::Handle::try_current()) {
            runtime.spawn_blocking(move || drop(file));
        }
    }
}

/// A part of a file that lies together in the host's: where, none for a hole,
/// and how long it is.
type Run = (Option<u64>, usize);

/// The parts of `len` bytes from `at`, which are within the blocks.
fn runs(blocks: &[u32], at: u64, len: usize) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut done = 0;
    while done < len {
        let (index, within) = split(at + done as u64);
        let part = (BLOCK_BYTES as usize - within).min(len - done);
        let block = blocks[index];
        let start = (block != HOLE).then(|| u64::from(block) * BLOCK_BYTES + within as u64);
        match runs.last_mut() {
            Some((Some(before), length)) if start == Some(*before + *length as u64) => {
                *length += part;
            }
            Some((None, length)) if start.is_none() => *length += part,
            _ => runs.push((start, part)),
        }
        done += part;
    }
    runs
}

/// The block of a position, and where in it.
fn split(at: u64) -> (usize, usize) {
    ((at / BLOCK_BYTES) as usize, (at % BLOCK_BYTES) as usize)
}

impl Contents {
    pub fn new(space: Arc<Space>) -> Self {
        Self { space, size: AtomicU64::new(0), blocks: Mutex::default() }
    }

    pub fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// The turn of the volume, for who reads or writes on a thread that may wait.
    pub fn turn(&self) -> Arc<Semaphore> {
        Arc::clone(&self.space.turn)
    }

    /// Up to `len` bytes from `at`, none at the end.
    pub fn read(&self, at: u64, len: usize) -> Result<Vec<u8>, Errno> {
        let blocks = lock(&self.blocks);
        let there = usize::try_from(self.size().saturating_sub(at)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; len.min(TRANSFER_BYTES_MAX).min(there)];
        let mut rest = &mut bytes[..];
        for (start, length) in runs(&blocks, at, rest.len()) {
            let (part, after) = rest.split_at_mut(length);
            rest = after;
            if let Some(start) = start {
                self.space.file(|file| {
                    file.seek(SeekFrom::Start(start))?;
                    file.read_exact(part)
                })?;
            }
        }
        Ok(bytes)
    }

    /// Writes at `at`, none for the end, as much as one call may; all of that
    /// or nothing. Says how much it was.
    pub fn write(&self, at: Option<u64>, bytes: &[u8]) -> Result<usize, Errno> {
        let bytes = &bytes[..bytes.len().min(TRANSFER_BYTES_MAX)];
        let mut blocks = lock(&self.blocks);
        let size = self.size();
        let at = at.unwrap_or(size);
        let end = at.checked_add(bytes.len() as u64).ok_or(Errno::FileTooLarge)?;
        if bytes.is_empty() {
            return Ok(0);
        }
        if end > size {
            self.resize_blocks(&mut blocks, end)?;
        }
        let written = self.write_blocks(&mut blocks, at, bytes);
        if end > size {
            match written {
                Ok(()) => self.size.store(end, Ordering::Release),
                Err(_) => self.resize_blocks(&mut blocks, size)?,
            }
        }
        written.map(|()| bytes.len())
    }

    fn write_blocks(&self, blocks: &mut [u32], at: u64, bytes: &[u8]) -> Result<(), Errno> {
        let (first, within) = split(at);
        let (last, end) = split(at + bytes.len() as u64 - 1);
        for (index, block) in blocks.iter_mut().enumerate().take(last + 1).skip(first) {
            if *block != HOLE {
                continue;
            }
            *block = self.space.take();
            // It may have been another file's, and is not overwritten whole.
            if (index == first && within > 0) || (index == last && end + 1 < BLOCK_BYTES as usize) {
                self.zero(*block, 0)?;
            }
        }
        let mut rest = bytes;
        for (start, length) in runs(blocks, at, bytes.len()) {
            let (part, after) = rest.split_at(length);
            rest = after;
            let start = start.unwrap_or_default();
            self.space.file(|file| {
                file.seek(SeekFrom::Start(start))?;
                file.write_all(part)
            })?;
        }
        Ok(())
    }

    /// Clears a block from `within` on.
    fn zero(&self, block: u32, within: usize) -> Result<(), Errno> {
        let start = u64::from(block) * BLOCK_BYTES + within as u64;
        self.space.file(|file| {
            file.seek(SeekFrom::Start(start))?;
            file.write_all(&[0; BLOCK_BYTES as usize][within..])
        })
    }

    /// Makes it `size` bytes long; what comes to it is zeros, and counts.
    pub fn resize(&self, size: u64) -> Result<(), Errno> {
        let mut blocks = lock(&self.blocks);
        let shrinks = size < self.size();
        self.resize_blocks(&mut blocks, size)?;
        self.size.store(size, Ordering::Release);
        let (index, within) = split(size);
        if shrinks && within > 0 && blocks[index] != HOLE {
            // What is cut off is not to be seen when it grows again.
            self.zero(blocks[index], within)?;
        }
        Ok(())
    }

    fn resize_blocks(&self, blocks: &mut Vec<u32>, size: u64) -> Result<(), Errno> {
        let count = usize::try_from(size.div_ceil(BLOCK_BYTES)).map_err(|_| Errno::FileTooLarge)?;
        // What is given back is there before anybody is charged for it.
        if count < blocks.len() {
            self.space.give_back(&blocks[count..]);
        }
        self.space.charge(blocks.len(), count)?;
        blocks.resize(count, HOLE);
        Ok(())
    }
}

impl Drop for Contents {
    fn drop(&mut self) {
        let blocks = std::mem::take(&mut *lock(&self.blocks));
        self.space.give_back(&blocks);
        // To shrink is always granted.
        let _ = self.space.charge(blocks.len(), 0);
    }
}

//! Compiled code on disk, so that a restart compiles nothing.
//!
//! An entry's name says which content it was made of and by which engine with
//! which settings; its trailer repeats that and holds a digest of the rest.
//! What does not fit in every point is compiled again and replaced. Entries
//! are machine code that will be run, so the folder is private to the user
//! and an entry that somebody else owns or may write to is not taken.
//!
//! Code is mapped, not copied: of a hundred handlers only what runs is in
//! memory. So an entry never changes where it lies. It is read-only, and a new
//! one takes its place as another file.

use std::{
    fs, io,
    io::{BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use sha2::{Digest as _, Sha256};
use wasmtime::{Engine, Module, component::Component};

/// What a trailer begins with; it changes with what is made of a file before it
/// is compiled.
const MAGIC: &[u8; 8] = b"mayfly10";

/// Magic, key and digest. They come last, since code has to begin on a page.
const TRAILER_BYTES: usize = MAGIC.len() + 32 + 32;

/// How much of an entry is written at once, in bytes. Systems keep what is
/// written at once in one piece, which is in memory whole when a part of it is
/// run.
const WRITE_BYTES: usize = 64 * 1024;

/// How much of an entry is read at once to be digested, in bytes.
const READ_BYTES: usize = 256 * 1024;

/// What the folder may hold; beyond it, the entries used longest ago go first.
const CACHE_BYTES_MAX: u64 = 2 << 30;

/// What can be kept.
#[allow(unsafe_code, reason = "wasmtime's own functions")]
pub trait Code: Sized {
    /// As bytes.
    fn serialize(&self) -> wasmtime::Result<Vec<u8>>;

    /// Maps a file.
    ///
    /// # Safety
    /// It begins with such bytes, of code of the same kind, and never changes.
    unsafe fn deserialize_file(engine: &Engine, path: &Path) -> wasmtime::Result<Self>;
}

macro_rules! code {
    ($($kind:ty),*) => {$(
        #[allow(unsafe_code, reason = "it is wasmtime's own function")]
        impl Code for $kind {
            fn serialize(&self) -> wasmtime::Result<Vec<u8>> {
                <$kind>::serialize(self)
            }

            unsafe fn deserialize_file(engine: &Engine, path: &Path) -> wasmtime::Result<Self> {
                // SAFETY: that of the caller.
                unsafe { <$kind>::deserialize_file(engine, path) }
            }
        }
    )*};
}

code!(Component, Module);

pub struct CodeCache {
    folder: PathBuf,
    engine: [u8; 32],
}

impl CodeCache {
    /// Creates the folder where it is missing.
    pub fn open(folder: &Path, engine: &Engine) -> io::Result<Self> {
        create_private(folder)?;
        let cache = Self {
            folder: folder.to_owned(),
            engine: digest_of(&engine.precompile_compatibility_hash()),
        };
        if let Err(error) = cache.prune() {
            tracing::warn!(folder = %folder.display(), %error, "the code cache could not be pruned");
        }
        Ok(cache)
    }

    /// The code compiled from the content with this digest, if there is any
    /// that can be trusted.
    pub fn get<C: Code>(&self, engine: &Engine, content: &[u8; 32]) -> Option<C> {
        let path = self.path(content);
        match open_private(&path).and_then(|file| self.is_whole(file, content)) {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!(path = %path.display(), "a damaged cache entry is compiled again");
                return None;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a cache entry was not taken");
                return None;
            }
        }
        match map(engine, &path) {
            Ok(code) => Some(code),
            Err(error) => {
                tracing::warn!(path = %path.display(), error = format!("{error:#}"), "a foreign cache entry is compiled again");
                None
            }
        }
    }

    /// Writes an entry, and gives the code as it is there: what the compiler
    /// had made of it in memory is not needed any more. A failure costs a
    /// compilation later, nothing else.
    pub fn put<C: Code>(&self, engine: &Engine, content: &[u8; 32], made: C) -> C {
        let path = self.path(content);
        let written = made.serialize().map_err(io::Error::other).and_then(|code| {
            let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
            for piece in code.chunks(WRITE_BYTES) {
                file.write_all(piece)?;
            }
            file.write_all(&self.trailer(content, digest_of_bytes(&code)))?;
            make_read_only(file.as_file())?;
            file.persist(&path)?;
            Ok(())
        });
        if let Err(error) = written {
            tracing::warn!(path = %path.display(), %error, "compiled code could not be cached");
            return made;
        }
        map(engine, &path).unwrap_or(made)
    }

    /// Whether an entry ends as it should; from now on it is one that was used.
    fn is_whole(&self, mut file: fs::File, content: &[u8; 32]) -> io::Result<bool> {
        let Some(code_bytes) = file.metadata()?.len().checked_sub(TRAILER_BYTES as u64) else {
            return Ok(false);
        };
        let mut trailer = [0; TRAILER_BYTES];
        file.seek(SeekFrom::Start(code_bytes))?;
        file.read_exact(&mut trailer)?;
        file.rewind()?;
        let mut hash = Sha256::new();
        io::copy(&mut BufReader::with_capacity(READ_BYTES, (&file).take(code_bytes)), &mut hash)?;
        // Not fatal: the time only decides what is pruned first.
        let _ = file.set_modified(SystemTime::now());
        Ok(trailer == self.trailer(content, hash.finalize().into()))
    }

    fn trailer(&self, content: &[u8; 32], code: [u8; 32]) -> [u8; TRAILER_BYTES] {
        let mut trailer = [0; TRAILER_BYTES];
        let (magic, digests) = trailer.split_at_mut(MAGIC.len());
        magic.copy_from_slice(MAGIC);
        digests[..32].copy_from_slice(&self.key(content));
        digests[32..].copy_from_slice(&code);
        trailer
    }

    fn key(&self, content: &[u8; 32]) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(MAGIC);
        hash.update(content);
        hash.update(self.engine);
        hash.finalize().into()
    }

    fn path(&self, content: &[u8; 32]) -> PathBuf {
        self.folder.join(format!("{}.code", hex(&self.key(content))))
    }

    fn prune(&self) -> io::Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_file() {
                entries.push((metadata.modified()?, metadata.len(), entry.path()));
            }
        }
        entries.sort();
        let mut total: u64 = entries.iter().map(|(_, len, _)| len).sum();
        for (_, len, path) in entries {
            if total <= CACHE_BYTES_MAX {
                break;
            }
            fs::remove_file(path)?;
            total -= len;
        }
        Ok(())
    }
}

#[allow(unsafe_code, reason = "wasmtime cannot itself tell code it made from code it did not")]
fn map<C: Code>(engine: &Engine, path: &Path) -> wasmtime::Result<C> {
    // SAFETY: what is at `path` was written by `put` of a process of the same
    // user: its digest fits, or it was just written, and the file is that
    // user's, whom nobody else can write for, in a folder that nobody else can
    // change. It stays as it is: `put` replaces files and never writes to one
    // that is there. Engine version and settings are part of the entry's key,
    // and wasmtime checks them once more.
    unsafe { C::deserialize_file(engine, path) }
}

#[cfg(unix)]
fn create_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
}

#[cfg(not(unix))]
fn create_private(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

/// Opens an entry that is the user's own.
#[cfg(unix)]
fn open_private(path: &Path) -> io::Result<fs::File> {
    use std::os::unix::fs::MetadataExt as _;
    let file = fs::File::open(path)?;
    let metadata = file.metadata()?;
    // Not the folder's owner: root may serve from the folder of a user.
    let own = rustix::process::geteuid().as_raw();
    if metadata.uid() != own || metadata.mode() & 0o022 != 0 {
        return Err(io::Error::other("it belongs to another user or can be written by others"));
    }
    Ok(file)
}

#[cfg(not(unix))]
fn open_private(path: &Path) -> io::Result<fs::File> {
    fs::File::open(path)
}

/// What is mapped must not be written to by accident.
#[cfg(unix)]
fn make_read_only(file: &fs::File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(fs::Permissions::from_mode(0o400))
}

#[cfg(not(unix))]
fn make_read_only(_: &fs::File) -> io::Result<()> {
    Ok(())
}

/// SHA-256.
pub fn digest_of_bytes(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// A digest of a value that can only be hashed.
fn digest_of(value: &impl std::hash::Hash) -> [u8; 32] {
    struct Sink(Sha256);
    impl std::hash::Hasher for Sink {
        fn finish(&self) -> u64 {
            0
        }
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
    }
    let mut sink = Sink(Sha256::new());
    value.hash(&mut sink);
    sink.0.finalize().into()
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, chown};

    use super::*;

    #[test]
    fn only_entries_of_the_process_s_user_are_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let entry = folder.path().join("a.code");
        fs::write(&entry, "code").expect("written");
        open_private(&entry).expect("one's own");
        fs::set_permissions(&entry, fs::Permissions::from_mode(0o666)).expect("permissions");
        open_private(&entry).expect_err("anybody can write to it");
        fs::set_permissions(&entry, fs::Permissions::from_mode(0o644)).expect("permissions");
        // Root can give it away, with its folder; others can try root's.
        let theirs = match rustix::process::geteuid().is_root() {
            true => {
                chown(&entry, Some(1), None).expect("a new owner");
                chown(folder.path(), Some(1), None).expect("a new owner");
                entry
            }
            false => PathBuf::from("/etc/passwd"),
        };
        open_private(&theirs).expect_err("somebody else's");
    }
}

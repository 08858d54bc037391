//! Compiled code on disk, so that a restart compiles nothing.
//!
//! An entry's name says which content it was made of and by which engine with
//! which settings; its header repeats that and holds a digest of the rest.
//! What does not fit in every point is compiled again and replaced. Entries
//! are machine code that will be run, so the folder is private to the user
//! and an entry that somebody else owns or may write to is not taken.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use sha2::{Digest as _, Sha256};
use wasmtime::{Engine, component::Component};

/// What an entry begins with; it changes with what is made of a file before it
/// is compiled.
const MAGIC: &[u8; 8] = b"mayfly2\n";

/// Magic, key and digest.
const HEADER_BYTES: usize = MAGIC.len() + 32 + 32;

/// What the folder may hold; beyond it, the entries used longest ago go first.
const CACHE_BYTES_MAX: u64 = 2 << 30;

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
    pub fn get(&self, engine: &Engine, content: &[u8; 32]) -> Option<Component> {
        let path = self.path(content);
        let bytes = match read_private(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a cache entry was not taken");
                return None;
            }
        };
        let Some(code) = self.payload(&bytes, content) else {
            tracing::warn!(path = %path.display(), "a damaged cache entry is compiled again");
            return None;
        };
        // Not fatal: the time only decides what is pruned first.
        let _ = fs::File::options()
            .append(true)
            .open(&path)
            .and_then(|file| file.set_modified(SystemTime::now()));
        match deserialize(engine, code) {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::warn!(path = %path.display(), error = format!("{error:#}"), "a foreign cache entry is compiled again");
                None
            }
        }
    }

    /// Writes an entry. A failure costs a compilation later, nothing else.
    pub fn put(&self, content: &[u8; 32], component: &Component) {
        let path = self.path(content);
        let written = component.serialize().map_err(io::Error::other).and_then(|code| {
            let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
            file.write_all(MAGIC)?;
            file.write_all(&self.key(content))?;
            file.write_all(&digest_of_bytes(&code))?;
            file.write_all(&code)?;
            file.persist(&path)?;
            Ok(())
        });
        if let Err(error) = written {
            tracing::warn!(path = %path.display(), %error, "compiled code could not be cached");
        }
    }

    fn payload<'b>(&self, bytes: &'b [u8], content: &[u8; 32]) -> Option<&'b [u8]> {
        let (header, code) = bytes.split_at_checked(HEADER_BYTES)?;
        let expected = [MAGIC.as_slice(), &self.key(content), &digest_of_bytes(code)].concat();
        (header == expected).then_some(code)
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
fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `code` was written by `put` of a process of the same user: its
    // digest fits, and the file is that user's, whom nobody else can write
    // for. Engine version and settings are part of the entry's key, and
    // wasmtime checks them once more.
    unsafe { Component::deserialize(engine, code) }
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

#[cfg(unix)]
fn read_private(path: &Path) -> io::Result<Vec<u8>> {
    use std::{io::Read as _, os::unix::fs::MetadataExt as _};
    let mut file = fs::File::open(path)?;
    let metadata = file.metadata()?;
    // Not the folder's owner: root may serve from the folder of a user.
    let own = rustix::process::geteuid().as_raw();
    if metadata.uid() != own || metadata.mode() & 0o022 != 0 {
        return Err(io::Error::other("it belongs to another user or can be written by others"));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(not(unix))]
fn read_private(path: &Path) -> io::Result<Vec<u8>> {
    fs::read(path)
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
        assert_eq!(read_private(&entry).expect("one's own"), b"code");
        fs::set_permissions(&entry, fs::Permissions::from_mode(0o666)).expect("permissions");
        read_private(&entry).expect_err("anybody can write to it");
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
        read_private(&theirs).expect_err("somebody else's");
    }
}

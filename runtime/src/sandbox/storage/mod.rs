//! `/tmp` of one invocation: a file system of its own, which is gone with it.
//!
//! Names are kept in memory and contents in one file of the host that has no
//! name. So no path of a guest ever reaches the host's file system, every byte
//! and every name is counted before it is there, and whatever ends the
//! invocation or the process leaves nothing behind.

mod p2;
mod p3;
mod space;
mod stream;
#[cfg(test)]
mod tests;
mod tree;

use std::{fs, io, path::Path, sync::Arc};

use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::{
    filesystem::Descriptor, p2::bindings::filesystem as p2_filesystem,
    p3::bindings::filesystem as p3_filesystem,
};

use super::engine::Kind;
use crate::telemetry::InvocationLog;
use tree::{Node, Volume};

/// Where a guest finds it.
const MOUNT_POINT: &str = "/tmp";

/// What a function is granted.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The folder of the files that contents are in.
    pub folder: Arc<Path>,
    /// The quota, in MiB.
    pub size_mb: u32,
}

/// An invocation's `/tmp`, made when the guest first asks what there is.
pub struct Mount {
    grant: Option<Grant>,
    log: InvocationLog,
    volume: Option<Arc<Volume>>,
}

impl Mount {
    pub fn new(grant: Option<Grant>, log: InvocationLog) -> Self {
        Self { grant, log, volume: None }
    }

    fn volume(&mut self) -> Option<Arc<Volume>> {
        let Self { grant, log, volume } = self;
        let grant = grant.as_ref()?;
        Some(Arc::clone(volume.get_or_insert_with(|| Volume::new(grant, log.clone()))))
    }
}

/// Makes the folder, and removes what a process that was killed may have left:
/// where a file cannot be made without a name, it has one for a moment.
pub fn prepare(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            // One that another process has just made is open there already,
            // and loses only its name.
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

/// What the functions of `wasi:filesystem` work on.
pub struct FilesystemView<'a> {
    pub mount: &'a mut Mount,
    pub table: &'a mut ResourceTable,
}

/// A state that has a `/tmp`.
pub trait StorageView: Send {
    fn storage(&mut self) -> FilesystemView<'_>;
}

/// `wasi:filesystem` of both lines.
pub struct Storage;

impl HasData for Storage {
    type Data<'a> = FilesystemView<'a>;
}

/// Puts it in the place of wasmtime's own.
pub fn add_to_linker<T: StorageView + 'static>(
    linker: &mut Linker<T>,
    kind: Kind,
) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    p2_filesystem::types::add_to_linker::<T, Storage>(linker, T::storage)?;
    p2_filesystem::preopens::add_to_linker::<T, Storage>(linker, T::storage)?;
    if kind == Kind::Async {
        p3_filesystem::types::add_to_linker::<T, Storage>(linker, T::storage)?;
        p3_filesystem::preopens::add_to_linker::<T, Storage>(linker, T::storage)?;
    }
    linker.allow_shadowing(false);
    Ok(())
}

/// What a descriptor of a guest stands for. The bindings know descriptors by
/// wasmtime's type, of which none is ever made: a handle is only a number.
#[derive(Clone)]
struct Open {
    volume: Arc<Volume>,
    node: Arc<Node>,
    access: Access,
}

/// What a descriptor may be used for.
#[derive(Clone, Copy)]
struct Access {
    read: bool,
    write: bool,
}

impl Open {
    fn readable(&self) -> Result<&Arc<Node>, Errno> {
        self.node.contents()?;
        if self.access.read { Ok(&self.node) } else { Err(Errno::BadDescriptor) }
    }

    fn writable(&self) -> Result<&Arc<Node>, Errno> {
        self.node.contents()?;
        if self.access.write { Ok(&self.node) } else { Err(Errno::BadDescriptor) }
    }
}

impl FilesystemView<'_> {
    fn open(&self, descriptor: &Resource<Descriptor>) -> wasmtime::Result<&Open> {
        Ok(self.table.get(&Resource::<Open>::new_borrow(descriptor.rep()))?)
    }

    fn push(&mut self, open: Open) -> wasmtime::Result<Resource<Descriptor>> {
        Ok(Resource::new_own(self.table.push(open)?.rep()))
    }

    fn close(&mut self, descriptor: &Resource<Descriptor>) -> wasmtime::Result<()> {
        self.table.delete(Resource::<Open>::new_own(descriptor.rep()))?;
        Ok(())
    }

    fn preopens(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        let Some(volume) = self.mount.volume() else { return Ok(Vec::new()) };
        let node = Arc::clone(volume.root());
        let access = Access { read: true, write: false };
        let root = self.push(Open { volume, node, access })?;
        Ok(vec![(root, MOUNT_POINT.to_owned())])
    }
}

/// Why an operation failed, in POSIX's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Errno {
    #[error("bad descriptor")]
    BadDescriptor,
    #[error("file exists")]
    Exist,
    #[error("file too large")]
    FileTooLarge,
    #[error("illegal byte sequence")]
    IllegalByteSequence,
    #[error("invalid argument")]
    Invalid,
    #[error("input or output error")]
    Io,
    #[error("is a directory")]
    IsDirectory,
    #[error("too many levels of symbolic links")]
    Loop,
    #[error("file name too long")]
    NameTooLong,
    #[error("no such file or directory")]
    NoEntry,
    #[error("no space left: ephemeral_storage_mb is spent, or there are too many files")]
    InsufficientSpace,
    #[error("not a directory")]
    NotDirectory,
    #[error("directory not empty")]
    NotEmpty,
    #[error("operation not permitted")]
    NotPermitted,
    #[error("value too large")]
    Overflow,
}

/// The two lines of WASI have the same codes, each a type of its own.
macro_rules! codes {
    ($types:path, $error:ty) => {
        impl From<Errno> for $error {
            fn from(error: Errno) -> Self {
                use $types as types;
                let code = match error {
                    Errno::BadDescriptor => types::ErrorCode::BadDescriptor,
                    Errno::Exist => types::ErrorCode::Exist,
                    Errno::FileTooLarge => types::ErrorCode::FileTooLarge,
                    Errno::IllegalByteSequence => types::ErrorCode::IllegalByteSequence,
                    Errno::Invalid => types::ErrorCode::Invalid,
                    Errno::Io => types::ErrorCode::Io,
                    Errno::IsDirectory => types::ErrorCode::IsDirectory,
                    Errno::Loop => types::ErrorCode::Loop,
                    Errno::NameTooLong => types::ErrorCode::NameTooLong,
                    Errno::NoEntry => types::ErrorCode::NoEntry,
                    Errno::InsufficientSpace => types::ErrorCode::InsufficientSpace,
                    Errno::NotDirectory => types::ErrorCode::NotDirectory,
                    Errno::NotEmpty => types::ErrorCode::NotEmpty,
                    Errno::NotPermitted => types::ErrorCode::NotPermitted,
                    Errno::Overflow => types::ErrorCode::Overflow,
                };
                code.into()
            }
        }
    };
}

codes!(p2_filesystem::types, wasmtime_wasi::p2::FsError);
codes!(p2_filesystem::types, p2_filesystem::types::ErrorCode);
codes!(p3_filesystem::types, wasmtime_wasi::p3::filesystem::FilesystemError);
codes!(p3_filesystem::types, p3_filesystem::types::ErrorCode);

//! `wasi:filesystem@0.2`, and so that of preview 1's adapter.

use std::{io, sync::Arc, time::Duration};

use wasmtime::component::Resource;
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, FsError, FsResult,
    bindings::{
        clocks::wall_clock::Datetime,
        filesystem::{
            preopens,
            types::{
                self, Advice, Descriptor, DescriptorFlags, DescriptorStat, DescriptorType,
                DirectoryEntry, DirectoryEntryStream, ErrorCode, Filesize, MetadataHashValue,
                NewTimestamp, OpenFlags, PathFlags,
            },
        },
    },
};

use super::{
    Access, Errno, FilesystemView, Open,
    stream::{Reader, Writer, finish, start, start_reading, start_writing},
    tree::{Node, NodeKind, Opening},
};

/// The names of a directory, as far as they were asked for.
struct Listing {
    directory: Arc<Node>,
    last: String,
}

impl preopens::Host for FilesystemView<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        self.preopens()
    }
}

impl types::Host for FilesystemView<'_> {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<ErrorCode> {
        error.downcast()
    }

    fn filesystem_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        let error = self.table.get(&error)?;
        let own = error.downcast_ref::<Errno>().copied().map(ErrorCode::from);
        Ok(own.or_else(|| error.downcast_ref::<io::Error>().map(ErrorCode::from)))
    }
}

fn kind(kind: NodeKind) -> DescriptorType {
    match kind {
        NodeKind::File => DescriptorType::RegularFile,
        NodeKind::Directory => DescriptorType::Directory,
        NodeKind::Link => DescriptorType::SymbolicLink,
    }
}

fn stat(node: &Node) -> DescriptorStat {
    let times = node.times();
    let time = |since: Duration| {
        Some(Datetime { seconds: since.as_secs(), nanoseconds: since.subsec_nanos() })
    };
    DescriptorStat {
        type_: kind(node.kind()),
        link_count: node.names().into(),
        size: node.size(),
        data_access_timestamp: time(times.accessed),
        data_modification_timestamp: time(times.modified),
        status_change_timestamp: time(times.changed),
    }
}

/// A time to set, none for the one that is there.
fn time(new: NewTimestamp) -> FsResult<Option<Duration>> {
    Ok(match new {
        NewTimestamp::NoChange => None,
        NewTimestamp::Now => Some(super::tree::now()),
        NewTimestamp::Timestamp(time) => {
            let nanoseconds = Duration::from_nanos(time.nanoseconds.into());
            let time = Duration::from_secs(time.seconds).checked_add(nanoseconds);
            Some(time.ok_or(Errno::Overflow)?)
        }
    })
}

fn hash(node: &Node) -> MetadataHashValue {
    MetadataHashValue { lower: node.id, upper: 0 }
}

impl FilesystemView<'_> {
    fn base(&self, descriptor: &Resource<Descriptor>) -> FsResult<Open> {
        Ok(self.open(descriptor).map_err(FsError::trap)?.clone())
    }

    fn find(
        &self,
        descriptor: &Resource<Descriptor>,
        flags: PathFlags,
        path: &str,
    ) -> FsResult<Arc<Node>> {
        let base = self.base(descriptor)?;
        Ok(base.volume.find(&base.node, path, flags.contains(PathFlags::SYMLINK_FOLLOW))?)
    }

    fn writer(
        &mut self,
        descriptor: &Resource<Descriptor>,
        at: Option<Filesize>,
    ) -> FsResult<Resource<DynOutputStream>> {
        let node = Arc::clone(self.base(descriptor)?.writable()?);
        let writer: DynOutputStream = Box::new(Writer::new(node, at));
        Ok(self.table.push(writer)?)
    }
}

impl types::HostDescriptor for FilesystemView<'_> {
    fn read_via_stream(
        &mut self,
        descriptor: Resource<Descriptor>,
        offset: Filesize,
    ) -> FsResult<Resource<DynInputStream>> {
        let node = Arc::clone(self.base(&descriptor)?.readable()?);
        let reader: DynInputStream = Box::new(Reader::new(node, offset));
        Ok(self.table.push(reader)?)
    }

    fn write_via_stream(
        &mut self,
        descriptor: Resource<Descriptor>,
        offset: Filesize,
    ) -> FsResult<Resource<DynOutputStream>> {
        self.writer(&descriptor, Some(offset))
    }

    fn append_via_stream(
        &mut self,
        descriptor: Resource<Descriptor>,
    ) -> FsResult<Resource<DynOutputStream>> {
        self.writer(&descriptor, None)
    }

    async fn advise(
        &mut self,
        descriptor: Resource<Descriptor>,
        _: Filesize,
        _: Filesize,
        _: Advice,
    ) -> FsResult<()> {
        self.base(&descriptor)?.node.contents()?;
        Ok(())
    }

    async fn sync_data(&mut self, descriptor: Resource<Descriptor>) -> FsResult<()> {
        // Nothing outlives the invocation, let alone the machine.
        self.base(&descriptor).map(|_| ())
    }

    async fn get_flags(&mut self, descriptor: Resource<Descriptor>) -> FsResult<DescriptorFlags> {
        let open = self.base(&descriptor)?;
        let is_directory = open.node.kind() == NodeKind::Directory;
        let flags = [
            (DescriptorFlags::READ, open.access.read),
            (DescriptorFlags::WRITE, open.access.write),
            (DescriptorFlags::MUTATE_DIRECTORY, is_directory),
        ];
        let set = flags.into_iter().filter(|(_, is_set)| *is_set).map(|(flag, _)| flag);
        Ok(set.fold(DescriptorFlags::empty(), |all, flag| all | flag))
    }

    async fn get_type(&mut self, descriptor: Resource<Descriptor>) -> FsResult<DescriptorType> {
        Ok(kind(self.base(&descriptor)?.node.kind()))
    }

    async fn set_size(&mut self, descriptor: Resource<Descriptor>, size: Filesize) -> FsResult<()> {
        let open = self.base(&descriptor)?;
        let task = &mut start(open.writable()?, move |node| {
            node.contents()?.resize(size)?;
            node.touch();
            Ok(())
        });
        Ok(finish(task).await?)
    }

    async fn set_times(
        &mut self,
        descriptor: Resource<Descriptor>,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> FsResult<()> {
        let (accessed, modified) = (time(accessed)?, time(modified)?);
        self.base(&descriptor)?.node.set_times(accessed, modified);
        Ok(())
    }

    async fn read(
        &mut self,
        descriptor: Resource<Descriptor>,
        length: Filesize,
        offset: Filesize,
    ) -> FsResult<(Vec<u8>, bool)> {
        let open = self.base(&descriptor)?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let bytes = finish(&mut start_reading(open.readable()?, offset, length)).await?;
        let is_end = bytes.is_empty();
        Ok((bytes.into(), is_end))
    }

    async fn write(
        &mut self,
        descriptor: Resource<Descriptor>,
        bytes: Vec<u8>,
        offset: Filesize,
    ) -> FsResult<Filesize> {
        let open = self.base(&descriptor)?;
        let task = &mut start_writing(open.writable()?, Some(offset), bytes.into());
        Ok(finish(task).await? as Filesize)
    }

    async fn read_directory(
        &mut self,
        descriptor: Resource<Descriptor>,
    ) -> FsResult<Resource<DirectoryEntryStream>> {
        let directory = self.base(&descriptor)?.node;
        directory.entry_after("")?;
        let listing = self.table.push(Listing { directory, last: String::new() })?;
        Ok(Resource::new_own(listing.rep()))
    }

    async fn sync(&mut self, descriptor: Resource<Descriptor>) -> FsResult<()> {
        self.sync_data(descriptor).await
    }

    async fn create_directory_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        path: String,
    ) -> FsResult<()> {
        let base = self.base(&descriptor)?;
        Ok(base.volume.create_directory(&base.node, &path)?)
    }

    async fn stat(&mut self, descriptor: Resource<Descriptor>) -> FsResult<DescriptorStat> {
        Ok(stat(&self.base(&descriptor)?.node))
    }

    async fn stat_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        flags: PathFlags,
        path: String,
    ) -> FsResult<DescriptorStat> {
        Ok(stat(&*self.find(&descriptor, flags, &path)?))
    }

    async fn set_times_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        flags: PathFlags,
        path: String,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> FsResult<()> {
        let (accessed, modified) = (time(accessed)?, time(modified)?);
        self.find(&descriptor, flags, &path)?.set_times(accessed, modified);
        Ok(())
    }

    async fn link_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        flags: PathFlags,
        old: String,
        new_descriptor: Resource<Descriptor>,
        new: String,
    ) -> FsResult<()> {
        if flags.contains(PathFlags::SYMLINK_FOLLOW) {
            return Err(Errno::Invalid.into());
        }
        let (from, to) = (self.base(&descriptor)?, self.base(&new_descriptor)?);
        Ok(from.volume.link((&from.node, &old), (&to.node, &new))?)
    }

    async fn open_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        flags: OpenFlags,
        access: DescriptorFlags,
    ) -> FsResult<Resource<Descriptor>> {
        let base = self.base(&descriptor)?;
        let write = access.contains(DescriptorFlags::WRITE);
        let opening = Opening {
            follow: path_flags.contains(PathFlags::SYMLINK_FOLLOW),
            create: flags.contains(OpenFlags::CREATE),
            directory: flags.contains(OpenFlags::DIRECTORY),
            exclusive: flags.contains(OpenFlags::EXCLUSIVE),
            truncate: flags.contains(OpenFlags::TRUNCATE),
            write,
        };
        let node = base.volume.open(&base.node, &path, opening)?;
        let access = Access { read: access.contains(DescriptorFlags::READ) || !write, write };
        self.push(Open { volume: base.volume, node, access }).map_err(FsError::trap)
    }

    async fn readlink_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        path: String,
    ) -> FsResult<String> {
        let base = self.base(&descriptor)?;
        Ok(base.volume.read_link(&base.node, &path)?)
    }

    async fn remove_directory_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        path: String,
    ) -> FsResult<()> {
        let base = self.base(&descriptor)?;
        Ok(base.volume.remove_directory(&base.node, &path)?)
    }

    async fn rename_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        old: String,
        new_descriptor: Resource<Descriptor>,
        new: String,
    ) -> FsResult<()> {
        let (from, to) = (self.base(&descriptor)?, self.base(&new_descriptor)?);
        Ok(from.volume.rename((&from.node, &old), (&to.node, &new))?)
    }

    async fn symlink_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        target: String,
        path: String,
    ) -> FsResult<()> {
        let base = self.base(&descriptor)?;
        Ok(base.volume.symlink(&base.node, &target, &path)?)
    }

    async fn unlink_file_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        path: String,
    ) -> FsResult<()> {
        let base = self.base(&descriptor)?;
        Ok(base.volume.remove_file(&base.node, &path)?)
    }

    async fn is_same_object(
        &mut self,
        one: Resource<Descriptor>,
        other: Resource<Descriptor>,
    ) -> wasmtime::Result<bool> {
        Ok(Arc::ptr_eq(&self.open(&one)?.node, &self.open(&other)?.node))
    }

    async fn metadata_hash(
        &mut self,
        descriptor: Resource<Descriptor>,
    ) -> FsResult<MetadataHashValue> {
        Ok(hash(&self.base(&descriptor)?.node))
    }

    async fn metadata_hash_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        flags: PathFlags,
        path: String,
    ) -> FsResult<MetadataHashValue> {
        Ok(hash(&*self.find(&descriptor, flags, &path)?))
    }

    fn drop(&mut self, descriptor: Resource<Descriptor>) -> wasmtime::Result<()> {
        self.close(&descriptor)
    }
}

impl types::HostDirectoryEntryStream for FilesystemView<'_> {
    async fn read_directory_entry(
        &mut self,
        stream: Resource<DirectoryEntryStream>,
    ) -> FsResult<Option<DirectoryEntry>> {
        let listing = self.table.get_mut(&Resource::<Listing>::new_borrow(stream.rep()))?;
        let Some((name, node)) = listing.directory.entry_after(&listing.last)? else {
            return Ok(None);
        };
        listing.last.clone_from(&name);
        Ok(Some(DirectoryEntry { type_: kind(node), name }))
    }

    fn drop(&mut self, stream: Resource<DirectoryEntryStream>) -> wasmtime::Result<()> {
        self.table.delete(Resource::<Listing>::new_own(stream.rep()))?;
        Ok(())
    }
}

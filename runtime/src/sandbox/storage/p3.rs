//! `wasi:filesystem@0.3`.

use std::{
    iter,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use tokio::{sync::oneshot, task::JoinHandle};
use wasmtime::{
    StoreContextMut,
    component::{
        Access as StoreAccess, Accessor, Destination, FutureReader, Resource, Source,
        StreamConsumer, StreamProducer, StreamReader, StreamResult,
    },
};
use wasmtime_wasi::p3::{
    bindings::{
        clocks::system_clock::Instant,
        filesystem::{
            preopens,
            types::{
                self, Advice, Descriptor, DescriptorFlags, DescriptorStat, DescriptorType,
                DirectoryEntry, ErrorCode, Filesize, MetadataHashValue, NewTimestamp, OpenFlags,
                PathFlags,
            },
        },
    },
    filesystem::{FilesystemError, FilesystemResult},
};

use super::{
    Access, Errno, FilesystemView, Open, Storage,
    space::TRANSFER_BYTES_MAX,
    stream::{finish, start, start_reading, start_writing},
    tree::{Node, NodeKind, Opening},
};

/// Who is told how a stream of a file ended.
type Told = oneshot::Sender<Result<(), ErrorCode>>;

impl preopens::Host for FilesystemView<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        self.preopens()
    }
}

impl types::Host for FilesystemView<'_> {
    fn convert_error_code(&mut self, error: FilesystemError) -> wasmtime::Result<ErrorCode> {
        error.downcast()
    }
}

impl types::HostDescriptor for FilesystemView<'_> {
    fn drop(&mut self, descriptor: Resource<Descriptor>) -> wasmtime::Result<()> {
        self.close(&descriptor)
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
        let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
        Some(Instant { seconds, nanoseconds: since.subsec_nanos() })
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

/// A time to set, none for the one that is there. There are none before 1970.
fn time(new: NewTimestamp) -> FilesystemResult<Option<Duration>> {
    Ok(match new {
        NewTimestamp::NoChange => None,
        NewTimestamp::Now => Some(super::tree::now()),
        NewTimestamp::Timestamp(time) => {
            let seconds = u64::try_from(time.seconds).map_err(|_| Errno::Overflow)?;
            let nanoseconds = Duration::from_nanos(time.nanoseconds.into());
            let time = Duration::from_secs(seconds).checked_add(nanoseconds);
            Some(time.ok_or(Errno::Overflow)?)
        }
    })
}

fn hash(node: &Node) -> MetadataHashValue {
    MetadataHashValue { lower: node.id, upper: 0 }
}

/// What descriptors of a store stand for.
trait Opened {
    fn opened(&self, descriptor: &Resource<Descriptor>) -> FilesystemResult<Open>;

    fn find(
        &self,
        descriptor: &Resource<Descriptor>,
        flags: PathFlags,
        path: &str,
    ) -> FilesystemResult<Arc<Node>> {
        let base = self.opened(descriptor)?;
        Ok(base.volume.find(&base.node, path, flags.contains(PathFlags::SYMLINK_FOLLOW))?)
    }
}

impl<T> Opened for Accessor<T, Storage> {
    fn opened(&self, descriptor: &Resource<Descriptor>) -> FilesystemResult<Open> {
        self.with(|mut store| store.get().open(descriptor).cloned().map_err(FilesystemError::trap))
    }
}

/// How a stream that never began ended.
fn failed<T>(
    store: &mut StoreAccess<'_, T, Storage>,
    error: Errno,
) -> wasmtime::Result<FutureReader<Result<(), ErrorCode>>> {
    FutureReader::new(store, async move { wasmtime::error::Ok(Err(ErrorCode::from(error))) })
}

fn write<T>(
    mut store: StoreAccess<'_, T, Storage>,
    descriptor: &Resource<Descriptor>,
    mut data: StreamReader<u8>,
    at: Option<Filesize>,
) -> wasmtime::Result<FutureReader<Result<(), ErrorCode>>> {
    match store.get().open(descriptor)?.writable().cloned() {
        Ok(node) => {
            let (told, ended) = oneshot::channel();
            data.pipe(&mut store, Writer { node, at, told: Some(told), task: None })?;
            FutureReader::new(&mut store, ended)
        }
        Err(error) => {
            data.close(&mut store)?;
            failed(&mut store, error)
        }
    }
}

impl<T> types::HostDescriptorWithStore<T> for Storage {
    fn read_via_stream(
        mut store: StoreAccess<'_, T, Self>,
        descriptor: Resource<Descriptor>,
        offset: Filesize,
    ) -> wasmtime::Result<(StreamReader<u8>, FutureReader<Result<(), ErrorCode>>)> {
        match store.get().open(&descriptor)?.readable().cloned() {
            Ok(node) => {
                let (told, ended) = oneshot::channel();
                let reader = Reader { node, at: offset, told: Some(told), task: None };
                let reader = StreamReader::new(&mut store, reader)?;
                Ok((reader, FutureReader::new(&mut store, ended)?))
            }
            Err(error) => {
                let none = StreamReader::new(&mut store, iter::empty())?;
                Ok((none, failed(&mut store, error)?))
            }
        }
    }

    fn write_via_stream(
        store: StoreAccess<'_, T, Self>,
        descriptor: Resource<Descriptor>,
        data: StreamReader<u8>,
        offset: Filesize,
    ) -> wasmtime::Result<FutureReader<Result<(), ErrorCode>>> {
        write(store, &descriptor, data, Some(offset))
    }

    fn append_via_stream(
        store: StoreAccess<'_, T, Self>,
        descriptor: Resource<Descriptor>,
        data: StreamReader<u8>,
    ) -> wasmtime::Result<FutureReader<Result<(), ErrorCode>>> {
        write(store, &descriptor, data, None)
    }

    fn read_directory(
        mut store: StoreAccess<'_, T, Self>,
        descriptor: Resource<Descriptor>,
    ) -> wasmtime::Result<(StreamReader<DirectoryEntry>, FutureReader<Result<(), ErrorCode>>)> {
        let directory = Arc::clone(&store.get().open(&descriptor)?.node);
        match directory.entry_after("") {
            Ok(_) => {
                let (told, ended) = oneshot::channel();
                let listing = Listing { directory, last: String::new(), told: Some(told) };
                let listing = StreamReader::new(&mut store, listing)?;
                Ok((listing, FutureReader::new(&mut store, ended)?))
            }
            Err(error) => {
                let none = StreamReader::new(&mut store, iter::empty())?;
                Ok((none, failed(&mut store, error)?))
            }
        }
    }

    async fn advise(
        store: &Accessor<T, Self>,
        descriptor: Resource<Descriptor>,
        _: Filesize,
        _: Filesize,
        _: Advice,
    ) -> FilesystemResult<()> {
        store.opened(&descriptor)?.node.contents()?;
        Ok(())
    }

    async fn sync_data(
        store: &Accessor<T, Self>,
        descriptor: Resource<Descriptor>,
    ) -> FilesystemResult<()> {
        // Nothing outlives the invocation, let alone the machine.
        store.opened(&descriptor).map(|_| ())
    }

    async fn get_flags(
        store: &Accessor<T, Self>,
        descriptor: Resource<Descriptor>,
    ) -> FilesystemResult<DescriptorFlags> {
        let open = store.opened(&descriptor)?;
        let is_directory = open.node.kind() == NodeKind::Directory;
        let flags = [
            (DescriptorFlags::READ, open.access.read),
            (DescriptorFlags::WRITE, open.access.write),
            (DescriptorFlags::MUTATE_DIRECTORY, is_directory),
        ];
        let set = flags.into_iter().filter(|(_, is_set)| *is_set).map(|(flag, _)| flag);
        Ok(set.fold(DescriptorFlags::empty(), |all, flag| all | flag))
    }

    async fn get_type(
        store: &Accessor<T, Self>,
        descriptor: Resource<Descriptor>,
    ) -> FilesystemResult<DescriptorType> {
        Ok(kind(store.opened(&descriptor)?.node.kind()))
    }

    async fn set_size(
        store: &Accessor<T, Self>,
        descriptor: Resource<Descriptor>,
        size: Filesize,
    ) -> FilesystemResult<()> {
        let open = store.opened(&descriptor)?;
        let task = &mut start(open.writable()?, move |node| {
            node.contents()?.resize(size)?;
            node.touch();
            Ok(())
        });
        Ok(finish(task).await?)
    }

    async fn set_times(
        store: &Accessor<T, Self>,
        descriptor: Resource<Descriptor>,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> FilesystemResult<()> {
        let (accessed, modified) = (time(accessed)?, time(modified)?);
        store.opened(&descriptor)?.node.set_times(accessed, modified);
        Ok(())
    }

    async fn sync(
        store: &Accessor<T, Self>,
        descriptor: Resource<Descriptor>,
    ) -> FilesystemResult<()> {
        store.opened(&descriptor).map(|_| ())
    }

    async fn create_directory_at(
        store: &Accessor<T, Self>,
        descriptor: Resource<Descriptor>,
        path: String,
    ) -> FilesystemResult<()> {
        let base = store.opened(&descriptor)?;
        Ok(base.volume.create_directory(&base.node, &path)?)
    }

    async fn stat(
        store: &Accessor<T, Self>,
        descriptor: Resource<Descriptor>,
    ) -> FilesystemResult<DescriptorStat> {
        Ok(stat(&store.opened(&descriptor)?.node))
    }

    async fn stat_at(
        store: &Accessor<T, Self>,
        descriptor: Resource<Descriptor>,
        flags: PathFlags,
        path: String,
    ) -> FilesystemResult<DescriptorStat> {
        Ok(stat(&*store.find(&descriptor, flags, &path)?))
    }

    async fn set_times_at(
        store: &Accessor<T, Self>,
        descriptor: Resource<Descriptor>,
        flags: PathFlags,
        path: String,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> FilesystemResult<()> {
        let (accessed, modified) = (time(accessed)?, time(modified)?);
        store.find(&descriptor, flags, &path)?.set_times(accessed, modified);
        Ok(())
    }

    async fn link_at(
        store: &Accessor<T, Self>,
        descriptor: Resource<Descriptor>,
        flags: PathFlags,
        old: String,
        new_descriptor: Resource<Descriptor>,
        new: String,
    ) -> FilesystemResult<()> {
        if flags.contains(PathFlags::SYMLINK_FOLLOW) {
            return Err(Errno::Invalid.into());
        }
        let (from, to) = (store.opened(&descriptor)?, store.opened(&new_descriptor)?);
        Ok(from.volume.link((&from.node, &old), (&to.node, &new))?)
    }

    async fn open_at(
        store: &Accessor<T, Self>,
        descriptor: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        flags: OpenFlags,
        access: DescriptorFlags,
    ) -> FilesystemResult<Resource<Descriptor>> {
        let base = store.opened(&descriptor)?;
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
        let open = Open { volume: base.volume, node, access };
        store.with(|mut store| store.get().push(open)).map_err(FilesystemError::trap)
    }

    async fn readlink_at(
        store: &Accessor<T, Self>,
        descriptor: Resource<Descriptor>,
        path: String,
    ) -> FilesystemResult<String> {
        let base = store.opened(&descriptor)?;
        Ok(base.volume.read_link(&base.node, &path)?)
    }

    async fn remove_directory_at(
        store: &Accessor<T, Self>,
        descriptor: Resource<Descriptor>,
        path: String,
    ) -> FilesystemResult<()> {
        let base = store.opened(&descriptor)?;
        Ok(base.volume.remove_directory(&base.node, &path)?)
    }

    async fn rename_at(
        store: &Accessor<T, Self>,
        descriptor: Resource<Descriptor>,
        old: String,
        new_descriptor: Resource<Descriptor>,
        new: String,
    ) -> FilesystemResult<()> {
        let (from, to) = (store.opened(&descriptor)?, store.opened(&new_descriptor)?);
        Ok(from.volume.rename((&from.node, &old), (&to.node, &new))?)
    }

    async fn symlink_at(
        store: &Accessor<T, Self>,
        descriptor: Resource<Descriptor>,
        target: String,
        path: String,
    ) -> FilesystemResult<()> {
        let base = store.opened(&descriptor)?;
        Ok(base.volume.symlink(&base.node, &target, &path)?)
    }

    async fn unlink_file_at(
        store: &Accessor<T, Self>,
        descriptor: Resource<Descriptor>,
        path: String,
    ) -> FilesystemResult<()> {
        let base = store.opened(&descriptor)?;
        Ok(base.volume.remove_file(&base.node, &path)?)
    }

    async fn is_same_object(
        store: &Accessor<T, Self>,
        one: Resource<Descriptor>,
        other: Resource<Descriptor>,
    ) -> wasmtime::Result<bool> {
        store.with(|mut store| {
            let view = store.get();
            Ok(Arc::ptr_eq(&view.open(&one)?.node, &view.open(&other)?.node))
        })
    }

    async fn metadata_hash(
        store: &Accessor<T, Self>,
        descriptor: Resource<Descriptor>,
    ) -> FilesystemResult<MetadataHashValue> {
        Ok(hash(&store.opened(&descriptor)?.node))
    }

    async fn metadata_hash_at(
        store: &Accessor<T, Self>,
        descriptor: Resource<Descriptor>,
        flags: PathFlags,
        path: String,
    ) -> FilesystemResult<MetadataHashValue> {
        Ok(hash(&*store.find(&descriptor, flags, &path)?))
    }
}

/// Tells how it ended, the first time it is asked to.
fn tell(told: &mut Option<Told>, result: Result<(), Errno>) {
    if let Some(told) = told.take() {
        let _ = told.send(result.map_err(ErrorCode::from));
    }
}

/// What the guest reads from a file.
struct Reader {
    node: Arc<Node>,
    at: u64,
    told: Option<Told>,
    task: Option<JoinHandle<Result<Bytes, Errno>>>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        tell(&mut self.told, Ok(()));
    }
}

impl<D> StreamProducer<D> for Reader {
    type Item = u8;
    type Buffer = Bytes;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut store: StoreContextMut<'a, D>,
        mut destination: Destination<'a, Self::Item, Self::Buffer>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        // Somebody only wants to know whether there is something to read.
        let asked = destination.remaining(&mut store);
        if asked == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let Self { node, at, task, .. } = &mut *self;
        let length = asked.unwrap_or(TRANSFER_BYTES_MAX);
        let running = task.get_or_insert_with(|| start_reading(node, *at, length));
        let read = match Pin::new(running).poll(context) {
            // What it reads is kept for whoever asks next.
            Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
            other => ready!(other).unwrap_or(Err(Errno::Io)),
        };
        self.task = None;
        match read {
            Ok(bytes) if !bytes.is_empty() => {
                self.at += bytes.len() as u64;
                destination.set_buffer(bytes);
                Poll::Ready(Ok(StreamResult::Completed))
            }
            ended => {
                tell(&mut self.told, ended.map(|_| ()));
                Poll::Ready(Ok(StreamResult::Dropped))
            }
        }
    }
}

/// What the guest writes to a file.
struct Writer {
    node: Arc<Node>,
    at: Option<u64>,
    told: Option<Told>,
    task: Option<JoinHandle<Result<usize, Errno>>>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        tell(&mut self.told, Ok(()));
    }
}

impl<D> StreamConsumer<D> for Writer {
    type Item = u8;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        store: StoreContextMut<D>,
        source: Source<'_, Self::Item>,
        _finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let mut source = source.as_direct(store);
        let Self { node, at, task, .. } = &mut *self;
        let running = task.get_or_insert_with(|| {
            let bytes = source.remaining();
            let bytes = Bytes::copy_from_slice(&bytes[..bytes.len().min(TRANSFER_BYTES_MAX)]);
            start_writing(node, *at, bytes)
        });
        // A write that has begun is not taken back: its end is waited for.
        let written = ready!(Pin::new(running).poll(context)).unwrap_or(Err(Errno::Io));
        self.task = None;
        match written {
            Ok(written) => {
                source.mark_read(written);
                self.at = self.at.map(|at| at.saturating_add(written as u64));
                Poll::Ready(Ok(StreamResult::Completed))
            }
            Err(error) => {
                tell(&mut self.told, Err(error));
                Poll::Ready(Ok(StreamResult::Dropped))
            }
        }
    }
}

/// The names of a directory, as far as they were asked for.
struct Listing {
    directory: Arc<Node>,
    last: String,
    told: Option<Told>,
}

impl Drop for Listing {
    fn drop(&mut self) {
        tell(&mut self.told, Ok(()));
    }
}

impl<D> StreamProducer<D> for Listing {
    type Item = DirectoryEntry;
    type Buffer = Option<DirectoryEntry>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut store: StoreContextMut<'a, D>,
        mut destination: Destination<'a, Self::Item, Self::Buffer>,
        _finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        if destination.remaining(&mut store) == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let Ok(Some((name, node))) = self.directory.entry_after(&self.last) else {
            tell(&mut self.told, Ok(()));
            return Poll::Ready(Ok(StreamResult::Dropped));
        };
        self.last.clone_from(&name);
        destination.set_buffer(Some(DirectoryEntry { type_: kind(node), name }));
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

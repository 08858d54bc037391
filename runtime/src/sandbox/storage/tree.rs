//! The names of one `/tmp`: directories, files and symbolic links, in memory.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{
    Errno, Grant,
    space::{Contents, Space, lock},
};
use crate::telemetry::InvocationLog;

/// Names in all directories together: they are kept in memory, and so are
/// files without contents.
const NAMES_MAX: u32 = 16_384;

/// Linux's, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// The longest path that is resolved, in bytes: Linux's.
const PATH_BYTES_MAX: usize = 4096;

/// The longest path in a symbolic link, in bytes.
const LINK_BYTES_MAX: usize = 1024;

/// Symbolic links that one path may lead through: Linux's.
const LINKS_FOLLOWED_MAX: u32 = 40;

/// One file system.
pub struct Volume {
    root: Arc<Node>,
    space: Arc<Space>,
    names: AtomicU32,
    ids: AtomicU64,
}

/// What a name leads to.
pub struct Node {
    pub id: u64,
    kind: Kind,
    names: AtomicU32,
    times: Mutex<Times>,
}

enum Kind {
    File(Contents),
    Directory(Mutex<BTreeMap<String, Arc<Node>>>),
    Link(String),
}

/// What kind of node a name leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    File,
    Directory,
    Link,
}

/// Since 1970.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    pub accessed: Duration,
    pub modified: Duration,
    pub changed: Duration,
}

/// How a file is opened, as far as names are concerned.
#[derive(Debug, Clone, Copy, Default)]
pub struct Opening {
    pub follow: bool,
    pub create: bool,
    pub directory: bool,
    pub exclusive: bool,
    pub truncate: bool,
    pub write: bool,
}

/// Where a path leads.
#[derive(Clone)]
struct Place {
    /// The directory and the name in it; none for a path that ends in `.` or `..`.
    entry: Option<(Arc<Node>, String)>,
    node: Option<Arc<Node>>,
    /// A slash at its end says that it is a directory.
    is_directory: bool,
}

impl Place {
    fn node(self) -> Result<Arc<Node>, Errno> {
        self.node.ok_or(Errno::NoEntry)
    }

    /// A directory, and a name that something in it can be given.
    fn free_name(self) -> Result<(Arc<Node>, String), Errno> {
        let (directory, name) = self.entry.ok_or(Errno::Exist)?;
        if self.node.is_some() {
            return Err(Errno::Exist);
        }
        if name.len() > NAME_BYTES_MAX {
            return Err(Errno::NameTooLong);
        }
        // Whoever holds a directory that is gone cannot put anything into it.
        if directory.names() == 0 {
            return Err(Errno::NoEntry);
        }
        Ok((directory, name))
    }
}

pub fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

impl Node {
    fn new(id: u64, kind: Kind) -> Arc<Self> {
        let now = now();
        let times = Mutex::new(Times { accessed: now, modified: now, changed: now });
        Arc::new(Self { id, kind, names: AtomicU32::new(1), times })
    }

    pub fn kind(&self) -> NodeKind {
        match &self.kind {
            Kind::File(_) => NodeKind::File,
            Kind::Directory(_) => NodeKind::Directory,
            Kind::Link(_) => NodeKind::Link,
        }
    }

    /// In bytes: of a link that of its path, of a directory none.
    pub fn size(&self) -> u64 {
        match &self.kind {
            Kind::File(contents) => contents.size(),
            Kind::Directory(_) => 0,
            Kind::Link(path) => path.len() as u64,
        }
    }

    /// How many names it has.
    pub fn names(&self) -> u32 {
        self.names.load(Ordering::Relaxed)
    }

    pub fn contents(&self) -> Result<&Contents, Errno> {
        match &self.kind {
            Kind::File(contents) => Ok(contents),
            Kind::Directory(_) => Err(Errno::IsDirectory),
            Kind::Link(_) => Err(Errno::Loop),
        }
    }

    fn entries(&self) -> Result<&Mutex<BTreeMap<String, Arc<Self>>>, Errno> {
        match &self.kind {
            Kind::Directory(entries) => Ok(entries),
            Kind::File(_) | Kind::Link(_) => Err(Errno::NotDirectory),
        }
    }

    /// The first name after `after`, and what it leads to.
    pub fn entry_after(&self, after: &str) -> Result<Option<(String, NodeKind)>, Errno> {
        let entries = lock(self.entries()?);
        // No name is empty, so that all come after the empty one.
        let mut rest = entries.range::<str, _>((Bound::Excluded(after), Bound::Unbounded));
        Ok(rest.next().map(|(name, node)| (name.clone(), node.kind())))
    }

    pub fn times(&self) -> Times {
        *lock(&self.times)
    }

    pub fn set_times(&self, accessed: Option<Duration>, modified: Option<Duration>) {
        let mut times = lock(&self.times);
        times.accessed = accessed.unwrap_or(times.accessed);
        times.modified = modified.unwrap_or(times.modified);
        times.changed = now();
    }

    /// Notes that its contents or names are others now.
    pub fn touch(&self) {
        self.set_times(None, Some(now()));
    }

    fn get(&self, name: &str) -> Result<Option<Arc<Self>>, Errno> {
        Ok(lock(self.entries()?).get(name).cloned())
    }

    fn is_empty(&self) -> bool {
        self.entries().is_ok_and(|entries| lock(entries).is_empty())
    }
}

impl Volume {
    pub fn new(grant: &Grant, log: InvocationLog) -> Arc<Self> {
        Arc::new(Self {
            root: Node::new(0, Kind::Directory(Mutex::default())),
            space: Space::new(Arc::clone(&grant.folder), grant.size_mb, log),
            names: AtomicU32::new(0),
            ids: AtomicU64::new(1),
        })
    }

    pub fn root(&self) -> &Arc<Node> {
        &self.root
    }

    /// What its files are in.
    #[cfg(test)]
    pub fn space(&self) -> &Space {
        &self.space
    }

    fn node(&self, kind: Kind) -> Arc<Node> {
        Node::new(self.ids.fetch_add(1, Ordering::Relaxed), kind)
    }

    /// Gives a node a name, which must be free.
    fn enter(&self, place: Place, node: Arc<Node>) -> Result<(), Errno> {
        let (directory, name) = place.free_name()?;
        let add = |names: u32| (names < NAMES_MAX).then_some(names + 1);
        let added = self.names.try_update(Ordering::Relaxed, Ordering::Relaxed, add);
        added.map_err(|_| Errno::InsufficientSpace)?;
        lock(directory.entries()?).insert(name, node);
        directory.touch();
        Ok(())
    }

    /// Takes a name from a node, which is gone with its last one once nobody
    /// has it open.
    fn remove(&self, directory: &Node, name: &str) -> Result<(), Errno> {
        let removed = lock(directory.entries()?).remove(name).ok_or(Errno::NoEntry)?;
        removed.names.fetch_sub(1, Ordering::Relaxed);
        self.names.fetch_sub(1, Ordering::Relaxed);
        directory.touch();
        Ok(())
    }

    pub fn create_directory(&self, base: &Arc<Node>, path: &str) -> Result<(), Errno> {
        let place = resolve(base, path, false)?;
        self.enter(place, self.node(Kind::Directory(Mutex::default())))
    }

    pub fn symlink(&self, base: &Arc<Node>, target: &str, path: &str) -> Result<(), Errno> {
        if target.starts_with('/') {
            return Err(Errno::NotPermitted);
        }
        if target.is_empty() || target.contains('\0') {
            return Err(Errno::Invalid);
        }
        if target.len() > LINK_BYTES_MAX {
            return Err(Errno::NameTooLong);
        }
        let place = resolve(base, path, false)?;
        if place.is_directory {
            return Err(Errno::NoEntry);
        }
        self.enter(place, self.node(Kind::Link(target.to_owned())))
    }

    /// A further name for what is no directory.
    pub fn link(
        &self,
        (old_base, old): (&Arc<Node>, &str),
        (new_base, new): (&Arc<Node>, &str),
    ) -> Result<(), Errno> {
        let node = resolve(old_base, old, false)?.node()?;
        if node.kind() == NodeKind::Directory {
            return Err(Errno::NotPermitted);
        }
        let place = resolve(new_base, new, false)?;
        if place.is_directory {
            return Err(Errno::NoEntry);
        }
        self.enter(place, Arc::clone(&node))?;
        node.names.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    pub fn open(&self, base: &Arc<Node>, path: &str, opening: Opening) -> Result<Arc<Node>, Errno> {
        let Opening { follow, create, directory, exclusive, truncate, write } = opening;
        if directory && (create || exclusive || truncate) {
            return Err(Errno::Invalid);
        }
        let place = resolve(base, path, follow && !(create && exclusive))?;
        let Some(node) = place.node.clone() else {
            if !create {
                return Err(Errno::NoEntry);
            }
            if place.is_directory {
                return Err(Errno::IsDirectory);
            }
            let file = self.node(Kind::File(Contents::new(Arc::clone(&self.space))));
            self.enter(place, Arc::clone(&file))?;
            return Ok(file);
        };
        if create && exclusive {
            return Err(Errno::Exist);
        }
        match node.kind() {
            NodeKind::Link => return Err(Errno::Loop),
            NodeKind::Directory if write || create || truncate => return Err(Errno::IsDirectory),
            NodeKind::File if directory => return Err(Errno::NotDirectory),
            NodeKind::Directory | NodeKind::File => {}
        }
        if truncate {
            node.contents()?.resize(0)?;
            node.touch();
        }
        Ok(node)
    }

    pub fn remove_file(&self, base: &Arc<Node>, path: &str) -> Result<(), Errno> {
        let place = resolve(base, path, false)?;
        let node = place.node.ok_or(Errno::NoEntry)?;
        if node.kind() == NodeKind::Directory {
            return Err(Errno::IsDirectory);
        }
        let (directory, name) = place.entry.ok_or(Errno::Invalid)?;
        self.remove(&directory, &name)
    }

    pub fn remove_directory(&self, base: &Arc<Node>, path: &str) -> Result<(), Errno> {
        let place = resolve(base, path, false)?;
        let node = place.node.ok_or(Errno::NoEntry)?;
        node.entries()?;
        let (directory, name) = place.entry.ok_or(Errno::Invalid)?;
        if !node.is_empty() {
            return Err(Errno::NotEmpty);
        }
        self.remove(&directory, &name)
    }

    pub fn rename(
        &self,
        (old_base, old): (&Arc<Node>, &str),
        (new_base, new): (&Arc<Node>, &str),
    ) -> Result<(), Errno> {
        let from = resolve(old_base, old, false)?;
        let node = from.node.ok_or(Errno::NoEntry)?;
        let (old_directory, old_name) = from.entry.ok_or(Errno::Invalid)?;
        let to = resolve(new_base, new, false)?;
        let Some((new_directory, new_name)) = &to.entry else { return Err(Errno::Invalid) };
        let moves_directory = node.kind() == NodeKind::Directory;
        if to.is_directory && !moves_directory {
            return Err(Errno::NotDirectory);
        }
        if moves_directory && is_within(new_directory, &node) {
            return Err(Errno::Invalid);
        }
        if let Some(replaced) = &to.node {
            if Arc::ptr_eq(replaced, &node) {
                return Ok(());
            }
            match (moves_directory, replaced.kind() == NodeKind::Directory) {
                (true, false) => return Err(Errno::NotDirectory),
                (false, true) => return Err(Errno::IsDirectory),
                (true, true) if !replaced.is_empty() => return Err(Errno::NotEmpty),
                _ => self.remove(new_directory, new_name)?,
            }
        }
        // Nothing can go wrong from here on, and then nothing is lost.
        let to = Place { node: None, ..to };
        to.clone().free_name()?;
        node.names.fetch_add(1, Ordering::Relaxed);
        self.remove(&old_directory, &old_name)?;
        self.enter(to, node)
    }

    pub fn read_link(&self, base: &Arc<Node>, path: &str) -> Result<String, Errno> {
        match &resolve(base, path, false)?.node()?.kind {
            Kind::Link(target) => Ok(target.clone()),
            _ => Err(Errno::Invalid),
        }
    }

    pub fn find(&self, base: &Arc<Node>, path: &str, follow: bool) -> Result<Arc<Node>, Errno> {
        resolve(base, path, follow)?.node()
    }
}

impl Drop for Volume {
    /// Directories are emptied one by one: dropping them by their tree would
    /// take as much stack as it is deep.
    fn drop(&mut self) {
        let mut rest = vec![Arc::clone(&self.root)];
        while let Some(node) = rest.pop() {
            if let Kind::Directory(entries) = &node.kind {
                rest.extend(std::mem::take(&mut *lock(entries)).into_values());
            }
        }
    }
}

/// Whether a directory is `top`, or somewhere in it.
fn is_within(directory: &Arc<Node>, top: &Arc<Node>) -> bool {
    let mut rest = vec![Arc::clone(top)];
    while let Some(node) = rest.pop() {
        if Arc::ptr_eq(&node, directory) {
            return true;
        }
        if let Kind::Directory(entries) = &node.kind {
            let entries = lock(entries);
            let inner = entries.values().filter(|node| node.kind() == NodeKind::Directory);
            rest.extend(inner.cloned());
        }
    }
    false
}

/// Follows a path from `base`, which it may not lead out of.
fn resolve(base: &Arc<Node>, path: &str, follow: bool) -> Result<Place, Errno> {
    base.entries()?;
    if path.is_empty() {
        return Err(Errno::NoEntry);
    }
    if path.contains('\0') {
        return Err(Errno::IllegalByteSequence);
    }
    if path.len() > PATH_BYTES_MAX {
        return Err(Errno::NameTooLong);
    }
    let mut walk = Walk::default();
    walk.go_on_with(path)?;
    let mut above = vec![Arc::clone(base)];
    let mut followed = 0;
    while let Some(name) = walk.rest.pop() {
        let Some(directory) = above.last() else { return Err(Errno::NotPermitted) };
        if name == ".." {
            directory.entries()?;
            above.pop();
            continue;
        }
        let is_last = walk.rest.is_empty();
        let Some(node) = directory.get(&name)? else {
            if !is_last {
                return Err(Errno::NoEntry);
            }
            let entry = Some((Arc::clone(directory), name));
            return Ok(Place { entry, node: None, is_directory: walk.is_directory });
        };
        match &node.kind {
            Kind::Link(target) if !is_last || follow || walk.is_directory => {
                followed += 1;
                if followed > LINKS_FOLLOWED_MAX {
                    return Err(Errno::Loop);
                }
                walk.go_on_with(target)?;
            }
            _ if is_last => {
                if walk.is_directory {
                    node.entries()?;
                }
                let entry = Some((Arc::clone(directory), name));
                return Ok(Place { entry, node: Some(node), is_directory: walk.is_directory });
            }
            _ => {
                node.entries()?;
                above.push(node);
            }
        }
    }
    let node = above.pop().ok_or(Errno::NotPermitted)?;
    Ok(Place { entry: None, node: Some(node), is_directory: true })
}

/// The names that are still to be followed, the next one last.
#[derive(Default)]
struct Walk {
    rest: Vec<String>,
    is_directory: bool,
}

impl Walk {
    fn go_on_with(&mut self, path: &str) -> Result<(), Errno> {
        if path.starts_with('/') {
            return Err(Errno::NotPermitted);
        }
        if self.rest.is_empty() {
            self.is_directory |= path.ends_with('/') || path.ends_with("/.") || path == ".";
        }
        let names = path.split('/').filter(|name| !matches!(*name, "" | "."));
        self.rest.extend(names.rev().map(str::to_owned));
        Ok(())
    }
}

//! A volume against what a file system is expected to do.

use std::path::Path;

use proptest::prelude::*;

use super::{
    tree::{NodeKind, Opening},
    *,
};

const BLOCK: usize = 4096;

/// A volume of one MiB, and the folder that it is in.
fn volume() -> (tempfile::TempDir, Arc<Volume>) {
    let folder = tempfile::tempdir().expect("a folder");
    let grant = Grant { folder: folder.path().into(), size_mb: 1 };
    (folder, Volume::new(&grant, InvocationLog::new("f", "id", 0)))
}

fn create(volume: &Volume, path: &str) -> Result<Arc<Node>, Errno> {
    let opening = Opening { create: true, write: true, ..Opening::default() };
    volume.open(volume.root(), path, opening)
}

fn follow(volume: &Volume, path: &str) -> Result<Arc<Node>, Errno> {
    volume.find(volume.root(), path, true)
}

fn names(directory: &Node) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut last = String::new();
    while let Some((name, _)) = directory.entry_after(&last).expect("a directory") {
        last.clone_from(&name);
        names.push(name);
    }
    names
}

fn entries_in(folder: &Path) -> usize {
    fs::read_dir(folder).expect("a folder").count()
}

#[test]
fn nothing_of_it_has_a_name_on_the_host() {
    let (folder, volume) = volume();
    let file = create(&volume, "secret").expect("a file");
    file.contents().expect("a file").write(None, b"text").expect("written");
    volume.create_directory(volume.root(), "d").expect("a directory");
    assert_eq!(entries_in(folder.path()), 0);
}

#[test]
fn what_a_killed_process_left_is_removed_and_what_is_open_stays() {
    let (folder, volume) = volume();
    let file = create(&volume, "a").expect("a file");
    let contents = file.contents().expect("a file");
    contents.write(None, b"kept").expect("written");
    fs::write(folder.path().join(".tmpleft"), "left").expect("written");
    prepare(folder.path()).expect("prepared");
    assert_eq!(entries_in(folder.path()), 0);
    assert_eq!(contents.read(0, 10).expect("read"), b"kept");
    prepare(&folder.path().join("new/inner")).expect("made");
}

#[test]
fn the_quota_is_of_lengths_and_comes_back() {
    let (_folder, volume) = volume();
    let (a, b) = (create(&volume, "a").expect("a file"), create(&volume, "b").expect("a file"));
    let (first, second) = (a.contents().expect("a file"), b.contents().expect("a file"));
    first.resize(1024 * 1024 - BLOCK as u64).expect("room");
    second.write(None, b"x").expect("the last block");
    assert_eq!(first.write(None, b"x"), Err(Errno::InsufficientSpace));
    assert_eq!(second.resize(BLOCK as u64 + 1), Err(Errno::InsufficientSpace));
    assert_eq!(second.resize(u64::MAX), Err(Errno::InsufficientSpace));
    assert_eq!(second.write(Some(u64::MAX), b"x"), Err(Errno::FileTooLarge));
    assert_eq!(second.write(Some(1 << 50), b"x"), Err(Errno::InsufficientSpace));
    // What failed has changed nothing.
    assert_eq!((first.size(), second.size()), (1024 * 1024 - BLOCK as u64, 1));
    // Holes read as zeros, and within a length there is always room.
    assert_eq!(first.read(500_000, 3).expect("read"), [0; 3]);
    assert_eq!(first.write(Some(500_000), b"x"), Ok(1));
    // A file without a name counts for as long as somebody has it open.
    volume.remove_file(volume.root(), "a").expect("removed");
    assert_eq!(second.resize(BLOCK as u64 + 1), Err(Errno::InsufficientSpace));
    drop(a);
    second.resize(1024 * 1024).expect("room again");
    volume.rename((volume.root(), "b"), (volume.root(), "c")).expect("renamed");
    let c = create(&volume, "d").expect("an empty file needs no block");
    assert_eq!(c.contents().expect("a file").write(None, b"x"), Err(Errno::InsufficientSpace));
    let opening = Opening { truncate: true, write: true, ..Opening::default() };
    volume.open(volume.root(), "c", opening).expect("emptied");
    c.contents().expect("a file").write(None, b"x").expect("room again");
}

#[test]
fn names_are_bounded_and_come_back() {
    let (_folder, volume) = volume();
    volume.create_directory(volume.root(), "d").expect("a directory");
    let mut base = Arc::clone(volume.root());
    let mut count = 1;
    // One in the other, by descriptors, since no path is that long.
    while volume.create_directory(&base, "d").is_ok() || count == 1 {
        base = volume.find(&base, "d", false).expect("the directory");
        count += 1;
        assert!(count <= 20_000, "there is no bound");
    }
    assert_eq!(volume.create_directory(volume.root(), "e"), Err(Errno::InsufficientSpace));
    assert_eq!(create(&volume, "f").err(), Some(Errno::InsufficientSpace));
    let linked = volume.symlink(volume.root(), "d", "l");
    assert_eq!(linked, Err(Errno::InsufficientSpace));
    // What is full can still be renamed.
    volume.rename((volume.root(), "d"), (volume.root(), "e")).expect("renamed");
    assert_eq!(names(volume.root()), ["e"]);
    // And dropping so deep a tree takes no stack.
}

#[test]
fn paths_lead_nowhere_else() {
    let (_folder, volume) = volume();
    let root = volume.root();
    create(&volume, "a").expect("a file");
    volume.create_directory(root, "d").expect("a directory");
    for outside in ["..", "../a", "d/../..", "d/../../a", "/", "/etc/passwd", "/tmp/a"] {
        assert_eq!(follow(&volume, outside).err(), Some(Errno::NotPermitted), "{outside}");
        assert_eq!(create(&volume, outside).err(), Some(Errno::NotPermitted), "{outside}");
        let renamed = volume.rename((root, "a"), (root, outside));
        assert_eq!(renamed, Err(Errno::NotPermitted), "{outside}");
    }
    // Of a directory within, what is above it is outside as well.
    let inner = follow(&volume, "d").expect("the directory");
    assert_eq!(volume.find(&inner, "../a", true).err(), Some(Errno::NotPermitted));
    assert_eq!(volume.symlink(root, "/etc", "absolute"), Err(Errno::NotPermitted));
    volume.symlink(root, "../../etc/passwd", "up").expect("a link");
    volume.symlink(root, "d/../a", "within").expect("a link");
    volume.symlink(root, "circle", "circle").expect("a link");
    volume.symlink(root, "new", "dangling").expect("a link");
    assert_eq!(follow(&volume, "up").err(), Some(Errno::NotPermitted));
    assert_eq!(follow(&volume, "circle").err(), Some(Errno::Loop));
    assert_eq!(follow(&volume, "within").expect("a").id, follow(&volume, "a").expect("a").id);
    assert_eq!(volume.read_link(root, "up").as_deref(), Ok("../../etc/passwd"));
    assert_eq!(volume.find(root, "up", false).expect("a link").kind(), NodeKind::Link);
    let through = Opening { follow: true, create: true, write: true, ..Opening::default() };
    volume.open(root, "dangling", through).expect("a new file");
    assert_eq!(names(root), ["a", "circle", "d", "dangling", "new", "up", "within"]);
    assert_eq!(create(&volume, &"n".repeat(256)).err(), Some(Errno::NameTooLong));
    assert_eq!(follow(&volume, &"n/".repeat(3000)).err(), Some(Errno::NameTooLong));
    assert_eq!(create(&volume, "a\0b").err(), Some(Errno::IllegalByteSequence));
    assert_eq!(follow(&volume, "").err(), Some(Errno::NoEntry));
}

#[test]
fn directories_keep_to_posix() {
    let (_folder, volume) = volume();
    let root = volume.root();
    let make = |path: &str| volume.create_directory(root, path);
    let rename = |old: &str, new: &str| volume.rename((root, old), (root, new));
    make("a").expect("a directory");
    make("a/b").expect("a directory");
    create(&volume, "a/f").expect("a file");
    assert_eq!(make("a"), Err(Errno::Exist));
    assert_eq!(make("no/d"), Err(Errno::NoEntry));
    assert_eq!(make("a/f/d"), Err(Errno::NotDirectory));
    assert_eq!(volume.remove_directory(root, "a"), Err(Errno::NotEmpty));
    assert_eq!(volume.remove_directory(root, "a/f"), Err(Errno::NotDirectory));
    assert_eq!(volume.remove_directory(root, "."), Err(Errno::Invalid));
    assert_eq!(volume.remove_file(root, "a/b"), Err(Errno::IsDirectory));
    assert_eq!(follow(&volume, "a/f/").err(), Some(Errno::NotDirectory));
    // No directory goes into itself, however its place is told.
    assert_eq!(rename("a", "a/b/c"), Err(Errno::Invalid));
    let inner = follow(&volume, "a/b").expect("a directory");
    assert_eq!(volume.rename((root, "a"), (&inner, "c")), Err(Errno::Invalid));
    make("e").expect("a directory");
    assert_eq!(rename("a/f", "e"), Err(Errno::IsDirectory));
    assert_eq!(rename("e", "a/f"), Err(Errno::NotDirectory));
    assert_eq!(rename("e", "a"), Err(Errno::NotEmpty));
    rename("a", "e").expect("an empty directory is replaced");
    rename("e/f", "e/f").expect("nothing to do");
    assert_eq!(names(root), ["e"]);
    // A directory that is gone takes nothing, though somebody has it open.
    volume.remove_directory(root, "e/b").expect("removed");
    assert_eq!(volume.create_directory(&inner, "x"), Err(Errno::NoEntry));
    // Hard links are names of one file.
    volume.link((root, "e/f"), (root, "g")).expect("linked");
    assert_eq!(volume.link((root, "e"), (root, "h")), Err(Errno::NotPermitted));
    let file = follow(&volume, "g").expect("a file");
    assert_eq!((file.names(), file.id), (2, follow(&volume, "e/f").expect("a file").id));
    rename("e/f", "g").expect("nothing to do: they are the same");
    assert_eq!(file.names(), 2);
    volume.remove_file(root, "e/f").expect("removed");
    assert_eq!(file.names(), 1);
}

#[derive(Debug, Clone)]
enum Step {
    Write(usize, Option<u64>, Vec<u8>),
    Resize(usize, u64),
    Replace(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = (0..40_000usize, any::<u8>()).prop_map(|(length, byte)| vec![byte; length]);
    prop_oneof![
        (0..3usize, proptest::option::of(0..200_000u64), bytes)
            .prop_map(|(file, at, bytes)| Step::Write(file, at, bytes)),
        (0..3usize, 0..200_000u64).prop_map(|(file, size)| Step::Resize(file, size)),
        (0..3usize).prop_map(Step::Replace),
    ]
}

proptest! {
    #[test]
    fn files_hold_what_was_written(steps in proptest::collection::vec(step(), 1..60)) {
        let (_folder, volume) = volume();
        let paths = ["a", "b", "c"];
        let mut model = [Vec::new(), Vec::new(), Vec::new()];
        for step in steps {
            match step {
                Step::Write(file, at, bytes) => {
                    let node = create(&volume, paths[file]).expect("a file");
                    let written = node.contents().expect("a file").write(at, &bytes);
                    let own: &mut Vec<u8> = &mut model[file];
                    let at = at.map_or(own.len(), |at| at as usize);
                    if written.is_ok() && !bytes.is_empty() {
                        own.resize(own.len().max(at + bytes.len()), 0);
                        own[at..at + bytes.len()].copy_from_slice(&bytes);
                    }
                }
                Step::Resize(file, size) => {
                    let node = create(&volume, paths[file]).expect("a file");
                    if node.contents().expect("a file").resize(size).is_ok() {
                        model[file].resize(size as usize, 0);
                    }
                }
                Step::Replace(file) => {
                    if follow(&volume, paths[file]).is_ok() {
                        volume.remove_file(volume.root(), paths[file]).expect("removed");
                    }
                    model[file].clear();
                }
            }
            let blocks: usize = model.iter().map(|own| own.len().div_ceil(BLOCK)).sum();
            prop_assert_eq!(volume.space().charged(), blocks);
            prop_assert!(blocks <= 256);
        }
        for (path, own) in paths.iter().zip(&model) {
            let Ok(node) = follow(&volume, path) else { continue };
            let contents = node.contents().expect("a file");
            let mut read = Vec::new();
            while let Ok(part) = contents.read(read.len() as u64, 10_000) && !part.is_empty() {
                read.extend(part);
            }
            prop_assert!(read == *own, "{} differs", path);
        }
    }
}

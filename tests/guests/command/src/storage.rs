//! What a guest does with `/tmp`, by the standard library: a line for each step.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
};

const CHUNK: usize = 64 * 1024;

pub fn run(what: &str) -> String {
    let lines = match what {
        "posix" => posix(),
        "fill" => fill(),
        "quota" => quota(),
        "names" => names(),
        "outside" => outside(),
        "left" => left(),
        "trap" => {
            let _ = fs::write("/tmp/trapped", vec![1; CHUNK]);
            panic!("asked to trap");
        }
        "loop" => {
            let _ = fs::write("/tmp/looped", vec![1; CHUNK]);
            loop {
                std::hint::black_box(());
            }
        }
        _ => vec!["unknown".to_owned()],
    };
    lines.join("\n")
}

/// The error's number in wasi-libc, as a name, or that there was none.
fn outcome<T>(result: io::Result<T>) -> String {
    let Err(error) = result else { return "ok".to_owned() };
    match error.raw_os_error() {
        Some(20) => "EEXIST".to_owned(),
        Some(28) => "EINVAL".to_owned(),
        Some(29) => "EIO".to_owned(),
        Some(37) => "ENAMETOOLONG".to_owned(),
        Some(44) => "ENOENT".to_owned(),
        Some(51) => "ENOSPC".to_owned(),
        Some(55) => "ENOTEMPTY".to_owned(),
        _ => format!("{error:?}"),
    }
}

fn listing(path: &str) -> io::Result<Vec<String>> {
    let names: io::Result<Vec<_>> =
        fs::read_dir(path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into())).collect();
    names.map(|mut names: Vec<String>| {
        names.sort();
        names
    })
}

fn posix() -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = |name: &str, text: String| lines.push(format!("{name}: {text}"));
    line("empty", format!("{:?}", listing("/tmp")));
    line("directories", outcome(fs::create_dir_all("/tmp/a/b/c")));
    line("write", outcome(fs::write("/tmp/a/b/c/file", "0123456789")));
    let append = || {
        let mut file = OpenOptions::new().append(true).open("/tmp/a/b/c/file")?;
        file.write_all(b"abc")
    };
    line("append", outcome(append()));
    let seek = || {
        let mut file = OpenOptions::new().read(true).write(true).open("/tmp/a/b/c/file")?;
        file.seek(SeekFrom::Start(3))?;
        file.write_all(b"XYZ")?;
        file.seek(SeekFrom::Start(2))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        file.set_len(5)?;
        file.sync_all()?;
        Ok::<_, io::Error>(format!("{text} {}", file.metadata()?.len()))
    };
    line("seek", format!("{:?}", seek()));
    line("read", format!("{:?}", fs::read_to_string("/tmp/a/b/c/file")));
    line("link", outcome(fs::hard_link("/tmp/a/b/c/file", "/tmp/link")));
    line("rename", outcome(fs::rename("/tmp/a/b", "/tmp/moved")));
    line("moved", format!("{:?}", fs::read_to_string("/tmp/moved/c/file")));
    line("into itself", outcome(fs::rename("/tmp/moved", "/tmp/moved/c/x")));
    line("no file", outcome(fs::read("/tmp/nothing")));
    line("not empty", outcome(fs::remove_dir("/tmp/moved")));
    line("exists", outcome(fs::create_dir("/tmp/a")));
    line("remove", outcome(fs::remove_file("/tmp/moved/c/file")));
    line("linked", format!("{:?}", fs::read_to_string("/tmp/link")));
    line("listing", format!("{:?}", listing("/tmp")));
    line("all", outcome(fs::remove_dir_all("/tmp/moved")));
    let modified = fs::metadata("/tmp/link").and_then(|metadata| metadata.modified());
    let age = modified.map(|time| time.elapsed().is_ok_and(|age| age.as_secs() < 60));
    line("time", format!("{age:?}"));
    let long = "x".repeat(200_000);
    line("long", outcome(fs::write("/tmp/long", &long)));
    line("whole", format!("{:?}", fs::read_to_string("/tmp/long").map(|text| text == long)));
    lines
}

/// Writes until there is no room.
fn fill() -> Vec<String> {
    let mut written = 0;
    let mut file = File::create("/tmp/fill").expect("a file");
    let ended = loop {
        let result = file.write_all(&[1; 4096]);
        if result.is_err() {
            break result;
        }
        written += 4096;
    };
    vec![format!("{written} {}", outcome(ended))]
}

/// Ways to have more than the quota of one MiB.
fn quota() -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = |name: &str, text: String| lines.push(format!("{name}: {text}"));
    // What is removed is room again, as often as one likes.
    let reuse = || {
        (0..20).try_for_each(|_| {
            fs::write("/tmp/reused", vec![1; 900 * 1024])?;
            fs::remove_file("/tmp/reused")
        })
    };
    line("reuse", outcome(reuse()));
    let file = File::create("/tmp/sparse").expect("a file");
    line("set_len", outcome(file.set_len(1 << 40)));
    line("largest", outcome(file.set_len(u64::MAX / 2)));
    let far = (&file).seek(SeekFrom::Start(1 << 30)).and_then(|_| (&file).write_all(b"x"));
    line("far", outcome(far));
    line("hole", outcome(file.set_len(1024 * 1024)));
    line("full", outcome(fs::write("/tmp/other", "x")));
    line("another name", outcome(fs::hard_link("/tmp/sparse", "/tmp/second")));
    line("unlinked", outcome(fs::remove_file("/tmp/sparse")));
    line("has a name", outcome(fs::write("/tmp/other", "x")));
    line("without any", outcome(fs::remove_file("/tmp/second")));
    line("is open", outcome(fs::write("/tmp/other", "x")));
    drop(file);
    line("closed", outcome(fs::write("/tmp/other", "x")));
    line("renamed over", outcome(fs::rename("/tmp/other", "/tmp/one")));
    line("left", format!("{:?}", listing("/tmp")));
    lines
}

/// Files without contents, and directories in directories.
fn names() -> Vec<String> {
    let mut files = 0;
    let ended = loop {
        match File::create(format!("/tmp/{files}")) {
            Ok(_) if files < 20_000 => files += 1,
            result => break outcome(result),
        }
    };
    let mut lines = vec![format!("{files} {ended}")];
    for file in 0..files {
        let _ = fs::remove_file(format!("/tmp/{file}"));
    }
    let mut path = "/tmp".to_owned();
    let mut depth = 0;
    let ended = loop {
        path.push_str("/d");
        match fs::create_dir(&path) {
            Ok(()) if depth < 20_000 => depth += 1,
            result => break outcome(result),
        }
    };
    lines.push(format!("{depth} {ended}"));
    lines
}

fn outside() -> Vec<String> {
    let _ = fs::write("/tmp/mine", "x");
    let mut lines = Vec::new();
    for path in ["/", "/etc/passwd", "/tmp/../etc/passwd", "/tmp/../../etc/passwd", "etc", "."] {
        let read = fs::read(path).is_ok() || fs::read_dir(path).is_ok();
        let written = fs::write(path, "x").is_ok();
        let linked = fs::hard_link(path, "/tmp/link").is_ok();
        let renamed = fs::rename("/tmp/mine", path).is_ok();
        lines.push(format!("{path}: {read} {written} {linked} {renamed}"));
    }
    lines.push(format!("{:?}", listing("/tmp")));
    lines
}

/// What is there, and then something is.
fn left() -> Vec<String> {
    let before = format!("{:?}", listing("/tmp"));
    vec![before, outcome(fs::write("/tmp/left", "x"))]
}

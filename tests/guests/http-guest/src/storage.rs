//! What the standard library does not do with `/tmp`, by `wasi:filesystem` 0.2.

use wasip2::{
    filesystem::{
        preopens,
        types::{
            Descriptor, DescriptorFlags, ErrorCode, OpenFlags, PathFlags, filesystem_error_code,
        },
    },
    io::streams::StreamError,
};

fn outcome<T>(result: Result<T, ErrorCode>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(code) => code.name().to_owned(),
    }
}

fn create(root: &Descriptor, path: &str) -> Result<Descriptor, ErrorCode> {
    let flags = DescriptorFlags::READ | DescriptorFlags::WRITE;
    root.open_at(PathFlags::empty(), path, OpenFlags::CREATE, flags)
}

fn follow(root: &Descriptor, path: &str) -> Result<Descriptor, ErrorCode> {
    root.open_at(PathFlags::SYMLINK_FOLLOW, path, OpenFlags::empty(), DescriptorFlags::READ)
}

/// A line for each step.
pub fn exercise() -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = |name: &str, text: String| lines.push(format!("{name}: {text}"));
    let directories = preopens::get_directories();
    let names: Vec<&str> = directories.iter().map(|(_, name)| name.as_str()).collect();
    line("preopens", format!("{names:?}"));
    let Some((root, _)) = directories.first() else { return lines };
    line("absolute", outcome(root.symlink_at("/etc/passwd", "absolute")));
    line("up", outcome(root.symlink_at("../../../../etc/passwd", "up")));
    line("through it", outcome(follow(root, "up")));
    line("written through", outcome(create(root, "up")));
    line("itself", outcome(root.symlink_at(".", "self")));
    line("long way", outcome(follow(root, &"self/".repeat(50))));
    let Ok(file) = create(root, "file") else { return lines };
    line("write", format!("{:?}", file.write(&[1; 100_000], 0)));
    line("beyond", outcome(file.write(b"x", 1 << 40)));
    line("last", outcome(file.write(b"x", u64::MAX)));
    line(
        "read",
        format!("{:?}", file.read(u64::MAX, 65_530).map(|(bytes, end)| (bytes.len(), end))),
    );
    line("read-only", outcome(follow(root, "file").and_then(|file| file.write(b"x", 0))));
    // Streams of one file that fill it without waiting for each other.
    let files: Vec<_> = (0..40).filter_map(|n| create(root, &n.to_string()).ok()).collect();
    let streams: Vec<_> = files.iter().filter_map(|file| file.write_via_stream(0).ok()).collect();
    for stream in &streams {
        let room = stream.check_write().unwrap_or_default();
        let _ = stream.write(&vec![1; usize::try_from(room).unwrap_or_default()]);
    }
    let ends = streams.iter().map(|stream| match stream.blocking_flush() {
        Ok(()) => "ok",
        Err(StreamError::Closed) => "closed",
        Err(StreamError::LastOperationFailed(error)) => {
            filesystem_error_code(&error).map_or("unknown", |code| code.name())
        }
    });
    let ends: Vec<&str> = ends.collect();
    let count = |name: &str| ends.iter().filter(|end| **end == name).count();
    let sizes: u64 = files.iter().filter_map(|file| Some(file.stat().ok()?.size)).sum();
    line("streams", format!("{} {} {sizes}", count("ok"), count("insufficient-space")));
    line("same", root.is_same_object(&directories[0].0).to_string());
    lines
}

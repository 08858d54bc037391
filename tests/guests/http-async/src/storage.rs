//! `/tmp` by `wasi:filesystem` 0.3.

use wasip3::{
    filesystem::{
        preopens,
        types::{Descriptor, DescriptorFlags, ErrorCode, OpenFlags, PathFlags},
    },
    wit_bindgen, wit_stream,
};

const CHUNK: usize = 50_000;

fn outcome<T>(result: Result<T, ErrorCode>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(code) => format!("{code:?}"),
    }
}

async fn create(root: &Descriptor, path: &str) -> Result<Descriptor, ErrorCode> {
    let flags = DescriptorFlags::READ | DescriptorFlags::WRITE;
    root.open_at(PathFlags::empty(), path.to_owned(), OpenFlags::CREATE, flags).await
}

/// Appends `count` times, or until there is no room.
async fn append(file: &Descriptor, count: usize) -> Result<(), ErrorCode> {
    let (mut writer, data) = wit_stream::new();
    let end = file.append_via_stream(data);
    wit_bindgen::spawn_local(async move {
        for _ in 0..count {
            if !writer.write_all(vec![b'x'; CHUNK]).await.is_empty() {
                return;
            }
        }
    });
    end.await
}

/// A line for each step.
pub async fn exercise() -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = |name: &str, text: String| lines.push(format!("{name}: {text}"));
    let directories = preopens::get_directories();
    let names: Vec<&str> = directories.iter().map(|(_, name)| name.as_str()).collect();
    line("preopens", format!("{names:?}"));
    let Some((root, _)) = directories.first() else { return lines };
    line("directory", outcome(root.create_directory_at("d".to_owned()).await));
    line("up", outcome(root.symlink_at("../../etc/passwd".to_owned(), "up".to_owned()).await));
    let (flags, path) = (DescriptorFlags::READ, "up".to_owned());
    let through = root.open_at(PathFlags::SYMLINK_FOLLOW, path, OpenFlags::empty(), flags).await;
    line("through it", outcome(through));
    let Ok(file) = create(root, "d/file").await else { return lines };
    line("append", outcome(append(&file, 10).await));
    line("size", format!("{:?}", file.stat().await.map(|stat| stat.size)));
    let (stream, end) = file.read_via_stream(CHUNK as u64);
    let bytes = stream.collect().await;
    let whole = bytes.iter().all(|byte| *byte == b'x');
    line("read", format!("{} {whole} {}", bytes.len(), outcome(end.await)));
    line("full", outcome(append(&file, 1000).await));
    line("held", format!("{:?}", file.stat().await.map(|stat| stat.size <= 1024 * 1024)));
    line("set_size", outcome(file.set_size(1 << 40).await));
    line("smaller", outcome(file.set_size(3).await));
    let (entries, end) = root.read_directory();
    let names: Vec<String> = entries.collect().await.into_iter().map(|entry| entry.name).collect();
    line("entries", format!("{names:?} {}", outcome(end.await)));
    let (_, end) = root.read_via_stream(0);
    line("no file", outcome(end.await));
    line("remove", outcome(root.unlink_file_at("d/file".to_owned()).await));
    line("gone", outcome(root.stat_at(PathFlags::empty(), "d/file".to_owned()).await));
    lines
}

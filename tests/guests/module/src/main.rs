//! A core module of WASI preview 1.
#![allow(clippy::print_stdout, reason = "what it prints is its answer")]

// The same program for both targets: what differs is what is between it and the host.
#[path = "../../command/src/storage.rs"]
mod storage;

use std::io::Read as _;

fn main() {
    let mut event = String::new();
    std::io::stdin().read_to_string(&mut event).expect("an event");
    let mode = std::env::var("MODE").unwrap_or_default();
    let path = std::env::var("PATH_INFO").unwrap_or_default();
    let query = std::env::var("QUERY_STRING").unwrap_or_default();
    if let Some(what) = query.strip_prefix("storage=") {
        print!("Content-Type: text/plain\n\n{}", storage::run(what));
        return;
    }
    let files = std::fs::read_dir("/").is_err();
    print!("Content-Type: text/plain\n\n{path} {mode} {} {files}", event.starts_with('{'));
}

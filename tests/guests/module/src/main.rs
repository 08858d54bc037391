//! A core module of WASI preview 1.
#![allow(clippy::print_stdout, reason = "what it prints is its answer")]

use std::io::Read as _;

fn main() {
    let mut event = String::new();
    std::io::stdin().read_to_string(&mut event).expect("an event");
    let mode = std::env::var("MODE").unwrap_or_default();
    let path = std::env::var("PATH_INFO").unwrap_or_default();
    let files = std::fs::read_dir("/").is_err();
    print!("Content-Type: text/plain\n\n{path} {mode} {} {files}", event.starts_with('{'));
}

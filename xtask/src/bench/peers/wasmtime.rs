//! `wasmtime serve`, built from its source in the version that the gateway has.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Outcome;
use crate::bench::Bench;
use crate::step::{report, run};

/// The settings of the pooling allocator that make a fresh instance cheap.
const TUNED: [&str; 8] = [
    "-Opooling-allocator=y",
    "-Opooling-memory-keep-resident=262144",
    "-Opooling-table-keep-resident=65536",
    "-Opooling-pagemap-scan=auto",
    "-Opooling-max-memory-size=134217728",
    "-Omemory-reservation=134217728",
    "-Omemory-guard-size=0",
    "-Osignals-based-traps=n",
];

pub fn set_up(bench: &Bench<'_>) -> Outcome<PathBuf> {
    let version = bench.locked("wasmtime")?;
    let root = bench.folder.join(format!("wasmtime-{version}"));
    let program = root.join("bin/wasmtime");
    if !program.is_file() {
        report("building wasmtime-cli, once; it takes minutes");
        let mut install = bench.host.cargo(&["install", "wasmtime-cli", "--locked", "--quiet"]);
        install.args(["--version", &version, "--no-default-features", "--root"]).arg(&root);
        install.args([
            "--features",
            "serve,run,cranelift,component-model-async,pooling-allocator,parallel-compilation",
        ]);
        let build = bench.folder.join("wasmtime-build");
        install.arg("--target-dir").arg(&build);
        run(&mut install).map_err(|error| error.to_string())?;
        // It is large, and of no more use.
        let _ = fs::remove_dir_all(build);
    }
    Ok(program)
}

pub fn command(program: &Path, component: &Path, tuned: bool, address: SocketAddr) -> Command {
    let mut command = Command::new(program);
    command.args(["serve", "--addr", &address.to_string()]);
    command.args(["-S", "cli", "--max-instance-reuse-count=1"]);
    if tuned {
        command.args(TUNED);
    }
    command.arg(component);
    command
}

//! `cargo xtask test`: every check and test, cheap ones first.
//!
//! All of it uses the release profile, so that wasmtime is compiled once.

use std::process::Stdio;

use crate::host::Host;
use crate::step::{self, run_with_output, step};
use crate::{Result, guests, tidy};

/// Runs all, or with filters only the tests whose names hold one of them.
///
/// The test runner's summary is the last that is printed when all is well.
pub fn run(host: &Host, filters: &[String]) -> Result {
    if filters.is_empty() {
        return run_all(host);
    }
    build(host)?;
    test(host, filters)
}

fn run_all(host: &Host) -> Result {
    step("format", || {
        require_component(host, "fmt", "rustfmt")?;
        step::run(&mut host.cargo(&["fmt", "--all", "--check"]))
            .map_err(|error| format!("{error}\nhint: cargo fmt --all").into())
    })?;
    step("tidy", || tidy::check(host))?;
    step("lints", || {
        require_component(host, "clippy", "clippy")?;
        step::run(&mut host.cargo(&[
            "clippy",
            "--release",
            "--workspace",
            "--all-targets",
            "--",
            "--deny",
            "warnings",
        ]))
    })?;
    build(host)?;
    step("documentation tests", || {
        run_with_output(&mut host.cargo(&["test", "--release", "--workspace", "--doc"]))
    })?;
    test(host, &[])
}

/// What the end-to-end tests start and load.
fn build(host: &Host) -> Result {
    step("mayfly", || host.build())?;
    guests::handlers(host, &[])?;
    guests::fixtures(host, &[])
}

/// Unit tests, handlers on the host, end to end. Not a step, for a step says
/// something at its end.
fn test(host: &Host, filters: &[String]) -> Result {
    eprintln!("==> tests");
    let mut command = host.cargo(&[
        "test",
        "--release",
        "--workspace",
        "--lib",
        "--bins",
        "--tests",
        "--no-fail-fast",
    ]);
    if !filters.is_empty() {
        command.arg("--").args(filters);
    }
    run_with_output(&mut command)
}

/// Tells how to install a part of the toolchain that rustup makes optional.
fn require_component(host: &Host, verb: &str, component: &str) -> Result {
    let mut command = host.cargo(&[verb, "--version"]);
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    if status.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    Err(format!("`cargo {verb}` is missing\nhint: rustup component add {component}").into())
}

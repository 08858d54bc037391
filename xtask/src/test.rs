//! `cargo xtask test`: every check and test, cheap ones first.
//!
//! All of it uses the release profile, so that wasmtime is compiled once.

use std::env;
use std::process::Stdio;

use mayfly_toolchain::apt;

use crate::host::Host;
use crate::step::{self, report, run_with_output, step};
use crate::{Result, guests, python, tidy};

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
    test(host, &[])
}

/// What the end-to-end tests start and load.
fn build(host: &Host) -> Result {
    step("mayfly", || host.build())?;
    guests::handlers(host, &[])?;
    guests::fixtures(host, &[])?;
    step("python", || python::for_tests(host))?;
    step("clients", clients)
}

/// Programs that tests start: Debian's packages, and what the programs
/// are called.
const CLIENTS: [(&str, &[&str]); 4] = [
    ("chromium", &["chromium", "chromium-browser", "google-chrome"]),
    ("curl", &["curl"]),
    ("openssl", &["openssl"]),
    ("redis-server", &["redis-server"]),
];

/// Installs those that are missing, where that may be done. Without one the
/// tests that need it say that they are skipped, and fail where `CI=true`.
fn clients() -> Result {
    let paths = env::var_os("PATH").unwrap_or_default();
    let is_there = |names: &[&str]| {
        env::split_paths(&paths).any(|dir| names.iter().any(|name| dir.join(name).is_file()))
    };
    for (package, _) in CLIENTS.iter().filter(|(_, names)| !is_there(names)) {
        if let Err(reason) = apt::install(&[package], &report) {
            report(&format!("no {package}, its tests are skipped: {reason}"));
            report(&format!("hint: on Debian: sudo apt-get install {package}"));
        }
    }
    Ok(())
}

/// Unit and documentation tests, handlers on the host, end to end. Not a step,
/// for a step says something at its end.
fn test(host: &Host, filters: &[String]) -> Result {
    let mut failed = Vec::new();
    for (title, arguments) in groups(host) {
        eprintln!("==> tests: {title}");
        let mut command = host.cargo(&["test", "--release", "--no-fail-fast"]);
        command.args(arguments);
        if !filters.is_empty() {
            command.arg("--").args(filters);
        }
        if run_with_output(&mut command).is_err() {
            failed.push(title);
        }
    }
    match failed.as_slice() {
        [] => Ok(()),
        failed => Err(format!("tests failed: {}", failed.join(", ")).into()),
    }
}

/// What is tested together, as arguments of `cargo test`.
///
/// Not all at once: Cargo would build each dependency with the features that
/// any member asks for, and wasmtime a second time. What `cargo build` made for
/// the gateway is what its own tests use.
fn groups(host: &Host) -> [(&'static str, Vec<String>); 3] {
    let (gateway, end_to_end) = ("mayfly", "mayfly-tests");
    let fixtures = host.root().join("tests/guests");
    let packages = host.workspace.packages.iter();
    // The fixtures are tested by whoever loads them.
    let others = packages.filter(|package| package.dir.parent() != Some(&fixtures));
    let others = others.map(|package| package.name.clone());
    let others = others.filter(|name| name != gateway && name != end_to_end);
    let package = |name: String| [String::from("--package"), name];
    [
        ("tools and guests", others.flat_map(package).collect()),
        ("gateway", package(gateway.to_owned()).to_vec()),
        // Its one test target by name, so that its summary comes last.
        ("end to end", ["--package", end_to_end, "--test", "e2e"].map(str::to_owned).to_vec()),
    ]
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

//! Servers that others mock APIs with, from packages of npm. Each gives the same
//! answer at `/mock`, and writes no line for it that it can be kept from.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use mayfly_toolchain::apt;

use super::{Outcome, Peer, is_there, write};
use crate::Result;
use crate::bench::Bench;
use crate::step::{report, run};

const PACKAGES: &str = include_str!("../package.json");

/// Installs the packages; the folder where they are.
pub fn packages(bench: &Bench<'_>) -> Outcome<PathBuf> {
    let folder = bench.folder.join("npm");
    let ready = folder.join("ready");
    if std::fs::read_to_string(&ready).is_ok_and(|text| text == PACKAGES) {
        return Ok(folder.join("node_modules"));
    }
    if !is_there("npm") {
        apt::install(&["nodejs", "npm"], &report)?;
    }
    write(&folder.join("package.json"), PACKAGES)?;
    report("installing xtask/src/bench/package.json");
    let mut install = Command::new("npm");
    // A package has no business at its installation: one reports it to its maker.
    install.args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"]);
    install.args(["--loglevel=error"]).current_dir(&folder);
    run(&mut install).map_err(|error| error.to_string())?;
    write(&ready, PACKAGES)?;
    Ok(folder.join("node_modules"))
}

pub fn java() -> Outcome<()> {
    if is_there("java") { Ok(()) } else { apt::install(&["default-jre-headless"], &report) }
}

pub fn command(peer: Peer, packages: &Path, folder: &Path, address: SocketAddr) -> Result<Command> {
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let folder = folder.join("mocks");
    let node = |program: &str| {
        let mut command = Command::new("node");
        command.arg(packages.join(program));
        command
    };
    let mut command = match peer {
        Peer::Prism => {
            let file = folder.join("openapi.json");
            write(&file, include_str!("../mocks/openapi.json"))?;
            let mut command = node("@stoplight/prism-cli/dist/index.js");
            command.args(["mock", "--host", &host, "--port", &port, "--verboseLevel", "silent"]);
            command.arg(file);
            command
        }
        Peer::WireMock => {
            let root = folder.join("wiremock");
            write(&root.join("mappings/mock.json"), include_str!("../mocks/wiremock.json"))?;
            let mut command = Command::new("java");
            command.arg("-jar").arg(jar(packages)?);
            command.args(["--bind-address", &host, "--port", &port, "--root-dir"]).arg(root);
            command.args(["--no-request-journal", "--disable-request-logging", "--disable-gzip"]);
            command
        }
        _ => {
            let file = folder.join("mockoon.json");
            write(&file, include_str!("../mocks/mockoon.json"))?;
            let mut command = node("@mockoon/cli/bin/run.js");
            command.args(["start", "--hostname", &host, "--port", &port, "--repair", "--data"]);
            command.arg(file).args(["--disable-log-to-file", "--disable-admin-api"]);
            command
        }
    };
    command.current_dir(&folder);
    Ok(command)
}

/// The one archive of the package, whatever its version.
fn jar(packages: &Path) -> Result<PathBuf> {
    let folder = packages.join("wiremock/build");
    let is_jar = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "jar");
    let mut files = std::fs::read_dir(&folder)?.flatten().map(|entry| entry.path());
    Ok(files.find(is_jar).ok_or_else(|| format!("{} has no archive", folder.display()))?)
}

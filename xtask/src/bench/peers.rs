//! Who answers: each is set up if it can be had, and started as often as asked.

mod component;
mod mocks;
mod nginx;
mod wasmtime;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::bench::Bench;
use crate::bench::server::{Server, free_address};
use crate::step::{report, step};

/// Where answers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    Bare,
    Nginx,
    Prism,
    WireMock,
    Mockoon,
    /// `wasmtime serve`, one request per instance: as it comes, or with the
    /// pooling allocator's settings that the gateway uses.
    Wasmtime {
        tuned: bool,
    },
    Mayfly,
}

/// The component that answers, where one does; the same file for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guest {
    Rust,
    JavaScript,
    Python,
}

/// Those that are there.
pub struct Peers<'b> {
    bench: &'b Bench<'b>,
    nginx: bool,
    java: bool,
    /// The folder with the packages of npm.
    npm: Option<PathBuf>,
    pub wasmtime: Option<PathBuf>,
    guests: Vec<(Guest, PathBuf)>,
    /// What can't be had, and why.
    pub left_out: Vec<String>,
}

impl<'b> Peers<'b> {
    /// Sets up what `wanted` takes.
    pub fn set_up(bench: &'b Bench<'b>, wanted: &[(Peer, Guest)]) -> Result<Self> {
        let peer = |peers: &[Peer]| wanted.iter().any(|(peer, _)| peers.contains(peer));
        let guest = |guest: Guest| wanted.iter().any(|(_, other)| *other == guest);
        let mut peers = Self {
            bench,
            nginx: false,
            java: false,
            npm: None,
            wasmtime: None,
            guests: vec![(Guest::Rust, bench.fixture("http-guest"))],
            left_out: Vec::new(),
        };
        if peer(&[Peer::Nginx]) {
            peers.nginx = peers.had("nginx", step("nginx", || Ok(nginx::set_up()))?).is_some();
        }
        if peer(&[Peer::Wasmtime { tuned: false }, Peer::Wasmtime { tuned: true }]) {
            let outcome = step("wasmtime", || Ok(wasmtime::set_up(bench)))?;
            peers.wasmtime = peers.had("wasmtime serve", outcome);
        }
        if peer(&[Peer::Prism, Peer::WireMock, Peer::Mockoon]) || guest(Guest::JavaScript) {
            let outcome = step("npm", || Ok(mocks::packages(bench)))?;
            peers.npm = peers.had("what npm has", outcome);
        }
        if peer(&[Peer::WireMock]) {
            peers.java = peers.had("WireMock", step("java", || Ok(mocks::java()))?).is_some();
        }
        for (wanted, name, make) in [
            (Guest::JavaScript, "the component in JavaScript", component::javascript as Make),
            (Guest::Python, "the component in Python", component::python),
        ] {
            // Without npm the reason has been told.
            if guest(wanted) && (wanted != Guest::JavaScript || peers.npm.is_some()) {
                let outcome = step(name, || Ok(make(bench, peers.npm.as_deref())))?;
                let made = peers.had(name, outcome);
                peers.guests.extend(made.map(|file| (wanted, file)));
            }
        }
        Ok(peers)
    }

    /// What is there; what isn't is left out by name.
    fn had<T>(&mut self, name: &str, outcome: Outcome<T>) -> Option<T> {
        let why = match outcome {
            Ok(value) => return Some(value),
            Err(why) => format!("{name} is left out: {why}"),
        };
        report(&why);
        self.left_out.push(why);
        None
    }

    pub fn has(&self, peer: Peer, guest: Guest) -> bool {
        let is_there = match peer {
            Peer::Bare | Peer::Mayfly => true,
            Peer::Nginx => self.nginx,
            Peer::Prism | Peer::Mockoon => self.npm.is_some(),
            Peer::WireMock => self.npm.is_some() && self.java,
            Peer::Wasmtime { .. } => self.wasmtime.is_some(),
        };
        is_there && self.guest(guest).is_some()
    }

    pub fn guest(&self, guest: Guest) -> Option<&Path> {
        self.guests.iter().find(|(other, _)| *other == guest).map(|(_, file)| file.as_path())
    }

    /// Starts one; Mayfly serves `project`.
    pub fn start(&self, peer: Peer, guest: Guest, project: &Path) -> Result<Server> {
        let folder = &self.bench.folder;
        match peer {
            Peer::Bare => self.bench.bare(),
            Peer::Mayfly => self.bench.mayfly(project),
            Peer::Nginx => {
                let address = free_address()?;
                Server::at(address, nginx::command(folder, address)?.stderr(self.bench.log()?))
            }
            Peer::Wasmtime { tuned } => {
                let address = free_address()?;
                let program = self.wasmtime.as_deref().ok_or("there is no wasmtime")?;
                let component = self.guest(guest).ok_or("there is no such component")?;
                let mut command = wasmtime::command(program, component, tuned, address);
                Server::at(address, command.stderr(self.bench.log()?))
            }
            Peer::Prism | Peer::WireMock | Peer::Mockoon => {
                let address = free_address()?;
                let packages = self.npm.as_deref().ok_or("there is nothing of npm")?;
                let mut command = mocks::command(peer, packages, folder, address)?;
                Server::at(address, command.stderr(self.bench.log()?))
            }
        }
    }
}

/// What could be set up, or why not, in a line.
type Outcome<T> = std::result::Result<T, String>;

type Make = fn(&Bench<'_>, Option<&Path>) -> Outcome<PathBuf>;

/// Writes what a peer reads.
fn write(path: &Path, text: &str) -> Outcome<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    let written = fs::create_dir_all(parent).and_then(|()| fs::write(path, text));
    written.map_err(|error| format!("{}: {error}", path.display()))
}

/// Whether a program can be started at all.
fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

//! `cargo xtask bench`: what Mayfly does beside what others need for the same, in
//! one run on one machine, as tables and plots in `docs/benchmarks.md`.

mod client;
mod document;
mod growth;
mod load;
mod memory;
mod micro;
mod pace;
mod peers;
mod plot;
mod project;
mod requests;
mod server;
mod start;
mod stats;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bench::load::Load;
use crate::bench::server::Server;
use crate::host::Host;
use crate::step::{report, run as run_command, step};
use crate::{Result, guests};

/// Where the tables are written.
const DOCUMENT: &str = "docs/benchmarks.md";

/// The profile of what is installed.
const PROFILE: &str = "dist";

/// What can be measured by itself.
struct Part {
    name: &'static str,
    /// With filters only what they match.
    run: fn(&Bench<'_>, &[String]) -> Result<String>,
}

const PARTS: [Part; 5] = [
    Part { name: "requests", run: requests::run },
    Part { name: "start", run: start::run },
    Part { name: "memory", run: memory::run },
    Part { name: "growth", run: growth::run },
    Part { name: "micro", run: micro::run },
];

/// Everything once, for a look: printed, never written.
const QUICK: &str = "quick";

/// `cargo xtask bench [quick] [PART…] [FILTER…]`.
pub fn run(host: &Host, arguments: &[String]) -> Result {
    let quick = arguments.iter().any(|argument| argument == QUICK);
    let (parts, filters) = chosen(arguments);
    let folder = host.workspace.target_dir.join("bench");
    fs::create_dir_all(&folder)?;
    let bench = Bench { host, folder, quick };
    if parts.iter().any(|part| part.name != "micro") {
        bench.set_up()?;
    }
    for part in parts {
        let text = step(part.name, || (part.run)(&bench, &filters))?;
        // A closed pipe is the reader's choice.
        let _ = writeln!(std::io::stdout(), "\n{text}");
        // What was asked for in part is no replacement for the whole.
        if filters.is_empty() && !quick {
            bench.write(part.name, &text)?;
        }
    }
    Ok(())
}

/// The parts that are named, and what is no part's name. With filters alone it is
/// the requests that they choose from.
fn chosen(arguments: &[String]) -> (Vec<&'static Part>, Vec<String>) {
    let is_part = |text: &String| PARTS.iter().any(|part| part.name == text.as_str());
    let arguments = arguments.iter().filter(|argument| *argument != QUICK).cloned();
    let (names, filters): (Vec<String>, Vec<String>) = arguments.partition(is_part);
    let wanted = |part: &&Part| match (names.is_empty(), filters.is_empty()) {
        (true, true) => true,
        (true, false) => part.name == "requests",
        (false, _) => names.iter().any(|name| name == part.name),
    };
    (PARTS.iter().filter(wanted).collect(), filters)
}

/// Whether something of that name was asked for.
fn matches(filters: &[String], name: &str) -> bool {
    filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()))
}

struct Bench<'h> {
    host: &'h Host,
    /// `target/bench`: all that is set up, and nothing that is of use elsewhere.
    folder: PathBuf,
    quick: bool,
}

impl Bench<'_> {
    /// What nearly every part takes.
    fn set_up(&self) -> Result {
        step("load", load::set_up)?;
        // Not both at once: Cargo would build what they share with the features of both.
        for package in ["mayfly", "bare"] {
            let arguments = ["build", "--profile", PROFILE, "--package", package];
            step(package, || run_command(&mut self.host.cargo(&arguments)))?;
        }
        guests::handlers(self.host, &[])?;
        guests::fixtures(self.host, &[])
    }

    /// How often something is measured.
    fn rounds(&self, usual: usize) -> usize {
        if self.quick { 1 } else { usual }
    }

    /// How long and hard it is loaded.
    fn load(&self, usual: Load) -> Load {
        if !self.quick {
            return usual;
        }
        Load { warm_up_ms: usual.warm_up_ms.min(500), ms: usual.ms.min(1000), ..usual }
    }

    fn write(&self, part: &str, text: &str) -> Result {
        let file = self.host.root().join(DOCUMENT);
        let old = fs::read_to_string(&file)?;
        let wasmtime = self
            .locked("wasmtime")
            .map(|version| self.folder.join(format!("wasmtime-{version}")).join("bin/wasmtime"));
        let machine = document::machine(wasmtime.ok().as_deref());
        let new = document::replaced(&old, "machine", &machine)?;
        fs::write(&file, document::replaced(&new, part, text)?)?;
        report(&format!("written to {DOCUMENT}"));
        Ok(())
    }

    /// A guest of the tests.
    fn fixture(&self, name: &str) -> PathBuf {
        let fixtures = self.host.workspace.guests_target_dir().join("fixtures");
        fixtures.join(format!("{name}.wasm"))
    }

    /// The gateway, or a program of the package `bare`.
    fn program(&self, name: &str) -> PathBuf {
        let name = format!("{name}{}", std::env::consts::EXE_SUFFIX);
        self.host.workspace.target_dir.join(PROFILE).join(name)
    }

    /// What a server says is of interest if it fails.
    fn log(&self) -> Result<fs::File> {
        Ok(fs::File::create(self.folder.join("server.log"))?)
    }

    fn bare(&self) -> Result<Server> {
        Server::that_says(Command::new(self.program("bare")).stderr(self.log()?))
    }

    /// The gateway, as anyone starts it, with a project's folder.
    fn mayfly(&self, project: &Path) -> Result<Server> {
        let mut command = Command::new(self.program("mayfly"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        // No peer writes a line for each request.
        command.env("MAYFLY_LOG", "warn").current_dir(project).stderr(self.log()?);
        Server::that_says(&mut command)
    }

    /// The version of a dependency.
    fn locked(&self, name: &str) -> std::result::Result<String, String> {
        let lock = fs::read_to_string(self.host.root().join("Cargo.lock"));
        let lock = lock.map_err(|error| format!("Cargo.lock: {error}"))?;
        let line = format!("name = \"{name}\"");
        let mut lines = lock.lines().skip_while(|other| *other != line);
        let version = lines.nth(1).and_then(|line| line.split('"').nth(1));
        version.map(str::to_owned).ok_or_else(|| format!("Cargo.lock has no {name}"))
    }

    /// Where Cargo keeps the source of a dependency.
    fn source_of(&self, name: &str) -> std::result::Result<PathBuf, String> {
        let mut command = self.host.cargo(&["metadata", "--format-version=1", "--locked"]);
        let output = command.output().map_err(|error| format!("cargo metadata: {error}"))?;
        let metadata: serde_json::Value =
            serde_json::from_slice(&output.stdout).map_err(|error| {
                let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                format!("cargo metadata: {error}: {why}")
            })?;
        let packages = metadata["packages"].as_array().into_iter().flatten();
        let manifest = packages
            .filter(|package| package["name"] == name)
            .find_map(|package| package["manifest_path"].as_str());
        let folder = manifest.and_then(|file| Path::new(file).parent()).map(Path::to_owned);
        folder.ok_or_else(|| format!("cargo metadata does not tell where {name} is"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen_of(text: &str) -> (String, String) {
        let arguments: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        let (parts, filters) = chosen(&arguments);
        let names: Vec<&str> = parts.iter().map(|part| part.name).collect();
        (names.join(" "), filters.join(" "))
    }

    #[test]
    fn parts_are_chosen_by_name_and_the_rest_are_filters() {
        let all = "requests start memory growth micro";
        assert_eq!(chosen_of(""), (all.to_owned(), String::new()));
        assert_eq!(chosen_of("mock"), ("requests".to_owned(), "mock".to_owned()));
        assert_eq!(chosen_of("quick start"), ("start".to_owned(), String::new()));
        assert_eq!(chosen_of("growth body start"), ("start growth".to_owned(), "body".to_owned()));
    }

    #[test]
    fn a_filter_is_a_part_of_a_name() {
        let filters = ["mock".to_owned()];
        assert!(matches(&filters, "templated mock") && matches(&[], "anything"));
        assert!(!matches(&filters, "native handler"));
    }
}

//! Components in languages that bring their engine along: megabytes of code and
//! of memory that is there from the beginning.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Outcome, write};
use crate::bench::Bench;
use crate::python;
use crate::step::{report, run};

/// The version of WASI that the engine of componentize-js has in its exports,
/// and componentize-py does with.
const WASI: &str = "0.2.10";

pub fn javascript(bench: &Bench<'_>, packages: Option<&Path>) -> Outcome<PathBuf> {
    let packages = packages.ok_or("there is nothing of npm")?;
    let source = include_str!("../guests/app.js");
    make(bench, "javascript", source, |folder, wit, out| {
        let file = folder.join("app.js");
        write(&file, source)?;
        let mut command = Command::new("node");
        command.arg(packages.join("@bytecodealliance/componentize-js/src/cli.js"));
        command.arg(file).arg("--wit").arg(wit).args(["--world-name", "guest", "--out"]);
        run(command.arg(out)).map_err(|error| error.to_string())
    })
}

pub fn python(bench: &Bench<'_>, _: Option<&Path>) -> Outcome<PathBuf> {
    let source = include_str!("../guests/app.py");
    make(bench, "python", source, |folder, wit, out| {
        write(&folder.join("app.py"), source)?;
        let list = folder.join("requirements.txt");
        write(&list, include_str!("../guests/requirements.txt"))?;
        report("installing xtask/src/bench/guests/requirements.txt");
        let error = |error: crate::Error| error.to_string();
        let python = python::environment(folder).map_err(error)?;
        let mut install = python::pip(&python, "install");
        run(install.args(["--only-binary=:all:", "--requirement"]).arg(list)).map_err(error)?;
        let mut command = Command::new(python.with_file_name("componentize-py"));
        command.arg("--wit-path").arg(wit).args(["--world", "guest", "componentize", "app"]);
        run(command.arg("--output").arg(out).current_dir(folder)).map_err(error)
    })
}

/// Makes the component, unless one of the same source is there.
fn make(
    bench: &Bench<'_>,
    name: &str,
    source: &str,
    build: impl FnOnce(&Path, &Path, &Path) -> Outcome<()>,
) -> Outcome<PathBuf> {
    let folder = bench.folder.join(name);
    let (out, ready) = (folder.join("guest.wasm"), folder.join("ready"));
    if !fs::read_to_string(&ready).is_ok_and(|text| text == source) || !out.is_file() {
        let wit = folder.join("wit");
        interfaces(bench, &wit)?;
        build(&folder, &wit, &out)?;
        write(&ready, source)?;
    }
    Ok(out)
}

/// Writes the interfaces of a component that speaks HTTP: those that the host's
/// own dependency has, in the version that the engines know.
fn interfaces(bench: &Bench<'_>, wit: &Path) -> Outcome<()> {
    let from = bench.source_of("wasmtime-wasi-http")?.join("wit/deps");
    let read = |path: &Path| {
        fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let http = read(&from.join("http.wit"))?;
    let version = version(&http).ok_or_else(|| format!("{} has no version", from.display()))?;
    let files = fs::read_dir(&from).map_err(|error| format!("{}: {error}", from.display()))?;
    for entry in files.flatten() {
        let text = read(&entry.path())?.replace(version, WASI);
        write(&wit.join("deps").join(entry.file_name()), &text)?;
    }
    let world =
        format!("package bench:guest;\n\nworld guest {{ include wasi:http/proxy@{WASI}; }}\n");
    write(&wit.join("guest.wit"), &world)
}

/// `package wasi:http@0.2.12;`
fn version(wit: &str) -> Option<&str> {
    wit.lines().find_map(|line| line.strip_prefix("package wasi:http@")?.strip_suffix(';'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_the_package() {
        assert_eq!(version("// http\npackage wasi:http@0.2.12;\n"), Some("0.2.12"));
        assert_eq!(version("package wasi:io@0.2.12;"), None);
    }
}

//! One run of `cargo build` for guests.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::debian::Debian;
use crate::environment::{forget_host_build, line, user_cargo};
use crate::find::Way;
use crate::{Error, Target, Toolchain};

/// What to build.
#[derive(Debug, Clone)]
pub struct BuildRequest {
    /// The folder of the workspace's, or of a single crate's, `Cargo.toml`.
    pub dir: PathBuf,
    /// The packages to build; none means what `cargo build` there builds.
    pub packages: Vec<String>,
    /// The Cargo profile: `release`, or one that the workspace defines.
    pub profile: String,
    /// The target folder, which should be one that only guests use.
    pub target_dir: PathBuf,
}

/// A `.wasm` that was built, or found to be up to date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// The package's name, with its hyphens.
    pub package: String,
    /// What it was made from.
    pub kind: ArtifactKind,
    /// The file, in the target folder.
    pub path: PathBuf,
}

/// What a `.wasm` was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArtifactKind {
    /// A `cdylib`: it exports functions.
    Library,
    /// A binary: it has a `main`.
    Command,
}

impl Toolchain {
    /// Builds guests. Cargo's progress and diagnostics go to standard error.
    ///
    /// Every requested package makes at least one `.wasm`, or it is an error.
    pub fn build(&self, request: &BuildRequest) -> Result<Vec<Artifact>, Error> {
        let mut command = match &self.way {
            Way::Installed => {
                let mut command = user_cargo();
                forget_host_build(&mut command);
                command.arg("build");
                command
            }
            Way::Debian(debian) => {
                update_lock(&request.dir, self.target)?;
                let mut command = debian.cargo(self.target);
                command.arg("build").args(Debian::build_arguments());
                command
            }
        };
        command
            .args(["--target", self.target.triple(), "--profile", &request.profile])
            .arg("--target-dir")
            .arg(absolute(&request.target_dir)?)
            .arg("--message-format=json-render-diagnostics")
            // There, so that the settings beside the manifest are read.
            .current_dir(&request.dir);
        for package in &request.packages {
            command.args(["--package", package]);
        }
        let artifacts = run(&mut command)?;
        select(artifacts, &request.packages, self.target)
    }
}

/// Brings `Cargo.lock` up to date with the user's own Cargo.
///
/// Debian's Cargo is another version: were it to write the lock, two Cargos
/// would take turns at changing one file. It gets `--locked` instead.
fn update_lock(dir: &Path, target: Target) -> Result<(), Error> {
    let mut command = user_cargo();
    command
        .args(["metadata", "--format-version=1", "--quiet", "--filter-platform"])
        .arg(target.triple())
        .current_dir(dir);
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
    let status = status.map_err(|source| not_started(&command, source))?;
    if status.success() { Ok(()) } else { Err(Error::Failed { command: line(&command), status }) }
}

/// Runs Cargo and collects the files it names.
fn run(command: &mut Command) -> Result<Vec<Artifact>, Error> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|source| not_started(command, source))?;
    let mut artifacts = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        for text in BufReader::new(stdout).lines() {
            let text = text.map_err(|error| Error::Unreadable {
                command: line(command),
                reason: error.to_string(),
            })?;
            artifacts.extend(artifacts_in(&text));
        }
    }
    let status = child.wait().map_err(|source| not_started(command, source))?;
    if status.success() {
        Ok(artifacts)
    } else {
        Err(Error::Failed { command: line(command), status })
    }
}

/// The `.wasm` files that one of Cargo's messages tells of.
fn artifacts_in(message: &str) -> Vec<Artifact> {
    let Ok(message) = serde_json::from_str::<Value>(message) else {
        return Vec::new();
    };
    if message["reason"] != "compiler-artifact" {
        return Vec::new();
    }
    let kinds = message["target"]["kind"].as_array().map(Vec::as_slice).unwrap_or_default();
    let kind = match kinds {
        _ if kinds.iter().any(|kind| kind == "cdylib") => ArtifactKind::Library,
        _ if kinds.iter().any(|kind| kind == "bin") => ArtifactKind::Command,
        _ => return Vec::new(),
    };
    let Some(package) = message["package_id"].as_str().and_then(package_name) else {
        return Vec::new();
    };
    let files = message["filenames"].as_array().map(Vec::as_slice).unwrap_or_default();
    files
        .iter()
        .filter_map(Value::as_str)
        .filter(|file| file.ends_with(".wasm"))
        .map(|file| Artifact { package: package.to_owned(), kind, path: file.into() })
        .collect()
}

/// The name in a package id, `…/folder#name@1.0.0`. Cargo leaves it out where
/// the folder has the same name: `…/name#1.0.0`.
fn package_name(id: &str) -> Option<&str> {
    let (url, fragment) = id.split_once('#')?;
    match fragment.split_once('@') {
        Some((name, _)) => Some(name),
        None => url.rsplit('/').next(),
    }
}

/// Keeps what was asked for, and finds what is missing.
fn select(
    artifacts: Vec<Artifact>,
    packages: &[String],
    target: Target,
) -> Result<Vec<Artifact>, Error> {
    if packages.is_empty() {
        return Ok(artifacts);
    }
    let missing = packages
        .iter()
        .find(|package| !artifacts.iter().any(|artifact| artifact.package == **package));
    if let Some(package) = missing {
        return Err(Error::NoArtifact { package: package.clone(), target });
    }
    Ok(artifacts.into_iter().filter(|artifact| packages.contains(&artifact.package)).collect())
}

fn absolute(path: &Path) -> Result<PathBuf, Error> {
    std::path::absolute(path).map_err(|source| Error::File {
        action: "find",
        path: path.to_owned(),
        source,
    })
}

fn not_started(command: &Command, source: std::io::Error) -> Error {
    Error::NotStarted { program: command.get_program().to_string_lossy().into_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: &str, kind: &str, file: &str) -> String {
        format!(
            r#"{{"reason":"compiler-artifact","package_id":"{id}",
                "target":{{"kind":["{kind}"]}},"filenames":["{file}"]}}"#
        )
    }

    #[test]
    fn a_library_and_a_command_are_told_apart() {
        let library = message("path+file:///w/hello#handler-hello@0.1.0", "cdylib", "/t/h.wasm");
        let command = message("path+file:///w/echo#0.1.0", "bin", "/t/echo.wasm");
        let found = [artifacts_in(&library), artifacts_in(&command)].concat();
        assert_eq!(found[0].package, "handler-hello");
        assert_eq!(found[0].kind, ArtifactKind::Library);
        assert_eq!(found[0].path, Path::new("/t/h.wasm"));
        assert_eq!(found[1].package, "echo");
        assert_eq!(found[1].kind, ArtifactKind::Command);
    }

    #[test]
    fn what_is_no_guest_is_passed_over() {
        let id = "path+file:///w/hello#0.1.0";
        for text in [
            message(id, "lib", "/t/libhello.rlib"),
            message(id, "proc-macro", "/t/libmacros.so"),
            message(id, "cdylib", "/t/hello.d"),
            r#"{"reason":"build-finished","success":true}"#.to_owned(),
            "not JSON".to_owned(),
        ] {
            assert_eq!(artifacts_in(&text), [], "{text}");
        }
    }

    #[test]
    fn a_package_without_a_wasm_is_an_error() {
        let made = artifacts_in(&message("path+file:///w/hello#0.1.0", "cdylib", "/t/hello.wasm"));
        let asked = ["hello".to_owned(), "plain".to_owned()];
        let error = select(made, &asked, Target::Wasip2).expect_err("`plain` made nothing");
        assert!(error.to_string().contains("`plain`"), "{error}");
    }
}

//! `cargo xtask tidy`: what belongs into the repository, as checks.
//!
//! [`checks`] has a function for each rule. They are given the files and know
//! nothing of git, so that their tests need no repository.

mod checks;

use std::fmt;
use std::process::Command;

use crate::Result;
use crate::host::Host;
use crate::step::{report, step};

/// A file that is in the repository, or would be with `git add`.
pub struct File {
    /// From the root, with slashes.
    pub path: String,
    pub bytes: Vec<u8>,
}

impl File {
    /// Its text, unless it is binary.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.bytes).ok().filter(|text| !text.contains('\0'))
    }
}

/// What breaks a rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Problem {
    file: String,
    line: Option<usize>,
    reason: String,
}

impl Problem {
    /// About a whole file.
    pub fn of(file: &str, reason: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: None, reason: reason.into() }
    }

    /// About a line, counted from 1.
    pub fn at(file: &str, line: usize, reason: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: Some(line), reason: reason.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.reason),
            None => write!(f, "{}: {}", self.file, self.reason),
        }
    }
}

/// Runs the checks by themselves.
pub fn run(host: &Host, _: &[String]) -> Result {
    step("tidy", || check(host))
}

/// Finds every problem there is, and says them all.
pub fn check(host: &Host) -> Result {
    if !host.root().join(".git").exists() {
        report("not a git checkout: nothing to check");
        return Ok(());
    }
    let files = files(host)?;
    let problems: Vec<Problem> = checks::ALL.iter().flat_map(|check| check(&files)).collect();
    for problem in &problems {
        report(&problem.to_string());
    }
    match problems.len() {
        0 => Ok(()),
        1 => Err("1 problem in the repository".into()),
        count => Err(format!("{count} problems in the repository").into()),
    }
}

/// Tracked files, and those that are neither tracked nor ignored: a problem is
/// better found before it is committed.
fn files(host: &Host) -> Result<Vec<File>> {
    let mut command = Command::new("git");
    command
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"])
        .current_dir(host.root());
    let output = command.output().map_err(|error| format!("cannot start `git`: {error}"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(format!("`git ls-files` failed: {}", text.trim()).into());
    }
    let paths = output.stdout.split(|&byte| byte == 0).filter(|path| !path.is_empty());
    let mut files = Vec::new();
    for path in paths {
        let path = String::from_utf8_lossy(path).into_owned();
        // A tracked file that is deleted in the work tree is none any more.
        if let Ok(bytes) = std::fs::read(host.root().join(&path)) {
            files.push(File { path, bytes });
        }
    }
    if files.is_empty() {
        return Err("`git ls-files` names no file".into());
    }
    Ok(files)
}

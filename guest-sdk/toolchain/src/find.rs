//! The search for a toolchain.

use std::env;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::debian::{Debian, PACKAGES};
use crate::environment::{ask, last_line, run_bounded, user_rustc};
use crate::{Error, Target, apt};

/// How long `rustup target add` may take: some 20 MB on a slow line.
const RUSTUP_LIMIT: Duration = Duration::from_secs(180);

/// Whether the search may install what is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    /// It may: with rustup, or with apt-get when we are root.
    Allowed,
    /// It may only look.
    Forbidden,
}

/// A way to build guests for one target.
#[derive(Debug)]
pub struct Toolchain {
    pub(crate) target: Target,
    pub(crate) way: Way,
}

#[derive(Debug)]
pub(crate) enum Way {
    /// The user's own Cargo, with the target's standard library installed.
    Installed,
    /// Debian's Cargo, with the standard library built from source.
    Debian(Debian),
}

impl Toolchain {
    /// Finds a toolchain that builds components, the guests' own target.
    /// `report` gets a line for each thing that takes time.
    pub fn find(setup: Setup, report: &dyn Fn(&str)) -> Result<Self, Error> {
        Self::find_for(Target::Wasip2, setup, report)
    }

    /// Finds a toolchain that builds for `target`.
    pub fn find_for(target: Target, setup: Setup, report: &dyn Fn(&str)) -> Result<Self, Error> {
        let (rustup, debian) = match env::var("MAYFLY_TOOLCHAIN").as_deref() {
            Err(_) | Ok("") => (true, true),
            Ok("rustup") => (true, false),
            Ok("debian") => (false, true),
            Ok(other) => return Err(Error::UnknownWay(other.to_owned())),
        };
        let mut tried = Vec::new();
        if rustup {
            match find_installed(target, setup, report) {
                Ok(()) => {
                    return Ok(Self { target, way: Way::Installed });
                }
                Err(reasons) => tried.extend(reasons),
            }
        }
        if debian {
            match find_debian(target, setup, report) {
                Ok(debian) => {
                    return Ok(Self { target, way: Way::Debian(debian) });
                }
                Err(reasons) => tried.extend(reasons),
            }
        }
        Err(Error::NoToolchain { target, tried })
    }

    /// The target it builds for.
    pub fn target(&self) -> Target {
        self.target
    }

    /// What it is, in a few words for a person.
    pub fn describe(&self) -> String {
        match &self.way {
            Way::Installed => format!("the installed {}", self.target),
            Way::Debian(debian) => debian.describe(),
        }
    }
}

/// Ways 1 and 2: the user's own toolchain, completed by rustup if need be.
fn find_installed(target: Target, setup: Setup, report: &dyn Fn(&str)) -> Result<(), Vec<String>> {
    let absent = match check_installed(target) {
        Ok(()) => return Ok(()),
        Err(reason) => format!("installed: {reason}"),
    };
    if setup == Setup::Forbidden {
        return Err(vec![absent, "rustup: not asked, nothing is to be installed".to_owned()]);
    }
    add_with_rustup(target, report)
        .and_then(|()| check_installed(target).map_err(|reason| format!("it did, yet {reason}")))
        .map_err(|reason| vec![absent, format!("rustup target add {target}: {reason}")])
}

fn check_installed(target: Target) -> Result<(), String> {
    let folder = ask(user_rustc().args(["--print", "target-libdir", "--target", target.triple()]))
        .map_err(|error| error.to_string())?;
    // rustc names the folder whether or not there is anything in it.
    let mut files = Path::new(&folder).read_dir().into_iter().flatten().flatten();
    if files.any(|file| file.path().extension().is_some_and(|extension| extension == "rlib")) {
        Ok(())
    } else {
        Err(format!("rustc has no standard library for {target}"))
    }
}

fn add_with_rustup(target: Target, report: &dyn Fn(&str)) -> Result<(), String> {
    report(&format!("adding {target} with rustup"));
    let mut command = Command::new("rustup");
    let output = run_bounded(command.args(["target", "add", target.triple()]), RUSTUP_LIMIT)
        .map_err(|error| error.to_string())?
        .ok_or_else(|| format!("not done after {} s", RUSTUP_LIMIT.as_secs()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(last_line(&output.stderr).unwrap_or_else(|| output.status.to_string()))
}

/// Way 3: Debian's toolchain, installed if need be.
fn find_debian(target: Target, setup: Setup, report: &dyn Fn(&str)) -> Result<Debian, Vec<String>> {
    let absent = match Debian::find(target) {
        Ok(debian) => return Ok(debian),
        Err(reason) => format!("Debian's toolchain: {reason}"),
    };
    if setup == Setup::Forbidden {
        return Err(vec![absent, "apt-get: not asked, nothing is to be installed".to_owned()]);
    }
    if let Err(reason) = apt::install(&PACKAGES, report) {
        return Err(vec![absent, format!("apt-get: {reason}")]);
    }
    Debian::find(target).map_err(|reason| vec![format!("Debian's toolchain, installed: {reason}")])
}

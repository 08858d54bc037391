//! Debian's package manager, for machines where we are root.

use std::path::Path;
use std::process::{Command, Stdio};

/// Installs packages with `apt-get`, reporting what it does. The error is a
/// one-line reason that names no package: the caller knows them.
///
/// Nothing is ever removed to make room for them.
pub fn install(packages: &[&str], report: &dyn Fn(&str)) -> Result<(), String> {
    if !Path::new("/usr/bin/apt-get").exists() {
        return Err("there is no apt-get".to_owned());
    }
    if !is_root() {
        return Err("apt-get needs root".to_owned());
    }
    report(&format!("installing {} with apt-get", packages.join(" ")));
    // A failed update is not the end: the lists at hand may name the packages.
    if let Err(reason) = apt_get(&["update"]) {
        report(&format!("apt-get update: {reason}"));
    }
    let mut arguments = vec!["install", "--yes", "--no-install-recommends", "--no-remove"];
    arguments.extend(packages);
    apt_get(&arguments).map_err(|reason| format!("apt-get install: {reason}"))
}

fn apt_get(arguments: &[&str]) -> Result<(), String> {
    let status = Command::new("/usr/bin/apt-get")
        // Another installation may be under way: wait for it, but not for ever.
        .args(["--quiet=2", "-oDPkg::Lock::Timeout=120", "-oDpkg::Use-Pty=0"])
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        // Standard output belongs to the caller.
        .stdout(std::io::stderr())
        .status()
        .map_err(|error| error.to_string())?;
    if status.success() { Ok(()) } else { Err(status.to_string()) }
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output();
    output.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

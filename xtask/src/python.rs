//! What the tests need of Python: clients in an environment of their own, and
//! source packages for the test data in them. All of it is pinned in
//! `tests/python` and lies in `target/python`.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mayfly_toolchain::apt;

use crate::Result;
use crate::host::Host;
use crate::step::{report, run, step};

/// Written last, with what was installed: an environment without it, or with
/// another text in it, is made anew.
const READY: &str = "ready";

/// `cargo xtask python`.
pub fn run_verb(host: &Host, _arguments: &[String]) -> Result {
    step("python", || set_up(host))
}

/// The same for a run of all tests: without Python those that need it say that
/// they are skipped, and fail where `CI=true`.
pub fn for_tests(host: &Host) -> Result {
    if let Err(reason) = set_up(host) {
        report(&format!("no Python clients, their tests are skipped: {reason}"));
        report("hint: on Debian: sudo apt-get install python3-venv; then cargo xtask python");
    }
    Ok(())
}

fn set_up(host: &Host) -> Result {
    let lists = host.root().join("tests/python");
    let requirements = lists.join("requirements.txt");
    let sources = lists.join("sources.txt");
    let read = |path: &Path| {
        fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let wanted = read(&requirements)? + &read(&sources)?;
    let folder = host.workspace.target_dir.join("python");
    let ready = folder.join(READY);
    if fs::read_to_string(&ready).is_ok_and(|text| text == wanted) {
        return Ok(());
    }
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let python = environment(&folder)?;
    report("installing tests/python/requirements.txt");
    run(pip(&python, "install").arg("--only-binary=:all:").arg("--requirement").arg(requirements))?;
    report("unpacking tests/python/sources.txt");
    unpack(&python, &folder.join("sources"), &sources)?;
    fs::write(ready, wanted)?;
    Ok(())
}

/// An environment with nothing but pip in it; its interpreter.
pub fn environment(folder: &Path) -> Result<PathBuf> {
    let venv = folder.join("venv");
    let mut create = Command::new("python3");
    create.args(["-m", "venv", "--clear"]).arg(&venv).stdin(Stdio::null());
    // Debian has the module in a package of its own.
    if let Err(reason) = run(&mut create) {
        apt::install(&["python3-venv"], &report).map_err(|why| format!("{reason}; {why}"))?;
        run(&mut create)?;
    }
    Ok(venv.join("bin/python"))
}

/// Pip, which takes only files whose digests are listed.
pub fn pip(python: &Path, verb: &str) -> Command {
    let mut command = Command::new(python);
    command
        .args(["-m", "pip", "--disable-pip-version-check", "--quiet", verb, "--require-hashes"])
        .stdin(Stdio::null());
    command
}

/// Downloads source packages and unpacks each into a folder of its own.
fn unpack(python: &Path, folder: &Path, list: &Path) -> Result {
    // A package is asked for its metadata by the setuptools that is pinned.
    run(pip(python, "download")
        .args(["--no-deps", "--no-binary=:all:", "--no-build-isolation", "--dest"])
        .arg(folder)
        .arg("--requirement")
        .arg(list))?;
    for entry in fs::read_dir(folder)? {
        let archive = entry?.path();
        if archive.extension() == Some(OsStr::new("gz")) {
            run(Command::new(python)
                .args(["-m", "tarfile", "--extract"])
                .arg(&archive)
                .arg(folder))?;
            fs::remove_file(archive)?;
        }
    }
    Ok(())
}

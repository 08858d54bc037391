//! Debian's toolchain: a compiler, its standard library as source, and
//! wasi-libc. The linkers come from the user's own Rust installation.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::environment::{ask, forget_cargo_run, forget_host_build, user_rustc};
use crate::{Error, Target};

/// The packages, as apt-get takes them.
pub(crate) const PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "wasi-libc"];

const RUSTC: &str = "/usr/bin/rustc";
const CARGO: &str = "/usr/bin/cargo";
const LIBC: &str = "/usr/lib/wasm32-wasi";
/// Holds `_start`, which calls `main`.
const COMMAND_START: &str = "/usr/lib/wasm32-wasi/crt1-command.o";

/// Separates the flags in `CARGO_ENCODED_RUSTFLAGS`.
const FLAG_SEPARATOR: &str = "\x1f";

/// Debian's toolchain, checked to be complete.
#[derive(Debug)]
pub(crate) struct Debian {
    version: String,
    /// The folder of the linkers, which also find each other there.
    linkers: PathBuf,
    /// The linker, as a path.
    linker: PathBuf,
}

impl Debian {
    /// Looks for it; the error says in a line what is missing.
    pub(crate) fn find(target: Target) -> Result<Self, String> {
        for file in [RUSTC, CARGO] {
            if !Path::new(file).exists() {
                return Err(format!("{file} is missing"));
            }
        }
        let version = ask(Command::new(RUSTC).arg("-V")).map_err(|error| error.to_string())?;
        let version = version.split(' ').nth(1).unwrap_or_default().to_owned();
        if numbers(&version) < numbers(env!("CARGO_PKG_RUST_VERSION")) {
            let least = env!("CARGO_PKG_RUST_VERSION");
            return Err(format!("{RUSTC} is {version}, older than {least}"));
        }
        let sysroot = ask(Command::new(RUSTC).args(["--print", "sysroot"]))
            .map_err(|error| error.to_string())?;
        let sources = Path::new(&sysroot).join("lib/rustlib/src/rust/library/Cargo.lock");
        if !sources.exists() {
            return Err(format!(
                "the standard library's source is missing ({})",
                sources.display()
            ));
        }
        if target.has_libc() && !Path::new(COMMAND_START).exists() {
            return Err(format!("wasi-libc is missing ({COMMAND_START})"));
        }
        let linker = find_linker(target.linker())?;
        let linkers = linker.parent().unwrap_or(Path::new("/")).to_owned();
        Ok(Self { version, linkers, linker })
    }

    pub(crate) fn describe(&self) -> String {
        format!("Debian's rustc {}, standard library from source", self.version)
    }

    /// Debian's Cargo, ready for `build` and its arguments.
    pub(crate) fn cargo(&self, target: Target) -> Command {
        let mut command = Command::new(CARGO);
        forget_cargo_run(&mut command);
        forget_host_build(&mut command);
        // Under `cargo run` these speak of rustup's toolchain, whose libraries
        // and compiler must not meet Debian's.
        for name in [
            "CARGO",
            "CARGO_BUILD_RUSTC",
            "CARGO_BUILD_RUSTC_WRAPPER",
            "CARGO_BUILD_RUSTC_WORKSPACE_WRAPPER",
            "LD_LIBRARY_PATH",
            "RUSTC_WORKSPACE_WRAPPER",
            "RUSTDOC",
            "RUSTUP_TOOLCHAIN",
        ] {
            command.env_remove(name);
        }
        let mut path = self.linkers.clone().into_os_string();
        if let Some(rest) = env::var_os("PATH") {
            path.push(":");
            path.push(rest);
        }
        command
            .env("PATH", path)
            .env("RUSTC", RUSTC)
            // Empty, not absent: it also overrules a wrapper in Cargo's settings.
            .env("RUSTC_WRAPPER", "")
            // Lets a stable Cargo build the standard library.
            .env("RUSTC_BOOTSTRAP", "1")
            .env(format!("CARGO_TARGET_{}_LINKER", target.as_variable()), &self.linker)
            .env("CARGO_ENCODED_RUSTFLAGS", flags(target).join(FLAG_SEPARATOR));
        command
    }

    /// What `cargo build` needs besides the target.
    pub(crate) fn build_arguments() -> [&'static str; 2] {
        // The lock file is the user's Cargo's to write: see `compile`.
        ["--locked", "-Zbuild-std=std,panic_abort"]
    }
}

/// One set of flags for libraries and commands: a set of each would have the
/// standard library built twice. As a member of a lazy group, the object with
/// `_start` is linked only where `_start` is asked for, which is in a command.
fn flags(target: Target) -> Vec<&'static str> {
    let mut flags = vec!["-Clink-self-contained=no"];
    if target.has_libc() {
        flags.extend([
            "-L",
            LIBC,
            "-Clink-arg=--start-lib",
            "-Clink-arg=/usr/lib/wasm32-wasi/crt1-command.o",
            "-Clink-arg=--end-lib",
        ]);
    }
    flags
}

/// Looks for a linker beside the user's compiler, then on `PATH`.
fn find_linker(name: &str) -> Result<PathBuf, String> {
    let beside = linkers_of_user_rustc().ok();
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = beside.iter().cloned().chain(env::split_paths(&path));
    let mut files = folders.map(|folder| folder.join(name));
    if let Some(linker) = files.find(|file| file.exists()) {
        return Ok(linker);
    }
    let place = beside.map(|folder| format!("in {} nor ", folder.display())).unwrap_or_default();
    Err(format!("the linker {name} is neither {place}on PATH; rustup's toolchains contain it"))
}

/// rustup's toolchains keep their linkers under the host's own triple.
fn linkers_of_user_rustc() -> Result<PathBuf, Error> {
    let sysroot = ask(user_rustc().args(["--print", "sysroot"]))?;
    let about = ask(user_rustc().arg("-vV"))?;
    let host = about.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
    Ok(Path::new(&sysroot).join("lib/rustlib").join(host).join("bin"))
}

/// `1.96.0-beta.1` as comparable numbers.
fn numbers(version: &str) -> Vec<u32> {
    let numeric = version.split('-').next().unwrap_or_default();
    numeric.split('.').map_while(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        assert!(numbers("1.100.0") > numbers("1.95"));
        assert!(numbers("1.63.0") < numbers("1.95"));
        assert!(numbers("1.96.0-beta.2") > numbers("1.95"));
        assert!(numbers("nonsense") < numbers("1.95"));
    }

    #[test]
    fn only_targets_with_a_libc_link_it() {
        assert!(flags(Target::Wasip2).contains(&LIBC));
        assert!(flags(Target::Wasip1).iter().any(|flag| flag.ends_with(COMMAND_START)));
        assert_eq!(flags(Target::Unknown), ["-Clink-self-contained=no"]);
    }
}

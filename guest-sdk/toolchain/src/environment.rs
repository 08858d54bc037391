//! Child processes: which program, with which environment.

use std::env;
use std::ffi::OsString;
use std::io::Read;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::Error;

/// What `cargo run` tells the program it starts, and a build script that a
/// child Cargo runs must not see: a changed value would build it again.
const CARGO_RUN: [&str; 6] = [
    "CARGO_BIN_NAME",
    "CARGO_CRATE_NAME",
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_PATH",
    "CARGO_PRIMARY_PACKAGE",
    "OUT_DIR",
];

/// Settings that are meant for the host's code and would spoil a guest's.
const HOST_BUILD: [&str; 7] = [
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_TARGET_DIR",
    "RUSTFLAGS",
    "CARGO_BUILD_BUILD_DIR",
];

/// The user's own Cargo: the one that runs us, or else the one on `PATH`.
pub fn user_cargo() -> Command {
    let mut command = Command::new(program("CARGO", "cargo"));
    forget_cargo_run(&mut command);
    command
}

/// The compiler that [`user_cargo`] calls.
pub(crate) fn user_rustc() -> Command {
    Command::new(program("RUSTC", "rustc"))
}

fn program(variable: &str, default: &str) -> OsString {
    env::var_os(variable).filter(|value| !value.is_empty()).unwrap_or_else(|| default.into())
}

/// Removes from a child's environment what `cargo run` put into ours.
pub fn forget_cargo_run(command: &mut Command) {
    for name in CARGO_RUN {
        command.env_remove(name);
    }
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("CARGO_PKG_") {
            command.env_remove(name);
        }
    }
}

/// Removes what the user set for builds of the host.
pub(crate) fn forget_host_build(command: &mut Command) {
    for name in HOST_BUILD {
        command.env_remove(name);
    }
}

/// The command as a person would type it, for messages.
pub(crate) fn line(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}

/// Runs a command that prints a line or two and returns them.
pub(crate) fn ask(command: &mut Command) -> Result<String, Error> {
    let output = command.stdin(Stdio::null()).output().map_err(|source| Error::NotStarted {
        program: command.get_program().to_string_lossy().into_owned(),
        source,
    })?;
    if !output.status.success() {
        return Err(Error::Unreadable {
            command: line(command),
            reason: last_line(&output.stderr).unwrap_or_else(|| output.status.to_string()),
        });
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Runs a command to its end, or kills it after `limit` and returns `None`.
pub(crate) fn run_bounded(command: &mut Command, limit: Duration) -> Result<Option<Output>, Error> {
    let failed = |command: &Command, source| Error::NotStarted {
        program: command.get_program().to_string_lossy().into_owned(),
        source,
    };
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| failed(command, source))?;
    let (sender, ended) = mpsc::channel();
    if let Some(mut stderr) = child.stderr.take() {
        // The pipe closes when the child ends, so a wait for its end of file is
        // a wait for the child that can be given up.
        std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            let _ = sender.send(text);
        });
    }
    let text = ended.recv_timeout(limit);
    if text.is_err() {
        let _ = child.kill();
    }
    let status = child.wait().map_err(|source| failed(command, source))?;
    Ok(text.ok().map(|stderr| Output { status, stdout: Vec::new(), stderr }))
}

/// The last line that says something, for a one-line reason.
pub(crate) fn last_line(text: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    let line = text.lines().map(str::trim).rfind(|line| !line.is_empty())?;
    Some(line.trim_start_matches("error: ").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_the_last_line_that_says_something() {
        let text = b"info: trying\nerror: could not download\n\n";
        assert_eq!(last_line(text).as_deref(), Some("could not download"));
        assert_eq!(last_line(b"\n"), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_command_that_hangs_is_killed() {
        let mut command = Command::new("sleep");
        let output = run_bounded(command.arg("60"), Duration::from_millis(20));
        assert!(matches!(output, Ok(None)), "{output:?}");
    }

    #[cfg(unix)]
    #[test]
    fn a_command_in_time_keeps_what_it_said() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo no >&2; exit 3"]);
        let output = run_bounded(&mut command, Duration::from_secs(60))
            .expect("sh starts")
            .expect("sh ends in time");
        assert_eq!(output.status.code(), Some(3));
        assert_eq!(output.stderr, b"no\n");
    }
}

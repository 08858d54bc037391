//! One thing after another, each announced and timed on standard error.

use std::process::{Command, Stdio};
use std::time::Instant;

use crate::Result;

/// Runs one step.
pub fn step<T>(name: &str, run: impl FnOnce() -> Result<T>) -> Result<T> {
    eprintln!("==> {name}");
    let start = Instant::now();
    let outcome = run();
    let seconds = start.elapsed().as_secs_f64();
    match &outcome {
        Ok(_) => eprintln!("==> {name}: done in {seconds:.1} s"),
        Err(_) => eprintln!("==> {name}: failed after {seconds:.1} s"),
    }
    outcome
}

/// A line about what takes time within a step.
pub fn report(line: &str) {
    eprintln!("    {line}");
}

/// Runs a command to its end with its output on standard error.
pub fn run(command: &mut Command) -> Result {
    run_with_output_to(command, std::io::stderr().into())
}

/// The same with its output where ours goes.
pub fn run_with_output(command: &mut Command) -> Result {
    run_with_output_to(command, Stdio::inherit())
}

fn run_with_output_to(command: &mut Command, output: Stdio) -> Result {
    let status = command
        .stdout(output)
        .status()
        .map_err(|error| format!("cannot start `{}`: {error}", line(command)))?;
    if status.success() { Ok(()) } else { Err(format!("`{}`: {status}", line(command)).into()) }
}

/// The command as a person would type it.
fn line(command: &Command) -> String {
    let program = command.get_program().to_string_lossy();
    // Cargo tells us its path, which says nothing here.
    let name = program.rsplit(['/', '\\']).next().unwrap_or_default().to_owned();
    command.get_args().fold(name, |line, argument| format!("{line} {}", argument.to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_without_its_folder() {
        let mut command = Command::new("/a/long/path/cargo");
        assert_eq!(line(command.args(["build", "--release"])), "cargo build --release");
    }

    #[cfg(unix)]
    #[test]
    fn a_command_that_fails_is_an_error() {
        let error = run(Command::new("sh").args(["-c", "exit 3"])).expect_err("it exits with 3");
        assert!(error.to_string().contains("exit status: 3"), "{error}");
    }
}

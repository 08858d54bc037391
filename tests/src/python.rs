//! Python with the clients that `tests/python/requirements.txt` pins, and the
//! data of the source packages beside them.

use std::{fs, path::PathBuf, process::Command};

use serde_json::Value;

use crate::{curl::run as run_program, root, skip, target};

/// Where `cargo xtask python` puts everything, if that is what is pinned now.
fn installed() -> Option<PathBuf> {
    let read = |name: &str| fs::read_to_string(root().join("tests/python").join(name));
    let wanted = read("requirements.txt").ok()? + &read("sources.txt").ok()?;
    let folder = target().join("python");
    let ready = fs::read_to_string(folder.join("ready")).ok()?;
    (ready == wanted).then_some(folder)
}

/// Runs a script with `input` as JSON on its standard input; what it prints is
/// JSON too.
///
/// None, and a line that says so, where the environment has not been made: on
/// a developer's machine the test `name` is skipped. With `CI=true` it fails.
///
/// # Panics
/// When the script fails, with what it wrote to standard error.
pub fn run(name: &str, script: &str, input: &Value) -> Option<Value> {
    let Some(folder) = installed() else {
        skip(name, "there are no Python clients: run `cargo xtask python`");
        return None;
    };
    let mut python = Command::new(folder.join("venv/bin/python"));
    // Nothing of the user's: neither modules nor credentials.
    python.args(["-I", "-c", script]).env_clear();
    let output = run_program(&mut python, input.to_string().as_bytes());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {}: {errors}", output.status);
    let text = String::from_utf8_lossy(&output.stdout);
    Some(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}: {text}")))
}

//! `cargo xtask serve`: from a fresh checkout to a running gateway.

use std::process::Command;

use mayfly_toolchain::{Setup, Toolchain, forget_cargo_run};

use crate::host::Host;
use crate::step::{report, step};
use crate::{Result, guests};

/// What is passed unless the user passes it: name and value.
const DEFAULTS: [(&str, &str); 2] = [("--config", "gateway.toml"), ("--listen", "127.0.0.1:3000")];

/// Builds the gateway and the sample handlers, and becomes the gateway.
pub fn run(host: &Host, arguments: &[String]) -> Result {
    // First, since it may fail at once, and building takes minutes.
    step("toolchain", || Ok(Toolchain::find(Setup::Allowed, &report)?))?;
    step("mayfly", || host.build())?;
    guests::handlers(host, &[])?;
    let mut command = Command::new(host.binary());
    forget_cargo_run(&mut command);
    command.arg("serve").args(complete(arguments)).current_dir(host.root());
    become_it(&mut command)
}

/// The user's arguments, after the defaults that they do not replace.
fn complete(arguments: &[String]) -> Vec<String> {
    let given = |name: &str| {
        let mut names = arguments.iter().map(|argument| argument.split('=').next());
        names.any(|argument| argument == Some(name))
    };
    let defaults = DEFAULTS.iter().filter(|(name, _)| !given(name));
    let defaults = defaults.flat_map(|&(name, value)| [name.to_owned(), value.to_owned()]);
    defaults.chain(arguments.iter().cloned()).collect()
}

/// Replaces this process, so that a signal reaches the gateway itself.
#[cfg(unix)]
fn become_it(command: &mut Command) -> Result {
    use std::os::unix::process::CommandExt;
    let error = command.exec();
    Err(format!("cannot start {}: {error}", command.get_program().to_string_lossy()).into())
}

#[cfg(not(unix))]
fn become_it(command: &mut Command) -> Result {
    crate::step::run_with_output(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(arguments: &[&str]) -> String {
        let arguments: Vec<String> = arguments.iter().map(|&text| text.to_owned()).collect();
        complete(&arguments).join(" ")
    }

    #[test]
    fn the_defaults_give_way_to_the_user() {
        assert_eq!(completed(&[]), "--config gateway.toml --listen 127.0.0.1:3000");
        assert_eq!(
            completed(&["--listen", "127.0.0.1:0"]),
            "--config gateway.toml --listen 127.0.0.1:0"
        );
        assert_eq!(
            completed(&["--config=other.toml", "--data", "/tmp/d"]),
            "--listen 127.0.0.1:3000 --config=other.toml --data /tmp/d"
        );
    }
}

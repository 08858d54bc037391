//! `cargo xtask`: every command that working on Mayfly takes.
//!
//! It depends on next to nothing, so that it is built within seconds, and sets
//! up what the machine lacks. All it says goes to standard error, except the
//! list of verbs: standard output belongs to what it runs.

mod bench;
mod guests;
mod host;
mod python;
mod serve;
mod step;
mod test;
mod tidy;

use std::io::Write;
use std::process::ExitCode;

use crate::host::Host;

/// Why a verb failed: a message for a person, hints on lines of their own.
type Error = Box<dyn std::error::Error>;
type Result<T = ()> = std::result::Result<T, Error>;

/// Arguments were wrong, as opposed to something having failed.
const USAGE: u8 = 2;

struct Verb {
    name: &'static str,
    arguments: &'static str,
    about: &'static str,
    run: fn(&Host, &[String]) -> Result,
}

const VERBS: [Verb; 7] = [
    Verb {
        name: "serve",
        arguments: "[ARGUMENT…]",
        about: "build all and serve the sample API; further arguments go to mayfly",
        run: serve::run,
    },
    Verb {
        name: "handlers",
        arguments: "",
        about: "build the sample handlers to handlers/*.wasm",
        run: guests::handlers,
    },
    Verb {
        name: "guests",
        arguments: "",
        about: "build the tests' guests to target/guests/fixtures/*.wasm",
        run: guests::fixtures,
    },
    Verb {
        name: "python",
        arguments: "",
        about: "install the tests' Python clients to target/python",
        run: python::run_verb,
    },
    Verb {
        name: "test",
        arguments: "[FILTER…]",
        about: "run every check and test; with filters, only the tests they match",
        run: test::run,
    },
    Verb {
        name: "bench",
        arguments: "[PART…] [FILTER…]",
        about: "measure requests, start, memory, growth, micro; quick: once",
        run: bench::run,
    },
    Verb {
        name: "tidy",
        arguments: "",
        about: "check what belongs into the repository and what does not",
        run: tidy::run,
    },
];

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "help".to_owned());
    let arguments: Vec<String> = arguments.collect();
    if matches!(name.as_str(), "help" | "-h" | "--help") {
        // A closed pipe is the reader's choice.
        let _ = std::io::stdout().write_all(usage().as_bytes());
        return ExitCode::SUCCESS;
    }
    let Some(verb) = VERBS.iter().find(|verb| verb.name == name) else {
        eprint!("error: there is no verb `{name}`\n\n{}", usage());
        return ExitCode::from(USAGE);
    };
    if verb.arguments.is_empty() && !arguments.is_empty() {
        eprint!("error: `{name}` takes no arguments\n\n{}", usage());
        return ExitCode::from(USAGE);
    }
    match Host::find().and_then(|host| (verb.run)(&host, &arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> String {
    let mut text = "Usage: cargo xtask VERB\n\n".to_owned();
    for verb in &VERBS {
        let call = format!("{} {}", verb.name, verb.arguments);
        text.push_str(&format!("  {:<23}  {}\n", call.trim_end(), verb.about));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_is_listed_on_a_line() {
        let text = usage();
        for verb in &VERBS {
            let start = format!("  {} ", verb.name);
            assert_eq!(text.lines().filter(|line| line.starts_with(&start)).count(), 1, "{text}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    }
}

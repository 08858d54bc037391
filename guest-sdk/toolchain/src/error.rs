//! What can go wrong, said with the command that mends it.

use std::path::PathBuf;
use std::process::ExitStatus;
use std::{fmt, io};

use crate::Target;
use crate::debian::PACKAGES;

/// Why no guest was built.
#[derive(Debug)]
pub enum Error {
    /// No way to build for the target was found or could be set up.
    NoToolchain {
        /// The target asked for.
        target: Target,
        /// Each way that was tried, and why it does not work here.
        tried: Vec<String>,
    },
    /// `MAYFLY_TOOLCHAIN` names no way to build.
    UnknownWay(String),
    /// A program could not be started.
    NotStarted {
        /// The program.
        program: String,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A program ended with a failure; it has said why on standard error.
    Failed {
        /// The command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// A program printed what this crate does not understand.
    Unreadable {
        /// The command line.
        command: String,
        /// What was expected.
        reason: String,
    },
    /// The build succeeded, but a package made no `.wasm`.
    NoArtifact {
        /// The package.
        package: String,
        /// The target it was built for.
        target: Target,
    },
    /// A file could not be read or written.
    File {
        /// What was being done, as in "write".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoToolchain { target, tried } => {
                write!(f, "found no toolchain that builds for {target}")?;
                for line in tried {
                    write!(f, "\n  {line}")?;
                }
                write!(f, "\nhint: with rustup: rustup target add {target}")?;
                write!(f, "\nhint: on Debian: sudo apt-get install {}", PACKAGES.join(" "))
            }
            Self::UnknownWay(way) => write!(
                f,
                "MAYFLY_TOOLCHAIN is `{way}`, which is neither `rustup` nor `debian`\n\
                 hint: unset MAYFLY_TOOLCHAIN"
            ),
            Self::NotStarted { program, source } => {
                write!(f, "cannot start `{program}`: {source}")?;
                if program.ends_with("cargo") || program.ends_with("rustc") {
                    f.write_str("\nhint: install Rust as https://rustup.rs says")?;
                }
                Ok(())
            }
            Self::Failed { command, status } => write!(f, "`{command}` failed: {status}"),
            Self::Unreadable { command, reason } => {
                write!(f, "cannot read what `{command}` printed: {reason}")
            }
            Self::NoArtifact { package, target } => write!(
                f,
                "package `{package}` was built for {target} but made no .wasm\n\
                 hint: a library needs `crate-type = [\"cdylib\"]` in its [lib] table"
            ),
            Self::File { action, path, source } => {
                write!(f, "cannot {action} {}: {source}", path.display())
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotStarted { source, .. } | Self::File { source, .. } => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_toolchain_names_both_ways() {
        let error =
            Error::NoToolchain { target: Target::Wasip2, tried: vec!["installed: no".to_owned()] };
        let text = error.to_string();
        assert!(text.contains("\n  installed: no"), "{text}");
        assert!(text.contains("rustup target add wasm32-wasip2"), "{text}");
        assert!(
            text.contains("sudo apt-get install rustc-web cargo-web rust-web-src wasi-libc"),
            "{text}"
        );
    }
}

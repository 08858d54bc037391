//! Builds WebAssembly guests, and finds what that takes.
//!
//! A guest is built for `wasm32-wasip2`, whose standard library an ordinary
//! Rust installation lacks. [`Toolchain::find`] looks for a way to build one,
//! in this order, and takes the first that works:
//!
//! 1. the standard library is installed already;
//! 2. `rustup target add` installs it;
//! 3. Debian's packages `rustc-web cargo-web rust-web-src wasi-libc`, from
//!    which the standard library is compiled once (about half a minute) and then
//!    kept in the guests' own target folder.
//!
//! ```no_run
//! use mayfly_toolchain::{BuildRequest, Setup, Toolchain, Workspace, install};
//!
//! # fn main() -> Result<(), mayfly_toolchain::Error> {
//! let workspace = Workspace::at(".".as_ref())?;
//! let toolchain = Toolchain::find(Setup::Allowed, &|line| eprintln!("{line}"))?;
//! let request = BuildRequest {
//!     dir: workspace.root.clone(),
//!     packages: vec!["hello".to_owned()],
//!     profile: "release".to_owned(),
//!     target_dir: workspace.guests_target_dir(),
//! };
//! for artifact in toolchain.build(&request)? {
//!     install(&artifact.path, "handlers".as_ref(), &artifact.package)?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The environment variable `MAYFLY_TOOLCHAIN` narrows the search: `rustup`
//! skips Debian's toolchain, `debian` takes no other.

pub mod apt;
mod compile;
mod debian;
mod environment;
mod error;
mod find;
mod install;
mod target;
mod workspace;

pub use compile::{Artifact, ArtifactKind, BuildRequest};
pub use environment::{forget_cargo_run, user_cargo};
pub use error::Error;
pub use find::{Setup, Toolchain};
pub use install::{Installed, install};
pub use target::Target;
pub use workspace::{Package, Workspace};

//! The checkout and the tools to build it with.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mayfly_toolchain::{Workspace, user_cargo};

use crate::Result;
use crate::step::run;

/// The checkout.
pub struct Host {
    pub workspace: Workspace,
}

impl Host {
    /// Finds the checkout that xtask was built in.
    pub fn find() -> Result<Self> {
        // Cargo says where it is now; it may have been moved since the build.
        let own = std::env::var_os("CARGO_MANIFEST_DIR");
        let own = own.map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        Ok(Self { workspace: Workspace::at(&own)? })
    }

    /// The workspace's folder.
    pub fn root(&self) -> &Path {
        &self.workspace.root
    }

    /// The user's Cargo, at the root.
    pub fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = user_cargo();
        command.args(arguments).current_dir(self.root()).stdin(Stdio::null());
        command
    }

    /// The release binary.
    pub fn binary(&self) -> PathBuf {
        self.workspace
            .target_dir
            .join("release")
            .join(format!("mayfly{}", std::env::consts::EXE_SUFFIX))
    }

    /// Builds the gateway.
    pub fn build(&self) -> Result {
        run(&mut self.cargo(&["build", "--release", "--package", "mayfly"]))
    }
}

//! The checkout and the tools to build it with.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mayfly_toolchain::{Workspace, apt, user_cargo};

use crate::Result;
use crate::step::{report, run};

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
        require_c_compiler()?;
        run(&mut self.cargo(&["build", "--release", "--package", "mayfly"]))
    }
}

/// SQLite is compiled from C. Its build would say so less clearly.
fn require_c_compiler() -> Result {
    let present = || {
        std::env::var_os("CC").is_some_and(|cc| !cc.is_empty())
            || Command::new("cc")
                .arg("--version")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
    };
    if cfg!(windows) || present() {
        return Ok(());
    }
    apt::install(&["build-essential"], &report).map_err(|reason| {
        format!(
            "there is no C compiler `cc`, which SQLite needs ({reason})\n\
             hint: on Debian: sudo apt-get install build-essential"
        )
    })?;
    Ok(())
}

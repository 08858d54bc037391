//! Builds guests: the sample handlers, and those the tests load.

use std::path::Path;

use mayfly_toolchain::{BuildRequest, Package, Setup, Target, Toolchain, install};

use crate::Result;
use crate::host::Host;
use crate::step::{report, step};

/// The profile of every guest, in the workspace's `Cargo.toml`.
const PROFILE: &str = "guest";

/// `cargo xtask handlers`
pub fn handlers(host: &Host, _: &[String]) -> Result {
    step("handlers", || build(host, "handlers", &host.root().join("handlers")))
}

/// `cargo xtask guests`
pub fn fixtures(host: &Host, _: &[String]) -> Result {
    let fixtures = host.workspace.guests_target_dir().join("fixtures");
    step("guests", || build(host, "tests/guests", &fixtures))
}

/// Builds every crate in `folder` and puts its `.wasm` into `to`.
fn build(host: &Host, folder: &str, to: &Path) -> Result {
    let parent = host.root().join(folder);
    let of_folder = |package: &&Package| package.dir.parent() == Some(&parent);
    let packages: Vec<&Package> = host.workspace.packages.iter().filter(of_folder).collect();
    if packages.is_empty() {
        return Err(format!("there is no crate in {folder}/").into());
    }
    for target in Target::ALL {
        let of_target = packages.iter().filter(|package| package.target == target);
        let names: Vec<String> = of_target.map(|package| package.name.clone()).collect();
        if !names.is_empty() {
            build_for(host, target, names, to)?;
        }
    }
    Ok(())
}

fn build_for(host: &Host, target: Target, packages: Vec<String>, to: &Path) -> Result {
    let toolchain = Toolchain::find_for(target, Setup::Allowed, &report)?;
    report(&format!("building for {target} with {}", toolchain.describe()));
    let artifacts = toolchain.build(&BuildRequest {
        dir: host.root().to_owned(),
        packages,
        profile: PROFILE.to_owned(),
        target_dir: host.workspace.guests_target_dir(),
    })?;
    for artifact in artifacts {
        let installed = install(&artifact.path, to, &artifact.package)?;
        let path = installed.path.strip_prefix(host.root()).unwrap_or(&installed.path);
        let state = if installed.changed { "" } else { " (unchanged)" };
        report(&format!("{}{state}", path.display()));
    }
    Ok(())
}

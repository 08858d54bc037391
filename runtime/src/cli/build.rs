//! `mayfly build`.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use mayfly_toolchain::{BuildRequest, Package, Setup, Toolchain, Workspace, install};

use super::Failure;

#[derive(clap::Args)]
pub struct Arguments {
    /// The handler's folder, or one whose subfolders are handlers
    #[arg(default_value = ".", value_name = "DIR")]
    folder: PathBuf,
    /// Where the .wasm files go [default: the folder `handlers` here or beside the handler]
    #[arg(long, value_name = "DIR")]
    handlers: Option<PathBuf>,
    /// Installs what is missing to build for wasm32-wasip2, with rustup or as root with apt-get
    #[arg(long)]
    setup: bool,
}

/// A profile for guests, where the workspace defines one.
const GUEST_PROFILE: &str = "[profile.guest]";

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let folder = fs::canonicalize(&arguments.folder)
        .with_context(|| format!("there is no folder {}", arguments.folder.display()))?;
    let crates = crates(&folder)?;
    let setup = if arguments.setup { Setup::Allowed } else { Setup::Forbidden };
    let toolchain = Toolchain::find(setup, &|line| eprintln!("{line}"))
        .map_err(|error| anyhow::anyhow!("{error}\nhint: or let `mayfly build --setup` try"))?;
    let handlers = match &arguments.handlers {
        Some(handlers) => handlers.clone(),
        None => default_handlers(&folder),
    };
    let mut out = std::io::stdout().lock();
    for (workspace, package) in crates {
        let manifest = fs::read_to_string(workspace.root.join("Cargo.toml"))?;
        let profile = if manifest.contains(GUEST_PROFILE) { "guest" } else { "release" };
        let request = BuildRequest {
            dir: workspace.root.clone(),
            packages: vec![package.name.clone()],
            profile: profile.to_owned(),
            target_dir: workspace.guests_target_dir(),
        };
        for artifact in toolchain.build(&request)? {
            let installed = install(&artifact.path, &handlers, &artifact.package)?;
            writeln!(out, "{}", installed.path.display())?;
        }
    }
    Ok(())
}

/// The crate in `folder`, or those in its subfolders.
fn crates(folder: &Path) -> anyhow::Result<Vec<(Workspace, Package)>> {
    let mut folders = vec![folder.to_owned()];
    if !folder.join("Cargo.toml").is_file() {
        folders = fs::read_dir(folder)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.join("Cargo.toml").is_file())
            .collect();
        folders.sort();
    }
    ensure!(
        !folders.is_empty(),
        "there is no Cargo.toml in {} or its subfolders (hint: `mayfly new NAME` begins a handler)",
        folder.display()
    );
    folders
        .into_iter()
        .map(|folder| {
            let workspace = Workspace::at(&folder)?;
            let package = workspace.packages.iter().find(|package| package.dir == folder);
            let package = package
                .with_context(|| format!("{}/Cargo.toml describes no package", folder.display()))?;
            Ok((workspace.clone(), package.clone()))
        })
        .collect()
}

/// `handlers` where we are, else beside the handler that is being built.
fn default_handlers(folder: &Path) -> PathBuf {
    let here = PathBuf::from("handlers");
    let beside = folder.parent().map(|parent| parent.join("handlers"));
    match beside {
        Some(beside) if !here.is_dir() && beside.is_dir() => beside,
        // A checkout keeps sources and built files in one folder.
        _ if folder.parent().is_some_and(|parent| parent.ends_with("handlers")) => {
            folder.parent().unwrap_or(folder).to_owned()
        }
        _ => here,
    }
}

//! The workspace around a folder, as the user's Cargo sees it.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::environment::{ask, line, user_cargo};
use crate::{Error, Target};

/// A Cargo workspace; a single crate is one too.
#[derive(Debug, Clone)]
pub struct Workspace {
    /// The folder of the workspace's `Cargo.toml`.
    pub root: PathBuf,
    /// The folder that host builds go to.
    pub target_dir: PathBuf,
    /// Its members.
    pub packages: Vec<Package>,
}

/// A member of a workspace.
#[derive(Debug, Clone)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// The folder of its `Cargo.toml`.
    pub dir: PathBuf,
    /// What it is built for as a guest: components, unless its `Cargo.toml` has
    /// another triple as `target` in `[package.metadata.mayfly]`.
    pub target: Target,
}

impl Workspace {
    /// Asks Cargo for the workspace that `dir` is in.
    pub fn at(dir: &Path) -> Result<Self, Error> {
        let mut command = user_cargo();
        command.args(["metadata", "--format-version=1", "--no-deps"]).current_dir(dir);
        let text = ask(&mut command)?;
        Self::from_metadata(&text)
            .map_err(|reason| Error::Unreadable { command: line(&command), reason })
    }

    /// Where guests are built: apart, so that they and the host never wait for
    /// each other or throw away each other's results.
    pub fn guests_target_dir(&self) -> PathBuf {
        self.target_dir.join("guests")
    }

    fn from_metadata(text: &str) -> Result<Self, String> {
        let metadata: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let folder = |key: &str| {
            let folder = metadata[key].as_str().map(PathBuf::from);
            folder.ok_or_else(|| format!("it has no `{key}`"))
        };
        let packages = metadata["packages"].as_array().ok_or("it has no `packages`")?;
        Ok(Self {
            root: folder("workspace_root")?,
            target_dir: folder("target_directory")?,
            packages: packages.iter().map(package).collect::<Result<_, _>>()?,
        })
    }
}

fn package(value: &Value) -> Result<Package, String> {
    let name = value["name"].as_str().ok_or("a package has no `name`")?;
    let manifest = value["manifest_path"].as_str().map(Path::new);
    let dir = manifest.and_then(Path::parent).ok_or("a package has no `manifest_path`")?;
    let target = match &value["metadata"]["mayfly"]["target"] {
        Value::Null => Target::Wasip2,
        triple => *Target::ALL
            .iter()
            .find(|target| triple == target.triple())
            .ok_or_else(|| format!("package `{name}` has {triple} as `metadata.mayfly.target`"))?,
    };
    Ok(Package { name: name.to_owned(), dir: dir.to_owned(), target })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_workspace_is_found() {
        let workspace = Workspace::at(env!("CARGO_MANIFEST_DIR").as_ref()).expect("a workspace");
        assert!(workspace.root.join("Cargo.lock").exists());
        assert!(workspace.guests_target_dir().starts_with(&workspace.target_dir));
        let own = workspace.packages.iter().find(|package| package.name == "mayfly-toolchain");
        assert_eq!(
            own.map(|package| package.dir.as_path()),
            Some(env!("CARGO_MANIFEST_DIR").as_ref())
        );
    }

    #[test]
    fn a_guest_may_name_another_target() {
        let package = |metadata: &str| {
            Workspace::from_metadata(&format!(
                r#"{{"workspace_root":"/w","target_directory":"/w/target","packages":[
                    {{"name":"old","manifest_path":"/w/old/Cargo.toml","metadata":{metadata}}}]}}"#
            ))
            .map(|workspace| workspace.packages[0].target)
        };
        let named = r#"{"mayfly":{"target":"wasm32-wasip1"}}"#;
        assert_eq!(package("null"), Ok(Target::Wasip2));
        assert_eq!(package(named), Ok(Target::Wasip1));
        let error = package(r#"{"mayfly":{"target":"x86"}}"#).expect_err("no such target");
        assert!(error.contains("`old`") && error.contains("x86"), "{error}");
    }

    #[test]
    fn other_text_is_no_workspace() {
        assert!(Workspace::from_metadata("{}").is_err());
        assert!(Workspace::from_metadata("error").is_err());
    }
}

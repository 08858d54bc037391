//! The OpenAPI definition that stands beside `gateway.toml`, or instead of it.

use std::path::{Path, PathBuf};

use super::{FILE_BYTES_MAX, Folders};
use crate::{
    config::{
        Overrides, absolute,
        openapi::Around,
        read::{Table, read_text},
        tree::{Data, Node},
    },
    router::RouteKey,
};

/// A definition that is to be served.
pub struct Given {
    /// As the user named it.
    pub name: PathBuf,
    /// Absolute.
    pub path: PathBuf,
    /// None where it cannot be read, which is recorded.
    pub text: Option<String>,
}

impl Given {
    /// Its name and its text.
    pub fn parts(&self) -> (&Path, &str) {
        (&self.name, self.text.as_deref().unwrap_or_default())
    }
}

/// The definition that the command line names, else `gateway.toml`.
pub fn read(root: &Table<'_>, folders: &Folders<'_>, overrides: &Overrides) -> Option<Given> {
    let given = root.string("openapi");
    let (name, path, at) = match (&overrides.openapi, given) {
        (Some(name), _) => (name.clone(), absolute(folders.working, name), None),
        (None, None) => return None,
        (None, Some(given)) => {
            let folder = folders.named.parent().unwrap_or(Path::new(""));
            let path = absolute(folders.file, Path::new(given.text));
            (folder.join(given.text), path, Some(given.at))
        }
    };
    let text = match read_text(&path, FILE_BYTES_MAX) {
        Ok(text) => Some(text),
        Err(error) => {
            let message = format!("{} cannot be read: {error}", name.display());
            let hint = "openapi starts from this file's folder";
            match at {
                Some(at) => root.source.problem(at, message, hint),
                None => root.source.command_line_problem(format!("--openapi: {message}"), ""),
            }
            None
        }
    };
    Some(Given { name, path, text })
}

/// What `gateway.toml` has that a definition may refer to, or that wins: routes
/// are named by what tells requests to them apart.
pub fn around(root: &Table<'_>) -> Around {
    let items = match root.take("route").map(|routes| routes.value) {
        Some(Data::Array(items)) => items.as_slice(),
        _ => &[],
    };
    let keys = items.iter().filter_map(|item| item.get("route")?.text()?.parse::<RouteKey>().ok());
    let entries = |key| root.take(key).and_then(|tables| tables.value.entries());
    let kind = |node: &Node| node.get("type").and_then(Node::text).unwrap_or("request").to_owned();
    let authorizers = entries("authorizer").into_iter().flatten();
    Around {
        routes: keys.map(|key| key.identity()).collect(),
        authorizers: authorizers.map(|(name, own)| (name.clone(), kind(&own.node))).collect(),
        user_pools: entries("user_pool")
            .into_iter()
            .flatten()
            .map(|(name, _)| name.clone())
            .collect(),
    }
}

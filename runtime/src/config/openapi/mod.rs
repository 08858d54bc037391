//! OpenAPI definitions with API Gateway's extensions, as an equal of
//! `gateway.toml`: text → tree with places → the tables that `gateway.toml`
//! would have. Those are read and checked by the same readers, so that what is
//! wrong has its line in the definition.
//!
//! What is not served is never passed over in silence: it is a warning with
//! its place, and an operation that could only be served in part is left out.

mod api_key;
mod arn;
mod document;
mod extensions;
mod integration;
mod mock;
mod operation;
mod reference;
mod sample;
mod schema;
mod security;
mod signature;
#[cfg(test)]
mod tests;
mod validation;

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap, HashSet},
    path::Path,
};

use super::{
    ApiKind,
    read::Source,
    tree::{Data, Entries, Integer, Member, Node},
};

pub use security::Around;

/// What a definition says, as `gateway.toml` would.
pub struct Translated {
    pub kind: ApiKind,
    pub name: Option<String>,
    pub root: Entries,
}

/// The most values that references may copy into routes, over the whole
/// definition: one example may be referred to by thousands of operations.
const COPIED_NODES_MAX: usize = 1_000_000;

/// The same in bytes of text.
const COPIED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A definition that is being translated.
struct Definition<'d> {
    source: &'d Source<'d>,
    root: &'d Node,
    kind: ApiKind,
    version: Version,
    around: &'d Around,
    /// What security schemes come to, by name.
    schemes: RefCell<HashMap<String, security::Scheme>>,
    /// The authorizers that operations ask for, by name.
    authorizers: RefCell<BTreeMap<String, Node>>,
    /// Operations that they replace, or that nobody may call, by the place of
    /// their key.
    replaced: RefCell<HashSet<usize>>,
    /// Extensions that have been taken, by the place of their key.
    taken: RefCell<HashSet<usize>>,
    models: RefCell<schema::Models<'d>>,
    copied_nodes: Cell<usize>,
    copied_bytes: Cell<usize>,
}

#[derive(Clone, Copy, PartialEq)]
enum Version {
    Swagger2,
    OpenApi30,
    OpenApi31,
}

/// Reads the definition in `text`; none where it is none. `kind` and `around`
/// are what `gateway.toml` says.
pub fn translate(
    source: &Source<'_>,
    file: &Path,
    text: &str,
    kind: Option<ApiKind>,
    around: &Around,
) -> Option<Translated> {
    let document = document::parse(source, file, text)?;
    let version = version(source, &document)?;
    let kind = kind.unwrap_or_else(|| extensions::kind(&document));
    let definition = Definition {
        source,
        root: &document,
        kind,
        version,
        around,
        schemes: RefCell::default(),
        authorizers: RefCell::default(),
        replaced: RefCell::default(),
        taken: RefCell::default(),
        models: RefCell::default(),
        copied_nodes: Cell::new(0),
        copied_bytes: Cell::new(0),
    };
    let mut root = Entries::new();
    let mut put = |key: &str, node: Option<Node>| {
        if let Some(node) = node {
            root.insert(key.to_owned(), Member { at: node.at, node });
        }
    };
    let operations = operation::routes(&definition);
    put("route", Some(operations.routes));
    put("api_key_source", api_key::source(&definition));
    let authorizers = definition.authorizers.take();
    put("authorizer", (!authorizers.is_empty()).then(|| table(document.at, authorizers)));
    put("models", definition.models());
    put("gateway_responses", extensions::gateway_responses(&definition));
    put("cors", extensions::cors(&definition));
    put("binary_media_types", extensions::binary_media_types(&definition));
    put("policy", extensions::policy(&definition));
    put("minimum_compression_size", extensions::minimum_compression_size(&definition));
    extensions::report(&definition, operations.secured);
    Some(Translated { kind, name: extensions::name(&document), root })
}

fn version(source: &Source<'_>, document: &Node) -> Option<Version> {
    let hint = "begin with openapi: 3.0.1 or swagger: \"2.0\"";
    let Some(entries) = document.entries() else {
        let message = format!("the definition is {}, not a table", document.data.kind());
        source.problem(document.at, message, hint);
        return None;
    };
    let given = ["openapi", "swagger"].into_iter().find_map(|key| Some((key, entries.get(key)?)));
    let Some((key, member)) = given else {
        source.problem(document.at, "the definition has neither openapi nor swagger", hint);
        return None;
    };
    let text = match &member.node.data {
        Data::String(text) | Data::Float(text) => text.as_str(),
        Data::Integer(number) => number.text.as_str(),
        _ => "",
    };
    let begins = |version: &str| {
        text.strip_prefix(version).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    match key {
        "swagger" if begins("2") => Some(Version::Swagger2),
        "openapi" if begins("3.0") => Some(Version::OpenApi30),
        "openapi" if begins("3") => Some(Version::OpenApi31),
        _ => {
            source.problem(member.node.at, format!("{key} {text:?} is not known"), hint);
            None
        }
    }
}

impl<'d> Definition<'d> {
    /// A value at the top level.
    fn top(&self, key: &str) -> Option<&'d Node> {
        self.root.get(key)
    }

    /// An extension of `node`, which is thereby taken care of.
    fn take(&self, node: &'d Node, key: &str) -> Option<&'d Member> {
        let member = node.entries()?.get(key)?;
        self.taken.borrow_mut().insert(member.at);
        Some(member)
    }

    /// Says that a part of the definition is not served.
    fn unserved(&self, at: usize, message: impl Into<String>, hint: impl Into<String>) {
        self.source.warning(at, message, hint);
    }

    /// Counts what is about to be copied; false once it is too much, which is
    /// a problem.
    fn spend(&self, nodes: usize, bytes: usize) -> bool {
        self.copied_nodes.set(self.copied_nodes.get().saturating_add(nodes));
        self.copied_bytes.set(self.copied_bytes.get().saturating_add(bytes));
        if !self.is_spent() {
            return true;
        }
        let message = format!(
            "the definition's references make more than {COPIED_NODES_MAX} values or {COPIED_BYTES_MAX} bytes"
        );
        self.source.problem(
            self.root.at,
            message,
            "refer to large examples and schemas less often",
        );
        false
    }

    fn is_spent(&self) -> bool {
        self.copied_nodes.get() > COPIED_NODES_MAX || self.copied_bytes.get() > COPIED_BYTES_MAX
    }

    /// A part of the definition for a table of its own; braces stay text.
    fn verbatim(&self, node: &Node) -> Option<Node> {
        let bytes = node.text().map_or(0, str::len);
        if !self.spend(1, bytes) {
            return None;
        }
        let data = match &node.data {
            Data::String(text) => Data::Verbatim(text.clone()),
            // JSON's readers take such an integer for a float.
            Data::Integer(number) if i64::try_from(number.value).is_err() => {
                Data::Float(number.text.clone())
            }
            Data::Float(number) if !number.parse().is_ok_and(f64::is_finite) => {
                Data::Verbatim(number.clone())
            }
            Data::Array(items) => {
                let items = items.iter().map(|item| self.verbatim(item));
                Data::Array(items.collect::<Option<_>>()?)
            }
            Data::Table(entries) => {
                let mut copies = Entries::new();
                for (key, member) in entries {
                    self.spend(0, key.len());
                    let node = self.verbatim(&member.node)?;
                    copies.insert(key.clone(), Member { at: member.at, node });
                }
                Data::Table(copies)
            }
            other => other.clone(),
        };
        Some(Node { at: node.at, data })
    }

    /// A value that has to be a scalar. Of another one only the kind is kept,
    /// which is what its reader reports.
    fn scalar(&self, node: &Node) -> Node {
        self.spend(1, node.text().map_or(0, str::len));
        match &node.data {
            Data::Array(_) => array(node.at, Vec::new()),
            Data::Table(_) => table::<String>(node.at, []),
            _ => node.clone(),
        }
    }

    /// An integer that may be written as a string, as status codes often are.
    fn number(&self, node: &Node) -> Node {
        let parsed = node.text().and_then(|text| text.trim().parse::<i128>().ok());
        parsed.map_or_else(|| self.scalar(node), |value| integer(node.at, value))
    }

    /// A word that may be written in small letters.
    fn capitals(&self, node: &Node) -> Node {
        let Node { at, data } = self.scalar(node);
        match data {
            Data::String(text) => string(at, text.to_ascii_uppercase()),
            data => Node { at, data },
        }
    }

    /// A string of the definition that is taken over as it is.
    fn copied(&self, at: usize, text: &str) -> Option<Node> {
        self.spend(1, text.len()).then(|| string(at, text))
    }
}

fn string(at: usize, text: impl Into<String>) -> Node {
    Node { at, data: Data::String(text.into()) }
}

fn integer(at: usize, value: i128) -> Node {
    Node { at, data: Data::Integer(Integer { text: value.to_string(), value }) }
}

fn array(at: usize, items: Vec<Node>) -> Node {
    Node { at, data: Data::Array(items) }
}

/// A table whose keys stand where their values do.
fn table<K: Into<String>>(at: usize, entries: impl IntoIterator<Item = (K, Node)>) -> Node {
    let entries = entries.into_iter().map(|(key, node)| (key.into(), Member { at: node.at, node }));
    Node { at, data: Data::Table(entries.collect()) }
}

/// How often each security scheme is asked for, and where first.
type Secured = HashMap<String, extensions::Asked>;

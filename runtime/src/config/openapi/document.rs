//! From the text of a definition, JSON or YAML, to a tree with places.
//!
//! Whatever a stranger wrote, the tree is bounded: in depth, in values and in
//! bytes, with all aliases of YAML counted as often as they are used.

mod json;
mod yaml;

use std::path::Path;

use crate::config::{
    read::Source,
    tree::{Data, Entries, Integer, Member, Node},
};

/// How deep a document may nest. Everything that walks it may recurse.
pub const DEPTH_MAX: usize = 100;

/// The most values of a document.
const NODES_MAX: usize = 1_000_000;

/// The most text of a document's values and keys, in bytes: more than its
/// file only where aliases repeat it.
const TEXT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The document in `text`; none where it is none, which is recorded.
pub fn parse(source: &Source<'_>, file: &Path, text: &str) -> Option<Node> {
    // Editors of some systems begin a file with a byte order mark.
    let start = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let body = &text[start..];
    let named = |name: &str| file.extension().is_some_and(|own| own.eq_ignore_ascii_case(name));
    let parsed = if named("json") || (body.trim_start().starts_with('{') && json::is_json(body)) {
        json::parse(source, start, body)
    } else {
        yaml::parse(source, start, body)
    };
    match parsed {
        Ok(node) => Some(node),
        Err(Malformed { at, message, hint }) => {
            source.problem(start + at, message, hint);
            None
        }
    }
}

/// Why a text is no document; nothing after that place can be read.
#[derive(Debug)]
struct Malformed {
    at: usize,
    message: String,
    hint: &'static str,
}

impl Malformed {
    fn new(at: usize, message: impl Into<String>, hint: &'static str) -> Self {
        Self { at, message: message.into(), hint }
    }

    fn too_deep(at: usize) -> Self {
        Self::new(at, format!("the document nests deeper than {DEPTH_MAX} levels"), "flatten it")
    }
}

/// How large a part of a document is.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    nodes: usize,
    bytes: usize,
    /// Levels, 1 for a value without any inside.
    depth: usize,
}

impl Size {
    fn of_text(text: &str) -> Self {
        Self { nodes: 1, bytes: text.len(), depth: 1 }
    }

    /// Puts `inner` one level below.
    fn hold(&mut self, inner: Self) {
        self.nodes += inner.nodes;
        self.bytes += inner.bytes;
        self.depth = self.depth.max(inner.depth + 1);
    }

    fn check(self, at: usize) -> Result<(), Malformed> {
        let message = if self.nodes > NODES_MAX {
            format!("the document has more than {NODES_MAX} values")
        } else if self.bytes > TEXT_BYTES_MAX {
            format!("the document's text is longer than {TEXT_BYTES_MAX} bytes")
        } else if self.depth > DEPTH_MAX {
            return Err(Malformed::too_deep(at));
        } else {
            return Ok(());
        };
        Err(Malformed::new(at, message, "aliases count as often as they are used; use fewer"))
    }
}

/// Adds an entry. Of two with one key the first stays: a reader that took
/// the second would serve something else than another reader.
fn insert(source: &Source<'_>, entries: &mut Entries, key: String, member: Member) {
    match entries.entry(key) {
        indexmap::map::Entry::Vacant(entry) => {
            entry.insert(member);
        }
        indexmap::map::Entry::Occupied(entry) => {
            let (line, _) = source.place(entry.get().at);
            let message = format!("the key {:?} is already on line {line}", entry.key());
            source.problem(member.at, message, "remove one of the two");
        }
    }
}

/// A number as both languages write it; none where it is something else.
fn number(text: &str) -> Option<Data> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let value = text.parse().unwrap_or(i128::MAX);
        return Some(Data::Integer(Integer { text: text.to_owned(), value }));
    }
    let begins = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let numeric = digits.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
    (begins && numeric && digits != "." && text.parse::<f64>().is_ok())
        .then(|| Data::Float(text.to_owned()))
}

#[cfg(test)]
mod tests;

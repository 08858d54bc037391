//! `$ref` within the document, and CloudFormation's functions in its strings.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::Definition;
use crate::config::tree::{Data, Node};

/// The longest chain of references.
const HOPS_MAX: usize = 32;

/// The longest reference, in bytes.
const POINTER_BYTES_MAX: usize = 4096;

/// The longest text that CloudFormation's functions make, in bytes.
const TEXT_BYTES_MAX: usize = 256 * 1024;

/// The reference that stands instead of a value.
pub fn reference(node: &Node) -> Option<(&str, usize)> {
    let target = node.get("$ref")?;
    Some((target.text()?, target.at))
}

impl<'d> Definition<'d> {
    /// What `node` stands for: itself, or what its reference names. None is
    /// recorded as a problem.
    pub fn resolve(&self, node: &'d Node) -> Option<&'d Node> {
        let mut found = node;
        for _ in 0..HOPS_MAX {
            match reference(found) {
                None => return Some(found),
                Some((text, at)) => found = self.target(text, at)?,
            }
        }
        let message = format!("the reference leads over more than {HOPS_MAX} others, or to itself");
        self.source.problem(node.at, message, "refer to the value itself");
        None
    }

    /// A value of a table, resolved.
    pub fn part(&self, node: &'d Node, key: &str) -> Option<&'d Node> {
        node.get(key).and_then(|part| self.resolve(part))
    }

    /// The value that a reference names.
    pub fn target(&self, text: &str, at: usize) -> Option<&'d Node> {
        let Some(pointer) = text.strip_prefix('#') else {
            let hint = "only references within the document, #/…, are followed; put it here";
            self.source.problem(at, format!("{text:?} is outside of the document"), hint);
            return None;
        };
        if pointer.len() > POINTER_BYTES_MAX {
            let message = format!("the reference is longer than {POINTER_BYTES_MAX} bytes");
            self.source.problem(at, message, "use shorter names");
            return None;
        }
        let decoded = percent_decode_str(pointer).decode_utf8_lossy();
        let mut node = self.root;
        for step in decoded.split('/').skip(1) {
            let step = step.replace("~1", "/").replace("~0", "~");
            let next = match &node.data {
                Data::Table(entries) => entries.get(&step).map(|member| &member.node),
                Data::Array(items) => step.parse().ok().and_then(|index: usize| items.get(index)),
                _ => None,
            };
            let Some(next) = next else {
                let message = format!("{text:?} names nothing: there is no {step:?}");
                self.source.problem(at, message, "write #/ and the keys from the top level on");
                return None;
            };
            node = next;
        }
        Some(node)
    }
}

/// The text of a string, with what CloudFormation would put in as `${…}`;
/// none for anything else.
// Recursion is as deep as the document.
pub fn text(node: &Node) -> Option<Cow<'_, str>> {
    if let Some(text) = node.text() {
        return Some(Cow::Borrowed(text));
    }
    let entries = node.entries().filter(|entries| entries.len() == 1)?;
    let (function, member) = entries.first()?;
    let given = &member.node;
    match function.as_str() {
        "Ref" => Some(format!("${{{}}}", given.text()?).into()),
        "Fn::GetAtt" => match given.text() {
            Some(text) => Some(format!("${{{text}}}").into()),
            None => {
                let parts: Option<Vec<&str>> = given.items().iter().map(Node::text).collect();
                Some(format!("${{{}}}", parts?.join(".")).into())
            }
        },
        "Fn::Sub" => match (given.text(), given.items()) {
            (Some(text), _) => Some(text.replace("${!", "${").into()),
            (None, [pattern, values]) => substituted(pattern.text()?, values).map(Cow::Owned),
            _ => None,
        },
        "Fn::Join" => {
            let [delimiter, parts] = given.items() else { return None };
            let mut joined = String::new();
            for (index, part) in parts.items().iter().enumerate() {
                if index > 0 {
                    joined.push_str(delimiter.text()?);
                }
                joined.push_str(&text(part)?);
                if joined.len() > TEXT_BYTES_MAX {
                    return None;
                }
            }
            Some(joined.into())
        }
        _ => None,
    }
}

fn substituted(pattern: &str, values: &Node) -> Option<String> {
    let mut made = String::new();
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once("${") {
        made.push_str(before);
        let (name, behind) = after.split_once('}')?;
        match values.get(name) {
            Some(value) => made.push_str(&text(value)?),
            None => made.push_str(&format!("${{{}}}", name.trim_start_matches('!'))),
        }
        if made.len() > TEXT_BYTES_MAX {
            return None;
        }
        rest = behind;
    }
    made.push_str(rest);
    Some(made)
}

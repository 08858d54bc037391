//! YAML 1.2 with merge keys and CloudFormation's short tags, with the place of
//! every value.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::{DEPTH_MAX, Malformed, Size, insert, number};
use crate::config::{
    read::Source,
    tree::{Data, Entries, Integer, Member, Node},
};

/// The document in `text`, which stands `start` bytes into the source.
pub fn parse(source: &Source<'_>, start: usize, text: &str) -> Result<Node, Malformed> {
    let places = Places::new(text);
    let mut builder = Builder {
        source,
        start,
        frames: Vec::new(),
        anchors: HashMap::new(),
        total: Size::default(),
        root: None,
    };
    let mut documents = 0;
    for event in Parser::new_from_str(text) {
        let (event, Span { start, .. }) = event.map_err(|error| {
            Malformed::new(places.byte(error.marker().index()), error.info(), "")
        })?;
        let at = places.byte(start.index());
        if matches!(event, Event::DocumentStart(_)) {
            documents += 1;
            if documents > 1 {
                let hint = "keep one document in the file";
                return Err(Malformed::new(at, "a second document begins here", hint));
            }
        }
        builder.event(event, at)?;
    }
    Ok(builder.root.unwrap_or(Node { at: start, data: Data::Null }))
}

/// From characters, which the parser counts, to bytes.
struct Places<'t> {
    text: &'t str,
    /// The byte of every `STEP`th character; none where all are ASCII.
    steps: Vec<usize>,
}

const STEP: usize = 256;

impl<'t> Places<'t> {
    fn new(text: &'t str) -> Self {
        let steps = if text.is_ascii() {
            Vec::new()
        } else {
            text.char_indices().step_by(STEP).map(|(at, _)| at).collect()
        };
        Self { text, steps }
    }

    fn byte(&self, index: usize) -> usize {
        let Some(&from) = self.steps.get(index / STEP) else {
            return if self.steps.is_empty() {
                index.min(self.text.len())
            } else {
                self.text.len()
            };
        };
        let mut rest = self.text[from..].char_indices();
        rest.nth(index % STEP).map_or(self.text.len(), |(at, _)| from + at)
    }
}

struct Builder<'s> {
    source: &'s Source<'s>,
    start: usize,
    /// The collections that are open, outermost first.
    frames: Vec<Frame>,
    anchors: HashMap<usize, (Node, Size)>,
    total: Size,
    root: Option<Node>,
}

/// A collection that is not complete yet.
struct Frame {
    at: usize,
    anchor: usize,
    tag: Option<String>,
    size: Size,
    open: Open,
}

enum Open {
    Array(Vec<Node>),
    Table { entries: Entries, merged: Vec<Entries>, key: Option<(String, usize)> },
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, at: usize) -> Result<(), Malformed> {
        match event {
            Event::SequenceStart(anchor, tag) => {
                self.open(at, anchor, tag.as_deref(), Open::Array(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                let open = Open::Table { entries: Entries::new(), merged: Vec::new(), key: None };
                self.open(at, anchor, tag.as_deref(), open)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(at),
            Event::Scalar(text, style, anchor, tag) => {
                self.scalar(&text, style, anchor, tag.as_deref(), at)
            }
            Event::Alias(anchor) => {
                // An alias inside of what it names would have no end.
                let unknown = || Malformed::new(at, "the alias names nothing above it", "");
                let (_, size) = self.anchors.get(&anchor).ok_or_else(unknown)?;
                let size = *size;
                self.count(size, at)?;
                let (node, _) = self.anchors.get(&anchor).ok_or_else(unknown)?;
                self.add(node.clone(), size, None, at)
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    /// Counts what is about to be kept.
    fn count(&mut self, size: Size, at: usize) -> Result<(), Malformed> {
        self.total.nodes += size.nodes;
        self.total.bytes += size.bytes;
        self.total.depth = self.frames.len() + size.depth;
        self.total.check(at)
    }

    fn open(
        &mut self,
        at: usize,
        anchor: usize,
        tag: Option<&Tag>,
        open: Open,
    ) -> Result<(), Malformed> {
        let size = Size { nodes: 1, bytes: 0, depth: 1 };
        self.count(size, at)?;
        if self.frames.len() >= DEPTH_MAX {
            return Err(Malformed::too_deep(at));
        }
        let tag = tag.and_then(intrinsic);
        self.frames.push(Frame { at: self.start + at, anchor, tag, size, open });
        Ok(())
    }

    fn close(&mut self, at: usize) -> Result<(), Malformed> {
        let Some(Frame { at: begun, anchor, tag, mut size, open }) = self.frames.pop() else {
            return Err(Malformed::new(at, "an end without its beginning", ""));
        };
        let data = match open {
            Open::Array(items) => Data::Array(items),
            Open::Table { mut entries, merged, .. } => {
                // What a table says itself wins over what it merges.
                for (key, member) in merged.into_iter().flatten() {
                    entries.entry(key).or_insert(member);
                }
                Data::Table(entries)
            }
        };
        let node = tagged(Node { at: begun, data }, tag, &mut size);
        self.keep(anchor, &node, size, at)?;
        self.add(node, size, None, at)
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        at: usize,
    ) -> Result<(), Malformed> {
        let mut size = Size::of_text(text);
        self.count(size, at)?;
        let plain = style == ScalarStyle::Plain;
        let data = match tag {
            None if plain => resolve(text),
            Some(tag) if tag.is_yaml_core_schema() && tag.suffix != "str" => resolve(text),
            _ => Data::String(text.to_owned()),
        };
        let node = Node { at: self.start + at, data };
        let node = tagged(node, tag.and_then(intrinsic), &mut size);
        self.keep(anchor, &node, size, at)?;
        self.add(node, size, Some((text, plain)), at)
    }

    fn keep(&mut self, anchor: usize, node: &Node, size: Size, at: usize) -> Result<(), Malformed> {
        if anchor > 0 {
            self.count(size, at)?;
            self.anchors.insert(anchor, (node.clone(), size));
        }
        Ok(())
    }

    /// Puts a complete value where it belongs; `scalar` is its text and
    /// whether that is plain.
    fn add(
        &mut self,
        node: Node,
        size: Size,
        scalar: Option<(&str, bool)>,
        at: usize,
    ) -> Result<(), Malformed> {
        let Some(frame) = self.frames.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        frame.size.hold(size);
        match &mut frame.open {
            Open::Array(items) => items.push(node),
            Open::Table { entries, merged, key } => match key.take() {
                None => {
                    let text = match (scalar, &node.data) {
                        (Some((text, _)), _) => text.to_owned(),
                        (None, Data::String(text)) => text.clone(),
                        _ => return Err(Malformed::new(at, "a key has to be text", "")),
                    };
                    *key = Some((text, self.start + at));
                }
                Some((key, _)) if key == "<<" => match node.data {
                    Data::Table(own) => merged.push(own),
                    Data::Array(items) => {
                        merged.extend(items.into_iter().filter_map(|item| match item.data {
                            Data::Table(own) => Some(own),
                            _ => None,
                        }));
                    }
                    _ => return Err(Malformed::new(at, "<< merges tables only", "")),
                },
                Some((key, place)) => {
                    insert(self.source, entries, key, Member { at: place, node });
                }
            },
        }
        Ok(())
    }
}

/// The long name of CloudFormation's function that a tag is short for.
fn intrinsic(tag: &Tag) -> Option<String> {
    let own = tag.to_string();
    let name = own.strip_prefix('!').filter(|name| !name.is_empty() && !name.starts_with('!'))?;
    match name {
        _ if tag.is_yaml_core_schema() => None,
        "Ref" | "Condition" => Some(name.to_owned()),
        _ => Some(format!("Fn::{name}")),
    }
}

fn tagged(node: Node, function: Option<String>, size: &mut Size) -> Node {
    let Some(function) = function else { return node };
    size.depth += 1;
    size.nodes += 1;
    let at = node.at;
    Node { at, data: Data::Table(Entries::from_iter([(function, Member { at, node })])) }
}

/// What a plain scalar is in YAML's core schema.
fn resolve(text: &str) -> Data {
    let radix = |prefix: &str, radix: u32| {
        let digits = text.strip_prefix(prefix)?;
        let value = i128::from_str_radix(digits, radix).ok()?;
        Some(Data::Integer(Integer { text: text.to_owned(), value }))
    };
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Data::Null,
        "true" | "True" | "TRUE" => Data::Boolean(true),
        "false" | "False" | "FALSE" => Data::Boolean(false),
        _ => number(text)
            .or_else(|| radix("0x", 16))
            .or_else(|| radix("0o", 8))
            .unwrap_or_else(|| Data::String(text.to_owned())),
    }
}

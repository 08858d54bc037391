//! An operation without an integration answers with the example of its first
//! success, or with a sample of its schema.

use http::{HeaderName, HeaderValue};

use super::{
    Definition, Version, integer,
    operation::{Entry, Operation},
    table,
};
use crate::config::tree::{Data, Node};

/// A body in the making.
struct Body<'d> {
    content_type: &'d str,
    example: Option<&'d Node>,
    schema: Option<&'d Node>,
}

impl<'d> Definition<'d> {
    /// The table of a mock.
    pub fn mock(&self, operation: &Operation<'d>) -> Option<Node> {
        let responses = self.part(operation.node, "responses");
        let (status, response) = match responses.and_then(chosen) {
            Some((status, response)) => (status, self.resolve(response)),
            None => (200, None),
        };
        self.spend(responses.and_then(Node::entries).map_or(0, |own| own.len()), 0);
        let at = response.map_or(operation.at, |response| response.at);
        let mut entries: Vec<Entry> = vec![("status", integer(at, status.into()))];
        let bodiless = matches!(status, 204 | 205 | 304);
        if let Some(response) = response.filter(|_| !bodiless)
            && let Some(body) = self.body(operation, response)
        {
            entries.extend(self.mocked(&body)?);
        }
        Some(table(at, entries))
    }

    fn body(&self, operation: &Operation<'d>, response: &'d Node) -> Option<Body<'d>> {
        if self.version == Version::Swagger2 {
            let examples = response.get("examples").and_then(Node::entries);
            let produces = operation.node.get("produces").or_else(|| self.top("produces"));
            let types = produces.map_or(&[][..], Node::items).iter().filter_map(Node::text);
            let named = examples.into_iter().flatten().map(|(name, _)| name.as_str());
            let content_type = preferred(named).or_else(|| preferred(types));
            let content_type = content_type.unwrap_or("application/json");
            let example = examples.and_then(|examples| examples.get(content_type));
            let schema = self.part(response, "schema");
            let example = example.map(|member| &member.node);
            return (example.is_some() || schema.is_some()).then_some(Body {
                content_type,
                example,
                schema,
            });
        }
        let content = response.get("content").and_then(Node::entries)?;
        let content_type = preferred(content.keys().map(String::as_str))?;
        let media = content.get(content_type).and_then(|member| self.resolve(&member.node))?;
        let named = self.part(media, "examples").and_then(Node::entries);
        let first = named.and_then(|named| named.first()).map(|(_, member)| &member.node);
        let first =
            first.and_then(|first| self.resolve(first)).and_then(|first| first.get("value"));
        let example = media.get("example").or(first);
        Some(Body { content_type, example, schema: self.part(media, "schema") })
    }

    /// The keys of a mock for a body; none where it is too much.
    fn mocked(&self, body: &Body<'d>) -> Option<Vec<Entry>> {
        let json = is_json(body.content_type);
        let value = match (body.example, body.schema) {
            (Some(example), _) => Some(self.verbatim(example)?),
            (None, Some(schema)) if json || body.content_type.starts_with("text/") => {
                self.sample(schema)
            }
            // Nobody knows what a schema is in XML, or in an image.
            _ => None,
        };
        let Some(value) = value else { return Some(Vec::new()) };
        let mut entries = Vec::new();
        // Many write the example of a JSON body as its text.
        let written = value.text().is_some_and(|text| {
            serde_json::from_str::<serde_json::Value>(text)
                .is_ok_and(|value| value.is_object() || value.is_array())
        });
        let as_text = match &value.data {
            Data::Verbatim(_) => !json || written,
            _ => false,
        };
        let header =
            if body.content_type == "*/*" { "application/json" } else { body.content_type };
        let at = value.at;
        if as_text {
            entries.push(("body", value));
        } else if json {
            entries.push(("json", value));
        } else {
            let text = self.literal(&value).to_string();
            entries.push(("body", Node { at, data: Data::Verbatim(text) }));
        }
        if header != "application/json" || as_text {
            if HeaderValue::from_str(header).is_ok() {
                let header = Node { at, data: Data::Verbatim(header.to_owned()) };
                let name = HeaderName::from_static("content-type");
                entries.push(("headers", table(at, [(name.as_str(), header)])));
            } else {
                self.unserved(at, format!("{header:?} is not a content type"), "");
            }
        }
        Some(entries)
    }
}

/// The first success: the lowest code of 2xx, else `default`, else the lowest
/// of all that a response may have.
fn chosen(responses: &Node) -> Option<(u16, &Node)> {
    let entries = responses.entries()?;
    let lowest = |codes: std::ops::Range<u16>| {
        let known = entries.iter().filter_map(|(status, member)| {
            Some((
                status.parse::<u16>().ok().filter(|status| codes.contains(status))?,
                &member.node,
            ))
        });
        known.min_by_key(|(status, _)| *status)
    };
    let named = |names: [&str; 2]| {
        let member = names.into_iter().find_map(|name| entries.get(name))?;
        Some((200, &member.node))
    };
    lowest(200..300)
        .or_else(|| named(["2XX", "2xx"]))
        .or_else(|| named(["default", "Default"]))
        .or_else(|| lowest(300..600))
}

/// JSON if there is any, else the first.
fn preferred<'t>(mut types: impl Iterator<Item = &'t str>) -> Option<&'t str> {
    let first = types.next()?;
    let json = std::iter::once(first).chain(types).find(|own| is_json(own));
    json.or(Some(first))
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json") || essence == "*/*"
}

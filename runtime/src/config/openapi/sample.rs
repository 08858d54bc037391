//! A value that a schema allows, always the same one.

use super::{Definition, array, integer};
use crate::config::tree::{Data, Node};

/// The most values of one sample.
const NODES_MAX: usize = 1000;

/// How deep a sample nests.
const DEPTH_MAX: usize = 24;

/// The longest string that is made up, in characters.
const TEXT_CHARS_MAX: usize = 1000;

/// Strings of known formats.
const FORMATS: [(&str, &str); 15] = [
    ("byte", "c2FtcGxl"),
    ("date", "2024-01-31"),
    ("date-time", "2024-01-31T12:00:00Z"),
    ("duration", "PT1H"),
    ("email", "ada@example.com"),
    ("hostname", "example.com"),
    ("ipv4", "192.0.2.1"),
    ("ipv6", "2001:db8::1"),
    ("password", "password"),
    ("time", "12:00:00Z"),
    ("uri", "https://example.com"),
    ("uri-reference", "/sample"),
    ("url", "https://example.com"),
    ("guid", "3f2b8c1e-5d4a-4b6f-9c7e-8a1d2e3f4a5b"),
    ("uuid", "3f2b8c1e-5d4a-4b6f-9c7e-8a1d2e3f4a5b"),
];

struct Sampler<'s, 'd> {
    definition: &'s Definition<'d>,
    nodes: usize,
    /// The schemas that are being sampled, outermost first.
    open: Vec<*const Node>,
}

impl<'d> Definition<'d> {
    /// A sample of `schema`; none where it would have no end.
    pub fn sample(&self, schema: &'d Node) -> Option<Node> {
        Sampler { definition: self, nodes: 0, open: Vec::new() }.sample(schema)
    }
}

impl<'d> Sampler<'_, 'd> {
    fn sample(&mut self, schema: &'d Node) -> Option<Node> {
        self.nodes += 1;
        if self.nodes > NODES_MAX || self.open.len() >= DEPTH_MAX || !self.definition.spend(1, 0) {
            return None;
        }
        let schema = self.definition.resolve(schema)?;
        let own = std::ptr::from_ref(schema);
        if self.open.contains(&own) {
            return None;
        }
        self.open.push(own);
        let sample = self.inside(schema);
        self.open.pop();
        sample
    }

    fn inside(&mut self, schema: &'d Node) -> Option<Node> {
        let first = |key: &str| schema.get(key).and_then(|node| node.items().first());
        let given = schema.get("example").or_else(|| first("examples"));
        let given = given.or_else(|| schema.get("default")).or_else(|| schema.get("const"));
        if let Some(given) = given.or_else(|| first("enum")) {
            return self.definition.verbatim(given);
        }
        if let Some(parts) = schema.get("allOf") {
            return self.all_of(schema, parts);
        }
        let choices = ["oneOf", "anyOf"].into_iter().filter_map(|key| schema.get(key));
        for choice in choices.flat_map(Node::items) {
            if self.nodes > NODES_MAX {
                break;
            }
            let chosen = self.sample(choice).filter(|sample| sample.data != Data::Null);
            if let Some(Node { data: Data::Table(_), .. }) = &chosen
                && schema.get("properties").is_some()
            {
                return self.merged(schema, chosen);
            }
            if chosen.is_some() {
                return chosen;
            }
        }
        self.typed(schema)
    }

    fn typed(&mut self, schema: &'d Node) -> Option<Node> {
        let at = schema.at;
        let data = match kind(schema) {
            "object" => return self.merged(schema, None),
            "array" => {
                let item = schema.get("items").and_then(|items| self.sample(items));
                return Some(array(at, item.into_iter().collect()));
            }
            "string" => Data::Verbatim(text(schema)),
            "integer" => return Some(integer(at, self.whole(schema))),
            "number" => self.float(schema),
            "boolean" => Data::Boolean(true),
            _ => Data::Null,
        };
        Some(Node { at, data })
    }

    /// The properties of `schema` after those of `first`.
    fn merged(&mut self, schema: &'d Node, first: Option<Node>) -> Option<Node> {
        let mut entries = match first.map(|first| first.data) {
            Some(Data::Table(entries)) => entries,
            _ => Default::default(),
        };
        let properties = schema.get("properties").and_then(Node::entries);
        for (name, member) in properties.into_iter().flatten() {
            if self.nodes > NODES_MAX {
                break;
            }
            let hidden = matches!(
                member.node.get("writeOnly"),
                Some(Node { data: Data::Boolean(true), .. })
            );
            if hidden {
                continue;
            }
            // What would have no end ends here.
            if let Some(node) = self.sample(&member.node) {
                self.definition.spend(0, name.len());
                entries.insert(name.clone(), crate::config::tree::Member { at: member.at, node });
            }
        }
        Some(Node { at: schema.at, data: Data::Table(entries) })
    }

    fn all_of(&mut self, schema: &'d Node, parts: &'d Node) -> Option<Node> {
        let mut whole: Option<Node> = None;
        for part in parts.items() {
            if self.nodes > NODES_MAX {
                break;
            }
            let Some(sample) = self.sample(part) else { continue };
            match (&mut whole, sample.data) {
                (Some(Node { data: Data::Table(own), .. }), Data::Table(more)) => own.extend(more),
                (Some(Node { data: Data::Null, .. }) | None, data) => {
                    whole = Some(Node { at: sample.at, data });
                }
                _ => {}
            }
        }
        match &whole {
            Some(Node { data: Data::Table(_), .. }) | None => self.merged(schema, whole),
            Some(_) => whole,
        }
    }

    fn bound(&self, schema: &Node, key: &str) -> Option<f64> {
        let value = schema.get(key)?;
        match &value.data {
            Data::Integer(number) => Some(number.value as f64),
            Data::Float(number) => number.parse().ok(),
            _ => None,
        }
    }

    /// The number nearest to zero within the bounds, which step by `step`
    /// where they are exclusive.
    fn nearest(&self, schema: &Node, step: f64) -> f64 {
        let flag =
            |key: &str| matches!(schema.get(key), Some(Node { data: Data::Boolean(true), .. }));
        let inside = |bound: &str, exclusive: &str, step: f64| {
            let own = self.bound(schema, bound);
            match self.bound(schema, exclusive) {
                Some(value) => Some(value + step),
                None => own.map(|value| if flag(exclusive) { value + step } else { value }),
            }
        };
        let low = inside("minimum", "exclusiveMinimum", step);
        let high = inside("maximum", "exclusiveMaximum", -step);
        let value = low.filter(|low| *low > 0.0).or(high.filter(|high| *high < 0.0)).unwrap_or(0.0);
        match self.bound(schema, "multipleOf").filter(|of| *of > 0.0 && of.is_finite()) {
            Some(of) if value < 0.0 => (value / of).floor() * of,
            Some(of) => (value / of).ceil() * of,
            None => value,
        }
    }

    fn whole(&self, schema: &Node) -> i128 {
        let value = self.nearest(schema, 1.0);
        // Rounded away from zero, back within the bounds; 64 bits hold it.
        let value = if value < 0.0 { value.floor() } else { value.ceil() };
        i128::from(value as i64)
    }

    fn float(&self, schema: &Node) -> Data {
        let value = self.nearest(schema, 0.5);
        let value = if value.is_finite() { value } else { 0.0 };
        Data::Float(format!("{value:?}"))
    }
}

/// The type of a schema, said or shown by its keywords; the first that is not
/// null of several.
fn kind(schema: &Node) -> &str {
    let given = schema.get("type");
    let said = given.and_then(|given| match given.text() {
        Some(text) => Some(text),
        None => given.items().iter().filter_map(Node::text).find(|text| *text != "null"),
    });
    let shown = |keys: &[&str]| keys.iter().any(|key| schema.get(key).is_some());
    match said {
        Some(said) => said,
        None if shown(&["properties", "additionalProperties"]) => "object",
        None if shown(&["items"]) => "array",
        None if shown(&["minLength", "maxLength", "pattern", "format"]) => "string",
        None if shown(&["minimum", "maximum", "multipleOf"]) => "number",
        None => "null",
    }
}

fn text(schema: &Node) -> String {
    let format = schema.get("format").and_then(Node::text);
    let known = FORMATS.iter().find(|(name, _)| Some(*name) == format);
    let mut text = known.map_or("string", |(_, text)| text).to_owned();
    let bound = |key: &str| match schema.get(key).map(|node| &node.data) {
        Some(Data::Integer(number)) => usize::try_from(number.value).ok(),
        _ => None,
    };
    if let Some(max) = bound("maxLength") {
        text.truncate(max);
    }
    if let Some(min) = bound("minLength") {
        while text.len() < min.min(TEXT_CHARS_MAX) {
            text.push('x');
        }
    }
    text
}

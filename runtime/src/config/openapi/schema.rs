//! Schemas of OpenAPI as models, which are JSON schemas of draft 4.

use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
};

use serde_json::{Map, Value};

use super::{Definition, Version, reference::reference, string, table};
use crate::config::tree::{Data, Node};

/// Models that requests are validated with, and those that they refer to.
#[derive(Default)]
pub struct Models<'d> {
    /// By the address of the schema.
    names: HashMap<*const Node, String>,
    taken: HashSet<String>,
    /// In the order in which they were named, those before `done` translated.
    found: Vec<(String, &'d Node)>,
}

/// Keywords of draft 4 that mean the same in OpenAPI, whatever they hold.
const KEYWORDS: [&str; 13] = [
    "title",
    "description",
    "multipleOf",
    "maximum",
    "minimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "maxProperties",
    "minProperties",
];

/// Keywords that hold schemas by name.
const NAMED: [&str; 2] = ["properties", "patternProperties"];

/// Keywords that hold a list of schemas.
const LISTS: [&str; 3] = ["allOf", "anyOf", "oneOf"];

/// The types of draft 4.
const TYPES: [&str; 7] = ["array", "boolean", "integer", "null", "number", "object", "string"];

impl<'d> Definition<'d> {
    /// The name of the model for `schema`, which may be a reference.
    pub fn model(&self, schema: &'d Node, operation: &str) -> Option<String> {
        let resolved = self.resolve(schema)?;
        let wanted = match reference(schema) {
            Some((text, _)) => text.rsplit('/').next().unwrap_or_default().to_owned(),
            None => format!("{operation}Body"),
        };
        Some(self.named(resolved, &wanted))
    }

    fn named(&self, schema: &'d Node, wanted: &str) -> String {
        let mut models = self.models.borrow_mut();
        let models = &mut *models;
        let key = std::ptr::from_ref(schema);
        if let Some(name) = models.names.get(&key) {
            return name.clone();
        }
        let base: String = wanted.chars().filter(char::is_ascii_alphanumeric).collect();
        let base = if base.is_empty() { "Model".to_owned() } else { base };
        let mut name = base.clone();
        let mut number = models.found.len();
        while !models.taken.insert(name.clone()) {
            number += 1;
            name.clone_from(&base);
            let _ = write!(name, "{number}");
        }
        models.names.insert(key, name.clone());
        models.found.push((name.clone(), schema));
        name
    }

    /// The table of all models that have been asked for.
    pub fn models(&self) -> Option<Node> {
        let mut done = Vec::new();
        // Translating one may name others.
        loop {
            let next = self.models.borrow().found.get(done.len()).cloned();
            let Some((name, schema)) = next.filter(|_| !self.is_spent()) else { break };
            let text = self.schema(schema).to_string();
            let text = table(schema.at, [("schema", string(schema.at, text))]);
            done.push((name, text));
        }
        (!done.is_empty()).then(|| table(0, done))
    }

    /// A schema in draft 4. What that does not know is left out: annotations,
    /// and keywords that API Gateway does not know either.
    // Recursion is as deep as the document: references are not followed.
    fn schema(&self, node: &'d Node) -> Value {
        if !self.spend(1, 0) {
            return Value::Null;
        }
        let entries = match &node.data {
            Data::Table(entries) => entries,
            // All, or none: 3.1 has schemas that are booleans.
            Data::Boolean(false) => return serde_json::json!({ "not": {} }),
            _ => return Value::Object(Map::new()),
        };
        let mut schema = Map::new();
        if let Some(referred) = self.referred(node) {
            // Before 3.1 nothing counts beside a reference.
            if self.version != Version::OpenApi31 || entries.len() == 1 {
                return referred;
            }
            schema.insert("allOf".to_owned(), Value::Array(vec![referred]));
        }
        for (key, member) in entries {
            let value = &member.node;
            let key = key.as_str();
            if KEYWORDS.contains(&key) {
                schema.insert(key.to_owned(), self.literal(value));
            } else if NAMED.contains(&key) {
                let own = value.entries().into_iter().flatten();
                let own = own.map(|(name, member)| (name.clone(), self.schema(&member.node)));
                schema.insert(key.to_owned(), Value::Object(own.collect()));
            } else if LISTS.contains(&key) && !value.items().is_empty() {
                let items = value.items().iter().map(|item| self.schema(item));
                match schema.get_mut(key).and_then(Value::as_array_mut) {
                    Some(list) => list.extend(items),
                    None => drop(schema.insert(key.to_owned(), items.collect())),
                }
            } else if let Some(value) = self.special(key, value) {
                let (key, value) = value;
                schema.insert(key.to_owned(), value);
            }
        }
        self.bounds(node, &mut schema);
        self.nullable(node, &mut schema);
        Value::Object(schema)
    }

    fn referred(&self, node: &'d Node) -> Option<Value> {
        let (text, at) = reference(node)?;
        let target = self.target(text, at)?;
        let name = self.named(target, text.rsplit('/').next().unwrap_or_default());
        Some(serde_json::json!({
            "$ref": format!("https://apigateway.amazonaws.com/restapis/api/models/{name}")
        }))
    }

    /// Keywords whose form differs.
    fn special(&self, key: &str, value: &'d Node) -> Option<(&'static str, Value)> {
        let flag = matches!(value.data, Data::Boolean(_));
        Some(match key {
            "type" => ("type", types(value)?),
            "format" => ("format", value.text()?.into()),
            // Draft 3 had it as a boolean of a property, and many still do.
            "required" if !value.items().is_empty() => ("required", self.literal(value)),
            "enum" if !value.items().is_empty() => ("enum", self.literal(value)),
            "const" => ("enum", Value::Array(vec![self.literal(value)])),
            "not" => ("not", self.schema(value)),
            "additionalProperties" if flag => ("additionalProperties", self.literal(value)),
            "additionalProperties" => ("additionalProperties", self.schema(value)),
            "items" if flag => ("additionalItems", self.literal(value)),
            "items" | "prefixItems" => match &value.data {
                Data::Array(items) => {
                    ("items", items.iter().map(|item| self.schema(item)).collect())
                }
                _ => ("items", self.schema(value)),
            },
            _ => return None,
        })
    }

    /// Exclusive bounds are flags in draft 4 and numbers in 3.1.
    fn bounds(&self, node: &'d Node, schema: &mut Map<String, Value>) {
        for (exclusive, bound) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")]
        {
            match node.get(exclusive) {
                Some(Node { data: Data::Boolean(flag), .. }) if schema.contains_key(bound) => {
                    schema.insert(exclusive.to_owned(), (*flag).into());
                }
                Some(given) if matches!(given.data, Data::Integer(_) | Data::Float(_)) => {
                    schema.insert(bound.to_owned(), self.literal(given));
                    schema.insert(exclusive.to_owned(), true.into());
                }
                _ => {}
            }
        }
    }

    /// Null is a type of its own in draft 4.
    fn nullable(&self, node: &'d Node, schema: &mut Map<String, Value>) {
        let says =
            |key: &str| matches!(node.get(key), Some(Node { data: Data::Boolean(true), .. }));
        if self.version == Version::OpenApi31 || !(says("nullable") || says("x-nullable")) {
            return;
        }
        if let Some(Value::String(own)) = schema.get("type") {
            let both = serde_json::json!([own, "null"]);
            schema.insert("type".to_owned(), both);
            if let Some(Value::Array(values)) = schema.get_mut("enum")
                && !values.contains(&Value::Null)
            {
                values.push(Value::Null);
            }
        }
    }

    /// A value as JSON.
    // Recursion is as deep as the document.
    pub fn literal(&self, node: &Node) -> Value {
        if !self.spend(1, node.text().map_or(0, str::len)) {
            return Value::Null;
        }
        match &node.data {
            Data::Null => Value::Null,
            Data::Boolean(flag) => (*flag).into(),
            Data::Integer(number) => match i64::try_from(number.value) {
                Ok(value) => value.into(),
                Err(_) => float(&number.text),
            },
            Data::Float(number) => float(number),
            Data::String(text) | Data::Verbatim(text) | Data::Datetime(text) => text.clone().into(),
            Data::Array(items) => items.iter().map(|item| self.literal(item)).collect(),
            Data::Table(entries) => {
                let entries = entries.iter();
                let entries =
                    entries.map(|(key, member)| (key.clone(), self.literal(&member.node)));
                Value::Object(entries.collect())
            }
        }
    }
}

fn float(text: &str) -> Value {
    let number = text.parse().ok().and_then(serde_json::Number::from_f64);
    number.map_or_else(|| text.into(), Value::Number)
}

/// The types of draft 4 among those that are given; none for `file` and what
/// else is no type.
fn types(value: &Node) -> Option<Value> {
    let known = |node: &Node| node.text().filter(|text| TYPES.contains(text)).map(Value::from);
    match &value.data {
        Data::Array(items) => {
            let mut types: Vec<Value> = Vec::new();
            for own in items.iter().filter_map(known) {
                if !types.contains(&own) {
                    types.push(own);
                }
            }
            (!types.is_empty()).then_some(Value::Array(types))
        }
        _ => known(value),
    }
}

//! What is wrong with a body, in the service's words and in its order.
//!
//! The service validates with the Java library json-schema-validator: it looks
//! at a value before it looks into it, at members in the order of their names,
//! and no deeper once something is wrong. Words: <https://github.com/java-json-tools/json-schema-validator>

use std::collections::{BTreeMap, BTreeSet};

use jsonschema::{
    ValidationError, error::TypeKind, error::ValidationErrorKind as Kind, paths::LocationSegment,
};
use serde_json::Value;

use crate::config::Model;

/// Errors of one body that are looked at; a body may have one in every line.
const ERRORS_MAX: usize = 1000;

/// Messages of one body that are told.
const MESSAGES_MAX: usize = 20;

/// A step into a value, ordered as the service goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Index(usize),
    Member(String),
}

/// Errors by where they are; a place comes before what is in it.
type Found = BTreeMap<Vec<Step>, Place>;

/// The errors of one value.
#[derive(Default)]
struct Place {
    /// Messages by keyword.
    messages: BTreeSet<(&'static str, String)>,
    /// Required members that are missing.
    missing: BTreeSet<String>,
    /// Members that may not be there.
    unexpected: BTreeSet<String>,
    /// Schemas of an `allOf` that do not match, and how many it has.
    all_of: BTreeMap<String, (BTreeSet<usize>, usize)>,
}

/// The messages for `body`; none where it is as the model says.
pub fn messages(model: &Model, body: &Value) -> Vec<String> {
    let mut found = Found::new();
    for error in model.validator.iter_errors(body).take(ERRORS_MAX) {
        note(model, body, &error, &mut found);
    }
    let Some(first) = found.keys().next().cloned() else { return Vec::new() };
    // After the first error the values beside it, and beside what it is in,
    // are still looked at, but not into.
    let is_seen = |path: &[Step]| match path.split_last() {
        _ if *path == *first => true,
        Some((_, parent)) => parent.len() < first.len() && first.starts_with(parent),
        None => false,
    };
    let seen = found.into_iter().filter(|(path, _)| is_seen(path));
    seen.flat_map(|(_, place)| place.into_messages()).take(MESSAGES_MAX).collect()
}

impl Place {
    fn into_messages(mut self) -> impl Iterator<Item = String> {
        for (failed, total) in self.all_of.into_values() {
            let matched = total.saturating_sub(failed.len());
            let text = format!(
                "instance failed to match all required schemas (matched only {matched} out of {total})"
            );
            self.messages.insert(("allOf", text));
        }
        if !self.missing.is_empty() {
            let text = format!("object has missing required properties ({})", list(self.missing));
            self.messages.insert(("required", text));
        }
        if !self.unexpected.is_empty() {
            let what = "object instance has properties which are not allowed by the schema";
            let text = format!("{what}: {}", list(self.unexpected));
            self.messages.insert(("additionalProperties", text));
        }
        self.messages.into_iter().map(|(_, text)| text)
    }
}

fn note(model: &Model, body: &Value, error: &ValidationError<'_>, found: &mut Found) {
    let path: Vec<Step> = error
        .instance_path()
        .iter()
        .map(|segment| match segment {
            LocationSegment::Index(index) => Step::Index(index),
            LocationSegment::Property(name) => Step::Member(name.into_owned()),
        })
        .collect();
    if let Some(all_of) = outermost_all_of(model, error) {
        let outer = path.get(..all_of.depth).unwrap_or(&path).to_vec();
        let place = found.entry(outer).or_default();
        let entry = place.all_of.entry(all_of.path).or_insert((BTreeSet::new(), all_of.total));
        entry.0.insert(all_of.index);
        return;
    }
    let place = found.entry(path).or_default();
    match error.kind() {
        // Where nothing is allowed, the library names nothing.
        Kind::FalseSchema => {
            let members = body.pointer(error.instance_path().as_str()).and_then(Value::as_object);
            place
                .unexpected
                .extend(members.into_iter().flat_map(|members| members.keys().cloned()));
        }
        Kind::AdditionalProperties { unexpected } => {
            place.unexpected.extend(unexpected.iter().cloned());
        }
        Kind::Required { property } => {
            place.missing.insert(property.as_str().unwrap_or_default().to_owned());
        }
        kind => {
            place.messages.insert(message(kind, error));
        }
    }
}

/// The `allOf` that an error lies in: its schemas' own errors are not told.
struct AllOf {
    /// How deep in the body it applies.
    depth: usize,
    /// Where it is.
    path: String,
    /// Which of its schemas does not match.
    index: usize,
    /// How many schemas it has.
    total: usize,
}

fn outermost_all_of(model: &Model, error: &ValidationError<'_>) -> Option<AllOf> {
    let evaluated = error.evaluation_path();
    let segments: Vec<String> = evaluated.iter().map(|segment| segment.to_string()).collect();
    let mut schema = model.schemas.get(&model.name);
    let mut root = schema;
    let (mut depth, mut at) = (0, 0);
    while let Some(keyword) = segments.get(at) {
        let next = segments.get(at + 1);
        schema = schema.and_then(|schema| schema.get(keyword));
        at += 1;
        match keyword.as_str() {
            "allOf" => {
                let total = schema.and_then(Value::as_array).map_or(1, Vec::len);
                let index = next?.parse().ok()?;
                return Some(AllOf { depth, path: segments.get(..at)?.join("/"), index, total });
            }
            "properties" | "patternProperties" => {
                schema = schema.and_then(|schema| schema.get(next?));
                at += 1;
                depth += 1;
            }
            "items" => {
                if let Some(index) = next.and_then(|next| next.parse::<usize>().ok()) {
                    schema = schema.and_then(|schema| schema.get(index));
                    at += 1;
                }
                depth += 1;
            }
            "additionalProperties" | "additionalItems" => depth += 1,
            "dependencies" => {
                schema = schema.and_then(|schema| schema.get(next?));
                at += 1;
            }
            "$ref" => {
                let target = schema.and_then(Value::as_str)?;
                let (document, pointer) = target.split_once('#').unwrap_or((target, ""));
                if let Some((_, name)) = document.rsplit_once("/models/") {
                    root = model.schemas.get(name);
                }
                schema = root.and_then(|root| root.pointer(pointer));
            }
            _ => return None,
        }
    }
    None
}

/// The keyword that an error is of, and its message.
fn message(kind: &Kind, error: &ValidationError<'_>) -> (&'static str, String) {
    let instance = &**error.instance();
    let text = || instance.as_str().unwrap_or_default();
    let chars = || text().chars().count();
    let items = || instance.as_array().map_or(0, Vec::len);
    let members = || instance.as_object().map_or(0, serde_json::Map::len);
    match kind {
        Kind::Type { kind } => ("type", type_message(kind, instance)),
        Kind::Enum { options } => (
            "enum",
            format!("instance value ({instance}) not found in enum (possible values: {options})"),
        ),
        Kind::AdditionalItems { limit } => (
            "additionalItems",
            format!(
                "schema only allows {limit} elements in array but instance has {} elements",
                items()
            ),
        ),
        Kind::MinItems { limit } => ("minItems", items_message("short", "least", *limit, items())),
        Kind::MaxItems { limit } => ("maxItems", items_message("long", "most", *limit, items())),
        Kind::UniqueItems => {
            ("uniqueItems", "array must not contain duplicate elements".to_owned())
        }
        Kind::Minimum { limit } => ("minimum", bound("lower", "minimum", limit, instance)),
        Kind::Maximum { limit } => ("maximum", bound("greater", "maximum", limit, instance)),
        Kind::ExclusiveMinimum { limit } if limit.as_f64() == instance.as_f64() => (
            "minimum",
            format!("numeric instance is not strictly greater than the required minimum {limit}"),
        ),
        Kind::ExclusiveMaximum { limit } if limit.as_f64() == instance.as_f64() => (
            "maximum",
            format!("numeric instance is not strictly lower than the required maximum {limit}"),
        ),
        Kind::ExclusiveMinimum { limit } => ("minimum", bound("lower", "minimum", limit, instance)),
        Kind::ExclusiveMaximum { limit } => {
            ("maximum", bound("greater", "maximum", limit, instance))
        }
        Kind::MultipleOf { multiple_of } => (
            "multipleOf",
            format!("remainder of division is not zero ({instance} / {multiple_of})"),
        ),
        Kind::MinLength { limit } => (
            "minLength",
            format!(
                "string \"{}\" is too short (length: {}, required minimum: {limit})",
                text(),
                chars()
            ),
        ),
        Kind::MaxLength { limit } => (
            "maxLength",
            format!(
                "string \"{}\" is too long (length: {}, maximum allowed: {limit})",
                text(),
                chars()
            ),
        ),
        Kind::Pattern { pattern } => (
            "pattern",
            format!("ECMA 262 regex \"{pattern}\" does not match input string \"{}\"", text()),
        ),
        Kind::MinProperties { limit } => {
            ("minProperties", count("few", members(), "least", *limit))
        }
        Kind::MaxProperties { limit } => {
            ("maxProperties", count("many", members(), "most", *limit))
        }
        Kind::AnyOf { context } => (
            "anyOf",
            format!(
                "instance failed to match at least one required schema among {}",
                context.len()
            ),
        ),
        Kind::OneOfNotValid { context } | Kind::OneOfMultipleValid { context } => {
            let matched = context.iter().filter(|errors| errors.is_empty()).count();
            let what = "instance failed to match exactly one schema";
            ("oneOf", format!("{what} (matched {matched} out of {})", context.len()))
        }
        Kind::Not { .. } => {
            ("not", "instance matched a schema which it should not have".to_owned())
        }
        Kind::Format { format } => ("format", format_message(format, text())),
        _ => ("", error.to_string()),
    }
}

fn type_message(allowed: &TypeKind, instance: &Value) -> String {
    let found = match instance {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let mut names: BTreeSet<String> = match allowed {
        TypeKind::Single(kind) => [kind.to_string()].into(),
        TypeKind::Multiple(kinds) => kinds.iter().map(|kind| kind.to_string()).collect(),
    };
    // Every integer is a number.
    if names.contains("number") {
        names.insert("integer".to_owned());
    }
    let allowed = list(names);
    format!(
        "instance type ({found}) does not match any allowed primitive type (allowed: {allowed})"
    )
}

fn bound(which: &str, name: &str, limit: &Value, instance: &Value) -> String {
    format!(
        "numeric instance is {which} than the required {name} ({name}: {limit}, found: {instance})"
    )
}

fn items_message(what: &str, bound: &str, limit: u64, found: usize) -> String {
    format!(
        "array is too {what}: must have at {bound} {limit} elements but instance has {found} elements"
    )
}

fn count(what: &str, found: usize, bound: &str, limit: u64) -> String {
    format!(
        "object has too {what} properties (found {found} but schema requires at {bound} {limit})"
    )
}

fn format_message(format: &str, text: &str) -> String {
    match format {
        "email" => format!("string \"{text}\" is not a valid email address"),
        "hostname" => format!("string \"{text}\" is not a valid hostname"),
        "ipv4" => format!("string \"{text}\" is not a valid IPv4 address"),
        "ipv6" => format!("string \"{text}\" is not a valid IPv6 address"),
        "uri" => format!("string \"{text}\" is not a valid URI"),
        "regex" => format!("string \"{text}\" is not a valid ECMA 262 regular expression"),
        "date-time" => {
            let formats = r#"["yyyy-MM-dd'T'HH:mm:ssZ","yyyy-MM-dd'T'HH:mm:ss.[0-9]{1,12}Z"]"#;
            format!("string \"{text}\" is invalid against requested date format(s) {formats}")
        }
        other => format!("string \"{text}\" is not a valid {other}"),
    }
}

/// Names as a JSON array.
fn list(names: BTreeSet<String>) -> String {
    names.into_iter().collect::<Value>().to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;

    fn messages_of(schema: &Value, body: &Value) -> String {
        let schemas = BTreeMap::from([("Pet".to_owned(), schema.clone())]);
        let model = Model::compiled("Pet", schema, &Arc::new(schemas)).expect("a schema");
        messages(&model, body).join(", ")
    }

    #[test]
    fn each_keyword_has_the_service_s_words() {
        let cases = [
            (
                json!({ "type": "number" }),
                json!("1"),
                "instance type (string) does not match any allowed primitive type (allowed: [\"integer\",\"number\"])",
            ),
            (
                json!({ "type": ["string", "null"] }),
                json!(1.5),
                "instance type (number) does not match any allowed primitive type (allowed: [\"null\",\"string\"])",
            ),
            (
                json!({ "enum": ["b", "a", 1] }),
                json!("AB"),
                "instance value (\"AB\") not found in enum (possible values: [\"b\",\"a\",1])",
            ),
            (
                json!({ "minimum": 3 }),
                json!(-1),
                "numeric instance is lower than the required minimum (minimum: 3, found: -1)",
            ),
            (
                json!({ "minimum": 3, "exclusiveMinimum": true }),
                json!(3),
                "numeric instance is not strictly greater than the required minimum 3",
            ),
            (
                json!({ "minimum": 3, "exclusiveMinimum": true }),
                json!(2),
                "numeric instance is lower than the required minimum (minimum: 3, found: 2)",
            ),
            (
                json!({ "maximum": 0.5 }),
                json!(1),
                "numeric instance is greater than the required maximum (maximum: 0.5, found: 1)",
            ),
            (json!({ "multipleOf": 2 }), json!(3), "remainder of division is not zero (3 / 2)"),
            (
                json!({ "minLength": 3 }),
                json!("äb"),
                "string \"äb\" is too short (length: 2, required minimum: 3)",
            ),
            (
                json!({ "maxLength": 1 }),
                json!("ab"),
                "string \"ab\" is too long (length: 2, maximum allowed: 1)",
            ),
            (
                json!({ "pattern": "^a$" }),
                json!("b"),
                "ECMA 262 regex \"^a$\" does not match input string \"b\"",
            ),
            (
                json!({ "minItems": 1 }),
                json!([]),
                "array is too short: must have at least 1 elements but instance has 0 elements",
            ),
            (
                json!({ "maxItems": 1 }),
                json!([1, 2]),
                "array is too long: must have at most 1 elements but instance has 2 elements",
            ),
            (
                json!({ "items": [{}], "additionalItems": false }),
                json!([1, 2]),
                "schema only allows 1 elements in array but instance has 2 elements",
            ),
            (
                json!({ "uniqueItems": true }),
                json!([1, 1]),
                "array must not contain duplicate elements",
            ),
            (
                json!({ "required": ["b", "a", "c"] }),
                json!({ "c": 1 }),
                "object has missing required properties ([\"a\",\"b\"])",
            ),
            (
                json!({ "additionalProperties": false }),
                json!({ "b": 1, "a": 1 }),
                "object instance has properties which are not allowed by the schema: [\"a\",\"b\"]",
            ),
            (
                json!({ "minProperties": 1 }),
                json!({}),
                "object has too few properties (found 0 but schema requires at least 1)",
            ),
            (
                json!({ "maxProperties": 0 }),
                json!({ "a": 1 }),
                "object has too many properties (found 1 but schema requires at most 0)",
            ),
            (json!({ "not": {} }), json!(1), "instance matched a schema which it should not have"),
            (
                json!({ "anyOf": [{ "type": "null" }, { "type": "array" }] }),
                json!(1),
                "instance failed to match at least one required schema among 2",
            ),
            (
                json!({ "oneOf": [{ "type": "null" }, { "type": "array" }] }),
                json!(1),
                "instance failed to match exactly one schema (matched 0 out of 2)",
            ),
            (
                json!({ "oneOf": [{}, { "type": "null" }, {}] }),
                json!(1),
                "instance failed to match exactly one schema (matched 2 out of 3)",
            ),
            (
                json!({ "allOf": [{}, { "required": ["a", "b"] }, { "type": "object" }] }),
                json!({}),
                "instance failed to match all required schemas (matched only 2 out of 3)",
            ),
            (json!({ "format": "email" }), json!("a"), "string \"a\" is not a valid email address"),
            (json!({ "minimum": 3 }), json!(3), ""),
        ];
        for (schema, body, expected) in cases {
            assert_eq!(messages_of(&schema, &body), expected, "{schema}");
        }
    }

    #[test]
    fn errors_are_told_level_by_level() {
        let leaf = json!({ "type": "integer" });
        let deep = json!({ "properties": { "x": leaf } });
        let schema = json!({
            "required": ["a"],
            "properties": {
                "a": leaf,
                "b": deep,
                "c": { "required": ["y"], "properties": { "x": leaf } },
                "d": { "items": { "$ref": "#/definitions/leaf" } },
            },
            "definitions": { "leaf": { "allOf": [leaf, {}] } },
        });
        let integer = "instance type (string) does not match any allowed primitive type (allowed: [\"integer\"])";
        // What is wrong with the whole hides what is wrong within.
        let missing = "object has missing required properties ([\"a\"])";
        assert_eq!(messages_of(&schema, &json!({ "b": { "x": "1" } })), missing);
        // Members in the order of their names, and not into those that follow an error.
        let body = json!({ "c": { "x": "1" }, "b": { "x": "1" }, "a": "1" });
        let missing = "object has missing required properties ([\"y\"])";
        assert_eq!(messages_of(&schema, &body), format!("{integer}, {missing}"));
        let body = json!({ "a": 1, "b": { "x": "1" }, "c": { "x": "1", "y": 1 } });
        assert_eq!(messages_of(&schema, &body), integer);
        let body = json!({ "a": 1, "d": [1, "1", "2"] });
        let all_of = "instance failed to match all required schemas (matched only 1 out of 2)";
        assert_eq!(messages_of(&schema, &body), format!("{all_of}, {all_of}"));
    }
}

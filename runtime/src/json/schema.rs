//! Borrowed values as JSON schemas see them.

use std::{borrow::Cow, slice};

use jsonschema::{
    JsonType,
    json::{Array, Json, Node, NodeIdentity, Object, cmp},
};
use serde_json::{Number, Value};

use super::Borrowed;

/// A representation of JSON: [`Borrowed`], in whose objects no two members have the
/// same name.
pub struct BorrowedJson;

type Member<'t> = (Cow<'t, str>, Borrowed<'t>);

impl Json for BorrowedJson {
    type Node<'t> = &'t Borrowed<'t>;
    type PreparedKey = String;
    type StringBuffer = ();

    // A member is looked for among all of them.
    const KEYS_PER_LOOKUP: usize = 4;

    fn prepare_key(key: &str) -> String {
        key.to_owned()
    }

    fn with_string_node<T>((): &mut (), string: &str, f: impl FnOnce(Self::Node<'_>) -> T) -> T {
        f(&Borrowed::String(string.into()))
    }
}

impl<'t> Node<'t, BorrowedJson> for &'t Borrowed<'t> {
    type Object = &'t [Member<'t>];
    type Array = &'t [Borrowed<'t>];
    type Number = &'t Number;

    fn as_object(&self) -> Option<&'t [Member<'t>]> {
        if let Borrowed::Object(members) = self { Some(members) } else { None }
    }

    fn as_array(&self) -> Option<&'t [Borrowed<'t>]> {
        if let Borrowed::Array(values) = self { Some(values) } else { None }
    }

    fn as_string(&self) -> Option<Cow<'t, str>> {
        if let Borrowed::String(text) = self { Some(Cow::Borrowed(text)) } else { None }
    }

    fn as_number(&self) -> Option<&'t Number> {
        if let Borrowed::Number(number) = self { Some(number) } else { None }
    }

    fn as_boolean(&self) -> Option<bool> {
        if let Borrowed::Bool(flag) = self { Some(*flag) } else { None }
    }

    fn is_null(&self) -> bool {
        matches!(self, Borrowed::Null)
    }

    fn json_type(&self) -> JsonType {
        match self {
            Borrowed::Null => JsonType::Null,
            Borrowed::Bool(_) => JsonType::Boolean,
            Borrowed::Number(_) => JsonType::Number,
            Borrowed::String(_) => JsonType::String,
            Borrowed::Array(_) => JsonType::Array,
            Borrowed::Object(_) => JsonType::Object,
        }
    }

    fn equals_value(&self, expected: &Value) -> bool {
        match (self, expected) {
            (Borrowed::String(text), Value::String(expected)) => *text == expected.as_str(),
            _ => cmp::equal(&self.to_value(), expected),
        }
    }

    fn to_value(&self) -> Cow<'t, Value> {
        // Only names that are no texts could fail.
        Cow::Owned(serde_json::to_value(self).unwrap_or_default())
    }

    fn identity(&self) -> Option<NodeIdentity> {
        Some(NodeIdentity::new(std::ptr::from_ref(*self).addr()))
    }
}

/// The members of an object.
pub struct Members<'t>(slice::Iter<'t, Member<'t>>);

impl<'t> Iterator for Members<'t> {
    type Item = (&'t str, &'t Borrowed<'t>);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(name, value)| (&**name, value))
    }
}

impl<'t> Object<'t, BorrowedJson> for &'t [Member<'t>] {
    type Node = &'t Borrowed<'t>;
    type MemberName = &'t str;
    type MembersIter = Members<'t>;

    fn len(&self) -> usize {
        <[_]>::len(self)
    }

    fn get(&self, key: &String) -> Option<&'t Borrowed<'t>> {
        self.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    fn members(&self) -> Members<'t> {
        Members(self.iter())
    }
}

impl<'t> Array<'t, BorrowedJson> for &'t [Borrowed<'t>] {
    type Node = &'t Borrowed<'t>;
    type ElementsIter = slice::Iter<'t, Borrowed<'t>>;

    fn len(&self) -> usize {
        <[_]>::len(self)
    }

    fn elements(&self) -> slice::Iter<'t, Borrowed<'t>> {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use jsonschema::{Draft, Validator};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// Schemas with all keywords of draft 4 between them.
    fn schemas() -> Vec<Value> {
        vec![
            json!({ "type": ["object", "array", "integer"], "minProperties": 1, "maxProperties": 2 }),
            json!({ "required": ["a"], "properties": { "a": { "type": "number" } } }),
            json!({ "required": ["a", "b", "c"], "additionalProperties": false,
                "properties": { "a": {}, "b": {}, "c": { "type": "null" } } }),
            json!({ "patternProperties": { "^[ab]$": { "type": "string", "minLength": 2 } },
                "additionalProperties": { "type": "boolean" } }),
            json!({ "dependencies": { "a": ["b"], "b": { "required": ["c"] } } }),
            json!({ "items": { "type": "string", "maxLength": 3, "pattern": "^é?" } }),
            json!({ "items": [{ "enum": [1, "a", null, [true]] }, {}], "additionalItems": false }),
            json!({ "uniqueItems": true, "minItems": 1, "maxItems": 3 }),
            json!({ "minimum": 0, "maximum": 2, "exclusiveMaximum": true, "multipleOf": 0.5 }),
            json!({ "anyOf": [{ "type": "string", "format": "ipv4" }, { "enum": [{ "a": 1 }, []] }] }),
            json!({ "oneOf": [{ "type": "number" }, { "minimum": 1 }, { "required": ["a"] }] }),
            json!({ "allOf": [{ "not": { "type": "array" } }, { "not": { "enum": [true, 1] } }] }),
            json!({ "type": "object", "additionalProperties": { "$ref": "#" }, "maxProperties": 2 }),
            json!({ "definitions": { "list": { "items": { "$ref": "#/definitions/list" },
                "not": { "type": "string" } } }, "$ref": "#/definitions/list" }),
        ]
    }

    fn body() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(json!(null)),
            any::<bool>().prop_map(Value::from),
            (-1_i64..4).prop_map(Value::from),
            Just(json!(u64::MAX)),
            (-2_i8..6).prop_map(|halves| json!(f64::from(halves) / 2.0)),
            "[aé\"\\\\]{0,4}|127\\.0\\.0\\.1".prop_map(Value::from),
        ];
        scalar.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[abcd]", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_valid_is_valid_in_either_form(body in body(), schema in 0..schemas().len()) {
            let schema = &schemas()[schema];
            let text = body.to_string();
            let own: Borrowed<'_> = serde_json::from_str(&text).expect("JSON");
            let of_values: Validator =
                jsonschema::options().with_draft(Draft::Draft4).build(schema).expect("a schema");
            let options = jsonschema::options_for::<BorrowedJson>();
            let borrowed = options.with_draft(Draft::Draft4).build(schema).expect("a schema");
            prop_assert_eq!(borrowed.is_valid(&own), of_values.is_valid(&body), "{} {}", schema, text);
            prop_assert_eq!((&own).to_value().into_owned(), body);
        }
    }
}

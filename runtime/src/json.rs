//! JSON on the way of every request: written member by member into one buffer,
//! read without copying what has no escapes.

mod schema;

use std::{
    borrow::Cow,
    collections::HashSet,
    fmt::{self, Display, Write as _},
};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::Number;

pub use schema::BorrowedJson;

/// A text that is being written. What is in it stays JSON as long as members
/// are written in objects and values in lists.
#[derive(Debug)]
pub struct Writer(String);

impl Writer {
    /// An empty text with room for `bytes`.
    pub fn with_capacity(bytes: usize) -> Self {
        Self(String::with_capacity(bytes))
    }

    /// The text.
    pub fn finish(self) -> String {
        self.0
    }

    /// An object of what `members` writes.
    pub fn object(&mut self, members: impl FnOnce(&mut Self)) {
        self.0.push('{');
        members(self);
        self.0.push('}');
    }

    /// An array of what `values` writes, each begun with [`item`](Self::item).
    pub fn array(&mut self, values: impl FnOnce(&mut Self)) {
        self.0.push('[');
        values(self);
        self.0.push(']');
    }

    /// Begins a member whose name needs no escapes; its value follows.
    // So that a name, whose length is known where this is called, is copied without
    // a call.
    #[inline(always)]
    pub fn member(&mut self, name: &'static str) -> &mut Self {
        debug_assert!(!name.bytes().any(is_escaped), "{name:?}");
        self.separate();
        self.0.push('"');
        self.0.push_str(name);
        self.0.push_str("\":");
        self
    }

    /// The same for any name.
    pub fn entry(&mut self, name: &str) -> &mut Self {
        self.separate();
        self.text(name);
        self.0.push(':');
        self
    }

    /// Begins a value of an array.
    pub fn item(&mut self) -> &mut Self {
        self.separate();
        self
    }

    // No value ends with an opening bracket: texts end with a quote.
    fn separate(&mut self) {
        if !matches!(self.0.as_bytes().last(), Some(b'{' | b'[')) {
            self.0.push(',');
        }
    }

    /// A string.
    pub fn text(&mut self, text: &str) {
        self.0.push('"');
        match is_any(text.as_bytes(), is_escaped) {
            true => self.escaped(text),
            false => self.0.push_str(text),
        }
        self.0.push('"');
    }

    fn escaped(&mut self, mut rest: &str) {
        while let Some(at) = rest.bytes().position(is_escaped) {
            let (plain, escaped) = rest.split_at(at);
            self.0.push_str(plain);
            // What is escaped has one byte.
            let (escaped, behind) = escaped.split_at(1);
            self.escape(escaped.as_bytes()[0]);
            rest = behind;
        }
        self.0.push_str(rest);
    }

    fn escape(&mut self, byte: u8) {
        let short = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x08 => "\\b",
            0x0c => "\\f",
            // Writing to a String cannot fail.
            _ => return write!(self.0, "\\u{byte:04x}").unwrap_or_default(),
        };
        self.0.push_str(short);
    }

    /// A string, or `null`.
    pub fn text_or_null(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.text(text),
            None => self.null(),
        }
    }

    /// `null`.
    pub fn null(&mut self) {
        self.0.push_str("null");
    }

    /// `true` or `false`.
    pub fn flag(&mut self, flag: bool) {
        self.0.push_str(if flag { "true" } else { "false" });
    }

    /// A number.
    pub fn number(&mut self, number: u64) {
        // Writing to a String cannot fail.
        let _ = write!(self.0, "{number}");
    }

    /// Anything that has a JSON form.
    pub fn value(&mut self, value: &(impl Serialize + ?Sized)) {
        match serde_json::to_string(value) {
            Ok(text) => self.0.push_str(&text),
            // Only of maps whose keys are no texts.
            Err(_) => self.null(),
        }
    }
}

fn is_escaped(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\'
}

/// Whether any of the bytes is so; many are looked at at once, since mostly none is.
fn is_any(bytes: &[u8], is_so: impl Fn(u8) -> bool + Copy) -> bool {
    if bytes.len() >= 16 {
        is_any_of::<16>(bytes, is_so)
    } else if bytes.len() >= 8 {
        is_any_of::<8>(bytes, is_so)
    } else {
        bytes.iter().any(|&byte| is_so(byte))
    }
}

/// The same by pieces of `N` bytes, of which there is one at least.
fn is_any_of<const N: usize>(bytes: &[u8], is_so: impl Fn(u8) -> bool) -> bool {
    let is_among = |piece: &[u8; N]| piece.iter().fold(false, |any, &byte| any | is_so(byte));
    // The last ones may have been looked at already.
    bytes.as_chunks().0.iter().any(is_among) || bytes.last_chunk().is_some_and(is_among)
}

/// A value whose texts are those of what it was read from. Members keep their
/// order, and nothing is made of members that have the same name.
#[derive(Debug, Default)]
pub enum Borrowed<'t> {
    #[default]
    Null,
    Bool(bool),
    Number(Number),
    String(Cow<'t, str>),
    Array(Vec<Self>),
    Object(Vec<(Cow<'t, str>, Self)>),
}

impl<'t> Borrowed<'t> {
    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }

    /// Whether no two members of an object in it have the same name.
    pub fn has_distinct_names(&self) -> bool {
        match self {
            Self::Array(values) => values.iter().all(Self::has_distinct_names),
            Self::Object(members) => {
                let mut names = members.iter().map(|(name, _)| name);
                let are_distinct = if members.len() <= FEW_MEMBERS {
                    let is_new = |(at, name)| names.clone().take(at).all(|own| own != name);
                    names.clone().enumerate().all(is_new)
                } else {
                    let mut known = HashSet::with_capacity(members.len());
                    names.all(|name| known.insert(name))
                };
                are_distinct && members.iter().all(|(_, value)| value.has_distinct_names())
            }
            _ => true,
        }
    }

    /// The text of what prints as one.
    ///
    /// # Errors
    /// Itself, where it is anything else.
    pub fn into_text(self) -> Result<Cow<'t, str>, Self> {
        match self {
            Self::String(text) => Ok(text),
            Self::Bool(flag) => Ok(if flag { "true" } else { "false" }.into()),
            Self::Number(number) => Ok(number.to_string().into()),
            other => Err(other),
        }
    }
}

/// So many members are compared with each other sooner than put into a set.
const FEW_MEMBERS: usize = 8;

impl Display for Borrowed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl Serialize for Borrowed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(flag) => serializer.serialize_bool(*flag),
            Self::Number(number) => number.serialize(serializer),
            Self::String(text) => serializer.serialize_str(text),
            Self::Array(values) => serializer.collect_seq(values),
            Self::Object(members) => {
                serializer.collect_map(members.iter().map(|(name, value)| (name, value)))
            }
        }
    }
}

impl<'de: 't, 't> Deserialize<'de> for Borrowed<'t> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Values)
    }
}

struct Values;

/// The name of a member.
#[derive(Deserialize)]
struct Name<'t>(#[serde(borrow)] Cow<'t, str>);

impl<'de> Visitor<'de> for Values {
    type Value = Borrowed<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Borrowed::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(Borrowed::Bool(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Borrowed::Number(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Borrowed::Number(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Number::from_f64(number).map_or(Borrowed::Null, Borrowed::Number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Borrowed::String(text.into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Borrowed::String(text.to_owned().into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(Borrowed::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some((Name(name), value)) = object.next_entry()? {
            members.push((name, value));
        }
        Ok(Borrowed::Object(members))
    }
}

/// JSON for a header: whatever is not ASCII is escaped.
pub fn ascii(json: String) -> String {
    // A raw DEL may stand in JSON, and in no header.
    if !is_any(json.as_bytes(), |byte| byte >= 0x7f) {
        return json;
    }
    let mut escaped = String::with_capacity(2 * json.len());
    for c in json.chars() {
        if c.is_ascii() && c != '\u{7f}' {
            escaped.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                // Writing to a String cannot fail.
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn written(write: impl FnOnce(&mut Writer)) -> String {
        let mut json = Writer::with_capacity(0);
        write(&mut json);
        json.finish()
    }

    #[test]
    fn members_and_items_are_apart() {
        let text = written(|json| {
            json.object(|json| {
                json.member("text").text("{");
                json.member("none").object(|_| {});
                json.entry("a\"b").array(|json| {
                    json.item().number(1);
                    json.item().flag(true);
                    json.item().array(|_| {});
                    json.item().text_or_null(None);
                });
                json.member("value").value(&json!({ "a": [1.5] }));
            });
        });
        let expected = r#"{"text":"{","none":{},"a\"b":[1,true,[],null],"value":{"a":[1.5]}}"#;
        assert_eq!(text, expected);
    }

    #[test]
    fn texts_without_escapes_are_borrowed() {
        let text = r#"{"a":"plain","b":"a\nb"}"#;
        let Ok(Borrowed::Object(members)) = serde_json::from_str(text) else { panic!("{text}") };
        let kinds = members.iter().map(|(name, value)| (name, value));
        for (name, value) in kinds {
            let Borrowed::String(value) = value else { panic!("{value}") };
            assert!(matches!(name, Cow::Borrowed(_)));
            assert_eq!(matches!(value, Cow::Borrowed(_)), *value == "plain");
        }
    }

    #[test]
    fn names_are_distinct_however_many_there_are() {
        let is_distinct = |text: &str| {
            let value: Borrowed<'_> = serde_json::from_str(text).expect("JSON");
            value.has_distinct_names()
        };
        for number in [1, 2, FEW_MEMBERS, FEW_MEMBERS + 1, 40] {
            let members: Vec<String> = (0..number).map(|at| format!(r#""{at}":[{at}]"#)).collect();
            let object = format!("{{{}}}", members.join(","));
            assert!(is_distinct(&object), "{object}");
            // Whichever is there twice, and however it is written.
            for at in 0..number.min(10) {
                let twice = format!(r#"[{{"a":{{"\u003{at}":1,{}}}]"#, &object[1..]);
                assert!(!is_distinct(&twice), "{twice}");
            }
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "\\PC{0,8}".prop_map(Value::from),
        ];
        scalar.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("\\PC{0,8}", inner), 0..4)
                    .prop_map(|entries| Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_read_prints_as_it_was(value in any_value()) {
            let text = value.to_string();
            let own: Borrowed<'_> = serde_json::from_str(&text).expect("JSON");
            prop_assert_eq!(own.to_string(), text);
        }

        #[test]
        fn texts_are_escaped_as_serde_json_does_it(text in "[\\x00-\\x7f\u{80}-\u{20ff}\"\\\\]{0,20}") {
            let own = written(|json| json.text(&text));
            prop_assert_eq!(&own, &Value::from(text).to_string());
        }

        #[test]
        fn ascii_says_the_same(text in "[\\x00-\\x7f\u{80}-\u{20ff}\u{1f600}]{0,20}") {
            let header = ascii(Value::from(text.as_str()).to_string());
            prop_assert!(header.bytes().all(|byte| (b' '..0x7f).contains(&byte)), "{}", header);
            prop_assert_eq!(serde_json::from_str::<String>(&header).ok(), Some(text));
        }
    }
}

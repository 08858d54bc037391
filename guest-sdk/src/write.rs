//! JSON written member by member into one text.

use std::fmt::Write as _;

use crate::vector;

/// A text that is being written. It is JSON as long as members are written in
/// objects and values in arrays.
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

    /// An array of strings.
    pub fn texts<'t>(&mut self, texts: impl IntoIterator<Item = &'t str>) {
        self.0.push('[');
        for text in texts {
            self.separate();
            self.text(text);
        }
        self.0.push(']');
    }

    /// Begins a member whose name needs no escapes; its value follows.
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

    // No value ends with an opening bracket: texts end with a quote.
    fn separate(&mut self) {
        if !matches!(self.0.as_bytes().last(), Some(b'{' | b'[')) {
            self.0.push(',');
        }
    }

    /// `true` or `false`.
    pub fn flag(&mut self, flag: bool) {
        self.0.push_str(if flag { "true" } else { "false" });
    }

    /// A number.
    pub fn number(&mut self, number: u16) {
        let mut unit = 10_000;
        while unit > 1 && number < unit {
            unit /= 10;
        }
        while unit > 0 {
            // A digit has one byte.
            self.0.push(char::from(b'0' + (number / unit % 10) as u8));
            unit /= 10;
        }
    }

    /// A string.
    pub fn text(&mut self, text: &str) {
        self.0.push('"');
        let mut written = 0;
        each_escaped(text.as_bytes(), |at, byte| {
            self.0.push_str(text.get(written..at).unwrap_or_default());
            self.escape(byte);
            // What is escaped has one byte.
            written = at + 1;
        });
        self.0.push_str(text.get(written..).unwrap_or_default());
        self.0.push('"');
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
}

/// Calls with each byte that has to be escaped and where it stands, in order.
#[cfg_attr(target_family = "wasm", target_feature(enable = "simd128"))]
fn each_escaped(bytes: &[u8], mut each: impl FnMut(usize, u8)) {
    let (vectors, rest) = bytes.as_chunks();
    for (begin, own) in (0..).step_by(vector::BYTES).zip(vectors) {
        let mut found = vector::escaped(own);
        while found != 0 {
            let at = found.trailing_zeros() as usize;
            each(begin + at, own[at]);
            found &= found - 1;
        }
    }
    let begin = bytes.len() - rest.len();
    (begin..)
        .zip(rest)
        .filter(|(_, byte)| is_escaped(**byte))
        .for_each(|(at, byte)| each(at, *byte));
}

fn is_escaped(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn members_and_texts_are_apart() {
        let mut json = Writer::with_capacity(0);
        json.object(|json| {
            json.entry("a\"b").texts(["{", "["]);
            json.member("none").texts([]);
            json.member("number").number(65535);
            json.member("object").object(|json| json.member("flag").flag(true));
        });
        let expected = r#"{"a\"b":["{","["],"none":[],"number":65535,"object":{"flag":true}}"#;
        assert_eq!(json.finish(), expected);
        assert_eq!(
            serde_json::from_str::<Value>(expected).ok(),
            Some(json!({
                "a\"b": ["{", "["], "none": [], "number": 65535, "object": { "flag": true }
            }))
        );
    }

    #[test]
    fn numbers_are_written_as_ever() {
        for number in 0..=u16::MAX {
            let mut json = Writer::with_capacity(0);
            json.number(number);
            assert_eq!(json.finish(), number.to_string());
        }
    }

    proptest! {
        #[test]
        fn texts_are_escaped_as_serde_json_does_it(text in "([\\x00-\\x7f]|[a-zé\u{1f642}]{1,30}){0,8}") {
            let mut json = Writer::with_capacity(0);
            json.text(&text);
            prop_assert_eq!(json.finish(), Value::from(text).to_string());
        }
    }
}

//! JSON written member by member into one text.

use std::fmt::Write as _;

/// How many bytes are looked at at once for what has to be escaped.
const BLOCK_BYTES: usize = 16;

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

    /// Begins a member; its value follows.
    pub fn member(&mut self, name: &str) -> &mut Self {
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
        let mut rest = text;
        loop {
            let (plain, escaped) = rest.split_at(plain_bytes(rest.as_bytes()));
            self.0.push_str(plain);
            // What is escaped has one byte.
            let Some((&byte, _)) = escaped.as_bytes().split_first() else { break };
            self.escape(byte);
            rest = escaped.get(1..).unwrap_or_default();
        }
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

/// How many bytes stand for themselves in a string, up to the first that does not.
#[cfg_attr(target_family = "wasm", target_feature(enable = "simd128"))]
fn plain_bytes(bytes: &[u8]) -> usize {
    let mut plain = 0;
    for block in bytes.as_chunks::<BLOCK_BYTES>().0 {
        if block.iter().fold(false, |any, &byte| any | is_escaped(byte)) {
            break;
        }
        plain += BLOCK_BYTES;
    }
    let rest = bytes.get(plain..).unwrap_or_default();
    plain + rest.iter().take_while(|byte| !is_escaped(**byte)).count()
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
            json.member("a\"b").texts(["{", "["]);
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

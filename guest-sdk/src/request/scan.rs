//! JSON gone through where it stands: an object's members, an array's elements
//! and a string's text, without a look into what nobody asks for.
//!
//! A general parser has to tell every type from every other in its errors.
//! With that it is a third of a small handler, which each of its sandboxes maps
//! and each start compiles.

use std::borrow::Cow;
use std::fmt;

use super::block::{self, Between, Block};
use crate::vector;

/// Why a text cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub enum Malformed {
    /// What stands from this byte on is no JSON.
    Syntax(usize),
    /// It is JSON of another type than this.
    Type(&'static str),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(at) => write!(f, "it is no JSON at byte {at}"),
            Self::Type(expected) => write!(f, "it is not {expected}"),
        }
    }
}

impl std::error::Error for Malformed {}

/// An object or array, and how far it has been gone through.
pub struct Scanner<'t> {
    text: &'t str,
    at: usize,
    next: Next,
}

/// What comes next in it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    First,
    Further,
    Nothing,
}

impl<'t> Scanner<'t> {
    /// At the first member of the object in `text`. No text and null are objects
    /// without members.
    pub fn members(text: &'t str) -> Result<Self, Malformed> {
        Self::inside(text, b'{', "an object or null")
    }

    /// The same for an array's elements.
    pub fn elements(text: &'t str) -> Result<Self, Malformed> {
        Self::inside(text, b'[', "a list or null")
    }

    fn inside(text: &'t str, open: u8, expected: &'static str) -> Result<Self, Malformed> {
        let mut own = Self { text, at: 0, next: Next::First };
        own.space();
        match own.peek() {
            Some(byte) if byte == open => own.at += 1,
            None => own.next = Next::Nothing,
            Some(_) if text.trim() == "null" => own.next = Next::Nothing,
            Some(_) => return Err(Malformed::Type(expected)),
        }
        Ok(own)
    }

    /// The next member: its name and the text of its value.
    pub fn member(&mut self) -> Result<Option<(Cow<'t, str>, &'t str)>, Malformed> {
        if !self.has_next(b'}')? {
            return Ok(None);
        }
        let name = self.name()?;
        self.space();
        self.take(b':')?;
        self.space();
        Ok(Some((name, self.value()?)))
    }

    /// The text of the next element.
    pub fn element(&mut self) -> Result<Option<&'t str>, Malformed> {
        if self.has_next(b']')? { self.value().map(Some) } else { Ok(None) }
    }

    fn has_next(&mut self, close: u8) -> Result<bool, Malformed> {
        if self.next == Next::Nothing {
            return Ok(false);
        }
        self.space();
        if self.peek() == Some(close) {
            self.next = Next::Nothing;
            self.at += 1;
            self.space();
            return if self.peek().is_none() { Ok(false) } else { Err(Malformed::Syntax(self.at)) };
        }
        if self.next == Next::Further {
            self.take(b',')?;
            self.space();
        }
        self.next = Next::Further;
        Ok(true)
    }

    /// The name that begins here.
    fn name(&mut self) -> Result<Cow<'t, str>, Malformed> {
        let bytes = self.text.as_bytes();
        let begin = self.at + 1;
        let end = quote_or_backslash(bytes, begin);
        // Most names end where they first could.
        if self.peek() == Some(b'"') && bytes.get(end) == Some(&b'"') {
            self.at = end + 1;
            return self.text.get(begin..end).map(Cow::Borrowed).ok_or(Malformed::Syntax(begin));
        }
        string(self.value()?)?.ok_or(Malformed::Syntax(self.at))
    }

    /// The text of the value that begins here.
    fn value(&mut self) -> Result<&'t str, Malformed> {
        let begin = self.at;
        match self.peek() {
            Some(b'"') => self.string()?,
            Some(b'{' | b'[') => self.nested()?,
            _ => self.scalar()?,
        }
        self.text.get(begin..self.at).ok_or(Malformed::Syntax(begin))
    }

    fn string(&mut self) -> Result<(), Malformed> {
        let bytes = self.text.as_bytes();
        self.at += 1;
        loop {
            self.at = quote_or_backslash(bytes, self.at);
            match bytes.get(self.at) {
                Some(b'"') => break,
                // Whatever is escaped, it is not the end.
                Some(_) => self.at += 2,
                None => return Err(Malformed::Syntax(bytes.len())),
            }
        }
        self.at += 1;
        Ok(())
    }

    #[cfg_attr(target_family = "wasm", target_feature(enable = "simd128"))]
    fn nested(&mut self) -> Result<(), Malformed> {
        let bytes = self.text.as_bytes();
        let mut nesting = Nesting::default();
        loop {
            let rest = bytes.get(self.at..).unwrap_or_default();
            let block = match rest.first_chunk() {
                Some(bytes) => Block::of(bytes),
                None if rest.is_empty() => return Err(Malformed::Syntax(self.at)),
                None => {
                    let mut bytes = [b' '; block::BYTES];
                    bytes.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
                    Block::of(&bytes)
                }
            };
            if let Some(end) = nesting.pass(&block) {
                self.at += end + 1;
                return Ok(());
            }
            self.at += rest.len().min(block::BYTES);
        }
    }

    fn scalar(&mut self) -> Result<(), Malformed> {
        let begin = self.at;
        while self
            .peek()
            .is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.'))
        {
            self.at += 1;
        }
        if begin == self.at { Err(Malformed::Syntax(begin)) } else { Ok(()) }
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.peek() != Some(byte) {
            return Err(Malformed::Syntax(self.at));
        }
        self.at += 1;
        Ok(())
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

/// How deep a place is inside of objects and arrays.
#[derive(Default)]
struct Nesting {
    depth: u32,
    between: Between,
}

impl Nesting {
    /// Passes a block; where it ends, if that is in there.
    fn pass(&mut self, block: &Block) -> Option<usize> {
        let outside = !self.between.in_strings(block);
        let (opening, closing) = (block.opening & outside, block.closing & outside);
        if self.depth > closing.count_ones() {
            self.depth = self.depth + opening.count_ones() - closing.count_ones();
            return None;
        }
        let mut brackets = opening | closing;
        while brackets != 0 {
            let at = brackets.trailing_zeros();
            if opening >> at & 1 == 1 {
                self.depth += 1;
            } else {
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 0 {
                    return Some(at as usize);
                }
            }
            brackets &= brackets - 1;
        }
        None
    }
}

/// Where the first quotation mark or backslash from `at` on is, or the end.
#[cfg_attr(target_family = "wasm", target_feature(enable = "simd128"))]
fn quote_or_backslash(bytes: &[u8], mut at: usize) -> usize {
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let Some(block) = rest.first_chunk() else {
            let is_other = |byte: &&u8| !matches!(byte, b'"' | b'\\');
            return at + rest.iter().take_while(is_other).count();
        };
        match vector::quotes_and_backslashes(block) {
            0 => at += vector::BYTES,
            found => return at + found.trailing_zeros() as usize,
        }
    }
}

/// A value that is a string; null is none.
pub fn string(value: &str) -> Result<Option<Cow<'_, str>>, Malformed> {
    let inner = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match inner {
        None if value == "null" => Ok(None),
        None => Err(Malformed::Type("a string")),
        Some(inner) if quote_or_backslash(inner.as_bytes(), 0) == inner.len() => {
            Ok(Some(Cow::Borrowed(inner)))
        }
        Some(inner) => unescaped(inner).map(|text| Some(Cow::Owned(text))),
    }
}

/// What stands for itself in a string, and what is escaped there.
fn unescaped(inner: &str) -> Result<String, Malformed> {
    let wrong = Malformed::Type("a string with escapes that JSON has");
    let mut text = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        text.push_str(plain);
        let Some((&escape, tail)) = escaped.as_bytes().split_first() else { return Err(wrong) };
        let (character, length) = match escape {
            b'"' | b'\\' | b'/' => (char::from(escape), 1),
            b'b' => ('\u{8}', 1),
            b'f' => ('\u{c}', 1),
            b'n' => ('\n', 1),
            b'r' => ('\r', 1),
            b't' => ('\t', 1),
            b'u' => match code_point(tail) {
                Some((character, digits)) => (character, 1 + digits),
                None => return Err(wrong),
            },
            _ => return Err(wrong),
        };
        text.push(character);
        rest = escaped.get(length..).unwrap_or_default();
    }
    text.push_str(rest);
    Ok(text)
}

/// The character of `XXXX`, or of `XXXX\uXXXX` where it takes two, and how long
/// that is.
fn code_point(bytes: &[u8]) -> Option<(char, usize)> {
    let unit = |bytes: &[u8]| {
        bytes
            .get(..4)?
            .iter()
            .try_fold(0_u32, |unit, &byte| Some(unit << 4 | char::from(byte).to_digit(16)?))
    };
    let first = unit(bytes)?;
    if !(0xd800..0xdc00).contains(&first) {
        return Some((char::from_u32(first)?, 4));
    }
    let second = bytes.get(4..)?.strip_prefix(b"\\u").and_then(unit)?;
    let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
    Some((char::from_u32(0x10000 + ((first - 0xd800) << 10) + low)?, 10))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn members(text: &str) -> Result<Vec<(String, String)>, Malformed> {
        let (mut scanner, mut members) = (Scanner::members(text)?, Vec::new());
        while let Some((name, value)) = scanner.member()? {
            members.push((name.into_owned(), value.to_owned()));
        }
        Ok(members)
    }

    fn elements(text: &str) -> Result<Vec<String>, Malformed> {
        let (mut scanner, mut elements) = (Scanner::elements(text)?, Vec::new());
        while let Some(value) = scanner.element()? {
            elements.push(value.to_owned());
        }
        Ok(elements)
    }

    #[test]
    fn members_are_found_wherever_there_is_space() {
        let text = " {\n\"a\" : [1, {\"b\": \"]}\\\"\"}] ,\"c\":-1.5e+3,\"\\u0064\":null } ";
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected =
            [pair("a", "[1, {\"b\": \"]}\\\"\"}]"), pair("c", "-1.5e+3"), pair("d", "null")];
        assert_eq!(members(text), Ok(expected.to_vec()));
        for empty in ["", " ", "{}", " { } ", "null", " null "] {
            assert_eq!(members(empty), Ok(Vec::new()), "{empty}");
        }
        assert_eq!(elements("[\"a\",null , []]").expect("a list"), ["\"a\"", "null", "[]"]);
    }

    #[test]
    fn what_is_no_object_is_an_error() {
        for text in [
            "{",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1",
            "{\"a\":1,",
            "{\"a\":1,}",
            "{,}",
            "{1:2}",
            "{\"a\" 1}",
            "{\"a\":1 \"b\":2}",
            "{\"a\":\"",
            "{\"a\":\"\\",
            "{\"a\":[1}",
            "{}}",
            "{}{}",
            "[]",
            "1",
            "\"a\"",
            "nul",
            "nullnull",
        ] {
            members(text).expect_err(text);
        }
        for text in ["[", "[1", "[1,", "[1,]", "[,]", "[1]]", "{}"] {
            elements(text).expect_err(text);
        }
        for text in [
            "\"",
            "\"\\",
            "\"\\\"",
            "\"\\u12\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "\"\\x\"",
            "1",
        ] {
            string(text).expect_err(text);
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let text = "[a-z\"\\\\/\n\t\u{1}é\u{1f642}]{0,20}";
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<i32>().prop_map(|number| Value::from(f64::from(number) / 4.0)),
            text.prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::hash_map(text, inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read(value in value(), is_pretty in any::<bool>()) {
            let text = match is_pretty {
                true => serde_json::to_string_pretty(&value).expect("JSON"),
                false => value.to_string(),
            };
            let read = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
            match &value {
                Value::Object(object) => {
                    let members = members(&text).expect("an object");
                    prop_assert_eq!(members.len(), object.len());
                    for ((name, value), (expected_name, expected)) in members.iter().zip(object) {
                        prop_assert_eq!((name, &read(value)), (expected_name, expected));
                    }
                }
                Value::Array(array) => {
                    let elements = elements(&text).expect("a list");
                    let elements: Vec<Value> = elements.iter().map(|text| read(text)).collect();
                    prop_assert_eq!(&elements, array);
                }
                Value::String(expected) => {
                    let read = string(&text).expect("a string");
                    prop_assert_eq!(read.as_deref(), Some(expected.as_str()));
                }
                _ => {}
            }
        }

        #[test]
        fn nothing_makes_it_panic(text in "[\\[\\]{}:,\"\\\\ud8cn1 é]{0,40}") {
            let _ = members(&text);
            let _ = elements(&text);
            // Where serde_json finds a string, it is that string.
            if let Ok(expected) = serde_json::from_str::<String>(&text) {
                let read = string(text.trim()).expect("a string");
                prop_assert_eq!(read.as_deref(), Some(expected.as_str()));
            }
        }
    }
}

//! JSON, with the place of every value.
//!
//! The YAML reader would take most of it, but not all: not the surrogate
//! pairs of `\u` escapes, nor tabs where a line begins.

use super::{Malformed, Size, insert, number};
use crate::config::{
    openapi::document::DEPTH_MAX,
    read::Source,
    tree::{Data, Entries, Member, Node},
};

/// Whether a file that does not say so by its name is JSON.
pub fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// The document in `text`, which stands `start` bytes into the source.
pub fn parse(source: &Source<'_>, start: usize, text: &str) -> Result<Node, Malformed> {
    let mut reader = Reader { source, start, text, at: 0, size: Size::default() };
    let node = reader.value(1)?;
    reader.skip_blanks();
    if reader.at < text.len() {
        return Err(Malformed::new(reader.at, "the document goes on after its end", "remove it"));
    }
    Ok(node)
}

struct Reader<'s> {
    source: &'s Source<'s>,
    start: usize,
    text: &'s str,
    at: usize,
    size: Size,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while self.peek().is_some_and(|byte| b" \t\r\n".contains(&byte)) {
            self.at += 1;
        }
    }

    /// Goes on behind `byte`, where that is next.
    fn took(&mut self, byte: u8) -> bool {
        let next = self.peek() == Some(byte);
        self.at += usize::from(next);
        next
    }

    fn expected(&self, what: &str) -> Malformed {
        let found = match self.text[self.at..].chars().next() {
            None => "the end of the file".to_owned(),
            Some(found) => format!("{found:?}"),
        };
        Malformed::new(self.at, format!("expected {what}, found {found}"), "")
    }

    /// Recursion is as deep as the document, which `depth` bounds.
    fn value(&mut self, depth: usize) -> Result<Node, Malformed> {
        self.skip_blanks();
        let at = self.at;
        if depth > DEPTH_MAX {
            return Err(Malformed::too_deep(at));
        }
        self.size.nodes += 1;
        self.size.check(at)?;
        let data = match self.peek() {
            Some(b'{') => Data::Table(self.table(depth)?),
            Some(b'[') => Data::Array(self.array(depth)?),
            Some(b'"') => Data::String(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => self.word()?,
        };
        Ok(Node { at: self.start + at, data })
    }

    fn table(&mut self, depth: usize) -> Result<Entries, Malformed> {
        let mut entries = Entries::new();
        self.at += 1;
        self.skip_blanks();
        if self.took(b'}') {
            return Ok(entries);
        }
        loop {
            self.skip_blanks();
            let at = self.start + self.at;
            if self.peek() != Some(b'"') {
                return Err(self.expected("a key in double quotes"));
            }
            let key = self.string()?;
            self.skip_blanks();
            if !self.took(b':') {
                return Err(self.expected("':'"));
            }
            let node = self.value(depth + 1)?;
            insert(self.source, &mut entries, key, Member { at, node });
            self.skip_blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(entries);
                }
                _ => return Err(self.expected("',' or '}'")),
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Vec<Node>, Malformed> {
        let mut items = Vec::new();
        self.at += 1;
        self.skip_blanks();
        if self.took(b']') {
            return Ok(items);
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.skip_blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(items);
                }
                _ => return Err(self.expected("',' or ']'")),
            }
        }
    }

    fn string(&mut self) -> Result<String, Malformed> {
        self.at += 1;
        let mut text = String::new();
        loop {
            let rest = &self.text[self.at..];
            let plain = rest.find(|c: char| c == '"' || c == '\\' || c < ' ');
            let plain = plain.ok_or_else(|| {
                Malformed::new(self.at, "the string has no end", "close it with '\"'")
            })?;
            text.push_str(&rest[..plain]);
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    self.size.bytes += text.len();
                    return Ok(text);
                }
                Some(b'\\') => text.push(self.escape()?),
                _ => {
                    let hint = "write it as an escape: \\n for a line break, \\t for a tab";
                    return Err(Malformed::new(self.at, "a control character in a string", hint));
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, Malformed> {
        let begun = self.at;
        let wrong = |what: &str| Malformed::new(begun, what, "write \\\\ for a backslash");
        self.at += 1;
        let letter = self.peek().ok_or_else(|| wrong("an escape without its letter"))?;
        if !letter.is_ascii() {
            return Err(wrong("an unknown escape"));
        }
        self.at += 1;
        Ok(match letter {
            b'"' | b'\\' | b'/' => char::from(letter),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.unit().ok_or_else(|| wrong("\\u without four digits"))?;
                let mut units = vec![first];
                // A character beyond 16 bits is written as two.
                if (0xd800..0xdc00).contains(&first) && self.text[self.at..].starts_with("\\u") {
                    self.at += 2;
                    units.push(self.unit().ok_or_else(|| wrong("\\u without four digits"))?);
                }
                let decoded: Result<String, _> = char::decode_utf16(units).collect();
                match decoded.as_deref().map(|text| text.chars().next()) {
                    Ok(Some(character)) => character,
                    _ => return Err(wrong("half a surrogate pair, which is no character")),
                }
            }
            _ => return Err(wrong("an unknown escape")),
        })
    }

    fn unit(&mut self) -> Option<u16> {
        let digits = self.text.get(self.at..self.at + 4)?;
        let hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        self.at += 4;
        hexadecimal.then(|| u16::from_str_radix(digits, 16).ok()).flatten()
    }

    fn number(&mut self) -> Result<Data, Malformed> {
        let rest = &self.text[self.at..];
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | 'e' | 'E' | '+' | '-'))
            .unwrap_or(rest.len());
        let text = &rest[..end];
        let digits = text.strip_prefix('-').unwrap_or(text);
        let whole = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        let zero_led = whole > 1 && digits.starts_with('0');
        let fraction = digits[whole..].strip_prefix('.');
        let bare_point =
            fraction.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()));
        let data = number(text).filter(|_| whole > 0 && !zero_led && !bare_point);
        let data = data.ok_or_else(|| {
            Malformed::new(self.at, format!("{text:?} is not a number"), "write it in quotes")
        })?;
        self.at += end;
        Ok(data)
    }

    fn word(&mut self) -> Result<Data, Malformed> {
        let words =
            [("true", Data::Boolean(true)), ("false", Data::Boolean(false)), ("null", Data::Null)];
        for (word, data) in words {
            if self.text[self.at..].starts_with(word) {
                self.at += word.len();
                return Ok(data);
            }
        }
        Err(self.expected("a value"))
    }
}

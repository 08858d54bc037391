//! Methods of strings. Java counts UTF-16 units, and so do these.

use std::rc::Rc;

use fancy_regex::Captures;

use super::{
    Failure, Tools, format, int,
    patterns::{self, too_hard},
};
use crate::{
    number::Number,
    value::{List, ListKind, Value},
};

/// A string that does not grow beyond a bound.
pub struct Bounded {
    text: String,
    max: usize,
}

impl Bounded {
    pub fn new(max: usize) -> Self {
        Self { text: String::new(), max }
    }

    pub fn push(&mut self, part: &str) -> Result<(), Failure> {
        if self.text.len().saturating_add(part.len()) > self.max {
            return Err(Failure::Limit(format!("a string has more than {} bytes", self.max)));
        }
        self.text.push_str(part);
        Ok(())
    }

    pub fn finish(self) -> Value {
        Value::text(self.text)
    }
}

/// A string's units, taken apart only if it has other characters than ASCII.
enum Units<'t> {
    Ascii(&'t str),
    Wide(Vec<u16>),
}

impl<'t> Units<'t> {
    fn of(text: &'t str) -> Self {
        if text.is_ascii() { Self::Ascii(text) } else { Self::Wide(text.encode_utf16().collect()) }
    }

    fn len(&self) -> usize {
        match self {
            Self::Ascii(text) => text.len(),
            Self::Wide(units) => units.len(),
        }
    }

    /// Part of the string; a half of a pair becomes a replacement character.
    fn slice(&self, from: usize, to: usize) -> String {
        match self {
            Self::Ascii(text) => text[from..to].to_owned(),
            Self::Wide(units) => String::from_utf16_lossy(&units[from..to]),
        }
    }
}

/// How many units come before a byte.
fn units_before(text: &str, byte: usize) -> i64 {
    let units = match text.is_ascii() {
        true => byte,
        false => text[..byte].encode_utf16().count(),
    };
    i64::try_from(units).unwrap_or(i64::MAX)
}

/// The byte at which a unit begins, or the next one that begins a character.
fn byte_at(text: &str, unit: usize) -> usize {
    if text.is_ascii() {
        return unit.min(text.len());
    }
    let mut units = 0;
    for (byte, character) in text.char_indices() {
        if units >= unit {
            return byte;
        }
        units += character.len_utf16();
    }
    text.len()
}

pub fn call(
    text: &Rc<str>,
    name: &str,
    arguments: &[Value],
    tools: &Tools<'_>,
) -> Result<Option<Value>, Failure> {
    match arguments {
        [] => Ok(plain(text, name)),
        [Value::Text(other)] => with_text(text, name, other, tools),
        [Value::Text(first), Value::Text(second)] => with_texts(text, name, first, second, tools),
        _ => with_others(text, name, arguments, tools),
    }
}

fn plain(text: &Rc<str>, name: &str) -> Option<Value> {
    // Java's trim takes off everything up to the blank.
    let blank = |c: char| c <= ' ';
    Some(match name {
        "length" => Value::integer(units_before(text, text.len())),
        "isEmpty" => Value::Bool(text.is_empty()),
        "isBlank" => Value::Bool(text.trim().is_empty()),
        "trim" => Value::from(text.trim_matches(blank)),
        "strip" => Value::from(text.trim()),
        "stripLeading" => Value::from(text.trim_start()),
        "stripTrailing" => Value::from(text.trim_end()),
        "toUpperCase" => Value::text(text.to_uppercase()),
        "toLowerCase" => Value::text(text.to_lowercase()),
        "toString" | "intern" => Value::Text(Rc::clone(text)),
        "toCharArray" => array(text.chars().map(|c| Value::text(c.to_string())).collect()),
        "getBytes" => {
            let byte = |byte: u8| Value::integer(i64::from(byte as i8));
            array(text.bytes().map(byte).collect())
        }
        _ => return None,
    })
}

fn with_text(
    text: &Rc<str>,
    name: &str,
    other: &Rc<str>,
    tools: &Tools<'_>,
) -> Result<Option<Value>, Failure> {
    let place =
        |found: Option<usize>| Value::integer(found.map_or(-1, |at| units_before(text, at)));
    let (own, given) = (&**text, &**other);
    Ok(Some(match name {
        "equals" | "contentEquals" => Value::Bool(own == given),
        "equalsIgnoreCase" => Value::Bool(own.to_lowercase() == given.to_lowercase()),
        "contains" => Value::Bool(own.contains(given)),
        "startsWith" => Value::Bool(own.starts_with(given)),
        "endsWith" => Value::Bool(own.ends_with(given)),
        "indexOf" => place(own.find(given)),
        "lastIndexOf" => place(own.rfind(given)),
        "compareTo" => Value::integer(compare(own, given)),
        "compareToIgnoreCase" => {
            Value::integer(compare(&own.to_lowercase(), &given.to_lowercase()))
        }
        "concat" => {
            let mut joined = Bounded::new(tools.string_bytes_max);
            joined.push(own)?;
            joined.push(given)?;
            joined.finish()
        }
        "matches" => {
            let regex = tools.patterns.get(&patterns::whole(given))?;
            Value::Bool(regex.is_match(own).map_err(too_hard)?)
        }
        "split" => array(split(own, given, 0, tools)?),
        "join" => Value::from(""),
        "valueOf" | "copyValueOf" => Value::Text(Rc::clone(other)),
        "format" => format::format(given, &[], tools.string_bytes_max)?,
        _ => return Ok(None),
    }))
}

fn with_texts(
    text: &Rc<str>,
    name: &str,
    first: &str,
    second: &str,
    tools: &Tools<'_>,
) -> Result<Option<Value>, Failure> {
    let max = tools.string_bytes_max;
    Ok(Some(match name {
        "replace" => {
            let mut replaced = Bounded::new(max);
            let mut parts = text.split(first);
            if first.is_empty() {
                // Before each character and at the end; Rust gives an empty
                // part at both ends.
                parts.next();
                let mut parts = text.chars().map(String::from).collect::<Vec<_>>();
                parts.push(String::new());
                for part in parts {
                    replaced.push(second)?;
                    replaced.push(&part)?;
                }
                return Ok(Some(replaced.finish()));
            }
            replaced.push(parts.next().unwrap_or_default())?;
            for part in parts {
                replaced.push(second)?;
                replaced.push(part)?;
            }
            replaced.finish()
        }
        "replaceAll" => replace(text, first, second, false, tools)?,
        "replaceFirst" => replace(text, first, second, true, tools)?,
        "join" => Value::from(second),
        "format" => format::format(first, &[Value::from(second)], max)?,
        _ => return Ok(None),
    }))
}

fn with_others(
    text: &Rc<str>,
    name: &str,
    arguments: &[Value],
    tools: &Tools<'_>,
) -> Result<Option<Value>, Failure> {
    let max = tools.string_bytes_max;
    let out_of_bounds =
        |message: String| Failure::exception("java.lang.StringIndexOutOfBoundsException", message);
    let units = || Units::of(text);
    let clamp = |from: i32| byte_at(text, usize::try_from(from).unwrap_or(0));
    let place =
        |found: Option<usize>| Value::integer(found.map_or(-1, |at| units_before(text, at)));
    let character = |code: i32| u32::try_from(code).ok().and_then(char::from_u32);
    Ok(Some(match (name, arguments) {
        ("charAt", [index]) if int(index).is_some() => {
            let (units, index) = (units(), int(index).unwrap_or(0));
            let at = usize::try_from(index).ok().filter(|&at| at < units.len());
            let message = || format!("index {index}, length {}", units.len());
            let at = at.ok_or_else(|| out_of_bounds(message()))?;
            Value::text(units.slice(at, at + 1))
        }
        ("codePointAt", [index]) if int(index).is_some() => {
            let at = byte_at(text, usize::try_from(int(index).unwrap_or(-1)).unwrap_or(usize::MAX));
            let found = text[at..].chars().next();
            let found = found.ok_or_else(|| out_of_bounds("index out of range".to_owned()))?;
            Value::integer(i64::from(u32::from(found)))
        }
        ("substring", [from]) | ("substring" | "subSequence", [from, _]) => {
            let units = units();
            let length = i32::try_from(units.len()).unwrap_or(i32::MAX);
            let (Some(from), Some(to)) = (int(from), arguments.get(1).map_or(Some(length), int))
            else {
                return Ok(None);
            };
            if from < 0 || from > to || to > length {
                return Err(out_of_bounds(format!("begin {from}, end {to}, length {length}")));
            }
            Value::text(units.slice(from as usize, to as usize))
        }
        ("indexOf", [code]) if int(code).is_some() => {
            place(int(code).and_then(character).and_then(|c| text.find(c)))
        }
        ("lastIndexOf", [code]) if int(code).is_some() => {
            place(int(code).and_then(character).and_then(|c| text.rfind(c)))
        }
        ("indexOf", [code, from]) if int(code).is_some() && int(from).is_some() => {
            let from = clamp(int(from).unwrap_or(0));
            let found = int(code).and_then(character).and_then(|c| text[from..].find(c));
            place(found.map(|at| from + at))
        }
        ("indexOf", [Value::Text(other), from]) if int(from).is_some() => {
            let from = clamp(int(from).unwrap_or(0));
            place(text[from..].find(&**other).map(|at| from + at))
        }
        ("lastIndexOf", [Value::Text(other), from]) if int(from).is_some() => {
            let last = int(from).unwrap_or(-1);
            let before = |&(at, _): &(usize, &str)| units_before(text, at) <= i64::from(last);
            place(text.rmatch_indices(&**other).find(before).map(|(at, _)| at))
        }
        ("startsWith", [Value::Text(other), from]) if int(from).is_some() => {
            let from = int(from).unwrap_or(-1);
            let inside = from >= 0 && i64::from(from) <= units_before(text, text.len());
            Value::Bool(inside && text[clamp(from)..].starts_with(&**other))
        }
        ("split", [Value::Text(pattern), limit]) if int(limit).is_some() => {
            array(split(text, pattern, int(limit).unwrap_or(0), tools)?)
        }
        ("repeat", [count]) if int(count).is_some() => {
            let count = usize::try_from(int(count).unwrap_or(-1)).map_err(|_| {
                Failure::exception("java.lang.IllegalArgumentException", "count is negative")
            })?;
            let mut repeated = Bounded::new(max);
            if !text.is_empty() {
                for _ in 0..count {
                    repeated.push(text)?;
                }
            }
            repeated.finish()
        }
        ("join", [Value::Text(separator), Value::List(items)]) => {
            join(separator, &items.items(), max)?
        }
        ("join", [Value::Text(separator), items @ ..]) => join(separator, items, max)?,
        ("format", [Value::Text(pattern), Value::List(items)]) if items.is_array() => {
            format::format(pattern, &items.items(), max)?
        }
        ("format", [Value::Text(pattern), items @ ..]) => format::format(pattern, items, max)?,
        ("valueOf", [value]) => Value::text(value.to_text()?),
        ("equals", [_]) => Value::Bool(false),
        ("equalsIgnoreCase", [Value::Null]) => Value::Bool(false),
        _ => return Ok(None),
    }))
}

fn join(separator: &str, items: &[Value], max: usize) -> Result<Value, Failure> {
    let mut joined = Bounded::new(max);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            joined.push(separator)?;
        }
        joined.push(&item.to_text()?)?;
    }
    Ok(joined.finish())
}

/// Java's `compareTo`: the difference of the first units that differ, else of
/// the lengths.
fn compare(left: &str, right: &str) -> i64 {
    let differing = left.encode_utf16().zip(right.encode_utf16()).find(|(l, r)| l != r);
    match differing {
        Some((left, right)) => i64::from(left) - i64::from(right),
        None => units_before(left, left.len()) - units_before(right, right.len()),
    }
}

fn array(items: Vec<Value>) -> Value {
    Value::List(List::new(ListKind::Array, items))
}

fn replace(
    text: &str,
    pattern: &str,
    replacement: &str,
    first: bool,
    tools: &Tools<'_>,
) -> Result<Value, Failure> {
    let regex = tools.patterns.get(pattern)?;
    let mut replaced = Bounded::new(tools.string_bytes_max);
    let mut end = 0;
    for captures in regex.captures_iter(text) {
        let captures = captures.map_err(too_hard)?;
        let Some(whole) = captures.get(0) else { continue };
        replaced.push(&text[end..whole.start()])?;
        expand(replacement, &captures, &mut replaced)?;
        end = whole.end();
        if first {
            break;
        }
    }
    replaced.push(&text[end..])?;
    Ok(replaced.finish())
}

/// Java's replacement strings: `$1`, `${name}`, and a backslash that takes the
/// next character as it is.
fn expand(replacement: &str, captures: &Captures<'_>, out: &mut Bounded) -> Result<(), Failure> {
    let illegal = |why: &str| Failure::exception("java.lang.IllegalArgumentException", why);
    let mut characters = replacement.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                let next = characters
                    .next()
                    .ok_or_else(|| illegal("character to be escaped is missing"))?;
                out.push(next.encode_utf8(&mut [0; 4]))?;
            }
            '$' if characters.peek() == Some(&'{') => {
                characters.next();
                let name: String = characters.by_ref().take_while(|&c| c != '}').collect();
                let group = captures.name(&name).map_or("", |group| group.as_str());
                out.push(group)?;
            }
            '$' => {
                let digit = |c: Option<&char>| c.and_then(|c| c.to_digit(10));
                let mut number = digit(characters.peek())
                    .ok_or_else(|| illegal("Illegal group reference"))?
                    as usize;
                characters.next();
                if number >= captures.len() {
                    let message = format!("No group {number}");
                    return Err(Failure::exception("java.lang.IndexOutOfBoundsException", message));
                }
                // As many digits as still name a group.
                while let Some(more) = digit(characters.peek()) {
                    let longer = number * 10 + more as usize;
                    if longer >= captures.len() {
                        break;
                    }
                    number = longer;
                    characters.next();
                }
                out.push(captures.get(number).map_or("", |group| group.as_str()))?;
            }
            other => out.push(other.encode_utf8(&mut [0; 4]))?,
        }
    }
    Ok(())
}

/// Java's split: without a limit the empty strings at the end are dropped, and
/// a match of nothing at the beginning counts as none.
fn split(text: &str, pattern: &str, limit: i32, tools: &Tools<'_>) -> Result<Vec<Value>, Failure> {
    let regex = tools.patterns.get(pattern)?;
    let mut parts = Vec::new();
    let mut begin = 0;
    for found in regex.find_iter(text) {
        let found = found.map_err(too_hard)?;
        if limit > 0 && parts.len() + 1 == limit as usize {
            break;
        }
        if found.end() == 0 || (found.start() == found.end() && found.end() == text.len()) {
            continue;
        }
        parts.push(Value::from(&text[begin..found.start()]));
        begin = found.end();
    }
    if parts.is_empty() {
        return Ok(vec![Value::from(text)]);
    }
    parts.push(Value::from(&text[begin..]));
    if limit == 0 {
        while parts.last().is_some_and(|part| part.as_str() == Some("")) {
            parts.pop();
        }
    }
    Ok(parts)
}

/// What `Integer.parseInt` and friends are given, for those who format.
pub fn number_of(value: &Value) -> Option<&Number> {
    match value {
        Value::Number(number) => Some(number),
        _ => None,
    }
}

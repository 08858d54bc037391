//! Query strings: `application/x-www-form-urlencoded`, both ways.

use std::fmt::Write;

pub fn parse(query: &str) -> impl Iterator<Item = (String, String)> {
    query.split('&').filter(|part| !part.is_empty()).map(|part| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        (decode(name), decode(value))
    })
}

pub fn write<'p>(pairs: impl Iterator<Item = (&'p str, &'p str)>) -> String {
    let mut query = String::new();
    for (name, value) in pairs {
        if !query.is_empty() {
            query.push('&');
        }
        encode(name, &mut query);
        query.push('=');
        encode(value, &mut query);
    }
    query
}

/// What is no valid escape stands for itself, as browsers read it.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        rest = tail;
        let decoded = match (byte, tail) {
            (b'+', _) => b' ',
            (b'%', [high, low, ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    rest = &tail[2..];
                    high << 4 | low
                }
                _ => b'%',
            },
            _ => *byte,
        };
        bytes.push(decoded);
    }
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn digit(byte: u8) -> Option<u8> {
    // A hexadecimal digit is below 16.
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

fn encode(text: &str, query: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                query.push(char::from(byte));
            }
            // Writing to a String cannot fail.
            _ => _ = write!(query, "%{byte:02X}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_what_it_encodes_and_bears_the_rest() {
        let pairs = [("q", "a b&c=ü%"), ("empty", "")];
        let written = write(pairs.into_iter());
        assert_eq!(written, "q=a%20b%26c%3D%C3%BC%25&empty=");
        let owned = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(parse(&written).collect::<Vec<_>>(), owned);
        let odd = parse("a=%&b=%4&c=%zz&&d&e=1+1&f=%FF");
        let values: Vec<String> = odd.map(|(_, value)| value).collect();
        assert_eq!(values, ["%", "%4", "%zz", "", "1 1", "\u{fffd}"]);
    }
}

//! `$util`: the six functions of mapping templates.

use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use mayfly_velocity::{Object, Value};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::input::text;

/// What Java's `URLEncoder` leaves as it is, besides letters and digits; a
/// blank becomes `+` afterwards.
const FORM: AsciiSet =
    NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'*').remove(b'_').remove(b' ');

/// Padding may be missing, as Java's decoder allows it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub fn object() -> Object {
    Object { class: "$util", text: "$util".into() }
}

pub fn call(method: &str, arguments: &[Value]) -> Result<Option<Value>, String> {
    let [argument] = arguments else { return Ok(None) };
    let given = text(argument)?;
    Ok(Some(match method {
        "escapeJavaScript" => Value::text(escape_java_script(&given)),
        "parseJson" => serde_json::from_str::<serde_json::Value>(&given)
            .map(Value::from)
            .map_err(|error| format!("the text is not JSON: {error}"))?,
        "urlEncode" => {
            let encoded = utf8_percent_encode(&given, &FORM).to_string();
            Value::text(encoded.replace(' ', "+"))
        }
        "urlDecode" => Value::text(url_decode(&given)?),
        "base64Encode" => Value::text(BASE64.encode(&*given)),
        "base64Decode" => {
            let decoded = BASE64
                .decode(given.as_bytes())
                .map_err(|error| format!("the text is not base64: {error}"))?;
            Value::text(String::from_utf8_lossy(&decoded).into_owned())
        }
        _ => return Ok(None),
    }))
}

/// `StringEscapeUtils.escapeJavaScript` of commons-lang 2.6: quotes, slashes
/// and backslashes get a backslash; what is not printable ASCII, an escape.
fn escape_java_script(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + text.len() / 8);
    for unit in text.encode_utf16() {
        match (unit, u8::try_from(unit).ok()) {
            (0x08, _) => escaped.push_str("\\b"),
            (0x09, _) => escaped.push_str("\\t"),
            (0x0a, _) => escaped.push_str("\\n"),
            (0x0c, _) => escaped.push_str("\\f"),
            (0x0d, _) => escaped.push_str("\\r"),
            (_, Some(byte @ (b'\'' | b'"' | b'\\' | b'/'))) => {
                escaped.push('\\');
                escaped.push(char::from(byte));
            }
            (_, Some(byte @ 0x20..=0x7f)) => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("\\u{unit:04X}")),
        }
    }
    escaped
}

/// Java's `URLDecoder`: `+` is a blank, and a `%` without two digits an error.
fn url_decode(text: &str) -> Result<String, String> {
    for (at, _) in text.match_indices('%') {
        let digits = text.as_bytes().get(at + 1..at + 3);
        if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
            return Err("a % is not followed by two hexadecimal digits".to_owned());
        }
    }
    let text = text.replace('+', " ");
    Ok(percent_decode_str(&text).decode_utf8_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(method: &str, argument: &str) -> Result<String, String> {
        let value = super::call(method, &[Value::from(argument)])?.expect("a function");
        Ok(value.to_text().expect("text"))
    }

    #[test]
    fn functions_do_as_java_does() {
        for (method, argument, expected) in [
            (
                "escapeJavaScript",
                "a'b\"c\\d/e\nf\u{1}é😀",
                r#"a\'b\"c\\d\/e\nf\u0001\u00E9\uD83D\uDE00"#,
            ),
            ("urlEncode", "a b&c=d/é*-._~", "a+b%26c%3Dd%2F%C3%A9*-._%7E"),
            ("urlDecode", "a+b%26c%C3%A9", "a b&cé"),
            ("base64Encode", "Hello, é", "SGVsbG8sIMOp"),
            ("base64Decode", "SGVsbG8sIMOp", "Hello, é"),
            ("base64Decode", "SGk", "Hi"),
            ("parseJson", r#"{"a":[1,"x"]}"#, r#"{a=[1,"x"]}"#),
        ] {
            assert_eq!(call(method, argument).as_deref(), Ok(expected), "{method}");
        }
    }

    #[test]
    fn what_cannot_be_decoded_is_an_error() {
        for (method, argument) in
            [("urlDecode", "100%"), ("urlDecode", "%zz"), ("base64Decode", "?"), ("parseJson", "{")]
        {
            assert!(call(method, argument).is_err(), "{method} {argument}");
        }
    }
}

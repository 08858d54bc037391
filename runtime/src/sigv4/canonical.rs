//! The canonical request: the one text that client and service make of the
//! same request.

use std::borrow::Cow;

use http::HeaderMap;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use super::{SignedRequest, hex};

/// All but the unreserved characters of RFC 3986 is encoded.
const ENCODED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// In a path slashes stay.
const ENCODED_IN_PATH: AsciiSet = ENCODED.remove(b'/');

/// Headers whose values a client is not told again, nor a log.
const SECRETS: [&str; 5] =
    ["authorization", "cookie", "proxy-authorization", "x-amz-security-token", "x-api-key"];

/// The parameter that a signature in the query stands in.
pub const SIGNATURE_PARAMETER: &str = "X-Amz-Signature";

/// The parameter of a query that has a token.
pub const TOKEN_PARAMETER: &str = "X-Amz-Security-Token";

pub fn canonical_request(
    request: &SignedRequest<'_>,
    signed_headers: &[String],
    in_query: bool,
) -> Vec<u8> {
    let path = normal(request.path);
    let mut text = format!(
        "{}\n{}\n{}\n",
        request.method,
        percent_encode(path.as_bytes(), &ENCODED_IN_PATH),
        canonical_query(request.query, in_query)
    )
    .into_bytes();
    for name in signed_headers {
        text.extend_from_slice(name.as_bytes());
        text.push(b':');
        text.extend(header_value(request.headers, name));
        text.push(b'\n');
    }
    text.push(b'\n');
    text.extend_from_slice(signed_headers.join(";").as_bytes());
    text.push(b'\n');
    text.extend_from_slice(hex(request.body).as_bytes());
    text
}

/// Whether a path is the one that a signature is made of. A signature of
/// `/a` is one of `/b/../a` and of `//a` too, which are other paths to others.
pub fn is_normal(path: &str) -> bool {
    normal(path) == path
}

/// Without dot segments and empty ones, as all services but S3 sign paths.
fn normal(path: &str) -> Cow<'_, str> {
    let is_odd = |segment: &str| matches!(segment, "" | "." | "..");
    let mut inner = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    let mut odd = false;
    while let Some(segment) = inner.next() {
        // The last one is empty after a slash at the end.
        odd |= is_odd(segment) && !(segment.is_empty() && inner.peek().is_none());
    }
    if path.starts_with('/') && !odd {
        return Cow::Borrowed(path);
    }
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            own => segments.push(own),
        }
    }
    let end = if path.ends_with('/') && !segments.is_empty() { "/" } else { "" };
    Cow::Owned(format!("/{}{end}", segments.join("/")))
}

/// Decoded and encoded again, so that there is one spelling, and sorted. A plus
/// is a space, as it is to everyone who reads parameters: what is signed is
/// what they mean.
fn canonical_query(query: &str, in_query: bool) -> String {
    let encoded = |text: &str| {
        let spaced = text.replace('+', " ");
        let decoded: Vec<u8> = percent_decode_str(&spaced).collect();
        percent_encode(&decoded, &ENCODED).to_string()
    };
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (encoded(name), encoded(value)))
        .filter(|(name, _)| !(in_query && name == SIGNATURE_PARAMETER))
        .collect();
    pairs.sort_unstable();
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

/// All values of a header, with single spaces in them.
fn header_value(headers: &HeaderMap, name: &str) -> Vec<u8> {
    let single_spaced = |value: &[u8]| {
        let words = value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        words.collect::<Vec<_>>().join(&b" "[..])
    };
    let values = headers.get_all(name).iter().map(|value| single_spaced(value.as_bytes()));
    values.collect::<Vec<_>>().join(&b","[..])
}

/// A canonical request without the secrets that a client put into it.
pub fn masked(canonical: &str) -> String {
    let token = format!("{TOKEN_PARAMETER}=");
    let mut lines: Vec<Cow<'_, str>> = Vec::new();
    for (number, line) in canonical.split('\n').enumerate() {
        let line = match (number, line.split_once(':')) {
            // Method, path and query; no header's line comes before them.
            (2, _) if line.contains(&token) => {
                let pair = |pair: &str| match pair.starts_with(&token) {
                    true => format!("{token}***"),
                    false => pair.to_owned(),
                };
                Cow::Owned(line.split('&').map(pair).collect::<Vec<_>>().join("&"))
            }
            (3.., Some((name, _))) if SECRETS.contains(&name) => Cow::Owned(format!("{name}:***")),
            _ => Cow::Borrowed(line),
        };
        lines.push(line);
    }
    lines.join("\n")
}

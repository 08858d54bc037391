//! What a request says about its signature, in a header or in its query.

use std::{borrow::Cow, collections::BTreeSet};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, header};
use percent_encoding::percent_decode_str;
use sha2::{Digest as _, Sha256};
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

use super::{
    ALGORITHM, Claim, EXPIRES_SECONDS_MAX, SKEW_SECONDS_MAX, Scope, SignatureError, SignedRequest,
    TERMINATOR,
    canonical::{SIGNATURE_PARAMETER, TOKEN_PARAMETER},
    from_timestamp, hex, timestamp,
};

/// The parameters of which each says that a query is signed.
const SIGNED_BY: [&str; 3] = ["X-Amz-Algorithm", "X-Amz-Credential", SIGNATURE_PARAMETER];

/// What is said of a date that is none, in characters.
const DATE_CHARS_SHOWN: usize = 32;

/// Its header, or its parameter of the query, in which capitals count.
const DATE: (&str, &str) = ("x-amz-date", "X-Amz-Date");
const DIGEST: (&str, &str) = ("x-amz-content-sha256", "X-Amz-Content-Sha256");
const TOKEN: (&str, &str) = ("x-amz-security-token", TOKEN_PARAMETER);

pub fn read(request: &SignedRequest<'_>, service: &str) -> Result<Option<Claim>, SignatureError> {
    let query = Query::of(request.query);
    let is_in_query = SIGNED_BY.iter().any(|name| query.has(name));
    let claim = match (request.headers.contains_key(header::AUTHORIZATION), is_in_query) {
        (false, false) => return Ok(None),
        (true, true) => {
            return Err(incomplete(
                "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter or the \
                 Authorization header should be specified",
            ));
        }
        (true, false) => in_header(request.headers)?,
        (false, true) => in_query(&query)?,
    };
    claim.check_scope(service)?;
    let digest = match is_in_query {
        true => query.get(DIGEST.1)?,
        false => None,
    };
    for digest in [digest, one(request.headers, DIGEST.0)?].into_iter().flatten() {
        if digest != hex(request.body) {
            return Err(SignatureError::Invalid(format!(
                "The provided '{}' does not match what was computed: the body is always signed",
                DIGEST.0
            )));
        }
    }
    Ok(Some(claim))
}

fn incomplete(message: impl Into<String>) -> SignatureError {
    SignatureError::Incomplete(message.into())
}

/// `AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…`
fn in_header(headers: &HeaderMap) -> Result<Claim, SignatureError> {
    let given = one(headers, header::AUTHORIZATION.as_str())?.unwrap_or_default();
    // Whatever it is, it may be somebody's secret.
    let digest = STANDARD.encode(Sha256::digest(given.as_bytes()));
    let (algorithm, rest) = given.trim().split_once([' ', '\t']).unwrap_or((&given, ""));
    let mut credential = None;
    let mut signature = None;
    let mut signed_headers = None;
    for pair in rest.split([',', ' ', '\t']).filter(|pair| !pair.is_empty()) {
        let Some((name, value)) = pair.split_once('=').filter(|(_, value)| !value.is_empty())
        else {
            return Err(incomplete(format!(
                "Invalid key=value pair (missing equal-sign) in Authorization header (hashed with \
                 SHA-256 and encoded with Base64): '{digest}'."
            )));
        };
        let place = match name {
            "Credential" => &mut credential,
            "Signature" => &mut signature,
            "SignedHeaders" => &mut signed_headers,
            _ => continue,
        };
        if place.replace(value).is_some() {
            return Err(incomplete(format!(
                "Authorization header has the parameter '{name}' more than once."
            )));
        }
    }
    let date = date(headers)?;
    let (Some(credential), Some(signature), Some(signed_headers), Some(time)) =
        (credential, signature, signed_headers, date)
    else {
        let is_missing = [
            (credential.is_none(), "Authorization header requires 'Credential' parameter."),
            (signature.is_none(), "Authorization header requires 'Signature' parameter."),
            (signed_headers.is_none(), "Authorization header requires 'SignedHeaders' parameter."),
            (
                date.is_none(),
                "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' \
                 header.",
            ),
        ];
        let missing = is_missing.iter().filter(|(is_missing, _)| *is_missing);
        let missing: Vec<&str> = missing.map(|(_, message)| *message).collect();
        return Err(incomplete(format!(
            "{} (Hashed with SHA-256 and encoded with Base64) Authorization={digest}",
            missing.join(" ")
        )));
    };
    check_algorithm(algorithm)?;
    let (access_key_id, scope) = credential_of(credential)?;
    Ok(Claim {
        access_key_id,
        session_token: one(headers, TOKEN.0)?.map(Cow::into_owned),
        scope,
        signed_headers: names(signed_headers),
        signature: signature.to_owned(),
        time,
        seconds: SKEW_SECONDS_MAX,
        in_query: false,
    })
}

/// `X-Amz-Algorithm=…&X-Amz-Credential=…&…`
fn in_query(query: &Query<'_>) -> Result<Claim, SignatureError> {
    let names_of = ["X-Amz-Algorithm", "X-Amz-Credential", SIGNATURE_PARAMETER];
    let more = ["X-Amz-SignedHeaders", DATE.1];
    let mut given = Vec::new();
    let mut missing = String::new();
    for name in names_of.into_iter().chain(more) {
        match query.get(name)?.filter(|value| !value.is_empty()) {
            Some(value) => given.push(value),
            None => {
                missing.push_str(&format!("AWS query-string parameters must include '{name}'. "));
            }
        }
    }
    let [algorithm, credential, signature, signed_headers, date] = &given[..] else {
        return Err(incomplete(format!("{missing}Re-examine the query-string parameters.")));
    };
    check_algorithm(algorithm)?;
    let seconds = match query.get("X-Amz-Expires")? {
        None => SKEW_SECONDS_MAX,
        Some(text) => expires(&text)?,
    };
    let (access_key_id, scope) = credential_of(credential)?;
    Ok(Claim {
        access_key_id,
        session_token: query.get(TOKEN.1)?.map(Cow::into_owned),
        scope,
        signed_headers: names(signed_headers),
        signature: signature.clone().into_owned(),
        time: from_timestamp(date).ok_or_else(|| no_date(date))?,
        seconds,
        in_query: true,
    })
}

impl Claim {
    fn check_scope(&self, service: &str) -> Result<(), SignatureError> {
        let mut wrong = String::new();
        if self.scope.service != service {
            wrong.push_str(&format!(
                "Credential should be scoped to correct service: '{service}'. "
            ));
        }
        let time = timestamp(self.time);
        if !time.starts_with(&format!("{}T", self.scope.date)) {
            wrong.push_str(&format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date \
                 from HTTP: '{}' != '{}', from '{time}'. ",
                self.scope.date,
                time.split('T').next().unwrap_or_default()
            ));
        }
        // Else it were a signature for every host.
        if !self.signed_headers.iter().any(|name| name == header::HOST.as_str()) {
            wrong.push_str(
                "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization. ",
            );
        }
        if wrong.is_empty() { Ok(()) } else { Err(SignatureError::Invalid(wrong)) }
    }
}

fn check_algorithm(given: &str) -> Result<(), SignatureError> {
    if given == ALGORITHM {
        return Ok(());
    }
    Err(incomplete(format!(
        "Unsupported AWS 'algorithm': the one that is supported is {ALGORITHM}"
    )))
}

/// `KEY/DATE/REGION/SERVICE/aws4_request`
fn credential_of(text: &str) -> Result<(String, Scope), SignatureError> {
    let elements: Vec<&str> = text.split('/').collect();
    let &[id, date, region, service, terminator] = &elements[..] else {
        return Err(incomplete(
            "Credential must have exactly 5 slash-delimited elements, e.g. \
             keyid/date/region/service/term",
        ));
    };
    if terminator != TERMINATOR {
        return Err(SignatureError::Invalid(format!(
            "Credential should be scoped with a valid terminator: '{TERMINATOR}'. "
        )));
    }
    if region.is_empty() {
        return Err(SignatureError::Invalid(
            "Credential should be scoped to a valid region. ".to_owned(),
        ));
    }
    let scope =
        Scope { date: date.to_owned(), region: region.to_owned(), service: service.to_owned() };
    Ok((id.to_owned(), scope))
}

/// Names of headers in their order, each once.
fn names(list: &str) -> Vec<String> {
    let names = list.split(';').filter(|name| !name.is_empty());
    let names: BTreeSet<String> = names.map(str::to_ascii_lowercase).collect();
    names.into_iter().collect()
}

fn expires(text: &str) -> Result<i64, SignatureError> {
    let seconds = text.parse::<i64>().ok();
    seconds.filter(|seconds| (1..=EXPIRES_SECONDS_MAX).contains(seconds)).ok_or_else(|| {
        incomplete(format!(
            "X-Amz-Expires must be a number of seconds from 1 to {EXPIRES_SECONDS_MAX}."
        ))
    })
}

/// The request's time: `X-Amz-Date`, else `Date`.
fn date(headers: &HeaderMap) -> Result<Option<OffsetDateTime>, SignatureError> {
    if let Some(text) = one(headers, DATE.0)? {
        return from_timestamp(&text).ok_or_else(|| no_date(&text)).map(Some);
    }
    let Some(text) = one(headers, header::DATE.as_str())? else { return Ok(None) };
    let time = from_timestamp(&text)
        .or_else(|| OffsetDateTime::parse(&text, &Rfc2822).ok())
        .ok_or_else(|| no_date(&text))?;
    // A year that has five digits in UTC has no time.
    time.checked_to_offset(time::UtcOffset::UTC).ok_or_else(|| no_date(&text)).map(Some)
}

fn no_date(text: &str) -> SignatureError {
    let shown: String = text.chars().take(DATE_CHARS_SHOWN).collect();
    incomplete(format!("Date must be in ISO-8601 'basic format'. Got {shown:?}."))
}

/// The value of a header that may be there once.
fn one<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<Cow<'h, str>>, SignatureError> {
    let mut values = headers.get_all(name).iter();
    let first = values.next().map(|value| String::from_utf8_lossy(value.as_bytes()));
    match values.next() {
        None => Ok(first),
        Some(_) => Err(incomplete(format!("The header '{name}' may be there once."))),
    }
}

/// The parameters of a query.
struct Query<'q>(Vec<(Cow<'q, str>, &'q str)>);

impl<'q> Query<'q> {
    fn of(query: &'q str) -> Self {
        let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        Self(pairs.map(|(name, value)| (decoded(name), value)).collect())
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(own, _)| own == name)
    }

    /// The value of a parameter that may be there once.
    fn get(&self, name: &str) -> Result<Option<Cow<'q, str>>, SignatureError> {
        let mut values = self.0.iter().filter(|(own, _)| own == name).map(|(_, value)| *value);
        let first = values.next().map(decoded);
        match values.next() {
            None => Ok(first),
            Some(_) => {
                Err(incomplete(format!("The query-string parameter '{name}' may be there once.")))
            }
        }
    }
}

/// As the parameters of events are decoded.
fn decoded(text: &str) -> Cow<'_, str> {
    match text.contains('+') {
        true => {
            let spaced = text.replace('+', " ");
            Cow::Owned(percent_decode_str(&spaced).decode_utf8_lossy().into_owned())
        }
        false => percent_decode_str(text).decode_utf8_lossy(),
    }
}

//! `cors = true` or `[cors]`.

use http::{HeaderName, HeaderValue, Method, Uri};

use crate::config::{
    CorsConfig, CorsMethod,
    keys::CORS,
    read::{Table, Text},
    tree::Data,
};

/// What API Gateway's console proposes.
const HEADERS: [&str; 5] =
    ["content-type", "authorization", "x-amz-date", "x-api-key", "x-amz-security-token"];
const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
/// A day, the most that API Gateway accepts.
const MAX_AGE_SECONDS: u64 = 86_400;

pub fn cors(root: &Table<'_>) -> Option<CorsConfig> {
    let given = root.take("cors")?;
    match given.value {
        Data::Boolean(false) => None,
        Data::Boolean(true) => Some(CorsConfig {
            allow_origins: vec![HeaderValue::from_static("*")],
            allow_methods: Vec::new(),
            allow_headers: HEADERS.map(HeaderValue::from_static).into(),
            expose_headers: Vec::new(),
            allow_credentials: false,
            max_age_seconds: None,
        }),
        Data::Table(_) => given.table(&CORS).map(|table| configured(&table)),
        _ => {
            given.mistyped("true or a table", "write cors = true, or a table [cors]");
            None
        }
    }
}

fn configured(table: &Table<'_>) -> CorsConfig {
    let credentials = table.boolean("allow_credentials", false);
    let any = HeaderValue::from_static("*");
    let allow_origins =
        list(table, "allow_origins", cors_origin).unwrap_or_else(|| vec![any.clone()]);
    if credentials && allow_origins.contains(&any) {
        table.source.problem(
            table.key_at("allow_credentials"),
            "allow_credentials = true needs allow_origins without \"*\"",
            "list the origins that may send credentials",
        );
    }
    let max_age = table.take("max_age_seconds");
    CorsConfig {
        allow_origins,
        allow_methods: list(table, "allow_methods", cors_method).unwrap_or_default(),
        allow_headers: list(table, "allow_headers", cors_header)
            .unwrap_or_else(|| HEADERS.map(HeaderValue::from_static).into()),
        expose_headers: list(table, "expose_headers", cors_header).unwrap_or_default(),
        allow_credentials: credentials,
        max_age_seconds: max_age.and_then(|value| value.integer(0..=MAX_AGE_SECONDS, "")),
    }
}

/// The items that `parse` takes; the others are reported with its hint.
fn list<T>(
    table: &Table<'_>,
    key: &'static str,
    parse: fn(&str) -> Result<T, &'static str>,
) -> Option<Vec<T>> {
    let given = table.take(key)?;
    let item = |text: Text<'_>| {
        let reported = |hint: &str| {
            table.source.problem(
                text.at,
                format!("{} cannot hold {:?}", given.path, text.text),
                hint,
            );
        };
        parse(text.text).map_err(reported).ok()
    };
    Some(given.strings()?.into_iter().filter_map(item).collect())
}

/// An origin, or why it is none.
pub fn cors_origin(text: &str) -> Result<HeaderValue, &'static str> {
    let hint =
        "an origin is \"*\", or scheme and host as in \"https://example.com\", without a path";
    let is_origin = |uri: &Uri| {
        // An origin with a path would match none that a browser sends.
        uri.scheme().is_some()
            && uri.authority().is_some()
            && !text.ends_with('/')
            && uri.path() == "/"
            && uri.query().is_none()
    };
    if text != "*" && text != "null" && !text.parse().is_ok_and(|uri| is_origin(&uri)) {
        return Err(hint);
    }
    HeaderValue::from_str(text).map_err(|_| hint)
}

/// A method, or why it is none.
pub fn cors_method(text: &str) -> Result<CorsMethod, &'static str> {
    match Method::from_bytes(text.as_bytes()) {
        _ if text == "*" => Ok(CorsMethod::Any),
        Ok(method) if METHODS.contains(&text) => Ok(CorsMethod::Only(method)),
        _ => Err("use \"*\" or methods in capitals: GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS"),
    }
}

/// The name of a header, or why it is none.
pub fn cors_header(text: &str) -> Result<HeaderValue, &'static str> {
    let hint = "use \"*\" or names of headers, one per string";
    if text != "*" && HeaderName::from_bytes(text.as_bytes()).is_err() {
        return Err(hint);
    }
    HeaderValue::from_str(text).map_err(|_| hint)
}

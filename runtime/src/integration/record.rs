//! Recording: answers of an upstream, written as mocks into a configuration
//! that serves them without it.
//!
//! The file is only ever appended to, in one write, and only with what its
//! parser then still takes: what a user wrote in it stays.

use std::{
    collections::HashSet,
    fmt::Write as _,
    fs, io,
    io::Write as _,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode, header};
use serde_json::Value;

use crate::{
    config::{ApiKind, RecordConfig, template::TextTemplate},
    router::{RouteKey, Segment},
};

/// The longest body that is recorded, in bytes.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// The longest that the file may become, in bytes: what a configuration may have.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Methods and paths of one run that are looked at: clients choose them.
const ROUTES_MAX: usize = 10_000;

/// What describes a transfer, not what was transferred.
const TRANSFER: [HeaderName; 10] = [
    header::AGE,
    header::CONNECTION,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::DATE,
    header::EXPIRES,
    header::SERVER,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::VIA,
];

/// Parts of names of headers that could carry a secret.
const SECRET: [&str; 8] =
    ["auth", "cookie", "credential", "key", "secret", "session", "signature", "token"];

/// Writes answers into a file, once per method and path.
#[derive(Debug)]
pub struct Recorder {
    /// What the configuration says.
    pub config: RecordConfig,
    kind: ApiKind,
    // Those that need no further look.
    seen: Mutex<HashSet<String>>,
    // One appends at a time.
    file: Mutex<()>,
}

/// An answer as the client gets it.
pub struct Recorded {
    /// The status code.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Recorder {
    /// One for a file that may be there already.
    pub fn new(config: RecordConfig, kind: ApiKind) -> Self {
        Self { config, kind, seen: Mutex::default(), file: Mutex::default() }
    }

    /// Whether it is what this configuration asks for.
    pub fn is_of(&self, config: &RecordConfig, kind: ApiKind) -> bool {
        self.config == *config && self.kind == kind
    }

    /// Records what the upstream answered. What cannot be recorded is logged;
    /// the client gets it all the same.
    pub async fn keep(self: &Arc<Self>, method: &str, path: &str, answer: Recorded) {
        let Some(key) = self.first(method, path) else { return };
        let identity = key.identity();
        let own = Arc::clone(self);
        let written = tokio::task::spawn_blocking(move || {
            let entry = entry(&key, &answer)?;
            own.append(&key, &entry).map(|written| (key, written))
        });
        match written.await {
            Ok(Ok((key, true))) => {
                tracing::info!("recorded {key} in {}", self.config.file.display());
            }
            Ok(Ok((_, false))) => {}
            Ok(Err(why)) => {
                // The next answer may be another one.
                self.seen.lock().unwrap_or_else(PoisonError::into_inner).remove(&identity);
                tracing::warn!("{method} {path} is not recorded: {why}");
            }
            Err(error) => tracing::error!("{method} {path} is not recorded: {error}"),
        }
    }

    /// The route's key, the first time that it is asked for.
    fn first(&self, method: &str, path: &str) -> Option<RouteKey> {
        let shorter = if path.len() > 1 { path.trim_end_matches('/') } else { path };
        let key: RouteKey = match format!("{method} {shorter}").parse() {
            Ok(RouteKey::Path(method, path)) if path.segments().iter().all(is_literal) => {
                RouteKey::Path(method, path)
            }
            _ => {
                tracing::warn!("{method} {path} is not recorded: no route can be written for it");
                return None;
            }
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let full = seen.len() >= ROUTES_MAX;
        if seen.len() == ROUTES_MAX - 1 {
            tracing::warn!(
                "{ROUTES_MAX} methods and paths have been asked for: no more is recorded"
            );
        }
        (!full && seen.insert(key.identity())).then_some(key)
    }

    /// True if the file did not have the route yet.
    fn append(&self, key: &RouteKey, entry: &str) -> Result<bool, String> {
        let _turn = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let path = &self.config.file;
        let failed = |error: io::Error| format!("{}: {error}", path.display());
        let before = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(failed(error)),
        };
        if has(&before, key).map_err(|error| format!("{}: {error}", path.display()))? {
            return Ok(false);
        }
        let mut text = match before.is_empty() {
            true => self.beginning(),
            false if before.ends_with('\n') => "\n".to_owned(),
            false => "\n\n".to_owned(),
        };
        text.push_str(entry);
        let after = format!("{before}{text}");
        if after.len() as u64 > FILE_BYTES_MAX {
            return Err(format!("{} would be longer than {FILE_BYTES_MAX} bytes", path.display()));
        }
        if let Err(error) = has(&after, key) {
            return Err(format!("{} cannot be appended to: {error}", path.display()));
        }
        append_whole(path, &text).map_err(failed)?;
        Ok(true)
    }

    fn beginning(&self) -> String {
        let kind = match self.kind {
            ApiKind::Rest => "rest",
            ApiKind::Http => "http",
        };
        format!(
            "# Recorded from {}. It is yours to change: what is in here is kept.\nkind = \"{kind}\"\n\n",
            self.config.upstream
        )
    }
}

fn is_literal(segment: &Segment) -> bool {
    matches!(segment, Segment::Literal(_))
}

/// Whether a configuration's text has a route that takes the same requests.
fn has(text: &str, key: &RouteKey) -> Result<bool, String> {
    let table: toml::Table = text
        .parse()
        .map_err(|error: toml::de::Error| format!("it is not TOML: {}", error.message()))?;
    let routes = table.get("route").and_then(toml::Value::as_array);
    let keys = routes.into_iter().flatten().filter_map(|route| route.get("route")?.as_str());
    let identity = key.identity();
    Ok(keys.filter_map(|own| own.parse::<RouteKey>().ok()).any(|own| own.identity() == identity))
}

/// All of the text or nothing: a reader that watches never sees half of it,
/// and a full disk leaves the file as it was.
fn append_whole(path: &Path, text: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().create(true).append(true).open(path)?;
    let length = file.metadata()?.len();
    if let Err(error) = file.write_all(text.as_bytes()) {
        file.set_len(length)?;
        return Err(error);
    }
    Ok(())
}

/// The route's table.
fn entry(key: &RouteKey, answer: &Recorded) -> Result<String, String> {
    let status = answer.status;
    let partial = matches!(status, StatusCode::NOT_MODIFIED | StatusCode::PARTIAL_CONTENT);
    if status.is_informational() || status.is_server_error() || partial {
        return Err(format!("it was answered {status}"));
    }
    if answer.body.len() > BODY_BYTES_MAX {
        let length = answer.body.len();
        return Err(format!("its body has {length} bytes, more than {BODY_BYTES_MAX}"));
    }
    if let Some(encoding) = answer.headers.get(header::CONTENT_ENCODING) {
        return Err(format!("its body is encoded as {encoding:?}"));
    }
    let mut headers = headers(key, &answer.headers);
    let body = body(key, answer, &mut headers)?;
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let mut text = format!("[[route]]\nroute = {}\n\n[route.mock]\n", quoted(&key.to_string()));
    // A string takes everything.
    let _ = writeln!(text, "status = {}", status.as_u16());
    if !headers.is_empty() {
        let _ = writeln!(text, "headers = {}", toml::Value::Table(headers));
    }
    text.push_str(&body);
    Ok(text)
}

fn headers(key: &RouteKey, all: &HeaderMap) -> toml::Table {
    let mut kept = toml::Table::new();
    for name in all.keys() {
        let own = name.as_str();
        let left_out = TRANSFER.contains(name)
            || own.starts_with("x-amzn-remapped-")
            || SECRET.iter().any(|part| own.contains(part));
        let values = all.get_all(name).iter().filter_map(|value| value.to_str().ok());
        let values: Vec<toml::Value> = values
            .filter(|value| TextTemplate::is_literal(value, key))
            .map(toml::Value::from)
            .collect();
        let value = match <[toml::Value; 1]>::try_from(values) {
            Ok([value]) => value,
            Err(values) if values.is_empty() => continue,
            Err(values) => toml::Value::Array(values),
        };
        if !left_out {
            kept.insert(own.to_owned(), value);
        }
    }
    kept
}

/// The line of the body. The mock's own content type needs no header.
fn body(key: &RouteKey, answer: &Recorded, headers: &mut toml::Table) -> Result<String, String> {
    if answer.body.is_empty() {
        return Ok(String::new());
    }
    let text = std::str::from_utf8(&answer.body).map_err(|_| "its body is not text".to_owned())?;
    let content_type = answer.headers.get(header::CONTENT_TYPE).and_then(|own| own.to_str().ok());
    let content_type = content_type.unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json = essence == "application/json" || essence.ends_with("+json");
    let placeholder = || "its body has what a mock takes for a placeholder".to_owned();
    let json = if is_json { serde_json::from_str::<Value>(text).ok() } else { None };
    if let Some(value) = json.as_ref().and_then(to_toml) {
        if !texts_are_literal(&value, key) {
            return Err(placeholder());
        }
        if content_type == "application/json" {
            headers.remove("content-type");
        }
        return Ok(format!("json = {value}\n"));
    }
    if !TextTemplate::is_literal(text, key) {
        return Err(placeholder());
    }
    // A mock would say that it is plain text.
    if content_type.is_empty() {
        headers.insert("content-type".to_owned(), "application/octet-stream".into());
    }
    Ok(format!("body = {}\n", toml::Value::from(text)))
}

/// What TOML can say; it has no null, and integers of 64 bits. Recursion is as
/// deep as the JSON parser lets it be.
fn to_toml(value: &Value) -> Option<toml::Value> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(flag) => (*flag).into(),
        Value::Number(number) => match (number.as_i64(), number.is_f64()) {
            (Some(integer), _) => integer.into(),
            (None, true) => number.as_f64()?.into(),
            (None, false) => return None,
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => {
            toml::Value::Array(items.iter().map(to_toml).collect::<Option<_>>()?)
        }
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| Some((name.clone(), to_toml(value)?)));
            toml::Value::Table(fields.collect::<Option<_>>()?)
        }
    })
}

fn texts_are_literal(value: &toml::Value, key: &RouteKey) -> bool {
    match value {
        toml::Value::String(text) => TextTemplate::is_literal(text, key),
        toml::Value::Array(items) => items.iter().all(|item| texts_are_literal(item, key)),
        toml::Value::Table(fields) => fields.values().all(|value| texts_are_literal(value, key)),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn key(text: &str) -> RouteKey {
        text.parse().expect("a key")
    }

    fn answer(content_type: &'static str, body: &str) -> Recorded {
        let mut headers = HeaderMap::new();
        if !content_type.is_empty() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        Recorded { status: StatusCode::OK, headers, body: Bytes::from(body.to_owned()) }
    }

    fn recorded(content_type: &'static str, body: &str) -> Result<String, String> {
        let text = entry(&key("GET /a"), &answer(content_type, body))?;
        let begin = "[[route]]\nroute = \"GET /a\"\n\n[route.mock]\nstatus = 200\n";
        Ok(text.strip_prefix(begin).expect("the beginning").to_owned())
    }

    #[test]
    fn bodies_are_json_or_text() {
        for (content_type, body, expected) in [
            ("", "", ""),
            (
                "application/json",
                r#"{"a":[1,2.5,true,"x"]}"#,
                "json = { a = [1, 2.5, true, \"x\"] }\n",
            ),
            (
                "application/json",
                r#"{"a":null}"#,
                "headers = { content-type = \"application/json\" }\nbody = '{\"a\":null}'\n",
            ),
            ("text/html", "<p>", "headers = { content-type = \"text/html\" }\nbody = \"<p>\"\n"),
            ("", "x", "headers = { content-type = \"application/octet-stream\" }\nbody = \"x\"\n"),
        ] {
            assert_eq!(recorded(content_type, body).as_deref(), Ok(expected), "{body}");
        }
        for (content_type, body) in [
            ("text/plain", "Hello {query.name}"),
            ("application/json", r#"["{now}"]"#),
            ("application/json", r#"["{path.x}"]"#),
        ] {
            assert!(recorded(content_type, body).is_err(), "{body}");
        }
    }

    #[test]
    fn secrets_and_what_describes_the_transfer_are_left_out() {
        let mut answer = answer("text/plain", "x");
        for name in ["set-cookie", "x-api-key", "authorization", "date", "x-auth-token", "etag"] {
            answer.headers.insert(name, HeaderValue::from_static("v"));
        }
        answer.headers.append("link", HeaderValue::from_static("a"));
        answer.headers.append("link", HeaderValue::from_static("{now}"));
        answer.headers.append("link", HeaderValue::from_static("b"));
        let kept = headers(&key("GET /a"), &answer.headers);
        let expected = "content-type = \"text/plain\"\netag = \"v\"\nlink = [\"a\", \"b\"]\n";
        assert_eq!(kept.to_string(), expected);
        answer.body = Bytes::from_static(b"\xff");
        assert!(entry(&key("GET /a"), &answer).is_err());
        answer.status = StatusCode::BAD_GATEWAY;
        assert!(entry(&key("GET /a"), &answer).is_err());
    }

    proptest::proptest! {
        #[test]
        fn what_is_recorded_is_what_is_read(text in "([{}\\[\\]\"':,.]|null|now|\\\\n|\\PC|\n|\r|[0-9]){0,24}") {
            for content_type in ["text/plain", "application/json"] {
                let Ok(entry) = entry(&key("GET /a"), &answer(content_type, &text)) else { continue };
                let table: toml::Table = entry.parse().expect("TOML");
                let mock = &table["route"][0]["mock"];
                match mock.get("json") {
                    Some(json) => {
                        let json = serde_json::to_value(json).expect("JSON");
                        let sent: Value = serde_json::from_str(&text).expect("JSON");
                        proptest::prop_assert_eq!(json, sent);
                    }
                    None => {
                        let body = mock.get("body").map_or("", |body| body.as_str().expect("text"));
                        proptest::prop_assert_eq!(body, &text);
                    }
                }
            }
        }
    }
}

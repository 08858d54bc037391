//! Placeholders of the mock shorthand: `{path.id}`, `{query.q}`,
//! `{header.host}`, `{body}`, `{body.items.0.name}` and, for a path parameter
//! that the route has, `{id}`; `{now}`, `{request.id}` and sample data.
//!
//! Any other brace is literal text, so that JSON and CSS need no escaping.
//! What a request lacks becomes the empty string. Rendering is linear in its
//! output, which is bounded: `{body}` may stand in a template many times.

mod sample;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, time::SystemTime};

use http::HeaderName;
use serde_json::Value;

use crate::router::RouteKey;
use sample::Sample;
pub use sample::Sampler;

/// The longest that one template renders to, in bytes: what the largest
/// request body makes when it is echoed once.
pub const OUTPUT_BYTES_MAX: usize = 10 * 1024 * 1024;

/// The request as placeholders see it.
pub trait Lookup {
    /// The method.
    fn method(&self) -> &str;
    /// The path as it came.
    fn path_text(&self) -> &str;
    /// Names and values of the query, decoded, in the order they came.
    fn query_pairs(&self) -> &[(String, String)];
    /// The id that the client and the log see.
    fn request_id(&self) -> &str;
    /// When it came.
    fn time(&self) -> SystemTime;
    /// A path parameter.
    fn path(&self, name: &str) -> Option<Cow<'_, str>>;
    /// A query string parameter.
    fn query(&self, name: &str) -> Option<Cow<'_, str>>;
    /// A header; the name's case does not matter.
    fn header(&self, name: &str) -> Option<Cow<'_, str>>;
    /// The whole body.
    fn body_text(&self) -> Option<Cow<'_, str>>;
    /// The body as JSON; none where it is something else.
    fn body_json(&self) -> Option<&Value>;
}

/// Text with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextTemplate(Vec<Piece>);

/// JSON whose strings are templates.
#[derive(Debug, Clone, PartialEq)]
pub enum JsonTemplate {
    /// A number, a boolean or null.
    Literal(Value),
    /// A string. One that is a single placeholder with a type of its own,
    /// such as `{body.a}` or `{random.bool}`, becomes the JSON value that it
    /// stands for, or null.
    Text(TextTemplate),
    /// An array.
    Array(Vec<JsonTemplate>),
    /// An object; its keys are literal.
    Object(Vec<(String, JsonTemplate)>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Placeholder(Placeholder),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Placeholder {
    Path(String),
    Query(String),
    Header(String),
    /// Object keys and array indices; none for the whole body.
    Body(Vec<String>),
    Sample(Sample),
    /// The time of the request, as ISO 8601 has it.
    Now,
    /// The same in seconds since 1970.
    NowEpoch,
    RequestId,
}

/// Why a placeholder cannot be filled by any request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PlaceholderError {
    /// What is wrong.
    pub message: String,
    /// What to write instead; may be empty.
    pub hint: String,
}

/// A template rendered to more than [`OUTPUT_BYTES_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the template renders to more than {OUTPUT_BYTES_MAX} bytes")]
pub struct OutputTooLong;

impl TextTemplate {
    /// What it is for every request, where that is the same.
    pub fn fixed(&self) -> Option<String> {
        let literal = |piece: &Piece| match piece {
            Piece::Literal(text) => Some(text.clone()),
            Piece::Placeholder(_) => None,
        };
        self.0.iter().map(literal).collect()
    }

    /// `text` as it is.
    pub fn literal(text: &str) -> Self {
        let pieces = [text].into_iter().filter(|text| !text.is_empty());
        Self(pieces.map(|text| Piece::Literal(text.to_owned())).collect())
    }

    /// Reads `text` as a template for requests of the route `key`.
    ///
    /// # Errors
    /// [`PlaceholderError`] for one that no request of this route can fill.
    pub fn parse(text: &str, key: &RouteKey) -> Result<Self, PlaceholderError> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            literal.push_str(before);
            let inner = after
                .find(['{', '}'])
                .filter(|&end| after[end..].starts_with('}'))
                .map(|end| &after[..end]);
            let placeholder = match inner {
                Some(inner) => placeholder(inner, key)?.map(|found| (inner, found)),
                None => None,
            };
            match placeholder {
                Some((inner, found)) => {
                    if !literal.is_empty() {
                        pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                    }
                    pieces.push(Piece::Placeholder(found));
                    rest = &after[inner.len() + 1..];
                }
                None => {
                    literal.push('{');
                    rest = after;
                }
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(Self(pieces))
    }

    /// Whether `text` stands for itself.
    pub fn is_literal(text: &str, key: &RouteKey) -> bool {
        let placeholder = |piece: &Piece| matches!(piece, Piece::Placeholder(_));
        Self::parse(text, key).is_ok_and(|template| !template.0.iter().any(placeholder))
    }

    /// The parts that are the same in every answer.
    pub fn literals(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Literal(text) => Some(text.as_str()),
            Piece::Placeholder(_) => None,
        })
    }

    /// Fills the placeholders.
    ///
    /// # Errors
    /// [`OutputTooLong`].
    pub fn render<L: Lookup + ?Sized>(
        &self,
        lookup: &L,
        sampler: &mut Sampler<'_>,
    ) -> Result<String, OutputTooLong> {
        self.render_within(lookup, sampler, &mut Budget::new())
    }

    fn render_within<L: Lookup + ?Sized>(
        &self,
        lookup: &L,
        sampler: &mut Sampler<'_>,
        budget: &mut Budget,
    ) -> Result<String, OutputTooLong> {
        let mut output = String::new();
        for piece in &self.0 {
            let text = match piece {
                Piece::Literal(text) => Cow::Borrowed(text.as_str()),
                Piece::Placeholder(placeholder) => placeholder.text(lookup, sampler),
            };
            budget.spend(text.len())?;
            output.push_str(&text);
        }
        Ok(output)
    }

    /// The placeholder that is all of it.
    fn alone(&self) -> Option<&Placeholder> {
        match self.0.as_slice() {
            [Piece::Placeholder(placeholder)] => Some(placeholder),
            _ => None,
        }
    }
}

impl JsonTemplate {
    /// What it is for every request, where that is the same.
    // Recursion is as deep as the file's nesting, which the TOML parser bounds.
    pub fn fixed(&self) -> Option<Value> {
        match self {
            Self::Literal(value) => Some(value.clone()),
            Self::Text(text) => text.fixed().map(Value::String),
            Self::Array(items) => items.iter().map(Self::fixed).collect(),
            Self::Object(entries) => {
                entries.iter().map(|(name, value)| Some((name.clone(), value.fixed()?))).collect()
            }
        }
    }

    /// Fills the placeholders.
    ///
    /// # Errors
    /// [`OutputTooLong`].
    pub fn render<L: Lookup + ?Sized>(
        &self,
        lookup: &L,
        sampler: &mut Sampler<'_>,
    ) -> Result<Value, OutputTooLong> {
        self.render_within(lookup, sampler, &mut Budget::new())
    }

    // Recursion is as deep as the template, and the TOML parser bounds that.
    fn render_within<L: Lookup + ?Sized>(
        &self,
        lookup: &L,
        sampler: &mut Sampler<'_>,
        budget: &mut Budget,
    ) -> Result<Value, OutputTooLong> {
        Ok(match self {
            Self::Literal(value) => {
                budget.spend_json(value)?;
                value.clone()
            }
            Self::Text(text) => match text.alone() {
                Some(Placeholder::Body(path)) => body_value(lookup, path, budget)?,
                Some(Placeholder::Sample(sample)) => {
                    let value = sample.draw(sampler.rng());
                    budget.spend_json(&value)?;
                    value
                }
                Some(Placeholder::NowEpoch) => epoch(lookup.time()).into(),
                _ => Value::String(text.render_within(lookup, sampler, budget)?),
            },
            Self::Array(items) => items
                .iter()
                .map(|item| item.render_within(lookup, sampler, budget))
                .collect::<Result<_, _>>()?,
            Self::Object(entries) => entries
                .iter()
                .map(|(key, value)| {
                    budget.spend(key.len())?;
                    Ok((key.clone(), value.render_within(lookup, sampler, budget)?))
                })
                .collect::<Result<_, _>>()?,
        })
    }
}

impl Placeholder {
    fn text<'l, L: Lookup + ?Sized>(
        &self,
        lookup: &'l L,
        sampler: &mut Sampler<'_>,
    ) -> Cow<'l, str> {
        let found = match self {
            Self::Path(name) => lookup.path(name),
            Self::Query(name) => lookup.query(name),
            Self::Header(name) => lookup.header(name),
            Self::Body(path) if path.is_empty() => lookup.body_text(),
            Self::Body(path) => at(lookup.body_json(), path).map(|value| match value {
                Value::String(text) => Cow::Borrowed(text.as_str()),
                other => Cow::Owned(other.to_string()),
            }),
            Self::Sample(sample) => Some(match sample.draw(sampler.rng()) {
                Value::String(text) => Cow::Owned(text),
                other => Cow::Owned(other.to_string()),
            }),
            Self::Now => Some(Cow::Owned(sample::timestamp(lookup.time().into()))),
            Self::NowEpoch => Some(Cow::Owned(epoch(lookup.time()).to_string())),
            Self::RequestId => Some(Cow::Borrowed(lookup.request_id())),
        };
        found.unwrap_or_default()
    }
}

/// The placeholder between two braces; none where it is literal text.
fn placeholder(inner: &str, key: &RouteKey) -> Result<Option<Placeholder>, PlaceholderError> {
    if inner.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '\'')) {
        return Ok(None);
    }
    let unnamed = |what: &str, example: &str| PlaceholderError {
        message: format!("the placeholder {{{inner}}} names no {what}"),
        hint: format!("write for example {{{example}}}"),
    };
    Ok(Some(match inner.split_once('.') {
        Some(("path", name)) => {
            if !parameters(key).any(|parameter| parameter == name) {
                return Err(no_such_parameter(inner, key));
            }
            Placeholder::Path(name.to_owned())
        }
        Some(("query", "")) => return Err(unnamed("query string parameter", "query.page")),
        Some(("query", name)) => Placeholder::Query(name.to_owned()),
        Some(("header", name)) => match HeaderName::from_bytes(name.as_bytes()) {
            Ok(name) => Placeholder::Header(name.as_str().to_owned()),
            Err(_) => return Err(unnamed("valid header", "header.user-agent")),
        },
        Some(("body", path)) => {
            if path.split('.').any(str::is_empty) {
                return Err(unnamed("value of a JSON body", "body.items.0.name"));
            }
            Placeholder::Body(path.split('.').map(str::to_owned).collect())
        }
        None if inner == "body" => Placeholder::Body(Vec::new()),
        _ if parameters(key).any(|parameter| parameter == inner) => {
            Placeholder::Path(inner.to_owned())
        }
        Some(("random", kind)) => Placeholder::Sample(Sample::parse(kind)?),
        Some(("now", "epoch")) => Placeholder::NowEpoch,
        Some(("now", _)) => return Err(unnamed("form of the time", "now} or {now.epoch")),
        None if inner == "now" => Placeholder::Now,
        Some(("request", "id")) => Placeholder::RequestId,
        Some(("request", _)) => return Err(unnamed("part of the request", "request.id")),
        _ => return Ok(None),
    }))
}

/// Whole seconds since 1970.
fn epoch(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

pub(super) fn parameters(key: &RouteKey) -> impl Iterator<Item = &str> {
    let path = match key {
        RouteKey::Path(_, path) => Some(path),
        RouteKey::Default => None,
    };
    path.into_iter().flat_map(|path| path.parameters())
}

/// For what names a parameter that the route does not have.
pub(super) fn no_such_parameter(inner: &str, key: &RouteKey) -> PlaceholderError {
    let names: Vec<String> = parameters(key).map(|name| format!("{{path.{name}}}")).collect();
    PlaceholderError {
        message: format!(
            "the placeholder {{{inner}}} names a path parameter that {:?} does not have",
            key.to_string()
        ),
        hint: if names.is_empty() {
            "this route has no path parameters".to_owned()
        } else {
            format!("this route has {}", names.join(", "))
        },
    }
}

/// The value at `path`: keys of objects, indices of arrays.
pub fn at<'v>(root: Option<&'v Value>, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(root?, |value, step| match value {
        Value::Object(entries) => entries.get(step),
        Value::Array(items) => items.get(step.parse::<usize>().ok()?),
        _ => None,
    })
}

/// The JSON value that a lone `{body…}` stands for. A whole body that is not
/// JSON is taken as text.
fn body_value<L: Lookup + ?Sized>(
    lookup: &L,
    path: &[String],
    budget: &mut Budget,
) -> Result<Value, OutputTooLong> {
    if let Some(value) = at(lookup.body_json(), path) {
        budget.spend_json(value)?;
        return Ok(value.clone());
    }
    match lookup.body_text() {
        Some(text) if path.is_empty() && !text.is_empty() => {
            budget.spend(text.len())?;
            Ok(Value::String(text.into_owned()))
        }
        _ => Ok(Value::Null),
    }
}

/// The bytes that may still be rendered.
struct Budget(usize);

impl Budget {
    fn new() -> Self {
        Self(OUTPUT_BYTES_MAX)
    }

    fn spend(&mut self, bytes: usize) -> Result<(), OutputTooLong> {
        self.0 = self.0.checked_sub(bytes).ok_or(OutputTooLong)?;
        Ok(())
    }

    /// Counts what `value` takes as text, without making that text.
    fn spend_json(&mut self, value: &Value) -> Result<(), OutputTooLong> {
        serde_json::to_writer(self, value).map_err(|_| OutputTooLong)
    }
}

impl std::io::Write for &mut Budget {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.spend(bytes.len()).map_err(std::io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

//! Placeholders of the mock shorthand: `{path.id}`, `{query.q}`,
//! `{header.host}`, `{body}`, `{body.items.0.name}` and, for a path parameter
//! that the route has, `{id}`.
//!
//! Any other brace is literal text, so that JSON and CSS need no escaping.
//! What a request lacks becomes the empty string. Rendering is linear in its
//! output, which is bounded: `{body}` may stand in a template many times.

use std::borrow::Cow;

use http::HeaderName;
use serde_json::Value;

use crate::router::RouteKey;

/// The longest that one template renders to, in bytes: what the largest
/// request body makes when it is echoed once.
pub const OUTPUT_BYTES_MAX: usize = 10 * 1024 * 1024;

/// The request as placeholders see it.
pub trait Lookup {
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
    /// A string. One that is a single `{body…}` placeholder becomes the JSON
    /// value that it stands for, whatever its type, or null.
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
    pub fn render<L: Lookup + ?Sized>(&self, lookup: &L) -> Result<String, OutputTooLong> {
        self.render_within(lookup, &mut Budget::new())
    }

    fn render_within<L: Lookup + ?Sized>(
        &self,
        lookup: &L,
        budget: &mut Budget,
    ) -> Result<String, OutputTooLong> {
        let mut output = String::new();
        for piece in &self.0 {
            let text = match piece {
                Piece::Literal(text) => Cow::Borrowed(text.as_str()),
                Piece::Placeholder(placeholder) => placeholder.text(lookup),
            };
            budget.spend(text.len())?;
            output.push_str(&text);
        }
        Ok(output)
    }

    fn as_body(&self) -> Option<&[String]> {
        match self.0.as_slice() {
            [Piece::Placeholder(Placeholder::Body(path))] => Some(path),
            _ => None,
        }
    }
}

impl JsonTemplate {
    /// Fills the placeholders.
    ///
    /// # Errors
    /// [`OutputTooLong`].
    pub fn render<L: Lookup + ?Sized>(&self, lookup: &L) -> Result<Value, OutputTooLong> {
        self.render_within(lookup, &mut Budget::new())
    }

    // Recursion is as deep as the template, and the TOML parser bounds that.
    fn render_within<L: Lookup + ?Sized>(
        &self,
        lookup: &L,
        budget: &mut Budget,
    ) -> Result<Value, OutputTooLong> {
        Ok(match self {
            Self::Literal(value) => {
                budget.spend_json(value)?;
                value.clone()
            }
            Self::Text(text) => match text.as_body() {
                Some(path) => body_value(lookup, path, budget)?,
                None => Value::String(text.render_within(lookup, budget)?),
            },
            Self::Array(items) => items
                .iter()
                .map(|item| item.render_within(lookup, budget))
                .collect::<Result<_, _>>()?,
            Self::Object(entries) => entries
                .iter()
                .map(|(key, value)| {
                    budget.spend(key.len())?;
                    Ok((key.clone(), value.render_within(lookup, budget)?))
                })
                .collect::<Result<_, _>>()?,
        })
    }
}

impl Placeholder {
    fn text<'l, L: Lookup + ?Sized>(&self, lookup: &'l L) -> Cow<'l, str> {
        let found = match self {
            Self::Path(name) => lookup.path(name),
            Self::Query(name) => lookup.query(name),
            Self::Header(name) => lookup.header(name),
            Self::Body(path) if path.is_empty() => lookup.body_text(),
            Self::Body(path) => at(lookup.body_json(), path).map(|value| match value {
                Value::String(text) => Cow::Borrowed(text.as_str()),
                other => Cow::Owned(other.to_string()),
            }),
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
        _ => return Ok(None),
    }))
}

fn parameters(key: &RouteKey) -> impl Iterator<Item = &str> {
    let path = match key {
        RouteKey::Path(_, path) => Some(path),
        RouteKey::Default => None,
    };
    path.into_iter().flat_map(|path| path.parameters())
}

fn no_such_parameter(inner: &str, key: &RouteKey) -> PlaceholderError {
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
fn at<'v>(root: Option<&'v Value>, path: &[String]) -> Option<&'v Value> {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    struct Request {
        body: String,
        json: Option<Value>,
    }

    impl Request {
        fn new(body: &str) -> Self {
            Self { body: body.to_owned(), json: serde_json::from_str(body).ok() }
        }
    }

    impl Lookup for Request {
        fn path(&self, name: &str) -> Option<Cow<'_, str>> {
            (name == "id").then_some(Cow::Borrowed("7"))
        }

        fn query(&self, name: &str) -> Option<Cow<'_, str>> {
            (name == "q").then_some(Cow::Borrowed("a b"))
        }

        fn header(&self, name: &str) -> Option<Cow<'_, str>> {
            (name == "x-me").then_some(Cow::Borrowed("me"))
        }

        fn body_text(&self) -> Option<Cow<'_, str>> {
            Some(Cow::Borrowed(&self.body))
        }

        fn body_json(&self) -> Option<&Value> {
            self.json.as_ref()
        }
    }

    fn parse(text: &str) -> Result<TextTemplate, PlaceholderError> {
        let key = "PUT /pets/{id}/{rest+}".parse().expect("a route key");
        TextTemplate::parse(text, &key)
    }

    fn render(text: &str, body: &str) -> String {
        let template = parse(text).expect("a template");
        template.render(&Request::new(body)).expect("short output")
    }

    #[test]
    fn placeholders_are_filled() {
        let body = r#"{"a":{"b":[1,{"c":"deep"}]},"n":null,"t":"text"}"#;
        for (template, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("{path.id}", "7"),
            ("pet {id}!", "pet 7!"),
            ("{id}{id}", "77"),
            ("{query.q}|{query.none}|", "a b||"),
            ("{header.X-Me}", "me"),
            ("{body.a.b.1.c}", "deep"),
            ("{body.a.b}", r#"[1,{"c":"deep"}]"#),
            ("{body.n} {body.t} {body.none} {body.a.b.9}", "null text  "),
            ("{body}", body),
            ("é{id}é", "é7é"),
        ] {
            assert_eq!(render(template, body), expected, "{template:?}");
        }
    }

    #[test]
    fn other_braces_are_literal() {
        for text in [
            "{",
            "}",
            "{}",
            "{{",
            "}}",
            "{other}",
            "{ id }",
            "{Id}",
            "{id",
            "id}",
            r#"{"path.id": {"id": 1}}"#,
            "a { color: red } b{margin:0}",
            "{\"body\"}",
            "{path}",
            "{rest+}",
            "{é}",
        ] {
            assert_eq!(render(text, ""), text, "{text:?}");
        }
        assert_eq!(render("{{id}}", ""), "{7}");
        assert_eq!(render(r#"{"id":"{id}"}"#, ""), r#"{"id":"7"}"#);
    }

    #[test]
    fn what_no_request_can_fill_is_refused() {
        for text in [
            "{path.petId}",
            "{path.}",
            "{query.}",
            "{header.}",
            "{header.é}",
            "{body.}",
            "{body..a}",
            "{body.a.}",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
        let error = TextTemplate::parse("{path.id}", &RouteKey::Default)
            .expect_err("$default has no path parameters");
        assert_eq!(error.hint, "this route has no path parameters");
    }

    #[test]
    fn a_lone_body_placeholder_keeps_its_type() {
        let text = |text: &str| JsonTemplate::Text(parse(text).expect("a template"));
        let template = JsonTemplate::Object(vec![
            ("whole".to_owned(), text("{body}")),
            ("number".to_owned(), text("{body.n}")),
            ("missing".to_owned(), text("{body.x}")),
            ("text".to_owned(), text("n={body.n}")),
            ("id".to_owned(), text("{id}")),
            ("list".to_owned(), JsonTemplate::Array(vec![JsonTemplate::Literal(json!(1.5))])),
        ]);
        let rendered = template.render(&Request::new(r#"{"n":[1]}"#));
        let expected = json!({
            "whole": {"n": [1]}, "number": [1], "missing": null, "text": "n=[1]",
            "id": "7", "list": [1.5],
        });
        assert_eq!(rendered, Ok(expected));
        assert_eq!(text("{body}").render(&Request::new("not json")), Ok(json!("not json")));
        assert_eq!(text("{body}").render(&Request::new("")), Ok(Value::Null));
    }

    #[test]
    fn output_is_bounded() {
        let body = format!("\"{}\"", "x".repeat(OUTPUT_BYTES_MAX / 4));
        let request = Request::new(&body);
        let text = parse(&"{body}".repeat(5)).expect("a template");
        assert_eq!(text.render(&request), Err(OutputTooLong));
        let once = JsonTemplate::Text(parse("{body}").expect("a template"));
        assert!(once.render(&request).is_ok());
        assert_eq!(JsonTemplate::Array(vec![once; 5]).render(&request), Err(OutputTooLong));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_template_or_an_error(text in "([{}]|path|query|header|body|[.]|id|0|\\PC){0,24}") {
            match parse(&text) {
                Ok(template) => {
                    let rendered = template.render(&Request::new("{\"a\":[1]}"));
                    proptest::prop_assert!(rendered.is_ok());
                    if !text.contains('{') {
                        proptest::prop_assert_eq!(rendered.expect("rendered"), text);
                    }
                }
                Err(error) => proptest::prop_assert!(!error.hint.is_empty()),
            }
        }
    }
}

//! What mapping expressions stand for in one request.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/request-response-data-mappings.html>

use std::{borrow::Cow, cell::OnceCell};

use http::{HeaderMap, HeaderName};
use serde_json::Value;

use super::{
    event,
    method_request::{About, MethodRequest},
};
use crate::{
    config::{MappingExpression, template::Lookup as _},
    mapping,
};

/// Where values come from: at least the head of a request.
pub struct Scope<'r> {
    about: About<'r>,
    request: Option<&'r MethodRequest<'r>>,
    answer: Option<(&'r HeaderMap, &'r str)>,
    context: OnceCell<Value>,
    answer_json: OnceCell<Option<Value>>,
}

impl<'r> Scope<'r> {
    /// A request's head, with a `context` of its own.
    pub fn head(about: About<'r>, context: Value) -> Self {
        Self {
            about,
            request: None,
            answer: None,
            context: OnceCell::from(context),
            answer_json: OnceCell::new(),
        }
    }

    /// A whole request.
    pub fn request(request: &'r MethodRequest<'r>) -> Self {
        Self {
            about: request.about(),
            request: Some(request),
            answer: None,
            context: OnceCell::new(),
            answer_json: OnceCell::new(),
        }
    }

    /// A whole request and its integration's answer.
    pub fn answer(request: &'r MethodRequest<'r>, headers: &'r HeaderMap, body: &'r str) -> Self {
        Self { answer: Some((headers, body)), ..Self::request(request) }
    }

    /// The values that an expression leads to; none where there is nothing.
    pub fn values(&self, expression: &MappingExpression) -> Vec<String> {
        match expression {
            MappingExpression::Static(text) => vec![text.clone()],
            MappingExpression::Context(path) => self.context(path).into_iter().collect(),
            MappingExpression::StageVariable(name) => {
                let value = self.about.exchange.stage.variables.get(name);
                value.cloned().into_iter().collect()
            }
            MappingExpression::RequestPath(name) => {
                one(self.request.and_then(|request| request.path(name)))
            }
            MappingExpression::RequestQuery(name) => {
                one(self.request.and_then(|request| request.query(name)))
            }
            MappingExpression::RequestQueries(name) => {
                let pairs = self.request.into_iter().flat_map(|request| &request.query);
                pairs.filter(|(own, _)| own == name).map(|(_, value)| value.clone()).collect()
            }
            MappingExpression::RequestHeader(name) => last(self.about.headers, name),
            MappingExpression::RequestHeaders(name) => all(self.about.headers, name),
            MappingExpression::RequestBody(path) => self
                .request
                .and_then(|request| in_body(path, || request.body_text(), || request.body_json()))
                .into_iter()
                .collect(),
            MappingExpression::ResponseHeader(name) => {
                self.answer.map(|(headers, _)| last(headers, name)).unwrap_or_default()
            }
            MappingExpression::ResponseHeaders(name) => {
                self.answer.map(|(headers, _)| all(headers, name)).unwrap_or_default()
            }
            MappingExpression::ResponseBody(path) => {
                let body = self.answer.map(|(_, body)| body);
                let json = || {
                    let parsed = || serde_json::from_str(body.unwrap_or_default()).ok();
                    self.answer_json.get_or_init(parsed).as_ref()
                };
                in_body(path, || body.map(Cow::Borrowed), json).into_iter().collect()
            }
        }
    }

    fn context(&self, path: &[String]) -> Option<String> {
        let context =
            self.context.get_or_init(|| Value::Object(event::template_context(&self.about)));
        let found = path.iter().try_fold(context, |value, name| value.get(name))?;
        plain(found)
    }
}

fn one(value: Option<Cow<'_, str>>) -> Vec<String> {
    value.map(Cow::into_owned).into_iter().collect()
}

fn last(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    let value = headers.get_all(name).iter().next_back();
    value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).into_iter().collect()
}

fn all(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    let values = headers.get_all(name).iter();
    values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
}

/// The whole body as it is, or what a path leads to in its JSON.
fn in_body<'b>(
    path: &mapping::Path,
    text: impl FnOnce() -> Option<Cow<'b, str>>,
    json: impl FnOnce() -> Option<&'b Value>,
) -> Option<String> {
    if path.is_root() {
        return text().map(Cow::into_owned).filter(|text| !text.is_empty());
    }
    plain(path.find(json()?).ok()??.as_ref())
}

/// A string without its quotes, anything else as JSON; `null` is nothing.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// A header's text: what a client sent may not be one.
pub fn header_values<'v>(values: &'v [String]) -> impl Iterator<Item = http::HeaderValue> + 'v {
    values.iter().filter_map(|value| http::HeaderValue::from_str(value).ok())
}

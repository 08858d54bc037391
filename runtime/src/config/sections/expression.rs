//! Mapping expressions: `method.request.header.a`, `integration.response.body.b`,
//! `context.c`, `stageVariables.d` and `'text'`.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/request-response-data-mappings.html>

use std::borrow::Cow;

use http::HeaderName;

use super::models::parameter;
use crate::{
    config::{
        MappingExpression, RequestParameter,
        context::{AUTHORIZER, COMMON},
    },
    mapping,
    router::RouteKey,
};

/// What an expression may read beside `context`, `stageVariables` and text.
pub enum Sources<'k> {
    /// An integration's answer; `upstream` where it has headers.
    Response {
        /// Whether it is one of HTTP.
        upstream: bool,
    },
    /// The head of a request whose route nobody may know.
    Head,
    /// The whole request to a route; without its key where that is invalid.
    Request(Option<&'k RouteKey>),
}

/// What is wrong with an expression, and what to write.
type Wrong = (String, &'static str);

impl Sources<'_> {
    fn hint(&self) -> &'static str {
        match self {
            Self::Response { upstream: false } => {
                "write 'text' in single quotes, integration.response.body.a.b, context.a or stageVariables.a"
            }
            Self::Response { upstream: true } => {
                "write 'text' in single quotes, integration.response.header.a, integration.response.body.a.b, context.a or stageVariables.a"
            }
            Self::Head => {
                "write 'text' in single quotes, method.request.header.a, context.a or stageVariables.a"
            }
            Self::Request(_) => {
                "write 'text' in single quotes, method.request.path.a, .querystring.a, .header.a or .body.a, context.a or stageVariables.a"
            }
        }
    }
}

/// `header.NAME`, `query.NAME` and `path.NAME` in full, as
/// `method.request.header.NAME`; anything else as it is.
pub fn in_full(text: &str) -> Cow<'_, str> {
    let (place, name) = text.split_once('.').unwrap_or((text, ""));
    let place = match place {
        "header" | "path" => place,
        "query" => "querystring",
        _ => return Cow::Borrowed(text),
    };
    Cow::Owned(format!("method.request.{place}.{name}"))
}

/// Reads an expression.
///
/// # Errors
/// What is wrong with it, and what to write.
pub fn parse(text: &str, sources: &Sources<'_>) -> Result<MappingExpression, Wrong> {
    let hint = sources.hint();
    if let Some(inner) = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')) {
        return Ok(MappingExpression::Static(inner.to_owned()));
    }
    if let Some(rest) = text.strip_prefix("stageVariables.").filter(|rest| !rest.is_empty()) {
        return Ok(MappingExpression::StageVariable(rest.to_owned()));
    }
    if let Some(rest) = text.strip_prefix("context.")
        && rest.split('.').all(|part| !part.is_empty())
    {
        if !is_context_variable(rest) {
            return Err((format!("{text}: there is no such variable"), CONTEXT_HINT));
        }
        return Ok(MappingExpression::Context(rest.split('.').map(str::to_owned).collect()));
    }
    let wrong = || (format!("{text:?} is not a mapping expression"), hint);
    if let Some(rest) = text.strip_prefix("integration.response.") {
        return match sources {
            Sources::Response { upstream } => response(text, rest, *upstream, hint),
            _ => Err((format!("{text}: there is no integration response here"), hint)),
        };
    }
    match (text.strip_prefix("method.request."), sources) {
        (None, _) => Err(wrong()),
        (Some(_), Sources::Response { .. }) => {
            Err((format!("{text}: a response has no method request"), hint))
        }
        (Some(rest), Sources::Head) => {
            let name = rest.strip_prefix("header.").ok_or_else(wrong)?;
            header(name).map(MappingExpression::RequestHeader).ok_or_else(wrong)
        }
        (Some(rest), Sources::Request(key)) => request(text, rest, *key, hint),
    }
}

const CONTEXT_HINT: &str = "write for example context.requestId or context.identity.sourceIp";

/// What mapping expressions have beside what access logs have too.
const OWN: [&str; 1] = ["identity.accessKey"];

/// Names that stand for all below them.
const OPEN: [&str; 5] =
    [AUTHORIZER, "identity.clientCert.", "requestOverride.", "responseOverride.", "waf."];

fn is_context_variable(name: &str) -> bool {
    COMMON.contains(&name) || OWN.contains(&name) || OPEN.iter().any(|own| name.starts_with(own))
}

fn response(
    text: &str,
    rest: &str,
    upstream: bool,
    hint: &'static str,
) -> Result<MappingExpression, Wrong> {
    if let Some(path) = body_path(rest) {
        return path.map(MappingExpression::ResponseBody);
    }
    let (place, name) = rest.split_once('.').unwrap_or((rest, ""));
    match (place, header(name)) {
        ("header" | "multivalueheader", _) if !upstream => {
            Err((format!("{text}: neither a mock nor a function answers with that"), hint))
        }
        ("header", Some(name)) => Ok(MappingExpression::ResponseHeader(name)),
        ("multivalueheader", Some(name)) => Ok(MappingExpression::ResponseHeaders(name)),
        _ => Err((format!("{text:?} is not a mapping expression"), hint)),
    }
}

fn request(
    text: &str,
    rest: &str,
    key: Option<&RouteKey>,
    hint: &'static str,
) -> Result<MappingExpression, Wrong> {
    if let Some(path) = body_path(rest) {
        return path.map(MappingExpression::RequestBody);
    }
    let (place, name) = rest.split_once('.').unwrap_or((rest, ""));
    let wrong = || (format!("{text:?} is not a mapping expression"), hint);
    Ok(match place {
        "multivaluequerystring" if !name.is_empty() => {
            MappingExpression::RequestQueries(name.to_owned())
        }
        "multivalueheader" => MappingExpression::RequestHeaders(header(name).ok_or_else(wrong)?),
        "path" | "querystring" | "header" => match parameter(text, key)? {
            RequestParameter::Path(name) => MappingExpression::RequestPath(name),
            RequestParameter::Query(name) => MappingExpression::RequestQuery(name),
            RequestParameter::Header(name) => MappingExpression::RequestHeader(name),
        },
        _ => return Err(wrong()),
    })
}

/// `body` or `body.JSONPATH`; none where it is something else.
fn body_path(rest: &str) -> Option<Result<mapping::Path, Wrong>> {
    let path = match rest.strip_prefix("body")? {
        "" => "$",
        rest => rest.strip_prefix('.')?,
    };
    Some(path.parse().map_err(|error| (error, "write for example body.id, or body for all of it")))
}

fn header(name: &str) -> Option<HeaderName> {
    HeaderName::from_bytes(name.as_bytes()).ok()
}

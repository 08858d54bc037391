//! The request that an HTTP endpoint gets: of a proxy the client's own, else
//! what templates and mappings make.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/setup-http-integrations.html>

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, header, request::Builder};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::{
    TRACE_HEADER,
    error::GatewayError,
    event,
    expression::{Scope, header_values},
    integration_response::{remove_connection_headers, remove_named_by_connection},
    method_request::MethodRequest,
};
use crate::{
    config::{
        ApiKind, HttpConfig, IntegrationParameter, MappingExpression, UriPiece, check_absolute,
        has_dot_segments,
    },
    integration::AnswerBody,
    mapping::RequestOverride,
};

/// What is not escaped within a segment: RFC 3986's `pchar`.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

/// Several segments.
const SEGMENTS: &AsciiSet = &SEGMENT.remove(b'/');

/// A name or a value of a query.
const QUERY: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'*');

/// The request of `http_proxy`: the client's, with what is mapped in place of
/// its own.
pub fn proxied(
    request: &MethodRequest<'_>,
    config: &HttpConfig,
) -> Result<Request<AnswerBody>, GatewayError> {
    let mapped = Mapped::of(request, config, RequestOverride::default())?;
    let own = request.raw_query.split('&').filter(|pair| {
        let name = pair.split('=').next().unwrap_or_default().replace('+', " ");
        let name = percent_decode_str(&name).decode_utf8_lossy();
        !pair.is_empty() && !mapped.query.iter().any(|(other, _)| *other == name)
    });
    let query: Vec<Cow<'_, str>> = own.map(Cow::Borrowed).chain(mapped.pairs()).collect();
    let builder = builder(request, config, &mapped, &query)?;
    let mut headers = HeaderMap::clone(&request.headers);
    remove_named_by_connection(&mut headers);
    remove_connection_headers(&mut headers);
    headers.remove(header::HOST);
    headers.remove(header::EXPECT);
    forwarded(request, &mut headers);
    finish(builder, headers, mapped, request.take_body())
}

/// The request of `http`: a body that templates made, and only the headers
/// that are mapped.
pub fn mapped(
    request: &MethodRequest<'_>,
    config: &HttpConfig,
    body: bytes::Bytes,
    overrides: RequestOverride,
) -> Result<Request<AnswerBody>, GatewayError> {
    let mapped = Mapped::of(request, config, overrides)?;
    let query: Vec<Cow<'_, str>> = mapped.pairs().collect();
    let builder = builder(request, config, &mapped, &query)?;
    let json = HeaderValue::from_static("application/json");
    let mut headers = HeaderMap::new();
    let content_type = request.headers.get(header::CONTENT_TYPE).unwrap_or(&json);
    headers.insert(header::CONTENT_TYPE, content_type.clone());
    headers.insert(header::ACCEPT, json);
    let name = &request.gateway.config.name;
    set(&mut headers, header::USER_AGENT, &format!("AmazonAPIGateway_{name}"));
    set(&mut headers, TRACE_HEADER, request.exchange.trace_id());
    set(&mut headers, API_ID, name);
    finish(builder, headers, mapped, body.into())
}

const API_ID: HeaderName = HeaderName::from_static("x-amzn-apigateway-api-id");

/// Parameters of the integration request.
struct Mapped {
    path: Vec<(String, PathValue)>,
    query: Vec<(String, String)>,
    headers: Vec<(HeaderName, Vec<HeaderValue>)>,
}

/// A path parameter; one that is greedy may be of several segments.
struct PathValue {
    text: String,
    is_greedy: bool,
}

impl Mapped {
    fn of(
        request: &MethodRequest<'_>,
        config: &HttpConfig,
        overrides: RequestOverride,
    ) -> Result<Self, GatewayError> {
        let scope = Scope::request(request);
        let mut mapped = Self { path: Vec::new(), query: Vec::new(), headers: Vec::new() };
        let is_greedy =
            |name: &str| request.matched.route.resource.contains(&format!("{{{name}+}}"));
        for (text, value) in overrides.path {
            mapped.path.push((text, PathValue { text: value, is_greedy: false }));
        }
        for (to, from) in &config.parameters {
            let values = scope.values(from);
            match to {
                IntegrationParameter::Path(name) => {
                    let is_greedy =
                        matches!(from, MappingExpression::RequestPath(name) if is_greedy(name));
                    let path = values.into_iter().map(|text| PathValue { text, is_greedy });
                    mapped.path.extend(path.map(|value| (name.clone(), value)));
                }
                IntegrationParameter::Query(name) => {
                    let overridden = overrides.query.iter().any(|(own, _)| own == name);
                    let values = values.into_iter().filter(|_| !overridden);
                    mapped.query.extend(values.map(|value| (name.clone(), value)));
                }
                IntegrationParameter::Header(name) => {
                    mapped.headers.push((name.clone(), header_values(&values).collect()));
                }
            }
        }
        for (name, text) in &request.matched.parameters {
            let value = PathValue { text: text.clone(), is_greedy: is_greedy(name) };
            mapped.path.push((name.clone(), value));
        }
        mapped.query.extend(overrides.query);
        for (name, value) in overrides.headers {
            mapped.headers.push(override_header(&name, &value)?);
        }
        Ok(mapped)
    }

    /// The query's pairs, escaped.
    fn pairs(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let escaped = |text| utf8_percent_encode(text, QUERY);
        self.query
            .iter()
            .map(move |(name, value)| Cow::Owned(format!("{}={}", escaped(name), escaped(value))))
    }
}

fn override_header(
    name: &str,
    value: &str,
) -> Result<(HeaderName, Vec<HeaderValue>), GatewayError> {
    let parsed = name.parse().ok().zip(HeaderValue::from_str(value).ok());
    let (name, value) = parsed.ok_or_else(|| {
        let what = format!("$context.requestOverride.header.{name} is {value:?}, no header");
        GatewayError::Mapping(what)
    })?;
    Ok((name, vec![value]))
}

/// Method and URI.
fn builder(
    request: &MethodRequest<'_>,
    config: &HttpConfig,
    mapped: &Mapped,
    query: &[Cow<'_, str>],
) -> Result<Builder, GatewayError> {
    let mut text = String::new();
    for piece in &config.uri.0 {
        match piece {
            UriPiece::Literal(literal) => text.push_str(literal),
            UriPiece::StageVariable(name) => {
                let stage = &request.exchange.stage;
                text.push_str(stage.variables.get(name).ok_or_else(|| {
                    let stage = stage.name;
                    let what = format!("uri has ${{stageVariables.{name}}}");
                    GatewayError::Mapping(format!("{what}, which the stage {stage:?} has not"))
                })?);
            }
            UriPiece::Parameter(name) => {
                let found = mapped.path.iter().find(|(own, _)| own == name);
                if let Some((_, value)) = found {
                    let set = if value.is_greedy { SEGMENTS } else { SEGMENT };
                    text.extend(utf8_percent_encode(&value.text, set));
                }
            }
        }
    }
    // Where a parameter could lead out of the path that the URI names.
    if has_dot_segments(&text) {
        return Err(GatewayError::BadRequest("a path parameter is a dot segment"));
    }
    for pair in query {
        text.push(if text.contains('?') { '&' } else { '?' });
        text.push_str(pair);
    }
    let invalid = |why: String| GatewayError::Mapping(format!("the endpoint {text:?} {why}"));
    check_absolute(&text).map_err(invalid)?;
    let uri: Uri = text.parse().map_err(|error| invalid(format!("is not a URI: {error}")))?;
    let method = config.method.as_ref().unwrap_or(request.method);
    Ok(Request::builder().method(method).uri(uri))
}

/// Says who asked, in the words of the kind of API.
fn forwarded(request: &MethodRequest<'_>, headers: &mut HeaderMap) {
    let append = |before: Option<Cow<'_, str>>, own: String| match before {
        Some(before) => format!("{before}, {own}"),
        None => own,
    };
    match request.kind() {
        ApiKind::Rest => {
            for (name, value) in event::forwarding_headers(request) {
                set(headers, HeaderName::from_static(name), &value);
            }
            set(headers, API_ID, &request.gateway.config.name);
        }
        ApiKind::Http => {
            // RFC 7239, section 4: an IPv6 address is quoted and in brackets.
            let node = |ip: std::net::IpAddr| match ip {
                std::net::IpAddr::V4(ip) => ip.to_string(),
                std::net::IpAddr::V6(ip) => format!("\"[{ip}]\""),
            };
            let (by, host) = (node(request.connection.local.ip()), request.domain_name());
            let (peer, proto) = (node(request.connection.peer()), request.connection.scheme());
            let own = format!("by={by};for={peer};host={host};proto={proto}");
            set(headers, header::FORWARDED, &append(request.header_text(header::FORWARDED), own));
            let own = "HTTP/1.1 AmazonAPIGateway".to_owned();
            set(headers, header::VIA, &append(request.header_text(header::VIA), own));
            set(headers, TRACE_HEADER, request.exchange.trace_id());
        }
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn finish(
    builder: Builder,
    mut headers: HeaderMap,
    mapped: Mapped,
    body: AnswerBody,
) -> Result<Request<AnswerBody>, GatewayError> {
    for (name, values) in mapped.headers {
        // What leads to nothing leaves the client's own header.
        if !values.is_empty() {
            headers.remove(&name);
        }
        for value in values {
            headers.append(name.clone(), value);
        }
    }
    remove_connection_headers(&mut headers);
    headers.remove(header::HOST);
    let mut built = builder
        .body(body)
        .map_err(|error| GatewayError::Mapping(format!("no request can be made: {error}")))?;
    *built.headers_mut() = headers;
    Ok(built)
}

//! What each stage of one request saw, for `mayfly test` and for execution
//! logs. Off, it costs a comparison.

use std::{borrow::Cow, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request, Response, header};
use serde_json::Value;

use percent_encoding::percent_decode_str;

use super::{Exchange, Matched, content, method_request::MethodRequest, stage::Stage};
use crate::{
    config::{LoggingLevel, MappingExpression, Secret},
    integration::{AnswerBody, IntegrationAnswer, IntegrationRequest, mock},
    telemetry,
};

/// What is logged of one body, in bytes: as much as the service logs.
const LOGGED_BYTES_MAX: usize = 1024;

/// Headers whose values are in no log.
const SECRETS: [HeaderName; 6] = [
    header::AUTHORIZATION,
    header::PROXY_AUTHORIZATION,
    header::COOKIE,
    header::SET_COOKIE,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("x-amz-security-token"),
];

/// Parameters of queries whose values are in no log.
const SECRET_PARAMETERS: [&str; 2] = ["X-Amz-Security-Token", "X-Amz-Signature"];

/// Where an event has headers and parameters.
const EVENT_MAPS: [&str; 4] =
    ["headers", "multiValueHeaders", "queryStringParameters", "multiValueQueryStringParameters"];

/// One stage's line of the trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The stage, in API Gateway's words.
    pub stage: &'static str,
    /// What went in or came out.
    pub text: String,
}

/// Keeps steps, writes them, or neither.
#[derive(Debug, Default)]
pub enum Trace {
    /// Neither.
    #[default]
    Off,
    /// What has been kept so far.
    On(Vec<Step>),
    /// Each step is a line of the log.
    Log {
        /// The request's id.
        request_id: String,
        /// Whether bodies are in it.
        bodies: bool,
        /// What must not be in it, wherever it stands; the longest first.
        secrets: Vec<Secret>,
    },
}

/// How much of a step is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail<'s> {
    /// Everything, to the one who made the request.
    Whole,
    /// The beginning of bodies, no secrets.
    Logged {
        /// Those that may stand anywhere.
        secrets: &'s [Secret],
    },
    /// No bodies, no secrets.
    Heads,
}

impl Trace {
    /// What the stage's execution log wants.
    pub(super) fn of_stage(exchange: &Exchange<'_>) -> Self {
        if exchange.stage.logging() != LoggingLevel::Info {
            return Self::Off;
        }
        let bodies = exchange.stage.config.is_some_and(|config| config.data_trace);
        Self::Log { request_id: exchange.request_id.clone(), bodies, secrets: Vec::new() }
    }

    pub(super) fn note(&mut self, stage: &'static str, text: impl FnOnce(Detail<'_>) -> String) {
        match self {
            Self::Off => {}
            Self::On(steps) => steps.push(Step { stage, text: text(Detail::Whole) }),
            Self::Log { request_id, bodies, secrets } => {
                let text = text(if *bodies { Detail::Logged { secrets } } else { Detail::Heads });
                telemetry::step(request_id, stage, &masked(&text, secrets));
            }
        }
    }

    /// Keeps a caller's secret out of the log from now on: events and
    /// templates may have it anywhere.
    pub(super) fn mask(&mut self, value: impl FnOnce() -> Secret) {
        if let Self::Log { secrets, .. } = self {
            let value = value();
            // A short one may be a part of a long one, which would not be found
            // any more.
            let length = value.reveal().len();
            let at = secrets.partition_point(|other| other.reveal().len() >= length);
            secrets.insert(at, value);
        }
    }

    pub(super) fn matched(&mut self, matched: &Matched<'_>, stage: &Stage<'_>) {
        self.note("route", |_| {
            let mut text = format!("{} (resource {})", matched.route.key, matched.route.resource);
            text.push_str(&format!("\nstage {}", stage.name));
            if stage.is_canary == Some(true) {
                text.push_str(", its canary");
            }
            for (name, value) in stage.variables {
                text.push_str(&format!("\nstage variable {name} = {value:?}"));
            }
            for (name, value) in &matched.parameters {
                text.push_str(&format!("\npath parameter {name} = {value:?}"));
            }
            text
        });
    }

    pub(super) fn method_request(&mut self, request: &MethodRequest<'_>) {
        self.note("method request", |detail| {
            let mut text = format!("{} {}", request.method, request.path);
            let secrets = Secrets::of(request, detail);
            if !request.raw_query.is_empty() {
                text.push_str(&format!("?{}", secrets.query(request.raw_query)));
            }
            text.push_str(&secrets.headers(&request.headers));
            text.push_str(&body(&request.body, detail));
            text
        });
    }

    pub(super) fn validated(&mut self, request: &MethodRequest<'_>) {
        let Some(validation) = &request.matched.route.validation else { return };
        self.note("request validation", |_| {
            let essence = content::essence(&request.headers);
            let model = validation.models.iter().find(|(own, _)| *own == essence);
            let model = match model {
                Some((_, model)) => format!("model {}", model.name),
                None => format!("no model for {essence}"),
            };
            format!("succeeded: {} required parameters, {model}", validation.parameters.len())
        });
    }

    pub(super) fn integration_request(
        &mut self,
        request: &IntegrationRequest<'_>,
        of: &MethodRequest<'_>,
    ) {
        self.note("integration request", |detail| {
            let secrets = Secrets::of(of, detail);
            match request {
                IntegrationRequest::Function { function, invocation } => {
                    let event = secrets.payload(&invocation.event, detail);
                    format!("function {}\n{event}", function.name)
                }
                IntegrationRequest::HttpFunction { function, invocation, .. } => {
                    let request = secrets.request(&invocation.request, detail);
                    format!("function {}\n{request}", function.name)
                }
                IntegrationRequest::Echo { payload } => {
                    format!("mock\n{}", secrets.payload(payload, detail))
                }
                IntegrationRequest::Mock { mock, request } => mock::describe(mock, *request),
                IntegrationRequest::Http { request, .. } => secrets.request(request, detail),
            }
        });
    }

    pub(super) fn integration_answer(
        &mut self,
        answer: &IntegrationAnswer,
        latency: Option<Duration>,
    ) {
        self.note("integration response", |detail| match answer {
            IntegrationAnswer::Payload(text) => Secrets::usual(detail).payload(text, detail),
            IntegrationAnswer::Http { fault: Some(fault), .. } => format!("fault: {fault}"),
            IntegrationAnswer::Http { status, headers, body, fault: None } => {
                let headers = Secrets::usual(detail).headers(headers);
                format!("{status}{headers}{}", answer_body(body, detail))
            }
        });
        if let Some(latency) = latency {
            let latency = latency.as_secs_f64() * 1000.0;
            self.note("integration latency", |_| format!("{latency:.1} ms"));
        }
    }

    pub(super) fn response(&mut self, stage: &'static str, response: &Response<AnswerBody>) {
        self.note(stage, |detail| {
            format!(
                "{}{}{}",
                response.status(),
                Secrets::usual(detail).headers(response.headers()),
                answer_body(response.body(), detail)
            )
        });
    }
}

/// What is masked of a request: credentials by their usual names, and by those
/// that the route's authorizer looks at.
struct Secrets<'r> {
    hides: bool,
    identity: &'r [MappingExpression],
}

impl<'r> Secrets<'r> {
    fn of(request: &'r MethodRequest<'_>, detail: Detail<'_>) -> Self {
        let authorizer = request.matched.route.authorizer.as_ref();
        let identity = authorizer.map_or(&[][..], |authorizer| authorizer.config.identity());
        Self { identity, ..Self::usual(detail) }
    }

    /// Those of an answer, which no authorizer looks at.
    fn usual(detail: Detail<'_>) -> Self {
        Self { hides: detail != Detail::Whole, identity: &[] }
    }

    /// A header, in whatever case its name is.
    fn is_secret_header(&self, name: &str) -> bool {
        let is = |own: &HeaderName| name.eq_ignore_ascii_case(own.as_str());
        SECRETS.iter().any(is)
            || self.identity.iter().any(|own| match own {
                MappingExpression::RequestHeader(own) | MappingExpression::RequestHeaders(own) => {
                    is(own)
                }
                _ => false,
            })
    }

    /// A parameter of the query.
    fn is_secret_parameter(&self, name: &str) -> bool {
        SECRET_PARAMETERS.contains(&name)
            || self.identity.iter().any(|own| match own {
                MappingExpression::RequestQuery(own) | MappingExpression::RequestQueries(own) => {
                    own == name
                }
                _ => false,
            })
    }

    fn headers(&self, headers: &HeaderMap) -> String {
        let line = |(name, value): (&HeaderName, &http::HeaderValue)| {
            if self.hides && self.is_secret_header(name.as_str()) {
                return format!("\n{name}: ***");
            }
            format!("\n{name}: {}", String::from_utf8_lossy(value.as_bytes()))
        };
        headers.iter().map(line).collect()
    }

    /// A query without credentials: whoever has them may send the request again.
    fn query<'t>(&self, query: &'t str) -> Cow<'t, str> {
        let is_secret = |pair: &str| {
            let name = pair.split('=').next().unwrap_or_default().replace('+', " ");
            self.is_secret_parameter(&percent_decode_str(&name).decode_utf8_lossy())
        };
        if !self.hides || !query.split('&').any(is_secret) {
            return Cow::Borrowed(query);
        }
        let shown = |pair: &str| match pair.split_once('=') {
            Some((name, _)) if is_secret(pair) => format!("{name}=***"),
            _ => pair.to_owned(),
        };
        Cow::Owned(query.split('&').map(shown).collect::<Vec<_>>().join("&"))
    }

    fn uri(&self, uri: &http::Uri) -> String {
        let text = uri.to_string();
        match text.split_once('?') {
            Some((path, query)) => format!("{path}?{}", self.query(query)),
            None => text,
        }
    }

    /// A request to a server, or to a function that speaks HTTP.
    fn request(&self, request: &Request<AnswerBody>, detail: Detail<'_>) -> String {
        let (method, uri) = (request.method(), self.uri(request.uri()));
        let body = answer_body(request.body(), detail);
        format!("{method} {uri}{}{body}", self.headers(request.headers()))
    }

    /// What a function gets or answers.
    fn payload(&self, json: &str, detail: Detail<'_>) -> String {
        match detail {
            Detail::Whole => pretty(json),
            Detail::Logged { .. } => shortened(&self.event(json), detail),
            Detail::Heads => format!("({} bytes)", json.len()),
        }
    }

    /// An event without what is secret in its headers and its query; any other
    /// text as it is.
    fn event<'t>(&self, json: &'t str) -> Cow<'t, str> {
        let Ok(Value::Object(mut event)) = serde_json::from_str(json) else { return json.into() };
        let is_secret = |map: &str, name: &str| match map.ends_with("eaders") {
            true => self.is_secret_header(name),
            false => self.is_secret_parameter(name),
        };
        let mut is_masked = false;
        for map in EVENT_MAPS {
            let Some(Value::Object(members)) = event.get_mut(map) else { continue };
            for (_, value) in members.iter_mut().filter(|(name, _)| is_secret(map, name)) {
                *value = "***".into();
                is_masked = true;
            }
        }
        if let Some(Value::String(text)) = event.get_mut("rawQueryString")
            && let Cow::Owned(shown) = self.query(text)
        {
            *text = shown;
            is_masked = true;
        }
        if let Some(cookies) = event.get_mut("cookies").filter(|cookies| cookies.is_array()) {
            *cookies = "***".into();
            is_masked = true;
        }
        if is_masked { Value::Object(event).to_string().into() } else { json.into() }
    }
}

fn answer_body(answer: &AnswerBody, detail: Detail<'_>) -> String {
    let passes = || "\n\n(a body that is passed on as it comes)".to_owned();
    answer.whole().map_or_else(passes, |bytes| body(bytes, detail))
}

fn body(bytes: &Bytes, detail: Detail<'_>) -> String {
    match std::str::from_utf8(bytes) {
        _ if bytes.is_empty() => String::new(),
        Ok(_) if detail == Detail::Heads => format!("\n\n({} bytes)", bytes.len()),
        Ok(text) => format!("\n\n{}", shortened(text, detail)),
        Err(_) => format!("\n\n({} bytes that are not text)", bytes.len()),
    }
}

/// The text without the secrets.
fn masked<'t>(text: &'t str, secrets: &[Secret]) -> Cow<'t, str> {
    let mut shown = Cow::Borrowed(text);
    for secret in secrets.iter().map(Secret::reveal).filter(|secret| text.contains(secret)) {
        shown = shown.replace(secret, "***").into();
    }
    shown
}

fn shortened(text: &str, detail: Detail<'_>) -> String {
    // Not even a part of it is left where the text ends.
    let text = match detail {
        Detail::Logged { secrets } => masked(text, secrets),
        _ => text.into(),
    };
    if detail == Detail::Whole || text.len() <= LOGGED_BYTES_MAX {
        return text.into_owned();
    }
    let shown = &text[..text.floor_char_boundary(LOGGED_BYTES_MAX)];
    format!("{shown}[truncated, {} bytes]", text.len())
}

fn pretty(json: &str) -> String {
    serde_json::from_str::<Value>(json)
        .and_then(|value| serde_json::to_string_pretty(&value))
        .unwrap_or_else(|_| json.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secrets(identity: &[MappingExpression]) -> Secrets<'_> {
        Secrets { hides: true, identity }
    }

    #[test]
    fn an_event_is_logged_without_secrets() {
        let event = json!({
            "version": "2.0",
            "rawQueryString": "a=1&X-Amz-Signature=s3cret&X-Amz-Security%2DToken=s3cret&my%20key=s3cret",
            "cookies": ["s3cret"],
            "headers": { "Authorization": "s3cret", "x-api-key": "s3cret", "X-Own": "s3cret", "accept": "*/*" },
            "multiValueHeaders": { "Cookie": ["s3cret"], "x-own": ["s3cret"] },
            "queryStringParameters": { "a": "1", "X-Amz-Signature": "s3cret", "my key": "s3cret" },
            "multiValueQueryStringParameters": { "X-Amz-Security-Token": ["s3cret"], "my key": ["s3cret"] },
            "body": "b",
        });
        // Those that the route's authorizer looks at.
        let identity = [
            MappingExpression::RequestHeader(HeaderName::from_static("x-own")),
            MappingExpression::RequestQuery("my key".to_owned()),
        ];
        let shown = secrets(&identity).event(&event.to_string()).into_owned();
        assert!(!shown.contains("s3cret"), "{shown}");
        let shown: Value = serde_json::from_str(&shown).expect("JSON");
        assert_eq!(shown["headers"]["accept"], "*/*");
        assert_eq!(shown["queryStringParameters"]["a"], "1");
        let query = "a=1&X-Amz-Signature=***&X-Amz-Security%2DToken=***&my%20key=***";
        assert_eq!(shown["rawQueryString"], query);
        let usual = secrets(&[]).event(&event.to_string()).into_owned();
        assert_eq!(usual.matches("s3cret").count(), 5, "{usual}");
        for text in ["[1, 2]", "{\"a\": 1}", "no JSON"] {
            assert_eq!(secrets(&identity).event(text), text);
        }
    }

    #[test]
    fn every_secret_of_a_request_is_masked() {
        let mut trace = Trace::Log { request_id: String::new(), bodies: true, secrets: Vec::new() };
        for secret in ["key", "a.key.b", "other"] {
            trace.mask(|| Secret::new(secret.to_owned()));
        }
        let Trace::Log { secrets, .. } = trace else { panic!("it is a log's") };
        assert_eq!(masked("key a.key.b other else", &secrets), "*** *** *** else");
    }
}

//! What each stage of one request saw, for `mayfly test`. Off, it costs a
//! comparison.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};

use super::{Matched, content, method_request::MethodRequest, stage::Stage};
use crate::integration::{AnswerBody, IntegrationAnswer, IntegrationRequest};

/// One stage's line of the trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The stage, in API Gateway's words.
    pub stage: &'static str,
    /// What went in or came out.
    pub text: String,
}

/// Keeps steps, or nothing.
#[derive(Debug, Default)]
pub enum Trace {
    /// Nothing is kept.
    #[default]
    Off,
    /// What has been kept so far.
    On(Vec<Step>),
}

impl Trace {
    pub(super) fn note(&mut self, stage: &'static str, text: impl FnOnce() -> String) {
        if let Self::On(steps) = self {
            steps.push(Step { stage, text: text() });
        }
    }

    pub(super) fn matched(&mut self, matched: &Matched<'_>, stage: &Stage<'_>) {
        self.note("route", || {
            let mut text = format!("{} (resource {})", matched.route.key, matched.route.resource);
            text.push_str(&format!("\nstage {}", stage.name));
            if stage.is_canary == Some(true) {
                text.push_str(", its canary");
            }
            for (name, value) in &*stage.variables {
                text.push_str(&format!("\nstage variable {name} = {value:?}"));
            }
            for (name, value) in &matched.parameters {
                text.push_str(&format!("\npath parameter {name} = {value:?}"));
            }
            text
        });
    }

    pub(super) fn method_request(&mut self, request: &MethodRequest<'_>) {
        self.note("method request", || {
            let mut text = format!("{} {}", request.method, request.path);
            if !request.raw_query.is_empty() {
                text.push_str(&format!("?{}", request.raw_query));
            }
            text.push_str(&headers(&request.headers));
            text.push_str(&body(&request.body));
            text
        });
    }

    pub(super) fn validated(&mut self, request: &MethodRequest<'_>) {
        let Some(validation) = &request.matched.route.validation else { return };
        self.note("request validation", || {
            let essence = content::essence(&request.headers);
            let model = validation.models.iter().find(|(own, _)| *own == essence);
            let model = match model {
                Some((_, model)) => format!("model {}", model.name),
                None => format!("no model for {essence}"),
            };
            format!("succeeded: {} required parameters, {model}", validation.parameters.len())
        });
    }

    pub(super) fn integration_request(&mut self, request: &IntegrationRequest<'_>) {
        self.note("integration request", || match request {
            IntegrationRequest::Function { function, invocation } => {
                format!("function {}\n{}", function.name, pretty(&invocation.event))
            }
            IntegrationRequest::Echo { payload } => format!("mock\n{}", pretty(payload)),
            IntegrationRequest::Mock { .. } => "mock".to_owned(),
            IntegrationRequest::Http { request, .. } => {
                let body = answer_body(request.body());
                let headers = headers(request.headers());
                format!("{} {}{headers}{body}", request.method(), request.uri())
            }
        });
    }

    pub(super) fn integration_answer(&mut self, answer: &IntegrationAnswer, latency: Duration) {
        self.note("integration response", || match answer {
            IntegrationAnswer::Payload(text) => pretty(text),
            IntegrationAnswer::Http { status, headers: map, body: bytes } => {
                format!("{status}{}{}", headers(map), answer_body(bytes))
            }
        });
        self.note("integration latency", || format!("{:.1} ms", latency.as_secs_f64() * 1000.0));
    }

    pub(super) fn response(&mut self, stage: &'static str, response: &Response<AnswerBody>) {
        self.note(stage, || {
            format!(
                "{}{}{}",
                response.status(),
                headers(response.headers()),
                answer_body(response.body())
            )
        });
    }
}

fn headers(headers: &HeaderMap) -> String {
    headers
        .iter()
        .map(|(name, value)| format!("\n{name}: {}", String::from_utf8_lossy(value.as_bytes())))
        .collect()
}

fn answer_body(answer: &AnswerBody) -> String {
    answer.whole().map_or_else(|| "\n\n(a body that is passed on as it comes)".to_owned(), body)
}

fn body(bytes: &Bytes) -> String {
    match std::str::from_utf8(bytes) {
        _ if bytes.is_empty() => String::new(),
        Ok(text) => format!("\n\n{text}"),
        Err(_) => format!("\n\n({} bytes that are not text)", bytes.len()),
    }
}

fn pretty(json: &str) -> String {
    serde_json::from_str::<serde_json::Value>(json)
        .and_then(|value| serde_json::to_string_pretty(&value))
        .unwrap_or_else(|_| json.to_owned())
}

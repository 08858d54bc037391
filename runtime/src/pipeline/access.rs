//! The access line of a request: what is in it, and when it is written: at once
//! where the whole body is there, else when its last byte has passed or the
//! client has gone.

use std::{
    fmt::Write as _,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use serde_json::Value;

use super::{Course, error::GatewayError, event, method_request::About};
use crate::{
    config::{AccessLogFormat, AccessLogPiece, ApiKind, LoggingLevel},
    gateway::Target,
    integration::{AnswerBody, Stream, StreamError},
    telemetry::{Access, LinePiece},
};

/// What there is to say of a request whose response is known.
pub fn record<'r>(
    about: &About<'r>,
    course: &Course<'_>,
    format: Option<&AccessLogFormat>,
    status: StatusCode,
    started: Instant,
) -> Access<'r> {
    Access {
        request_id: about.exchange.request_id.as_str().into(),
        method: about.method.as_str().into(),
        path: about.path.into(),
        route: about.route.map_or("-", |route| &route.key).into(),
        status: status.as_u16(),
        started,
        client: about.connection.client.ip(),
        line: format.map(|format| line(format, about, course, status)),
        logs_errors: about.exchange.stage.logging() != LoggingLevel::Off,
    }
}

fn line(
    format: &AccessLogFormat,
    about: &About<'_>,
    course: &Course<'_>,
    status: StatusCode,
) -> Vec<LinePiece> {
    let context = Value::Object(event::template_context(about));
    let piece = |piece: &AccessLogPiece| match piece {
        AccessLogPiece::Text(text) => LinePiece::Text(text.clone()),
        AccessLogPiece::Context(name) => match name.as_str() {
            "responseLength" => LinePiece::ResponseLength,
            "responseLatency" => LinePiece::ResponseLatency,
            "status" => LinePiece::Text(status.as_u16().to_string()),
            // In quotes already, as JSON has it.
            "error.messageString" => {
                let message = error_message(about, course).map(Value::from);
                LinePiece::Text(message.map_or("-".to_owned(), |message| message.to_string()))
            }
            name => {
                let known = known(name, about, course).or_else(|| in_context(&context, name));
                let known = known.filter(|value| !value.is_empty());
                LinePiece::Text(known.map_or("-".to_owned(), |value| escaped(&value)))
            }
        },
    };
    format.0.iter().map(piece).collect()
}

/// What the pipeline found out.
fn known(name: &str, about: &About<'_>, course: &Course<'_>) -> Option<String> {
    let kind = about.gateway.config.kind;
    let error = course.error.as_ref();
    let integration = course.integration.as_ref();
    match name {
        "error.message" => error_message(about, course),
        "error.responseType" => error.map(|error| error.response_type().to_owned()),
        "error.validationErrorString" => error.and_then(GatewayError::validation_errors),
        "integration.error" | "integrationErrorMessage" => {
            error.and_then(GatewayError::integration_error)
        }
        "integration.latency" | "integrationLatency" => {
            Some(integration?.latency?.as_millis().to_string())
        }
        "integration.integrationStatus" | "integrationStatus" => {
            integration?.service_status.map(|status| status.as_u16().to_string())
        }
        "integration.status" => integration?.own_status.map(|status| status.as_u16().to_string()),
        "integration.requestId" | "awsEndpointRequestId" => {
            let Target::Function { .. } = about.route?.target else { return None };
            integration.map(|_| about.exchange.id.to_string())
        }
        // Its id is there to tell whose it was.
        "identity.apiKey" => about.exchange.api_key.get().map(|_| "***".to_owned()),
        "tlsVersion" => Some(about.connection.tls.as_ref()?.version.to_owned()),
        "cipherSuite" => Some(about.connection.tls.as_ref()?.cipher_suite.to_owned()),
        "routeKey" if kind == ApiKind::Http => about.route.map(|route| route.key.clone()),
        _ => None,
    }
}

fn error_message(about: &About<'_>, course: &Course<'_>) -> Option<String> {
    let error = course.error.as_ref()?;
    Some(error.message(about.gateway.config.kind).into_owned())
}

/// What mapping templates know by this name.
fn in_context(context: &Value, name: &str) -> Option<String> {
    match name.split('.').try_fold(context, |value, name| value.get(name))? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Within quotes a client's text stays there, and nothing in it begins a line
/// or steers a terminal: escaped as in JSON.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => escaped.extend(['\\', c]),
            // All of them are below U+00A0; writing to a string never fails.
            c if c.is_control() => drop(write!(escaped, "\\u{:04x}", u32::from(c))),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Writes `access` when the length of `body` is known.
pub fn log(access: Access<'_>, body: AnswerBody) -> AnswerBody {
    match body {
        AnswerBody::Whole(bytes) => {
            access.log(bytes.len());
            AnswerBody::Whole(bytes)
        }
        AnswerBody::Stream(stream) => {
            let access = access.into_owned();
            let logged = Logged { stream, bytes: 0, access, failed: None };
            AnswerBody::Stream(logged.boxed_unsync())
        }
    }
}

/// A body that writes its access line when it is dropped, and whose end comes
/// after what was before it, if it is an error.
struct Logged {
    stream: Stream,
    bytes: usize,
    access: Access<'static>,
    failed: Option<StreamError>,
}

impl Body for Logged {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Some(Err(error)));
        }
        match ready!(Pin::new(&mut self.stream).poll_frame(cx)) {
            Some(Ok(frame)) => {
                self.bytes += frame.data_ref().map_or(0, Bytes::len);
                Poll::Ready(Some(Ok(frame)))
            }
            // The head is said already: closing the connection is all that
            // tells the client. The server writes whenever a body has nothing
            // for now, and drops what it has not written when a body fails.
            Some(Err(error)) => {
                if self.access.logs_errors {
                    let request_id = &*self.access.request_id;
                    tracing::error!(request_id, "the body of the answer ended early: {error}");
                }
                self.failed = Some(error);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.failed.is_none() && self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.stream.size_hint()
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        self.access.log(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_sends_stays_within_its_quotes() {
        let forged = "x\", \"status\": \"200\"}\n{\u{1b}[31m\\\u{9b}2J é";
        let line = format!("{{\"agent\": \"{}\"}}", escaped(forged));
        assert!(!line.contains(char::is_control), "{line}");
        let read: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(read, serde_json::json!({ "agent": forged }));
    }
}

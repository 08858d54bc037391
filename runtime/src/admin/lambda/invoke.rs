//! Invoke: at once, later, or only to see whether it would be.

use std::sync::Arc;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Map, Value};

use super::{Answer, Call, nothing, set};
use crate::{
    body::AnswerBody,
    config::FunctionReference,
    lambda::{EVENT_BYTES_MAX, ErrorKind, Event, LambdaError, Resolved},
    sandbox::{CallContext, Function, Invocation, InvokeError},
    telemetry::Tail,
};

/// What an event is where the caller sends none.
const NO_PAYLOAD: &str = "{}";

/// The words of `X-Amz-Invocation-Type`.
const TYPES: [&str; 3] = ["Event", "RequestResponse", "DryRun"];

/// The longest client context, in bytes of base64: Lambda's.
const CLIENT_CONTEXT_BYTES_MAX: usize = 3583;

/// The words of `X-Amz-Log-Type`.
const LOG_TYPES: [&str; 2] = ["None", "Tail"];

/// What an invocation is called with.
pub(super) struct Request {
    resolved: Resolved,
    payload: String,
    client_context: Option<String>,
    tail: Option<Tail>,
}

impl Call {
    pub(super) async fn invoke(&mut self, reference: &FunctionReference) -> Answer {
        let kind =
            self.word("x-amz-invocation-type", "RequestResponse", "invocationType", &TYPES)?;
        match kind.as_str() {
            "DryRun" => self.dry_run(reference),
            "Event" => {
                let Request { payload, client_context, .. } = self.request(reference, true).await?;
                let event = Event::new(reference.clone(), self.id.clone(), payload);
                self.gateway.lambda.enqueue(Event { client_context, ..event }).await?;
                Ok(nothing(StatusCode::ACCEPTED))
            }
            _ => {
                let request = self.request(reference, false).await?;
                self.request_response(request).await
            }
        }
    }

    /// Tells which version would run.
    pub(super) fn dry_run(&self, reference: &FunctionReference) -> Answer {
        let version = &self.gateway.function(reference)?.function.version;
        let mut response = nothing(StatusCode::NO_CONTENT);
        set(&mut response, "x-amz-executed-version", version);
        Ok(response)
    }

    async fn request_response(&self, request: Request) -> Answer {
        let (function, invocation) = self.invocation(request);
        let tail = invocation.context.tail.clone();
        let outcome = function.invoke(invocation).await;
        let has_run = !matches!(outcome, Err(InvokeError::Event(_)));
        let outcome = match outcome {
            Ok(output) => Ok(output),
            Err(error) => {
                self.failed(&function, &error)?;
                Err(error.payload(&self.id).to_string())
            }
        };
        let failed = outcome.is_err();
        let (Ok(body) | Err(body)) = outcome;
        let mut response = Response::new(AnswerBody::from(body));
        let kind = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        set(&mut response, "x-amz-executed-version", &function.version);
        if failed {
            set(&mut response, "x-amz-function-error", "Unhandled");
        }
        if let Some(tail) = tail {
            if has_run {
                ended(&tail, &function).await;
            }
            set(&mut response, "x-amz-log-result", &BASE64_STANDARD.encode(tail.text()));
        }
        Ok(response)
    }

    /// What runs, and with what.
    pub(super) fn invocation(&self, request: Request) -> (Arc<Function>, Invocation) {
        let Request { resolved: Resolved { function, qualifier }, payload, client_context, tail } =
            request;
        let context = CallContext::direct(self.id.clone());
        let context = CallContext { qualifier, client_context, tail, ..context };
        (function, Invocation { event: payload, context })
    }

    /// Tells of a function that has failed.
    ///
    /// # Errors
    /// Where it did not even begin.
    pub(super) fn failed(
        &self,
        function: &Function,
        error: &InvokeError,
    ) -> Result<(), LambdaError> {
        if let Some(refused) = LambdaError::of_invocation(&function.name, error) {
            return Err(refused);
        }
        let (function, request_id) = (&function.name, &self.id);
        tracing::error!(function, request_id, "{error}");
        Ok(())
    }

    /// What an invocation is called with, read from the call.
    pub(super) async fn request(
        &mut self,
        reference: &FunctionReference,
        is_event: bool,
    ) -> Result<Request, LambdaError> {
        let tail = self.word("x-amz-log-type", "None", "logType", &LOG_TYPES)? == "Tail";
        let client_context = self.client_context()?;
        let resolved = self.gateway.function(reference)?;
        let payload = self.payload(&resolved, is_event).await?;
        Ok(Request { resolved, payload, client_context, tail: tail.then(Tail::default) })
    }

    /// One of a few words in a header.
    pub(super) fn word(
        &self,
        header: &str,
        default: &str,
        parameter: &str,
        words: &[&str],
    ) -> Result<String, LambdaError> {
        let given = self.header(header).unwrap_or(default);
        match words.contains(&given) {
            true => Ok(given.to_owned()),
            false => Err(LambdaError::not_one_of(given, parameter, words)),
        }
    }

    fn client_context(&self) -> Result<Option<String>, LambdaError> {
        let Some(given) = self.header("x-amz-client-context") else { return Ok(None) };
        let invalid = || {
            let message = "Client context must be a valid Base64-encoded JSON object.";
            LambdaError::new(ErrorKind::InvalidRequestContent, message)
        };
        if given.len() > CLIENT_CONTEXT_BYTES_MAX {
            let message = format!(
                "Client context must be no more than {CLIENT_CONTEXT_BYTES_MAX} bytes when base64-encoded."
            );
            return Err(LambdaError::new(ErrorKind::InvalidRequestContent, message));
        }
        let decoded = BASE64_STANDARD.decode(given).map_err(|_| invalid())?;
        let text = String::from_utf8(decoded).map_err(|_| invalid())?;
        serde_json::from_str::<Map<String, Value>>(&text).map_err(|_| invalid())?;
        Ok(Some(text))
    }

    /// The event, which has to be JSON.
    async fn payload(
        &mut self,
        resolved: &Resolved,
        is_event: bool,
    ) -> Result<String, LambdaError> {
        let own = resolved.function.config.payload_bytes_max;
        let max = if is_event { own.min(EVENT_BYTES_MAX) } else { own };
        let too_large = |size: u64| {
            if is_event {
                return LambdaError::event_too_large(size, max);
            }
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            let error = InvokeError::PayloadTooLarge { size, max };
            LambdaError::new(ErrorKind::RequestTooLarge, error.message(""))
        };
        let body = self.body(max, too_large).await?;
        if body.is_empty() {
            return Ok(NO_PAYLOAD.to_owned());
        }
        let invalid = |error: String| {
            let message = format!(
                "Could not parse request body into json: Could not parse payload into json: {error}"
            );
            LambdaError::new(ErrorKind::InvalidRequestContent, message)
        };
        let text = String::from_utf8(body).map_err(|error| invalid(error.to_string()))?;
        serde_json::from_str::<serde::de::IgnoredAny>(&text)
            .map_err(|error| invalid(error.to_string()))?;
        Ok(text)
    }
}

/// Waits until the log has all that a function writes, which may go on when it
/// has answered: not for longer than it may run.
pub(super) async fn ended(tail: &Tail, function: &Function) {
    let _ = tokio::time::timeout(function.config.timeout, tail.ended()).await;
}

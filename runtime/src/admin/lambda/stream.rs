//! InvokeWithResponseStream: what a function answers, in events that are sent
//! while it writes.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_InvokeWithResponseStream.html>

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue as EventValue, Message};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use serde_json::{Map, Value};

use super::{Answer, Call, invoke::ended, set};
use crate::{
    body::{AnswerBody, StreamError},
    config::FunctionReference,
    sandbox::{Function, GuestBody, InvokeError, Output},
    telemetry::Tail,
};

/// The words of `X-Amz-Invocation-Type`.
const TYPES: [&str; 2] = ["RequestResponse", "DryRun"];

/// What one event carries at most, in bytes.
const CHUNK_BYTES_MAX: usize = 64 * 1024;

impl Call {
    pub(super) async fn invoke_with_response_stream(
        &mut self,
        reference: &FunctionReference,
    ) -> Answer {
        let kind =
            self.word("x-amz-invocation-type", "RequestResponse", "invocationType", &TYPES)?;
        if kind == "DryRun" {
            return self.dry_run(reference);
        }
        let request = self.request(reference, false).await?;
        let (function, invocation) = self.invocation(request);
        let tail = invocation.context.tail.clone();
        let outcome = function.invoke_streaming(invocation).await;
        let has_run = !matches!(outcome, Err(InvokeError::Event(_)));
        let (output, error) = match outcome {
            Ok(output) => (output, None),
            Err(error) => {
                self.failed(&function, &error)?;
                (Output::default(), Some(error))
            }
        };
        let events = Events {
            chunk: output.begin,
            rest: output.rest,
            end: End { function: Arc::clone(&function), id: self.id.clone(), tail, has_run, error },
            ending: None,
            ended: false,
        };
        let mut response = Response::new(AnswerBody::Stream(events.boxed_unsync()));
        let kind = HeaderValue::from_static("application/vnd.amazon.eventstream");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        set(&mut response, "x-amz-executed-version", &function.version);
        Ok(response)
    }
}

/// A body of events. Nothing is taken from the function before the client has
/// taken what came before; a client that goes ends it.
struct Events {
    // What is there and was not sent yet.
    chunk: Bytes,
    rest: Option<GuestBody>,
    end: End,
    ending: Option<Pin<Box<dyn Future<Output = Bytes> + Send>>>,
    ended: bool,
}

/// What the last event says.
#[derive(Clone)]
struct End {
    function: Arc<Function>,
    id: String,
    tail: Option<Tail>,
    has_run: bool,
    error: Option<InvokeError>,
}

impl Body for Events {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        let this = &mut *self;
        while this.chunk.is_empty()
            && let Some(rest) = &mut this.rest
        {
            match ready!(Pin::new(rest).poll_frame(cx)) {
                Some(Ok(frame)) => this.chunk = frame.into_data().unwrap_or_default(),
                Some(Err(error)) => {
                    let (function, request_id) = (&this.end.function.name, &this.end.id);
                    tracing::error!(function, request_id, "{error}");
                    this.end.error = Some(error);
                    this.rest = None;
                }
                None => this.rest = None,
            }
        }
        if !this.chunk.is_empty() {
            let length = this.chunk.len().min(CHUNK_BYTES_MAX);
            let chunk = this.chunk.split_to(length);
            let event = event("PayloadChunk", "application/octet-stream", chunk);
            return Poll::Ready(Some(Ok(Frame::data(event))));
        }
        if this.ended {
            return Poll::Ready(None);
        }
        let end = &this.end;
        let ending = this.ending.get_or_insert_with(|| Box::pin(end.clone().event()));
        let event = ready!(ending.as_mut().poll(cx));
        this.ended = true;
        Poll::Ready(Some(Ok(Frame::data(event))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}

impl End {
    async fn event(self) -> Bytes {
        let mut complete = Map::new();
        if let Some(error) = &self.error {
            complete.insert("ErrorCode".to_owned(), error.error_type().into());
            complete.insert("ErrorDetails".to_owned(), error.message(&self.id).into());
        }
        if let Some(tail) = &self.tail {
            if self.has_run {
                ended(tail, &self.function).await;
            }
            let log = BASE64_STANDARD.encode(tail.text());
            complete.insert("LogResult".to_owned(), log.into());
        }
        let complete = Value::Object(complete).to_string();
        event("InvokeComplete", "application/json", complete.into())
    }
}

fn event(kind: &'static str, content_type: &'static str, payload: Bytes) -> Bytes {
    let text = |text: &'static str| EventValue::String(text.into());
    let message = Message::new(payload)
        .add_header(Header::new(":event-type", text(kind)))
        .add_header(Header::new(":content-type", text(content_type)))
        .add_header(Header::new(":message-type", text("event")));
    let mut bytes = Vec::new();
    // Only what is too long has no form, and chunks are short.
    if let Err(error) = write_message_to(&message, &mut bytes) {
        tracing::error!(%error, "an event has no form");
    }
    bytes.into()
}

#[cfg(test)]
mod tests {
    use aws_smithy_eventstream::frame::read_message_from;

    use super::*;

    #[test]
    fn an_event_reads_as_it_was_written() {
        let payload = Bytes::from(vec![0_u8; CHUNK_BYTES_MAX]);
        let bytes = event("PayloadChunk", "application/octet-stream", payload.clone());
        let message = read_message_from(bytes).expect("a message");
        let headers: Vec<String> = message
            .headers()
            .iter()
            .map(|header| {
                let value = header.value().as_string().expect("text");
                format!("{}={}", header.name().as_str(), value.as_str())
            })
            .collect();
        assert_eq!(
            headers,
            [
                ":event-type=PayloadChunk",
                ":content-type=application/octet-stream",
                ":message-type=event"
            ]
        );
        assert_eq!(*message.payload(), payload);
    }
}

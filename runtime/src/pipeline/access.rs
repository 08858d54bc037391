//! When the access line of a request is written: at once where the whole body
//! is there, else when its last byte has passed or the client has gone.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;

use crate::{
    integration::{AnswerBody, Stream, StreamError},
    telemetry::Access,
};

/// Writes `access` when the length of `body` is known.
pub fn log(access: Access<'_>, body: AnswerBody) -> AnswerBody {
    match body {
        AnswerBody::Whole(bytes) => {
            access.log(bytes.len());
            AnswerBody::Whole(bytes)
        }
        AnswerBody::Stream(stream) => {
            let logged = Logged { stream, bytes: 0, access: access.into_owned() };
            AnswerBody::Stream(logged.boxed_unsync())
        }
    }
}

/// A body that writes its access line when it is dropped.
struct Logged {
    stream: Stream,
    bytes: usize,
    access: Access<'static>,
}

impl Body for Logged {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        let frame = Pin::new(&mut self.stream).poll_frame(cx);
        match &frame {
            Poll::Ready(Some(Ok(frame))) => {
                self.bytes += frame.data_ref().map_or(0, Bytes::len);
            }
            // The head is sent already: closing the connection is all that
            // tells the client.
            Poll::Ready(Some(Err(error))) => {
                let request_id = &*self.access.request_id;
                tracing::error!(request_id, "the body of the answer ended early: {error}");
            }
            _ => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
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

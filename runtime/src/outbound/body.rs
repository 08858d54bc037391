//! The body of an answer, within its bounds.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use super::{OutboundError, Phase};

/// Lets a body through frame by frame: at most so many bytes, and never longer
/// than so long without any.
pub struct AnswerBody {
    body: Incoming,
    left: u64,
    max: u64,
    idle: Duration,
    timer: Pin<Box<Sleep>>,
    ended: bool,
}

impl AnswerBody {
    pub(super) fn new(body: Incoming, max: u64, idle: Duration) -> Self {
        let timer = Box::pin(tokio::time::sleep(idle));
        Self { body, left: max, max, idle, timer, ended: false }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = OutboundError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, OutboundError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
            ready!(self.timer.as_mut().poll(cx));
            self.ended = true;
            let error = OutboundError::Timeout(Phase::BetweenBytes, self.idle);
            return Poll::Ready(Some(Err(error)));
        };
        let Some(frame) = frame else { return Poll::Ready(None) };
        let length = frame.as_ref().ok().and_then(Frame::data_ref).map_or(0, Bytes::len);
        let frame = match self.left.checked_sub(length as u64) {
            Some(left) => {
                self.left = left;
                frame.map_err(|error| OutboundError::Protocol(error.to_string()))
            }
            None => Err(OutboundError::TooLong { max: self.max }),
        };
        self.ended = frame.is_err();
        let deadline = Instant::now() + self.idle;
        self.timer.as_mut().reset(deadline);
        Poll::Ready(Some(frame))
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

//! Bodies that are there as a whole, and bodies that pass through while they
//! come.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, combinators::UnsyncBoxBody};
use tokio::time::{Instant, Sleep};

/// Why a body that passes through came to its end too early.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// It is longer than it may be.
    #[error("it is longer than {max} bytes")]
    TooLong {
        /// The limit.
        max: usize,
    },
    /// Nothing came for a while.
    #[error("nothing of it came for {0:?}")]
    Idle(Duration),
    /// Whoever sent it went away, or framed it wrongly.
    #[error("{0}")]
    Broken(String),
}

/// A body that passes through.
pub type Stream = UnsyncBoxBody<Bytes, StreamError>;

/// The body of an answer.
#[derive(Debug)]
pub enum AnswerBody {
    /// All of it.
    Whole(Bytes),
    /// What comes from elsewhere while it is sent.
    Stream(Stream),
}

impl AnswerBody {
    /// All of it, where it is there.
    pub fn whole(&self) -> Option<&Bytes> {
        match self {
            Self::Whole(bytes) => Some(bytes),
            Self::Stream(_) => None,
        }
    }
}

impl Default for AnswerBody {
    fn default() -> Self {
        Self::Whole(Bytes::new())
    }
}

impl<B: Into<Bytes>> From<B> for AnswerBody {
    fn from(bytes: B) -> Self {
        Self::Whole(bytes.into())
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        match &mut *self {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Stream(stream) => Pin::new(stream).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(stream) => stream.size_hint(),
        }
    }
}

/// Lets a body through frame by frame: at most `max` bytes, and never longer
/// than `idle` without anything.
pub fn bounded<B>(body: B, max: Option<usize>, idle: Duration) -> Stream
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::error::Error,
{
    let timer = Box::pin(tokio::time::sleep(idle));
    Bounded { body, max, seen: 0, idle, timer, ended: false }.boxed_unsync()
}

struct Bounded<B> {
    body: B,
    max: Option<usize>,
    seen: usize,
    idle: Duration,
    timer: Pin<Box<Sleep>>,
    ended: bool,
}

impl<B> Body for Bounded<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error,
{
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
            ready!(self.timer.as_mut().poll(cx));
            self.ended = true;
            return Poll::Ready(Some(Err(StreamError::Idle(self.idle))));
        };
        let Some(frame) = frame else { return Poll::Ready(None) };
        let frame = frame.map_err(|error| StreamError::Broken(error.to_string()));
        let data = frame.as_ref().ok().and_then(Frame::data_ref);
        let seen = self.seen.saturating_add(data.map_or(0, Bytes::len));
        let frame = match self.max {
            Some(max) if seen > max => Err(StreamError::TooLong { max }),
            _ => frame,
        };
        self.seen = seen;
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::Full;

    use super::*;

    /// A body that never comes.
    struct Silent;

    impl Body for Silent {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn a_body_passes_within_its_bounds() {
        let body = || Full::new(Bytes::from_static(b"12345"));
        let all = bounded(body(), Some(5), Duration::from_secs(60)).collect().await;
        assert_eq!(all.expect("within").to_bytes(), "12345");
        let error = bounded(body(), Some(4), Duration::from_secs(60)).collect().await;
        assert_eq!(error.expect_err("too long"), StreamError::TooLong { max: 4 });
        let idle = Duration::from_millis(1);
        let error = bounded(Silent, None, idle).collect().await;
        assert_eq!(error.expect_err("too slow"), StreamError::Idle(idle));
    }
}

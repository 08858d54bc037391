//! Connections of HTTP/1.1. hyper keeps buffers and the room for a request for
//! as long as a connection lives; most connections are idle for most of it. So
//! one on which nothing happens is parked: what is left of it is the socket,
//! until there is something to read.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant as SystemInstant},
};

use bytes::{Buf as _, Bytes};
use http::{Request, Response};
use hyper::{
    body::Incoming,
    rt::{Sleep, Timer},
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    sync::watch,
    time::{Instant, MissedTickBehavior, interval_at, timeout_at},
};

use super::{fault::Breakage, transport::Transport};
use crate::integration::AnswerBody;

/// How often it is looked whether a connection is idle: one that had no request
/// since the look before, and waits for one, is parked.
const LOOK: Duration = Duration::from_millis(250);

/// Bounds of a connection.
pub struct Terms {
    /// Headers of a request.
    pub header_count_max: usize,
    /// A head; hyper takes no less than 8,192.
    pub header_bytes_max: usize,
    /// For each head, from the end of what was before.
    pub head_timeout: Duration,
    /// For the first one.
    pub deadline: Instant,
}

/// Serves a connection to its end; at `stop` it finishes what it has begun.
///
/// # Errors
/// With hyper's reason for an end that was none of the two sides' wish.
pub async fn serve<T, S>(
    stream: T,
    service: S,
    terms: Terms,
    mut stop: watch::Receiver<bool>,
) -> Result<(), hyper::Error>
where
    T: Transport,
    S: Service<Request<Incoming>, Response = Response<AnswerBody>, Error = Breakage>,
{
    let state = Arc::new(State::default());
    let mut builder = http1::Builder::new();
    builder
        .timer(Heads { state: Arc::clone(&state), begun: SystemInstant::now() })
        .header_read_timeout(terms.head_timeout)
        .max_headers(terms.header_count_max)
        .max_buf_size(terms.header_bytes_max);
    let mut wire = Wire { stream, ahead: Bytes::new(), state: Arc::clone(&state) };
    let mut deadline = terms.deadline;
    loop {
        let noted = service_fn(|request| {
            state.had_request.store(true, Ordering::Relaxed);
            service.call(request)
        });
        let mut connection = Box::new(builder.serve_connection(TokioIo::new(wire), noted));
        let driven = drive(&mut connection, &state, terms.head_timeout, &mut deadline, &mut stop);
        if let Some(result) = driven.await {
            if let Some(breakage) = result.as_ref().err().and_then(Breakage::of) {
                let stream = connection.into_parts().io.into_inner().stream;
                if let Err(error) = breakage.perform(stream).await {
                    tracing::debug!(%error, "the client was gone before a mock's fault");
                }
            }
            return result;
        }
        wire = taken_from(*connection);
        if !wire.awaits_more(deadline, &mut stop).await {
            // Whoever has TLS is told; the rest is the socket's.
            let _ = wire.stream.shutdown().await;
            return Ok(());
        }
    }
}

/// What is kept of a connection that is parked.
fn taken_from<T, S>(connection: http1::Connection<TokioIo<Wire<T>>, S>) -> Wire<T>
where
    T: Transport,
    S: Service<Request<Incoming>, Response = Response<AnswerBody>, Error = Breakage>,
{
    let parts = connection.into_parts();
    // The begin of a head, where the client has stopped in it; it is copied so
    // that the buffer itself does not stay.
    Wire { ahead: Bytes::copy_from_slice(&parts.read_buf), ..parts.io.into_inner() }
}

/// Drives a connection to its end, or until nothing has happened on it for a
/// while.
async fn drive<T, S>(
    connection: &mut http1::Connection<TokioIo<Wire<T>>, S>,
    state: &State,
    head_timeout: Duration,
    deadline: &mut Instant,
    stop: &mut watch::Receiver<bool>,
) -> Option<Result<(), hyper::Error>>
where
    T: Transport,
    S: Service<Request<Incoming>, Response = Response<AnswerBody>, Error = Breakage>,
{
    let mut connection = Pin::new(connection);
    let mut stopping = false;
    let period = LOOK.min(head_timeout);
    let mut looks = interval_at(Instant::now() + period, period);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let now = tokio::select! {
            biased;
            result = &mut connection => return Some(result),
            now = looks.tick() => now,
            _ = stop.wait_for(|stop| *stop), if !stopping => {
                connection.as_mut().graceful_shutdown();
                stopping = true;
                continue;
            }
        };
        if !state.had_request.swap(false, Ordering::Relaxed) && state.is_idle() {
            return None;
        }
        *deadline = now + head_timeout;
    }
}

/// What is known of a connection from outside of hyper.
#[derive(Default)]
struct State {
    /// Whether it had a request since the last look.
    had_request: AtomicBool,
    /// Whether the exchange before is over and the next head is not all there.
    awaits_head: AtomicBool,
    /// Whether the client has yet to take something.
    is_writing: AtomicBool,
}

impl State {
    fn is_idle(&self) -> bool {
        self.awaits_head.load(Ordering::Relaxed) && !self.is_writing.load(Ordering::Relaxed)
    }
}

/// By what hyper tells that it waits for a head: it asks for a timer then, and
/// drops it once the head is there. The time itself is [`drive`]'s to look at,
/// so that for hyper it stands still.
struct Heads {
    state: Arc<State>,
    begun: SystemInstant,
}

impl Timer for Heads {
    fn sleep(&self, _: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(AwaitedHead::new(&self.state))
    }

    fn sleep_until(&self, _: SystemInstant) -> Pin<Box<dyn Sleep>> {
        Box::pin(AwaitedHead::new(&self.state))
    }

    fn now(&self) -> SystemInstant {
        self.begun
    }
}

struct AwaitedHead(Arc<State>);

impl AwaitedHead {
    fn new(state: &Arc<State>) -> Self {
        state.awaits_head.store(true, Ordering::Relaxed);
        Self(Arc::clone(state))
    }
}

impl Drop for AwaitedHead {
    fn drop(&mut self) {
        self.0.awaits_head.store(false, Ordering::Relaxed);
    }
}

impl Sleep for AwaitedHead {}

impl Future for AwaitedHead {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

/// A stream, with what was read of it before.
struct Wire<T> {
    stream: T,
    ahead: Bytes,
    state: Arc<State>,
}

impl<T: Transport> Wire<T> {
    /// Whether there is something to read before `deadline` and `stop`.
    async fn awaits_more(&self, deadline: Instant, stop: &mut watch::Receiver<bool>) -> bool {
        if Instant::now() >= deadline {
            return false;
        }
        tokio::select! {
            readable = timeout_at(deadline, self.stream.socket().readable()) => {
                matches!(readable, Ok(Ok(())))
            }
            _ = stop.wait_for(|stop| *stop) => false,
        }
    }

    fn noted<R>(&self, written: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        self.state.is_writing.store(written.is_pending(), Ordering::Relaxed);
        written
    }
}

impl<T: Transport> AsyncRead for Wire<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let length = self.ahead.len().min(buffer.remaining());
        buffer.put_slice(&self.ahead[..length]);
        self.ahead.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl<T: Transport> AsyncWrite for Wire<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.noted(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.noted(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.noted(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

//! Standard streams of a guest: what it prints becomes log lines, or the
//! answer of a command.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::{
    async_trait,
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamError},
};

use crate::telemetry::InvocationLog;

/// A longer line is broken, in bytes.
const LINE_BYTES_MAX: usize = 8 * 1024;

/// What a guest may write at once, in bytes.
const WRITE_BYTES_MAX: usize = 64 * 1024;

/// Where a stream's bytes go. Nothing of it waits.
pub trait Sink: Clone + Send + Sync + Unpin + 'static {
    /// Takes bytes; false where there is no room for them.
    fn push(&self, bytes: &[u8]) -> bool;
}

/// A stream of WASI of either version.
#[derive(Clone)]
pub struct Output<S>(pub S);

/// Every line becomes a log line.
#[derive(Clone)]
pub struct LogLines {
    log: InvocationLog,
    level: tracing::Level,
    line: Arc<Mutex<Vec<u8>>>,
}

impl LogLines {
    pub fn new(log: InvocationLog, level: tracing::Level) -> Self {
        Self { log, level, line: Arc::default() }
    }
}

impl Sink for LogLines {
    fn push(&self, bytes: &[u8]) -> bool {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        for &byte in bytes {
            if byte != b'\n' {
                line.push(byte);
            }
            if byte == b'\n' || line.len() >= LINE_BYTES_MAX {
                self.log.line(self.level, &String::from_utf8_lossy(&line));
                line.clear();
            }
        }
        true
    }
}

/// What was printed without a newline at the end.
impl Drop for LogLines {
    fn drop(&mut self) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::strong_count(&self.line) == 1 && !line.is_empty() {
            self.log.line(self.level, &String::from_utf8_lossy(&line));
            line.clear();
        }
    }
}

/// Keeps what is written, up to a number of bytes.
#[derive(Clone)]
pub struct Kept {
    max: usize,
    written: Arc<Mutex<Written>>,
}

#[derive(Default)]
struct Written {
    bytes: Vec<u8>,
    // With what there was no room for.
    total: usize,
}

impl Kept {
    pub fn new(max: usize) -> Self {
        Self { max, written: Arc::default() }
    }

    /// What was written; the length, where that is more than may be.
    pub fn take(&self) -> Result<Vec<u8>, usize> {
        let written = std::mem::take(&mut *self.lock());
        if written.total > self.max { Err(written.total) } else { Ok(written.bytes) }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Kept {
    fn push(&self, bytes: &[u8]) -> bool {
        let mut written = self.lock();
        written.total = written.total.saturating_add(bytes.len());
        let has_room = written.total <= self.max;
        if has_room {
            written.bytes.extend_from_slice(bytes);
        }
        has_room
    }
}

fn full() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::StorageFull, "response_bytes_max is reached")
}

impl<S: Sink> IsTerminal for Output<S> {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl<S: Sink> StdoutStream for Output<S> {
    // A buffer with a task that empties it would lose its end with the store.
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl<S: Sink> Pollable for Output<S> {
    async fn ready(&mut self) {}
}

#[async_trait]
impl<S: Sink> OutputStream for Output<S> {
    fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        match self.0.push(&bytes) {
            true => Ok(()),
            false => Err(StreamError::LastOperationFailed(full().into())),
        }
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(WRITE_BYTES_MAX)
    }
}

impl<S: Sink> AsyncWrite for Output<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        match self.0.push(bytes) {
            true => Poll::Ready(Ok(bytes.len())),
            false => Poll::Ready(Err(full())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_beyond_its_bound_is_counted_and_not_kept() {
        let kept = Kept::new(5);
        assert!(kept.push(b"123"));
        assert!(kept.push(b"45"));
        assert!(!kept.push(b"678"));
        assert_eq!(kept.take(), Err(8));
        let kept = Kept::new(5);
        assert!(kept.push(b"12345"));
        assert_eq!(kept.take(), Ok(b"12345".to_vec()));
    }
}

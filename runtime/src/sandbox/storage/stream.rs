//! Reading and writing on threads that may wait for the disk, and the streams
//! of WASI 0.2 over that.

use std::{mem, sync::Arc};

use bytes::Bytes;
use tokio::task::JoinHandle;
use wasmtime_wasi::{
    async_trait,
    p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult},
};

use super::{Errno, space::TRANSFER_BYTES_MAX, tree::Node};

/// Does one operation on a file; it goes on although nobody waits for it.
pub fn start<T: Send + 'static>(
    node: &Arc<Node>,
    work: impl FnOnce(&Node) -> Result<T, Errno> + Send + 'static,
) -> JoinHandle<Result<T, Errno>> {
    let node = Arc::clone(node);
    tokio::spawn(async move {
        let turn = node.contents()?.turn();
        let _turn = turn.acquire_owned().await;
        tokio::task::spawn_blocking(move || work(&node)).await.unwrap_or(Err(Errno::Io))
    })
}

pub fn start_reading(node: &Arc<Node>, at: u64, len: usize) -> JoinHandle<Result<Bytes, Errno>> {
    start(node, move |node| node.contents()?.read(at, len).map(Bytes::from))
}

/// At the file's end if `at` is none.
pub fn start_writing(
    node: &Arc<Node>,
    at: Option<u64>,
    bytes: Bytes,
) -> JoinHandle<Result<usize, Errno>> {
    start(node, move |node| {
        let written = node.contents()?.write(at, &bytes)?;
        node.touch();
        Ok(written)
    })
}

/// What an operation came to.
pub async fn finish<T>(task: &mut JoinHandle<Result<T, Errno>>) -> Result<T, Errno> {
    task.await.unwrap_or(Err(Errno::Io))
}

/// Reads a file from a position on.
pub struct Reader {
    node: Arc<Node>,
    at: u64,
    state: Reading,
}

enum Reading {
    Idle,
    Waiting(JoinHandle<Result<Bytes, Errno>>),
    Ready(Bytes),
    Failed(Errno),
    Closed,
}

impl Reader {
    pub fn new(node: Arc<Node>, at: u64) -> Self {
        Self { node, at, state: Reading::Idle }
    }

    fn start(&mut self, len: usize) {
        self.state = Reading::Waiting(start_reading(&self.node, self.at, len));
    }
}

#[async_trait]
impl Pollable for Reader {
    async fn ready(&mut self) {
        if matches!(self.state, Reading::Idle) {
            self.start(TRANSFER_BYTES_MAX);
        }
        if let Reading::Waiting(task) = &mut self.state {
            self.state = match finish(task).await {
                Ok(bytes) if bytes.is_empty() => Reading::Closed,
                Ok(bytes) => Reading::Ready(bytes),
                Err(error) => Reading::Failed(error),
            };
        }
    }
}

#[async_trait]
impl InputStream for Reader {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        match mem::replace(&mut self.state, Reading::Closed) {
            Reading::Idle if size > 0 => {
                self.start(size);
                Ok(Bytes::new())
            }
            Reading::Ready(mut bytes) => {
                let part = bytes.split_to(size.min(bytes.len()));
                self.at += part.len() as u64;
                self.state = if bytes.is_empty() { Reading::Idle } else { Reading::Ready(bytes) };
                Ok(part)
            }
            Reading::Failed(error) => Err(StreamError::LastOperationFailed(error.into())),
            Reading::Closed => Err(StreamError::Closed),
            waiting => {
                self.state = waiting;
                Ok(Bytes::new())
            }
        }
    }
}

/// Writes a file from a position on, or at its end.
pub struct Writer {
    node: Arc<Node>,
    at: Option<u64>,
    state: Writing,
}

enum Writing {
    Idle,
    Waiting(JoinHandle<Result<usize, Errno>>),
    Failed(Errno),
    Closed,
}

impl Writer {
    pub fn new(node: Arc<Node>, at: Option<u64>) -> Self {
        Self { node, at, state: Writing::Idle }
    }

    fn check(&mut self) -> StreamResult<()> {
        match mem::replace(&mut self.state, Writing::Closed) {
            Writing::Failed(error) => Err(StreamError::LastOperationFailed(error.into())),
            Writing::Closed => Err(StreamError::Closed),
            other => {
                self.state = other;
                Ok(())
            }
        }
    }
}

#[async_trait]
impl Pollable for Writer {
    async fn ready(&mut self) {
        if let Writing::Waiting(task) = &mut self.state {
            self.state = match finish(task).await {
                Ok(written) => {
                    self.at = self.at.map(|at| at.saturating_add(written as u64));
                    Writing::Idle
                }
                Err(error) => Writing::Failed(error),
            };
        }
    }
}

#[async_trait]
impl OutputStream for Writer {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.check()?;
        if matches!(self.state, Writing::Waiting(_)) || bytes.len() > TRANSFER_BYTES_MAX {
            let message = "a write of more than check-write permits";
            return Err(StreamError::Trap(wasmtime::Error::msg(message)));
        }
        self.state = Writing::Waiting(start_writing(&self.node, self.at, bytes));
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.check()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.check()?;
        match self.state {
            Writing::Waiting(_) => Ok(0),
            _ => Ok(TRANSFER_BYTES_MAX),
        }
    }

    // Whoever drops the stream reads afterwards what was written.
    async fn cancel(&mut self) {
        self.ready().await;
    }
}

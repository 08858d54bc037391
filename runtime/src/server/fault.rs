//! Faults that mocks ask for: what a connection does instead of answering.

use std::{fmt, fmt::Write as _, io};

use bytes::{BufMut as _, Bytes, BytesMut};
use http::Response;
use hyper::Error;
use tokio::io::AsyncWriteExt as _;

use super::transport::Transport;
use crate::{config::FaultKind, integration::AnswerBody};

/// What is sent as garbage: no line of it could begin an answer.
const GARBAGE: &[u8] = b"\x00\xff\xfemayfly: this is not HTTP\r\n\x07\x1b\x7f\r\n\r\n";

/// The service's error that ends a connection, or resets a stream of HTTP/2.
#[derive(Debug)]
pub struct Breakage {
    reset: bool,
    bytes: Bytes,
}

impl fmt::Display for Breakage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mock's fault")
    }
}

impl std::error::Error for Breakage {}

impl Breakage {
    /// Of an answer that is to be given this way; `head` says that the client
    /// asked for no body.
    pub fn new(fault: FaultKind, response: &Response<AnswerBody>, head: bool) -> Self {
        let bytes = match fault {
            FaultKind::Reset | FaultKind::Empty => Bytes::new(),
            FaultKind::Garbage => Bytes::from_static(GARBAGE),
            FaultKind::Truncated => half(response, head),
        };
        Self { reset: fault == FaultKind::Reset, bytes }
    }

    /// The one that ended a connection.
    pub fn of(error: &Error) -> Option<&Self> {
        std::error::Error::source(error)?.downcast_ref()
    }

    /// Sends what there is to send, and closes.
    pub async fn perform(&self, mut stream: impl Transport) -> io::Result<()> {
        if self.reset {
            // Whatever closes the socket now resets the connection.
            return stream.socket().set_zero_linger();
        }
        stream.write_all(&self.bytes).await?;
        stream.shutdown().await
    }
}

/// The head that announces a body, and half of that body; of an empty one,
/// nothing of a single byte.
fn half(response: &Response<AnswerBody>, head: bool) -> Bytes {
    let body = response.body().whole().map_or(&[][..], |bytes| bytes);
    let mut text = format!("HTTP/1.1 {}\r\n", response.status());
    // A string takes everything.
    let _ = write!(text, "content-length: {}\r\n", body.len().max(1));
    let mut bytes = BytesMut::from(text.as_str());
    for (name, value) in response.headers() {
        bytes.put_slice(name.as_str().as_bytes());
        bytes.put_slice(b": ");
        bytes.put_slice(value.as_bytes());
        bytes.put_slice(b"\r\n");
    }
    bytes.put_slice(b"\r\n");
    if !head {
        bytes.put_slice(&body[..body.len() / 2]);
    }
    bytes.freeze()
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header};

    use super::*;

    #[test]
    fn half_of_an_answer_announces_all_of_it() {
        let half_of = |body: &'static [u8], head| {
            let mut response = Response::new(AnswerBody::from(Bytes::from_static(body)));
            response.headers_mut().insert(header::SERVER, HeaderValue::from_static("x"));
            let bytes = half(&response, head);
            String::from_utf8(bytes.to_vec()).expect("text")
        };
        let head =
            |length| format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nserver: x\r\n\r\n");
        assert_eq!(half_of(b"12345", false), format!("{}12", head(5)));
        assert_eq!(half_of(b"12345", true), head(5));
        assert_eq!(half_of(b"1", false), head(1));
        assert_eq!(half_of(b"", false), head(1));
    }
}

//! What requests come by: a socket, or TLS over one.

use std::pin::Pin;

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::server::TlsStream;

/// A socket whose writes have an end.
pub type Plain = Pin<Box<TimeoutStream<TcpStream>>>;

/// A stream of bytes over a socket.
pub trait Transport: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// The socket.
    fn socket(&self) -> &TcpStream;
}

impl Transport for Plain {
    fn socket(&self) -> &TcpStream {
        TimeoutStream::get_ref(self)
    }
}

impl Transport for TlsStream<Plain> {
    fn socket(&self) -> &TcpStream {
        self.get_ref().0.socket()
    }
}

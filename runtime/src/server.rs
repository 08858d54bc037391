//! Listener and connections: HTTP/1.1 and HTTP/2 on one port, bounds on what
//! a connection may take, and an orderly end.

mod fault;
mod handshake;
mod http1;
mod transport;

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use http::{Method, Request, Response};
use hyper::{body::Incoming, rt::Executor, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, timeout_at},
};
use tokio_io_timeout::TimeoutStream;
use tokio_util::task::TaskTracker;

use crate::{
    config::{FaultKind, Pools},
    gateway::Gateway,
    integration::AnswerBody,
    pipeline::{self, Connection, Trace},
    threads::{self, Threads},
    tls::HTTP_2,
};
use fault::Breakage;
use transport::Transport;

/// What an HTTP/2 connection begins with. RFC 9113, section 3.4.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a connection in TLS begins with: a record of the handshake, RFC 8446,
/// section 5.1. No method of HTTP does.
const HANDSHAKE: u8 = 22;

/// Requests of one HTTP/2 connection that are answered at once.
const STREAMS_MAX: u32 = 256;

/// How long to wait before accepting again when the system has no more files.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How often a half-sent preface is looked at again.
const PREFACE_PAUSE: Duration = Duration::from_millis(5);

/// The smallest buffer that hyper takes, in bytes.
const BUFFER_BYTES_MIN: usize = 8192;

/// What a server needs beside its listener.
pub struct Server {
    /// The snapshot of the moment.
    pub gateway: Arc<ArcSwap<Gateway>>,
    /// Bounds of connections.
    pub pools: Pools,
    /// What connections are served on.
    pub threads: Threads,
}

/// Binds `address`.
///
/// # Errors
/// With the address and a hint in the text.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse => {
                " (hint: another process listens there; choose another port, or 0 for any)"
            }
            io::ErrorKind::PermissionDenied => " (hint: ports below 1024 need privileges)",
            io::ErrorKind::AddrNotAvailable => " (hint: this machine has no such address)",
            _ => "",
        };
        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}{hint}"))
    })
}

impl Server {
    /// Serves until `stop` turns true, then finishes what is in flight.
    /// Returns the number of connections that were cut off because they took
    /// longer than the drain may.
    pub async fn run(self, listener: TcpListener, mut stop: watch::Receiver<bool>) -> usize {
        let server = Arc::new(self);
        let permits = Arc::new(Semaphore::new(server.pools.connections_max));
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                accepted = accept(&listener, &permits) => accepted,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            let accepted = accepted.and_then(|(stream, client, permit)| {
                stream.into_std().map(|stream| (stream, client, permit))
            });
            match accepted {
                Ok((stream, client, permit)) => {
                    let own = Arc::clone(&server);
                    let stop = stop.clone();
                    let connection = async move {
                        // Here it belongs to the thread that serves it.
                        match TcpStream::from_std(stream) {
                            Ok(stream) => own.connection(stream, client, stop).await,
                            Err(error) => {
                                tracing::warn!(%client, %error, "a connection could not be served");
                            }
                        }
                        drop(permit);
                    };
                    server.threads.spawn(connections.track_future(connection));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        connections.close();
        let drained = tokio::time::timeout(server.pools.drain_timeout, connections.wait()).await;
        if drained.is_err() { connections.len() } else { 0 }
    }

    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        client: SocketAddr,
        mut stop: watch::Receiver<bool>,
    ) {
        let Ok(local) = stream.local_addr() else { return };
        // Answers are written whole; waiting for more only delays them.
        let _ = stream.set_nodelay(true);
        let connection = Connection { client, local, tls: None, proxied: None };
        // For all that comes before the first request.
        let deadline = Instant::now() + self.pools.header_read_timeout;
        let has_tls = self.gateway.load().nobody.is_some();
        let begin = timeout_at(deadline, begin(&stream, has_tls));
        let begin = tokio::select! {
            begin = begin => match begin {
                Ok(Ok(begin)) => begin,
                Ok(Err(_)) | Err(_) => return,
            },
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.pools.body_idle_timeout));
        let stream = Box::pin(stream);
        match begin {
            Begin::Http1 | Begin::Http2 => {
                self.serve(stream, begin == Begin::Http2, connection, deadline, stop).await;
            }
            // What few connections are is put aside: each keeps room for the longest.
            Begin::Tls => Box::pin(self.serve_in_tls(stream, connection, deadline, stop)).await,
        }
    }

    async fn serve_in_tls(
        self: Arc<Self>,
        stream: Pin<Box<TimeoutStream<TcpStream>>>,
        mut connection: Connection,
        deadline: Instant,
        mut stop: watch::Receiver<bool>,
    ) {
        let client = connection.client;
        let gateway = self.gateway.load_full();
        let accepted = timeout_at(deadline, handshake::accept(&gateway, stream, &connection));
        let accepted = tokio::select! {
            accepted = accepted => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match accepted {
            Ok(Ok((stream, session))) => {
                let http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP_2);
                connection.tls = Some(Arc::new(session));
                // An old snapshot is not kept for as long as a connection.
                drop(gateway);
                self.serve(stream, http2, connection, deadline, stop).await;
            }
            Ok(Err(refusal)) => refusal.log(client),
            Err(_) => tracing::debug!(%client, "a handshake took too long"),
        }
    }

    async fn serve(
        self: Arc<Self>,
        stream: impl Transport,
        http2: bool,
        connection: Connection,
        deadline: Instant,
        stop: watch::Receiver<bool>,
    ) {
        let client = connection.client;
        // Its own, as counting what all have would keep all processors waiting.
        let served = Arc::new(Served { server: Arc::clone(&self), connection });
        let service = service_fn(move |request| Arc::clone(&served).answer(request));
        // Those of the moment: the parser holds a connection to them to its end.
        let limits = self.gateway.load().config.limits.clone();
        let header_bytes_max = limits.header_bytes_max.max(BUFFER_BYTES_MIN);
        let head_timeout = self.pools.header_read_timeout;
        let result = if http2 {
            let connection = http2::Builder::new(SharedExecutor)
                .timer(TokioTimer::new())
                .max_concurrent_streams(STREAMS_MAX)
                .max_header_list_size(u32::try_from(header_bytes_max).unwrap_or(u32::MAX))
                .keep_alive_interval(head_timeout)
                .keep_alive_timeout(head_timeout)
                .serve_connection(TokioIo::new(stream), service);
            drive(Box::pin(connection), stop, |connection| {
                connection.get_mut().as_mut().graceful_shutdown();
            })
            .await
        } else {
            let terms = http1::Terms {
                header_count_max: limits.header_count_max,
                header_bytes_max,
                head_timeout,
                deadline,
            };
            http1::serve(stream, service, terms, stop).await
        };
        if let Err(error) = result {
            tracing::debug!(%client, %error, "connection ended");
        }
    }
}

/// A connection that is served, for its requests.
struct Served {
    server: Arc<Server>,
    connection: Connection,
}

impl Served {
    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<AnswerBody>, Breakage> {
        // Loaded once and kept to the end: a reload does not touch it.
        let gateway = self.server.gateway.load();
        let (mut parts, body) = request.into_parts();
        let response =
            pipeline::serve(&gateway, &self.connection, &mut parts, body, &mut Trace::Off).await;
        match response.extensions().get::<FaultKind>() {
            Some(fault) => Err(Breakage::new(*fault, &response, parts.method == Method::HEAD)),
            None => Ok(response),
        }
    }
}

/// Answers requests of one connection side by side, whoever has the time.
#[derive(Clone)]
struct SharedExecutor;

impl<F> Executor<F> for SharedExecutor
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        threads::spawn_shared(future);
    }
}

/// The next connection, once there is room for it: until then clients wait in
/// the system's backlog.
pub(crate) async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, client) = listener.accept().await?;
    Ok((stream, client, permit))
}

/// Runs a connection; at `stop` it finishes what it has begun.
pub(crate) async fn drive<C>(
    connection: C,
    mut stop: watch::Receiver<bool>,
    shut_down: impl FnOnce(Pin<&mut C>),
) -> Result<(), hyper::Error>
where
    C: Future<Output = Result<(), hyper::Error>>,
{
    let mut connection = pin!(connection);
    tokio::select! {
        result = &mut connection => return result,
        _ = stop.wait_for(|stop| *stop) => {}
    }
    shut_down(connection.as_mut());
    connection.await
}

/// What a connection begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begin {
    Http1,
    Http2,
    Tls,
}

/// What the client begins with. It is looked at without being taken; the
/// caller bounds the time.
async fn begin(stream: &TcpStream, has_tls: bool) -> io::Result<Begin> {
    let mut begin = [0; PREFACE.len()];
    loop {
        let read = stream.peek(&mut begin).await?;
        match begin.first() {
            _ if read == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            Some(&HANDSHAKE) if has_tls => return Ok(Begin::Tls),
            _ if begin[..read] != PREFACE[..read] => return Ok(Begin::Http1),
            _ if read == PREFACE.len() => return Ok(Begin::Http2),
            _ => {}
        }
        // What is there stays readable, so readiness cannot be waited for.
        tokio::time::sleep(PREFACE_PAUSE).await;
    }
}

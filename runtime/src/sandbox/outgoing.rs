//! `wasi:http/outgoing-handler` and `wasi:http/client`: requests that a guest
//! makes.

use std::sync::Arc;

use http::{Request, Response};
use http_body_util::BodyExt as _;
use tokio::sync::Semaphore;
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpHooks,
    p2::bindings::http::types::ErrorCode as ErrorP2,
    p3::bindings::http::types::ErrorCode as ErrorP3,
};

use crate::{
    outbound::{Outbound, OutboundError, Phase, Timeouts},
    telemetry::InvocationLog,
};

/// Requests of one invocation that are under way at once.
const REQUESTS_MAX: usize = 100;

/// What is taken of a guest's body at once, in bytes. Two of these wait in
/// the host for each body.
const CHUNK_BYTES: usize = 64 * 1024;

/// Requests of one invocation.
pub struct Outgoing {
    outbound: Option<Arc<Outbound>>,
    permits: Arc<Semaphore>,
    log: InvocationLog,
}

impl Outgoing {
    pub fn new(outbound: Option<Arc<Outbound>>, log: InvocationLog) -> Self {
        Self { outbound, permits: Arc::new(Semaphore::new(REQUESTS_MAX)), log }
    }
}

/// A future of `wasi:http`.
type Boxed<T> = Box<dyn Future<Output = Result<T, Error>> + Send>;

impl WasiHttpHooks for Outgoing {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Boxed<()>,
    ) -> Boxed<(Response<WasiBody>, Boxed<()>)> {
        let (outbound, log) = (self.outbound.clone(), self.log.clone());
        let permit = Arc::clone(&self.permits).try_acquire_owned();
        Box::new(async move {
            let warn = |text: &str| log.line(tracing::Level::WARN, text);
            let Ok(permit) = permit else {
                warn(&format!("more than {REQUESTS_MAX} requests to other servers at once"));
                return Err(Error::ConnectionLimitReached);
            };
            let answer = match outbound {
                Some(outbound) => {
                    let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
                    outbound.send(request, timeouts(options)).await
                }
                None => Err(denied(&request)),
            };
            let response = answer.map_err(|error| {
                warn(&error.to_string());
                to_guest(error)
            })?;
            let response = response.map(|body| {
                let told = move |error: OutboundError| {
                    log.line(tracing::Level::WARN, &error.to_string());
                    // Held as long as the body is.
                    let _ = &permit;
                    to_guest(error)
                };
                body.map_err(told).boxed_unsync()
            });
            Ok((response, Box::new(async { Ok(()) }) as Boxed<()>))
        })
    }

    // The client writes it, as the protocol that is spoken wants it.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK_BYTES
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK_BYTES
    }

    // The defaults write to the gateway's log, past the bound of the guest's.
    fn p2_error_from_hyper(&mut self, _: &hyper::Error) -> ErrorP2 {
        ErrorP2::HttpProtocolError
    }

    fn p2_error_from_connect(&mut self, _: &std::io::Error) -> ErrorP2 {
        ErrorP2::ConnectionRefused
    }

    fn p2_error_from_tls(&mut self, _: &std::io::Error) -> ErrorP2 {
        ErrorP2::TlsProtocolError
    }

    fn p3_error_from_hyper(&mut self, _: &hyper::Error) -> ErrorP3 {
        ErrorP3::HttpProtocolError
    }

    fn p3_error_from_connect(&mut self, _: &std::io::Error) -> ErrorP3 {
        ErrorP3::ConnectionRefused
    }

    fn p3_error_from_tls(&mut self, _: &std::io::Error) -> ErrorP3 {
        ErrorP3::TlsProtocolError
    }
}

fn timeouts(options: Option<RequestOptions>) -> Timeouts {
    let options = options.unwrap_or_default();
    Timeouts {
        connect: options.connect_timeout,
        first_byte: options.first_byte_timeout,
        between_bytes: options.between_bytes_timeout,
    }
}

fn denied(request: &Request<WasiBody>) -> OutboundError {
    let uri = request.uri();
    match crate::config::Server::of(uri) {
        Some(server) => OutboundError::Denied { server: server.to_string() },
        None => OutboundError::NotAbsolute(uri.clone()),
    }
}

/// What a guest is told: less than the log.
fn to_guest(error: OutboundError) -> Error {
    match error {
        OutboundError::NotAbsolute(_) => Error::HttpRequestUriInvalid,
        OutboundError::Denied { .. } => Error::HttpRequestDenied,
        OutboundError::Prohibited { .. } => Error::DestinationIpProhibited,
        OutboundError::Unresolved(..) => Error::DnsError { rcode: None, info_code: None },
        OutboundError::Refused(_) => Error::ConnectionRefused,
        OutboundError::Timeout(Phase::Connect, _) => Error::ConnectionTimeout,
        OutboundError::Timeout(Phase::FirstByte, _) => Error::HttpResponseTimeout,
        OutboundError::Timeout(Phase::BetweenBytes, _) => Error::ConnectionReadTimeout,
        OutboundError::Tls(..) => Error::TlsCertificateError,
        OutboundError::TooLong { max } => Error::HttpResponseBodySize(Some(max)),
        OutboundError::Protocol(_) => Error::HttpProtocolError,
    }
}

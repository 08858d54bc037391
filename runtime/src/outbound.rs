//! Calls of guests to HTTP servers: only those that the function's
//! configuration names, only addresses that it may reach, within bounds.
//!
//! Connections are kept and shared by all invocations: a request is compared
//! with the names that are granted before it gets one, and an address is
//! checked when a connection to it is made, after its name was resolved.

mod resolver;

use std::{net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt as _, combinators::UnsyncBoxBody};
use hyper_util::client::legacy::connect::capture_connection;
use ipnet::IpNet;

use crate::{
    body::{StreamError, bounded},
    config::{OutboundConfig, Server, is_public},
    http_client::{CONNECT_TIMEOUT, Pool, Shared, pool},
    telemetry,
    tls::{self, Trust},
};
use resolver::{ResolveError, Resolver};

/// The longest wait for the head of an answer, and for each part of its body,
/// where the guest does not say.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// The longest that a guest may say.
const ANSWER_TIMEOUT_MAX: Duration = Duration::from_secs(900);

/// An answer's body.
pub type AnswerBody = UnsyncBoxBody<Bytes, OutboundError>;

/// A request's body.
pub type RequestBody = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// What a function may call.
pub struct Outbound {
    config: OutboundConfig,
    client: Arc<Client>,
}

/// Clients by the networks that they may reach.
#[derive(Default)]
pub struct Clients(Shared<Vec<IpNet>, Client>);

type Client = Pool<Resolver, RequestBody>;

/// How long a guest wants to wait; at most as long as it may.
#[derive(Debug, Clone, Copy, Default)]
pub struct Timeouts {
    /// For a connection.
    pub connect: Option<Duration>,
    /// For the head of the answer.
    pub first_byte: Option<Duration>,
    /// For each part of its body.
    pub between_bytes: Option<Duration>,
}

/// Why a call got no answer, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// It is no request to an HTTP server.
    #[error("{0} is not an absolute http or https URI")]
    NotAbsolute(Uri),
    /// The function may not call this server.
    #[error("a request to {server} is denied (hint: outbound = [\"{server}\"] would grant it)")]
    Denied {
        /// The server, as it would be granted.
        server: String,
    },
    /// The function may not reach this address.
    #[error(
        "a request to {server} is denied: {address} is not a public address (hint: outbound_networks = [\"{address}\"] would grant it)"
    )]
    Prohibited {
        /// The server, as it would be granted.
        server: String,
        /// Its address.
        address: IpAddr,
    },
    /// Its name has no address.
    #[error("{0} cannot be resolved: {1}")]
    Unresolved(String, String),
    /// Nobody listens there.
    #[error("{0} refused the connection")]
    Refused(String),
    /// It took too long.
    #[error("{0} took longer than {1:?}")]
    Timeout(Phase, Duration),
    /// The server is not whom it says, or speaks no TLS.
    #[error("TLS with {0}: {1}")]
    Tls(String, String),
    /// The body is longer than it may be.
    #[error("the answer is longer than outbound_response_bytes_max = {max}")]
    TooLong {
        /// The limit, in bytes.
        max: u64,
    },
    /// Anything else that is against HTTP, or the end of the connection.
    #[error("{0}")]
    Protocol(String),
}

/// What took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The connection.
    Connect,
    /// The head of the answer.
    FirstByte,
    /// A part of its body.
    BetweenBytes,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connect => "the connection",
            Self::FirstByte => "the head of the answer",
            Self::BetweenBytes => "a part of the answer",
        })
    }
}

impl Clients {
    /// What a function with this configuration may call; none where that is
    /// nothing.
    pub fn outbound(&self, config: &OutboundConfig) -> Option<Arc<Outbound>> {
        if config.hosts.is_empty() {
            return None;
        }
        let networks = &config.networks;
        let new = || pool(Resolver::new(networks), tls::client(Trust::System, None));
        Some(Arc::new(Outbound { config: config.clone(), client: self.0.get(networks, new) }))
    }
}

impl Outbound {
    /// Sends a request and gives the head of the answer with a body that is
    /// still to come.
    ///
    /// # Errors
    /// [`OutboundError`].
    pub async fn send(
        &self,
        mut request: Request<RequestBody>,
        timeouts: Timeouts,
    ) -> Result<Response<AnswerBody>, OutboundError> {
        let server = self.check(request.uri())?;
        let name = server.to_string();
        let connect = timeouts.connect.unwrap_or(CONNECT_TIMEOUT).min(CONNECT_TIMEOUT);
        let answer = |own: Option<Duration>| own.unwrap_or(ANSWER_TIMEOUT).min(ANSWER_TIMEOUT_MAX);
        let mut connection = capture_connection(&mut request);
        let mut called = std::pin::pin!(self.client.request(request));
        let connecting = tokio::time::timeout(connect, connection.wait_for_connection_metadata());
        let early = tokio::select! {
            biased;
            answered = &mut called => Some(answered),
            connected = connecting => match connected {
                Ok(_) => None,
                Err(_) => return Err(OutboundError::Timeout(Phase::Connect, connect)),
            },
        };
        let first_byte = answer(timeouts.first_byte);
        let answered = match early {
            Some(answered) => answered,
            None => tokio::time::timeout(first_byte, called)
                .await
                .map_err(|_| OutboundError::Timeout(Phase::FirstByte, first_byte))?,
        };
        let response = answered.map_err(|error| failure(&name, &error))?;
        let status = response.status();
        // Nobody asked for another protocol.
        if status.is_informational() {
            return Err(OutboundError::Protocol(format!("{name} answered {status}")));
        }
        let (idle, max) = (answer(timeouts.between_bytes), self.config.response_bytes_max);
        let failed = move |error| match error {
            StreamError::TooLong { .. } => OutboundError::TooLong { max },
            StreamError::Idle(idle) => OutboundError::Timeout(Phase::BetweenBytes, idle),
            StreamError::Broken(why) => OutboundError::Protocol(why),
        };
        let bytes_max = usize::try_from(max).unwrap_or(usize::MAX);
        Ok(response.map(|body| bounded(body, Some(bytes_max), idle).map_err(failed).boxed_unsync()))
    }

    fn check(&self, uri: &Uri) -> Result<Server, OutboundError> {
        let server = Server::of(uri).ok_or_else(|| OutboundError::NotAbsolute(uri.clone()))?;
        if !self.config.hosts.iter().any(|granted| granted.is(&server)) {
            return Err(OutboundError::Denied { server: server.to_string() });
        }
        // An address needs no resolver, which is who would check it.
        match server.address() {
            Some(address) if !may_reach(&self.config.networks, address) => {
                Err(OutboundError::Prohibited { server: server.to_string(), address })
            }
            _ => Ok(server),
        }
    }
}

/// Whether an address is anyone's, or granted.
fn may_reach(networks: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    is_public(address) || networks.iter().any(|network| network.contains(&address))
}

/// What went wrong, as far as the layers below tell.
fn failure(server: &str, error: &hyper_util::client::legacy::Error) -> OutboundError {
    let server = server.to_owned();
    for cause in telemetry::causes(error) {
        if let Some(error) = cause.downcast_ref::<ResolveError>() {
            return match error {
                ResolveError::Prohibited(address) => {
                    OutboundError::Prohibited { server, address: *address }
                }
                ResolveError::NotFound(why) => OutboundError::Unresolved(server, why.clone()),
            };
        }
        if let Some(error) = cause.downcast_ref::<rustls::Error>() {
            return OutboundError::Tls(server, error.to_string());
        }
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            match io.kind() {
                std::io::ErrorKind::ConnectionRefused => return OutboundError::Refused(server),
                std::io::ErrorKind::TimedOut => {
                    return OutboundError::Timeout(Phase::Connect, CONNECT_TIMEOUT);
                }
                _ => {}
            }
            if let Some(error) = io.get_ref().and_then(|own| own.downcast_ref::<rustls::Error>()) {
                return OutboundError::Tls(server, error.to_string());
            }
        }
    }
    let text = telemetry::with_causes(error);
    OutboundError::Protocol(format!("{server} could not be called: {text}"))
}

//! The handshake of a connection in TLS: the client's first message names the
//! domain, and with it the terms.

use std::{io, net::SocketAddr, sync::Arc};

use rustls::server::Acceptor;
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};

use super::transport::Plain;
use crate::{
    config::{DomainTls, host_name},
    gateway::Gateway,
    pipeline::Connection,
    tls::Session,
};

/// A handshake that led to nothing.
pub struct Refusal {
    // As the client has it; none where it named nothing.
    name: Option<String>,
    error: io::Error,
}

/// Makes a connection to one of the gateway's domains of it. The caller bounds
/// the time.
pub async fn accept(
    gateway: &Gateway,
    stream: Plain,
    connection: &Connection,
) -> Result<(TlsStream<Plain>, Session), Refusal> {
    let started = LazyConfigAcceptor::new(Acceptor::default(), stream).await;
    let started = started.map_err(|error| Refusal { name: None, error })?;
    let name = started.client_hello().server_name().map(str::to_owned);
    let refused = |error| Refusal { name: name.clone(), error };
    let domain = domain(gateway, name.as_deref(), connection);
    let config = domain.map(|tls| &tls.server).or(gateway.nobody.as_ref());
    let config = config.ok_or_else(|| refused(io::ErrorKind::ConnectionRefused.into()))?;
    let stream = started.into_stream(Arc::clone(config)).await.map_err(refused)?;
    let session = domain.and_then(|tls| Session::of(stream.get_ref().1, &tls.terms));
    // Whoever checks clients has let through one without a certificate.
    let session = session.ok_or_else(|| refused(io::ErrorKind::PermissionDenied.into()))?;
    Ok((stream, session))
}

/// The domain of a name. Clients that call an address name nothing: it is the
/// one that they have reached.
fn domain<'g>(
    gateway: &'g Gateway,
    name: Option<&str>,
    connection: &Connection,
) -> Option<&'g DomainTls> {
    let address = || connection.local.ip().to_string();
    let name = name.map_or_else(address, str::to_owned);
    gateway.config.domains.find(&host_name(&name))?.tls.as_ref()
}

impl Refusal {
    /// Says why: to the operator where the client's certificate is at fault or
    /// a name is that nobody has, else to whoever looks closely.
    pub fn log(&self, client: SocketAddr) {
        let cause = self.error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
        let (name, error) = (self.name.as_deref().unwrap_or("-"), &self.error);
        match cause {
            Some(rustls::Error::NoCertificatesPresented) => {
                tracing::warn!(%client, domain = name, "access denied: the client showed no certificate");
            }
            Some(rustls::Error::InvalidCertificate(reason)) => {
                tracing::warn!(%client, domain = name, "access denied: the client's certificate: {reason}");
            }
            _ => tracing::debug!(%client, domain = name, %error, "a handshake failed"),
        }
    }
}

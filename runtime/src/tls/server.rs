//! How connections to a domain are set up, and what is known of one that is.

use std::{fmt, sync::Arc};

use rustls::{
    CipherSuite, ProtocolVersion, ServerConfig, ServerConnection, SupportedProtocolVersion,
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};

use super::{ClientCertificate, Identity, TrustStore, provider};

/// HTTP/2 by its name in a handshake.
pub const HTTP_2: &[u8] = b"h2";

/// HTTP/1.1 by its name in a handshake.
pub const HTTP_1: &[u8] = b"http/1.1";

/// Which versions of TLS a domain speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SecurityPolicy {
    /// `TLS_1_2`: 1.2 and 1.3.
    #[default]
    Tls12,
    /// `TLS_1_3`: that only.
    Tls13,
}

/// What a connection to a domain has to keep to, whatever certificate it was
/// shown. A connection under other terms is not one to this domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// The domain's name.
    pub domain: String,
    /// Which versions of TLS it speaks.
    pub security_policy: SecurityPolicy,
    /// Who signs its clients' certificates, where they need one.
    pub mutual_tls: Option<TrustStore>,
}

/// What is known of a connection in TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The terms it was made under.
    pub terms: Arc<Terms>,
    /// `TLSv1.3`
    pub version: &'static str,
    /// The cipher suite's name with IANA.
    pub cipher_suite: &'static str,
    /// The client's certificate, which is checked, where the terms ask for one.
    pub client_certificate: Option<ClientCertificate>,
}

impl Session {
    /// Of a connection whose handshake is over; none where the client has not
    /// shown what the terms ask for.
    pub fn of(connection: &ServerConnection, terms: &Arc<Terms>) -> Option<Self> {
        let client_certificate = match &terms.mutual_tls {
            None => None,
            Some(_) => Some(ClientCertificate::of(connection.peer_certificates()?.first()?)?),
        };
        let suite = connection.negotiated_cipher_suite().map(|suite| suite.suite());
        Some(Self {
            terms: Arc::clone(terms),
            version: match connection.protocol_version() {
                Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
                _ => "TLSv1.2",
            },
            cipher_suite: suite.map_or("-", suite_name),
            client_certificate,
        })
    }
}

/// A name with IANA; rustls has names of its own for version 1.3.
fn suite_name(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        other => other.as_str().unwrap_or("-"),
    }
}

/// The server's side of a domain's connections.
///
/// # Errors
/// Where the cryptography has nothing for the policy.
pub fn server(identity: &Identity, terms: &Terms) -> Result<Arc<ServerConfig>, rustls::Error> {
    let versions: &[&SupportedProtocolVersion] = match terms.security_policy {
        SecurityPolicy::Tls12 => &[&TLS13, &TLS12],
        SecurityPolicy::Tls13 => &[&TLS13],
    };
    let builder =
        ServerConfig::builder_with_provider(provider()).with_protocol_versions(versions)?;
    let builder = match &terms.mutual_tls {
        None => builder.with_no_client_auth(),
        Some(store) => builder.with_client_cert_verifier(store.verifier()),
    };
    let mut config = builder.with_cert_resolver(identity.resolver());
    config.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_1.to_vec()];
    if terms.mutual_tls.is_some() {
        // A resumed session would not look at the client's certificate again.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(Arc::new(config))
}

/// The server's side of connections to no domain: the handshake ends with an
/// alert, so that the client knows that it was understood.
///
/// # Errors
/// Where the cryptography has nothing for TLS.
pub fn nobody() -> Result<Arc<ServerConfig>, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(provider());
    let builder = builder.with_protocol_versions(&[&TLS13, &TLS12])?;
    Ok(Arc::new(builder.with_no_client_auth().with_cert_resolver(Arc::new(Nobody))))
}

struct Nobody;

impl ResolvesServerCert for Nobody {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}

impl fmt::Debug for Nobody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nobody")
    }
}

//! Calls HTTP endpoints: connections are kept and shared, redirects are the
//! caller's to follow.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ::http::{Request, Response};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as Pool, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use super::{AnswerBody, IntegrationError, StreamError, body::bounded};
use crate::{
    config::{Config, TlsConfig},
    tls,
};

/// The longest that a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection is kept without being used.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Connections to one host that are kept without being used.
const IDLE_MAX: usize = 64;

/// The longest answer that is read whole, in bytes: API Gateway's payload.
pub const ANSWER_BYTES_MAX: usize = 10 * 1024 * 1024;

/// Clients by whom they trust, and as whom they call. They outlive snapshots, so that a reload keeps
/// connections.
#[derive(Default)]
pub struct Clients(Mutex<BTreeMap<TlsConfig, Client>>);

/// A pool of connections.
#[derive(Clone)]
pub struct Client(Arc<Pool<HttpsConnector<HttpConnector>, AnswerBody>>);

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

impl Clients {
    /// Lets go of clients that no endpoint of the configuration needs; not of the
    /// one without settings, which fetches the keys of issuers too.
    pub fn retain(&self, config: &Config) {
        let plain = TlsConfig::default();
        let endpoints = config.endpoints().map(|http| &http.tls);
        let used: BTreeSet<&TlsConfig> = endpoints.chain([&plain]).collect();
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        clients.retain(|tls, _| used.contains(tls));
    }

    /// The client that trusts as `tls` says.
    pub fn get(&self, tls: &TlsConfig) -> Client {
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(tls) {
            return client.clone();
        }
        let client = Client::new(tls);
        clients.insert(tls.clone(), client.clone());
        client
    }
}

/// The certificates of a text in PEM.
///
/// # Errors
/// Why it holds none.
pub fn certificates(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    for certificate in tls::certificates(pem)? {
        store.add(certificate).map_err(|error| format!("not a certificate: {error}"))?;
    }
    Ok(store)
}

impl Client {
    fn new(tls: &TlsConfig) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        connector.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(client_config(tls))
            .https_or_http()
            .enable_http1()
            .enable_http2()
            .wrap_connector(connector);
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_MAX)
            .build(connector);
        Self(Arc::new(pool))
    }

    /// Sends a request and gives the head of the answer with a body that is
    /// still to come, never longer than `idle` without anything.
    ///
    /// # Errors
    /// [`IntegrationError::Upstream`]; [`IntegrationError::RequestBody`] where
    /// the client's body ended early.
    pub async fn send(
        &self,
        request: Request<AnswerBody>,
        idle: Duration,
    ) -> Result<Response<AnswerBody>, IntegrationError> {
        let response = self.head(request).await?;
        Ok(response.map(|body| AnswerBody::Stream(bounded(body, None, idle))))
    }

    /// The same with the whole body.
    ///
    /// # Errors
    /// The same; an answer of more than [`ANSWER_BYTES_MAX`] bytes.
    pub async fn send_whole(
        &self,
        request: Request<AnswerBody>,
    ) -> Result<Response<AnswerBody>, IntegrationError> {
        let (parts, body) = self.head(request).await?.into_parts();
        let body = read_whole(body).await?;
        Ok(Response::from_parts(parts, body.into()))
    }

    async fn head(
        &self,
        request: Request<AnswerBody>,
    ) -> Result<Response<Incoming>, IntegrationError> {
        let response = self.0.request(request).await.map_err(|error| failure(&error))?;
        let status = response.status();
        // Nobody asked for another protocol.
        if status.is_informational() {
            return Err(IntegrationError::Upstream(format!("the endpoint answered {status}")));
        }
        Ok(response)
    }
}

async fn read_whole(body: Incoming) -> Result<Bytes, IntegrationError> {
    let whole = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
    let whole = whole.map_err(|error| {
        IntegrationError::Upstream(format!("the endpoint's answer could not be read: {error}"))
    })?;
    Ok(whole.to_bytes())
}

/// Whose fault it was: the client's body is part of the request.
fn failure(error: &hyper_util::client::legacy::Error) -> IntegrationError {
    let mut text = String::new();
    let mut source: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = source {
        if let Some(body) = error.downcast_ref::<StreamError>() {
            return IntegrationError::RequestBody(body.clone());
        }
        let part = error.to_string();
        if !text.contains(&part) {
            text.push_str(if text.is_empty() { "" } else { ": " });
            text.push_str(&part);
        }
        source = error.source();
    }
    IntegrationError::Upstream(format!("the endpoint could not be called: {text}"))
}

fn client_config(tls: &TlsConfig) -> ClientConfig {
    let provider = tls::provider();
    let versions: &[_] = &[&rustls::version::TLS13, &rustls::version::TLS12];
    // The provider has suites for both versions.
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .unwrap_or_else(|_| unreachable!("ring knows TLS 1.2 and 1.3"));
    let builder = if tls.insecure_skip_verification {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone(provider)))
    } else {
        // Read before: a configuration with another text is not served.
        let roots = tls.ca.as_deref().map_or_else(system_roots, |pem| {
            certificates(pem).unwrap_or_else(|_| RootCertStore::empty())
        });
        builder.with_root_certificates(roots)
    };
    match &tls.identity {
        Some(identity) => builder.with_client_cert_resolver(identity.resolver()),
        None => builder.with_no_client_auth(),
    }
}

/// The system's certificates; where there are none, every certificate is
/// refused when it is shown.
fn system_roots() -> RootCertStore {
    let mut store = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!("the system's certificates: {error}");
    }
    store.add_parsable_certificates(found.certs);
    store
}

/// Takes any certificate, as `insecure_skip_verification` asks; signatures
/// are still checked, so that the connection is with whoever showed it.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

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
use rustls::{ClientConfig, RootCertStore};

use super::{AnswerBody, IntegrationError, StreamError};
use crate::{
    body::bounded,
    config::{Config, TlsConfig},
    telemetry,
    tls::{self, Trust},
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
    match telemetry::causes(error).find_map(|cause| cause.downcast_ref::<StreamError>()) {
        Some(body) => IntegrationError::RequestBody(body.clone()),
        None => IntegrationError::Upstream(format!(
            "the endpoint could not be called: {}",
            telemetry::with_causes(error)
        )),
    }
}

fn client_config(config: &TlsConfig) -> ClientConfig {
    let trust = match &config.ca {
        _ if config.insecure_skip_verification => Trust::Anyone,
        // Read before: a configuration with another text is not served.
        Some(pem) => Trust::Only(tls::roots(pem).unwrap_or_else(|_| RootCertStore::empty())),
        None => Trust::System,
    };
    tls::client(trust, config.identity.as_ref())
}

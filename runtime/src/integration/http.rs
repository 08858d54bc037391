//! Calls HTTP endpoints: connections are kept and shared, redirects are the
//! caller's to follow.

use std::{sync::Arc, time::Duration};

use ::http::{Request, Response};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::dns::GaiResolver;
use rustls::{ClientConfig, RootCertStore};

use super::{AnswerBody, IntegrationError, StreamError};
use crate::{
    body::bounded,
    config::TlsConfig,
    http_client::{Pool, Shared, pool},
    telemetry,
    tls::{self, Trust},
};

/// The longest answer that is read whole, in bytes: API Gateway's payload.
pub const ANSWER_BYTES_MAX: usize = 10 * 1024 * 1024;

/// Clients by whom they trust, and as whom they call.
#[derive(Default)]
pub struct Clients(Shared<TlsConfig, Pool<GaiResolver, AnswerBody>>);

/// A pool of connections.
#[derive(Clone)]
pub struct Client(Arc<Pool<GaiResolver, AnswerBody>>);

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

impl Clients {
    /// The client that trusts as `tls` says.
    pub fn get(&self, tls: &TlsConfig) -> Client {
        Client(self.0.get(tls, || pool(GaiResolver::new(), client_config(tls))))
    }
}

impl Client {
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

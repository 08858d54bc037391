//! What answers a request: a closed set of integrations. They know nothing of
//! clients; what they need of the request is handed to them.

mod function;
pub mod http;
pub mod mock;
pub mod record;

use std::{pin::pin, sync::Arc, time::Duration};

use ::http::{HeaderMap, Request, StatusCode};

pub use crate::body::{AnswerBody, Stream, StreamError};
use http::Client;

pub use mock::{Mock, Mocks};

use crate::{
    config::{FaultKind, template::Lookup},
    sandbox::{Function, HttpInvocation, Invocation, InvokeError},
    timeout::within,
};

/// An integration request: what is called, and with what.
pub enum IntegrationRequest<'a> {
    /// Invokes a function with an event.
    Function {
        /// The function.
        function: Arc<Function>,
        /// The event and the invocation's id.
        invocation: Invocation,
    },
    /// Hands a function that speaks HTTP the request.
    HttpFunction {
        /// The function.
        function: Arc<Function>,
        /// The request and the invocation's id.
        invocation: Box<HttpInvocation<AnswerBody>>,
        /// Whether the answer's body is given while it comes.
        streams: bool,
    },
    /// Answers with what it was called with: the mock of the service.
    Echo {
        /// The rendered request.
        payload: String,
    },
    /// Answers without code.
    Mock {
        /// The answer.
        mock: &'a Mock,
        /// What its placeholders stand for.
        request: &'a (dyn Lookup + Sync),
    },
    /// Calls an HTTP endpoint.
    Http {
        /// Who calls.
        client: Client,
        /// What is sent.
        request: Box<Request<AnswerBody>>,
        /// Whether the answer's body is given while it comes.
        streams: bool,
    },
}

/// What an integration answered.
#[derive(Debug)]
pub enum IntegrationAnswer {
    /// The JSON text that a function returned.
    Payload(String),
    /// A response in HTTP's own terms.
    Http {
        /// The status code.
        status: StatusCode,
        /// The headers.
        headers: HeaderMap,
        /// The body.
        body: AnswerBody,
        /// What the server does instead of sending it.
        fault: Option<FaultKind>,
    },
}

/// Why an integration did not answer.
#[derive(Debug, thiserror::Error)]
pub enum IntegrationError {
    /// It took longer than the route allows.
    #[error("the integration took longer than {0:?}")]
    Timeout(Duration),
    /// The function failed.
    #[error(transparent)]
    Invoke(#[from] InvokeError),
    /// The mock's answer cannot be made of this request.
    #[error("the mock cannot answer: {0}")]
    Mock(String),
    /// The endpoint could not be called, or its answer not be read.
    #[error("{0}")]
    Upstream(String),
    /// The client's body, on its way to the endpoint, came to its end too early.
    #[error("the body could not be passed on: {0}")]
    RequestBody(StreamError),
}

/// Calls the integration and waits for its answer, at most for `timeout`. Of a
/// body that streams that is the longest pause.
///
/// # Errors
/// [`IntegrationError`]. A function that is still running then is ended.
pub async fn call(
    request: IntegrationRequest<'_>,
    timeout: Duration,
) -> Result<IntegrationAnswer, IntegrationError> {
    // What is long is put aside: a connection keeps room for the longest.
    let answer = pin!(async {
        match request {
            IntegrationRequest::Function { function, invocation } => {
                let answer = function.invoke(invocation).await?;
                Ok(IntegrationAnswer::Payload(answer))
            }
            IntegrationRequest::HttpFunction { function, invocation, streams } => {
                Box::pin(function::answer(&function, *invocation, streams)).await
            }
            IntegrationRequest::Echo { payload } => Ok(IntegrationAnswer::Payload(payload)),
            IntegrationRequest::Mock { mock, request } => mock::answer(mock, request).await,
            IntegrationRequest::Http { client, request, streams } => {
                let response = match streams {
                    true => Box::pin(client.send(*request, timeout)).await?,
                    false => Box::pin(client.send_whole(*request)).await?,
                };
                let (parts, body) = response.into_parts();
                Ok(IntegrationAnswer::Http {
                    status: parts.status,
                    headers: parts.headers,
                    body,
                    fault: None,
                })
            }
        }
    });
    within(timeout, answer).await.unwrap_or(Err(IntegrationError::Timeout(timeout)))
}

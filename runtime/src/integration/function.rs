//! Functions that speak HTTP.

use std::sync::{Arc, OnceLock};

use http_body::Body as _;
use http_body_util::BodyExt as _;

use super::{AnswerBody, IntegrationAnswer, IntegrationError, StreamError};
use crate::sandbox::{Function, HttpInvocation, InvokeError};

/// Hands a function the request, and passes on its answer: whole, or while it
/// is written.
pub async fn answer(
    function: &Function,
    invocation: HttpInvocation<AnswerBody>,
    streams: bool,
) -> Result<IntegrationAnswer, IntegrationError> {
    let broken = Arc::new(OnceLock::new());
    let HttpInvocation { request, context } = invocation;
    let watched = Arc::clone(&broken);
    let request = request.map(|body| {
        body.map_err(move |error| {
            let _ = watched.set(error.clone());
            error
        })
    });
    let answered = function.handle(HttpInvocation { request, context }).await;
    let response = answered.map_err(|error| blame(error, &broken))?;
    let (parts, body) = response.into_parts();
    let body = match streams {
        _ if body.is_end_stream() => AnswerBody::default(),
        true => {
            let ended = |error: InvokeError| StreamError::Broken(error.to_string());
            AnswerBody::Stream(body.map_err(ended).boxed_unsync())
        }
        false => {
            let whole = body.whole(function.config.response_bytes_max).await;
            whole.map_err(|error| blame(error, &broken))?.into()
        }
    };
    Ok(IntegrationAnswer::Http { status: parts.status, headers: parts.headers, body, fault: None })
}

/// A function that failed because the client's body did is not at fault.
fn blame(error: InvokeError, broken: &OnceLock<StreamError>) -> IntegrationError {
    match broken.get() {
        Some(broken) => IntegrationError::RequestBody(broken.clone()),
        None => error.into(),
    }
}

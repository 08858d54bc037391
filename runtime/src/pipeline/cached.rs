//! Answers from the stage's cache.

use std::sync::Arc;

use http::{HeaderValue, Method, Response, header};

use super::{
    error::GatewayError, expression::Scope, method_request::MethodRequest, resource_policy,
};
use crate::{
    cache::{ANSWER_BYTES_MAX, Kept, Key},
    config::Unauthorized,
    gateway::{Route, RouteCache},
    integration::AnswerBody,
};

/// Where a stage keeps the route's answers to this method, if it does.
pub fn of<'r>(route: &'r Route, stage: &str, method: &Method) -> Option<&'r RouteCache> {
    let cache = route.caches.get(stage)?;
    (!cache.only_get || method == Method::GET).then_some(cache)
}

/// What tells the request's answer from others.
pub fn key(request: &MethodRequest<'_>) -> Key {
    let scope = Scope::request(request);
    let parameters = &request.matched.route.cache.key;
    let values = parameters.iter().map(|parameter| scope.values(parameter));
    let path = request.exchange.path.unwrap_or(request.path);
    let release = if request.exchange.stage.is_canary == Some(true) { "canary " } else { "" };
    (format!("{release}{} {path}", request.method), values.collect())
}

/// Whether the client wants an answer that is made for it.
fn is_refused(request: &MethodRequest<'_>) -> bool {
    let controls = request.headers.get_all(header::CACHE_CONTROL).iter();
    let mut directives =
        controls.flat_map(|control| control.to_str().unwrap_or_default().split(','));
    directives.any(|one| one.trim().eq_ignore_ascii_case("max-age=0"))
}

/// What becomes of a client's wish for an answer that is made for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invalidation {
    /// There is no such wish, or none that counts.
    None,
    /// It does not count, and the client is told so.
    Ignored,
    /// What is kept has to be forgotten.
    Granted,
}

/// The warning that the service sends.
const WARNING: HeaderValue = HeaderValue::from_static(
    "199 Cache-control headers were ignored because the caller was unauthorized.",
);

/// Whether what is kept has to be forgotten.
///
/// # Errors
/// [`GatewayError::AccessDenied`], where those who may not ask for that get 403.
pub fn invalidation(
    request: &MethodRequest<'_>,
    cache: &RouteCache,
) -> Result<Invalidation, GatewayError> {
    if !is_refused(request) {
        return Ok(Invalidation::None);
    }
    if !cache.require_authorization {
        return Ok(Invalidation::Granted);
    }
    match (resource_policy::check_invalidation(&request.about()), cache.unauthorized) {
        (Ok(()), _) => Ok(Invalidation::Granted),
        (Err(denied), Unauthorized::FailWith403) => Err(denied),
        (Err(_), Unauthorized::SucceedWithResponseHeader) => Ok(Invalidation::Ignored),
        (Err(_), Unauthorized::SucceedWithoutResponseHeader) => Ok(Invalidation::None),
    }
}

/// Tells the client that its wish was ignored.
pub fn warn(response: &mut Response<AnswerBody>) {
    response.headers_mut().append(header::WARNING, WARNING);
}

/// What is kept of a response: a success, and not too long.
pub fn keep(response: &Response<AnswerBody>, cache: &RouteCache) -> Option<Arc<Kept>> {
    let body = response.body().whole().filter(|body| body.len() <= ANSWER_BYTES_MAX)?;
    response.status().is_success().then(|| {
        Arc::new(Kept {
            status: response.status(),
            headers: response.headers().clone(),
            body: body.clone(),
            ttl: cache.ttl,
        })
    })
}

/// A response of what is kept.
pub fn response(kept: &Kept) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::from(kept.body.clone()));
    *response.status_mut() = kept.status;
    *response.headers_mut() = kept.headers.clone();
    response
}

//! Answers from the stage's cache.

use std::sync::Arc;

use http::{Response, header};

use super::{expression::Scope, method_request::MethodRequest};
use crate::{
    cache::{ANSWER_BYTES_MAX, Kept, Key},
    gateway::RouteCache,
    integration::AnswerBody,
};

/// The cache for this request, if its stage and method have one.
pub fn of<'r>(request: &'r MethodRequest<'_>) -> Option<&'r RouteCache> {
    let cache = request.matched.route.caches.get(request.exchange.stage.name)?;
    (!cache.only_get || request.method == http::Method::GET).then_some(cache)
}

/// What tells the request's answer from others.
pub fn key(request: &MethodRequest<'_>) -> Key {
    let scope = Scope::request(request);
    let parameters = &request.matched.route.cache_key;
    let values = parameters.iter().map(|parameter| scope.values(parameter));
    let path = request.exchange.path.unwrap_or(request.path);
    let release = if request.exchange.stage.is_canary == Some(true) { "canary " } else { "" };
    (format!("{release}{} {path}", request.method), values.collect())
}

/// Whether the client wants an answer that is made for it.
pub fn is_refused(request: &MethodRequest<'_>) -> bool {
    let control = request.header_text(header::CACHE_CONTROL);
    control.is_some_and(|control| {
        control.split(',').any(|one| one.trim().eq_ignore_ascii_case("max-age=0"))
    })
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

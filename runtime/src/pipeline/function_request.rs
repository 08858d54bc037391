//! The request that a function gets that speaks HTTP: the client's own, with
//! what an event would say besides in headers, as Lambda's web adapter has it.
//!
//! <https://github.com/awslabs/aws-lambda-web-adapter>

use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, header};

use super::{
    Matched,
    error::GatewayError,
    event,
    integration_response::{remove_hop_by_hop, remove_named_by_connection},
    method_request::MethodRequest,
    stage::Stage,
};
use crate::{
    config::ApiKind,
    gateway::{Gateway, Target, Url},
    integration::AnswerBody,
    sandbox::{CallContext, HttpInvocation, LAMBDA_CONTEXT, REQUEST_CONTEXT},
};

/// Whether the route passes bodies on as they are: to an endpoint, or to a
/// function that speaks HTTP.
pub fn passes(gateway: &Gateway, stage: &Stage<'_>, matched: &Matched<'_>) -> bool {
    let Target::Function { name, .. } = &matched.route.target else { return matched.route.streams };
    gateway.url.as_ref().is_none_or(Url::streams)
        && matched.route.streams
        && matched
            .function(gateway, stage, name)
            .is_ok_and(|resolved| resolved.function.code.speaks_http())
}

/// The client's request, below the gateway.
pub fn build(
    request: &MethodRequest<'_>,
    context: CallContext,
) -> Result<HttpInvocation<AnswerBody>, GatewayError> {
    let path = match request.kind() {
        // As in events, which have the stage's prefix in HTTP APIs alone.
        ApiKind::Rest if request.exchange.base_path.is_none() => {
            request.exchange.path.unwrap_or(request.path)
        }
        _ => request.path,
    };
    let host = request.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.map_or_else(|| request.connection.local.to_string(), str::to_owned);
    let mut uri = format!("{}://{host}{path}", request.connection.scheme());
    if !request.raw_query.is_empty() {
        uri.push('?');
        uri.push_str(request.raw_query);
    }
    let uri =
        Uri::try_from(uri).map_err(|_| GatewayError::BadRequest("the Host is no authority"))?;
    let mut headers = HeaderMap::clone(&request.headers);
    remove_named_by_connection(&mut headers);
    remove_hop_by_hop(&mut headers);
    headers.remove(header::HOST);
    headers.remove(header::EXPECT);
    headers.remove(LAMBDA_CONTEXT);
    for (name, value) in event::forwarding_headers(request) {
        set(&mut headers, HeaderName::from_static(name), &value);
    }
    // What is escaped is a header's value.
    if let Ok(value) = HeaderValue::try_from(event::request_context(request)) {
        headers.insert(REQUEST_CONTEXT, value);
    }
    let mut built = Request::new(request.take_body());
    *built.method_mut() = request.method.clone();
    *built.uri_mut() = uri;
    *built.headers_mut() = headers;
    Ok(HttpInvocation { request: built, context })
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

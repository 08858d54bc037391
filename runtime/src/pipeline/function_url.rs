//! Function URLs: requests whose host is one, and the errors that they get in
//! Lambda's words.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html>

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header, request::Parts};
use serde_json::{Value, json};

use super::{
    Connection,
    authorizer::iam::CredentialError,
    endpoint::{self, Unserved},
    error::GatewayError,
};
use crate::{
    config::{ApiKind, host_name},
    gateway::Gateway,
    lambda::{ErrorKind, ID_CHARS, LambdaError, URL_DOMAIN},
};

/// The gateway of the function URL that a request is for; none where it is for
/// the API.
///
/// # Errors
/// Where there is no such URL.
pub fn find(
    gateway: &Gateway,
    connection: &Connection,
    parts: &Parts,
) -> Result<Option<Arc<Gateway>>, Unserved> {
    // No certificate is for such a name: what comes in TLS is another domain's.
    if connection.tls.is_some() || !may_be_url(&parts.headers) {
        return Ok(None);
    }
    let Some(host) = endpoint::host(&parts.headers) else { return Ok(None) };
    let name = host_name(host.host());
    let Some(id) = name.strip_suffix(URL_DOMAIN).and_then(|rest| rest.strip_suffix('.')) else {
        return Ok(None);
    };
    if gateway.config.domains.find(&name).is_some() {
        return Ok(None);
    }
    let own = (id.len() == ID_CHARS).then(|| gateway.url_gateway(id)).flatten();
    own.map(Some).ok_or(Unserved::NoFunctionUrl)
}

/// Most hosts are looked at no further.
fn may_be_url(headers: &HeaderMap) -> bool {
    let domain = URL_DOMAIN.as_bytes();
    let host = headers.get(header::HOST).map_or(&b""[..], HeaderValue::as_bytes);
    host.windows(domain.len()).any(|part| part.eq_ignore_ascii_case(domain))
}

/// The response to an error.
pub fn respond(error: &GatewayError) -> Response<Bytes> {
    use StatusCode as S;
    let forbidden = || (S::FORBIDDEN, json!({ "Message": "Forbidden" }), "AccessDeniedException");
    let (status, body, exception) = match error {
        GatewayError::Credential(CredentialError::Missing)
        | GatewayError::AccessDenied(_)
        | GatewayError::Filtered(_) => forbidden(),
        GatewayError::Credential(error) => {
            (S::FORBIDDEN, json!({ "message": error.message() }), error.exception())
        }
        GatewayError::Throttled(_) => {
            let error = LambdaError::new(ErrorKind::ReservedConcurrency, "Rate Exceeded.");
            (S::TOO_MANY_REQUESTS, error.body(), error.kind.name())
        }
        GatewayError::BodyTooLarge { .. } | GatewayError::PayloadTooLarge(_) => (
            S::PAYLOAD_TOO_LARGE,
            json!({ "Message": "Request Entity Too Large" }),
            ErrorKind::RequestTooLarge.name(),
        ),
        GatewayError::Integration(_)
        | GatewayError::Malformed(_)
        | GatewayError::IntegrationTimeout(_) => (S::BAD_GATEWAY, Value::Null, ""),
        other => {
            let status = other.to_response(ApiKind::Http).status();
            match status.is_server_error() {
                true => (status, Value::Null, ""),
                false => (status, json!({ "Message": other.message(ApiKind::Http) }), ""),
            }
        }
    };
    // What went wrong here is said in plain words, which are not JSON.
    let body = if body.is_null() { "Internal Server Error".to_owned() } else { body.to_string() };
    let mut response = error.to_response(ApiKind::Http).map(|_| Bytes::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if !exception.is_empty() {
        headers.insert("x-amzn-errortype", HeaderValue::from_static(exception));
    }
    response
}

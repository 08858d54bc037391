//! From what an integration answered to the response.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};

use super::{
    Trace, content, error::GatewayError, event, mapped_response, method_request::MethodRequest,
    proxy_response,
};
use crate::{
    config::{ApiKind, PayloadFormat},
    gateway::Target,
    integration::{AnswerBody, IntegrationAnswer, IntegrationError},
};

/// What came back from the integration.
pub struct Answered {
    /// The answer; of a function that failed, its error in Lambda's form.
    pub answer: IntegrationAnswer,
    /// The error message of a function that failed.
    error: Option<String>,
}

impl Answered {
    /// A function behind mapping templates may fail: its error is an answer
    /// that selects a response. Anything else that fails ends the request.
    pub fn of(
        result: Result<IntegrationAnswer, IntegrationError>,
        request: &MethodRequest<'_>,
    ) -> Result<Self, GatewayError> {
        let error = match result {
            Ok(answer) => return Ok(Self { answer, error: None }),
            Err(error) => error,
        };
        match (&error, &request.matched.route.target) {
            (IntegrationError::Invoke(failed), Target::Mapped(_)) if failed.is_of_function() => {
                let payload = failed.payload(&request.exchange.id.to_string());
                let message = payload["errorMessage"].as_str().unwrap_or_default().to_owned();
                let answer = IntegrationAnswer::Payload(payload.to_string());
                Ok(Self { answer, error: Some(message) })
            }
            _ => Err(error.into()),
        }
    }
}

/// The response that an answer stands for.
///
/// # Errors
/// [`GatewayError::Malformed`] where a function's answer has not the form that
/// its payload format asks for.
pub fn into_response(
    answered: Answered,
    request: &MethodRequest<'_>,
    trace: &mut Trace,
) -> Result<Response<AnswerBody>, GatewayError> {
    let fault = match &answered.answer {
        IntegrationAnswer::Http { fault, .. } => *fault,
        IntegrationAnswer::Payload(_) => None,
    };
    let (status, headers, body) = match (answered.answer, &request.matched.route.target) {
        (answer, Target::Mapped(mapped)) => {
            let error = answered.error.as_deref();
            return mapped_response::into_response(mapped, answer, error, request, trace);
        }
        (IntegrationAnswer::Http { status, mut headers, body, .. }, Target::HttpProxy(_)) => {
            proxied_headers(&mut headers, status, request);
            (status, headers, body)
        }
        (IntegrationAnswer::Http { status, mut headers, body, .. }, Target::Function { .. }) => {
            guest_headers(&mut headers, status, request);
            (status, headers, body)
        }
        (IntegrationAnswer::Http { status, headers, body, .. }, _) => (status, headers, body),
        (IntegrationAnswer::Payload(text), target) => {
            let format = match target {
                Target::Function { payload, .. } => *payload,
                _ => PayloadFormat::V2,
            };
            let (status, mut headers, body) = match format {
                PayloadFormat::V1 => proxy_response::v1(&text, decodes(request))?,
                PayloadFormat::V2 => proxy_response::v2(&text)?,
            };
            remap(&mut headers, request.kind());
            remove_connection_headers(&mut headers);
            // What the service says where the function says nothing.
            let default = match request.kind() {
                ApiKind::Rest => "application/json",
                ApiKind::Http => "text/plain;charset=UTF-8",
            };
            if !body.is_empty() || request.kind() == ApiKind::Rest {
                let content_type = headers.entry(header::CONTENT_TYPE);
                content_type.or_insert_with(|| HeaderValue::from_static(default));
            }
            (status, headers, body.into())
        }
    };
    // RFC 9110, sections 15.3.5 and 15.4.5: these have no content.
    let empty = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let mut response = Response::new(if empty { AnswerBody::default() } else { body });
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    if let Some(fault) = fault {
        let request_id = &*request.exchange.request_id;
        tracing::info!(request_id, "the mock's fault: {fault}");
        response.extensions_mut().insert(fault);
    }
    Ok(response)
}

/// What an endpoint's answer keeps of its headers.
fn proxied_headers(headers: &mut HeaderMap, status: StatusCode, request: &MethodRequest<'_>) {
    remove_named_by_connection(headers);
    let length = headers.get(header::CONTENT_LENGTH).cloned();
    remap(headers, request.kind());
    remove_connection_headers(headers);
    // Where there is no body, nobody else knows how long it would be.
    if request.method == Method::HEAD || status == StatusCode::NOT_MODIFIED {
        headers.extend(length.map(|length| (header::CONTENT_LENGTH, length)));
    }
}

/// What the answer of a function that speaks HTTP keeps of its headers. Its
/// length is a promise that was checked, and `Trailer` names what is sent
/// behind the body.
fn guest_headers(headers: &mut HeaderMap, status: StatusCode, request: &MethodRequest<'_>) {
    let length = headers.remove(header::CONTENT_LENGTH);
    // RFC 9110, section 8.6: an answer that has no content has no length.
    let length = length.filter(|_| status != StatusCode::NO_CONTENT);
    let trailer = headers.remove(header::TRAILER);
    remap(headers, request.kind());
    remove_connection_headers(headers);
    headers.extend(length.map(|length| (header::CONTENT_LENGTH, length)));
    headers.extend(trailer.map(|trailer| (header::TRAILER, trailer)));
}

/// Headers of proxies that a REST API keeps for itself, and what clients see
/// them as.
///
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-known-issues.html>
fn remap(headers: &mut HeaderMap, kind: ApiKind) {
    const REMAPPED: [(HeaderName, &str); 5] = [
        (header::CONNECTION, "x-amzn-remapped-connection"),
        (header::CONTENT_LENGTH, "x-amzn-remapped-content-length"),
        (header::DATE, "x-amzn-remapped-date"),
        (header::SERVER, "x-amzn-remapped-server"),
        (header::WWW_AUTHENTICATE, "x-amzn-remapped-www-authenticate"),
    ];
    if kind == ApiKind::Http {
        return;
    }
    for (name, remapped) in REMAPPED {
        if let Some(value) = headers.remove(&name) {
            headers.insert(HeaderName::from_static(remapped), value);
        }
    }
}

/// Whether base64 becomes bytes: in a REST API that lists binary types only
/// for a client that wants one of them.
fn decodes(request: &MethodRequest<'_>) -> bool {
    let types = &request.gateway.config.binary_media_types;
    types.0.is_empty() || content::wants_bytes(types, &request.headers)
}

/// RFC 9110, section 7.6.1: what `Connection` names is of this connection. A
/// length is of the message all the same.
pub fn remove_named_by_connection(headers: &mut HeaderMap) {
    let named: Vec<HeaderValue> = headers.get_all(header::CONNECTION).iter().cloned().collect();
    for named in &named {
        for name in String::from_utf8_lossy(named.as_bytes()).split(',').map(str::trim) {
            if !name.eq_ignore_ascii_case("content-length") {
                headers.remove(name);
            }
        }
    }
}

/// Removes what describes a connection or is counted by the server, which
/// writes it itself.
pub fn remove_connection_headers(headers: &mut HeaderMap) {
    remove_hop_by_hop(headers);
    headers.remove(header::CONTENT_LENGTH);
}

/// Removes what describes a connection.
pub fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let is_one = |name: &HeaderName| event::HOP_BY_HOP.contains(&name.as_str());
    while let Some(name) = headers.keys().find(|name| is_one(name)).cloned() {
        headers.remove(name);
    }
}

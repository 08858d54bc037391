//! From what an integration answered to the response. A function's answer is
//! read as API Gateway reads it, each format in its own way.
//!
//! Format 1.0: <https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html#api-gateway-simple-proxy-for-lambda-output-format>
//! Format 2.0: <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html#http-api-develop-integrations-lambda.response>

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use serde_json::{Map, Value};

use super::{
    Trace, content, error::GatewayError, event::HOP_BY_HOP, mapped_response,
    method_request::MethodRequest,
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
            let value = serde_json::from_str(&text)
                .map_err(|error| malformed(format!("it is not JSON: {error}")))?;
            let mut parts = match format {
                PayloadFormat::V1 => v1(value, decodes(request))?,
                PayloadFormat::V2 => v2(value)?,
            };
            remap(&mut parts.1, request.kind());
            remove_connection_headers(&mut parts.1);
            // What the service says where the function says nothing.
            let default = match request.kind() {
                ApiKind::Rest => "application/json",
                ApiKind::Http => "text/plain;charset=UTF-8",
            };
            if !parts.2.is_empty() || request.kind() == ApiKind::Rest {
                parts
                    .1
                    .entry(header::CONTENT_TYPE)
                    .or_insert_with(|| HeaderValue::from_static(default));
            }
            (parts.0, parts.1, parts.2.into())
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
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Headers that an answer may have: far more than any client reads, and less
/// than what a header map holds.
pub const HEADERS_MAX: usize = 1000;

type ResponseParts = (StatusCode, HeaderMap, Bytes);

fn malformed(reason: impl Into<String>) -> GatewayError {
    GatewayError::Malformed(reason.into())
}

/// Format 1.0: no member is mandatory, and no other is allowed.
fn v1(value: Value, decodes: bool) -> Result<ResponseParts, GatewayError> {
    let Value::Object(mut members) = value else {
        return Err(malformed(format!("it is {}, not an object", kind(&value))));
    };
    let mut answer = Answer::take(&mut members)?;
    answer.is_base64_encoded &= decodes;
    if let Some((name, _)) = members.iter().next() {
        return Err(malformed(format!(
            "it has the member {name:?}; allowed are statusCode, headers, multiValueHeaders, body and isBase64Encoded"
        )));
    }
    answer.into_parts()
}

/// Format 2.0: an answer without `statusCode` is the body itself.
fn v2(value: Value) -> Result<ResponseParts, GatewayError> {
    match value {
        Value::Object(mut members) if members.contains_key("statusCode") => {
            let mut answer = Answer::take(&mut members)?;
            for cookie in strings(&mut members, "cookies")? {
                let value = header_value("cookies", &cookie)?;
                append(&mut answer.headers, header::SET_COOKIE, value)?;
            }
            answer.into_parts()
        }
        inferred => {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            let body = match inferred {
                Value::String(text) => text,
                other => other.to_string(),
            };
            Ok((StatusCode::OK, headers, Bytes::from(body)))
        }
    }
}

/// The members that both formats share.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
    is_base64_encoded: bool,
}

impl Answer {
    fn take(members: &mut Map<String, Value>) -> Result<Self, GatewayError> {
        let status = status(members.remove("statusCode"))?;
        let mut headers = HeaderMap::new();
        for (name, value) in object(members, "headers")? {
            let value = match value {
                Value::String(text) => text,
                Value::Bool(flag) => flag.to_string(),
                Value::Number(number) => number.to_string(),
                other => return Err(malformed(format!("the header {name:?} is {}", kind(&other)))),
            };
            let (parsed, value) = (header_name(&name)?, header_value(&name, &value)?);
            // The same name in another case: the last one counts.
            headers.remove(&parsed);
            append(&mut headers, parsed, value)?;
        }
        let mut multiple = object(members, "multiValueHeaders")?;
        for name in multiple.keys().cloned().collect::<Vec<_>>() {
            let parsed = header_name(&name)?;
            // A name in both: the service merges, and a value counts once.
            for value in strings(&mut multiple, &name)? {
                let value = header_value(&name, &value)?;
                if !headers.get_all(&parsed).iter().any(|other| other == value) {
                    append(&mut headers, parsed.clone(), value)?;
                }
            }
        }
        let body = match members.remove("body") {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text,
            Some(other) => {
                return Err(malformed(format!("body is {}, not a string", kind(&other))));
            }
        };
        let is_base64_encoded = match members.remove("isBase64Encoded") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(flag)) => flag,
            Some(other) => {
                return Err(malformed(format!(
                    "isBase64Encoded is {}, not a boolean",
                    kind(&other)
                )));
            }
        };
        Ok(Self { status, headers, body, is_base64_encoded })
    }

    fn into_parts(self) -> Result<ResponseParts, GatewayError> {
        let body = if self.is_base64_encoded {
            let bytes = STANDARD
                .decode(self.body.as_bytes())
                .map_err(|error| malformed(format!("body is not base64: {error}")))?;
            Bytes::from(bytes)
        } else {
            Bytes::from(self.body)
        };
        Ok((self.status, self.headers, body))
    }
}

/// A number, or text that is one; 200 where there is none.
fn status(value: Option<Value>) -> Result<StatusCode, GatewayError> {
    let number = match &value {
        None | Some(Value::Null) => Some(200),
        Some(Value::Number(number)) => number
            .as_u64()
            .or_else(|| number.as_f64().filter(|n| n.fract() == 0.0).map(|n| n as u64)),
        Some(Value::String(text)) => text.parse().ok(),
        Some(_) => None,
    };
    let status = number
        .filter(|number| (200..=599).contains(number))
        .and_then(|number| StatusCode::from_u16(u16::try_from(number).ok()?).ok());
    status.ok_or_else(|| {
        malformed(format!("statusCode is {}, not one of 200 to 599", value.unwrap_or_default()))
    })
}

fn object(
    members: &mut Map<String, Value>,
    name: &str,
) -> Result<Map<String, Value>, GatewayError> {
    match members.remove(name) {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(object)) => Ok(object),
        Some(other) => Err(malformed(format!("{name} is {}, not an object", kind(&other)))),
    }
}

fn strings(members: &mut Map<String, Value>, name: &str) -> Result<Vec<String>, GatewayError> {
    let list = match members.remove(name) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(other) => return Err(malformed(format!("{name} is {}, not an array", kind(&other)))),
    };
    list.into_iter()
        .map(|value| match value {
            Value::String(text) => Ok(text),
            Value::Bool(flag) => Ok(flag.to_string()),
            Value::Number(number) => Ok(number.to_string()),
            other => Err(malformed(format!("{name} holds {}, not a string", kind(&other)))),
        })
        .collect()
}

fn append(
    headers: &mut HeaderMap,
    name: HeaderName,
    value: HeaderValue,
) -> Result<(), GatewayError> {
    if headers.len() >= HEADERS_MAX {
        return Err(malformed(format!("it has more than {HEADERS_MAX} headers")));
    }
    headers.append(name, value);
    Ok(())
}

fn header_name(name: &str) -> Result<HeaderName, GatewayError> {
    name.parse().map_err(|_| malformed(format!("{name:?} is not a header's name")))
}

fn header_value(name: &str, value: &str) -> Result<HeaderValue, GatewayError> {
    HeaderValue::from_str(value)
        .map_err(|_| malformed(format!("{value:?} cannot be the value of the header {name:?}")))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn header<'h>(parts: &'h ResponseParts, name: &str) -> Vec<&'h str> {
        parts.1.get_all(name).iter().map(|value| value.to_str().expect("text")).collect()
    }

    #[test]
    fn format_1_takes_every_member() {
        let parts = v1(
            json!({
                "statusCode": "201",
                "headers": { "X-One": "1", "X-Flag": true },
                "multiValueHeaders": { "x-one": ["1", "2"], "Set-Cookie": ["a=1", "b=2"] },
                "body": "aGk=",
                "isBase64Encoded": true,
            }),
            true,
        )
        .expect("well formed");
        assert_eq!(parts.0, StatusCode::CREATED);
        assert_eq!(header(&parts, "x-one"), ["1", "2"]);
        assert_eq!(header(&parts, "x-flag"), ["true"]);
        assert_eq!(header(&parts, "set-cookie"), ["a=1", "b=2"]);
        assert_eq!(parts.2, "hi");
        let parts = v1(json!({}), true).expect("nothing is mandatory");
        assert_eq!((parts.0, parts.2), (StatusCode::OK, Bytes::new()));
    }

    #[test]
    fn format_1_refuses_what_the_service_refuses() {
        for malformed in [
            json!("text"),
            json!(null),
            json!([]),
            json!({ "message": "hi" }),
            json!({ "statusCode": 200, "cookies": [] }),
            json!({ "statusCode": "abc" }),
            json!({ "statusCode": 99 }),
            json!({ "statusCode": 1000 }),
            json!({ "statusCode": 200.5 }),
            json!({ "statusCode": 200, "body": { "a": 1 } }),
            json!({ "statusCode": 200, "headers": [] }),
            json!({ "statusCode": 200, "headers": { "a b": "1" } }),
            json!({ "statusCode": 200, "headers": { "a": "1\r\nb: 2" } }),
            json!({ "statusCode": 200, "headers": { "a": {} } }),
            json!({ "statusCode": 200, "multiValueHeaders": { "a": "1" } }),
            json!({ "statusCode": 200, "body": "%", "isBase64Encoded": true }),
            json!({ "statusCode": 200, "isBase64Encoded": "yes" }),
        ] {
            assert!(v1(malformed.clone(), true).is_err(), "{malformed}");
        }
    }

    #[test]
    fn format_2_infers_what_is_missing() {
        for (value, body) in [
            (json!("Hello"), "Hello"),
            (json!({ "message": "Hello" }), "{\"message\":\"Hello\"}"),
            (json!([1, 2]), "[1,2]"),
            (json!(null), "null"),
            (json!({ "body": "x" }), "{\"body\":\"x\"}"),
        ] {
            let parts = v2(value).expect("anything goes");
            assert_eq!(parts.0, StatusCode::OK);
            assert_eq!(header(&parts, "content-type"), ["application/json"]);
            assert_eq!(parts.2, body);
        }
        let parts =
            v2(json!({ "statusCode": 200, "cookies": ["a=1; Secure", "b=2"] })).expect("fine");
        assert_eq!(header(&parts, "set-cookie"), ["a=1; Secure", "b=2"]);
        assert!(v2(json!({ "statusCode": 99 })).is_err());
    }

    #[test]
    fn a_flood_of_headers_is_refused() {
        let many: Map<String, Value> =
            (0..50_000).map(|index| (format!("x-{index}"), json!("1"))).collect();
        let cookies = vec!["a=1"; 50_000];
        assert!(v1(json!({ "headers": many }), true).is_err());
        assert!(
            v1(json!({ "multiValueHeaders": { "a": (0..2000).collect::<Vec<_>>() } }), true)
                .is_err()
        );
        assert!(v2(json!({ "statusCode": 200, "cookies": cookies })).is_err());
    }

    /// JSON of the members that count, with values of every kind.
    fn answer() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            (150_u16..650).prop_map(Value::from),
            "\\PC{0,8}".prop_map(Value::from),
        ];
        let value = scalar.prop_recursive(2, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("[a-zA-Z-]{1,8}", inner), 0..4)
                    .prop_map(|entries| Value::Object(entries.into_iter().collect())),
            ]
        });
        let name = prop_oneof![
            Just("statusCode"),
            Just("headers"),
            Just("multiValueHeaders"),
            Just("cookies"),
            Just("body"),
            Just("isBase64Encoded"),
        ];
        prop::collection::vec((name, value), 0..6).prop_map(|members| {
            members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
        })
    }

    proptest! {
        #[test]
        fn any_answer_is_a_response_or_malformed(value in answer()) {
            for parts in [v1(value.clone(), true), v2(value)] {
                match parts {
                    Ok((status, headers, _)) => {
                        prop_assert!((200..600).contains(&status.as_u16()));
                        prop_assert!(headers.len() <= HEADERS_MAX);
                    }
                    Err(error) => prop_assert!(matches!(error, GatewayError::Malformed(_))),
                }
            }
        }
    }
}

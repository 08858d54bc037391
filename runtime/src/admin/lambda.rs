//! Lambda's API, as boto3 and the AWS CLI speak it: the door to
//! [`crate::lambda`]. Signatures are not checked: whoever reaches the admin
//! address may do everything.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_Operations.html>

mod aliases;
mod functions;
mod invoke;
mod settings;
mod stream;
mod urls;
mod versions;

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    body::AnswerBody,
    config::{FunctionReference, is_qualifier},
    gateway::Gateway,
    lambda::{ErrorKind, LambdaError},
    reload::Shared,
};

/// The longest body of a call that is not an invocation, in bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// What is read of a body that is too long before it is refused: a client that
/// is still sending may not see the answer.
const DISCARDED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Items of a list, where the caller does not say.
const ITEMS: usize = 50;

/// The pattern that Lambda's model has, as its error texts quote it.
const NAME_PATTERN: &str = "(arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}(-gov)?-[a-z]+-\\d{1}:)?(\\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\\$LATEST|[a-zA-Z0-9-_]+))?";

type Answer = Result<Response<AnswerBody>, LambdaError>;

/// A call of the API.
struct Call {
    gateway: Arc<Gateway>,
    headers: HeaderMap,
    query: Vec<(String, String)>,
    body: Option<Incoming>,
    id: String,
    /// Where the gateway listens.
    port: u16,
}

/// Whether the path is one of Lambda's: they begin with a date.
pub fn serves(path: &str) -> bool {
    let date = path.strip_prefix('/').and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let is_date =
        |(at, b): (usize, u8)| if matches!(at, 4 | 7) { b == b'-' } else { b.is_ascii_digit() };
    date.len() == 10 && date.bytes().enumerate().all(is_date)
}

/// Answers a call.
pub async fn answer(shared: &Shared, request: Request<Incoming>) -> Response<AnswerBody> {
    let id = Uuid::new_v4().to_string();
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let call = Call {
        gateway: shared.gateway.load_full(),
        headers: parts.headers,
        query: query(parts.uri.query().unwrap_or_default()),
        body: Some(body),
        id: id.clone(),
        port: shared.port(),
    };
    let mut response = match call.run(&parts.method, &path).await {
        Ok(response) => response,
        Err(error) => {
            let method = &parts.method;
            match error.reason {
                Some(_) => tracing::error!(request_id = id, "{method} {path}: {error}"),
                None => tracing::debug!(request_id = id, "{method} {path}: {error}"),
            }
            let mut response = respond(error.kind.status(), &error.body());
            let name = HeaderValue::from_static(error.kind.name());
            response.headers_mut().insert("x-amzn-errortype", name);
            response
        }
    };
    set(&mut response, "x-amzn-requestid", &id);
    response
}

impl Call {
    async fn run(mut self, method: &Method, path: &str) -> Answer {
        let segments: Option<Vec<String>> = path.split('/').skip(1).map(decoded).collect();
        let segments = segments.unwrap_or_default();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        match (method.as_str(), &*segments) {
            ("GET", ["2015-03-31", "functions"] | ["2015-03-31", "functions", ""]) => {
                self.list_functions()
            }
            ("GET", ["2016-08-19", "account-settings"]) => self.account_settings(),
            (_, [date, "functions", name, rest @ ..]) => {
                let function = self.reference(name)?;
                self.of_function(method, date, &function, rest).await
            }
            _ => Err(unknown(method, path)),
        }
    }

    async fn of_function(
        &mut self,
        method: &Method,
        date: &str,
        function: &FunctionReference,
        rest: &[&str],
    ) -> Answer {
        match (method.as_str(), date, rest) {
            ("POST", "2015-03-31", ["invocations"]) => self.invoke(function).await,
            ("POST", "2021-11-15", ["response-streaming-invocations"]) => {
                self.invoke_with_response_stream(function).await
            }
            ("GET", "2015-03-31", []) => self.get_function(function),
            ("GET", "2015-03-31", ["configuration"]) => self.get_configuration(function),
            ("DELETE", "2015-03-31", []) => self.delete_function(function).await,
            ("POST", "2021-10-31", ["url"]) => self.create_url(function).await,
            ("GET", "2021-10-31", ["url"]) => self.get_url(function),
            ("PUT", "2021-10-31", ["url"]) => self.update_url(function).await,
            ("DELETE", "2021-10-31", ["url"]) => self.delete_url(function).await,
            ("GET", "2021-10-31", ["urls"]) => self.list_urls(function),
            ("POST", "2015-03-31", ["versions"]) => self.publish_version(function).await,
            ("GET", "2015-03-31", ["versions"]) => self.list_versions(function),
            ("POST", "2015-03-31", ["aliases"]) => self.create_alias(function).await,
            ("GET", "2015-03-31", ["aliases"]) => self.list_aliases(function),
            ("GET", "2015-03-31", ["aliases", name]) => self.get_alias(function, name),
            ("PUT", "2015-03-31", ["aliases", name]) => self.update_alias(function, name).await,
            ("DELETE", "2015-03-31", ["aliases", name]) => self.delete_alias(function, name).await,
            ("PUT", "2017-10-31", ["concurrency"]) => self.put_concurrency(function).await,
            ("GET", "2019-09-30", ["concurrency"]) => self.get_concurrency(function),
            ("DELETE", "2017-10-31", ["concurrency"]) => self.delete_concurrency(function).await,
            ("PUT", "2019-09-25", ["event-invoke-config"]) => {
                self.put_event_config(function, false).await
            }
            ("POST", "2019-09-25", ["event-invoke-config"]) => {
                self.put_event_config(function, true).await
            }
            ("GET", "2019-09-25", ["event-invoke-config"]) => self.get_event_config(function),
            ("DELETE", "2019-09-25", ["event-invoke-config"]) => {
                self.delete_event_config(function).await
            }
            ("GET", "2019-09-25", ["event-invoke-config", "list"]) => {
                self.list_event_configs(function)
            }
            _ => Err(unknown(
                method,
                &format!("/{date}/functions/{}/{}", function.name, rest.join("/")),
            )),
        }
    }

    /// The function that the path and `Qualifier` name.
    fn reference(&self, name: &str) -> Result<FunctionReference, LambdaError> {
        let invalid = || LambdaError::not_matching(name, "functionName", NAME_PATTERN);
        let mut reference = FunctionReference::parse(name).map_err(|_| invalid())?;
        let Some(given) = self.query("Qualifier").filter(|given| !given.is_empty()) else {
            return Ok(reference);
        };
        if !is_qualifier(given) {
            return Err(LambdaError::not_matching(given, "qualifier", "(|[a-zA-Z0-9$_-]+)"));
        }
        if reference.qualifier.as_deref().is_some_and(|own| own != given) {
            let message = "The derived qualifier from the function name does not match the specified qualifier.";
            return Err(LambdaError::new(ErrorKind::InvalidParameterValue, message));
        }
        reference.qualifier = Some(given.to_owned());
        Ok(reference)
    }

    /// That there is such a function.
    fn exists(&self, function: &FunctionReference) -> Result<(), LambdaError> {
        match self.gateway.functions.contains_key(&function.name) {
            true => Ok(()),
            false => Err(LambdaError::no_function(&function.name, None)),
        }
    }

    fn query(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.as_str())
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body, if it has at most `max` bytes; else what `refusal` makes of
    /// how many it has.
    async fn body(
        &mut self,
        max: usize,
        refusal: impl Fn(u64) -> LambdaError,
    ) -> Result<Vec<u8>, LambdaError> {
        let invalid = |message: &str| LambdaError::new(ErrorKind::InvalidRequestContent, message);
        let Some(mut body) = self.body.take() else { return Ok(Vec::new()) };
        let idle: Duration = self.gateway.config.server.pools.body_idle_timeout;
        let announced = body.size_hint().exact();
        let mut bytes = Vec::new();
        let mut discarded = 0;
        loop {
            let frame = tokio::time::timeout(idle, body.frame()).await;
            let frame = frame.map_err(|_| invalid("The request body came too slowly."))?;
            let Some(frame) = frame else { break };
            let frame = frame.map_err(|_| invalid("The request body could not be read."))?;
            let Ok(data) = frame.into_data() else { continue };
            if bytes.len() + data.len() <= max && discarded == 0 {
                bytes.extend_from_slice(&data);
                continue;
            }
            discarded += data.len();
            if discarded > DISCARDED_BYTES_MAX {
                break;
            }
        }
        if discarded > 0 {
            return Err(refusal(announced.unwrap_or((bytes.len() + discarded) as u64)));
        }
        Ok(bytes)
    }

    /// The body as an object; an empty one for no body.
    async fn object(&mut self) -> Result<Map<String, Value>, LambdaError> {
        let too_long = |_| {
            let message = format!("The request body has more than {BODY_BYTES_MAX} bytes.");
            LambdaError::new(ErrorKind::RequestTooLarge, message)
        };
        let body = self.body(BODY_BYTES_MAX, too_long).await?;
        if body.is_empty() {
            return Ok(Map::new());
        }
        serde_json::from_slice(&body).map_err(|error| {
            let message = format!("Could not parse request body into json: {error}");
            LambdaError::new(ErrorKind::InvalidRequestContent, message)
        })
    }

    /// One page of items that are in order: their keys are what `Marker` says.
    fn page(
        &self,
        list: &str,
        items: Vec<(String, Value)>,
    ) -> Result<Response<AnswerBody>, LambdaError> {
        let max = match self.query("MaxItems") {
            None => ITEMS,
            Some(text) => {
                let given: i64 = text.parse().unwrap_or(-1);
                match usize::try_from(given) {
                    Ok(max @ 1..=10_000) => max,
                    _ => return Err(LambdaError::not_within(given, "maxItems", 1, 10_000)),
                }
            }
        };
        let start = match self.query("Marker").filter(|marker| !marker.is_empty()) {
            None => 0,
            Some(marker) => items.iter().position(|(key, _)| key == marker).ok_or_else(|| {
                let message = format!("The marker {marker:?} is not one that was given");
                LambdaError::new(ErrorKind::InvalidParameterValue, message)
            })?,
        };
        let next = items.get(start + max).map(|(key, _)| key.clone());
        let items: Vec<Value> =
            items.into_iter().skip(start).take(max).map(|(_, item)| item).collect();
        let mut body = json!({ list: items });
        if let Some(next) = next {
            body["NextMarker"] = next.into();
        }
        Ok(respond(StatusCode::OK, &body))
    }
}

fn unknown(method: &Method, path: &str) -> LambdaError {
    let message =
        format!("Mayfly does not serve {method} {path}; docs/lambda.md lists what it serves");
    LambdaError::new(ErrorKind::UnknownOperation, message)
}

fn decoded(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(String::from)
}

fn query(text: &str) -> Vec<(String, String)> {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((decoded(&name.replace('+', " "))?, decoded(&value.replace('+', " "))?))
    };
    text.split('&').filter(|text| !text.is_empty()).filter_map(pair).collect()
}

fn respond(status: StatusCode, body: &Value) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::from(body.to_string()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn nothing(status: StatusCode) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::default());
    *response.status_mut() = status;
    response
}

fn set(response: &mut Response<AnswerBody>, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
}

/// A string of an object.
fn text<'o>(object: &'o Map<String, Value>, key: &str) -> Result<Option<&'o str>, LambdaError> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(mistyped(key, "a string")),
    }
}

/// An integer of an object, within bounds.
fn integer(
    object: &Map<String, Value>,
    key: &str,
    min: i64,
    max: i64,
) -> Result<Option<u32>, LambdaError> {
    let Some(value) = object.get(key).filter(|value| !value.is_null()) else { return Ok(None) };
    let number = value.as_i64().ok_or_else(|| mistyped(key, "an integer"))?;
    let fits = (min..=max).contains(&number).then(|| u32::try_from(number).ok()).flatten();
    let mut parameter = key.to_owned();
    parameter[..1].make_ascii_lowercase();
    fits.map(Some).ok_or_else(|| LambdaError::not_within(number, &parameter, min, max))
}

/// A description of an object.
fn description(object: &Map<String, Value>) -> Result<Option<String>, LambdaError> {
    let given = text(object, "Description")?;
    if given.is_some_and(|text| text.chars().count() > crate::lambda::DESCRIPTION_CHARS_MAX) {
        let message = format!(
            "1 validation error detected: Value at 'description' failed to satisfy constraint: Member must have length less than or equal to {}",
            crate::lambda::DESCRIPTION_CHARS_MAX
        );
        return Err(LambdaError::new(ErrorKind::Validation, message));
    }
    Ok(given.map(str::to_owned))
}

fn mistyped(key: &str, wanted: &str) -> LambdaError {
    LambdaError::new(ErrorKind::InvalidParameterValue, format!("{key} is not {wanted}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lambda_s_paths_begin_with_a_date() {
        for path in ["/2015-03-31/functions", "/2019-09-25/x", "/2016-08-19/"] {
            assert!(serves(path), "{path}");
        }
        for path in ["/", "/health", "/2015-03-3/functions", "/2015x03-31/functions", "2015-03-31"]
        {
            assert!(!serves(path), "{path}");
        }
    }

    #[test]
    fn queries_are_decoded() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            query("Qualifier=%24LATEST&a=b+c&&d"),
            [pair("Qualifier", "$LATEST"), pair("a", "b c"), pair("d", "")]
        );
    }
}

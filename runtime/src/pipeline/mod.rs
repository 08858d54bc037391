//! The life of a request, as one visible function: each stage takes what the
//! one before it made.
//!
//! ```text
//! Matched → MethodRequest → Validated → IntegrationRequest → IntegrationResponse → MethodResponse
//! ```
//!
//! An error at any stage becomes a response in [`error`], and the access log
//! is written on every exit.

mod access;
mod authorizer;
mod cached;
mod caller;
mod client;
mod compression;
mod content;
mod cors;
mod endpoint;
pub mod error;
pub mod event;
mod expression;
mod filter;
mod function_request;
mod function_url;
mod gateway_response;
mod http_request;
mod integration_request;
mod integration_response;
mod mapped_response;
pub mod method_request;
pub mod proxy_response;
mod resource_policy;
mod stage;
mod template_variables;
mod trace;
mod usage_plan;
mod validation;

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, OnceLock},
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Response, StatusCode, header::InvalidHeaderValue, request::Parts,
};
use http_body::Body;
use percent_encoding::percent_decode_str;
use uuid::Uuid;

use crate::{
    config::{ApiKind, FunctionName, LoggingLevel, MappedTarget},
    gateway::{Gateway, REST, Route, RouteCache, Target},
    integration::{
        self, AnswerBody, IntegrationAnswer, IntegrationError,
        record::{Recorded, Recorder},
    },
    lambda::Resolved,
    tls::Session,
    usage_plan::ApiKey,
};
use cached::Invalidation;
use caller::Caller;
use endpoint::Unserved;
pub use endpoint::host;
use error::GatewayError;
pub use method_request::parse_query;
use method_request::{About, Bodies, MethodRequest};
use stage::{Found, Stage};
pub use trace::{Step, Trace};
use validation::Validated;

/// Where a request came from and where it arrived.
#[derive(Debug, Clone)]
pub struct Connection {
    /// The client's address.
    pub client: SocketAddr,
    /// Our own.
    pub local: SocketAddr,
    /// What was agreed upon, where it is in TLS.
    pub tls: Option<Arc<Session>>,
    /// What a trusted proxy says of it, where it is one's.
    pub proxied: Option<Proxied>,
}

/// What a trusted proxy says of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Proxied {
    /// The proxy's own address.
    pub peer: IpAddr,
    /// What the client speaks, if it says so.
    pub scheme: Option<&'static str>,
    /// The port that the client called, if it says so.
    pub port: Option<u16>,
}

impl Connection {
    /// Who is at the other end: the client, or the proxy nearest to us.
    pub fn peer(&self) -> IpAddr {
        self.proxied.map_or(self.client.ip(), |proxied| proxied.peer)
    }

    /// `http` or `https`, as the client speaks.
    pub fn scheme(&self) -> &'static str {
        let own = if self.tls.is_some() { "https" } else { "http" };
        self.proxied.and_then(|proxied| proxied.scheme).unwrap_or(own)
    }

    /// The port that the client called.
    pub fn port(&self) -> u16 {
        self.proxied.and_then(|proxied| proxied.port).unwrap_or(self.local.port())
    }
}

/// One request with the route that takes it.
pub struct Matched<'g> {
    route: &'g Route,
    parameters: Vec<(String, String)>,
    // That of a route to a function, once it was looked for: what is decided by
    // its kind holds for the version that runs.
    function: OnceLock<Result<Resolved, String>>,
    // How long its code was waited for, of the time that the integration has.
    waited: Duration,
}

/// What is known of a request before anything is read: its ids and times, and
/// where it belongs.
pub struct Exchange<'g> {
    /// The invocation's id, and a REST API's request id.
    pub id: Uuid,
    /// The id that clients and log lines see.
    pub request_id: String,
    /// When it arrived.
    pub time: SystemTime,
    // The client's own, or one that is made when somebody asks.
    trace_id: OnceLock<String>,
    /// Its stage.
    pub stage: Stage<'g>,
    /// The path below what leads to the stage, or why it leads to none.
    pub path: Result<&'g str, Unserved>,
    /// Which of its domain's base paths led there, where it is to a domain.
    pub base_path: Option<&'g str>,
    /// Who calls, where the route has an authorizer.
    pub caller: OnceLock<Caller>,
    /// The caller's API key, where the route asks for one.
    pub api_key: OnceLock<Arc<ApiKey>>,
}

impl<'g> Exchange<'g> {
    /// That of a request whose head is `parts`.
    pub fn new(gateway: &'g Gateway, connection: &Connection, parts: &'g Parts) -> Self {
        let kind = gateway.config.kind;
        let id = Uuid::new_v4();
        let domain = endpoint::domain(gateway, connection, parts);
        let Found { stage, path, base_path } = Stage::find(gateway, domain, parts.uri.path(), id);
        let time = SystemTime::now();
        let request_id = match kind {
            ApiKind::Rest => id_text(id),
            // That of Lambda, there being nothing else.
            ApiKind::Http if gateway.url.is_some() => id_text(id),
            ApiKind::Http => extended_id(id),
        };
        let own_trace = parts.headers.get(TRACE_HEADER).and_then(|value| value.to_str().ok());
        Self {
            id,
            request_id,
            time,
            trace_id: own_trace.map(|own| own.to_owned().into()).unwrap_or_default(),
            stage,
            path,
            base_path,
            caller: OnceLock::new(),
            api_key: OnceLock::new(),
        }
    }

    /// The trace's id, the client's own if it sent one.
    pub fn trace_id(&self) -> &str {
        self.trace_id.get_or_init(|| trace_id(self.id, self.time))
    }
}

/// What becomes known of a request on its way, for the access log.
#[derive(Default)]
pub struct Course<'g> {
    /// The route that took it.
    pub route: Option<&'g Route>,
    /// The integration that was called.
    pub integration: Option<Integrated>,
    /// Why the gateway itself answered.
    pub error: Option<GatewayError>,
}

/// What is known of an integration that was called.
pub struct Integrated {
    /// How long it took, if that was asked.
    pub latency: Option<Duration>,
    /// The status of the service: the endpoint's, or Lambda's own.
    pub service_status: Option<StatusCode>,
    /// The status that the function answered.
    pub own_status: Option<StatusCode>,
}

impl Integrated {
    fn of(
        answer: &Result<IntegrationAnswer, IntegrationError>,
        latency: Option<Duration>,
        request: &MethodRequest<'_>,
    ) -> Self {
        let status = match (&request.matched.route.target, answer) {
            (_, Err(_)) | (Target::Mock(_), _) => None,
            // Of a function that speaks HTTP, Lambda's own.
            (Target::Function { .. }, Ok(IntegrationAnswer::Http { .. })) => Some(StatusCode::OK),
            (_, Ok(IntegrationAnswer::Http { status, .. })) => Some(*status),
            (Target::Mapped(mapped), _) if mapped.target == MappedTarget::Mock => None,
            // A function that was invoked, whatever it answered.
            (_, Ok(IntegrationAnswer::Payload(_))) => Some(StatusCode::OK),
        };
        Self { latency, service_status: status, own_status: status }
    }
}

const TRACE_ID: &str = "x-amzn-trace-id";
const TRACE_HEADER: HeaderName = HeaderName::from_static(TRACE_ID);

// By which clients name a request.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const EXTENDED_ID: HeaderName = HeaderName::from_static("x-amz-apigw-id");
const HTTP_REQUEST_ID: HeaderName = HeaderName::from_static("apigw-requestid");

/// An id as it is usually written, with hyphens.
fn id_text(id: Uuid) -> String {
    id.hyphenated().encode_lower(&mut Uuid::encode_buffer()).to_owned()
}

/// An id in the form of `JKJaXmPLvHcESHA=`.
pub fn extended_id(id: Uuid) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    STANDARD.encode(&id.as_bytes()[..11])
}

/// X-Ray's `Root=1-TIME-ID`.
fn trace_id(id: Uuid, time: SystemTime) -> String {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    // Eight digits, until 2106, and the first ones of the id.
    let digits = u128::from(seconds) << 96 | id.as_u128() >> 32;
    let mut buffer = Uuid::encode_buffer();
    let (time, id) = Uuid::from_u128(digits).simple().encode_lower(&mut buffer).split_at(8);
    ["Root=1-", time, "-", id].concat()
}

/// Answers a request. Never fails: what goes wrong is part of the answer.
pub async fn serve<B>(
    gateway: &Gateway,
    connection: &Connection,
    parts: &mut Parts,
    body: B,
    trace: &mut Trace,
) -> Response<AnswerBody>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::error::Error,
{
    endpoint::settle_host(parts);
    let (own, served) = match function_url::find(gateway, connection, parts) {
        Ok(own) => (own, Ok(())),
        Err(reason) => (None, Err(reason)),
    };
    answer(own.as_deref().unwrap_or(gateway), connection, (parts, served), body, trace).await
}

/// Answers a request to an API, where it is for one.
async fn answer<B>(
    gateway: &Gateway,
    connection: &Connection,
    (parts, served): (&Parts, Result<(), Unserved>),
    body: B,
    trace: &mut Trace,
) -> Response<AnswerBody>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::error::Error,
{
    let started = Instant::now();
    let connection = client::resolve(connection, &gateway.config.trusted_proxies, &parts.headers);
    let mut exchange = Exchange::new(gateway, &connection, parts);
    if let Err(reason) = served {
        exchange.path = Err(reason);
    }

    let mut logged = Trace::of_stage(&exchange);
    // A test's steps are its own, and nobody's access is logged.
    let (trace, access_log) = match trace {
        Trace::Off => (&mut logged, exchange.stage.access_log()),
        tested => (tested, None),
    };

    let about = About {
        gateway,
        connection: &connection,
        exchange: &exchange,
        route: None,
        method: &parts.method,
        version: parts.version,
        path: parts.uri.path(),
        headers: &parts.headers,
    };
    let mut course = Course::default();
    let preflight = || exchange.path.ok().and_then(|path| cors::preflight(gateway, parts, path));
    let outcome = match filter::check(&about).await {
        Err(refused) => Err(refused),
        Ok(()) => match preflight() {
            Some(answer) => resource_policy::check(&about, false).map(|()| answer),
            None => run(&about, parts, body, &mut course, trace).await,
        },
    };
    let about = About { route: course.route, ..about };
    let mut response = outcome.unwrap_or_else(|error| {
        if exchange.stage.logging() != LoggingLevel::Off {
            error.log(&exchange.request_id, course.route.map_or("-", |route| &route.key));
        }
        trace.note("gateway response", |_| error.to_string());
        let response = gateway_response::respond(&error, &about);
        course.error = Some(error);
        response.map(AnswerBody::from)
    });
    cors::finish(gateway, parts, &mut response);
    identify(gateway, &exchange, &mut response);
    trace.response("method response", &response);
    let access = access::record(&about, &course, access_log, response.status(), started);
    let body = response.body_mut();
    *body = access::log(access, std::mem::take(body));
    response
}

async fn run<'g, B>(
    about: &About<'g>,
    parts: &Parts,
    body: B,
    course: &mut Course<'g>,
    trace: &mut Trace,
) -> Result<Response<AnswerBody>, GatewayError>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::error::Error,
{
    let About { gateway, connection, exchange, .. } = *about;
    let mut matched = Matched::find(gateway, parts, exchange)?;
    course.route = Some(matched.route);
    // Of those who sign, both policies are asked once it is known who they are.
    if !matched.route.is_signed() {
        resource_policy::check(about, matched.route.authorizer.is_some())?;
    }
    trace.matched(&matched, &exchange.stage);
    usage_plan::admit(about, matched.route, trace).await?;
    matched.wait_for_code(gateway, &exchange.stage).await?;
    // What is looked at, or kept, is read.
    let cache = cached::of(matched.route, exchange.stage.name, &parts.method);
    let passes = function_request::passes(gateway, &exchange.stage, &matched);
    let streams = passes && cache.is_none() && !matches!(trace, Trace::On(_));
    let bodies = Bodies { passes, streams };
    let request =
        MethodRequest::read(gateway, connection, exchange, matched, parts, body, bodies).await?;
    trace.method_request(&request);
    authorizer::authorize(&request, trace).await?;
    usage_plan::admit_authorized(&request, trace).await?;
    let request = Validated::check(&request)?;
    trace.validated(&request);
    let mut response = match cache {
        None => integrate(&request, course, trace).await?,
        Some(cache) => Box::pin(from_cache(&request, cache, course, trace)).await?,
    };
    if let Some((recorder, path, answer)) =
        recorded(gateway, exchange, request.matched.route, &response)
    {
        recorder.keep(parts.method.as_str(), path, answer).await;
    }
    compression::compress(&request, &mut response).await;
    Ok(response)
}

/// The answer that the stage keeps, or one that is made now.
async fn from_cache(
    request: &Validated<'_, '_>,
    cache: &RouteCache,
    course: &mut Course<'_>,
    trace: &mut Trace,
) -> Result<Response<AnswerBody>, GatewayError> {
    let key = cached::key(request);
    let invalidation = cached::invalidation(request, cache)?;
    if invalidation == Invalidation::Granted {
        cache.cache.forget(&key).await;
    }
    let mut made = None;
    let make = async {
        let outcome = integrate(request, course, trace).await;
        let kept = outcome.as_ref().ok().and_then(|response| cached::keep(response, cache));
        made = Some(outcome);
        kept
    };
    let kept = cache.cache.get_or(key, make).await;
    let mut response = match (made, kept) {
        (Some(outcome), _) => outcome?,
        (None, Some(kept)) => {
            trace.note("cache", |_| "the stage has kept an answer".to_owned());
            cached::response(&kept)
        }
        // Whoever asked first got what is not to be kept.
        (None, None) => integrate(request, course, trace).await?,
    };
    if invalidation == Invalidation::Ignored {
        cached::warn(&mut response);
    }
    Ok(response)
}

/// From the validated request to the method response.
async fn integrate(
    request: &Validated<'_, '_>,
    course: &mut Course<'_>,
    trace: &mut Trace,
) -> Result<Response<AnswerBody>, GatewayError> {
    let integration_request = integration_request::build(request, trace)?;
    trace.integration_request(&integration_request, request);
    // Reading the clock costs as much as finding the route.
    let is_asked = request.exchange.stage.access_log().is_some() || !matches!(trace, Trace::Off);
    let called = is_asked.then(Instant::now);
    let answer = integration::call(integration_request, request.matched.time_left()).await;
    let latency = called.map(|called| called.elapsed());
    let integration = course.integration.insert(Integrated::of(&answer, latency, request));
    let answer = integration_response::Answered::of(answer, request)?;
    trace.integration_answer(&answer.answer, latency);
    let response = integration_response::into_response(answer, request, trace)?;
    if let Target::Function { .. } = request.matched.route.target {
        integration.own_status = Some(response.status());
    }
    Ok(response)
}

/// What is to be kept where the answer is the recorded upstream's.
fn recorded<'g>(
    gateway: &'g Gateway,
    exchange: &Exchange<'g>,
    route: &Route,
    response: &Response<AnswerBody>,
) -> Option<(&'g Arc<Recorder>, &'g str, Recorded)> {
    let recording = gateway.recording.as_ref()?;
    if !std::ptr::eq(route, &raw const recording.route) {
        return None;
    }
    let answer = Recorded {
        status: response.status(),
        headers: response.headers().clone(),
        body: response.body().whole()?.clone(),
    };
    Some((&recording.recorder, exchange.path.ok()?, answer))
}

impl<'g> Matched<'g> {
    fn new(route: &'g Route, parameters: Vec<(String, String)>) -> Self {
        Self { route, parameters, function: OnceLock::new(), waited: Duration::ZERO }
    }

    /// The function that its target's name means, the same for all who ask.
    fn function(
        &self,
        gateway: &Gateway,
        stage: &Stage<'_>,
        name: &FunctionName,
    ) -> Result<&Resolved, &str> {
        let found =
            self.function.get_or_init(|| integration_request::function(gateway, stage, name));
        found.as_ref().map_err(String::as_str)
    }

    /// Waits where the code of the target is still being compiled, which tells
    /// how the body is read: no longer than the integration may take.
    async fn wait_for_code(
        &mut self,
        gateway: &Gateway,
        stage: &Stage<'_>,
    ) -> Result<(), GatewayError> {
        let Target::Function { name, .. } = &self.route.target else { return Ok(()) };
        let limit = self.route.timeout;
        let code = match self.function(gateway, stage, name) {
            Ok(resolved) if !resolved.function.code.is_settled() => &resolved.function.code,
            _ => return Ok(()),
        };
        let begun = Instant::now();
        let settled = tokio::time::timeout(limit, code.settled()).await;
        settled.map_err(|_| GatewayError::IntegrationTimeout(limit))?;
        self.waited = begun.elapsed();
        Ok(())
    }

    /// How long the integration may still take.
    fn time_left(&self) -> Duration {
        self.route.timeout.saturating_sub(self.waited)
    }

    /// Looks for the route that takes a request.
    ///
    /// # Errors
    /// Where there is none, or the target is too long.
    pub fn find(
        gateway: &'g Gateway,
        parts: &Parts,
        exchange: &Exchange<'_>,
    ) -> Result<Self, GatewayError> {
        let max = gateway.config.limits.uri_bytes_max;
        if parts.uri.path_and_query().map_or(0, |text| text.as_str().len()) > max {
            return Err(GatewayError::UriTooLong { max });
        }
        let path = exchange.path?;
        match gateway.router.find(&parts.method, path) {
            Some(found) => Ok(Self::new(found.route, found.parameters)),
            None => {
                let recording = gateway.recording.as_ref().ok_or(GatewayError::NoRoute)?;
                let rest = percent_decode_str(path.trim_start_matches('/')).decode_utf8_lossy();
                let parameters = vec![(REST.to_owned(), rest.into_owned())];
                Ok(Self::new(&recording.route, parameters))
            }
        }
    }
}

/// The headers by which a client names a request when it reports a problem.
fn identify(gateway: &Gateway, exchange: &Exchange<'_>, response: &mut Response<AnswerBody>) {
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: Result<HeaderValue, InvalidHeaderValue>| {
        if let Ok(value) = value {
            headers.insert(name, value);
        }
    };
    let request_id = HeaderValue::from_str(&exchange.request_id);
    match gateway.config.kind {
        _ if gateway.url.is_some() => {
            set(REQUEST_ID, request_id);
            set(TRACE_HEADER, HeaderValue::from_str(exchange.trace_id()));
        }
        ApiKind::Rest => {
            set(REQUEST_ID, request_id);
            set(EXTENDED_ID, HeaderValue::try_from(extended_id(exchange.id)));
        }
        ApiKind::Http => set(HTTP_REQUEST_ID, request_id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trace_ids_have_the_time_and_most_of_an_id() {
        let id = Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(0x0a1b_2c3d);
        assert_eq!(trace_id(id, time), "Root=1-0a1b2c3d-0123456789abcdef01234567");
    }
}

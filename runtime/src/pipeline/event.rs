//! The Lambda proxy event of both formats, exactly as API Gateway builds it.
//!
//! Format 1.0: <https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html>
//! Format 2.0: <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>

use std::{borrow::Cow, collections::BTreeMap, time::SystemTime};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderName, header};
use percent_encoding::percent_decode_str;
use serde::{Serialize, Serializer, ser::SerializeMap as _};
use serde_json::json;
use time::{OffsetDateTime, macros::format_description};

use super::{
    TRACE_ID,
    authorizer::method_arn,
    caller::Caller,
    content, extended_id,
    method_request::{About, MethodRequest, header_text},
    stage,
};
use crate::{
    config::{ApiKind, LambdaInput, PayloadFormat},
    gateway::{ACCOUNT_ID, Target},
    short_id::short_id,
    tls::ClientCertificate,
};

/// The event's JSON text for the route's function.
pub fn text(request: &MethodRequest<'_>) -> String {
    let event = match request.matched.route.target {
        Target::Function { payload: PayloadFormat::V1, .. } => v1(request, body(request)),
        _ => v2(request, body(request)),
    };
    // Every part is text, a number or a map with text for keys.
    event.unwrap_or_default()
}

/// An object whose members keep their order.
struct Members<V>(Vec<(String, V)>);

impl<V: Serialize> Serialize for Members<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<V> Members<V> {
    /// Nothing is `null` in format 1.0 and absent in 2.0.
    fn some(self) -> Option<Self> {
        (!self.0.is_empty()).then_some(self)
    }
}

/// Pairs with the same name become one member of all their values.
fn grouped<'v>(
    pairs: impl Iterator<Item = (&'v str, Cow<'v, str>)>,
) -> Vec<(&'v str, Vec<Cow<'v, str>>)> {
    let mut groups: Vec<(&str, Vec<Cow<'_, str>>)> = Vec::new();
    let mut places: std::collections::HashMap<&str, usize> = std::collections::HashMap::new();
    for (name, value) in pairs {
        let place = *places.entry(name).or_insert(groups.len());
        match groups.get_mut(place) {
            Some((_, values)) => values.push(value),
            None => groups.push((name, vec![value])),
        }
    }
    groups
}

fn last(groups: &[(&str, Vec<Cow<'_, str>>)], name: impl Fn(&str) -> String) -> Members<String> {
    let value =
        |values: &[Cow<'_, str>]| values.last().map(ToString::to_string).unwrap_or_default();
    Members(groups.iter().map(|(key, values)| (name(key), value(values))).collect())
}

fn all<'v>(
    groups: Vec<(&'v str, Vec<Cow<'v, str>>)>,
    name: impl Fn(&str) -> String,
) -> Members<Vec<Cow<'v, str>>> {
    Members(groups.into_iter().map(|(key, values)| (name(key), values)).collect())
}

/// Who asked, and by which way: headers that the service adds.
pub fn forwarding_headers<'v>(request: &'v MethodRequest<'_>) -> [(&'static str, Cow<'v, str>); 4] {
    let before = request.headers.get_all("x-forwarded-for").iter();
    let mut hops: Vec<Cow<'_, str>> =
        before.map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
    hops.push(request.connection.peer().to_string().into());
    let forwarded_for = hops.join(", ");
    [
        (TRACE_ID, Cow::Borrowed(request.exchange.trace_id())),
        ("x-forwarded-for", Cow::Owned(forwarded_for)),
        ("x-forwarded-port", Cow::Owned(request.connection.port().to_string())),
        ("x-forwarded-proto", Cow::Borrowed(request.connection.scheme())),
    ]
}

/// The client's headers with those that the service adds.
fn headers<'v>(request: &'v MethodRequest<'_>) -> Vec<(&'v str, Cow<'v, str>)> {
    let ours = forwarding_headers(request);
    let mut headers: Vec<(&str, Cow<'_, str>)> = request
        .headers
        .iter()
        .filter(|(name, _)| !ours.iter().any(|(own, _)| own == name) && !HOP_BY_HOP.contains(name))
        .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())))
        .collect();
    headers.extend(ours);
    if request.headers.get(header::HOST).is_none() {
        headers.push(("host", Cow::Owned(request.domain_name())));
    }
    headers
}

/// Headers of one connection, which neither an integration nor a client sees.
pub const HOP_BY_HOP: [HeaderName; 6] = [
    header::CONNECTION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

/// The body as an event carries it, and whether that is base64.
type EventBody<'v> = (Option<Cow<'v, str>>, bool);

fn body<'v>(request: &'v MethodRequest<'_>) -> EventBody<'v> {
    if request.body.is_empty() {
        return (None, false);
    }
    match std::str::from_utf8(&request.body) {
        Ok(text) if content::is_text(request) => (Some(Cow::Borrowed(text)), false),
        _ => (Some(Cow::Owned(STANDARD.encode(&request.body))), true),
    }
}

/// `09/Apr/2015:12:34:56 +0000` and milliseconds since the epoch.
fn times(time: SystemTime) -> (String, u64) {
    let format =
        format_description!("[day]/[month repr:short]/[year]:[hour]:[minute]:[second] +0000");
    let text = OffsetDateTime::from(time).format(&format).unwrap_or_default();
    let millis = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
    (text, u64::try_from(millis).unwrap_or(u64::MAX))
}

/// The first label of a host name; the whole of an address.
fn domain_prefix(domain: &str) -> &str {
    if domain.starts_with('[') || domain.parse::<std::net::IpAddr>().is_ok() {
        return domain;
    }
    domain.split('.').next().unwrap_or(domain)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EventV1<'r> {
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'static str>,
    resource: &'r str,
    path: Cow<'r, str>,
    http_method: &'r str,
    headers: Option<Members<String>>,
    multi_value_headers: Option<Members<Vec<Cow<'r, str>>>>,
    query_string_parameters: Option<Members<String>>,
    multi_value_query_string_parameters: Option<Members<Vec<Cow<'r, str>>>>,
    path_parameters: Option<Members<&'r str>>,
    stage_variables: Option<&'r BTreeMap<String, String>>,
    request_context: ContextV1<'r>,
    body: Option<Cow<'r, str>>,
    is_base64_encoded: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ContextV1<'r> {
    account_id: &'static str,
    api_id: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorizer: Option<serde_json::Value>,
    domain_name: &'r str,
    domain_prefix: &'r str,
    extended_request_id: String,
    http_method: &'r str,
    identity: IdentityV1<'r>,
    path: &'r str,
    protocol: &'static str,
    request_id: &'r str,
    request_time: String,
    request_time_epoch: u64,
    resource_id: &'r str,
    resource_path: &'r str,
    stage: &'r str,
    deployment_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IdentityV1<'r> {
    access_key: Option<&'r str>,
    account_id: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_key: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_key_id: Option<&'r str>,
    caller: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_cert: Option<&'r ClientCertificate>,
    cognito_authentication_provider: (),
    cognito_authentication_type: (),
    cognito_identity_id: (),
    cognito_identity_pool_id: (),
    principal_org_id: (),
    source_ip: String,
    user: Option<&'r str>,
    user_agent: Option<Cow<'r, str>>,
    user_arn: Option<&'r str>,
}

fn context_v1<'r>(about: &About<'r>, domain: &'r str) -> ContextV1<'r> {
    let kind = about.gateway.config.kind;
    let (request_time, request_time_epoch) = times(about.exchange.time);
    let caller = about.exchange.caller.get();
    let user = caller.and_then(Caller::iam);
    ContextV1 {
        account_id: ACCOUNT_ID,
        api_id: &about.gateway.config.name,
        authorizer: match caller.and_then(Caller::v1) {
            Some(own) => Some(own),
            // What an HTTP API has where there is none.
            None => (kind == ApiKind::Http).then(|| json!({ "claims": null, "scopes": null })),
        },
        domain_name: domain,
        domain_prefix: domain_prefix(domain),
        extended_request_id: extended_id(about.exchange.id),
        http_method: about.method.as_str(),
        identity: IdentityV1 {
            access_key: user.map(|user| user.credential.access_key_id.as_str()),
            account_id: user.map(|_| ACCOUNT_ID),
            api_key: about.exchange.api_key.get().map(|key| key.value.reveal()),
            api_key_id: about.exchange.api_key.get().map(|key| key.id.as_str()),
            caller: user.map(|user| user.id.as_str()),
            client_cert: client_certificate(about),
            cognito_authentication_provider: (),
            cognito_authentication_type: (),
            cognito_identity_id: (),
            cognito_identity_pool_id: (),
            principal_org_id: (),
            source_ip: about.connection.client.ip().to_string(),
            user: user.map(|user| user.id.as_str()),
            user_agent: header_text(about.headers, header::USER_AGENT),
            user_arn: user.map(|user| user.arn.as_str()),
        },
        path: about.path,
        protocol: about.protocol(),
        request_id: &about.exchange.request_id,
        request_time,
        request_time_epoch,
        resource_id: about.route.map_or("", |route| &route.resource_id),
        resource_path: about.route.map_or("", |route| &route.resource),
        stage: about.exchange.stage.name,
        deployment_id: short_id::<6>(&about.gateway.config.name),
    }
}

/// The client's own, where it had to show one.
fn client_certificate<'r>(about: &About<'r>) -> Option<&'r ClientCertificate> {
    about.connection.tls.as_ref()?.client_certificate.as_ref()
}

/// The `requestContext` of the route's event, with what else an event says
/// beside the request itself, as JSON of ASCII.
pub fn request_context(request: &MethodRequest<'_>) -> String {
    let domain = request.domain_name();
    let context = match request.matched.route.target {
        Target::Function { payload: PayloadFormat::V1, .. } => {
            serde_json::to_value(context_v1(&request.about(), &domain))
        }
        _ => serde_json::to_value(context_v2(request, &domain)),
    };
    // Every part is text, a number or a map with text for keys.
    let mut context = context.unwrap_or_default();
    if !request.matched.parameters.is_empty() {
        let parameters = request.matched.parameters.iter().cloned();
        context["pathParameters"] = parameters
            .map(|(name, value)| (name, value.into()))
            .collect::<serde_json::Map<_, _>>()
            .into();
    }
    if let Some(variables) = stage_variables(request) {
        context["stageVariables"] = json!(variables);
    }
    crate::sandbox::ascii_json(&context)
}

/// What a Lambda authorizer is asked with; `identity` are its sources' values.
///
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-input.html>
pub fn for_authorizer(
    request: &MethodRequest<'_>,
    input: &LambdaInput,
    identity: &[String],
) -> String {
    let arn = method_arn(request);
    let LambdaInput::Request { payload, .. } = input else {
        let token = identity.first();
        let event = json!({ "type": "TOKEN", "methodArn": arn, "authorizationToken": token });
        return event.to_string();
    };
    let nothing = (None, false);
    let event = match payload {
        PayloadFormat::V1 => v1(request, nothing),
        PayloadFormat::V2 => v2(request, nothing),
    };
    let event: Option<serde_json::Value> =
        event.ok().and_then(|text| serde_json::from_str(&text).ok());
    let Some(serde_json::Value::Object(mut event)) = event else { return String::new() };
    event.remove("body");
    event.remove("isBase64Encoded");
    let mut own = serde_json::Map::new();
    own.extend(event.remove("version").map(|version| ("version".to_owned(), version)));
    own.insert("type".to_owned(), "REQUEST".into());
    match (payload, request.kind()) {
        (PayloadFormat::V2, _) => {
            own.insert("routeArn".to_owned(), arn.into());
            own.insert("identitySource".to_owned(), json!(identity));
        }
        (PayloadFormat::V1, ApiKind::Http) => {
            own.insert("methodArn".to_owned(), arn.into());
            own.insert("identitySource".to_owned(), identity.join(",").into());
            own.insert("authorizationToken".to_owned(), identity.join(",").into());
        }
        (PayloadFormat::V1, ApiKind::Rest) => {
            own.insert("methodArn".to_owned(), arn.into());
        }
    }
    own.append(&mut event);
    serde_json::Value::Object(own).to_string()
}

/// `$context` of mapping templates: what a function knows as its event's
/// `requestContext`, and the trace's id.
pub fn template_context(about: &About<'_>) -> serde_json::Map<String, serde_json::Value> {
    let context = serde_json::to_value(context_v1(about, &about.domain_name()));
    let mut context = match context {
        Ok(serde_json::Value::Object(context)) => context,
        _ => serde_json::Map::new(),
    };
    context.insert("xrayTraceId".to_owned(), about.exchange.trace_id().into());
    if let Some(base_path) = about.exchange.base_path {
        context.insert("customDomain".to_owned(), json!({ "basePathMatched": base_path }));
    }
    if let Some(is_canary) = about.exchange.stage.is_canary {
        context.insert("isCanaryRequest".to_owned(), is_canary.into());
    }
    context
}

/// The headers of a request as mapping templates see them.
pub fn template_headers(request: &MethodRequest<'_>) -> Vec<(String, String)> {
    headers(request)
        .into_iter()
        .map(|(name, value)| (canonical(name), value.into_owned()))
        .collect()
}

fn v1(
    request: &MethodRequest<'_>,
    (body, is_base64_encoded): EventBody<'_>,
) -> serde_json::Result<String> {
    let route = request.matched.route;
    let kind = request.kind();
    let headers = grouped(headers(request).into_iter());
    let query = grouped(
        request.query.iter().map(|(name, value)| (name.as_str(), Cow::Borrowed(value.as_str()))),
    );
    let domain = request.domain_name();
    let path = match kind {
        // Without the stage's prefix, which the context's path has; a domain's
        // base path stays.
        ApiKind::Rest if request.exchange.base_path.is_none() => {
            Cow::Borrowed(request.exchange.path.unwrap_or(request.path))
        }
        ApiKind::Rest => Cow::Borrowed(request.path),
        ApiKind::Http => percent_decode_str(request.path).decode_utf8_lossy(),
    };
    let event = EventV1 {
        version: (kind == ApiKind::Http).then_some("1.0"),
        resource: &route.resource,
        path,
        http_method: request.method.as_str(),
        headers: last(&headers, canonical).some(),
        multi_value_headers: all(headers, canonical).some(),
        query_string_parameters: last(&query, str::to_owned).some(),
        multi_value_query_string_parameters: all(query, str::to_owned).some(),
        path_parameters: parameters(request),
        stage_variables: stage_variables(request),
        request_context: context_v1(&request.about(), &domain),
        body,
        is_base64_encoded,
    };
    serde_json::to_string(&event)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EventV2<'r> {
    version: &'static str,
    route_key: &'r str,
    raw_path: Cow<'r, str>,
    raw_query_string: &'r str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cookies: Vec<String>,
    headers: Members<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    query_string_parameters: Option<Members<String>>,
    request_context: ContextV2<'r>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_parameters: Option<Members<&'r str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stage_variables: Option<&'r BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Cow<'r, str>>,
    is_base64_encoded: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ContextV2<'r> {
    account_id: &'static str,
    api_id: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    authentication: Option<AuthenticationV2<'r>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorizer: Option<serde_json::Value>,
    domain_name: &'r str,
    domain_prefix: &'r str,
    http: HttpV2<'r>,
    request_id: &'r str,
    route_key: &'r str,
    stage: &'r str,
    time: String,
    time_epoch: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AuthenticationV2<'r> {
    client_cert: &'r ClientCertificate,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HttpV2<'r> {
    method: &'r str,
    path: Cow<'r, str>,
    protocol: &'static str,
    source_ip: String,
    user_agent: Cow<'r, str>,
}

fn v2(
    request: &MethodRequest<'_>,
    (body, is_base64_encoded): EventBody<'_>,
) -> serde_json::Result<String> {
    let route = request.matched.route;
    let cookies: Vec<String> = request
        .headers
        .get_all(header::COOKIE)
        .iter()
        .flat_map(|value| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            value.split("; ").map(str::to_owned).collect::<Vec<_>>()
        })
        .filter(|cookie| !cookie.is_empty())
        .collect();
    let headers = headers(request).into_iter().filter(|(name, _)| *name != header::COOKIE.as_str());
    let query =
        request.query.iter().map(|(name, value)| (name.as_str(), Cow::Borrowed(value.as_str())));
    let domain = request.domain_name();
    let event = EventV2 {
        version: "2.0",
        route_key: &route.key,
        raw_path: decoded_path(request).into(),
        raw_query_string: request.raw_query,
        cookies,
        headers: joined(grouped(headers)),
        query_string_parameters: joined(grouped(query)).some(),
        request_context: context_v2(request, &domain),
        path_parameters: parameters(request),
        stage_variables: stage_variables(request),
        body,
        is_base64_encoded,
    };
    serde_json::to_string(&event)
}

/// The path of format 2.0: at a domain it begins with the stage, whatever base
/// path the client wrote.
fn stage_path<'r>(request: &'r MethodRequest<'_>) -> Cow<'r, str> {
    match (request.exchange.base_path, request.exchange.path) {
        (Some(_), Ok(below)) if request.exchange.stage.name == stage::DEFAULT => below.into(),
        (Some(_), Ok(below)) => format!("/{}{below}", request.exchange.stage.name).into(),
        _ => request.path.into(),
    }
}

/// The service decodes the path of this format, to its users' surprise.
fn decoded_path(request: &MethodRequest<'_>) -> String {
    percent_decode_str(&stage_path(request)).decode_utf8_lossy().into_owned()
}

fn context_v2<'r>(request: &'r MethodRequest<'_>, domain: &'r str) -> ContextV2<'r> {
    let (time, time_epoch) = times(request.exchange.time);
    let certificate =
        request.connection.tls.as_ref().and_then(|tls| tls.client_certificate.as_ref());
    let caller = request.exchange.caller.get();
    let account_id = match &request.gateway.url {
        // What Lambda says of callers that it does not know.
        Some(_) if caller.is_none() => "anonymous",
        _ => ACCOUNT_ID,
    };
    ContextV2 {
        account_id,
        api_id: &request.gateway.config.name,
        authentication: certificate.map(|client_cert| AuthenticationV2 { client_cert }),
        authorizer: caller.map(Caller::v2),
        domain_name: domain,
        domain_prefix: domain_prefix(domain),
        http: HttpV2 {
            method: request.method.as_str(),
            path: decoded_path(request).into(),
            protocol: request.protocol(),
            source_ip: request.connection.client.ip().to_string(),
            user_agent: request.header_text(header::USER_AGENT).unwrap_or_default(),
        },
        request_id: &request.exchange.request_id,
        route_key: &request.matched.route.key,
        stage: request.exchange.stage.name,
        time,
        time_epoch,
    }
}

fn joined(groups: Vec<(&str, Vec<Cow<'_, str>>)>) -> Members<String> {
    Members(groups.into_iter().map(|(name, values)| (name.to_owned(), values.join(","))).collect())
}

fn parameters<'r>(request: &'r MethodRequest<'_>) -> Option<Members<&'r str>> {
    let pairs = &request.matched.parameters;
    Members(pairs.iter().map(|(name, value)| (name.clone(), value.as_str())).collect()).some()
}

fn stage_variables<'r>(request: &'r MethodRequest<'_>) -> Option<&'r BTreeMap<String, String>> {
    Some(request.exchange.stage.variables).filter(|variables| !variables.is_empty())
}

/// Format 1.0 writes names as most clients do; what is not a well-known header
/// stays in lower case, as a client of HTTP/2 sends it.
fn canonical(name: &str) -> String {
    const KNOWN: [&str; 40] = [
        "accept",
        "accept-charset",
        "accept-encoding",
        "accept-language",
        "authorization",
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-length",
        "content-type",
        "cookie",
        "date",
        "dnt",
        "expect",
        "forwarded",
        "from",
        "host",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "max-forwards",
        "origin",
        "pragma",
        "proxy-authorization",
        "range",
        "referer",
        "upgrade-insecure-requests",
        "user-agent",
        "via",
        "x-amz-date",
        "x-amz-security-token",
        "x-amzn-trace-id",
        "x-api-key",
        "x-forwarded-for",
        "x-forwarded-port",
        "x-forwarded-proto",
        "x-requested-with",
    ];
    if KNOWN.binary_search(&name).is_err() {
        return name.to_owned();
    }
    let mut upper = true;
    name.chars()
        .map(|c| {
            let cased = if upper { c.to_ascii_uppercase() } else { c };
            upper = c == '-';
            cased
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_names_are_capitalised() {
        assert_eq!(canonical("x-amzn-trace-id"), "X-Amzn-Trace-Id");
        assert_eq!(canonical("accept"), "Accept");
        assert_eq!(canonical("x-requested-with"), "X-Requested-With");
        assert_eq!(canonical("authtoken"), "authtoken");
    }

    #[test]
    fn times_are_in_the_common_log_format() {
        let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(1_428_582_896_000);
        assert_eq!(times(time), ("09/Apr/2015:12:34:56 +0000".to_owned(), 1_428_582_896_000));
    }

    #[test]
    fn a_domain_s_prefix_is_its_first_label() {
        assert_eq!(domain_prefix("abc.execute-api.example"), "abc");
        assert_eq!(domain_prefix("127.0.0.1"), "127.0.0.1");
        assert_eq!(domain_prefix("[::1]"), "[::1]");
    }
}

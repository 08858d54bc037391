//! The Lambda proxy event of both formats, exactly as API Gateway builds it.
//!
//! Format 1.0: <https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html>
//! Format 2.0: <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>

use std::{borrow::Cow, net::IpAddr, time::SystemTime};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderName, header};
use indexmap::IndexMap;
use percent_encoding::percent_decode_str;
use time::OffsetDateTime;

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
    json::{self, Writer},
    tls::ClientCertificate,
};

/// Room for an event without its body, in bytes; most need less.
const EVENT_BYTES: usize = 3072;

/// The event's JSON text for the route's function.
pub fn text(request: &MethodRequest<'_>) -> String {
    let mut json = Writer::with_capacity(EVENT_BYTES + request.body.len());
    let (body, is_base64_encoded) = body(request);
    json.object(|json| {
        match request.matched.route.target {
            Target::Function { payload: PayloadFormat::V1, .. } => {
                if request.kind() == ApiKind::Http {
                    json.member("version").text("1.0");
                }
                v1(json, request);
                json.member("body").text_or_null(body.as_deref());
            }
            _ => {
                json.member("version").text("2.0");
                v2(json, request);
                // What is not there is `null` in format 1.0 and absent in 2.0.
                if let Some(body) = &body {
                    json.member("body").text(body);
                }
            }
        }
        json.member("isBase64Encoded").flag(is_base64_encoded);
    });
    json.finish()
}

/// The `requestContext` of the route's event, with what else an event says
/// beside the request itself, as JSON of ASCII.
pub fn request_context(request: &MethodRequest<'_>) -> String {
    let mut json = Writer::with_capacity(EVENT_BYTES);
    json.object(|json| {
        match request.matched.route.target {
            Target::Function { payload: PayloadFormat::V1, .. } => {
                context_v1(json, &request.about());
            }
            _ => context_v2(json, request),
        }
        parameters_v2(json, request);
    });
    json::ascii(json.finish())
}

/// `$context` of mapping templates: what a function knows as its event's
/// `requestContext`, and the trace's id.
pub fn template_context(about: &About<'_>) -> serde_json::Map<String, serde_json::Value> {
    let mut json = Writer::with_capacity(EVENT_BYTES);
    json.object(|json| {
        context_v1(json, about);
        json.member("xrayTraceId").text(about.exchange.trace_id());
        if let Some(base_path) = about.exchange.base_path {
            let domain = json.member("customDomain");
            domain.object(|json| json.member("basePathMatched").text(base_path));
        }
        if let Some(is_canary) = about.exchange.stage.is_canary {
            json.member("isCanaryRequest").flag(is_canary);
        }
    });
    // It is what has just been written.
    serde_json::from_str(&json.finish()).unwrap_or_default()
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
    let mut json = Writer::with_capacity(EVENT_BYTES);
    json.object(|json| match (input, request.kind()) {
        (LambdaInput::Request { payload: PayloadFormat::V2, .. }, _) => {
            json.member("version").text("2.0");
            json.member("type").text("REQUEST");
            json.member("routeArn").text(&arn);
            json.member("identitySource").value(identity);
            v2(json, request);
        }
        (LambdaInput::Request { payload: PayloadFormat::V1, .. }, ApiKind::Http) => {
            let identity = identity.join(",");
            json.member("version").text("1.0");
            json.member("type").text("REQUEST");
            json.member("methodArn").text(&arn);
            json.member("identitySource").text(&identity);
            json.member("authorizationToken").text(&identity);
            v1(json, request);
        }
        (LambdaInput::Request { payload: PayloadFormat::V1, .. }, ApiKind::Rest) => {
            json.member("type").text("REQUEST");
            json.member("methodArn").text(&arn);
            v1(json, request);
        }
        _ => {
            json.member("type").text("TOKEN");
            json.member("methodArn").text(&arn);
            let token = identity.first().map(String::as_str);
            json.member("authorizationToken").text_or_null(token);
        }
    });
    json.finish()
}

/// The headers of a request as mapping templates see them.
pub fn template_headers(request: &MethodRequest<'_>) -> Vec<(String, String)> {
    headers(request)
        .into_iter()
        .map(|(name, value)| (canonical(name).to_owned(), value.into_owned()))
        .collect()
}

/// Who asked, and by which way: headers that the service adds.
pub fn forwarding_headers<'v>(request: &'v MethodRequest<'_>) -> [(&'static str, Cow<'v, str>); 4] {
    let mut forwarded_for = String::new();
    for line in request.headers.get_all(const { HeaderName::from_static(FORWARDED_FOR) }) {
        forwarded_for.push_str(&String::from_utf8_lossy(line.as_bytes()));
        forwarded_for.push_str(", ");
    }
    forwarded_for.push_str(&address_text(request.connection.peer()));
    [
        (TRACE_ID, Cow::Borrowed(request.exchange.trace_id())),
        (FORWARDED_FOR, Cow::Owned(forwarded_for)),
        (FORWARDED_PORT, Cow::Owned(request.connection.port().to_string())),
        (FORWARDED_PROTO, Cow::Borrowed(request.connection.scheme())),
    ]
}

/// An address as it is usually written.
fn address_text(address: IpAddr) -> String {
    let IpAddr::V4(address) = address else { return address.to_string() };
    let mut text = String::with_capacity("255.255.255.255".len());
    for octet in address.octets() {
        if !text.is_empty() {
            text.push('.');
        }
        for unit in [100, 10, 1] {
            if octet >= unit || unit == 1 {
                text.push(digit(octet / unit));
            }
        }
    }
    text
}

/// The last decimal digit of a number.
fn digit(number: u8) -> char {
    char::from(b'0' + number % 10)
}

const FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED_PORT: &str = "x-forwarded-port";
const FORWARDED_PROTO: &str = "x-forwarded-proto";

/// A header line as events have it.
type Line<'v> = (&'v str, Cow<'v, str>);

/// The client's headers with those that the service adds; lines of one name
/// are neighbours.
fn headers<'v>(request: &'v MethodRequest<'_>) -> Vec<Line<'v>> {
    let mut lines = Vec::with_capacity(request.headers.len() + 5);
    for (name, value) in &*request.headers {
        let name = name.as_str();
        let is_own = matches!(name, TRACE_ID | FORWARDED_FOR | FORWARDED_PORT | FORWARDED_PROTO);
        if !is_own && !HOP_BY_HOP.contains(&name) {
            lines.push((name, String::from_utf8_lossy(value.as_bytes())));
        }
    }
    lines.extend(forwarding_headers(request));
    if !request.headers.contains_key(header::HOST) {
        lines.push((header::HOST.as_str(), request.domain_name()));
    }
    lines
}

/// Headers of one connection, which neither an integration nor a client sees.
pub const HOP_BY_HOP: [&str; 6] =
    ["connection", "te", "trailer", "transfer-encoding", "upgrade", "keep-alive"];

/// The values of lines, each name once.
fn by_name<'l, 'v>(lines: &'l [Line<'v>]) -> impl Iterator<Item = (&'v str, &'l [Line<'v>])> {
    let groups = lines.chunk_by(|(one, _), (other, _)| one == other);
    groups.filter_map(|group| Some((group.first()?.0, group)))
}

/// The values of a query, each name once.
fn grouped(pairs: &[(String, String)]) -> IndexMap<&str, Vec<&str>> {
    let mut groups: IndexMap<&str, Vec<&str>> = IndexMap::new();
    for (name, value) in pairs {
        groups.entry(name).or_default().push(value);
    }
    groups
}

/// The body as an event carries it, and whether that is base64.
fn body<'v>(request: &'v MethodRequest<'_>) -> (Option<Cow<'v, str>>, bool) {
    if request.body.is_empty() {
        return (None, false);
    }
    match std::str::from_utf8(&request.body) {
        Ok(text) if content::is_text(request) => (Some(Cow::Borrowed(text)), false),
        _ => (Some(Cow::Owned(STANDARD.encode(&request.body))), true),
    }
}

/// `09/Apr/2015:12:34:56 +0000`
fn common_log_time(time: SystemTime) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let time = OffsetDateTime::from(time);
    let month = MONTHS[usize::from(u8::from(time.month())) - 1];
    let (hour, minute, second) = time.to_hms();
    let mut text = String::with_capacity("09/Apr/2015:12:34:56 +0000".len());
    let two_digits = |text: &mut String, number: u8| {
        text.push(digit(number / 10));
        text.push(digit(number));
    };
    two_digits(&mut text, time.day());
    text.push('/');
    text.push_str(month);
    text.push('/');
    // Years have four digits.
    let year = time.year().unsigned_abs();
    for part in [year / 100, year % 100] {
        two_digits(&mut text, part as u8);
    }
    for part in [hour, minute, second] {
        text.push(':');
        two_digits(&mut text, part);
    }
    text.push_str(" +0000");
    text
}

/// Milliseconds since the epoch.
fn epoch_millis(time: SystemTime) -> u64 {
    let millis = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
    u64::try_from(millis).unwrap_or(u64::MAX)
}

/// The first label of a host name; the whole of an address.
fn domain_prefix(domain: &str) -> &str {
    if domain.starts_with('[') || domain.parse::<IpAddr>().is_ok() {
        return domain;
    }
    domain.split('.').next().unwrap_or(domain)
}

/// The members of format 1.0 between the version and the body.
fn v1(json: &mut Writer, request: &MethodRequest<'_>) {
    json.member("resource").text(&request.matched.route.resource);
    json.member("path").text(&path_v1(request));
    json.member("httpMethod").text(request.method.as_str());
    let mut lines = headers(request);
    for (name, _) in &mut lines {
        *name = canonical(name);
    }
    json.member("headers").object(|json| {
        for (name, values) in by_name(&lines) {
            json.entry(name).text_or_null(values.last().map(|(_, value)| &**value));
        }
    });
    json.member("multiValueHeaders").object(|json| {
        for (name, values) in by_name(&lines) {
            json.entry(name)
                .array(|json| values.iter().for_each(|(_, value)| json.item().text(value)));
        }
    });
    query_v1(json, &request.query);
    json.member("pathParameters");
    match &*request.matched.parameters {
        [] => json.null(),
        parameters => texts(json, parameters.iter().map(|(name, value)| (&**name, &**value))),
    }
    json.member("stageVariables");
    match request.exchange.stage.variables {
        none if none.is_empty() => json.null(),
        variables => texts(json, variables.iter().map(|(name, value)| (&**name, &**value))),
    }
    json.member("requestContext").object(|json| context_v1(json, &request.about()));
}

/// An object of texts.
fn texts<'v>(json: &mut Writer, members: impl Iterator<Item = (&'v str, &'v str)>) {
    json.object(|json| members.for_each(|(name, value)| json.entry(name).text(value)));
}

fn query_v1(json: &mut Writer, pairs: &[(String, String)]) {
    if pairs.is_empty() {
        json.member("queryStringParameters").null();
        json.member("multiValueQueryStringParameters").null();
        return;
    }
    let groups = grouped(pairs);
    json.member("queryStringParameters").object(|json| {
        for (name, values) in &groups {
            json.entry(name).text_or_null(values.last().copied());
        }
    });
    json.member("multiValueQueryStringParameters").object(|json| {
        for (name, values) in &groups {
            json.entry(name).array(|json| values.iter().for_each(|value| json.item().text(value)));
        }
    });
}

fn path_v1<'r>(request: &'r MethodRequest<'_>) -> Cow<'r, str> {
    match request.kind() {
        // Without the stage's prefix, which the context's path has; a domain's
        // base path stays.
        ApiKind::Rest if request.exchange.base_path.is_none() => {
            Cow::Borrowed(request.exchange.path.unwrap_or(request.path))
        }
        ApiKind::Rest => Cow::Borrowed(request.path),
        ApiKind::Http => percent_decode_str(request.path).decode_utf8_lossy(),
    }
}

/// The members of `requestContext` in format 1.0.
fn context_v1(json: &mut Writer, about: &About<'_>) {
    let exchange = about.exchange;
    let caller = exchange.caller.get();
    let domain = about.domain_name();
    json.member("accountId").text(ACCOUNT_ID);
    json.member("apiId").text(&about.gateway.config.name);
    if let Some(own) = caller.and_then(Caller::v1) {
        json.member("authorizer").value(&own);
    } else if about.gateway.config.kind == ApiKind::Http {
        json.member("authorizer").object(|json| {
            json.member("claims").null();
            json.member("scopes").null();
        });
    }
    json.member("domainName").text(&domain);
    json.member("domainPrefix").text(domain_prefix(&domain));
    json.member("extendedRequestId").text(&extended_id(exchange.id));
    json.member("httpMethod").text(about.method.as_str());
    json.member("identity").object(|json| identity_v1(json, about, caller));
    json.member("path").text(about.path);
    json.member("protocol").text(about.protocol());
    json.member("requestId").text(&exchange.request_id);
    json.member("requestTime").text(&common_log_time(exchange.time));
    json.member("requestTimeEpoch").number(epoch_millis(exchange.time));
    json.member("resourceId").text(about.route.map_or("", |route| &route.resource_id));
    json.member("resourcePath").text(about.route.map_or("", |route| &route.resource));
    json.member("stage").text(exchange.stage.name);
    json.member("deploymentId").text(&about.gateway.deployment_id);
}

fn identity_v1(json: &mut Writer, about: &About<'_>, caller: Option<&Caller>) {
    let user = caller.and_then(Caller::iam);
    let user_id = user.map(|user| user.id.as_str());
    let access_key = user.map(|user| user.credential.access_key_id.as_str());
    json.member("accessKey").text_or_null(access_key);
    json.member("accountId").text_or_null(user.map(|_| ACCOUNT_ID));
    if let Some(key) = about.exchange.api_key.get() {
        json.member("apiKey").text(key.value.reveal());
        json.member("apiKeyId").text(&key.id);
    }
    json.member("caller").text_or_null(user_id);
    if let Some(certificate) = client_certificate(about) {
        json.member("clientCert").value(certificate);
    }
    json.member("cognitoAuthenticationProvider").null();
    json.member("cognitoAuthenticationType").null();
    json.member("cognitoIdentityId").null();
    json.member("cognitoIdentityPoolId").null();
    json.member("principalOrgId").null();
    json.member("sourceIp").text(&address_text(about.connection.client.ip()));
    json.member("user").text_or_null(user_id);
    let user_agent = header_text(about.headers, header::USER_AGENT);
    json.member("userAgent").text_or_null(user_agent.as_deref());
    json.member("userArn").text_or_null(user.map(|user| user.arn.as_str()));
}

/// The client's own, where it had to show one.
fn client_certificate<'r>(about: &About<'r>) -> Option<&'r ClientCertificate> {
    about.connection.tls.as_ref()?.client_certificate.as_ref()
}

/// The members of format 2.0 between the version and the body.
fn v2(json: &mut Writer, request: &MethodRequest<'_>) {
    json.member("routeKey").text(&request.matched.route.key);
    json.member("rawPath").text(&path_v2(request));
    json.member("rawQueryString").text(request.raw_query);
    let (cookies, lines): (Vec<Line<'_>>, Vec<Line<'_>>) =
        headers(request).into_iter().partition(|(name, _)| *name == header::COOKIE.as_str());
    let mut cookies = cookies
        .iter()
        .flat_map(|(_, value)| value.split("; "))
        .filter(|cookie| !cookie.is_empty())
        .peekable();
    if cookies.peek().is_some() {
        json.member("cookies").array(|json| cookies.for_each(|cookie| json.item().text(cookie)));
    }
    json.member("headers").object(|json| {
        for (name, values) in by_name(&lines) {
            match values {
                [(_, value)] => json.entry(name).text(value),
                // Nobody knows any more where one ended.
                values => {
                    let values: Vec<&str> = values.iter().map(|(_, value)| &**value).collect();
                    json.entry(name).text(&values.join(","));
                }
            }
        }
    });
    if !request.query.is_empty() {
        json.member("queryStringParameters").object(|json| {
            for (name, values) in &grouped(&request.query) {
                json.entry(name).text(&values.join(","));
            }
        });
    }
    json.member("requestContext").object(|json| context_v2(json, request));
    parameters_v2(json, request);
}

/// The path's parameters and the stage's variables, where there are any.
fn parameters_v2(json: &mut Writer, request: &MethodRequest<'_>) {
    let parameters = &request.matched.parameters;
    if !parameters.is_empty() {
        json.member("pathParameters");
        texts(json, parameters.iter().map(|(name, value)| (&**name, &**value)));
    }
    let variables = request.exchange.stage.variables;
    if !variables.is_empty() {
        json.member("stageVariables");
        texts(json, variables.iter().map(|(name, value)| (&**name, &**value)));
    }
}

/// The path of format 2.0: at a domain it begins with the stage, whatever base
/// path the client wrote. The service decodes it, to its users' surprise.
fn path_v2<'r>(request: &'r MethodRequest<'_>) -> Cow<'r, str> {
    let decoded = |path: &'r str| percent_decode_str(path).decode_utf8_lossy();
    match (request.exchange.base_path, request.exchange.path) {
        (Some(_), Ok(below)) if request.exchange.stage.name == stage::DEFAULT => decoded(below),
        (Some(_), Ok(below)) => {
            format!("/{}{}", request.exchange.stage.name, decoded(below)).into()
        }
        _ => decoded(request.path),
    }
}

/// The members of `requestContext` in format 2.0.
fn context_v2(json: &mut Writer, request: &MethodRequest<'_>) {
    let exchange = request.exchange;
    let caller = exchange.caller.get();
    let about = request.about();
    let domain = about.domain_name();
    json.member("accountId").text(match &request.gateway.url {
        // What Lambda says of callers that it does not know.
        Some(_) if caller.is_none() => "anonymous",
        _ => ACCOUNT_ID,
    });
    json.member("apiId").text(&request.gateway.config.name);
    if let Some(certificate) = client_certificate(&about) {
        json.member("authentication").object(|json| json.member("clientCert").value(certificate));
    }
    if let Some(caller) = caller {
        json.member("authorizer").value(&caller.v2());
    }
    json.member("domainName").text(&domain);
    json.member("domainPrefix").text(domain_prefix(&domain));
    json.member("http").object(|json| {
        json.member("method").text(request.method.as_str());
        json.member("path").text(&path_v2(request));
        json.member("protocol").text(request.protocol());
        json.member("sourceIp").text(&address_text(request.connection.client.ip()));
        let user_agent = request.header_text(header::USER_AGENT);
        json.member("userAgent").text(user_agent.as_deref().unwrap_or_default());
    });
    json.member("requestId").text(&exchange.request_id);
    json.member("routeKey").text(&request.matched.route.key);
    json.member("stage").text(exchange.stage.name);
    json.member("time").text(&common_log_time(exchange.time));
    json.member("timeEpoch").number(epoch_millis(exchange.time));
}

/// Format 1.0 writes names as most clients do; what is not a well-known header
/// stays in lower case, as a client of HTTP/2 sends it.
fn canonical(name: &str) -> &str {
    match name {
        "accept" => "Accept",
        "accept-charset" => "Accept-Charset",
        "accept-encoding" => "Accept-Encoding",
        "accept-language" => "Accept-Language",
        "authorization" => "Authorization",
        "cache-control" => "Cache-Control",
        "content-disposition" => "Content-Disposition",
        "content-encoding" => "Content-Encoding",
        "content-language" => "Content-Language",
        "content-length" => "Content-Length",
        "content-type" => "Content-Type",
        "cookie" => "Cookie",
        "date" => "Date",
        "dnt" => "Dnt",
        "expect" => "Expect",
        "forwarded" => "Forwarded",
        "from" => "From",
        "host" => "Host",
        "if-match" => "If-Match",
        "if-modified-since" => "If-Modified-Since",
        "if-none-match" => "If-None-Match",
        "if-range" => "If-Range",
        "if-unmodified-since" => "If-Unmodified-Since",
        "max-forwards" => "Max-Forwards",
        "origin" => "Origin",
        "pragma" => "Pragma",
        "proxy-authorization" => "Proxy-Authorization",
        "range" => "Range",
        "referer" => "Referer",
        "upgrade-insecure-requests" => "Upgrade-Insecure-Requests",
        "user-agent" => "User-Agent",
        "via" => "Via",
        "x-amz-date" => "X-Amz-Date",
        "x-amz-security-token" => "X-Amz-Security-Token",
        "x-amzn-trace-id" => "X-Amzn-Trace-Id",
        "x-api-key" => "X-Api-Key",
        "x-forwarded-for" => "X-Forwarded-For",
        "x-forwarded-port" => "X-Forwarded-Port",
        "x-forwarded-proto" => "X-Forwarded-Proto",
        "x-requested-with" => "X-Requested-With",
        _ => name,
    }
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
    fn addresses_are_written_as_ever() {
        for text in ["0.0.0.0", "127.0.0.1", "9.10.99.100", "255.200.20.2", "::1", "2001:db8::7"] {
            let address = text.parse().expect("an address");
            assert_eq!(address_text(address), text);
        }
    }

    #[test]
    fn times_are_in_the_common_log_format() {
        let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(1_428_582_896_000);
        assert_eq!(common_log_time(time), "09/Apr/2015:12:34:56 +0000");
        assert_eq!(epoch_millis(time), 1_428_582_896_000);
    }

    #[test]
    fn a_domain_s_prefix_is_its_first_label() {
        assert_eq!(domain_prefix("abc.execute-api.example"), "abc");
        assert_eq!(domain_prefix("127.0.0.1"), "127.0.0.1");
        assert_eq!(domain_prefix("[::1]"), "[::1]");
    }
}

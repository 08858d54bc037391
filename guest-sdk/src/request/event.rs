//! The proxy events as API Gateway writes them, both formats in one.
//!
//! An event is gone through once, for what decides whether it is a request at
//! all. The rest is read where it stands when a handler asks for it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::borrow::Cow;
use std::fmt::Display;
use std::sync::OnceLock;

use super::scan::{Malformed, Scanner, string};
use super::text::{Pairs, Text, own};
use super::{Body, Request, path, query};
use crate::{Error, PayloadFormat, Value};

/// Members of an event, each as the text of its value. What is missing is null,
/// and what is unknown is left alone: hand written test events are seldom
/// complete.
#[derive(Default)]
struct ProxyEvent<'e> {
    version: Member<'e>,
    http_method: Member<'e>,
    path: Member<'e>,
    resource: Member<'e>,
    headers: Member<'e>,
    multi_value_headers: Member<'e>,
    query_string_parameters: Member<'e>,
    multi_value_query_string_parameters: Member<'e>,
    path_parameters: Member<'e>,
    stage_variables: Member<'e>,
    raw_path: Member<'e>,
    raw_query_string: Member<'e>,
    route_key: Member<'e>,
    cookies: Member<'e>,
    body: Member<'e>,
    is_base64_encoded: Member<'e>,
    request_context: Member<'e>,
}

impl<'e> ProxyEvent<'e> {
    fn of(text: &'e str) -> Result<Self, Malformed> {
        let (mut event, mut members) = (Self::default(), Scanner::members(text)?);
        while let Some((name, value)) = members.member()? {
            let member = match &*name {
                "version" => &mut event.version,
                "httpMethod" => &mut event.http_method,
                "path" => &mut event.path,
                "resource" => &mut event.resource,
                "headers" => &mut event.headers,
                "multiValueHeaders" => &mut event.multi_value_headers,
                "queryStringParameters" => &mut event.query_string_parameters,
                "multiValueQueryStringParameters" => &mut event.multi_value_query_string_parameters,
                "pathParameters" => &mut event.path_parameters,
                "stageVariables" => &mut event.stage_variables,
                "rawPath" => &mut event.raw_path,
                "rawQueryString" => &mut event.raw_query_string,
                "routeKey" => &mut event.route_key,
                "cookies" => &mut event.cookies,
                "body" => &mut event.body,
                "isBase64Encoded" => &mut event.is_base64_encoded,
                "requestContext" => &mut event.request_context,
                _ => continue,
            };
            *member = Member(value);
        }
        Ok(event)
    }
}

/// The text of a member's value.
#[derive(Clone, Copy)]
struct Member<'e>(&'e str);

impl Default for Member<'_> {
    fn default() -> Self {
        Self("null")
    }
}

impl<'e> Member<'e> {
    fn string(self, name: &str) -> Result<Option<Cow<'e, str>>, Error> {
        string(self.0).map_err(|error| unreadable(name, &error))
    }

    fn boolean(self, name: &str) -> Result<bool, Error> {
        match self.0 {
            "true" => Ok(true),
            "false" | "null" => Ok(false),
            _ => Err(unreadable(name, &Malformed::Type("true or false"))),
        }
    }

    /// Where it stands in the event.
    fn keep(self, event: &str) -> Text {
        Text::keep(self.0.into(), event)
    }
}

fn unreadable(name: &str, error: &Malformed) -> Error {
    Error::msg(format!("{name} of the event cannot be read: {error}"))
}

/// Names and values in order.
type Single<'e> = Vec<(Cow<'e, str>, Cow<'e, str>)>;
type Multiple<'e> = Vec<(Cow<'e, str>, Vec<Cow<'e, str>>)>;

/// An object's strings; what is null is left out.
fn single(text: &str) -> Result<Single<'_>, Malformed> {
    let (mut pairs, mut members) = (Vec::new(), Scanner::members(text)?);
    while let Some((name, value)) = members.member()? {
        pairs.extend(string(value)?.map(|value| (name, value)));
    }
    Ok(pairs)
}

/// An object's lists of strings.
fn multiple(text: &str) -> Result<Multiple<'_>, Malformed> {
    let (mut lists, mut members) = (Vec::new(), Scanner::members(text)?);
    while let Some((name, value)) = members.member()? {
        lists.push((name, strings(value)?));
    }
    Ok(lists)
}

/// A list of strings.
fn strings(text: &str) -> Result<Vec<Cow<'_, str>>, Malformed> {
    let (mut strings, mut elements) = (Vec::new(), Scanner::elements(text)?);
    while let Some(value) = elements.element()? {
        strings.push(string(value)?.ok_or(Malformed::Type("a string"))?);
    }
    Ok(strings)
}

fn kept((name, value): (Cow<'_, str>, Cow<'_, str>), event: &str) -> (Text, Text) {
    (Text::keep(name, event), Text::keep(value, event))
}

/// The pairs of the multi-value object, and those of the plain one that it
/// does not name.
fn merge(multi: Multiple<'_>, single: Single<'_>, event: &str) -> Pairs {
    let is_new =
        |name: &str| !multi.iter().any(|(other, values)| other == name && !values.is_empty());
    let single: Vec<_> =
        single.into_iter().filter(|(name, _)| is_new(name)).map(|pair| kept(pair, event)).collect();
    let mut pairs = Pairs::with_capacity(multi.len() + single.len());
    for (name, values) in multi {
        pairs.extend(values.into_iter().map(|value| kept((name.clone(), value), event)));
    }
    pairs.extend(single);
    pairs
}

/// Members of an event, and where those stand that are read later.
#[derive(Clone, Default)]
pub struct Outline {
    path: Option<Text>,
    resource: Text,
    headers: Text,
    multi_value_headers: Text,
    query_string_parameters: Text,
    multi_value_query_string_parameters: Text,
    path_parameters: Text,
    stage_variables: Text,
    raw_query_string: Option<Text>,
    route_key: Text,
    cookies: Text,
    request_context: Text,
}

/// What is read of `requestContext`.
#[derive(Clone)]
pub struct Context {
    pub stage: Text,
    pub request_id: Text,
    pub source_ip: Text,
    /// The text of its value.
    pub authorizer: Text,
    pub path: Option<Text>,
    pub http_path: Option<Text>,
}

impl Default for Context {
    fn default() -> Self {
        Self {
            stage: "$default".into(),
            request_id: Text::default(),
            source_ip: Text::default(),
            authorizer: Text::default(),
            path: None,
            http_path: None,
        }
    }
}

impl Context {
    /// And the method that it names.
    fn of<'e>(text: &'e str, event: &str) -> Result<(Self, Option<Cow<'e, str>>), Malformed> {
        let keep = |value: &'e str| Ok(string(value)?.map(|text| Text::keep(text, event)));
        let mut context = Self::default();
        let (mut method, mut identity_ip, mut http_ip) = (None, None, None);
        let mut members = Scanner::members(text)?;
        while let Some((name, value)) = members.member()? {
            match &*name {
                "stage" => context.stage = keep(value)?.unwrap_or(context.stage),
                "requestId" => context.request_id = keep(value)?.unwrap_or_default(),
                "path" => context.path = keep(value)?,
                "authorizer" => context.authorizer = Text::keep(value.into(), event),
                "identity" => {
                    let mut identity = Scanner::members(value)?;
                    while let Some((name, value)) = identity.member()? {
                        if name == "sourceIp" {
                            identity_ip = keep(value)?;
                        }
                    }
                }
                "http" => {
                    let mut http = Scanner::members(value)?;
                    while let Some((name, value)) = http.member()? {
                        match &*name {
                            "method" => method = string(value)?,
                            "path" => context.http_path = keep(value)?,
                            "sourceIp" => http_ip = keep(value)?,
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        context.source_ip = identity_ip.or(http_ip).unwrap_or_default();
        Ok((context, method))
    }
}

/// Reads what makes an event a request.
pub fn read(raw_event: String) -> Result<Request, Error> {
    let whole = raw_event.as_str();
    let keep = |part: Option<Cow<'_, str>>| part.map(|text| Text::keep(text, whole));
    let event = ProxyEvent::of(whole)
        .map_err(|error| Error::msg(format!("the event cannot be read: {error}")))?;
    let version = event.version.string("version")?;
    let is_v2 = version.as_deref() == Some("2.0");
    let mut context = None;
    let (format, method) = match event.http_method.string("httpMethod")? {
        Some(method) if !is_v2 => (PayloadFormat::V1, Some(method)),
        own => {
            let (read, method) = Context::of(event.request_context.0, whole)
                .map_err(|error| unreadable("requestContext", &error))?;
            context = Some(read);
            // Handwritten events forget the version.
            let is_v2 = is_v2 || (version.is_none() && method.is_some());
            (if is_v2 { PayloadFormat::V2 } else { PayloadFormat::V1 }, method.or(own))
        }
    };
    let method = keep(method).ok_or_else(|| {
        Error::msg("the event is no API Gateway proxy event: it names no HTTP method; take it as an `Event<T>`")
    })?;
    let body = event.body.string("body")?.unwrap_or_default();
    let body = match event.is_base64_encoded.boolean("isBase64Encoded")? {
        true => Body::Bytes(STANDARD.decode(&*body)?),
        false => Body::Text(Text::keep(body, whole)),
    };
    let outline = Outline {
        path: keep(match format {
            PayloadFormat::V1 => event.path.string("path")?,
            PayloadFormat::V2 => event.raw_path.string("rawPath")?,
        }),
        resource: keep(event.resource.string("resource")?).unwrap_or_default(),
        headers: event.headers.keep(whole),
        multi_value_headers: event.multi_value_headers.keep(whole),
        query_string_parameters: event.query_string_parameters.keep(whole),
        multi_value_query_string_parameters: event.multi_value_query_string_parameters.keep(whole),
        path_parameters: event.path_parameters.keep(whole),
        stage_variables: event.stage_variables.keep(whole),
        raw_query_string: keep(event.raw_query_string.string("rawQueryString")?),
        route_key: keep(event.route_key.string("routeKey")?).unwrap_or_default(),
        cookies: event.cookies.keep(whole),
        request_context: event.request_context.keep(whole),
    };
    let mut request = Request::unread(format, method, body, outline, raw_event);
    request.context = context.map(OnceLock::from).unwrap_or_default();
    Ok(request)
}

/// What is read of the event when somebody asks for it.
impl Request {
    /// What stands at `text`. What cannot be read is said to the log and taken for
    /// empty.
    fn member<'r, T: Default, E: Display>(
        &'r self,
        text: &'r Text,
        name: &str,
        read: impl FnOnce(&'r str) -> Result<T, E>,
    ) -> T {
        read(text.get(&self.raw_event)).unwrap_or_else(|error| {
            crate::error!("{name} of the event cannot be read: {error}");
            T::default()
        })
    }

    pub(super) fn context(&self) -> &Context {
        self.context.get_or_init(|| {
            let read = |text| Context::of(text, &self.raw_event).map(|(context, _)| context);
            self.member(&self.outline.request_context, "requestContext", read)
        })
    }

    pub(super) fn authorizer_value(&self) -> &Value {
        self.authorizer.get_or_init(|| {
            let read = |text: &str| match text {
                "" => Ok(Value::Null),
                text => serde_json::from_str(text),
            };
            self.member(&self.context().authorizer, "requestContext.authorizer", read)
        })
    }

    pub(super) fn path_text(&self) -> &Text {
        self.path.get_or_init(|| {
            let (event, context) = (self.raw_event.as_str(), self.context());
            let outline = &self.outline;
            let path = outline.path.as_ref();
            let (path, template) = match self.format {
                PayloadFormat::V1 => {
                    // A REST API's `path` comes without the stage,
                    // `requestContext.path` with it; where both are the same,
                    // nothing has been taken off.
                    let path = path.map_or("", |path| path.get(event));
                    if context.path.as_ref().is_none_or(|whole| whole.get(event) != path) {
                        return Text::keep(path.into(), event);
                    }
                    (path, outline.resource.get(event))
                }
                PayloadFormat::V2 => {
                    let path = path.or(context.http_path.as_ref());
                    let route = outline.route_key.get(event);
                    let template = route.split_once(' ').map_or("", |(_, template)| template);
                    (path.map_or("", |path| path.get(event)), template)
                }
            };
            Text::keep(path::without_stage(path, context.stage.get(event), template).into(), event)
        })
    }

    pub(super) fn route_text(&self) -> &Text {
        self.route.get_or_init(|| {
            let (event, outline) = (self.raw_event.as_str(), &self.outline);
            match self.format {
                PayloadFormat::V1 => match outline.resource.get(event) {
                    path if path.starts_with('/') => {
                        [self.method.get(event), " ", path].concat().into()
                    }
                    _ => outline.resource.clone(),
                },
                PayloadFormat::V2 => outline.route_key.clone(),
            }
        })
    }

    pub(super) fn query_pairs(&self) -> &Pairs {
        self.query.get_or_init(|| {
            let raw = self.outline.raw_query_string.as_ref();
            match raw.map_or("", |raw| raw.get(&self.raw_event)) {
                "" => merge(
                    self.member(
                        &self.outline.multi_value_query_string_parameters,
                        "multiValueQueryStringParameters",
                        multiple,
                    ),
                    self.member(
                        &self.outline.query_string_parameters,
                        "queryStringParameters",
                        single,
                    ),
                    &self.raw_event,
                ),
                // The object joins a parameter's values with commas; the text
                // does not.
                raw => own(query::parse(raw)),
            }
        })
    }

    pub(super) fn raw_query_text(&self) -> &Text {
        self.raw_query.get_or_init(|| match &self.outline.raw_query_string {
            Some(raw) => raw.clone(),
            None => query::write(self.pairs(self.query_pairs())).into(),
        })
    }

    pub(super) fn header_pairs(&self) -> &Pairs {
        self.headers.get_or_init(|| {
            merge(
                self.member(&self.outline.multi_value_headers, "multiValueHeaders", multiple),
                self.member(&self.outline.headers, "headers", single),
                &self.raw_event,
            )
        })
    }

    pub(super) fn path_param_pairs(&self) -> &Pairs {
        self.path_params.get_or_init(|| {
            let parameters = self.member(&self.outline.path_parameters, "pathParameters", single);
            parameters.into_iter().map(|pair| kept(pair, &self.raw_event)).collect()
        })
    }

    pub(super) fn stage_variable_pairs(&self) -> &Pairs {
        self.stage_variables.get_or_init(|| {
            let variables = self.member(&self.outline.stage_variables, "stageVariables", single);
            variables.into_iter().map(|pair| kept(pair, &self.raw_event)).collect()
        })
    }

    pub(super) fn cookie_pairs(&self) -> &Pairs {
        self.cookies.get_or_init(|| {
            let event = self.raw_event.as_str();
            if !matches!(self.outline.cookies.get(event), "" | "null") {
                let cookies = self.member(&self.outline.cookies, "cookies", strings);
                return cookies.iter().filter_map(|cookie| split_cookie(cookie, event)).collect();
            }
            self.headers()
                .filter(|(name, _)| name.eq_ignore_ascii_case("cookie"))
                .flat_map(|(_, value)| value.split(';'))
                .filter_map(|cookie| split_cookie(cookie, event))
                .collect()
        })
    }
}

fn split_cookie(cookie: &str, event: &str) -> Option<(Text, Text)> {
    let (name, value) = cookie.split_once('=')?;
    let keep = |text: &str| Text::keep(text.trim().into(), event);
    Some((keep(name), keep(value)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(event: Value) -> Request {
        read(event.to_string()).expect("the event is read")
    }

    #[test]
    fn a_format_1_0_event_in_full() {
        let request = request(json!({
            "version": "1.0", "resource": "/users/{id}", "path": "/users/7", "httpMethod": "POST",
            "headers": { "Cookie": "b=2", "X-One": "last" },
            "multiValueHeaders": { "X-One": ["first", "last"], "Cookie": ["a=1; b=2"] },
            "queryStringParameters": { "tag": "y" },
            "multiValueQueryStringParameters": { "tag": ["x y", "y"] },
            "pathParameters": { "id": "7" }, "stageVariables": null,
            "requestContext": {
                "stage": "test", "path": "/test/users/7", "requestId": "r1",
                "identity": { "sourceIp": "10.0.0.1", "userAgent": null },
                "authorizer": { "principalId": "ada" }
            },
            "body": "/wA=", "isBase64Encoded": true
        }));
        assert_eq!(request.format, PayloadFormat::V1);
        assert_eq!(request.path(), "/users/7");
        assert_eq!(request.route(), "POST /users/{id}");
        assert_eq!(request.header("x-one"), Some("first"));
        assert_eq!(request.headers().count(), 3);
        assert_eq!(request.query_all("tag").collect::<Vec<_>>(), ["x y", "y"]);
        assert_eq!(request.raw_query(), "tag=x%20y&tag=y");
        assert_eq!(request.cookies().collect::<Vec<_>>(), [("a", "1"), ("b", "2")]);
        assert_eq!(request.body(), [0xff, 0x00]);
        assert_eq!((request.stage(), request.source_ip()), ("test", "10.0.0.1"));
        assert_eq!(request.authorizer()["principalId"], "ada");
    }

    #[test]
    fn a_format_2_0_event_in_full() {
        let request = request(json!({
            "version": "2.0", "routeKey": "GET /search", "rawPath": "/search",
            "rawQueryString": "q=a%2Cb&q=c+d", "cookies": ["a=1", "b=x=y"],
            "headers": { "accept": "text/html,text/plain" },
            "queryStringParameters": { "q": "a,b,c d" },
            "requestContext": {
                "http": { "method": "GET", "path": "/search", "sourceIp": "10.0.0.2" },
                "requestId": "r2", "stage": "$default", "timeEpoch": 1
            },
            "isBase64Encoded": false
        }));
        assert_eq!(request.format, PayloadFormat::V2);
        assert_eq!(request.query_all("q").collect::<Vec<_>>(), ["a,b", "c d"]);
        assert_eq!(request.cookie("b"), Some("x=y"));
        assert_eq!(request.body(), b"");
        assert_eq!((request.method(), request.request_id()), ("GET", "r2"));
        assert!(request.authorizer().is_null());
    }

    #[test]
    fn what_cannot_be_read_is_empty() {
        let request = request(json!({
            "httpMethod": "GET", "path": "/a", "headers": { "x-one": 1 },
            "multiValueQueryStringParameters": [], "cookies": "a=1",
            "requestContext": { "stage": 7 }
        }));
        assert_eq!((request.path(), request.stage()), ("/a", "$default"));
        assert_eq!((request.headers().count(), request.cookies().count()), (0, 0));
        assert_eq!((request.query("a"), request.raw_query()), (None, ""));
        // What makes it a request has to be there.
        assert!(read(json!({ "httpMethod": 1 }).to_string()).is_err());
        assert!(read(json!({ "requestContext": { "http": [] } }).to_string()).is_err());
    }

    #[test]
    fn escapes_are_undone_wherever_they_stand() {
        let event = r#"{"httpMethod":"G\u0045T","path":"\/a\u0020b","resource":"\/a",
            "headers":{"x\u002done":"\"1\"","Cookie":"a=\u0031; b=2"},
            "multiValueHeaders":{"x-two":["\n","2"]},"body":"{\"a\":1}",
            "requestContext":{"stage":"t\u0031"}}"#;
        let request = read(event.to_owned()).expect("the event is read");
        assert_eq!((request.method(), request.path(), request.route()), ("GET", "/a b", "GET /a"));
        assert_eq!((request.header("X-One"), request.header("x-two")), (Some("\"1\""), Some("\n")));
        assert_eq!(request.cookies().collect::<Vec<_>>(), [("a", "1"), ("b", "2")]);
        assert_eq!((request.text(), request.stage()), (Ok("{\"a\":1}"), "t1"));
        let request = request.with_header("x-three", "3").with_stage("t2");
        assert_eq!((request.headers().count(), request.stage()), (5, "t2"));
    }

    #[test]
    fn the_stage_is_taken_off_once() {
        let path = |event| request(event).path().to_owned();
        let http = |route: &str, path: &str| {
            json!({
                "version": "2.0", "routeKey": route, "rawPath": path,
                "requestContext": { "stage": "test", "http": { "method": "GET" } }
            })
        };
        assert_eq!(path(http("GET /users", "/test/users")), "/users");
        assert_eq!(path(http("$default", "/test")), "/");
        // A custom domain: no stage in front, and a resource of the stage's name.
        assert_eq!(path(http("GET /test/{id}", "/test/1")), "/test/1");
        assert_eq!(path(http("GET /testing", "/testing")), "/testing");

        let rest = |whole: &str, path: &str| {
            json!({
                "httpMethod": "GET", "resource": "/{proxy+}", "path": path,
                "requestContext": { "stage": "test", "path": whole }
            })
        };
        assert_eq!(path(rest("/test/test/1", "/test/1")), "/test/1");
        assert_eq!(path(rest("/test/1", "/test/1")), "/1");
    }

    #[test]
    fn a_sparse_event_is_a_request_and_a_stranger_is_an_error() {
        let sparse = request(json!({ "httpMethod": "GET", "path": "/" }));
        assert_eq!((sparse.stage(), sparse.route()), ("$default", ""));
        let sparse =
            request(json!({ "requestContext": { "http": { "method": "GET" } }, "rawPath": "/" }));
        assert_eq!(sparse.format, PayloadFormat::V2);
        let stranger = read(json!({ "Records": [] }).to_string()).expect_err("no request");
        assert!(stranger.message().contains("no API Gateway proxy event"));
        assert!(
            read(json!({ "httpMethod": "GET", "body": "%", "isBase64Encoded": true }).to_string())
                .is_err()
        );
    }
}

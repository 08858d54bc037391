//! The proxy events as API Gateway writes them, both formats in one.
//!
//! An event is gone through once, for what decides whether it is a request at
//! all. The rest is read where it stands when a handler asks for it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::sync::OnceLock;

use super::text::{Pairs, Text, own};
use super::{Body, Request, path, query};
use crate::{Error, PayloadFormat, Value};

/// What is missing or null is empty, and what is unknown is left alone: hand
/// written test events are seldom complete.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ProxyEvent<'e> {
    #[serde(borrow)]
    version: Option<Part<'e>>,
    #[serde(borrow)]
    http_method: Option<Part<'e>>,
    #[serde(borrow)]
    path: Option<Part<'e>>,
    #[serde(borrow)]
    resource: Option<Part<'e>>,
    #[serde(borrow)]
    headers: Option<&'e RawValue>,
    #[serde(borrow)]
    multi_value_headers: Option<&'e RawValue>,
    #[serde(borrow)]
    query_string_parameters: Option<&'e RawValue>,
    #[serde(borrow)]
    multi_value_query_string_parameters: Option<&'e RawValue>,
    #[serde(borrow)]
    path_parameters: Option<&'e RawValue>,
    #[serde(borrow)]
    stage_variables: Option<&'e RawValue>,
    #[serde(borrow)]
    raw_path: Option<Part<'e>>,
    #[serde(borrow)]
    raw_query_string: Option<Part<'e>>,
    #[serde(borrow)]
    route_key: Option<Part<'e>>,
    #[serde(borrow)]
    cookies: Option<&'e RawValue>,
    #[serde(borrow)]
    body: Option<Part<'e>>,
    is_base64_encoded: Option<bool>,
    #[serde(borrow)]
    request_context: Option<&'e RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RequestContext<'e> {
    #[serde(borrow)]
    stage: Option<Part<'e>>,
    #[serde(borrow)]
    request_id: Option<Part<'e>>,
    #[serde(borrow)]
    path: Option<Part<'e>>,
    #[serde(borrow)]
    http: Option<Http<'e>>,
    #[serde(borrow)]
    identity: Option<Identity<'e>>,
    authorizer: Value,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Http<'e> {
    #[serde(borrow)]
    method: Option<Part<'e>>,
    #[serde(borrow)]
    path: Option<Part<'e>>,
    #[serde(borrow)]
    source_ip: Option<Part<'e>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Identity<'e> {
    #[serde(borrow)]
    source_ip: Option<Part<'e>>,
}

/// A string of the event: a part of its text where nothing is escaped.
#[derive(Deserialize)]
struct Part<'e>(#[serde(borrow)] Cow<'e, str>);

/// A JSON object's members in their order; null is an empty object.
struct Entries<'e, V>(Vec<(Part<'e>, V)>);

impl<V> Default for Entries<'_, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de: 'e, 'e, V: Deserialize<'de>> Deserialize<'de> for Entries<'e, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<V>(PhantomData<V>);

        impl<'de, V: Deserialize<'de>> Visitor<'de> for Members<V> {
            type Value = Entries<'de, V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object or null")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Entries::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_any(Members(PhantomData))
    }
}

type Single<'e> = Entries<'e, Option<Part<'e>>>;
type Multiple<'e> = Entries<'e, Option<Vec<Part<'e>>>>;

impl<'e> Single<'e> {
    fn into_parts(self) -> impl Iterator<Item = (Part<'e>, Part<'e>)> {
        self.0.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }

    fn keep(self, event: &str) -> Pairs {
        self.into_parts().map(|pair| kept(pair, event)).collect()
    }
}

fn kept((Part(name), Part(value)): (Part<'_>, Part<'_>), event: &str) -> (Text, Text) {
    (Text::keep(name, event), Text::keep(value, event))
}

/// The pairs of the multi-value object, and those of the plain one that it
/// does not name.
fn merge(multi: Multiple<'_>, single: Single<'_>, event: &str) -> Pairs {
    let single = single.into_parts();
    let single = single.filter(|(name, _)| {
        multi
            .0
            .iter()
            .all(|(other, values)| other.0 != name.0 || values.as_ref().is_none_or(Vec::is_empty))
    });
    let single: Vec<_> = single.map(|pair| kept(pair, event)).collect();
    let mut pairs = Pairs::with_capacity(multi.0.len() + single.len());
    for (Part(name), values) in multi.0 {
        for value in values.unwrap_or_default() {
            pairs.push(kept((Part(name.clone()), value), event));
        }
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
#[derive(Clone, Default)]
pub struct Context {
    pub stage: Text,
    pub request_id: Text,
    pub source_ip: Text,
    pub authorizer: Value,
    pub path: Option<Text>,
    pub http_path: Option<Text>,
}

impl Context {
    fn of(context: RequestContext<'_>, event: &str) -> Self {
        let keep = |part: Option<Part<'_>>| part.map(|Part(text)| Text::keep(text, event));
        let http = context.http.unwrap_or_default();
        let source_ip = context.identity.and_then(|identity| identity.source_ip);
        Self {
            stage: keep(context.stage).unwrap_or_else(|| "$default".into()),
            request_id: keep(context.request_id).unwrap_or_default(),
            source_ip: keep(source_ip.or(http.source_ip)).unwrap_or_default(),
            authorizer: context.authorizer,
            path: keep(context.path),
            http_path: keep(http.path),
        }
    }
}

/// Reads what makes an event a request.
pub fn read(raw_event: String) -> Result<Request, Error> {
    let whole = raw_event.as_str();
    let keep = |part: Option<Part<'_>>| part.map(|Part(text)| Text::keep(text, whole));
    let raw = |value: Option<&RawValue>| {
        value.map_or_else(Text::default, |value| Text::keep(value.get().into(), whole))
    };
    let event: ProxyEvent<'_> = serde_json::from_str(whole)?;
    let is_v2 = event.version.as_ref().is_some_and(|Part(version)| version == "2.0");
    let mut context = None;
    let (format, method) = match event.http_method {
        Some(method) if !is_v2 => (PayloadFormat::V1, Some(method)),
        own => {
            let text = event.request_context.map_or("{}", RawValue::get);
            let mut read: RequestContext<'_> = serde_json::from_str(text)?;
            let method = read.http.as_mut().and_then(|http| http.method.take());
            context = Some(Context::of(read, whole));
            // Handwritten events forget the version.
            let is_v2 = is_v2 || (event.version.is_none() && method.is_some());
            (if is_v2 { PayloadFormat::V2 } else { PayloadFormat::V1 }, method.or(own))
        }
    };
    let method = keep(method).ok_or_else(|| {
        Error::msg("the event is no API Gateway proxy event: it names no HTTP method; take it as an `Event<T>`")
    })?;
    let Part(body) = event.body.unwrap_or_default();
    let body = match event.is_base64_encoded {
        Some(true) => Body::Bytes(STANDARD.decode(&*body)?),
        _ => Body::Text(Text::keep(body, whole)),
    };
    let outline = Outline {
        path: keep(match format {
            PayloadFormat::V1 => event.path,
            PayloadFormat::V2 => event.raw_path,
        }),
        resource: keep(event.resource).unwrap_or_default(),
        headers: raw(event.headers),
        multi_value_headers: raw(event.multi_value_headers),
        query_string_parameters: raw(event.query_string_parameters),
        multi_value_query_string_parameters: raw(event.multi_value_query_string_parameters),
        path_parameters: raw(event.path_parameters),
        stage_variables: raw(event.stage_variables),
        raw_query_string: keep(event.raw_query_string),
        route_key: keep(event.route_key).unwrap_or_default(),
        cookies: raw(event.cookies),
        request_context: raw(event.request_context),
    };
    let mut request = Request::unread(format, method, body, outline, raw_event);
    request.context = context.map(OnceLock::from).unwrap_or_default();
    Ok(request)
}

/// What is read of the event when somebody asks for it.
impl Request {
    /// A member that stands at `text`. What cannot be read is said to the log
    /// and taken for empty.
    fn member<'r, T: Deserialize<'r> + Default>(&'r self, text: &'r Text, name: &str) -> T {
        match text.get(&self.raw_event) {
            "" => T::default(),
            text => serde_json::from_str(text).unwrap_or_else(|error| {
                crate::error!("{name} of the event cannot be read: {error}");
                T::default()
            }),
        }
    }

    pub(super) fn context(&self) -> &Context {
        self.context.get_or_init(|| {
            Context::of(
                self.member(&self.outline.request_context, "requestContext"),
                &self.raw_event,
            )
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
                    ),
                    self.member(&self.outline.query_string_parameters, "queryStringParameters"),
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
                self.member(&self.outline.multi_value_headers, "multiValueHeaders"),
                self.member(&self.outline.headers, "headers"),
                &self.raw_event,
            )
        })
    }

    pub(super) fn path_param_pairs(&self) -> &Pairs {
        self.path_params.get_or_init(|| {
            let parameters: Single<'_> =
                self.member(&self.outline.path_parameters, "pathParameters");
            parameters.keep(&self.raw_event)
        })
    }

    pub(super) fn stage_variable_pairs(&self) -> &Pairs {
        self.stage_variables.get_or_init(|| {
            let variables: Single<'_> =
                self.member(&self.outline.stage_variables, "stageVariables");
            variables.keep(&self.raw_event)
        })
    }

    pub(super) fn cookie_pairs(&self) -> &Pairs {
        self.cookies.get_or_init(|| {
            let event = self.raw_event.as_str();
            if !self.outline.cookies.get(event).is_empty() {
                let cookies: Vec<Part<'_>> = self.member(&self.outline.cookies, "cookies");
                return cookies
                    .iter()
                    .filter_map(|Part(cookie)| split_cookie(cookie, event))
                    .collect();
            }
            self.headers()
                .filter(|(name, _)| name.eq_ignore_ascii_case("cookie"))
                .flat_map(|(_, value)| value.split(';'))
                .filter_map(|cookie| split_cookie(cookie, event))
                .collect()
        })
    }
}

impl Default for Part<'_> {
    fn default() -> Self {
        Self(Cow::Borrowed(""))
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

//! The proxy events as API Gateway writes them, both formats in one.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

use super::{Pairs, Request, path, query};
use crate::{Error, PayloadFormat, Value};

/// What is missing or null is empty, and what is unknown is left alone: hand
/// written test events are seldom complete.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ProxyEvent {
    version: Option<String>,
    http_method: Option<String>,
    path: Option<String>,
    resource: Option<String>,
    headers: Entries<Option<String>>,
    multi_value_headers: Entries<Option<Vec<String>>>,
    query_string_parameters: Entries<Option<String>>,
    multi_value_query_string_parameters: Entries<Option<Vec<String>>>,
    path_parameters: Entries<Option<String>>,
    stage_variables: Entries<Option<String>>,
    raw_path: Option<String>,
    raw_query_string: Option<String>,
    route_key: Option<String>,
    cookies: Option<Vec<String>>,
    body: Option<String>,
    is_base64_encoded: Option<bool>,
    request_context: Option<RequestContext>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RequestContext {
    stage: Option<String>,
    request_id: Option<String>,
    path: Option<String>,
    http: Option<Http>,
    identity: Option<Identity>,
    authorizer: Value,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Http {
    method: Option<String>,
    path: Option<String>,
    source_ip: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Identity {
    source_ip: Option<String>,
}

/// A JSON object's members in their order; null is an empty object.
struct Entries<V>(Vec<(String, V)>);

impl<V> Default for Entries<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Entries<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<V>(PhantomData<V>);

        impl<'de, V: Deserialize<'de>> Visitor<'de> for Members<V> {
            type Value = Entries<V>;

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

impl Entries<Option<String>> {
    fn into_pairs(self) -> Pairs {
        self.0.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

/// The pairs of the multi-value object, and those of the plain one that it
/// does not name.
fn merge(multi: Entries<Option<Vec<String>>>, single: Entries<Option<String>>) -> Pairs {
    let mut pairs = Pairs::new();
    for (name, values) in multi.0 {
        for value in values.unwrap_or_default() {
            pairs.push((name.clone(), value));
        }
    }
    let named = pairs.len();
    for (name, value) in single.into_pairs() {
        if !pairs[..named].iter().any(|(key, _)| *key == name) {
            pairs.push((name, value));
        }
    }
    pairs
}

pub fn read(raw_event: String) -> Result<Request, Error> {
    let event: ProxyEvent = serde_json::from_str(&raw_event)?;
    let context = event.request_context.unwrap_or_default();
    let http = context.http.unwrap_or_default();
    let format = match event.version.as_deref() {
        Some("2.0") => PayloadFormat::V2,
        Some(_) => PayloadFormat::V1,
        // Handwritten events forget the version.
        None if event.http_method.is_none() && http.method.is_some() => PayloadFormat::V2,
        None => PayloadFormat::V1,
    };
    let stage = context.stage.unwrap_or_else(|| "$default".into());

    let (method, path, route) = match format {
        PayloadFormat::V1 => {
            let method = event.http_method.or(http.method);
            let path = event.path.unwrap_or_default();
            let resource = event.resource.unwrap_or_default();
            // A REST API's `path` comes without the stage, `requestContext.path`
            // with it; where both are the same, nothing has been taken off.
            let whole = context.path.is_some_and(|whole| whole == path);
            let path = if whole { path::without_stage(path, &stage, &resource) } else { path };
            let route = match &method {
                Some(method) if resource.starts_with('/') => format!("{method} {resource}"),
                _ => resource,
            };
            (method, path, route)
        }
        PayloadFormat::V2 => {
            let route = event.route_key.unwrap_or_default();
            let template = route.split_once(' ').map_or("", |(_, template)| template);
            let path = event.raw_path.or(http.path).unwrap_or_default();
            let path = path::without_stage(path, &stage, template);
            (http.method.or(event.http_method), path, route)
        }
    };
    let method = method.ok_or_else(|| {
        Error::msg("the event is no API Gateway proxy event: it names no HTTP method; take it as an `Event<T>`")
    })?;

    let mut query = merge(event.multi_value_query_string_parameters, event.query_string_parameters);
    let raw_query = match event.raw_query_string {
        Some(raw_query) => {
            // The object joins a parameter's values with commas; the text does not.
            if !raw_query.is_empty() {
                query = query::parse(&raw_query);
            }
            raw_query
        }
        None => query::write(&query),
    };

    let headers = merge(event.multi_value_headers, event.headers);
    let cookies = match &event.cookies {
        Some(cookies) => cookies.iter().filter_map(|cookie| split_cookie(cookie)).collect(),
        None => headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("cookie"))
            .flat_map(|(_, value)| value.split(';').filter_map(split_cookie))
            .collect(),
    };

    let body = event.body.unwrap_or_default();
    let body = if event.is_base64_encoded == Some(true) {
        STANDARD.decode(body)?
    } else {
        body.into_bytes()
    };

    Ok(Request {
        format,
        method,
        path,
        raw_query,
        route,
        stage,
        request_id: context.request_id.unwrap_or_default(),
        source_ip: context
            .identity
            .and_then(|identity| identity.source_ip)
            .or(http.source_ip)
            .unwrap_or_default(),
        headers,
        query,
        path_params: event.path_parameters.into_pairs(),
        stage_variables: event.stage_variables.into_pairs(),
        cookies,
        body,
        authorizer: context.authorizer,
        raw_event,
    })
}

fn split_cookie(cookie: &str) -> Option<(String, String)> {
    let (name, value) = cookie.split_once('=')?;
    Some((name.trim().to_owned(), value.trim().to_owned()))
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

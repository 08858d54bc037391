//! Proxy events as HTTP requests, and HTTP responses as proxy responses: for
//! guests that speak HTTP and callers that have events.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header, response};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::http::{LAMBDA_CONTEXT, REQUEST_CONTEXT};
use crate::json;

/// The two forms of events and of what answers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    V1,
    V2,
}

/// Header lines that a request may have.
const HEADERS_MAX: usize = 1000;

/// What cannot stand in a path that is escaped already.
const ESCAPED_PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}')
    .add(b'\\')
    .add(b'^')
    .add(b'|');

/// What cannot stand in one that is not.
const PATH: &AsciiSet = &ESCAPED_PATH.add(b'%');

/// A name or a value of a query.
const QUERY: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'*');

/// The request that an event stands for.
///
/// # Errors
/// What makes it none.
pub fn request(event: &str) -> Result<(Request<Bytes>, Format), String> {
    let event: Value = serde_json::from_str(event).map_err(|error| format!("not JSON: {error}"))?;
    let context = &event["requestContext"];
    let (format, method) = match (&event["httpMethod"], &context["http"]["method"]) {
        (Value::String(method), _) => (Format::V1, method),
        (_, Value::String(method)) => (Format::V2, method),
        _ => return Err("it has neither httpMethod nor requestContext.http.method".to_owned()),
    };
    let method: Method = method.parse().map_err(|_| format!("{method:?} is no method"))?;
    let mut headers = headers(&event, format)?;
    let host = headers.remove(header::HOST);
    let host = host.as_ref().and_then(|value| value.to_str().ok());
    let domain = host.or_else(|| context["domainName"].as_str()).unwrap_or("localhost");
    let scheme = match headers.get("x-forwarded-proto").and_then(|value| value.to_str().ok()) {
        Some("https") => "https",
        _ => "http",
    };
    let uri = format!("{scheme}://{domain}{}", path_and_query(&event, format)?);
    let uri: Uri = uri.parse().map_err(|error| format!("{uri:?} is no URI: {error}"))?;
    headers.remove(LAMBDA_CONTEXT);
    headers.remove(REQUEST_CONTEXT);
    if let Ok(value) = HeaderValue::try_from(json::ascii(context.to_string())) {
        headers.insert(REQUEST_CONTEXT, value);
    }
    let body = body(&event)?;
    // Of the body as it was before, perhaps.
    headers.remove(header::CONTENT_LENGTH);
    if !body.is_empty() {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok((request, format))
}

fn path_and_query(event: &Value, format: Format) -> Result<String, String> {
    let name = if format == Format::V1 { "path" } else { "rawPath" };
    let path = event[name].as_str().unwrap_or("/");
    if !path.starts_with('/') {
        return Err(format!("{name} is {path:?}, which does not begin with /"));
    }
    // HTTP APIs decode paths, REST APIs do not.
    let is_escaped = format == Format::V1 && event["version"].is_null();
    let set = if is_escaped { ESCAPED_PATH } else { PATH };
    let mut text = utf8_percent_encode(path, set).to_string();
    let query = match format {
        Format::V2 => event["rawQueryString"].as_str().unwrap_or_default().to_owned(),
        Format::V1 => {
            let pairs = pairs(event, "multiValueQueryStringParameters", "queryStringParameters")?;
            let pair = |(name, value): &(String, String)| {
                let name = utf8_percent_encode(name, QUERY);
                format!("{name}={}", utf8_percent_encode(value, QUERY))
            };
            pairs.iter().map(pair).collect::<Vec<_>>().join("&")
        }
    };
    if !query.is_empty() {
        text.push('?');
        text.push_str(&query);
    }
    Ok(text)
}

fn headers(event: &Value, format: Format) -> Result<HeaderMap, String> {
    let mut pairs = pairs(event, "multiValueHeaders", "headers")?;
    if format == Format::V2
        && let Some(cookies) = event["cookies"].as_array()
    {
        let cookies: Vec<&str> = cookies.iter().filter_map(Value::as_str).collect();
        pairs.push((header::COOKIE.to_string(), cookies.join("; ")));
    }
    if pairs.len() > HEADERS_MAX {
        return Err(format!("it has more than {HEADERS_MAX} headers"));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let parsed: Option<(HeaderName, HeaderValue)> =
            name.parse().ok().zip(HeaderValue::from_str(&value).ok());
        let (name, value) = parsed.ok_or_else(|| format!("{name:?}: {value:?} is no header"))?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// Names and values: those of the table of lists, else of that of texts.
fn pairs(event: &Value, lists: &str, texts: &str) -> Result<Vec<(String, String)>, String> {
    let mut pairs = Vec::new();
    let mut take = |table: &str, name: &str, value: &Value| match value {
        Value::String(value) => {
            pairs.push((name.to_owned(), value.clone()));
            Ok(())
        }
        Value::Null => Ok(()),
        other => Err(format!("{table} has {other} for {name:?}, which is no text")),
    };
    if let Value::Object(own) = &event[lists] {
        for (name, values) in own {
            for value in values.as_array().map(Vec::as_slice).unwrap_or_default() {
                take(lists, name, value)?;
            }
        }
    } else if let Value::Object(own) = &event[texts] {
        for (name, value) in own {
            take(texts, name, value)?;
        }
    }
    Ok(pairs)
}

fn body(event: &Value) -> Result<Bytes, String> {
    match (&event["body"], &event["isBase64Encoded"]) {
        (Value::Null, _) => Ok(Bytes::new()),
        (Value::String(text), Value::Bool(true)) => match STANDARD.decode(text) {
            Ok(bytes) => Ok(bytes.into()),
            Err(error) => Err(format!("body is not base64: {error}")),
        },
        (Value::String(text), _) => Ok(Bytes::from(text.clone())),
        _ => Err("body is not text".to_owned()),
    }
}

/// What stands before the body of a streamed response: its head in JSON, and
/// eight bytes that no JSON has.
///
/// <https://docs.aws.amazon.com/lambda/latest/dg/response-streaming-tutorial.html>
pub fn prelude(parts: &response::Parts) -> Bytes {
    let mut prelude = head(parts).to_string().into_bytes();
    prelude.extend_from_slice(&[0; 8]);
    prelude.into()
}

/// The values of each header.
fn lists(parts: &response::Parts) -> Map<String, Value> {
    let mut lists = Map::new();
    for name in parts.headers.keys() {
        let values = parts.headers.get_all(name).iter();
        let texts = values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        lists.insert(name.to_string(), texts.collect());
    }
    lists
}

/// The head of a response in format 2.0.
fn head(parts: &response::Parts) -> Value {
    let mut lists = lists(parts);
    let cookies = lists.remove(header::SET_COOKIE.as_str()).unwrap_or_else(|| json!([]));
    let joined = |values: &Value| {
        let values = values.as_array().map(Vec::as_slice).unwrap_or_default();
        values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")
    };
    let headers: Map<String, Value> =
        lists.iter().map(|(name, values)| (name.clone(), joined(values).into())).collect();
    json!({ "statusCode": parts.status.as_u16(), "headers": headers, "cookies": cookies })
}

/// The proxy response that a response stands for.
pub fn answer(format: Format, parts: &response::Parts, body: &Bytes) -> String {
    let (text, is_base64_encoded) = match std::str::from_utf8(body) {
        Ok(text) => (text.to_owned(), false),
        Err(_) => (STANDARD.encode(body), true),
    };
    let mut response = match format {
        Format::V1 => json!({
            "statusCode": parts.status.as_u16(),
            "multiValueHeaders": lists(parts),
        }),
        Format::V2 => head(parts),
    };
    response["body"] = text.into();
    response["isBase64Encoded"] = is_base64_encoded.into();
    response.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request_of(event: &Value) -> (Request<Bytes>, Format) {
        request(&event.to_string()).unwrap_or_else(|why| panic!("{why}"))
    }

    #[test]
    fn an_event_of_a_rest_api_is_its_request() {
        let (request, format) = request_of(&json!({
            "httpMethod": "POST", "path": "/a%20b/ü",
            "multiValueHeaders": { "Host": ["example.com"], "X-Two": ["1", "2"] },
            "headers": { "Host": "example.com", "X-Two": "2" },
            "multiValueQueryStringParameters": { "q": ["x y", "&"] },
            "requestContext": { "requestId": "é" },
            "body": "AAE=", "isBase64Encoded": true,
        }));
        assert_eq!(format, Format::V1);
        assert_eq!(request.method(), "POST");
        assert_eq!(request.uri(), "http://example.com/a%20b/%C3%BC?q=x%20y&q=%26");
        assert_eq!(request.headers().get_all("x-two").iter().count(), 2);
        assert_eq!(request.headers()[header::CONTENT_LENGTH], "2");
        assert_eq!(request.headers()[REQUEST_CONTEXT], r#"{"requestId":"\u00e9"}"#);
        assert_eq!(request.body().as_ref(), [0, 1]);
    }

    #[test]
    fn an_event_of_an_http_api_is_its_request() {
        let (request, format) = request_of(&json!({
            "version": "2.0", "rawPath": "/a b/100%", "rawQueryString": "q=x%20y&q=%26",
            "headers": { "x-forwarded-proto": "https", "x-amzn-lambda-context": "forged" },
            "cookies": ["a=1", "b=2"],
            "requestContext": { "domainName": "example.com", "http": { "method": "GET" } },
        }));
        assert_eq!(format, Format::V2);
        assert_eq!(request.uri(), "https://example.com/a%20b/100%25?q=x%20y&q=%26");
        assert_eq!(request.headers()[header::COOKIE], "a=1; b=2");
        assert!(!request.headers().contains_key(LAMBDA_CONTEXT));
        assert!(request.body().is_empty());
    }

    #[test]
    fn what_is_no_request_says_why() {
        for (event, why) in [
            ("", "not JSON"),
            ("{}", "neither httpMethod nor requestContext.http.method"),
            ("[1]", "neither httpMethod"),
            (r#"{"httpMethod": "a b"}"#, "no method"),
            (r#"{"httpMethod": "GET", "path": "x"}"#, "does not begin with /"),
            (r#"{"httpMethod": "GET", "headers": {"a": 1}}"#, "which is no text"),
            (r#"{"httpMethod": "GET", "headers": {"a\n": "1"}}"#, "no header"),
            (r#"{"httpMethod": "GET", "headers": {"host": "a b"}}"#, "no URI"),
            (r#"{"httpMethod": "GET", "body": 1}"#, "body is not text"),
            (r#"{"httpMethod": "GET", "body": "?", "isBase64Encoded": true}"#, "not base64"),
        ] {
            let error = request(event).expect_err(event);
            assert!(error.contains(why), "{event}: {error}");
        }
    }

    #[test]
    fn answers_have_the_form_of_the_event() {
        let response = http::Response::builder()
            .status(201)
            .header("x-two", "1")
            .header("x-two", "2")
            .header("set-cookie", "a=1")
            .body(());
        let (parts, ()) = response.expect("a response").into_parts();
        let body = Bytes::from_static(b"text");
        let answer = |format| -> Value {
            serde_json::from_str(&answer(format, &parts, &body)).expect("JSON")
        };
        let v1 = answer(Format::V1);
        assert_eq!(v1["statusCode"], 201);
        assert_eq!(v1["multiValueHeaders"], json!({ "x-two": ["1", "2"], "set-cookie": ["a=1"] }));
        let v2 = answer(Format::V2);
        assert_eq!((&v2["headers"], &v2["cookies"]), (&json!({ "x-two": "1,2" }), &json!(["a=1"])));
        assert_eq!((&v2["body"], &v2["isBase64Encoded"]), (&json!("text"), &json!(false)));
        let prelude = prelude(&parts);
        let (json, rest) = prelude.split_at(prelude.len() - 8);
        assert_eq!(rest, [0; 8]);
        let json: Value = serde_json::from_slice(json).expect("JSON");
        let expected =
            json!({ "statusCode": 201, "headers": { "x-two": "1,2" }, "cookies": ["a=1"] });
        assert_eq!(json, expected);
        let binary = super::answer(Format::V1, &parts, &Bytes::from_static(&[0xff]));
        assert!(binary.contains(r#""body":"/w==","isBase64Encoded":true"#), "{binary}");
    }

    proptest::proptest! {
        #[test]
        fn any_path_and_query_make_a_request_or_an_error(path in "/\\PC{0,20}", query in "\\PC{0,20}") {
            let v1 = json!({ "httpMethod": "GET", "path": path, "queryStringParameters": { "q": query } });
            proptest::prop_assert!(request(&v1.to_string()).is_ok(), "{}", v1);
            let v2 = json!({ "rawPath": path, "rawQueryString": query, "requestContext": { "http": { "method": "GET" } } });
            drop(request(&v2.to_string()));
        }
    }
}

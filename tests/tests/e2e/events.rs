//! The proxy events of both formats, compared field by field with files that
//! were written after the service's documentation.

use mayfly_tests::{Answer, Gateway, Project, fixture};
use serde_json::{Value, json};

fn gateway(kind: &str, route: &str) -> Gateway {
    let config = format!(
        r#"
name = "shop"
kind = "{kind}"
stage = "test"
[stages.test]
variables = {{ color = "blue" }}
[[route]]
route = "ANY /shops/{{shop}}/{{proxy+}}"
function = "probe"
{route}
"#
    );
    Project::with_config(&config).with_handler("probe", &fixture("probe")).serve()
}

/// The same request for every event.
fn event(gateway: &Gateway) -> Value {
    let request = gateway
        .request("POST", "/shops/a%20b/items/x%2Fy/?tag=new&tag=two%20words&empty=&flag&plus=1+1")
        .header("user-agent", "check/1.0")
        .header("accept", "*/*")
        .header("accept", "text/html")
        .header("x-custom", "first")
        .header("x-custom", "second")
        .header("cookie", "session=1; theme=dark")
        .header("content-type", "application/json")
        .header("x-forwarded-for", "203.0.113.7")
        .header("x-amzn-trace-id", "Root=1-00000000-000000000000000000000000")
        .body(r#"{"name":"Grüße"}"#);
    let answer = Answer::of(request);
    assert_eq!(answer.status, 200, "{}", gateway.log());
    answer.json()
}

/// Replaces what differs with every run, after checking its form.
fn settle(gateway: &Gateway, mut event: Value) -> Value {
    let port = gateway.address.rsplit(':').next().unwrap().to_owned();
    let mut set = |pointer: &str, check: &dyn Fn(&Value) -> bool| {
        let Some(value) = event.pointer_mut(pointer) else { return };
        assert!(check(value), "{pointer}: {value}");
        *value = json!("checked");
    };
    let text = |length: usize| {
        move |value: &Value| value.as_str().is_some_and(|text| text.len() == length)
    };
    let recent = |value: &Value| value.as_u64().is_some_and(|millis| millis > 1_700_000_000_000);
    let host = gateway.address.clone();
    let hosts = move |value: &Value| value == &json!(host) || value == &json!([host]);
    let ports = move |value: &Value| value == &json!(port) || value == &json!([port]);
    for pointer in ["/requestContext/time", "/requestContext/requestTime"] {
        set(pointer, &text("12/Mar/2020:19:03:58 +0000".len()));
    }
    for pointer in ["/requestContext/timeEpoch", "/requestContext/requestTimeEpoch"] {
        set(pointer, &recent);
    }
    set("/requestContext/extendedRequestId", &text(16));
    for pointer in ["/headers/host", "/headers/Host", "/multiValueHeaders/Host"] {
        set(pointer, &hosts);
    }
    for name in [
        "/headers/x-forwarded-port",
        "/headers/X-Forwarded-Port",
        "/multiValueHeaders/X-Forwarded-Port",
    ] {
        set(name, &ports);
    }
    event
}

fn compare(gateway: &Gateway, expected: &str) {
    let mut event = settle(gateway, event(gateway));
    let expected: Value = serde_json::from_str(expected).unwrap();
    let id = event["requestContext"]["requestId"].as_str().unwrap().len();
    assert_eq!(json!(id), expected["requestContext"]["requestId"], "the id's length");
    event["requestContext"]["requestId"] = json!(id);
    let mut differences = Vec::new();
    differ("", &expected, &event, &mut differences);
    assert!(differences.is_empty(), "{}\n{event:#}", differences.join("\n"));
}

fn differ(place: &str, expected: &Value, actual: &Value, differences: &mut Vec<String>) {
    match (expected, actual) {
        (Value::Object(a), Value::Object(b)) => {
            for name in a.keys().chain(b.keys().filter(|name| !a.contains_key(*name))) {
                match (a.get(name), b.get(name)) {
                    (Some(a), Some(b)) => differ(&format!("{place}/{name}"), a, b, differences),
                    (Some(_), None) => differences.push(format!("{place}/{name} is missing")),
                    (None, _) => differences.push(format!("{place}/{name} is too much")),
                }
            }
        }
        (a, b) if a == b => {}
        (a, b) => differences.push(format!("{place} is {b}, expected {a}")),
    }
}

#[test]
fn an_http_api_sends_format_2() {
    compare(&gateway("http", ""), include_str!("events/http-2.0.json"));
}

#[test]
fn an_http_api_sends_format_1_when_asked_to() {
    compare(&gateway("http", "payload = \"1.0\""), include_str!("events/http-1.0.json"));
}

#[test]
fn a_rest_api_sends_format_1() {
    compare(&gateway("rest", ""), include_str!("events/rest-1.0.json"));
}

#[test]
fn what_a_request_lacks_is_null_in_format_1_and_absent_in_format_2() {
    let gateway =
        Project::with_config("kind = \"rest\"\n").with_handler("probe", &fixture("probe")).serve();
    let event = gateway.get("/probe").json();
    for name in [
        "queryStringParameters",
        "multiValueQueryStringParameters",
        "pathParameters",
        "stageVariables",
        "body",
    ] {
        assert_eq!(event.get(name), Some(&Value::Null), "{name}: {event:#}");
    }
    assert_eq!(event["requestContext"]["stage"], "prod");
    let gateway = Project::new().with_handler("probe", &fixture("probe")).serve();
    let event = gateway.get("/probe").json();
    for name in ["queryStringParameters", "pathParameters", "stageVariables", "body", "cookies"] {
        assert_eq!(event.get(name), None, "{name}: {event:#}");
    }
    assert_eq!(event["requestContext"]["stage"], "$default");
    assert_eq!(event["rawQueryString"], "");
    assert_eq!(event["isBase64Encoded"], false);
}

#[test]
fn binary_bodies_are_base64() {
    for (kind, content_type, body, encoded) in [
        ("http", "application/octet-stream", &b"\x00\xff"[..], Some("AP8=")),
        ("http", "text/plain", b"\xff", Some("/w==")),
        ("http", "text/plain", b"text", None),
        ("http", "application/x-www-form-urlencoded", b"a=1", Some("YT0x")),
        ("rest", "application/octet-stream", b"\x00\xff", Some("AP8=")),
        ("rest", "application/x-www-form-urlencoded", b"a=1", None),
    ] {
        let gateway = Project::with_config(&format!("kind = {kind:?}\n"))
            .with_handler("probe", &fixture("probe"))
            .serve();
        let request = gateway
            .request("POST", "/probe")
            .header("content-type", content_type)
            .body(body.to_vec());
        let event = Answer::of(request).json();
        assert_eq!(event["isBase64Encoded"], encoded.is_some(), "{kind} {content_type}");
        let text = encoded.map_or_else(|| String::from_utf8(body.to_vec()).unwrap(), str::to_owned);
        assert_eq!(event["body"], text, "{kind} {content_type}");
    }
}

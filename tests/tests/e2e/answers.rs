//! What a function's answer becomes, in both formats.

use mayfly_tests::{Answer, Gateway, Project, fixture};
use serde_json::{Value, json};

fn gateway(kind: &str) -> Gateway {
    Project::with_config(&format!("kind = {kind:?}\n"))
        .with_handler("probe", &fixture("probe"))
        .serve()
}

fn answer(gateway: &Gateway, text: &str) -> Answer {
    let request = gateway.request("POST", "/probe?do=answer").header("content-type", "text/plain");
    Answer::of(request.body(text.to_owned()))
}

fn answer_json(gateway: &Gateway, value: &Value) -> Answer {
    answer(gateway, &value.to_string())
}

#[test]
fn every_member_of_an_answer_counts() {
    for kind in ["http", "rest"] {
        let gateway = gateway(kind);
        let mut value = json!({
            "statusCode": 418,
            "headers": { "X-One": "1", "content-type": "text/x", "Connection": "close", "Content-Length": "3" },
            "multiValueHeaders": { "X-Many": ["a", "b"] },
            "body": "aGkA/w==",
            "isBase64Encoded": true,
        });
        if kind == "http" {
            value["cookies"] = json!(["a=1; Secure", "b=2"]);
        }
        let answer = answer_json(&gateway, &value);
        assert_eq!(answer.status, 418, "{kind} {}", gateway.log());
        assert_eq!(answer.header("x-one"), Some("1"));
        assert_eq!(answer.header("content-type"), Some("text/x"));
        assert_eq!(answer.header_values("x-many"), ["a", "b"]);
        assert_eq!(answer.header("content-length"), Some("4"));
        assert_eq!(answer.body, b"hi\0\xff");
        if kind == "http" {
            assert_eq!(answer.header_values("set-cookie"), ["a=1; Secure", "b=2"]);
        }
    }
}

#[test]
fn a_missing_content_type_is_the_kind_s_default() {
    let value = json!({ "statusCode": 200, "body": "x" });
    let rest = answer_json(&gateway("rest"), &value);
    assert_eq!(rest.header("content-type"), Some("application/json"));
    let http = answer_json(&gateway("http"), &value);
    assert_eq!(http.header("content-type"), Some("text/plain;charset=UTF-8"));
}

#[test]
fn an_http_api_infers_a_response() {
    let gateway = gateway("http");
    for (value, body) in [
        (json!({ "message": "hi" }), "{\"message\":\"hi\"}"),
        (json!("just text"), "just text"),
        (json!([1, 2]), "[1,2]"),
        (Value::Null, "null"),
    ] {
        let answer = answer_json(&gateway, &value);
        assert_eq!((answer.status, answer.text().as_str()), (200, body));
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
}

#[test]
fn nonsense_is_the_kind_s_own_error() {
    let malformed = [
        "not json",
        "",
        r#"{"statusCode":"abc"}"#,
        r#"{"statusCode":99}"#,
        r#"{"statusCode":200,"body":{"a":1}}"#,
        r#"{"statusCode":200,"headers":{"a b":"c"}}"#,
        r#"{"statusCode":200,"headers":{"a":"b\r\nc: d"}}"#,
        r#"{"statusCode":200,"body":"%%%","isBase64Encoded":true}"#,
    ];
    let http = gateway("http");
    let rest = gateway("rest");
    for text in malformed {
        let answer = answer(&http, text);
        let expected = json!({ "message": "Internal Server Error" });
        assert_eq!((answer.status, answer.json()), (500, expected), "{text}");
    }
    for text in malformed.into_iter().chain([r#"{"message":"hi"}"#, "\"text\"", "null", "[]"]) {
        let answer = answer(&rest, text);
        let expected = json!({ "message": "Internal server error" });
        assert_eq!((answer.status, answer.json()), (502, expected), "{text}");
    }
    rest.wait_for_log("malformed proxy response");
}

#[test]
fn an_answer_without_content_has_none() {
    let gateway = gateway("http");
    let answer = answer_json(&gateway, &json!({ "statusCode": 204, "body": "ignored" }));
    assert_eq!((answer.status, answer.text().as_str()), (204, ""));
    let head = Answer::of(gateway.request("HEAD", "/probe?do=big&n=1000"));
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), Some("1000"));
}

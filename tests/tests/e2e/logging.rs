//! A stage's execution log and access log.

use mayfly_tests::{Answer, Gateway, PATIENCE, Project, fixture};
use serde_json::{Value, json};

fn gateway(kind: &str, stage: &str) -> Gateway {
    let config = format!(
        r#"
kind = "{kind}"
stage = "test"

[stages.test]
{stage}

[[route]]
route = "GET /broken"
function = "probe"

[[route]]
route = "POST /pets/{{id}}"
function = "probe"

[[route]]
route = "GET /mock"
mock = {{ status = 201, body = "hello" }}
"#
    );
    Project::with_config(&config).with_handler("probe", &fixture("probe")).serve()
}

/// The lines of the log that are JSON, once there are `count` of them.
fn json_lines(gateway: &Gateway, count: usize) -> Vec<Value> {
    let lines = || -> Vec<Value> {
        gateway.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    gateway.wait(&format!("{count} access lines"), || lines().len() >= count);
    lines()
}

const FORMAT: &str = r#"access_log = '{"id": "$context.requestId", "extended": "$context.extendedRequestId", "ip": "$context.identity.sourceIp", "agent": "$context.identity.userAgent", "method": "$context.httpMethod", "path": "$context.path", "resource": "$context.resourcePath", "key": "$context.routeKey", "stage": "$context.stage", "status": "$context.status", "bytes": $context.responseLength, "latency": $context.responseLatency, "integration": "$context.integration.status", "service": "$context.integrationStatus", "took": "$context.integrationLatency", "type": "$context.error.responseType", "message": "$context.error.message", "reason": "$context.integrationErrorMessage", "waf": "$context.waf.status"}'"#;

#[test]
fn the_access_log_has_the_stage_s_format() {
    for kind in ["rest", "http"] {
        let gateway = gateway(kind, FORMAT);
        let mock =
            Answer::of(gateway.request("GET", "/mock").header("user-agent", "a\"b\\c\u{80}"));
        assert_eq!(mock.status, 201);
        let id = match kind {
            "rest" => mock.header("x-amzn-requestid"),
            _ => mock.header("apigw-requestid"),
        };
        let line = &json_lines(&gateway, 1)[0];
        assert_eq!(line["id"].as_str(), id);
        assert_ne!(line["extended"], "-");
        assert_eq!(line["ip"], "127.0.0.1");
        assert_eq!(line["agent"], "a\"b\\c\u{80}");
        assert_eq!((&line["method"], &line["path"]), (&json!("GET"), &json!("/mock")));
        assert_eq!((&line["resource"], &line["stage"]), (&json!("/mock"), &json!("test")));
        assert_eq!(line["key"], if kind == "http" { "GET /mock" } else { "-" });
        assert_eq!((&line["status"], &line["bytes"]), (&json!("201"), &json!(5)));
        assert!(line["latency"].as_u64().is_some_and(|ms| u128::from(ms) < PATIENCE.as_millis()));
        assert_eq!(line["integration"], "-");
        for nothing in ["type", "message", "reason", "waf"] {
            assert_eq!(line[nothing], "-", "{nothing}");
        }
        // Our own line is not written beside it.
        assert!(!gateway.log().contains("GET /mock 201"), "{}", gateway.log());
    }
}

#[test]
fn the_access_log_tells_of_integrations_and_errors() {
    let gateway = gateway("rest", FORMAT);
    assert_eq!(gateway.post("/pets/7", &json!({})).status, 200);
    assert_eq!(gateway.get("/broken?do=trap").status, 502);
    assert_eq!(gateway.get("/nothing").status, 403);
    let lines = json_lines(&gateway, 3);
    assert_eq!(lines[0]["resource"], "/pets/{id}");
    assert_eq!((&lines[0]["integration"], &lines[0]["service"]), (&json!("200"), &json!("200")));
    assert!(lines[0]["took"].as_str().and_then(|ms| ms.parse::<u32>().ok()).is_some());
    assert_eq!(lines[1]["type"], "INTEGRATION_FAILURE");
    assert_eq!(lines[1]["message"], "Internal server error");
    let reason = lines[1]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("the function trapped: wasm trap: "), "{reason}");
    assert_eq!(lines[2]["type"], "MISSING_AUTHENTICATION_TOKEN");
    assert_eq!((&lines[2]["resource"], &lines[2]["took"]), (&json!("-"), &json!("-")));
    assert_eq!(lines[2]["status"], "403");
}

#[test]
fn message_strings_have_their_own_quotes() {
    let format = "access_log = '{\"id\": \"$context.requestId\", \"message\": $context.error.messageString}'";
    let gateway = gateway("rest", format);
    assert_eq!(gateway.get("/nothing").status, 403);
    assert_eq!(json_lines(&gateway, 1)[0]["message"], "Missing Authentication Token");
}

#[test]
fn without_logging_only_accesses_are_logged() {
    let silent = gateway("rest", "logging = \"OFF\"");
    assert_eq!(silent.get("/broken?do=error").status, 502);
    silent.wait_for_log("GET /broken 502");
    let log = silent.log();
    assert!(!log.contains("asked to fail") && !log.contains("malformed"), "{log}");
    let telling = gateway("rest", "logging = \"ERROR\"");
    assert_eq!(telling.get("/broken?do=error").status, 502);
    telling.wait_for_log("GET /broken 502");
    assert!(telling.log().contains("asked to fail"), "{}", telling.log());
    assert!(!telling.log().contains("method request:"), "{}", telling.log());
}

fn post_with_secrets(gateway: &Gateway) {
    let answer = Answer::of(
        gateway
            .request("POST", "/pets/7?x=1")
            .header("authorization", "Bearer s3cret")
            .header("x-api-key", "k3y")
            .header("x-plain", "plain")
            .body("some text\nERROR forged line"),
    );
    assert_eq!(answer.status, 200);
    gateway.wait_for_log("POST /pets/7 200");
}

#[test]
fn each_step_is_logged_without_bodies() {
    let gateway = gateway("rest", "logging = \"INFO\"");
    post_with_secrets(&gateway);
    let log = gateway.log();
    for step in [
        "route: POST /pets/{id} (resource /pets/{id})",
        "path parameter id = \"7\"",
        "method request: POST /pets/7?x=1",
        "x-plain: plain",
        "authorization: ***",
        "x-api-key: ***",
        "(27 bytes)",
        "integration request: function probe",
        "integration response: (",
        "method response: 200 OK",
    ] {
        assert!(log.contains(step), "{step}: {log}");
    }
    for hidden in ["s3cret", "k3y", "some text"] {
        assert!(!log.contains(hidden), "{hidden}: {log}");
    }
}

#[test]
fn data_trace_shows_the_beginning_of_bodies() {
    let gateway = gateway("rest", "logging = \"INFO\"\ndata_trace = true");
    post_with_secrets(&gateway);
    let log = gateway.log();
    assert!(log.contains("some text"), "{log}");
    // A client cannot write lines of its own.
    assert!(!log.lines().any(|line| line.starts_with("ERROR forged")), "{log}");
    let long = "y".repeat(5000);
    assert_eq!(Answer::of(gateway.request("POST", "/pets/8").body(long)).status, 200);
    gateway.wait_for_log("POST /pets/8 200");
    let log = gateway.log();
    assert!(log.contains(&format!("{}[truncated, 5000 bytes]", "y".repeat(1024))), "{log}");
    assert!(!log.contains(&"y".repeat(1025)));
}

#[test]
fn what_an_authorizer_looks_at_is_masked_in_every_step() {
    let config = r#"
[stages."$default"]
logging = "INFO"
data_trace = true

[authorizer.own]
function = "auth"
simple_responses = true
identity = ["header.x-own", "query.token"]

[[route]]
route = "GET /web/{path+}"
function = "web"
authorizer = "own"

[[route]]
route = "GET /probe"
function = "probe"
authorizer = "own"
"#;
    let gateway = Project::with_config(config)
        .with_handler("auth", &fixture("authorizer"))
        .with_handler("web", &fixture("http-guest"))
        .with_handler("probe", &fixture("probe"))
        .serve();
    for path in ["/web/count", "/probe"] {
        let request = gateway.request("GET", &format!("{path}?do=count&token=simple-yes:s3cret"));
        assert_eq!(Answer::of(request.header("x-own", "s3cret")).status, 200);
        gateway.wait_for_log(&format!("GET {path} 200"));
    }
    let log = gateway.log();
    for (step, count) in [
        // The method request and the request to the function, of the first;
        // the method request of the second.
        ("x-own: ***", 3),
        ("?do=count&token=***", 3),
        ("\"x-own\":\"***\"", 1),
        ("\"token\":\"***\"", 1),
        ("\"rawQueryString\":\"do=count&token=***\"", 1),
    ] {
        assert_eq!(log.matches(step).count(), count, "{step}: {log}");
    }
    assert!(!log.contains("s3cret"), "{log}");
}

#[test]
fn each_stage_has_its_own_logs() {
    let gateway = Project::with_config(
        r#"
kind = "rest"
stage_prefix = true

[stages.silent]
logging = "OFF"
access_log = '{"id": "$context.requestId", "stage": "$context.stage", "path": "$context.path"}'

[stages.telling]
logging = "INFO"

[[route]]
route = "GET /mock"
mock = { body = "hello" }
"#,
    )
    .serve();
    assert_eq!(gateway.get("/silent/mock").status, 200);
    let line = &json_lines(&gateway, 1)[0];
    assert_eq!((&line["stage"], &line["path"]), (&json!("silent"), &json!("/silent/mock")));
    assert!(!gateway.log().contains("method request:"), "{}", gateway.log());
    assert_eq!(gateway.get("/telling/mock").status, 200);
    gateway.wait_for_log("method request: GET /telling/mock");
    gateway.wait_for_log("GET /telling/mock 200");
}

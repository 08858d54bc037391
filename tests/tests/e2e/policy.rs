//! Resource policies: who may call a REST API.

use mayfly_tests::{Answer, Gateway, Project};
use serde_json::json;

const MASKED: &str = "arn:aws:execute-api:us-east-1:********0000:mayfly";

fn gateway(statements: &str, more: &str) -> Gateway {
    Project::with_config(&format!(
        "kind = \"rest\"\nstage = \"test\"\npolicy = '''{{ \"Version\": \"2012-10-17\", \"Statement\": [{statements}] }}'''\n{more}\n[stages.test]\n[[route]]\nroute = \"ANY /pets/{{id}}\"\nmock = {{ body = \"hi\" }}\n"
    ))
    .serve()
}

fn statement(effect: &str, resource: &str, condition: &str) -> String {
    format!(
        r#"{{ "Effect": "{effect}", "Principal": "*", "Action": "execute-api:Invoke", "Resource": "{resource}"{condition} }}"#
    )
}

#[test]
fn a_policy_says_who_may_call() {
    let ours = r#", "Condition": { "IpAddress": { "aws:SourceIp": ["127.0.0.0/8", "::1"] } }"#;
    let statements = [
        statement("Allow", "execute-api:/test/GET/*", ours),
        statement("Allow", "arn:aws:execute-api:eu-west-1:123456789012:abc/test/PUT/pets/?", ""),
        statement("Deny", "execute-api:/*/pets/9", ""),
    ];
    let gateway = gateway(
        &statements.join(", "),
        "[gateway_responses.ACCESS_DENIED]\nheaders = { x-why = \"context.error.responseType\" }",
    );
    assert_eq!(gateway.get("/pets/1?q=1").text(), "hi");
    assert_eq!(Answer::of(gateway.request("PUT", "/pets/1")).text(), "hi");
    for (method, path, suffix) in [
        ("GET", "/pets/9", " with an explicit deny"),
        ("POST", "/pets/1", ""),
        ("PUT", "/pets/12", ""),
    ] {
        let answer = Answer::of(gateway.request(method, path));
        let message = format!(
            "User: anonymous is not authorized to perform: execute-api:Invoke on resource: {MASKED}/test/{method}{path}{suffix}"
        );
        assert_eq!((answer.status, answer.json()), (403, json!({ "Message": message })));
        assert_eq!(answer.header("x-amzn-errortype"), Some("AccessDeniedException"));
        assert_eq!(answer.header("x-why"), Some("ACCESS_DENIED"));
    }
    // However the path is spelled.
    for path in ["/pets/9/", "/%70ets/9", "/pets/%39", "/pets/%39/?q=1"] {
        let denied = gateway.get(path);
        assert_eq!(denied.status, 403, "{path}");
        assert!(denied.text().ends_with("/test/GET/pets/9 with an explicit deny\"}"), "{path}");
    }
    let unknown = gateway.get("/none");
    assert_eq!(unknown.json(), json!({ "message": "Missing Authentication Token" }));
}

#[test]
fn preflights_and_other_places_are_denied_too() {
    let theirs = r#", "Condition": { "NotIpAddress": { "aws:SourceIp": "127.0.0.0/8" } }"#;
    let statements = statement("Allow", "*", theirs);
    let gateway = gateway(&statements, "cors = true");
    let preflight = gateway
        .request("OPTIONS", "/pets/1")
        .header("origin", "https://a.example")
        .header("access-control-request-method", "GET");
    let answer = Answer::of(preflight);
    assert_eq!(answer.status, 403);
    // A page has to be able to read why.
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(gateway.get("/pets/1").status, 403);
}

#[test]
fn a_header_with_any_letters_is_compared() {
    let theirs = r#", "Condition": { "StringLike": { "aws:UserAgent": "*bot*" } }"#;
    let statements = [statement("Allow", "*", ""), statement("Deny", "*", theirs)];
    let gateway = gateway(&statements.join(", "), "");
    let get = |agent: &[u8]| {
        let agent = reqwest::header::HeaderValue::from_bytes(agent).expect("a header");
        gateway.request("GET", "/pets/1").header("user-agent", agent).send().expect("an answer")
    };
    assert_eq!(get("käfer".as_bytes()).status(), 200);
    assert_eq!(get(b"bot").status(), 403);
    assert_eq!(get("bot für käfer".as_bytes()).status(), 403);
    assert_eq!(get(b"bot \xff").status(), 403);
}

/// A slash within a segment leads into no other path's allowance.
#[test]
fn an_encoded_slash_is_no_way_around_a_policy() {
    let config = format!(
        "kind = \"rest\"\npolicy = '''{{ \"Statement\": [{}] }}'''\n[[route]]\nroute = \"GET /{{name}}\"\nmock = {{}}\n[[route]]\nroute = \"GET /public/{{name}}\"\nmock = {{}}\n",
        statement("Allow", "execute-api:/*/GET/public/*", "")
    );
    let gateway = Project::with_config(&config).serve();
    assert_eq!(gateway.get("/public/a").status, 200);
    assert_eq!(gateway.get("/private").status, 403);
    assert_eq!(gateway.get("/public%2Fa").status, 403);
}

//! Lambda authorizers of both kinds of API.

use mayfly_tests::{Answer, Gateway, Project, fixture};
use serde_json::{Value, json};

fn gateway(config: &str) -> Gateway {
    Project::with_config(config)
        .with_handler("probe", &fixture("probe"))
        .with_handler("auth", &fixture("authorizer"))
        .serve()
}

const TOKEN: &str = r#"
kind = "rest"
stage = "test"

[authorizer.tokens]
type = "token"
function = "auth"
identity_validation = "[a-z-]+(:.*)?"

[stages.test]

[[route]]
route = "ANY /pets/{id}"
function = "probe"
authorizer = "tokens"

[[route]]
route = "GET /who"
authorizer = "tokens"

[route.integration]
type = "mock"
request_templates = { "application/json" = '{"statusCode": 200}' }
responses = [{ templates = { "text/plain" = "$context.authorizer.principalId $context.authorizer.number $context.authorizer.flag" } }]

[[route]]
route = "GET /open"
mock = { body = "open" }
"#;

#[test]
fn a_token_is_allowed_or_denied_in_the_service_s_words() {
    let gateway = gateway(&format!(
        "{TOKEN}\n[gateway_responses.UNAUTHORIZED]\nheaders = {{ x-type = \"context.error.responseType\" }}\n"
    ));
    let unauthorized = json!({ "message": "Unauthorized" });
    let implicit = json!({ "Message": "User is not authorized to access this resource" });
    let explicit = json!({
        "Message": "User is not authorized to access this resource with an explicit deny",
    });
    let nothing = json!({ "message": null });
    for (token, status, body, error) in [
        ("deny", 403, &explicit, "AccessDeniedException"),
        ("allow-other", 403, &implicit, "AccessDeniedException"),
        ("unauthorized", 401, &unauthorized, "UnauthorizedException"),
        ("NOT LIKE IT", 401, &unauthorized, "UnauthorizedException"),
        ("fail", 500, &nothing, "AuthorizerFailureException"),
        ("nonsense", 500, &nothing, "AuthorizerConfigurationException"),
        ("nobody", 500, &nothing, "AuthorizerConfigurationException"),
        ("nested", 500, &nothing, "AuthorizerConfigurationException"),
        ("broken", 500, &nothing, "AuthorizerConfigurationException"),
    ] {
        let answer = gateway.get_as("/pets/7", token);
        assert_eq!((answer.status, &answer.json()), (status, body), "{token}");
        assert_eq!(answer.header("x-amzn-errortype"), Some(error), "{token}");
        let own = (status == 401).then_some("UNAUTHORIZED");
        assert_eq!(answer.header("x-type"), own, "{token}");
    }
    let missing = gateway.get("/pets/7");
    assert_eq!((missing.status, missing.json()), (401, unauthorized));
    gateway.wait_for_log("Statement[0].Effect is \"Maybe\"");
    assert_eq!(gateway.get("/open").text(), "open");
    // The authorizer is no route of its own.
    assert_eq!(gateway.get("/auth").status, 403);
}

#[test]
fn what_an_authorizer_says_reaches_events_and_templates() {
    let gateway = gateway(TOKEN);
    let event = gateway.get_as("/pets/7?q=1", "allow:me").json();
    let authorizer = &event["requestContext"]["authorizer"];
    assert_eq!(authorizer["principalId"], "user allow:me");
    assert_eq!(authorizer["number"], "5");
    assert_eq!(authorizer["flag"], "true");
    let asked: Value =
        serde_json::from_str(authorizer["event"].as_str().expect("text")).expect("JSON");
    assert_eq!(
        asked,
        json!({
            "type": "TOKEN",
            "methodArn": "arn:aws:execute-api:us-east-1:000000000000:mayfly/test/GET/pets/7",
            "authorizationToken": "allow:me",
        })
    );
    assert_eq!(gateway.get_as("/who", "allow").text(), "user allow 5 true");
    let tested = gateway.project.run(&["test", "GET", "/who", "-H", "Authorization: allow"]);
    let text = String::from_utf8_lossy(&tested.stdout).into_owned();
    assert!(text.contains("--- authorizer\ntokens (asked): user allow\n"), "{text}");
}

#[test]
fn answers_are_kept_for_the_same_caller_only() {
    let gateway = gateway(TOKEN);
    let call = |token: &str| {
        let event = gateway.get_as("/pets/7", token).json();
        event["requestContext"]["authorizer"]["call"].as_str().expect("an id").to_owned()
    };
    let (first, other) = (call("allow:a"), call("allow:b"));
    assert_eq!(call("allow:a"), first);
    assert_ne!(first, other);
    assert_eq!(call("allow:b"), other);
    // What is kept is the policy, not what it said of one method.
    assert_eq!(gateway.get_as("/pets/7", "allow-get").status, 200);
    let put = gateway.request("PUT", "/pets/7").header("authorization", "allow-get");
    assert_eq!(Answer::of(put).status, 403);

    let config = TOKEN.replace("type = \"token\"", "type = \"token\"\nttl_seconds = 0");
    let reloads = gateway.health()["reloads"].clone();
    gateway.project.write_config(&config);
    gateway.wait("the reload", || gateway.health()["reloads"] != reloads);
    assert_ne!(call("allow:a"), call("allow:a"));
}

#[test]
fn a_stage_does_not_know_what_another_was_told() {
    let config = TOKEN
        .replace("stage = \"test\"", "stage = \"test\"\nstage_prefix = true")
        .replace("function = \"auth\"", "function = \"${stageVariables.who}\"")
        .replace(
            "[stages.test]",
            "[stages.test.variables]\nwho = \"auth\"\n[stages.live.variables]\nwho = \"deny\"",
        );
    let gateway = Project::with_config(&config)
        .with_handler("probe", &fixture("probe"))
        .with_handler("auth", &fixture("authorizer"))
        .with_handler("deny", &fixture("probe"))
        .serve();
    let status = |path: &str| gateway.get_as(path, "allow:a").status;
    assert_eq!(status("/test/pets/7"), 200);
    // It has another authorizer, whose answer is none.
    assert_eq!(status("/live/pets/7"), 500);
    assert_eq!(status("/test/pets/7"), 200);
}

#[test]
fn an_authorizer_of_requests_sees_the_request() {
    let config = r#"
kind = "rest"
stage = "test"
[stages.test]
variables = { color = "blue" }
[authorizer.requests]
function = "auth"
identity = ["query.token", "stageVariables.color", "context.httpMethod"]
[[route]]
route = "POST /pets/{id}"
function = "probe"
authorizer = "requests"
"#;
    let gateway = gateway(config);
    let post = |query: &str| {
        Answer::of(gateway.request("POST", &format!("/pets/7{query}")).body("the body"))
    };
    assert_eq!(post("").status, 401);
    assert_eq!(post("?token=").status, 401);
    assert_eq!(post("?token=deny").status, 403);
    let event = post("?token=allow&x=1&x=2").json();
    assert_eq!(event["body"], "the body");
    let asked = event["requestContext"]["authorizer"]["event"].as_str().expect("text");
    let asked: Value = serde_json::from_str(asked).expect("JSON");
    assert_eq!(asked["type"], "REQUEST");
    assert!(asked["methodArn"].as_str().expect("text").ends_with(":mayfly/test/POST/pets/7"));
    for key in [
        "resource",
        "path",
        "httpMethod",
        "headers",
        "multiValueHeaders",
        "queryStringParameters",
        "multiValueQueryStringParameters",
        "pathParameters",
        "stageVariables",
    ] {
        assert_eq!(asked[key], event[key], "{key}");
    }
    assert_eq!(asked["requestContext"]["resourcePath"], "/pets/{id}");
    assert!(asked.get("body").is_none() && asked.get("isBase64Encoded").is_none());
}

#[test]
fn an_http_api_has_simple_answers_and_formats() {
    let config = r#"
[authorizer.simple]
function = "auth"
simple_responses = true
identity = ["$request.header.Authorization"]
[authorizer.policies]
function = "auth"
identity = ["header.authorization"]
[authorizer.old]
function = "auth"
payload = "1.0"
identity = ["$request.header.authorization", "$context.stage"]
[authorizer.tokens]
type = "token"
function = "auth"
[[route]]
route = "GET /tokens"
function = "probe"
authorizer = "tokens"
[[route]]
route = "GET /simple"
function = "probe"
authorizer = "simple"
[[route]]
route = "GET /policies"
function = "probe"
authorizer = "policies"
[[route]]
route = "GET /old"
function = "probe"
payload = "1.0"
authorizer = "old"
"#;
    let gateway = gateway(config);
    let context = |path: &str, token: &str| {
        gateway.get_as(path, token).json()["requestContext"]["authorizer"].clone()
    };
    assert_eq!(context("/simple", "simple-yes"), json!({ "lambda": { "list": [1, "2"] } }));
    let policies = context("/policies", "allow")["lambda"].clone();
    assert_eq!((&policies["number"], &policies["flag"]), (&json!(5), &json!(true)));
    let asked: Value =
        serde_json::from_str(policies["event"].as_str().expect("text")).expect("JSON");
    assert_eq!((&asked["version"], &asked["type"]), (&json!("2.0"), &json!("REQUEST")));
    assert_eq!(asked["identitySource"], json!(["allow"]));
    assert_eq!(
        asked["routeArn"],
        "arn:aws:execute-api:us-east-1:000000000000:mayfly/$default/GET/policies"
    );
    assert_eq!(
        (&asked["routeKey"], &asked["rawPath"]),
        (&json!("GET /policies"), &json!("/policies"))
    );
    assert_eq!(asked["requestContext"]["http"]["method"], "GET");
    let asked: Value = serde_json::from_str(
        context("/tokens", "allow")["lambda"]["event"].as_str().expect("text"),
    )
    .expect("JSON");
    assert_eq!((&asked["type"], &asked["authorizationToken"]), (&json!("TOKEN"), &json!("allow")));
    let old = context("/old", "allow");
    assert_eq!((&old["number"], &old["principalId"]), (&json!("5"), &json!("user allow,$default")));
    let asked: Value = serde_json::from_str(old["event"].as_str().expect("text")).expect("JSON");
    assert_eq!(
        (&asked["version"], &asked["identitySource"]),
        (&json!("1.0"), &json!("allow,$default"))
    );

    for (path, token, status, message) in [
        ("/simple", "simple-no", 403, "Forbidden"),
        ("/simple", "allow", 500, "Internal Server Error"),
        ("/policies", "deny", 403, "Forbidden"),
        ("/policies", "allow-other", 403, "Forbidden"),
        ("/policies", "unauthorized", 401, "Unauthorized"),
        ("/policies", "fail", 500, "Internal Server Error"),
        ("/policies", "", 401, "Unauthorized"),
        ("/tokens", "deny", 403, "Forbidden"),
    ] {
        let answer = gateway.get_as(path, token);
        let expected = json!({ "message": message });
        assert_eq!((answer.status, answer.json()), (status, expected), "{path} {token}");
    }
}

#[test]
fn an_authorizer_without_a_file_is_reported() {
    let project = Project::with_config(TOKEN).with_handler("probe", &fixture("probe"));
    let check = project.run(&["check"]);
    assert_eq!(check.status.code(), Some(2));
    let text = String::from_utf8_lossy(&check.stderr).into_owned();
    assert!(text.contains("names the function \"auth\", but there is no auth.wasm"), "{text}");
}

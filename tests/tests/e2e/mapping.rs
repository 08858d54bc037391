//! Integrations behind mapping templates, as REST APIs have them.

use mayfly_tests::{Answer, Gateway, Project, fixture};
use serde_json::json;

fn gateway(config: &str) -> Gateway {
    Project::with_config(&format!("kind = \"rest\"\nstage = \"test\"\n{config}"))
        .with_handler("probe", &fixture("probe"))
        .serve()
}

const MOCK: &str = r#"
[stages.test]
variables = { color = "blue" }

[[route]]
route = "POST /pets/{id}"

[route.integration]
type = "mock"

[route.integration.request_templates]
"application/json" = '''
#set($age = $input.path('$.age'))
{"statusCode": #if($input.params('id') == '0')404#elseif($age > 30)302#{else}200#end}
'''
"text/plain" = '{"statusCode": "418"}'

[[route.integration.responses]]
status = 200
headers = { x-static = "'yes'", x-method = "context.httpMethod", x-color = "stageVariables.color" }

[route.integration.responses.templates]
"application/json" = '{"id": "$input.params("id")", "stage": "$context.stage", "color": "$stageVariables.color", "ip": "$context.identity.sourceIp"}'
"text/xml" = '<id>$input.params("id")</id>'

[[route.integration.responses]]
status = 404
pattern = "404"
templates = { "application/json" = '{"message": "no pet $input.params("id")"}' }

[[route.integration.responses]]
status = 302
pattern = "3\\d{2}"
templates = { "application/json" = """
#set($context.responseOverride.status = 307)
#set($context.responseOverride.header.location = "/old/$input.params('id')")
""" }
"#;

fn post(gateway: &Gateway, path: &str, content_type: &str, body: &str) -> Answer {
    let request = gateway.request("POST", path).header("content-type", content_type);
    Answer::of(request.body(body.to_owned()))
}

#[test]
fn a_mock_s_request_selects_its_response() {
    let gateway = gateway(MOCK);
    let json = "application/json; charset=utf-8";
    let found = post(&gateway, "/pets/7", json, r#"{"age": 3}"#);
    assert_eq!(found.status, 200, "{found:?} {}", gateway.log());
    assert_eq!(
        found.json(),
        json!({ "id": "7", "stage": "test", "color": "blue", "ip": "127.0.0.1" })
    );
    assert_eq!(found.header("content-type"), Some("application/json"));
    assert_eq!(found.header("x-static"), Some("yes"));
    assert_eq!(found.header("x-method"), Some("POST"));
    assert_eq!(found.header("x-color"), Some("blue"));

    let missing = post(&gateway, "/pets/0", json, "{}");
    assert_eq!((missing.status, missing.json()), (404, json!({ "message": "no pet 0" })));

    let moved = post(&gateway, "/pets/7", json, r#"{"age": 31}"#);
    assert_eq!((moved.status, moved.header("location")), (307, Some("/old/7")));

    // Another content type has another template; 418 selects the default.
    assert_eq!(post(&gateway, "/pets/7", "text/plain", "hi").status, 200);
    let xml = gateway
        .request("POST", "/pets/7")
        .header("content-type", "application/json")
        .header("accept", "text/html, text/xml;q=0.9");
    let xml = Answer::of(xml.body("{}"));
    assert_eq!((xml.header("content-type"), xml.text().as_str()), (Some("text/xml"), "<id>7</id>"));
}

#[test]
fn what_no_template_is_for_passes_or_is_refused() {
    let route = |behavior: &str| {
        format!(
            "[[route]]\nroute = \"POST /{behavior}\"\n[route.integration]\ntype = \"mock\"\n\
             passthrough_behavior = \"{behavior}\"\n\
             request_templates = {{ \"application/json\" = '{{\"statusCode\": 200}}' }}\n\
             responses = [{{ status = 200, headers = {{ x-selected = \"'default'\" }} }}]\n"
        )
    };
    let gateway = gateway(&["WHEN_NO_MATCH", "WHEN_NO_TEMPLATES", "NEVER"].map(route).concat());
    for (path, content_type, body, status) in [
        ("/WHEN_NO_MATCH", "application/json", "x", 200),
        ("/WHEN_NO_MATCH", "text/plain", r#"{"statusCode": 200}"#, 200),
        ("/WHEN_NO_MATCH", "text/plain", "no status code", 500),
        ("/WHEN_NO_TEMPLATES", "application/json", "x", 200),
        ("/WHEN_NO_TEMPLATES", "text/plain", r#"{"statusCode": 200}"#, 415),
        ("/NEVER", "application/json", "x", 200),
        ("/NEVER", "text/plain", r#"{"statusCode": 200}"#, 415),
    ] {
        let answer = post(&gateway, path, content_type, body);
        assert_eq!(answer.status, status, "{path} {content_type} {body}");
        if status == 415 {
            assert_eq!(answer.json(), json!({ "message": "Unsupported Media Type" }));
        }
    }
    gateway.wait_for_log("the mock's request has no statusCode: \"no status code\"");
}

const FUNCTION: &str = r#"
[[route]]
route = "POST /call/{do}"

[route.integration]
type = "function"
function = "probe"
request_templates = { "application/json" = '''
{"queryStringParameters": {"do": "$input.params('do')", "n": "20000"}, "body": "$util.escapeJavaScript($input.json('$.answer'))"}
''', "text/plain" = "$input.body" }

[[route.integration.responses]]
status = 200
headers = { x-kind = "integration.response.body.kind", x-none = "integration.response.body.none" }
templates = { "application/json" = '{"count": $input.path("$.items").size(), "first": $input.json("$.items[0]"), "method": "$context.httpMethod"}' }

[[route.integration.responses]]
status = 400
pattern = "asked to .*"
templates = { "application/json" = '{"error": "$input.path("$.errorMessage")", "type": $input.json("$.errorType")}' }

[[route.integration.responses]]
status = 504
pattern = ".*Task timed out.*"

[function.probe]
timeout_ms = 300
"#;

#[test]
fn a_function_s_answer_goes_through_templates() {
    let gateway = gateway(FUNCTION);
    let body = r#"{"answer": {"kind": "list", "items": [{"a": "x/y"}, 2]}}"#;
    let answer = post(&gateway, "/call/answer", "application/json", body);
    assert_eq!(answer.status, 200, "{answer:?} {}", gateway.log());
    assert_eq!(answer.json(), json!({ "count": 2, "first": { "a": "x/y" }, "method": "POST" }));
    assert_eq!(answer.header("x-kind"), Some("list"));
    assert_eq!(answer.header("x-none"), None);
}

#[test]
fn a_function_s_error_message_selects_the_response() {
    let gateway = gateway(FUNCTION);
    let failed = post(&gateway, "/call/error", "application/json", "{}");
    assert_eq!(
        (failed.status, failed.json()),
        (400, json!({ "error": "asked to fail", "type": "Probe.Error" }))
    );
    let late = post(&gateway, "/call/sleep", "application/json", "{}");
    assert_eq!(late.status, 504);
    assert_eq!(late.json()["errorType"], "Sandbox.Timedout");
    // What is no JSON is none that a function can be invoked with.
    let refused = post(&gateway, "/call/x", "text/plain", "no JSON");
    assert_eq!(refused.status, 400);
    assert_eq!(refused.json(), json!({ "message": "Could not parse request body into json" }));
}

#[test]
fn a_template_that_fails_is_the_service_s_500_with_the_reason_in_the_log() {
    let gateway = gateway(
        r#"
[[route]]
route = "POST /"

[route.integration]
type = "mock"
request_templates = { "application/json" = "{\"statusCode\": 200}\n$input.path('$.a').substring(9)" }
responses = [{ status = 200 }]
"#,
    );
    let answer = post(&gateway, "/", "application/json", r#"{"a": "x"}"#);
    assert_eq!(
        (answer.status, answer.json()),
        (500, json!({ "message": "Internal server error" }))
    );
    gateway.wait_for_log(
        "the request template for application/json: line 2, column 1: the method substring failed",
    );
}

#[test]
fn test_shows_what_the_templates_made() {
    let project = Project::with_config(&format!("kind = \"rest\"\nstage = \"test\"\n{MOCK}"));
    let output = project.run(&["test", "POST", "/pets/7", "--body", r#"{"age": 3}"#]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("\"statusCode\": 200"), "{text}");
    assert!(text.contains("\"color\": \"blue\""), "{text}");
    let routes = project.run(&["routes"]);
    let text = String::from_utf8_lossy(&routes.stdout).into_owned();
    assert!(text.contains("POST /pets/{id}  mock with templates"), "{text}");
}

#[test]
fn gateway_responses_are_the_user_s_own() {
    let gateway = gateway(
        r#"
[gateway_responses.DEFAULT_4XX]
headers = { access-control-allow-origin = "'*'", x-origin = "method.request.header.origin", x-type = "context.error.responseType" }

[gateway_responses.MISSING_AUTHENTICATION_TOKEN]
status = 404
headers = { x-id = "context.requestId" }
templates = { "application/json" = '{"error": $context.error.messageString, "path": "$context.path", "stage": "$context.stage"}' }

[gateway_responses.INTEGRATION_FAILURE]
status = 503
templates = { "text/plain" = "$context.error.responseType of $context.resourcePath" }

[limits]
body_bytes_max = 10
"#,
    );
    let unknown = gateway.get("/no/such");
    assert_eq!(unknown.status, 404);
    assert_eq!(
        unknown.json(),
        json!({ "error": "Missing Authentication Token", "path": "/no/such", "stage": "test" })
    );
    assert_eq!(unknown.header("x-id"), unknown.header("x-amzn-requestid"));
    assert_eq!(unknown.header("access-control-allow-origin"), None);

    let request = gateway.request("POST", "/probe").header("origin", "https://a.b");
    let long = Answer::of(request.body("longer than ten bytes"));
    assert_eq!((long.status, long.json()), (413, json!({ "message": "Request Too Long" })));
    assert_eq!(long.header("access-control-allow-origin"), Some("*"));
    assert_eq!(long.header("x-origin"), Some("https://a.b"));
    assert_eq!(long.header("x-type"), Some("REQUEST_TOO_LARGE"));

    let failed = gateway.get("/probe?do=error");
    assert_eq!((failed.status, failed.text().as_str()), (503, "INTEGRATION_FAILURE of /probe"));
    assert_eq!(failed.header("content-type"), Some("text/plain"));
}

#[test]
fn headers_are_found_in_any_case() {
    let gateway = gateway(
        r#"
[[route]]
route = "GET /a"
[route.integration]
type = "mock"
request_templates = { "application/json" = '{"statusCode": 200}' }
responses = [{ templates = { "text/plain" = "$input.params().header.get('X-Client') $input.params().header.X-cLiEnT $input.params('X-CLIENT')" } }]
"#,
    );
    let answer = Answer::of(gateway.request("GET", "/a").header("X-Client", "me"));
    assert_eq!(answer.text(), "me me me");
}

#[test]
fn requests_are_validated_before_anything_is_called() {
    let gateway = gateway(
        r#"
[models.Name]
schema = '{ "type": "string", "minLength": 1 }'

[models.Pet]
schema = '''{ "$schema": "http://json-schema.org/draft-04/schema#", "type": "object", "required": ["name"],
  "properties": { "name": { "$ref": "https://apigateway.amazonaws.com/restapis/a1/models/Name" },
                  "age": { "type": "integer", "minimum": 0, "exclusiveMinimum": true } } }'''

[gateway_responses.BAD_REQUEST_BODY]
templates = { "application/json" = '{"m": $context.error.messageString, "why": "$util.escapeJavaScript($context.error.validationErrorString)"}' }

[[route]]
route = "POST /pets/{id}"
mock = { body = "valid" }
request_models = { "application/json" = "Pet" }
required_parameters = ["method.request.path.id", "method.request.querystring.q", "method.request.header.X-A"]
"#,
    );
    let send = |path: &str, header: &str, content_type: &str, body: &str| {
        let request = gateway.request("POST", path).header("x-a", header);
        Answer::of(request.header("content-type", content_type).body(body.to_owned()))
    };
    let json = "application/json";
    // Of a name that is there twice, the last value counts; and long bodies are as short ones.
    let long = "x".repeat(50_000);
    for body in [
        r#"{"name": "Rex", "age": 3}"#,
        r#" {"n\u0061me": "\"R\u00e9x\"", "more": [{"age": null}]} "#,
        r#"{"name": "", "age": -1, "name": "Rex", "age": 3}"#,
        &format!(r#"{{"name": "{long}", "age": 3}}"#),
    ] {
        assert_eq!(send("/pets/7?q=1", "a", json, body).text(), "valid", "{body}");
    }
    for (path, header, missing) in
        [("/pets/7", "", "q, X-A"), ("/pets/7?q=%20", "a", "q"), ("/pets/%20?q=1", "a", "id")]
    {
        let answer = send(path, header, json, "{}");
        let message = format!("Missing required request parameters: [{missing}]");
        assert_eq!((answer.status, answer.json()), (400, json!({ "message": message })), "{path}");
    }
    for (body, why) in [
        ("{}", r#"[object has missing required properties (["name"])]"#),
        (r#"{"name": ""}"#, r#"[string "" is too short (length: 0, required minimum: 1)]"#),
        (
            r#"{"name": "Rex", "age": 0}"#,
            "[numeric instance is not strictly greater than the required minimum 0]",
        ),
        (r#"{"name": "Rex", "name": ""}"#, r#"[string "" is too short (length: 0"#),
        (
            &format!(r#"{{"name": "{long}", "age": 0}}"#),
            "[numeric instance is not strictly greater than the required minimum 0]",
        ),
        ("[]", r#"(array) does not match any allowed primitive type (allowed: ["object"])]"#),
        ("no JSON", "the body is not JSON"),
        ("", "the body is not JSON"),
    ] {
        let answer = send("/pets/7?q=1", "a", json, body);
        assert_eq!(answer.status, 400, "{body}");
        let told = answer.json();
        assert_eq!(told["m"], "Invalid request body");
        assert!(told["why"].as_str().unwrap().contains(why), "{body}: {told}");
    }
    // A content type without a model is not checked.
    assert_eq!(send("/pets/7?q=1", "a", "text/plain", "no JSON").text(), "valid");
}

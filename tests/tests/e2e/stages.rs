//! Stages: prefixes, variables and canary releases.

use mayfly_tests::{Gateway, Project, fixture};
use serde_json::json;

fn gateway(config: &str) -> Gateway {
    Project::with_config(config).with_handler("probe", &fixture("probe")).serve()
}

const STAGES: &str = r#"
stage_prefix = true

[stages.test]
variables = { color = "blue" }

[stages.live]
variables = { color = "red" }

[[route]]
route = "GET /pets/{id}"
function = "probe"
"#;

#[test]
fn a_rest_api_serves_every_stage_below_its_name() {
    let gateway = gateway(&format!("kind = \"rest\"\nstage = \"test\"\ncors = true\n{STAGES}"));
    for (stage, color) in [("test", "blue"), ("live", "red")] {
        let path = format!("/{stage}/pets/7");
        let event = gateway.get(&format!("{path}?do=event")).json();
        assert_eq!(event["path"], "/pets/7");
        assert_eq!(event["requestContext"]["path"], *path);
        assert_eq!(event["requestContext"]["stage"], stage);
        assert_eq!(event["stageVariables"], json!({ "color": color }));
        assert_eq!(event["requestContext"]["resourcePath"], "/pets/{id}");
        let preflight = gateway
            .request("OPTIONS", &path)
            .header("origin", "https://a.example")
            .header("access-control-request-method", "GET");
        assert_eq!(mayfly_tests::Answer::of(preflight).status, 200);
    }
    for path in ["/pets/7", "/other/pets/7", "/", "/testpets/7"] {
        let answer = gateway.get(path);
        assert_eq!(
            (answer.status, answer.json()),
            (403, json!({ "message": "Forbidden" })),
            "{path}"
        );
        assert_eq!(answer.header("x-amzn-errortype"), Some("ForbiddenException"));
    }
    let answer = gateway.get("/test");
    assert_eq!(answer.json(), json!({ "message": "Missing Authentication Token" }));
}

#[test]
fn an_http_api_s_default_stage_has_no_prefix() {
    let gateway = gateway(STAGES);
    let event = gateway.get("/live/pets/7?do=event").json();
    assert_eq!(event["rawPath"], "/live/pets/7");
    assert_eq!(event["requestContext"]["stage"], "live");
    assert_eq!(event["pathParameters"], json!({ "id": "7" }));
    let event = gateway.get("/pets/7?do=event").json();
    assert_eq!(event["requestContext"]["stage"], "$default");
    assert_eq!(event.get("stageVariables"), None);
    assert_eq!(gateway.get("/none/pets/7").status, 404);
}

#[test]
fn a_stage_variable_names_the_function() {
    let config = r#"
kind = "rest"
stage_prefix = true
drop_in = true
[stages.one]
variables = { version = "one" }
[stages.two]
variables = { version = "two" }
[stages.none]
[[route]]
route = "GET /v"
function = "version-${stageVariables.version}"
"#;
    let one = Project::with_config(config).with_handler("version-one", &fixture("version-one"));
    let check = one.run(&["check"]);
    assert_eq!(check.status.code(), Some(2));
    let text = String::from_utf8_lossy(&check.stderr).into_owned();
    assert!(text.contains("names the function \"version-two\""), "{text}");
    let gateway = one.with_handler("version-two", &fixture("version-two")).serve();
    assert_eq!(gateway.get("/one/v").text(), "one");
    assert_eq!(gateway.get("/two/v").text(), "two");
    assert_eq!(gateway.get("/none/v").status, 502);
    gateway.wait_for_log("which the stage \"none\" has not");
    let routes = gateway.project.run(&["routes"]);
    let text = String::from_utf8_lossy(&routes.stdout).into_owned();
    assert_eq!(text, "GET /v  function version-${stageVariables.version}\n");
}

/// How many of 200 requests got which answer.
fn colors(gateway: &Gateway) -> (usize, usize) {
    let answers: Vec<String> = (0..200).map(|_| gateway.get("/color").text()).collect();
    let count = |text: &str| answers.iter().filter(|answer| *answer == text).count();
    let (own, canary) = (count("blue green false"), count("gold green true"));
    assert_eq!(own + canary, 200, "{answers:?}");
    (own, canary)
}

#[test]
fn a_canary_takes_its_share_of_requests() {
    let config = |percent: &str| {
        format!(
            r#"
kind = "rest"
[[route]]
route = "GET /color"
[route.integration]
type = "mock"
request_templates = {{ "application/json" = '{{"statusCode": 200}}' }}
responses = [{{ templates = {{ "text/plain" = "$stageVariables.color $stageVariables.other $context.isCanaryRequest" }} }}]
[stages.prod]
variables = {{ color = "blue", other = "green" }}
canary = {{ percent = {percent}, variables = {{ color = "gold" }} }}
"#
        )
    };
    assert_eq!(colors(&gateway(&config("0"))), (200, 0));
    assert_eq!(colors(&gateway(&config("100"))), (0, 200));
    // A fair draw of 200 leaves neither side empty, but for a chance of one in 10^60.
    let (own, canary) = colors(&gateway(&config("50.0")));
    assert!(own > 0 && canary > 0, "{own} {canary}");
}

#[test]
fn a_stage_throttles_each_route() {
    let config = r#"
kind = "rest"
stage_prefix = true
[stages.slow]
throttle = { rate = 0.001, burst = 3 }
methods."GET /one" = { throttle = { rate = 0.001, burst = 1 } }
[stages.free]
[gateway_responses.THROTTLED]
headers = { x-type = "context.error.responseType" }
[[route]]
route = "GET /one"
mock = { body = "one" }
[[route]]
route = "GET /many"
mock = { body = "many" }
"#;
    let gateway = gateway(config);
    let statuses = |path: &str| -> Vec<u16> { (0..5).map(|_| gateway.get(path).status).collect() };
    assert_eq!(statuses("/slow/one"), [200, 429, 429, 429, 429]);
    assert_eq!(statuses("/slow/many"), [200, 200, 200, 429, 429]);
    assert_eq!(statuses("/free/one"), [200; 5]);
    // Handlers without a route are throttled as the stage says.
    assert_eq!(statuses("/slow/probe"), [200, 200, 200, 429, 429]);
    let throttled = gateway.get("/slow/one");
    assert_eq!(throttled.json(), json!({ "message": "Too Many Requests" }));
    assert_eq!(throttled.header("x-amzn-errortype"), Some("TooManyRequestsException"));
    assert_eq!(throttled.header("x-type"), Some("THROTTLED"));
    let wait: u64 = throttled.header("retry-after").expect("a time").parse().expect("seconds");
    assert!((900..=1001).contains(&wait), "{wait}");
}

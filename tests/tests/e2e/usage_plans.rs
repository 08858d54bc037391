//! API keys, usage plans, quotas and throttles. Rates are so slow that no test
//! sees a bucket fill.

use mayfly_tests::{Answer, Gateway, Project, client, fixture};
use serde_json::{Value, json};

const PARTNER: &str = "partner-0123456789-secret";
const FRIEND: &str = "friend-0123456789-secret";

/// Two keys in a plan, one that is not enabled and one without a plan.
const KEYS: &str = r#"
[[api_key]]
name = "partner"
value_env = "MAYFLY_TEST_PARTNER"

[[api_key]]
name = "friend"
value = "friend-0123456789-secret"

[[api_key]]
name = "former"
value = "former-0123456789-secret"
enabled = false

[[api_key]]
name = "stranger"
value = "stranger-0123456789-secret"

[[route]]
route = "GET /open"
mock = { body = "open" }

[[route]]
route = "GET /paid"
api_key_required = true
mock = { body = "ok" }

[[route]]
route = "GET /other"
api_key_required = true
mock = { body = "ok" }
"#;

fn project(config: &str) -> Project {
    Project::with_config(config).with_variable("MAYFLY_TEST_PARTNER", PARTNER)
}

fn gateway(head: &str, plans: &str) -> Gateway {
    project(&format!("{head}\n{KEYS}\n{plans}")).serve()
}

fn get(gateway: &Gateway, path: &str, key: &str) -> Answer {
    Answer::of(gateway.request("GET", path).header("x-api-key", key))
}

fn statuses(gateway: &Gateway, path: &str, key: &str, count: usize) -> Vec<u16> {
    (0..count).map(|_| get(gateway, path, key).status).collect()
}

/// What `mayfly usage` tells of a key.
fn usage(project: &Project, arguments: &[&str]) -> Vec<Value> {
    let output = project.run(&[&["usage", "--json"], arguments].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let Value::Array(items) = told["items"].take() else { panic!("no items: {told}") };
    items
}

/// How often a key has called, as it is on disk.
fn used(project: &Project, arguments: &[&str], key: &str) -> u64 {
    let usages = usage(project, arguments);
    let own = usages.iter().find(|usage| usage["key"] == key).expect("the key");
    own["used"].as_u64().expect("a number")
}

#[test]
fn a_route_wants_a_key_that_has_a_plan() {
    for kind in ["rest", "http"] {
        let responses = match kind {
            "rest" => {
                "[gateway_responses.INVALID_API_KEY]\nheaders = { x-type = \"context.error.responseType\" }"
            }
            _ => "",
        };
        let plans = format!(
            "[[usage_plan]]\nname = \"basic\"\nkeys = [\"partner\", \"former\"]\n{responses}"
        );
        let gateway = gateway(&format!("kind = \"{kind}\""), &plans);
        assert_eq!(get(&gateway, "/paid", PARTNER).text(), "ok");
        let long = "x".repeat(4000);
        for key in [
            "",
            "wrong-0123456789-secret",
            "former-0123456789-secret",
            "stranger-0123456789-secret",
            &long,
        ] {
            let answer = get(&gateway, "/paid", key);
            assert_eq!((answer.status, answer.json()), (403, json!({ "message": "Forbidden" })));
            let is_rest = kind == "rest";
            let (error, own) = (answer.header("x-amzn-errortype"), answer.header("x-type"));
            assert_eq!(error, is_rest.then_some("ForbiddenException"), "{key}");
            assert_eq!(own, is_rest.then_some("INVALID_API_KEY"), "{key}");
            // Nobody asks for it there.
            assert_eq!(get(&gateway, "/open", key).text(), "open");
        }
        assert_eq!(gateway.get("/paid").status, 403);
        let twice = gateway.request("GET", "/paid");
        let twice = twice.header("x-api-key", PARTNER).header("x-api-key", PARTNER);
        assert_eq!(Answer::of(twice).status, 403);
        for reason in [
            "the API key is nobody's",
            "the API key \"former\" is not enabled",
            "the API key \"stranger\" has no usage plan",
            "the request has no API key",
            "the request has several API keys",
        ] {
            gateway.wait_for_log(reason);
        }
        assert!(!gateway.log().contains("-secret"), "{}", gateway.log());
    }
}

#[test]
fn each_key_has_buckets_of_its_own() {
    for kind in ["rest", "http"] {
        let gateway = gateway(
            &format!("kind = \"{kind}\""),
            r#"
[[usage_plan]]
name = "basic"
keys = ["partner", "friend"]
throttle = { rate = 0.001, burst = 3 }
methods."GET /paid" = { throttle = { rate = 0.001, burst = 1 } }
"#,
        );
        assert_eq!(statuses(&gateway, "/paid", PARTNER, 3), [200, 429, 429]);
        // What the route's bucket refused has taken nothing of the plan's.
        assert_eq!(statuses(&gateway, "/other", PARTNER, 3), [200, 200, 429]);
        assert_eq!(statuses(&gateway, "/paid", FRIEND, 2), [200, 429]);
        let throttled = get(&gateway, "/other", PARTNER);
        assert_eq!(throttled.json(), json!({ "message": "Too Many Requests" }));
        let wait: u64 = throttled.header("retry-after").expect("a time").parse().expect("seconds");
        assert!((900..=1001).contains(&wait), "{wait}");
        assert_eq!(gateway.get("/open").status, 200);
        gateway.wait_for_log(
            "throttled by the usage plan \"basic\" for this route and the API key \"friend\"",
        );
    }
}

#[test]
fn a_quota_counts_what_is_let_through() {
    for kind in ["rest", "http"] {
        let stage = if kind == "rest" { "prod" } else { "$default" };
        let plans = format!(
            r#"
[[usage_plan]]
name = "basic"
keys = ["partner", "friend"]
quota = {{ limit = 3, period = "month" }}

[stages."{stage}"]
methods."GET /paid" = {{ throttle = {{ rate = 0.001, burst = 1 }} }}
"#
        );
        let gateway = gateway(&format!("kind = \"{kind}\""), &plans);
        // The stage's throttle comes after the quota, and gives it back.
        assert_eq!(statuses(&gateway, "/paid", PARTNER, 4), [200, 429, 429, 429]);
        assert_eq!(statuses(&gateway, "/other", PARTNER, 3), [200, 200, 429]);
        let exceeded = get(&gateway, "/other", PARTNER);
        assert_eq!(exceeded.json(), json!({ "message": "Limit Exceeded" }));
        let error = exceeded.header("x-amzn-errortype");
        assert_eq!(error, (kind == "rest").then_some("LimitExceededException"));
        let wait: u64 = exceeded.header("retry-after").expect("a time").parse().expect("seconds");
        assert!((1..=31 * 86_400).contains(&wait), "{wait}");
        // The quota is looked at before the stage's throttle, which is empty.
        assert_eq!(get(&gateway, "/paid", PARTNER).json(), json!({ "message": "Limit Exceeded" }));
        assert_eq!(statuses(&gateway, "/other", FRIEND, 1), [200]);
        let url = format!("http://{}/usage?plan=basic&key=partner", gateway.admin);
        let told: Value =
            client().get(url).send().and_then(|answer| answer.json()).expect("an answer");
        let own = &told["items"][0];
        assert_eq!((&own["plan"], &own["key"]), (&json!("basic"), &json!("partner")));
        assert_eq!(
            (&own["used"], &own["remaining"], &own["limit"], &own["period"]),
            (&json!(3), &json!(0), &json!(3), &json!("month"))
        );
        assert_eq!(told["items"].as_array().map(Vec::len), Some(1));
    }
}

const QUOTA: &str = r#"
[[usage_plan]]
name = "basic"
keys = ["partner", "friend"]
quota = { limit = 5, period = "month" }

[[usage_plan]]
name = "counted"
keys = ["stranger"]
"#;

#[test]
fn counts_survive_a_stop_and_a_kill() {
    let data = tempfile::tempdir().expect("a folder");
    let data = data.path().to_str().expect("UTF-8");
    let arguments = ["--data", data];
    let start = || project(&format!("{KEYS}{QUOTA}")).serve_with(&arguments);
    let mut first = start();
    assert_eq!(statuses(&first, "/paid", PARTNER, 2), [200; 2]);
    first.signal("TERM");
    assert!(first.wait_for_end().success());
    assert_eq!(used(&first.project, &arguments, "partner"), 2, "written at the end");

    let mut second = start();
    assert_eq!(statuses(&second, "/paid", PARTNER, 2), [200; 2]);
    assert_eq!(statuses(&second, "/paid", "stranger-0123456789-secret", 1), [200]);
    second.wait("usage on disk", || used(&second.project, &arguments, "partner") == 4);
    second.wait("usage on disk", || used(&second.project, &arguments, "stranger") == 1);
    second.signal("KILL");
    second.wait_for_end();

    let third = start();
    assert_eq!(statuses(&third, "/paid", PARTNER, 3), [200, 429, 429]);
    let table = third.project.run(&["usage", "--data", data, "--plan", "counted"]);
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    let lines: Vec<Vec<&str>> =
        table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["PLAN", "KEY", "PERIOD", "USED", "REMAINING", "LIMIT"]);
    assert_eq!(
        (&lines[1][..3], &lines[1][4..]),
        (&["counted", "stranger", "day"][..], &["1", "-", "-"][..])
    );
    assert_eq!(lines.len(), 2, "{table}");
}

#[test]
fn a_damaged_file_of_counts_is_set_aside() {
    let project = project(&format!("{KEYS}{QUOTA}"));
    let data = project.path().join(".mayfly");
    std::fs::create_dir(&data).expect("a folder");
    std::fs::write(data.join("usage.sqlite"), "nothing of the kind ".repeat(500)).expect("written");
    let gateway = project.serve();
    gateway.wait_for_log("usage.sqlite is damaged");
    assert_eq!(statuses(&gateway, "/paid", PARTNER, 6), [200, 200, 200, 200, 200, 429]);
}

#[test]
fn servers_of_one_data_folder_count_together() {
    let data = tempfile::tempdir().expect("a folder");
    let arguments = ["--data", data.path().to_str().expect("UTF-8")];
    let start = || project(&format!("{KEYS}{QUOTA}")).serve_with(&arguments);
    let (one, two) = (start(), start());
    assert_eq!(statuses(&one, "/paid", PARTNER, 2), [200; 2]);
    assert_eq!(statuses(&two, "/paid", PARTNER, 2), [200; 2]);
    one.wait("both counts", || used(&one.project, &arguments, "partner") == 4);
    // Whoever writes next learns of the other's.
    assert_eq!(statuses(&one, "/paid", PARTNER, 1), [200]);
    one.wait("refusal", || get(&one, "/paid", PARTNER).status == 429);
}

#[test]
fn a_reload_keeps_counts_and_buckets() {
    let plans = r#"
[[usage_plan]]
name = "basic"
keys = ["partner"]
throttle = { rate = 0.001, burst = 3 }
quota = { limit = 4, period = "month" }
"#;
    let gateway = gateway("throttle = { rate = 0.001, burst = 5 }", plans);
    assert_eq!(statuses(&gateway, "/paid", PARTNER, 2), [200; 2]);
    let reload = |count: u64, head: &str, plans: &str| {
        gateway.project.write_config(&format!("{head}\n{KEYS}\n{plans}"));
        gateway.wait("reload", || gateway.health()["reloads"] == count);
    };
    reload(1, "throttle = { rate = 0.001, burst = 5 }\nname = \"other\"", plans);
    assert_eq!(statuses(&gateway, "/paid", PARTNER, 2), [200, 429]);
    // Another throttle begins with a full bucket, the quota goes on.
    let wider = plans.replace("burst = 3", "burst = 10");
    reload(2, "throttle = { rate = 0.001, burst = 5 }", &wider);
    assert_eq!(statuses(&gateway, "/other", PARTNER, 2), [200, 429]);
    assert_eq!(get(&gateway, "/other", PARTNER).json(), json!({ "message": "Limit Exceeded" }));
    // A key that is revoked is refused at once.
    let without = wider.replace("keys = [\"partner\"]", "keys = []");
    reload(3, "throttle = { rate = 0.001, burst = 5 }", &without);
    assert_eq!(statuses(&gateway, "/other", PARTNER, 1), [403]);
}

#[test]
fn a_plan_is_of_its_stages_and_is_counted_over_them() {
    let config = format!(
        r#"
kind = "rest"
stage_prefix = true
stage = "one"
{KEYS}
[stages.one]
[stages.two]
[stages.three]
[[usage_plan]]
name = "both"
keys = ["partner"]
stages = ["one", "two"]
throttle = {{ rate = 0.001, burst = 3 }}
methods."GET /paid" = {{ throttle = {{ rate = 0.001, burst = 1 }} }}
"#
    );
    let gateway = project(&config).serve();
    // A method's bucket is its stage's, the plan's is all stages'.
    assert_eq!(statuses(&gateway, "/one/paid", PARTNER, 2), [200, 429]);
    assert_eq!(statuses(&gateway, "/two/paid", PARTNER, 2), [200, 429]);
    assert_eq!(statuses(&gateway, "/two/other", PARTNER, 2), [200, 429]);
    assert_eq!(statuses(&gateway, "/three/paid", PARTNER, 1), [403]);
}

#[test]
fn throttles_go_from_the_method_to_the_account() {
    let config = r#"
[throttle]
rate = 0.001
burst = 4

[account]
throttle = { rate = 0.001, burst = 8 }

[stages."$default"]
methods."GET /a" = { throttle = { rate = 0.001, burst = 1 } }

[[route]]
route = "GET /a"
throttle = { rate = 0.001, burst = 2 }
mock = { body = "a" }

[[route]]
route = "GET /b"
throttle = { rate = 0.001, burst = 2 }
mock = { body = "b" }

[[route]]
route = "GET /c"
mock = { body = "c" }

[[route]]
route = "GET /d"
mock = { body = "d" }
"#;
    let gateway = Project::with_config(config).serve();
    let statuses =
        |path: &str, count| -> Vec<u16> { (0..count).map(|_| gateway.get(path).status).collect() };
    assert_eq!(statuses("/a", 3), [200, 429, 429]);
    assert_eq!(statuses("/b", 4), [200, 200, 429, 429]);
    assert_eq!(statuses("/c", 6), [200, 200, 200, 200, 429, 429]);
    // Of the account's eight, seven are taken; what was refused took none.
    assert_eq!(statuses("/d", 2), [200, 429]);
    gateway.wait_for_log("throttled by the account");
}

#[test]
fn the_authorizer_may_tell_the_key() {
    let config = |kind: &str, simple: &str| {
        format!(
            r#"
kind = "{kind}"
api_key_source = "authorizer"

[authorizer.users]
function = "auth"
identity = ["header.authorization"]
{simple}

[[api_key]]
name = "partner"
value_env = "MAYFLY_TEST_PARTNER"

[[usage_plan]]
name = "basic"
keys = ["partner"]
quota = {{ limit = 2, period = "month" }}

[[route]]
route = "GET /event"
api_key_required = true
authorizer = "users"
function = "probe"
"#
        )
    };
    for (kind, simple, word) in [
        ("rest", "", "allow-key"),
        ("http", "", "allow-key"),
        ("http", "simple_responses = true", "simple-key"),
    ] {
        let gateway = project(&config(kind, simple))
            .with_handler("auth", &fixture("authorizer"))
            .with_handler("probe", &fixture("probe"))
            .serve();
        let get = |token: &str| {
            let request = gateway.request("GET", "/event?do=event");
            // What the client sends beside it does not count.
            Answer::of(request.header("authorization", token).header("x-api-key", PARTNER))
        };
        let token = format!("{word}:{PARTNER}");
        let event = get(&token).json();
        if kind == "rest" {
            assert_eq!(event["requestContext"]["identity"]["apiKey"], PARTNER);
        }
        assert_eq!(get(&format!("{word}:another-0123456789-secret")).status, 403);
        assert_eq!(get(word).status, 403);
        // The authorizer's own word comes first.
        assert_eq!(
            get(&format!("deny-key:{PARTNER}")).status,
            if simple.is_empty() { 403 } else { 500 }
        );
        assert_eq!(get(&token).status, 200);
        assert_eq!(get(&token).json(), json!({ "message": "Limit Exceeded" }));
    }
}

const WITH_AUTHORIZER: &str = r#"
kind = "rest"

[authorizer.tokens]
type = "token"
function = "auth"

[[usage_plan]]
name = "basic"
keys = ["partner"]
quota = { limit = 2, period = "month" }

[[route]]
route = "GET /event"
api_key_required = true
authorizer = "tokens"
function = "probe"

[[route]]
route = "GET /free"
function = "probe"

[stages.prod]
logging = "INFO"
data_trace = true
access_log = '$context.requestId key=$context.identity.apiKey id=$context.identity.apiKeyId'
"#;

#[test]
fn a_header_s_key_is_checked_before_the_authorizer() {
    let gateway = project(&format!("{WITH_AUTHORIZER}{KEYS}"))
        .with_handler("auth", &fixture("authorizer"))
        .with_handler("probe", &fixture("probe"))
        .serve();
    // Without either, it is the key that is missed.
    assert_eq!(gateway.get("/event").status, 403);
    let get = |token: &str| {
        let request = gateway.request("GET", "/event?do=event").header("x-api-key", PARTNER);
        Answer::of(request.header("authorization", token))
    };
    assert_eq!(get("deny").status, 403);
    let event = get("allow").json();
    let identity = &event["requestContext"]["identity"];
    assert_eq!(identity["apiKey"], PARTNER);
    assert_eq!(identity["apiKeyId"].as_str().map(str::len), Some(10));
    // What the authorizer denied has been counted.
    assert_eq!(get("allow").json(), json!({ "message": "Limit Exceeded" }));
    let free = get_event(&gateway, "/free");
    assert_eq!(free["requestContext"]["identity"].get("apiKey"), None);
    let id = identity["apiKeyId"].as_str().expect("an id");
    gateway.wait_for_log(&format!("key=*** id={id}"));
    gateway.wait_for_log("key=- id=-");
    gateway.wait_for_log("\"X-Api-Key\":\"***\"");
    assert!(!gateway.log().contains(PARTNER), "{}", gateway.log());
}

fn get_event(gateway: &Gateway, path: &str) -> Value {
    gateway.get(&format!("{path}?do=event")).json()
}

#[test]
fn templates_know_the_key_s_id() {
    let config = format!(
        r#"
kind = "rest"
{KEYS}
[[usage_plan]]
name = "basic"
keys = ["partner"]
[[route]]
route = "GET /who"
api_key_required = true
[route.integration]
type = "mock"
request_templates = {{ "application/json" = '{{"statusCode": 200}}' }}
responses = [{{ templates = {{ "text/plain" = "$context.identity.apiKeyId $context.identity.apiKey" }} }}]
"#
    );
    let gateway = project(&config).serve();
    let id = usage(&gateway.project, &[])[0]["keyId"].as_str().expect("an id").to_owned();
    assert_eq!(get(&gateway, "/who", PARTNER).text(), format!("{id} {PARTNER}"));
}

#[test]
fn a_definition_s_api_keys_are_asked_for() {
    let project = project(&format!(
        "openapi = \"api.yaml\"\n{KEYS}[[usage_plan]]\nname = \"basic\"\nkeys = [\"partner\"]\n"
    ));
    let definition = "openapi: 3.0.1
x-amazon-apigateway-api-key-source: HEADER
paths:
  /theirs:
    get:
      security: [{ api_key: [] }]
      responses: { 200: { description: ok, content: { text/plain: { example: theirs } } } }
components:
  securitySchemes:
    api_key: { type: apiKey, name: x-api-key, in: header }
";
    std::fs::write(project.path().join("api.yaml"), definition).expect("written");
    let check = project.run(&["check", "--strict"]);
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
    let gateway = project.serve();
    assert_eq!(get(&gateway, "/theirs", PARTNER).text(), "theirs");
    assert_eq!(gateway.get("/theirs").json(), json!({ "message": "Forbidden" }));
}

#[test]
fn usage_is_told_without_a_server_and_without_the_keys() {
    // The variable of the key is not set where the question is asked.
    let project = Project::with_config(&format!("{KEYS}{QUOTA}"));
    let output = project.run(&["usage", "--key", "partner"]);
    assert!(output.status.success());
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(table.contains("basic  partner  month "), "{table}");
    let warning = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(warning.contains("MAYFLY_TEST_PARTNER"), "{warning}");
    // Where it is counted is not known: that is no reason to say zero.
    project.write_config(&format!("state = \"nowhere\"\n{KEYS}{QUOTA}"));
    let output = project.run(&["usage"]);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b""[..]));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("state: the configuration does not say where it is"), "{error}");
    project.write_config(&format!("{KEYS}{QUOTA}"));
    for (flag, value) in [("--plan", "none"), ("--key", "basic")] {
        let output = project.run(&["usage", flag, value]);
        assert_eq!(output.status.code(), Some(2));
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.contains(&format!("{flag}: there is no ")), "{error}");
    }
    let check = project.run(&["check"]);
    assert_eq!(check.status.code(), Some(2));
    let errors = String::from_utf8_lossy(&check.stderr).into_owned();
    assert!(errors.contains("the variable \"MAYFLY_TEST_PARTNER\" is not set"), "{errors}");
    assert!(!errors.contains("-secret"), "{errors}");
}

//! Versions, aliases, and settings that the API makes.

use mayfly_tests::{Answer, Gateway, Project, fixture};
use serde_json::{Value, json};

use crate::lambda::boto;

const CONFIG: &str = r#"
[[route]]
route = "GET /pets"
function = "pets"

[[route]]
route = "GET /live"
function = "pets:live"

[[route]]
route = "GET /one"
function = "pets:1"
"#;

fn pets() -> Gateway {
    Project::with_config(CONFIG).with_handler("pets", &fixture("version-one")).serve()
}

/// A call that has to succeed.
fn call(gateway: &Gateway, method: &str, path: &str, body: Value) -> Value {
    let answer = Answer::of(gateway.lambda(method, path).json(&body));
    assert!((200..300).contains(&answer.status), "{method} {path}: {answer:?}");
    if answer.body.is_empty() { Value::Null } else { answer.json() }
}

fn publish(gateway: &Gateway) -> Value {
    call(gateway, "POST", "/2015-03-31/functions/pets/versions", json!({}))["Version"].clone()
}

fn put_two(gateway: &Gateway) {
    gateway.project.put_handler("pets", &fixture("version-two"));
    gateway.wait_for_log("reloaded: pets changed");
}

fn body(gateway: &Gateway, path: &str) -> String {
    let answer = gateway.get(path);
    assert_eq!(answer.status, 200, "{path}: {}", gateway.log());
    answer.text()
}

#[test]
fn an_alias_keeps_an_old_version_over_reloads_and_restarts() {
    let gateway = pets();
    let old = body(&gateway, "/pets");
    // There is neither version nor alias yet.
    assert_eq!(gateway.get("/live").status, 500);
    assert_eq!(publish(&gateway), "1");
    // Nothing changed: it is the same version.
    assert_eq!(publish(&gateway), "1");
    let alias = json!({ "Name": "live", "FunctionVersion": "1" });
    call(&gateway, "POST", "/2015-03-31/functions/pets/aliases", alias);
    put_two(&gateway);
    let new = body(&gateway, "/pets");
    assert_ne!(old, new);
    assert_eq!((body(&gateway, "/live"), body(&gateway, "/one")), (old.clone(), old.clone()));
    let (project, _) = gateway.kill();
    // The file in the folder may even be broken.
    std::fs::write(project.handler_path("pets"), "no wasm").unwrap();
    let gateway = project.serve();
    assert_eq!(
        (body(&gateway, "/live"), body(&gateway, "/one")),
        (old, gateway.get("/live").text())
    );
    assert_eq!(gateway.get("/pets").status, 500);
}

#[test]
fn numbers_are_never_given_twice_and_code_goes_with_its_last_version() {
    let gateway = pets();
    assert_eq!(publish(&gateway), "1");
    put_two(&gateway);
    assert_eq!(publish(&gateway), "2");
    let archive = gateway.project.path().join(".mayfly/versions");
    let files = || std::fs::read_dir(&archive).unwrap().count();
    assert_eq!(files(), 2);
    let alias = json!({ "Name": "live", "FunctionVersion": "2" });
    call(&gateway, "POST", "/2015-03-31/functions/pets/aliases", alias);
    let delete = |qualifier: &str| {
        let path = format!("/2015-03-31/functions/pets?Qualifier={qualifier}");
        Answer::of(gateway.lambda("DELETE", &path))
    };
    let refused = delete("2");
    assert_eq!(refused.header("x-amzn-errortype"), Some("ResourceConflictException"));
    assert!(refused.text().contains("live"), "{refused:?}");
    assert_eq!(delete("1").status, 204);
    assert_eq!(delete("1").status, 204);
    assert_eq!(files(), 1);
    assert_eq!(gateway.get("/one").status, 500);
    call(&gateway, "DELETE", "/2015-03-31/functions/pets/aliases/live", Value::Null);
    assert_eq!(delete("2").status, 204);
    assert_eq!(files(), 0);
    assert_eq!(publish(&gateway), "3");
    // The function itself is the user's file.
    let whole = Answer::of(gateway.lambda("DELETE", "/2015-03-31/functions/pets"));
    assert_eq!((whole.status, whole.text().contains("pets.wasm")), (400, true));
}

#[test]
fn an_alias_shares_its_invocations() {
    let gateway = pets();
    let old = body(&gateway, "/pets");
    publish(&gateway);
    put_two(&gateway);
    let new = body(&gateway, "/pets");
    publish(&gateway);
    let weights = json!({ "AdditionalVersionWeights": { "2": 0.5 } });
    let alias = json!({ "Name": "live", "FunctionVersion": "1", "RoutingConfig": weights });
    call(&gateway, "POST", "/2015-03-31/functions/pets/aliases", alias);
    let mut seen = (0, 0);
    for _ in 0..200 {
        match body(&gateway, "/live") {
            text if text == old => seen.0 += 1,
            text if text == new => seen.1 += 1,
            text => panic!("{text}"),
        }
    }
    // Either share is 100, give or take 7.
    assert!(seen.0 > 40 && seen.1 > 40, "{seen:?}");
    let all = json!({ "FunctionVersion": "2", "RoutingConfig": {} });
    call(&gateway, "PUT", "/2015-03-31/functions/pets/aliases/live", all);
    for _ in 0..20 {
        assert_eq!(body(&gateway, "/live"), new);
    }
}

#[test]
fn reserved_concurrency_survives_reload_and_restart() {
    let gateway = pets();
    let limit = json!({ "ReservedConcurrentExecutions": 0 });
    call(&gateway, "PUT", "/2017-10-31/functions/pets/concurrency", limit.clone());
    assert_eq!(gateway.get("/pets").status, 429);
    put_two(&gateway);
    assert_eq!(gateway.get("/pets").status, 429);
    let (project, _) = gateway.kill();
    let gateway = project.serve();
    assert_eq!(gateway.get("/pets").status, 429);
    let path = "/2019-09-30/functions/pets/concurrency";
    assert_eq!(Answer::of(gateway.lambda("GET", path)).json(), limit);
    call(&gateway, "DELETE", "/2017-10-31/functions/pets/concurrency", Value::Null);
    assert_eq!(gateway.get("/pets").status, 200);
    assert_eq!(Answer::of(gateway.lambda("GET", path)).json(), json!({}));
}

#[test]
fn boto3_makes_versions_aliases_and_settings() {
    let gateway = pets();
    let audit = "arn:aws:lambda:us-east-1:000000000000:function:pets";
    let calls = json!([
        ["publish_version", { "FunctionName": "pets", "Description": "first" }],
        ["publish_version", { "FunctionName": "pets", "CodeSha256": "other" }],
        ["publish_version", { "FunctionName": "pets", "RevisionId": "other" }],
        ["list_versions_by_function", { "FunctionName": "pets" }],
        ["create_alias", { "FunctionName": "pets", "Name": "live", "FunctionVersion": "1" }],
        ["create_alias", { "FunctionName": "pets", "Name": "live", "FunctionVersion": "1" }],
        ["create_alias", { "FunctionName": "pets", "Name": "other", "FunctionVersion": "9" }],
        ["create_alias", { "FunctionName": "pets", "Name": "12", "FunctionVersion": "1" }],
        ["get_alias", { "FunctionName": "pets", "Name": "live" }],
        ["get_alias", { "FunctionName": "pets", "Name": "dead" }],
        ["update_alias", { "FunctionName": "pets", "Name": "live", "RevisionId": "other" }],
        ["update_alias", { "FunctionName": "pets", "Name": "live", "Description": "d",
            "RoutingConfig": { "AdditionalVersionWeights": { "1": 0.5 } } }],
        ["list_aliases", { "FunctionName": "pets", "FunctionVersion": "1" }],
        ["invoke", { "FunctionName": "pets", "Qualifier": "live" }],
        ["get_function_configuration", { "FunctionName": "pets:live" }],
        ["put_function_event_invoke_config", { "FunctionName": "pets", "Qualifier": "live",
            "MaximumRetryAttempts": 1, "MaximumEventAgeInSeconds": 60,
            "DestinationConfig": { "OnFailure": { "Destination": audit } } }],
        ["update_function_event_invoke_config", { "FunctionName": "pets:live", "MaximumRetryAttempts": 0 }],
        ["get_function_event_invoke_config", { "FunctionName": "pets" }],
        ["list_function_event_invoke_configs", { "FunctionName": "pets" }],
        ["put_function_event_invoke_config", { "FunctionName": "pets",
            "DestinationConfig": { "OnSuccess": { "Destination": "arn:aws:sqs:us-east-1:000000000000:queue" } } }],
        ["delete_function_event_invoke_config", { "FunctionName": "pets", "Qualifier": "live" }],
        ["delete_function_event_invoke_config", { "FunctionName": "pets", "Qualifier": "live" }],
        ["put_function_concurrency", { "FunctionName": "pets", "ReservedConcurrentExecutions": 1001 }],
        ["delete_alias", { "FunctionName": "pets", "Name": "live" }],
        ["delete_function", { "FunctionName": "pets", "Qualifier": "1" }],
    ]);
    let Some(results) = boto("boto3_makes_versions_aliases_and_settings", &gateway, &calls) else {
        return;
    };
    let results = results.as_array().unwrap();
    let error = |at: usize| results[at]["error"].as_str().unwrap_or("none");
    assert_eq!(
        (&results[0]["Version"], &results[0]["Description"]),
        (&json!("1"), &json!("first"))
    );
    assert_eq!(
        (error(1), error(2)),
        ("InvalidParameterValueException", "PreconditionFailedException")
    );
    let versions = results[3]["Versions"].as_array().unwrap();
    let versions: Vec<&str> = versions.iter().map(|one| one["Version"].as_str().unwrap()).collect();
    assert_eq!(versions, ["$LATEST", "1"]);
    let arn = "arn:aws:lambda:us-east-1:000000000000:function:pets:live";
    assert_eq!(results[4]["AliasArn"], arn);
    assert_eq!((error(5), error(6)), ("ResourceConflictException", "ResourceNotFoundException"));
    assert_eq!((error(7), error(9)), ("ClientError", "ResourceNotFoundException"));
    assert_eq!(results[8], results[4]);
    assert_eq!(results[9]["message"], format!("Cannot find alias arn: {audit}:dead"));
    assert_eq!(error(10), "PreconditionFailedException");
    // A version cannot share with itself.
    assert_eq!(error(11), "InvalidParameterValueException");
    assert_eq!(results[12]["Aliases"][0]["Name"], "live");
    assert_eq!(
        (&results[13]["StatusCode"], &results[13]["ExecutedVersion"]),
        (&json!(200), &json!("1"))
    );
    assert_eq!((&results[14]["FunctionArn"], &results[14]["Version"]), (&json!(arn), &json!("1")));
    assert_eq!(results[15]["DestinationConfig"]["OnFailure"]["Destination"], audit);
    let merged = &results[16];
    assert_eq!(
        (&merged["MaximumRetryAttempts"], &merged["MaximumEventAgeInSeconds"]),
        (&json!(0), &json!(60))
    );
    assert_eq!(error(17), "ResourceNotFoundException");
    assert_eq!(results[18]["FunctionEventInvokeConfigs"][0]["FunctionArn"], arn);
    assert_eq!(error(19), "InvalidParameterValueException");
    assert_eq!((error(20), error(21)), ("none", "ResourceNotFoundException"));
    assert_eq!((error(22), error(23), error(24)), ("ClientError", "none", "none"));
}

#[test]
fn an_alias_takes_its_settings_with_it() {
    let gateway = pets();
    publish(&gateway);
    let aliases = "/2015-03-31/functions/pets/aliases";
    let alias = json!({ "Name": "live", "FunctionVersion": "1" });
    let config = "/2019-09-25/functions/pets/event-invoke-config";
    call(&gateway, "POST", aliases, alias.clone());
    let settings = json!({ "MaximumRetryAttempts": 0 });
    call(&gateway, "PUT", &format!("{config}?Qualifier=live"), settings);
    call(&gateway, "DELETE", &format!("{aliases}/live"), Value::Null);
    call(&gateway, "POST", aliases, alias);
    let left = |gateway: &Gateway| {
        call(gateway, "GET", &format!("{config}/list"), Value::Null)["FunctionEventInvokeConfigs"]
            .clone()
    };
    assert_eq!(left(&gateway), json!([]));
    let (project, _) = gateway.kill();
    assert_eq!(left(&project.serve()), json!([]));
}

#[test]
fn no_alias_is_a_number() {
    let gateway = pets();
    publish(&gateway);
    for name in ["1", "007", "0", "99999999999999999999999999"] {
        let alias = json!({ "Name": name, "FunctionVersion": "1" });
        let request = gateway.lambda("POST", "/2015-03-31/functions/pets/aliases");
        let answer = Answer::of(request.json(&alias));
        assert_eq!(answer.header("x-amzn-errortype"), Some("ValidationException"), "{name}");
        assert!(answer.text().contains(&format!("Value '{name}' at 'name'")), "{answer:?}");
    }
    let invoke = |qualifier: &str| {
        let path = format!("/2015-03-31/functions/pets/invocations?Qualifier={qualifier}");
        Answer::of(gateway.lambda("POST", &path)).status
    };
    assert_eq!((invoke("1"), invoke("01")), (200, 404));
}

#[test]
fn a_version_whose_code_is_gone_says_so_once_for_each_request() {
    let gateway = pets();
    publish(&gateway);
    let (project, _) = gateway.stop();
    let archive = project.path().join(".mayfly/versions");
    for file in std::fs::read_dir(&archive).unwrap() {
        std::fs::write(file.unwrap().path(), "damaged").unwrap();
    }
    let gateway = project.serve();
    let path = "/2015-03-31/functions/pets/configuration?Qualifier=1";
    let version = call(&gateway, "GET", path, Value::Null);
    assert_eq!(
        (&version["State"], &version["LastUpdateStatus"]),
        (&json!("Failed"), &json!("Failed"))
    );
    assert!(version["StateReason"].as_str().unwrap().contains(".wasm"), "{version}");
    gateway.expect_function_error("/one", "http");
    gateway.wait_for_log("GET /one 500");
    let told = |gateway: &Gateway| {
        let log = gateway.log();
        log.lines()
            .filter(|line| line.contains("cannot be invoked") && line.contains("ERROR"))
            .count()
    };
    // Once when it was loaded, and once for the request.
    assert_eq!(told(&gateway), 2, "{}", gateway.log());
    let path = "/2015-03-31/functions/pets/invocations?Qualifier=1";
    let answer = Answer::of(gateway.lambda("POST", path));
    assert_eq!(answer.header("x-amzn-errortype"), Some("ServiceException"));
    assert!(!answer.text().contains("versions/"), "{answer:?}");
    gateway.wait("third line", || told(&gateway) == 3);
}

#[test]
fn what_is_reserved_is_not_left_for_others() {
    let config = "[pools]\nconcurrency_max = 50\n[function.pets]\nreserved_concurrency = 10\n";
    let project = Project::with_config(config).with_handler("pets", &fixture("version-one"));
    let gateway = project.with_handler("others", &fixture("version-two")).serve();
    let left = || {
        let settings = call(&gateway, "GET", "/2016-08-19/account-settings", Value::Null);
        settings["AccountLimit"]["UnreservedConcurrentExecutions"].clone()
    };
    assert_eq!(left(), 40);
    let limit = json!({ "ReservedConcurrentExecutions": 25 });
    call(&gateway, "PUT", "/2017-10-31/functions/others/concurrency", limit.clone());
    assert_eq!(left(), 15);
    call(&gateway, "PUT", "/2017-10-31/functions/pets/concurrency", limit);
    assert_eq!(left(), 0);
}

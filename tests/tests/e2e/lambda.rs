//! Lambda's API at the admin address.

use mayfly_tests::{Answer, Gateway, Project, fixture, python};
use serde_json::{Value, json};

fn probe(function: &str) -> Gateway {
    let config = format!("[function.probe]\n{function}\n");
    Project::with_config(&config).with_handler("probe", &fixture("probe")).serve()
}

fn doing(what: &str) -> Value {
    json!({ "queryStringParameters": { "do": what } })
}

fn invoke(gateway: &Gateway, event: &Value, headers: &[(&str, &str)]) -> Answer {
    let path = "/2015-03-31/functions/probe/invocations";
    let mut request = gateway.lambda("POST", path).json(event);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Answer::of(request)
}

fn expect_error(answer: &Answer, status: u16, kind: &str, text: &str) {
    assert_eq!(
        (answer.status, answer.header("x-amzn-errortype")),
        (status, Some(kind)),
        "{answer:?}"
    );
    let body = answer.json();
    let message = body["message"].as_str().or(body["Message"].as_str()).unwrap_or_default();
    assert!(message.contains(text), "{text:?} in {message:?}");
    assert_eq!(body["Type"], "User");
}

#[test]
fn a_function_is_invoked_at_once() {
    let gateway = probe("");
    let answer = invoke(&gateway, &doing("context"), &[]);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-amz-executed-version"), Some("$LATEST"));
    assert_eq!(answer.header("x-amz-function-error"), None);
    assert_eq!(answer.header("x-amz-log-result"), None);
    let context: Value = serde_json::from_str(answer.json()["body"].as_str().unwrap()).unwrap();
    assert_eq!(context["requestId"].as_str(), answer.header("x-amzn-requestid"));
    // No payload is an empty object.
    let path = "/2015-03-31/functions/probe/invocations";
    let nothing = Answer::of(gateway.lambda("POST", path));
    assert_eq!(nothing.json()["body"], "{}");
    let arn = "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Aprobe%3A%24LATEST/invocations";
    assert_eq!(Answer::of(gateway.lambda("POST", arn)).status, 200);
}

#[test]
fn a_function_s_error_is_an_answer() {
    let gateway = probe("timeout_ms = 300");
    for (what, kind) in
        [("error", "Probe.Error"), ("trap", "Runtime.ExitError"), ("loop", "Sandbox.Timedout")]
    {
        let answer = invoke(&gateway, &doing(what), &[]);
        assert_eq!(
            (answer.status, answer.header("x-amz-function-error")),
            (200, Some("Unhandled"))
        );
        assert_eq!(answer.json()["errorType"], kind, "{answer:?}");
    }
}

#[test]
fn the_client_context_reaches_the_function() {
    let gateway = probe("");
    let context = |header: &str| {
        invoke(&gateway, &doing("client-context"), &[("x-amz-client-context", header)])
    };
    // {"custom":{"a":"b"}}
    let answer = context("eyJjdXN0b20iOnsiYSI6ImIifX0=");
    assert_eq!(answer.json()["body"], json!("{\"custom\":{\"a\":\"b\"}}").to_string());
    assert_eq!(invoke(&gateway, &doing("client-context"), &[]).json()["body"], "null");
    for wrong in ["no base64!", "WzFd", "e30=e30="] {
        expect_error(&context(wrong), 400, "InvalidRequestContentException", "Client context");
    }
}

#[test]
fn bad_calls_get_lambda_s_errors() {
    let gateway = probe("payload_bytes_max = 2000000");
    let of = |headers| invoke(&gateway, &json!({}), headers);
    let enumeration = "Value 'Later' at 'invocationType' failed to satisfy constraint: Member must satisfy enum value set: [Event, RequestResponse, DryRun]";
    expect_error(
        &of(&[("x-amz-invocation-type", "Later")]),
        400,
        "ValidationException",
        enumeration,
    );
    expect_error(&of(&[("x-amz-log-type", "All")]), 400, "ValidationException", "'logType'");
    let call = |path: &str, body: Vec<u8>| {
        Answer::of(gateway.lambda("POST", &format!("/2015-03-31/functions/{path}")).body(body))
    };
    let missing = "Function not found: arn:aws:lambda:us-east-1:000000000000:function:nobody";
    let answer = call("nobody/invocations", Vec::new());
    expect_error(&answer, 404, "ResourceNotFoundException", missing);
    for qualifier in ["7", "live"] {
        let answer = call(&format!("probe/invocations?Qualifier={qualifier}"), Vec::new());
        expect_error(
            &answer,
            404,
            "ResourceNotFoundException",
            &format!("function:probe:{qualifier}"),
        );
    }
    let answer = call("probe:1/invocations?Qualifier=2", Vec::new());
    expect_error(&answer, 400, "InvalidParameterValueException", "does not match");
    let answer = call("pro%20be/invocations", Vec::new());
    expect_error(&answer, 400, "ValidationException", "'functionName'");
    let answer = call("probe/invocations", b"{\"a\":".to_vec());
    let text = "Could not parse request body into json";
    expect_error(&answer, 400, "InvalidRequestContentException", text);
    let answer = call("probe/invocations", vec![b'"', 0xff, b'"']);
    expect_error(&answer, 400, "InvalidRequestContentException", text);
    let long = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    let answer = call("probe/invocations", long(2_000_001).into_bytes());
    let text = "Request must be smaller than 2000000 bytes for the InvokeFunction operation";
    expect_error(&answer, 413, "RequestTooLargeException", text);
    let answer =
        invoke(&gateway, &json!("x".repeat(1_048_575)), &[("x-amz-invocation-type", "Event")]);
    let text =
        "1048577 byte payload is too large for the Event invocation type (limit 1048576 bytes)";
    expect_error(&answer, 413, "RequestTooLargeException", text);
    let answer = call("probe/policy", Vec::new());
    expect_error(&answer, 404, "UnknownOperationException", "docs/lambda.md");
    // A page of another origin may not call it.
    let request = gateway.lambda("POST", "/2015-03-31/functions/probe/invocations");
    assert_eq!(Answer::of(request.header("origin", "http://evil.example")).status, 403);
}

#[test]
fn a_dry_run_runs_nothing() {
    let gateway = probe("");
    let answer = invoke(&gateway, &doing("trap"), &[("x-amz-invocation-type", "DryRun")]);
    assert_eq!((answer.status, answer.text().as_str()), (204, ""));
    let answer = invoke(&gateway, &doing("count"), &[]);
    assert_eq!(answer.status, 200);
    assert!(!gateway.log().contains("asked to trap"));
}

#[test]
fn reserved_concurrency_throttles_with_its_reason() {
    let gateway = probe("reserved_concurrency = 0");
    let answer = invoke(&gateway, &json!({}), &[]);
    expect_error(&answer, 429, "TooManyRequestsException", "Rate Exceeded.");
    assert_eq!(answer.json()["Reason"], "ReservedFunctionConcurrentInvocationLimitExceeded");
}

#[test]
fn a_run_tells_what_it_took() {
    let gateway = probe("memory_mb = 64\ntimeout_ms = 300");
    let answer = invoke(&gateway, &doing("print"), &[("x-amz-log-type", "Tail")]);
    let log = base64(answer.header("x-amz-log-result").unwrap());
    let id = answer.header("x-amzn-requestid").unwrap();
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines[0], format!("START RequestId: {id} Version: $LATEST"));
    assert_eq!(lines[1], "printed to standard output");
    assert_eq!(lines[lines.len() - 2], format!("END RequestId: {id}"));
    let report: Vec<&str> = lines[lines.len() - 1].split('\t').collect();
    assert_eq!(report[0], format!("REPORT RequestId: {id}"));
    let number = |text: &str, before: &str, after: &str| -> f64 {
        let number = text.strip_prefix(before).and_then(|text| text.strip_suffix(after));
        number.unwrap_or_else(|| panic!("{text}")).parse().unwrap()
    };
    let duration = number(report[1], "Duration: ", " ms");
    let billed = number(report[2], "Billed Duration: ", " ms");
    assert!(billed >= duration && billed < duration + 1.01 && billed >= 1.0, "{report:?}");
    assert_eq!(report[3], "Memory Size: 64 MB");
    assert!((1.0..=64.0).contains(&number(report[4], "Max Memory Used: ", " MB")));
    assert_eq!(report.len(), 5);
    // Memory that is used shows.
    let event = json!({ "queryStringParameters": { "do": "allocate", "n": "20000000" } });
    let answer = invoke(&gateway, &event, &[("x-amz-log-type", "Tail")]);
    let log = base64(answer.header("x-amz-log-result").unwrap());
    let used = log.split("Max Memory Used: ").nth(1).unwrap().split(' ').next().unwrap();
    assert!((20..=64).contains(&used.parse().unwrap()), "{log}");
    // A time-out says so.
    let answer = invoke(&gateway, &doing("loop"), &[("x-amz-log-type", "Tail")]);
    let log = base64(answer.header("x-amz-log-result").unwrap());
    assert!(log.contains("Task timed out after 0.30 seconds"), "{log}");
    assert!(log.trim_end().ends_with("\tStatus: timeout"), "{log}");
    // The processor was busy all the time.
    gateway.wait_for_log("Status: timeout");
    let line =
        gateway.log().lines().rfind(|line| line.contains("Status: timeout")).unwrap().to_owned();
    let cpu: f64 = line.split("cpu_ms=").nth(1).unwrap().trim().parse().unwrap();
    assert!((1.0..=2000.0).contains(&cpu), "{line}");
}

#[test]
fn a_tail_is_4_kb() {
    let gateway = probe("");
    let event = json!({ "queryStringParameters": { "do": "flood", "n": "500" } });
    let answer = invoke(&gateway, &event, &[("x-amz-log-type", "Tail")]);
    let log = base64(answer.header("x-amz-log-result").unwrap());
    assert_eq!(log.len(), 4096);
    assert!(log.contains("line 499 of a flood"), "{log}");
    assert!(!log.contains("line 0 of"), "{log}");
}

#[test]
fn requests_tell_it_where_the_stage_wants_to_know() {
    let config =
        |logging: &str| format!("stage = \"test\"\n[stages.test]\nlogging = \"{logging}\"\n");
    for (logging, tells) in [("ERROR", false), ("INFO", true)] {
        let project = Project::with_config(&config(logging));
        let gateway = project.with_handler("probe", &fixture("probe")).serve();
        assert_eq!(gateway.get("/probe?do=count").status, 200);
        gateway.wait_for_log("GET /probe 200");
        let log = gateway.log();
        for text in ["START RequestId: ", "END RequestId: ", "Billed Duration: "] {
            assert_eq!(log.contains(text), tells, "{logging}: {log}");
        }
    }
}

#[test]
fn a_trap_s_backtrace_names_functions_in_the_log_alone() {
    let gateway = probe("");
    let answer = gateway.get("/probe?do=deep&n=5");
    assert_eq!(answer.json(), json!({ "message": "Internal Server Error" }));
    gateway.wait_for_log("at the bottom");
    gateway.wait_for_log("wasm trap");
    let log = gateway.log();
    for name in ["wasm backtrace", "probe.wasm!", "::descend", "::land"] {
        assert!(log.contains(name), "{name:?} in {log}");
    }
    let event = json!({ "queryStringParameters": { "do": "deep", "n": "5" } });
    let answer = invoke(&gateway, &event, &[]);
    assert!(!answer.text().contains("descend") && !answer.text().contains("wasm!"), "{answer:?}");
}

#[test]
fn usage_outlives_the_process() {
    let gateway = probe("memory_mb = 64");
    for what in ["count", "count", "error"] {
        gateway.get(&format!("/probe?do={what}"));
    }
    let (project, _) = gateway.stop();
    let first = usage(&project);
    assert_eq!((first[0], first[1], first[2]), (3, 1, 0));
    assert!(first[3] >= 3 && first[4] == first[3] * 64 && first[5] > 0, "{first:?}");
    let gateway = project.serve();
    gateway.get("/probe?do=count");
    let (project, _) = gateway.stop();
    let second = usage(&project);
    assert_eq!((second[0], second[1]), (4, 1));
    // A command counts as well.
    let run = project.run(&["invoke", "probe", "--payload", "{}"]);
    assert!(run.status.success(), "{run:?}");
    assert_eq!(usage(&project)[0], 5);
    let table = String::from_utf8(project.run(&["usage", "--functions"]).stdout).unwrap();
    let rows: Vec<Vec<&str>> =
        table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!((rows[0][0], rows[1][0], rows[1][1]), ("FUNCTION", "probe", "5"), "{table}");
}

/// Invocations, errors, throttles, billed ms, MB ms and processor µs.
fn usage(project: &Project) -> [i64; 6] {
    let run = project.run(&["usage", "--functions", "--json"]);
    assert!(run.status.success(), "{run:?}");
    let usage: Value = serde_json::from_slice(&run.stdout).unwrap();
    let probe = &usage["items"][0];
    assert_eq!(probe["function"], "probe");
    let number = |key: &str, times: f64| (probe[key].as_f64().unwrap() * times).round() as i64;
    [
        number("invocations", 1.0),
        number("errors", 1.0),
        number("throttles", 1.0),
        number("billed_ms", 1.0),
        number("gb_seconds", 1024.0 * 1000.0),
        number("cpu_ms", 1000.0),
    ]
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    let bytes = base64::prelude::BASE64_STANDARD.decode(text).unwrap();
    String::from_utf8(bytes).unwrap()
}

const BOTO: &str = r#"
import base64, json, sys
import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError

given = json.load(sys.stdin)
client = botocore.session.Session().create_client(
    "lambda", region_name="us-east-1", endpoint_url=given["url"],
    aws_access_key_id="any", aws_secret_access_key="any",
    config=Config(retries={"max_attempts": 0}))

def call(operation, **arguments):
    try:
        answer = getattr(client, operation)(**arguments)
    except ClientError as error:
        return {"error": type(error).__name__, "message": error.response["Error"]["Message"],
                "status": error.response["ResponseMetadata"]["HTTPStatusCode"],
                "reason": error.response.get("Reason")}
    answer.pop("ResponseMetadata", None)
    if "Payload" in answer:
        answer["Payload"] = answer["Payload"].read().decode()
    if "EventStream" in answer:
        answer["EventStream"] = list(answer["EventStream"])
    return answer

results = [call(operation, **arguments) for operation, arguments in given["calls"]]
json.dump(results, sys.stdout, default=lambda value: value.decode() if isinstance(value, bytes) else str(value))
"#;

/// What botocore makes of these calls; none where there is no Python.
pub fn boto(test: &str, gateway: &Gateway, calls: &Value) -> Option<Value> {
    let url = format!("http://{}", gateway.admin);
    python::run(test, BOTO, &json!({ "url": url, "calls": calls }))
}

#[test]
fn boto3_invokes_and_lists() {
    let gateway = probe("memory_mb = 64\ntimeout_ms = 2500");
    let payload = doing("count").to_string();
    let calls = json!([
        ["invoke", { "FunctionName": "probe", "Payload": payload, "LogType": "Tail" }],
        ["invoke", { "FunctionName": "probe", "Payload": doing("error").to_string() }],
        ["invoke", { "FunctionName": "probe", "InvocationType": "Event", "Payload": payload }],
        ["invoke", { "FunctionName": "probe", "InvocationType": "DryRun" }],
        ["invoke", { "FunctionName": "nobody" }],
        ["list_functions", {}],
        ["get_function", { "FunctionName": "arn:aws:lambda:us-east-1:000000000000:function:probe" }],
        ["get_function_configuration", { "FunctionName": "probe", "Qualifier": "$LATEST" }],
        ["get_account_settings", {}],
    ]);
    let Some(results) = boto("boto3_invokes_and_lists", &gateway, &calls) else { return };
    assert_eq!(results[0]["StatusCode"], 200);
    assert_eq!(results[0]["ExecutedVersion"], "$LATEST");
    assert!(base64(results[0]["LogResult"].as_str().unwrap()).contains("REPORT RequestId"));
    assert!(results[0]["Payload"].as_str().unwrap().contains("\"body\":\"1\""));
    assert_eq!(results[1]["FunctionError"], "Unhandled");
    assert_eq!(results[2], json!({ "StatusCode": 202, "Payload": "" }));
    assert_eq!(results[3]["StatusCode"], 204);
    assert_eq!(results[4]["error"], "ResourceNotFoundException");
    let function = &results[5]["Functions"][0];
    assert_eq!(
        (&function["FunctionName"], &function["Version"]),
        (&json!("probe"), &json!("$LATEST"))
    );
    assert_eq!((&function["MemorySize"], &function["Timeout"]), (&json!(64), &json!(3)));
    assert_eq!(function["State"], "Active");
    assert_eq!(results[6]["Configuration"]["CodeSha256"], function["CodeSha256"]);
    let arn = "arn:aws:lambda:us-east-1:000000000000:function:probe:$LATEST";
    assert_eq!(results[7]["FunctionArn"], arn);
    assert_eq!(results[8]["AccountUsage"]["FunctionCount"], 1);
}

#[test]
fn long_lists_come_in_pages() {
    let mut project = Project::new();
    for number in 0..5 {
        project = project.with_handler(&format!("f{number}"), &fixture("version-one"));
    }
    let gateway = project.serve();
    let mut names = Vec::new();
    let mut marker = String::new();
    for expected in [2, 2, 1] {
        let path = format!("/2015-03-31/functions/?MaxItems=2&Marker={marker}");
        let page = Answer::of(gateway.lambda("GET", &path)).json();
        let functions = page["Functions"].as_array().unwrap();
        assert_eq!(functions.len(), expected);
        names.extend(functions.iter().map(|one| one["FunctionName"].as_str().unwrap().to_owned()));
        marker = page["NextMarker"].as_str().unwrap_or_default().to_owned();
    }
    assert_eq!((names.join(" "), marker.as_str()), ("f0 f1 f2 f3 f4".to_owned(), ""));
    let answer = Answer::of(gateway.lambda("GET", "/2015-03-31/functions?MaxItems=0"));
    expect_error(&answer, 400, "ValidationException", "'maxItems'");
}

#[test]
fn a_stopping_gateway_finishes_its_invocations_and_counts_them() {
    let gateway = probe("timeout_ms = 10000");
    let mut gateway = std::thread::scope(|scope| {
        let (gateway, event) =
            (gateway, json!({ "queryStringParameters": { "do": "sleep", "n": "1500" } }));
        let path = "/2015-03-31/functions/probe/invocations";
        let request = gateway.lambda("POST", path).json(&event);
        let called = scope.spawn(move || Answer::of(request));
        gateway.wait_for_log("START RequestId");
        gateway.signal("TERM");
        gateway.wait_for_log("stopping");
        let answer = called.join().unwrap();
        assert_eq!((answer.status, answer.json()["body"].clone()), (200, json!("\"done\"")));
        gateway
    });
    assert_eq!(gateway.wait_for_end().code(), Some(0));
    let (project, _) = gateway.kill();
    assert_eq!(usage(&project)[0], 1);
}

#[test]
fn usage_is_told_whatever_else_is_wrong() {
    let gateway = probe("");
    gateway.get("/probe?do=count");
    let (project, _) = gateway.stop();
    project
        .write_config("[function.probe]\nenvironment = { A = { from_env = \"NOT_SET_HERE\" } }\n");
    let run = project.run(&["usage", "--functions"]);
    assert!(String::from_utf8_lossy(&run.stderr).contains("NOT_SET_HERE"), "{run:?}");
    assert_eq!(usage(&project)[0], 1);
    // Where there is no such folder, what is wrong may be its name.
    project.write_config("data = \"elsewhere\"\nnmae = \"a\"\n");
    assert_eq!(project.run(&["usage", "--functions"]).status.code(), Some(2));
    assert!(!project.path().join("elsewhere").exists());
}

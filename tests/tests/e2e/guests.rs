//! Guests that speak HTTP by `wasi:http` 0.2, and what is no guest.

use mayfly_tests::{Answer, Gateway, Project, fixture, python, root};
use serde_json::{Value, json};

fn gateway(kind: &str, function: &str) -> Gateway {
    let config = format!("kind = {kind:?}\n[function.web]\n{function}\n");
    Project::with_config(&config).with_handler("web", &fixture("http-guest")).serve()
}

fn headers_of(request: &Value, name: &str) -> Vec<String> {
    let pairs = request["headers"].as_array().expect("pairs").iter();
    pairs.filter(|pair| pair[0] == name).map(|pair| pair[1].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_request_is_the_client_s_own() {
    for kind in ["http", "rest"] {
        let gateway = gateway(kind, "memory_mb = 64");
        let request = gateway
            .request("PUT", "/web/a%20b/request?x=%2F&y")
            .header("host", "api.example.com:81")
            .header("x-two", "1")
            .header("x-two", "2")
            .header("x-forwarded-for", "10.0.0.1")
            .header("x-amzn-request-context", "forged")
            .header("x-amzn-lambda-context", "forged")
            .header("x-gone", "1")
            .header("connection", "x-gone")
            .body("abc");
        let answer = Answer::of(request);
        let request = answer.json();
        assert_eq!(request["method"], "Method::Put", "{request}");
        assert_eq!(request["path"], "/web/a%20b/request?x=%2F&y");
        assert_eq!(request["authority"], "api.example.com:81");
        assert_eq!(headers_of(&request, "x-two"), ["1", "2"]);
        assert_eq!(headers_of(&request, "content-length"), ["3"]);
        assert_eq!(headers_of(&request, "x-forwarded-for"), ["10.0.0.1, 127.0.0.1"]);
        assert_eq!(
            headers_of(&request, "x-gone").len() + headers_of(&request, "connection").len(),
            0
        );
        let json_of = |name: &str| -> Value {
            let values = headers_of(&request, name);
            assert_eq!(values.len(), 1, "{name}");
            serde_json::from_str(&values[0]).expect("JSON")
        };
        let context = json_of("x-amzn-request-context");
        let id = answer.header(if kind == "rest" { "x-amzn-requestid" } else { "apigw-requestid" });
        assert_eq!(context["requestId"].as_str(), id, "{context}");
        assert_eq!(context["pathParameters"]["proxy"], "a b/request");
        match kind {
            "rest" => assert_eq!(context["identity"]["sourceIp"], "127.0.0.1"),
            _ => assert_eq!(context["http"]["sourceIp"], "127.0.0.1"),
        }
        let context = json_of("x-amzn-lambda-context");
        assert_eq!(context["env_config"]["memory"], 64);
        assert_eq!(context["request_id"].as_str().unwrap().len(), 36);
    }
}

#[test]
fn its_answer_is_the_response() {
    for kind in ["http", "rest"] {
        let gateway = gateway(kind, "environment = { MODE = \"m\" }");
        for status in [200, 404, 418, 500, 599] {
            let answer = gateway.get(&format!("/web/status?n={status}"));
            assert_eq!((answer.status, answer.json()), (status, json!("as asked")));
            assert_eq!(answer.header("content-type"), Some("application/json"));
        }
        let answer = gateway.get("/web/empty");
        assert_eq!((answer.status, answer.body.len()), (204, 0));
        let answer = Answer::of(gateway.request("HEAD", "/web/request"));
        assert_eq!((answer.status, answer.body.len()), (200, 0));
        assert_eq!(gateway.get("/web/environment").json(), json!({ "MODE": "m" }));
        for _ in 0..5 {
            assert_eq!(gateway.get("/web/count").json(), json!(1));
        }
        gateway.get("/web/after");
        gateway.wait_for_log("still here after the answer");
    }
}

#[test]
fn a_guest_that_speaks_http_and_misbehaves_ends_alone() {
    for kind in ["http", "rest"] {
        let gateway = gateway(kind, "timeout_ms = 700\nmemory_mb = 16\nlog_bytes_max = 4000");
        for path in [
            "/web/trap",
            "/web/silent",
            "/web/error",
            "/web/loop",
            "/web/recurse",
            "/web/allocate?n=50000000",
            "/web/status?n=101",
            "/web/status?n=999",
            "/web/fields",
            "/web/handles",
        ] {
            gateway.expect_function_error(path, kind);
        }
        for text in [
            "asked to trap",
            "the guest ended without an answer",
            "LoopDetected",
            "task timed out after 0.70 seconds",
            "memory limit of 16 MB exceeded",
            "its status is 101, not one of 200 to 599",
        ] {
            gateway.wait_for_log(text);
        }
        assert_eq!(gateway.get("/web/flood?n=10000").json(), json!("flooded"));
        gateway.wait_for_log("log lines dropped: log_bytes_max = 4000 reached");
        let refused = gateway.get("/web/invalid-header").json();
        assert_eq!(refused["name"], "HeaderError::InvalidSyntax", "{refused}");
        assert_eq!(refused["value"], "HeaderError::InvalidSyntax");
        assert_eq!(refused["connection"], "HeaderError::Forbidden");
        assert_eq!(refused["framing"], "HeaderError::Forbidden");
        assert_eq!(gateway.get("/web/allocate?n=1000000").json(), json!("allocated"));
        assert!(gateway.get("/web/socket").json().is_string());
    }
}

#[test]
fn an_answer_that_is_not_taken_is_told_as_an_error() {
    let config = "kind = \"rest\"\n[stages.prod]\nlogging = \"INFO\"\ncache = {}\n[[route]]\nroute = \"ANY /{way}\"\nfunction = \"web\"\ncache = { ttl_seconds = 60 }\n[function.web]\nresponse_bytes_max = 1000\n";
    let gateway = Project::with_config(config).with_handler("web", &fixture("http-guest")).serve();
    for (method, path, error) in [
        ("GET", "/count", None),
        ("HEAD", "/short", None),
        ("GET", "/silent", Some("Runtime.MalformedResponse")),
        ("GET", "/error", Some("Runtime.MalformedResponse")),
        ("GET", "/status?n=101", Some("Runtime.MalformedResponse")),
        ("GET", "/short", Some("Runtime.MalformedResponse")),
        ("GET", "/long", Some("Runtime.MalformedResponse")),
        ("GET", "/stream?n=2000", Some("Function.ResponseSizeTooLarge")),
        ("GET", "/trap", Some("Runtime.ExitError")),
    ] {
        let answer = Answer::of(gateway.request(method, path));
        assert_eq!(answer.status, if error.is_some() { 502 } else { 200 }, "{method} {path}");
        let id = answer.header("x-amzn-requestid").expect("an id");
        let begins = format!("REPORT RequestId: {id}");
        gateway.wait_for_log(&begins);
        let log = gateway.log();
        let report = log.lines().find(|line| line.contains(&begins)).expect("a line");
        let told = report.split_once("Error Type: ").map(|(_, error)| error.trim_end());
        assert!(report.contains("Status: ") == error.is_some(), "{method} {path}: {report}");
        assert!(
            told.unwrap_or_default().starts_with(error.unwrap_or_default()),
            "{path}: {report}"
        );
    }
}

#[test]
fn others_are_served_while_guests_that_speak_http_loop() {
    let gateway = gateway("http", "timeout_ms = 10000");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(gateway.get("/web/loop").status, 500));
        }
        for _ in 0..20 {
            assert_eq!(gateway.get("/web/count").json(), json!(1));
        }
    });
}

#[test]
fn a_late_guest_that_speaks_http_is_a_late_integration() {
    let config = "[function.web]\ntimeout_ms = 20000\n[[route]]\nroute = \"GET /{way}\"\nfunction = \"web\"\ntimeout_ms = 200\n";
    let gateway = Project::with_config(config).with_handler("web", &fixture("http-guest")).serve();
    let answer = gateway.get("/loop");
    assert_eq!(
        (answer.status, answer.json()),
        (504, json!({ "message": "Endpoint request timed out" }))
    );
}

#[test]
fn whoever_has_an_event_gets_a_result() {
    let project = Project::new().with_handler("web", &fixture("http-guest"));
    let invoke = |payload: &Value| {
        let output = project.run(&["invoke", "web", "--payload", &payload.to_string()]);
        let text = String::from_utf8(output.stdout).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text:?}"));
        (output.status.success(), value)
    };
    let v2 = json!({
        "version": "2.0", "rawPath": "/web/request", "rawQueryString": "a=1",
        "headers": { "x-a": "1" }, "requestContext": { "http": { "method": "GET" }, "domainName": "d" },
    });
    let (_, answer) = invoke(&v2);
    assert_eq!(answer["statusCode"], 200, "{answer}");
    assert_eq!(answer["headers"]["content-type"], "application/json");
    let request: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    assert_eq!(
        (&request["path"], &request["authority"]),
        (&json!("/web/request?a=1"), &json!("d"))
    );
    let v1 = json!({ "httpMethod": "POST", "path": "/web/sink", "body": "AAEC", "isBase64Encoded": true });
    let (_, answer) = invoke(&v1);
    assert_eq!(
        (&answer["body"], &answer["isBase64Encoded"]),
        (&json!("3"), &json!(false)),
        "{answer}"
    );
    // What has no body may declare the length that it would have.
    let head = json!({ "httpMethod": "HEAD", "path": "/web/short" });
    let (_, answer) = invoke(&head);
    assert_eq!((&answer["statusCode"], &answer["body"]), (&json!(200), &json!("")), "{answer}");
    assert_eq!(answer["multiValueHeaders"]["content-length"], json!(["10"]), "{answer}");
    let unchanged = json!({ "httpMethod": "GET", "path": "/web/status", "queryStringParameters": { "n": "304" } });
    let (_, answer) = invoke(&unchanged);
    assert_eq!((&answer["statusCode"], &answer["body"]), (&json!(304), &json!("")), "{answer}");
    let (succeeded, answer) = invoke(&json!({ "key": 1 }));
    assert!(!succeeded);
    assert_eq!(answer["errorType"], "Runtime.InvalidEvent");
    let message = answer["errorMessage"].as_str().unwrap();
    assert!(message.contains("the event is no proxy event"), "{message}");
    let long = json!({ "httpMethod": "GET", "path": "/web/stream", "queryStringParameters": { "n": "7000000" } });
    assert_eq!(invoke(&long).1["errorType"], "Function.ResponseSizeTooLarge");
}

#[test]
fn what_the_stage_keeps_is_read_whole() {
    let config = "kind = \"rest\"\n[stages.prod]\ncache = {}\n[[route]]\nroute = \"GET /{way}\"\nfunction = \"web\"\n[function.web]\nresponse_bytes_max = 1000\n";
    let gateway = Project::with_config(config).with_handler("web", &fixture("http-guest")).serve();
    assert_eq!(gateway.get("/count").json(), json!(1));
    assert_eq!(gateway.get("/stream?n=2000").status, 502);
    gateway.wait_for_log("response_bytes_max = 1000");
}

/// Waits until so many guests have done nothing, and nothing else went wrong.
fn wait_for_ends(gateway: &Gateway, count: usize) {
    let ended = || gateway.log().matches("the guest ended without an answer").count();
    gateway.wait("the end of the guests", || ended() == count);
    assert!(!gateway.log().contains("trapped"), "{}", gateway.log());
}

/// A component that exports an interface whose function does nothing.
fn idle_handler(version: &str) -> Vec<u8> {
    handler(version, "(func (export \"handle\") (param i32 i32))", "")
}

/// One whose function is that of a core module, beside `more`.
fn handler(version: &str, module: &str, more: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
            (import "wasi:http/types@{version}" (instance $types
                (export "incoming-request" (type (sub resource)))
                (export "response-outparam" (type (sub resource)))))
            (alias export $types "incoming-request" (type $request))
            (alias export $types "response-outparam" (type $out))
            {more}
            (core module $m {module})
            (core instance $i (instantiate $m))
            (func $handle (param "request" (own $request)) (param "response-out" (own $out))
                (canon lift (core func $i "handle")))
            (component $exporting
                (import "request" (type $request (sub resource)))
                (import "out" (type $out (sub resource)))
                (import "handle" (func $handle (param "request" (own $request)) (param "response-out" (own $out))))
                (export "incoming-request" (type $request))
                (export "response-outparam" (type $out))
                (export "handle" (func $handle)))
            (instance $handler (instantiate $exporting
                (with "request" (type $request)) (with "out" (type $out)) (with "handle" (func $handle))))
            (export "wasi:http/incoming-handler@{version}" (instance $handler)))"#
    );
    wat::parse_str(text).expect("a component")
}

#[test]
fn every_0_2_of_wasi_http_is_recognised() {
    let project = Project::new();
    for (name, version) in [("first", "0.2.0"), ("third", "0.2.3"), ("later", "0.2.99")] {
        std::fs::write(project.handler_path(name), idle_handler(version)).unwrap();
    }
    let gateway = project.serve();
    for name in ["first", "third", "later"] {
        gateway.expect_function_error(&format!("/{name}"), "http");
    }
    wait_for_ends(&gateway, 3);
}

/// What is composed of others has more memories, tables and instances than the
/// pools have for each sandbox.
#[test]
fn composed_guests_wait_for_their_turn_too() {
    let busy = r#"(func (export "handle") (param i32 i32) (local $left i32)
        (local.set $left (i32.const 30000000))
        (loop $again
            (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1))))))"#;
    let several = |module: &str, count| {
        "(core instance (instantiate MODULE))".replace("MODULE", module).repeat(count)
    };
    let more = [
        "(core module $part (memory 1) (table 1 funcref))".to_owned(),
        several("$part", 4),
        "(core module $table (table 1 funcref))".to_owned(),
        several("$table", 12),
        "(core module $small)".to_owned(),
        several("$small", 8),
    ]
    .concat();
    for concurrency_max in [1, 14] {
        let config = format!("[pools]\nconcurrency_max = {concurrency_max}\n");
        let project = Project::with_config(&config);
        std::fs::write(project.handler_path("composed"), handler("0.2.0", busy, &more)).unwrap();
        let gateway = project.serve();
        std::thread::scope(|scope| {
            for _ in 0..10 {
                scope.spawn(|| gateway.expect_function_error("/composed", "http"));
            }
        });
        wait_for_ends(&gateway, 10);
    }
}

#[test]
fn what_is_no_guest_is_named_with_the_remedy() {
    let project = Project::new()
        .with_handler("wrong", &fixture("wrong-export"))
        .with_handler("strange", &fixture("strange-import"));
    let write = |name: &str, text: &str| {
        let wasm = wat::parse_str(text).expect("WebAssembly");
        std::fs::write(project.handler_path(name), wasm).unwrap();
    };
    write(
        "candidate",
        r#"(component (import "wasi:http/types@0.3.0-rc-2026-03-15" (instance (export "f" (func)))))"#,
    );
    write(
        "values",
        r#"(component (import "wasi:keyvalue/store@0.2.0-draft" (instance (export "f" (func)))) (import "fermyon:spin/llm" (instance (export "f" (func)))))"#,
    );
    write("spin", r#"(component (import "fermyon:spin/llm" (instance (export "f" (func)))))"#);
    write("huge", "(component (core module $m (memory 20000)) (core instance (instantiate $m)))");
    write("library", r#"(module (func (export "add")))"#);
    write("browser", r#"(module (import "env" "f" (func)) (func (export "_start")))"#);
    write("unstable", r#"(module (import "wasi_unstable" "f" (func)) (func (export "_start")))"#);
    let vast = std::fs::File::create(project.handler_path("vast")).unwrap();
    vast.set_len(300 * 1024 * 1024).unwrap();
    let check = project.run(&["check"]);
    assert_eq!(check.status.code(), Some(2));
    let problems = String::from_utf8(check.stderr).unwrap();
    for expected in [
        "vast.wasm: 314572800 bytes, more than the 262144000 that a handler may have",
        "it exports func greet; expected func handle(event: string, context: context) -> result<string, function-error> of mayfly:lambda/function, wasi:http/incoming-handler@0.2, wasi:http/handler@0.3.0 or wasi:cli/run",
        "strange.wasm: imports that cannot be served: acme:rocket/engine (hint: compose it with a component that exports acme:rocket",
        "wasi:http/types@0.3.0-rc-2026-03-15 is a release candidate",
        "imports that cannot be served: wasi:keyvalue/store@0.2.0-draft, fermyon:spin/llm",
        "spin.wasm: imports that cannot be served: fermyon:spin/llm (hint: Spin provides it)",
        "it exports add; expected _start",
        "it imports from \"env\"",
        "it imports from \"wasi_unstable\" (hint: that is WASI before preview 1",
        "which exceeds the limit of 0x40000000 bytes (hint: pools.memory_mb_max is the most that a guest may have)",
        "10 problems found",
    ] {
        assert!(problems.contains(expected), "{expected:?} in {problems}");
    }
}

/// What tells componentize-py to make a component, and where.
const COMPONENTIZE: &str = r#"
import json, os, subprocess, sys
given = json.load(sys.stdin)
tool = os.path.join(sys.prefix, "bin", "componentize-py")
arguments = ["-d", given["wit"], "-w", "function", "componentize", "app", "-o", given["to"]]
subprocess.run([tool, *arguments], cwd=given["folder"], check=True, stdout=sys.stderr)
print("{}")
"#;

/// A whole interpreter, in one function.
const APP: &str = r#"
import encodings.idna, json, os, socket, sys
from componentize_py_types import Err
from wit_world import WitWorld as Base
from wit_world.imports import logging, services
from wit_world.imports.types import FunctionError

count = 0

class WitWorld(Base):
    def handle(self, event, context):
        global count
        count += 1
        event = json.loads(event)
        logging.log(logging.Level.WARN, "about to answer")
        match event["rawPath"]:
            case "/python/error":
                raise Err(FunctionError("Mine", "by hand", []))
            case "/python/trap":
                raise ValueError("by accident")
            case "/python/loop":
                while True:
                    pass
            case "/python/file":
                answer = [os.listdir("/")]
            case "/python/socket":
                try:
                    answer = socket.create_connection(("127.0.0.1", 1))
                except OSError as error:
                    answer = type(error).__name__
            case "/python/service":
                try:
                    answer = services.call("dynamodb", "ListTables", "{}")
                except Err as error:
                    answer = error.value.code
            case _:
                answer = {"by": sys.implementation.name, "name": context.function_name, "count": count, "mode": os.environ["MODE"]}
        return json.dumps({"statusCode": 200, "body": json.dumps(answer)})
"#;

#[test]
fn a_handler_in_python_is_one_too() {
    let project = Project::with_config(
        "[function.python]\ntimeout_ms = 2000\nenvironment = { MODE = \"m\" }\n",
    );
    let source = tempfile::tempdir().unwrap();
    std::fs::write(source.path().join("app.py"), APP).unwrap();
    let input = json!({
        "wit": root().join("wit"),
        "folder": source.path(),
        "to": project.handler_path("python"),
    });
    let name = "guests::a_handler_in_python_is_one_too";
    let Some(_) = python::run(name, COMPONENTIZE, &input) else { return };
    let gateway = project.serve();
    gateway.wait_for_code(1);
    for _ in 0..2 {
        let answer = gateway.get("/python");
        let expected = json!({ "by": "cpython", "name": "python", "count": 1, "mode": "m" });
        assert_eq!((answer.status, answer.json()), (200, expected), "{}", gateway.log());
    }
    gateway.wait_for_log("WARN about to answer function=\"python\"");
    assert_eq!(gateway.get("/python/socket").status, 200, "{}", gateway.log());
    assert_eq!(gateway.get("/python/service").json(), json!("AccessDeniedException"));
    for (way, why) in [
        ("error", "Mine: by hand"),
        ("trap", "ValueError: by accident"),
        ("loop", "task timed out after 2.00 seconds"),
        ("file", "Error: [Errno"),
    ] {
        gateway.expect_function_error(&format!("/python/{way}"), "http");
        gateway.wait_for_log(why);
    }
}

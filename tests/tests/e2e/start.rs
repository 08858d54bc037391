//! A gateway answers from its first moment: what is compiled is ready, the rest
//! is waited for by those who ask for it.

use std::{fmt::Write as _, fs, path::Path};

use mayfly_tests::{Answer, Gateway, Project, fixture};
use serde_json::{Value, json};

/// A module of WASI preview 1 that answers with `text`, and has so many further
/// functions to compile.
fn module(text: &str, functions: usize) -> Vec<u8> {
    let mut more = String::new();
    for function in 0..functions {
        let mut steps = String::new();
        for step in 0..100 {
            let _ = write!(
                steps,
                "(if (i32.gt_u (local.get 0) (i32.const {step}))
                    (then (local.set 0 (i32.mul (i32.xor (local.get 0) (i32.const {function}))
                        (i32.load (i32.and (local.get 0) (i32.const 0xff)))))))"
            );
        }
        let _ = write!(more, "(func (export \"f{function}\") (param i32) {steps})");
    }
    let length = text.len() + 26;
    let text = format!(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 100) "Content-Type: text/plain\n\n{text}")
            (func (export "_start")
                (i32.store (i32.const 0) (i32.const 100))
                (i32.store (i32.const 4) (i32.const {length}))
                (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
            {more})"#
    );
    wat::parse_str(text).expect("a module")
}

/// One that takes some seconds of a core.
fn slow() -> Vec<u8> {
    module("slow", 3000)
}

fn with_slow(project: Project) -> Project {
    fs::write(project.handler_path("slow"), slow()).unwrap();
    project
}

/// The state of a function as `/health` has it.
fn state(gateway: &Gateway, name: &str) -> Value {
    let health = gateway.health();
    let functions = health["functions"].as_array().unwrap();
    functions.iter().find(|function| function["name"] == name).unwrap()["state"].clone()
}

fn lambda_state(gateway: &Gateway, name: &str) -> Value {
    let path = format!("/2015-03-31/functions/{name}/configuration");
    let answer = Answer::of(gateway.lambda("GET", &path)).json();
    json!([answer["State"], answer["StateReasonCode"]])
}

#[test]
fn a_function_is_waited_for_and_others_are_not_held_up() {
    let project =
        Project::with_config("[[route]]\nroute = \"GET /mock\"\nmock = { body = \"m\" }\n")
            .with_handler("quick", &fixture("version-one"));
    let gateway = with_slow(project).serve();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| gateway.get("/slow"));
        assert_eq!(gateway.get("/mock").text(), "m");
        assert_eq!(gateway.get("/quick").text(), "one");
        assert_eq!(state(&gateway, "slow"), "pending", "{}", gateway.log());
        assert_eq!(lambda_state(&gateway, "slow"), json!(["Pending", "Creating"]));
        assert_eq!(gateway.health()["status"], "ok");
        let answer = waiting.join().unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "slow"), "{}", gateway.log());
    });
    assert_eq!(state(&gateway, "slow"), "active");
    assert_eq!(lambda_state(&gateway, "slow"), json!(["Active", null]));
    for progress in ["compiled 1 of 2: ", "compiled 2 of 2: ", ": slow in ", ": quick in "] {
        gateway.wait_for_log(progress);
    }
    // What was compiled is kept, and ready before anybody can ask.
    let (project, _) = gateway.stop();
    let gateway = project.serve();
    assert_eq!(state(&gateway, "slow"), "active");
    assert_eq!(gateway.get("/slow").text(), "slow");
    assert!(!gateway.log().contains("compiled"), "{}", gateway.log());
}

#[test]
fn who_waits_too_long_is_told_so_and_it_is_compiled_all_the_same() {
    for kind in ["rest", "http"] {
        let config = format!(
            "kind = \"{kind}\"\n[[route]]\nroute = \"GET /soon\"\nfunction = \"slow\"\ntimeout_ms = 50\n"
        );
        let gateway = with_slow(Project::with_config(&config)).serve();
        let answer = gateway.get("/soon");
        let expected = (504, json!({ "message": "Endpoint request timed out" }));
        assert_eq!((answer.status, answer.json()), expected, "{kind} {}", gateway.log());
        gateway.wait_for_code(1);
        gateway.wait_for_log("compiled 1 of 1: slow in ");
        gateway.wait("answer", || gateway.get("/soon").text() == "slow");
    }
}

#[test]
fn whoever_calls_a_function_waits_for_it() {
    let config = r#"
kind = "rest"

[[route]]
route = "GET /one"
function = "slow:1"

[[route]]
route = "POST /mapped"
integration = { type = "function", function = "slow", responses = [{ status = 200 }] }

[function.slow]
url = { auth = "none" }
"#;
    let gateway = with_slow(Project::with_config(config)).serve();
    let call = |gateway: &Gateway, kind: &str| {
        let request = gateway.lambda("POST", "/2015-03-31/functions/slow/invocations");
        Answer::of(request.header("x-amz-invocation-type", kind).body("{}"))
    };
    // A version can be published of what is still being compiled.
    let path = "/2015-03-31/functions/slow/versions";
    assert_eq!(Answer::of(gateway.lambda("POST", path).body("{}")).status, 201);
    assert_eq!(state(&gateway, "slow"), "pending");
    assert_eq!(call(&gateway, "Event").status, 202);
    let answer = call(&gateway, "RequestResponse");
    assert!(answer.text().contains("slow"), "{answer:?}");
    gateway.wait("two invocations", || gateway.log().matches("START RequestId").count() == 2);
    // Nothing is left of what was compiled.
    let (project, _) = gateway.stop();
    fs::remove_dir_all(project.path().join(".mayfly/code")).unwrap();
    let gateway = project.serve();
    assert_eq!(state(&gateway, "slow"), "pending");
    std::thread::scope(|scope| {
        let version = scope.spawn(|| gateway.get("/one"));
        let mapped = scope.spawn(|| gateway.post("/mapped", &json!({})));
        let url = scope.spawn(|| {
            gateway.wait_for_log("function slow at http://");
            let log = gateway.log();
            let host = log.split("function slow at http://").nth(1).unwrap();
            let host = host.split('/').next().unwrap().to_owned();
            Answer::of(gateway.request("GET", "/").header("host", host))
        });
        assert_eq!(version.join().unwrap().text(), "slow", "{}", gateway.log());
        assert_eq!(url.join().unwrap().text(), "slow", "{}", gateway.log());
        let mapped = mapped.join().unwrap();
        assert!(mapped.text().contains("slow"), "{mapped:?} {}", gateway.log());
    });
}

#[test]
fn what_turns_out_to_be_no_function_is_reported_while_others_are_served() {
    let project = Project::new()
        .with_handler("quick", &fixture("version-one"))
        .with_handler("wrong", &fixture("wrong-export"));
    let gateway = with_slow(project).serve();
    gateway.expect_function_error("/wrong", "http");
    gateway.wait_for_log("wrong.wasm: not a function: it exports func greet");
    gateway.wait("report", || gateway.health()["status"] == "degraded");
    assert_eq!(state(&gateway, "wrong"), "failed");
    assert_eq!(gateway.get("/quick").text(), "one");
    // It was told once, and a changed file is not held up by what waits.
    assert_eq!(gateway.log().matches("wrong.wasm: not a function").count(), 1);
    gateway.project.put_handler("wrong", &fixture("version-two"));
    gateway.wait("the new file", || gateway.get("/wrong").text() == "two");
    assert_eq!(gateway.get("/slow").text(), "slow");
    gateway.wait("a good report", || gateway.health()["status"] == "ok");
}

#[test]
fn a_hundred_handlers_are_compiled_once() {
    let write = |folder: &Path, number: usize| {
        let path = folder.join(format!("handlers/h{number}.wasm"));
        fs::write(path, module(&format!("handler {number:03}"), 0)).unwrap();
    };
    let project = Project::new();
    (0..100).for_each(|number| write(project.path(), number));
    let gateway = project.serve();
    for number in [99, 0, 50] {
        assert_eq!(gateway.get(&format!("/h{number}")).text(), format!("handler {number:03}"));
    }
    gateway.wait_for_log("compiled 100 of 100: ");
    let (project, _) = gateway.stop();
    // One that has changed is the only one to be compiled.
    fs::write(project.handler_path("h7"), module("another h7!", 0)).unwrap();
    let gateway = project.serve();
    assert_eq!(gateway.get("/h7").text(), "another h7!");
    assert_eq!(gateway.get("/h8").text(), "handler 008");
    assert_eq!(gateway.log().matches("compiled ").count(), 1, "{}", gateway.log());
}

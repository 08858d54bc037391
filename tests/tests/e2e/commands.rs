//! Commands, and core modules of WASI preview 1.

use mayfly_tests::{Answer, Gateway, Project, fixture};
use serde_json::json;

fn gateway(kind: &str, function: &str) -> Gateway {
    let config = format!("kind = {kind:?}\n[function.tool]\n{function}\n");
    Project::with_config(&config).with_handler("tool", &fixture("command")).serve()
}

#[test]
fn a_command_answers_on_standard_output() {
    for kind in ["http", "rest"] {
        let gateway = gateway(kind, "environment = { MODE = \"m\", PATH_INFO = \"granted\" }");
        let answer = Answer::of(gateway.request("POST", "/tool").body("the body"));
        assert_eq!((answer.status, answer.text().as_str()), (200, "the body"), "{}", gateway.log());
        let environment = gateway.get("/tool/x%20y?do=environment").json();
        assert_eq!(environment["arguments"], json!(["tool"]));
        let variables = &environment["environment"];
        for (name, value) in [
            ("MODE", "m"),
            // What is granted wins.
            ("PATH_INFO", "granted"),
            ("REQUEST_METHOD", "GET"),
            ("QUERY_STRING", "do=environment"),
            ("GATEWAY_INTERFACE", "CGI/1.1"),
            ("REMOTE_ADDR", "127.0.0.1"),
        ] {
            assert_eq!(variables[name], value, "{kind} {name}: {variables}");
        }
        let request = gateway.request("PATCH", "/tool?do=cgi").header("x-mode", "fast");
        let answer = Answer::of(request.header("proxy", "http://evil.example"));
        assert_eq!((answer.status, answer.text().as_str()), (201, "PATCH granted fast"));
        assert_eq!(answer.header("content-type"), Some("text/plain"));
    }
}

/// As everybody else is told; a header that ends in the same variable as another
/// is none.
#[test]
fn a_command_is_told_the_client_s_address() {
    for kind in ["http", "rest"] {
        let config = format!("kind = {kind:?}\ntrusted_proxies = [\"127.0.0.1\"]\n");
        let project = Project::with_config(&config).with_handler("tool", &fixture("command"));
        let gateway = project.serve();
        let request = gateway
            .request("GET", "/tool?do=environment")
            .header("x-forwarded-for", "192.0.2.1")
            .header("x_forwarded_for", "192.0.2.2");
        let environment = Answer::of(request).json();
        let variables = &environment["environment"];
        assert_eq!(variables["REMOTE_ADDR"], "192.0.2.1", "{kind}: {variables}");
        let forwarded = variables["HTTP_X_FORWARDED_FOR"].as_str().expect("text");
        assert!(forwarded.starts_with("192.0.2.1"), "{kind}: {variables}");
    }
}

#[test]
fn a_command_that_fails_is_a_function_error() {
    for (kind, status) in [("http", 500), ("rest", 502)] {
        let gateway = gateway(kind, "timeout_ms = 700\nresponse_bytes_max = 100000");
        for (query, why) in [
            ("do=exit&n=3", "exit status 1"),
            ("do=silent", "standard output is no answer: it is empty"),
            ("do=text", "it is neither JSON"),
            ("do=twice", "it is neither JSON (trailing characters at line 2"),
            ("do=flood&n=1000", "more than response_bytes_max = 100000"),
            ("do=loop", "task timed out after 0.70 seconds"),
            ("do=trap", "asked to trap"),
        ] {
            assert_eq!(gateway.get(&format!("/tool?{query}")).status, status, "{kind} {query}");
            gateway.wait_for_log(why);
        }
        gateway.wait_for_log("about to fail");
        assert_eq!(Answer::of(gateway.request("POST", "/tool").body("x")).text(), "x");
    }
}

#[test]
fn a_core_module_is_adapted_and_its_code_kept() {
    let project = Project::with_config("[function.old]\nenvironment = { MODE = \"m\" }\n")
        .with_handler("old", &fixture("module"));
    let gateway = project.serve();
    let answer = gateway.get("/old/a");
    assert_eq!((answer.status, answer.text().as_str()), (200, "/old/a m true true"));
    let cache = gateway.project.path().join(".mayfly/code");
    let entries = || std::fs::read_dir(&cache).unwrap().count();
    assert_eq!(entries(), 1);
    let again = gateway.project.run(&["invoke", "old"]);
    let text = String::from_utf8(again.stdout).unwrap();
    assert!(text.contains(r#""body":" m true true""#), "{text}");
    assert_eq!(entries(), 1);
}

#[test]
fn a_command_takes_any_event() {
    let project = Project::new().with_handler("tool", &fixture("command"));
    let payload = json!({ "queryStringParameters": { "do": "environment" } }).to_string();
    let output = project.run(&["invoke", "tool", "--payload", &payload]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("statusCode") && !text.contains("REQUEST_METHOD"), "{text}");
}

#[test]
fn a_command_may_be_asynchronous() {
    let gateway = Project::with_config("[function.tool]\ntimeout_ms = 700\n")
        .with_handler("tool", &fixture("command-async"))
        .serve();
    let answer = Answer::of(gateway.request("POST", "/tool").body("the body"));
    assert_eq!(answer.status, 200, "{}", gateway.log());
    let expected = json!({
        "body": "the body", "arguments": ["tool"], "method": ["REQUEST_METHOD", "POST"],
    });
    assert_eq!(answer.json(), expected);
    gateway.wait_for_log("about to answer");
    for (way, why) in [
        ("exit", "exit status 1"),
        ("trap", "asked to trap"),
        ("loop", "task timed out after 0.70 seconds"),
        ("wait", "task timed out after 0.70 seconds"),
    ] {
        gateway.expect_function_error(&format!("/tool?do={way}"), "http");
        gateway.wait_for_log(why);
    }
}

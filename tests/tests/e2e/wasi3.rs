//! Guests that speak HTTP by `wasi:http` 0.3.

use std::io::Read as _;

use mayfly_tests::{Answer, Gateway, Project, fixture};
use serde_json::Value;

fn gateway(config: &str) -> Gateway {
    Project::with_config(config).with_handler("web", &fixture("http-async")).serve()
}

#[test]
fn it_answers_and_streams() {
    let gateway = gateway("");
    assert_eq!(gateway.get("/web").text(), "done", "{}", gateway.log());
    let body = "x".repeat(3_000_000);
    let answer = Answer::of(gateway.request("POST", "/web/echo").body(body.clone()));
    assert_eq!((answer.status, answer.body.len()), (200, body.len()));
    let mut response = gateway.request("GET", "/web/stream?n=50000000").send().unwrap();
    let mut length = 0;
    let mut part = vec![0; 65536];
    while let read @ 1.. = response.read(&mut part).unwrap() {
        length += read;
    }
    assert_eq!(length, 50_000_000);
    let context: Value = serde_json::from_str(&gateway.get("/web/context").text()).unwrap();
    assert_eq!(context["env_config"]["function_name"], "web");
    assert_eq!(gateway.get("/web/after").text(), "answered");
    gateway.wait_for_log("still here after the answer");
}

#[test]
fn one_that_misbehaves_ends_alone() {
    let gateway = gateway("[function.web]\ntimeout_ms = 700\nmemory_mb = 16\n");
    for (way, why) in [
        ("trap", "asked to trap"),
        ("error", "LoopDetected"),
        ("loop", "task timed out after 0.70 seconds"),
        ("wait", "task timed out after 0.70 seconds"),
    ] {
        gateway.expect_function_error(&format!("/web/{way}"), "http");
        gateway.wait_for_log(why);
    }
    let mut response = gateway.request("GET", "/web/early").send().unwrap();
    assert_eq!(response.status(), 200);
    let mut text = String::new();
    assert!(response.read_to_string(&mut text).is_err(), "{text}");
    assert_eq!(text, "the beginning");
    gateway.wait_for_log("asked to trap within the body");
    assert_eq!(gateway.get("/web").text(), "done");
}

#[test]
fn it_calls_what_it_may() {
    let upstream = mayfly_tests::upstream::Upstream::saying("from elsewhere");
    let address = upstream.address;
    let config = |grants: &str| format!("[function.web]\n{grants}");
    let uri = format!("/web/fetch?uri=http%3A%2F%2F{address}%2Fpath");
    let gateway = gateway(&config(&format!(
        "outbound = [\"http://{address}\"]\noutbound_networks = [\"127.0.0.0/8\"]\n"
    )));
    assert_eq!(gateway.get(&uri).text(), "from elsewhere", "{}", gateway.log());
    assert_eq!(upstream.last().line(), "GET /path");
    gateway.project.write_config(&config("memory_mb = 64\n"));
    gateway.wait("reload", || gateway.get(&uri).text() == "ErrorCode::HttpRequestDenied");
    gateway.wait_for_log(&format!("a request to http://{address} is denied"));
}

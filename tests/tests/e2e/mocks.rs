//! Answers without code.

use std::time::{Duration, Instant};

use mayfly_tests::{Answer, Project};
use serde_json::json;

#[test]
fn placeholders_stand_for_parts_of_the_request() {
    let gateway = Project::with_config(
        r#"
[[route]]
route = "GET /pets/{id}"
mock = { status = 200, headers = { x-mock = "yes" }, json = { id = "{path.id}", name = "Rex" } }

[[route]]
route = "POST /echo/{id}"
mock = { status = 201, headers = { x-from = "{header.user-agent}", x-q = "{query.q}" }, json = { short = "{id}", name = "Hello, {body.user.name}!", age = "{body.user.age}", tags = "{body.tags}", first = "{body.tags.0}", none = "{body.nothing}" } }

[[route]]
route = "GET /text"
mock = { body = "q is {query.q} { \"a\": 1 }" }

[[route]]
route = "DELETE /pets/{id}"
mock = { status = 204 }
"#,
    )
    .serve();
    let pet = gateway.get("/pets/7");
    assert_eq!((pet.status, pet.json()), (200, json!({ "id": "7", "name": "Rex" })));
    assert_eq!(pet.header("x-mock"), Some("yes"));
    assert_eq!(pet.header("content-type"), Some("application/json"));

    let request = gateway
        .request("POST", "/echo/9?q=a%20b&q=c")
        .header("user-agent", "test/1")
        .json(&json!({ "user": { "name": "Ada", "age": 36 }, "tags": ["x", "y"] }));
    let echo = Answer::of(request);
    assert_eq!(echo.status, 201);
    assert_eq!(
        echo.json(),
        json!({ "short": "9", "name": "Hello, Ada!", "age": 36, "tags": ["x", "y"], "first": "x", "none": null })
    );
    assert_eq!(echo.header("x-from"), Some("test/1"));
    assert_eq!(echo.header("x-q"), Some("c"));

    let text = gateway.get("/text?q=1");
    assert_eq!(text.text(), "q is 1 { \"a\": 1 }");
    assert!(text.header("content-type").unwrap().starts_with("text/plain"));

    let gone = Answer::of(gateway.request("DELETE", "/pets/7"));
    assert_eq!((gone.status, gone.text().as_str()), (204, ""));
}

#[test]
fn a_delay_holds_the_answer_back() {
    let gateway = Project::with_config(
        "[[route]]\nroute = \"GET /slow\"\nmock = { body = \"late\", delay_ms = 300 }\n",
    )
    .serve();
    let begun = Instant::now();
    assert_eq!(gateway.get("/slow").text(), "late");
    assert!(begun.elapsed() >= Duration::from_millis(300));
}

#[test]
fn a_delay_beyond_the_route_s_timeout_is_a_timeout() {
    let config = "[[route]]\nroute = \"GET /slow\"\ntimeout_ms = 100\nmock = { body = \"late\", delay_ms = 20000 }\n";
    let gateway = Project::with_config(config).serve();
    let answer = gateway.get("/slow");
    assert_eq!(
        (answer.status, answer.json()),
        (504, json!({ "message": "Endpoint request timed out" }))
    );
}

#[test]
fn a_client_cannot_break_the_head_of_an_answer() {
    let gateway = Project::with_config(
        "[[route]]\nroute = \"GET /x\"\nmock = { headers = { x-q = \"{query.q}\" }, body = \"ok\" }\n",
    )
    .serve();
    let answer = gateway.get("/x?q=a%0d%0aset-cookie:%20b");
    assert_eq!(answer.status, 500);
    assert_eq!(answer.header("set-cookie"), None);
    gateway.wait_for_log("cannot be the value of the header x-q");
}

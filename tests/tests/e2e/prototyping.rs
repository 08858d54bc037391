//! Mocks that do more than give one fixed answer: sequences, rules, random
//! delays and sample data, in both kinds of API.

use std::time::{Duration, Instant};

use mayfly_tests::{Answer, Gateway, Project, client};
use serde_json::{Value, json};

const KINDS: [&str; 2] = ["rest", "http"];

fn serve(kind: &str, routes: &str) -> Gateway {
    Project::with_config(&format!("kind = \"{kind}\"\n{routes}")).serve()
}

fn reset(gateway: &Gateway) -> Value {
    let url = format!("http://{}/mocks/reset", gateway.admin);
    let answer = Answer::of(client().post(url));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn statuses(gateway: &Gateway, path: &str, count: usize) -> Vec<u16> {
    (0..count).map(|_| gateway.get(path).status).collect()
}

const SEQUENCES: &str = r#"
[[route]]
route = "GET /flaky"
mock = { sequence = [{ status = 503, headers = { retry-after = "1" } }, { json = { q = "{query.q}" } }] }

[[route]]
route = "GET /circle"
mock = { sequence = [{ status = 201 }, { status = 202 }], sequence_end = "repeat" }
"#;

#[test]
fn a_sequence_gives_one_answer_after_the_other() {
    for kind in KINDS {
        let gateway = serve(kind, SEQUENCES);
        let first = gateway.get("/flaky");
        assert_eq!((first.status, first.header("retry-after")), (503, Some("1")));
        for _ in 0..2 {
            assert_eq!(gateway.get("/flaky?q=a").json(), json!({ "q": "a" }));
        }
        assert_eq!(statuses(&gateway, "/circle", 5), [201, 202, 201, 202, 201]);
        assert_eq!(reset(&gateway), json!({ "mocks": 2, "collections": 0 }));
        assert_eq!(statuses(&gateway, "/flaky", 2), [503, 200]);
        assert_eq!(statuses(&gateway, "/circle", 1), [201]);
    }
}

#[test]
fn a_sequence_goes_on_after_a_reload_that_does_not_change_it() {
    let gateway = serve("http", SEQUENCES);
    assert_eq!(statuses(&gateway, "/flaky", 1), [503]);
    assert_eq!(statuses(&gateway, "/circle", 1), [201]);
    let changed = SEQUENCES.replace("status = 202", "status = 203");
    gateway.project.write_config(&format!(
        "kind = \"http\"\n{changed}\n[[route]]\nroute = \"GET /new\"\nmock = {{ body = \"new\" }}\n"
    ));
    gateway.wait("the new route", || gateway.get("/new").status == 200);
    assert_eq!(statuses(&gateway, "/flaky", 1), [200], "it is where it was");
    assert_eq!(statuses(&gateway, "/circle", 2), [201, 203], "it is another sequence");
}

#[test]
fn every_answer_of_a_sequence_is_given_once_however_many_ask() {
    let routes = r#"
[[route]]
route = "GET /once"
mock = { sequence = [{ status = 201 }, { status = 202 }, { status = 203 }, { status = 404 }] }
"#;
    let gateway = serve("http", routes);
    let mut seen: Vec<u16> = std::thread::scope(|scope| {
        let asking: Vec<_> =
            (0..8).map(|_| scope.spawn(|| statuses(&gateway, "/once", 2))).collect();
        asking.into_iter().flat_map(|one| one.join().expect("a thread")).collect()
    });
    seen.sort_unstable();
    assert_eq!(seen[..4], [201, 202, 203, 404]);
    assert!(seen[4..].iter().all(|status| *status == 404), "{seen:?}");
}

#[test]
fn resetting_is_a_post_from_this_machine() {
    let gateway = serve("http", SEQUENCES);
    let url = format!("http://{}/mocks/reset", gateway.admin);
    let get = Answer::of(client().get(&url));
    assert_eq!((get.status, get.header("allow")), (405, Some("POST")));
    let page = Answer::of(client().post(&url).header("origin", "http://evil.example"));
    assert_eq!(page.status, 403);
}

const RULES: &str = r#"
[[route]]
route = "ANY /pets/{id}"

[route.mock]
status = 200
body = "otherwise"

[[route.mock.rules]]
when = { "header.X-Mode" = "fail" }
status = 500
body = "as you wish, {id}"

[[route.mock.rules]]
when = { "method" = "POST", "body.pet.kind" = { one_of = ["dog", "cat"] }, "body.pet.age" = { min = 20, max = 90 } }
status = 422
json = { message = "{body.pet.name} is too old" }

[[route.mock.rules]]
when = { "query.q" = { like = "a?c*" }, "query.page" = { matches = "[0-9]+" } }
status = 206

[[route.mock.rules]]
when = { "path.id" = 7, "query.q" = { present = false }, method = { not = "POST" } }
status = 203

[[route.mock.rules]]
when = { body = { contains = "needle" } }
body = "found"
"#;

#[test]
fn the_first_rule_whose_conditions_hold_answers() {
    for kind in KINDS {
        let gateway = serve(kind, RULES);
        let failing = Answer::of(gateway.request("GET", "/pets/7").header("x-mode", "fail"));
        assert_eq!((failing.status, failing.text().as_str()), (500, "as you wish, 7"));
        let pet =
            |kind: &str, age: i64| json!({ "pet": { "kind": kind, "age": age, "name": "Rex" } });
        let old = gateway.post("/pets/1", &pet("dog", 20));
        assert_eq!((old.status, old.json()), (422, json!({ "message": "Rex is too old" })));
        for body in [pet("dog", 19), pet("bird", 30), pet("cat", 91), json!({ "pet": "dog" })] {
            assert_eq!(gateway.post("/pets/1", &body).text(), "otherwise", "{body}");
        }
        for (path, status) in [
            ("/pets/1?q=abcd&page=12", 206),
            ("/pets/1?q=abc&page=x", 200),
            ("/pets/1?q=bc&page=1", 200),
            ("/pets/7", 203),
            ("/pets/7?q=", 200),
            ("/pets/8", 200),
        ] {
            assert_eq!(gateway.get(path).status, status, "{path}");
        }
        let text = Answer::of(gateway.request("PUT", "/pets/1").body("a needle here"));
        assert_eq!(text.text(), "found");
    }
}

#[test]
fn a_random_delay_is_within_its_bounds() {
    let routes = "[[route]]\nroute = \"GET /slow\"\nmock = { body = \"late\", delay_ms = { min = 200, max = 300 } }\n";
    for kind in KINDS {
        let gateway = serve(kind, routes);
        let begun = Instant::now();
        assert_eq!(gateway.get("/slow").text(), "late");
        assert!(begun.elapsed() >= Duration::from_millis(200));
    }
}

const SAMPLES: &str = r#"
[[route]]
route = "GET /user/{id}"
mock.json = { id = "{id}", uuid = "{random.uuid}", name = "{random.name}", email = "{random.email}", age = "{random.int.18.99}", price = "{random.decimal.1.5}", active = "{random.bool}", born = "{random.date}", note = "Dear {random.first_name}, {random.sentence}", kind = "{random.one_of.a.b}", now = "{now}", epoch = "{now.epoch}", request = "{request.id}" }

[[route]]
route = "GET /word"
mock.body = "{random.uuid}"
"#;

#[test]
fn sample_data_has_its_types() {
    for (kind, id_header) in [("rest", "x-amzn-requestid"), ("http", "apigw-requestid")] {
        let gateway = serve(kind, SAMPLES);
        let answer = gateway.get("/user/9");
        let user = answer.json();
        assert_eq!(user["id"], "9");
        assert!((18..=99).contains(&user["age"].as_i64().expect("an integer")), "{user}");
        assert!((1.0..=5.0).contains(&user["price"].as_f64().expect("a number")), "{user}");
        assert!(user["active"].is_boolean() && user["epoch"].is_u64(), "{user}");
        assert!(user["kind"] == "a" || user["kind"] == "b", "{user}");
        assert!(user["note"].as_str().expect("text").starts_with("Dear "), "{user}");
        assert!(user["now"].as_str().expect("text").ends_with('Z'), "{user}");
        assert_eq!(user["request"].as_str(), answer.header(id_header));
        assert_ne!(gateway.get("/user/9").json()["uuid"], user["uuid"]);
    }
}

#[test]
fn a_seed_gives_the_same_samples_with_every_start() {
    let values = |seed: &str, asked_before: usize| {
        let gateway = serve("http", &format!("{seed}\n{SAMPLES}"));
        for _ in 0..asked_before {
            gateway.get("/user/1");
        }
        let values: Vec<String> = (0..3).map(|_| gateway.get("/word").text()).collect();
        reset(&gateway);
        assert_eq!(gateway.get("/word").text() == values[0], !seed.is_empty());
        values
    };
    let first = values("seed = 7", 0);
    assert_eq!(first, values("seed = 7", 2), "other routes change nothing");
    assert_ne!(first, values("seed = 8", 0));
    assert_ne!(first, values("", 0));
    assert!(first[0] != first[1] && first[1] != first[2]);
}

#[test]
fn the_commands_show_what_a_mock_does() {
    let project = Project::with_config(&format!("{RULES}{SEQUENCES}"));
    let routes = project.run(&["routes"]);
    let text = String::from_utf8_lossy(&routes.stdout).into_owned();
    assert!(text.contains("mock 200 OK; 5 rules"), "{text}");
    assert!(text.contains("mock 503, then 200"), "{text}");
    assert!(text.contains("mock 201, then 202, again and again"), "{text}");
    for (arguments, expected) in [
        (["test", "GET", "/pets/7"], "mock, rule 4 of 5"),
        (["test", "GET", "/pets/8"], "mock, none of 5 rules\nrule 1: header.x-mode is missing\n"),
        (["test", "GET", "/pets/8"], "\nrule 4: path.id does not fit\nrule 5: body is missing\n"),
        (["test", "GET", "/flaky"], "mock, answer 1 of 2 in sequence"),
    ] {
        let output = project.run(&arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains(expected), "{expected:?} in {text}");
    }
}

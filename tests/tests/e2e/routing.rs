//! Which route takes a request, and what an unknown one gets.

use mayfly_tests::{Answer, Gateway, Project};
use serde_json::json;

const ROUTES: [&str; 8] = [
    "GET /pets",
    "GET /pets/{id}",
    "GET /pets/dog",
    "ANY /pets/{id}/toys",
    "POST /pets/{id}/toys",
    "GET /pets/{id}/toys/{toy}",
    "ANY /files/{proxy+}",
    "GET /files/readme",
];

/// A gateway whose routes answer their own key and parameters.
fn gateway(kind: &str, more: &[&str]) -> Gateway {
    let mut config = format!("kind = {kind:?}\n");
    for route in ROUTES.iter().chain(more) {
        let id = |name: &str| {
            if route.contains(&format!("{{{name}")) {
                format!("{{path.{name}}}")
            } else {
                String::new()
            }
        };
        config.push_str(&format!(
            "[[route]]\nroute = {route:?}\nmock = {{ body = \"{route}|{}|{}|{}\" }}\n",
            id("id"),
            id("toy"),
            id("proxy"),
        ));
    }
    // In a text body, braces that are no placeholders stay as they are; a
    // route's own parameters would be replaced.
    let config = config
        .replace("body = \"GET /pets/{id}/toys/{toy}", "body = \"GET /pets/:id/toys/:toy")
        .replace("body = \"ANY /pets/{id}/toys", "body = \"ANY /pets/:id/toys")
        .replace("body = \"POST /pets/{id}/toys", "body = \"POST /pets/:id/toys")
        .replace("body = \"GET /pets/{id}", "body = \"GET /pets/:id");
    Project::with_config(&config).serve()
}

#[test]
fn the_most_specific_route_wins() {
    for kind in ["http", "rest"] {
        let gateway = gateway(kind, &[]);
        for (path, expected) in [
            ("/pets", "GET /pets|||"),
            ("/pets/", "GET /pets|||"),
            ("/pets/1", "GET /pets/:id|1||"),
            ("/pets/dog", "GET /pets/dog|||"),
            ("/pets/dog/toys", "ANY /pets/:id/toys|dog||"),
            ("/pets/1/toys/ball", "GET /pets/:id/toys/:toy|1|ball|"),
            ("/pets/a%20b%2Fc", "GET /pets/:id|a b/c||"),
            ("/files/readme", "GET /files/readme|||"),
            ("/files/a/b%20c", "ANY /files/{proxy+}|||a/b c"),
        ] {
            assert_eq!(gateway.get(path).text(), expected, "{kind} {path}");
        }
        let posted = Answer::of(gateway.request("POST", "/pets/1/toys"));
        assert_eq!(posted.text(), "POST /pets/:id/toys|1||", "{kind}");
        let put = Answer::of(gateway.request("PUT", "/pets/1/toys"));
        assert_eq!(put.text(), "ANY /pets/:id/toys|1||", "{kind}");
    }
}

#[test]
fn an_unknown_route_is_refused_in_the_words_of_its_kind() {
    let http = gateway("http", &[]);
    for (method, path) in [("GET", "/nothing"), ("POST", "/pets"), ("GET", "/files"), ("GET", "//")]
    {
        let answer = Answer::of(http.request(method, path));
        assert_eq!(
            (answer.status, answer.json()),
            (404, json!({ "message": "Not Found" })),
            "{path}"
        );
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("apigw-requestid").unwrap().len(), 16);
    }
    let rest = gateway("rest", &[]);
    for (method, path) in [("GET", "/nothing"), ("POST", "/pets")] {
        let answer = Answer::of(rest.request(method, path));
        let message = json!({ "message": "Missing Authentication Token" });
        assert_eq!((answer.status, answer.json()), (403, message), "{path}");
        assert_eq!(answer.header("x-amzn-errortype"), Some("MissingAuthenticationTokenException"));
        assert_eq!(answer.header("x-amzn-requestid").unwrap().len(), 36);
    }
}

#[test]
fn a_method_that_a_resource_lacks_falls_through_only_in_http_apis() {
    let http = gateway("http", &[]);
    let answer = Answer::of(http.request("POST", "/files/readme"));
    assert_eq!(answer.text(), "ANY /files/{proxy+}|||readme");
    let rest = gateway("rest", &[]);
    assert_eq!(Answer::of(rest.request("POST", "/files/readme")).status, 403);
}

#[test]
fn the_default_route_takes_what_no_other_does() {
    let gateway = gateway("http", &["$default"]);
    assert_eq!(gateway.get("/nothing/at/all").text(), "$default|||");
    assert_eq!(gateway.get("/pets").text(), "GET /pets|||");
    assert_eq!(Answer::of(gateway.request("DELETE", "/pets")).text(), "$default|||");
}

#[test]
fn explicit_routes_win_over_drop_ins() {
    let config = "[[route]]\nroute = \"GET /probe\"\nmock = { body = \"mock\" }\n";
    let gateway =
        Project::with_config(config).with_handler("probe", &mayfly_tests::fixture("probe")).serve();
    assert_eq!(gateway.get("/probe").text(), "mock");
    assert_eq!(Answer::of(gateway.request("POST", "/probe")).json()["routeKey"], "ANY /probe");
    assert_eq!(gateway.get("/probe/rest").json()["pathParameters"]["proxy"], "rest");
}

#[test]
fn a_routed_function_is_no_drop_in() {
    let config = "[[route]]\nroute = \"GET /here\"\nfunction = \"probe\"\n";
    let gateway =
        Project::with_config(config).with_handler("probe", &mayfly_tests::fixture("probe")).serve();
    assert_eq!(gateway.get("/here").status, 200);
    assert_eq!(gateway.get("/probe").status, 404);
}

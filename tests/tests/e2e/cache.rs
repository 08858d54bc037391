//! Answers that a stage keeps.

use std::{
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use mayfly_tests::{Answer, Gateway, Project, fixture, upstream::Upstream};
use serde_json::json;

/// A server whose answers count its requests.
fn counter() -> Upstream {
    let count = AtomicUsize::new(0);
    Upstream::new(move |request, stream| {
        let number = count.fetch_add(1, Ordering::Relaxed) + 1;
        let status = if request.line().contains("fail") { "500 Oh" } else { "200 OK" };
        let length = number.to_string().len();
        write!(
            stream,
            "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nx-count: {number}\r\n\r\n{number}"
        )
    })
}

/// A gateway in front of it.
fn counting(more: &str) -> (Gateway, Upstream) {
    let upstream = counter();
    let config = format!(
        r#"
kind = "rest"
cors = true

[stages.prod]
cache.ttl_seconds = 3600
{more}
methods."GET /off" = {{ cache = false }}
methods."POST /post" = {{ cache = {{ ttl_seconds = 60 }} }}

[[route]]
route = "ANY /proxy/{{path+}}"
cache = {{ key = ["query.page", "method.request.header.accept-language"] }}
integration = {{ type = "http_proxy", uri = "http://{0}/{{path}}" }}

[[route]]
route = "GET /off"
integration = {{ type = "http_proxy", uri = "http://{0}/" }}

[[route]]
route = "POST /post"
integration = {{ type = "http_proxy", uri = "http://{0}/" }}
"#,
        upstream.address
    );
    (Project::with_config(&config).serve(), upstream)
}

#[test]
fn an_answer_is_kept_by_its_path_and_its_parameters() {
    let (gateway, upstream) = counting("");
    let get = |path: &str| gateway.get(path).text();
    assert_eq!(get("/proxy/a"), "1");
    assert_eq!(get("/proxy/a"), "1");
    assert_eq!(get("/proxy/a?other=1"), "1", "no parameter of the key");
    assert_eq!(get("/proxy/b"), "2");
    assert_eq!(get("/proxy/a?page=1"), "3");
    assert_eq!(get("/proxy/a?page=1&page=2"), "4");
    assert_eq!(get("/proxy/a?page=1"), "3");
    let german = gateway.request("GET", "/proxy/a").header("accept-language", "de");
    assert_eq!(Answer::of(german).text(), "5");
    let kept = gateway.get("/proxy/a");
    assert_eq!(kept.header("x-count"), Some("1"), "headers are kept too");
    assert_eq!(kept.header("access-control-allow-origin"), None, "those of a request are its own");
    assert_eq!(upstream.requests().len(), 5);
    let tested = gateway.project.run(&["test", "GET", "/proxy/z"]);
    assert!(String::from_utf8_lossy(&tested.stdout).contains("status: 200"));
}

#[test]
fn what_is_no_success_or_no_get_is_not_kept() {
    let (gateway, _upstream) = counting("");
    assert_eq!(gateway.get("/proxy/fail").text(), "1");
    assert_eq!(gateway.get("/proxy/fail").text(), "2");
    let post = |path: &str| Answer::of(gateway.request("POST", path)).text();
    assert_eq!((post("/proxy/a"), post("/proxy/a")), ("3".to_owned(), "4".to_owned()));
    assert_eq!((post("/post"), post("/post")), ("5".to_owned(), "5".to_owned()));
    assert_eq!(gateway.get("/off").text(), "6");
    assert_eq!(gateway.get("/off").text(), "7");
}

#[test]
fn a_client_may_have_an_answer_made_anew() {
    let (gateway, _upstream) = counting("cache.require_authorization = false");
    assert_eq!(gateway.get("/proxy/a").text(), "1");
    let fresh =
        gateway.request("GET", "/proxy/a").header("cache-control", "no-transform, max-age=0");
    assert_eq!(Answer::of(fresh).text(), "2");
    assert_eq!(gateway.get("/proxy/a").text(), "2");
    let stale = gateway.request("GET", "/proxy/a").header("cache-control", "max-age=60");
    assert_eq!(Answer::of(stale).text(), "2");
}

/// Asks for an answer that is made anew, as the caller of a token.
fn fresh(gateway: &Gateway, path: &str, token: &str) -> Answer {
    let request = gateway.request("GET", path).header("authorization", token);
    Answer::of(request.header("cache-control", "max-age=0"))
}

const WARNING: &str = "199 Cache-control headers were ignored because the caller was unauthorized.";

#[test]
fn only_those_may_invalidate_whom_a_policy_allows_it() {
    let upstream = counter();
    let route = |path: &str, more: &str| {
        format!(
            "[[route]]\nroute = \"GET {path}\"\nauthorizer = \"tokens\"\n{more}\nintegration = {{ type = \"http_proxy\", uri = \"http://{}/\" }}\n",
            upstream.address
        )
    };
    let config = [
        "kind = \"rest\"\n[stages.prod]\ncache = {}\n".to_owned(),
        "methods.\"GET /quiet\" = { cache = { unauthorized = \"SUCCEED_WITHOUT_RESPONSE_HEADER\" } }\n".to_owned(),
        "[authorizer.tokens]\ntype = \"token\"\nfunction = \"auth\"\n".to_owned(),
        route("/default", ""),
        route("/quiet", "cache.unauthorized = \"FAIL_WITH_403\""),
        route("/strict", "cache = { unauthorized = \"fail_with_403\" }"),
        route("/anyone", "cache.require_authorization = false"),
    ];
    let gateway =
        Project::with_config(&config.concat()).with_handler("auth", &fixture("authorizer")).serve();
    let get = |path: &str| {
        Answer::of(gateway.request("GET", path).header("authorization", "allow")).text()
    };
    let told = |answer: &Answer| (answer.text(), answer.header("warning").map(str::to_owned));
    assert_eq!(get("/default"), "1");
    let ignored = fresh(&gateway, "/default", "allow");
    assert_eq!(told(&ignored), ("1".to_owned(), Some(WARNING.to_owned())));
    let granted = fresh(&gateway, "/default", "allow-cache");
    assert_eq!(told(&granted), ("2".to_owned(), None));
    assert_eq!(get("/default"), "2");
    // What a stage says of the route comes before what the route says.
    assert_eq!(get("/quiet"), "3");
    assert_eq!(told(&fresh(&gateway, "/quiet", "allow")), ("3".to_owned(), None));
    assert_eq!(told(&fresh(&gateway, "/quiet", "allow-cache")), ("4".to_owned(), None));
    let denied = fresh(&gateway, "/strict", "allow");
    let message = "User: anonymous is not authorized to perform: execute-api:InvalidateCache on resource: arn:aws:execute-api:us-east-1:********0000:mayfly/prod/GET/strict";
    assert_eq!((denied.status, denied.json()), (403, json!({ "Message": message })));
    assert_eq!(fresh(&gateway, "/strict", "allow-cache").text(), "5");
    assert_eq!(get("/anyone"), "6");
    assert_eq!(told(&fresh(&gateway, "/anyone", "allow")), ("7".to_owned(), None));
}

/// The API's own policy speaks for everybody, unless it denies.
#[test]
fn a_resource_policy_may_allow_everybody_to_invalidate() {
    let statement = |effect: &str, action: &str, resource: &str| json!({ "Effect": effect, "Principal": "*", "Action": action, "Resource": resource });
    let statements = [
        statement("Allow", "execute-api:Invoke", "*"),
        statement("Allow", "execute-api:Invalidate*", "execute-api:/prod/GET/*"),
        statement("Deny", "execute-api:InvalidateCache", "execute-api:/prod/GET/denied"),
    ];
    let upstream = counter();
    let route = |path: &str| {
        format!(
            "[[route]]\nroute = \"GET {path}\"\nintegration = {{ type = \"http_proxy\", uri = \"http://{}/\" }}\n",
            upstream.address
        )
    };
    let config = format!(
        "kind = \"rest\"\npolicy = '''{}'''\n[stages.prod]\ncache = {{}}\n{}{}",
        json!({ "Statement": statements }),
        route("/open"),
        route("/denied")
    );
    let gateway = Project::with_config(&config).serve();
    let fresh = |path: &str| fresh(&gateway, path, "");
    assert_eq!(
        (gateway.get("/open").text(), fresh("/open").text()),
        ("1".to_owned(), "2".to_owned())
    );
    assert_eq!(gateway.get("/denied").text(), "3");
    let denied = fresh("/denied");
    assert_eq!((denied.text(), denied.header("warning")), ("3".to_owned(), Some(WARNING)));
}

/// In both kinds of API, without a cache of the stage.
#[test]
fn a_route_keeps_its_own_answers() {
    for kind in ["http", "rest"] {
        let upstream = counter();
        let endpoint = format!(
            "integration = {{ type = \"http_proxy\", uri = \"http://{}/\" }}",
            upstream.address
        );
        let route = |route: &str, cache: &str| {
            format!("[[route]]\nroute = \"{route}\"\ncache = {{ {cache} }}\n{endpoint}\n")
        };
        let config = [
            format!(
                "kind = \"{kind}\"\nstage = \"live\"\n[stages.live]\nmethods.\"GET /off\" = {{ cache = false }}\n"
            ),
            "methods.\"ANY /all\" = { cache = { ttl_seconds = 60 } }\n".to_owned(),
            route("GET /own/{id}", "ttl_seconds = 60, key = [\"query.page\", \"path.id\"]"),
            route("ANY /any", "ttl_seconds = 60"),
            route("POST /post", "ttl_seconds = 60"),
            route("GET /off", "ttl_seconds = 60"),
            route("GET /never", "ttl_seconds = 0"),
            route("GET /key", "key = [\"query.page\"]"),
            route("ANY /all", "ttl_seconds = 0"),
        ];
        let gateway = Project::with_config(&config.concat()).serve();
        let ask = |method: &str, path: &str| Answer::of(gateway.request(method, path)).text();
        for (method, path, expected) in [
            ("GET", "/own/1?page=1", "1"),
            ("GET", "/own/1?page=1&other=1", "1"),
            ("GET", "/own/1?page=2", "2"),
            ("GET", "/own/2?page=1", "3"),
            ("GET", "/any", "4"),
            ("GET", "/any", "4"),
            ("PUT", "/any", "5"),
            ("PUT", "/any", "6"),
            ("POST", "/post", "7"),
            ("POST", "/post", "7"),
            ("GET", "/off", "8"),
            ("GET", "/off", "9"),
            ("GET", "/never", "10"),
            ("GET", "/never", "11"),
            ("GET", "/key", "12"),
            ("GET", "/key", "13"),
            ("PUT", "/all", "14"),
            ("PUT", "/all", "14"),
        ] {
            assert_eq!(ask(method, path), expected, "{method} {path} of {kind}");
        }
    }
}

/// Whoever asks while the answer is being made waits for it.
#[test]
fn misses_at_the_same_time_call_the_integration_once() {
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let upstream = Upstream::new(move |_, stream| {
        counted.fetch_add(1, Ordering::Relaxed);
        gate.lock().expect("no panic").recv_timeout(mayfly_tests::PATIENCE).expect("a signal");
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi")
    });
    let config = format!(
        "kind = \"rest\"\n[stages.prod]\ncache = {{}}\nlogging = \"INFO\"\n[[route]]\nroute = \"GET /a\"\nintegration = {{ type = \"http_proxy\", uri = \"http://{}/\" }}\n",
        upstream.address
    );
    let gateway = Project::with_config(&config).serve();
    std::thread::scope(|scope| {
        let asked: Vec<_> = (0..8).map(|_| scope.spawn(|| gateway.get("/a").text())).collect();
        // All eight are past their validation when each has logged its request.
        gateway.wait("all of them", || gateway.log().matches("method request").count() >= 8);
        open.send(()).expect("an upstream that waits");
        for answer in asked {
            assert_eq!(answer.join().expect("an answer"), "hi");
        }
    });
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

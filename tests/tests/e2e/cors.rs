//! CORS of both kinds of API.

use mayfly_tests::{Answer, Gateway, Project};

fn gateway(kind: &str, cors: &str) -> Gateway {
    let config = format!(
        r#"
kind = "{kind}"
cors = {cors}
[[route]]
route = "POST /mail"
mock = {{ body = "sent", headers = {{ access-control-allow-origin = "https://own.example" }} }}
[[route]]
route = "GET /plain"
mock = {{ body = "plain" }}
[[route]]
route = "OPTIONS /own"
mock = {{ body = "own" }}
"#
    );
    Project::with_config(&config).serve()
}

fn preflight(gateway: &Gateway, path: &str, origin: &str) -> Answer {
    Answer::of(
        gateway
            .request("OPTIONS", path)
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authtoken"),
    )
}

const CUSTOM: &str = r#"{ allow_origins = ["https://app.example"], allow_methods = ["POST", "GET"], allow_headers = ["content-type", "authtoken"], expose_headers = ["x-total"], allow_credentials = true, max_age_seconds = 300 }"#;

#[test]
fn a_preflight_is_answered_without_an_integration() {
    for (kind, status) in [("http", 204), ("rest", 200)] {
        let gateway = gateway(kind, CUSTOM);
        let answer = preflight(&gateway, "/mail", "https://app.example");
        assert_eq!(answer.status, status, "{kind}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example"));
        assert_eq!(answer.header("access-control-allow-methods"), Some("GET,POST"));
        assert_eq!(answer.header("access-control-allow-headers"), Some("content-type,authtoken"));
        assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
        assert_eq!(answer.header("access-control-max-age"), Some("300"));
        let foreign = preflight(&gateway, "/mail", "https://evil.example");
        assert_eq!(foreign.header("access-control-allow-origin"), None, "{kind}");
        assert_eq!(foreign.header("access-control-allow-methods"), None, "{kind}");
        assert_eq!(preflight(&gateway, "/own", "https://app.example").text(), "own", "{kind}");
    }
}

#[test]
fn the_short_form_allows_any_origin_and_the_path_s_methods() {
    let gateway = gateway("http", "true");
    let answer = preflight(&gateway, "/mail", "https://anyone.example");
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.header("access-control-allow-methods"), Some("OPTIONS,POST"));
    assert!(answer.header("access-control-allow-headers").unwrap().contains("authorization"));
    assert_eq!(preflight(&gateway, "/nothing", "https://anyone.example").status, 404);
}

#[test]
fn answers_and_errors_carry_the_headers() {
    let http = gateway("http", CUSTOM);
    let send = |gateway: &Gateway, method: &str, path: &str| {
        Answer::of(gateway.request(method, path).header("origin", "https://app.example"))
    };
    let answer = send(&http, "POST", "/mail");
    // An HTTP API's configuration replaces what the integration says.
    assert_eq!(answer.header_values("access-control-allow-origin"), ["https://app.example"]);
    assert_eq!(answer.header("access-control-expose-headers"), Some("x-total"));
    assert_eq!(answer.header("vary"), Some("Origin"));
    let error = send(&http, "GET", "/nothing");
    assert_eq!(
        (error.status, error.header("access-control-allow-origin")),
        (404, Some("https://app.example"))
    );
    assert_eq!(http.get("/plain").header("access-control-allow-origin"), None);

    let rest = gateway("rest", CUSTOM);
    // A REST API's integration speaks for itself.
    let answer = send(&rest, "POST", "/mail");
    assert_eq!(answer.header_values("access-control-allow-origin"), ["https://own.example"]);
    let plain = send(&rest, "GET", "/plain");
    assert_eq!(plain.header("access-control-allow-origin"), Some("https://app.example"));
}

//! The request filter, and proxies whose word on their clients counts.

use mayfly_tests::{Answer, Gateway, Project, fixture};
use serde_json::{Value, json};

fn gateway(config: &str) -> Gateway {
    Project::with_config(config).with_handler("probe", &fixture("probe")).serve()
}

/// A request that a proxy on this machine passes on for a client.
fn from(gateway: &Gateway, client: &str, method: &str, path: &str) -> Answer {
    Answer::of(gateway.request(method, path).header("x-forwarded-for", client))
}

const ROUTE: &str = "[[route]]\nroute = \"GET /a\"\nmock = { body = \"hi\" }\n";

#[test]
fn addresses_are_allowed_and_denied_before_anything_else() {
    let gateway = gateway(&format!(
        r#"
kind = "rest"
cors = true
trusted_proxies = ["127.0.0.1"]

[request_filter]
allow = ["10.0.0.0/8", "2001:db8::/32"]
deny = ["10.1.0.0/16", "2001:db8::7"]

[gateway_responses.WAF_FILTERED]
headers = {{ x-why = "context.error.responseType" }}

{ROUTE}"#
    ));
    for (client, status) in [
        ("10.0.0.1", 200),
        ("10.1.0.1", 403),
        ("192.0.2.1", 403),
        ("2001:db8::1", 200),
        ("2001:db8::7", 403),
        // What is no address leaves the proxy's own.
        ("somebody", 403),
    ] {
        let answer = from(&gateway, client, "GET", "/a");
        assert_eq!(answer.status, status, "{client}");
        if status == 403 {
            assert_eq!(answer.json(), json!({ "message": "Forbidden" }), "{client}");
            assert_eq!(answer.header("x-amzn-errortype"), Some("ForbiddenException"));
            assert_eq!(answer.header("x-why"), Some("WAF_FILTERED"));
        }
    }
    // Nobody learns which routes there are.
    assert_eq!(
        from(&gateway, "10.1.0.1", "GET", "/none").json(),
        json!({ "message": "Forbidden" })
    );
    let preflight = |client: &str| {
        let request = gateway.request("OPTIONS", "/a").header("origin", "https://a.example");
        let request = request.header("access-control-request-method", "GET");
        Answer::of(request.header("x-forwarded-for", client)).status
    };
    assert_eq!((preflight("10.0.0.1"), preflight("10.1.0.1")), (200, 403));
    gateway.wait_for_log("the request filter does not let 192.0.2.1 through");
    gateway.wait_for_log("client=10.0.0.1");
}

#[test]
fn an_http_api_has_the_filter_too() {
    let gateway = gateway(&format!("[request_filter]\ndeny = [\"127.0.0.0/8\"]\n{ROUTE}"));
    let denied = gateway.get("/a");
    assert_eq!((denied.status, denied.json()), (403, json!({ "message": "Forbidden" })));
    assert_eq!(denied.header("x-amzn-errortype"), None);
    gateway.project.write_config(ROUTE);
    gateway.wait("a route without a filter", || gateway.get("/a").status == 200);
}

#[test]
fn each_address_has_a_rate_of_its_own() {
    let gateway = gateway(&format!(
        "trusted_proxies = [\"127.0.0.1\"]\n[request_filter]\nthrottle = {{ rate = 0.001, burst = 2 }}\n{ROUTE}"
    ));
    let statuses = |clients: &[&str]| -> Vec<u16> {
        clients.iter().map(|client| from(&gateway, client, "GET", "/a").status).collect()
    };
    assert_eq!(statuses(&["192.0.2.1"; 3]), [200, 200, 429]);
    assert_eq!(statuses(&["192.0.2.2"; 3]), [200, 200, 429]);
    // A network of IPv6 is one client.
    assert_eq!(statuses(&["2001:db8::1", "2001:db8::2", "2001:db8::3"]), [200, 200, 429]);
    assert_eq!(statuses(&["2001:db8:0:1::1"]), [200]);
    // What is no route counts as well.
    assert_eq!(from(&gateway, "192.0.2.3", "GET", "/none").status, 404);
    assert_eq!(statuses(&["192.0.2.3"; 2]), [200, 429]);
    let throttled = from(&gateway, "192.0.2.1", "GET", "/a");
    assert_eq!(throttled.json(), json!({ "message": "Too Many Requests" }));
    let wait: u64 = throttled.header("retry-after").expect("a time").parse().expect("seconds");
    assert!((900..=1001).contains(&wait), "{wait}");
}

/// A saved file fills no bucket.
#[test]
fn a_reload_leaves_what_addresses_have_used() {
    let config = format!(
        "kind = \"rest\"\n[request_filter]\nthrottle = {{ rate = 0.001, burst = 1 }}\n{ROUTE}"
    );
    let gateway = gateway(&config);
    assert_eq!((gateway.get("/a").status, gateway.get("/a").status), (200, 429));
    let changed = format!("{config}[gateway_responses.THROTTLED]\nstatus = 420\n");
    gateway.project.write_config(&changed);
    gateway.wait("the new configuration", || gateway.get("/a").status == 420);
}

fn source(event: &Value) -> Vec<&Value> {
    let context = &event["requestContext"];
    let headers = &event["headers"];
    vec![
        &context["identity"]["sourceIp"],
        &headers["X-Forwarded-For"],
        &headers["X-Forwarded-Proto"],
        &headers["X-Forwarded-Port"],
    ]
}

#[test]
fn only_the_word_of_a_trusted_proxy_counts() {
    let config = |trusted: &str| {
        format!(
            r#"
kind = "rest"
{trusted}
policy = '''{{ "Statement": [
  {{ "Effect": "Allow", "Principal": "*", "Action": "execute-api:Invoke", "Resource": "*" }},
  {{ "Effect": "Deny", "Principal": "*", "Action": "execute-api:Invoke", "Resource": "*",
     "Condition": {{ "Bool": {{ "aws:SecureTransport": "true" }}, "IpAddress": {{ "aws:SourceIp": "198.51.100.0/24" }} }} }}
] }}'''
[[route]]
route = "ANY /probe"
function = "probe"
"#
        )
    };
    let ask = |gateway: &Gateway, client: &str| {
        let request = gateway.request("POST", "/probe").header("x-forwarded-for", "6.6.6.6");
        let request = request.header("x-forwarded-for", client);
        let request =
            request.header("x-forwarded-proto", "https").header("x-forwarded-port", "443");
        Answer::of(request.header("forwarded", "for=6.6.6.6"))
    };
    let strict = gateway(&config(""));
    let port = strict.address.rsplit(':').next().expect("a port").to_owned();
    let event = ask(&strict, "192.0.2.1").json();
    assert_eq!(
        source(&event),
        [
            &json!("127.0.0.1"),
            &json!("6.6.6.6, 192.0.2.1, 127.0.0.1"),
            &json!("http"),
            &json!(port)
        ],
        "{event}"
    );
    let trusting = gateway(&config("trusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]"));
    let event = ask(&trusting, "192.0.2.1, 10.0.0.1").json();
    assert_eq!(
        source(&event),
        [
            &json!("192.0.2.1"),
            &json!("6.6.6.6, 192.0.2.1, 10.0.0.1, 127.0.0.1"),
            &json!("https"),
            &json!("443")
        ],
        "{event}"
    );
    // Policies see the same client.
    assert_eq!(ask(&trusting, "198.51.100.1").status, 403);
    assert_eq!(ask(&strict, "198.51.100.1").status, 200);
    trusting.wait_for_log("client=192.0.2.1");
}

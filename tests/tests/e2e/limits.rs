//! Every limit is enforced, and the connection survives where it can.

use mayfly_tests::{Answer, Gateway, Project, fixture};
use serde_json::json;

fn gateway(config: &str) -> Gateway {
    Project::with_config(config).with_handler("probe", &fixture("probe")).serve()
}

#[test]
fn a_body_over_the_limit_gets_413() {
    for (kind, message) in [("http", "Request Entity Too Large"), ("rest", "Request Too Long")] {
        let gateway = gateway(&format!("kind = {kind:?}\n[limits]\nbody_bytes_max = 1000\n"));
        let send = |bytes: usize| {
            let request =
                gateway.request("POST", "/probe?do=count").header("content-type", "text/plain");
            Answer::of(request.body("x".repeat(bytes)))
        };
        assert_eq!(send(1000).status, 200);
        for bytes in [1001, 3_000_000] {
            let answer = send(bytes);
            assert_eq!(
                (answer.status, answer.json()),
                (413, json!({ "message": message })),
                "{kind}"
            );
        }
        // Without a declared length the limit is met while reading.
        let chunked = gateway
            .request("POST", "/probe?do=count")
            .body(reqwest::blocking::Body::new(std::io::Cursor::new(vec![b'x'; 5000])));
        assert_eq!(Answer::of(chunked).status, 413, "{kind}");
    }
}

#[test]
fn an_event_over_the_function_s_limit_gets_413() {
    let gateway = gateway("[function.probe]\npayload_bytes_max = 5000\n");
    let request = gateway.request("POST", "/probe?do=count").header("content-type", "text/plain");
    assert_eq!(Answer::of(request.body("x".repeat(6000))).status, 413);
    assert_eq!(gateway.get("/probe?do=count").status, 200);
}

#[test]
fn an_answer_over_the_limit_is_a_failure() {
    let gateway = gateway("kind = \"rest\"\n[function.probe]\nresponse_bytes_max = 2000\n");
    assert_eq!(gateway.get("/probe?do=big&n=1000").status, 200);
    assert_eq!(gateway.get("/probe?do=big&n=3000").status, 502);
    gateway.wait_for_log("more than response_bytes_max = 2000");
}

#[test]
fn heads_over_the_limits_are_refused() {
    let gateway =
        gateway("[limits]\nheader_bytes_max = 8192\nheader_count_max = 20\nuri_bytes_max = 500\n");
    let long = gateway.request("GET", "/probe?do=count").header("x-long", "x".repeat(9000));
    assert_eq!(Answer::of(long).status, 431);
    let mut many = gateway.request("GET", "/probe?do=count");
    for n in 0..30 {
        many = many.header(format!("x-{n}"), "1");
    }
    assert_eq!(Answer::of(many).status, 431);
    assert_eq!(gateway.get(&format!("/probe?do=count&x={}", "x".repeat(600))).status, 414);
    assert_eq!(gateway.get("/probe?do=count").status, 200);
}

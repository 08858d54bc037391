//! Requests that guests make: declared servers only, and public addresses
//! unless others are granted.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use mayfly_tests::{Gateway, Project, fixture, upstream::Upstream};
use serde_json::{Value, json};

fn gateway(function: &str) -> Gateway {
    let config = format!("[function.web]\ntimeout_ms = 20000\n{function}\n");
    Project::with_config(&config).with_handler("web", &fixture("http-guest")).serve()
}

fn granted(upstream: &Upstream, more: &str) -> Gateway {
    let address = upstream.address;
    gateway(&format!(
        "outbound = [\"http://{address}\"]\noutbound_networks = [\"127.0.0.1\"]\n{more}"
    ))
}

fn fetch(gateway: &Gateway, uri: &str, more: &str) -> Value {
    gateway.get(&format!("/web/fetch?uri={uri}{more}")).json()
}

#[test]
fn nothing_may_be_called_that_is_not_declared() {
    let gateway = gateway("");
    let denied = json!({ "error": "ErrorCode::HttpRequestDenied" });
    assert_eq!(fetch(&gateway, "https://api.example.com/path", ""), denied);
    gateway.wait_for_log(
        "a request to https://api.example.com is denied (hint: outbound = [\"https://api.example.com\"] would grant it)",
    );
    let upstream = Upstream::saying("secret");
    assert_eq!(fetch(&gateway, &format!("http://{}/", upstream.address), ""), denied);
    assert!(upstream.requests().is_empty());
}

#[test]
fn other_servers_schemes_and_ports_stay_denied() {
    let gateway = gateway("outbound = [\"https://*.example.com\", \"http://127.0.0.1:1\"]");
    for uri in [
        "http://api.example.com/",
        "https://api.example.com:8443/",
        "https://example.com/",
        "https://example.org/",
        "http://127.0.0.1:2/",
        "http://localhost:1/",
    ] {
        let answer = fetch(&gateway, uri, "");
        assert_eq!(answer["error"], "ErrorCode::HttpRequestDenied", "{uri}: {answer}");
    }
}

#[test]
fn private_addresses_need_a_grant_of_their_own() {
    let upstream = Upstream::saying("inside");
    let port = upstream.address.port();
    let gateway = gateway(&format!(
        "outbound = [\"http://127.0.0.1:{port}\", \"http://localhost:{port}\", \"http://[::ffff:7f00:1]:{port}\", \"http://169.254.169.254\", \"http://2130706433:{port}\", \"http://0.0.0.0:{port}\"]"
    ));
    for uri in [
        format!("http://127.0.0.1:{port}/"),
        // Its address is known only when it was resolved.
        format!("http://localhost:{port}/"),
        format!("http://[::ffff:7f00:1]:{port}/"),
        format!("http://2130706433:{port}/"),
        format!("http://0.0.0.0:{port}/"),
        "http://169.254.169.254/latest/meta-data".to_owned(),
    ] {
        let answer = fetch(&gateway, &uri, "");
        let error = answer["error"].as_str().unwrap_or_default();
        assert_eq!(error, "ErrorCode::DestinationIpProhibited", "{uri}: {answer}");
    }
    gateway.wait_for_log("127.0.0.1 is not a public address (hint: outbound_networks = [\"127.0.0.1\"] would grant it)");
    assert!(upstream.requests().is_empty());
}

#[test]
fn connections_are_kept_over_invocations() {
    let upstream = Upstream::saying("hello");
    let gateway = granted(&upstream, "");
    let uri = format!("http://{}/a/b?c=d", upstream.address);
    for _ in 0..5 {
        let answer = fetch(&gateway, &uri, "");
        assert_eq!(answer, json!({ "status": 200, "body": "hello" }), "{}", gateway.log());
    }
    let answer = fetch(&gateway, &uri, "&body=sent");
    assert_eq!(answer["body"], "hello");
    let requests = upstream.requests();
    assert!(requests.iter().all(|request| request.connection == 0), "{requests:?}");
    assert_eq!(requests[0].line(), "GET /a/b?c=d");
    assert_eq!(requests[0].header("host"), [upstream.address.to_string()]);
    assert_eq!(requests[0].header("x-guest"), ["yes"]);
    assert_eq!((requests[5].line(), requests[5].text().as_str()), ("POST /a/b?c=d", "sent"));
}

#[test]
fn a_name_is_called_at_the_addresses_that_are_granted() {
    let upstream = Upstream::saying("by name");
    let port = upstream.address.port();
    let gateway = gateway(&format!(
        "outbound = [\"http://localhost:{port}\"]\noutbound_networks = [\"127.0.0.0/8\"]"
    ));
    let answer = fetch(&gateway, &format!("http://localhost:{port}/"), "");
    assert_eq!(answer["body"], "by name", "{}", gateway.log());
}

#[test]
fn redirects_are_the_guest_s_business() {
    let upstream = Upstream::new(|_, stream| {
        stream.write_all(
            b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n",
        )
    });
    let gateway = granted(&upstream, "");
    let answer = fetch(&gateway, &format!("http://{}/", upstream.address), "");
    assert_eq!(answer, json!({ "status": 302, "body": "" }));
}

#[test]
fn a_server_that_is_late_is_waited_for_as_long_as_the_guest_says() {
    let upstream = Upstream::new(|request, stream| {
        if request.line() == "GET /begun" {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbegun")?;
            stream.flush()?;
        }
        std::thread::sleep(Duration::from_secs(20));
        Ok(())
    });
    let gateway = granted(&upstream, "");
    let begun = Instant::now();
    let uri = |path: &str| format!("http://{}{path}", upstream.address);
    let answer = fetch(&gateway, &uri("/silent"), "&timeout_ms=300");
    assert_eq!(answer["error"], "ErrorCode::HttpResponseTimeout", "{answer}");
    let answer = fetch(&gateway, &uri("/begun"), "&timeout_ms=300");
    assert!(answer["error"].as_str().is_some_and(|error| error.contains("timeout")), "{answer}");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}

#[test]
fn an_answer_is_bounded_and_a_failure_says_what_it_is() {
    let upstream = Upstream::new(|request, stream| match request.line() {
        "GET /long" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n")?;
            stream.write_all(&[b'x'; 5000])
        }
        "GET /headers" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
            (0..1000).try_for_each(|n| write!(stream, "x-{n}: {n}\r\n"))?;
            stream.write_all(b"\r\n")
        }
        "GET /garbage" => stream.write_all(b"this is not HTTP\r\n\r\n"),
        _ => stream.write_all(
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        ),
    });
    let gateway = granted(&upstream, "outbound_response_bytes_max = 4999");
    let error = |path: &str| {
        let answer = fetch(&gateway, &format!("http://{}{path}", upstream.address), "");
        answer["error"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(error("/long"), "HTTP response body size exceeds limit: 4999 bytes");
    gateway.wait_for_log("the answer is longer than outbound_response_bytes_max = 4999");
    for path in ["/headers", "/garbage", "/upgrade"] {
        assert_eq!(error(path), "ErrorCode::HttpProtocolError", "{path}");
    }
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let gateway = self::gateway(&format!(
        "outbound = [\"http://{gone}\", \"http://nobody.invalid\"]\noutbound_networks = [\"127.0.0.1\"]"
    ));
    assert_eq!(
        fetch(&gateway, &format!("http://{gone}/"), "")["error"],
        "ErrorCode::ConnectionRefused"
    );
    let answer = fetch(&gateway, "http://nobody.invalid/", "");
    assert!(answer["error"].as_str().unwrap().contains("DnsError"), "{answer}");
    gateway.wait_for_log("http://nobody.invalid cannot be resolved");
}

#[test]
fn requests_that_are_none_do_not_flood_the_log() {
    let gateway = gateway("");
    assert_eq!(gateway.get("/web/nowhere?n=500").json(), json!({ "refused": 500 }));
    assert!(gateway.log().lines().count() < 50, "{}", gateway.log());
}

#[test]
fn requests_at_once_are_bounded() {
    let upstream = Upstream::saying("one of many");
    let gateway = granted(&upstream, "");
    let answer =
        gateway.get(&format!("/web/fetches?n=130&uri=http://{}/", upstream.address)).json();
    assert_eq!(answer, json!({ "refused": 30 }), "{}", gateway.log());
}

#[test]
fn what_another_server_answers_passes_while_it_comes() {
    let upstream = Upstream::new(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 30000000\r\n\r\n")?;
        (0..300).try_for_each(|_| stream.write_all(&[b'x'; 100_000]))
    });
    let gateway = granted(&upstream, "");
    let answer = gateway.get(&format!("/web/proxy?uri=http://{}/", upstream.address));
    assert_eq!((answer.status, answer.body.len()), (200, 30_000_000));
}

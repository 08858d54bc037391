//! Connections: protocols, slow clients, an orderly end.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use mayfly_tests::{Gateway, PATIENCE, Project, fixture};

const CONFIG: &str = "[[route]]\nroute = \"GET /fast\"\nmock = { body = \"fast\" }\n[[route]]\nroute = \"POST /echo\"\nmock = { body = \"{body}\" }\n[[route]]\nroute = \"GET /slow\"\nmock = { body = \"slow\", delay_ms = 1000 }\n";

fn gateway(more: &str) -> Gateway {
    Project::with_config(&format!("{CONFIG}{more}")).serve()
}

fn connect(gateway: &Gateway) -> TcpStream {
    let stream = TcpStream::connect(&gateway.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Reads until `end` has come.
fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    let mut chunk = [0; 1024];
    while !text.contains(end) {
        let read = stream.read(&mut chunk).unwrap();
        assert!(read > 0, "closed before {end:?}: {text:?}");
        text.push_str(&String::from_utf8_lossy(&chunk[..read]));
    }
    text
}

#[test]
fn http_2_without_tls_is_spoken_on_the_same_port() {
    let gateway = gateway("");
    let client =
        reqwest::blocking::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    for _ in 0..3 {
        let response = client.get(format!("http://{}/fast", gateway.address)).send().unwrap();
        assert_eq!(response.version(), reqwest::Version::HTTP_2);
        assert_eq!(response.text().unwrap(), "fast");
    }
}

#[test]
fn a_connection_serves_many_requests() {
    let gateway = gateway("");
    let mut stream = connect(&gateway);
    for _ in 0..3 {
        stream.write_all(b"GET /fast HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        assert!(read_until(&mut stream, "fast").starts_with("HTTP/1.1 200 OK\r\n"));
    }
}

/// For how long nothing happens on a connection that is parked by then.
const IDLE: Duration = Duration::from_millis(2500);

#[test]
fn an_idle_connection_goes_on_where_it_was() {
    let gateway = gateway("");
    let mut streams = [(); 4].map(|()| connect(&gateway));
    let [fresh, used, halved, slow] = &mut streams;
    fresh.write_all(b"GET /fa").unwrap();
    used.write_all(b"GET /fast HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    read_until(used, "fast");
    halved.write_all(b"GET /fast HTTP/1.1\r\nhost: x\r\n\r\nGET /fast HTTP/1.1\r\nh").unwrap();
    read_until(halved, "fast");
    // An answer that waits for its client keeps the connection from being idle.
    let body = format!("{}end", "x".repeat(8 * 1024 * 1024));
    let head = format!("POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
    slow.write_all(head.as_bytes()).unwrap();
    slow.write_all(body.as_bytes()).unwrap();
    std::thread::sleep(IDLE);
    fresh.write_all(b"st HT").unwrap();
    used.write_all(b"GET /fast HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    assert!(read_until(used, "fast").starts_with("HTTP/1.1 200"));
    halved.write_all(b"ost: x\r\n\r\n").unwrap();
    assert!(read_until(halved, "fast").starts_with("HTTP/1.1 200"));
    let mut answer = Vec::new();
    let mut chunk = [0; 65536];
    while !answer.ends_with(b"end") {
        let read = slow.read(&mut chunk).unwrap();
        assert!(read > 0, "closed after {} bytes", answer.len());
        answer.extend_from_slice(&chunk[..read]);
    }
    assert!(answer.len() > body.len(), "{} bytes", answer.len());
    std::thread::sleep(IDLE);
    fresh.write_all(b"TP/1.1\r\nhost: x\r\n\r\n").unwrap();
    for mut stream in streams {
        stream.write_all(b"GET /fast HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        assert!(read_until(&mut stream, "fast").starts_with("HTTP/1.1 200"));
    }
}

#[test]
fn idle_connections_end_with_the_gateway() {
    let mut gateway = gateway("");
    let mut stream = connect(&gateway);
    stream.write_all(b"GET /fast HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    read_until(&mut stream, "fast");
    std::thread::sleep(IDLE);
    gateway.signal("TERM");
    assert_eq!(stream.read(&mut [0; 16]).unwrap(), 0);
    assert_eq!(gateway.wait_for_end().code(), Some(0));
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let gateway = gateway("");
    let mut stream = connect(&gateway);
    stream
        .write_all(b"GET /fast HTTP/1.1\r\nhost: x\r\n\r\nPOST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 6\r\n\r\nsecond")
        .unwrap();
    let text = read_until(&mut stream, "second");
    assert!(text.find("fast").unwrap() < text.find("second").unwrap());
}

#[test]
fn a_client_that_asks_first_is_told_to_go_on() {
    let gateway = gateway("");
    let mut stream = connect(&gateway);
    stream
        .write_all(
            b"POST /echo HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n",
        )
        .unwrap();
    assert!(read_until(&mut stream, "\r\n\r\n").starts_with("HTTP/1.1 100 Continue"));
    stream.write_all(b"hello").unwrap();
    assert!(read_until(&mut stream, "hello").contains("200 OK"));
}

#[test]
fn malformed_requests_get_400() {
    let gateway = gateway("");
    for request in [
        "GET /fast HTTP/1.1\r\n\r\n",
        "GET /fast HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        "nonsense\r\n\r\n",
        "GET /fast HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n",
    ] {
        let mut stream = connect(&gateway);
        stream.write_all(request.as_bytes()).unwrap();
        let text = read_until(&mut stream, "\r\n\r\n");
        assert!(text.starts_with("HTTP/1.1 400 Bad Request"), "{request:?}: {text:?}");
    }
}

#[test]
fn slow_clients_are_cut_off() {
    let gateway = gateway("[pools]\nheader_read_timeout_ms = 300\nbody_idle_timeout_ms = 300\n");
    let begins: [&[u8]; 5] = [
        b"",
        b"P",
        b"PRI * HTTP/2.0",
        b"GET /fast HT",
        b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhalf",
    ];
    for begin in begins {
        let mut stream = connect(&gateway);
        stream.write_all(begin).unwrap();
        let mut rest = Vec::new();
        let began = Instant::now();
        // A reset is as good as an end.
        let _ = stream.read_to_end(&mut rest);
        assert!(began.elapsed() < PATIENCE / 2, "{begin:?}");
        let text = String::from_utf8_lossy(&rest);
        assert!(rest.is_empty() || text.starts_with("HTTP/1.1 408"), "{begin:?}: {text}");
    }
    // An idle connection is closed as well.
    let mut stream = connect(&gateway);
    stream.write_all(b"GET /fast HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    read_until(&mut stream, "fast");
    let mut rest = Vec::new();
    let began = Instant::now();
    let _ = stream.read_to_end(&mut rest);
    assert!(began.elapsed() < PATIENCE / 2);
}

#[test]
fn more_connections_than_allowed_wait() {
    let gateway = gateway("[pools]\nconnections_max = 2\n");
    let (first, second) = (connect(&gateway), connect(&gateway));
    let mut third = connect(&gateway);
    third.write_all(b"GET /fast HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    third.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(third.read(&mut [0; 16]).is_err(), "served beyond the limit");
    third.set_read_timeout(Some(PATIENCE)).unwrap();
    drop((first, second));
    assert!(read_until(&mut third, "fast").starts_with("HTTP/1.1 200"));
}

#[test]
fn it_opens_as_many_files_as_it_may() {
    let gateway = Project::new().with_open_files(64).serve();
    let connections: Vec<TcpStream> = (0..100).map(|_| connect(&gateway)).collect();
    assert_eq!(gateway.get("/").status, 404);
    drop(connections);
}

#[test]
fn a_stopping_gateway_finishes_what_it_has_begun() {
    let mut gateway = gateway("");
    let mut stream = connect(&gateway);
    stream.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let idle = connect(&gateway);
    // The request is in flight once its connection has been accepted.
    std::thread::sleep(Duration::from_secs(1));
    gateway.signal("TERM");
    gateway.wait_for_log("stopping");
    gateway.wait("refused connection", || TcpStream::connect(&gateway.address).is_err());
    assert!(read_until(&mut stream, "\r\n\r\nslow").starts_with("HTTP/1.1 200"));
    assert_eq!(gateway.wait_for_end().code(), Some(0));
    drop(idle);
}

#[test]
fn a_second_signal_stops_at_once() {
    let config = "[[route]]\nroute = \"GET /slow\"\ntimeout_ms = 25000\nmock = { body = \"slow\", delay_ms = 20000 }\n";
    let mut gateway = Project::with_config(config).serve();
    let mut stream = connect(&gateway);
    stream.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    std::thread::sleep(Duration::from_secs(1));
    let began = Instant::now();
    gateway.signal("INT");
    gateway.wait_for_log("stopping");
    gateway.signal("INT");
    gateway.wait_for_end();
    assert!(began.elapsed() < Duration::from_secs(15));
}

#[test]
fn a_drain_has_an_end() {
    let config = "[pools]\ndrain_timeout_ms = 200\n[[route]]\nroute = \"GET /slow\"\ntimeout_ms = 25000\nmock = { body = \"slow\", delay_ms = 20000 }\n";
    let mut gateway = Project::with_config(config).serve();
    let mut stream = connect(&gateway);
    stream.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    std::thread::sleep(Duration::from_secs(1));
    gateway.signal("TERM");
    gateway.wait_for_log("1 connections cut off");
    gateway.wait_for_end();
}

#[test]
fn a_taken_port_is_said_so() {
    let first = gateway("");
    let output = Project::new().run(&["serve", "--listen", &first.address]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains(&format!("cannot listen on {}", first.address)), "{text}");
    assert!(text.contains("hint: another process listens there"), "{text}");
}

#[test]
fn the_admin_api_answers_only_its_own_machine() {
    let gateway = Project::new().with_handler("probe", &fixture("probe")).serve();
    // Whoever is answered was waited for.
    gateway.get("/probe");
    let health = gateway.health();
    assert_eq!(health["status"], "ok");
    assert_eq!(health["functions"][0]["name"], "probe");
    assert_eq!(health["functions"][0]["state"], "active");
    let get = |host: &str, origin: &str| {
        let mut stream = TcpStream::connect(&gateway.admin).unwrap();
        write!(stream, "GET /health HTTP/1.1\r\nhost: {host}\r\n{origin}connection: close\r\n\r\n")
            .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    };
    assert!(get("localhost", "").starts_with("HTTP/1.1 200"));
    assert!(get("rebound.example", "").starts_with("HTTP/1.1 403"));
    assert!(get("localhost", "origin: http://evil.example\r\n").starts_with("HTTP/1.1 403"));
}

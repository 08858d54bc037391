//! Mocks that do not answer: what a client meets on its connection.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
};

use mayfly_tests::{Gateway, PATIENCE, Project};

const ROUTES: &str = r#"
[[route]]
route = "ANY /reset"
mock = { body = "never", fault = "reset" }

[[route]]
route = "ANY /empty"
mock = { body = "never", fault = "empty" }

[[route]]
route = "ANY /truncated"
mock = { status = 201, headers = { x-a = "b" }, body = "0123456789", fault = "truncated" }

[[route]]
route = "ANY /garbage"
mock = { body = "never", fault = "garbage" }

[[route]]
route = "GET /half"
mock = { body = "fine", fault = { type = "empty", percent = 50 } }

[collection.things]
items = [{ id = 1 }]

[[route]]
route = "ANY /things"
mock = { collection = "things", fault = "empty" }

[[route]]
route = "GET /fine"
mock = { body = "fine" }
"#;

fn serve(kind: &str) -> Gateway {
    Project::with_config(&format!("kind = \"{kind}\"\nseed = 7\n{ROUTES}")).serve()
}

/// Everything that comes until the connection ends, and how it ends.
fn raw(gateway: &Gateway, request: &str) -> (Vec<u8>, Option<ErrorKind>) {
    let mut stream = TcpStream::connect(&gateway.address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut bytes = Vec::new();
    let end = stream.read_to_end(&mut bytes).err().map(|error| error.kind());
    (bytes, end)
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")
}

#[test]
fn a_connection_is_reset_or_closed_without_an_answer() {
    for kind in ["rest", "http"] {
        let gateway = serve(kind);
        assert_eq!(raw(&gateway, &get("/reset")), (Vec::new(), Some(ErrorKind::ConnectionReset)));
        assert_eq!(raw(&gateway, &get("/empty")), (Vec::new(), None));
        assert_eq!(raw(&gateway, &get("/things")), (Vec::new(), None));
        gateway.wait_for_log("the mock's fault: reset");
        assert_eq!(gateway.get("/fine").text(), "fine", "others are served");
    }
}

#[test]
fn an_answer_is_cut_in_half() {
    for kind in ["rest", "http"] {
        let gateway = serve(kind);
        let (bytes, end) = raw(&gateway, &get("/truncated"));
        let text = String::from_utf8(bytes).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 201 Created\r\n"), "{head}");
        for line in ["content-length: 10", "x-a: b", "content-type: text/plain; charset=utf-8"] {
            assert_eq!(head.lines().filter(|own| *own == line).count(), 1, "{line:?} in {head}");
        }
        assert_eq!((body, end), ("01234", None));
        let (head, _) = raw(&gateway, "HEAD /truncated HTTP/1.1\r\nhost: x\r\n\r\n");
        assert!(head.ends_with(b"\r\n\r\n"));
        gateway
            .request("GET", "/truncated")
            .send()
            .and_then(|answer| answer.bytes())
            .expect_err("cut");
    }
}

#[test]
fn garbage_is_no_answer() {
    for kind in ["rest", "http"] {
        let gateway = serve(kind);
        let (bytes, end) = raw(&gateway, &get("/garbage"));
        assert!(!bytes.is_empty() && !bytes.starts_with(b"HTTP/"), "{bytes:?}");
        assert_eq!(end, None);
        gateway.request("GET", "/garbage").send().expect_err("no HTTP");
    }
}

#[test]
fn a_fault_comes_after_what_was_asked_before_on_the_same_connection() {
    let gateway = serve("http");
    let (bytes, _) = raw(&gateway, &format!("{}{}", get("/fine"), get("/empty")));
    let text = String::from_utf8(bytes).expect("text");
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\nfine"), "{text}");
}

#[test]
fn a_fault_strikes_as_often_as_it_is_told_and_as_the_seed_says() {
    let struck = || {
        let gateway = serve("http");
        let ask =
            |_| raw(&gateway, &get("/half").replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n"));
        (0..40).map(ask).map(|(bytes, _)| bytes.is_empty()).collect::<Vec<bool>>()
    };
    let first = struck();
    let count = first.iter().filter(|struck| **struck).count();
    assert!((5..=35).contains(&count), "{count} of 40");
    assert_eq!(first, struck());
}

/// A frame of HTTP/2: length, type, flags, stream, payload. RFC 9113, section 4.1.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// HEADERS of a GET; names and values are literals without Huffman coding.
/// RFC 7541, section 6.2.2.
fn headers(stream: u32, path: &str) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in
        [(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "x")]
    {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).expect("short"));
            block.extend(text.as_bytes());
        }
    }
    // END_STREAM and END_HEADERS.
    frame(1, 0x5, stream, &block)
}

#[test]
fn in_http2_each_fault_resets_its_stream_and_no_other() {
    let gateway = serve("http");
    let mut stream = TcpStream::connect(&gateway.address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut request = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    request.extend(frame(4, 0, 0, &[]));
    let paths = ["/reset", "/empty", "/truncated", "/garbage", "/fine"];
    for (stream, path) in (1..).step_by(2).zip(paths) {
        request.extend(headers(stream, path));
    }
    stream.write_all(&request).expect("sent");

    let (mut reset, mut answered) = (Vec::new(), Vec::new());
    while reset.len() + answered.len() < paths.len() {
        let mut head = [0; 9];
        stream.read_exact(&mut head).expect("a frame");
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        stream.read_exact(&mut vec![0; length]).expect("its payload");
        let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        match head[3] {
            1 => answered.push(id),
            3 => reset.push(id),
            7 => panic!("the connection ends"),
            _ => {}
        }
    }
    reset.sort_unstable();
    assert_eq!((reset, answered), (vec![1, 3, 5, 7], vec![9]));
}

#[test]
fn the_commands_show_the_fault() {
    let project = Project::with_config(ROUTES);
    let out = |arguments: &[&str]| {
        let output = project.run(arguments);
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let routes = out(&["routes"]);
    assert!(routes.contains("mock reset: the connection is reset"), "{routes}");
    assert!(routes.contains("mock 200 OK; 50 % empty"), "{routes}");
    let test = out(&["test", "GET", "/garbage"]);
    assert!(test.contains("fault: garbage") && !test.contains("status: 200"), "{test}");
}

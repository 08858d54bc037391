//! Integrations that call other HTTP servers.

use std::{
    io::{BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Mutex, mpsc},
};

use mayfly_tests::{
    Answer, Gateway, PATIENCE, Project, client,
    tls::TlsUpstream,
    upstream::{Upstream, chunk},
};
use serde_json::json;

fn proxy(kind: &str, uri: &str) -> Gateway {
    let config = format!(
        "kind = \"{kind}\"\n[[route]]\nroute = \"ANY /shop/{{path+}}\"\n[route.integration]\ntype = \"http_proxy\"\nuri = \"{uri}\"\n"
    );
    Project::with_config(&config).serve()
}

#[test]
fn a_proxy_passes_requests_and_answers_on() {
    let upstream = Upstream::new(|_, stream| {
        stream.write_all(
            b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\nx-one: 1\r\nx-two: a\r\nx-two: b\r\nset-cookie: a=1\r\nset-cookie: b=2\r\nserver: shop\r\nconnection: x-one\r\n\r\nhi",
        )
    });
    let uri = format!("http://{}/api/{{path}}?fixed=1", upstream.address);
    for kind in ["rest", "http"] {
        let gateway = proxy(kind, &uri);
        let request = gateway
            .request("PUT", "/shop/a%20b/c%3Fd?q=1&q=%26&empty=")
            .header("x-mine", "yes")
            .header("x-again", "1")
            .header("x-again", "2")
            .header("connection", "x-hop")
            .header("x-hop", "gone")
            .header("x-forwarded-for", "203.0.113.9")
            .body("body");
        let answer = Answer::of(request);
        assert_eq!((answer.status, answer.text().as_str()), (201, "hi"), "{kind}");
        assert_eq!(answer.header_values("x-two"), ["a", "b"]);
        assert_eq!(answer.header_values("set-cookie"), ["a=1", "b=2"]);
        assert_eq!(answer.header("x-one"), None, "named by Connection");
        let server = match kind {
            "rest" => "x-amzn-remapped-server",
            _ => "server",
        };
        assert_eq!(answer.header(server), Some("shop"));

        let received = upstream.last();
        assert_eq!(received.line(), "PUT /api/a%20b/c%3Fd?fixed=1&q=1&q=%26&empty=");
        assert_eq!(received.text(), "body");
        assert_eq!(received.header("content-length"), ["4"]);
        assert_eq!(received.header("host"), [upstream.address.to_string()]);
        assert_eq!(received.header("x-mine"), ["yes"]);
        assert_eq!(received.header("x-again"), ["1", "2"]);
        assert!(received.header("x-hop").is_empty() && received.header("connection").is_empty());
        assert_eq!(received.header("x-amzn-trace-id").len(), 1);

        let tested = gateway.project.run(&["test", "POST", "/shop/a", "--body", "body"]);
        let text = String::from_utf8_lossy(&tested.stdout).into_owned();
        assert!(text.contains("\n\nbody\n\n--- integration request\nPOST "), "{text}");
        assert!(text.contains("201 Created") && text.contains("\n\nhi\n"), "{text}");
        match kind {
            "rest" => {
                assert_eq!(received.header("x-forwarded-for"), ["203.0.113.9, 127.0.0.1"]);
                assert_eq!(received.header("x-amzn-apigateway-api-id"), ["mayfly"]);
            }
            _ => {
                let forwarded = received.header("forwarded").concat();
                assert!(forwarded.contains("for=127.0.0.1;host=127.0.0.1;proto=http"));
                assert_eq!(received.header("via"), ["HTTP/1.1 AmazonAPIGateway"]);
            }
        }
    }
}

#[test]
fn connections_are_kept_over_requests_and_reloads() {
    let upstream = Upstream::saying("hi");
    let gateway = proxy("http", &format!("http://{}/{{path}}", upstream.address));
    for _ in 0..3 {
        assert_eq!(gateway.get("/shop/a").text(), "hi");
    }
    let reloads = gateway.health()["reloads"].clone();
    let config = format!(
        "[[route]]\nroute = \"GET /b\"\n[route.integration]\ntype = \"http_proxy\"\nuri = \"http://{}/\"\n",
        upstream.address
    );
    gateway.project.write_config(&config);
    gateway.wait("the reload", || gateway.health()["reloads"] != reloads);
    assert_eq!(gateway.get("/b").text(), "hi");
    let connections: Vec<usize> =
        upstream.requests().iter().map(|request| request.connection).collect();
    assert_eq!(connections, [0, 0, 0, 0]);
}

#[test]
fn redirects_and_empty_answers_are_the_client_s() {
    let upstream = Upstream::new(|request, stream| {
        stream.write_all(match request.line() {
            "GET /moved" => {
                &b"HTTP/1.1 302 Found\r\nlocation: /else\r\ncontent-length: 0\r\n\r\n"[..]
            }
            "HEAD /size" => b"HTTP/1.1 200 OK\r\ncontent-length: 1234\r\n\r\n",
            _ => b"HTTP/1.1 204 No Content\r\nx-a: 1\r\n\r\n",
        })
    });
    let gateway = proxy("http", &format!("http://{}/{{path}}", upstream.address));
    let moved = gateway.get("/shop/moved");
    assert_eq!((moved.status, moved.header("location")), (302, Some("/else")));
    let size = Answer::of(gateway.request("HEAD", "/shop/size"));
    assert_eq!((size.status, size.header("content-length")), (200, Some("1234")));
    let nothing = gateway.get("/shop/nothing");
    assert_eq!((nothing.status, nothing.header("x-a"), nothing.body.len()), (204, Some("1"), 0));
    assert_eq!(upstream.requests().len(), 3, "no redirect was followed");
}

/// Neither side waits for the whole of what the other sends.
#[test]
fn bodies_stream_in_both_directions() {
    let (seen, first_seen) = mpsc::channel();
    let (go, gone) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let upstream = Upstream::streaming(move |_, stream| {
        let mut reader = BufReader::with_capacity(1, stream.try_clone()?);
        let mut sent = chunk(&mut reader)?;
        seen.send(sent.clone()).expect("a test that listens");
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")?;
        while sent.is_some() {
            sent = chunk(&mut reader)?;
        }
        gone.lock().expect("no panic").recv_timeout(PATIENCE).expect("a signal");
        stream.write_all(b"4\r\nlast\r\n0\r\n\r\n")
    });
    let gateway = proxy("rest", &format!("http://{}/{{path}}", upstream.address));
    let mut stream = TcpStream::connect(&gateway.address).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
        .write_all(b"POST /shop/a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n3\r\none\r\n")
        .expect("sent");
    let first = first_seen.recv_timeout(PATIENCE).expect("the first chunk alone");
    assert_eq!(first.as_deref(), Some(&b"one"[..]));
    let mut text = String::new();
    read_until(&mut stream, &mut text, "first");
    stream.write_all(b"3\r\ntwo\r\n0\r\n\r\n").expect("sent");
    assert!(!gateway.log().contains("/shop/a"), "no access line before the end");
    go.send(()).expect("an upstream that waits");
    stream.read_to_string(&mut text).expect("the rest");
    assert!(text.contains("last"), "{text}");
    gateway.wait_for_log("bytes=9");
}

fn read_until(stream: &mut TcpStream, text: &mut String, end: &str) {
    let mut byte = [0];
    while !text.contains(end) {
        assert_eq!(stream.read(&mut byte).expect("more"), 1, "{text}");
        text.push(char::from(byte[0]));
    }
}

#[test]
fn a_server_that_fails_is_a_gateway_response() {
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its name");
    let hangup = Upstream::new(|_, _| Err(std::io::Error::other("hang up")));
    let garbage = Upstream::new(|_, stream| stream.write_all(b"220 mail ready\r\n\r\n"));
    let switch = Upstream::new(|_, stream| {
        stream.write_all(
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        )
    });
    for address in [closed, hangup.address, garbage.address, switch.address] {
        let uri = format!("http://{address}/{{path}}");
        let answer = proxy("rest", &uri).get("/shop/a");
        assert_eq!(answer.status, 504);
        assert_eq!(
            answer.json(),
            json!({ "message": "Network error communicating with endpoint" })
        );
        let gateway = proxy("http", &uri);
        let answer = gateway.get("/shop/a");
        assert_eq!((answer.status, answer.json()), (502, json!({ "message": "Bad Gateway" })));
        gateway.wait_for_log("endpoint");
    }
}

#[test]
fn a_server_that_is_late_is_504_and_one_that_stops_ends_the_answer() {
    let upstream = Upstream::new(|request, stream| {
        if request.line() == "GET /stops" {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsome")?;
        }
        // Until the gateway gives up.
        stream.read_to_end(&mut Vec::new()).map(drop)
    });
    let config = format!(
        "[limits]\nintegration_timeout_ms = 300\n[[route]]\nroute = \"ANY /{{path+}}\"\n[route.integration]\ntype = \"http_proxy\"\nuri = \"http://{}/{{path}}\"\n",
        upstream.address
    );
    let gateway = Project::with_config(&config).serve();
    assert_eq!(gateway.get("/late").status, 504);
    let response =
        client().get(format!("http://{}/stops", gateway.address)).send().expect("a head");
    assert_eq!(response.status(), 200);
    assert!(response.bytes().is_err(), "the body breaks off");
    gateway.wait_for_log("ended early");
}

#[test]
fn a_body_that_is_too_long_is_413_while_it_streams() {
    let upstream = Upstream::saying("hi");
    let config = format!(
        "[limits]\nbody_bytes_max = 10\n[[route]]\nroute = \"ANY /{{path+}}\"\n[route.integration]\ntype = \"http_proxy\"\nuri = \"http://{}/\"\n",
        upstream.address
    );
    let gateway = Project::with_config(&config).serve();
    let url = format!("http://{}/a", gateway.address);
    assert_eq!(Answer::of(client().post(&url).body("12345678901")).status, 413);
    let chunked = reqwest::blocking::Body::new(&b"12345678901"[..]);
    assert_eq!(Answer::of(client().post(&url).body(chunked)).status, 413);
    let fits = reqwest::blocking::Body::new(&b"1234567890"[..]);
    assert_eq!(Answer::of(client().post(&url).body(fits)).status, 200);
}

/// A path parameter never leads out of the path that the URI names.
#[test]
fn dot_segments_are_refused() {
    let upstream = Upstream::saying("hi");
    let gateway = proxy("http", &format!("http://{}/public/{{path}}", upstream.address));
    for path in ["/shop/%2e%2e/secret", "/shop/a%2F..%2F..%2Fsecret", "/shop/."] {
        let mut stream = TcpStream::connect(&gateway.address).expect("connected");
        write!(stream, "GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            .expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        assert!(text.starts_with("HTTP/1.1 400 "), "{path}: {text}");
    }
    assert!(upstream.requests().is_empty());
    assert_eq!(gateway.get("/shop/..a/.b").text(), "hi");
    assert_eq!(upstream.last().line(), "GET /public/..a/.b");
}

#[test]
fn certificates_are_checked_as_the_configuration_says() {
    for (protocols, version) in [(["h2", "http/1.1"].as_slice(), "HTTP/2.0"), (&[], "HTTP/1.1")] {
        let upstream = TlsUpstream::new(protocols);
        let route = |path: &str, host: &str, tls: &str| {
            let port = upstream.address.port();
            format!(
                "[[route]]\nroute = \"GET {path}\"\nintegration = {{ type = \"http_proxy\", uri = \"https://{host}:{port}/\"{tls} }}\n"
            )
        };
        let ca = ", tls = { ca_file = \"ca.pem\" }";
        let config = [
            route("/trusted", "localhost", ca),
            route("/other-name", "127.0.0.1", ca),
            route("/system", "localhost", ""),
            route("/insecure", "127.0.0.1", ", tls = { insecure_skip_verification = true }"),
        ];
        let project = Project::with_config(&config.concat());
        std::fs::write(project.path().join("ca.pem"), &upstream.ca).expect("written");
        let gateway = project.serve();
        assert_eq!(gateway.get("/trusted").text(), version);
        assert_eq!(gateway.get("/insecure").text(), version);
        assert_eq!(gateway.get("/system").status, 502);
        gateway.wait_for_log("UnknownIssuer");
        assert_eq!(gateway.get("/other-name").status, 502);
        gateway.wait_for_log("not valid for name");
    }
}

const MAPPED: &str = r#"
kind = "rest"
stage = "test"

[stages.test]
variables = { host = "HOST", color = "blue" }

[[route]]
route = "POST /pets/{id}"
method_responses = [{ status = 200, headers = ["x-etag", "x-all"] }, { status = 502 }]

[route.integration]
type = "http"
uri = "http://${stageVariables.host}/{id}/{part}"
method = "PUT"

[route.integration.request_parameters]
"integration.request.path.part" = "method.request.body.part"
"integration.request.querystring.q" = "method.request.querystring.q"
"integration.request.querystring.all" = "method.request.multivaluequerystring.q"
"integration.request.querystring.none" = "method.request.querystring.none"
"integration.request.header.x-color" = "stageVariables.color"
"integration.request.header.x-static" = "'text'"
"integration.request.header.x-stage" = "context.stage"
"integration.request.header.x-body" = "method.request.body"

[route.integration.request_templates]
"application/json" = '''
{"name": $input.json('$.name')}
#if($input.params('override') == 'yes')
#set($context.requestOverride.header.x-static = "overridden")
#set($context.requestOverride.path.part = "../a b")
#set($context.requestOverride.querystring.q = "x&y")
#end'''

[[route.integration.responses]]
status = 200
headers = { x-etag = "integration.response.header.etag", x-all = "integration.response.multivalueheader.etag" }
templates = { "application/json" = '{"upstream": $input.json("$.value")}' }

[[route.integration.responses]]
status = 502
pattern = "5\\d{2}"
templates = { "text/plain" = "upstream failed: $input.path('$')" }
"#;

#[test]
fn templates_and_mappings_make_the_request_and_the_response() {
    let upstream = Upstream::new(|request, stream| {
        let (status, body) = match request.line() {
            line if line.starts_with("PUT /13/") => ("500 Oh", "\"no\""),
            _ => ("201 Created", "{\"value\": [1, 2]}"),
        };
        write!(
            stream,
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\netag: a\r\netag: b\r\ncontent-type: text/odd\r\n\r\n{body}",
            body.len()
        )
    });
    let config = MAPPED.replace("HOST", &upstream.address.to_string());
    let gateway = Project::with_config(&config).serve();
    let post = |path: &str| {
        let body = json!({ "name": "Rex", "part": "a/b" });
        Answer::of(gateway.request("POST", path).header("x-secret", "1").json(&body))
    };

    let answer = post("/pets/7?q=1&q=2");
    assert_eq!((answer.status, answer.json()), (200, json!({ "upstream": [1, 2] })));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header_values("x-etag"), ["b"]);
    assert_eq!(answer.header_values("x-all"), ["a", "b"]);
    let received = upstream.last();
    assert_eq!(received.line(), "PUT /7/a%2Fb?q=2&all=1&all=2");
    assert_eq!(received.text().trim(), r#"{"name": "Rex"}"#);
    assert_eq!(received.header("x-static"), ["text"]);
    assert_eq!(received.header("x-color"), ["blue"]);
    assert_eq!(received.header("x-stage"), ["test"]);
    assert_eq!(received.header("x-body"), [r#"{"name":"Rex","part":"a/b"}"#]);
    assert_eq!(received.header("user-agent"), ["AmazonAPIGateway_mayfly"]);
    assert!(received.header("x-secret").is_empty(), "only what is mapped passes");

    post("/pets/7?override=yes&q=1");
    let received = upstream.last();
    assert_eq!(received.line(), "PUT /7/..%2Fa%20b?all=1&q=x%26y");
    assert_eq!(received.header("x-static"), ["overridden"]);

    let tested = gateway.project.run(&[
        "test",
        "POST",
        "/pets/13?override=yes",
        "--body",
        r#"{"name": "Rex", "part": "p"}"#,
    ]);
    let text = String::from_utf8_lossy(&tested.stdout).into_owned();
    for expected in [
        "--- route\nPOST /pets/{id} (resource /pets/{id})\nstage test\nstage variable color = \"blue\"\n",
        "path parameter id = \"13\"",
        "--- method request\nPOST /pets/13?override=yes\n",
        "--- request template\nthat for application/json\n",
        "--- integration request\nPUT http://",
        "/13/..%2Fa%20b?q=x%26y\n",
        "x-static: overridden\n",
        "{\"name\": \"Rex\"}",
        "--- integration response\n500 Internal Server Error\n",
        "content-type: text/odd\n",
        "--- integration latency\n",
        "--- selected response\nstatus 502, pattern \"5\\\\d{2}\" for \"500\"\ntemplate for text/plain\n",
        "--- method response\n502 Bad Gateway\n",
        "upstream failed: no\n",
        "status: 502\n",
    ] {
        assert!(text.contains(expected), "{expected:?} in {text}");
    }

    let failed = post("/pets/13");
    assert_eq!((failed.status, failed.text().as_str()), (502, "upstream failed: no"));
    assert_eq!(failed.header("content-type"), Some("text/plain"));
}

#[test]
fn a_stage_variable_that_is_missing_is_an_error_of_the_configuration() {
    let gateway = Project::with_config(
        r#"
kind = "rest"
[stages.prod]
[stages.other]
variables = { host = "a.example" }
[[route]]
route = "GET /a"
integration = { type = "http_proxy", uri = "http://${stageVariables.host}/" }
"#,
    )
    .serve();
    let answer = gateway.get("/a");
    assert_eq!(
        (answer.status, answer.json()),
        (500, json!({ "message": "Internal server error" }))
    );
    gateway.wait_for_log("${stageVariables.host}");
}

const BINARY: &str = r#"
kind = "rest"
binary_media_types = ["image/*"]

[[route]]
route = "POST /function"
function = "probe"

[[route]]
route = "POST /to-text"
[route.integration]
type = "http"
uri = "http://HOST/"
content_handling = "CONVERT_TO_TEXT"
request_templates = { "image/png" = '{"image": "$input.body"}' }
responses = [{ content_handling = "CONVERT_TO_TEXT" }]

[[route]]
route = "POST /to-binary"
[route.integration]
type = "http"
uri = "http://HOST/"
content_handling = "CONVERT_TO_BINARY"
request_templates = { "application/json" = "$input.path('$.image')" }
responses = [{ content_handling = "CONVERT_TO_BINARY", headers = { content-type = "integration.response.header.content-type" } }]

[[route]]
route = "POST /templated"
[route.integration]
type = "http"
uri = "http://HOST/"
request_templates = { "image/png" = "{}" }
responses = [{}]
"#;

#[test]
fn content_is_converted_as_it_is_asked_for() {
    let upstream = Upstream::new(|_, stream| {
        stream.write_all(
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-type: image/gif\r\n\r\n\xff\xfe",
        )
    });
    let config = BINARY.replace("HOST", &upstream.address.to_string());
    let gateway = Project::with_config(&config)
        .with_handler("probe", &mayfly_tests::fixture("probe"))
        .serve();
    let post = |path: &str, content_type: &str, body: &[u8]| {
        let request = gateway.request("POST", path).header("content-type", content_type);
        Answer::of(request.body(body.to_vec()))
    };
    let text = post("/to-text", "image/png", b"\x00\xff");
    assert_eq!(upstream.last().text(), r#"{"image": "AP8="}"#);
    assert_eq!(text.text(), "//4=");
    let binary = post("/to-binary", "application/json", br#"{"image": "AP8="}"#);
    assert_eq!(upstream.last().body, b"\x00\xff");
    assert_eq!(binary.body, b"\xff\xfe");
    assert_eq!(binary.header("content-type"), Some("image/gif"));
    assert_eq!(post("/to-binary", "application/json", br#"{"image": "?"}"#).status, 500);
    assert_eq!(post("/templated", "image/png", b"\xff").status, 500);
    gateway.wait_for_log("binary_media_types");

    // An image that is text all the same is base64 for a function, and its
    // answer is bytes only for those who want an image.
    let answer = r#"{"body": "aGk=", "isBase64Encoded": true}"#;
    let echo = |accept: &str| {
        let request = gateway
            .request("POST", "/function?do=answer")
            .header("content-type", "text/plain")
            .header("accept", accept);
        Answer::of(request.body(answer)).text()
    };
    assert_eq!(echo("image/png, */*"), "hi");
    assert_eq!(echo("application/json, image/png"), "aGk=");
    assert_eq!(echo("*/*"), "aGk=");
}

#[test]
fn templates_come_from_files_that_are_followed() {
    let project = Project::with_config(
        r#"
kind = "rest"
[[route]]
route = "GET /a"
[route.integration]
type = "mock"
request_templates = { "application/json" = '{"statusCode": 200}' }
responses = [{ templates = { "text/plain" = { file = "templates/a.vm" } } }]
"#,
    );
    let folder = project.path().join("templates");
    std::fs::create_dir(&folder).expect("made");
    std::fs::write(folder.join("a.vm"), "$context.httpMethod one").expect("written");
    let gateway = project.serve();
    assert_eq!(gateway.get("/a").text(), "GET one");
    std::fs::write(folder.join("a.vm"), "#if(").expect("written");
    gateway.wait_for_log("templates/a.vm: line 1");
    assert_eq!(gateway.get("/a").text(), "GET one", "what is broken changes nothing");
    std::fs::write(folder.join("a.vm"), "two").expect("written");
    gateway.wait("the reload", || gateway.get("/a").text() == "two");
}

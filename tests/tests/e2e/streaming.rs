//! Bodies of guests that speak HTTP, both ways, while they come.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use mayfly_tests::{Gateway, PATIENCE, Project, fixture, upstream::chunk};
use serde_json::json;

fn gateway(more: &str) -> Gateway {
    Project::with_config(more).with_handler("web", &fixture("http-guest")).serve()
}

fn connect(gateway: &Gateway) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(&gateway.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    BufReader::new(stream)
}

fn send(connection: &mut BufReader<TcpStream>, text: &str) {
    connection.get_mut().write_all(text.as_bytes()).unwrap();
}

/// The lines up to the empty one.
fn head(connection: &mut BufReader<TcpStream>) -> Vec<String> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        connection.read_line(&mut line).unwrap();
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            return lines;
        }
        lines.push(line);
    }
}

fn text_of(chunk: Option<Vec<u8>>) -> String {
    String::from_utf8(chunk.expect("a chunk")).unwrap()
}

/// All that comes for a GET, to the end of the connection.
fn until_the_end(gateway: &Gateway, way: &str) -> String {
    let mut connection = connect(gateway);
    send(&mut connection, &format!("GET /web/{way} HTTP/1.1\r\nhost: x\r\n\r\n"));
    let mut text = Vec::new();
    let _ = connection.read_to_end(&mut text);
    String::from_utf8(text).unwrap()
}

#[test]
fn each_part_passes_when_it_is_there() {
    // A stage's cache keeps answers to GET alone, and waits for no others.
    for more in ["", "[stages.\"$default\"]\ncache = {}\n"] {
        parts_pass(&gateway(more));
    }
}

fn parts_pass(gateway: &Gateway) {
    let mut connection = connect(gateway);
    send(
        &mut connection,
        "POST /web/pieces HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n",
    );
    assert!(head(&mut connection)[0].starts_with("HTTP/1.1 200"));
    // The answer has begun before anything of the body was sent.
    assert_eq!(text_of(chunk(&mut connection).unwrap()), "ready");
    for part in ["one", "two", "three"] {
        send(&mut connection, &format!("{:x}\r\n{part}\r\n", part.len()));
        assert_eq!(text_of(chunk(&mut connection).unwrap()), format!("[{part}]"));
    }
    send(&mut connection, "0\r\n\r\n");
    assert_eq!(chunk(&mut connection).unwrap(), None);
}

#[test]
fn trailers_pass_both_ways() {
    let gateway = gateway("");
    let mut connection = connect(&gateway);
    send(
        &mut connection,
        "POST /web/echo HTTP/1.1\r\nhost: x\r\nte: trailers\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n",
    );
    send(&mut connection, "4\r\nbody\r\n0\r\nx-sum: 17\r\n\r\n");
    let head = head(&mut connection);
    assert!(head[0].starts_with("HTTP/1.1 200"), "{head:?}");
    assert_eq!(text_of(chunk(&mut connection).unwrap()), "body");
    let mut size = String::new();
    connection.read_line(&mut size).unwrap();
    assert_eq!(size, "0\r\n");
    let mut trailers = self::head(&mut connection);
    trailers.sort();
    assert_eq!(trailers, ["x-checked: yes", "x-sum: 17"]);
}

/// The most memory that the process ever had, in KiB.
fn memory(gateway: &Gateway) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn a_gigabyte_passes_in_constant_memory() {
    const CHUNK: usize = 1024 * 1024;
    const CHUNKS: usize = 1024;
    let gateway = gateway(
        "[limits]\nbody_bytes_max = 1073741824\nintegration_timeout_ms = 600000\n[function.web]\ntimeout_ms = 600000\n",
    );
    gateway.get("/web/count");
    let before = memory(&gateway);
    let mut connection = connect(&gateway);
    let mut sending = connection.get_ref().try_clone().unwrap();
    let length = CHUNK * CHUNKS;
    let head_text =
        format!("POST /web/echo HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
    let sender = std::thread::spawn(move || {
        sending.write_all(head_text.as_bytes()).unwrap();
        let data = vec![b'x'; CHUNK];
        (0..CHUNKS).for_each(|_| sending.write_all(&data).unwrap());
    });
    assert!(head(&mut connection)[0].starts_with("HTTP/1.1 200"));
    let mut received = 0;
    while let Some(data) = chunk(&mut connection).unwrap() {
        received += data.len();
    }
    sender.join().unwrap();
    assert_eq!(received, length);
    // The kernel's figure is only as exact as it needs to be.
    let grown = memory(&gateway).saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB more than the {before} KiB before");
}

/// Each of them answers its head, and then sleeps: nobody goes on before all of
/// them do.
#[test]
fn ten_thousand_invocations_sleep_at_once() {
    const CONNECTIONS: usize = 50;
    const STREAMS: usize = 200;
    let gateway = gateway(
        "[pools]\nconcurrency_max = 10_000\n\
         [limits]\nintegration_timeout_ms = 600_000\n\
         [function.web]\ntimeout_ms = 600_000\nmemory_mb = 16\n\
         [stages.\"$default\"]\nlogging = \"OFF\"\n",
    );
    let uri = format!("http://{}/web/stuck", gateway.address);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let asleep = runtime.block_on(async {
        let mut starting = tokio::task::JoinSet::new();
        for _ in 0..CONNECTIONS {
            let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
            for _ in 0..STREAMS {
                let (client, uri) = (client.clone(), uri.clone());
                starting.spawn(async move {
                    let mut response = client.get(uri).send().await.unwrap();
                    assert_eq!(response.chunk().await.unwrap().unwrap(), "the beginning");
                    response
                });
            }
        }
        starting.join_all().await
    });
    assert_eq!(asleep.len(), 10_000);
    println!("{} MiB for 10,000 that sleep", memory(&gateway) / 1024);
    assert!(memory(&gateway) < 8 * 1024 * 1024, "{} KiB", memory(&gateway));
    drop((asleep, runtime));
    gateway.wait("free sandbox", || gateway.get("/web/count").status == 200);
}

#[test]
fn a_guest_waits_for_a_client_that_reads_slowly() {
    let gateway = gateway("[function.web]\ntimeout_ms = 20000\nreserved_concurrency = 1\n");
    // What a first invocation takes for all that come after it.
    gateway.get("/web/count");
    let before = memory(&gateway);
    let mut connection = connect(&gateway);
    send(&mut connection, "GET /web/stream?n=200000000 HTTP/1.1\r\nhost: x\r\n\r\n");
    assert!(head(&mut connection)[0].starts_with("HTTP/1.1 200"));
    // As long as the body has not passed, the sandbox is taken.
    assert_eq!(gateway.get("/web/count").status, 429);
    // Time enough to take all of it, if something did.
    let begun = Instant::now();
    gateway.wait("a second", || begun.elapsed() >= Duration::from_secs(1));
    let grown = memory(&gateway).saturating_sub(before);
    assert!(memory(&gateway) < 190_000 && grown < 64 * 1024, "{grown} KiB");
    let mut received = 0;
    while let Some(data) = chunk(&mut connection).unwrap() {
        received += data.len();
    }
    assert_eq!(received, 200_000_000);
    gateway.wait("free sandbox", || gateway.get("/web/count").status == 200);
}

#[test]
fn a_client_that_goes_away_ends_the_invocation() {
    let gateway = gateway(
        "[limits]\nintegration_timeout_ms = 600000\n[function.web]\ntimeout_ms = 600000\nreserved_concurrency = 1\n",
    );
    for way in ["stuck", "stream?n=100000000000", "loop", "silent-sink"] {
        let way = way.replace("silent-sink", "sink");
        let body = if way == "sink" { "content-length: 10\r\n" } else { "" };
        let call = || {
            let mut connection = connect(&gateway);
            let request = format!("POST /web/{way} HTTP/1.1\r\nhost: x\r\n{body}\r\n");
            send(&mut connection, &request);
            connection
        };
        let mut connection = call();
        gateway.wait("taken sandbox", || {
            let is_taken = gateway.get("/web/count").status == 429;
            // Whoever was asked last may have had the only sandbox still.
            if !is_taken {
                connection = call();
            }
            is_taken
        });
        if way.starts_with("st") {
            assert!(head(&mut connection)[0].starts_with("HTTP/1.1 200"), "{way}");
        }
        drop(connection);
        gateway.wait("free sandbox", || gateway.get("/web/count").status == 200);
    }
}

#[test]
fn a_body_that_ends_early_ends_the_connection() {
    let gateway = gateway("[function.web]\ntimeout_ms = 1000\n");
    for (way, why) in
        [("early", "asked to trap within the body"), ("stuck", "task timed out after 1.00 seconds")]
    {
        let text = until_the_end(&gateway, way);
        // The last chunk would say that this was all.
        assert!(!text.ends_with("0\r\n\r\n"), "{way}: {text}");
        assert!(text.contains("the beginning"), "{way}: {text}");
        gateway.wait_for_log(why);
        gateway.wait_for_log("the body of the answer ended early");
    }
    assert_eq!(gateway.get("/web/count").json(), json!(1));
}

#[test]
fn a_body_of_another_length_than_declared_is_cut_off() {
    let gateway = gateway("");
    for (way, why) in [
        ("short", "its body has 5 of 10 bytes"),
        ("long", "its body is longer than the declared 5"),
    ] {
        let text = until_the_end(&gateway, way);
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let is_cut = if way == "short" { body.len() < 10 } else { !body.contains("67890") };
        assert!(is_cut, "{way}: {text}");
        gateway.wait_for_log(why);
    }
    assert_eq!(gateway.get("/web/count").json(), json!(1));
}

#[test]
fn a_body_that_is_too_long_or_stops_is_the_client_s_fault() {
    let gateway =
        gateway("[limits]\nbody_bytes_max = 100000\n[pools]\nbody_idle_timeout_ms = 500\n");
    let mut connection = connect(&gateway);
    send(&mut connection, "POST /web/sink HTTP/1.1\r\nhost: x\r\ncontent-length: 200000\r\n\r\n");
    connection.get_mut().write_all(&vec![b'x'; 200_000]).unwrap();
    assert!(head(&mut connection)[0].starts_with("HTTP/1.1 413"));
    // What the guest was told, and answered itself.
    let mut connection = connect(&gateway);
    send(
        &mut connection,
        "POST /web/sink HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n",
    );
    let body = "x".repeat(150_000);
    let _ = connection.get_mut().write_all(format!("{:x}\r\n{body}\r\n", body.len()).as_bytes());
    let head_lines = head(&mut connection);
    assert!(head_lines[0].starts_with("HTTP/1.1 200"), "{head_lines:?}");
    let text = text_of(chunk(&mut connection).unwrap());
    assert!(text.contains("it is longer than 100000 bytes"), "{text}");
    let mut connection = connect(&gateway);
    send(&mut connection, "POST /web/sink HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nx");
    assert!(head(&mut connection)[0].starts_with("HTTP/1.1 200"));
    let mut text = String::new();
    let _ = connection.get_ref().set_read_timeout(Some(Duration::from_secs(5)));
    let _ = connection.read_to_string(&mut text);
    assert!(text.contains("nothing of it came for 500ms"), "{text}");
}

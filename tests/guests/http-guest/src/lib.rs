//! Speaks HTTP by `wasi:http` 0.2 and does what the last part of the path says, good or bad.
#![cfg(target_family = "wasm")]
#![allow(unsafe_code, reason = "generated bindings")]
#![allow(missing_docs, reason = "generated bindings")]

mod fetch;
mod storage;

use std::{hint::black_box, time::Duration};

use serde_json::{Value, json};
use wasip2::{
    http::types::{
        ErrorCode, Fields, IncomingBody, IncomingRequest, OutgoingBody, OutgoingResponse,
        ResponseOutparam,
    },
    io::streams::{InputStream, OutputStream, StreamError},
};

wasip2::http::proxy::export!(Guest);

struct Guest;

/// What is written at once.
const CHUNK: usize = 64 * 1024;

impl wasip2::exports::http::incoming_handler::Guest for Guest {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let number = query_value(query, "n").and_then(|text| text.parse().ok()).unwrap_or(0);
        match path.rsplit('/').next().unwrap_or_default() {
            "echo" => echo(&request, out),
            "sink" => answer(out, 200, &json!(sink(&request))),
            "stream" => stream(out, number),
            "pieces" => pieces(&request, out),
            "request" => answer(out, 200, &describe(&request)),
            "status" => answer(out, u16::try_from(number).unwrap_or(0), &json!("as asked")),
            "empty" => respond(out, 204, &Fields::new(), |_| {}),
            "error" => ResponseOutparam::set(out, Err(ErrorCode::LoopDetected)),
            "silent" => {}
            "after" => {
                answer(out, 200, &json!("answered"));
                std::thread::sleep(Duration::from_millis(300));
                println!("still here after the answer");
            }
            "short" => declared(out, 10, &[b"12345"]),
            "long" => declared(out, 5, &[b"123", b"4567890"]),
            "early" => {
                respond(out, 200, &Fields::new(), |stream| {
                    write(stream, b"the beginning");
                    panic!("asked to trap within the body");
                });
            }
            "stuck" => {
                respond(out, 200, &Fields::new(), |stream| {
                    write(stream, b"the beginning");
                    std::thread::sleep(Duration::from_secs(3600));
                });
            }
            "invalid-header" => answer(out, 200, &invalid_headers()),
            "fields" => many_fields(),
            "handles" => handles(),
            "storage" => answer(out, 200, &json!(storage::exercise())),
            "trap" => panic!("asked to trap"),
            "loop" => loop {
                black_box(());
            },
            "recurse" => drop(black_box(recurse(number))),
            "allocate" => {
                black_box(vec![1u8; usize::try_from(number).unwrap_or(usize::MAX)]);
                answer(out, 200, &json!("allocated"));
            }
            "flood" => {
                (0..number).for_each(|line| println!("line {line} of a flood of lines"));
                answer(out, 200, &json!("flooded"));
            }
            "count" => {
                use std::sync::atomic::{AtomicU32, Ordering};
                static COUNT: AtomicU32 = AtomicU32::new(0);
                answer(out, 200, &json!(COUNT.fetch_add(1, Ordering::Relaxed) + 1));
            }
            "environment" => {
                let pairs: serde_json::Map<String, Value> =
                    std::env::vars().map(|(name, value)| (name, value.into())).collect();
                answer(out, 200, &pairs.into());
            }
            "socket" => {
                let error = std::net::TcpStream::connect("127.0.0.1:1").err();
                answer(out, 200, &json!(error.map(|error| format!("{:?}", error.kind()))));
            }
            "fetch" => answer(out, 200, &fetch::fetch(query)),
            "fetches" => answer(out, 200, &fetch::many(query, number)),
            "nowhere" => answer(out, 200, &fetch::nowhere(number)),
            "proxy" => fetch::proxy(query, out),
            _ => answer(out, 404, &json!({ "message": "there is no such path" })),
        }
    }
}

pub fn query_value(query: &str, name: &str) -> Option<String> {
    let pair = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
    Some(pair.replace("%3A", ":").replace("%2F", "/"))
}

pub fn answer(out: ResponseOutparam, status: u16, body: &Value) {
    let headers = Fields::new();
    headers.set("content-type", &[b"application/json".to_vec()]).expect("a header");
    respond(out, status, &headers, |stream| write(stream, body.to_string().as_bytes()));
}

pub fn respond(
    out: ResponseOutparam,
    status: u16,
    headers: &Fields,
    body: impl FnOnce(&OutputStream),
) {
    let response = OutgoingResponse::new(headers.clone());
    response.set_status_code(status).expect("a status");
    let outgoing = response.body().expect("a body");
    ResponseOutparam::set(out, Ok(response));
    let stream = outgoing.write().expect("a stream");
    body(&stream);
    drop(stream);
    drop(OutgoingBody::finish(outgoing, None));
}

/// Writes all of it, waiting where nobody reads.
pub fn write(stream: &OutputStream, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        stream.subscribe().block();
        let room = match stream.check_write() {
            Ok(room) => usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len()),
            Err(_) => return,
        };
        let (now, later) = bytes.split_at(room);
        if stream.write(now).is_err() {
            return;
        }
        bytes = later;
    }
    drop(stream.blocking_flush());
}

/// The next part of a body; none at its end.
pub fn read(stream: &InputStream) -> Result<Option<Vec<u8>>, String> {
    match stream.blocking_read(CHUNK as u64) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(StreamError::Closed) => Ok(None),
        Err(StreamError::LastOperationFailed(error)) => Err(error.to_debug_string()),
    }
}

fn echo(request: &IncomingRequest, out: ResponseOutparam) {
    let body = request.consume().expect("a body");
    let headers = Fields::new();
    headers.set("trailer", &[b"x-sum, x-checked".to_vec()]).expect("a header");
    let response = OutgoingResponse::new(headers);
    let outgoing = response.body().expect("a body");
    ResponseOutparam::set(out, Ok(response));
    let (input, output) = (body.stream().expect("a stream"), outgoing.write().expect("a stream"));
    while let Ok(Some(bytes)) = read(&input) {
        write(&output, &bytes);
    }
    drop((input, output));
    let trailers = IncomingBody::finish(body);
    trailers.subscribe().block();
    let came = trailers.get().and_then(Result::ok).and_then(Result::ok).flatten();
    let trailers = Fields::new();
    trailers.set("x-checked", &[b"yes".to_vec()]).expect("a trailer");
    if let Some(came) = came {
        trailers.set("x-sum", &came.get("x-sum")).expect("a trailer");
    }
    OutgoingBody::finish(outgoing, Some(trailers)).expect("an end");
}

fn sink(request: &IncomingRequest) -> Value {
    let body = request.consume().expect("a body");
    let stream = body.stream().expect("a stream");
    let mut sum = 0;
    loop {
        match read(&stream) {
            Ok(Some(bytes)) => sum += bytes.len(),
            Ok(None) => return json!(sum),
            Err(error) => return json!({ "read": sum, "error": error }),
        }
    }
}

fn stream(out: ResponseOutparam, bytes: u64) {
    let chunk = vec![b'x'; CHUNK];
    respond(out, 200, &Fields::new(), |stream| {
        let mut left = bytes;
        while left > 0 {
            let now = left.min(CHUNK as u64);
            write(stream, &chunk[..usize::try_from(now).unwrap_or(CHUNK)]);
            left -= now;
        }
    });
}

/// Answers each part of the request as it comes.
fn pieces(request: &IncomingRequest, out: ResponseOutparam) {
    let body = request.consume().expect("a body");
    let input = body.stream().expect("a stream");
    respond(out, 200, &Fields::new(), |output| {
        write(output, b"ready");
        while let Ok(Some(bytes)) = read(&input) {
            write(output, format!("[{}]", String::from_utf8_lossy(&bytes)).as_bytes());
        }
    });
}

fn describe(request: &IncomingRequest) -> Value {
    let headers: Vec<(String, String)> = request
        .headers()
        .entries()
        .into_iter()
        .map(|(name, value)| (name, String::from_utf8_lossy(&value).into_owned()))
        .collect();
    json!({
        "method": format!("{:?}", request.method()),
        "path": request.path_with_query(),
        "authority": request.authority(),
        "scheme": format!("{:?}", request.scheme()),
        "headers": headers,
    })
}

/// A body of another length than the head says.
fn declared(out: ResponseOutparam, length: u64, parts: &[&[u8]]) {
    let headers = Fields::new();
    headers.set("content-length", &[length.to_string().into_bytes()]).expect("a header");
    respond(out, 200, &headers, |stream| parts.iter().for_each(|part| write(stream, part)));
}

/// What happens to headers that are none, or not the guest's to set.
fn invalid_headers() -> Value {
    let set = |name: &str, value: &[u8]| {
        let error = Fields::new().set(name, &[value.to_vec()]).err();
        json!(error.map(|error| format!("{error:?}")))
    };
    json!({
        "name": set("a b", b"x"),
        "value": set("x-a", b"x\r\nset-cookie: forged"),
        "connection": set("connection", b"close"),
        "framing": set("transfer-encoding", b"chunked"),
    })
}

/// Fields are the host's memory.
fn many_fields() {
    let fields = Fields::new();
    for number in 0..u32::MAX {
        fields.append(&format!("x-{number}"), &vec![b'x'; 1024]).expect("room");
    }
}

/// So are handles.
fn handles() {
    let all: Vec<Fields> = (0..1_000_000).map(|_| Fields::new()).collect();
    drop(black_box(all));
}

#[allow(unconditional_recursion, reason = "the stack is to overflow")]
fn recurse(depth: u64) -> u64 {
    black_box(recurse(depth + 1)) + 1
}

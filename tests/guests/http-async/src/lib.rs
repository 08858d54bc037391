//! Speaks HTTP by `wasi:http` 0.3 and does what the last part of the path says, good or bad.
#![cfg(target_family = "wasm")]
#![allow(unsafe_code, reason = "generated bindings")]
#![allow(missing_docs, reason = "generated bindings")]

mod storage;

use std::hint::black_box;

use wasip3::{
    http::{
        client,
        types::{ErrorCode, Fields, Request, Response, Scheme, Trailers},
    },
    wit_bindgen::{self, FutureReader, StreamReader, StreamWriter},
    wit_future, wit_stream,
};

wasip3::http::service::export!(Guest);

struct Guest;

/// What is written at once.
const CHUNK: usize = 64 * 1024;

/// How a body ends.
type End = Result<Option<Trailers>, ErrorCode>;

impl wasip3::exports::http::handler::Guest for Guest {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let target = request.get_path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let value = |name: &str| {
            let pair =
                query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
            Some(pair.replace("%3A", ":").replace("%2F", "/"))
        };
        let number = value("n").and_then(|text| text.parse().ok()).unwrap_or(0);
        match path.rsplit('/').next().unwrap_or_default() {
            "echo" => {
                let (body, trailers) = Request::consume_body(request, nothing());
                let headers = Fields::new();
                headers.append("trailer", b"x-sum").expect("a header");
                Ok(respond(headers, Some(body), trailers))
            }
            "stream" => Ok(written(async move |mut body| {
                let mut left = number;
                while left > 0 {
                    let now = left.min(CHUNK);
                    if !body.write_all(vec![b'x'; now]).await.is_empty() {
                        return;
                    }
                    left -= now;
                }
            })),
            "early" => Ok(written(async |mut body| {
                body.write_all(b"the beginning".to_vec()).await;
                panic!("asked to trap within the body");
            })),
            "after" => {
                wit_bindgen::spawn_local(async {
                    wasip3::clocks::monotonic_clock::wait_for(300_000_000).await;
                    println!("still here after the answer");
                });
                Ok(text("answered".to_owned()))
            }
            "error" => Err(ErrorCode::LoopDetected),
            "storage" => Ok(text(storage::exercise().await.join("\n"))),
            "trap" => panic!("asked to trap"),
            "loop" => loop {
                black_box(());
            },
            "wait" => {
                wasip3::clocks::monotonic_clock::wait_for(3_600_000_000_000).await;
                Ok(text("late".to_owned()))
            }
            "fetch" => Ok(text(match fetch(&value("uri").unwrap_or_default()).await {
                Ok(body) => body,
                Err(code) => format!("{code:?}"),
            })),
            "context" => {
                let context = request.get_headers().get("x-amzn-lambda-context");
                Ok(text(String::from_utf8_lossy(&context.concat()).into_owned()))
            }
            _ => Ok(text("done".to_owned())),
        }
    }
}

/// The end of a transmission that succeeded.
fn nothing() -> FutureReader<Result<(), ErrorCode>> {
    wit_future::new(|| Ok(())).1
}

fn respond(headers: Fields, body: Option<StreamReader<u8>>, end: FutureReader<End>) -> Response {
    Response::new(headers, body, end).0
}

fn text(text: String) -> Response {
    written(async move |mut body| drop(body.write_all(text.into_bytes()).await))
}

/// A response whose body is written while it is sent.
fn written(write: impl AsyncFnOnce(StreamWriter<u8>) + 'static) -> Response {
    let (writer, body) = wit_stream::new();
    let (_, end) = wit_future::new(|| Ok(None));
    wit_bindgen::spawn_local(async move { write(writer).await });
    respond(Fields::new(), Some(body), end)
}

async fn fetch(uri: &str) -> Result<String, ErrorCode> {
    let (scheme, rest) = uri.split_once("://").unwrap_or(("", uri));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (_, end) = wit_future::new(|| Ok(None));
    let (request, _) = Request::new(Fields::new(), None, end, None);
    let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
    request.set_scheme(Some(&scheme)).expect("a scheme");
    request.set_authority(Some(authority)).expect("an authority");
    request.set_path_with_query(Some(&format!("/{path}"))).expect("a path");
    let response = client::send(request).await?;
    let (body, end) = Response::consume_body(response, nothing());
    let bytes = body.collect().await;
    end.await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

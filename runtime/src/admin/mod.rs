//! The admin API, on a listener of its own: what the gateway is doing, for
//! people and for health checks.
//!
//! It answers only what is addressed to this machine by name or address, so
//! that no page in a browser can reach it under a name of its own.

mod lambda;

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header, uri::Authority};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};
use tokio_io_timeout::TimeoutStream;
use tokio_util::task::TaskTracker;

use crate::{
    body::AnswerBody,
    gateway::FunctionState,
    integration::mock::Reset,
    pipeline::parse_query,
    reload::Shared,
    server,
    state::StateError,
    usage_plan::{self, Usage},
};

/// Admin connections at once.
const CONNECTIONS_MAX: usize = 64;

/// A client that is slower with a request's head is cut off; so is an idle
/// connection.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Serves until `stop` turns true, then finishes what is in flight, within
/// `drain`.
pub async fn run(
    listener: TcpListener,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
    drain: Duration,
) {
    let local = listener.local_addr().ok();
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = server::accept(&listener, &permits) => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, _, permit)) => {
                let (shared, stop) = (Arc::clone(&shared), stop.clone());
                connections.spawn(async move {
                    connection(&shared, local, stream, stop).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "an admin connection could not be accepted");
                tokio::time::sleep(server::ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    // Whoever takes longer is cut off when the process ends.
    let _ = tokio::time::timeout(drain, connections.wait()).await;
}

async fn connection(
    shared: &Arc<Shared>,
    local: Option<SocketAddr>,
    stream: TcpStream,
    stop: watch::Receiver<bool>,
) {
    // Parts of an answer leave when they come.
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    let pools = &shared.gateway.load().config.server.pools;
    stream.set_write_timeout(Some(pools.body_idle_timeout));
    let service = service_fn(|request: Request<Incoming>| async move {
        Ok::<_, Infallible>(answer(shared, local, request).await)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_TIMEOUT)
        .serve_connection(TokioIo::new(Box::pin(stream)), service);
    let driven = server::drive(connection, stop, |connection| connection.graceful_shutdown());
    if let Err(error) = driven.await {
        tracing::debug!(%error, "admin connection ended");
    }
}

async fn answer(
    shared: &Shared,
    local: Option<SocketAddr>,
    request: Request<Incoming>,
) -> Response<AnswerBody> {
    let message = |status: StatusCode, text: &str| response(status, &json!({ "message": text }));
    if !addressed_to_us(local, &request) {
        return message(
            StatusCode::FORBIDDEN,
            "the admin API answers only requests to this machine's own address, and none of other origins",
        );
    }
    if lambda::serves(request.uri().path()) {
        return lambda::answer(shared, request).await;
    }
    let use_instead = |text: &str, allow: &'static str| {
        let mut response = message(StatusCode::METHOD_NOT_ALLOWED, text);
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
        response
    };
    match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/health") => response(StatusCode::OK, &health(shared)),
        (&Method::GET | &Method::HEAD, "/usage") => match usage(shared, request.uri()).await {
            Ok(usages) => response(StatusCode::OK, &json!({ "items": usages })),
            Err(error) => {
                tracing::error!("{error}");
                message(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string())
            }
        },
        (_, "/health" | "/usage") => use_instead("use GET", "GET, HEAD"),
        (&Method::POST, "/mocks/reset") => {
            let Reset { mocks, collections } = shared.gateway.load().mocks.reset();
            tracing::info!("set back: {mocks} mocks, {collections} collections");
            response(StatusCode::OK, &json!({ "mocks": mocks, "collections": collections }))
        }
        (_, "/mocks/reset") => use_instead("use POST", "POST"),
        (method, path) => match user_pool(shared, path) {
            None => message(
                StatusCode::NOT_FOUND,
                "there are GET /health, GET /usage, POST /mocks/reset, GET /POOL/.well-known/… and Lambda's API, whose paths begin with a date",
            ),
            Some(document) if matches!(*method, Method::GET | Method::HEAD) => {
                response(StatusCode::OK, &document)
            }
            Some(_) => use_instead("use GET", "GET, HEAD"),
        },
    }
}

/// What programs need to verify the tokens of a user pool.
fn user_pool(shared: &Shared, path: &str) -> Option<Value> {
    let (name, document) = path.strip_prefix('/')?.split_once("/.well-known/")?;
    let gateway = shared.gateway.load();
    let pool = gateway.user_pools.get(name)?;
    match document {
        "jwks.json" => Some(pool.key_set()),
        "openid-configuration" => Some(pool.discovery()),
        _ => None,
    }
}

/// What API keys have used; `?plan=` and `?key=` choose some by name.
async fn usage(shared: &Shared, uri: &Uri) -> Result<Vec<Usage>, StateError> {
    let query = parse_query(uri.query().unwrap_or_default());
    let asked = |name: &str| {
        let found = query.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.as_str())
    };
    let gateway = shared.gateway.load_full();
    let today = OffsetDateTime::now_utc().date();
    let chosen = (asked("plan"), asked("key"));
    usage_plan::usage(&gateway.config, &gateway.state, today, chosen).await
}

fn response(status: StatusCode, body: &Value) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::from(format!("{body}\n")));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Whether Host is an address of ours or a loopback name, and Origin, if
/// there is one, the same.
fn addressed_to_us<B>(local: Option<SocketAddr>, request: &Request<B>) -> bool {
    let ours = |authority: &str| {
        let Ok(authority) = authority.parse::<Authority>() else { return false };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost")
            || host.parse::<IpAddr>().is_ok_and(|ip| {
                ip.is_loopback() || local.is_some_and(|local| local.ip() == ip)
                    // Bound to every address: any literal one will do, a name will not.
                    || local.is_some_and(|local| local.ip().is_unspecified())
            })
    };
    let text =
        |name| request.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let origin_fits = match (request.headers().get(header::ORIGIN), text(header::ORIGIN)) {
        (None, _) => true,
        // Another port is another origin: what functions answer is a page there.
        (Some(_), Some(origin)) => origin.strip_prefix("http://") == text(header::HOST),
        (Some(_), None) => false,
    };
    text(header::HOST).is_some_and(ours) && origin_fits
}

fn health(shared: &Shared) -> Value {
    let gateway = shared.gateway.load();
    let problems = shared.problems.load();
    let functions: Vec<Value> = gateway
        .functions
        .iter()
        .map(|(name, state)| {
            let mut entry = match state {
                FunctionState::Loaded { function, .. } => json!({
                    "name": name,
                    "state": match (state.problem(), state.function()) {
                        (_, Err(_)) => "failed",
                        (Some(_), _) => "stale",
                        (None, _) if !function.code.is_settled() => "pending",
                        (None, _) => "active",
                    },
                    "sha256": crate::sandbox::hex(&function.code.sha256),
                    "bytes": function.code.size,
                }),
                FunctionState::Failed { .. } => json!({ "name": name, "state": "failed" }),
            };
            if let Some(problem) = state.problem() {
                entry["problem"] = problem.into_owned().into();
            }
            entry
        })
        .collect();
    json!({
        "status": if problems.is_empty() { "ok" } else { "degraded" },
        "version": env!("CARGO_PKG_VERSION"),
        "kind": match gateway.config.kind {
            crate::config::ApiKind::Rest => "rest",
            crate::config::ApiKind::Http => "http",
        },
        "stage": gateway.config.stage,
        "routes": gateway.router.routes().len(),
        "reloads": shared.reloads(),
        "functions": functions,
        "problems": **problems,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_others_are_refused() {
        let local = "127.0.0.1:3001".parse().ok();
        let fits = |host: &str, origin: Option<&str>| {
            let mut request = Request::builder().header(header::HOST, host);
            if let Some(origin) = origin {
                request = request.header(header::ORIGIN, origin);
            }
            addressed_to_us(local, &request.body(()).expect("a request"))
        };
        assert!(fits("127.0.0.1:3001", None));
        assert!(fits("localhost:3001", Some("http://localhost:3001")));
        assert!(fits("[::1]:3001", None));
        assert!(!fits("rebound.example:3001", None));
        assert!(!fits("10.0.0.1:3001", None));
        assert!(!fits("localhost:3001", Some("http://evil.example")));
        assert!(!fits("localhost:3001", Some("http://localhost:3000")));
        assert!(!fits("localhost:3001", Some("null")));
    }
}

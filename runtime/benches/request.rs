//! What a request to a function costs around its sandbox: the event, and what it
//! answered. Each beside the least that one can do: serde_json writes or reads a
//! text of the same size.

#![allow(missing_docs, reason = "criterion's macros make public functions")]

use std::{collections::BTreeMap, hint::black_box, net::SocketAddr, path::Path, sync::Arc};

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use http::{Request, Version, request::Parts};
use http_body_util::Empty;
use mayfly::{
    config::{self, Overrides},
    gateway::Gateway,
    integration::http::Clients,
    lambda::Lambda,
    pipeline::{
        Connection, Exchange, Matched, event,
        method_request::{Bodies, MethodRequest},
        proxy_response,
    },
    sandbox::Sandbox,
    services::Services,
    state::State,
    user_pool::UserPools,
};
use serde_json::Value;

const CONFIG: &str = r#"
[pools]
memory_mb_max = 64
concurrency_max = 1

[[route]]
route = "GET /hello"
function = "hello"
"#;

/// A snapshot without code: nothing is called.
fn gateway(folder: &Path, kind: &str) -> Gateway {
    let file = folder.join("gateway.toml");
    std::fs::write(&file, format!("kind = {kind:?}\n{CONFIG}"))
        .expect("the folder can be written to");
    let config = config::load(Some(&file), folder, &Overrides::default());
    let config = config.map_err(|invalid| invalid.problems).expect("a valid configuration");
    let data = &config.server.data;
    let services = Arc::new(Services::open(data).expect("services"));
    let sandbox = Sandbox::new(&config.server.pools, data, services).expect("a sandbox");
    let lambda = Lambda::open(data, Arc::new(sandbox)).expect("a queue");
    let state = State::of(&config.server).expect("state");
    let pools = UserPools::open(data, &config.user_pools).expect("user pools");
    let (functions, clients) = (BTreeMap::new(), Clients::default());
    Gateway::new(config, functions, &clients, Arc::new(state), pools, Arc::new(lambda), None)
}

/// The request of a load generator.
fn parts(path: &str) -> Parts {
    let request = Request::builder().version(Version::HTTP_11).uri(path);
    let request = request.header("host", "127.0.0.1:8080").header("user-agent", "h2load/1.52.0");
    request.body(()).expect("a request").into_parts().0
}

fn events(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let _entered = runtime.enter();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let here = SocketAddr::from(([127, 0, 0, 1], 8080));
    let connection = Connection { client: here, local: here, tls: None, proxied: None };
    // A kind's own format is what its functions get.
    for (name, kind) in [("1.0", "rest"), ("2.0", "http")] {
        let gateway = gateway(folder.path(), kind);
        let parts = parts("/hello");
        let exchange = Exchange::new(&gateway, &connection, &parts);
        let matched = Matched::find(&gateway, &parts, &exchange).expect("a route");
        let bodies = Bodies { passes: false, streams: false };
        let read = MethodRequest::read(
            &gateway,
            &connection,
            &exchange,
            matched,
            &parts,
            Empty::<Bytes>::new(),
            bodies,
        );
        let request = runtime.block_on(read).expect("a request");
        let text = event::text(&request);
        let value: Value = serde_json::from_str(&text).expect("JSON");
        let mut group = c.benchmark_group(format!("event {name}"));
        group.bench_function("baseline: serde_json", |b| {
            b.iter(|| serde_json::to_string(black_box(&value)));
        });
        group.bench_function("a text", |b| b.iter(|| event::text(black_box(&request))));
        group.bench_function("as a header", |b| {
            b.iter(|| event::request_context(black_box(&request)));
        });
        group.finish();
    }
}

fn answers(c: &mut Criterion) {
    const ANSWER: &str = r#"{"statusCode":200,"headers":{"content-type":"application/json"},"body":"{\"message\":\"Hello, World!\"}","isBase64Encoded":false}"#;
    let mut group = c.benchmark_group("answer");
    group.bench_function("baseline: serde_json", |b| {
        b.iter(|| serde_json::from_str::<Value>(black_box(ANSWER)));
    });
    group.bench_function("1.0", |b| b.iter(|| proxy_response::v1(black_box(ANSWER), true)));
    group.bench_function("2.0", |b| b.iter(|| proxy_response::v2(black_box(ANSWER))));
    group.finish();
}

criterion_group!(benches, events, answers);
criterion_main!(benches);

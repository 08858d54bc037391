//! What a request is asked for before anything answers it: its route, its token,
//! its limits and its body. Beside each stands the least that can be done for
//! the same, so that what has become slower shows as a ratio.
//!
//! `cargo bench -p mayfly --bench access`

use std::{
    collections::HashMap,
    hint::black_box,
    num::NonZeroU32,
    path::Path,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime},
};

use criterion::{Criterion, criterion_group, criterion_main};
use http::Method;
use mayfly::{
    config::{ApiKind, Config, Overrides, Period, ThrottleConfig, load},
    jwt::{Form, KeySet, Rules, Signer, Token, Verified, VerifiedTokens},
    router::{RouteKey, Router},
    state::{Limit, State},
};
use serde_json::{Value, json};
use time::OffsetDateTime;

/// A body as a client sends it.
const BODY: &str = r#"{"name": "Ada", "tags": ["mathematics", "engines", "poetry"]}"#;

/// A configuration with the model of that body.
const CONFIG: &str = r#"
kind = "rest"

[models.Greeting]
schema = '''{
  "type": "object",
  "required": ["name"],
  "properties": { "name": { "type": "string" }, "tags": { "type": "array", "items": { "type": "string" } } }
}'''

[[route]]
route = "POST /"
request_models = { "application/json" = "Greeting" }
mock = { status = 200 }
"#;

fn config(folder: &Path) -> Config {
    let file = folder.join("gateway.toml");
    std::fs::write(&file, CONFIG).expect("written");
    load(Some(&file), folder, &Overrides::default()).expect("a configuration")
}

fn validation(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let config = config(folder.path());
    let validation = config.routes[0].validation.as_ref().expect("a model");
    let model = &validation.models[0].1;
    let parse = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    let mut group = c.benchmark_group("validation");
    group.bench_function("baseline: parsed alone", |b| b.iter(|| parse(black_box(BODY))));
    group.bench_function("parsed and validated", |b| {
        b.iter(|| assert!(model.surely_takes(black_box(BODY).as_bytes())));
    });
    group.finish();
}

/// A token of an hour, and what verifies it.
fn token() -> (String, Arc<KeySet>, Rules) {
    let key = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).expect("a key");
    let der = rsa::pkcs8::EncodePrivateKey::to_pkcs8_der(&key).expect("DER");
    let signer = Signer::new(der.as_bytes()).expect("a signer");
    let keys = KeySet::parse(&signer.key_set().to_string()).expect("a set");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let claims = json!({
        "sub": "622984f4-320c-41f8-adf6-bb5fa8cffe0b", "iss": "https://issuer.example",
        "iat": now.as_secs(), "exp": now.as_secs() + 3600, "token_use": "id", "aud": "app",
        "jti": "beb345f5-d3df-4356-955b-3314d08628e4", "cognito:username": "ada",
    });
    let text = signer.sign(claims.as_object().expect("an object")).expect("a token");
    let (issuer, clock_skew) = ("https://issuer.example".to_owned(), Duration::ZERO);
    (text, Arc::new(keys), Rules { issuer, audience: vec!["app".to_owned()], clock_skew })
}

fn tokens(c: &mut Criterion) {
    let (text, keys, rules) = token();
    let verify = |text: &str| {
        let claims = Token::read(text).and_then(|token| token.verify(&keys)).expect("claims");
        let times = claims.check(&rules, SystemTime::now()).expect("times");
        Arc::new(Verified::new(claims, times, Form::UserPool, Arc::clone(&keys)))
    };
    let tokens = VerifiedTokens::new();
    tokens.remember(text.as_bytes(), &verify(&text));
    let least = HashMap::from([(text.clone(), verify(&text))]);
    let mut group = c.benchmark_group("token");
    group.bench_function("baseline: a map's look-up", |b| {
        b.iter(|| Arc::clone(least.get(black_box(&text)).expect("the token")));
    });
    group.bench_function("remembered", |b| {
        b.iter(|| {
            let known = tokens.get(black_box(text.as_bytes())).expect("the token");
            known.check(SystemTime::now()).expect("in time");
            known
        });
    });
    group.bench_function("verified", |b| b.iter(|| verify(black_box(&text))));
    group.finish();
}

/// What a future is that waits for nothing.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(made) => made,
        Poll::Pending => panic!("it waits"),
    }
}

fn limits(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let state = State::open(folder.path()).expect("a state");
    let burst = NonZeroU32::new(1_000_000).expect("not zero");
    let throttle = ThrottleConfig { rate: 1e6, burst };
    let (plan, account) = (state.bucket("plan", &throttle), state.bucket("account", &throttle));
    let counter = state.counter("quota");
    let window = Period::Day.window(OffsetDateTime::now_utc().date());
    let quota = Limit::Quota { counter: &counter, window, limit: None };
    let held = [Limit::Bucket(&plan), quota, Limit::Bucket(&account)];
    let numbers: [AtomicU64; 3] = Default::default();
    let mut group = c.benchmark_group("limits");
    group.bench_function("baseline: three numbers", |b| {
        b.iter(|| black_box(&numbers).each_ref().map(|own| own.fetch_add(1, Ordering::Relaxed)));
    });
    // A bucket that is empty costs as much as one that is not.
    group.bench_function("two buckets and a quota", |b| {
        b.iter(|| at_once(state.take(black_box(&held))));
    });
    let address = "192.0.2.7".parse().expect("an address");
    let client = [Limit::Client { address, throttle: &throttle }];
    group.bench_function("a client's bucket", |b| {
        b.iter(|| at_once(state.take(black_box(&client))));
    });
    group.finish();
}

fn router(c: &mut Criterion) {
    for count in [10, 1000, 10_000] {
        let key = |index: usize| format!("GET /shops/shop{index}/items/{{id}}");
        let routes = (0..count).map(|index| {
            let key: RouteKey = key(index).parse().expect("a route key");
            (key, index)
        });
        let router = Router::new(ApiKind::Http, routes);
        let path = format!("/shops/shop{}/items/42", count / 2);
        let least: HashMap<String, usize> =
            (0..count).map(|index| (format!("/shops/shop{index}/items/42"), index)).collect();
        let mut group = c.benchmark_group(format!("router of {count}"));
        group.bench_function("baseline: a map's look-up", |b| {
            b.iter(|| least.get(black_box(&path)));
        });
        group.bench_function("found", |b| {
            b.iter(|| router.find(&Method::GET, black_box(&path)));
        });
        group.finish();
    }
}

fn quick() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20)
}

criterion_group! { name = benches; config = quick(); targets = validation, tokens, limits, router }
criterion_main!(benches);

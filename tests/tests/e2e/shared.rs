//! State that gateways share in a Redis, and what they do without it. Rates are
//! so slow that no test sees a bucket fill.

use std::{
    io::Write as _,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use mayfly_tests::{
    Answer, Gateway, Project, fixture,
    redis::{PASSWORD, Redis},
    upstream::Upstream,
};

/// How long a request may take that does not wait for Redis: far less than a
/// pile of deadlines.
const SOON: Duration = Duration::from_secs(5);

const ROUTES: &str = r#"
trusted_proxies = ["127.0.0.1"]

[request_filter]
throttle = { rate = 0.001, burst = 100 }

[[api_key]]
name = "partner"
value = "partner-0123456789-secret"

[[usage_plan]]
name = "basic"
keys = ["partner"]
quota = { limit = 3, period = "month" }

[[route]]
route = "GET /free"
throttle = { rate = 0.001, burst = 3 }
mock = { body = "ok" }

[[route]]
route = "GET /paid"
api_key_required = true
mock = { body = "ok" }

[authorizer.tokens]
function = "auth"
identity = ["header.authorization"]

[[route]]
route = "GET /private"
function = "probe"
authorizer = "tokens"
"#;

fn gateway(redis: &Redis, more: &str, routes: &str) -> Gateway {
    let url = redis.url();
    let state = format!("state = {{ url = \"{url}\", timeout_ms = 1000{more} }}\n");
    Project::with_config(&format!("{state}{routes}"))
        .with_handler("auth", &fixture("authorizer"))
        .with_handler("probe", &fixture("probe"))
        .serve()
}

fn status(gateway: &Gateway, path: &str) -> u16 {
    let request = gateway.request("GET", path).header("x-api-key", "partner-0123456789-secret");
    Answer::of(request).status
}

/// Asks two gateways by turns.
fn by_turns(gateways: [&Gateway; 2], path: &str, count: usize) -> Vec<u16> {
    (0..count).map(|turn| status(gateways[turn % 2], path)).collect()
}

#[test]
fn two_gateways_hold_their_clients_to_one_limit() {
    let Some(redis) = Redis::start("two_gateways_hold_their_clients_to_one_limit") else { return };
    let (one, two) = (gateway(&redis, "", ROUTES), gateway(&redis, "", ROUTES));
    assert_eq!(by_turns([&one, &two], "/free", 5), [200, 200, 200, 429, 429]);
    assert_eq!(by_turns([&one, &two], "/paid", 5), [200, 200, 200, 429, 429]);
    let usage = two.project.run(&["usage", "--json"]);
    let usage: serde_json::Value = serde_json::from_slice(&usage.stdout).expect("JSON");
    assert_eq!(usage["items"][0]["used"], 3, "{usage}");
    // Another API is nobody's business.
    let other = gateway(&redis, "", &format!("name = \"other\"\n{ROUTES}"));
    assert_eq!(status(&other, "/free"), 200);
    // What an address has used is told apart by gateways as little.
    let from = |gateway: &Gateway| {
        let request = gateway.request("GET", "/none").header("x-forwarded-for", "192.0.2.1");
        Answer::of(request).status
    };
    let statuses: Vec<u16> = (0..101).map(|turn| from([&one, &two][turn % 2])).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 404).count(), 100);
    assert_eq!(statuses.last(), Some(&429));
    let wait = Answer::of(one.request("GET", "/free"));
    let wait: u64 = wait.header("retry-after").expect("a time").parse().expect("seconds");
    assert!((900..=1001).contains(&wait), "{wait}");
    for name in redis.keys() {
        assert!(!name.contains("partner") && !name.contains("192.0.2.1"), "{name}");
    }
    assert!(!redis.keys().is_empty());
}

#[test]
fn two_gateways_keep_answers_for_each_other() {
    let Some(redis) = Redis::start("two_gateways_keep_answers_for_each_other") else { return };
    let count = AtomicUsize::new(0);
    let upstream = Upstream::new(move |_, stream| {
        let number = count.fetch_add(1, Ordering::Relaxed) + 1;
        write!(
            stream,
            "HTTP/1.1 201 Made\r\ncontent-length: 1\r\nx-count: {number}\r\n\r\n{number}"
        )
    });
    let routes = |ttl: u32| {
        format!(
            "[[route]]\nroute = \"GET /a\"\ncache = {{ ttl_seconds = {ttl}, key = [\"query.q\"], require_authorization = false }}\nintegration = {{ type = \"http_proxy\", uri = \"http://{}/\" }}\n{ROUTES}",
            upstream.address
        )
        // Tables come after what is at the top level.
        .replacen("trusted_proxies = [\"127.0.0.1\"]\n", "", 1)
    };
    let (one, two) = (gateway(&redis, "", &routes(60)), gateway(&redis, "", &routes(60)));
    assert_eq!(one.get("/a?q=1").text(), "1");
    let kept = two.get("/a?q=1");
    assert_eq!(
        (kept.status, kept.text(), kept.header("x-count")),
        (201, "1".to_owned(), Some("1"))
    );
    assert_eq!(two.get("/a?q=2").text(), "2");
    assert_eq!(one.get("/a?q=2").text(), "2");
    // Whoever has it made anew has it made for all.
    let fresh = two.request("GET", "/a?q=1").header("cache-control", "max-age=0");
    assert_eq!(Answer::of(fresh).text(), "3");
    assert_eq!(one.get("/a?q=1").text(), "3");
    // Another configuration does not read it.
    let three = gateway(&redis, "", &routes(61));
    assert_eq!(three.get("/a?q=1").text(), "4");
    assert_eq!(one.get("/a?q=1").text(), "3");

    let asked = |gateway: &Gateway, token: &str| {
        let request = gateway.request("GET", "/private").header("authorization", token);
        Answer::of(request).json()["requestContext"]["authorizer"].clone()
    };
    let first = asked(&one, "allow:1");
    assert!(first["lambda"]["call"].is_string(), "{first}");
    // The function has said this in one of its invocations.
    assert_eq!(asked(&two, "allow:1"), first);
    assert_ne!(asked(&two, "allow:2"), first);
}

#[test]
fn without_redis_throttles_hold_for_each_gateway() {
    let Some(mut redis) = Redis::start("without_redis_throttles_hold_for_each_gateway") else {
        return;
    };
    let (one, two) = (gateway(&redis, "", ROUTES), gateway(&redis, "", ROUTES));
    assert_eq!(by_turns([&one, &two], "/free", 4), [200, 200, 200, 429]);
    redis.kill();
    for gateway in [&one, &two] {
        assert_eq!(
            (0..4).map(|_| status(gateway, "/free")).collect::<Vec<_>>(),
            [200, 200, 200, 429]
        );
        // Quotas are nobody's meanwhile.
        assert_eq!((0..5).map(|_| status(gateway, "/paid")).collect::<Vec<_>>(), [200; 5]);
    }
    redis.restart();
    one.wait_for_log("Redis is available again");
    two.wait_for_log("Redis is available again");
    assert_eq!(by_turns([&one, &two], "/paid", 4), [200, 200, 200, 429]);
    let log = one.log();
    assert_eq!(log.matches("Redis is unavailable").count(), 1, "{log}");
    assert!(!log.contains(PASSWORD), "{log}");
}

#[test]
fn a_redis_that_hangs_lets_nobody_through_where_it_must_count() {
    let Some(redis) = Redis::start("a_redis_that_hangs_lets_nobody_through_where_it_must_count")
    else {
        return;
    };
    let gateway = gateway(&redis, ", unavailable = \"closed\"", ROUTES);
    assert_eq!(status(&gateway, "/free"), 200);
    redis.hang();
    let begun = Instant::now();
    let statuses = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..16).map(|_| scope.spawn(|| status(&gateway, "/free"))).collect();
        asked.into_iter().map(|asked| asked.join().expect("an answer")).collect::<Vec<_>>()
    });
    assert_eq!(statuses, [503; 16]);
    let answer = gateway.get("/free");
    assert_eq!(answer.json(), serde_json::json!({ "message": "Service Unavailable" }));
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    redis.go_on();
    gateway.wait_for_log("Redis is available again");
    // It still does what it was asked for meanwhile.
    assert_ne!(status(&gateway, "/free"), 503);
    assert_eq!(gateway.log().matches("ERROR state: Redis").count(), 1, "{}", gateway.log());
}

#[test]
fn a_redis_is_reached_by_tls_if_its_certificate_is_good() {
    let Some(redis) = Redis::start_tls("a_redis_is_reached_by_tls_if_its_certificate_is_good")
    else {
        return;
    };
    let config = format!(
        "state = {{ url_env = \"MAYFLY_TEST_REDIS\", timeout_ms = 5000, unavailable = \"closed\" }}\n{ROUTES}"
    );
    let project = |certificates: &str| {
        Project::with_config(&config)
            .with_handler("auth", &fixture("authorizer"))
            .with_handler("probe", &fixture("probe"))
            .with_variable("MAYFLY_TEST_REDIS", &redis.url())
            .with_variable("SSL_CERT_FILE", certificates)
    };
    let authority = redis.authority();
    let trusting = project(authority.to_str().expect("UTF-8"));
    let (one, two) = (trusting.serve(), project(authority.to_str().expect("UTF-8")).serve());
    assert_eq!(by_turns([&one, &two], "/free", 4), [200, 200, 200, 429]);
    let strange = mayfly_tests::tls::Authority::new().pem;
    let other = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(other.path(), strange).expect("written");
    let wary = project(other.path().to_str().expect("UTF-8")).serve();
    assert_eq!(status(&wary, "/free"), 503);
    wary.wait_for_log("Redis is unavailable");
    assert!(!wary.log().contains(PASSWORD), "{}", wary.log());
}

/// It may come later than the gateway.
#[test]
fn a_gateway_starts_without_redis() {
    let Some(mut redis) = Redis::start("a_gateway_starts_without_redis") else { return };
    redis.kill();
    let gateway = gateway(&redis, ", unavailable = \"closed\"", ROUTES);
    assert_eq!(status(&gateway, "/free"), 503);
    redis.restart();
    gateway.wait("a limit", || status(&gateway, "/free") != 503);
}

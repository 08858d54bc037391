//! JWT authorizers of both kinds of API, with tokens of an independent library.

use std::{
    io::Write as _,
    net::TcpStream,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use mayfly_tests::{Answer, Gateway, Project, fixture, tokens::Tokens, upstream::Upstream};
use serde_json::{Value, json};

const ISSUER: &str = "https://issuer.example";

/// Claims that count.
fn claims(more: Value) -> Value {
    let mut claims = json!({ "iss": ISSUER, "aud": "app", "sub": "ada" });
    for (name, value) in more.as_object().expect("an object") {
        claims[name] = value.clone();
    }
    claims
}

fn authorizer(jwks: &str) -> String {
    format!(
        r#"
[authorizer.accounts]
type = "jwt"
issuer = "{ISSUER}"
audience = ["app"]
jwks = "{jwks}"

[[route]]
route = "GET /me"
function = "probe"
authorizer = "accounts"

[[route]]
route = "GET /paid"
authorizer = "accounts"
scopes = ["read"]
mock = {{ status = 200, body = "ok" }}

[[route]]
route = "GET /admin"
authorizer = "accounts"
scopes = ["admin", "root"]
mock = {{ status = 200, body = "ok" }}
"#
    )
}

/// A gateway whose keys are in `jwks.json`.
fn gateway(config: &str, key_set: &Value) -> Gateway {
    let project = Project::with_config(&format!("{config}{}", authorizer("jwks.json")))
        .with_handler("probe", &fixture("probe"));
    std::fs::write(project.path().join("jwks.json"), key_set.to_string()).expect("written");
    project.serve()
}

fn get(gateway: &Gateway, path: &str, token: &str) -> Answer {
    gateway.get_as(path, &format!("Bearer {token}"))
}

#[test]
fn tokens_of_all_algorithms_are_verified() {
    let algorithms =
        ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];
    let own = |value: &dyn Fn(&str) -> Value| -> Value {
        algorithms.iter().map(|name| ((*name).to_owned(), value(name))).collect()
    };
    let keys = own(&|name| json!(name));
    let given = own(&|name| json!({ "key": name, "claims": claims(json!({})) }));
    let name = "tokens_of_all_algorithms_are_verified";
    let Some(tokens) = Tokens::new(name, &keys, &given) else { return };
    let gateway = gateway("", &tokens.key_set(&algorithms));
    for algorithm in algorithms {
        let answer = get(&gateway, "/me", tokens.get(algorithm));
        assert_eq!(answer.status, 200, "{algorithm}: {}", answer.text());
        // The scheme is optional, and of any case.
        for scheme in ["", "bearer "] {
            let sent = format!("{scheme}{}", tokens.get(algorithm));
            let answer = Answer::of(gateway.request("GET", "/me").header("authorization", sent));
            assert_eq!(answer.status, 200, "{algorithm}: {scheme:?}");
        }
    }
}

#[test]
fn claims_reach_events_and_templates() {
    let more = json!({
        "scope": "read write", "cognito:groups": ["a", "b"], "email_verified": true, "level": 7,
    });
    let given = json!({ "t": { "key": "k", "claims": claims(more) } });
    let name = "claims_reach_events_and_templates";
    let Some(tokens) = Tokens::new(name, &json!({ "k": "ES256" }), &given) else { return };
    let one = r#"
[[route]]
route = "GET /one"
function = "probe"
authorizer = "accounts"
payload = "1.0"
scopes = ["read", "other"]
"#;
    let http = gateway("", &tokens.key_set(&["k"]));
    let config = format!("{}{one}", authorizer("jwks.json"));
    http.project.write_config(&config);
    http.wait("the reload", || get(&http, "/one", tokens.get("t")).status == 200);
    let token = tokens.get("t");

    let event = get(&http, "/me", token).json();
    let jwt = &event["requestContext"]["authorizer"]["jwt"];
    assert_eq!(jwt["scopes"], json!(null));
    let texts = |claims: &Value| {
        assert_eq!(claims["sub"], "ada");
        assert_eq!(claims["cognito:groups"], "[a b]");
        assert_eq!(claims["email_verified"], "true");
        assert_eq!(claims["level"], "7");
        let seconds: Result<u64, _> = claims["exp"].as_str().expect("text").parse();
        assert!(seconds.is_ok(), "{claims}");
    };
    texts(&jwt["claims"]);
    let event = get(&http, "/one", token).json();
    let own = &event["requestContext"]["authorizer"];
    texts(&own["claims"]);
    assert_eq!(own["scopes"], json!(["read", "write"]));

    let template = r#"
[[route]]
route = "GET /who"
authorizer = "accounts"

[route.integration]
type = "mock"
request_templates = { "application/json" = '{"statusCode": 200}' }
responses = [{ templates = { "text/plain" = "$context.authorizer.claims.sub $context.authorizer.claims['cognito:groups']" } }]
"#;
    let rest = gateway("kind = \"rest\"\n", &tokens.key_set(&["k"]));
    let config = format!("kind = \"rest\"\n{}{template}", authorizer("jwks.json"));
    rest.project.write_config(&config);
    rest.wait("the reload", || get(&rest, "/who", token).text() == "ada [a b]");
    let event = get(&rest, "/me", token).json();
    let own = &event["requestContext"]["authorizer"];
    assert_eq!(own.as_object().expect("claims").len(), 1);
    texts(&own["claims"]);

    let tested =
        rest.project.run(&["test", "GET", "/who", "-H", &format!("Authorization: {token}")]);
    let text = String::from_utf8_lossy(&tested.stdout).into_owned();
    assert!(text.contains("--- authorizer\naccounts (verified): \"ada\"\n"), "{text}");
}

/// Tokens that are refused, each with what HTTP APIs say of it.
fn refused() -> (Value, [(&'static str, &'static str); 14]) {
    let token = |more: Value| json!({ "key": "k", "claims": claims(more) });
    let header = |name: &str, value: Value| json!({ "key": "k", "claims": claims(json!({})), "headers": { name: value } });
    let with = |algorithm: &str| json!({ "key": "k", "claims": claims(json!({})), "algorithm": algorithm });
    let tokens = json!({
        "good": token(json!({ "scope": "read" })),
        "expired": token(json!({ "exp": -5 })),
        "endless": token(json!({ "exp": null })),
        "early": token(json!({ "nbf": 3600 })),
        "future": token(json!({ "iat": 3600 })),
        "audience": token(json!({ "aud": ["other"] })),
        "client": token(json!({ "aud": "other", "client_id": "app" })),
        "issuer": token(json!({ "iss": "https://issuer.example/" })),
        "none": with("none"),
        "secret": with("HS256"),
        "digest": with("RS512"),
        "unnamed": header("kid", json!(null)),
        "unknown": header("kid", json!("other")),
        "critical": header("crit", json!(["exp"])),
        "stranger": { "key": "stranger", "claims": claims(json!({})), "headers": { "kid": "k" } },
    });
    let said = [
        ("expired", "the token has expired"),
        ("endless", "the token does not expire"),
        ("early", "the token is not valid yet"),
        ("future", "the token was issued in the future"),
        ("audience", "the token does not have a valid audience"),
        ("client", "the token does not have a valid audience"),
        ("issuer", "issuer does not match"),
        ("none", "the token is malformed"),
        ("secret", "signing method is invalid"),
        // The key is for RS256 alone.
        ("digest", "the token's key is not for its signing method"),
        ("unnamed", "the token has no kid"),
        ("unknown", "the token was signed with an unknown key"),
        ("critical", "the token has critical header parameters"),
        ("stranger", "the token's signature is invalid"),
    ];
    (tokens, said)
}

#[test]
fn tokens_that_do_not_count_are_refused() {
    let name = "tokens_that_do_not_count_are_refused";
    let (given, said) = refused();
    let keys = json!({ "k": "RS256", "stranger": "RS256" });
    let Some(tokens) = Tokens::new(name, &keys, &given) else { return };
    let limits = "[limits]\nheader_bytes_max = 65536\n";
    let unauthorized = json!({ "message": "Unauthorized" });
    let responses = "[gateway_responses.EXPIRED_TOKEN]\nheaders = { x-type = \"'expired'\" }\n";
    let http = gateway(limits, &tokens.key_set(&["k"]));
    let rest = gateway(&format!("kind = \"rest\"\n{limits}{responses}"), &tokens.key_set(&["k"]));
    for (name, why) in said {
        let token = tokens.get(name);
        let answer = get(&http, "/me", token);
        assert_eq!((answer.status, answer.json()), (401, unauthorized.clone()), "{name}");
        let challenge =
            format!("Bearer scope=\"\" error=\"invalid_token\" error_description=\"{why}\"");
        assert_eq!(answer.header("www-authenticate"), Some(challenge.as_str()), "{name}");
        let answer = get(&rest, "/me", token);
        let expected = match name {
            "expired" => json!({ "message": "The incoming token has expired" }),
            _ => unauthorized.clone(),
        };
        assert_eq!((answer.status, answer.json()), (401, expected), "{name}");
        assert_eq!(answer.header("x-amzn-errortype"), Some("UnauthorizedException"));
        assert_eq!(answer.header("x-type"), (name == "expired").then_some("expired"), "{name}");
        assert_eq!(answer.header("www-authenticate"), None);
    }

    let good = tokens.get("good");
    assert_eq!(get(&http, "/me", good).status, 200);
    let (head, signature) = good.rsplit_once('.').expect("parts");
    let changed = match signature.split_at(1) {
        ("A", rest) => format!("{head}.B{rest}"),
        (_, rest) => format!("{head}.A{rest}"),
    };
    for bad in [changed.as_str(), head, "x", "a.b.c", &format!("{good}.x"), &"a".repeat(20_000)] {
        assert_eq!(get(&http, "/me", bad).status, 401);
        assert_eq!(get(&rest, "/me", bad).status, 401);
    }
    // Nothing, and nothing after the scheme.
    for sent in [None, Some(""), Some("Bearer"), Some("Bearer ")] {
        let request = http.request("GET", "/me");
        let request = match sent {
            Some(sent) => request.header("authorization", sent),
            None => request,
        };
        let answer = Answer::of(request);
        assert_eq!((answer.status, answer.json()), (401, unauthorized.clone()));
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        assert_eq!(rest.get("/me").json(), unauthorized);
    }
    // Twice, good or bad, in whatever order.
    for (first, second) in [(good, good), (good, "x"), ("x", good)] {
        let request = http.request("GET", "/me");
        let request = request.header("authorization", first).header("authorization", second);
        assert_eq!(Answer::of(request).status, 401);
    }
    // Elsewhere than where it belongs.
    assert_eq!(http.get(&format!("/me?authorization={good}")).status, 401);
    http.wait_for_log("invalid token: the token has expired");
    for (name, _) in said {
        for log in [http.log(), rest.log()] {
            let (_, signature) = tokens.get(name).rsplit_once('.').expect("parts");
            assert!(signature.is_empty() || !log.contains(signature), "{name} is in the log");
        }
    }
}

#[test]
fn a_token_opens_what_its_scopes_allow() {
    let token = |scope: Value| json!({ "key": "k", "claims": claims(scope) });
    let given = json!({
        "read": token(json!({ "scope": "openid read" })),
        "listed": token(json!({ "scp": ["read", "root"] })),
        "nothing": token(json!({})),
        "longer": token(json!({ "scope": "reads READ" })),
    });
    let name = "a_token_opens_what_its_scopes_allow";
    let Some(tokens) = Tokens::new(name, &json!({ "k": "EdDSA" }), &given) else { return };
    let http = gateway("", &tokens.key_set(&["k"]));
    let rest = gateway("kind = \"rest\"\n", &tokens.key_set(&["k"]));
    for (name, paid, admin) in
        [("read", 200, 403), ("listed", 200, 200), ("nothing", 403, 403), ("longer", 403, 403)]
    {
        for gateway in [&http, &rest] {
            assert_eq!(get(gateway, "/paid", tokens.get(name)).status, paid, "{name}");
            assert_eq!(get(gateway, "/admin", tokens.get(name)).status, admin, "{name}");
            assert_eq!(get(gateway, "/me", tokens.get(name)).status, 200, "{name}");
        }
    }
    let answer = get(&http, "/admin", tokens.get("read"));
    assert_eq!(answer.json(), json!({ "message": "Forbidden" }));
    assert_eq!(
        answer.header("www-authenticate"),
        Some(
            "Bearer scope=\"admin root\" error=\"insufficient_scope\" error_description=\"the token does not have a required scope\""
        )
    );
    assert_eq!(get(&rest, "/admin", tokens.get("read")).json(), json!({ "message": "Forbidden" }));
}

#[test]
fn what_one_authorizer_remembers_no_other_takes() {
    let given = json!({
        "t": { "key": "k", "claims": claims(json!({})) },
        "both": { "key": "k", "claims": claims(json!({ "aud": ["app", "other"] })) },
        "stranger": { "key": "stranger", "claims": claims(json!({})), "headers": { "kid": "k" } },
    });
    let name = "what_one_authorizer_remembers_no_other_takes";
    let keys = json!({ "k": "RS256", "stranger": "RS256" });
    let Some(tokens) = Tokens::new(name, &keys, &given) else { return };
    let other = format!(
        r#"
[authorizer.others]
type = "jwt"
issuer = "{ISSUER}"
audience = ["other"]
jwks = "jwks.json"

[[route]]
route = "GET /other"
authorizer = "others"
mock = {{ body = "other" }}
"#
    );
    let gateway = gateway(&other, &tokens.key_set(&["k"]));
    for _ in 0..3 {
        for (token, path, status) in [
            ("t", "/me", 200),
            ("t", "/other", 401),
            ("both", "/other", 200),
            ("both", "/me", 200),
            ("stranger", "/me", 401),
        ] {
            assert_eq!(get(&gateway, path, tokens.get(token)).status, status, "{token} {path}");
        }
        // What is remembered is the text as a whole: another signature or other
        // claims are another token, and so is a part of it.
        let good = tokens.get("t");
        let (head, signature) = good.rsplit_once('.').expect("parts");
        let (_, strange) = tokens.get("stranger").rsplit_once('.').expect("parts");
        let (both, _) = tokens.get("both").rsplit_once('.').expect("parts");
        for forged in [
            format!("{head}.{strange}"),
            format!("{both}.{signature}"),
            format!("x{good}"),
            format!(".{signature}"),
            signature.to_owned(),
        ] {
            assert_eq!(get(&gateway, "/me", &forged).status, 401, "{forged}");
        }
    }
}

#[test]
fn a_token_in_the_query_is_in_no_log() {
    let given = json!({ "t": { "key": "k", "claims": claims(json!({})) } });
    let name = "a_token_in_the_query_is_in_no_log";
    let Some(tokens) = Tokens::new(name, &json!({ "k": "ES256" }), &given) else { return };
    let upstream = Upstream::saying("there");
    let config = format!(
        r#"
[stages."$default"]
logging = "INFO"
data_trace = true

[authorizer.accounts]
type = "jwt"
issuer = "{ISSUER}"
audience = ["app"]
jwks = "jwks.json"
identity = ["query.access_token"]

[[route]]
route = "GET /there"
authorizer = "accounts"
integration = {{ type = "http_proxy", uri = "http://{}/" }}

[[route]]
route = "GET /event"
authorizer = "accounts"
function = "probe"
"#,
        upstream.address
    );
    let project = Project::with_config(&config).with_handler("probe", &fixture("probe"));
    let key_set = tokens.key_set(&["k"]).to_string();
    std::fs::write(project.path().join("jwks.json"), key_set).expect("written");
    let gateway = project.serve();
    let token = tokens.get("t");
    // The second one is remembered, and as secret.
    for _ in 0..2 {
        assert_eq!(gateway.get(&format!("/there?a=1&access%5Ftoken={token}&b=2")).text(), "there");
    }
    assert_eq!(
        gateway.get(&format!("/there?access_token={token}&access_token={token}")).status,
        401
    );
    assert_eq!(get(&gateway, "/there", token).status, 401);
    assert_eq!(gateway.get(&format!("/event?access_token={token}")).status, 200);
    gateway.wait_for_log("a=1&access%5Ftoken=***&b=2");
    gateway.wait_for_log("integration response");
    assert!(!gateway.log().contains(token), "{}", gateway.log());
}

#[test]
fn a_file_of_keys_is_followed() {
    let given = json!({
        "old": { "key": "old", "claims": claims(json!({})) },
        "new": { "key": "new", "claims": claims(json!({})) },
    });
    let keys = json!({ "old": "ES256", "new": "ES256", "weak": "RSA1024" });
    let name = "a_file_of_keys_is_followed";
    let Some(tokens) = Tokens::new(name, &keys, &given) else { return };
    let gateway = gateway("", &tokens.key_set(&["old", "weak"]));
    // Twice: the second time it is remembered.
    assert_eq!(get(&gateway, "/me", tokens.get("old")).status, 200);
    assert_eq!(get(&gateway, "/me", tokens.get("old")).status, 200);
    assert_eq!(get(&gateway, "/me", tokens.get("new")).status, 401);
    let file = gateway.project.path().join("jwks.json");
    std::fs::write(&file, tokens.key_set(&["new"]).to_string()).expect("written");
    gateway.wait("the new key", || get(&gateway, "/me", tokens.get("new")).status == 200);
    assert_eq!(get(&gateway, "/me", tokens.get("old")).status, 401);
    // What is no set keeps the one before.
    std::fs::write(&file, tokens.key_set(&["weak"]).to_string()).expect("written");
    gateway.wait_for_log(
        "jwks.json: none of its keys can be used: keys[0] is an RSA key of 1024 bits",
    );
    assert_eq!(get(&gateway, "/me", tokens.get("new")).status, 200);
}

/// An issuer that publishes what a test says.
struct Issuer {
    upstream: Upstream,
    keys: Arc<Mutex<String>>,
    fails: Arc<AtomicBool>,
}

impl Issuer {
    fn new(key_set: &Value) -> Self {
        let keys = Arc::new(Mutex::new(key_set.to_string()));
        let fails = Arc::new(AtomicBool::new(false));
        let (published, failing) = (Arc::clone(&keys), Arc::clone(&fails));
        let upstream = Upstream::new(move |request, stream| {
            if failing.load(Ordering::SeqCst) {
                return respond(stream, "500 Internal Server Error", "");
            }
            // Long enough for others to ask meanwhile.
            std::thread::sleep(Duration::from_millis(50));
            let host = request.header("host").first().copied().unwrap_or_default();
            let text = match request.line() {
                "GET /.well-known/openid-configuration" => json!({
                    "issuer": format!("http://{host}"),
                    "jwks_uri": format!("http://{host}/keys"),
                })
                .to_string(),
                _ => published.lock().expect("no panic").clone(),
            };
            respond(stream, "200 OK", &text)
        });
        Self { upstream, keys, fails }
    }

    fn publish(&self, key_set: &Value) {
        *self.keys.lock().expect("no panic") = key_set.to_string();
    }

    fn fetches(&self, line: &str) -> usize {
        self.upstream.requests().iter().filter(|request| request.line() == line).count()
    }
}

fn respond(stream: &mut TcpStream, status: &str, text: &str) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{text}", text.len())
}

fn remote(address: &str) -> Gateway {
    let config = authorizer(&format!("http://{address}/keys"));
    Project::with_config(&config).with_handler("probe", &fixture("probe")).serve()
}

#[test]
fn keys_are_fetched_once_and_again_for_new_names_but_not_for_made_up_ones() {
    let given: Value = ["old", "new", "late"]
        .iter()
        .map(|name| ((*name).to_owned(), json!({ "key": name, "claims": claims(json!({})) })))
        .chain((0..20).map(|index| {
            let claims = claims(json!({}));
            let token = json!({ "key": "old", "claims": claims, "headers": { "kid": format!("x{index}") } });
            (format!("x{index}"), token)
        }))
        .collect();
    let keys = json!({ "old": "ES256", "new": "ES256", "late": "ES256" });
    let name = "keys_are_fetched_once_and_again_for_new_names_but_not_for_made_up_ones";
    let Some(tokens) = Tokens::new(name, &keys, &given) else { return };
    let issuer = Issuer::new(&tokens.key_set(&["old"]));
    let gateway = remote(&issuer.upstream.address.to_string());
    assert_eq!(issuer.fetches("GET /keys"), 0);

    // Many at once share one fetch.
    std::thread::scope(|scope| {
        let call = || get(&gateway, "/me", tokens.get("old")).status;
        let calls: Vec<_> = (0..8).map(|_| scope.spawn(call)).collect();
        for call in calls {
            assert_eq!(call.join().expect("no panic"), 200);
        }
    });
    assert_eq!(issuer.fetches("GET /keys"), 1);

    // A new key is found by whoever uses it first.
    issuer.publish(&tokens.key_set(&["old", "new"]));
    assert_eq!(get(&gateway, "/me", tokens.get("new")).status, 200);
    assert_eq!(get(&gateway, "/me", tokens.get("old")).status, 200);
    assert_eq!(issuer.fetches("GET /keys"), 2);

    // Names that are made up are not worth a fetch each.
    let begun = Instant::now();
    for index in 0..20 {
        assert_eq!(get(&gateway, "/me", tokens.get(&format!("x{index}"))).status, 401);
    }
    let most = 3 + usize::try_from(begun.elapsed().as_secs() / 10).expect("a number");
    assert!(issuer.fetches("GET /keys") <= most, "{}", issuer.fetches("GET /keys"));

    // Nor do they keep a new key out for long. With one that is not published
    // any more go its tokens, remembered or not.
    assert_eq!(get(&gateway, "/me", tokens.get("old")).status, 200);
    issuer.publish(&tokens.key_set(&["new", "late"]));
    gateway.wait("the new key", || get(&gateway, "/me", tokens.get("late")).status == 200);
    assert_eq!(get(&gateway, "/me", tokens.get("old")).status, 401);
    assert_eq!(get(&gateway, "/me", tokens.get("new")).status, 200);

    // A reload asks nobody.
    let fetches = issuer.fetches("GET /keys");
    let config = authorizer(&format!("http://{}/keys", issuer.upstream.address));
    gateway.project.write_config(&format!("name = \"other\"\n{config}"));
    gateway.wait_for_log("reloaded: configuration");
    assert_eq!(get(&gateway, "/me", tokens.get("late")).status, 200);
    assert_eq!(issuer.fetches("GET /keys"), fetches);

    // An issuer that fails takes nothing away.
    issuer.fails.store(true, Ordering::SeqCst);
    gateway.wait("a failed fetch", || {
        assert_eq!(get(&gateway, "/me", tokens.get("x0")).status, 401);
        gateway.log().contains("those before stay in use")
    });
    assert_eq!(get(&gateway, "/me", tokens.get("late")).status, 200);
}

#[test]
fn an_issuer_says_where_its_keys_are() {
    let issuer = Issuer::new(&json!({}));
    let address = issuer.upstream.address;
    let own = format!("http://{address}");
    let given = json!({
        "own": { "key": "k", "claims": claims(json!({ "iss": own })) },
        "other": { "key": "k", "claims": claims(json!({})) },
    });
    let name = "an_issuer_says_where_its_keys_are";
    let Some(tokens) = Tokens::new(name, &json!({ "k": "RS256" }), &given) else { return };
    issuer.publish(&tokens.key_set(&["k"]));
    issuer.fails.store(true, Ordering::SeqCst);
    let config = format!(
        r#"
[authorizer.accounts]
type = "jwt"
issuer = "{own}"
audience = ["app"]

[[route]]
route = "GET /me"
authorizer = "accounts"
mock = {{ body = "me" }}

[[route]]
route = "GET /open"
mock = {{ body = "open" }}
"#
    );
    let gateway = Project::with_config(&config).serve();
    // Without keys nobody is let in, and the log says why.
    let answer = get(&gateway, "/me", tokens.get("own"));
    assert_eq!(answer.status, 401);
    assert_eq!(
        answer.header("www-authenticate"),
        Some(
            "Bearer scope=\"\" error=\"invalid_token\" error_description=\"OIDC discovery endpoint communication error\""
        )
    );
    gateway.wait_for_log("it answered 500 Internal Server Error; no token of theirs counts");
    assert_eq!(gateway.get("/open").text(), "open");
    // Not asked again for each request.
    let fetches = issuer.upstream.requests().len();
    let begun = Instant::now();
    for _ in 0..20 {
        assert_eq!(get(&gateway, "/me", tokens.get("own")).status, 401);
    }
    let most = fetches + usize::try_from(begun.elapsed().as_secs() / 5).expect("a number");
    assert!(issuer.upstream.requests().len() <= most);
    // It comes back by itself.
    issuer.fails.store(false, Ordering::SeqCst);
    gateway.wait("the issuer", || get(&gateway, "/me", tokens.get("own")).status == 200);
    assert_eq!(issuer.fetches("GET /keys"), 1);
    assert_eq!(get(&gateway, "/me", tokens.get("other")).status, 401);
}

#[test]
fn what_is_no_set_of_keys_is_not_believed() {
    let given = json!({ "t": { "key": "k", "claims": claims(json!({})) } });
    let name = "what_is_no_set_of_keys_is_not_believed";
    let Some(tokens) = Tokens::new(name, &json!({ "k": "RS256" }), &given) else { return };
    let padded = format!("{}{}", tokens.key_set(&["k"]), " ".repeat(150_000));
    for (text, why) in [
        (padded.as_str(), "cannot be read"),
        ("{\"keys\": 7}", "it has no list \"keys\""),
        ("<html>", "it is not JSON"),
    ] {
        let text = text.to_owned();
        let upstream = Upstream::new(move |_, stream| respond(stream, "200 OK", &text));
        let gateway = remote(&upstream.address.to_string());
        assert_eq!(get(&gateway, "/me", tokens.get("t")).status, 401, "{why}");
        gateway.wait_for_log(why);
    }
    // A redirect leads nowhere.
    let issuer = Issuer::new(&tokens.key_set(&["k"]));
    let target = issuer.upstream.address;
    let upstream = Upstream::new(move |_, stream| {
        let location = format!("location: http://{target}/keys");
        write!(stream, "HTTP/1.1 302 Found\r\n{location}\r\ncontent-length: 0\r\n\r\n")
    });
    let gateway = remote(&upstream.address.to_string());
    assert_eq!(get(&gateway, "/me", tokens.get("t")).status, 401);
    assert_eq!(issuer.upstream.requests().len(), 0);
}

//! User pools of this machine: commands, and authorizers of both kinds of API.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Output};

use mayfly_tests::{Answer, Gateway, Project, client, fixture, python};
use serde_json::{Value, json};

const PEOPLE: &str = r#"
[user_pool.people]
clients = ["app", "web"]
custom_attributes = ["team"]

[authorizer.people]
type = "cognito"
user_pool = "people"

[[route]]
route = "GET /me"
function = "probe"
authorizer = "people"

[[route]]
route = "GET /orders"
function = "probe"
authorizer = "people"
scopes = ["orders/read", "orders/all"]
"#;

fn project(config: &str) -> Project {
    Project::with_config(config).with_handler("probe", &fixture("probe"))
}

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// What a command prints that succeeds.
fn run(project: &Project, arguments: &[&str]) -> String {
    let (code, out, err) = said(&project.run(arguments));
    assert_eq!(code, Some(0), "{arguments:?}: {err}");
    out
}

/// A token; nothing else is on standard output.
fn token(project: &Project, arguments: &[&str]) -> String {
    let all: Vec<&str> = ["token"].iter().chain(arguments).copied().collect();
    let out = run(project, &all);
    let token = out.strip_suffix('\n').expect("a line").to_owned();
    assert_eq!(token.split('.').count(), 3, "{out}");
    token
}

fn get(gateway: &Gateway, path: &str, token: &str) -> Answer {
    gateway.get_as(path, &format!("Bearer {token}"))
}

#[test]
fn users_are_added_listed_and_removed() {
    let project = project(PEOPLE);
    let added = run(
        &project,
        &[
            "users",
            "add",
            "ada",
            "--pool",
            "people",
            "--attribute",
            "email=ada@example.com",
            "--attribute",
            "custom:team=core",
            "--group",
            "admins",
            "--group",
            "staff",
        ],
    );
    let sub = added.strip_prefix("ada ").expect("the name").trim().to_owned();
    run(&project, &["users", "add", "bob"]);
    let listed = run(&project, &["users", "list"]);
    let first = format!(
        "ada {sub} groups=admins,staff custom:team=\"core\" email=\"ada@example.com\"\nbob "
    );
    assert!(listed.starts_with(&first), "{listed}");
    run(&project, &["users", "remove", "bob"]);
    assert_eq!(run(&project, &["users", "list"]).lines().count(), 1);

    for (arguments, why) in [
        (&["users", "add", "ada"][..], "there is a user \"ada\" already"),
        (&["users", "add", "a b"], "a user cannot be named \"a b\""),
        (&["users", "add", "eve", "--attribute", "shoe=43"], "there is no attribute \"shoe\""),
        (
            &["users", "add", "eve", "--attribute", "custom:size=1"],
            "custom_attributes = [\"size\"]",
        ),
        (&["users", "add", "eve", "--attribute", "name=a", "--attribute", "name=b"], "given twice"),
        (&["users", "remove", "bob"], "there is no user \"bob\""),
        (&["users", "list", "--pool", "other"], "the pools are people"),
        (&["token", "bob"], "there is no user \"bob\""),
        (&["token", "ada", "--client", "other"], "the clients are app, web"),
        (&["token", "ada", "--scope", "a b"], "is no scope"),
    ] {
        let (code, out, err) = said(&project.run(arguments));
        assert_eq!((code, out.as_str()), (Some(1), ""), "{arguments:?}: {err}");
        assert!(err.contains(why), "{arguments:?}: {err}");
    }
    for arguments in [
        &["token", "ada", "--expires-in", "25h"][..],
        &["token", "ada", "--expires-in", "0"],
        &["token", "ada", "--id", "--access"],
        &["token", "ada", "--id", "--scope", "a"],
        &["users", "add", "eve", "--attribute", "email"],
    ] {
        let (code, out, err) = said(&project.run(arguments));
        assert_eq!((code, out.as_str()), (Some(2), ""), "{arguments:?}: {err}");
    }
    project.write_config("name = \"empty\"\n");
    let (code, _, err) = said(&project.run(&["token", "ada"]));
    assert_eq!(code, Some(1));
    assert!(err.contains("write [user_pool.people]"), "{err}");
}

#[test]
fn a_rest_api_s_user_pool_takes_id_tokens_or_scopes() {
    let project = project(&format!("kind = \"rest\"\n{PEOPLE}"));
    run(
        &project,
        &[
            "users",
            "add",
            "ada",
            "--group",
            "admins",
            "--group",
            "staff",
            "--attribute",
            "email_verified=true",
        ],
    );
    let id = token(&project, &["ada"]);
    let web = token(&project, &["ada", "--id", "--client", "web", "--expires-in", "5m"]);
    let access = token(&project, &["ada", "--access"]);
    let read = token(&project, &["ada", "--scope", "orders/read", "--scope", "x"]);
    let expired = token(&project, &["ada", "--expires-in", "1s"]);
    let gateway = project.serve();
    for (path, token, status) in [
        ("/me", &id, 200),
        ("/me", &web, 200),
        ("/me", &access, 401),
        ("/me", &read, 401),
        ("/orders", &read, 200),
        ("/orders", &access, 403),
        ("/orders", &id, 401),
    ] {
        let answer = get(&gateway, path, token);
        assert_eq!(answer.status, status, "{path} {}", answer.text());
        if status != 200 {
            let word = if status == 401 { "Unauthorized" } else { "Forbidden" };
            assert_eq!(answer.json(), json!({ "message": word }));
        }
    }
    assert_eq!(gateway.get("/me").json(), json!({ "message": "Unauthorized" }));
    gateway.wait("the end of the token", || {
        get(&gateway, "/me", &expired).json()
            == json!({ "message": "The incoming token has expired" })
    });

    // One that was good is remembered, and over all the same.
    let short = token(&gateway.project, &["ada", "--expires-in", "8s"]);
    for _ in 0..2 {
        assert_eq!(get(&gateway, "/me", &short).status, 200);
    }
    gateway.wait("the end of the other token", || {
        let answer = get(&gateway, "/me", &short);
        assert!(matches!(answer.status, 200 | 401), "{}", answer.status);
        answer.status == 401
    });

    let event = get(&gateway, "/me", &id).json();
    let claims = &event["requestContext"]["authorizer"]["claims"];
    for (name, value) in [
        ("token_use", "id"),
        ("aud", "app"),
        ("cognito:username", "ada"),
        ("cognito:groups", "admins,staff"),
        ("email_verified", "true"),
        ("iss", "http://127.0.0.1:3001/people"),
    ] {
        assert_eq!(claims[name], value, "{claims}");
    }
    // `Sat Nov 21 16:26:45 UTC 2026`
    for name in ["exp", "iat"] {
        let words: Vec<&str> = claims[name].as_str().expect("text").split(' ').collect();
        assert_eq!((words.len(), words[4]), (6, "UTC"), "{claims}");
    }
    let auth_time: Result<u64, _> = claims["auth_time"].as_str().expect("text").parse();
    assert!(auth_time.is_ok(), "{claims}");
    let event = get(&gateway, "/orders", &read).json();
    let claims = &event["requestContext"]["authorizer"]["claims"];
    assert_eq!((&claims["scope"], &claims["username"]), (&json!("orders/read x"), &json!("ada")));
    assert_eq!(claims["client_id"], "app");

    // A token outlives its user, and its client does not.
    run(&gateway.project, &["users", "remove", "ada"]);
    assert_eq!(get(&gateway, "/me", &web).status, 200);
    let config = format!("kind = \"rest\"\n{PEOPLE}").replace("\"app\", \"web\"", "\"app\"");
    gateway.project.write_config(&config);
    gateway.wait("the reload", || get(&gateway, "/me", &web).status == 401);
    assert_eq!(get(&gateway, "/me", &id).status, 200);
}

/// It has no policy of its own that could allow what the API's says nothing about.
#[test]
fn a_good_token_still_needs_the_resource_policy() {
    let statement = |effect: &str, resource: &str| {
        format!(
            r#"{{ "Effect": "{effect}", "Principal": "*", "Action": "execute-api:Invoke", "Resource": "{resource}" }}"#
        )
    };
    let statements = [
        statement("Allow", "execute-api:/*/GET/me"),
        statement("Deny", "execute-api:/*/GET/forbidden"),
    ];
    let route = |path: &str, authorizer: &str| {
        format!(
            "[[route]]\nroute = \"GET {path}\"\nmock = {{ body = \"ok\" }}\nauthorizer = \"{authorizer}\"\n"
        )
    };
    let routes =
        [route("/silent", "people"), route("/forbidden", "people"), route("/silent/jwt", "tokens")];
    let config = format!(
        "kind = \"rest\"\npolicy = '''{{ \"Statement\": [{}] }}'''\n{PEOPLE}\n[authorizer.tokens]\ntype = \"jwt\"\nuser_pool = \"people\"\n{}",
        statements.join(", "),
        routes.join("")
    );
    let project = project(&config);
    run(&project, &["users", "add", "ada"]);
    let token = token(&project, &["ada"]);
    let gateway = project.serve();
    assert_eq!(get(&gateway, "/me", &token).status, 200);
    for (path, suffix) in
        [("/silent", ""), ("/silent/jwt", ""), ("/forbidden", " with an explicit deny")]
    {
        let denied = get(&gateway, path, &token);
        assert_eq!(denied.status, 403, "{path}: {}", denied.text());
        assert!(denied.text().ends_with(&format!("/GET{path}{suffix}\"}}")), "{}", denied.text());
    }
    // Who has no token is told so first.
    assert_eq!(gateway.get("/silent").status, 401);
}

#[test]
fn an_http_api_takes_the_tokens_of_a_pool_too() {
    let jwt = r#"
[authorizer.tokens]
type = "jwt"
user_pool = "people"
audience = ["web"]

[[route]]
route = "GET /web"
function = "probe"
authorizer = "tokens"

[authorizer.matched]
type = "cognito"
user_pool = "people"
identity = ["header.x-token"]
identity_validation = "w.b"

[[route]]
route = "GET /matched"
function = "probe"
authorizer = "matched"
"#;
    let project = project(&format!("{PEOPLE}{jwt}"));
    run(&project, &["users", "add", "ada", "--group", "admins"]);
    let id = token(&project, &["ada"]);
    let web = token(&project, &["ada", "--client", "web"]);
    let access = token(&project, &["ada", "--client", "web", "--access"]);
    let gateway = project.serve();
    let event = get(&gateway, "/me", &id).json();
    let claims = &event["requestContext"]["authorizer"]["jwt"]["claims"];
    assert_eq!(claims["cognito:groups"], "[admins]");
    // A JWT authorizer does not ask for what a token is used.
    for (token, status) in [(&id, 401), (&web, 200), (&access, 200)] {
        assert_eq!(get(&gateway, "/web", token).status, status);
    }
    let matched = |token: &str| {
        Answer::of(gateway.request("GET", "/matched").header("x-token", token)).status
    };
    assert_eq!((matched(&id), matched(&web), matched(&access)), (401, 200, 401));
    assert_eq!(get(&gateway, "/matched", &web).status, 401);
}

#[test]
fn other_programs_verify_a_pool_s_tokens() {
    let project = project(PEOPLE);
    run(&project, &["users", "add", "ada"]);
    let id = token(&project, &["ada"]);
    let key = project.path().join(".mayfly/user-pools/people/key.pem");
    assert_eq!(fs::metadata(&key).expect("a key").permissions().mode() & 0o777, 0o600);
    let gateway = project.serve();
    let admin = |method: &str, path: &str| {
        let url = format!("http://{}{path}", gateway.admin);
        Answer::of(client().request(method.parse().expect("a method"), url))
    };
    let published = admin("GET", "/people/.well-known/jwks.json");
    assert_eq!(published.status, 200);
    let key_set = published.json();
    let members: Vec<&String> = key_set["keys"][0].as_object().expect("a key").keys().collect();
    assert_eq!(members, ["alg", "e", "kid", "kty", "n", "use"]);
    let discovery = admin("GET", "/people/.well-known/openid-configuration").json();
    assert_eq!(discovery["issuer"], "http://127.0.0.1:3001/people");
    assert_eq!(discovery["jwks_uri"], "http://127.0.0.1:3001/people/.well-known/jwks.json");
    for (method, path, status) in [
        ("POST", "/people/.well-known/jwks.json", 405),
        ("GET", "/people/.well-known/key.pem", 404),
        ("GET", "/other/.well-known/jwks.json", 404),
        ("GET", "/../people/.well-known/jwks.json", 200),
    ] {
        assert_eq!(admin(method, path).status, status, "{method} {path}");
    }
    // The key stays, whoever starts when.
    assert_eq!(get(&gateway, "/me", &token(&gateway.project, &["ada"])).status, 200);

    let script = r#"
import json, sys, jwt
given = json.load(sys.stdin)
key = jwt.PyJWKSet.from_dict(given["keys"])[jwt.get_unverified_header(given["token"])["kid"]]
json.dump(jwt.decode(given["token"], key, algorithms=["RS256"], audience="app", issuer=given["issuer"]), sys.stdout)
"#;
    let input = json!({ "keys": key_set, "token": id, "issuer": discovery["issuer"] });
    let name = "other_programs_verify_a_pool_s_tokens";
    let Some(claims) = python::run(name, script, &input) else { return };
    assert_eq!((&claims["cognito:username"], &claims["token_use"]), (&json!("ada"), &json!("id")));
    let seconds = |name: &str| claims[name].as_i64().expect("a number");
    assert_eq!(seconds("exp") - seconds("iat"), 3600);
    assert!(claims["jti"].is_string() && claims["sub"].is_string());
}

#[test]
fn a_definition_s_security_is_enforced() {
    let uri = "arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/arn:aws:lambda:eu-west-1:1:function:auth/invocations";
    let definition = format!(
        r#"
openapi: 3.0.1
security: [{{ pool: [] }}]
paths:
  /me: {{ get: &mock {{ responses: {{ 200: {{ content: {{ text/plain: {{ example: you }} }} }} }} }} }}
  /orders: {{ get: {{ <<: *mock, security: [{{ pool: [orders/read] }}] }} }}
  /lambda: {{ get: {{ <<: *mock, security: [{{ lambda: [] }}] }} }}
  /open: {{ get: {{ <<: *mock, security: [] }} }}
  /left: {{ get: {{ <<: *mock, security: [{{ real: [] }}] }} }}
components:
  securitySchemes:
    pool:
      type: apiKey
      in: header
      name: Authorization
      x-amazon-apigateway-authtype: cognito_user_pools
      x-amazon-apigateway-authorizer:
        type: cognito_user_pools
        providerARNs: ['arn:aws:cognito-idp:eu-west-1:1:userpool/eu-west-1_Ab']
    real:
      type: apiKey
      in: header
      name: Authorization
      x-amazon-apigateway-authorizer:
        type: cognito_user_pools
        providerARNs: ['arn:aws:cognito-idp:eu-west-1:1:userpool/eu-west-1_Cd']
    lambda:
      type: apiKey
      in: header
      name: X-Token
      x-amazon-apigateway-authtype: custom
      x-amazon-apigateway-authorizer: {{ type: token, authorizerUri: '{uri}', authorizerResultTtlInSeconds: 0 }}
"#
    );
    let pool = "openapi = \"api.yaml\"\n\n[user_pool.eu-west-1_Ab]\nclients = [\"app\"]\n";
    let project = Project::with_config(pool).with_handler("auth", &fixture("authorizer"));
    fs::write(project.path().join("api.yaml"), definition).expect("written");
    run(&project, &["users", "add", "ada"]);
    let id = token(&project, &["ada"]);
    let read = token(&project, &["ada", "--scope", "orders/read"]);
    let gateway = project.serve();
    for (path, token, status) in [
        ("/me", &id, 200),
        ("/me", &read, 401),
        ("/orders", &read, 200),
        ("/orders", &id, 401),
        ("/open", &id, 200),
        ("/left", &id, 403),
    ] {
        assert_eq!(get(&gateway, path, token).status, status, "{path}");
    }
    let without: Vec<u16> = ["/me", "/orders", "/lambda", "/open", "/left"]
        .iter()
        .map(|path| gateway.get(path).status)
        .collect();
    assert_eq!(without, [401, 401, 401, 200, 403]);
    let lambda =
        |token: &str| Answer::of(gateway.request("GET", "/lambda").header("x-token", token)).status;
    assert_eq!((lambda("allow"), lambda("deny")), (200, 403));
    gateway.wait_for_log(
        "GET /left is left out: its security \"real\" needs the user pool \"eu-west-1_Cd\"",
    );

    // The pool may be elsewhere, and gateway.toml says where.
    let own =
        format!("{pool}\n[authorizer.real]\ntype = \"cognito\"\nuser_pool = \"eu-west-1_Ab\"\n");
    gateway.project.write_config(&own);
    gateway.wait("the reload", || get(&gateway, "/left", &id).status == 200);
    assert_eq!(gateway.get("/left").status, 401);
    let _: Value = gateway.health();
}

#[test]
fn an_authorizer_s_function_has_to_be_there() {
    let definition = r"
openapi: 3.0.1
paths:
  /a: { get: { security: [{ lambda: [] }] } }
components:
  securitySchemes:
    lambda: { type: apiKey, in: header, name: A, x-amazon-apigateway-authorizer: { type: token, authorizerUri: 'arn:aws:lambda:r:1:function:missing' } }
";
    let project = Project::with_config("openapi = \"api.yaml\"\n");
    fs::write(project.path().join("api.yaml"), definition).expect("written");
    let (code, _, err) = said(&project.run(&["check"]));
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("names the function \"missing\""), "{err}");
}

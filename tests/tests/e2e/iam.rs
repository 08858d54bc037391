//! IAM authorization: requests that botocore and curl sign, and what becomes
//! of them.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    process::Command,
};

use mayfly_tests::{Answer, Gateway, Project, client, fixture, python, skip, upstream::Upstream};
use reqwest::blocking::RequestBuilder;
use serde_json::{Value, json};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const TOKEN: &str = "IQoJb3JpZ2luX2VjEXAMPLETOKEN==";

/// Signs each of the cases, and sends it unless it says otherwise.
const BOTOCORE: &str = r#"
import datetime, json, sys
import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.httpsession import URLLib3Session

def text(value):
    return value.decode() if isinstance(value, bytes) else str(value)

def run(case):
    now = datetime.datetime.now(datetime.timezone.utc)
    now += datetime.timedelta(seconds=case.get("seconds", 0))
    botocore.auth.get_current_datetime = lambda *_: now
    body = bytes.fromhex(case["hex"]) if "hex" in case else case.get("body", "").encode()
    request = AWSRequest(case.get("method", "GET"), case["url"], case.get("headers", {}), body)
    credentials = Credentials(*case["credentials"])
    scope = (case.get("service", "execute-api"), case.get("region", "us-east-1"))
    if "expires" in case:
        botocore.auth.SigV4QueryAuth(credentials, *scope, case["expires"]).add_auth(request)
    else:
        botocore.auth.SigV4Auth(credentials, *scope).add_auth(request)
    prepared = request.prepare()
    if case.get("sign_only"):
        headers = [[name, text(value)] for name, value in prepared.headers.items()]
        return {"url": prepared.url, "headers": headers}
    answer = URLLib3Session().send(prepared)
    headers = {name.lower(): text(value) for name, value in answer.headers.items()}
    return {"status": answer.status_code, "headers": headers, "body": answer.content.decode()}

print(json.dumps([run(case) for case in json.load(sys.stdin)]))
"#;

/// Runs cases, whose `path` is the gateway's and whose signer is Ada unless
/// they say otherwise.
fn botocore(name: &str, gateway: &Gateway, cases: &[Value]) -> Option<Vec<Value>> {
    let case = |case: &Value| {
        let mut case = case.clone();
        let path = case["path"].as_str().expect("a path").to_owned();
        case["url"] = format!("http://{}{path}", gateway.address).into();
        if case["credentials"].is_null() {
            case["credentials"] = json!(["AKIDADA", SECRET]);
        }
        case
    };
    let cases: Vec<Value> = cases.iter().map(case).collect();
    let answers = python::run(&format!("iam::{name}"), BOTOCORE, &cases.into())?;
    Some(answers.as_array().expect("a list").clone())
}

/// A request that botocore signed, to be changed and sent by another client.
fn signed(name: &str, gateway: &Gateway, case: &Value) -> Option<Value> {
    let mut case = case.clone();
    case["sign_only"] = true.into();
    botocore(name, gateway, &[case])?.pop()
}

fn header<'s>(signed: &'s Value, name: &str) -> &'s str {
    let mut headers = signed["headers"].as_array().expect("a list").iter();
    let found =
        headers.find(|pair| pair[0].as_str().is_some_and(|own| own.eq_ignore_ascii_case(name)));
    found.and_then(|pair| pair[1].as_str()).expect("a header")
}

/// The request as it was signed, but for its body.
fn request(method: &str, signed: &Value) -> RequestBuilder {
    resigned(method, signed["url"].as_str().expect("a URL"), signed)
}

/// Another request with the same signature.
fn resigned(method: &str, url: &str, signed: &Value) -> RequestBuilder {
    let request = client().request(method.parse().expect("a method"), url);
    signed["headers"].as_array().expect("a list").iter().fold(request, |request, pair| {
        let (name, value) = (pair[0].as_str().unwrap(), pair[1].as_str().unwrap());
        // The client counts itself.
        if name.eq_ignore_ascii_case("content-length") {
            request
        } else {
            request.header(name, value)
        }
    })
}

fn credential(name: &str, policy: &str) -> String {
    let key = name.to_uppercase();
    format!(
        "[[credential]]\nname = \"{name}\"\naccess_key_id = \"AKID{key}\"\nsecret_access_key = \"{SECRET}\"\n{policy}\n"
    )
}

fn allowing(resource: &str) -> String {
    statements(&[("Allow", resource)])
}

fn statements(effects: &[(&str, &str)]) -> String {
    let statement = |(effect, resource): &(&str, &str)| json!({ "Effect": effect, "Action": "execute-api:Invoke", "Resource": resource });
    let statements: Vec<Value> = effects.iter().map(statement).collect();
    format!("policy = '{}'", json!({ "Version": "2012-10-17", "Statement": statements }))
}

/// An API whose every path is Ada's, echoed by a function.
fn echo(kind: &str, more: &str) -> Gateway {
    let config = format!(
        r#"
kind = "{kind}"
stage = "test"
{more}

[stages.test]

[authorizer.aws]
type = "iam"

[[route]]
route = "ANY /{{proxy+}}"
function = "probe"
authorizer = "aws"

[[route]]
route = "ANY /"
function = "probe"
authorizer = "aws"

{}
"#,
        credential("ada", &allowing("*"))
    );
    Project::with_config(&config).with_handler("probe", &fixture("probe")).serve()
}

#[test]
fn botocore_signs_what_it_likes() {
    let gateway = echo("rest", "");
    let cases = [
        json!({ "path": "/" }),
        json!({ "path": "/pets/1?b=2&a=1&a=0&empty=" }),
        json!({ "path": "/pets/a%20b/c%2Fd%3F/~_.-/e%25/%C3%BC" }),
        json!({ "path": "/a@b:c+d,e=f!(g)*" }),
        json!({ "path": "/pets/", "region": "eu-west-1" }),
        json!({ "path": "/q?space=a%20b&slash=%2F&plus=%2B&amp=%26&utf8=%C3%BC&tilde=~" }),
        json!({ "path": "/pets", "method": "POST", "body": "{\"name\": \"Grüße\"}", "headers": { "Content-Type": "application/json", "X-Mine": "  a   b  " } }),
        json!({ "path": "/pets", "method": "PUT", "hex": "00ff0010", "headers": { "X-Amz-Meta": "1,2" } }),
        json!({ "path": "/form", "method": "POST", "body": "a=1&b=2", "headers": { "Content-Type": "application/x-www-form-urlencoded" } }),
        json!({ "path": "/pets", "method": "DELETE" }),
        json!({ "path": "/pets?view=all&q=a%20b", "expires": 60 }),
        json!({ "path": "/pets/%2F", "expires": 604_800, "seconds": -604_000 }),
        json!({ "path": "/late", "seconds": -250 }),
        json!({ "path": "/early", "seconds": 250 }),
    ];
    let Some(answers) = botocore("botocore_signs_what_it_likes", &gateway, &cases) else { return };
    for (case, answer) in cases.iter().zip(&answers) {
        assert_eq!(answer["status"], 200, "{case}: {answer}");
    }
    let event: Value = serde_json::from_str(answers[6]["body"].as_str().unwrap()).unwrap();
    assert_eq!(event["body"], "{\"name\": \"Grüße\"}");
    let identity = &event["requestContext"]["identity"];
    let user = identity["user"].as_str().unwrap();
    assert!(user.len() == 21 && user.starts_with("AIDA"), "{user}");
    for (name, value) in [
        ("accessKey", json!("AKIDADA")),
        ("accountId", json!("000000000000")),
        ("caller", json!(user)),
        ("userArn", json!("arn:aws:iam::000000000000:user/ada")),
        ("cognitoIdentityId", Value::Null),
        ("principalOrgId", Value::Null),
    ] {
        assert_eq!(identity[name], value, "{name}: {event}");
    }
    assert_eq!(event["requestContext"].get("authorizer"), None, "{event}");
}

#[test]
fn an_http_api_tells_users_in_its_own_form_and_strangers_nothing() {
    let name = "an_http_api_tells_users_in_its_own_form_and_strangers_nothing";
    let gateway = echo("http", "");
    let cases = [
        json!({ "path": "/pets", "method": "POST", "body": "hi" }),
        json!({ "path": "/pets?a=1", "expires": 60 }),
        json!({ "path": "/pets", "credentials": ["AKIDEVE", SECRET] }),
        json!({ "path": "/pets", "credentials": ["AKIDADA", "wrong"] }),
        json!({ "path": "/pets", "seconds": -400 }),
        json!({ "path": "/pets", "service": "s3" }),
    ];
    let Some(answers) = botocore(name, &gateway, &cases) else { return };
    let event: Value = serde_json::from_str(answers[0]["body"].as_str().unwrap()).unwrap();
    let iam = &event["requestContext"]["authorizer"]["iam"];
    let expected = json!({
        "accessKey": "AKIDADA",
        "accountId": "000000000000",
        "callerId": iam["userId"],
        "cognitoIdentity": null,
        "principalOrgId": null,
        "userArn": "arn:aws:iam::000000000000:user/ada",
        "userId": iam["userId"],
    });
    assert_eq!(*iam, expected);
    assert!(iam["userId"].as_str().is_some_and(|id| id.starts_with("AIDA")), "{event}");
    assert_eq!(answers[1]["status"], 200);
    let mut refused: Vec<(u64, String)> = answers[2..]
        .iter()
        .map(|answer| {
            (answer["status"].as_u64().unwrap(), answer["body"].as_str().unwrap().to_owned())
        })
        .collect();
    let absent = gateway.get("/pets");
    refused.push((absent.status.into(), absent.text()));
    for (status, body) in refused {
        assert_eq!((status, body.as_str()), (403, "{\"message\":\"Forbidden\"}"));
    }
}

fn refusal(answer: &Answer) -> (u16, String, String) {
    let exception = answer.header("x-amzn-errortype").unwrap_or_default().to_owned();
    let body = answer.json();
    let message = body["message"].as_str().or(body["Message"].as_str()).unwrap_or_default();
    (answer.status, exception, message.to_owned())
}

const MISMATCH: &str = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.\n\nThe Canonical String for this request should have been\n'";

#[test]
fn whatever_is_tampered_with_is_refused() {
    let name = "whatever_is_tampered_with_is_refused";
    let gateway = echo("rest", "");
    let case = json!({ "path": "/pets/1?a=1&b=2", "method": "POST", "body": "body", "headers": { "X-Mine": "1" } });
    let Some(own) = signed(name, &gateway, &case) else { return };
    assert_eq!(Answer::of(request("POST", &own).body("body")).status, 200);
    let base = format!("http://{}", gateway.address);
    let at = |path: &str| resigned("POST", &format!("{base}{path}"), &own).body("body");
    let with = |name: &'static str, value: &str| {
        let mut headers = reqwest::header::HeaderMap::new();
        headers.insert(name, value.parse().expect("a value"));
        request("POST", &own).body("body").headers(headers)
    };
    let signature = header(&own, "authorization");
    let last = signature.chars().last().unwrap();
    let other = format!("{}{}", &signature[..signature.len() - 1], if last == '0' { 1 } else { 0 });
    let date = header(&own, "x-amz-date");
    let second = if date.ends_with("0Z") { "1Z" } else { "0Z" };
    let later = format!("{}{second}", &date[..date.len() - 2]);
    let changed = [
        ("method", request("PUT", &own).body("body")),
        ("path", at("/pets/2?a=1&b=2")),
        ("replayed path", at("/admin?a=1&b=2")),
        ("slash", at("/pets/1/?a=1&b=2")),
        ("encoded slash", at("/pets%2F1?a=1&b=2")),
        ("query", at("/pets/1?a=1&b=3")),
        ("query, more", at("/pets/1?a=1&b=2&c")),
        ("query, less", at("/pets/1?a=1")),
        ("header", with("x-mine", "2")),
        ("header, twice", request("POST", &own).body("body").header("x-mine", "2")),
        ("host", with("host", "example.com")),
        ("date", with("x-amz-date", &later)),
        ("body", request("POST", &own).body("bodY")),
        ("no body", request("POST", &own)),
        ("signature", with("authorization", &other)),
        ("region", with("authorization", &signature.replace("us-east-1", "us-east-2"))),
    ];
    for (what, request) in changed {
        let (status, exception, message) = refusal(&Answer::of(request));
        assert_eq!((status, exception.as_str()), (403, "InvalidSignatureException"), "{what}");
        assert!(message.starts_with(MISMATCH), "{what}: {message}");
        assert!(!message.contains(SECRET), "{what}: {message}");
    }
    // The same in other words is still the same.
    assert_eq!(Answer::of(at("/pets/1?b=2&a=%31")).status, 200);
    let message = refusal(&Answer::of(request("POST", &own).body("bodY"))).2;
    let expected = format!(
        "'POST\n/pets/1\na=1&b=2\nhost:{}\nx-amz-date:{date}\nx-mine:1\n\nhost;x-amz-date;x-mine\n",
        gateway.address
    );
    assert!(message.contains(&expected), "{message}");
    assert!(message.contains("The String-to-Sign should have been\n'AWS4-HMAC-SHA256\n"));
}

#[test]
fn a_presigned_request_is_as_it_was_signed() {
    let name = "a_presigned_request_is_as_it_was_signed";
    let gateway = echo("rest", "");
    let case = json!({ "path": "/pets?a=1", "expires": 60 });
    let Some(own) = signed(name, &gateway, &case) else { return };
    let url = own["url"].as_str().unwrap();
    assert_eq!(Answer::of(client().get(url)).status, 200);
    for (what, url) in [
        ("path", url.replace("/pets", "/admin")),
        ("query", url.replace("a=1", "a=2")),
        ("longer", url.replace("X-Amz-Expires=60", "X-Amz-Expires=61")),
    ] {
        let (status, _, message) = refusal(&Answer::of(client().get(&url)));
        assert!(status == 403 && message.starts_with(MISMATCH), "{what}: {message}");
    }
    let posted = refusal(&Answer::of(client().post(url)));
    assert!(posted.2.starts_with(MISMATCH), "{posted:?}");
    // Nothing is signed without its body.
    let with_body = refusal(&Answer::of(client().get(url).body("body")));
    assert!(with_body.2.starts_with(MISMATCH), "{with_body:?}");
    for (what, url, expected) in [
        (
            "bounds",
            url.replace("X-Amz-Expires=60", "X-Amz-Expires=604801"),
            "X-Amz-Expires must be",
        ),
        ("twice", format!("{url}&X-Amz-Signature=0"), "'X-Amz-Signature' may be there once"),
        ("partly", url.replace("X-Amz-Date", "X-Date"), "must include 'X-Amz-Date'"),
    ] {
        let (status, exception, message) = refusal(&Answer::of(client().get(&url)));
        assert_eq!((status, exception.as_str()), (403, "IncompleteSignatureException"), "{what}");
        assert!(message.contains(expected), "{what}: {message}");
    }
    let both = client().get(url).header("authorization", "AWS4-HMAC-SHA256 Credential=x");
    let both = refusal(&Answer::of(both));
    assert!(both.2.starts_with("Only one auth mechanism allowed"), "{both:?}");
}

#[test]
fn a_signature_holds_for_a_while() {
    let name = "a_signature_holds_for_a_while";
    let types = "[gateway_responses.INVALID_SIGNATURE]\nheaders = { x-type = \"context.error.responseType\" }";
    let gateway = echo("rest", types);
    let cases = [
        json!({ "path": "/pets", "seconds": -310 }),
        json!({ "path": "/pets", "seconds": 310 }),
        json!({ "path": "/pets", "seconds": -70, "expires": 60 }),
        json!({ "path": "/pets", "seconds": 310, "expires": 6000 }),
    ];
    let Some(answers) = botocore(name, &gateway, &cases) else { return };
    let words = [
        ("Signature expired: 20", " is now earlier than 20", "Z - 5 min.)"),
        ("Signature not yet current: 20", " is still later than 20", "Z + 5 min.)"),
        ("Signature expired: 20", " is now earlier than 20", "Z - 1 min.)"),
        ("Signature not yet current: 20", " is still later than 20", "Z + 5 min.)"),
    ];
    for (answer, (begin, middle, end)) in answers.iter().zip(words) {
        assert_eq!(answer["status"], 403, "{answer}");
        assert_eq!(answer["headers"]["x-amzn-errortype"], "InvalidSignatureException");
        assert_eq!(answer["headers"]["x-type"], "INVALID_SIGNATURE");
        let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        let message = body["message"].as_str().unwrap();
        let fits = message.starts_with(begin) && message.contains(middle) && message.ends_with(end);
        assert!(fits, "{message}");
    }
}

#[test]
fn what_is_absent_or_malformed_is_named() {
    let types = "[gateway_responses.MISSING_AUTHENTICATION_TOKEN]\nheaders = { x-type = \"context.error.responseType\" }";
    let gateway = echo("rest", &format!("{types}\n[limits]\nbody_bytes_max = 1000"));
    let absent = gateway.get("/pets");
    assert_eq!(absent.header("x-type"), Some("MISSING_AUTHENTICATION_TOKEN"));
    let missing = ("MissingAuthenticationTokenException", "Missing Authentication Token");
    let (status, exception, message) = refusal(&absent);
    assert_eq!((status, exception.as_str(), message.as_str()), (403, missing.0, missing.1));
    let scope = "AKIDADA/20260101/us-east-1/execute-api/aws4_request";
    let whole = format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=00");
    let get = |authorization: &str| {
        let request = gateway.request("GET", "/pets").header("authorization", authorization);
        request.header("x-amz-date", "20260101T000000Z")
    };
    for (request, exception, expected) in [
        (
            get("Bearer s3cret-of-mine"),
            "IncompleteSignatureException",
            "Invalid key=value pair (missing equal-sign) in Authorization header (hashed with SHA-256 and encoded with Base64): '",
        ),
        (
            get("s3cret-of-mine"),
            "IncompleteSignatureException",
            "Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter. (Hashed with SHA-256 and encoded with Base64) Authorization=",
        ),
        (
            gateway.request("GET", "/pets").header("authorization", &whole),
            "IncompleteSignatureException",
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.",
        ),
        (
            get(&whole).header("authorization", &whole),
            "IncompleteSignatureException",
            "The header 'authorization' may be there once.",
        ),
        (
            get(&whole).header("x-amz-date", "20260101T000000Z"),
            "IncompleteSignatureException",
            "The header 'x-amz-date' may be there once.",
        ),
        (
            get(&whole.replace("execute-api", "s3")),
            "InvalidSignatureException",
            "Credential should be scoped to correct service: 'execute-api'. ",
        ),
        (
            get(&whole.replace("=host", "=x-amz-date")),
            "InvalidSignatureException",
            "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization. ",
        ),
        (
            get(&whole.replace("AKIDADA", "AKIDEVE")),
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
        ),
        (
            get(&whole).header("x-amz-security-token", TOKEN),
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
        ),
        (
            get(&whole),
            "InvalidSignatureException",
            "Signature expired: 20260101T000000Z is now earlier than ",
        ),
        (
            get(&whole).header("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
            "InvalidSignatureException",
            "The provided 'x-amz-content-sha256' does not match what was computed",
        ),
    ] {
        let (status, own, message) = refusal(&Answer::of(request));
        assert_eq!((status, own.as_str()), (403, exception), "{message}");
        assert!(message.starts_with(expected), "{expected}: {message}");
        assert!(!message.contains("s3cret"), "{message}");
    }
    // Too much is refused before anything is computed of it.
    let long = format!("{whole}, Junk={}", "x".repeat(20_000));
    assert_eq!(Answer::of(get(&long)).status, 431);
    assert_eq!(Answer::of(get(&whole).body("x".repeat(1001))).status, 413);
    assert!(!gateway.log().contains("s3cret"), "{}", gateway.log());
    gateway.wait_for_log("no credential has the access key \"AKIDEVE\"");
}

/// What a signature says nothing of is no way around it.
#[test]
fn a_path_is_signed_as_it_is_routed() {
    let name = "a_path_is_signed_as_it_is_routed";
    let gateway = echo("rest", "");
    let Some(own) = signed(name, &gateway, &json!({ "path": "/pets" })) else { return };
    for path in ["//pets", "/x/../pets", "/./pets", "/pets//"] {
        let mut stream = TcpStream::connect(&gateway.address).unwrap();
        let mut head =
            format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", gateway.address);
        for name in ["authorization", "x-amz-date"] {
            head.push_str(&format!("{name}: {}\r\n", header(&own, name)));
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 403 "), "{path}: {answer}");
        let is_refused = answer.contains("of which a signature says nothing")
            || answer.contains("The request signature we calculated does not match");
        assert!(is_refused, "{path}: {answer}");
    }
    assert_eq!(Answer::of(request("GET", &own)).status, 200);
}

#[test]
fn temporary_credentials_have_a_token_and_an_end() {
    let name = "temporary_credentials_have_a_token_and_an_end";
    let config = format!(
        r#"
kind = "rest"

[gateway_responses.EXPIRED_TOKEN]
status = 401

[authorizer.aws]
type = "iam"

[[route]]
route = "GET /pets"
authorizer = "aws"
mock = {{ body = "hi" }}

[[credential]]
name = "ada"
access_key_id = "ASIAADA"
secret_access_key_env = "ADA_SECRET"
session_token_env = "ADA_TOKEN"
expiration = 2126-01-01T00:00:00Z
{policy}

[[credential]]
name = "eve"
access_key_id = "ASIAEVE"
secret_access_key_env = "ADA_SECRET"
session_token = "{TOKEN}"
expiration = "2020-01-01T00:00:00+01:00"
{policy}
"#,
        policy = allowing("*")
    );
    let gateway = Project::with_config(&config)
        .with_variable("ADA_SECRET", SECRET)
        .with_variable("ADA_TOKEN", TOKEN)
        .serve();
    let case = |credentials: Value| json!({ "path": "/pets", "credentials": credentials });
    let cases = [
        case(json!(["ASIAADA", SECRET, TOKEN])),
        json!({ "path": "/pets", "credentials": ["ASIAADA", SECRET, TOKEN], "expires": 60 }),
        case(json!(["ASIAADA", SECRET])),
        case(json!(["ASIAADA", SECRET, "another"])),
        case(json!(["ASIAEVE", SECRET, TOKEN])),
        case(json!(["ASIAEVE", "wrong", TOKEN])),
    ];
    let Some(answers) = botocore(name, &gateway, &cases) else { return };
    let all: Vec<(u64, &str)> = answers
        .iter()
        .map(|answer| (answer["status"].as_u64().unwrap(), answer["body"].as_str().unwrap()))
        .collect();
    assert_eq!(all[..2], [(200, "hi"); 2]);
    let invalid = "{\"message\":\"The security token included in the request is invalid.\"}";
    assert_eq!(all[2..4], [(403, invalid); 2]);
    let expired = "{\"message\":\"The security token included in the request is expired\"}";
    assert_eq!(all[4], (401, expired));
    assert_eq!(answers[4]["headers"]["x-amzn-errortype"], "ExpiredTokenException");
    assert!(all[5].0 == 403 && all[5].1.contains("signature we calculated"), "{:?}", all[5]);
    // A token is the client's own secret.
    assert!(all[5].1.contains("x-amz-security-token:***"), "{:?}", all[5]);
}

#[test]
fn policies_say_what_a_user_may() {
    let name = "policies_say_what_a_user_may";
    let arn = |name: &str| format!("arn:aws:iam::000000000000:user/{name}");
    let resource_policy = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Principal": { "AWS": arn("bob") }, "Action": "execute-api:Invoke", "Resource": "execute-api:/*/GET/shared" },
        { "Effect": "Allow", "Principal": { "AWS": "arn:aws:iam::000000000000:root" }, "Action": "execute-api:Invoke", "Resource": "*" },
        { "Effect": "Allow", "Principal": "*", "Action": "execute-api:Invoke", "Resource": "execute-api:/*/GET/named", "Condition": { "StringEquals": { "aws:username": "bob" } } },
        { "Effect": "Allow", "Principal": "*", "Action": "execute-api:Invoke", "Resource": "execute-api:/*/GET/open" },
        { "Effect": "Deny", "Principal": { "AWS": [arn("ada")] }, "Action": "execute-api:Invoke", "Resource": "execute-api:/*/GET/closed" },
    ] });
    let routes: String = ["pets", "shared", "named", "closed", "secret", "other"]
        .iter()
        .map(|path| format!("[[route]]\nroute = \"ANY /{path}\"\nauthorizer = \"aws\"\nmock = {{ body = \"hi\" }}\n"))
        .collect();
    let config = format!(
        "kind = \"rest\"\nstage = \"test\"\npolicy = '{resource_policy}'\n[gateway_responses.ACCESS_DENIED]\nheaders = {{ x-who = \"context.identity.userArn\" }}\n[stages.test]\n[authorizer.aws]\ntype = \"iam\"\n{routes}[[route]]\nroute = \"GET /open\"\nmock = {{ body = \"hi\" }}\n{}{}",
        credential(
            "ada",
            &statements(&[
                ("Allow", "arn:aws:execute-api:*:*:*/test/GET/*"),
                ("Deny", "execute-api:/test/GET/secret")
            ])
        ),
        credential("bob", ""),
    );
    let gateway = Project::with_config(&config).serve();
    let cases = [
        ("ada", "GET", "/pets", ""),
        ("ada", "GET", "/shared", ""),
        ("ada", "GET", "/secret", " with an explicit deny in an identity-based policy"),
        ("ada", "GET", "/closed", " with an explicit deny in a resource-based policy"),
        (
            "ada",
            "PUT",
            "/pets",
            " because no identity-based policy allows the execute-api:Invoke action",
        ),
        ("bob", "GET", "/shared", ""),
        ("bob", "GET", "/named", ""),
        // An account alone is nobody's allowance.
        (
            "bob",
            "GET",
            "/pets",
            " because no identity-based policy allows the execute-api:Invoke action",
        ),
    ];
    let requests: Vec<Value> = cases
        .iter()
        .map(|(user, method, path, _)| {
            let key = format!("AKID{}", user.to_uppercase());
            json!({ "path": path, "method": method, "credentials": [key, SECRET] })
        })
        .collect();
    let Some(answers) = botocore(name, &gateway, &requests) else { return };
    for ((user, method, path, why), answer) in cases.iter().zip(&answers) {
        let body = answer["body"].as_str().unwrap();
        if why.is_empty() {
            assert_eq!((answer["status"].as_u64(), body), (Some(200), "hi"), "{user} {path}");
            continue;
        }
        let message = format!(
            "User: {} is not authorized to perform: execute-api:Invoke on resource: arn:aws:execute-api:us-east-1:********0000:mayfly/test/{method}{path}{why}",
            arn(user)
        );
        assert_eq!(answer["status"], 403, "{user} {path}");
        assert_eq!(body, json!({ "Message": message }).to_string());
        assert_eq!(answer["headers"]["x-amzn-errortype"], "AccessDeniedException");
        assert_eq!(answer["headers"]["x-who"], arn(user).as_str());
    }
    // Routes that nobody signs for have no users.
    assert_eq!(gateway.get("/open").text(), "hi");
    assert_eq!(refusal(&gateway.get("/shared")).2, "Missing Authentication Token");
}

/// What a stage keeps, users have made anew whose policies say so.
#[test]
fn a_user_s_policy_may_allow_invalidation() {
    let name = "a_user_s_policy_may_allow_invalidation";
    let both = json!({ "Version": "2012-10-17", "Statement": {
        "Effect": "Allow", "Action": "execute-api:*", "Resource": "*",
    } });
    let config = format!(
        "kind = \"rest\"\n[stages.prod]\ncache = {{ unauthorized = \"FAIL_WITH_403\" }}\n[authorizer.aws]\ntype = \"iam\"\n[[route]]\nroute = \"GET /pets\"\nauthorizer = \"aws\"\nmock = {{ body = \"{{random.uuid}}\" }}\n{}{}",
        credential("ada", &format!("policy = '{both}'")),
        credential("bob", &allowing("*")),
    );
    let gateway = Project::with_config(&config).serve();
    let anew = json!({ "Cache-Control": "max-age=0" });
    let (ada, bob) = (json!(["AKIDADA", SECRET]), json!(["AKIDBOB", SECRET]));
    let cases = [
        json!({ "path": "/pets", "credentials": ada }),
        json!({ "path": "/pets", "credentials": bob }),
        json!({ "path": "/pets", "credentials": bob, "headers": anew }),
        json!({ "path": "/pets", "credentials": ada, "headers": anew }),
    ];
    let Some(answers) = botocore(name, &gateway, &cases) else { return };
    let statuses: Vec<u64> =
        answers.iter().map(|answer| answer["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [200, 200, 403, 200], "{answers:?}");
    assert_eq!(answers[0]["body"], answers[1]["body"]);
    assert_ne!(answers[0]["body"], answers[3]["body"]);
    let refused = answers[2]["body"].as_str().unwrap();
    assert!(
        refused.contains("user/bob is not authorized to perform: execute-api:InvalidateCache"),
        "{refused}"
    );
}

/// `curl --aws-sigv4`, as far as this curl has it.
#[test]
fn curl_signs_too() {
    let name = "iam::curl_signs_too";
    let Ok(help) = Command::new("curl").args(["--help", "all"]).output() else {
        return skip(name, "there is no curl on PATH");
    };
    if !String::from_utf8_lossy(&help.stdout).contains("--aws-sigv4") {
        return skip(name, "this curl has no --aws-sigv4");
    }
    let gateway = echo("rest", "");
    let curl = |arguments: &[&str], user: &str| {
        let output = Command::new("curl")
            .args(["--silent", "--noproxy", "*", "--write-out", "\n%{http_code}"])
            .args(["--aws-sigv4", "aws:amz:eu-central-1:execute-api", "--user", user])
            .args(arguments)
            .output()
            .expect("curl runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let (own, wrong) = (format!("AKIDADA:{SECRET}"), "AKIDADA:wrong");
    let url = format!("http://{}/pets/1?a=1&b=2", gateway.address);
    let got = curl(&[&url], &own);
    assert!(got.ends_with("\n200") && got.contains("user/ada"), "{got}");
    let json = ["--header", "content-type: application/json", "--data", "{\"a\": 1}"];
    let posted = curl(&[&json[..], &[&url]].concat(), &own);
    assert!(posted.ends_with("\n200") && posted.contains("\\\"a\\\": 1"), "{posted}");
    let refused = curl(&[&url], wrong);
    assert!(refused.ends_with("\n403") && refused.contains("signature we calculated"), "{refused}");
}

/// A body that is passed on is read first, where it is signed; the answer
/// still comes as it is made.
#[test]
fn a_signed_body_passes_through() {
    let name = "a_signed_body_passes_through";
    let upstream = Upstream::new(|received, stream| {
        let text = format!("{} {}", received.line(), received.text());
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-type: text/plain";
        write!(stream, "{head}\r\n\r\n{:x}\r\n{text}\r\n0\r\n\r\n", text.len())
    });
    for kind in ["rest", "http"] {
        let config = format!(
            "kind = \"{kind}\"\n[authorizer.aws]\ntype = \"iam\"\n[[route]]\nroute = \"ANY /shop/{{path+}}\"\nauthorizer = \"aws\"\n[route.integration]\ntype = \"http_proxy\"\nuri = \"http://{}/{{path}}\"\n{}",
            upstream.address,
            credential("ada", &allowing("*"))
        );
        let gateway = Project::with_config(&config).serve();
        let case = json!({ "path": "/shop/a", "method": "POST", "body": "signed" });
        let Some(own) = signed(name, &gateway, &case) else { return };
        let answer = Answer::of(request("POST", &own).body("signed"));
        assert_eq!((answer.status, answer.text().as_str()), (200, "POST /a signed"), "{kind}");
        let before = upstream.requests().len();
        assert_eq!(Answer::of(request("POST", &own).body("another")).status, 403, "{kind}");
        assert_eq!(upstream.requests().len(), before, "{kind}");
    }
}

/// Compressed bodies are signed as they are sent.
#[test]
fn a_compressed_body_is_signed_as_it_comes() {
    let name = "a_compressed_body_is_signed_as_it_comes";
    let gateway = echo("rest", "");
    let mut coder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    coder.write_all(b"plain text").unwrap();
    let hex: String = coder.finish().unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
    let case = json!({ "path": "/pets", "method": "POST", "hex": hex, "headers": { "Content-Encoding": "gzip", "Content-Type": "text/plain" } });
    let Some(answers) = botocore(name, &gateway, &[case]) else { return };
    assert_eq!(answers[0]["status"], 200, "{}", answers[0]);
    let event: Value = serde_json::from_str(answers[0]["body"].as_str().unwrap()).unwrap();
    assert_eq!(event["body"], "plain text");
}

/// A stage's prefix is part of what a client signs.
#[test]
fn the_stage_s_prefix_is_signed() {
    let name = "the_stage_s_prefix_is_signed";
    let gateway = echo("rest", "stage_prefix = true");
    let cases = [json!({ "path": "/test/pets?a=1" }), json!({ "path": "/pets" })];
    let Some(answers) = botocore(name, &gateway, &cases) else { return };
    assert_eq!(answers[0]["status"], 200, "{}", answers[0]);
    assert_eq!(answers[1]["status"], 403);
    assert!(answers[1]["body"].as_str().unwrap().contains("\"Forbidden\""), "{}", answers[1]);
}

/// HTTP/2 has the host in another place.
#[test]
fn http_2_has_its_authority_signed() {
    let name = "http_2_has_its_authority_signed";
    let gateway = echo("http", "");
    let case = json!({ "path": "/pets?a=1", "method": "POST", "body": "hi" });
    let Some(own) = signed(name, &gateway, &case) else { return };
    let client = reqwest::blocking::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .build()
        .expect("a client");
    let send = |path: &str| {
        let mut request = client.post(format!("http://{}{path}", gateway.address)).body("hi");
        for name in ["authorization", "x-amz-date"] {
            request = request.header(name, header(&own, name));
        }
        Answer::of(request)
    };
    let answer = send("/pets?a=1");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["requestContext"]["http"]["protocol"], "HTTP/2.0");
    assert_eq!(send("/pets?a=2").status, 403);
}

const DEFINITION: &str = r#"
openapi: 3.0.1
info: { title: pets, version: "1" }
paths:
  /scheme:
    get: { security: [{ sigv4: [] }], responses: { "200": { description: ok } } }
  /auth:
    get:
      x-amazon-apigateway-auth: { type: AWS_IAM }
      responses: { "200": { description: ok } }
  /open:
    get: { security: [], responses: { "200": { description: ok } } }
components:
  securitySchemes:
    sigv4:
      type: apiKey
      name: Authorization
      in: header
      x-amazon-apigateway-authtype: awsSigv4
"#;

#[test]
fn a_definition_asks_for_signatures() {
    let name = "a_definition_asks_for_signatures";
    let config = format!("openapi = \"api.yaml\"\n{}", credential("ada", &allowing("*")));
    let project = Project::with_config("openapi = \"api.yaml\"\n");
    std::fs::write(project.path().join("api.yaml"), DEFINITION).unwrap();
    let checked = project.run(&["check"]);
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(said.contains("nobody can call GET /scheme: there is no [[credential]]"), "{said}");
    project.write_config(&config);
    let checked = project.run(&["check"]);
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(checked.status.success() && !said.contains("warning"), "{said}");
    let gateway = project.serve();
    for path in ["/scheme", "/auth"] {
        let (status, _, message) = refusal(&gateway.get(path));
        assert_eq!((status, message.as_str()), (403, "Missing Authentication Token"), "{path}");
    }
    assert_eq!(gateway.get("/open").status, 200);
    let cases = [json!({ "path": "/scheme" }), json!({ "path": "/auth" })];
    let Some(answers) = botocore(name, &gateway, &cases) else { return };
    assert!(answers.iter().all(|answer| answer["status"] == 200), "{answers:?}");
}

#[test]
fn nothing_says_a_secret() {
    let name = "nothing_says_a_secret";
    let more = "[stages.test]\nlogging = \"INFO\"\ndata_trace = true\naccess_log = '$context.requestId $context.identity.userArn $context.error.message'\n";
    let gateway = echo("rest", "");
    gateway.project.write_config(
        &std::fs::read_to_string(gateway.project.path().join("gateway.toml"))
            .unwrap()
            .replace("[stages.test]\n", more)
            .replace(
                &format!("AKIDADA\"\nsecret_access_key = \"{SECRET}\""),
                &format!(
                    "AKIDADA\"\nsecret_access_key = \"{SECRET}\"\nsession_token = \"{TOKEN}\""
                ),
            ),
    );
    gateway.wait_for_log("reloaded");
    let own = json!(["AKIDADA", SECRET, TOKEN]);
    let cases = [
        json!({ "path": "/pets?do=count", "credentials": own }),
        json!({ "path": "/pets?do=count", "credentials": own, "expires": 60 }),
        json!({ "path": "/pets?do=count", "credentials": ["AKIDADA", "wrong", TOKEN] }),
        json!({ "path": "/pets?do=count", "credentials": ["AKIDADA", "wrong", TOKEN], "expires": 60 }),
    ];
    let Some(answers) = botocore(name, &gateway, &cases) else { return };
    let statuses: Vec<u64> =
        answers.iter().map(|answer| answer["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [200, 200, 403, 403]);
    gateway.wait_for_log("arn:aws:iam::000000000000:user/ada");
    gateway.wait_for_log("The request signature we calculated");
    let health = gateway.health().to_string();
    let encoded = TOKEN.replace('=', "%3D");
    for secret in [SECRET, TOKEN, &encoded] {
        let log = gateway.log();
        let told: Vec<&str> = log.lines().filter(|line| line.contains(secret)).collect();
        assert!(told.is_empty(), "{told:#?}");
        assert!(!health.contains(secret), "{health}");
    }
    // A file with mistakes is repeated without its secrets.
    let config = format!(
        "[[credential]]\nname = \"a b\"\naccess_key_id = \"AKIDADA\"\nsecret_access_key = \"{SECRET}\"\n[[credential]]\nname = \"bob\"\naccess_key_id = \"AKIDBOB\"\nsecret_access_key = 123456789\n"
    );
    let checked = Project::with_config(&config).run(&["check"]);
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert_eq!(checked.status.code(), Some(2), "{said}");
    assert!(said.contains("secret_access_key is not a string"), "{said}");
    assert!(!said.contains(SECRET) && !said.contains("123456789"), "{said}");
}

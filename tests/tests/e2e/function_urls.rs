//! Function URLs: endpoints of functions' own, made by the configuration or by
//! Lambda's API.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use mayfly_tests::{Answer, Gateway, PATIENCE, Project, client, curl, fixture, python};
use reqwest::blocking::RequestBuilder;
use serde_json::{Value, json};

use crate::lambda::boto;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

fn gateway(more: &str) -> Gateway {
    Project::with_config(more)
        .with_handler("probe", &fixture("probe"))
        .with_handler("web", &fixture("http-guest"))
        .serve()
}

/// The URL as Lambda's API tells it.
fn url(gateway: &Gateway, function: &str) -> String {
    let path = format!("/2021-10-31/functions/{function}/url");
    let answer = Answer::of(gateway.lambda("GET", &path));
    let url =
        answer.json()["FunctionUrl"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned();
    let port = gateway.address.rsplit(':').next().unwrap();
    assert!(url.ends_with(&format!(".lambda-url.localhost:{port}/")), "{url}");
    url
}

/// Its host and port.
fn host(gateway: &Gateway, function: &str) -> String {
    let url = url(gateway, function);
    url.trim_start_matches("http://").trim_end_matches('/').to_owned()
}

/// A request to a function's URL, sent to where the gateway is.
fn request(gateway: &Gateway, function: &str, method: &str, path: &str) -> RequestBuilder {
    to(gateway, &host(gateway, function), method, path)
}

fn to(gateway: &Gateway, host: &str, method: &str, path: &str) -> RequestBuilder {
    gateway.request(method, path).header("host", host)
}

/// The event that a function has got and answered with.
fn event(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

const OPEN: &str = "[function.probe]\ntimeout_ms = 500\n[function.probe.url]\nauth = \"none\"\n";

#[test]
fn a_function_gets_every_request_to_its_url_as_lambda_s_event() {
    for kind in ["http", "rest"] {
        let binary = if kind == "rest" { "binary_media_types = [\"*/*\"]\n" } else { "" };
        let gateway = gateway(&format!("kind = \"{kind}\"\n{binary}{OPEN}"));
        let host = host(&gateway, "probe");
        let id = host.split('.').next().unwrap();
        let answer = Answer::of(
            to(&gateway, &host, "POST", "/a/b?x=1&x=2")
                .header("cookie", "c=1; d=2")
                .header("x-two", "two")
                .header("content-type", "text/plain")
                .body("hello"),
        );
        assert_eq!(answer.header("apigw-requestid"), None);
        let event = event(&answer);
        assert_eq!(event["version"], "2.0");
        assert_eq!(event["routeKey"], "$default");
        assert_eq!(
            (&event["rawPath"], &event["rawQueryString"]),
            (&json!("/a/b"), &json!("x=1&x=2"))
        );
        assert_eq!(event["cookies"], json!(["c=1", "d=2"]));
        assert_eq!(event["queryStringParameters"], json!({ "x": "1,2" }));
        assert_eq!((&event["body"], &event["isBase64Encoded"]), (&json!("hello"), &json!(false)));
        assert_eq!(event["headers"]["x-two"], "two");
        let context = &event["requestContext"];
        assert_eq!(context["accountId"], "anonymous");
        assert_eq!((&context["apiId"], &context["domainPrefix"]), (&json!(id), &json!(id)));
        assert_eq!(context["domainName"], format!("{id}.lambda-url.localhost"));
        assert_eq!((&context["stage"], &context["authorizer"]), (&json!("$default"), &Value::Null));
        assert_eq!(context["http"]["method"], "POST");
        assert_eq!(context["http"]["path"], "/a/b");
        assert_eq!(context["http"]["sourceIp"], "127.0.0.1");
        // The invocation's own id.
        let id = answer.header("x-amzn-requestid").unwrap();
        assert_eq!((context["requestId"].as_str(), id.len()), (Some(id), 36));
        assert!(answer.header("x-amzn-trace-id").unwrap().starts_with("Root=1-"));
        // The API is where it was.
        assert_eq!(gateway.get("/probe").json()["requestContext"]["apiId"], "mayfly");
        // A name of the same form that nobody has.
        let nobody = Answer::of(to(&gateway, "nobody.lambda-url.localhost", "GET", "/probe"));
        assert_eq!((nobody.status, nobody.json()), (403, json!({ "message": "Forbidden" })));
    }
}

#[test]
fn what_a_function_answers_is_the_response() {
    let gateway = gateway(OPEN);
    let answer = |text: &str| {
        let request = request(&gateway, "probe", "POST", "/?do=answer");
        Answer::of(request.header("content-type", "text/plain").body(text.to_owned()))
    };
    let full = answer(
        r#"{"statusCode": 201, "headers": {"x-a": "b"}, "cookies": ["c=1"], "body": "aGk=", "isBase64Encoded": true}"#,
    );
    assert_eq!((full.status, full.text().as_str(), full.header("x-a")), (201, "hi", Some("b")));
    assert_eq!(full.header("set-cookie"), Some("c=1"));
    // What says no status is the body.
    for (text, body) in
        [(r#"{"message": "hi"}"#, r#"{"message":"hi"}"#), (r#""hi""#, "hi"), ("[1]", "[1]")]
    {
        let inferred = answer(text);
        assert_eq!((inferred.status, inferred.text().as_str()), (200, body));
        assert_eq!(inferred.header("content-type"), Some("application/json"));
    }
}

#[test]
fn what_fails_gets_lambda_s_errors() {
    let gateway = gateway(&format!("{OPEN}[limits]\nbody_bytes_max = 100000\n"));
    let get = |path: &str| Answer::of(request(&gateway, "probe", "GET", path));
    for path in ["/?do=error", "/?do=trap", "/?do=loop", "/?do=answer"] {
        let answer = get(path);
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (502, "Internal Server Error"),
            "{path}"
        );
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert!(answer.header("x-amzn-requestid").is_some());
    }
    let long = request(&gateway, "probe", "POST", "/").body("x".repeat(100_001));
    let long = Answer::of(long);
    assert_eq!((long.status, long.json()), (413, json!({ "Message": "Request Entity Too Large" })));
    let limit = json!({ "ReservedConcurrentExecutions": 0 });
    let path = "/2017-10-31/functions/probe/concurrency";
    assert_eq!(Answer::of(gateway.lambda("PUT", path).json(&limit)).status, 200);
    let throttled = get("/");
    assert_eq!(throttled.status, 429);
    assert_eq!(throttled.header("x-amzn-errortype"), Some("TooManyRequestsException"));
    assert_eq!(throttled.json()["Reason"], "ReservedFunctionConcurrentInvocationLimitExceeded");
}

#[test]
fn preflights_are_answered_without_the_function() {
    let cors = "cors = { allow_origins = [\"https://app.example\"], allow_methods = [\"GET\", \"POST\"], allow_headers = [\"x-a\"], expose_headers = [\"x-b\"], max_age_seconds = 60 }\n";
    let gateway = gateway(&format!("{OPEN}{cors}[function.web.url]\nauth = \"none\"\n"));
    let preflight = |function: &str, origin: &str| {
        let request = request(&gateway, function, "OPTIONS", "/status?n=204");
        let request =
            request.header("origin", origin).header("access-control-request-method", "POST");
        Answer::of(request)
    };
    let answer = preflight("probe", "https://app.example");
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example"));
    assert_eq!(answer.header("access-control-allow-methods"), Some("GET,POST"));
    assert_eq!(answer.header("access-control-allow-headers"), Some("x-a"));
    assert_eq!(answer.header("access-control-max-age"), Some("60"));
    let foreign = preflight("probe", "https://evil.example");
    assert_eq!((foreign.status, foreign.header("access-control-allow-origin")), (200, None));
    let get = request(&gateway, "probe", "GET", "/").header("origin", "https://app.example");
    let get = Answer::of(get);
    assert_eq!(get.header("access-control-allow-origin"), Some("https://app.example"));
    assert_eq!(get.header("access-control-expose-headers"), Some("x-b"));
    // Without CORS they are the function's.
    assert_eq!(preflight("web", "https://app.example").status, 204);
    // With credentials, any origin is the one that asks.
    let cors = json!({ "AllowOrigins": ["*"], "AllowCredentials": true });
    let request = gateway.lambda("PUT", "/2021-10-31/functions/web/url");
    assert_eq!(Answer::of(request.json(&json!({ "Cors": cors }))).status, 200);
    let answer = preflight("web", "https://app.example");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example"));
    assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
    assert_eq!(answer.header("vary"), Some("Origin"));
}

#[test]
fn answers_stream_where_the_url_says_so() {
    let config = |mode: &str| {
        format!(
            "[function.web]\ntimeout_ms = 600000\n[function.web.url]\nauth = \"none\"\ninvoke_mode = \"{mode}\"\n"
        )
    };
    let gateway = gateway(&config("response_stream"));
    let mut stream = TcpStream::connect(&gateway.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!("GET /stuck HTTP/1.1\r\nhost: {}\r\n\r\n", host(&gateway, "web"));
    stream.write_all(head.as_bytes()).unwrap();
    let mut text = String::new();
    let mut bytes = [0; 1024];
    while !text.contains("the beginning") {
        let read = stream.read(&mut bytes).unwrap();
        assert!(read > 0, "{text}");
        text.push_str(&String::from_utf8_lossy(&bytes[..read]));
    }
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    // One that is whole is there before its head is sent.
    gateway.project.write_config(&config("buffered"));
    gateway.wait_for_log("reloaded");
    let early = Answer::of(request(&gateway, "web", "GET", "/early"));
    assert_eq!((early.status, early.text().as_str()), (502, "Internal Server Error"));
    let whole = Answer::of(request(&gateway, "web", "GET", "/stream?n=100000"));
    assert_eq!((whole.status, whole.body.len()), (200, 100_000));
    assert_eq!(whole.header("content-length"), Some("100000"));
}

/// Signs requests; their URLs need not lead anywhere.
const SIGN: &str = r#"
import json, sys
import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

def sign(case):
    request = AWSRequest("POST", case["url"], {}, b"{}")
    botocore.auth.SigV4Auth(Credentials(*case["credentials"]), case["service"], "eu-west-1").add_auth(request)
    return [[name, value if isinstance(value, str) else value.decode()]
            for name, value in request.prepare().headers.items()]

print(json.dumps([sign(case) for case in json.load(sys.stdin)]))
"#;

#[test]
fn whoever_signs_may_call_as_far_as_policies_go() {
    let policy = |resource: &str| {
        let statement = json!({
            "Effect": "Allow", "Action": "lambda:InvokeFunctionUrl", "Resource": resource,
            "Condition": { "StringEquals": { "lambda:FunctionUrlAuthType": "AWS_IAM" } },
        });
        json!({ "Version": "2012-10-17", "Statement": statement })
    };
    let credential = |name: &str, policy: &Value| {
        let key = name.to_uppercase();
        format!(
            "[[credential]]\nname = \"{name}\"\naccess_key_id = \"AKID{key}\"\nsecret_access_key = \"{SECRET}\"\npolicy = '{policy}'\n"
        )
    };
    let arn = "arn:aws:lambda:us-east-1:000000000000:function:probe";
    let gateway = gateway(&format!(
        "{}{}[function.probe.url]\nauth = \"iam\"\n",
        credential("ada", &policy(arn)),
        credential("eve", &policy("arn:aws:lambda:us-east-1:000000000000:function:other")),
    ));
    let unsigned = Answer::of(request(&gateway, "probe", "POST", "/x"));
    assert_eq!((unsigned.status, unsigned.json()), (403, json!({ "Message": "Forbidden" })));
    assert_eq!(unsigned.header("x-amzn-errortype"), Some("AccessDeniedException"));
    let host = host(&gateway, "probe");
    let case = |key: &str, secret: &str, service: &str| json!({ "url": format!("http://{host}/x?b=2&a=1"), "credentials": [key, secret], "service": service });
    let cases = json!([
        case("AKIDADA", SECRET, "lambda"),
        case("AKIDEVE", SECRET, "lambda"),
        case("AKIDADA", "another secret", "lambda"),
        case("AKIDADA", SECRET, "execute-api"),
        case("AKIDNOBODY", SECRET, "lambda"),
    ]);
    let test = "whoever_signs_may_call_as_far_as_policies_go";
    let Some(signed) = python::run(test, SIGN, &cases) else { return };
    let send = |at: usize| {
        let url = format!("http://{}/x?b=2&a=1", gateway.address);
        let request = client().post(url).header("host", &host).body("{}");
        let headers = signed[at].as_array().unwrap().iter();
        let own = headers
            .filter(|pair| !pair[0].as_str().unwrap().eq_ignore_ascii_case("content-length"));
        Answer::of(own.fold(request, |request, pair| {
            request.header(pair[0].as_str().unwrap(), pair[1].as_str().unwrap())
        }))
    };
    let context = event(&send(0))["requestContext"].clone();
    assert_eq!(context["accountId"], "000000000000");
    assert_eq!(context["authorizer"]["iam"]["userArn"], "arn:aws:iam::000000000000:user/ada");
    assert_eq!(context["authorizer"]["iam"]["accessKey"], "AKIDADA");
    let eve = send(1);
    assert_eq!((eve.status, eve.json()), (403, json!({ "Message": "Forbidden" })));
    gateway.wait_for_log("no identity-based policy allows the lambda:InvokeFunctionUrl action");
    for (at, exception, text) in [
        (2, "InvalidSignatureException", "signature we calculated does not match"),
        (3, "InvalidSignatureException", "Credential should be scoped to correct service"),
        (4, "UnrecognizedClientException", "security token included in the request is invalid"),
    ] {
        let answer = send(at);
        assert_eq!((answer.status, answer.header("x-amzn-errortype")), (403, Some(exception)));
        assert!(answer.json()["message"].as_str().unwrap().contains(text), "{answer:?}");
    }
}

#[test]
fn boto3_makes_changes_and_deletes_urls() {
    let gateway = gateway("");
    let live = json!({ "FunctionName": "probe", "Qualifier": "live" });
    let calls = json!([
        ["create_function_url_config", { "FunctionName": "probe", "AuthType": "NONE" }],
        ["create_function_url_config", { "FunctionName": "probe", "AuthType": "NONE" }],
        ["publish_version", { "FunctionName": "probe" }],
        ["create_alias", { "FunctionName": "probe", "Name": "live", "FunctionVersion": "1" }],
        ["create_function_url_config", { "FunctionName": "probe", "Qualifier": "live", "AuthType": "AWS_IAM",
            "InvokeMode": "RESPONSE_STREAM", "Cors": { "AllowOrigins": ["*"], "MaxAge": 5 } }],
        ["create_function_url_config", { "FunctionName": "probe", "Qualifier": "dead", "AuthType": "NONE" }],
        ["create_function_url_config", { "FunctionName": "probe", "Qualifier": "1", "AuthType": "NONE" }],
        ["create_function_url_config", { "FunctionName": "nobody", "AuthType": "NONE" }],
        ["create_function_url_config", { "FunctionName": "web", "AuthType": "NONE", "Cors": { "AllowOrigins": ["nowhere"] } }],
        ["update_function_url_config", { "FunctionName": "probe", "Qualifier": "live", "AuthType": "NONE", "InvokeMode": "BUFFERED" }],
        ["get_function_url_config", live],
        ["list_function_url_configs", { "FunctionName": "probe" }],
        ["get_function_url_config", { "FunctionName": "web" }],
        ["delete_function_url_config", { "FunctionName": "web" }],
    ]);
    let Some(results) = boto("boto3_makes_changes_and_deletes_urls", &gateway, &calls) else {
        return;
    };
    let error = |at: usize| results[at]["error"].as_str().unwrap_or("none");
    let arn = "arn:aws:lambda:us-east-1:000000000000:function:probe";
    assert_eq!(
        (&results[0]["FunctionArn"], &results[0]["AuthType"]),
        (&json!(arn), &json!("NONE"))
    );
    assert_eq!(
        (&results[0]["InvokeMode"], &results[0]["Cors"]),
        (&json!("BUFFERED"), &Value::Null)
    );
    assert_eq!(error(1), "ResourceConflictException");
    let created = &results[4];
    assert_eq!(created["FunctionArn"], format!("{arn}:live"));
    assert_eq!(
        (&created["AuthType"], &created["InvokeMode"]),
        (&json!("AWS_IAM"), &json!("RESPONSE_STREAM"))
    );
    assert_eq!(
        (&created["Cors"]["AllowOrigins"], &created["Cors"]["MaxAge"]),
        (&json!(["*"]), &json!(5))
    );
    assert_eq!((error(5), error(6)), ("ResourceNotFoundException", "ClientError"));
    assert_eq!(
        (error(7), error(8)),
        ("ResourceNotFoundException", "InvalidParameterValueException")
    );
    let updated = &results[9];
    assert_eq!(
        (&updated["AuthType"], &updated["InvokeMode"]),
        (&json!("NONE"), &json!("BUFFERED"))
    );
    // What is not given stays.
    assert_eq!(
        (&updated["Cors"], &updated["FunctionUrl"]),
        (&created["Cors"], &created["FunctionUrl"])
    );
    assert_eq!(&results[10], updated);
    assert_eq!(results[11]["FunctionUrlConfigs"].as_array().unwrap().len(), 2);
    assert_eq!((error(12), error(13)), ("ResourceNotFoundException", "ResourceNotFoundException"));
    // They outlive the process, and the alias's runs its version.
    let (project, _) = gateway.kill();
    project.put_handler("probe", &fixture("version-two"));
    let gateway = project.serve();
    let context = event(&Answer::of(request(&gateway, "probe:live", "GET", "/?do=context")));
    assert_eq!(
        (&context["functionVersion"], &context["arn"]),
        (&json!("1"), &json!(format!("{arn}:live")))
    );
    let (host, live) = (host(&gateway, "probe"), host(&gateway, "probe:live"));
    assert_ne!(host, live);
    let calls = json!([
        ["delete_alias", { "FunctionName": "probe", "Name": "live" }],
        ["delete_function_url_config", { "FunctionName": "probe" }],
        ["list_function_url_configs", { "FunctionName": "probe" }],
    ]);
    let results = boto("boto3_makes_changes_and_deletes_urls", &gateway, &calls).unwrap();
    assert_eq!(results[2]["FunctionUrlConfigs"], json!([]));
    for host in [host, live] {
        assert_eq!(Answer::of(to(&gateway, &host, "GET", "/")).status, 403);
    }
}

#[test]
fn what_is_configured_is_the_user_s_and_can_be_overridden() {
    let gateway = gateway(OPEN);
    let path = "/2021-10-31/functions/probe/url";
    let call = |method: &str, body: Value| Answer::of(gateway.lambda(method, path).json(&body));
    let refused = call("DELETE", json!({}));
    assert_eq!((refused.status, refused.text().contains("[function.probe.url]")), (400, true));
    assert_eq!(call("POST", json!({ "AuthType": "NONE" })).status, 409);
    assert_eq!(call("PUT", json!({ "AuthType": "AWS_IAM" })).json()["AuthType"], "AWS_IAM");
    assert_eq!(Answer::of(request(&gateway, "probe", "GET", "/")).status, 403);
    assert_eq!(call("DELETE", json!({})).status, 204);
    assert_eq!(Answer::of(request(&gateway, "probe", "GET", "/")).status, 200);
    // Saving the file is enough.
    gateway.project.write_config("");
    gateway.wait("URL that is gone", || call("GET", json!({})).status == 404);
}

#[test]
fn curl_calls_the_url_that_the_log_tells() {
    if !curl::have("curl_calls_the_url_that_the_log_tells", &["curl"]) {
        return;
    }
    let gateway = gateway(OPEN);
    gateway.wait_for_log("function probe at http://");
    let log = gateway.log();
    let url = log.split("function probe at ").nth(1).unwrap().split_whitespace().next().unwrap();
    assert_eq!(url, self::url(&gateway, "probe"));
    let (host, _) = url.trim_start_matches("http://").split_once(':').unwrap();
    let answer = curl::curl(&gateway, &format!("http://{host}/a?do=count"), &["-X", "DELETE"]);
    assert_eq!((answer.status, answer.body.as_str()), (200, "1"));
    // In TLS nobody has this name.
    let answer = curl::curl(&gateway, &format!("https://{host}/a?do=count"), &["-k"]);
    assert_ne!(answer.code, 0, "{answer:?}");
}

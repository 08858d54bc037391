//! InvokeWithResponseStream: answers that are sent while functions write them.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use mayfly_tests::{Answer, Gateway, PATIENCE, Project, fixture};
use serde_json::{Value, json};

use crate::lambda::boto;

fn gateway(more: &str) -> Gateway {
    Project::with_config(more)
        .with_handler("probe", &fixture("probe"))
        .with_handler("web", &fixture("http-guest"))
        .with_handler("async", &fixture("http-async"))
        .serve()
}

/// The event of a function URL.
fn event(path: &str, query: &str) -> String {
    json!({
        "version": "2.0", "rawPath": path, "rawQueryString": query, "headers": {},
        "requestContext": { "domainName": "localhost", "http": { "method": "GET" } },
    })
    .to_string()
}

fn of_web(path: &str, query: &str) -> Value {
    json!(["invoke_with_response_stream", { "FunctionName": "web", "Payload": event(path, query) }])
}

/// What came of a call: the payload, in how many chunks, and the last event.
fn streamed(result: &Value) -> (String, usize, Value) {
    let events = result["EventStream"].as_array().unwrap_or_else(|| panic!("{result}"));
    let (last, chunks) = events.split_last().expect("events");
    let chunk = |event: &Value| event["PayloadChunk"]["Payload"].as_str().unwrap().to_owned();
    let payload = chunks.iter().map(chunk).collect();
    (payload, chunks.len(), last["InvokeComplete"].clone())
}

/// The prelude's JSON and the body.
fn parts(payload: &str) -> (Value, &str) {
    let (head, body) =
        payload.split_once("\0\0\0\0\0\0\0\0").unwrap_or_else(|| panic!("{payload}"));
    (serde_json::from_str(head).unwrap(), body)
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    String::from_utf8(base64::prelude::BASE64_STANDARD.decode(text).unwrap()).unwrap()
}

/// Asks for a stream by hand, so that it can be looked at while it comes.
fn begin(gateway: &Gateway, path: &str, query: &str) -> TcpStream {
    let mut stream = TcpStream::connect(&gateway.admin).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let body = event(path, query);
    let request = format!(
        "POST /2021-11-15/functions/web/response-streaming-invocations HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\n\r\n{body}",
        gateway.admin,
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    let mut bytes = [0; 4096];
    while !text.contains(end) {
        let read = stream.read(&mut bytes).unwrap();
        assert!(read > 0, "ended before {end:?}: {text}");
        text.push_str(&String::from_utf8_lossy(&bytes[..read]));
    }
    text
}

#[test]
fn boto3_reads_what_answers_at_once_as_a_stream() {
    let gateway = gateway("[function.probe]\ntimeout_ms = 300\n");
    let doing = |what: &str| json!({ "queryStringParameters": { "do": what, "n": "150000" } });
    let call = |what: &str| json!(["invoke_with_response_stream", { "FunctionName": "probe", "Payload": doing(what).to_string() }]);
    let calls = json!([
        ["invoke_with_response_stream", { "FunctionName": "probe", "Payload": doing("print").to_string(), "LogType": "Tail" }],
        call("big"),
        call("error"),
        call("trap"),
        call("loop"),
        ["invoke_with_response_stream", { "FunctionName": "probe", "InvocationType": "DryRun" }],
        ["invoke_with_response_stream", { "FunctionName": "nobody" }],
        ["invoke_with_response_stream", { "FunctionName": "probe", "Qualifier": "9" }],
        ["put_function_concurrency", { "FunctionName": "probe", "ReservedConcurrentExecutions": 0 }],
        call("count"),
    ]);
    let test = "boto3_reads_what_answers_at_once_as_a_stream";
    let Some(results) = boto(test, &gateway, &calls) else { return };
    assert_eq!(results[0]["ExecutedVersion"], "$LATEST");
    assert_eq!(results[0]["ResponseStreamContentType"], "application/vnd.amazon.eventstream");
    let (payload, chunks, complete) = streamed(&results[0]);
    assert!(payload.contains("done") && chunks == 1, "{payload}");
    let log = base64(complete["LogResult"].as_str().unwrap());
    assert!(
        log.contains("printed to standard output") && log.contains("REPORT RequestId"),
        "{log}"
    );
    assert_eq!(complete.as_object().unwrap().len(), 1);
    let (payload, chunks, complete) = streamed(&results[1]);
    // As many as it takes.
    assert_eq!((payload.len() > 150_000, chunks, complete), (true, 3, json!({})));
    for (at, code, details) in [
        (2, "Probe.Error", "asked to fail"),
        (3, "Runtime.ExitError", "Runtime exited with error: trap"),
        (4, "Sandbox.Timedout", "Task timed out after 0.30 seconds"),
    ] {
        let (payload, _, complete) = streamed(&results[at]);
        assert_eq!((payload.as_str(), &complete["ErrorCode"]), ("", &json!(code)));
        assert!(complete["ErrorDetails"].as_str().unwrap().ends_with(details), "{complete}");
    }
    assert_eq!(results[5]["StatusCode"], 204);
    assert_eq!(results[6]["error"], "ResourceNotFoundException");
    assert_eq!(results[7]["error"], "ResourceNotFoundException");
    assert_eq!(
        (&results[9]["error"], &results[9]["status"]),
        (&json!("TooManyRequestsException"), &json!(429))
    );
}

#[test]
fn boto3_reads_responses_of_guests_that_speak_http() {
    let gateway = gateway("[function.web]\ntimeout_ms = 1000\n");
    let calls = json!([
        of_web("/request", "a=b"),
        of_web("/status", "n=418"),
        // More than a whole answer may have.
        of_web("/stream", "n=8000000"),
        of_web("/early", ""),
        of_web("/stuck", ""),
        of_web("/trap", ""),
        of_web("/silent", ""),
        ["invoke_with_response_stream", { "FunctionName": "web", "Payload": "{\"no\": \"request\"}" }],
        ["invoke_with_response_stream", { "FunctionName": "async", "Payload": event("/stream", "n=100000") }],
        ["invoke_with_response_stream", { "FunctionName": "web", "Payload": event("/after", ""), "LogType": "Tail" }],
    ]);
    let test = "boto3_reads_responses_of_guests_that_speak_http";
    let Some(results) = boto(test, &gateway, &calls) else { return };
    let (payload, _, complete) = streamed(&results[0]);
    let (head, body) = parts(&payload);
    assert_eq!((&head["statusCode"], &head["cookies"]), (&json!(200), &json!([])));
    assert_eq!(head["headers"]["content-type"], "application/json");
    assert!(body.contains("/request?a=b"), "{body}");
    assert_eq!(complete, json!({}));
    assert_eq!(parts(&streamed(&results[1]).0).0["statusCode"], 418);
    let (payload, chunks, complete) = streamed(&results[2]);
    assert_eq!((parts(&payload).1.len(), complete), (8_000_000, json!({})));
    assert!(chunks > 100, "{chunks}");
    for (at, code) in [(3, "Runtime.ExitError"), (4, "Sandbox.Timedout")] {
        let (payload, _, complete) = streamed(&results[at]);
        assert_eq!((parts(&payload).1, &complete["ErrorCode"]), ("the beginning", &json!(code)));
    }
    for (at, code) in
        [(5, "Runtime.ExitError"), (6, "Runtime.MalformedResponse"), (7, "Runtime.InvalidEvent")]
    {
        let (payload, _, complete) = streamed(&results[at]);
        assert_eq!((payload.as_str(), &complete["ErrorCode"]), ("", &json!(code)));
    }
    assert_eq!(parts(&streamed(&results[8]).0).1.len(), 100_000);
    // What the guest does when it has answered is in the log.
    let log = base64(streamed(&results[9]).2["LogResult"].as_str().unwrap());
    assert!(log.contains("still here after the answer"), "{log}");
}

#[test]
fn a_chunk_is_sent_when_it_is_written_and_a_client_that_goes_ends_the_function() {
    let gateway = gateway("[function.web]\ntimeout_ms = 600000\nreserved_concurrency = 1\n");
    for (path, query, first) in
        [("/stuck", "", "the beginning"), ("/stream", "n=100000000000", "xxxx")]
    {
        let mut stream = begin(&gateway, path, query);
        let text = read_until(&mut stream, first);
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        assert!(text.contains("x-amz-executed-version: $LATEST"), "{text}");
        // The sandbox is taken as long as the client is there.
        assert_eq!(gateway.get("/web/count").status, 429);
        drop(stream);
        gateway.wait("free sandbox", || gateway.get("/web/count").status == 200);
    }
}

#[test]
fn bad_calls_get_lambda_s_errors() {
    let gateway = gateway("[function.probe]\npayload_bytes_max = 1000\n");
    let path = "/2021-11-15/functions/probe/response-streaming-invocations";
    let call = |body: &str, kind: &str| {
        let request = gateway.lambda("POST", path).header("x-amz-invocation-type", kind);
        let answer = Answer::of(request.body(body.to_owned()));
        (answer.status, answer.header("x-amzn-errortype").unwrap_or_default().to_owned())
    };
    let error = |status: u16, kind: &str| (status, kind.to_owned());
    assert_eq!(call("{}", "Event"), error(400, "ValidationException"));
    assert_eq!(call("{", "RequestResponse"), error(400, "InvalidRequestContentException"));
    let long = format!("\"{}\"", "x".repeat(1000));
    assert_eq!(call(&long, "RequestResponse"), error(413, "RequestTooLargeException"));
    let answer = Answer::of(gateway.lambda("GET", path));
    assert_eq!(answer.header("x-amzn-errortype"), Some("UnknownOperationException"));
}

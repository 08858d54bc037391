//! Compressed payloads of REST APIs.

use std::io::{Read as _, Write as _};

use flate2::{
    Compression,
    read::{GzDecoder, ZlibDecoder},
    write::{DeflateEncoder, GzEncoder, ZlibEncoder},
};
use mayfly_tests::{Answer, Gateway, Project, fixture};
use serde_json::json;

fn gateway(kind: &str, compression: &str) -> Gateway {
    let config = format!(
        r#"
kind = "{kind}"
{compression}

[limits]
body_bytes_max = 200000

[[route]]
route = "GET /text"
mock = {{ body = "{long}" }}

[[route]]
route = "GET /short"
mock = {{ body = "short" }}

[[route]]
route = "GET /coded"
mock = {{ body = "{long}", headers = {{ content-encoding = "br" }} }}

[[route]]
route = "POST /echo"
mock = {{ body = "{{body}}|{{header.content-encoding}}" }}

[[route]]
route = "POST /event"
function = "probe"
"#,
        long = "0123456789".repeat(200)
    );
    Project::with_config(&config).with_handler("probe", &fixture("probe")).serve()
}

fn get(gateway: &Gateway, path: &str, accepts: Option<&str>) -> Answer {
    let request = gateway.request("GET", path);
    Answer::of(match accepts {
        Some(accepts) => request.header("accept-encoding", accepts),
        None => request,
    })
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).expect("in memory");
    encoder.finish().expect("in memory")
}

fn post(gateway: &Gateway, path: &str, coding: &str, body: Vec<u8>) -> Answer {
    let request = gateway.request("POST", path).header("content-encoding", coding);
    Answer::of(request.header("content-type", "application/json").body(body))
}

#[test]
fn answers_are_compressed_as_the_client_accepts() {
    let gateway = gateway("rest", "minimum_compression_size = 1000");
    let text = "0123456789".repeat(200);
    let gzipped = get(&gateway, "/text", Some("gzip, deflate, br"));
    assert_eq!(gzipped.header("content-encoding"), Some("gzip"));
    assert_eq!(gzipped.header("vary"), Some("Accept-Encoding"));
    assert_eq!(gzipped.header("content-length"), Some(gzipped.body.len().to_string().as_str()));
    assert!(gzipped.body.len() < 200);
    let mut read = String::new();
    GzDecoder::new(gzipped.body.as_slice()).read_to_string(&mut read).expect("gzip");
    assert_eq!(read, text);

    let deflated = get(&gateway, "/text", Some("gzip;q=0.5, deflate"));
    assert_eq!(deflated.header("content-encoding"), Some("deflate"));
    let mut read = String::new();
    ZlibDecoder::new(deflated.body.as_slice()).read_to_string(&mut read).expect("deflate");
    assert_eq!(read, text);

    for accepts in [None, Some("*"), Some("identity"), Some("br"), Some("gzip;q=0")] {
        let plain = get(&gateway, "/text", accepts);
        assert_eq!(plain.header("content-encoding"), None, "{accepts:?}");
        assert_eq!(plain.text(), text, "{accepts:?}");
        // A cache has to know that another client gets something else.
        assert_eq!(plain.header("vary"), Some("Accept-Encoding"), "{accepts:?}");
    }
    let short = get(&gateway, "/short", Some("gzip"));
    assert_eq!((short.header("content-encoding"), short.header("vary")), (None, None));
    assert_eq!(short.text(), "short");
    let coded = get(&gateway, "/coded", Some("gzip"));
    assert_eq!(coded.header_values("content-encoding"), ["br"]);
    assert_eq!(coded.text(), text);
}

#[test]
fn nothing_is_compressed_unless_the_api_says_so() {
    for (kind, compression) in [("rest", ""), ("http", "")] {
        let gateway = gateway(kind, compression);
        let plain = get(&gateway, "/text", Some("gzip"));
        assert_eq!(plain.header("content-encoding"), None, "{kind}");
        assert_eq!(plain.header("vary"), None, "{kind}");
    }
    let all = gateway("rest", "minimum_compression_size = 0");
    assert_eq!(get(&all, "/short", Some("gzip")).header("content-encoding"), Some("gzip"));
}

#[test]
fn compressed_requests_are_decompressed_first() {
    let gateway = gateway("rest", "");
    let text = json!({ "text": "hello" }).to_string();
    assert_eq!(post(&gateway, "/echo", "gzip", gzip(text.as_bytes())).text(), format!("{text}|"));
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
    zlib.write_all(text.as_bytes()).expect("in memory");
    let zlib = zlib.finish().expect("in memory");
    assert_eq!(post(&gateway, "/echo", "deflate", zlib).text(), format!("{text}|"));
    let mut raw = DeflateEncoder::new(Vec::new(), Compression::best());
    raw.write_all(text.as_bytes()).expect("in memory");
    let raw = raw.finish().expect("in memory");
    assert_eq!(post(&gateway, "/echo", "deflate", raw).text(), format!("{text}|"));
    let plain = post(&gateway, "/echo", "identity", text.clone().into_bytes());
    assert_eq!(plain.text(), format!("{text}|identity"));

    // The function sees the text, and no header that says otherwise.
    let event = post(&gateway, "/event?do=event", "gzip", gzip(text.as_bytes())).json();
    assert_eq!(event["body"], text.as_str(), "{event:#}");
    assert_eq!(event["isBase64Encoded"], false);
    assert_eq!(event["headers"].get("content-encoding"), None, "{event:#}");
    assert_eq!(event["headers"].get("Content-Encoding"), None, "{event:#}");
}

#[test]
fn what_cannot_be_decompressed_is_refused() {
    let gateway = gateway("rest", "");
    let message = json!({ "message": "Unsupported Media Type" });
    let whole = gzip(b"hello");
    for (coding, body) in [
        ("br", whole.clone()),
        ("gzip, deflate", whole.clone()),
        ("gzip", b"hello".to_vec()),
        ("deflate", b"hello".to_vec()),
        ("gzip", whole[..whole.len() - 1].to_vec()),
    ] {
        let answer = post(&gateway, "/echo", coding, body);
        assert_eq!((answer.status, answer.json()), (415, message.clone()), "{coding}");
    }
    gateway.wait_for_log("Content-Encoding is \"br\", not one of gzip, deflate and identity");
    gateway.wait_for_log("the body is not coded as gzip");
    let bomb = gzip(&vec![b'0'; 5_000_000]);
    assert!(bomb.len() < 200_000);
    let answer = post(&gateway, "/echo", "gzip", bomb);
    assert_eq!((answer.status, answer.json()), (413, json!({ "message": "Request Too Long" })));
}

#[test]
fn an_http_api_passes_bodies_as_they_are() {
    let gateway = gateway("http", "");
    let body = gzip(b"hello");
    let event = post(&gateway, "/event?do=event", "gzip", body).json();
    assert_eq!(event["isBase64Encoded"], true);
    assert_eq!(event["headers"]["content-encoding"], "gzip");
    assert_eq!(post(&gateway, "/echo", "br", b"hello".to_vec()).text(), "hello|br");
}

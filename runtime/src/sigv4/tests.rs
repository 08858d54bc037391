use std::{
    env, fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// A request that owns its parts.
#[derive(Debug, Clone, PartialEq)]
struct Request {
    method: String,
    path: String,
    query: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Request {
    fn new(method: &str, path: &str, query: &str, headers: &[(&str, &str)]) -> Self {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            map.append(name, HeaderValue::from_str(value).expect("a value"));
        }
        let (method, path, query) = (method.to_owned(), path.to_owned(), query.to_owned());
        Self { method, path, query, headers: map, body: Vec::new() }
    }

    fn with<T>(&self, f: impl FnOnce(&SignedRequest<'_>) -> T) -> T {
        f(&SignedRequest {
            method: &self.method,
            path: &self.path,
            query: &self.query,
            headers: &self.headers,
            body: &digest(&self.body),
        })
    }

    fn verify(&self, service: &str) -> Result<String, SignatureError> {
        self.with(|request| {
            let claim = Claim::read(request, service)?.expect("a signature");
            claim.verify(request, SECRET).map(|()| claim.access_key_id)
        })
    }

    /// Puts the right signature into it, for what it claims itself.
    fn sign(&mut self) {
        let signature = self.with(|request| {
            let claim = Claim::read(request, "execute-api").expect("a claim").expect("a claim");
            let canonical = canonical_request(request, &claim.signed_headers, claim.in_query);
            let key = claim.scope.signing_key(SECRET);
            let text = claim.string_to_sign(&canonical);
            hex(hmac::sign(&key, text.as_bytes()).as_ref())
        });
        self.query = self.query.replace("Signature=x", &format!("Signature={signature}"));
        if let Some(given) = self.headers.get_mut("authorization") {
            let text = given.to_str().expect("text");
            let signed = text.replace("Signature=x", &format!("Signature={signature}"));
            *given = HeaderValue::from_str(&signed).expect("a value");
        }
    }
}

/// The published test vectors, as they come with botocore's sources.
fn vectors() -> Option<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| own.parent().expect("a checkout").join("target"));
    let sources = fs::read_dir(target.join("python/sources")).ok()?.flatten();
    let folder = sources.map(|entry| entry.path().join("tests/unit/auth/aws4_testsuite"));
    folder.into_iter().find(|folder| folder.is_dir())
}

fn folders(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "sreq") {
            found.push(path.clone());
        }
        if path.is_dir() {
            folders(&path, found);
        }
    }
}

/// A request as a vector has it: folded lines, spaces in the path and all.
fn parse(text: &str) -> Request {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let head = head.replace("\n ", " ");
    let mut lines = head.lines();
    let first = lines.next().expect("a request line").trim_end_matches(" HTTP/1.1");
    let (method, target) = first.split_once(' ').expect("a method");
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let header = |line: &'_ str| {
        let (name, value) = line.split_once(':').expect("a header");
        (name.to_owned(), value.trim().to_owned())
    };
    let headers: Vec<(String, String)> = lines.map(header).collect();
    let headers: Vec<(&str, &str)> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    Request { body: body.as_bytes().to_vec(), ..Request::new(method, path, query, &headers) }
}

#[test]
fn the_published_vectors_pass() {
    let Some(folder) = vectors() else {
        let line = "test sigv4::tests::the_published_vectors_pass ... skipped: \
                    run `cargo xtask python`";
        assert!(env::var_os("CI").is_none_or(|ci| ci != "true"), "{line}");
        writeln!(std::io::stderr(), "{line}").expect("standard error");
        return;
    };
    let mut found = Vec::new();
    folders(&folder, &mut found);
    assert!(found.len() >= 30, "{} vectors in {}", found.len(), folder.display());
    for path in found {
        let read = |extension: &str| {
            let text = fs::read_to_string(path.with_extension(extension)).expect("a file");
            text.replace('\r', "")
        };
        let mut request = parse(&read("sreq"));
        // One of the signed requests has the signature of another.
        let authorization = HeaderValue::from_str(&read("authz")).expect("a value");
        request.headers.insert("authorization", authorization);
        request.with(|signed| {
            let claim = Claim::read(signed, "service").expect("a claim").expect("a claim");
            let canonical = canonical_request(signed, &claim.signed_headers, false);
            let text = String::from_utf8_lossy(&canonical).into_owned();
            assert_eq!(text, read("creq"), "{}", path.display());
            assert_eq!(claim.string_to_sign(&canonical), read("sts"), "{}", path.display());
        });
        assert_eq!(request.verify("service"), Ok("AKIDEXAMPLE".to_owned()), "{}", path.display());
    }
}

/// The example of the service's documentation for signatures in a query.
#[test]
fn the_documented_query_passes() {
    let query = "Action=ListUsers&Version=2010-05-08&X-Amz-Algorithm=AWS4-HMAC-SHA256\
                 &X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Fus-east-1%2Fiam%2Faws4_request\
                 &X-Amz-Date=20150830T123600Z&X-Amz-Expires=60\
                 &X-Amz-SignedHeaders=content-type%3Bhost\
                 &X-Amz-Signature=37ac2f4fde00b0ac9bd9eadeb459b1bbee224158d66e7ae5fcadb70b2d181d02";
    let headers = [
        ("host", "iam.amazonaws.com"),
        ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
    ];
    let request = Request::new("GET", "/", query, &headers);
    assert_eq!(request.verify("iam"), Ok("AKIDEXAMPLE".to_owned()));
}

const HEADER: &str = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/execute-api/aws4_request, SignedHeaders=host;my-header;x-amz-date, Signature=x";
const QUERY: &str = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE/20150830/us-east-1/execute-api/aws4_request&X-Amz-Date=20150830T123600Z&X-Amz-SignedHeaders=host&X-Amz-Signature=x";

fn in_header() -> Request {
    let headers = [
        ("host", "example.com"),
        ("x-amz-date", "20150830T123600Z"),
        ("my-header", "a  b"),
        ("authorization", HEADER),
    ];
    let mut request = Request::new("POST", "/pets/%2F", "b=2&a=1%2B1", &headers);
    request.body = b"body".to_vec();
    request
}

fn in_query(more: &str) -> Request {
    Request::new("GET", "/pets", &format!("{QUERY}{more}"), &[("host", "example.com")])
}

#[test]
fn what_is_signed_cannot_be_changed() {
    let mut signed = in_header();
    signed.sign();
    assert_eq!(signed.verify("execute-api"), Ok("AKIDEXAMPLE".to_owned()));
    let changes: [fn(&mut Request); 9] = [
        |request| request.method = "PUT".to_owned(),
        |request| request.path = "/pets//".to_owned(),
        |request| request.path = "/pets/%2F/".to_owned(),
        |request| request.query = "b=2&a=1+1".to_owned(),
        |request| request.query.push_str("&a=2"),
        |request| {
            request.headers.append("my-header", HeaderValue::from_static("c"));
        },
        |request| drop(request.headers.remove("my-header")),
        |request| drop(request.headers.insert("host", HeaderValue::from_static("example.org"))),
        |request| request.body.push(b'!'),
    ];
    for (number, change) in changes.iter().enumerate() {
        let mut tampered = signed.clone();
        change(&mut tampered);
        assert_ne!(tampered, signed);
        let refused = tampered.verify("execute-api");
        assert!(matches!(refused, Err(SignatureError::Mismatch { .. })), "{number}: {refused:?}");
    }
    // What says the same is the same.
    let mut same = signed.clone();
    same.query = "a=1%2b1&&b=%32".to_owned();
    same.headers.insert("my-header", HeaderValue::from_static(" a b "));
    assert!(same.verify("execute-api").is_ok());
    let mut other = signed;
    other.path = "/pets/../pets//%2F".to_owned();
    assert!(other.verify("execute-api").is_ok());
    assert!(!is_normal(&other.path));
}

#[test]
fn paths_are_normal_without_dots_and_empty_segments() {
    for path in ["/", "/a", "/a/", "/a/b%2F..", "/...", "/a/.b"] {
        assert!(is_normal(path), "{path}");
    }
    for path in ["", "//", "/a//", "/./", "/a/..", "/.", "/a//b", "a"] {
        assert!(!is_normal(path), "{path}");
    }
}

#[test]
fn a_query_holds_as_long_as_it_says() {
    let message = |request: &Request, now: &str| {
        let now = from_timestamp(now).expect("a time");
        request.with(|signed| {
            let claim = Claim::read(signed, "execute-api")?.expect("a claim");
            claim.check_time(now)
        })
    };
    let (header, short, long) =
        (in_header(), in_query("&X-Amz-Expires=59"), in_query("&X-Amz-Expires=604800"));
    for (request, now) in [
        (&header, "20150830T123100Z"),
        (&header, "20150830T124100Z"),
        (&short, "20150830T123100Z"),
        (&short, "20150830T123659Z"),
        (&long, "20150906T123600Z"),
    ] {
        assert_eq!(message(request, now), Ok(()), "{now}");
    }
    for (request, now, expected) in [
        (
            &header,
            "20150830T124101Z",
            "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T124101Z - 5 min.)",
        ),
        (
            &header,
            "20150830T123059Z",
            "Signature not yet current: 20150830T123600Z is still later than 20150830T123559Z (20150830T123059Z + 5 min.)",
        ),
        (
            &short,
            "20150830T123700Z",
            "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T123700Z - 59 sec.)",
        ),
        (
            &long,
            "20150906T123601Z",
            "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150906T123601Z - 10080 min.)",
        ),
    ] {
        let refused = message(request, now).expect_err("refused");
        assert_eq!(refused, SignatureError::Invalid(expected.to_owned()));
    }
}

#[test]
fn what_is_not_in_its_form_is_refused_by_name() {
    let with = |name: &'static str, value: &str| {
        let mut request = in_header();
        request.headers.insert(name, HeaderValue::from_str(value).expect("a value"));
        request.verify("execute-api").expect_err("refused").message()
    };
    let bearer = with("authorization", "Bearer s3cret");
    assert!(bearer.starts_with("Invalid key=value pair (missing equal-sign)"), "{bearer}");
    assert!(!bearer.contains("s3cret"), "{bearer}");
    let bare = with("authorization", "s3cret");
    assert!(bare.starts_with("Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter. (Hashed"), "{bare}");
    assert!(!bare.contains("s3cret"), "{bare}");
    for (from, to, expected) in [
        ("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1", "Unsupported AWS 'algorithm'"),
        ("us-east-1/", "", "exactly 5 slash-delimited elements"),
        ("aws4_request", "aws5_request", "valid terminator: 'aws4_request'"),
        ("us-east-1", "", "scoped to a valid region"),
        ("execute-api", "s3", "scoped to correct service: 'execute-api'. "),
        ("20150830", "20150829", "'20150829' != '20150830', from '20150830T123600Z'. "),
        ("host;", "", "'Host' or ':authority' must be a 'SignedHeader'"),
        ("Signature=x", "Signature=x, Signature=x", "'Signature' more than once"),
    ] {
        let message = with("authorization", &HEADER.replace(from, to));
        assert!(message.contains(expected), "{to}: {message}");
    }
    let date = with("x-amz-date", "2015-08-30T12:36:00Z");
    assert!(date.starts_with("Date must be in ISO-8601 'basic format'."), "{date}");
    let digest = with("x-amz-content-sha256", "UNSIGNED-PAYLOAD");
    assert!(digest.contains("does not match what was computed"), "{digest}");
    let mut twice = in_header();
    twice.headers.append("authorization", HeaderValue::from_static(HEADER));
    let twice = twice.verify("execute-api").expect_err("refused").message();
    assert_eq!(twice, "The header 'authorization' may be there once.");
    let mut both = in_header();
    both.query = QUERY.to_owned();
    let both = both.verify("execute-api").expect_err("refused").message();
    assert!(both.starts_with("Only one auth mechanism allowed"), "{both}");
    for (more, expected) in [
        ("&X-Amz-Expires=0", "from 1 to 604800"),
        ("&X-Amz-Expires=604801", "from 1 to 604800"),
        ("&X-Amz-Expires=99999999999999999999", "from 1 to 604800"),
        ("&X-Amz-Date=20150830T123600Z", "'X-Amz-Date' may be there once"),
        ("&X-Amz-Signature=y", "'X-Amz-Signature' may be there once"),
        ("&X-Amz-Content-Sha256=UNSIGNED-PAYLOAD", "does not match what was computed"),
    ] {
        let message = in_query(more).verify("execute-api").expect_err("refused").message();
        assert!(message.contains(expected), "{more}: {message}");
    }
    let some = Request::new("GET", "/", "X-Amz-Credential=x", &[("host", "a")]);
    let some = some.verify("execute-api").expect_err("refused").message();
    assert!(some.starts_with("AWS query-string parameters must include 'X-Amz-Algorithm'. AWS"));
}

#[test]
fn a_date_header_serves_where_there_is_no_other() {
    let mut request = in_header();
    request.headers.remove("x-amz-date");
    let date = HeaderValue::from_static("Sun, 30 Aug 2015 12:36:00 GMT");
    request.headers.insert("date", date);
    request.sign();
    assert_eq!(request.verify("execute-api"), Ok("AKIDEXAMPLE".to_owned()));
    // In UTC it is in the year 10000.
    for late in ["Fri, 31 Dec 9999 23:59:59 -0100", "Sat, 01 Jan 0000 00:00:00 +0100"] {
        request.headers.insert("date", HeaderValue::from_static(late));
        let message = request.verify("execute-api").expect_err("refused").message();
        assert!(message.starts_with("Date must be in ISO-8601"), "{late}: {message}");
    }
}

#[test]
fn what_should_have_been_signed_is_told_without_secrets() {
    let mut request = in_header();
    let text = HEADER.replace("my-header", "cookie;my-header;x-amz-security-token");
    request.headers.insert("authorization", HeaderValue::from_str(&text).expect("a value"));
    request.headers.insert("cookie", HeaderValue::from_static("s3cret"));
    request.headers.insert("x-amz-security-token", HeaderValue::from_static("s3cret"));
    request.query = "a=1&X-Amz-Security-Token=s3cret".to_owned();
    let message = request.verify("execute-api").expect_err("refused").message();
    assert!(message.contains("'POST\n/pets/%252F\nX-Amz-Security-Token=***&a=1\ncookie:***\nhost:example.com\nmy-header:a b\nx-amz-date:20150830T123600Z\nx-amz-security-token:***\n\n"), "{message}");
    assert!(
        message.contains(
            "'AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/execute-api/aws4_request\n"
        ),
        "{message}"
    );
    assert!(!message.contains("s3cret"), "{message}");
    request.query = format!("a={}", "x".repeat(SHOWN_BYTES_MAX));
    let message = request.verify("execute-api").expect_err("refused").message();
    assert!(message.ends_with("Consult the service documentation for details."), "{message}");
}

proptest! {
    /// Nothing that a stranger sends panics, and nothing of it verifies.
    #[test]
    fn any_claim_is_read(
        authorization in "(AWS4-HMAC-SHA256 )?(Credential=|Signature=|SignedHeaders=|[a-z/;=, ]|\\PC){0,20}",
        query in "(X-Amz-(Algorithm|Credential|Signature|Date|Expires|SignedHeaders)=|[a-z0-9&=%+/]|\\PC){0,20}",
        path in "/[a-z%./]{0,12}",
    ) {
        let mut request = Request::new("GET", &path, &query, &[("host", "a")]);
        if let Ok(value) = HeaderValue::from_bytes(authorization.as_bytes()) {
            request.headers.insert("authorization", value);
        }
        request.with(|signed| {
            if let Ok(Some(claim)) = Claim::read(signed, "execute-api") {
                let _ = claim.check_time(OffsetDateTime::UNIX_EPOCH);
                assert!(claim.verify(signed, SECRET).is_err());
            }
        });
    }

    /// Whatever is signed verifies, and as something else it does not.
    #[test]
    fn a_signature_is_one_request_s(
        path in "(/[a-z%éø+]{1,5}){1,3}/?",
        query in "([a-c]=[a-zé%+ ]{0,4}&){0,4}",
        other in "(/[a-z%éø+]{1,5}){1,3}/?",
    ) {
        let mut request = Request { path, ..in_header() };
        request.query = query.clone();
        request.sign();
        prop_assert_eq!(request.verify("execute-api"), Ok("AKIDEXAMPLE".to_owned()));
        let mut in_query = in_query(&format!("&{query}"));
        in_query.sign();
        prop_assert_eq!(in_query.verify("execute-api"), Ok("AKIDEXAMPLE".to_owned()));
        if other != request.path {
            let replayed = Request { path: other, ..request };
            prop_assert!(replayed.verify("execute-api").is_err());
        }
    }
}

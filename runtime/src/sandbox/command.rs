//! Commands: the event on standard input, the answer on standard output, as
//! JSON or as a CGI script gives it.
//!
//! CGI: <https://www.rfc-editor.org/rfc/rfc3875>

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use wasmtime::Store;
use wasmtime_wasi::I32Exit;

use super::{
    Function, Invocation, InvokeError,
    component::{Compiled, Guest},
    host::{State, Stdio},
    http::REQUEST_CONTEXT,
    invoke::failure,
    proxy_event,
    stdio::Kept,
};

/// Header lines that an answer in CGI's form may have.
const HEADERS_MAX: usize = 1000;

impl Function {
    /// Runs a command to its end.
    pub(super) async fn command(
        &self,
        compiled: &Compiled,
        invocation: Invocation,
        mut store: Store<State>,
    ) -> Result<String, InvokeError> {
        let output = Kept::new(self.config.response_bytes_max);
        let variables = variables(&invocation.event);
        let stdio = Stdio {
            arguments: vec![self.name.clone()],
            input: Bytes::from(invocation.event),
            output: output.clone(),
        };
        store.data_mut().set_stdio(stdio, variables);
        let ended = run(&compiled.guest, &mut store).await;
        compiled.ended();
        let status = ended.or_else(|error| match error.downcast_ref::<I32Exit>() {
            Some(I32Exit(status)) => Ok(*status),
            None => Err(failure(&mut store, &error, self.config.memory_mb)),
        })?;
        let max = self.config.response_bytes_max;
        // That there was no room for all of it may be why it failed.
        let bytes = output.take().map_err(|size| InvokeError::ResponseTooLarge { size, max })?;
        if status != 0 {
            return Err(InvokeError::Exit(status));
        }
        answer(bytes).map_err(InvokeError::Output)
    }
}

/// The exit status of a command that returns.
async fn run(guest: &Guest, store: &mut Store<State>) -> wasmtime::Result<i32> {
    let ended = match guest {
        Guest::CommandP2(pre) => {
            let command = pre.instantiate_async(&mut *store).await?;
            command.wasi_cli_run().call_run(&mut *store).await?
        }
        Guest::CommandP3(pre) => {
            let command = pre.instantiate_async(&mut *store).await?;
            let run = async |accessor: &wasmtime::component::Accessor<State>| {
                command.wasi_cli_run().call_run(accessor).await
            };
            store.run_concurrent(run).await??
        }
        _ => return Err(wasmtime::Error::msg("not a command")),
    };
    Ok(i32::from(ended.is_err()))
}

/// CGI's variables, where the event is a proxy event. Those of the body are
/// not among them: standard input is the event.
fn variables(event: &str) -> Vec<(String, String)> {
    let Ok((request, _)) = proxy_event::request(event) else { return Vec::new() };
    let uri = request.uri();
    let path = percent_encoding::percent_decode_str(uri.path()).decode_utf8_lossy();
    let mut variables = vec![
        ("GATEWAY_INTERFACE".to_owned(), "CGI/1.1".to_owned()),
        ("PATH_INFO".to_owned(), path.into_owned()),
        ("QUERY_STRING".to_owned(), uri.query().unwrap_or_default().to_owned()),
        ("REQUEST_METHOD".to_owned(), request.method().to_string()),
        ("SCRIPT_NAME".to_owned(), String::new()),
        ("SERVER_NAME".to_owned(), uri.host().unwrap_or_default().to_owned()),
        ("SERVER_PROTOCOL".to_owned(), "HTTP/1.1".to_owned()),
        ("SERVER_SOFTWARE".to_owned(), concat!("mayfly/", env!("CARGO_PKG_VERSION")).to_owned()),
    ];
    let headers = request.headers();
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let port = text("x-forwarded-port").unwrap_or("80").to_owned();
    variables.push(("SERVER_PORT".to_owned(), port));
    if let Some(address) = source_ip(text(REQUEST_CONTEXT.as_str()))
        .or_else(|| Some(text("x-forwarded-for")?.rsplit(", ").next()?.to_owned()))
    {
        variables.push(("REMOTE_ADDR".to_owned(), address));
    }
    for name in headers.keys() {
        // RFC 3875, section 4.1.18, and what a client of HTTP would be
        // configured by: <https://httpoxy.org>.
        if matches!(name.as_str(), "authorization" | "content-length" | "content-type" | "proxy") {
            continue;
        }
        // A client's `x_forwarded_for` would be the same variable as the
        // gateway's `x-forwarded-for`.
        if name.as_str().contains('_') {
            continue;
        }
        let values: Vec<&str> =
            headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
        let name = name.as_str().to_ascii_uppercase().replace('-', "_");
        variables.push((format!("HTTP_{name}"), values.join(", ")));
    }
    // What is set cannot hold the character that ends it.
    variables.retain(|(_, value)| !value.contains('\0'));
    variables
}

/// Whom the gateway takes for the client, which is not always the last of
/// `x-forwarded-for`: that may be a trusted proxy.
fn source_ip(context: Option<&str>) -> Option<String> {
    let context: Value = serde_json::from_str(context?).ok()?;
    let of = |place: &str| context[place]["sourceIp"].as_str().map(str::to_owned);
    of("identity").or_else(|| of("http"))
}

/// The result that standard output stands for: JSON as it is, else a response
/// of CGI as a proxy response.
fn answer(output: Vec<u8>) -> Result<String, String> {
    if output.iter().all(u8::is_ascii_whitespace) {
        return Err("it is empty".to_owned());
    }
    let not_json = match serde_json::from_slice::<serde::de::IgnoredAny>(&output) {
        Ok(_) => {
            return String::from_utf8(output).map_err(|error| error.to_string());
        }
        Err(error) => error,
    };
    cgi(&output).map_err(|not_cgi| {
        format!("it is neither JSON ({not_json}) nor a response of CGI ({not_cgi})")
    })
}

fn cgi(output: &[u8]) -> Result<String, String> {
    let mut status = None;
    let mut headers: Map<String, Value> = Map::new();
    let mut rest = output;
    let mut count = 0;
    loop {
        let end = rest.iter().position(|byte| *byte == b'\n');
        let end = end.ok_or("no blank line ends its headers")?;
        let (line, after) = (&rest[..end], &rest[end + 1..]);
        rest = after;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            break;
        }
        count += 1;
        if count > HEADERS_MAX {
            return Err(format!("it has more than {HEADERS_MAX} header lines"));
        }
        let line = std::str::from_utf8(line).map_err(|_| "a header line is not UTF-8")?;
        let (name, value) = line
            .split_once(':')
            .filter(|(name, _)| name.parse::<http::HeaderName>().is_ok())
            .ok_or_else(|| format!("{:?} is no header line", shortened(line)))?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("status") {
            let code = value.split(' ').next().and_then(|code| code.parse::<u16>().ok());
            let code = code.filter(|code| (200..600).contains(code));
            status = Some(code.ok_or_else(|| format!("its status is {:?}", shortened(value)))?);
            continue;
        }
        let values = headers.entry(name.to_ascii_lowercase()).or_insert_with(|| json!([]));
        if let Value::Array(values) = values {
            values.push(value.into());
        }
    }
    // RFC 3875, section 6.2.1: one of them has to be there.
    let redirects = headers.contains_key("location");
    if status.is_none() && !redirects && !headers.contains_key("content-type") {
        return Err("it has neither Content-Type, Status nor Location".to_owned());
    }
    let status = status.unwrap_or(if redirects { 302 } else { 200 });
    let (body, is_base64_encoded) = match std::str::from_utf8(rest) {
        Ok(text) => (text.to_owned(), false),
        Err(_) => (STANDARD.encode(rest), true),
    };
    let response = json!({
        "statusCode": status,
        "multiValueHeaders": headers,
        "body": body,
        "isBase64Encoded": is_base64_encoded,
    });
    Ok(response.to_string())
}

fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(80)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json_of(output: &str) -> Value {
        let text = answer(output.as_bytes().to_vec()).unwrap_or_else(|why| panic!("{why}"));
        serde_json::from_str(&text).expect("JSON")
    }

    #[test]
    fn json_is_the_result() {
        assert_eq!(json_of("{\"a\": 1}\n"), json!({ "a": 1 }));
        assert_eq!(json_of("\"text\""), json!("text"));
        assert_eq!(json_of("5"), json!(5));
    }

    #[test]
    fn cgi_becomes_a_proxy_response() {
        let response = json_of("Status: 404 Not Found\r\nContent-Type: text/plain\r\n\r\ngone\n");
        assert_eq!(response["statusCode"], 404);
        assert_eq!(response["multiValueHeaders"], json!({ "content-type": ["text/plain"] }));
        assert_eq!(response["body"], "gone\n");
        let response = json_of("Set-Cookie: a=1\nSet-Cookie: b=2\nContent-Type: a/b\n\n");
        assert_eq!(response["statusCode"], 200);
        assert_eq!(response["multiValueHeaders"]["set-cookie"], json!(["a=1", "b=2"]));
        assert_eq!(json_of("Location: /there\n\n")["statusCode"], 302);
        let binary = answer(b"Content-Type: image/x\n\n\xff\xfe".to_vec()).expect("a response");
        let binary: Value = serde_json::from_str(&binary).expect("JSON");
        assert_eq!((&binary["body"], &binary["isBase64Encoded"]), (&json!("//4="), &json!(true)));
    }

    #[test]
    fn anything_else_is_no_answer() {
        for (output, why) in [
            ("", "it is empty"),
            (" \n", "it is empty"),
            ("Hello, world!\n", "\"Hello, world!\" is no header line"),
            ("Content-Type: text/plain\n", "no blank line"),
            ("X-Other: 1\n\nbody", "neither Content-Type, Status nor Location"),
            ("Status: 99\n\n", "its status is \"99\""),
            ("Status: many\n\n", "its status is \"many\""),
            ("a b: c\n\n", "is no header line"),
        ] {
            let error = answer(output.as_bytes().to_vec()).expect_err(output);
            assert!(error.contains(why), "{output:?}: {error}");
        }
    }

    #[test]
    fn a_request_s_variables_are_cgi_s() {
        let event = json!({
            "version": "2.0", "rawPath": "/a b", "rawQueryString": "x=1",
            "headers": { "x-mode": "m", "proxy": "http://evil", "content-type": "a/b",
                         "x_mode": "forged", "x_other": "1",
                         "x-forwarded-for": "1.1.1.1, 2.2.2.2" },
            "requestContext": { "domainName": "example.com", "http": { "method": "PUT" } },
        });
        let variables = variables(&event.to_string());
        let of = |name: &str| {
            let mut values = variables.iter().filter(|(own, _)| own == name);
            let value = values.next().map(|(_, value)| value.as_str());
            assert_eq!(values.next(), None, "{name} is there twice");
            value
        };
        assert_eq!(of("REQUEST_METHOD"), Some("PUT"));
        assert_eq!(of("PATH_INFO"), Some("/a b"));
        assert_eq!(of("QUERY_STRING"), Some("x=1"));
        assert_eq!(of("HTTP_X_MODE"), Some("m"));
        assert_eq!(of("SERVER_NAME"), Some("example.com"));
        assert_eq!(of("REMOTE_ADDR"), Some("2.2.2.2"));
        assert_eq!(of("HTTP_PROXY"), None);
        assert_eq!(of("HTTP_X_OTHER"), None);
        assert_eq!(of("CONTENT_TYPE"), None);
        assert_eq!(super::variables("{}"), []);
        let event = json!({
            "httpMethod": "GET", "path": "/",
            "headers": { "x-forwarded-for": "1.1.1.1, 10.0.0.1" },
            "requestContext": { "identity": { "sourceIp": "1.1.1.1" } },
        });
        let address = ("REMOTE_ADDR".to_owned(), "1.1.1.1".to_owned());
        assert!(super::variables(&event.to_string()).contains(&address));
        let event = json!({
            "rawPath": "/", "headers": { "x-forwarded-for": "1.1.1.1, 10.0.0.1" },
            "requestContext": { "http": { "method": "GET", "sourceIp": "1.1.1.1" } },
        });
        assert!(super::variables(&event.to_string()).contains(&address));
    }

    proptest::proptest! {
        #[test]
        fn any_output_is_an_answer_or_an_error(output in "((Status|Content-Type|[a-z]{0,3}):? ?[0-9a-z]{0,4}\r?\n){0,4}\n?\\PC{0,10}") {
            if let Ok(text) = answer(output.into_bytes()) {
                proptest::prop_assert!(serde_json::from_str::<Value>(&text).is_ok());
            }
        }
    }
}

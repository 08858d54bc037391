//! Requests to other servers.

use std::time::Duration;

use serde_json::{Value, json};
use wasip2::http::{
    outgoing_handler,
    types::{
        Fields, FutureIncomingResponse, IncomingResponse, Method, OutgoingBody, OutgoingRequest,
        RequestOptions, ResponseOutparam, Scheme,
    },
};

use crate::{query_value, read, respond, write};

/// GETs `uri`, or POSTs `body` to it, and tells what came of it.
pub fn fetch(query: &str) -> Value {
    match call(query).and_then(|future| response(&future)) {
        Ok(response) => match body_of(&response) {
            Ok(body) => json!({ "status": response.status(), "body": body }),
            Err(error) => json!({ "status": response.status(), "error": error }),
        },
        Err(error) => json!({ "error": error }),
    }
}

/// Makes as many requests at once, and counts those that were refused.
pub fn many(query: &str, number: u64) -> Value {
    let all: Vec<_> = (0..number).map(|_| call(query)).collect();
    let refused = all.iter().filter(|called| match called {
        Ok(future) => response(future).is_err_and(|error| error.contains("ConnectionLimit")),
        Err(_) => false,
    });
    json!({ "refused": refused.count() })
}

/// Makes requests that are none, and counts those that were refused.
pub fn nowhere(number: u64) -> Value {
    let refused = (0..number).filter(|_| {
        let request = OutgoingRequest::new(Fields::new());
        request.set_scheme(Some(&Scheme::Http)).expect("a scheme");
        request.set_authority(Some("example.com")).expect("an authority");
        outgoing_handler::handle(request, None).is_err()
    });
    json!({ "refused": refused.count() })
}

/// Answers with what `uri` answers, as it comes.
pub fn proxy(query: &str, out: ResponseOutparam) {
    let response = call(query).and_then(|future| response(&future)).expect("a response");
    let body = response.consume().expect("a body");
    let input = body.stream().expect("a stream");
    respond(out, response.status(), &Fields::new(), |output| {
        while let Ok(Some(bytes)) = read(&input) {
            write(output, &bytes);
        }
    });
}

fn call(query: &str) -> Result<FutureIncomingResponse, String> {
    let uri = query_value(query, "uri").unwrap_or_default();
    let (scheme, rest) = uri.split_once("://").ok_or("no scheme")?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let headers = Fields::new();
    headers.set("x-guest", &[b"yes".to_vec()]).map_err(|error| error.to_string())?;
    let request = OutgoingRequest::new(headers);
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    };
    request.set_scheme(Some(&scheme)).map_err(|()| "the scheme")?;
    request.set_authority(Some(authority)).map_err(|()| "the authority")?;
    request.set_path_with_query(Some(&format!("/{path}"))).map_err(|()| "the path")?;
    let text = query_value(query, "body");
    let options = query_value(query, "timeout_ms").and_then(|text| text.parse().ok()).map(|ms| {
        let options = RequestOptions::new();
        let timeout = u64::try_from(Duration::from_millis(ms).as_nanos()).ok();
        options.set_first_byte_timeout(timeout).expect("an option");
        options.set_between_bytes_timeout(timeout).expect("an option");
        options
    });
    let Some(text) = text else {
        return outgoing_handler::handle(request, options).map_err(|code| format!("{code:?}"));
    };
    request.set_method(&Method::Post).map_err(|()| "the method")?;
    let body = request.body().map_err(|()| "the body")?;
    let future = outgoing_handler::handle(request, options).map_err(|code| format!("{code:?}"))?;
    let stream = body.write().map_err(|()| "the stream")?;
    write(&stream, text.as_bytes());
    drop(stream);
    OutgoingBody::finish(body, None).map_err(|code| format!("{code:?}"))?;
    Ok(future)
}

fn response(future: &FutureIncomingResponse) -> Result<IncomingResponse, String> {
    future.subscribe().block();
    let response = future.get().ok_or("no response")?.map_err(|()| "taken already")?;
    response.map_err(|code| format!("{code:?}"))
}

fn body_of(response: &IncomingResponse) -> Result<String, String> {
    let body = response.consume().map_err(|()| "the body")?;
    let stream = body.stream().map_err(|()| "the stream")?;
    let mut bytes = Vec::new();
    while let Some(mut part) = read(&stream)? {
        bytes.append(&mut part);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

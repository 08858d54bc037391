//! CORS for the whole API: preflights are answered without an integration,
//! and answers carry the headers that let a browser hand them over.
//!
//! HTTP APIs: <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-cors.html>
//! REST APIs: <https://docs.aws.amazon.com/apigateway/latest/developerguide/how-to-cors.html>

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header, request::Parts,
};

use crate::{
    config::{ApiKind, CorsConfig, CorsMethod},
    gateway::Gateway,
    integration::AnswerBody,
};

const HEADERS: [HeaderName; 6] = [
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
    header::ACCESS_CONTROL_MAX_AGE,
];

/// The answer to a preflight for `path`, unless the path has an `OPTIONS` route of its
/// own or no route at all.
pub fn preflight(gateway: &Gateway, parts: &Parts, path: &str) -> Option<Response<AnswerBody>> {
    let cors = gateway.config.cors.as_ref()?;
    if parts.method != Method::OPTIONS
        || !parts.headers.contains_key(header::ORIGIN)
        || !parts.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
    {
        return None;
    }
    let methods = gateway.router.methods(path);
    if methods.is_empty() || methods.contains(&Some(Method::OPTIONS)) {
        return None;
    }
    let mut response = Response::new(AnswerBody::default());
    *response.status_mut() = match gateway.config.kind {
        _ if gateway.url.is_some() => StatusCode::OK,
        ApiKind::Rest => StatusCode::OK,
        ApiKind::Http => StatusCode::NO_CONTENT,
    };
    if allowed_origin(cors, &parts.headers).is_none() {
        return Some(response);
    }
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, text: String| {
        if let Ok(value) = HeaderValue::from_str(&text)
            && !value.is_empty()
        {
            headers.insert(name, value);
        }
    };
    set(header::ACCESS_CONTROL_ALLOW_METHODS, allowed_methods(cors, &methods));
    set(header::ACCESS_CONTROL_ALLOW_HEADERS, list(&cors.allow_headers));
    if let Some(seconds) = cors.max_age_seconds {
        set(header::ACCESS_CONTROL_MAX_AGE, seconds.to_string());
    }
    Some(response)
}

/// Puts the headers for the request's origin on a response of any kind.
pub fn finish(gateway: &Gateway, parts: &Parts, response: &mut Response<AnswerBody>) {
    let Some(cors) = &gateway.config.cors else { return };
    let origin = allowed_origin(cors, &parts.headers);
    let preflight = parts.method == Method::OPTIONS;
    let headers = response.headers_mut();
    match gateway.config.kind {
        // What the configuration says replaces what the integration says.
        ApiKind::Http if !preflight => {
            for name in HEADERS {
                headers.remove(name);
            }
        }
        // A REST API's own word, given per method, comes first.
        ApiKind::Rest if headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) => return,
        _ => {}
    }
    if cors.allow_credentials || cors.allow_origins.iter().all(|allowed| allowed != "*") {
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    let Some(origin) = origin else { return };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    if cors.allow_credentials {
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    if let Ok(value) = HeaderValue::from_str(&list(&cors.expose_headers))
        && !value.is_empty()
        && !preflight
    {
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, value);
    }
}

/// What `Access-Control-Allow-Origin` says to this request.
fn allowed_origin(cors: &CorsConfig, headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    let is_any = cors.allow_origins.iter().any(|allowed| allowed == "*");
    // With credentials a browser takes nothing but its own origin's name.
    if is_any && !cors.allow_credentials {
        return Some(HeaderValue::from_static("*"));
    }
    (is_any || cors.allow_origins.contains(origin)).then(|| origin.clone())
}

/// The configured methods, else those that the path has routes for.
fn allowed_methods(cors: &CorsConfig, routed: &[Option<Method>]) -> String {
    let mut names: Vec<&str> = match cors.allow_methods.as_slice() {
        [] if routed.contains(&None) => {
            vec!["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]
        }
        [] => routed.iter().flatten().map(Method::as_str).chain(["OPTIONS"]).collect(),
        configured => configured
            .iter()
            .map(|method| match method {
                CorsMethod::Any => "*",
                CorsMethod::Only(method) => method.as_str(),
            })
            .collect(),
    };
    names.sort_unstable();
    names.dedup();
    names.join(",")
}

fn list(values: &[HeaderValue]) -> String {
    let texts: Vec<&str> = values.iter().filter_map(|value| value.to_str().ok()).collect();
    texts.join(",")
}

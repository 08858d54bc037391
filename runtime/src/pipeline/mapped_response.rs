//! The integration response of an integration behind mapping templates: its
//! answer selects a response, whose templates and mappings make the client's.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::Value;

use super::{
    error::GatewayError,
    event,
    integration_request::variables,
    integration_response::{HEADERS_MAX, remove_connection_headers},
    method_request::{About, MethodRequest, header_text},
};
use crate::{
    config::{HeaderMapping, IntegrationResponseConfig, MappedConfig, MappedTarget},
    mapping::MappingTemplate,
};

/// Makes the response of what the integration answered; `error` is the error
/// message of a function that failed.
///
/// # Errors
/// Where no response is selected, or a template fails.
pub fn into_response(
    mapped: &MappedConfig,
    payload: String,
    error: Option<&str>,
    request: &MethodRequest<'_>,
) -> Result<Response<Bytes>, GatewayError> {
    let (selector, body) = match &mapped.target {
        // A mock answers with a status code and nothing else.
        MappedTarget::Mock => (Some(mock_status(&payload)?), String::new()),
        MappedTarget::Function(_) => (error.map(str::to_owned), payload),
    };
    let selected = select(&mapped.responses, selector.as_deref()).ok_or_else(|| {
        let selector = selector.as_deref().unwrap_or("success");
        GatewayError::Mapping(format!("no integration response is selected by {selector:?}"))
    })?;
    respond(selected, body, request)
}

/// The `statusCode` that the request template of a mock made.
fn mock_status(payload: &str) -> Result<String, GatewayError> {
    let status = match serde_json::from_str::<Value>(payload) {
        Ok(value) => match &value["statusCode"] {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        },
        Err(_) => None,
    };
    status.map(|status| status.to_string()).ok_or_else(|| {
        GatewayError::Mapping(format!(
            "the mock's request has no statusCode: {payload:?} (hint: its template has to make {{\"statusCode\": 200}})"
        ))
    })
}

/// The first response whose pattern matches, else the one without a pattern.
fn select<'r>(
    responses: &'r [IntegrationResponseConfig],
    selector: Option<&str>,
) -> Option<&'r IntegrationResponseConfig> {
    let matching = responses.iter().find(|response| {
        response.pattern.as_ref().zip(selector).is_some_and(|(pattern, text)| {
            // A pattern that takes too long matches nothing.
            pattern.regex.is_match(text).unwrap_or(false)
        })
    });
    matching.or_else(|| responses.iter().find(|response| response.pattern.is_none()))
}

fn respond(
    selected: &IntegrationResponseConfig,
    body: String,
    request: &MethodRequest<'_>,
) -> Result<Response<Bytes>, GatewayError> {
    let mut status = selected.status;
    let mut headers = HeaderMap::new();
    let content_type = accepted(&selected.templates, request.headers);
    let name = content_type.unwrap_or("application/json");
    if let Ok(value) = HeaderValue::from_str(name) {
        headers.insert(header::CONTENT_TYPE, value);
    }
    let about = request.about();
    let context = Value::Object(event::template_context(&about));
    for (name, mapping) in &selected.headers {
        if let Some(value) = header_value(mapping, &body, &context, &about) {
            headers.insert(name, value);
        }
    }
    let template = selected.templates.iter().find(|(own, _)| Some(own.as_str()) == content_type);
    let text = match template {
        None => body,
        Some((name, template)) => {
            let rendered = template.render(variables(request, body)).map_err(|error| {
                GatewayError::Mapping(format!("the response template for {name}: {error}"))
            })?;
            if let Some(code) = rendered.status {
                status = override_status(&code)?;
            }
            for (name, value) in rendered.headers {
                override_header(&mut headers, &name, &value)?;
            }
            rendered.text
        }
    };
    remove_connection_headers(&mut headers);
    let empty = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let mut response = Response::new(if empty { Bytes::new() } else { Bytes::from(text) });
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// The content type of the template that the client accepts, else of the first.
pub fn accepted<'t>(
    templates: &'t [(String, MappingTemplate)],
    headers: &HeaderMap,
) -> Option<&'t str> {
    let accept = header_text(headers, header::ACCEPT).unwrap_or_default().to_ascii_lowercase();
    let essences = accept.split(',').filter_map(|part| part.split(';').next()).map(str::trim);
    let own = |wanted: &str| templates.iter().find(|(own, _)| own == wanted);
    let found = essences.filter_map(own).next().or(templates.first());
    found.map(|(content_type, _)| content_type.as_str())
}

/// A mapping's value; one that leads to nothing sets no header.
pub fn header_value(
    mapping: &HeaderMapping,
    body: &str,
    context: &Value,
    about: &About<'_>,
) -> Option<HeaderValue> {
    let text = match mapping {
        HeaderMapping::Static(value) => return Some(value.clone()),
        HeaderMapping::Body(path) => {
            let body = serde_json::from_str(body).ok()?;
            plain(&path.find(&body).ok()??)
        }
        HeaderMapping::Context(path) => {
            let found = path.iter().try_fold(context, |value, name| value.get(name))?;
            if found.is_null() {
                return None;
            }
            plain(found)
        }
        HeaderMapping::StageVariable(name) => {
            about.gateway.config.stage_variables()?.get(name)?.clone()
        }
        HeaderMapping::RequestHeader(name) => return about.headers.get(name).cloned(),
    };
    HeaderValue::from_str(&text).ok()
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn override_status(code: &str) -> Result<StatusCode, GatewayError> {
    let status = code.parse().ok().filter(|status| (200..600).contains(status));
    status.and_then(|status: u16| StatusCode::from_u16(status).ok()).ok_or_else(|| {
        GatewayError::Mapping(format!(
            "$context.responseOverride.status is {code:?}, no status code"
        ))
    })
}

fn override_header(headers: &mut HeaderMap, name: &str, value: &str) -> Result<(), GatewayError> {
    let wrong = || {
        GatewayError::Mapping(format!(
            "$context.responseOverride.header.{name} is {value:?}, no header"
        ))
    };
    let parsed: HeaderName = name.parse().map_err(|_| wrong())?;
    if headers.len() >= HEADERS_MAX {
        return Err(GatewayError::Mapping(format!(
            "more than {HEADERS_MAX} headers are overridden"
        )));
    }
    headers.insert(parsed, HeaderValue::from_str(value).map_err(|_| wrong())?);
    Ok(())
}

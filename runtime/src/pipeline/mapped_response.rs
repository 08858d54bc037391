//! The integration response of an integration behind mapping templates: its
//! answer selects a response, whose templates and mappings make the client's.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::Value;

use super::{
    Trace,
    content::{self, Conversion},
    error::GatewayError,
    expression::{Scope, header_values},
    integration_response::remove_connection_headers,
    method_request::{MethodRequest, header_text},
    proxy_response::HEADERS_MAX,
    template_variables::TemplateVariables,
};
use crate::{
    config::{IntegrationResponseConfig, MappedConfig, MappedTarget},
    integration::{AnswerBody, IntegrationAnswer},
    mapping::MappingTemplate,
};

/// Makes the response of what the integration answered; `error` is the error
/// message of a function that failed.
///
/// # Errors
/// Where no response is selected, or a template fails.
pub fn into_response(
    mapped: &MappedConfig,
    answer: IntegrationAnswer,
    error: Option<&str>,
    request: &MethodRequest<'_>,
    trace: &mut Trace,
) -> Result<Response<AnswerBody>, GatewayError> {
    let (selector, answer) = match answer {
        // A mock answers with a status code and nothing else.
        IntegrationAnswer::Payload(text) if mapped.target == MappedTarget::Mock => {
            (Some(mock_status(&text)?), Answer::default())
        }
        IntegrationAnswer::Payload(text) => {
            (error.map(str::to_owned), Answer { body: text.into(), ..Answer::default() })
        }
        IntegrationAnswer::Http { status, headers, body, .. } => {
            let body = body.whole().cloned().unwrap_or_default();
            (Some(status.as_str().to_owned()), Answer { headers, body })
        }
    };
    let selected = select(&mapped.responses, selector.as_deref()).ok_or_else(|| {
        let selector = selector.as_deref().unwrap_or("success");
        GatewayError::Mapping(format!("no integration response is selected by {selector:?}"))
    })?;
    trace.note("selected response", |_| {
        let by = match &selected.pattern {
            Some(pattern) => format!("pattern {:?}", pattern.text),
            None => "the default, without a pattern".to_owned(),
        };
        let of = selector.as_deref().map_or_else(String::new, |text| format!(" for {text:?}"));
        let template = match accepted(&selected.templates, &request.headers) {
            Some(name) => format!("template for {name}"),
            None => "no template: the body passes as it is".to_owned(),
        };
        format!("status {}, {by}{of}\n{template}", selected.status.as_u16())
    });
    respond(selected, &answer, request)
}

/// What the integration answered beside its status code.
#[derive(Default)]
struct Answer {
    headers: HeaderMap,
    body: Bytes,
}

/// The `statusCode` that the request template of a mock made.
fn mock_status(payload: &str) -> Result<String, GatewayError> {
    let status = serde_json::from_str(payload).ok().and_then(|MockRequest(status)| status);
    status.map(|status| status.to_string()).ok_or_else(|| {
        GatewayError::Mapping(format!(
            "the mock's request has no statusCode: {payload:?} (hint: its template has to make {{\"statusCode\": 200}})"
        ))
    })
}

/// The `statusCode` of an object; of the rest nothing is made.
struct MockRequest(Option<u64>);

impl<'de> Deserialize<'de> for MockRequest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MockRequest(None))
    }
}

impl<'de> Visitor<'de> for MockRequest {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Self, A::Error> {
        while let Some(name) = members.next_key::<String>()? {
            if name != "statusCode" {
                members.next_value::<IgnoredAny>()?;
                continue;
            }
            self.0 = match members.next_value::<Value>()? {
                Value::Number(number) => number.as_u64(),
                Value::String(text) => text.parse().ok(),
                _ => None,
            };
        }
        Ok(self)
    }
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
    answer: &Answer,
    request: &MethodRequest<'_>,
) -> Result<Response<AnswerBody>, GatewayError> {
    let conversion = Conversion::of_answer(request, &answer.headers, selected.content_handling);
    let text = conversion.before(&answer.body);
    let mut status = selected.status;
    let mut headers = HeaderMap::new();
    let content_type = accepted(&selected.templates, &request.headers);
    // An endpoint's own type counts only where it is mapped.
    let name = content_type.unwrap_or("application/json");
    if let Ok(value) = HeaderValue::from_str(name) {
        headers.insert(header::CONTENT_TYPE, value);
    }
    let scope = Scope::answer(request, &answer.headers, text.as_deref().unwrap_or_default());
    for (name, mapping) in &selected.headers {
        let values = scope.values(mapping);
        let mut values = header_values(&values);
        if let Some(first) = values.next() {
            headers.insert(name, first);
        }
        for value in values {
            headers.append(name, value);
        }
    }
    let template = selected.templates.iter().find(|(own, _)| Some(own.as_str()) == content_type);
    let body = match (template, text) {
        (Some((name, template)), Some(text)) => {
            let rendered = template.render(&TemplateVariables::of_answer(request, text));
            let rendered = rendered.map_err(|error| {
                GatewayError::Mapping(format!("the response template for {name}: {error}"))
            })?;
            if let Some(code) = rendered.status {
                status = override_status(&code)?;
            }
            for (name, value) in rendered.headers {
                override_header(&mut headers, &name, &value)?;
            }
            conversion.after(rendered.text)?
        }
        (Some(_), None) => return Err(Conversion::no_text(&content::essence(&answer.headers))),
        (None, Some(text)) if conversion != Conversion::Text => {
            conversion.after(text.into_owned())?
        }
        (None, _) => answer.body.clone(),
    };
    // The content type alone is none of those.
    if headers.len() > 1 {
        remove_connection_headers(&mut headers);
    }
    let empty = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let mut response = Response::new(if empty { AnswerBody::default() } else { body.into() });
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// The content type of the template that the client accepts, else of the first.
pub fn accepted<'t>(
    templates: &'t [(String, MappingTemplate)],
    headers: &HeaderMap,
) -> Option<&'t str> {
    // Of one there is nothing to choose.
    if let [] | [_] = templates {
        return templates.first().map(|(content_type, _)| content_type.as_str());
    }
    let accept = header_text(headers, header::ACCEPT).unwrap_or_default().to_ascii_lowercase();
    let essences = accept.split(',').filter_map(|part| part.split(';').next()).map(str::trim);
    let own = |wanted: &str| templates.iter().find(|(own, _)| own == wanted);
    let found = essences.filter_map(own).next().or(templates.first());
    found.map(|(content_type, _)| content_type.as_str())
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

#[cfg(test)]
mod tests {
    use super::mock_status;

    #[test]
    fn a_mock_s_request_tells_its_status() {
        for (request, status) in [
            (r#"{"statusCode": 200}"#, Some("200")),
            (r#"{"other": [{"statusCode": 1}], "statusCode": "404"}"#, Some("404")),
            (r#"{"statusCode": 200, "status\u0043ode": 201}"#, Some("201")),
            (r#"{"statusCode": 200, "statusCode": null}"#, None),
            (r#"{"statusCode": 200.5}"#, None),
            (r#"{"statusCode": "ok"}"#, None),
            (r#"[{"statusCode": 200}]"#, None),
            ("[200]", None),
            (r#"{"statusCode": 200"#, None),
            ("", None),
        ] {
            assert_eq!(mock_status(request).ok().as_deref(), status, "{request}");
        }
    }
}

//! The mock shorthand: a fixed answer whose strings hold placeholders.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};

use super::{IntegrationAnswer, IntegrationError};
use crate::config::{MockBody, MockConfig, template::Lookup};

pub async fn answer(
    mock: &MockConfig,
    request: &(dyn Lookup + Sync),
) -> Result<IntegrationAnswer, IntegrationError> {
    if !mock.delay.is_zero() {
        tokio::time::sleep(mock.delay).await;
    }
    let failed = |error: &dyn std::fmt::Display| IntegrationError::Mock(error.to_string());
    let (body, content_type) = match &mock.body {
        MockBody::Empty => (Bytes::new(), None),
        MockBody::Text(text) => {
            let text = text.render(request).map_err(|error| failed(&error))?;
            (Bytes::from(text), Some("text/plain; charset=utf-8"))
        }
        MockBody::Json(json) => {
            let json = json.render(request).map_err(|error| failed(&error))?;
            (Bytes::from(json.to_string()), Some("application/json"))
        }
    };
    let mut headers = HeaderMap::with_capacity(mock.headers.len() + 1);
    for (name, template) in &mock.headers {
        let value = template.render(request).map_err(|error| failed(&error))?;
        // What a client sent may not break a line of the response's head.
        let value = HeaderValue::from_str(&value).map_err(|_| {
            IntegrationError::Mock(format!("{value:?} cannot be the value of the header {name}"))
        })?;
        headers.append(name, value);
    }
    if let Some(content_type) = content_type {
        headers
            .entry(header::CONTENT_TYPE)
            .or_insert_with(|| HeaderValue::from_static(content_type));
    }
    Ok(IntegrationAnswer::Http { status: mock.status, headers, body: body.into() })
}

//! Text and bytes: which bodies of a REST API are which, and what is made of
//! them.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-payload-encodings-workflow.html>

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, header};

use super::{
    error::GatewayError,
    method_request::{MethodRequest, header_text},
};
use crate::config::{ApiKind, BinaryMediaTypes, ContentHandling};

/// A message's content type without its parameters, in lower case; JSON where
/// it has none.
pub fn essence(headers: &HeaderMap) -> String {
    with_essence(headers, str::to_ascii_lowercase)
}

/// Whether a message is of a content type, which is in lower case.
pub fn is_of(headers: &HeaderMap, essence: &str) -> bool {
    with_essence(headers, |own| own.eq_ignore_ascii_case(essence))
}

fn with_essence<T>(headers: &HeaderMap, of: impl FnOnce(&str) -> T) -> T {
    let content_type = header_text(headers, header::CONTENT_TYPE);
    let content_type = content_type.as_deref().unwrap_or("application/json");
    of(content_type.split(';').next().unwrap_or_default().trim())
}

/// Whether a function sees the body as text. A REST API takes every body for
/// text unless told otherwise, an HTTP API only types that it knows.
pub fn is_text(request: &MethodRequest<'_>) -> bool {
    let essence = essence(&request.headers);
    match request.kind() {
        ApiKind::Rest => !request.gateway.config.binary_media_types.contains(&essence),
        ApiKind::Http => is_text_type(&essence),
    }
}

/// Forms don't belong to them.
fn is_text_type(essence: &str) -> bool {
    essence.starts_with("text/")
        || essence.ends_with("+json")
        || essence.ends_with("+xml")
        || matches!(essence, "application/json" | "application/xml" | "application/javascript")
}

/// Whether a message's type is one of those that the configuration names.
fn is_binary(types: &BinaryMediaTypes, headers: &HeaderMap) -> bool {
    !types.0.is_empty() && types.contains(&essence(headers))
}

/// Whether the client wants bytes: the first type that it accepts counts.
pub fn wants_bytes(types: &BinaryMediaTypes, headers: &HeaderMap) -> bool {
    let accept = header_text(headers, header::ACCEPT).unwrap_or(Cow::Borrowed("*/*"));
    types.contains(accept.split(',').next().unwrap_or_default())
}

/// What happens to a body on its way through templates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conversion {
    /// It is text and stays text.
    Text,
    /// It is bytes and passes without a template.
    Bytes,
    /// It is bytes; templates see base64.
    Encode,
    /// It is text, which is base64 after its template. Where nobody asked for
    /// that by name, other text stays what it is.
    Decode {
        /// Whether it was asked for.
        asked: bool,
    },
}

impl Conversion {
    /// Of a request's body.
    pub fn of_request(request: &MethodRequest<'_>, handling: Option<ContentHandling>) -> Self {
        let is_binary = is_binary(&request.gateway.config.binary_media_types, &request.headers);
        match (is_binary, handling) {
            (true, Some(ContentHandling::ConvertToText)) => Self::Encode,
            (true, _) => Self::Bytes,
            (false, Some(ContentHandling::ConvertToBinary)) => Self::Decode { asked: true },
            (false, _) => Self::Text,
        }
    }

    /// Of an answer's body, whose headers are `answer`.
    pub fn of_answer(
        request: &MethodRequest<'_>,
        answer: &HeaderMap,
        handling: Option<ContentHandling>,
    ) -> Self {
        let types = &request.gateway.config.binary_media_types;
        let is_binary = is_binary(types, answer);
        let to_bytes = match handling {
            Some(handling) => handling == ContentHandling::ConvertToBinary,
            None => wants_bytes(types, &request.headers),
        };
        match (is_binary, to_bytes) {
            (true, true) => Self::Bytes,
            (true, false) => Self::Encode,
            (false, true) => Self::Decode { asked: handling.is_some() },
            (false, false) => Self::Text,
        }
    }

    /// The text that a template sees; none where there is no text.
    pub fn before(self, body: &Bytes) -> Option<Cow<'_, str>> {
        match self {
            Self::Text | Self::Decode { .. } => Some(String::from_utf8_lossy(body)),
            Self::Encode => Some(Cow::Owned(STANDARD.encode(body))),
            Self::Bytes => None,
        }
    }

    /// What becomes of the text.
    ///
    /// # Errors
    /// Where it has to be base64 and is not.
    pub fn after(self, text: String) -> Result<Bytes, GatewayError> {
        let Self::Decode { asked } = self else { return Ok(text.into()) };
        // A function answers with a JSON string, whose quotes are not base64.
        let inner = text.trim();
        let unquoted = inner.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        match STANDARD.decode(unquoted.unwrap_or(inner)) {
            Ok(bytes) => Ok(bytes.into()),
            Err(_) if !asked => Ok(text.into()),
            Err(error) => Err(GatewayError::Mapping(format!(
                "the body cannot be converted to binary: it is not base64: {error} (hint: content_handling = \"CONVERT_TO_TEXT\" leaves it as it is)"
            ))),
        }
    }

    /// Why a template cannot be rendered.
    pub fn no_text(content_type: &str) -> GatewayError {
        GatewayError::Mapping(format!(
            "{content_type} is in binary_media_types, and templates take text (hint: content_handling = \"CONVERT_TO_TEXT\" gives them base64)"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_apis_know_which_types_are_text() {
        for text in ["text/html", "application/json", "application/ld+json", "image/svg+xml"] {
            assert!(is_text_type(text), "{text}");
        }
        for binary in ["image/png", "application/x-www-form-urlencoded", ""] {
            assert!(!is_text_type(binary), "{binary}");
        }
    }

    #[test]
    fn text_that_is_base64_becomes_bytes() {
        let asked = Conversion::Decode { asked: true };
        let unasked = Conversion::Decode { asked: false };
        for (text, bytes) in [("aGk=", "hi"), (" \"aGk=\" ", "hi"), ("", "")] {
            assert_eq!(asked.after(text.to_owned()).expect("base64"), bytes);
            assert_eq!(unasked.after(text.to_owned()).expect("base64"), bytes);
        }
        assert_eq!(unasked.after("{}".to_owned()).expect("text"), "{}");
        assert!(matches!(asked.after("{}".to_owned()), Err(GatewayError::Mapping(_))));
        let bytes = Bytes::from_static(b"\xff");
        assert_eq!(Conversion::Encode.before(&bytes).as_deref(), Some("/w=="));
        assert_eq!(Conversion::Bytes.before(&bytes), None);
    }
}

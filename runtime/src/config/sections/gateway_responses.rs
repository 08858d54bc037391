//! `[gateway_responses.TYPE]`

use std::collections::BTreeMap;

use http::StatusCode;

use super::{
    expression::Sources,
    templates::{headers, templates},
};
use crate::config::{
    ApiKind, GatewayResponseConfig,
    keys::{GATEWAY_RESPONSE, closest},
    read::{Entry, Table},
};

/// All types of gateway response.
///
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html>
const RESPONSE_TYPES: [&str; 21] = [
    "ACCESS_DENIED",
    "API_CONFIGURATION_ERROR",
    "AUTHORIZER_CONFIGURATION_ERROR",
    "AUTHORIZER_FAILURE",
    "BAD_REQUEST_BODY",
    "BAD_REQUEST_PARAMETERS",
    "DEFAULT_4XX",
    "DEFAULT_5XX",
    "EXPIRED_TOKEN",
    "INTEGRATION_FAILURE",
    "INTEGRATION_TIMEOUT",
    "INVALID_API_KEY",
    "INVALID_SIGNATURE",
    "MISSING_AUTHENTICATION_TOKEN",
    "QUOTA_EXCEEDED",
    "REQUEST_TOO_LARGE",
    "RESOURCE_NOT_FOUND",
    "THROTTLED",
    "UNAUTHORIZED",
    "UNSUPPORTED_MEDIA_TYPE",
    "WAF_FILTERED",
];

pub fn gateway_responses(
    root: &Table<'_>,
    kind: ApiKind,
) -> BTreeMap<String, GatewayResponseConfig> {
    let mut responses = BTreeMap::new();
    if let Some(given) = root.take("gateway_responses").filter(|_| kind == ApiKind::Http) {
        given.problem("an HTTP API has no gateway responses", "write kind = \"rest\"");
    }
    for Entry { name, value } in root.entries("gateway_responses", "write [gateway_responses.TYPE]")
    {
        if !RESPONSE_TYPES.contains(&name.text) {
            let message = format!("there is no gateway response {:?}", name.text);
            let hint = match closest(name.text, &RESPONSE_TYPES) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("the types are {}", RESPONSE_TYPES.join(", ")),
            };
            root.source.problem(name.at, message, hint);
        }
        let Some(table) = value.table(&GATEWAY_RESPONSE) else { continue };
        let status = table.take("status").and_then(|value| value.integer(200..=599, ""));
        let response = GatewayResponseConfig {
            status: status.and_then(|status| StatusCode::from_u16(status as u16).ok()),
            templates: templates(&table, "templates"),
            headers: headers(&table, &Sources::Head),
        };
        responses.insert(name.text.to_owned(), response);
    }
    responses
}

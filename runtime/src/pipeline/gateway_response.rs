//! Gateway responses: what a client gets when the gateway itself answers,
//! as the configuration has it, else as the service has it.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-gatewayResponse-definition.html>

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use serde_json::{Map, Value, json};

use super::{
    error::GatewayError,
    event,
    expression::{Scope, header_values},
    function_url,
    mapped_response::accepted,
    method_request::About,
};
use crate::{
    config::{GatewayResponseConfig, LoggingLevel},
    mapping::Variables,
};

/// The response to an error.
pub fn respond(error: &GatewayError, about: &About<'_>) -> Response<Bytes> {
    if about.gateway.url.is_some() {
        return function_url::respond(error);
    }
    let config = &about.gateway.config;
    let mut response = error.to_response(config.kind);
    let default = if response.status().is_server_error() { "DEFAULT_5XX" } else { "DEFAULT_4XX" };
    let own = |name: &str| config.gateway_responses.get(name);
    if let Some(own) = own(error.response_type()).or_else(|| own(default)) {
        apply(own, error, about, &mut response);
    }
    response
}

/// What the templates of gateway responses see: there is no body, and no
/// parameter.
struct Head<'r> {
    context: &'r Map<String, Value>,
    stage_variables: &'r BTreeMap<String, String>,
}

impl Variables for Head<'_> {
    fn context(&self) -> Map<String, Value> {
        self.context.clone()
    }

    fn stage_variables(&self) -> &BTreeMap<String, String> {
        self.stage_variables
    }
}

fn apply(
    own: &GatewayResponseConfig,
    error: &GatewayError,
    about: &About<'_>,
    response: &mut Response<Bytes>,
) {
    let message = error.message(about.gateway.config.kind);
    let mut context = event::template_context(about);
    context.insert(
        "error".to_owned(),
        json!({
            "message": message,
            "messageString": Value::from(&*message).to_string(),
            "responseType": error.response_type(),
            "validationErrorString": error.validation_errors(),
        }),
    );
    if let Some(status) = own.status {
        *response.status_mut() = status;
    }
    let content_type = accepted(&own.templates, about.headers);
    let template = own.templates.iter().find(|(name, _)| Some(name.as_str()) == content_type);
    if let Some((name, template)) = template {
        let stage_variables = about.exchange.stage.variables;
        match template.render(&Head { context: &context, stage_variables }) {
            Ok(rendered) => {
                *response.body_mut() = Bytes::from(rendered.text);
                if let Ok(name) = HeaderValue::from_str(name) {
                    response.headers_mut().insert(header::CONTENT_TYPE, name);
                }
            }
            // What went wrong first is still answered, in the service's words.
            Err(reason) if about.exchange.stage.logging() == LoggingLevel::Off => drop(reason),
            Err(reason) => {
                let kind = error.response_type();
                tracing::error!("the template of the gateway response {kind}: {reason}");
            }
        }
    }
    let scope = Scope::head(*about, Value::Object(context));
    for (name, mapping) in &own.headers {
        for value in header_values(&scope.values(mapping)) {
            response.headers_mut().insert(name, value);
        }
    }
}

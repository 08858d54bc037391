//! The integration request: what the route's integration is called with.

use http::header;

use super::{error::GatewayError, event, method_request::MethodRequest, validation::Validated};
use crate::{
    config::{MappedConfig, MappedTarget, Passthrough},
    gateway::{FunctionState, Target},
    integration::IntegrationRequest,
    mapping::Variables,
    sandbox::{Function, Invocation},
};

/// Builds it from the method request.
///
/// # Errors
/// Where the function cannot be called, or a template fails.
pub fn build<'r>(request: &'r Validated<'_>) -> Result<IntegrationRequest<'r>, GatewayError> {
    let request: &MethodRequest<'_> = request;
    match &request.matched.route.target {
        Target::Mock(mock) => Ok(IntegrationRequest::Mock { mock, request }),
        Target::Function { name, .. } => {
            let function = function(request, name)?;
            Ok(invoke(request, function, event::text(request)))
        }
        Target::Mapped(mapped) => {
            let payload = payload(request, mapped)?;
            match &mapped.target {
                MappedTarget::Mock => Ok(IntegrationRequest::Echo { payload }),
                MappedTarget::Function(name) => {
                    let function = function(request, name)?;
                    let payload = if payload.is_empty() { "{}".to_owned() } else { payload };
                    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&payload) {
                        return Err(GatewayError::BadEvent(error.to_string()));
                    }
                    Ok(invoke(request, function, payload))
                }
            }
        }
    }
}

fn invoke<'r>(
    request: &MethodRequest<'_>,
    function: &'r Function,
    event: String,
) -> IntegrationRequest<'r> {
    let invocation = Invocation {
        event,
        request_id: request.exchange.id.to_string(),
        log_id: request.exchange.request_id.clone(),
    };
    IntegrationRequest::Function { function, invocation }
}

fn function<'r>(request: &'r MethodRequest<'_>, name: &str) -> Result<&'r Function, GatewayError> {
    let failed = |why: String| GatewayError::Integration(format!("the function {name:?} {why}"));
    match request.gateway.functions.get(name) {
        Some(FunctionState::Ready { function, .. }) => Ok(function),
        Some(FunctionState::Failed { reason }) => Err(failed(format!("is not loaded: {reason}"))),
        None => {
            let folder = request.gateway.config.server.handlers.display();
            Err(failed(format!("has no file {name}.wasm in {folder}")))
        }
    }
}

/// The request's body through the template for its content type.
fn payload(request: &MethodRequest<'_>, mapped: &MappedConfig) -> Result<String, GatewayError> {
    let body = String::from_utf8_lossy(&request.body);
    let content_type = request.header_text(header::CONTENT_TYPE);
    let content_type = content_type.as_deref().unwrap_or("application/json");
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let found = mapped.request_templates.iter().find(|(own, _)| *own == essence);
    let passes = match mapped.passthrough {
        Passthrough::WhenNoMatch => true,
        Passthrough::WhenNoTemplates => mapped.request_templates.is_empty(),
        Passthrough::Never => false,
    };
    match found {
        Some((_, template)) => {
            let rendered = template.render(variables(request, body.into_owned()));
            rendered.map(|rendered| rendered.text).map_err(|error| {
                GatewayError::Mapping(format!("the request template for {essence}: {error}"))
            })
        }
        None if passes => Ok(body.into_owned()),
        None => Err(GatewayError::UnsupportedMediaType(essence)),
    }
}

/// What a template sees: the request, with `body` for `$input`.
pub fn variables(request: &MethodRequest<'_>, body: String) -> Variables {
    Variables {
        body,
        path: request.matched.parameters.clone(),
        query: request.query.clone(),
        headers: event::template_headers(request),
        context: event::template_context(&request.about()),
        stage_variables: request.gateway.config.stage_variables().cloned().unwrap_or_default(),
    }
}

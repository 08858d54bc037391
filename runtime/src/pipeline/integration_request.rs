//! The integration request: what the route's integration is called with.

use bytes::Bytes;

use super::{
    Trace,
    content::{self, Conversion},
    error::GatewayError,
    event, function_request, http_request, id_text,
    method_request::MethodRequest,
    stage::Stage,
    template_variables::TemplateVariables,
    validation::Validated,
};
use crate::{
    config::{
        FunctionName, FunctionReference, LoggingLevel, MappedConfig, MappedTarget, Passthrough,
    },
    gateway::{Gateway, Target},
    integration::{AnswerBody, IntegrationRequest},
    lambda::Resolved,
    mapping::RequestOverride,
    sandbox::{CallContext, Invocation},
};

/// Builds it from the method request.
///
/// # Errors
/// Where the function cannot be called, or a template fails.
pub fn build<'r>(
    request: &'r Validated<'_, '_>,
    trace: &mut Trace,
) -> Result<IntegrationRequest<'r>, GatewayError> {
    let request: &MethodRequest<'_> = request;
    match &request.matched.route.target {
        Target::Mock(mock) => Ok(IntegrationRequest::Mock { mock, request }),
        Target::Function { name, .. } => {
            let stage = &request.exchange.stage;
            let resolved = request.matched.function(request.gateway, stage, name);
            let resolved = resolved.map_err(|why| GatewayError::Integration(why.to_owned()))?;
            let streams = request.streams;
            if resolved.function.code.speaks_http() {
                let Resolved { function, qualifier } = resolved.clone();
                let context = call_context(request, qualifier);
                let invocation = Box::new(function_request::build(request, context)?);
                return Ok(IntegrationRequest::HttpFunction { function, invocation, streams });
            }
            Ok(invoke(request, resolved.clone(), event::text(request)))
        }
        Target::Mapped(mapped) => {
            let (body, overrides) = body(request, mapped, trace)?;
            match &mapped.target {
                MappedTarget::Mock => Ok(IntegrationRequest::Echo { payload: text(body) }),
                MappedTarget::Function(name) => {
                    let function = function(request.gateway, &request.exchange.stage, name)
                        .map_err(GatewayError::Integration)?;
                    let payload = if body.is_empty() { "{}".to_owned() } else { text(body) };
                    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&payload) {
                        return Err(GatewayError::BadEvent(error.to_string()));
                    }
                    Ok(invoke(request, function, payload))
                }
                MappedTarget::Http(http) => {
                    let call = http_request::mapped(request, http, body, overrides)?;
                    endpoint(request, call, false)
                }
            }
        }
        Target::HttpProxy(http) => {
            let call = http_request::proxied(request, http)?;
            endpoint(request, call, request.streams)
        }
    }
}

pub fn invoke<'r>(
    request: &MethodRequest<'_>,
    resolved: Resolved,
    event: String,
) -> IntegrationRequest<'r> {
    let Resolved { function, qualifier } = resolved;
    let invocation = Invocation { event, context: call_context(request, qualifier) };
    IntegrationRequest::Function { function, invocation }
}

fn call_context(request: &MethodRequest<'_>, qualifier: Option<String>) -> CallContext {
    let exchange = request.exchange;
    let context = CallContext::new(id_text(exchange.id), exchange.request_id.clone());
    let lifecycle = match exchange.stage.logging() {
        LoggingLevel::Info => tracing::Level::INFO,
        _ => context.lifecycle,
    };
    CallContext { qualifier, lifecycle, ..context }
}

fn endpoint<'r>(
    request: &MethodRequest<'_>,
    call: http::Request<AnswerBody>,
    streams: bool,
) -> Result<IntegrationRequest<'r>, GatewayError> {
    // Every route to an endpoint got one when the snapshot was made.
    let client = request.matched.route.client.clone();
    let client = client.ok_or_else(|| GatewayError::Integration("it has no client".to_owned()))?;
    Ok(IntegrationRequest::Http { client, request: Box::new(call), streams })
}

/// A mock and a function take text.
fn text(body: Bytes) -> String {
    String::from_utf8(body.into())
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// The function that a name means on a stage.
///
/// # Errors
/// Why there is none.
pub fn function(
    gateway: &Gateway,
    stage: &Stage<'_>,
    name: &FunctionName,
) -> Result<Resolved, String> {
    let name = name.on_stage(stage.variables).map_err(|variable| {
        let what = format!("the function {name} needs the stage variable {variable:?}");
        format!("{what}, which the stage {:?} has not", stage.name)
    })?;
    let failed = |why: String| format!("the function {name:?} {why}");
    // A stage variable's value may be anything.
    let reference = FunctionReference::parse(&name)
        .map_err(|hint| failed(format!("has no such name: {hint}")))?;
    let Some(state) = gateway.functions.get(&reference.name) else {
        let folder = gateway.config.server.handlers.display();
        return Err(failed(format!("has no file {}.wasm in {folder}", reference.name)));
    };
    if let (None, Err(reason)) = (&reference.qualifier, state.function()) {
        return Err(failed(format!("is not loaded: {reason}")));
    }
    let resolved = gateway.function(&reference);
    resolved.map_err(|error| error.reason.unwrap_or_else(|| failed(error.message)))
}

/// The request's body through the template for its content type.
fn body(
    request: &MethodRequest<'_>,
    mapped: &MappedConfig,
    trace: &mut Trace,
) -> Result<(Bytes, RequestOverride), GatewayError> {
    let conversion = Conversion::of_request(request, mapped.content_handling);
    let text = conversion.before(&request.body);
    let essence = || content::essence(&request.headers);
    let own = |(own, _): &&(String, _)| content::is_of(&request.headers, own);
    let found = mapped.request_templates.iter().find(own);
    let passes = match mapped.passthrough {
        Passthrough::WhenNoMatch => true,
        Passthrough::WhenNoTemplates => mapped.request_templates.is_empty(),
        Passthrough::Never => false,
    };
    trace.note("request template", |_| match found {
        Some((own, _)) => format!("that for {own}"),
        None if passes => format!("none for {}: the body goes on as it is", essence()),
        None => {
            format!("none for {}, and passthrough_behavior forbids to go on without", essence())
        }
    });
    match (found, text) {
        (Some((own, template)), Some(text)) => {
            let rendered = template.render(&TemplateVariables::of_request(request, text));
            let rendered = rendered.map_err(|error| {
                GatewayError::Mapping(format!("the request template for {own}: {error}"))
            })?;
            Ok((conversion.after(rendered.text)?, rendered.request))
        }
        (Some((own, _)), None) => Err(Conversion::no_text(own)),
        (None, _) if !passes => Err(GatewayError::UnsupportedMediaType(essence())),
        // Text that is no UTF-8 would be damaged for nothing.
        (None, Some(text)) if conversion != Conversion::Text => {
            Ok((conversion.after(text.into_owned())?, RequestOverride::default()))
        }
        (None, _) => Ok((request.body.clone(), RequestOverride::default())),
    }
}

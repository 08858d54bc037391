//! A function says who may call, and its answer is kept for the caller.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-output.html>

use std::sync::Arc;

use super::{
    super::{
        Trace,
        error::GatewayError,
        event,
        integration_request::{function, invoke},
        method_request::MethodRequest,
        resource_policy,
    },
    identity,
};
use crate::{
    config::{ApiKind, LambdaAuthorizer, LambdaInput},
    gateway::{Answers, Authorizer},
    integration::{self, IntegrationAnswer, IntegrationError},
    policy::{Action, Authorization, Call, Decision},
    sandbox::InvokeError,
};

/// What the function says of the caller, who may make this call.
///
/// # Errors
/// As [`super::authorize`].
pub async fn authorize(
    request: &MethodRequest<'_>,
    authorizer: &Authorizer,
    config: &LambdaAuthorizer,
    trace: &mut Trace,
) -> Result<Arc<Authorization>, GatewayError> {
    let name = &authorizer.config.name;
    let identity = identity(request, &config.identity)?;
    if let LambdaInput::Token(Some(pattern)) = &config.input {
        let fits = |token: &String| pattern.regex.is_match(token).unwrap_or(false);
        if !identity.iter().all(fits) {
            let what = format!("the token does not match {:?}", pattern.text);
            return Err(GatewayError::Unauthorized(what));
        }
    }
    let is_simple = matches!(config.input, LambdaInput::Request { simple_responses: true, .. });
    // Only HTTP APIs hand over objects and lists.
    let nested = request.kind() == ApiKind::Http;
    let read = |text: &str| Authorization::read(text, is_simple, nested).map(Arc::new);
    let kept_by = kept_by(request, &identity);
    let cached = match &authorizer.answers {
        None => None,
        Some(Answers::Own(own)) => own.get(&kept_by),
        Some(Answers::Shared(shared)) => {
            let kept = shared.get(&encoded(&kept_by)).await;
            kept.and_then(|text| read(std::str::from_utf8(&text).ok()?).ok())
        }
    };
    let known = cached.is_some();
    let authorization = match cached {
        Some(authorization) => authorization,
        None => {
            let text = ask(request, name, config, &identity).await?;
            let authorization = read(&text).map_err(|why| failed(name, &why))?;
            match &authorizer.answers {
                None => {}
                Some(Answers::Own(own)) => own.insert(kept_by, Arc::clone(&authorization)),
                Some(Answers::Shared(shared)) => {
                    shared.put(&encoded(&kept_by), text.as_bytes(), config.ttl).await;
                }
            }
            authorization
        }
    };
    trace.note("authorizer", |_| {
        let who = authorization.principal.as_deref().unwrap_or("nobody by name");
        let asked = if known { "known already" } else { "asked" };
        format!("{name} ({asked}): {who}")
    });
    check(&authorization, request)?;
    Ok(authorization)
}

async fn ask(
    request: &MethodRequest<'_>,
    name: &str,
    config: &LambdaAuthorizer,
    identity: &[String],
) -> Result<String, GatewayError> {
    let function = function(request.gateway, &request.exchange.stage, &config.function);
    let function = function.map_err(|why| failed(name, &why))?;
    let event = event::for_authorizer(request, &config.input, identity);
    let called = invoke(request, function, event);
    match integration::call(called, request.matched.route.timeout).await {
        Ok(IntegrationAnswer::Payload(text)) => Ok(text),
        Ok(IntegrationAnswer::Http { .. }) => Err(failed(name, "it is no function")),
        Err(IntegrationError::Invoke(error @ InvokeError::Function(_)))
            if error.payload("")["errorMessage"] == "Unauthorized" =>
        {
            Err(GatewayError::Unauthorized(format!("{name} says so")))
        }
        Err(error) => {
            let what = format!("the authorizer {name}: {error}");
            Err(GatewayError::AuthorizerFailure(what))
        }
    }
}

fn failed(name: &str, why: &str) -> GatewayError {
    GatewayError::AuthorizerConfiguration(format!("the authorizer {name}: {why}"))
}

/// What an answer is kept by. Each stage has its own, and so has its canary:
/// their variables may name another function, or tell it something else.
fn kept_by(request: &MethodRequest<'_>, identity: &[String]) -> Vec<String> {
    let stage = &request.exchange.stage;
    let release = if stage.is_canary == Some(true) { "canary " } else { "" };
    let stage = format!("{release}{}", stage.name);
    std::iter::once(stage).chain(identity.iter().cloned()).collect()
}

/// What an answer is kept by, as bytes, so that no two are the same.
fn encoded(kept_by: &[String]) -> Vec<u8> {
    // Strings in an array are always JSON.
    serde_json::to_vec(kept_by).unwrap_or_default()
}

fn check(authorization: &Authorization, request: &MethodRequest<'_>) -> Result<(), GatewayError> {
    let about = request.about();
    let context = |key: &str| resource_policy::value(&about, key);
    let resource = resource_policy::resource(&about);
    let call =
        Call { principal: None, action: Action::Invoke, resource: &resource, context: &context };
    match authorization.decide(&call) {
        Decision::Allow => Ok(()),
        Decision::ExplicitDeny => Err(GatewayError::NotAuthorized { is_explicit: true }),
        Decision::ImplicitDeny => Err(GatewayError::NotAuthorized { is_explicit: false }),
    }
}

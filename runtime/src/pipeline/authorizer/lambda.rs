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
    gateway::Authorizer,
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
    let cached = authorizer.answers.as_ref().and_then(|answers| answers.get(&identity));
    let known = cached.is_some();
    let authorization = match cached {
        Some(authorization) => authorization,
        None => {
            let authorization = Arc::new(ask(request, name, config, &identity).await?);
            if let Some(answers) = &authorizer.answers {
                answers.insert(identity, Arc::clone(&authorization));
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
) -> Result<Authorization, GatewayError> {
    let failed = |why: String| {
        GatewayError::AuthorizerConfiguration(format!("the authorizer {name}: {why}"))
    };
    let function =
        function(request, &config.function).map_err(|error| failed(error.to_string()))?;
    let event = event::for_authorizer(request, &config.input, identity);
    let called = invoke(request, function, event);
    let text = match integration::call(called, request.matched.route.timeout).await {
        Ok(IntegrationAnswer::Payload(text)) => text,
        Ok(IntegrationAnswer::Http { .. }) => return Err(failed("it is no function".to_owned())),
        Err(IntegrationError::Invoke(error @ InvokeError::Function(_)))
            if error.payload("")["errorMessage"] == "Unauthorized" =>
        {
            return Err(GatewayError::Unauthorized(format!("{name} says so")));
        }
        Err(error) => {
            let what = format!("the authorizer {name}: {error}");
            return Err(GatewayError::AuthorizerFailure(what));
        }
    };
    let is_simple = matches!(config.input, LambdaInput::Request { simple_responses: true, .. });
    // Only HTTP APIs hand over objects and lists.
    Authorization::read(&text, is_simple, request.kind() == ApiKind::Http).map_err(failed)
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

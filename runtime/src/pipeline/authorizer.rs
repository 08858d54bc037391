//! Lambda authorizers: a function says who may call, and its answer is kept
//! for the caller.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-output.html>

use std::sync::Arc;

use super::{
    Trace,
    error::GatewayError,
    event,
    expression::Scope,
    integration_request::{function, invoke},
    method_request::MethodRequest,
    resource_policy,
};
use crate::{
    config::{ApiKind, AuthorizerKind},
    gateway::{ACCOUNT_ID, Authorizer},
    integration::{self, IntegrationAnswer, IntegrationError},
    policy::{Authorization, Call, Decision},
    sandbox::InvokeError,
};

/// The ARN of the method that a request calls.
pub fn method_arn(request: &MethodRequest<'_>) -> String {
    let api = &request.gateway.config.name;
    format!(
        "arn:aws:execute-api:us-east-1:{ACCOUNT_ID}:{api}/{}",
        resource_policy::resource(&request.about())
    )
}

/// Asks the route's authorizer, if it has one, and puts what it says where
/// events and templates find it.
///
/// # Errors
/// [`GatewayError::Unauthorized`] for a caller who says nothing of themselves,
/// [`GatewayError::NotAuthorized`] for one who may not, and what is wrong with
/// the authorizer.
pub async fn authorize(request: &MethodRequest<'_>, trace: &mut Trace) -> Result<(), GatewayError> {
    let Some(authorizer) = &request.matched.route.authorizer else { return Ok(()) };
    let identity = identity(request, authorizer)?;
    let cached = authorizer.answers.as_ref().and_then(|answers| answers.get(&identity));
    let known = cached.is_some();
    let authorization = match cached {
        Some(authorization) => authorization,
        None => {
            let authorization = Arc::new(ask(request, authorizer, &identity).await?);
            if let Some(answers) = &authorizer.answers {
                answers.insert(identity, Arc::clone(&authorization));
            }
            authorization
        }
    };
    trace.note("authorizer", |_| {
        let who = authorization.principal.as_deref().unwrap_or("nobody by name");
        let asked = if known { "known already" } else { "asked" };
        format!("{} ({asked}): {who}", authorizer.config.name)
    });
    check(&authorization, request)?;
    // A request is authorized once.
    let _ = request.exchange.authorization.set(authorization);
    Ok(())
}

/// Values of the identity sources, all of which have to be there.
fn identity(
    request: &MethodRequest<'_>,
    authorizer: &Authorizer,
) -> Result<Vec<String>, GatewayError> {
    let scope = Scope::request(request);
    let mut identity = Vec::with_capacity(authorizer.config.identity_sources.len());
    for source in &authorizer.config.identity_sources {
        let value = scope.values(source).into_iter().next().filter(|value| !value.is_empty());
        let name = &authorizer.config.name;
        identity.push(value.ok_or_else(|| {
            GatewayError::Unauthorized(format!("an identity source of {name} is missing"))
        })?);
    }
    if let AuthorizerKind::Token(Some(pattern)) = &authorizer.config.kind {
        let fits = |token: &String| pattern.regex.is_match(token).unwrap_or(false);
        if !identity.iter().all(fits) {
            let what = format!("the token does not match {:?}", pattern.text);
            return Err(GatewayError::Unauthorized(what));
        }
    }
    Ok(identity)
}

async fn ask(
    request: &MethodRequest<'_>,
    authorizer: &Authorizer,
    identity: &[String],
) -> Result<Authorization, GatewayError> {
    let config = &authorizer.config;
    let failed = |why: String| {
        GatewayError::AuthorizerConfiguration(format!("the authorizer {}: {why}", config.name))
    };
    let function =
        function(request, &config.function).map_err(|error| failed(error.to_string()))?;
    let event = event::for_authorizer(request, &config.kind, identity);
    let called = invoke(request, function, event);
    let text = match integration::call(called, request.matched.route.timeout).await {
        Ok(IntegrationAnswer::Payload(text)) => text,
        Ok(IntegrationAnswer::Http { .. }) => return Err(failed("it is no function".to_owned())),
        Err(IntegrationError::Invoke(error @ InvokeError::Function(_)))
            if error.payload("")["errorMessage"] == "Unauthorized" =>
        {
            return Err(GatewayError::Unauthorized(format!("{} says so", config.name)));
        }
        Err(error) => {
            let what = format!("the authorizer {}: {error}", config.name);
            return Err(GatewayError::AuthorizerFailure(what));
        }
    };
    let is_simple = matches!(config.kind, AuthorizerKind::Request { simple_responses: true, .. });
    // Only HTTP APIs hand over objects and lists.
    Authorization::read(&text, is_simple, request.kind() == ApiKind::Http).map_err(failed)
}

fn check(authorization: &Authorization, request: &MethodRequest<'_>) -> Result<(), GatewayError> {
    let about = request.about();
    let context = |key: &str| resource_policy::value(&about, key);
    let call = Call { resource: &resource_policy::resource(&about), context: &context };
    match authorization.decide(&call) {
        Decision::Allow => Ok(()),
        Decision::ExplicitDeny => Err(GatewayError::NotAuthorized { is_explicit: true }),
        Decision::ImplicitDeny => Err(GatewayError::NotAuthorized { is_explicit: false }),
    }
}

//! Who may call a route, as its authorizer says.

mod cognito;
pub mod iam;
mod jwt;
mod lambda;

use super::{
    Trace, caller::Caller, error::GatewayError, expression::Scope, method_request::MethodRequest,
    resource_policy,
};
use crate::{
    config::{AuthorizerKind, MappingExpression},
    gateway::ACCOUNT_ID,
};

/// The ARN of the method that a request calls.
pub fn method_arn(request: &MethodRequest<'_>) -> String {
    let api = &request.gateway.config.name;
    format!(
        "arn:aws:execute-api:us-east-1:{ACCOUNT_ID}:{api}{}",
        resource_policy::resource(&request.about())
    )
}

/// Asks the route's authorizer, if it has one, and puts what it says where
/// events and templates find it.
///
/// # Errors
/// [`GatewayError::Unauthorized`] for a caller who says nothing of themselves,
/// [`GatewayError::NotAuthorized`] for one who may not, the same of tokens, what
/// is wrong with the authorizer, [`GatewayError::Credential`] for one who has
/// not signed, and [`GatewayError::AccessDenied`] where policies do not allow it.
pub async fn authorize(request: &MethodRequest<'_>, trace: &mut Trace) -> Result<(), GatewayError> {
    let Some(authorizer) = &request.matched.route.authorizer else { return Ok(()) };
    let caller = match &authorizer.config.kind {
        AuthorizerKind::Lambda(config) => {
            // Apart, so that routes without one don't have room for it.
            Caller::Lambda(Box::pin(lambda::authorize(request, authorizer, config, trace)).await?)
        }
        AuthorizerKind::Iam => {
            return iam::authorize(request, &authorizer.config.name, trace).await;
        }
        AuthorizerKind::Jwt(config) => {
            Caller::Token(jwt::authorize(request, authorizer, config, trace).await?)
        }
        AuthorizerKind::Cognito(config) => {
            Caller::Token(cognito::authorize(request, authorizer, config, trace).await?)
        }
    };
    // A token has no policy of its own: that of the API has to allow the call.
    if matches!(caller, Caller::Token(_)) {
        resource_policy::check(&request.about(), false)?;
    }
    // A request is authorized once.
    let _ = request.exchange.caller.set(caller);
    Ok(())
}

/// Values of the sources of an identity, all of which have to be there.
fn identity(
    request: &MethodRequest<'_>,
    sources: &[MappingExpression],
) -> Result<Vec<String>, GatewayError> {
    let scope = Scope::request(request);
    let value = |source| {
        let value = scope.values(source).into_iter().next().filter(|value| !value.is_empty());
        value.ok_or_else(|| {
            GatewayError::Unauthorized("a source of the caller's identity is missing".to_owned())
        })
    };
    sources.iter().map(value).collect()
}

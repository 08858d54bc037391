//! Whoever has a token of a user pool: an ID token, or where the route asks for
//! scopes an access token.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-enable-cognito-user-pool.html>

use super::{
    super::{Trace, caller::Bearer, error::GatewayError, method_request::MethodRequest},
    jwt,
};
use crate::{
    config::{ApiKind, CognitoAuthorizer},
    gateway::Authorizer,
    jwt::{Form, Refusal},
};

/// What the token says of the user, who may make this call.
///
/// # Errors
/// As [`super::authorize`].
pub async fn authorize(
    request: &MethodRequest<'_>,
    authorizer: &Authorizer,
    config: &CognitoAuthorizer,
    trace: &mut Trace,
) -> Result<Bearer, GatewayError> {
    // An HTTP API has no authorizer of this type but the other, whose events
    // these are.
    let form = match request.kind() {
        ApiKind::Rest => Form::UserPool,
        ApiKind::Http => Form::Jwt,
    };
    let token = jwt::verified(request, authorizer, &config.tokens, form, trace).await?;
    let claims = &token.claims;
    let is_id = request.matched.route.scopes.is_empty();
    let wanted = if is_id { "id" } else { "access" };
    if claims.text("token_use") != Some(wanted) {
        return Err(jwt::refused(request, Refusal::Use));
    }
    if let Some(pattern) = &config.identity_validation
        && is_id
    {
        let fits = |audience: &&str| pattern.regex.is_match(audience).unwrap_or(false);
        if !claims.audience().iter().any(fits) {
            return Err(jwt::refused(request, Refusal::Audience));
        }
    }
    jwt::bearer(request, authorizer, token, trace)
}

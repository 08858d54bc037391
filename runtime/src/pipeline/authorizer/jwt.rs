//! Whoever has a token that one of the issuer's keys has signed.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-jwt-authorizer.html>

use std::sync::Arc;

use super::super::{
    Trace, caller::Bearer, error::GatewayError, expression::Scope, method_request::MethodRequest,
};
use crate::{
    config::JwtAuthorizer,
    gateway::{Authorizer, Keys},
    jwt::{Claims, Form, KeySet, Refusal, Token},
};

/// What the token says of the caller, who may make this call.
///
/// # Errors
/// As [`super::authorize`].
pub async fn authorize(
    request: &MethodRequest<'_>,
    authorizer: &Authorizer,
    config: &JwtAuthorizer,
    trace: &mut Trace,
) -> Result<Bearer, GatewayError> {
    let claims = verified(request, authorizer, config, trace).await?;
    bearer(request, authorizer, &claims, Form::Jwt, trace)
}

/// The claims of the request's one token.
///
/// # Errors
/// [`GatewayError::InvalidToken`]
pub async fn verified(
    request: &MethodRequest<'_>,
    authorizer: &Authorizer,
    config: &JwtAuthorizer,
    trace: &mut Trace,
) -> Result<Claims, GatewayError> {
    let refused = |refusal| refused(request, refusal);
    let sent = Scope::request(request).values(&config.identity);
    let sent = match sent.as_slice() {
        [] => return Err(refused(Refusal::Missing)),
        [sent] => sent,
        // Whatever reads the first, and whatever reads the last, sees the same.
        _ => return Err(refused(Refusal::Several)),
    };
    let token = Token::read(sent).map_err(refused)?;
    trace.mask(&token.secret());
    let keys =
        keys(request, authorizer, &token.key).await.ok_or_else(|| refused(Refusal::NoKeys))?;
    let claims = token.verify(&keys).map_err(refused)?;
    claims.check(&config.rules, request.exchange.time).map_err(refused)?;
    Ok(claims)
}

/// Never waits longer for an issuer than for the route's integration.
async fn keys(
    request: &MethodRequest<'_>,
    authorizer: &Authorizer,
    id: &str,
) -> Option<Arc<KeySet>> {
    match &authorizer.keys {
        Keys::None => None,
        Keys::Here(keys) => Some(Arc::clone(keys)),
        Keys::Remote(remote) => {
            let timeout = request.matched.route.timeout;
            tokio::time::timeout(timeout, remote.keys(id)).await.ok().flatten()
        }
    }
}

/// Whoever has the token, if it allows one of the things that the route asks
/// for.
///
/// # Errors
/// [`GatewayError::InsufficientScope`]
pub fn bearer(
    request: &MethodRequest<'_>,
    authorizer: &Authorizer,
    claims: &Claims,
    form: Form,
    trace: &mut Trace,
) -> Result<Bearer, GatewayError> {
    let wanted = &request.matched.route.scopes;
    let scopes = claims.scopes();
    if !wanted.is_empty() && !wanted.iter().any(|any| scopes.contains(&any.as_str())) {
        return Err(GatewayError::InsufficientScope { wanted: wanted.clone() });
    }
    trace.note("authorizer", |_| {
        let who = claims.text("sub").unwrap_or("nobody by name");
        format!("{} (verified): {who:?}", authorizer.config.name)
    });
    let scopes = scopes.into_iter().map(str::to_owned).collect();
    Ok(Bearer {
        claims: claims.texts(form),
        scopes: (!wanted.is_empty()).then_some(scopes),
        kind: request.kind(),
    })
}

/// A token that does not count, as clients and the log are told.
pub fn refused(request: &MethodRequest<'_>, refusal: Refusal) -> GatewayError {
    GatewayError::InvalidToken { refusal, wanted: request.matched.route.scopes.clone() }
}

//! Whoever has a token that one of the issuer's keys has signed.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-jwt-authorizer.html>

use std::{borrow::Cow, sync::Arc};

use super::super::{
    Trace, caller::Bearer, error::GatewayError, expression::Scope, method_request::MethodRequest,
};
use crate::{
    config::{JwtAuthorizer, MappingExpression},
    gateway::{Authorizer, Keys},
    jwt::{self, Form, KeySet, Refusal, Token, Verified},
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
    let verified = verified(request, authorizer, config, Form::Jwt, trace).await?;
    bearer(request, authorizer, verified, trace)
}

/// What the request's one token says.
///
/// # Errors
/// [`GatewayError::InvalidToken`]
pub async fn verified(
    request: &MethodRequest<'_>,
    authorizer: &Authorizer,
    config: &JwtAuthorizer,
    form: Form,
    trace: &mut Trace,
) -> Result<Arc<Verified>, GatewayError> {
    let refused = |refusal| refused(request, refusal);
    let now = request.exchange.time;
    let sent = sent(request, &config.identity).map_err(refused)?;
    if let Some(known) = known(authorizer, &sent) {
        trace.mask(|| jwt::secret(&String::from_utf8_lossy(&sent)));
        known.check(now).map_err(refused)?;
        return Ok(known);
    }
    let text = String::from_utf8_lossy(&sent);
    let token = Token::read(&text).map_err(refused)?;
    trace.mask(|| jwt::secret(&text));
    // Apart, since most requests have no need of it.
    let keys = Box::pin(keys(request, authorizer, &token.key)).await;
    let keys = keys.ok_or_else(|| refused(Refusal::NoKeys))?;
    let claims = token.verify(&keys).map_err(refused)?;
    let times = claims.check(&config.rules, now).map_err(refused)?;
    let verified = Arc::new(Verified::new(claims, times, form, keys));
    if let Some(tokens) = &authorizer.verified {
        tokens.remember(&sent, &verified);
    }
    Ok(verified)
}

/// What the client sent as its token.
///
/// # Errors
/// [`Refusal::Missing`], [`Refusal::Several`]
fn sent<'r>(
    request: &'r MethodRequest<'_>,
    identity: &MappingExpression,
) -> Result<Cow<'r, [u8]>, Refusal> {
    let (first, second) = match identity {
        // Where most are, as it came.
        MappingExpression::RequestHeaders(name) => {
            let mut values = request.headers.get_all(name).iter();
            let mut next = || values.next().map(|value| Cow::Borrowed(value.as_bytes()));
            (next(), next())
        }
        other => {
            let mut values = Scope::request(request).values(other).into_iter();
            let mut next = || values.next().map(|value| Cow::Owned(value.into_bytes()));
            (next(), next())
        }
    };
    match (first, second) {
        (None, _) => Err(Refusal::Missing),
        (Some(sent), None) => Ok(sent),
        // Whatever reads the first, and whatever reads the last, sees the same.
        _ => Err(Refusal::Several),
    }
}

/// What is known of the token, as long as the keys that verified it are those
/// that it would be verified with now.
fn known(authorizer: &Authorizer, sent: &[u8]) -> Option<Arc<Verified>> {
    let known = authorizer.verified.as_ref()?.get(sent)?;
    let holds = match &authorizer.keys {
        Keys::None => false,
        Keys::Here(keys) => Arc::ptr_eq(keys, &known.keys),
        Keys::Remote(remote) => remote.publishes(&known.keys),
    };
    holds.then_some(known)
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
    token: Arc<Verified>,
    trace: &mut Trace,
) -> Result<Bearer, GatewayError> {
    let wanted = &request.matched.route.scopes;
    let is_wanted = |scope: &&str| wanted.iter().any(|any| any == scope);
    if !wanted.is_empty() && !token.claims.scopes().iter().any(is_wanted) {
        return Err(GatewayError::InsufficientScope { wanted: wanted.clone() });
    }
    trace.note("authorizer", |_| {
        let who = token.claims.text("sub").unwrap_or("nobody by name");
        format!("{} (verified): {who:?}", authorizer.config.name)
    });
    Ok(Bearer { token, has_scopes: !wanted.is_empty(), kind: request.kind() })
}

/// A token that does not count, as clients and the log are told.
pub fn refused(request: &MethodRequest<'_>, refusal: Refusal) -> GatewayError {
    GatewayError::InvalidToken { refusal, wanted: request.matched.route.scopes.clone() }
}

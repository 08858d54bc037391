//! The API's resource policy: who may call at all.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-resource-policies.html>

use http::header;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{error::GatewayError, method_request::About};
use crate::{
    gateway::ACCOUNT_ID,
    policy::{Action, Call, Decision},
    router,
};

/// Asks the policy, if there is one. Without an authorizer it has to allow the
/// call itself.
///
/// # Errors
/// [`GatewayError::AccessDenied`]
pub fn check(about: &About<'_>, has_authorizer: bool) -> Result<(), GatewayError> {
    let Some(policy) = &about.gateway.config.policy else { return Ok(()) };
    let resource = resource(about);
    let context = |key: &str| value(about, key);
    let call = Call { action: Action::Invoke, resource: &resource, context: &context };
    let suffix = match policy.decide(&call) {
        Decision::Allow => return Ok(()),
        // The authorizer may still allow what the policy says nothing about.
        Decision::ImplicitDeny if has_authorizer => return Ok(()),
        Decision::ExplicitDeny => " with an explicit deny",
        Decision::ImplicitDeny => "",
    };
    Err(denied(about, call.action, &resource, suffix))
}

/// What a caller gets whom a policy does not allow what they ask for.
fn denied(about: &About<'_>, action: Action, resource: &str, suffix: &str) -> GatewayError {
    // The service shows the account's last digits only.
    let account = ACCOUNT_ID.get(8..).unwrap_or_default();
    let api = &about.gateway.config.name;
    let arn = format!("arn:aws:execute-api:us-east-1:********{account}:{api}/{resource}");
    let action = action.name();
    GatewayError::AccessDenied(format!(
        "User: anonymous is not authorized to perform: {action} on resource: {arn}{suffix}"
    ))
}

/// Whether the caller may have a kept answer made anew: one of the policies has
/// to allow it, the authorizer's or the API's own, and neither may deny it.
///
/// # Errors
/// [`GatewayError::AccessDenied`]
pub fn check_invalidation(about: &About<'_>) -> Result<(), GatewayError> {
    let resource = resource(about);
    let context = |key: &str| value(about, key);
    let call = Call { action: Action::InvalidateCache, resource: &resource, context: &context };
    let own = about.gateway.config.policy.as_ref().map(|policy| policy.decide(&call));
    let callers = about.exchange.caller.get().map(|caller| caller.decide(&call));
    let decisions = [own, callers];
    if decisions.contains(&Some(Decision::ExplicitDeny)) {
        return Err(denied(about, call.action, &resource, " with an explicit deny"));
    }
    match decisions.contains(&Some(Decision::Allow)) {
        true => Ok(()),
        false => Err(denied(about, call.action, &resource, "")),
    }
}

/// `STAGE/METHOD/path`, as the ARN of the method that is called ends.
pub fn resource(about: &About<'_>) -> String {
    let path = router::canonical(about.exchange.path.unwrap_or(about.path));
    format!("{}/{}{path}", about.exchange.stage.name, about.method)
}

/// The value of a condition key; none for keys that a call without a name and
/// from outside of a VPC has not.
pub fn value(about: &About<'_>, key: &str) -> Option<String> {
    let header = |name| about.headers.get(name)?.to_str().ok().map(str::to_owned);
    let time = OffsetDateTime::from(about.exchange.time);
    match key {
        "aws:sourceip" => Some(about.connection.client.ip().to_canonical().to_string()),
        "aws:useragent" => header(header::USER_AGENT),
        "aws:referer" => header(header::REFERER),
        "aws:currenttime" => time.format(&Rfc3339).ok(),
        "aws:epochtime" => Some(time.unix_timestamp().to_string()),
        "aws:securetransport" => Some(about.connection.tls.is_some().to_string()),
        "aws:principaltype" => Some("Anonymous".to_owned()),
        _ => None,
    }
}

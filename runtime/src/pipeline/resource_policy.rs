//! The API's resource policy: who may call at all.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-resource-policies.html>

use std::borrow::Cow;

use http::header;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    caller::Caller,
    error::GatewayError,
    method_request::{About, header_text},
};
use crate::{
    gateway::ACCOUNT_ID,
    policy::{Action, Call, Decision, Principal},
    router,
};

/// Asks the policy, if there is one. It has to allow the call itself, unless an
/// authorizer is still to be asked.
///
/// # Errors
/// [`GatewayError::AccessDenied`]
pub fn check(about: &About<'_>, is_first: bool) -> Result<(), GatewayError> {
    let Some(policy) = &about.gateway.config.policy else { return Ok(()) };
    let resource = resource(about);
    let context = |key: &str| value(about, key);
    let call = call(about, Action::Invoke, &resource, &context);
    let suffix = match policy.decide(&call) {
        Decision::Allow => return Ok(()),
        // Of what the policy says nothing about, more is known afterwards.
        Decision::ImplicitDeny if is_first => return Ok(()),
        Decision::ExplicitDeny => " with an explicit deny",
        Decision::ImplicitDeny => "",
    };
    Err(denied(about, Action::Invoke, &resource, suffix))
}

/// A call of this API by whoever has signed it.
fn call<'c>(
    about: &'c About<'_>,
    action: Action,
    resource: &'c str,
    context: &'c dyn Fn(&str) -> Option<String>,
) -> Call<'c> {
    let user = about.exchange.caller.get().and_then(Caller::iam);
    let principal = user.map(|user| Principal { arn: &user.arn, account: ACCOUNT_ID });
    Call { principal, action, resource, context }
}

/// What a caller gets whom a policy does not allow what they ask for.
fn denied(about: &About<'_>, action: Action, resource: &str, why: &str) -> GatewayError {
    // The service shows the account's last digits only.
    let account = ACCOUNT_ID.get(8..).unwrap_or_default();
    let service = action.service();
    let resource = match action {
        Action::InvokeFunctionUrl => resource.to_owned(),
        _ => format!("{}{resource}", about.gateway.config.name),
    };
    let arn = format!("arn:aws:{service}:us-east-1:********{account}:{resource}");
    let action = action.name();
    let user = about.exchange.caller.get().and_then(Caller::iam);
    let who = user.map_or("anonymous", |user| user.arn.as_str());
    GatewayError::AccessDenied(format!(
        "User: {who} is not authorized to perform: {action} on resource: {arn}{why}"
    ))
}

/// Whether a user of IAM may make this call: it is enough that either policy
/// allows it, the user's or the API's own, and neither may deny it.
///
/// # Errors
/// [`GatewayError::AccessDenied`]
pub fn check_user(about: &About<'_>) -> Result<(), GatewayError> {
    let (action, resource) = match &about.gateway.url {
        Some(url) => (Action::InvokeFunctionUrl, format!("function:{}", url.function)),
        None => (Action::Invoke, resource(about)),
    };
    let (apis, callers) = decisions(about, action, &resource);
    let because = |why: &str| denied(about, action, &resource, why);
    Err(match (callers, apis) {
        (Some(Decision::ExplicitDeny), _) => {
            because(" with an explicit deny in an identity-based policy")
        }
        (_, Some(Decision::ExplicitDeny)) => {
            because(" with an explicit deny in a resource-based policy")
        }
        (Some(Decision::Allow), _) | (_, Some(Decision::Allow)) => return Ok(()),
        _ => {
            let name = action.name();
            because(&format!(" because no identity-based policy allows the {name} action"))
        }
    })
}

/// Whether the caller may have a kept answer made anew: one of the policies has
/// to allow it, the authorizer's or the API's own, and neither may deny it.
///
/// # Errors
/// [`GatewayError::AccessDenied`]
pub fn check_invalidation(about: &About<'_>) -> Result<(), GatewayError> {
    let resource = resource(about);
    let action = Action::InvalidateCache;
    let (apis, callers) = decisions(about, action, &resource);
    let decisions = [apis, callers];
    if decisions.contains(&Some(Decision::ExplicitDeny)) {
        return Err(denied(about, action, &resource, " with an explicit deny"));
    }
    match decisions.contains(&Some(Decision::Allow)) {
        true => Ok(()),
        false => Err(denied(about, action, &resource, "")),
    }
}

/// What the API's own policy says, and the caller's.
fn decisions(
    about: &About<'_>,
    action: Action,
    resource: &str,
) -> (Option<Decision>, Option<Decision>) {
    let context = |key: &str| value(about, key);
    let call = call(about, action, resource, &context);
    let apis = about.gateway.config.policy.as_ref().map(|policy| policy.decide(&call));
    (apis, about.exchange.caller.get().map(|caller| caller.decide(&call)))
}

/// `/STAGE/METHOD/path`, as the ARN of the method that is called ends.
pub fn resource(about: &About<'_>) -> String {
    let path = router::canonical(about.exchange.path.unwrap_or(about.path));
    format!("/{}/{}{path}", about.exchange.stage.name, about.method)
}

/// The value of a condition key; none for keys that a call without a name and
/// from outside of a VPC has not.
pub fn value(about: &About<'_>, key: &str) -> Option<String> {
    // A header with other letters than ASCII's is there all the same.
    let header = |name| header_text(about.headers, name).map(Cow::into_owned);
    let time = OffsetDateTime::from(about.exchange.time);
    if let Some(user) = about.exchange.caller.get().and_then(Caller::iam) {
        match key {
            "aws:principalarn" => return Some(user.arn.clone()),
            "aws:principalaccount" => return Some(ACCOUNT_ID.to_owned()),
            "aws:principaltype" => return Some("User".to_owned()),
            "aws:userid" => return Some(user.id.clone()),
            "aws:username" => return Some(user.credential.name.clone()),
            _ => {}
        }
    }
    match key {
        "lambda:functionurlauthtype" => {
            Some(about.gateway.url.as_ref()?.config.auth.word().to_owned())
        }
        "aws:sourceip" => Some(about.connection.client.ip().to_string()),
        "aws:useragent" => header(header::USER_AGENT),
        "aws:referer" => header(header::REFERER),
        "aws:currenttime" => time.format(&Rfc3339).ok(),
        "aws:epochtime" => Some(time.unix_timestamp().to_string()),
        "aws:securetransport" => Some((about.connection.scheme() == "https").to_string()),
        "aws:principaltype" => Some("Anonymous".to_owned()),
        _ => None,
    }
}

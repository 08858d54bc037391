//! Limits: the caller's usage plan, then the route's throttle on its stage,
//! then the account's.
//!
//! A request is held to all of them at once, so that one which is refused
//! takes nothing from any. Where the key comes from the authorizer, the plan is
//! asked after it, and the other two before.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-request-throttling.html>

use std::{sync::Arc, time::Duration};

use http::HeaderName;
use time::OffsetDateTime;

use super::{
    Trace,
    caller::Caller,
    error::GatewayError,
    method_request::{About, MethodRequest},
};
use crate::{
    config::{ApiKeySource, Window},
    gateway::Route,
    state::{Denied, Limit, Refusal},
    usage_plan::{ApiKey, Subscription},
};

/// The header that an API key comes in.
const HEADER: HeaderName = HeaderName::from_static("x-api-key");

/// Whether the request may go on, as far as its head tells.
///
/// # Errors
/// [`GatewayError::InvalidApiKey`], [`GatewayError::TooManyRequests`] and
/// [`GatewayError::QuotaExceeded`]
pub async fn admit(
    about: &About<'_>,
    route: &Route,
    trace: &mut Trace,
) -> Result<(), GatewayError> {
    let stage = about.exchange.stage.name;
    let source = about.gateway.config.api_key_source;
    let subscription = match route.api_key_required && source == ApiKeySource::Header {
        true => Some(subscribed(about, in_header(about)?, trace)?),
        false => None,
    };
    let [method, plan, quota] = subscription.map_or([NOTHING; 3], |own| of_plan(about, route, own));
    let stage = (route.throttles.get(stage).into(), By::Stage(stage));
    let account = (about.gateway.account.as_ref().into(), By::Account);
    take(about, &[method, plan, quota, stage, account]).await
}

/// The same for the key that the authorizer tells.
///
/// # Errors
/// As of [`admit`].
pub async fn admit_authorized(
    request: &MethodRequest<'_>,
    trace: &mut Trace,
) -> Result<(), GatewayError> {
    let about = request.about();
    let route = request.matched.route;
    if !route.api_key_required || about.gateway.config.api_key_source == ApiKeySource::Header {
        return Ok(());
    }
    let value = about.exchange.caller.get().and_then(Caller::usage_identifier_key);
    let value =
        value.ok_or(GatewayError::InvalidApiKey("the authorizer tells no API key".into()))?;
    let own = subscribed(&about, value.reveal().as_bytes(), trace)?;
    take(&about, &of_plan(&about, route, own)).await
}

/// The key that the request has in its header. Of several, none counts.
fn in_header<'r>(about: &About<'r>) -> Result<&'r [u8], GatewayError> {
    let mut values = about.headers.get_all(HEADER).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value.as_bytes()),
        (None, _) => Err(GatewayError::InvalidApiKey("the request has no API key".into())),
        _ => Err(GatewayError::InvalidApiKey("the request has several API keys".into())),
    }
}

/// What the owner of a key may do on this stage; from now on, the request is
/// theirs.
fn subscribed<'r>(
    about: &About<'r>,
    value: &[u8],
    trace: &mut Trace,
) -> Result<&'r Subscription, GatewayError> {
    let invalid = |why: String| Err(GatewayError::InvalidApiKey(why));
    let Some(key) = about.gateway.api_keys.find(value) else {
        return invalid("the API key is nobody's".to_owned());
    };
    let ApiKey { name, enabled, .. } = &**key;
    if !enabled {
        return invalid(format!("the API key {name:?} is not enabled"));
    }
    let stage = about.exchange.stage.name;
    let Some(subscription) = key.subscriptions.get(stage) else {
        return invalid(format!("the API key {name:?} has no usage plan of the stage {stage:?}"));
    };
    trace.mask(|| key.value.clone());
    trace.note("usage plan", |_| {
        format!("{:?} of the API key {name:?} ({})", subscription.plan, key.id)
    });
    // A request has one key.
    let _ = about.exchange.api_key.set(Arc::clone(key));
    Ok(subscription)
}

/// A limit, and whose it is.
type Held<'l> = (Limit<'l>, By<'l>);

/// Whose a limit is.
#[derive(Clone, Copy)]
enum By<'l> {
    PlanMethod(&'l Subscription),
    Plan(&'l Subscription),
    Quota(&'l Subscription, Window),
    Stage(&'l str),
    Account,
}

/// What is no limit refuses nobody, whosever it is.
const NOTHING: Held<'_> = (Limit::None, By::Account);

/// What a usage plan holds a request to, in the service's order.
fn of_plan<'l>(about: &About<'_>, route: &Route, own: &'l Subscription) -> [Held<'l>; 3] {
    let method = own.method(about.exchange.stage.name, &route.key);
    let (limit, window) = own.window(OffsetDateTime::from(about.exchange.time).date());
    [
        (method.into(), By::PlanMethod(own)),
        (own.bucket.as_ref().into(), By::Plan(own)),
        (Limit::Quota { counter: &own.counter, window, limit }, By::Quota(own, window)),
    ]
}

async fn take<const N: usize>(about: &About<'_>, held: &[Held<'_>; N]) -> Result<(), GatewayError> {
    if held.iter().all(|(limit, _)| matches!(limit, Limit::None)) {
        return Ok(());
    }
    match about.gateway.state.take(&held.each_ref().map(|(limit, _)| *limit)).await {
        Ok(()) => Ok(()),
        Err(Denied::Refused(Refusal { limit, wait })) => {
            Err(refused(about, held[limit].1, wait.unwrap_or_default()))
        }
        Err(Denied::Unavailable) => Err(GatewayError::StateUnavailable),
    }
}

/// What a client gets that one of the limits refuses.
fn refused(about: &About<'_>, by: By<'_>, wait: Duration) -> GatewayError {
    let throttled = |by: String| GatewayError::TooManyRequests { by, wait };
    match by {
        By::PlanMethod(Subscription { plan, key, .. }) => {
            throttled(format!("the usage plan {plan:?} for this route and the API key {key:?}"))
        }
        By::Plan(Subscription { plan, key, .. }) => {
            throttled(format!("the usage plan {plan:?} for the API key {key:?}"))
        }
        By::Quota(Subscription { plan, key, .. }, window) => {
            let until = window.until.midnight().assume_utc();
            let wait = Duration::try_from(until - OffsetDateTime::from(about.exchange.time));
            GatewayError::QuotaExceeded {
                by: format!("the usage plan {plan:?} for the API key {key:?}"),
                wait: wait.unwrap_or_default(),
            }
        }
        By::Stage(stage) => throttled(format!("the stage {stage:?}")),
        By::Account => throttled("the account".to_owned()),
    }
}

//! Limits: the caller's usage plan, then the route's throttle on its stage,
//! then the account's.
//!
//! A request is held to all of them at once, so that one which is refused
//! takes nothing from any. Where the key comes from the authorizer, the plan is
//! asked after it, and the other two before.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-request-throttling.html>

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

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
    state::{Denied, Limit},
    usage_plan::{ApiKey, Subscription},
};

/// The header that an API key comes in.
pub const HEADER: &str = "x-api-key";

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
    let mut limits = Limits::default();
    let method = subscription.and_then(|own| own.method(stage, &route.key));
    if let Some(own) = subscription {
        limits.of_plan(own, method.map(Limit::Bucket), about.exchange.time);
    }
    if let Some(bucket) = route.throttles.get(stage) {
        limits.push(Limit::Bucket(bucket), Held::Stage(stage));
    }
    if let Some(bucket) = &about.gateway.account {
        limits.push(Limit::Bucket(bucket), Held::Account);
    }
    limits.take(about).await
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
    let method = own.method(about.exchange.stage.name, &route.key);
    let mut limits = Limits::default();
    limits.of_plan(own, method.map(Limit::Bucket), about.exchange.time);
    limits.take(&about).await
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
    trace.mask(&key.value);
    trace.note("usage plan", |_| {
        format!("{:?} of the API key {name:?} ({})", subscription.plan, key.id)
    });
    // A request has one key.
    let _ = about.exchange.api_key.set(Arc::clone(key));
    Ok(subscription)
}

/// What a request is held to, in the service's order.
#[derive(Default)]
struct Limits<'l> {
    limits: Vec<Limit<'l>>,
    held: Vec<Held<'l>>,
}

/// Which limit it is.
#[derive(Clone, Copy)]
enum Held<'l> {
    PlanMethod(&'l Subscription),
    Plan(&'l Subscription),
    Quota(&'l Subscription, Window),
    Stage(&'l str),
    Account,
}

impl<'l> Limits<'l> {
    fn push(&mut self, limit: Limit<'l>, held: Held<'l>) {
        self.limits.push(limit);
        self.held.push(held);
    }

    fn of_plan(&mut self, own: &'l Subscription, method: Option<Limit<'l>>, time: SystemTime) {
        if let Some(method) = method {
            self.push(method, Held::PlanMethod(own));
        }
        if let Some(bucket) = &own.bucket {
            self.push(Limit::Bucket(bucket), Held::Plan(own));
        }
        let (limit, window) = own.window(OffsetDateTime::from(time).date());
        self.push(Limit::Quota { name: &own.counter, window, limit }, Held::Quota(own, window));
    }

    async fn take(&self, about: &About<'_>) -> Result<(), GatewayError> {
        if self.limits.is_empty() {
            return Ok(());
        }
        let refusal = match about.gateway.state.take(&self.limits).await {
            Ok(()) => return Ok(()),
            Err(Denied::Refused(refusal)) => refusal,
            Err(Denied::Unavailable) => return Err(GatewayError::StateUnavailable),
        };
        let wait = refusal.wait.unwrap_or_default();
        let throttled = |by: String| Err(GatewayError::TooManyRequests { by, wait });
        match self.held[refusal.limit] {
            Held::PlanMethod(Subscription { plan, key, .. }) => {
                throttled(format!("the usage plan {plan:?} for this route and the API key {key:?}"))
            }
            Held::Plan(Subscription { plan, key, .. }) => {
                throttled(format!("the usage plan {plan:?} for the API key {key:?}"))
            }
            Held::Quota(Subscription { plan, key, .. }, window) => {
                let until = window.until.midnight().assume_utc();
                let wait = Duration::try_from(until - OffsetDateTime::from(about.exchange.time));
                Err(GatewayError::QuotaExceeded {
                    by: format!("the usage plan {plan:?} for the API key {key:?}"),
                    wait: wait.unwrap_or_default(),
                })
            }
            Held::Stage(stage) => throttled(format!("the stage {stage:?}")),
            Held::Account => throttled("the account".to_owned()),
        }
    }
}

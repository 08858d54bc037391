//! API keys and usage plans as requests find them, and what has been used of
//! them.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-api-usage-plans.html>

use std::{collections::BTreeMap, sync::Arc};

use rustc_hash::FxHashMap;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use time::Date;

use crate::{
    config::{Config, Period, QuotaConfig, Secret, ThrottleConfig, UsagePlanConfig, Window},
    short_id::short_id,
    state::{Bucket, Counter, State, StateError},
};

/// The longest value that may be one of a key.
const VALUE_BYTES_MAX: usize = 128;

/// All API keys by the digests of their values, so that how long a look-up
/// takes tells nothing about them.
#[derive(Debug, Default)]
pub struct ApiKeys(FxHashMap<[u8; 32], Arc<ApiKey>>);

/// An API key.
#[derive(Debug)]
pub struct ApiKey {
    /// Its name.
    pub name: String,
    /// What events call it.
    pub id: String,
    /// What its owner sends.
    pub value: Secret,
    /// Whether it is taken.
    pub enabled: bool,
    /// What it may do, by stage.
    pub subscriptions: BTreeMap<String, Arc<Subscription>>,
}

/// A key in a usage plan. What is counted is counted over all of the plan's
/// stages.
#[derive(Debug)]
pub struct Subscription {
    /// The usage plan's name.
    pub plan: String,
    /// The key's name.
    pub key: String,
    /// What it is counted under.
    pub counter: Arc<Counter>,
    /// How often it may call.
    pub bucket: Option<Bucket>,
    /// How much.
    pub quota: Option<QuotaConfig>,
    /// How often it may call single routes, by stage and route.
    methods: BTreeMap<String, BTreeMap<String, Bucket>>,
}

impl ApiKeys {
    /// Those of a configuration, counted in `state`.
    pub fn new(config: &Config, state: &State) -> Self {
        let mut keys = FxHashMap::default();
        for own in &config.api_keys {
            let mut subscriptions = BTreeMap::new();
            for plan in config.usage_plans.iter().filter(|plan| plan.keys.contains(&own.name)) {
                let stages = config.stages.keys().filter(|stage| plan.is_of(stage));
                let subscription = Subscription::new(plan, &own.name, stages.clone(), state);
                let subscription = Arc::new(subscription);
                for stage in stages {
                    subscriptions.insert(stage.clone(), Arc::clone(&subscription));
                }
            }
            let key = ApiKey {
                name: own.name.clone(),
                id: id(&own.name),
                value: own.value.clone(),
                enabled: own.enabled,
                subscriptions,
            };
            keys.insert(digest(own.value.reveal().as_bytes()), Arc::new(key));
        }
        Self(keys)
    }

    /// The key with this value.
    pub fn find(&self, value: &[u8]) -> Option<&Arc<ApiKey>> {
        // Nothing long is digested for strangers.
        if value.len() > VALUE_BYTES_MAX { None } else { self.0.get(&digest(value)) }
    }
}

fn digest(value: &[u8]) -> [u8; 32] {
    Sha256::digest(value).into()
}

/// What events call the API key of this name.
fn id(name: &str) -> String {
    short_id::<10>(&format!("api key {name}"))
}

impl Subscription {
    fn new<'c>(
        plan: &UsagePlanConfig,
        key: &str,
        stages: impl Iterator<Item = &'c String>,
        state: &State,
    ) -> Self {
        let counter = counter(plan, key);
        let methods = |stage: &String| {
            let bucket = |(route, throttle): (&String, &ThrottleConfig)| {
                let name = format!("method:{counter}:{stage}:{route}");
                (route.clone(), state.bucket(&name, throttle))
            };
            (stage.clone(), plan.methods.iter().map(bucket).collect())
        };
        Self {
            plan: plan.name.clone(),
            key: key.to_owned(),
            bucket: plan.throttle.as_ref().map(|throttle| {
                // Names of plans and keys have no colon.
                state.bucket(&format!("plan:{counter}"), throttle)
            }),
            quota: plan.quota,
            methods: stages.map(methods).collect(),
            counter: state.counter(&counter),
        }
    }

    /// The bucket of a route on a stage, where it has one of its own.
    pub fn method(&self, stage: &str, route: &str) -> Option<&Bucket> {
        self.methods.get(stage)?.get(route)
    }

    /// What is counted on a day: up to how many, in which period.
    pub fn window(&self, day: Date) -> (Option<u64>, Window) {
        (self.quota.map(|quota| quota.limit), period(self.quota).window(day))
    }
}

/// What is not limited is counted by the day.
fn period(quota: Option<QuotaConfig>) -> Period {
    quota.map_or(Period::Day, |quota| quota.period)
}

/// What a key is counted under in a plan.
fn counter(plan: &UsagePlanConfig, key: &str) -> String {
    format!("{}:{key}", plan.name)
}

/// What a key has used of a usage plan in the period of a day.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// The usage plan's name.
    pub plan: String,
    /// The API key's name.
    pub key: String,
    /// Its id.
    pub key_id: String,
    /// `day`, `week` or `month`.
    pub period: &'static str,
    /// The first day of the period.
    pub start_date: String,
    /// The last one.
    pub end_date: String,
    /// How many requests were let through.
    pub used: u64,
    /// How many are left; none where there is no quota.
    pub remaining: Option<u64>,
    /// How many there may be.
    pub limit: Option<u64>,
}

/// What has been used, by plan and key in the order of the configuration;
/// `plan` and `key` choose some of them by name.
///
/// # Errors
/// Where it cannot be read.
pub async fn usage(
    config: &Config,
    state: &State,
    day: Date,
    (plan, key): (Option<&str>, Option<&str>),
) -> Result<Vec<Usage>, StateError> {
    let is_chosen = |chosen: Option<&str>, name: &str| chosen.is_none_or(|chosen| chosen == name);
    let mut usages = Vec::new();
    let mut counters = Vec::new();
    for own in config.usage_plans.iter().filter(|own| is_chosen(plan, &own.name)) {
        for name in own.keys.iter().filter(|name| is_chosen(key, name)) {
            let window = period(own.quota).window(day);
            let last = window.until.previous_day().unwrap_or(window.first);
            counters.push((counter(own, name), window));
            usages.push(Usage {
                plan: own.name.clone(),
                key: name.clone(),
                key_id: id(name),
                period: period(own.quota).name(),
                start_date: window.first.to_string(),
                end_date: last.to_string(),
                used: 0,
                remaining: None,
                limit: own.quota.map(|quota| quota.limit),
            });
        }
    }
    let used = state.used(counters).await?;
    for (usage, used) in usages.iter_mut().zip(used) {
        usage.used = used;
        usage.remaining = usage.limit.map(|limit| limit.saturating_sub(used));
    }
    Ok(usages)
}

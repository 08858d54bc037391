//! `[stages.NAME]`: what holds for the requests of a stage.

use std::{collections::BTreeMap, time::Duration};

use super::{AccessLogFormat, MappingExpression, ThrottleConfig};

/// What a stage's cache holds unless something else is said, in bytes: API
/// Gateway's smallest.
pub const CACHE_BYTES: u64 = 512 * 1024 * 1024;

/// How long answers are kept unless something else is said: API Gateway's.
pub const CACHE_TTL: Duration = Duration::from_secs(300);

/// One `[stage.NAME]`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StageConfig {
    /// Stage variables, as the event's `stageVariables` hands them over.
    pub variables: BTreeMap<String, String>,
    /// What is logged of the work on a request.
    pub logging: LoggingLevel,
    /// Whether bodies are logged too.
    pub data_trace: bool,
    /// The access log's lines; none for Mayfly's own.
    pub access_log: Option<AccessLogFormat>,
    /// How often each of its methods may be called.
    pub throttle: Option<ThrottleConfig>,
    /// Whether answers of its GET methods are kept.
    pub cache: Option<CacheConfig>,
    /// Settings of single methods, by their routes' keys.
    pub methods: BTreeMap<String, MethodConfig>,
    /// A release that some of the requests try out.
    pub canary: Option<CanaryConfig>,
}

/// One of a stage's methods, where it differs from the stage.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct MethodConfig {
    /// How often it may be called.
    pub throttle: Option<ThrottleConfig>,
    /// Whether and how its answers are kept.
    pub cache: Option<MethodCacheConfig>,
}

/// A method's `cache`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MethodCacheConfig {
    /// How long answers are kept, zero for not at all; none leaves that to the
    /// route and the stage.
    pub ttl: Option<Duration>,
    /// Who may have them made anew.
    pub invalidation: Invalidation,
}

/// A route's `cache`, which holds on every stage.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RouteCacheConfig {
    /// How long answers are kept, zero for not at all; none leaves that to the
    /// stages.
    pub ttl: Option<Duration>,
    /// What tells answers apart beside the path.
    pub key: Vec<MappingExpression>,
    /// Who may have them made anew.
    pub invalidation: Invalidation,
}

/// A stage's cache.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CacheConfig {
    /// How long answers are kept.
    pub ttl: Duration,
    /// The most bytes of all of them.
    pub capacity_bytes: u64,
    /// Who may have them made anew.
    pub invalidation: Invalidation,
}

/// Who may have a kept answer made anew by `Cache-Control: max-age=0`, as far
/// as it is said.
///
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-caching.html#invalidate-method-caching>
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Invalidation {
    /// Whether a policy has to allow it; by default one has to, as in the
    /// service.
    pub require_authorization: Option<bool>,
    /// What others get.
    pub unauthorized: Option<Unauthorized>,
}

impl Invalidation {
    /// What `other` says where this says nothing.
    pub fn or(self, other: Self) -> Self {
        Self {
            require_authorization: self.require_authorization.or(other.require_authorization),
            unauthorized: self.unauthorized.or(other.unauthorized),
        }
    }
}

/// What clients get who may not have an answer made anew, and ask for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Unauthorized {
    /// 403.
    FailWith403,
    /// The answer as it is kept, with a warning in a header: the service's
    /// default.
    #[default]
    SucceedWithResponseHeader,
    /// The answer as it is kept.
    SucceedWithoutResponseHeader,
}

/// `[stages.NAME.canary]`
#[derive(Debug, Clone, PartialEq)]
pub struct CanaryConfig {
    /// How many of a hundred requests it takes, 0 to 100.
    pub percent: f64,
    /// The stage variables of those: the stage's, with its own in their place.
    pub variables: BTreeMap<String, String>,
}

/// How much execution logging there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LoggingLevel {
    /// None.
    Off,
    /// Why requests failed.
    #[default]
    Error,
    /// Each step of each request.
    Info,
}

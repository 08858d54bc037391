//! `[stages.NAME]`: what holds for the requests of a stage.

use std::{collections::BTreeMap, time::Duration};

use super::{AccessLogFormat, MappingExpression, ThrottleConfig};

/// What a stage's cache holds unless something else is said, in bytes: API
/// Gateway's smallest.
pub const CACHE_BYTES: u64 = 512 * 1024 * 1024;

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
    /// How long its answers are kept, zero for not at all.
    pub cache_ttl: Option<Duration>,
}

/// A route's `cache`, which holds on every stage.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteCacheConfig {
    /// How long answers are kept, zero for not at all; none leaves that to the
    /// stages.
    pub ttl: Option<Duration>,
    /// What tells answers apart beside the path.
    pub key: Vec<MappingExpression>,
}

/// A stage's cache.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CacheConfig {
    /// How long answers are kept.
    pub ttl: Duration,
    /// The most bytes of all of them.
    pub capacity_bytes: u64,
}

/// `[stages.NAME.canary]`
#[derive(Debug, Clone, PartialEq)]
pub struct CanaryConfig {
    /// How many of a hundred requests it takes, 0 to 100.
    pub percent: f64,
    /// Stage variables in place of the stage's own.
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

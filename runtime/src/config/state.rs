//! `state`: where counters, quotas and kept answers are.

use std::time::Duration;

use super::Secret;

/// Where gateways keep what requests share.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum StateConfig {
    /// In memory, and in the data folder.
    #[default]
    Embedded,
    /// In a Redis that several gateways may have.
    Redis(RedisConfig),
    /// The configuration says where, but not so that it can be read.
    Unknown,
}

/// `state = "redis://…"`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisConfig {
    /// Where it is, perhaps with a password.
    pub url: Secret,
    /// What names of keys begin with.
    pub prefix: String,
    /// What holds while it cannot be asked.
    pub unavailable: Unavailable,
    /// How long an answer may take.
    pub timeout: Duration,
}

/// What becomes of limits while Redis cannot be asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Unavailable {
    /// Throttles hold for each gateway by itself, quotas don't.
    #[default]
    Open,
    /// Nobody is let through who would be counted.
    Closed,
}

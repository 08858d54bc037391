//! The stage of a request: the one that is served, or the one that its path
//! begins with; and whether its canary release takes the request.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/canary-release.html>

use std::collections::BTreeMap;

use uuid::Uuid;

use super::endpoint::Unserved;
use crate::{
    config::{AccessLogFormat, ApiKind, Config, DomainConfig, LoggingLevel, StageConfig},
    gateway::Gateway,
};

/// The stage of an HTTP API whose name is in no path.
pub const DEFAULT: &str = "$default";

/// A stage as one request sees it.
pub struct Stage<'g> {
    /// Its name.
    pub name: &'g str,
    /// Its configuration; none where it has none.
    pub config: Option<&'g StageConfig>,
    /// Its variables, with the canary's in place of its own.
    pub variables: &'g BTreeMap<String, String>,
    /// Whether the canary takes the request; none where the stage has no canary.
    pub is_canary: Option<bool>,
}

/// The stage of a request, and how it was found.
pub struct Found<'g> {
    /// The stage; the one that is served where the path leads to none.
    pub stage: Stage<'g>,
    /// The path below what led there.
    pub path: Result<&'g str, Unserved>,
    /// The base path that led there, where the request is to a domain.
    pub base_path: Option<&'g str>,
}

impl<'g> Stage<'g> {
    /// The stage of a request to `path` of a domain, or of the default
    /// endpoint.
    pub fn find(
        gateway: &'g Gateway,
        domain: Result<Option<&'g DomainConfig>, Unserved>,
        path: &'g str,
        id: Uuid,
    ) -> Found<'g> {
        let config = &gateway.config;
        let own = config.stage.as_str();
        let mut base_path = None;
        let (name, path) = match domain {
            Err(reason) => (own, Err(reason)),
            Ok(Some(domain)) => match domain.base_paths.find(path) {
                Some(mapping) => {
                    base_path = Some(mapping.base_path);
                    (mapping.stage, Ok(mapping.below))
                }
                None => (own, Err(Unserved::NoMapping)),
            },
            Ok(None) if config.stage_prefix => prefixed(config, path),
            Ok(None) => (own, Ok(path)),
        };
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        let stage = config.stages.get(name);
        let variables = stage.map_or(&NONE, |stage| &stage.variables);
        let mut found = Self { name, config: stage, variables, is_canary: None };
        found.release(stage, id);
        Found { stage: found, path, base_path }
    }

    /// How much execution logging it has.
    pub fn logging(&self) -> LoggingLevel {
        self.config.map(|config| config.logging).unwrap_or_default()
    }

    /// The format of its access log, where that is not our own.
    pub fn access_log(&self) -> Option<&'g AccessLogFormat> {
        self.config.and_then(|config| config.access_log.as_ref())
    }

    fn release(&mut self, stage: Option<&'g StageConfig>, id: Uuid) {
        let Some(canary) = stage.and_then(|stage| stage.canary.as_ref()) else { return };
        // The id's first bytes are random, so that every request draws anew.
        let [a, b, c, d, ..] = *id.as_bytes();
        let drawn = f64::from(u32::from_be_bytes([a, b, c, d])) / (f64::from(u32::MAX) + 1.0);
        let takes = drawn * 100.0 < canary.percent;
        self.is_canary = Some(takes);
        if takes {
            self.variables = &canary.variables;
        }
    }
}

/// `/STAGE/path`; an HTTP API's `$default` has no prefix.
fn prefixed<'g>(config: &'g Config, path: &'g str) -> (&'g str, Result<&'g str, Unserved>) {
    let rest = path.strip_prefix('/').unwrap_or(path);
    let (first, below) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    if let Some((name, _)) = config.stages.get_key_value(first).filter(|(name, _)| *name != DEFAULT)
    {
        return (name, Ok(below));
    }
    match config.stages.get_key_value(DEFAULT) {
        Some((name, _)) if config.kind == ApiKind::Http => (name, Ok(path)),
        _ => (&config.stage, Err(Unserved::NoStage)),
    }
}

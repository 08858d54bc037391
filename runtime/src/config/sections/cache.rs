//! `cache`: of stages, of their methods and of routes.

use std::{ops::RangeInclusive, time::Duration};

use super::models::named_parameter;
use crate::{
    config::{
        CACHE_BYTES, CacheConfig, MappingExpression, RequestParameter, RouteCacheConfig,
        keys::{CACHE, METHOD_CACHE, ROUTE_CACHE},
        read::{Table, Value},
        tree::Data,
    },
    router::RouteKey,
};

/// How long an answer may be kept, in seconds: API Gateway's bounds.
const TTL_SECONDS: RangeInclusive<u64> = 0..=3600;

/// How long it is kept unless something else is said: API Gateway's.
const TTL_SECONDS_DEFAULT: u64 = 300;

/// The most bytes of a stage's cache: API Gateway's largest.
const CACHE_BYTES_MAX: u64 = 237 * 1024 * 1024 * 1024;

/// A stage's `cache`.
pub fn stage(value: &Value<'_>) -> Option<CacheConfig> {
    let table = value.table(&CACHE)?;
    let ttl = table.integer("ttl_seconds", TTL_SECONDS, TTL_SECONDS_DEFAULT);
    let capacity_bytes = table.integer("capacity_bytes", 1..=CACHE_BYTES_MAX, CACHE_BYTES);
    Some(CacheConfig { ttl: Duration::from_secs(ttl), capacity_bytes })
}

/// A method's `cache`: `false`, or how long.
pub fn method(value: &Value<'_>) -> Option<Duration> {
    if matches!(value.value, Data::Boolean(false)) {
        return Some(Duration::ZERO);
    }
    let table = value.table(&METHOD_CACHE)?;
    let ttl = table.integer("ttl_seconds", TTL_SECONDS, TTL_SECONDS_DEFAULT);
    Some(Duration::from_secs(ttl))
}

/// A route's `cache`.
pub fn route(route: &Table<'_>, key: Option<&RouteKey>) -> Option<RouteCacheConfig> {
    let table = route.take("cache")?.table(&ROUTE_CACHE)?;
    let ttl = table.take("ttl_seconds").and_then(|value| value.integer(TTL_SECONDS, ""));
    let given = table.take("key").and_then(|value| value.strings()).unwrap_or_default();
    let mut parameters = Vec::new();
    for text in given {
        match key_parameter(text.text, key) {
            Ok(parameter) => parameters.push(parameter),
            Err((message, hint)) => table.source.problem(text.at, message, hint),
        }
    }
    Some(RouteCacheConfig { ttl: ttl.map(Duration::from_secs), key: parameters })
}

/// `query.NAME`, `header.NAME` or `path.NAME`, or the service's longer form.
fn key_parameter(
    text: &str,
    key: Option<&RouteKey>,
) -> Result<MappingExpression, (String, &'static str)> {
    let (place, name) = match text.strip_prefix("method.request.") {
        Some(rest) => rest.split_once('.').unwrap_or_default(),
        None => match text.split_once('.').unwrap_or_default() {
            ("query", name) => ("querystring", name),
            (place @ ("header" | "path"), name) => (place, name),
            _ => ("", ""),
        },
    };
    match named_parameter(text, place, name, key) {
        Some(Ok(RequestParameter::Path(name))) => Ok(MappingExpression::RequestPath(name)),
        // Of several values all count.
        Some(Ok(RequestParameter::Query(name))) => Ok(MappingExpression::RequestQueries(name)),
        Some(Ok(RequestParameter::Header(name))) => Ok(MappingExpression::RequestHeaders(name)),
        Some(Err(wrong)) => Err(wrong),
        None => {
            let hint = "write query.NAME, header.NAME or path.NAME";
            Err((format!("{text:?} is no part of a cache's key"), hint))
        }
    }
}

//! `cache`: of stages, of their methods and of routes.

use std::{ops::RangeInclusive, time::Duration};

use super::models::named_parameter;
use crate::{
    config::{
        CACHE_BYTES, CACHE_TTL, CacheConfig, Invalidation, MappingExpression, MethodCacheConfig,
        RequestParameter, RouteCacheConfig, Unauthorized,
        keys::{CACHE, METHOD_CACHE, ROUTE_CACHE},
        read::{Table, Text, Value, choice},
        tree::Data,
    },
    router::RouteKey,
};

/// How long an answer may be kept, in seconds: API Gateway's bounds.
const TTL_SECONDS: RangeInclusive<u64> = 0..=3600;

/// The most bytes of a stage's cache: API Gateway's largest.
const CACHE_BYTES_MAX: u64 = 237 * 1024 * 1024 * 1024;

/// What `unauthorized` may be.
const STRATEGIES: [(&str, Unauthorized); 3] = [
    ("FAIL_WITH_403", Unauthorized::FailWith403),
    ("SUCCEED_WITH_RESPONSE_HEADER", Unauthorized::SucceedWithResponseHeader),
    ("SUCCEED_WITHOUT_RESPONSE_HEADER", Unauthorized::SucceedWithoutResponseHeader),
];

/// A stage's `cache`.
pub fn stage(value: &Value<'_>) -> Option<CacheConfig> {
    let table = value.table(&CACHE)?;
    let ttl = table.integer("ttl_seconds", TTL_SECONDS, CACHE_TTL.as_secs());
    let capacity_bytes = table.integer("capacity_bytes", 1..=CACHE_BYTES_MAX, CACHE_BYTES);
    let invalidation = invalidation(&table);
    Some(CacheConfig { ttl: Duration::from_secs(ttl), capacity_bytes, invalidation })
}

/// A method's `cache`: `false`, or how.
pub fn method(value: &Value<'_>) -> Option<MethodCacheConfig> {
    if matches!(value.value, Data::Boolean(false)) {
        let invalidation = Invalidation::default();
        return Some(MethodCacheConfig { ttl: Some(Duration::ZERO), invalidation });
    }
    let table = value.table(&METHOD_CACHE)?;
    Some(MethodCacheConfig { ttl: own_ttl(&table), invalidation: invalidation(&table) })
}

/// A route's `cache`.
pub fn route(route: &Table<'_>, key: Option<&RouteKey>) -> Option<RouteCacheConfig> {
    let table = route.take("cache")?.table(&ROUTE_CACHE)?;
    let given = table.take("key").and_then(|value| value.strings()).unwrap_or_default();
    let mut parameters = Vec::new();
    for text in given {
        match key_parameter(text.text, key) {
            Ok(parameter) => parameters.push(parameter),
            Err((message, hint)) => table.source.problem(text.at, message, hint),
        }
    }
    let invalidation = invalidation(&table);
    Some(RouteCacheConfig { ttl: own_ttl(&table), key: parameters, invalidation })
}

fn own_ttl(table: &Table<'_>) -> Option<Duration> {
    let seconds = table.take("ttl_seconds")?.integer(TTL_SECONDS, "")?;
    Some(Duration::from_secs(seconds))
}

/// Who may have answers made anew.
fn invalidation(table: &Table<'_>) -> Invalidation {
    let unauthorized = table.take("unauthorized").and_then(|value| {
        let text = value.string()?;
        // The service's words, in capitals or not.
        let upper = text.text.to_ascii_uppercase();
        choice(&value, Text { text: &upper, at: text.at }, &STRATEGIES)
    });
    let given = table.take("require_authorization").and_then(|value| value.boolean());
    Invalidation { require_authorization: given, unauthorized }
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

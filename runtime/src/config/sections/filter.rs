//! `[request_filter]` and `trusted_proxies`.

use ipnet::IpNet;

use super::usage_plans::throttle_of;
use crate::{
    config::{
        RequestFilterConfig,
        keys::REQUEST_FILTER,
        read::{Table, Value},
    },
    policy::range,
};

/// `[request_filter]`
pub fn request_filter(root: &Table<'_>) -> RequestFilterConfig {
    let table = root.table("request_filter", &REQUEST_FILTER);
    let of = |key| table.take(key).map(|value| ranges(&value)).unwrap_or_default();
    if let Some(given) = table.take("allow")
        && given.array().is_some_and(|items| items.is_empty())
    {
        given.problem(
            "request_filter.allow is empty: nobody could call",
            "remove it to allow every address that is not denied",
        );
    }
    RequestFilterConfig { allow: of("allow"), deny: of("deny"), throttle: throttle_of(&table) }
}

/// `trusted_proxies`
pub fn trusted_proxies(root: &Table<'_>) -> Vec<IpNet> {
    root.take("trusted_proxies").map(|value| ranges(&value)).unwrap_or_default()
}

/// Ranges of addresses, or single ones.
fn ranges(value: &Value<'_>) -> Vec<IpNet> {
    let mut ranges = Vec::new();
    for text in value.strings().unwrap_or_default() {
        match range(text.text) {
            Some(range) => ranges.push(range),
            None => {
                let message = format!("{} cannot be {:?}", value.path, text.text);
                let hint = "write an address or a range: \"10.0.0.0/8\", \"2001:db8::/32\"";
                value.source.problem(text.at, message, hint);
            }
        }
    }
    ranges
}

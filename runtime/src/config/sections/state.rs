//! `state`

use std::time::Duration;

use crate::{
    config::{
        RedisConfig, Secret, StateConfig, Unavailable,
        keys::STATE,
        read::{Table, Value},
        tree::Data,
    },
    state::check_url,
};

/// How long Redis may take, in milliseconds.
const TIMEOUT_MS_MAX: u64 = 10_000;
const TIMEOUT_MS: u64 = 100;

/// What Redis' names may begin with, in bytes.
const PREFIX_BYTES_MAX: usize = 100;

/// Where the state of the API `name` is.
pub fn state(root: &Table<'_>, name: &str) -> StateConfig {
    let Some(given) = root.take("state") else { return StateConfig::Embedded };
    let config = |url: Secret| RedisConfig {
        url,
        prefix: format!("mayfly:{name}:"),
        unavailable: Unavailable::default(),
        timeout: Duration::from_millis(TIMEOUT_MS),
    };
    if !matches!(given.value, Data::Table(_)) {
        let url = given.string().map(|text| Secret::new(text.text.to_owned()));
        let url = url.and_then(|url| checked(&given, url));
        return url.map_or(StateConfig::Unknown, |url| StateConfig::Redis(config(url)));
    }
    let Some(table) = given.table(&STATE) else { return StateConfig::Unknown };
    let words = [("open", Unavailable::Open), ("closed", Unavailable::Closed)];
    let unavailable = table.choice("unavailable", &words).unwrap_or_default();
    let default = Duration::from_millis(TIMEOUT_MS);
    let timeout = table.milliseconds("timeout_ms", 1..=TIMEOUT_MS_MAX, "", default);
    let prefix = prefix(&table);
    let Some(url) = url(&given, &table) else { return StateConfig::Unknown };
    let mut config = RedisConfig { unavailable, timeout, ..config(url) };
    match (prefix, table.take("prefix")) {
        (Some(prefix), _) => config.prefix = prefix,
        (None, Some(_)) => return StateConfig::Unknown,
        (None, None) => {}
    }
    StateConfig::Redis(config)
}

/// `url` or `url_env`.
fn url(state: &Value<'_>, table: &Table<'_>) -> Option<Secret> {
    let Some(given) = table.take("url").or(table.take("url_env")) else {
        let hint = "write url = \"redis://127.0.0.1:6379/0\", or url_env = \"VARIABLE\"";
        state.problem("state has no url", hint);
        return None;
    };
    checked(&given, table.secret("url", "url_env")?)
}

/// A URL, which no message may show: it may have a password.
fn checked(given: &Value<'_>, url: Secret) -> Option<Secret> {
    match check_url(url.reveal()) {
        Ok(()) => Some(url),
        Err(why) => {
            let hint = "write redis://[USER:PASSWORD@]HOST:PORT/DATABASE, or rediss:// for TLS";
            given.problem(format!("{} is no URL of a Redis: {why}", given.path), hint);
            None
        }
    }
}

fn prefix(table: &Table<'_>) -> Option<String> {
    let given = table.string("prefix")?;
    if given.text.is_empty() || given.text.len() > PREFIX_BYTES_MAX {
        let message = format!("state.prefix cannot be {:?}", given.text);
        table.source.problem(given.at, message, "use 1 to 100 characters, such as \"mayfly:\"");
        return None;
    }
    Some(given.text.to_owned())
}

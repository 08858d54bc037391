//! `[user_pool.NAME]`

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::server::admin_of_file;
use crate::config::{
    TOKEN_VALIDITY_MAX, UserPoolConfig,
    keys::USER_POOL,
    read::{Entry, Table, Text},
};

/// User pools by name; none for one that is invalid.
pub type UserPools = BTreeMap<String, Option<Arc<UserPoolConfig>>>;

/// The longest name of a pool, which is a folder's too.
const NAME_CHARS_MAX: usize = 64;

/// The most clients and custom attributes, and their longest name: Cognito's.
const CLIENTS_MAX: usize = 50;
const ATTRIBUTES_MAX: usize = 50;
const CLIENT_CHARS_MAX: usize = 128;
const ATTRIBUTE_CHARS_MAX: usize = 20;

/// The shortest that a pool may have its tokens valid, in seconds: Cognito's.
const VALIDITY_SECONDS_MIN: u64 = 300;

pub fn user_pools(root: &Table<'_>) -> UserPools {
    let entries = root.entries("user_pool", "write [user_pool.NAME]");
    let read = |Entry { name, value }: Entry<'_>| {
        let table = value.table(&USER_POOL);
        let config = table.and_then(|table| user_pool(root, &name, &table));
        (name.text.to_owned(), config.map(Arc::new))
    };
    entries.into_iter().map(read).collect()
}

fn user_pool(root: &Table<'_>, name: &Text<'_>, table: &Table<'_>) -> Option<UserPoolConfig> {
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let is_named = match name.text.len() {
        1..=NAME_CHARS_MAX if name.text.chars().all(valid) => true,
        _ => {
            let message = format!("a user pool cannot be named {:?}", name.text);
            let hint = format!("use 1 to {NAME_CHARS_MAX} letters, digits, '-' and '_'");
            table.source.problem(name.at, message, hint);
            false
        }
    };
    let range = VALIDITY_SECONDS_MIN..=TOKEN_VALIDITY_MAX.as_secs();
    let token_validity = table.integer("token_validity_seconds", range, 3600);
    let hint = format!("use at most {CLIENT_CHARS_MAX} letters, digits, '-' and '_'");
    let clients = names(table, "clients", CLIENTS_MAX, CLIENT_CHARS_MAX, &hint);
    let hint =
        format!("use at most {ATTRIBUTE_CHARS_MAX} letters, digits, '-' and '_', without custom:");
    let custom_attributes =
        names(table, "custom_attributes", ATTRIBUTES_MAX, ATTRIBUTE_CHARS_MAX, &hint);
    let issuer = table.string("issuer");
    if let Some(issuer) = issuer.filter(|issuer| issuer.text.is_empty()) {
        table.source.problem(issuer.at, format!("{}.issuer is empty", table.path), "remove it");
    }
    if clients.is_empty() {
        let message = format!("{} has no clients", table.path);
        table.source.problem(
            table.at,
            message,
            "write clients = [\"app\"]: tokens are for one of them",
        );
    }
    // By what the file says alone, so that all commands agree.
    let issuer = match issuer {
        Some(issuer) => issuer.text.to_owned(),
        None => format!("http://{}/{}", admin_of_file(root), name.text),
    };
    (is_named && !clients.is_empty()).then(|| UserPoolConfig {
        name: name.text.to_owned(),
        issuer,
        clients,
        custom_attributes,
        token_validity: Duration::from_secs(token_validity),
    })
}

fn names(
    table: &Table<'_>,
    key: &'static str,
    count_max: usize,
    chars_max: usize,
    hint: &str,
) -> Vec<String> {
    let Some(given) = table.take(key) else { return Vec::new() };
    let texts = given.strings().unwrap_or_default();
    if texts.len() > count_max {
        let message = format!("{} has {} names, more than {count_max}", given.path, texts.len());
        given.problem(message, "");
    }
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    for text in &texts {
        if text.text.is_empty() || text.text.len() > chars_max || !text.text.chars().all(valid) {
            table.source.problem(
                text.at,
                format!("{} cannot be {:?}", given.path, text.text),
                hint,
            );
        }
    }
    texts.into_iter().map(|text| text.text.to_owned()).collect()
}

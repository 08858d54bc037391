//! `[authorizer.NAME]`

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    expression::{self, Sources},
    integration::selection_pattern,
    routes::function_of,
};
use crate::config::{
    ApiKind, AuthorizerConfig, AuthorizerKind, MappingExpression, PayloadFormat,
    keys::{AUTHORIZER, closest},
    read::{Entry, Table, Text},
};

/// The longest that an answer holds, in seconds: API Gateway's.
const TTL_SECONDS_MAX: u64 = 3600;

/// Authorizers by name; none for one that is invalid.
pub type Authorizers = BTreeMap<String, Option<Arc<AuthorizerConfig>>>;

pub fn authorizers(root: &Table<'_>, kind: ApiKind) -> Authorizers {
    let entries = root.entries("authorizer", "write [authorizer.NAME]");
    let read = |Entry { name, value }: Entry<'_>| {
        let table = value.table(&AUTHORIZER);
        let config = table.and_then(|table| authorizer(name.text, &table, kind));
        (name.text.to_owned(), config.map(Arc::new))
    };
    entries.into_iter().map(read).collect()
}

/// The authorizer that a route names.
pub fn of_route(route: &Table<'_>, authorizers: &Authorizers) -> Option<Arc<AuthorizerConfig>> {
    let given = route.take("authorizer")?;
    let name = given.string()?.text;
    match authorizers.get(name) {
        // One that is invalid has been reported where it stands.
        Some(found) => found.clone(),
        None => {
            let names: Vec<&str> = authorizers.keys().map(String::as_str).collect();
            let hint = match closest(name, &names) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("write [authorizer.{name}] with its function"),
            };
            given.problem(format!("there is no authorizer {name:?}"), hint);
            None
        }
    }
}

fn authorizer(name: &str, table: &Table<'_>, kind: ApiKind) -> Option<AuthorizerConfig> {
    let is_token = table.choice("type", &[("request", false), ("token", true)]).unwrap_or(false);
    if is_token && kind == ApiKind::Http {
        let message = "an HTTP API has no authorizers of the type \"token\"";
        table.source.problem(table.key_at("type"), message, "write type = \"request\"");
    }
    let belong = [
        ("identity_validation", is_token, "token"),
        ("payload", !is_token, "request"),
        ("simple_responses", !is_token, "request"),
    ];
    for (key, belongs, to) in belong {
        if !belongs && table.take(key).is_some() {
            let message = format!("{key} belongs to authorizers of the type {to:?}");
            table.source.problem(table.key_at(key), message, "remove it");
        }
    }
    let ttl = table.integer("ttl_seconds", 0..=TTL_SECONDS_MAX, 300_u64);
    let identity_sources = identity_sources(table, is_token, ttl > 0);
    let payload = payload(table, kind);
    let simple_responses = table.boolean("simple_responses", false);
    if simple_responses && payload == PayloadFormat::V1 {
        let message = "simple_responses belongs to payload format 2.0";
        table.source.problem(table.key_at("simple_responses"), message, "remove it");
    }
    let pattern = table.take("identity_validation").and_then(|value| selection_pattern(&value));
    let Some(function) = table.take("function") else {
        let message = format!("{} names no function", table.path);
        table.source.problem(table.at, message, "write function = \"NAME\"");
        return None;
    };
    Some(AuthorizerConfig {
        name: name.to_owned(),
        kind: match is_token {
            true => AuthorizerKind::Token(pattern),
            false => AuthorizerKind::Request { payload, simple_responses },
        },
        function: function_of(&function)?,
        identity_sources,
        ttl: Duration::from_secs(ttl),
    })
}

fn payload(table: &Table<'_>, kind: ApiKind) -> PayloadFormat {
    let given = table.choice("payload", &[("1.0", PayloadFormat::V1), ("2.0", PayloadFormat::V2)]);
    if kind == ApiKind::Rest && given == Some(PayloadFormat::V2) {
        let message = "payload cannot be \"2.0\" in a REST API";
        table.source.problem(table.key_at("payload"), message, "remove it");
    }
    match kind {
        ApiKind::Rest => PayloadFormat::V1,
        ApiKind::Http => given.unwrap_or(PayloadFormat::V2),
    }
}

fn identity_sources(table: &Table<'_>, is_token: bool, cached: bool) -> Vec<MappingExpression> {
    let Some(given) = table.take("identity_sources") else {
        if !is_token && cached {
            let message = format!("{} has no identity_sources", table.path);
            let hint = "write identity_sources = [\"method.request.header.authorization\"], or ttl_seconds = 0: answers are kept by them";
            table.source.problem(table.at, message, hint);
        }
        let authorization = MappingExpression::RequestHeader(http::header::AUTHORIZATION);
        return if is_token { vec![authorization] } else { Vec::new() };
    };
    let texts = given.strings().unwrap_or_default();
    if is_token && texts.len() != 1 {
        let hint = "write identity_sources = [\"method.request.header.authorization\"]";
        given.problem("a token comes from one header", hint);
    }
    texts.iter().filter_map(|text| identity_source(table, text, is_token)).collect()
}

/// `method.request.header.NAME` and the like, or `$request.header.NAME`, as
/// HTTP APIs write it.
fn identity_source(
    table: &Table<'_>,
    given: &Text<'_>,
    is_token: bool,
) -> Option<MappingExpression> {
    let text = match given.text.strip_prefix('$') {
        Some(rest) if rest.starts_with("request.") => format!("method.{rest}"),
        Some(rest) => rest.to_owned(),
        None => given.text.to_owned(),
    };
    let source = expression::parse(&text, &Sources::Request(None));
    let allowed = |source: &MappingExpression| match source {
        MappingExpression::RequestHeader(_) => true,
        MappingExpression::RequestQuery(_)
        | MappingExpression::StageVariable(_)
        | MappingExpression::Context(_) => !is_token,
        _ => false,
    };
    match source {
        Ok(source) if allowed(&source) => {
            if let MappingExpression::StageVariable(name) = &source {
                table.source.reads_stage_variable(given.at, name);
            }
            Some(source)
        }
        _ => {
            let message = format!("{:?} is no source of an identity", given.text);
            let hint = match is_token {
                true => "write method.request.header.NAME",
                false => {
                    "write method.request.header.NAME, method.request.querystring.NAME, stageVariables.NAME or context.NAME"
                }
            };
            table.source.problem(given.at, message, hint);
            None
        }
    }
}

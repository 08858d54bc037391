//! `[route.integration]`: a mock, a function or an HTTP endpoint behind
//! mapping templates, and an endpoint that gets requests as they are.

use std::sync::Arc;

use fancy_regex::RegexBuilder;
use http::StatusCode;

use super::{
    endpoint,
    expression::Sources,
    routes::function_of,
    templates::{headers, templates},
};
use crate::{
    config::{
        ApiKind, ContentHandling, FunctionName, IntegrationConfig, IntegrationResponseConfig,
        MappedConfig, MappedTarget, Passthrough, SelectionPattern,
        keys::RESPONSE,
        read::{Table, Value},
    },
    router::RouteKey,
};

/// Backtracking steps of one selection pattern.
const BACKTRACKS_MAX: usize = 100_000;

/// The compiled size of one selection pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 1024 * 1024;

#[derive(Clone, Copy, PartialEq)]
enum Type {
    Mock,
    Function,
    Http,
    HttpProxy,
}

/// What belongs to some types only.
const KEYS: [(&str, &[Type]); 10] = [
    ("function", &[Type::Function]),
    ("uri", &[Type::Http, Type::HttpProxy]),
    ("method", &[Type::Http, Type::HttpProxy]),
    ("tls", &[Type::Http, Type::HttpProxy]),
    ("request_parameters", &[Type::Http, Type::HttpProxy]),
    ("content_handling", &[Type::Mock, Type::Function, Type::Http]),
    ("passthrough_behavior", &[Type::Mock, Type::Function, Type::Http]),
    ("request_templates", &[Type::Mock, Type::Function, Type::Http]),
    ("responses", &[Type::Mock, Type::Function, Type::Http]),
    ("type", &[Type::Mock, Type::Function, Type::Http, Type::HttpProxy]),
];

const TYPES: [(&str, Type); 4] = [
    ("mock", Type::Mock),
    ("function", Type::Function),
    ("http", Type::Http),
    ("http_proxy", Type::HttpProxy),
];

pub fn integration(
    table: &Table<'_>,
    key: Option<&RouteKey>,
    kind: ApiKind,
) -> Option<IntegrationConfig> {
    let own = table.choice("type", &TYPES);
    if table.take("type").is_none() {
        let message = format!("{} has no type", table.path);
        let hint = "write type = \"mock\", \"function\", \"http\" or \"http_proxy\"";
        table.source.problem(table.at, message, hint);
    }
    let own = own?;
    for (key, types) in KEYS {
        if !types.contains(&own) && table.take(key).is_some() {
            let name = TYPES.iter().find(|(_, other)| *other == own).map_or("", |(name, _)| name);
            let message = format!("an integration of the type {name:?} has no {key}");
            table.source.problem(table.key_at(key), message, "remove it, or change the type");
        }
    }
    if kind == ApiKind::Http && own != Type::HttpProxy {
        let hint = "write kind = \"rest\", mock = { status = 200 } or type = \"http_proxy\"";
        table.source.problem(table.at, "an HTTP API has no mapping templates", hint);
    }
    if own == Type::HttpProxy {
        let endpoint = endpoint::endpoint(table, key, kind)?;
        return Some(IntegrationConfig::HttpProxy(Arc::new(endpoint)));
    }
    let target = match own {
        Type::Mock => Some(MappedTarget::Mock),
        Type::Function => function(table).map(MappedTarget::Function),
        Type::Http | Type::HttpProxy => {
            let endpoint = endpoint::endpoint(table, key, kind);
            endpoint.map(|endpoint| MappedTarget::Http(Box::new(endpoint)))
        }
    };
    let passthrough = table.choice(
        "passthrough_behavior",
        &[
            ("WHEN_NO_MATCH", Passthrough::WhenNoMatch),
            ("WHEN_NO_TEMPLATES", Passthrough::WhenNoTemplates),
            ("NEVER", Passthrough::Never),
        ],
    );
    let request_templates = templates(table, "request_templates");
    let responses = responses(table, own);
    Some(IntegrationConfig::Mapped(Arc::new(MappedConfig {
        target: target?,
        passthrough: passthrough.unwrap_or(Passthrough::WhenNoMatch),
        content_handling: content_handling(table),
        request_templates,
        responses,
    })))
}

fn function(table: &Table<'_>) -> Option<FunctionName> {
    let Some(function) = table.take("function") else {
        let message = format!("{} names no function", table.path);
        table.source.problem(table.at, message, "write function = \"NAME\"");
        return None;
    };
    function_of(&function)
}

fn content_handling(table: &Table<'_>) -> Option<ContentHandling> {
    table.choice(
        "content_handling",
        &[
            ("CONVERT_TO_TEXT", ContentHandling::ConvertToText),
            ("CONVERT_TO_BINARY", ContentHandling::ConvertToBinary),
        ],
    )
}

fn responses(table: &Table<'_>, own: Type) -> Vec<IntegrationResponseConfig> {
    let (selects_status, upstream) = (own != Type::Function, own == Type::Http);
    let Some(given) = table.take("responses") else {
        let message = format!("{} has no responses", table.path);
        let hint = "write responses = [{ status = 200 }]: the one without a pattern is the default";
        table.source.problem(table.at, message, hint);
        return Vec::new();
    };
    let mut responses: Vec<IntegrationResponseConfig> = Vec::new();
    for item in given.array().unwrap_or_default() {
        let Some(response) = item.table(&RESPONSE) else { continue };
        let status = response.integer("status", 200..=599, 200_u16);
        let pattern = response.take("pattern").and_then(|value| selection_pattern(&value));
        if let Some(pattern) = pattern.as_ref().filter(|_| selects_status) {
            check_reach(&response, pattern);
        }
        let same = |other: &&IntegrationResponseConfig| {
            let text = |pattern: &SelectionPattern| pattern.text.clone();
            other.pattern.as_ref().map(text) == pattern.as_ref().map(text)
        };
        let unread = pattern.is_none() && response.take("pattern").is_some();
        if !unread && responses.iter().find(same).is_some() {
            let (message, hint) = match &pattern {
                None => (
                    "a second response without a pattern would never be selected".to_owned(),
                    "give all but one of them a pattern",
                ),
                Some(pattern) => (
                    format!(
                        "a second response with the pattern {:?} would never be selected",
                        pattern.text
                    ),
                    "remove one of the two",
                ),
            };
            item.problem(message, hint);
        }
        let config = IntegrationResponseConfig {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::OK),
            pattern,
            content_handling: content_handling(&response),
            templates: templates(&response, "templates"),
            headers: headers(&response, &Sources::Response { upstream }),
        };
        // It would count as one without a pattern.
        responses.extend((!unread).then_some(config));
    }
    responses
}

/// Whether the pattern matches a status code at all.
fn check_reach(response: &Table<'_>, pattern: &SelectionPattern) {
    let matches = |status: u16| pattern.regex.is_match(&status.to_string()).unwrap_or(false);
    if !(100..=999).any(matches) {
        let message = format!("the pattern {:?} matches no status code", pattern.text);
        let hint = "it has to match all of one, as in \"4\\\\d{2}\"";
        response.source.problem(response.key_at("pattern"), message, hint);
    }
}

/// A regular expression that has to match as a whole.
pub fn selection_pattern(value: &Value<'_>) -> Option<SelectionPattern> {
    let text = value.string()?.text;
    let build = |pattern: &str| {
        RegexBuilder::new(pattern)
            .backtrack_limit(BACKTRACKS_MAX)
            .delegate_size_limit(PATTERN_BYTES_MAX)
            .build()
            .map_err(|error| error.to_string())
    };
    // First by itself, so that an error's position is the user's.
    match build(text).and_then(|_| build(&format!("^(?:{text})\\z"))) {
        Ok(regex) => Some(SelectionPattern { text: text.to_owned(), regex }),
        Err(error) => {
            let message = format!("{} is not a regular expression: {error}", value.path);
            value.problem(message, "it has to match the whole text, as in \"4\\\\d{2}\"");
            None
        }
    }
}

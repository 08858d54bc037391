//! `[route.integration]`: a mock or a function behind mapping templates.

use std::{collections::BTreeMap, sync::Arc};

use fancy_regex::RegexBuilder;
use http::{HeaderName, HeaderValue, StatusCode};

use super::routes::{FRAMING, function_of};
use crate::{
    config::{
        ApiKind, GatewayResponseConfig, HeaderMapping, IntegrationConfig,
        IntegrationResponseConfig, MappedConfig, MappedTarget, Passthrough, SelectionPattern,
        keys::{GATEWAY_RESPONSE, RESPONSE, closest},
        read::{Entry, Table, Value},
    },
    mapping::{self, MappingTemplate},
};

/// Backtracking steps of one selection pattern.
const BACKTRACKS_MAX: usize = 100_000;

/// The compiled size of one selection pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 1024 * 1024;

#[derive(Clone, Copy, PartialEq)]
enum Type {
    Mock,
    Function,
}

pub fn mapped(table: &Table<'_>) -> Option<IntegrationConfig> {
    let kind = table.choice("type", &[("mock", Type::Mock), ("function", Type::Function)]);
    if table.take("type").is_none() {
        let message = format!("{} has no type", table.path);
        table.source.problem(table.at, message, "write type = \"mock\" or \"function\"");
    }
    let target = match (kind, table.take("function")) {
        (Some(Type::Function), Some(function)) => {
            function_of(&function).map(MappedTarget::Function)
        }
        (Some(Type::Function), None) => {
            let message = format!("{} names no function", table.path);
            table.source.problem(table.at, message, "write function = \"NAME\"");
            None
        }
        (Some(Type::Mock), function) => {
            if let Some(function) = function {
                function.problem("a mock calls no function", "write type = \"function\"");
            }
            Some(MappedTarget::Mock)
        }
        (None, _) => None,
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
    let responses = responses(table);
    Some(IntegrationConfig::Mapped(Arc::new(MappedConfig {
        target: target?,
        passthrough: passthrough.unwrap_or(Passthrough::WhenNoMatch),
        request_templates,
        responses,
    })))
}

fn templates(table: &Table<'_>, key: &'static str) -> Vec<(String, MappingTemplate)> {
    let hint = "write { \"application/json\" = \"the template\" }";
    let mut templates: Vec<(String, MappingTemplate)> = Vec::new();
    for Entry { name, value } in table.entries(key, hint) {
        let content_type = name.text.to_ascii_lowercase();
        if !is_content_type(&content_type) {
            let message = format!("{:?} is not a content type", name.text);
            table.source.problem(name.at, message, "write for example \"application/json\"");
        }
        if templates.iter().any(|(other, _)| *other == content_type) {
            let message = format!("{:?} has two templates", name.text);
            table.source.problem(name.at, message, "keep one of them");
        }
        let Some(text) = value.string() else { continue };
        match MappingTemplate::parse(text.text) {
            Ok(template) => templates.push((content_type, template)),
            Err(error) => value.problem(format!("{}: {error}", value.path), ""),
        }
    }
    templates
}

/// Whether it is a type and a subtype, without parameters.
pub fn is_content_type(text: &str) -> bool {
    let token = |part: &str| {
        !part.is_empty()
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "!#$&-^_.+".contains(c))
    };
    text.split_once('/').is_some_and(|(kind, subtype)| token(kind) && token(subtype))
}

fn responses(table: &Table<'_>) -> Vec<IntegrationResponseConfig> {
    let Some(given) = table.take("responses") else {
        let message = format!("{} has no responses", table.path);
        let hint =
            "write responses = [{ status = 200 }]: the first without a pattern is the default";
        table.source.problem(table.at, message, hint);
        return Vec::new();
    };
    let mut responses = Vec::new();
    let mut default = false;
    for item in given.array().unwrap_or_default() {
        let Some(response) = item.table(&RESPONSE) else { continue };
        let status = response.integer("status", 200..=599, 200_u16);
        let pattern = response.take("pattern").and_then(|value| selection_pattern(&value));
        if response.take("pattern").is_none() && std::mem::replace(&mut default, true) {
            let hint = "give all but one of them a pattern";
            item.problem("a second response without a pattern would never be selected", hint);
        }
        responses.push(IntegrationResponseConfig {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::OK),
            pattern,
            templates: templates(&response, "templates"),
            headers: headers(&response, Source::Integration),
        });
    }
    responses
}

fn selection_pattern(value: &Value<'_>) -> Option<SelectionPattern> {
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

fn headers(table: &Table<'_>, source: Source) -> Vec<(HeaderName, HeaderMapping)> {
    let mut headers = Vec::new();
    for Entry { name, value } in table.entries("headers", "write { x-name = \"'text'\" }") {
        let Ok(header) = HeaderName::from_bytes(name.text.as_bytes()) else {
            let message = format!("{:?} is not the name of a header", name.text);
            table.source.problem(name.at, message, "use letters, digits and '-'");
            continue;
        };
        if FRAMING.contains(&header) {
            let message = format!("the header {header} cannot be mapped");
            table.source.problem(name.at, message, "the server writes it itself; remove it");
            continue;
        }
        let Some(text) = value.string() else { continue };
        match header_mapping(text.text, source) {
            Ok(mapping) => headers.push((header, mapping)),
            Err((message, hint)) => value.problem(format!("{}: {message}", value.path), hint),
        }
    }
    headers
}

/// What a mapping may read beside `context` and `stageVariables`.
#[derive(Clone, Copy, PartialEq)]
enum Source {
    /// An integration's answer.
    Integration,
    /// The request: there is no answer.
    Request,
}

/// A mapping expression of API Gateway.
///
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/request-response-data-mappings.html>
fn header_mapping(text: &str, source: Source) -> Result<HeaderMapping, (String, &'static str)> {
    let hint = match source {
        Source::Integration => {
            "write 'text' in single quotes, integration.response.body.a.b, context.a or stageVariables.a"
        }
        Source::Request => {
            "write 'text' in single quotes, method.request.header.a, context.a or stageVariables.a"
        }
    };
    let integration = text.strip_prefix("integration.response.");
    if let Some(inner) = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')) {
        let value = HeaderValue::from_str(inner);
        return value.map(HeaderMapping::Static).map_err(|_| {
            (format!("{inner:?} is not the value of a header"), "remove control characters")
        });
    }
    if let (Some(rest), Source::Integration) = (integration, source) {
        return match rest.strip_prefix("body") {
            Some("") => path("$").map(HeaderMapping::Body),
            Some(rest) if rest.starts_with('.') => path(&rest[1..]).map(HeaderMapping::Body),
            _ => Err((format!("{text}: neither a mock nor a function answers with that"), hint)),
        };
    }
    if let (Some(name), Source::Request) = (text.strip_prefix("method.request.header."), source) {
        let name = HeaderName::from_bytes(name.as_bytes());
        return name
            .map(HeaderMapping::RequestHeader)
            .map_err(|_| (format!("{text:?} names no header"), hint));
    }
    if let Some(rest) = text.strip_prefix("stageVariables.").filter(|rest| !rest.is_empty()) {
        return Ok(HeaderMapping::StageVariable(rest.to_owned()));
    }
    match text.strip_prefix("context.") {
        Some(rest) if rest.split('.').all(|part| !part.is_empty()) => {
            Ok(HeaderMapping::Context(rest.split('.').map(str::to_owned).collect()))
        }
        _ => Err((format!("{text:?} is not a mapping expression"), hint)),
    }
}

/// The types of gateway response that can come about.
const RESPONSE_TYPES: [&str; 11] = [
    "API_CONFIGURATION_ERROR",
    "BAD_REQUEST_BODY",
    "BAD_REQUEST_PARAMETERS",
    "DEFAULT_4XX",
    "DEFAULT_5XX",
    "INTEGRATION_FAILURE",
    "INTEGRATION_TIMEOUT",
    "MISSING_AUTHENTICATION_TOKEN",
    "REQUEST_TOO_LARGE",
    "THROTTLED",
    "UNSUPPORTED_MEDIA_TYPE",
];

/// `[gateway_responses.TYPE]`
pub fn gateway_responses(
    root: &Table<'_>,
    kind: ApiKind,
) -> BTreeMap<String, GatewayResponseConfig> {
    let mut responses = BTreeMap::new();
    if let Some(given) = root.take("gateway_responses").filter(|_| kind == ApiKind::Http) {
        given.problem("an HTTP API has no gateway responses", "write kind = \"rest\"");
    }
    for Entry { name, value } in root.entries("gateway_responses", "write [gateway_responses.TYPE]")
    {
        if !RESPONSE_TYPES.contains(&name.text) {
            let message = format!("there is no gateway response {:?}", name.text);
            let hint = match closest(name.text, &RESPONSE_TYPES) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("those that are sent are {}", RESPONSE_TYPES.join(", ")),
            };
            root.source.problem(name.at, message, hint);
        }
        let Some(table) = value.table(&GATEWAY_RESPONSE) else { continue };
        let status = table.take("status").and_then(|value| value.integer(200..=599, ""));
        let response = GatewayResponseConfig {
            status: status.and_then(|status| StatusCode::from_u16(status as u16).ok()),
            templates: templates(&table, "templates"),
            headers: headers(&table, Source::Request),
        };
        responses.insert(name.text.to_owned(), response);
    }
    responses
}

fn path(text: &str) -> Result<mapping::Path, (String, &'static str)> {
    text.parse().map_err(|error| (error, "write for example integration.response.body.id"))
}

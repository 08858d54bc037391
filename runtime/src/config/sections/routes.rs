//! `[[route]]`, with a function or a mock behind it.

use std::{collections::HashMap, time::Duration};

use http::{HeaderName, HeaderValue, StatusCode, header};

use super::{models::Models, templates::header_name};
use crate::{
    config::{
        ApiKind, FunctionName, IntegrationConfig, MockBody, MockConfig, PayloadFormat, RouteConfig,
        keys::{INTEGRATION, METHOD_RESPONSE, MOCK, ROUTE},
        read::{Table, Text, Value},
        template::{JsonTemplate, PlaceholderError, TextTemplate},
        tree::Data,
    },
    router::RouteKey,
};

/// The longest timeout or delay of a route: an hour.
const ROUTE_MS_MAX: u64 = 3_600_000;

/// What the server writes itself.
pub const FRAMING: [HeaderName; 5] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TRAILER,
];

pub fn routes(
    root: &Table<'_>,
    kind: ApiKind,
    timeout_default: Duration,
    models: &Models,
) -> Vec<RouteConfig> {
    let Some(given) = root.take("route") else { return Vec::new() };
    if matches!(given.value, Data::Table(_)) {
        given.problem("[route] is one table", "routes are a list: write [[route]]");
        return Vec::new();
    }
    let mut first_lines = HashMap::new();
    let mut routes = Vec::new();
    for item in given.array().unwrap_or_default() {
        let Some(table) = item.table(&ROUTE) else { continue };
        let at = table.key_at("route");
        let (line, _) = root.source.place(at);
        let key = route_key(&table, kind);
        let timeout = table.milliseconds("timeout_ms", 1..=ROUTE_MS_MAX, "", timeout_default);
        let integration = integration(&table, key.as_ref(), kind);
        method_responses(&table, integration.as_ref(), kind);
        let validation = models.validation(&table, key.as_ref(), kind);
        let Some(key) = key else { continue };
        if let Some(first) = first_lines.insert(key.identity(), line) {
            let message = format!("the route \"{key}\" is already on line {first}");
            root.source.problem(at, message, "remove one of the two");
            first_lines.insert(key.identity(), first);
        } else if let Some(integration) = integration {
            let place = root.source.located(at);
            routes.push(RouteConfig { key, integration, validation, timeout, place });
        }
    }
    routes
}

fn route_key(table: &Table<'_>, kind: ApiKind) -> Option<RouteKey> {
    let example = "write for example route = \"GET /pets/{id}\"";
    if table.take("route").is_none() {
        table.source.problem(table.at, "the route has no key \"route\"", example);
    }
    let given = table.string("route")?;
    match given.text.parse::<RouteKey>() {
        Ok(RouteKey::Default) if kind == ApiKind::Rest => {
            let hint = "write route = \"ANY /{proxy+}\", or kind = \"http\"";
            table.source.problem(given.at, "a REST API has no $default route", hint);
            None
        }
        Ok(key) => Some(key),
        Err(error) => {
            table.source.problem(given.at, error.message, error.hint);
            None
        }
    }
}

fn integration(
    table: &Table<'_>,
    key: Option<&RouteKey>,
    kind: ApiKind,
) -> Option<IntegrationConfig> {
    let payload = payload(table, kind);
    let given = (table.take("function"), table.take("mock"), table.take("integration"));
    if !matches!(given, (Some(_), None, None)) && table.take("payload").is_some() {
        let message = "payload belongs to a route with a function";
        table.source.problem(table.key_at("payload"), message, "remove it");
    }
    match given {
        (None, None, None) => {
            let message = format!("nothing answers {}", named(key));
            let hint = "write function = \"NAME\", or mock = { status = 200 }";
            table.source.problem(table.key_at("route"), message, hint);
            None
        }
        (Some(function), None, None) => {
            let name = function_of(&function)?;
            Some(IntegrationConfig::Function { name, payload })
        }
        (None, Some(mock), None) => {
            Some(IntegrationConfig::Mock(mock_config(&mock.table(&MOCK)?, key)))
        }
        (None, None, Some(given)) => {
            super::integration::integration(&given.table(&INTEGRATION)?, key, kind)
        }
        (function, mock, mapped) => {
            let names = [("function", &function), ("mock", &mock), ("integration", &mapped)];
            let names: Vec<&str> =
                names.iter().filter(|(_, given)| given.is_some()).map(|(name, _)| *name).collect();
            let message = format!("{} has both {}", named(key), names.join(" and "));
            if let Some(last) = mapped.or(mock).or(function) {
                last.problem(message, "keep the one that shall answer");
            }
            None
        }
    }
}

/// `method_responses`: what a method may answer. Nothing is left to check when
/// a request comes, since integration responses are all there is to select.
fn method_responses(table: &Table<'_>, integration: Option<&IntegrationConfig>, kind: ApiKind) {
    let Some(given) = table.take("method_responses") else { return };
    if kind == ApiKind::Http {
        given.problem("an HTTP API has no method_responses", "write kind = \"rest\"");
        return;
    }
    let mut allowed: Vec<(u64, Vec<HeaderName>)> = Vec::new();
    for item in given.array().unwrap_or_default() {
        let Some(response) = item.table(&METHOD_RESPONSE) else { continue };
        if response.take("status").is_none() {
            item.problem(format!("{} has no status", item.path), "write status = 200");
        }
        let status = response.take("status").and_then(|value| value.integer(200..=599, ""));
        let names = response.take("headers").and_then(|value| value.strings()).unwrap_or_default();
        let name = |text: Text<'_>| header_name(&response, &text);
        allowed.extend(status.map(|status| (status, names.into_iter().filter_map(name).collect())));
    }
    let Some(IntegrationConfig::Mapped(mapped)) = integration else {
        if integration.is_some() {
            let hint = "remove it: what the integration answers is the method's response";
            given.problem("method_responses belongs to an integration with templates", hint);
        }
        return;
    };
    for response in &mapped.responses {
        let status = response.status.as_u16();
        let Some((_, names)) = allowed.iter().find(|(own, _)| *own == u64::from(status)) else {
            let message = format!("the integration answers {status}, which no method response has");
            given.problem(message, format!("add {{ status = {status} }}"));
            continue;
        };
        for (header, _) in response.headers.iter().filter(|(header, _)| !names.contains(header)) {
            let message = format!(
                "the integration's {status} has the header {header}, its method response not"
            );
            given.problem(message, format!("add {:?} to its headers", header.as_str()));
        }
    }
}

/// The name of a function that a key gives.
pub fn function_of(function: &Value<'_>) -> Option<FunctionName> {
    let name = function.string()?;
    let stem = name.text.strip_suffix(".wasm");
    let parsed = match FunctionName::parse(stem.unwrap_or(name.text)) {
        Ok(parsed) => parsed,
        Err(why) => {
            function.problem(format!("function cannot be {:?}", name.text), why);
            return None;
        }
    };
    for variable in parsed.stage_variables() {
        function.source.reads_stage_variable(function.at, variable);
    }
    if let Some(stem) = stem {
        let message = format!("function cannot be {:?}", name.text);
        function.problem(message, format!("write function = {stem:?}"));
    }
    Some(parsed)
}

fn named(key: Option<&RouteKey>) -> String {
    key.map_or("this route".to_owned(), |key| format!("the route \"{key}\""))
}

fn payload(table: &Table<'_>, kind: ApiKind) -> PayloadFormat {
    let given = table.choice("payload", &[("1.0", PayloadFormat::V1), ("2.0", PayloadFormat::V2)]);
    match (kind, given) {
        (ApiKind::Http, given) => given.unwrap_or(PayloadFormat::V2),
        (ApiKind::Rest, Some(PayloadFormat::V2)) => {
            let message = "payload cannot be \"2.0\" in a REST API";
            let hint = "REST APIs always send payload format 1.0: remove it";
            table.source.problem(table.key_at("payload"), message, hint);
            PayloadFormat::V1
        }
        (ApiKind::Rest, _) => PayloadFormat::V1,
    }
}

fn mock_config(table: &Table<'_>, key: Option<&RouteKey>) -> MockConfig {
    let status = table.integer_or(
        "status",
        200..=599,
        "a mock's answer is final: 200 for success, 404 for something missing",
        200_u16,
    );
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let body = body(table, key);
    let bodiless = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if bodiless && body != MockBody::Empty {
        let at = table.key_at(if table.take("body").is_some() { "body" } else { "json" });
        let message = format!("an answer with the status {} has no body", status.as_u16());
        table.source.problem(at, message, "remove the body, or use 200");
    }
    MockConfig {
        status,
        headers: headers(table, key),
        body,
        delay: table.milliseconds("delay_ms", 0..=ROUTE_MS_MAX, "", Duration::ZERO),
    }
}

fn headers(table: &Table<'_>, key: Option<&RouteKey>) -> Vec<(HeaderName, TextTemplate)> {
    let mut headers = Vec::new();
    for entry in table.entries("headers", "write { x-name = \"value\" }") {
        let name = entry.name;
        let Ok(header) = HeaderName::from_bytes(name.text.as_bytes()) else {
            let message = format!("{:?} is not the name of a header", name.text);
            table.source.problem(name.at, message, "use letters, digits and '-'");
            continue;
        };
        if FRAMING.contains(&header) {
            let message = format!("the header {header} cannot be mocked");
            table.source.problem(name.at, message, "the server writes it itself; remove it");
            continue;
        }
        // A header may come several times, as Set-Cookie does.
        let values = match entry.value.value {
            Data::Array(_) => entry.value.array().unwrap_or_default(),
            _ => vec![entry.value],
        };
        for value in &values {
            if let Some(template) = text(value, key) {
                if template.literals().any(|literal| HeaderValue::from_str(literal).is_err()) {
                    let message = format!("{} is not the value of a header", value.path);
                    value.problem(message, "remove line breaks and other control characters");
                }
                headers.push((header.clone(), template));
            }
        }
    }
    headers
}

fn body(table: &Table<'_>, key: Option<&RouteKey>) -> MockBody {
    match (table.take("body"), table.take("json")) {
        (None, None) => MockBody::Empty,
        (Some(body), None) => text(&body, key).map_or(MockBody::Empty, MockBody::Text),
        (None, Some(value)) => json(&value, key).map_or(MockBody::Empty, MockBody::Json),
        (Some(_), Some(value)) => {
            value.problem("a mock has body or json, not both", "keep one of them");
            MockBody::Empty
        }
    }
}

/// A template for requests of the route `key`; none where the key is invalid
/// too, since nobody knows its parameters.
fn text(value: &Value<'_>, key: Option<&RouteKey>) -> Option<TextTemplate> {
    let template = value.string()?;
    if matches!(value.value, Data::Verbatim(_)) {
        return key.map(|_| TextTemplate::literal(template.text));
    }
    match TextTemplate::parse(template.text, key?) {
        Ok(template) => Some(template),
        Err(PlaceholderError { message, hint }) => {
            value.problem(message, hint);
            None
        }
    }
}

// Recursion is as deep as the file's nesting, which the TOML parser bounds.
fn json(value: &Value<'_>, key: Option<&RouteKey>) -> Option<JsonTemplate> {
    let literal = |value: serde_json::Value| Some(JsonTemplate::Literal(value));
    match value.value {
        Data::Null => literal(serde_json::Value::Null),
        Data::String(_) | Data::Verbatim(_) => text(value, key).map(JsonTemplate::Text),
        Data::Boolean(flag) => literal((*flag).into()),
        Data::Datetime(time) => literal(time.clone().into()),
        Data::Integer(number) => match i64::try_from(number.value) {
            Ok(number) => literal(number.into()),
            Err(_) => {
                let number = &number.text;
                let message = format!("{} is {number}, which 64 bits do not hold", value.path);
                value.problem(message, "write it in quotes");
                None
            }
        },
        Data::Float(number) => {
            let parsed = number.parse().ok().and_then(serde_json::Number::from_f64);
            match parsed {
                Some(number) => literal(number.into()),
                None => {
                    let message = format!("{} is {number}, which JSON does not have", value.path);
                    value.problem(message, "write it in quotes");
                    None
                }
            }
        }
        Data::Array(_) => {
            let items = value.array()?;
            let items = items.iter().filter_map(|item| json(item, key));
            Some(JsonTemplate::Array(items.collect()))
        }
        Data::Table(_) => {
            let entries = value.entries("")?.into_iter();
            let entries = entries
                .filter_map(|entry| Some((entry.name.text.to_owned(), json(&entry.value, key)?)));
            Some(JsonTemplate::Object(entries.collect()))
        }
    }
}

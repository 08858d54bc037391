//! `[[route]]`, with a function or a mock behind it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use http::{HeaderName, header};

use super::{
    authorizers::{self, Authorizers},
    cache,
    models::Models,
    templates::header_name,
    usage_plans::throttle_of,
};
use crate::{
    config::{
        ApiKeySource, ApiKind, AuthorizerConfig, CollectionConfig, FunctionName, IntegrationConfig,
        PayloadFormat, RouteConfig,
        keys::{INTEGRATION, METHOD_RESPONSE, MOCK, ROUTE},
        read::{Table, Text, Value},
    },
    router::RouteKey,
};

/// The longest timeout or delay of a route: an hour.
pub const ROUTE_MS_MAX: u64 = 3_600_000;

/// What the server writes itself.
pub const FRAMING: [HeaderName; 5] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TRAILER,
];

/// What routes are read against.
pub struct Surroundings<'s> {
    pub kind: ApiKind,
    pub timeout_default: Duration,
    pub models: &'s Models,
    pub collections: &'s BTreeMap<String, CollectionConfig>,
    pub authorizers: &'s Authorizers,
    pub api_key_source: ApiKeySource,
}

pub fn routes(root: &Table<'_>, surroundings: &Surroundings<'_>) -> Vec<RouteConfig> {
    let Surroundings { kind, models, collections, authorizers, .. } = *surroundings;
    let mut first_lines = HashMap::new();
    let mut routes = Vec::new();
    for table in root.list("route", &ROUTE) {
        let at = table.key_at("route");
        let (line, _) = root.source.place(at);
        let key = route_key(&table, kind);
        let timeout = surroundings.timeout_default;
        let timeout = table.milliseconds("timeout_ms", 1..=ROUTE_MS_MAX, "", timeout);
        let integration = integration(&table, key.as_ref(), kind, collections);
        method_responses(&table, integration.as_ref(), kind);
        let validation = models.validation(&table, key.as_ref(), kind);
        let authorizer = authorizers::of_route(&table, authorizers);
        let scopes = authorizers::scopes(&table, authorizer.as_deref());
        let api_key_required =
            api_key_required(&table, surroundings.api_key_source, authorizer.as_deref());
        let throttle = throttle_of(&table);
        let cache = cache::route(&table, key.as_ref());
        let Some(key) = key else { continue };
        if let Some(first) = first_lines.insert(key.identity(), line) {
            let message = format!("the route \"{key}\" is already on line {first}");
            root.source.problem(at, message, "remove one of the two");
            first_lines.insert(key.identity(), first);
        } else if let Some(integration) = integration {
            let place = root.source.located(at);
            routes.push(RouteConfig {
                key,
                integration,
                authorizer,
                scopes,
                api_key_required,
                throttle,
                cache,
                validation,
                timeout,
                place,
            });
        }
    }
    routes
}

fn api_key_required(
    table: &Table<'_>,
    source: ApiKeySource,
    authorizer: Option<&AuthorizerConfig>,
) -> bool {
    let required = table.boolean("api_key_required", false);
    if !required || source == ApiKeySource::Header {
        return required;
    }
    let hint = "name a Lambda authorizer, or write api_key_source = \"header\"";
    let why = match authorizer {
        None if table.take("authorizer").is_none() => "this route has none".to_owned(),
        Some(own) if own.function().is_none() => format!("{:?} tells no API keys", own.name),
        // One that is invalid has been reported where it stands.
        _ => return required,
    };
    let message = format!("api_key_source is the authorizer, but {why}");
    table.source.problem(table.key_at("api_key_required"), message, hint);
    required
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
    collections: &BTreeMap<String, CollectionConfig>,
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
            let mock = super::mock::mock(&mock.table(&MOCK)?, key, collections);
            Some(IntegrationConfig::Mock(Arc::new(mock)))
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

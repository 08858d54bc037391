//! The API itself: its name, its kind and its stages.

use std::collections::BTreeMap;

use super::{
    cache,
    templates::is_content_type,
    usage_plans::{named_routes, throttle_of},
};
use crate::{
    config::{
        AccessLogFormat, ApiKind, BinaryMediaTypes, CanaryConfig, LoggingLevel, MethodConfig,
        Overrides, RouteConfig, StageConfig,
        keys::{CANARY, METHOD, ROUTE, STAGE, closest},
        read::{Entry, Table, Value},
        tree::Data,
    },
    policy::Policy,
};

const NAME_CHARS_MAX: usize = 64;
const STAGE_CHARS_MAX: usize = 128;

/// The service's bound.
const COMPRESSION_BYTES_MAX: u64 = 10_485_760;

pub fn name(root: &Table<'_>) -> Option<String> {
    let given = root.string("name")?;
    let name = given.text;
    let valid = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if name.is_empty() || name.len() > NAME_CHARS_MAX || !name.chars().all(valid) {
        root.source.problem(
            given.at,
            format!("name cannot be {name:?}"),
            format!("use 1 to {NAME_CHARS_MAX} letters, digits and '-': it is the event's apiId"),
        );
    }
    Some(name.to_owned())
}

pub fn kind(root: &Table<'_>) -> Option<ApiKind> {
    root.choice("kind", &[("http", ApiKind::Http), ("rest", ApiKind::Rest)])
}

/// All stages, and the one that is served.
pub fn stages(
    root: &Table<'_>,
    kind: ApiKind,
    overrides: &Overrides,
) -> (BTreeMap<String, StageConfig>, String) {
    let default = match kind {
        ApiKind::Http => "$default",
        ApiKind::Rest => "prod",
    };
    let hint = "write [stages.NAME] and below it variables = { name = \"value\" }";
    let mut stages: BTreeMap<String, StageConfig> = BTreeMap::new();
    for entry in root.entries("stages", hint) {
        check_stage_name(root, entry.name.text, entry.name.at, kind);
        stages.insert(entry.name.text.to_owned(), stage(&entry));
    }
    let declared: Vec<String> = stages.keys().cloned().collect();
    let known = |name: &str| declared.is_empty() || name == default || stages.contains_key(name);
    let unknown = |name: &str| {
        let message = format!("there is no stage {name:?}");
        (message, format!("the stages are {}; or write [stages.{name}]", declared.join(", ")))
    };
    let mut chosen = default.to_owned();
    if let Some(given) = root.string("stage") {
        if known(given.text) {
            check_stage_name(root, given.text, given.at, kind);
        } else {
            let (message, hint) = unknown(given.text);
            root.source.problem(given.at, message, hint);
        }
        chosen = given.text.to_owned();
    }
    if let Some(given) = &overrides.stage {
        if !known(given) {
            let (message, hint) = unknown(given);
            root.source.command_line_problem(format!("--stage: {message}"), hint);
        } else if let Some(hint) = stage_name_problem(given, kind) {
            root.source.command_line_problem(format!("--stage cannot be {given:?}"), hint);
        }
        chosen.clone_from(given);
    }
    stages.entry(chosen.clone()).or_default();
    (stages, chosen)
}

/// `policy`: a policy document in JSON.
pub fn policy(root: &Table<'_>, kind: ApiKind) -> Option<Policy> {
    let given = root.take("policy")?;
    if kind == ApiKind::Http {
        given.problem("an HTTP API has no policy", "write kind = \"rest\"");
    }
    let (text, path) = given.text_or_file()?;
    let document = serde_json::from_str::<serde_json::Value>(&text);
    let document = document.map_err(|error| format!("not JSON: {error}"));
    match document.and_then(|document| Policy::parse(&document)) {
        Ok(policy) => Some(policy),
        Err(why) => {
            let hint = "it has to be as IAM has it: {\"Statement\": [{\"Effect\": \"Allow\", \"Principal\": \"*\", \"Action\": \"execute-api:Invoke\", \"Resource\": \"execute-api:/*\"}]}";
            given.problem(format!("{path}: {why}"), hint);
            None
        }
    }
}

/// `binary_media_types`, in lower case.
pub fn binary_media_types(root: &Table<'_>, kind: ApiKind) -> BinaryMediaTypes {
    let Some(given) = root.take("binary_media_types") else { return BinaryMediaTypes::default() };
    if kind == ApiKind::Http {
        let hint = "write kind = \"rest\": an HTTP API knows by itself which types are text";
        given.problem("an HTTP API has no binary_media_types", hint);
    }
    let mut types = Vec::new();
    for text in given.strings().unwrap_or_default() {
        let own = text.text.to_ascii_lowercase();
        let exact = own.strip_suffix("/*").map(|kind| format!("{kind}/x"));
        if own != "*/*" && !is_content_type(exact.as_deref().unwrap_or(&own)) {
            let message = format!("{:?} is not a content type", text.text);
            root.source.problem(text.at, message, "write for example \"image/png\" or \"*/*\"");
        }
        types.push(own);
    }
    BinaryMediaTypes(types)
}

/// `minimum_compression_size`, in bytes.
pub fn minimum_compression_size(root: &Table<'_>, kind: ApiKind) -> Option<usize> {
    let given = root.take("minimum_compression_size")?;
    if kind == ApiKind::Http {
        let hint = "write kind = \"rest\": an HTTP API leaves compressing to its integrations";
        given.problem("an HTTP API has no minimum_compression_size", hint);
    }
    let hint = "the least bytes of an answer that is compressed; 0 for any answer";
    let bytes = given.integer(0..=COMPRESSION_BYTES_MAX, hint)?;
    usize::try_from(bytes).ok()
}

fn check_stage_name(root: &Table<'_>, name: &str, at: usize, kind: ApiKind) {
    if let Some(hint) = stage_name_problem(name, kind) {
        root.source.problem(at, format!("a stage cannot be named {name:?}"), hint);
    }
}

fn stage_name_problem(name: &str, kind: ApiKind) -> Option<String> {
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    match kind {
        ApiKind::Http if name == "$default" => None,
        ApiKind::Rest if name == "$default" => {
            Some("only an HTTP API has the stage $default".into())
        }
        _ if name.is_empty() || name.len() > STAGE_CHARS_MAX || !name.chars().all(valid) => {
            Some(format!("use 1 to {STAGE_CHARS_MAX} letters, digits, '-' and '_'"))
        }
        _ => None,
    }
}

fn stage(entry: &Entry<'_>) -> StageConfig {
    let Some(table) = entry.value.table(&STAGE) else { return StageConfig::default() };
    let levels =
        [("OFF", LoggingLevel::Off), ("ERROR", LoggingLevel::Error), ("INFO", LoggingLevel::Info)];
    let logging = table.choice("logging", &levels).unwrap_or_default();
    let at = table.key_at("data_trace");
    let data_trace = table.boolean("data_trace", false);
    if data_trace && logging != LoggingLevel::Info {
        let message = format!("{}.data_trace needs logging = \"INFO\"", entry.value.path);
        table.source.problem(at, message, "it adds bodies to the steps that INFO logs");
    }
    let variables = variables(&table);
    StageConfig {
        canary: table.take("canary").and_then(|value| canary(&value, &variables)),
        variables,
        logging,
        data_trace,
        access_log: access_log(&table),
        throttle: throttle_of(&table),
        cache: table.take("cache").and_then(|value| cache::stage(&value)),
        methods: methods(&table),
    }
}

fn methods(stage: &Table<'_>) -> BTreeMap<String, MethodConfig> {
    let hint = "write { \"GET /path\" = { throttle = { rate = 10, burst = 20 } } }";
    let read = |Entry { name, value }: Entry<'_>| {
        let table = value.table(&METHOD)?;
        let cache = table.take("cache").and_then(|given| cache::method(&given));
        let throttle = throttle_of(&table);
        Some((name.text.to_owned(), MethodConfig { throttle, cache }))
    };
    stage.entries("methods", hint).into_iter().filter_map(read).collect()
}

/// Methods of stages and of usage plans have to be routes.
pub fn check_methods(root: &Table<'_>, routes: &[RouteConfig]) {
    let mut keys: Vec<String> = routes.iter().map(|route| route.key.to_string()).collect();
    // Those that are invalid have been reported where they stand.
    let written = root.take("route").filter(|value| matches!(value.value, Data::Array(_)));
    let written = written.and_then(|value| value.array()).unwrap_or_default();
    let written = written.iter().filter_map(|route| route.table(&ROUTE)?.string("route"));
    keys.extend(written.map(|text| text.text.to_owned()));
    let known: Vec<&str> = keys.iter().map(String::as_str).collect();
    let mut named = named_routes(root);
    for stage in root.entries("stages", "") {
        let Some(table) = stage.value.table(&STAGE) else { continue };
        named.extend(table.entries("methods", "").into_iter().map(|entry| entry.name));
    }
    for name in named.iter().filter(|name| !known.contains(&name.text)) {
        let hint = match closest(name.text, &known) {
            Some(near) => format!("did you mean {near:?}?"),
            None => "write the route as [[route]] has it".to_owned(),
        };
        let message = format!("there is no route {:?}", name.text);
        root.source.problem(name.at, message, hint);
    }
}

fn access_log(table: &Table<'_>) -> Option<AccessLogFormat> {
    let given = table.take("access_log")?;
    let text = given.string()?;
    match AccessLogFormat::parse(text.text) {
        Ok(format) => Some(format),
        Err((message, hint)) => {
            given.problem(format!("{} {message}", given.path), hint);
            None
        }
    }
}

fn canary(value: &Value<'_>, stages: &BTreeMap<String, String>) -> Option<CanaryConfig> {
    let table = value.table(&CANARY)?;
    let Some(percent) = table.take("percent") else {
        value.problem(format!("{} has no percent", value.path), "write percent = 10");
        return None;
    };
    let mut own = stages.clone();
    own.extend(variables(&table));
    Some(CanaryConfig { percent: percent.number(0.0..=100.0)?, variables: own })
}

/// Names and values are held to what API Gateway accepts, so that what works
/// here works there.
fn variables(table: &Table<'_>) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    for variable in table.entries("variables", "write { name = \"value\" }") {
        let name = variable.name.text;
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            table.source.problem(
                variable.name.at,
                format!("a stage variable cannot be named {name:?}"),
                "use letters, digits and '_'",
            );
        }
        let Some(value) = variable.value.string() else { continue };
        let valid = |c: char| c.is_ascii_alphanumeric() || "-._~:/?#&=,".contains(c);
        if !value.text.chars().all(valid) {
            table.source.problem(
                value.at,
                format!("{} cannot be {:?}", variable.value.path, value.text),
                "use letters, digits and -._~:/?#&=, as API Gateway does",
            );
        }
        variables.insert(name.to_owned(), value.text.to_owned());
    }
    variables
}

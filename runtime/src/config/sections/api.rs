//! The API itself: its name, its kind and its stages.

use std::collections::BTreeMap;

use super::templates::is_content_type;
use crate::config::{
    ApiKind, BinaryMediaTypes, CanaryConfig, Overrides, StageConfig,
    keys::{CANARY, STAGE},
    read::{Entry, Table, Value},
};

const NAME_CHARS_MAX: usize = 64;
const STAGE_CHARS_MAX: usize = 128;

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

/// Names and values of stage variables are held to what API Gateway accepts,
/// so that what works here works there.
fn stage(entry: &Entry<'_>) -> StageConfig {
    let Some(table) = entry.value.table(&STAGE) else { return StageConfig::default() };
    let canary = table.take("canary").and_then(|value| canary(&value));
    StageConfig { variables: variables(&table), canary }
}

fn canary(value: &Value<'_>) -> Option<CanaryConfig> {
    let table = value.table(&CANARY)?;
    let Some(percent) = table.take("percent") else {
        value.problem(format!("{} has no percent", value.path), "write percent = 10");
        return None;
    };
    Some(CanaryConfig { percent: percent.number(0.0..=100.0)?, variables: variables(&table) })
}

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

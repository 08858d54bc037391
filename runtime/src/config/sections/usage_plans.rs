//! `[[api_key]]`, `[[usage_plan]]` and throttles.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    num::NonZeroU32,
};

use crate::config::{
    ApiKeyConfig, ApiKeySource, Period, QuotaConfig, Secret, StageConfig, ThrottleConfig,
    UsagePlanConfig,
    keys::{ACCOUNT, API_KEY, PLAN_METHOD, QUOTA, THROTTLE, USAGE_PLAN, closest},
    read::{Entry, Table, Text, Value},
    tree::Data,
};

/// Characters of an API key's value: API Gateway's.
const VALUE_CHARS_MAX: usize = 128;

/// Shorter ones the service does not take.
const VALUE_CHARS_USUAL: usize = 20;
const NAME_CHARS_MAX: usize = 128;

/// Requests a second and at once that a throttle may allow.
const RATE_MIN: f64 = 0.001;
const RATE_MAX: f64 = 1_000_000.0;
const BURST_MAX: u64 = 1_000_000;

/// What the service counts to.
const QUOTA_MAX: u64 = i32::MAX as u64;

/// `throttle`: how often something may be called.
pub fn throttle(value: &Value<'_>) -> Option<ThrottleConfig> {
    let table = value.table(&THROTTLE)?;
    for key in ["rate", "burst"] {
        if table.take(key).is_none() {
            let message = format!("{} has no {key}", value.path);
            value.problem(message, "write { rate = 100, burst = 200 }: a second, and at once");
        }
    }
    let rate = table.take("rate").and_then(|value| value.number(RATE_MIN..=RATE_MAX));
    let burst = table.take("burst").and_then(|value| value.integer(1..=BURST_MAX, ""));
    let burst = NonZeroU32::new(u32::try_from(burst?).ok()?)?;
    Some(ThrottleConfig { rate: rate?, burst })
}

/// The `throttle` of a table that has one.
pub fn throttle_of(table: &Table<'_>) -> Option<ThrottleConfig> {
    table.take("throttle").and_then(|value| throttle(&value))
}

/// `[account]`
pub fn account(root: &Table<'_>) -> Option<ThrottleConfig> {
    throttle_of(&root.table("account", &ACCOUNT))
}

/// `api_key_source`, in capitals where a definition has it.
pub fn api_key_source(root: &Table<'_>) -> ApiKeySource {
    let sources = [("header", ApiKeySource::Header), ("authorizer", ApiKeySource::Authorizer)];
    root.choice("api_key_source", &sources).unwrap_or_default()
}

/// The name of a list's table, once.
fn name<'r>(table: &Table<'r>, seen: &mut HashMap<&'r str, usize>) -> Option<Text<'r>> {
    if table.take("name").is_none() {
        let message = format!("the {} has no name", table.path);
        table.source.problem(table.at, message, "write name = \"NAME\"");
    }
    let name = table.string("name")?;
    let valid = |c: char| c.is_ascii_alphanumeric() || " -_.@".contains(c);
    if name.text.is_empty() || name.text.len() > NAME_CHARS_MAX || !name.text.chars().all(valid) {
        let message = format!("{}.name cannot be {:?}", table.path, name.text);
        let hint = format!("use 1 to {NAME_CHARS_MAX} letters, digits, spaces and -_.@");
        table.source.problem(name.at, message, hint);
    }
    let (line, _) = table.source.place(name.at);
    if let Some(first) = seen.insert(name.text, line) {
        let message = format!("the {} {:?} is already on line {first}", table.path, name.text);
        table.source.problem(name.at, message, "give it another name");
    }
    Some(name)
}

/// `[[api_key]]`
pub fn api_keys(root: &Table<'_>) -> Vec<ApiKeyConfig> {
    let mut names = HashMap::new();
    let mut values: HashMap<String, String> = HashMap::new();
    let mut keys = Vec::new();
    for table in root.list("api_key", &API_KEY) {
        let name = name(&table, &mut names);
        let enabled = table.boolean("enabled", true);
        let value = value(&table, name);
        let (Some(name), Some((value, at))) = (name, value) else { continue };
        if let Some(other) = values.insert(value.reveal().to_owned(), name.text.to_owned()) {
            let message = format!("the API key {:?} has the value of {other:?}", name.text);
            root.source.problem(at, message, "a value tells callers apart: give it another one");
        }
        keys.push(ApiKeyConfig { name: name.text.to_owned(), value, enabled });
    }
    keys
}

/// `value` or `value_env`, and where it stands. No text of a problem has the
/// value in it.
fn value(table: &Table<'_>, name: Option<Text<'_>>) -> Option<(Secret, usize)> {
    let called =
        name.map_or("this API key".to_owned(), |name| format!("the API key {:?}", name.text));
    let Some(given) = table.take("value").or(table.take("value_env")) else {
        let hint = "write value_env = \"VARIABLE\", or value = \"…\"";
        table.source.problem(table.at, format!("{called} has no value"), hint);
        return None;
    };
    let secret = table.secret("value", "value_env")?;
    let (text, at) = (secret.reveal(), given.at);
    let length = text.chars().count();
    let valid = |c: char| c.is_ascii_graphic() && !"\"\\,".contains(c);
    let hint = "use for example 40 random letters and digits";
    if length > VALUE_CHARS_MAX {
        let message =
            format!("the value of {called} has {length} characters, more than {VALUE_CHARS_MAX}");
        table.source.problem(at, message, hint);
    } else if length < VALUE_CHARS_USUAL {
        let message = format!(
            "the value of {called} has {length} characters: it is easily guessed, and the service takes no less than {VALUE_CHARS_USUAL}"
        );
        table.source.warning(at, message, hint);
    }
    if !text.chars().all(valid) {
        let message = format!("the value of {called} has characters that a key cannot have");
        let hint = "use letters, digits and what is visible of ASCII, but no quotes, commas and backslashes";
        table.source.problem(at, message, hint);
    }
    Some((secret, at))
}

/// `[[usage_plan]]`
pub fn usage_plans(
    root: &Table<'_>,
    stages: &BTreeMap<String, StageConfig>,
) -> Vec<UsagePlanConfig> {
    // Those that the file names, be they valid or not.
    let written = root.take("api_key").filter(|given| matches!(given.value, Data::Array(_)));
    let written = written.and_then(|given| given.array()).unwrap_or_default();
    let keys: Vec<&str> = written
        .iter()
        .filter_map(|item| match item.value {
            Data::Table(entries) => entries.get("name")?.node.text(),
            _ => None,
        })
        .collect();
    let stages: Vec<&str> = stages.keys().map(String::as_str).collect();
    let mut names = HashMap::new();
    let mut plans: Vec<UsagePlanConfig> = Vec::new();
    for table in root.list("usage_plan", &USAGE_PLAN) {
        let name = name(&table, &mut names);
        let own_keys = known(&table, "keys", "API key", &keys, "write [[api_key]] with its name");
        let own_stages = known(&table, "stages", "stage", &stages, "write [stages.NAME]");
        let throttle = throttle_of(&table);
        let quota = table.take("quota").and_then(|value| quota(&value));
        let methods = methods(&table);
        let text = |text: &Text<'_>| text.text.to_owned();
        let plan = UsagePlanConfig {
            name: name.as_ref().map(text).unwrap_or_default(),
            keys: own_keys.iter().flatten().map(text).collect(),
            stages: own_stages.map(|stages| stages.iter().map(text).collect()),
            throttle,
            quota,
            methods,
        };
        for key in own_keys.iter().flatten() {
            let other = plans.iter().find(|other| other.keys.contains(key.text));
            if let Some(other) = other.filter(|other| overlap(&other.stages, &plan.stages)) {
                let message = format!(
                    "the API key {:?} is in the usage plan {:?} already, for the same stage",
                    key.text, other.name
                );
                root.source.problem(key.at, message, "a stage has one plan for a key");
            }
        }
        plans.push(plan);
    }
    plans
}

fn overlap(one: &Option<BTreeSet<String>>, other: &Option<BTreeSet<String>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => !one.is_disjoint(other),
        _ => true,
    }
}

/// A list of names, those that are known; none where there is no list.
fn known<'r>(
    table: &Table<'r>,
    key: &'static str,
    what: &str,
    names: &[&str],
    hint: &str,
) -> Option<Vec<Text<'r>>> {
    let mut given = table.take(key)?.strings()?;
    given.retain(|name| {
        let is_known = names.contains(&name.text);
        if !is_known {
            let hint = match closest(name.text, names) {
                Some(near) => format!("did you mean {near:?}?"),
                None => hint.to_owned(),
            };
            table.source.problem(name.at, format!("there is no {what} {:?}", name.text), hint);
        }
        is_known
    });
    Some(given)
}

fn quota(value: &Value<'_>) -> Option<QuotaConfig> {
    let table = value.table(&QUOTA)?;
    for key in ["limit", "period"] {
        if table.take(key).is_none() {
            let message = format!("{} has no {key}", value.path);
            value.problem(message, "write { limit = 1000, period = \"day\" }");
        }
    }
    // With the greatest offset: every month has 28 days.
    let periods = [("day", 0_u8), ("week", 6), ("month", 27)];
    let limit = table.take("limit").and_then(|value| value.integer(1..=QUOTA_MAX, ""));
    let greatest = table.choice("period", &periods)?;
    let hint = "how many days after Sunday, or after the first of the month, a period begins";
    let offset = table.integer_or("offset", 0..=u64::from(greatest), hint, 0_u8);
    let period = match greatest {
        0 => Period::Day,
        6 => Period::Week(offset),
        _ => Period::Month(offset),
    };
    Some(QuotaConfig { limit: limit?, period })
}

fn methods(plan: &Table<'_>) -> BTreeMap<String, ThrottleConfig> {
    let hint = "write { \"GET /path\" = { throttle = { rate = 10, burst = 20 } } }";
    let read = |Entry { name, value }: Entry<'_>| {
        let table = value.table(&PLAN_METHOD)?;
        if table.take("throttle").is_none() {
            value.problem(format!("{} has no throttle", value.path), hint);
        }
        Some((name.text.to_owned(), throttle_of(&table)?))
    };
    plan.entries("methods", hint).into_iter().filter_map(read).collect()
}

/// The routes that usage plans name, each with its place.
pub fn named_routes<'r>(root: &Table<'r>) -> Vec<Text<'r>> {
    let plans = root.take("usage_plan").filter(|given| matches!(given.value, Data::Array(_)));
    let plans = plans.and_then(|given| given.array()).unwrap_or_default();
    let methods = plans.iter().filter_map(|plan| match plan.value {
        Data::Table(entries) => entries.get("methods")?.node.entries(),
        _ => None,
    });
    methods.flatten().map(|(name, member)| Text { text: name, at: member.at }).collect()
}

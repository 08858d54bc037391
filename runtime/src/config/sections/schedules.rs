//! `[[schedule]]`

use std::collections::BTreeSet;

use super::functions::reference;
use crate::config::{
    Expression, NamedFunction, ScheduleConfig,
    keys::SCHEDULE,
    read::{Table, Value},
};

/// EventBridge's, for names of rules, in characters.
const NAME_CHARS_MAX: usize = 64;

/// EventBridge's for an account, of rules.
const SCHEDULES_MAX: usize = 300;

/// The longest event of a schedule, in bytes: EventBridge's for constant input.
const INPUT_BYTES_MAX: usize = 8192;

/// Schedules, and the functions that they name.
pub fn schedules(root: &Table<'_>) -> (Vec<ScheduleConfig>, Vec<NamedFunction>) {
    let tables = root.list("schedule", &SCHEDULE);
    if let Some(one) = tables.get(SCHEDULES_MAX) {
        let message = format!("there are more than {SCHEDULES_MAX} schedules");
        one.source.problem(one.at, message, "");
    }
    let mut names = BTreeSet::new();
    let mut schedules = Vec::new();
    let mut named = Vec::new();
    for table in tables.iter().take(SCHEDULES_MAX) {
        if let Some((schedule, function)) = schedule(table) {
            if !names.insert(schedule.name.clone()) {
                let message = format!("there are two schedules {:?}", schedule.name);
                table.source.problem(table.at, message, "each has a name of its own");
            }
            schedules.push(schedule);
            named.push(function);
        }
    }
    (schedules, named)
}

fn schedule(table: &Table<'_>) -> Option<(ScheduleConfig, NamedFunction)> {
    let required = |key: &'static str, hint: &str| {
        let value = table.take(key);
        if value.is_none() {
            table.source.problem(table.at, format!("a schedule has no {key}"), hint);
        }
        value
    };
    let name = required("name", "write name = \"nightly\"").and_then(|value| name(&value));
    let expression = required("schedule", "write schedule = \"rate(5 minutes)\"");
    let expression = expression.and_then(|value| expression_of(&value));
    let function = required("function", "write function = \"NAME\" for handlers/NAME.wasm");
    let function = function.and_then(|value| reference(&value));
    let input = table.take("input").and_then(|value| input(&value));
    let enabled = table.boolean("enabled", true);
    let (name, expression, (function, mut named)) = (name?, expression?, function?);
    named.by = format!("the schedule {name:?}");
    let place = table.source.located(table.at);
    Some((ScheduleConfig { name, expression, function, input, enabled, place }, named))
}

fn name(value: &Value<'_>) -> Option<String> {
    let text = value.string()?.text;
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() || text.len() > NAME_CHARS_MAX || !text.chars().all(valid) {
        let message = format!("a schedule cannot be named {text:?}");
        value.problem(message, "write 1 to 64 letters, digits, '-', '_' and '.'");
        return None;
    }
    Some(text.to_owned())
}

fn expression_of(value: &Value<'_>) -> Option<Expression> {
    let text = value.string()?.text;
    let parsed = Expression::parse(text);
    parsed.map_err(|hint| value.problem(format!("{} cannot be {text:?}", value.path), hint)).ok()
}

fn input(value: &Value<'_>) -> Option<String> {
    let text = value.string()?.text;
    if text.len() > INPUT_BYTES_MAX {
        value.problem(format!("{} is longer than {INPUT_BYTES_MAX} bytes", value.path), "");
    } else if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text) {
        value.problem(format!("{} is not JSON: {error}", value.path), "the event is a JSON text");
    }
    Some(text.to_owned())
}

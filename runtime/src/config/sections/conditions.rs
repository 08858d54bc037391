//! `when` of a mock's rule: parts of the request, and what each is tested for.

use std::fmt::Write as _;

use http::HeaderName;

use super::{integration::selection_pattern, mock::scalar};
use crate::{
    config::{
        Condition, Part, SelectionPattern, Test,
        keys::CONDITION,
        read::{Entry, Table, Value},
        template::{no_such_parameter, parameters},
        tree::Data,
    },
    router::RouteKey,
};

const EXAMPLE: &str = "write when = { \"query.kind\" = \"dog\" }";

pub fn conditions(rule: &Table<'_>, key: Option<&RouteKey>) -> Vec<Condition> {
    let Some(given) = rule.take("when") else {
        rule.source.problem(rule.at, format!("{} has no when", rule.path), EXAMPLE);
        return Vec::new();
    };
    let entries = given.entries(EXAMPLE).unwrap_or_default();
    if entries.is_empty() && matches!(given.value, Data::Table(_)) {
        let message = format!("{} is empty: this rule would always win", given.path);
        given.problem(message, "write the answer in the mock itself");
    }
    let mut conditions = Vec::new();
    for Entry { name, value } in entries {
        let part = part(name.text, key);
        let tests = tests(&value);
        match part {
            Ok(part) => conditions.extend(tests.map(|tests| Condition { part, tests })),
            Err((message, hint)) => rule.source.problem(name.at, message, hint),
        }
    }
    conditions
}

fn part(text: &str, key: Option<&RouteKey>) -> Result<Part, (String, String)> {
    let hint = "write method, path.NAME, query.NAME, header.NAME, body or body.a.0.b";
    let wrong = || (format!("{text:?} is no part of a request"), hint.to_owned());
    match text.split_once('.') {
        None if text == "method" => Ok(Part::Method),
        None if text == "body" => Ok(Part::Body(Vec::new())),
        Some((_, "")) | None => Err(wrong()),
        Some(("query", name)) => Ok(Part::Query(name.to_owned())),
        Some(("header", name)) => {
            let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
            Ok(Part::Header(header.as_str().to_owned()))
        }
        Some(("body", path)) if path.split('.').all(|step| !step.is_empty()) => {
            Ok(Part::Body(path.split('.').map(str::to_owned).collect()))
        }
        Some(("path", name)) => match key {
            Some(key) if !parameters(key).any(|own| own == name) => {
                let message =
                    format!("{text:?} names a path parameter that the route does not have");
                Err((message, no_such_parameter(text, key).hint))
            }
            _ => Ok(Part::Path(name.to_owned())),
        },
        _ => Err(wrong()),
    }
}

/// `"text"`, `5`, `true`, or a table of tests.
fn tests(value: &Value<'_>) -> Option<Vec<Test>> {
    match value.value {
        Data::Table(entries) if entries.is_empty() => {
            let hint = "write { present = true }, { like = \"a*\" } or { min = 1 }";
            value.problem(format!("{} tests nothing", value.path), hint);
            None
        }
        Data::Table(_) => Some(tests_of_table(&value.table(&CONDITION)?)),
        Data::Array(_) => {
            value.mistyped("a string, a number or a boolean", "write { one_of = [\"a\", \"b\"] }");
            None
        }
        _ => Some(vec![Test::OneOf(vec![scalar(value)?])]),
    }
}

/// In the order of the keys' documentation, so that tables that say the same
/// are the same.
fn tests_of_table(table: &Table<'_>) -> Vec<Test> {
    let mut tests = Vec::new();
    let one = |key| table.take(key).and_then(|value| scalar(&value));
    tests.extend(one("equals").map(|wanted| Test::OneOf(vec![wanted])));
    tests.extend(table.take("not").map(|refused| Test::Not(scalars(&refused))));
    tests.extend(table.take("one_of").map(|wanted| Test::OneOf(scalars(&wanted))));
    tests.extend(table.take("like").and_then(|glob| like(&glob)).map(Test::Matches));
    let matches = table.take("matches").and_then(|pattern| selection_pattern(&pattern));
    tests.extend(matches.map(Test::Matches));
    tests.extend(table.string("contains").map(|text| Test::Contains(text.text.to_owned())));
    tests.extend(table.take("present").and_then(|present| present.boolean()).map(Test::Present));
    let number = |key| table.take(key).and_then(|value| number(&value));
    let (min, max) = (number("min"), number("max"));
    if let (Some(min), Some(max)) = (min, max)
        && min > max
    {
        let message = format!("{}: min is {min}, more than max, which is {max}", table.path);
        table.source.problem(table.key_at("min"), message, "no number is both");
    }
    tests.extend(min.map(Test::Min));
    tests.extend(max.map(Test::Max));
    let needs_it = |test: &Test| !matches!(test, Test::Present(false) | Test::Not(_));
    if tests.contains(&Test::Present(false)) && tests.iter().any(needs_it) {
        let message = format!("{} can never hold: what is not present is nothing else", table.path);
        table.source.problem(table.key_at("present"), message, "keep present = false alone");
    }
    tests
}

/// One value, or an array of them.
fn scalars(value: &Value<'_>) -> Vec<serde_json::Value> {
    if !matches!(value.value, Data::Array(_)) {
        return scalar(value).into_iter().collect();
    }
    let items = value.array().unwrap_or_default();
    if items.is_empty() {
        value.problem(format!("{} is empty", value.path), "write [\"a\", \"b\"]");
    }
    items.iter().filter_map(scalar).collect()
}

fn number(value: &Value<'_>) -> Option<f64> {
    match value.value {
        Data::Integer(_) | Data::Float(_) => scalar(value)?.as_f64(),
        _ => {
            value.mistyped("a number", "");
            None
        }
    }
}

/// `*` is any text, `?` any character.
fn like(value: &Value<'_>) -> Option<SelectionPattern> {
    let glob = value.string()?.text;
    let mut pattern = String::from("(?s)^");
    for character in glob.chars() {
        match character {
            '*' => pattern.push_str(".*"),
            '?' => pattern.push('.'),
            // A code point by its number means nothing but itself.
            other => {
                let _ = write!(pattern, "\\x{{{:x}}}", u32::from(other));
            }
        }
    }
    pattern.push_str("\\z");
    match fancy_regex::Regex::new(&pattern) {
        Ok(regex) => Some(SelectionPattern { text: format!("like {glob}"), regex }),
        Err(_) => {
            value.problem(format!("{} is too long", value.path), "shorten it");
            None
        }
    }
}

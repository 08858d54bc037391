//! `mock`: an answer without code, several in a row, or one by rules.

use std::{collections::BTreeMap, time::Duration};

use http::{HeaderName, HeaderValue, StatusCode};

use super::{
    conditions::conditions,
    routes::{FRAMING, ROUTE_MS_MAX},
};
use crate::{
    config::{
        COLLECTION_METHODS, CollectionConfig, CollectionMock, Condition, Delay, Fault, FaultKind,
        ITEM_METHODS, MockAnswer, MockBody, MockConfig, MockRule, MockSource, SequenceEnd,
        keys::{DELAY, FAULT, RULE, SEQUENCE, closest},
        read::{Table, Value, choice},
        template::{JsonTemplate, PlaceholderError, TextTemplate},
        tree::Data,
    },
    router::{RouteKey, RouteMethod, Segment},
};

/// The keys of one answer.
const ANSWER: [&str; 6] = ["status", "headers", "body", "json", "delay_ms", "fault"];

pub fn mock(
    table: &Table<'_>,
    key: Option<&RouteKey>,
    collections: &BTreeMap<String, CollectionConfig>,
) -> MockConfig {
    let rules = rules(table, key);
    let end = table
        .choice("sequence_end", &[("last", SequenceEnd::Last), ("repeat", SequenceEnd::Repeat)]);
    let (given, named) = (table.take("sequence"), table.take("collection"));
    if given.is_none() && table.take("sequence_end").is_some() {
        let message = "sequence_end belongs to a mock with a sequence";
        table.source.problem(table.key_at("sequence_end"), message, "remove it");
    }
    let otherwise = match (given, named) {
        (None, None) => MockSource::Answer(answer(table, key)),
        (Some(given), None) => sequence(table, &given, end.unwrap_or(SequenceEnd::Last), key),
        (None, Some(named)) => MockSource::Collection(collection(table, &named, key, collections)),
        (Some(given), Some(_)) => {
            let message = "a mock has a sequence or a collection, not both";
            given.problem(message, "keep the one that shall answer");
            MockSource::Answer(answer(table, key))
        }
    };
    MockConfig { rules, otherwise }
}

fn sequence(
    table: &Table<'_>,
    given: &Value<'_>,
    end: SequenceEnd,
    key: Option<&RouteKey>,
) -> MockSource {
    refuse(table, &ANSWER, "a sequence", "write it in the entries of sequence");
    let items = given.array().unwrap_or_default();
    if items.is_empty() && matches!(given.value, Data::Array(_)) {
        let message = format!("{} is empty", given.path);
        given.problem(message, "write sequence = [{ status = 503 }, { status = 200 }]");
    }
    let answers = items.iter().filter_map(|item| Some(answer(&item.table(&SEQUENCE)?, key)));
    MockSource::Sequence { answers: answers.collect(), end }
}

/// Reports keys of an answer where something else answers.
fn refuse(table: &Table<'_>, keys: &[&'static str], with: &str, hint: &str) {
    for own in keys.iter().filter(|own| table.take(own).is_some()) {
        let message = format!("a mock with {with} has no {own} of its own");
        table.source.problem(table.key_at(own), message, hint);
    }
}

fn collection(
    table: &Table<'_>,
    named: &Value<'_>,
    key: Option<&RouteKey>,
    collections: &BTreeMap<String, CollectionConfig>,
) -> CollectionMock {
    let hint = "the collection answers as the request's method asks; remove it, or write a rule";
    refuse(table, &["status", "body", "json"], "a collection", hint);
    let name = named.string().map_or("", |name| name.text);
    if !name.is_empty() && !collections.contains_key(name) {
        let names: Vec<&str> = collections.keys().map(String::as_str).collect();
        let hint = match closest(name, &names) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("write [collection.{name}]"),
        };
        named.problem(format!("there is no collection {name:?}"), hint);
    }
    let (item, parents) = match key {
        Some(key) => parameters_of(key, named),
        None => (None, Vec::new()),
    };
    CollectionMock {
        name: name.to_owned(),
        item,
        parents,
        headers: headers(table, key),
        delay: delay(table),
        fault: fault(table),
    }
}

/// A route whose path ends in a parameter is an item, any other the whole.
fn parameters_of(key: &RouteKey, named: &Value<'_>) -> (Option<String>, Vec<String>) {
    let hint = "write one route for \"ANY /items\" and one for \"ANY /items/{id}\"";
    let RouteKey::Path(method, path) = key else {
        named.problem("$default has no path that could name an item", hint);
        return (None, Vec::new());
    };
    let mut parents: Vec<String> = path.parameters().map(str::to_owned).collect();
    let item = match path.segments().last() {
        Some(Segment::Parameter(_)) => parents.pop(),
        Some(Segment::Greedy(name)) => {
            named.problem(format!("{{{name}+}} is no item's id"), hint);
            None
        }
        Some(Segment::Literal(_)) | None => None,
    };
    if let RouteMethod::Only(method) = method {
        let methods = if item.is_some() { ITEM_METHODS } else { COLLECTION_METHODS };
        if !methods.split(", ").any(|allowed| allowed == method) {
            let what = if item.is_some() { "an item" } else { "a collection" };
            let message = format!("{what} has no {method}: it would always answer 405");
            named.problem(message, format!("use one of {methods}, or ANY"));
        }
    }
    (item, parents)
}

fn rules(table: &Table<'_>, key: Option<&RouteKey>) -> Vec<MockRule> {
    let mut rules: Vec<MockRule> = Vec::new();
    let given = table.take("rules").and_then(|given| given.array());
    for item in given.unwrap_or_default() {
        let Some(rule) = item.table(&RULE) else { continue };
        let when = conditions(&rule, key);
        // A later rule asks for more than an earlier one: that one wins.
        let includes = |earlier: &[Condition]| earlier.iter().all(|one| when.contains(one));
        let first = rules.iter().position(|rule| !rule.when.is_empty() && includes(&rule.when));
        if let Some(first) = first {
            let message =
                format!("this rule never wins: whatever it takes, rule {} takes", first + 1);
            item.problem(message, "remove it, or put the one with more conditions first");
        }
        rules.push(MockRule { when, answer: answer(&rule, key) });
    }
    rules
}

/// The keys of an answer, of the mock itself or of an entry.
fn answer(table: &Table<'_>, key: Option<&RouteKey>) -> MockAnswer {
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
    let fault = fault(table);
    if bodiless && fault.is_some_and(|fault| fault.kind == FaultKind::Truncated) {
        let message = format!("an answer with the status {} has no body", status.as_u16());
        let hint = "nothing can be cut off: use 200, or another fault";
        table.source.problem(table.key_at("fault"), message, hint);
    }
    MockAnswer { status, headers: headers(table, key), body, delay: delay(table), fault }
}

/// `fault = "reset"`, or `fault = { type = "reset", percent = 10 }`.
fn fault(table: &Table<'_>) -> Option<Fault> {
    const KINDS: [(&str, FaultKind); 4] = [
        ("reset", FaultKind::Reset),
        ("empty", FaultKind::Empty),
        ("truncated", FaultKind::Truncated),
        ("garbage", FaultKind::Garbage),
    ];
    let given = table.take("fault")?;
    if !matches!(given.value, Data::Table(_)) {
        return Some(Fault { kind: choice(&given, given.string()?, &KINDS)?, percent: 100 });
    }
    let fault = given.table(&FAULT)?;
    if fault.take("type").is_none() {
        let hint = "write fault = { type = \"reset\", percent = 10 }";
        given.problem(format!("{} has no type", given.path), hint);
    }
    let percent = fault.integer("percent", 1..=100, 100_u8);
    Some(Fault { kind: fault.choice("type", &KINDS)?, percent })
}

/// `delay_ms = 200`, or `delay_ms = { min = 100, max = 800 }`.
fn delay(table: &Table<'_>) -> Delay {
    let Some(given) = table.take("delay_ms") else { return Delay::NONE };
    if !matches!(given.value, Data::Table(_)) {
        let milliseconds = given.integer(0..=ROUTE_MS_MAX, "").unwrap_or(0);
        let delay = Duration::from_millis(milliseconds);
        return Delay { min: delay, max: delay };
    }
    let Some(bounds) = given.table(&DELAY) else { return Delay::NONE };
    if bounds.take("max").is_none() {
        let message = format!("{} has no max", given.path);
        given.problem(message, "write { min = 100, max = 800 }");
    }
    let min = bounds.milliseconds("min", 0..=ROUTE_MS_MAX, "", Duration::ZERO);
    let max = bounds.milliseconds("max", 0..=ROUTE_MS_MAX, "", min);
    if min > max {
        let (min, max) = (min.as_millis(), max.as_millis());
        let message = format!("{}: min is {min}, more than max, which is {max}", given.path);
        given.problem(message, "write the smaller one as min");
        return Delay::NONE;
    }
    Delay { min, max }
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
        (Some(body), None) => text(&body, key).map_or(MockBody::Empty, MockBody::text),
        (None, Some(value)) => json(&value, key).map_or(MockBody::Empty, MockBody::json),
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
    match value.value {
        Data::String(_) | Data::Verbatim(_) => text(value, key).map(JsonTemplate::Text),
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
        _ => scalar(value).map(JsonTemplate::Literal),
    }
}

/// The JSON value of anything; braces are literal text.
// Recursion is as deep as the file's nesting, which the TOML parser bounds.
pub fn plain(value: &Value<'_>) -> Option<serde_json::Value> {
    match value.value {
        Data::Array(_) => {
            let items = value.array()?;
            Some(items.iter().filter_map(plain).collect::<Vec<_>>().into())
        }
        Data::Table(_) => {
            let entries = value.entries("")?.into_iter();
            let entries = entries
                .filter_map(|entry| Some((entry.name.text.to_owned(), plain(&entry.value)?)));
            Some(entries.collect::<serde_json::Map<_, _>>().into())
        }
        _ => scalar(value),
    }
}

/// The JSON value of what is neither an array nor a table.
pub fn scalar(value: &Value<'_>) -> Option<serde_json::Value> {
    match value.value {
        Data::Null => Some(serde_json::Value::Null),
        Data::String(text) | Data::Verbatim(text) | Data::Datetime(text) => {
            Some(text.clone().into())
        }
        Data::Boolean(flag) => Some((*flag).into()),
        Data::Integer(number) => match i64::try_from(number.value) {
            Ok(number) => Some(number.into()),
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
                Some(number) => Some(number.into()),
                None => {
                    let message = format!("{} is {number}, which JSON does not have", value.path);
                    value.problem(message, "write it in quotes");
                    None
                }
            }
        }
        Data::Array(_) | Data::Table(_) => {
            value.mistyped("a string, a number or a boolean", "");
            None
        }
    }
}

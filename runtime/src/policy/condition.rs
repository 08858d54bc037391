//! Conditions of a statement: an operator, a key of the call and values.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html>

use std::{cmp::Ordering, net::IpAddr};

use ipnet::IpNet;
use serde_json::Value;
use time::{Date, OffsetDateTime, format_description::well_known::Rfc3339};

use super::matches;

/// One key that one operator compares.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// In lower case.
    key: String,
    test: Test,
    /// Whether no value may fit, instead of one that has to.
    negated: bool,
    /// Whether it holds for a call without the key.
    absent: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Test {
    /// Text, whose case may be ignored.
    Equals(Vec<String>, bool),
    Like(Vec<String>),
    Addresses(Vec<IpNet>),
    Bool(Vec<bool>),
    Number(Vec<f64>, Compare),
    Date(Vec<OffsetDateTime>, Compare),
    /// Whether the key has to be absent.
    Null(Vec<bool>),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Compare {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Compare {
    fn holds(self, ordering: Option<Ordering>) -> bool {
        let Some(ordering) = ordering else { return false };
        match self {
            Self::Equal => ordering.is_eq(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

impl Condition {
    /// Reads the element `Condition`.
    pub fn parse_all(value: Option<&Value>, path: &str) -> Result<Vec<Self>, String> {
        let path = format!("{path}.Condition");
        let Some(value) = value else { return Ok(Vec::new()) };
        let operators = value.as_object().ok_or_else(|| format!("{path} is not an object"))?;
        let mut conditions = Vec::new();
        for (operator, keys) in operators {
            let not_object = || format!("{path}.{operator} is not an object");
            // An operator that is unknown is worth more than what is below it.
            Self::parse(operator, "", &Value::Array(Vec::new()), &path)?;
            for (key, values) in keys.as_object().ok_or_else(not_object)? {
                conditions.push(Self::parse(operator, key, values, &path)?);
            }
        }
        Ok(conditions)
    }

    fn parse(operator: &str, key: &str, values: &Value, path: &str) -> Result<Self, String> {
        let unknown = || format!("{path} has no operator {operator:?}");
        // Of no values all fit, and not any.
        let (absent, name) = match operator.split_once(':') {
            Some(("ForAllValues", name)) => (Some(true), name),
            Some(("ForAnyValue", name)) => (Some(false), name),
            Some(_) => return Err(unknown()),
            None => (None, operator),
        };
        let (absent, name) = match name.strip_suffix("IfExists") {
            Some(name) => (Some(true), name),
            None => (absent, name),
        };
        let texts = texts(values, &format!("{path}.{operator}.{key}"))?;
        let (test, negated) = test(name, texts)?.ok_or_else(unknown)?;
        let absent = absent.unwrap_or(negated);
        Ok(Self { key: key.to_ascii_lowercase(), test, negated, absent })
    }

    /// Whether it holds for a call with these values.
    pub fn holds(&self, context: &dyn Fn(&str) -> Option<String>) -> bool {
        let found = context(&self.key);
        if let Test::Null(absent) = &self.test {
            return absent.contains(&found.is_none());
        }
        match found {
            Some(found) => self.test.fits(&found) != self.negated,
            None => self.absent,
        }
    }
}

/// The test that an operator is, and whether it is negated; none for an
/// operator that is unknown.
fn test(name: &str, texts: Vec<String>) -> Result<Option<(Test, bool)>, String> {
    let addresses = |texts: Vec<String>| each(texts, "an address or a range", range);
    let numbers = |texts| each(texts, "a number", |text| text.parse().ok());
    let dates = |texts| each(texts, "a date", date);
    let booleans = |texts| each(texts, "true or false", |text| text.parse().ok());
    Ok(Some(match name {
        "StringEquals" => (Test::Equals(texts, false), false),
        "StringNotEquals" => (Test::Equals(texts, false), true),
        "StringEqualsIgnoreCase" => (Test::Equals(texts, true), false),
        "StringNotEqualsIgnoreCase" => (Test::Equals(texts, true), true),
        "StringLike" | "ArnLike" | "ArnEquals" => (Test::Like(texts), false),
        "StringNotLike" | "ArnNotLike" | "ArnNotEquals" => (Test::Like(texts), true),
        "IpAddress" => (Test::Addresses(addresses(texts)?), false),
        "NotIpAddress" => (Test::Addresses(addresses(texts)?), true),
        "Bool" => (Test::Bool(booleans(texts)?), false),
        "Null" => (Test::Null(booleans(texts)?), false),
        _ => match (name.strip_prefix("Numeric"), name.strip_prefix("Date")) {
            (Some(rest), _) => match compare(rest) {
                Some((compare, negated)) => (Test::Number(numbers(texts)?, compare), negated),
                None => return Ok(None),
            },
            (_, Some(rest)) => match compare(rest) {
                Some((compare, negated)) => (Test::Date(dates(texts)?, compare), negated),
                None => return Ok(None),
            },
            _ => return Ok(None),
        },
    }))
}

fn compare(name: &str) -> Option<(Compare, bool)> {
    Some(match name {
        "Equals" => (Compare::Equal, false),
        "NotEquals" => (Compare::Equal, true),
        "LessThan" => (Compare::Less, false),
        "LessThanEquals" => (Compare::LessOrEqual, false),
        "GreaterThan" => (Compare::Greater, false),
        "GreaterThanEquals" => (Compare::GreaterOrEqual, false),
        _ => return None,
    })
}

impl Test {
    fn fits(&self, found: &str) -> bool {
        match self {
            Self::Equals(texts, true) => texts.iter().any(|text| text.eq_ignore_ascii_case(found)),
            Self::Equals(texts, false) => texts.iter().any(|text| text == found),
            Self::Like(patterns) => patterns.iter().any(|pattern| matches(pattern, found)),
            Self::Addresses(ranges) => found.parse::<IpAddr>().is_ok_and(|ip| {
                let ip = ip.to_canonical();
                ranges.iter().any(|range| range.contains(&ip))
            }),
            Self::Bool(wanted) => found.parse().is_ok_and(|found| wanted.contains(&found)),
            Self::Number(wanted, compare) => found.parse().is_ok_and(|found: f64| {
                wanted.iter().any(|wanted| compare.holds(found.partial_cmp(wanted)))
            }),
            Self::Date(wanted, compare) => date(found).is_some_and(|found| {
                wanted.iter().any(|wanted| compare.holds(Some(found.cmp(wanted))))
            }),
            Self::Null(_) => false,
        }
    }
}

fn each<T>(
    texts: Vec<String>,
    what: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, String> {
    let value = |text: String| read(&text).ok_or_else(|| format!("{text:?} is not {what}"));
    texts.into_iter().map(value).collect()
}

/// How many bits of `::ffff:10.0.0.1` are before the address of version 4.
const MAPPED_BITS: u8 = 96;

/// A range of addresses such as `10.0.0.0/8`, or a single one. Addresses of
/// version 4 within version 6 are what they mean, as those of callers are.
pub fn range(text: &str) -> Option<IpNet> {
    let Ok(range) = text.parse::<IpNet>() else {
        return Some(IpNet::from(text.parse::<IpAddr>().ok()?.to_canonical()));
    };
    let version_4 = range.addr().to_canonical();
    match range.prefix_len().checked_sub(MAPPED_BITS) {
        Some(bits) if range.addr().is_ipv6() && version_4.is_ipv4() => {
            IpNet::new(version_4, bits).ok()
        }
        _ => Some(range),
    }
}

/// ISO 8601 with a time or without, or seconds since 1970.
fn date(text: &str) -> Option<OffsetDateTime> {
    if let Ok(time) = OffsetDateTime::parse(text, &Rfc3339) {
        return Some(time);
    }
    if let Ok(seconds) = text.parse() {
        return OffsetDateTime::from_unix_timestamp(seconds).ok();
    }
    let format = time::macros::format_description!("[year]-[month]-[day]");
    Some(Date::parse(text, format).ok()?.midnight().assume_utc())
}

/// Values as text, whatever their type.
fn texts(value: &Value, path: &str) -> Result<Vec<String>, String> {
    let text = |value: &Value| match value {
        Value::String(text) if text.contains("${") => {
            Err(format!("{path} is {text:?}: policy variables are not known"))
        }
        Value::String(text) => Ok(text.clone()),
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        _ => Err(format!("{path} is {value}, not a string or a list of strings")),
    };
    match value {
        Value::Array(list) => list.iter().map(text).collect(),
        one => Ok(vec![text(one)?]),
    }
}

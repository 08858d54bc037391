//! What stands in `[?(…)]`.

use std::{borrow::Cow, cmp::Ordering};

use fancy_regex::{Regex, RegexBuilder};
use serde_json::Value;

use super::{Path, list};

/// The compiled size of a pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 1024 * 1024;

#[derive(Debug, Clone)]
pub enum Filter {
    Any(Vec<Filter>),
    All(Vec<Filter>),
    Not(Box<Filter>),
    /// The item has what the path leads to.
    Exists(Path),
    Compare(Box<Operand>, Operator, Box<Operand>),
    /// The item matches a pattern as a whole.
    Matches(Box<Operand>, Regex),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    Path(Path),
    Value(Value),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Matches,
    In,
    NotIn,
    Contains,
    Size,
    Empty,
    SubsetOf,
    AnyOf,
    NoneOf,
}

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        // A compiled pattern has no equality but its text.
        format!("{self:?}") == format!("{other:?}")
    }
}

impl Filter {
    /// # Errors
    /// Where the pattern is none.
    pub fn compare(left: Operand, operator: Operator, right: Operand) -> Result<Self, String> {
        if operator != Operator::Matches {
            return Ok(Self::Compare(Box::new(left), operator, Box::new(right)));
        }
        let Operand::Value(Value::String(pattern)) = right else {
            return Err("a JSONPath's =~ needs a pattern".to_owned());
        };
        let regex = RegexBuilder::new(&pattern)
            .delegate_size_limit(PATTERN_BYTES_MAX)
            .build()
            .map_err(|error| format!("a JSONPath's pattern is none: {error}"))?;
        Ok(Self::Matches(Box::new(left), regex))
    }

    /// Whether the filter holds for an item of the document `root`.
    pub fn holds(&self, root: &Value, item: &Value, budget: &mut usize) -> Result<bool, String> {
        Ok(match self {
            Self::Any(parts) => {
                for part in parts {
                    if part.holds(root, item, budget)? {
                        return Ok(true);
                    }
                }
                false
            }
            Self::All(parts) => {
                for part in parts {
                    if !part.holds(root, item, budget)? {
                        return Ok(false);
                    }
                }
                true
            }
            Self::Not(inner) => !inner.holds(root, item, budget)?,
            Self::Exists(path) => path.value(root, item, budget)?.is_some(),
            Self::Compare(left, operator, right) => {
                let left = left.value(root, item, budget)?;
                let right = right.value(root, item, budget)?;
                operator.holds(left.as_deref(), right.as_deref())
            }
            Self::Matches(left, regex) => {
                // A pattern that takes too long matches nothing.
                let matches = |text: &str| regex.is_match(text).unwrap_or(false);
                match left.value(root, item, budget)?.as_deref() {
                    Some(Value::String(text)) => matches(text),
                    Some(number @ Value::Number(_)) => matches(&number.to_string()),
                    Some(Value::Array(items)) => {
                        items.iter().filter_map(Value::as_str).any(matches)
                    }
                    _ => false,
                }
            }
        })
    }
}

impl Operand {
    fn value<'v>(
        &'v self,
        root: &'v Value,
        item: &'v Value,
        budget: &mut usize,
    ) -> Result<Option<Cow<'v, Value>>, String> {
        match self {
            Self::Path(path) => path.value(root, item, budget),
            Self::Value(value) => Ok(Some(Cow::Borrowed(value))),
        }
    }
}

impl Path {
    /// What the path leads to from an item on.
    fn value<'v>(
        &self,
        root: &'v Value,
        item: &'v Value,
        budget: &mut usize,
    ) -> Result<Option<Cow<'v, Value>>, String> {
        let found = self.walk(root, item, budget)?;
        let value = match self.is_definite() {
            true => found.into_iter().next(),
            false if found.is_empty() => None,
            false => Some(Cow::Owned(list(found))),
        };
        Ok(match self.function {
            Some(function) => value.and_then(|value| function.apply(&value)).map(Cow::Owned),
            None => value,
        })
    }
}

impl Operator {
    fn holds(self, left: Option<&Value>, right: Option<&Value>) -> bool {
        let ordered = |holds: fn(Ordering) -> bool| {
            left.zip(right).and_then(|(left, right)| order(left, right)).is_some_and(holds)
        };
        let within = |value: &Value, list: &Value| {
            list.as_array().is_some_and(|items| items.iter().any(|item| equal(value, item)))
        };
        let both = |holds: &dyn Fn(&Value, &Value) -> bool| {
            left.zip(right).is_some_and(|(left, right)| holds(left, right))
        };
        let each = |holds: &dyn Fn(&[Value], &Value) -> bool| {
            both(&|left, right| left.as_array().is_some_and(|left| holds(left, right)))
        };
        match self {
            Self::Equal => both(&equal),
            Self::NotEqual => !both(&equal),
            Self::Less => ordered(Ordering::is_lt),
            Self::LessOrEqual => ordered(Ordering::is_le),
            Self::Greater => ordered(Ordering::is_gt),
            Self::GreaterOrEqual => ordered(Ordering::is_ge),
            Self::In => both(&within),
            Self::NotIn => !both(&within),
            Self::Contains => both(&|left, right| match (left, right) {
                (Value::String(left), Value::String(right)) => left.contains(right.as_str()),
                (left, right) => within(right, left),
            }),
            Self::Size => both(&|left, right| {
                let size = match left {
                    Value::Array(items) => items.len(),
                    Value::String(text) => text.encode_utf16().count(),
                    _ => return false,
                };
                right.as_u64() == u64::try_from(size).ok()
            }),
            Self::Empty => both(&|left, right| {
                let empty = match left {
                    Value::Array(items) => items.is_empty(),
                    Value::String(text) => text.is_empty(),
                    Value::Object(members) => members.is_empty(),
                    _ => return false,
                };
                right.as_bool() == Some(empty)
            }),
            Self::SubsetOf => each(&|left, right| left.iter().all(|item| within(item, right))),
            Self::AnyOf => each(&|left, right| left.iter().any(|item| within(item, right))),
            Self::NoneOf => each(&|left, right| !left.iter().any(|item| within(item, right))),
            // Compiled patterns are a filter of their own.
            Self::Matches => false,
        }
    }
}

/// Equality; a number and a string that reads as it are equal too.
fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64() == right.as_f64(),
        (Value::Number(number), Value::String(text))
        | (Value::String(text), Value::Number(number)) => {
            text.parse().ok().is_some_and(|own: f64| Some(own) == number.as_f64())
        }
        _ => left == right,
    }
}

fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64()?.partial_cmp(&right.as_f64()?),
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

//! JSONPath as API Gateway has it, which is Jayway's dialect.
//!
//! No crate speaks it: RFC 9535 has other filters, and knows nothing of
//! Jayway's functions and of paths that lead to one value instead of a list.
//!
//! <https://github.com/json-path/JsonPath>

mod filter;
mod parse;

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use filter::Filter;

/// Values that a path may come by; `$..*..*` meets many of them often.
const VALUES_MAX: usize = 100_000;

/// A parsed path.
#[derive(Debug, Clone, PartialEq)]
pub struct Path {
    /// Whether it begins at the item of a filter, `@`.
    relative: bool,
    steps: Vec<Step>,
    function: Option<Function>,
}

#[derive(Debug, Clone, PartialEq)]
enum Step {
    /// `.name`, `['name']`
    Property(String),
    /// `['a','b']`: an object of these members.
    Properties(Vec<String>),
    /// `[0]`, from the end on if negative.
    Index(i64),
    /// `[0,2]`
    Indices(Vec<i64>),
    /// `[from:to]`
    Slice(Option<i64>, Option<i64>),
    /// `.*`, `[*]`
    Wildcard,
    /// `..`
    DeepScan,
    /// `[?(…)]`
    Filter(Filter),
}

/// What a path may end in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Length,
    Min,
    Max,
    Avg,
    Sum,
    StdDev,
    Keys,
    First,
    Last,
}

impl Path {
    /// What the path leads to in `root`: one value for a definite path, none
    /// where there is none; else a list.
    ///
    /// # Errors
    /// Where the path comes by too many values.
    pub fn find<'v>(&self, root: &'v Value) -> Result<Option<Cow<'v, Value>>, String> {
        // Most paths come by as many values as they have steps, and make none.
        let value = match self.leads_straight() {
            true => self.follow(root).map(Cow::Borrowed),
            false => {
                let found = self.walk(root, root, &mut { VALUES_MAX })?;
                match self.is_definite() {
                    true => found.into_iter().next(),
                    false => Some(Cow::Owned(list(found))),
                }
            }
        };
        Ok(match self.function {
            Some(function) => value.and_then(|value| function.apply(&value)).map(Cow::Owned),
            None => value,
        })
    }

    /// Whether it is `$`.
    pub fn is_root(&self) -> bool {
        !self.relative && self.steps.is_empty() && self.function.is_none()
    }

    fn is_definite(&self) -> bool {
        self.steps
            .iter()
            .all(|step| matches!(step, Step::Property(_) | Step::Properties(_) | Step::Index(_)))
    }

    /// Whether it has but names and indices.
    fn leads_straight(&self) -> bool {
        self.steps.iter().all(|step| matches!(step, Step::Property(_) | Step::Index(_)))
    }

    fn follow<'v>(&self, root: &'v Value) -> Option<&'v Value> {
        self.steps.iter().try_fold(root, |value, step| match (step, value) {
            (Step::Property(name), Value::Object(members)) => members.get(name),
            (Step::Index(index), Value::Array(items)) => at(items, *index),
            _ => None,
        })
    }

    fn walk<'v>(
        &self,
        root: &'v Value,
        from: &'v Value,
        budget: &mut usize,
    ) -> Result<Vec<Found<'v>>, String> {
        let mut found = vec![Found::Borrowed(if self.relative { from } else { root })];
        let mut deep = false;
        for step in &self.steps {
            if *step == Step::DeepScan {
                found = descendants(found, budget)?;
                deep = true;
                continue;
            }
            let mut next = Vec::new();
            for value in found {
                step.apply(value, root, deep, &mut next, budget)?;
            }
            found = next;
            deep = false;
        }
        Ok(found)
    }
}

/// A value on the way: a part of the document, or one made of parts.
type Found<'v> = Cow<'v, Value>;

fn list(found: Vec<Found<'_>>) -> Value {
    found.into_iter().map(Cow::into_owned).collect()
}

fn spend(budget: &mut usize) -> Result<(), String> {
    *budget = budget
        .checked_sub(1)
        .ok_or_else(|| format!("the JSONPath comes by more than {VALUES_MAX} values"))?;
    Ok(())
}

/// All objects and arrays at and below the values, from the top down.
fn descendants<'v>(found: Vec<Found<'v>>, budget: &mut usize) -> Result<Vec<Found<'v>>, String> {
    let mut all = Vec::new();
    let mut waiting: Vec<&Value> = Vec::new();
    for value in found {
        match value {
            Found::Borrowed(value) => waiting.push(value),
            made @ Found::Owned(_) => all.push(made),
        }
    }
    waiting.reverse();
    while let Some(value) = waiting.pop() {
        spend(budget)?;
        match value {
            Value::Object(members) => waiting.extend(members.values().rev()),
            Value::Array(items) => waiting.extend(items.iter().rev()),
            _ => continue,
        }
        all.push(Found::Borrowed(value));
    }
    Ok(all)
}

impl Step {
    fn apply<'v>(
        &self,
        value: Found<'v>,
        root: &'v Value,
        deep: bool,
        out: &mut Vec<Found<'v>>,
        budget: &mut usize,
    ) -> Result<(), String> {
        let value = match value {
            Found::Borrowed(value) => value,
            Found::Owned(value) => {
                // What was made has only its members to go on with.
                if let (Self::Property(name), Value::Object(members)) = (self, &value) {
                    out.extend(members.get(name).cloned().map(Found::Owned));
                }
                return Ok(());
            }
        };
        let before = out.len();
        match (self, value) {
            (Self::Property(name), Value::Object(members)) => {
                out.extend(members.get(name).map(Found::Borrowed));
            }
            (Self::Properties(names), Value::Object(members)) => {
                let own = |name: &String| Some((name.clone(), members.get(name)?.clone()));
                let own: Map<String, Value> = names.iter().filter_map(own).collect();
                // Deep in a document only those that have them all count.
                if !deep || own.len() == names.len() {
                    out.push(Found::Owned(Value::Object(own)));
                }
            }
            (Self::Index(index), Value::Array(items)) => {
                out.extend(at(items, *index).map(Found::Borrowed));
            }
            (Self::Indices(indices), Value::Array(items)) => {
                out.extend(
                    indices.iter().filter_map(|&index| at(items, index)).map(Found::Borrowed),
                );
            }
            (Self::Slice(from, to), Value::Array(items)) => {
                let place = |index: i64| {
                    let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
                    let index = if index < 0 { index + length } else { index };
                    usize::try_from(index.clamp(0, length)).unwrap_or(0)
                };
                let from = from.map_or(0, place);
                let to = to.map_or(items.len(), place);
                out.extend(items.get(from..to).unwrap_or_default().iter().map(Found::Borrowed));
            }
            (Self::Wildcard, Value::Object(members)) => {
                out.extend(members.values().map(Found::Borrowed));
            }
            (Self::Wildcard, Value::Array(items)) => out.extend(items.iter().map(Found::Borrowed)),
            (Self::Filter(filter), Value::Array(items)) => {
                for item in items {
                    if filter.holds(root, item, budget)? {
                        out.push(Found::Borrowed(item));
                    }
                }
            }
            // An object is filtered as a whole, except deep in a document.
            (Self::Filter(filter), Value::Object(_)) if filter.holds(root, value, budget)? => {
                out.push(Found::Borrowed(value));
            }
            _ => {}
        }
        for _ in before..=out.len() {
            spend(budget)?;
        }
        Ok(())
    }
}

fn at(items: &[Value], index: i64) -> Option<&Value> {
    let length = i64::try_from(items.len()).ok()?;
    let index = if index < 0 { index + length } else { index };
    items.get(usize::try_from(index).ok()?)
}

impl Function {
    fn apply(self, value: &Value) -> Option<Value> {
        let numbers: Vec<f64> = match value {
            Value::Array(items) => items.iter().filter_map(Value::as_f64).collect(),
            _ => Vec::new(),
        };
        let count = numbers.len() as f64;
        let sum = numbers.iter().sum::<f64>();
        let number = |number: f64| (!numbers.is_empty()).then(|| json!(number));
        match self {
            Self::Length => match value {
                Value::Array(items) => Some(json!(items.len())),
                Value::Object(members) => Some(json!(members.len())),
                Value::String(text) => Some(json!(text.encode_utf16().count())),
                _ => None,
            },
            Self::Keys => match value {
                Value::Object(members) => Some(members.keys().cloned().map(Value::from).collect()),
                _ => None,
            },
            Self::First | Self::Last => match value {
                Value::Array(items) if self == Self::First => items.first().cloned(),
                Value::Array(items) => items.last().cloned(),
                _ => None,
            },
            Self::Sum => number(sum),
            Self::Avg => number(sum / count),
            Self::Min => number(numbers.iter().copied().fold(f64::INFINITY, f64::min)),
            Self::Max => number(numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
            Self::StdDev => {
                let squares = numbers.iter().map(|number| number * number).sum::<f64>();
                number((squares / count - (sum / count) * (sum / count)).max(0.0).sqrt())
            }
        }
    }
}

#[cfg(test)]
mod tests;

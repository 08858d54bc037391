//! JSONPath as API Gateway has it, which is Jayway's dialect.
//!
//! No crate speaks it: RFC 9535 has other filters, and knows nothing of
//! Jayway's functions and of paths that lead to one value instead of a list.
//!
//! <https://github.com/json-path/JsonPath>

mod filter;
mod parse;

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
    pub fn find(&self, root: &Value) -> Result<Option<Value>, String> {
        let mut budget = VALUES_MAX;
        let found = self.walk(root, root, &mut budget)?;
        let value = match self.is_definite() {
            true => found.into_iter().next().map(Found::into_value),
            false => Some(found.into_iter().map(Found::into_value).collect()),
        };
        Ok(match self.function {
            Some(function) => function.apply(value),
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

    fn walk<'v>(
        &self,
        root: &'v Value,
        from: &'v Value,
        budget: &mut usize,
    ) -> Result<Vec<Found<'v>>, String> {
        let mut found = vec![Found::Part(if self.relative { from } else { root })];
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
#[derive(Debug, Clone)]
enum Found<'v> {
    Part(&'v Value),
    Made(Value),
}

impl Found<'_> {
    fn into_value(self) -> Value {
        match self {
            Self::Part(value) => value.clone(),
            Self::Made(value) => value,
        }
    }
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
            Found::Part(value) => waiting.push(value),
            made @ Found::Made(_) => all.push(made),
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
        all.push(Found::Part(value));
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
            Found::Part(value) => value,
            Found::Made(value) => {
                // What was made has only its members to go on with.
                if let (Self::Property(name), Value::Object(members)) = (self, &value) {
                    out.extend(members.get(name).cloned().map(Found::Made));
                }
                return Ok(());
            }
        };
        let before = out.len();
        match (self, value) {
            (Self::Property(name), Value::Object(members)) => {
                out.extend(members.get(name).map(Found::Part));
            }
            (Self::Properties(names), Value::Object(members)) => {
                let own = |name: &String| Some((name.clone(), members.get(name)?.clone()));
                let own: Map<String, Value> = names.iter().filter_map(own).collect();
                // Deep in a document only those that have them all count.
                if !deep || own.len() == names.len() {
                    out.push(Found::Made(Value::Object(own)));
                }
            }
            (Self::Index(index), Value::Array(items)) => {
                out.extend(at(items, *index).map(Found::Part));
            }
            (Self::Indices(indices), Value::Array(items)) => {
                out.extend(indices.iter().filter_map(|&index| at(items, index)).map(Found::Part));
            }
            (Self::Slice(from, to), Value::Array(items)) => {
                let place = |index: i64| {
                    let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
                    let index = if index < 0 { index + length } else { index };
                    usize::try_from(index.clamp(0, length)).unwrap_or(0)
                };
                let from = from.map_or(0, place);
                let to = to.map_or(items.len(), place);
                out.extend(items.get(from..to).unwrap_or_default().iter().map(Found::Part));
            }
            (Self::Wildcard, Value::Object(members)) => {
                out.extend(members.values().map(Found::Part));
            }
            (Self::Wildcard, Value::Array(items)) => out.extend(items.iter().map(Found::Part)),
            (Self::Filter(filter), Value::Array(items)) => {
                for item in items {
                    if filter.holds(root, item, budget)? {
                        out.push(Found::Part(item));
                    }
                }
            }
            // An object is filtered as a whole, except deep in a document.
            (Self::Filter(filter), Value::Object(_)) if filter.holds(root, value, budget)? => {
                out.push(Found::Part(value));
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
    fn apply(self, value: Option<Value>) -> Option<Value> {
        let value = value?;
        let numbers: Vec<f64> = match &value {
            Value::Array(items) => items.iter().filter_map(Value::as_f64).collect(),
            _ => Vec::new(),
        };
        let count = numbers.len() as f64;
        let sum = numbers.iter().sum::<f64>();
        let number = |number: f64| (!numbers.is_empty()).then(|| json!(number));
        match self {
            Self::Length => match &value {
                Value::Array(items) => Some(json!(items.len())),
                Value::Object(members) => Some(json!(members.len())),
                Value::String(text) => Some(json!(text.encode_utf16().count())),
                _ => None,
            },
            Self::Keys => match &value {
                Value::Object(members) => Some(members.keys().cloned().map(Value::from).collect()),
                _ => None,
            },
            Self::First | Self::Last => match &value {
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

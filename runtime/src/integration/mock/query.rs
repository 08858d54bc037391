//! The query of a list: `field=value` filters, `_sort`, `_offset`, `_limit`.

use std::{borrow::Cow, cmp::Ordering, sync::Arc};

use serde_json::Value;

use crate::config::template::at;

/// Filters and sort keys of one query: each costs a look at every item.
const CLAUSES_MAX: usize = 16;

/// What a list is asked for.
#[derive(Debug, Default, PartialEq)]
pub struct Query {
    // Fields with what each may be.
    filters: Vec<(Vec<String>, Vec<String>)>,
    sort: Vec<SortKey>,
    offset: usize,
    limit: Option<usize>,
}

#[derive(Debug, PartialEq)]
struct SortKey {
    field: Vec<String>,
    descending: bool,
}

impl Query {
    /// Reads names and values.
    pub fn parse(pairs: &[(String, String)]) -> Result<Self, String> {
        let mut query = Self::default();
        for (name, value) in pairs {
            match name.as_str() {
                "_offset" => query.offset = number(name, value)?,
                "_limit" => query.limit = Some(number(name, value)?),
                "_sort" => query.sort.extend(value.split(',').map(SortKey::parse)),
                _ if name.starts_with('_') => {
                    return Err(format!("{name} is none of _sort, _offset and _limit"));
                }
                _ => query.filter(name, value),
            }
            let values = query.filters.iter().map(|(_, values)| values.len()).sum::<usize>();
            if values + query.sort.len() > CLAUSES_MAX {
                return Err(format!("the query has more than {CLAUSES_MAX} filters and sort keys"));
            }
        }
        Ok(query)
    }

    /// A field that comes several times may be any of the values.
    fn filter(&mut self, name: &str, value: &str) {
        let field = steps(name);
        match self.filters.iter_mut().find(|(own, _)| *own == field) {
            Some((_, values)) => values.push(value.to_owned()),
            None => self.filters.push((field, vec![value.to_owned()])),
        }
    }

    /// Whether an item passes the filters.
    pub fn takes(&self, item: &Value) -> bool {
        self.filters.iter().all(|(field, wanted)| {
            at(Some(item), field).is_some_and(|value| wanted.iter().any(|wanted| is(value, wanted)))
        })
    }

    /// Sorts; items that are equal stay as they are.
    pub fn sort(&self, items: &mut [Arc<Value>]) {
        if !self.sort.is_empty() {
            items.sort_by(|one, other| {
                let orders = self.sort.iter().map(|key| key.order(one, other));
                orders.fold(Ordering::Equal, Ordering::then)
            });
        }
    }

    /// The part that is asked for.
    pub fn page<'i, T>(&self, items: &'i [T]) -> &'i [T] {
        let rest = items.get(self.offset..).unwrap_or_default();
        &rest[..rest.len().min(self.limit.unwrap_or(usize::MAX))]
    }
}

impl SortKey {
    fn parse(text: &str) -> Self {
        let name = text.strip_prefix('-');
        Self { field: steps(name.unwrap_or(text)), descending: name.is_some() }
    }

    /// What lacks the field comes last, whatever the direction.
    fn order(&self, one: &Value, other: &Value) -> Ordering {
        match (at(Some(one), &self.field), at(Some(other), &self.field)) {
            (Some(one), Some(other)) if self.descending => order(other, one),
            (Some(one), Some(other)) => order(one, other),
            (one, other) => other.is_some().cmp(&one.is_some()),
        }
    }
}

fn steps(name: &str) -> Vec<String> {
    name.split('.').map(str::to_owned).collect()
}

fn number(name: &str, value: &str) -> Result<usize, String> {
    value.parse().map_err(|_| format!("{name} is {value:?}, not a number from 0"))
}

/// Null, then booleans, numbers, strings, and what has parts.
fn order(one: &Value, other: &Value) -> Ordering {
    let rank = |value: &Value| match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        Value::Array(_) | Value::Object(_) => 4,
    };
    match (one, other) {
        (Value::Bool(one), Value::Bool(other)) => one.cmp(other),
        (Value::String(one), Value::String(other)) => one.cmp(other),
        (Value::Number(one), Value::Number(other)) => match (one.as_i64(), other.as_i64()) {
            (Some(one), Some(other)) => one.cmp(&other),
            _ => {
                let number = |number: &serde_json::Number| number.as_f64().unwrap_or(f64::MAX);
                number(one).total_cmp(&number(other))
            }
        },
        _ => rank(one).cmp(&rank(other)),
    }
}

/// Whether a value is written like this.
pub fn is(value: &Value, wanted: &str) -> bool {
    let text = match value {
        Value::String(text) => Cow::Borrowed(text.as_str()),
        other => Cow::Owned(other.to_string()),
    };
    text == wanted
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(text: &str) -> Result<Query, String> {
        let pairs: Vec<(String, String)> = text
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Query::parse(&pairs)
    }

    fn ask(text: &str) -> Vec<i64> {
        let items = [
            json!({ "id": 1, "name": "b", "done": true, "by": { "name": "Ada" } }),
            json!({ "id": 2, "name": "a", "done": false, "age": 10 }),
            json!({ "id": 3, "name": "c", "done": false, "age": 9, "tags": ["x"] }),
            json!({ "id": 4, "name": "c", "age": 9.5 }),
        ];
        let query = parse(text).expect("a query");
        let mut items: Vec<Arc<Value>> = items.into_iter().map(Arc::new).collect();
        items.retain(|item| query.takes(item));
        query.sort(&mut items);
        query.page(&items).iter().filter_map(|item| item["id"].as_i64()).collect()
    }

    #[test]
    fn lists_are_filtered_sorted_and_cut() {
        for (query, expected) in [
            ("", vec![1, 2, 3, 4]),
            ("done=false", vec![2, 3]),
            ("done=false&name=c", vec![3]),
            ("id=1&id=4", vec![1, 4]),
            ("by.name=Ada", vec![1]),
            ("tags.0=x", vec![3]),
            ("nothing=", vec![]),
            ("_sort=name", vec![2, 1, 3, 4]),
            ("_sort=-name", vec![3, 4, 1, 2]),
            ("_sort=age", vec![3, 4, 2, 1]),
            ("_sort=-age", vec![2, 4, 3, 1]),
            ("_sort=-name,-age", vec![4, 3, 1, 2]),
            ("_offset=1&_limit=2", vec![2, 3]),
            ("_offset=9", vec![]),
            ("_limit=0", vec![]),
        ] {
            assert_eq!(ask(query), expected, "{query:?}");
        }
    }

    #[test]
    fn what_is_no_query_is_refused() {
        assert_eq!(parse("_limit=-1"), Err("_limit is \"-1\", not a number from 0".to_owned()));
        assert!(parse("_offset=x").is_err() && parse("_page=1").is_err());
        assert!(parse(&"a=1&".repeat(17)).is_err() && parse(&"a=1&".repeat(16)).is_ok());
        assert!(parse(&format!("_sort={}", "a,".repeat(16))).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_query_is_answered_or_refused(text in "(_sort|_limit|_offset|name|age|[=&.,-]|[0-9]|\\PC){0,20}") {
            if parse(&text).is_ok() {
                proptest::prop_assert!(ask(&text).len() <= 4);
            }
        }
    }
}

//! Methods of lists, maps and their entries.

use std::rc::Rc;

use super::{Failure, entries, int, view};
use crate::value::{Cursor, Key, List, ListKind, Map, Value};

fn out_of_bounds(index: i32, length: usize) -> Failure {
    Failure::exception(
        "java.lang.IndexOutOfBoundsException",
        format!("Index {index} out of bounds for length {length}"),
    )
}

fn place(index: i32, length: usize) -> Result<usize, Failure> {
    usize::try_from(index)
        .ok()
        .filter(|&index| index < length)
        .ok_or_else(|| out_of_bounds(index, length))
}

fn unsupported() -> Failure {
    Failure::Exception("java.lang.UnsupportedOperationException".to_owned())
}

/// A container that holds itself could neither be printed nor be freed.
fn refuse_cycle(container: &Value, value: &Value) -> Result<(), Failure> {
    if !matches!(
        value,
        Value::List(_) | Value::Map(_) | Value::Entry(..) | Value::Iterator(_) | Value::Scope(_)
    ) {
        return Ok(());
    }
    match value.reaches(container) {
        (true, _) => Err(Failure::Limit("a list or map cannot hold itself".to_owned())),
        (false, _) => Ok(()),
    }
}

pub fn set(list: &List, index: &Value, value: Value) -> Result<Value, Failure> {
    let Some(index) = int(index) else { return Ok(Value::Null) };
    list.change(|items| {
        let place = place(index, items.len())?;
        Ok(std::mem::replace(&mut items[place], value))
    })
}

pub fn list(
    list: &List,
    name: &str,
    arguments: &[Value],
    max: usize,
) -> Result<Option<Value>, Failure> {
    if let Some(value) = read(list, name, arguments)? {
        return Ok(Some(value));
    }
    if matches!((name, arguments.len()), ("add" | "addAll", 1) | ("add" | "set", 2)) {
        let own = Value::List(list.clone());
        match (name, arguments) {
            ("addAll", [Value::List(other)]) => {
                for item in other.items() {
                    refuse_cycle(&own, &item)?;
                }
            }
            _ => arguments.iter().try_for_each(|argument| refuse_cycle(&own, argument))?,
        }
        if list.len() > max / 16 {
            return Err(Failure::Limit("a list has too many items".to_owned()));
        }
    }
    write(list, name, arguments)
}

fn read(list: &List, name: &str, arguments: &[Value]) -> Result<Option<Value>, Failure> {
    let items = || list.items();
    let position = |value: &Value| list.items().iter().position(|item| item.equals(value));
    let number =
        |at: Option<usize>| Value::integer(at.map_or(-1, |at| i64::try_from(at).unwrap_or(-1)));
    let indexed = list.kind() != ListKind::Set;
    Ok(Some(match (name, arguments) {
        ("size", []) => Value::integer(i64::try_from(list.len()).unwrap_or(i64::MAX)),
        ("isEmpty", []) => Value::Bool(list.is_empty()),
        ("contains", [value]) => Value::Bool(position(value).is_some()),
        ("containsAll", [Value::List(other)]) => {
            Value::Bool(other.items().iter().all(|value| position(value).is_some()))
        }
        ("iterator" | "listIterator", []) => Value::Iterator(Rc::new(Cursor::over(list))),
        ("toArray", []) => Value::List(List::new(ListKind::Array, items())),
        ("get", [index]) if indexed => match int(index) {
            Some(index) => {
                let place = place(index, list.len())?;
                list.get(place).unwrap_or_default()
            }
            None => return Ok(None),
        },
        ("indexOf", [value]) if indexed => number(position(value)),
        ("lastIndexOf", [value]) if indexed => {
            number(list.items().iter().rposition(|item| item.equals(value)))
        }
        ("subList", [from, to]) if indexed => match (int(from), int(to)) {
            (Some(from), Some(to)) => {
                let range = usize::try_from(from).ok().zip(usize::try_from(to).ok());
                let found = range.and_then(|(from, to)| items().get(from..to).map(<[_]>::to_vec));
                let found = found.ok_or_else(|| out_of_bounds(to, list.len()))?;
                Value::List(List::new(list.kind(), found))
            }
            _ => return Ok(None),
        },
        ("toJSONString", []) if list.kind() == ListKind::Json => {
            Value::text(Value::List(list.clone()).to_text()?)
        }
        _ => return Ok(None),
    }))
}

fn write(list: &List, name: &str, arguments: &[Value]) -> Result<Option<Value>, Failure> {
    // Arrays change by index alone, and what a map shows of itself not at all.
    let fixed = list.kind() != ListKind::Plain && list.kind() != ListKind::Json;
    if fixed && matches!(name, "add" | "addAll" | "remove" | "clear" | "removeAll" | "retainAll") {
        return Err(unsupported());
    }
    Ok(Some(match (name, arguments) {
        ("set", [index, value]) if list.kind() != ListKind::Set && int(index).is_some() => {
            set(list, index, value.clone())?
        }
        ("add", [value]) => {
            list.change(|items| items.push(value.clone()));
            Value::Bool(true)
        }
        ("add", [index, value]) => {
            let Some(index) = int(index) else { return Ok(None) };
            list.change(|items| {
                let place = place(index, items.len() + 1)?;
                items.insert(place, value.clone());
                Ok::<(), Failure>(())
            })?;
            Value::from("")
        }
        ("addAll", [Value::List(other)]) => {
            let mut more = other.items();
            let changed = !more.is_empty();
            list.change(|items| items.append(&mut more));
            Value::Bool(changed)
        }
        ("remove", [value]) => match int(value) {
            Some(index) => list.change(|items| {
                let place = place(index, items.len())?;
                Ok::<Value, Failure>(items.remove(place))
            })?,
            None => {
                let found = list.items().iter().position(|item| item.equals(value));
                let removed = found.map(|place| list.change(|items| items.remove(place)));
                Value::Bool(removed.is_some())
            }
        },
        ("removeAll" | "retainAll", [Value::List(other)]) => {
            let other = other.items();
            let keep = name == "retainAll";
            let before = list.len();
            let kept: Vec<Value> = list
                .items()
                .into_iter()
                .filter(|item| other.iter().any(|value| value.equals(item)) == keep)
                .collect();
            let changed = kept.len() != before;
            list.change(|items| *items = kept);
            Value::Bool(changed)
        }
        ("clear", []) => {
            let items = list.change(std::mem::take);
            drop(items);
            Value::from("")
        }
        _ => return Ok(None),
    }))
}

pub fn map(map: &Map, name: &str, arguments: &[Value]) -> Result<Option<Value>, Failure> {
    let own = Value::Map(map.clone());
    let get = |key: &Value| map.get(&Key::of(key));
    let put = |key: &Value, value: &Value| {
        refuse_cycle(&own, value)?;
        Ok::<Value, Failure>(map.insert(Key::of(key), value.clone()).unwrap_or_default())
    };
    Ok(Some(match (name, arguments) {
        ("get", [key]) => get(key).unwrap_or_default(),
        ("getOrDefault", [key, default]) => get(key).unwrap_or_else(|| default.clone()),
        ("size", []) => Value::integer(i64::try_from(map.len()).unwrap_or(i64::MAX)),
        ("isEmpty", []) => Value::Bool(map.is_empty()),
        ("containsKey", [key]) => Value::Bool(get(key).is_some()),
        ("containsValue", [value]) => Value::Bool(map.values().iter().any(|own| own.equals(value))),
        ("keySet", []) => view(map, map.keys().iter().map(Key::to_value).collect()),
        ("values", []) => view(map, map.values()),
        ("entrySet", []) => view(map, entries(map)),
        ("put", [key, value]) => put(key, value)?,
        ("putIfAbsent", [key, value]) => match get(key) {
            Some(old) if !old.is_null() => old,
            _ => put(key, value)?,
        },
        ("putAll", [Value::Map(other)]) => {
            for key in other.keys() {
                put(&key.to_value(), &other.get(&key).unwrap_or_default())?;
            }
            Value::from("")
        }
        ("replace", [key, value]) if get(key).is_some() => put(key, value)?,
        ("replace", [_, _]) => Value::Null,
        ("remove", [key]) => map.remove(&Key::of(key)).unwrap_or_default(),
        ("remove", [key, value]) => {
            let same = get(key).is_some_and(|own| own.equals(value));
            if same {
                map.remove(&Key::of(key));
            }
            Value::Bool(same)
        }
        ("replace", [key, old, new]) => {
            let same = get(key).is_some_and(|own| own.equals(old));
            if same {
                put(key, new)?;
            }
            Value::Bool(same)
        }
        ("clear", []) => {
            map.clear();
            Value::from("")
        }
        _ => return Ok(None),
    }))
}

pub fn entry(
    map: &Map,
    key: &Key,
    name: &str,
    arguments: &[Value],
) -> Result<Option<Value>, Failure> {
    Ok(Some(match (name, arguments) {
        ("getKey", []) => key.to_value(),
        ("getValue", []) => map.get(key).unwrap_or_default(),
        ("setValue", [value]) => {
            refuse_cycle(&Value::Map(map.clone()), value)?;
            map.insert(key.clone(), value.clone()).unwrap_or_default()
        }
        _ => return Ok(None),
    }))
}

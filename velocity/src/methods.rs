//! Java's methods and properties, as far as templates in the wild call them.

mod collection;
mod format;
mod number;
mod patterns;
mod text;

use std::rc::Rc;

use crate::{
    Host,
    number::Number,
    value::{Changed, Cursor, Key, List, Map, Scope, Value},
};
pub use patterns::Patterns;

/// What calls need beside their arguments.
pub struct Tools<'r> {
    /// What the host's objects can do.
    pub host: &'r dyn Host,
    /// The longest string that a method may make.
    pub string_bytes_max: usize,
    pub patterns: &'r Patterns,
}

/// Why a call ends the rendering.
#[derive(Debug)]
pub enum Failure {
    /// Java would have thrown an exception.
    Exception(String),
    /// A result would be too large.
    Limit(String),
}

impl Failure {
    fn exception(class: &str, message: impl std::fmt::Display) -> Self {
        Self::Exception(format!("{class}: {message}"))
    }
}

impl From<crate::value::TooDeep> for Failure {
    fn from(_: crate::value::TooDeep) -> Self {
        Self::Limit("a value is nested too deeply".to_owned())
    }
}

/// A value, or null where Java has no such method.
pub type Outcome = Result<Value, Failure>;

/// What a call costs, in steps: as much as it looks at.
pub fn cost(target: &Value, name: &str, arguments: &[Value]) -> usize {
    let size = |value: &Value| match value {
        Value::Text(text) => text.len() / 16,
        Value::Number(number) => number.size() / 16,
        Value::List(list) => list.len(),
        Value::Map(map) => map.len(),
        _ => 0,
    };
    // What takes the same time for any size.
    let cheap = matches!(target, Value::List(_) | Value::Map(_))
        && matches!(
            name,
            "get" | "set" | "put" | "size" | "isEmpty" | "containsKey" | "getOrDefault"
        )
        || (matches!(target, Value::List(_)) && name == "add" && arguments.len() == 1);
    let own = if cheap { 0 } else { size(target) };
    own + arguments.iter().map(size).sum::<usize>()
}

/// `$target.name`
pub fn property(target: &Value, name: &str, tools: &Tools<'_>) -> Outcome {
    if name == "class" || name == "Class" {
        return Ok(Value::Class(target.class()));
    }
    match target {
        // A map's keys come before anything that Java's map is or has.
        Value::Map(map) => Ok(map.member(name).unwrap_or_default()),
        Value::Scope(scope) => Ok(scope_property(scope, name)),
        Value::Object(object) => {
            let found = tools.host.property(object, name).map_err(Failure::Exception)?;
            if let Some(value) = found {
                return Ok(value);
            }
            getter(target, name, tools)
        }
        _ => getter(target, name, tools),
    }
}

/// `getName()` or `isName()` for the property `name`.
fn getter(target: &Value, name: &str, tools: &Tools<'_>) -> Outcome {
    let mut letters = name.chars();
    let Some(first) = letters.next() else { return Ok(Value::Null) };
    let capital: String = first.to_uppercase().chain(letters).collect();
    let got = call(target, &format!("get{capital}"), &[], tools)?;
    if !got.is_null() {
        return Ok(got);
    }
    match call(target, &format!("is{capital}"), &[], tools)? {
        value @ Value::Bool(_) => Ok(value),
        _ => Ok(Value::Null),
    }
}

fn scope_property(scope: &Rc<Scope>, name: &str) -> Value {
    let index = scope.index.get();
    match name {
        "index" => Value::Number(Number::Int(index)),
        "count" => Value::Number(Number::Int(index + 1)),
        "hasNext" => Value::Bool(scope.has_next.get()),
        "first" => Value::Bool(index < 1),
        "last" => Value::Bool(!scope.has_next.get()),
        "parent" => match &scope.replaced {
            parent @ Value::Scope(_) => parent.clone(),
            _ => Value::Null,
        },
        "topmost" => {
            let mut topmost = Rc::clone(scope);
            while let Value::Scope(parent) = &topmost.replaced {
                topmost = Rc::clone(parent);
            }
            Value::Scope(topmost)
        }
        "replaced" => match &scope.replaced {
            Value::Scope(parent) => scope_property(parent, "replaced"),
            replaced => replaced.clone(),
        },
        _ => Value::Null,
    }
}

/// `$target[index]`: what `get` gives, an index from the end on if negative.
pub fn index(target: &Value, index: &Value, tools: &Tools<'_>) -> Outcome {
    let index = from_end(target, index)?;
    call(target, "get", &[index], tools)
}

fn from_end(target: &Value, index: &Value) -> Result<Value, Failure> {
    let Value::Number(Number::Int(number)) = index else { return Ok(index.clone()) };
    if *number >= 0 {
        return Ok(index.clone());
    }
    let size = match target {
        Value::List(list) => list.len(),
        Value::Map(map) => map.len(),
        _ => {
            let message =
                format!("a negative index needs a size(), which {} lacks", target.class());
            return Err(Failure::Exception(message));
        }
    };
    Ok(Value::integer(i64::try_from(size).unwrap_or(i64::MAX) + i64::from(*number)))
}

/// `#set($target.name = value)`; what has no such property stays as it is.
pub fn set_property(target: &Value, name: &str, value: Value) {
    if let Value::Map(map) = target {
        map.insert(Key::Text(name.into()), value);
    }
}

/// `#set($target[index] = value)`
pub fn set_index(target: &Value, index: &Value, value: Value) -> Result<(), Failure> {
    let index = from_end(target, index)?;
    match target {
        Value::List(list) => {
            if let Value::Number(_) = index {
                collection::set(list, &index, value)?;
            }
        }
        Value::Map(map) => {
            map.insert(Key::of(&index), value);
        }
        _ => {}
    }
    Ok(())
}

/// `$target.name(arguments)`.
pub fn call(target: &Value, name: &str, arguments: &[Value], tools: &Tools<'_>) -> Outcome {
    if let Value::Object(object) = target {
        let found = tools.host.call(object, name, arguments).map_err(Failure::Exception)?;
        if let Some(value) = found {
            return Ok(value);
        }
    }
    // Static methods of the number's class take another number.
    if let (Value::Number(own), "hashCode", [Value::Number(one)]) = (target, name, arguments)
        && let Some(one) = number::widened(own, one)
    {
        return any(&Value::Number(one), "hashCode", &[]);
    }
    let own = match target {
        Value::Text(text) => text::call(text, name, arguments, tools)?,
        Value::Number(number) => number::call(number, name, arguments)?,
        Value::Bool(value) => number::boolean(*value, name, arguments),
        Value::List(list) => collection::list(list, name, arguments, tools.string_bytes_max)?,
        Value::Map(map) => collection::map(map, name, arguments)?,
        Value::Entry(map, key) => collection::entry(map, key, name, arguments)?,
        Value::Iterator(cursor) => iterator(cursor, name, arguments)?,
        Value::Class(class) => class_method(class, name),
        Value::Scope(scope) => match (name, arguments) {
            ("hasNext", []) => Some(Value::Bool(scope.has_next.get())),
            ("isFirst", []) => Some(scope_property(scope, "first")),
            ("isLast", []) => Some(scope_property(scope, "last")),
            (_, []) => name
                .strip_prefix("get")
                .and_then(|name| name.split_at_checked(1))
                .map(|(first, rest)| format!("{}{rest}", first.to_lowercase()))
                .map(|name| scope_property(scope, &name)),
            _ => None,
        },
        Value::Object(_) | Value::Null | Value::Definition(_) => None,
    };
    if let Some(value) = own {
        return Ok(value);
    }
    let value = any(target, name, arguments)?;
    // A method that takes nothing fits any call that no other one fits, and
    // then does not.
    if value.is_null() && !arguments.is_empty() && takes_nothing(target, name) {
        let class = "java.lang.IllegalArgumentException";
        return Err(Failure::exception(class, "wrong number of arguments"));
    }
    Ok(value)
}

/// Whether Java has a method of this name without parameters.
fn takes_nothing(target: &Value, name: &str) -> bool {
    let own: &[&str] = match target {
        Value::Text(_) => &[
            "length",
            "isEmpty",
            "isBlank",
            "trim",
            "strip",
            "stripLeading",
            "stripTrailing",
            "toUpperCase",
            "toLowerCase",
            "intern",
            "toCharArray",
            "getBytes",
        ],
        Value::Number(_) => &[
            "intValue",
            "longValue",
            "doubleValue",
            "floatValue",
            "shortValue",
            "byteValue",
            "isNaN",
            "isInfinite",
        ],
        Value::Bool(_) => &["booleanValue"],
        Value::List(_) => &["size", "isEmpty", "clear", "iterator", "listIterator", "toArray"],
        Value::Map(_) => &["size", "isEmpty", "clear", "keySet", "values", "entrySet"],
        Value::Entry(..) => &["getKey", "getValue"],
        Value::Iterator(_) => &["hasNext", "next"],
        _ => return false,
    };
    own.contains(&name) || matches!(name, "toString" | "hashCode" | "getClass")
}

/// What every object has.
fn any(target: &Value, name: &str, arguments: &[Value]) -> Outcome {
    Ok(match (name, arguments) {
        ("toString", []) => Value::text(target.to_text()?),
        ("equals", [other]) => Value::Bool(target.equals(other)),
        ("hashCode", []) => {
            // What cannot be printed is too deep to be gone through.
            target.to_text()?;
            Value::Number(Number::Int(hash(target)?))
        }
        ("compareTo", [_])
            if matches!(target, Value::Text(_) | Value::Number(_) | Value::Bool(_)) =>
        {
            let message = format!("{} cannot be compared with this", target.class());
            return Err(Failure::exception("java.lang.ClassCastException", message));
        }
        ("getClass", []) => Value::Class(target.class()),
        _ => Value::Null,
    })
}

fn iterator(cursor: &Cursor, name: &str, arguments: &[Value]) -> Result<Option<Value>, Failure> {
    Ok(match (name, arguments) {
        ("hasNext", []) => Some(Value::Bool(cursor.has_next())),
        ("next", []) => {
            let next = cursor.next().map_err(|Changed| {
                Failure::Exception("java.util.ConcurrentModificationException".to_owned())
            })?;
            let none = || Failure::exception("java.util.NoSuchElementException", "no next element");
            Some(next.ok_or_else(none)?)
        }
        _ => None,
    })
}

fn class_method(class: &str, name: &str) -> Option<Value> {
    match name {
        "getName" => Some(Value::from(class)),
        "getSimpleName" => Some(Value::from(class.rsplit('.').next().unwrap_or(class))),
        _ => None,
    }
}

/// `hashCode()` of what has one by its contents.
fn hash(value: &Value) -> Result<i32, Failure> {
    let text = |text: &str| {
        text.encode_utf16()
            .fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
    };
    let folded = |number: i64| (number ^ ((number as u64) >> 32) as i64) as i32;
    Ok(match value {
        Value::Null => 0,
        Value::Bool(value) => {
            if *value {
                1231
            } else {
                1237
            }
        }
        Value::Number(Number::Int(number)) => *number,
        Value::Number(Number::Long(number)) => folded(*number),
        Value::Number(Number::Double(number)) => folded(number.to_bits() as i64),
        Value::Text(own) => text(own),
        Value::List(list) if !list.is_array() => {
            list.items().iter().try_fold(1_i32, |sum, item| {
                Ok::<i32, Failure>(sum.wrapping_mul(31).wrapping_add(hash(item)?))
            })?
        }
        Value::Map(map) => entries(map)
            .iter()
            .try_fold(0_i32, |sum, entry| Ok::<i32, Failure>(sum.wrapping_add(hash(entry)?)))?,
        Value::Entry(map, key) => hash(&key.to_value())? ^ hash(&map.get(key).unwrap_or_default())?,
        other => text(&other.to_text()?),
    })
}

fn view(map: &Map, items: Vec<Value>) -> Value {
    Value::List(List::view(map, items))
}

/// An `int` argument: Velocity passes no other number to one.
fn int(value: &Value) -> Option<i32> {
    match value {
        Value::Number(Number::Int(number)) => Some(*number),
        _ => None,
    }
}

/// `Map.Entry` of each key.
fn entries(map: &Map) -> Vec<Value> {
    map.keys().into_iter().map(|key| Value::Entry(map.clone(), key)).collect()
}

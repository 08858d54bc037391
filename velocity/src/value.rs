//! What variables hold: Java's values, as far as templates see them.

mod containers;

use std::{
    cell::{Cell, RefCell},
    fmt::{self, Write as _},
    rc::{Rc, Weak},
};

use indexmap::IndexMap;

use crate::{Object, ast::Block, number::Number, render::Layer};
pub use containers::Changed;

/// How deep values may be nested to be printed or compared.
const DEPTH_MAX: usize = 100;

/// A value of a template. Lists and maps are shared, as Java's references are:
/// a copy of one sees what is done to the other.
#[derive(Clone, Default)]
pub enum Value {
    /// `null`.
    #[default]
    Null,
    /// `Boolean`.
    Bool(bool),
    /// `Integer`, `Long`, `Double` and the big ones.
    Number(Number),
    /// `String`.
    Text(Rc<str>),
    /// A list, an array or a set.
    List(List),
    /// `Map`, in the order of insertion.
    Map(Map),
    /// `Map.Entry`.
    Entry(Map, Key),
    /// `Iterator`, over a copy.
    Iterator(Rc<Cursor>),
    /// What `.class` gives.
    Class(&'static str),
    /// What the host provides: `$input`, `$util`.
    Object(Rc<Object>),
    /// `$foreach`.
    #[doc(hidden)]
    Scope(Rc<Scope>),
    /// What `#define` keeps.
    #[doc(hidden)]
    Definition(Rc<Definition>),
}

/// A key of a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// `null`.
    Null,
    /// `Boolean`.
    Bool(bool),
    /// `Integer`.
    Int(i32),
    /// `Long`.
    Long(i64),
    /// Any other number, as it prints.
    Number(Box<str>),
    /// `String`; also what a list or a map prints.
    Text(Rc<str>),
}

/// What a list is in Java, which decides how it prints and what it can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListKind {
    /// `ArrayList`: a list of a template.
    Plain,
    /// A JSON array: prints as JSON.
    Json,
    /// An array, as `split` makes it.
    Array,
    /// A map's keys, values or entries: without indices.
    Set,
}

/// A list.
#[derive(Clone)]
pub struct List(Rc<ListData>);

struct ListData {
    kind: ListKind,
    items: RefCell<Vec<Value>>,
    /// How often its length changed.
    changes: Cell<u32>,
    /// The map that it shows the keys, values or entries of.
    of: Option<Map>,
}

/// A map.
#[derive(Clone, Default)]
pub struct Map(Rc<MapData>);

#[derive(Default)]
struct MapData {
    entries: RefCell<IndexMap<Key, Value>>,
    /// How often a key came or went.
    changes: Cell<u32>,
    /// Whether a key is found in any case.
    folds: bool,
}

/// A place in a sequence. As in Java, going on after the sequence has changed
/// is an error.
pub struct Cursor {
    items: Vec<Value>,
    next: Cell<usize>,
    source: Source,
    changes: u32,
}

/// What a cursor goes through.
enum Source {
    List(List),
    Map(Map),
}

/// The state of a loop.
pub struct Scope {
    /// The turn, from 0; -1 before the first.
    pub index: Cell<i32>,
    pub has_next: Cell<bool>,
    /// What `$foreach` was before.
    pub replaced: Value,
    /// What `#break($foreach)` knows the loop by.
    pub body: Block,
}

/// The body of a `#define` or of a call with one.
pub struct Definition {
    pub body: Block,
    /// How many times it is being rendered at the moment.
    pub depth: Cell<usize>,
    /// How many times it may be rendered inside itself.
    pub depth_max: usize,
    /// The variables where it stands, for the time of the rendering.
    pub layer: Option<Weak<Layer>>,
}

/// A value is nested too deeply to be printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooDeep;

impl Value {
    /// A string.
    pub fn text(text: impl Into<Rc<str>>) -> Self {
        Self::Text(text.into())
    }

    /// An integer of the narrowest type.
    pub fn integer(number: i64) -> Self {
        Self::Number(match i32::try_from(number) {
            Ok(number) => Number::Int(number),
            Err(_) => Number::Long(number),
        })
    }

    /// A list of a template.
    pub fn list(items: Vec<Value>) -> Self {
        Self::List(List::new(ListKind::Plain, items))
    }

    /// `null`.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// `toString()`.
    ///
    /// # Errors
    /// [`TooDeep`].
    pub fn to_text(&self) -> Result<String, TooDeep> {
        let mut text = String::new();
        self.write(&mut text, 0)?;
        Ok(text)
    }

    /// Appends `toString()`; null is `null`.
    pub(crate) fn write(&self, out: &mut String, depth: usize) -> Result<(), TooDeep> {
        if depth > DEPTH_MAX {
            return Err(TooDeep);
        }
        match self {
            Self::Null | Self::Definition(_) => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            // Writing to a string never fails.
            Self::Number(number) => drop(write!(out, "{number}")),
            Self::Text(text) => out.push_str(text),
            Self::List(list) => list.write(out, depth)?,
            Self::Map(map) => {
                out.push('{');
                for (index, (key, value)) in map.0.entries.borrow().iter().enumerate() {
                    if index > 0 {
                        out.push_str(", ");
                    }
                    key.write(out);
                    out.push('=');
                    value.write(out, depth + 1)?;
                }
                out.push('}');
            }
            Self::Entry(map, key) => {
                key.write(out);
                out.push('=');
                map.get(key).unwrap_or_default().write(out, depth + 1)?;
            }
            Self::Iterator(_) => out.push_str("java.util.Iterator"),
            Self::Class(name) => {
                out.push_str("class ");
                out.push_str(name);
            }
            Self::Object(object) => out.push_str(&object.text),
            // The scope is a map in Java, and empty.
            Self::Scope(_) => out.push_str("{}"),
        }
        Ok(())
    }

    /// Appends the value as JSON.
    ///
    /// # Errors
    /// [`TooDeep`].
    pub fn write_json(&self, out: &mut String) -> Result<(), TooDeep> {
        self.json(out, 0)
    }

    fn json(&self, out: &mut String, depth: usize) -> Result<(), TooDeep> {
        if depth > DEPTH_MAX {
            return Err(TooDeep);
        }
        match self {
            Self::Null | Self::Bool(_) | Self::Number(_) => self.write(out, depth)?,
            Self::List(list) => {
                out.push('[');
                for (index, item) in list.0.items.borrow().iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.json(out, depth + 1)?;
                }
                out.push(']');
            }
            Self::Map(map) => {
                out.push('{');
                for (index, (key, value)) in map.0.entries.borrow().iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    key.write_json(out);
                    out.push(':');
                    value.json(out, depth + 1)?;
                }
                out.push('}');
            }
            Self::Text(text) => quote(text, out),
            other => quote(&other.to_text()?, out),
        }
        Ok(())
    }

    /// Java's `equals`: the same class and the same contents.
    pub(crate) fn equals(&self, other: &Self) -> bool {
        self.equals_within(other, 0)
    }

    fn equals_within(&self, other: &Self, depth: usize) -> bool {
        if depth > DEPTH_MAX {
            return false;
        }
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(left), Self::Bool(right)) => left == right,
            (Self::Number(left), Self::Number(right)) => left == right,
            (Self::Text(left), Self::Text(right)) => left == right,
            (Self::Class(left), Self::Class(right)) => left == right,
            (Self::List(left), Self::List(right)) => {
                if Rc::ptr_eq(&left.0, &right.0) {
                    return true;
                }
                if left.is_array() || right.is_array() {
                    return false;
                }
                let (left, right) = (left.0.items.borrow(), right.0.items.borrow());
                left.len() == right.len()
                    && left.iter().zip(right.iter()).all(|(l, r)| l.equals_within(r, depth + 1))
            }
            (Self::Map(left), Self::Map(right)) => {
                if Rc::ptr_eq(&left.0, &right.0) {
                    return true;
                }
                let (left, right) = (left.0.entries.borrow(), right.0.entries.borrow());
                left.len() == right.len()
                    && left.iter().all(|(key, l)| {
                        right.get(key).is_some_and(|r| l.equals_within(r, depth + 1))
                    })
            }
            (Self::Entry(left, l), Self::Entry(right, r)) => {
                let value = |map: &Map, key| map.get(key).unwrap_or_default();
                l == r && value(left, l).equals_within(&value(right, r), depth + 1)
            }
            (Self::Object(left), Self::Object(right)) => Rc::ptr_eq(&left.text, &right.text),
            (Self::Scope(left), Self::Scope(right)) => Rc::ptr_eq(left, right),
            _ => false,
        }
    }

    /// Whether both are of one class, or of one that extends the other.
    pub(crate) fn is_comparable(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::List(left), Self::List(right)) => {
                left.is_array() == right.is_array()
                    && (left.0.kind == ListKind::Set) == (right.0.kind == ListKind::Set)
            }
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }

    /// The name of Java's class.
    pub(crate) fn class(&self) -> &'static str {
        match self {
            Self::Null | Self::Definition(_) => "null",
            Self::Bool(_) => "java.lang.Boolean",
            Self::Number(number) => number.class(),
            Self::Text(_) => "java.lang.String",
            Self::List(list) => match list.0.kind {
                ListKind::Plain => "java.util.ArrayList",
                ListKind::Json => "net.minidev.json.JSONArray",
                ListKind::Array => "[Ljava.lang.String;",
                ListKind::Set => "java.util.Set",
            },
            Self::Map(_) => "java.util.LinkedHashMap",
            Self::Entry(..) => "java.util.Map.Entry",
            Self::Iterator(_) => "java.util.Iterator",
            Self::Class(_) => "java.lang.Class",
            Self::Object(object) => object.class,
            Self::Scope(_) => "org.apache.velocity.runtime.directive.ForeachScope",
        }
    }

    /// Whether `self` is `container` or holds it somewhere, and how many
    /// values it took to find out.
    pub(crate) fn reaches(&self, container: &Self) -> (bool, usize) {
        let same = |value: &Self| match (value, container) {
            (Self::List(left), Self::List(right)) => Rc::ptr_eq(&left.0, &right.0),
            (Self::Map(left) | Self::Entry(left, _), Self::Map(right) | Self::Entry(right, _)) => {
                Rc::ptr_eq(&left.0, &right.0)
            }
            _ => false,
        };
        let mut waiting = vec![self.clone()];
        let mut looked = 0;
        while let Some(value) = waiting.pop() {
            looked += 1;
            if same(&value) {
                return (true, looked);
            }
            match &value {
                Self::List(list) => {
                    waiting.extend(list.0.items.borrow().iter().cloned());
                    waiting.extend(list.0.of.iter().cloned().map(Self::Map));
                }
                Self::Map(map) | Self::Entry(map, _) => {
                    waiting.extend(map.0.entries.borrow().values().cloned());
                }
                Self::Iterator(cursor) => {
                    waiting.extend(cursor.items.iter().cloned());
                    waiting.push(match &cursor.source {
                        Source::List(list) => Self::List(list.clone()),
                        Source::Map(map) => Self::Map(map.clone()),
                    });
                }
                Self::Scope(scope) => waiting.push(scope.replaced.clone()),
                _ => {}
            }
            // The same values by several ways: enough is enough.
            if looked > REACH_MAX {
                return (true, looked);
            }
        }
        (false, looked)
    }
}

/// Values that are looked at before a container is taken to hold itself.
const REACH_MAX: usize = 100_000;

fn quote(text: &str, out: &mut String) {
    // A text is JSON, whatever it holds.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.to_text().unwrap_or_else(|TooDeep| "…".to_owned());
        write!(f, "{}({text})", self.class())
    }
}

impl From<serde_json::Value> for Value {
    fn from(json: serde_json::Value) -> Self {
        Self::from(&json)
    }
}

impl From<&serde_json::Value> for Value {
    /// Objects keep their order, arrays print as JSON, integers take the
    /// narrowest type.
    fn from(json: &serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(value) => Self::Bool(*value),
            serde_json::Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(number), _) => Self::integer(number),
                (None, Some(float)) if number.is_f64() => Self::Number(Number::Double(float)),
                _ => Self::Number(Number::integer(&number.to_string())),
            },
            serde_json::Value::String(text) => Self::from(text.as_str()),
            // Recursion is as deep as serde_json lets JSON be: 128 levels.
            serde_json::Value::Array(items) => {
                let items = items.iter().map(Self::from).collect();
                Self::List(List::new(ListKind::Json, items))
            }
            serde_json::Value::Object(members) => {
                let member = |(name, value): (&String, _)| {
                    (Key::Text(name.as_str().into()), Self::from(value))
                };
                Self::Map(members.iter().map(member).collect())
            }
        }
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(Rc::new(object))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

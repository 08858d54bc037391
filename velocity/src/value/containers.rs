//! What lists, maps and their iterators can do.

use std::{
    cell::{Cell, RefCell},
    fmt::Write as _,
    hash::{Hash, Hasher},
    rc::Rc,
};

use indexmap::Equivalent;

use super::{
    Cursor, Key, List, ListData, ListKind, Map, MapData, Scope, Source, TooDeep, Value, quote,
};
use crate::number::Number;

impl Key {
    /// The key that a value is.
    pub fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(Number::Int(number)) => Self::Int(*number),
            Value::Number(Number::Long(number)) => Self::Long(*number),
            Value::Number(number) => Self::Number(number.to_string().into()),
            Value::Text(text) => Self::Text(Rc::clone(text)),
            other => Self::Text(other.to_text().unwrap_or_default().into()),
        }
    }

    /// The value that it was made of.
    pub fn to_value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(number) => Value::Number(Number::Int(*number)),
            Self::Long(number) => Value::Number(Number::Long(*number)),
            Self::Number(text) => Value::Number(match text.contains(['.', 'N', 'y']) {
                true => Number::float(text),
                false => Number::integer(text),
            }),
            Self::Text(text) => Value::Text(Rc::clone(text)),
        }
    }

    /// Appends what its value prints.
    pub(super) fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            // Writing to a string never fails.
            Self::Int(number) => drop(write!(out, "{number}")),
            Self::Long(number) => drop(write!(out, "{number}")),
            Self::Number(_) => drop(self.to_value().write(out, 0)),
            Self::Text(text) => out.push_str(text),
        }
    }

    /// Appends the same as a JSON string.
    pub(super) fn write_json(&self, out: &mut String) {
        let Self::Text(text) = self else {
            out.push('"');
            self.write(out);
            return out.push('"');
        };
        quote(text, out);
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Text(text) => TextKey(text).hash(state),
            Self::Null => state.write_u8(0),
            Self::Bool(value) => value.hash(state),
            Self::Int(number) => number.hash(state),
            Self::Long(number) => number.hash(state),
            Self::Number(text) => text.hash(state),
        }
    }
}

/// A key that is text, for whoever only looks for it.
#[derive(Hash)]
struct TextKey<'k>(&'k str);

impl Equivalent<Key> for TextKey<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        matches!(key, Key::Text(text) if **text == *self.0)
    }
}

impl List {
    /// A list of a kind.
    pub fn new(kind: ListKind, items: Vec<Value>) -> Self {
        let (items, changes) = (RefCell::new(items), Cell::new(0));
        Self(Rc::new(ListData { kind, items, changes, of: None }))
    }

    /// What a map shows of itself.
    pub(crate) fn view(map: &Map, items: Vec<Value>) -> Self {
        let (items, changes) = (RefCell::new(items), Cell::new(0));
        let of = Some(map.clone());
        Self(Rc::new(ListData { kind: ListKind::Set, items, changes, of }))
    }

    /// What it is in Java.
    pub fn kind(&self) -> ListKind {
        self.0.kind
    }

    /// A copy of the items.
    pub fn items(&self) -> Vec<Value> {
        self.0.items.borrow().clone()
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.0.items.borrow().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The item at an index.
    pub fn get(&self, index: usize) -> Option<Value> {
        self.0.items.borrow().get(index).cloned()
    }

    pub(crate) fn is_array(&self) -> bool {
        self.0.kind == ListKind::Array
    }

    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Vec<Value>) -> T) -> T {
        let mut items = self.0.items.borrow_mut();
        let before = items.len();
        let result = change(&mut items);
        if items.len() != before {
            self.0.changes.set(self.0.changes.get().wrapping_add(1));
        }
        result
    }

    pub(super) fn write(&self, out: &mut String, depth: usize) -> Result<(), TooDeep> {
        match self.0.kind {
            ListKind::Json => return Value::List(self.clone()).json(out, depth),
            // Java prints an address; nobody can want that one.
            ListKind::Array => {
                out.push_str("[Ljava.lang.String;");
                return Ok(());
            }
            ListKind::Plain | ListKind::Set => {}
        }
        out.push('[');
        for (index, item) in self.0.items.borrow().iter().enumerate() {
            if index > 0 {
                out.push_str(", ");
            }
            item.write(out, depth + 1)?;
        }
        out.push(']');
        Ok(())
    }
}

impl Map {
    /// A map whose keys are found in any case, as names of headers are.
    pub fn folding() -> Self {
        let mut data = MapData::default();
        data.folds = true;
        Self(Rc::new(data))
    }

    /// The value of a key.
    pub fn get(&self, key: &Key) -> Option<Value> {
        match key {
            Key::Text(name) => self.member(name),
            other => self.0.entries.borrow().get(other).cloned(),
        }
    }

    /// The value of a key that is text.
    pub fn member(&self, name: &str) -> Option<Value> {
        let entries = self.0.entries.borrow();
        let found = entries.get(&TextKey(name));
        if found.is_some() || !self.0.folds {
            return found.cloned();
        }
        let same = |own: &Key| matches!(own, Key::Text(own) if own.eq_ignore_ascii_case(name));
        entries.iter().find(|(own, _)| same(own)).map(|(_, value)| value.clone())
    }

    /// Sets a key, and gives what it had.
    pub fn insert(&self, key: Key, value: Value) -> Option<Value> {
        let old = self.0.entries.borrow_mut().insert(key, value);
        if old.is_none() {
            self.changed();
        }
        old
    }

    fn changed(&self) {
        self.0.changes.set(self.0.changes.get().wrapping_add(1));
    }

    /// Removes a key, and gives what it had.
    pub fn remove(&self, key: &Key) -> Option<Value> {
        let old = self.0.entries.borrow_mut().shift_remove(key);
        if old.is_some() {
            self.changed();
        }
        old
    }

    /// The keys in the order of insertion.
    pub fn keys(&self) -> Vec<Key> {
        self.0.entries.borrow().keys().cloned().collect()
    }

    /// The values in the order of insertion.
    pub fn values(&self) -> Vec<Value> {
        self.0.entries.borrow().values().cloned().collect()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.0.entries.borrow().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes all entries.
    pub fn clear(&self) {
        let entries = std::mem::take(&mut *self.0.entries.borrow_mut());
        self.changed();
        drop(entries);
    }
}

impl FromIterator<(Key, Value)> for Map {
    fn from_iter<I: IntoIterator<Item = (Key, Value)>>(entries: I) -> Self {
        let data = MapData::default();
        data.entries.borrow_mut().extend(entries);
        Self(Rc::new(data))
    }
}

impl Cursor {
    /// Goes through a list.
    pub(crate) fn over(list: &List) -> Self {
        let (source, changes) = match &list.0.of {
            Some(map) => (Source::Map(map.clone()), map.0.changes.get()),
            None => (Source::List(list.clone()), list.0.changes.get()),
        };
        Self { items: list.items(), next: Cell::new(0), source, changes }
    }

    /// Goes through a map's values.
    pub(crate) fn over_values(map: &Map) -> Self {
        let (source, changes) = (Source::Map(map.clone()), map.0.changes.get());
        Self { items: map.values(), next: Cell::new(0), source, changes }
    }

    pub(crate) fn has_next(&self) -> bool {
        match &self.source {
            // A list's iterator compares with the length of the moment.
            Source::List(list) => self.next.get() != list.len(),
            Source::Map(_) => self.next.get() < self.items.len(),
        }
    }

    /// The next item; none after the last, and an error where the sequence is
    /// not the same any more.
    pub(crate) fn next(&self) -> Result<Option<Value>, Changed> {
        let changes = match &self.source {
            Source::List(list) => list.0.changes.get(),
            Source::Map(map) => map.0.changes.get(),
        };
        if changes != self.changes {
            return Err(Changed);
        }
        let item = self.items.get(self.next.get()).cloned();
        self.next.set(self.next.get() + 1);
        Ok(item)
    }
}

/// A sequence was changed while something went through it.
#[derive(Debug, Clone, Copy)]
pub struct Changed;

/// Takes nested values apart one after another: their depth has no bound, and
/// the stack has.
fn dismantle(mut waiting: Vec<Value>) {
    while let Some(mut value) = waiting.pop() {
        match &mut value {
            Value::List(list) => {
                if let Some(data) = Rc::get_mut(&mut list.0) {
                    waiting.append(data.items.get_mut());
                    waiting.extend(data.of.take().map(Value::Map));
                }
            }
            Value::Map(map) | Value::Entry(map, _) => {
                if let Some(data) = Rc::get_mut(&mut map.0) {
                    waiting.extend(std::mem::take(data.entries.get_mut()).into_values());
                }
            }
            Value::Iterator(cursor) => {
                if let Some(cursor) = Rc::get_mut(cursor) {
                    waiting.append(&mut cursor.items);
                    waiting.push(cursor.take_source());
                }
            }
            Value::Scope(scope) => {
                if let Some(scope) = Rc::get_mut(scope) {
                    waiting.push(std::mem::take(&mut scope.replaced));
                }
            }
            _ => {}
        }
    }
}

impl Cursor {
    fn take_source(&mut self) -> Value {
        match std::mem::replace(&mut self.source, Source::Map(Map::default())) {
            Source::List(list) => Value::List(list),
            Source::Map(map) => Value::Map(map),
        }
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        let mut waiting = std::mem::take(&mut self.items);
        waiting.push(self.take_source());
        dismantle(waiting);
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        if !self.replaced.is_null() {
            dismantle(vec![std::mem::take(&mut self.replaced)]);
        }
    }
}

impl Drop for ListData {
    fn drop(&mut self) {
        let mut waiting = std::mem::take(self.items.get_mut());
        waiting.extend(self.of.take().map(Value::Map));
        dismantle(waiting);
    }
}

impl Drop for MapData {
    fn drop(&mut self) {
        let entries = std::mem::take(self.entries.get_mut());
        if !entries.is_empty() {
            dismantle(entries.into_values().collect());
        }
    }
}

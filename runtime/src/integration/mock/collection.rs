//! A collection of JSON objects behind mocks: listed, created, read, replaced,
//! merged and deleted, in memory and within bounds.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::StatusCode;
use indexmap::IndexMap;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rand::{RngExt as _, rngs::StdRng};
use serde_json::{Map, Value};

use super::{query::Query, state::generator};
use crate::config::{
    COLLECTION_METHODS, CollectionConfig, CollectionMock, ID_BYTES_MAX, ITEM_METHODS, IdKind,
    id_text, template::Lookup,
};

/// What an id may not have in a path. RFC 3986, section 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A collection with what is in it at the moment.
#[derive(Debug)]
pub struct Collection {
    name: String,
    config: CollectionConfig,
    seed: Option<u64>,
    items: Mutex<Items>,
}

#[derive(Debug)]
struct Items {
    by_id: IndexMap<String, Arc<Value>>,
    bytes: usize,
    // Larger than every integer that has been an id: none comes twice.
    next: Option<i64>,
    generator: StdRng,
}

/// What a client gets.
#[derive(Debug, PartialEq)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: Vec<(&'static str, String)>,
    /// JSON, or nothing.
    pub body: Option<Vec<u8>>,
}

type Fields = Map<String, Value>;

impl Collection {
    pub fn new(name: &str, config: CollectionConfig, seed: Option<u64>) -> Self {
        let items = Mutex::new(Items::new(name, &config, seed));
        Self { name: name.to_owned(), config, seed, items }
    }

    /// Whether it is what this configuration asks for.
    pub fn is_of(&self, config: &CollectionConfig, seed: Option<u64>) -> bool {
        self.config == *config && self.seed == seed
    }

    /// Holds again what the configuration says.
    pub fn reset(&self) {
        *self.lock() = Items::new(&self.name, &self.config, self.seed);
    }

    // Whoever holds it only moves values: a panic leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, Items> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what the request's method asks.
    pub fn answer(&self, mock: &CollectionMock, request: &(dyn Lookup + Sync)) -> Reply {
        let value = |name: &String| request.path(name).unwrap_or_default().into_owned();
        let parents = mock.parents.iter().map(|name| (name.clone(), value(name)));
        let scope = Scope(parents.collect());
        let reply = match &mock.item {
            None => match request.method() {
                "GET" | "HEAD" => self.list(&scope, request),
                "POST" => self.create(&scope, request),
                _ => Err(not_allowed(COLLECTION_METHODS)),
            },
            Some(name) => {
                let id = value(name);
                match request.method() {
                    "GET" | "HEAD" => self.read(&scope, &id),
                    "PUT" => self.replace(&scope, id, request),
                    "PATCH" => self.merge(&scope, &id, request),
                    "DELETE" => self.delete(&scope, &id),
                    _ => Err(not_allowed(ITEM_METHODS)),
                }
            }
        };
        reply.unwrap_or_else(|refused| refused)
    }

    fn list(&self, scope: &Scope, request: &(dyn Lookup + Sync)) -> Result<Reply, Reply> {
        let query = Query::parse(request.query_pairs()).map_err(bad_request)?;
        // Only the pointers are copied while others wait.
        let mut items: Vec<Arc<Value>> = self.lock().by_id.values().cloned().collect();
        items.retain(|item| scope.has(item) && query.takes(item));
        let total = items.len();
        query.sort(&mut items);
        let page: Vec<&Value> = query.page(&items).iter().map(Arc::as_ref).collect();
        let body = serde_json::to_vec(&page).map_err(|error| bad_request(error.to_string()))?;
        let headers = vec![("x-total-count", total.to_string())];
        Ok(Reply { status: StatusCode::OK, headers, body: Some(body) })
    }

    fn create(&self, scope: &Scope, request: &(dyn Lookup + Sync)) -> Result<Reply, Reply> {
        let mut fields = object(request)?;
        scope.put_into(&mut fields)?;
        let mut items = self.lock();
        let id = match fields.get(&self.config.id) {
            Some(given) => id_text(given).ok_or_else(|| self.bad_id(given))?,
            None => {
                let id =
                    items.make_id(self.config.ids).ok_or_else(|| self.full("no id is left"))?;
                let text = id_text(&id).unwrap_or_default();
                // An item is easier to read with its id at the beginning.
                fields.shift_insert(0, self.config.id.clone(), id);
                text
            }
        };
        if items.by_id.contains_key(&id) {
            let message = format!("there is an item with the {} {id:?} already", self.config.id);
            return Err(refusal(StatusCode::CONFLICT, message));
        }
        let location = location(request.path_text(), &id);
        let item = self.insert(&mut items, id, fields)?;
        Ok(Reply { headers: vec![("location", location)], ..json(StatusCode::CREATED, &item) })
    }

    fn read(&self, scope: &Scope, id: &str) -> Result<Reply, Reply> {
        let item = self.lock().by_id.get(id).cloned();
        let item = item.filter(|item| scope.has(item)).ok_or_else(not_found)?;
        Ok(json(StatusCode::OK, &item))
    }

    fn replace(
        &self,
        scope: &Scope,
        id: String,
        request: &(dyn Lookup + Sync),
    ) -> Result<Reply, Reply> {
        let mut fields = object(request)?;
        scope.put_into(&mut fields)?;
        let mut items = self.lock();
        let before = items.by_id.get(&id).cloned();
        // What belongs to another parent is not there, but its id is taken.
        if before.as_ref().is_some_and(|before| !scope.has(before)) {
            return Err(not_found());
        }
        match fields.get(&self.config.id) {
            Some(given) => self.check_id(given, &id)?,
            None => {
                let known = before.as_ref().and_then(|before| before.get(&self.config.id).cloned());
                let value = known.unwrap_or_else(|| of_text(&id));
                if id_text(&value).is_none() {
                    return Err(self.bad_id(&value));
                }
                fields.shift_insert(0, self.config.id.clone(), value);
            }
        }
        let status = if before.is_some() { StatusCode::OK } else { StatusCode::CREATED };
        let item = self.insert(&mut items, id, fields)?;
        Ok(json(status, &item))
    }

    fn merge(
        &self,
        scope: &Scope,
        id: &str,
        request: &(dyn Lookup + Sync),
    ) -> Result<Reply, Reply> {
        let patch = Value::Object(object(request)?);
        let mut items = self.lock();
        let before = items.by_id.get(id).filter(|item| scope.has(item)).ok_or_else(not_found)?;
        let mut merged = Value::clone(before);
        merge(&mut merged, &patch);
        if !scope.has(&merged) {
            return Err(bad_request("an item cannot be moved elsewhere"));
        }
        let Value::Object(fields) = merged else {
            return Err(bad_request("the body has to be a JSON object"));
        };
        self.check_id(fields.get(&self.config.id).unwrap_or(&Value::Null), id)?;
        let item = self.insert(&mut items, id.to_owned(), fields)?;
        Ok(json(StatusCode::OK, &item))
    }

    fn delete(&self, scope: &Scope, id: &str) -> Result<Reply, Reply> {
        let mut items = self.lock();
        if !items.by_id.get(id).is_some_and(|item| scope.has(item)) {
            return Err(not_found());
        }
        if let Some(item) = items.by_id.shift_remove(id) {
            items.bytes -= size(&item);
        }
        Ok(Reply { status: StatusCode::NO_CONTENT, headers: Vec::new(), body: None })
    }

    /// Puts an item in, or in another's place, as far as there is room.
    fn insert(&self, items: &mut Items, id: String, fields: Fields) -> Result<Arc<Value>, Reply> {
        let item = Arc::new(Value::Object(fields));
        let before = items.by_id.get(&id).map(|before| size(before));
        if before.is_none() && items.by_id.len() >= self.config.items_max {
            return Err(self.full(&format!("items_max = {}", self.config.items_max)));
        }
        let bytes = items.bytes - before.unwrap_or(0) + size(&item);
        if bytes > self.config.bytes_max {
            return Err(self.full(&format!("bytes_max = {}", self.config.bytes_max)));
        }
        items.bytes = bytes;
        items.saw(&item[&self.config.id]);
        items.by_id.insert(id, Arc::clone(&item));
        Ok(item)
    }

    fn check_id(&self, given: &Value, id: &str) -> Result<(), Reply> {
        match id_text(given) {
            Some(text) if text == id => Ok(()),
            Some(_) => Err(bad_request(format!("{} cannot be changed", self.config.id))),
            None => Err(self.bad_id(given)),
        }
    }

    fn bad_id(&self, given: &Value) -> Reply {
        let kind = match given {
            Value::String(text) => format!("a string of {} bytes", text.len()),
            Value::Number(number) => number.to_string(),
            Value::Null => "null".to_owned(),
            Value::Bool(_) => "a boolean".to_owned(),
            Value::Array(_) | Value::Object(_) => "no single value".to_owned(),
        };
        bad_request(format!(
            "{} is {kind}, neither an integer nor a string of 1 to {ID_BYTES_MAX} bytes",
            self.config.id
        ))
    }

    fn full(&self, limit: &str) -> Reply {
        let message = format!("the collection {:?} is full: {limit}", self.name);
        tracing::warn!("{message}");
        refusal(StatusCode::INSUFFICIENT_STORAGE, message)
    }
}

impl Items {
    fn new(name: &str, config: &CollectionConfig, seed: Option<u64>) -> Self {
        let generator = generator(seed, &format!("[collection.{name}]"));
        let mut items = Self { by_id: IndexMap::new(), bytes: 0, next: Some(1), generator };
        for fields in config.items.iter() {
            fields.get(&config.id).into_iter().for_each(|id| items.saw(id));
        }
        for fields in config.items.iter() {
            let mut fields = fields.clone();
            if !fields.contains_key(&config.id)
                && let Some(id) = items.make_id(config.ids)
            {
                fields.shift_insert(0, config.id.clone(), id);
            }
            let Some(id) = fields.get(&config.id).and_then(id_text) else { continue };
            let item = Arc::new(Value::Object(fields));
            items.bytes += size(&item);
            items.by_id.insert(id, item);
        }
        items
    }

    fn saw(&mut self, id: &Value) {
        // Strings of digits count too: in a path they are the same.
        let number = id.as_i64().or_else(|| id.as_str()?.parse().ok());
        if let Some(number) = number.filter(|number| self.next.is_some_and(|next| *number >= next))
        {
            self.next = number.checked_add(1);
        }
    }

    fn make_id(&mut self, kind: IdKind) -> Option<Value> {
        match kind {
            IdKind::Integer => {
                let id = Value::from(self.next?);
                self.saw(&id);
                Some(id)
            }
            IdKind::Uuid => {
                let bytes = self.generator.random();
                Some(uuid::Builder::from_random_bytes(bytes).into_uuid().to_string().into())
            }
        }
    }
}

/// What the path says beside the id: fields, and the text that each has to be.
struct Scope(Vec<(String, String)>);

impl Scope {
    fn has(&self, item: &Value) -> bool {
        self.0.iter().all(|(name, wanted)| {
            item.get(name).is_some_and(|value| super::query::is(value, wanted))
        })
    }

    fn put_into(&self, fields: &mut Fields) -> Result<(), Reply> {
        for (name, wanted) in &self.0 {
            let value = fields.entry(name.clone()).or_insert_with(|| of_text(wanted));
            if !super::query::is(value, wanted) {
                return Err(bad_request(format!("{name} is not what the path says")));
            }
        }
        Ok(())
    }
}

/// Text of a path as JSON: a number where it is written as one.
fn of_text(text: &str) -> Value {
    match text.parse::<i64>() {
        Ok(number) if number.to_string() == text => number.into(),
        _ => text.into(),
    }
}

/// What an item takes.
fn size(item: &Value) -> usize {
    serde_json::to_vec(item).map_or(0, |bytes| bytes.len())
}

/// A JSON merge patch. RFC 7386, section 2; as deep as the parser lets bodies be.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(fields) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            fields.shift_remove(name);
        } else {
            merge(fields.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

fn object(request: &(dyn Lookup + Sync)) -> Result<Fields, Reply> {
    match request.body_json() {
        Some(Value::Object(fields)) => Ok(fields.clone()),
        Some(_) => Err(bad_request("the body has to be a JSON object")),
        None => Err(bad_request("the body is not JSON")),
    }
}

fn location(path: &str, id: &str) -> String {
    let path = path.trim_end_matches('/');
    format!("{path}/{}", utf8_percent_encode(id, RESERVED))
}

fn json(status: StatusCode, item: &Value) -> Reply {
    Reply { status, headers: Vec::new(), body: Some(item.to_string().into_bytes()) }
}

fn refusal(status: StatusCode, message: impl Into<String>) -> Reply {
    json(status, &serde_json::json!({ "message": message.into() }))
}

fn bad_request(message: impl Into<String>) -> Reply {
    refusal(StatusCode::BAD_REQUEST, message)
}

fn not_found() -> Reply {
    refusal(StatusCode::NOT_FOUND, "Not Found")
}

fn not_allowed(methods: &'static str) -> Reply {
    let headers = vec![("allow", methods.to_owned())];
    Reply { headers, ..refusal(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The table of RFC 7386, appendix A, as far as targets are objects.
    #[test]
    fn patches_are_merged_as_the_rfc_says() {
        for (mut target, patch, expected) in [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}})),
            (json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]})),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}})),
        ] {
            merge(&mut target, &patch);
            assert_eq!(target, expected, "{patch}");
        }
    }

    #[test]
    fn integer_ids_never_come_twice() {
        let config = CollectionConfig {
            id: "id".to_owned(),
            ids: IdKind::Integer,
            items: Arc::new(vec![Map::new(), Map::from_iter([("id".to_owned(), json!("7"))])]),
            items_max: 10,
            bytes_max: 1000,
        };
        let mut items = Items::new("x", &config, None);
        assert_eq!(items.by_id.keys().collect::<Vec<_>>(), ["8", "7"]);
        assert_eq!(items.make_id(IdKind::Integer), Some(json!(9)));
        items.saw(&json!(i64::MAX));
        assert_eq!(items.make_id(IdKind::Integer), None);
        items.saw(&json!(3));
        assert_eq!(items.make_id(IdKind::Integer), None);
    }
}

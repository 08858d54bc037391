//! `[collection.NAME]`: what mocks serve by name.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use serde_json::{Map, Value as Json};

use super::mock::plain;
use crate::config::{
    CollectionConfig, ID_BYTES_MAX, IdKind, id_text,
    keys::COLLECTION,
    read::{Entry, Table, Value},
};

/// Items that a collection may be told to hold, and by default.
const ITEMS_MAX: u64 = 100_000;
const ITEMS_DEFAULT: usize = 10_000;

/// Bytes that a collection may be told to hold, and by default.
const BYTES_MAX: u64 = 64 * 1024 * 1024;
const BYTES_DEFAULT: usize = 10 * 1024 * 1024;

pub fn collections(root: &Table<'_>) -> BTreeMap<String, CollectionConfig> {
    let mut collections = BTreeMap::new();
    for Entry { name, value } in root.entries("collection", "write [collection.NAME]") {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if !(1..=64).contains(&name.text.len()) || !name.text.chars().all(fits) {
            let message = format!("a collection cannot be named {:?}", name.text);
            root.source.problem(name.at, message, "use 1 to 64 letters, digits, '-' and '_'");
        }
        let Some(table) = value.table(&COLLECTION) else { continue };
        collections.insert(name.text.to_owned(), collection(&table));
    }
    collections
}

fn collection(table: &Table<'_>) -> CollectionConfig {
    let given = table.string("id").map_or("id", |id| id.text);
    if given.is_empty() {
        let message = format!("{}.id is empty", table.path);
        table.source.problem(table.key_at("id"), message, "write id = \"id\"");
    }
    let id = if given.is_empty() { "id" } else { given };
    let ids = table.choice("ids", &[("integer", IdKind::Integer), ("uuid", IdKind::Uuid)]);
    let items_max = table.integer("items_max", 1..=ITEMS_MAX, ITEMS_DEFAULT);
    let bytes_max = table.integer("bytes_max", 1..=BYTES_MAX, BYTES_DEFAULT);
    let (given, file) = (table.take("items"), table.take("file"));
    let items = match (&given, &file) {
        (Some(given), None) => items(given, id),
        (None, Some(file)) => items_of_file(file, id).unwrap_or_default(),
        (Some(_), Some(file)) => {
            file.problem("a collection has items or a file, not both", "keep one of them");
            Vec::new()
        }
        (None, None) => Vec::new(),
    };
    if let Some(given) = given.or(file) {
        check_size(&given, &items, items_max, bytes_max);
    }
    CollectionConfig {
        id: id.to_owned(),
        ids: ids.unwrap_or(IdKind::Integer),
        items: Arc::new(items),
        items_max,
        bytes_max,
    }
}

fn items(given: &Value<'_>, id: &str) -> Vec<Map<String, Json>> {
    let mut items = Vec::new();
    let mut seen = HashSet::new();
    for item in given.array().unwrap_or_default() {
        match plain(&item) {
            Some(Json::Object(fields)) => {
                if let Err(message) = check_id(&fields, id, &mut seen) {
                    item.problem(message, "leave the id out to have one made");
                }
                items.push(fields);
            }
            Some(_) => item.mistyped("a table", "write { id = 1, title = \"…\" }"),
            None => {}
        }
    }
    items
}

/// A file with a JSON array of objects.
fn items_of_file(file: &Value<'_>, id: &str) -> Option<Vec<Map<String, Json>>> {
    let name = file.string()?;
    let text = file.file(name)?;
    let hint = "it has to be a JSON array of objects";
    let list: Vec<Json> = match serde_json::from_str(&text) {
        Ok(list) => list,
        Err(error) => {
            file.problem(format!("{}: {error}", name.text), hint);
            return None;
        }
    };
    let mut seen = HashSet::new();
    let mut items = Vec::with_capacity(list.len());
    for (index, item) in list.into_iter().enumerate() {
        let place = format!("{}, item {}", name.text, index + 1);
        match item {
            Json::Object(fields) => {
                if let Err(message) = check_id(&fields, id, &mut seen) {
                    let hint = "leave the id out to have one made";
                    file.problem(format!("{place}: {message}"), hint);
                }
                items.push(fields);
            }
            _ => file.problem(format!("{place} is no object"), hint),
        }
    }
    Some(items)
}

fn check_id(
    fields: &Map<String, Json>,
    id: &str,
    seen: &mut HashSet<String>,
) -> Result<(), String> {
    let Some(value) = fields.get(id) else { return Ok(()) };
    let Some(text) = id_text(value) else {
        return Err(format!(
            "{id} is {value}, neither an integer nor a string of 1 to {ID_BYTES_MAX} bytes"
        ));
    };
    if seen.insert(text) { Ok(()) } else { Err(format!("two items have the {id} {value}")) }
}

fn check_size(given: &Value<'_>, items: &[Map<String, Json>], items_max: usize, bytes_max: usize) {
    let count = items.len();
    if count > items_max {
        let message = format!("{} are {count}, more than items_max = {items_max}", given.path);
        given.problem(message, "raise items_max, or leave some out");
    }
    let bytes: usize = items.iter().map(size).sum();
    if bytes > bytes_max {
        let message =
            format!("{} take {bytes} bytes, more than bytes_max = {bytes_max}", given.path);
        given.problem(message, "raise bytes_max, or leave some out");
    }
}

fn size(item: &Map<String, Json>) -> usize {
    serde_json::to_vec(item).map_or(0, |bytes| bytes.len())
}

//! `[table.NAME]`, held to DynamoDB's rules for names and keys.
//!
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html>

use std::collections::BTreeMap;

use crate::config::{
    IndexConfig, KeyAttribute, KeyKind, TableConfig,
    keys::{INDEX, TABLE},
    read::{Table, Text},
};

const INDEXES_MAX: usize = 20;
const KEY_NAME_BYTES_MAX: usize = 255;

pub fn tables(root: &Table<'_>) -> Vec<TableConfig> {
    let hint = "write [table.NAME] and below it partition_key = \"id:S\"";
    let mut tables = Vec::new();
    for entry in root.entries("table", hint) {
        check_name(root, entry.name);
        let Some(table) = entry.value.table(&TABLE) else { continue };
        let mut types = Types::default();
        let Some((partition_key, sort_key)) = keys(&table, &mut types) else { continue };
        let indexes = indexes(&table, &mut types);
        tables.push(TableConfig {
            name: entry.name.text.to_owned(),
            partition_key,
            sort_key,
            indexes,
        });
    }
    tables
}

/// An attribute has one type, in however many keys it stands.
type Types = BTreeMap<String, KeyKind>;

fn indexes(table: &Table<'_>, types: &mut Types) -> Vec<IndexConfig> {
    let Some(given) = table.take("indexes") else { return Vec::new() };
    let items = given.array().unwrap_or_default();
    if items.len() > INDEXES_MAX {
        let message = format!("{} has {} entries", given.path, items.len());
        given.problem(message, format!("a table has at most {INDEXES_MAX} indexes"));
    }
    let mut indexes: Vec<IndexConfig> = Vec::new();
    for item in items {
        let Some(index) = item.table(&INDEX) else { continue };
        let keys = keys(&index, types);
        let Some(name) = index.string("name") else {
            if index.take("name").is_none() {
                item.problem("the index has no name", "write name = \"by-date\"");
            }
            continue;
        };
        check_name(table, name);
        if indexes.iter().any(|other| other.name == name.text) {
            let message = format!("the index {:?} is there twice", name.text);
            table.source.problem(name.at, message, "give each its own name");
        }
        let Some((partition_key, sort_key)) = keys else { continue };
        indexes.push(IndexConfig { name: name.text.to_owned(), partition_key, sort_key });
    }
    indexes
}

fn check_name(table: &Table<'_>, name: Text<'_>) {
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !(3..=255).contains(&name.text.len()) || !name.text.chars().all(valid) {
        table.source.problem(
            name.at,
            format!("a table or an index cannot be named {:?}", name.text),
            "DynamoDB takes 3 to 255 letters, digits, '-', '_' and '.'",
        );
    }
}

fn keys(table: &Table<'_>, types: &mut Types) -> Option<(KeyAttribute, Option<KeyAttribute>)> {
    let sort_key = key(table, "sort_key", types);
    if table.take("partition_key").is_none() {
        let message = format!("{} has no partition_key", table.path);
        table.source.problem(table.at, message, "write partition_key = \"id:S\"");
    }
    let partition_key = key(table, "partition_key", types)?;
    if sort_key.as_ref().is_some_and(|sort_key| sort_key.name == partition_key.name) {
        let message = format!("both keys are {:?}", partition_key.name);
        table.source.problem(table.key_at("sort_key"), message, "use two attributes");
    }
    Some((partition_key, sort_key))
}

fn key(table: &Table<'_>, key: &'static str, types: &mut Types) -> Option<KeyAttribute> {
    let given = table.string(key)?;
    let hint = "write an attribute's name and its type, S, N or B: \"id:S\"";
    let parsed = given.text.rsplit_once(':').and_then(|(name, kind)| {
        let kind = match kind {
            "S" => KeyKind::String,
            "N" => KeyKind::Number,
            "B" => KeyKind::Binary,
            _ => return None,
        };
        let valid = (1..=KEY_NAME_BYTES_MAX).contains(&name.len());
        valid.then(|| KeyAttribute { name: name.to_owned(), kind })
    });
    let Some(attribute) = parsed else {
        let message = format!("{}.{key} cannot be {:?}", table.path, given.text);
        table.source.problem(given.at, message, hint);
        return None;
    };
    if *types.entry(attribute.name.clone()).or_insert(attribute.kind) != attribute.kind {
        let message = format!("the attribute {:?} has another type elsewhere", attribute.name);
        table.source.problem(given.at, message, "an attribute has one type in all keys");
    }
    Some(attribute)
}

//! DynamoDB tables, embedded.

use std::{fs, path::Path, time::Duration};

use dynoxide::{Database, DynoxideError, actions};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{OpenError, ServiceError, denied};
use crate::config::{IndexConfig, KeyAttribute, KeyKind, TableConfig};

/// How long one call may wait for the database, whatever the caller's own
/// time is.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

pub struct Tables {
    database: Database,
}

impl Tables {
    /// Opens `data/tables.sqlite`.
    pub fn open(data: &Path) -> Result<Self, OpenError> {
        let path = data.join("tables.sqlite");
        let failed = |reason: String| OpenError::Data { path: path.display().to_string(), reason };
        fs::create_dir_all(data).map_err(|error| failed(error.to_string()))?;
        let text = path.to_str().ok_or_else(|| failed("its name is not UTF-8".to_owned()))?;
        let database = Database::new(text).map_err(|error| failed(error.to_string()))?;
        Ok(Self { database })
    }

    /// Creates a declared table unless it exists with the same key.
    pub fn ensure(&self, table: &TableConfig) -> Result<(), OpenError> {
        let failed = |reason: String| OpenError::Table { table: table.name.clone(), reason };
        let wanted = key_schema(&table.partition_key, table.sort_key.as_ref());
        let described =
            execute(&self.database, "DescribeTable", json!({ "TableName": table.name }));
        match described {
            Ok(text) => {
                let existing: Value =
                    serde_json::from_str(&text).map_err(|error| failed(error.to_string()))?;
                let existing = &existing["Table"];
                let attributes = &existing["AttributeDefinitions"];
                let same = existing["KeySchema"] == wanted
                    && definitions(table).iter().all(|definition| {
                        attributes.as_array().is_some_and(|list| list.contains(definition))
                    });
                if same {
                    return Ok(());
                }
                Err(failed(format!(
                    "it exists with the key {} and the attributes {attributes} (hint: declare that key, or choose another name or data folder)",
                    existing["KeySchema"]
                )))
            }
            Err(error) if error.code.ends_with("ResourceNotFoundException") => {
                execute(&self.database, "CreateTable", create_request(table))
                    .map_err(|error| failed(error.message))?;
                tracing::info!(table = table.name, "table created");
                Ok(())
            }
            Err(error) => Err(failed(error.message)),
        }
    }

    /// Runs an action on a thread that may block.
    pub async fn call(&self, action: &str, input: Value) -> Result<String, ServiceError> {
        let database = self.database.clone();
        let action = action.to_owned();
        let run = tokio::task::spawn_blocking(move || execute(&database, &action, input));
        match tokio::time::timeout(CALL_TIMEOUT, run).await {
            Ok(Ok(result)) => result,
            Ok(Err(panicked)) => {
                tracing::error!(error = %panicked, "a table call failed");
                Err(ServiceError::new("InternalServerError", "the table call failed"))
            }
            Err(_) => Err(ServiceError::new("InternalServerError", "the tables are too busy")),
        }
    }
}

/// Every table that a request names, wherever the action puts the name.
///
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Operations.html>
pub fn authorize(action: &str, input: &Value, granted: &[String]) -> Result<(), ServiceError> {
    let named: Vec<&str> = match action {
        "BatchGetItem" | "BatchWriteItem" => input["RequestItems"]
            .as_object()
            .map(|tables| tables.keys().map(String::as_str).collect())
            .unwrap_or_default(),
        "TransactWriteItems" | "TransactGetItems" => input["TransactItems"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_object)
            .flat_map(|item| item.values())
            .filter_map(|operation| operation["TableName"].as_str())
            .collect(),
        "PutItem" | "GetItem" | "DeleteItem" | "UpdateItem" | "Query" | "Scan"
        | "DescribeTable" | "DescribeTimeToLive" => {
            input["TableName"].as_str().into_iter().collect()
        }
        // Statements name their tables inside the text, and tables are made by
        // gateway.toml: neither can be granted by a table's name.
        _ => return Err(denied("dynamodb", action, "nothing: functions may not call it")),
    };
    match named.iter().find(|name| !granted.iter().any(|table| table == *name)) {
        None => Ok(()),
        Some(name) => Err(denied("dynamodb", action, &format!("tables = [{name:?}]"))),
    }
}

/// Dispatches by the action's name.
fn execute(database: &Database, action: &str, input: Value) -> Result<String, ServiceError> {
    match action {
        "BatchGetItem" => run(input, |request| database.batch_get_item(request)),
        "BatchWriteItem" => run(input, |request| database.batch_write_item(request)),
        "CreateTable" => run(input, |request| database.create_table(request)),
        "DeleteItem" => run(input, |request| database.delete_item(request)),
        "DescribeTable" => run(input, |request| database.describe_table(request)),
        "DescribeTimeToLive" => run(input, |request| database.describe_time_to_live(request)),
        "GetItem" => run(input, |request| database.get_item(request)),
        "PutItem" => run(input, |request| database.put_item(request)),
        "Query" => run(input, |request| database.query(request)),
        "Scan" => run(input, |request| database.scan(request)),
        "TransactGetItems" => {
            run(input, |request: actions::transact_get_items::TransactGetItemsRequest| {
                database.transact_get_items(request)
            })
        }
        "TransactWriteItems" => run(input, |request| database.transact_write_items(request)),
        "UpdateItem" => run(input, |request| database.update_item(request)),
        _ => Err(ServiceError::new("UnknownOperationException", "")),
    }
}

fn run<I: DeserializeOwned, O: Serialize>(
    input: Value,
    action: impl FnOnce(I) -> Result<O, DynoxideError>,
) -> Result<String, ServiceError> {
    let input = serde_json::from_value(input)
        .map_err(|error| ServiceError::new("SerializationException", error.to_string()))?;
    let output = action(input).map_err(service_error)?;
    let mut output = serde_json::to_value(&output)
        .map_err(|error| ServiceError::new("InternalServerError", error.to_string()))?;
    // Attributes come in an order that changes from call to call.
    output.sort_all_objects();
    Ok(output.to_string())
}

fn service_error(error: DynoxideError) -> ServiceError {
    let code = error.error_type();
    ServiceError {
        // `com.amazonaws.dynamodb.v20120810#Name`: SDKs compare the name alone.
        code: code.rsplit('#').next().unwrap_or(code).to_owned(),
        message: error.to_string(),
        body: Some(error.to_json()),
    }
}

fn create_request(table: &TableConfig) -> Value {
    let mut request = json!({
        "TableName": table.name,
        "AttributeDefinitions": definitions(table),
        "KeySchema": key_schema(&table.partition_key, table.sort_key.as_ref()),
        "BillingMode": "PAY_PER_REQUEST",
    });
    if !table.indexes.is_empty() {
        request["GlobalSecondaryIndexes"] = table.indexes.iter().map(index).collect();
    }
    request
}

fn index(index: &IndexConfig) -> Value {
    json!({
        "IndexName": index.name,
        "KeySchema": key_schema(&index.partition_key, index.sort_key.as_ref()),
        "Projection": { "ProjectionType": "ALL" },
    })
}

fn key_schema(partition: &KeyAttribute, sort: Option<&KeyAttribute>) -> Value {
    let mut schema = vec![json!({ "AttributeName": partition.name, "KeyType": "HASH" })];
    if let Some(sort) = sort {
        schema.push(json!({ "AttributeName": sort.name, "KeyType": "RANGE" }));
    }
    schema.into()
}

/// Each key attribute of table and indexes once.
fn definitions(table: &TableConfig) -> Vec<Value> {
    let keys = [&table.partition_key].into_iter().chain(&table.sort_key).chain(
        table
            .indexes
            .iter()
            .flat_map(|index| [&index.partition_key].into_iter().chain(&index.sort_key)),
    );
    let mut definitions: Vec<Value> = Vec::new();
    for key in keys {
        let kind = match key.kind {
            KeyKind::String => "S",
            KeyKind::Number => "N",
            KeyKind::Binary => "B",
        };
        let definition = json!({ "AttributeName": key.name, "AttributeType": kind });
        if !definitions.contains(&definition) {
            definitions.push(definition);
        }
    }
    definitions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_is_not_granted_is_refused_wherever_it_is_named() {
        let granted = ["A".to_owned()];
        let refused = |action: &str, input: Value| {
            let error = authorize(action, &input, &granted).expect_err("not granted");
            assert_eq!(error.code, "AccessDeniedException", "{action}");
            assert!(error.message.contains(&format!("dynamodb:{action}")), "{}", error.message);
        };
        refused("PutItem", json!({ "TableName": "B" }));
        refused("BatchGetItem", json!({ "RequestItems": { "A": {}, "B": {} } }));
        refused(
            "TransactWriteItems",
            json!({ "TransactItems": [
            { "Put": { "TableName": "A" } }, { "Delete": { "TableName": "B" } },
        ] }),
        );
        refused("ExecuteStatement", json!({ "Statement": "SELECT * FROM A" }));
        refused("DeleteTable", json!({ "TableName": "A" }));
        authorize("Query", &json!({ "TableName": "A" }), &granted).expect("granted");
    }

    #[test]
    fn a_declared_table_is_created_once_and_checked_afterwards() {
        let folder = tempfile::tempdir().expect("a folder");
        let tables = Tables::open(folder.path()).expect("opens");
        let key = |name: &str, kind| KeyAttribute { name: name.to_owned(), kind };
        let mut table = TableConfig {
            name: "board".to_owned(),
            partition_key: key("partKey", KeyKind::String),
            sort_key: Some(key("createdAt", KeyKind::Number)),
            indexes: Vec::new(),
        };
        tables.ensure(&table).expect("created");
        tables.ensure(&table).expect("exists");
        table.sort_key = None;
        let error = tables.ensure(&table).expect_err("another key").to_string();
        assert!(error.contains("\"board\"") && error.contains("createdAt"), "{error}");
    }
}

//! The inputs of DynamoDB's actions, and the placeholders in their expressions.

use std::fmt::Write;

use serde::{Serialize, Serializer};
use serde_dynamo::AttributeValue;

use super::Condition;
use crate::ServiceError;

/// A value for an expression. That it cannot be written is told when the call
/// is made, so that builders chain without `?`.
#[derive(Debug, Clone)]
pub struct Operand(Result<AttributeValue, serde_dynamo::Error>);

impl Operand {
    pub fn new<V: Serialize + ?Sized>(value: &V) -> Self {
        Self(serde_dynamo::to_attribute_value(value))
    }

    pub fn into_value(self) -> Result<AttributeValue, ServiceError> {
        self.0.map_err(|error| ServiceError::unreadable(&error))
    }
}

impl From<AttributeValue> for Operand {
    fn from(value: AttributeValue) -> Self {
        Self(Ok(value))
    }
}

/// The input of every action used here; each leaves out what it does not need.
#[derive(Serialize, Default)]
#[serde(rename_all = "PascalCase")]
pub struct Input<'a> {
    pub table_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<serde_dynamo::Item>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<serde_dynamo::Item>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_condition_expression: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter_expression: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition_expression: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update_expression: Option<String>,
    #[serde(flatten)]
    pub placeholders: Placeholders,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scan_index_forward: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consistent_read: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclusive_start_key: Option<serde_dynamo::Item>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub return_values: Option<&'static str>,
}

impl Input<'_> {
    /// Adds a write's condition.
    pub fn condition(&mut self, condition: Option<Condition>) -> Result<(), ServiceError> {
        self.condition_expression =
            condition.map(|condition| condition.render(&mut self.placeholders)).transpose()?;
        Ok(())
    }
}

/// Stand-ins for names and values: `#n0` and `:v0`. With them no name is a
/// reserved word and no value can be read as a part of the expression.
#[derive(Serialize, Default)]
pub struct Placeholders {
    #[serde(
        rename = "ExpressionAttributeNames",
        skip_serializing_if = "Vec::is_empty",
        serialize_with = "names"
    )]
    names: Vec<String>,
    #[serde(
        rename = "ExpressionAttributeValues",
        skip_serializing_if = "Vec::is_empty",
        serialize_with = "values"
    )]
    values: Vec<AttributeValue>,
}

impl Placeholders {
    /// The expression for a document path: `#n0.#n1[2]` for `a.b[2]`.
    pub fn path(&mut self, path: &str) -> String {
        let mut text = String::new();
        for part in path.split('.') {
            let (name, index) = part.find('[').map_or((part, ""), |at| part.split_at(at));
            let place = self.names.iter().position(|known| known == name).unwrap_or_else(|| {
                self.names.push(name.into());
                self.names.len() - 1
            });
            let dot = if text.is_empty() { "" } else { "." };
            // Writing to a String cannot fail.
            let _ = write!(text, "{dot}#n{place}{index}");
        }
        text
    }

    pub fn value(&mut self, operand: Operand) -> Result<String, ServiceError> {
        self.values.push(operand.into_value()?);
        Ok(format!(":v{}", self.values.len() - 1))
    }
}

fn names<S: Serializer>(names: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(names.iter().enumerate().map(|(at, name)| (format!("#n{at}"), name)))
}

fn values<S: Serializer>(values: &[AttributeValue], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(values.iter().enumerate().map(|(at, value)| (format!(":v{at}"), value)))
}

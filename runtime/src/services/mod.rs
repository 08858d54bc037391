//! Services behind one call: `call(service, action, JSON) -> JSON | error`.
//!
//! Each answers in the words of the AWS API it stands for. Whoever calls
//! brings [`Grants`]; what they do not name is refused before a service sees
//! it.

mod mail;
mod tables;

use std::path::Path;

use serde_json::{Value, json};

use crate::config::{FunctionConfig, ServiceName, TableConfig};
use mail::Outbox;
use tables::Tables;

/// All services of a gateway.
pub struct Services {
    tables: Tables,
    mail: Outbox,
}

/// What a caller may use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    tables: Vec<String>,
    services: Vec<ServiceName>,
}

impl Grants {
    /// What the configuration grants to a function.
    pub fn of(config: &FunctionConfig) -> Self {
        Self { tables: config.tables.clone(), services: config.services.clone() }
    }
}

/// An error in the form of AWS's JSON protocol.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ServiceError {
    /// The exception's name, for example `ResourceNotFoundException`.
    pub code: String,
    /// What went wrong.
    pub message: String,
    /// The whole body, where it holds more than the two.
    pub body: Option<String>,
}

impl ServiceError {
    fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), body: None }
    }

    /// The error's JSON body.
    pub fn body(&self) -> String {
        self.body
            .clone()
            .unwrap_or_else(|| json!({ "__type": self.code, "message": self.message }).to_string())
    }
}

/// Why the services could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file or folder below `data` cannot be used.
    #[error("{path} cannot be used: {reason}")]
    Data {
        /// The file or folder.
        path: String,
        /// Why.
        reason: String,
    },
    /// A declared table cannot be created.
    #[error("the table {table:?} cannot be set up: {reason}")]
    Table {
        /// Its name.
        table: String,
        /// Why.
        reason: String,
    },
}

impl Services {
    /// Opens what `data` holds, or begins it.
    ///
    /// # Errors
    /// [`OpenError`] where `data` cannot be written or holds something else.
    pub fn open(data: &Path) -> Result<Self, OpenError> {
        Ok(Self { tables: Tables::open(data)?, mail: Outbox::new(data) })
    }

    /// Creates the declared tables that do not exist yet.
    ///
    /// # Errors
    /// [`OpenError::Table`] where one exists with another key.
    pub fn create_tables(&self, declared: &[TableConfig]) -> Result<(), OpenError> {
        declared.iter().try_for_each(|table| self.tables.ensure(table))
    }

    /// Calls an action of a service. `service` is `dynamodb` or `ses`; input
    /// and output are the JSON of the service's own API.
    ///
    /// # Errors
    /// The service's error, or `AccessDeniedException` for what is not granted.
    pub async fn call(
        &self,
        grants: &Grants,
        service: &str,
        action: &str,
        input: String,
    ) -> Result<String, ServiceError> {
        let input: Value = serde_json::from_str(&input).map_err(|error| {
            ServiceError::new("SerializationException", format!("the input is not JSON: {error}"))
        })?;
        match service {
            "dynamodb" => {
                tables::authorize(action, &input, &grants.tables)?;
                self.tables.call(action, input).await
            }
            "ses" => {
                if !grants.services.contains(&ServiceName::Ses) {
                    return Err(denied("ses", action, "services = [\"ses\"]"));
                }
                self.mail.call(action, &input).await
            }
            _ => Err(ServiceError::new(
                "UnknownServiceException",
                format!("there is no service {service:?}; there are \"dynamodb\" and \"ses\""),
            )),
        }
    }
}

fn denied(service: &str, action: &str, remedy: &str) -> ServiceError {
    ServiceError::new(
        "AccessDeniedException",
        format!(
            "the function is not authorized to perform {service}:{action}; grant it in gateway.toml with {remedy}"
        ),
    )
}

//! Calls to the services that `gateway.toml` grants to the function.
//!
//! For DynamoDB, [`Table`](crate::Table) is the comfortable way.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Calls an action of a service; input and output are the JSON bodies of the
/// service's own API.
///
/// ```
/// use mayfly_guest::testing::World;
/// use mayfly_guest::{Value, json, services};
///
/// let world = World::new().table("Users", "id:S");
/// let answer: Value = world.run(|| {
///     services::call("dynamodb", "DescribeTable", &json!({ "TableName": "Users" }))
/// })?;
/// assert_eq!(answer["Table"]["TableName"], "Users");
/// # Ok::<(), mayfly_guest::Error>(())
/// ```
pub fn call<I, O>(service: &str, action: &str, input: &I) -> Result<O, ServiceError>
where
    I: Serialize + ?Sized,
    O: DeserializeOwned,
{
    let input = serde_json::to_string(input).map_err(|error| ServiceError::unreadable(&error))?;
    let output = crate::platform::call(service, action, &input)?;
    serde_json::from_str(&output).map_err(|error| ServiceError::unreadable(&error))
}

/// Why a call failed, as the service's own API says it.
///
/// ```
/// use mayfly_guest::{Table, Value, testing::World};
///
/// let missing = Table::new("no-such-table").get::<Value>(("id", "1"));
/// let error = World::new().run(|| Table::new("nope").get::<Value>(("id", "1"))).unwrap_err();
/// assert!(error.is("ResourceNotFoundException"));
/// # drop(missing);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceError {
    /// The service's exception, for example `ResourceNotFoundException`.
    pub code: String,
    /// The service's message.
    pub message: String,
    /// The error's whole JSON body, with any further fields (such as
    /// `CancellationReasons`); empty for an error made on this side.
    pub detail: String,
}

impl ServiceError {
    /// An error as a service would answer it, for a test's own service.
    ///
    /// ```
    /// use mayfly_guest::ServiceError;
    ///
    /// let error = ServiceError::new("MessageRejected", "Email address is not verified.");
    /// assert_eq!(error.to_string(), "MessageRejected: Email address is not verified.");
    /// ```
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), detail: String::new() }
    }

    /// Whether this is the named exception.
    ///
    /// ```
    /// # use mayfly_guest::ServiceError;
    /// assert!(ServiceError::new("Throttling", "").is("Throttling"));
    /// ```
    pub fn is(&self, code: &str) -> bool {
        self.code == code
    }

    /// Whether a write's condition did not hold.
    ///
    /// ```
    /// use mayfly_guest::{Table, json, table::Condition, testing::World};
    ///
    /// let world = World::new().table("Users", "id:S");
    /// let error = world.run(|| {
    ///     Table::new("Users").put_if(&json!({ "id": "1" }), Condition::exists("id"))
    /// });
    /// assert!(error.unwrap_err().is_condition_failed());
    /// ```
    pub fn is_condition_failed(&self) -> bool {
        self.is("ConditionalCheckFailedException")
    }

    /// What could not be written as JSON or read from it, under the name that
    /// DynamoDB has for it.
    pub(crate) fn unreadable(error: &dyn std::error::Error) -> Self {
        Self::new("SerializationException", error.to_string())
    }
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for ServiceError {}

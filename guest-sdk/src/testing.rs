//! A world for a handler's unit tests: tables in memory, a mail outbox, and
//! services that the test makes up.
//!
//! The tables are those of the gateway, an embedded DynamoDB, so conditions,
//! expressions and errors are the same.
//!
//! ```
//! use mayfly_guest::{Context, Error, Request, Response, Table, Value, handler, json, testing::World};
//!
//! #[handler]
//! fn users(request: Request, _context: Context) -> Result<Response, Error> {
//!     let id = request.path_param("id").unwrap_or_default();
//!     match Table::new("Users").get::<Value>(("id", id))? {
//!         Some(user) => Response::json(200, &user),
//!         None => Response::json(404, &json!({ "error": "User not found" })),
//!     }
//! }
//!
//! let world = World::new().table("Users", "id:S").item("Users", &json!({ "id": "7" }));
//! let request = Request::get("/users/7").with_path_param("id", "7");
//! let response = world.run(|| users(request, Context::default()))?;
//! assert_eq!(response.body_text(), r#"{"id":"7"}"#);
//! # Ok::<(), Error>(())
//! ```

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

use dynoxide::{Database, DynoxideError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::log::Level;
use crate::{ServiceError, Value, host, json};

/// What a handler sees of the outside during a test; each world has its own
/// tables.
///
/// ```
/// use mayfly_guest::testing::World;
///
/// let sum = World::new().run(|| 1 + 1);
/// assert_eq!(sum, 2);
/// ```
pub struct World(Rc<Backend>);

type Service = Box<dyn Fn(&str, Value) -> Result<Value, ServiceError>>;

struct Backend {
    database: Database,
    services: RefCell<HashMap<String, Rc<Service>>>,
    outbox: RefCell<Vec<Value>>,
    logs: RefCell<Vec<(Level, String)>>,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("World")
    }
}

impl World {
    /// A world without tables.
    ///
    /// ```
    /// use mayfly_guest::{Table, Value, testing::World};
    ///
    /// let error = World::new().run(|| Table::new("Users").scan().send::<Value>()).unwrap_err();
    /// assert!(error.is("ResourceNotFoundException"));
    /// ```
    pub fn new() -> Self {
        Self(Rc::new(Backend {
            database: Database::memory().expect("a database in memory opens"),
            services: RefCell::default(),
            outbox: RefCell::default(),
            logs: RefCell::default(),
        }))
    }

    /// Adds a table: its partition key and, after a comma, its sort key, each
    /// as `name:TYPE` with the type `S`, `N` or `B`, as in `gateway.toml`.
    ///
    /// # Panics
    /// If the keys read otherwise, or the table is there already.
    ///
    /// ```
    /// # use mayfly_guest::testing::World;
    /// let world = World::new().table("Board", "author:S, at:N");
    /// # drop(world);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn table(self, name: &str, keys: &str) -> Self {
        let mut definitions = Vec::new();
        let mut schema = Vec::new();
        for (key, role) in keys.split(',').zip(["HASH", "RANGE"]) {
            let Some((attribute, kind)) = key.trim().rsplit_once(':') else {
                panic!("{key:?} is no key; write for example \"author:S, at:N\"");
            };
            definitions.push(json!({ "AttributeName": attribute, "AttributeType": kind }));
            schema.push(json!({ "AttributeName": attribute, "KeyType": role }));
        }
        let table = json!({
            "TableName": name,
            "AttributeDefinitions": definitions,
            "KeySchema": schema,
            "BillingMode": "PAY_PER_REQUEST",
        });
        if let Err(error) = self.0.dynamodb("CreateTable", table) {
            panic!("the table {name:?} with the keys {keys:?}: {error}");
        }
        self
    }

    /// Puts an item into a table.
    ///
    /// # Panics
    /// If the table does not take it.
    ///
    /// ```
    /// # use mayfly_guest::{json, testing::World};
    /// let world = World::new().table("Users", "id:S").item("Users", &json!({ "id": "7" }));
    /// # drop(world);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn item(self, table: &str, item: &impl Serialize) -> Self {
        if let Err(error) = self.run(|| crate::Table::new(table).put(item)) {
            panic!("an item for the table {table:?}: {error}");
        }
        self
    }

    /// Answers the calls to a service with a function of the test, which gets
    /// the action and its input. It may stand in for `dynamodb` and `ses` too.
    ///
    /// ```
    /// use mayfly_guest::{ServiceError, Value, services, testing::World};
    ///
    /// let world = World::new().service("ses", |action, _| {
    ///     Err(ServiceError::new("Throttling", format!("{action} was called too often")))
    /// });
    /// let error = world.run(|| services::call::<_, Value>("ses", "SendEmail", &())).unwrap_err();
    /// assert!(error.is("Throttling"));
    /// ```
    #[must_use]
    pub fn service(
        self,
        name: &str,
        answer: impl Fn(&str, Value) -> Result<Value, ServiceError> + 'static,
    ) -> Self {
        self.0.services.borrow_mut().insert(name.into(), Rc::new(Box::new(answer)));
        self
    }

    /// Runs a handler, or anything else that calls services, in this world.
    /// Other threads are not in it.
    ///
    /// ```
    /// use mayfly_guest::{Table, json, testing::World};
    ///
    /// let world = World::new().table("Users", "id:S");
    /// world.run(|| Table::new("Users").put(&json!({ "id": "7" })))?;
    /// # Ok::<(), mayfly_guest::Error>(())
    /// ```
    pub fn run<T>(&self, body: impl FnOnce() -> T) -> T {
        let _installed = host::install(self.0.clone());
        body()
    }

    /// The mail sent so far: the inputs of `SendEmail`, oldest first.
    ///
    /// ```
    /// use mayfly_guest::{Value, json, services, testing::World};
    ///
    /// let world = World::new();
    /// let mail = json!({ "Source": "me@example.com" });
    /// world.run(|| services::call::<_, Value>("ses", "SendEmail", &mail))?;
    /// assert_eq!(world.outbox(), [mail]);
    /// # Ok::<(), mayfly_guest::Error>(())
    /// ```
    pub fn outbox(&self) -> Vec<Value> {
        self.0.outbox.borrow().clone()
    }

    /// The log records so far, oldest first.
    ///
    /// ```
    /// use mayfly_guest::{log::Level, testing::World, warn};
    ///
    /// let world = World::new();
    /// world.run(|| warn!("{} left", 3));
    /// assert_eq!(world.logs(), [(Level::Warn, "3 left".into())]);
    /// ```
    pub fn logs(&self) -> Vec<(Level, String)> {
        self.0.logs.borrow().clone()
    }
}

impl host::Backend for Backend {
    fn log(&self, level: Level, message: &str) {
        self.logs.borrow_mut().push((level, message.into()));
    }

    fn call(&self, service: &str, action: &str, input: &str) -> Result<String, ServiceError> {
        let input =
            serde_json::from_str(input).map_err(|error| ServiceError::unreadable(&error))?;
        let own = self.services.borrow().get(service).cloned();
        match (own, service) {
            (Some(answer), _) => Ok(answer(action, input)?.to_string()),
            (None, "dynamodb") => self.dynamodb(action, input),
            (None, "ses") if action == "SendEmail" => {
                let mut outbox = self.outbox.borrow_mut();
                outbox.push(input);
                Ok(json!({ "MessageId": format!("test-message-{}", outbox.len()) }).to_string())
            }
            _ => Err(ServiceError::new(
                "UnknownOperationException",
                format!(
                    "the test world has no {service}:{action}; give it one with World::service"
                ),
            )),
        }
    }
}

impl Backend {
    fn dynamodb(&self, action: &str, input: Value) -> Result<String, ServiceError> {
        let database = &self.database;
        match action {
            "BatchGetItem" => answer(input, |input| database.batch_get_item(input)),
            "BatchWriteItem" => answer(input, |input| database.batch_write_item(input)),
            "CreateTable" => answer(input, |input| database.create_table(input)),
            "DeleteItem" => answer(input, |input| database.delete_item(input)),
            "DescribeTable" => answer(input, |input| database.describe_table(input)),
            "GetItem" => answer(input, |input| database.get_item(input)),
            "PutItem" => answer(input, |input| database.put_item(input)),
            "Query" => answer(input, |input| database.query(input)),
            "Scan" => answer(input, |input| database.scan(input)),
            "TransactGetItems" => {
                use dynoxide::actions::transact_get_items::TransactGetItemsRequest as Request;
                answer(input, |input: Request| database.transact_get_items(input))
            }
            "TransactWriteItems" => answer(input, |input| database.transact_write_items(input)),
            "UpdateItem" => answer(input, |input| database.update_item(input)),
            _ => Err(ServiceError::new("UnknownOperationException", action)),
        }
    }
}

fn answer<I: DeserializeOwned, O: Serialize>(
    input: Value,
    action: impl FnOnce(I) -> Result<O, DynoxideError>,
) -> Result<String, ServiceError> {
    let input = serde_json::from_value(input).map_err(|error| ServiceError::unreadable(&error))?;
    let output = action(input).map_err(|error| {
        let code = error.error_type();
        ServiceError {
            // `com.amazonaws.dynamodb.v20120810#Name`: the name alone is the code.
            code: code.rsplit('#').next().unwrap_or(code).into(),
            message: error.to_string(),
            detail: error.to_json(),
        }
    })?;
    let mut output =
        serde_json::to_value(&output).map_err(|error| ServiceError::unreadable(&error))?;
    // As the gateway does it: attributes come in an order that changes.
    output.sort_all_objects();
    Ok(output.to_string())
}

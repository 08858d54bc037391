//! Tables of DynamoDB, with serde types for items.

mod condition;
mod expression;
mod read;
mod update;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::services::{self, ServiceError};

pub use condition::Condition;
pub use read::{Page, Query, Scan};
pub use update::Update;

use expression::{Input, Operand};

/// An item in DynamoDB's own JSON: `{"id": {"S": "7"}}`.
///
/// ```
/// use mayfly_guest::{Table, json, table::Item, testing::World};
///
/// let world = World::new().table("Users", "id:S").item("Users", &json!({ "id": "7" }));
/// let item: Option<Item> = world.run(|| Table::new("Users").get_raw(("id", "7")))?;
/// assert_eq!(item.unwrap()["id"], json!({ "S": "7" }));
/// # Ok::<(), mayfly_guest::Error>(())
/// ```
pub type Item = serde_json::Map<String, serde_json::Value>;

/// A table that `gateway.toml` grants to the function.
///
/// Names of attributes are document paths (`address.city`, `tags[0]`) and may
/// be any of DynamoDB's reserved words.
///
/// ```
/// use mayfly_guest::{Error, Table, testing::World};
///
/// #[derive(serde::Serialize, serde::Deserialize, PartialEq, Debug)]
/// struct User { id: String, name: String, visits: u32 }
///
/// let world = World::new().table("Users", "id:S");
/// world.run(|| {
///     let users = Table::new("Users");
///     users.put(&User { id: "7".into(), name: "Ada".into(), visits: 1 })?;
///     users.update(("id", "7")).set("name", "Lovelace").add("visits", 1).send()?;
///     let user: Option<User> = users.get(("id", "7"))?;
///     assert_eq!(user, Some(User { id: "7".into(), name: "Lovelace".into(), visits: 2 }));
///     users.delete(("id", "7"))?;
///     assert!(users.scan().send::<User>()?.is_empty());
///     Ok::<(), Error>(())
/// })?;
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    name: String,
    consistent: bool,
}

impl Table {
    /// The table of this name. Nothing is called yet: a table that is missing
    /// or not granted shows at the first use.
    ///
    /// ```
    /// # use mayfly_guest::Table;
    /// assert_eq!(Table::new("Users").name(), "Users");
    /// ```
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), consistent: false }
    }

    /// The same table, read with strong consistency.
    ///
    /// ```
    /// use mayfly_guest::{Table, Value, testing::World};
    ///
    /// let world = World::new().table("Users", "id:S");
    /// let user: Option<Value> = world.run(|| Table::new("Users").consistent().get(("id", "7")))?;
    /// assert_eq!(user, None);
    /// # Ok::<(), mayfly_guest::Error>(())
    /// ```
    #[must_use]
    pub fn consistent(mut self) -> Self {
        self.consistent = true;
        self
    }

    /// The table's name.
    ///
    /// ```
    /// # use mayfly_guest::Table;
    /// assert_eq!(Table::new("Users").name(), "Users");
    /// ```
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Writes an item, in place of the one with its key.
    ///
    /// ```
    /// use mayfly_guest::{Table, json, testing::World};
    ///
    /// let world = World::new().table("Users", "id:S");
    /// world.run(|| Table::new("Users").put(&json!({ "id": "7", "name": "Ada" })))?;
    /// # Ok::<(), mayfly_guest::Error>(())
    /// ```
    pub fn put<T: Serialize + ?Sized>(&self, item: &T) -> Result<(), ServiceError> {
        self.put_with(item, None)
    }

    /// Writes an item if the condition holds for the one with its key; else
    /// fails with [`ServiceError::is_condition_failed`].
    ///
    /// ```
    /// use mayfly_guest::{Table, json, table::Condition, testing::World};
    ///
    /// let world = World::new().table("Users", "id:S").item("Users", &json!({ "id": "7" }));
    /// let error = world.run(|| {
    ///     Table::new("Users").put_if(&json!({ "id": "7" }), Condition::not_exists("id"))
    /// });
    /// assert!(error.unwrap_err().is_condition_failed());
    /// ```
    pub fn put_if<T: Serialize + ?Sized>(
        &self,
        item: &T,
        condition: Condition,
    ) -> Result<(), ServiceError> {
        self.put_with(item, Some(condition))
    }

    fn put_with<T: Serialize + ?Sized>(
        &self,
        item: &T,
        condition: Option<Condition>,
    ) -> Result<(), ServiceError> {
        let item = serde_dynamo::to_item(item).map_err(|error| ServiceError::unreadable(&error))?;
        let mut input = self.input();
        input.item = Some(item);
        input.condition(condition)?;
        self.write("PutItem", &input)
    }

    /// The item with this key.
    ///
    /// ```
    /// use mayfly_guest::{Table, Value, json, testing::World};
    ///
    /// let user = json!({ "id": "7", "name": "Ada" });
    /// let world = World::new().table("Users", "id:S").item("Users", &user);
    /// let found: Option<Value> = world.run(|| Table::new("Users").get(("id", "7")))?;
    /// assert_eq!(found, Some(user));
    /// # Ok::<(), mayfly_guest::Error>(())
    /// ```
    pub fn get<T: DeserializeOwned>(&self, key: impl Into<Key>) -> Result<Option<T>, ServiceError> {
        let item: Option<serde_dynamo::Item> = self.get_item(key.into())?;
        item.map(typed).transpose()
    }

    /// The item with this key, in DynamoDB's own JSON.
    ///
    /// ```
    /// use mayfly_guest::{Table, json, testing::World};
    ///
    /// let world = World::new().table("Users", "id:S").item("Users", &json!({ "id": "7", "age": 36 }));
    /// let item = world.run(|| Table::new("Users").get_raw(("id", "7")))?;
    /// assert_eq!(item.unwrap()["age"], json!({ "N": "36" }));
    /// # Ok::<(), mayfly_guest::Error>(())
    /// ```
    pub fn get_raw(&self, key: impl Into<Key>) -> Result<Option<Item>, ServiceError> {
        self.get_item(key.into())
    }

    fn get_item<I: DeserializeOwned>(&self, key: Key) -> Result<Option<I>, ServiceError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Output<I> {
            item: Option<I>,
        }
        let mut input = self.input();
        input.key = Some(key.into_item()?);
        input.consistent_read = self.consistent.then_some(true);
        Ok(services::call::<_, Output<I>>("dynamodb", "GetItem", &input)?.item)
    }

    /// Deletes the item with this key, if there is one.
    ///
    /// ```
    /// use mayfly_guest::{Table, testing::World};
    ///
    /// let world = World::new().table("Board", "author:S, at:N");
    /// world.run(|| Table::new("Board").delete((("author", "Ada"), ("at", 1843))))?;
    /// # Ok::<(), mayfly_guest::Error>(())
    /// ```
    pub fn delete(&self, key: impl Into<Key>) -> Result<(), ServiceError> {
        self.delete_with(key.into(), None)
    }

    /// Deletes the item with this key if the condition holds; else fails with
    /// [`ServiceError::is_condition_failed`].
    ///
    /// ```
    /// use mayfly_guest::{Table, table::Condition, testing::World};
    ///
    /// let world = World::new().table("Users", "id:S");
    /// let error = world.run(|| Table::new("Users").delete_if(("id", "7"), Condition::exists("id")));
    /// assert!(error.unwrap_err().is_condition_failed());
    /// ```
    pub fn delete_if(&self, key: impl Into<Key>, condition: Condition) -> Result<(), ServiceError> {
        self.delete_with(key.into(), Some(condition))
    }

    fn delete_with(&self, key: Key, condition: Option<Condition>) -> Result<(), ServiceError> {
        let mut input = self.input();
        input.key = Some(key.into_item()?);
        input.condition(condition)?;
        self.write("DeleteItem", &input)
    }

    /// Changes attributes of the item with this key, or makes the item.
    ///
    /// ```
    /// use mayfly_guest::{Table, testing::World};
    ///
    /// let world = World::new().table("Users", "id:S");
    /// world.run(|| Table::new("Users").update(("id", "7")).set("name", "Ada").send())?;
    /// # Ok::<(), mayfly_guest::Error>(())
    /// ```
    pub fn update(&self, key: impl Into<Key>) -> Update<'_> {
        Update::new(self, key.into())
    }

    /// Reads the items of one partition, ordered by the sort key.
    ///
    /// ```
    /// use mayfly_guest::{Table, Value, json, testing::World};
    ///
    /// let world = World::new()
    ///     .table("Board", "author:S, at:N")
    ///     .item("Board", &json!({ "author": "Ada", "at": 1 }))
    ///     .item("Board", &json!({ "author": "Ada", "at": 2 }));
    /// let newest: Vec<Value> = world.run(|| {
    ///     Table::new("Board").query("author", "Ada").descending().limit(1).send()
    /// })?;
    /// assert_eq!(newest, [json!({ "author": "Ada", "at": 2 })]);
    /// # Ok::<(), mayfly_guest::Error>(())
    /// ```
    pub fn query(&self, partition_key: &str, value: impl Serialize) -> Query<'_> {
        Query::new(self, partition_key, Operand::new(&value))
    }

    /// Reads all items, in no order.
    ///
    /// ```
    /// use mayfly_guest::{Table, Value, json, testing::World};
    ///
    /// let world = World::new().table("Users", "id:S").item("Users", &json!({ "id": "7" }));
    /// let users: Vec<Value> = world.run(|| Table::new("Users").scan().send())?;
    /// assert_eq!(users, [json!({ "id": "7" })]);
    /// # Ok::<(), mayfly_guest::Error>(())
    /// ```
    pub fn scan(&self) -> Scan<'_> {
        Scan::new(self)
    }

    fn input(&self) -> Input<'_> {
        Input { table_name: &self.name, ..Input::default() }
    }

    /// Calls an action whose output nobody needs.
    fn write(&self, action: &str, input: &Input<'_>) -> Result<(), ServiceError> {
        services::call("dynamodb", action, input).map(|_: serde::de::IgnoredAny| ())
    }
}

/// The key of one item: its partition key, and its sort key where the table
/// has one.
///
/// ```
/// use mayfly_guest::table::Key;
///
/// let user: Key = ("id", "7").into();
/// let message: Key = (("author", "Ada"), ("at", 1843)).into();
/// # drop((user, message));
/// ```
#[derive(Debug, Clone)]
pub struct Key(Vec<(String, Operand)>);

impl Key {
    fn into_item(self) -> Result<serde_dynamo::Item, ServiceError> {
        let mut item = serde_dynamo::Item::default();
        for (name, value) in self.0 {
            item.inner_mut().insert(name, value.into_value()?);
        }
        Ok(item)
    }
}

impl<V: Serialize> From<(&str, V)> for Key {
    fn from((name, value): (&str, V)) -> Self {
        Self(vec![(name.into(), Operand::new(&value))])
    }
}

impl<P: Serialize, S: Serialize> From<((&str, P), (&str, S))> for Key {
    fn from((partition, sort): ((&str, P), (&str, S))) -> Self {
        Self(vec![
            (partition.0.into(), Operand::new(&partition.1)),
            (sort.0.into(), Operand::new(&sort.1)),
        ])
    }
}

fn typed<T: DeserializeOwned>(item: serde_dynamo::Item) -> Result<T, ServiceError> {
    serde_dynamo::from_item(item).map_err(|error| ServiceError::unreadable(&error))
}

//! Changing one item.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::expression::Operand;
use super::{Condition, Key, Table, typed};
use crate::services::{self, ServiceError};

/// A change of one item; [`Table::update`] begins it.
///
/// ```
/// use mayfly_guest::{Table, Value, json, table::Condition, testing::World};
///
/// let world = World::new().table("Users", "id:S").item("Users", &json!({ "id": "7", "age": 36 }));
/// let user: Value = world.run(|| {
///     Table::new("Users")
///         .update(("id", "7"))
///         .set("name", "Ada")
///         .remove("age")
///         .condition(Condition::exists("id"))
///         .send_returning()
/// })?;
/// assert_eq!(user, json!({ "id": "7", "name": "Ada" }));
/// # Ok::<(), mayfly_guest::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "an update does nothing until it is sent"]
pub struct Update<'a> {
    table: &'a Table,
    key: Key,
    set: Vec<(Set, String, Operand)>,
    add: Vec<(String, Operand)>,
    remove: Vec<String>,
    condition: Option<Condition>,
}

#[derive(Debug, Clone, Copy)]
enum Set {
    Always,
    IfAbsent,
    Append,
}

impl<'a> Update<'a> {
    pub(super) fn new(table: &'a Table, key: Key) -> Self {
        let (set, add, remove) = (Vec::new(), Vec::new(), Vec::new());
        Self { table, key, set, add, remove, condition: None }
    }

    /// Sets an attribute.
    ///
    /// ```
    /// use mayfly_guest::Table;
    ///
    /// let users = Table::new("Users");
    /// let update = users.update(("id", "7")).set("address.city", "London");
    /// # drop(update);
    /// ```
    pub fn set(self, name: &str, value: impl Serialize) -> Self {
        self.push(Set::Always, name, Operand::new(&value))
    }

    /// Sets an attribute that the item does not have yet.
    ///
    /// ```
    /// use mayfly_guest::Table;
    ///
    /// let users = Table::new("Users");
    /// let update = users.update(("id", "7")).set_if_absent("created", 1843);
    /// # drop(update);
    /// ```
    pub fn set_if_absent(self, name: &str, value: impl Serialize) -> Self {
        self.push(Set::IfAbsent, name, Operand::new(&value))
    }

    /// Appends to a list; an absent one counts as empty.
    ///
    /// ```
    /// use mayfly_guest::Table;
    ///
    /// let users = Table::new("Users");
    /// let update = users.update(("id", "7")).append("tags", "maths");
    /// # drop(update);
    /// ```
    pub fn append(self, name: &str, value: impl Serialize) -> Self {
        self.push(Set::Append, name, Operand::new(&[value]))
    }

    /// Adds to a number, where an absent one counts as zero, or to a set.
    ///
    /// ```
    /// use mayfly_guest::Table;
    ///
    /// let users = Table::new("Users");
    /// let update = users.update(("id", "7")).add("visits", 1);
    /// # drop(update);
    /// ```
    #[allow(clippy::should_implement_trait, reason = "DynamoDB's word for it")]
    pub fn add(mut self, name: &str, value: impl Serialize) -> Self {
        self.add.push((name.into(), Operand::new(&value)));
        self
    }

    /// Removes an attribute.
    ///
    /// ```
    /// use mayfly_guest::Table;
    ///
    /// let users = Table::new("Users");
    /// let update = users.update(("id", "7")).remove("nickname");
    /// # drop(update);
    /// ```
    pub fn remove(mut self, name: &str) -> Self {
        self.remove.push(name.into());
        self
    }

    /// Updates only if the condition holds, and else fails with
    /// [`ServiceError::is_condition_failed`]. Several must all hold.
    ///
    /// ```
    /// use mayfly_guest::{Table, table::Condition, testing::World};
    ///
    /// let world = World::new().table("Users", "id:S");
    /// let error = world.run(|| {
    ///     let users = Table::new("Users");
    ///     users.update(("id", "7")).set("name", "Ada").condition(Condition::exists("id")).send()
    /// });
    /// assert!(error.unwrap_err().is_condition_failed());
    /// ```
    pub fn condition(mut self, condition: Condition) -> Self {
        self.condition = Some(match self.condition.take() {
            Some(earlier) => earlier.and(condition),
            None => condition,
        });
        self
    }

    /// Makes the change.
    ///
    /// ```
    /// use mayfly_guest::{Table, testing::World};
    ///
    /// let world = World::new().table("Users", "id:S");
    /// world.run(|| Table::new("Users").update(("id", "7")).set("name", "Ada").send())?;
    /// # Ok::<(), mayfly_guest::Error>(())
    /// ```
    pub fn send(self) -> Result<(), ServiceError> {
        self.call(None).map(|_: serde::de::IgnoredAny| ())
    }

    /// Makes the change and returns the whole item as it is now.
    ///
    /// ```
    /// use mayfly_guest::{Table, Value, testing::World};
    ///
    /// let world = World::new().table("Counters", "id:S");
    /// let counter: Value = world.run(|| {
    ///     Table::new("Counters").update(("id", "hits")).add("count", 1).send_returning()
    /// })?;
    /// assert_eq!(counter["count"], 1);
    /// # Ok::<(), mayfly_guest::Error>(())
    /// ```
    pub fn send_returning<T: DeserializeOwned>(self) -> Result<T, ServiceError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Output {
            attributes: serde_dynamo::Item,
        }
        let output: Output = self.call(Some("ALL_NEW"))?;
        typed(output.attributes)
    }

    fn push(mut self, how: Set, name: &str, value: Operand) -> Self {
        self.set.push((how, name.into(), value));
        self
    }

    fn call<O: DeserializeOwned>(
        self,
        return_values: Option<&'static str>,
    ) -> Result<O, ServiceError> {
        let mut input = self.table.input();
        input.key = Some(self.key.into_item()?);
        input.return_values = return_values;

        let to = &mut input.placeholders;
        let mut set = Vec::with_capacity(self.set.len());
        for (how, name, value) in self.set {
            let (name, value) = (to.path(&name), to.value(value)?);
            set.push(match how {
                Set::Always => format!("{name} = {value}"),
                Set::IfAbsent => format!("{name} = if_not_exists({name}, {value})"),
                Set::Append => {
                    let none = to.value(Operand::new::<[(); 0]>(&[]))?;
                    format!("{name} = list_append(if_not_exists({name}, {none}), {value})")
                }
            });
        }
        let mut add = Vec::with_capacity(self.add.len());
        for (name, value) in self.add {
            add.push(format!("{} {}", to.path(&name), to.value(value)?));
        }
        let remove: Vec<String> = self.remove.iter().map(|name| to.path(name)).collect();

        let clauses = [("SET", set), ("ADD", add), ("REMOVE", remove)];
        let clauses: Vec<String> = clauses
            .into_iter()
            .filter(|(_, parts)| !parts.is_empty())
            .map(|(keyword, parts)| format!("{keyword} {}", parts.join(", ")))
            .collect();
        input.update_expression = (!clauses.is_empty()).then(|| clauses.join(" "));
        input.condition(self.condition)?;
        services::call("dynamodb", "UpdateItem", &input)
    }
}

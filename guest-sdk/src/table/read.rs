//! Queries and scans.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::expression::{Input, Operand};
use super::{Condition, Item, Key, Table, typed};
use crate::services::{self, ServiceError};

/// A read of one partition's items; [`Table::query`] begins it.
///
/// ```
/// use mayfly_guest::{Table, Value, json, table::Condition, testing::World};
///
/// let mut world = World::new().table("Board", "author:S, at:N");
/// for at in 1..=9 {
///     world = world.item("Board", &json!({ "author": "Ada", "at": at, "odd": at % 2 == 1 }));
/// }
/// let found: Vec<Value> = world.run(|| {
///     Table::new("Board")
///         .query("author", "Ada")
///         .sort(Condition::between("at", 2, 8))
///         .filter(Condition::eq("odd", true))
///         .descending()
///         .limit(2)
///         .send()
/// })?;
/// assert_eq!(found.iter().map(|item| &item["at"]).collect::<Vec<_>>(), [7, 5]);
/// # Ok::<(), mayfly_guest::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a query does nothing until it is sent"]
pub struct Query<'a> {
    read: Read<'a>,
    partition: Condition,
    sort: Option<Condition>,
    descending: bool,
}

/// A read of all items; [`Table::scan`] begins it.
///
/// ```
/// use mayfly_guest::{Table, Value, json, table::Condition, testing::World};
///
/// let world = World::new()
///     .table("Users", "id:S")
///     .item("Users", &json!({ "id": "7", "name": "Ada" }))
///     .item("Users", &json!({ "id": "8", "name": "Grace" }));
/// let found: Vec<Value> = world.run(|| {
///     Table::new("Users").scan().filter(Condition::begins_with("name", "G")).send()
/// })?;
/// assert_eq!(found, [json!({ "id": "8", "name": "Grace" })]);
/// # Ok::<(), mayfly_guest::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a scan does nothing until it is sent"]
pub struct Scan<'a> {
    read: Read<'a>,
}

/// The items of one call, and where the next call goes on.
///
/// ```
/// use mayfly_guest::{Table, Value, json, testing::World};
///
/// let world = World::new()
///     .table("Users", "id:S")
///     .item("Users", &json!({ "id": "7" }))
///     .item("Users", &json!({ "id": "8" }));
/// world.run(|| {
///     let users = Table::new("Users");
///     let first = users.scan().limit(1).page::<Value>()?;
///     let key = first.last_key.expect("there are more");
///     let second = users.scan().start_after(key).page::<Value>()?;
///     assert_eq!((first.items.len(), second.items.len()), (1, 1));
///     assert!(second.last_key.is_none());
///     Ok::<(), mayfly_guest::Error>(())
/// })?;
/// # Ok::<(), mayfly_guest::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// The key to go on after; none on the last page.
    pub last_key: Option<Key>,
}

/// What queries and scans have in common.
#[derive(Debug, Clone)]
struct Read<'a> {
    table: &'a Table,
    index: Option<String>,
    filter: Option<Condition>,
    limit: Option<usize>,
    start: Option<Key>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", bound = "I: DeserializeOwned")]
struct Output<I> {
    #[serde(default = "Vec::new")]
    items: Vec<I>,
    last_evaluated_key: Option<serde_dynamo::Item>,
}

/// The methods that both builders offer.
macro_rules! reads {
    ($builder:ident, $begin:literal) => {
        impl $builder<'_> {
            /// Reads a secondary index instead of the table.
            ///
            /// ```
            /// use mayfly_guest::Table;
            ///
            /// let users = Table::new("Users");
            #[doc = concat!("let read = users.", $begin, ".index(\"by-name\");")]
            /// # drop(read);
            /// ```
            pub fn index(mut self, name: &str) -> Self {
                self.read.index = Some(name.into());
                self
            }

            /// Leaves out the items for which the condition does not hold,
            /// after they were read. Several must all hold.
            ///
            /// ```
            /// use mayfly_guest::{Table, table::Condition};
            ///
            /// let users = Table::new("Users");
            #[doc = concat!("let read = users.", $begin, ".filter(Condition::exists(\"email\"));")]
            /// # drop(read);
            /// ```
            pub fn filter(mut self, condition: Condition) -> Self {
                self.read.filter = Some(match self.read.filter.take() {
                    Some(earlier) => earlier.and(condition),
                    None => condition,
                });
                self
            }

            /// Returns no more items than this. For `page` it is DynamoDB's
            /// own `Limit`, which counts before the filter.
            ///
            /// ```
            /// use mayfly_guest::Table;
            ///
            /// let users = Table::new("Users");
            #[doc = concat!("let read = users.", $begin, ".limit(3);")]
            /// # drop(read);
            /// ```
            pub fn limit(mut self, items: usize) -> Self {
                self.read.limit = Some(items);
                self
            }

            /// Goes on after the last key of an earlier page.
            ///
            /// ```
            /// use mayfly_guest::Table;
            ///
            /// let users = Table::new("Users");
            #[doc = concat!("let read = users.", $begin, ".start_after((\"id\", \"7\"));")]
            /// # drop(read);
            /// ```
            pub fn start_after(mut self, key: impl Into<Key>) -> Self {
                self.read.start = Some(key.into());
                self
            }

            /// Reads the items, following DynamoDB's pages to the end or to
            /// the limit.
            ///
            /// ```
            /// use mayfly_guest::{Table, Value, testing::World};
            ///
            /// let world = World::new().table("Users", "id:S");
            #[doc = concat!("let items: Vec<Value> = world.run(|| Table::new(\"Users\").", $begin, ".send())?;")]
            /// assert!(items.is_empty());
            /// # Ok::<(), mayfly_guest::Error>(())
            /// ```
            pub fn send<T: DeserializeOwned>(self) -> Result<Vec<T>, ServiceError> {
                self.all()?.into_iter().map(typed).collect()
            }

            /// Like `send`, with the items in DynamoDB's own JSON.
            ///
            /// ```
            /// use mayfly_guest::{Table, json, testing::World};
            ///
            /// let world = World::new().table("Users", "id:S").item("Users", &json!({ "id": "7" }));
            #[doc = concat!("let items = world.run(|| Table::new(\"Users\").", $begin, ".send_raw())?;")]
            /// assert_eq!(items[0]["id"], json!({ "S": "7" }));
            /// # Ok::<(), mayfly_guest::Error>(())
            /// ```
            pub fn send_raw(self) -> Result<Vec<Item>, ServiceError> {
                self.all()
            }

            /// Reads one page with a single call.
            ///
            /// ```
            /// use mayfly_guest::{Table, Value, testing::World};
            ///
            /// let world = World::new().table("Users", "id:S");
            #[doc = concat!("let page = world.run(|| Table::new(\"Users\").", $begin, ".page::<Value>())?;")]
            /// assert!(page.last_key.is_none());
            /// # Ok::<(), mayfly_guest::Error>(())
            /// ```
            pub fn page<T: DeserializeOwned>(self) -> Result<Page<T>, ServiceError> {
                let limit = self.read.limit;
                let (action, mut input) = self.input()?;
                input.limit = limit;
                let output: Output<serde_dynamo::Item> = services::call("dynamodb", action, &input)?;
                let items: Result<_, _> = output.items.into_iter().map(typed).collect();
                let last_key = output.last_evaluated_key.map(|key| {
                    Key(key.into_inner().into_iter().map(|(name, value)| (name, value.into())).collect())
                });
                Ok(Page { items: items?, last_key })
            }

            fn all<I: DeserializeOwned>(self) -> Result<Vec<I>, ServiceError> {
                let limit = self.read.limit.unwrap_or(usize::MAX);
                if limit == 0 {
                    return Ok(Vec::new());
                }
                let (action, mut input) = self.input()?;
                let mut items = Vec::new();
                loop {
                    // With a filter DynamoDB's limit says nothing of how many items come.
                    if limit != usize::MAX && input.filter_expression.is_none() {
                        input.limit = Some(limit - items.len());
                    }
                    let output: Output<I> = services::call("dynamodb", action, &input)?;
                    items.extend(output.items);
                    input.exclusive_start_key = output.last_evaluated_key;
                    if input.exclusive_start_key.is_none() || items.len() >= limit {
                        items.truncate(limit);
                        return Ok(items);
                    }
                }
            }
        }
    };
}

reads!(Query, "query(\"id\", \"7\")");
reads!(Scan, "scan()");

impl<'a> Query<'a> {
    pub(super) fn new(table: &'a Table, partition_key: &str, value: Operand) -> Self {
        let partition = Condition::equals(partition_key, value);
        Self { read: Read::new(table), partition, sort: None, descending: false }
    }

    /// Reads only a range of the sort key: an `eq`, `lt`, `le`, `gt`, `ge`,
    /// `between` or `begins_with`.
    ///
    /// ```
    /// use mayfly_guest::{Table, table::Condition};
    ///
    /// let board = Table::new("Board");
    /// let recent = board.query("author", "Ada").sort(Condition::gt("at", 1843));
    /// # drop(recent);
    /// ```
    pub fn sort(mut self, range: Condition) -> Self {
        self.sort = Some(range);
        self
    }

    /// Reads from the greatest sort key downwards: the newest first, where it
    /// is a time.
    ///
    /// ```
    /// use mayfly_guest::Table;
    ///
    /// let board = Table::new("Board");
    /// let newest = board.query("author", "Ada").descending().limit(3);
    /// # drop(newest);
    /// ```
    pub fn descending(mut self) -> Self {
        self.descending = true;
        self
    }

    fn input(&self) -> Result<(&'static str, Input<'_>), ServiceError> {
        let mut input = self.read.input()?;
        let to = &mut input.placeholders;
        let mut expression = self.partition.clone().render(to)?;
        if let Some(sort) = &self.sort {
            expression = format!("{expression} AND {}", sort.clone().render(to)?);
        }
        input.key_condition_expression = Some(expression);
        input.scan_index_forward = self.descending.then_some(false);
        Ok(("Query", input))
    }
}

impl<'a> Scan<'a> {
    pub(super) fn new(table: &'a Table) -> Self {
        Self { read: Read::new(table) }
    }

    fn input(&self) -> Result<(&'static str, Input<'_>), ServiceError> {
        Ok(("Scan", self.read.input()?))
    }
}

impl<'a> Read<'a> {
    fn new(table: &'a Table) -> Self {
        Self { table, index: None, filter: None, limit: None, start: None }
    }

    fn input(&self) -> Result<Input<'_>, ServiceError> {
        let mut input = self.table.input();
        input.index_name = self.index.as_deref();
        input.consistent_read = self.table.consistent.then_some(true);
        if let Some(filter) = &self.filter {
            input.filter_expression = Some(filter.clone().render(&mut input.placeholders)?);
        }
        input.exclusive_start_key = self.start.clone().map(Key::into_item).transpose()?;
        Ok(input)
    }
}

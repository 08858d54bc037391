//! Conditions and filters.

use serde::Serialize;

use super::expression::{Operand, Placeholders};
use crate::ServiceError;

/// What must hold of an item: the condition of a write, the filter of a read
/// or the range of a query's sort key.
///
/// ```
/// use mayfly_guest::table::Condition;
///
/// let adult = Condition::ge("age", 18).and(Condition::not_exists("blocked"));
/// # drop(adult);
/// ```
#[derive(Debug, Clone)]
pub struct Condition(Node);

#[derive(Debug, Clone)]
enum Node {
    Compare(&'static str, String, Operand),
    Between(String, Operand, Operand),
    OneOf(String, Vec<Operand>),
    /// A function of the attribute alone.
    Test(&'static str, String),
    /// A function of the attribute and a value.
    Match(&'static str, String, Operand),
    Join(&'static str, Box<(Node, Node)>),
    Not(Box<Node>),
}

impl Condition {
    /// The attribute is there.
    ///
    /// ```
    /// # use mayfly_guest::table::Condition;
    /// let known = Condition::exists("id");
    /// # drop(known);
    /// ```
    pub fn exists(name: &str) -> Self {
        Self(Node::Test("attribute_exists", name.into()))
    }

    /// The attribute is not there. Of a key attribute: there is no such item.
    ///
    /// ```
    /// # use mayfly_guest::table::Condition;
    /// let new = Condition::not_exists("id");
    /// # drop(new);
    /// ```
    pub fn not_exists(name: &str) -> Self {
        Self(Node::Test("attribute_not_exists", name.into()))
    }

    /// The attribute equals the value.
    ///
    /// ```
    /// # use mayfly_guest::table::Condition;
    /// let unchanged = Condition::eq("version", 3);
    /// # drop(unchanged);
    /// ```
    pub fn eq(name: &str, value: impl Serialize) -> Self {
        Self::compare("=", name, value)
    }

    /// The attribute does not equal the value.
    ///
    /// ```
    /// # use mayfly_guest::table::Condition;
    /// let open = Condition::ne("state", "closed");
    /// # drop(open);
    /// ```
    pub fn ne(name: &str, value: impl Serialize) -> Self {
        Self::compare("<>", name, value)
    }

    /// The attribute is less than the value.
    ///
    /// ```
    /// # use mayfly_guest::table::Condition;
    /// let early = Condition::lt("at", 100);
    /// # drop(early);
    /// ```
    pub fn lt(name: &str, value: impl Serialize) -> Self {
        Self::compare("<", name, value)
    }

    /// The attribute is the value or less.
    ///
    /// ```
    /// # use mayfly_guest::table::Condition;
    /// let early = Condition::le("at", 100);
    /// # drop(early);
    /// ```
    pub fn le(name: &str, value: impl Serialize) -> Self {
        Self::compare("<=", name, value)
    }

    /// The attribute is greater than the value.
    ///
    /// ```
    /// # use mayfly_guest::table::Condition;
    /// let late = Condition::gt("at", 100);
    /// # drop(late);
    /// ```
    pub fn gt(name: &str, value: impl Serialize) -> Self {
        Self::compare(">", name, value)
    }

    /// The attribute is the value or greater.
    ///
    /// ```
    /// # use mayfly_guest::table::Condition;
    /// let late = Condition::ge("at", 100);
    /// # drop(late);
    /// ```
    pub fn ge(name: &str, value: impl Serialize) -> Self {
        Self::compare(">=", name, value)
    }

    /// The attribute lies between the values or is one of them.
    ///
    /// ```
    /// # use mayfly_guest::table::Condition;
    /// let recent = Condition::between("at", 100, 200);
    /// # drop(recent);
    /// ```
    pub fn between(name: &str, low: impl Serialize, high: impl Serialize) -> Self {
        Self(Node::Between(name.into(), Operand::new(&low), Operand::new(&high)))
    }

    /// The attribute is one of the values; of none it is never one.
    ///
    /// ```
    /// # use mayfly_guest::table::Condition;
    /// let warm = Condition::one_of("colour", ["red", "orange"]);
    /// # drop(warm);
    /// ```
    pub fn one_of<V: Serialize>(name: &str, values: impl IntoIterator<Item = V>) -> Self {
        let values = values.into_iter().map(|value| Operand::new(&value)).collect();
        Self(Node::OneOf(name.into(), values))
    }

    /// The text begins with the prefix.
    ///
    /// ```
    /// # use mayfly_guest::table::Condition;
    /// let orders = Condition::begins_with("sort", "order#");
    /// # drop(orders);
    /// ```
    pub fn begins_with(name: &str, prefix: &str) -> Self {
        Self(Node::Match("begins_with", name.into(), Operand::new(prefix)))
    }

    /// The text contains the value, or the list or set has it for an element.
    ///
    /// ```
    /// # use mayfly_guest::table::Condition;
    /// let tagged = Condition::contains("tags", "rust");
    /// # drop(tagged);
    /// ```
    pub fn contains(name: &str, value: impl Serialize) -> Self {
        Self(Node::Match("contains", name.into(), Operand::new(&value)))
    }

    /// Both hold.
    ///
    /// ```
    /// # use mayfly_guest::table::Condition;
    /// let both = Condition::exists("a").and(Condition::exists("b"));
    /// # drop(both);
    /// ```
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(Node::Join("AND", Box::new((self.0, other.0))))
    }

    /// One of them holds.
    ///
    /// ```
    /// # use mayfly_guest::table::Condition;
    /// let either = Condition::exists("a").or(Condition::exists("b"));
    /// # drop(either);
    /// ```
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self(Node::Join("OR", Box::new((self.0, other.0))))
    }

    /// It does not hold; the operator `!`, as a method for a chain's end.
    ///
    /// ```
    /// # use mayfly_guest::table::Condition;
    /// let untagged = Condition::contains("tags", "rust").negate();
    /// # drop(untagged);
    /// ```
    #[must_use]
    pub fn negate(self) -> Self {
        Self(Node::Not(Box::new(self.0)))
    }

    fn compare(operator: &'static str, name: &str, value: impl Serialize) -> Self {
        Self(Node::Compare(operator, name.into(), Operand::new(&value)))
    }

    pub(super) fn equals(name: &str, value: Operand) -> Self {
        Self(Node::Compare("=", name.into(), value))
    }

    pub(super) fn render(self, placeholders: &mut Placeholders) -> Result<String, ServiceError> {
        self.0.render(placeholders)
    }
}

impl std::ops::Not for Condition {
    type Output = Self;

    fn not(self) -> Self {
        self.negate()
    }
}

impl Node {
    fn render(self, to: &mut Placeholders) -> Result<String, ServiceError> {
        Ok(match self {
            Self::Compare(operator, name, value) => {
                format!("{} {operator} {}", to.path(&name), to.value(value)?)
            }
            Self::Between(name, low, high) => {
                format!("{} BETWEEN {} AND {}", to.path(&name), to.value(low)?, to.value(high)?)
            }
            // DynamoDB refuses an empty list; no item has an attribute and has it not.
            Self::OneOf(name, values) if values.is_empty() => {
                let name = to.path(&name);
                format!("(attribute_exists({name}) AND attribute_not_exists({name}))")
            }
            Self::OneOf(name, values) => {
                let values: Result<Vec<_>, _> =
                    values.into_iter().map(|value| to.value(value)).collect();
                format!("{} IN ({})", to.path(&name), values?.join(", "))
            }
            Self::Test(function, name) => format!("{function}({})", to.path(&name)),
            Self::Match(function, name, value) => {
                format!("{function}({}, {})", to.path(&name), to.value(value)?)
            }
            Self::Join(operator, both) => {
                format!("({} {operator} {})", both.0.render(to)?, both.1.render(to)?)
            }
            Self::Not(node) => format!("(NOT {})", node.render(to)?),
        })
    }
}

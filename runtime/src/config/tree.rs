//! What a configuration's text becomes before it is checked, whatever
//! language it is written in: values, each with the place where it begins.

use indexmap::IndexMap;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// A value, and where it begins, in bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub at: usize,
    pub data: Data,
}

/// A table's entries in the order of the text.
pub type Entries = IndexMap<String, Member>;

/// An entry of a table: where its key stands, and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    pub at: usize,
    pub node: Node,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    Null,
    Boolean(bool),
    Integer(Integer),
    /// A float as the text has it: not every one is a number.
    Float(String),
    String(String),
    /// A string in which braces are text where placeholders might stand.
    Verbatim(String),
    Datetime(String),
    Array(Vec<Node>),
    Table(Entries),
}

/// An integer as the text has it, in any radix, and as a number.
#[derive(Debug, Clone, PartialEq)]
pub struct Integer {
    pub text: String,
    /// The largest where the text has one that is larger.
    pub value: i128,
}

impl Node {
    /// The text of a string.
    pub fn text(&self) -> Option<&str> {
        self.data.text()
    }

    /// The entries of a table.
    pub fn entries(&self) -> Option<&Entries> {
        self.data.entries()
    }

    /// The items of an array; none where it is something else.
    pub fn items(&self) -> &[Node] {
        match &self.data {
            Data::Array(items) => items,
            _ => &[],
        }
    }

    /// The value of a table's entry.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries()?.get(key).map(|member| &member.node)
    }
}

impl Data {
    /// The text of a string.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::String(text) | Self::Verbatim(text) => Some(text),
            _ => None,
        }
    }

    /// The entries of a table.
    pub fn entries(&self) -> Option<&Entries> {
        match self {
            Self::Table(entries) => Some(entries),
            _ => None,
        }
    }

    /// What a person calls such a value.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean(_) => "a boolean",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a float",
            Self::String(_) | Self::Verbatim(_) => "a string",
            Self::Datetime(_) => "a datetime",
            Self::Array(_) => "an array",
            Self::Table(_) => "a table",
        }
    }
}

/// A TOML document's tree. Recursion is as deep as the text nests, which the
/// TOML parser bounds.
pub fn from_toml(table: &DeTable<'_>) -> Entries {
    let member = |(key, value): (&Spanned<_>, _)| {
        (
            String::from(AsRef::<str>::as_ref(key.get_ref())),
            Member { at: key.span().start, node: node(value) },
        )
    };
    table.iter().map(member).collect()
}

fn node(spanned: &Spanned<DeValue<'_>>) -> Node {
    let data = match spanned.get_ref() {
        DeValue::String(text) => Data::String(text.to_string()),
        DeValue::Boolean(value) => Data::Boolean(*value),
        DeValue::Datetime(time) => Data::Datetime(time.to_string()),
        DeValue::Float(number) => Data::Float(number.to_string()),
        DeValue::Integer(number) => Data::Integer(Integer {
            text: number.to_string(),
            value: i128::from_str_radix(number.as_str(), number.radix()).unwrap_or(i128::MAX),
        }),
        DeValue::Array(items) => Data::Array(items.iter().map(node).collect()),
        DeValue::Table(table) => Data::Table(from_toml(table)),
    };
    Node { at: spanned.span().start, data }
}

//! What the mock shorthand says: answers without code.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderName, StatusCode};
use serde_json::{Map, Value};

use super::{
    HttpConfig,
    condition::Condition,
    template::{JsonTemplate, OUTPUT_BYTES_MAX, TextTemplate},
};

/// A route's `mock`.
#[derive(Debug, Clone, PartialEq)]
pub struct MockConfig {
    /// Answers to some requests: the first whose conditions all hold.
    pub rules: Vec<MockRule>,
    /// What answers all others.
    pub otherwise: MockSource,
}

/// One entry of `rules`.
#[derive(Debug, Clone, PartialEq)]
pub struct MockRule {
    /// What has to hold, all of it.
    pub when: Vec<Condition>,
    /// What is answered then.
    pub answer: MockAnswer,
}

/// What answers a request that no rule takes.
#[derive(Debug, Clone, PartialEq)]
pub enum MockSource {
    /// The same answer every time.
    Answer(MockAnswer),
    /// One answer after the other.
    Sequence {
        /// At least one.
        answers: Vec<MockAnswer>,
        /// What comes after the last.
        end: SequenceEnd,
    },
    /// What is in a collection, and what is done to it.
    Collection(CollectionMock),
}

/// A mock that stands for a collection.
#[derive(Debug, Clone, PartialEq)]
pub struct CollectionMock {
    /// `[collection.NAME]`
    pub name: String,
    /// The path parameter that is an item's id; none where the route is the
    /// whole collection.
    pub item: Option<String>,
    /// Other path parameters: fields that items have to have.
    pub parents: Vec<String>,
    /// Headers in the order of the file.
    pub headers: Vec<(HeaderName, TextTemplate)>,
    /// How long answers are held back.
    pub delay: Delay,
    /// What goes wrong instead.
    pub fault: Option<Fault>,
}

/// `[record]`.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordConfig {
    /// The upstream as the file names it.
    pub upstream: String,
    /// How it is called.
    pub endpoint: Arc<HttpConfig>,
    /// Where answers are kept, absolute.
    pub file: PathBuf,
}

/// One `[collection.NAME]`.
#[derive(Debug, Clone, PartialEq)]
pub struct CollectionConfig {
    /// The field that names an item.
    pub id: String,
    /// What is made for an item without one.
    pub ids: IdKind,
    /// What is in it from the start.
    pub items: Arc<Vec<Map<String, Value>>>,
    /// The most items.
    pub items_max: usize,
    /// The most bytes that all of them take as JSON.
    pub bytes_max: usize,
}

/// What an id is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdKind {
    /// The next number.
    Integer,
    /// A random UUID.
    Uuid,
}

/// An id as paths have it: a string, or an integer in digits.
pub fn id_text(id: &Value) -> Option<String> {
    match id {
        Value::String(text) if (1..=ID_BYTES_MAX).contains(&text.len()) => Some(text.clone()),
        Value::Number(number) if !number.is_f64() => Some(number.to_string()),
        _ => None,
    }
}

/// The longest id, in bytes.
pub const ID_BYTES_MAX: usize = 256;

/// What a sequence answers when it is through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SequenceEnd {
    /// The last answer again.
    Last,
    /// All of them again.
    Repeat,
}

/// One answer: fixed but for its placeholders.
#[derive(Debug, Clone, PartialEq)]
pub struct MockAnswer {
    /// The status code, 200 by default.
    pub status: StatusCode,
    /// Headers in the order of the file.
    pub headers: Vec<(HeaderName, TextTemplate)>,
    /// The body.
    pub body: MockBody,
    /// How long the answer is held back.
    pub delay: Delay,
    /// What goes wrong instead.
    pub fault: Option<Fault>,
}

/// What goes wrong with a connection, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// What.
    pub kind: FaultKind,
    /// In how many of a hundred requests, on average.
    pub percent: u8,
}

/// What a connection does instead of answering. A stream of HTTP/2 is reset,
/// whichever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// It is reset.
    Reset,
    /// It is closed without an answer.
    Empty,
    /// It is closed after half of the body.
    Truncated,
    /// It is closed after bytes that are not HTTP.
    Garbage,
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reset => "reset: the connection is reset",
            Self::Empty => "empty: the connection is closed without an answer",
            Self::Truncated => "truncated: the connection is closed after half of the body",
            Self::Garbage => "garbage: the connection is closed after bytes that are not HTTP",
        })
    }
}

/// An answer's body: at most one of `body` and `json`.
#[derive(Debug, Clone, PartialEq)]
pub enum MockBody {
    /// No body.
    Empty,
    /// `body`: text, `text/plain` unless a header says otherwise.
    Text(TextTemplate),
    /// `json`: any TOML value, `application/json` unless a header says otherwise.
    Json(JsonTemplate),
    /// One of these that is the same for every request, and its type.
    Fixed(Bytes, &'static str),
}

impl MockBody {
    /// The type of `body`.
    pub const TEXT: &str = "text/plain; charset=utf-8";
    /// The type of `json`.
    pub const JSON: &str = "application/json";

    /// That of `body`.
    pub fn text(template: TextTemplate) -> Self {
        match template.fixed() {
            Some(text) => Self::Fixed(text.into(), Self::TEXT),
            None => Self::Text(template),
        }
    }

    /// That of `json`.
    pub fn json(template: JsonTemplate) -> Self {
        match template.fixed().map(|value| value.to_string()) {
            // A longer one is refused when it is asked for.
            Some(text) if text.len() <= OUTPUT_BYTES_MAX => Self::Fixed(text.into(), Self::JSON),
            _ => Self::Json(template),
        }
    }
}

/// A time between two bounds, any of them as likely as any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delay {
    /// The shortest.
    pub min: Duration,
    /// The longest.
    pub max: Duration,
}

impl Delay {
    /// No delay.
    pub const NONE: Self = Self { min: Duration::ZERO, max: Duration::ZERO };
}

/// The methods that the whole of a collection takes.
pub const COLLECTION_METHODS: &str = "GET, HEAD, POST";

/// The methods that one of its items takes.
pub const ITEM_METHODS: &str = "GET, HEAD, PUT, PATCH, DELETE";

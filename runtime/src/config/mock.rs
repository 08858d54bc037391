//! What the mock shorthand says: answers without code.

use std::time::Duration;

use http::{HeaderName, StatusCode};

use super::{
    condition::Condition,
    template::{JsonTemplate, TextTemplate},
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
}

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

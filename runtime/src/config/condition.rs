//! Conditions of a mock's rules: a part of the request, and what it is
//! tested for.

use std::{borrow::Cow, fmt};

use serde_json::{Number, Value};

use super::{
    SelectionPattern,
    template::{Lookup, at},
};

/// One entry of `when`.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// What is looked at.
    pub part: Part,
    /// What has to hold of it, all of it.
    pub tests: Vec<Test>,
}

/// A part of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// `method`
    Method,
    /// `path.NAME`
    Path(String),
    /// `query.NAME`: of several, the last
    Query(String),
    /// `header.NAME`
    Header(String),
    /// `body`, or `body.a.0.b`
    Body(Vec<String>),
}

/// One test of a part.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// It is there, or is not.
    Present(bool),
    /// It is one of these: strings, numbers and booleans.
    OneOf(Vec<Value>),
    /// It is none of these, or missing.
    Not(Vec<Value>),
    /// All of its text matches: `like` and `matches`.
    Matches(SelectionPattern),
    /// Its text has this in it; of an array, an element is this.
    Contains(String),
    /// It is a number, and at least this.
    Min(f64),
    /// It is a number, and at most this.
    Max(f64),
}

/// A part as a request has it.
enum Found<'r> {
    Text(Cow<'r, str>),
    Json(&'r Value),
}

impl Condition {
    /// Whether `request` fulfils it.
    pub fn holds<L: Lookup + ?Sized>(&self, request: &L) -> bool {
        let found = self.part.of(request);
        self.tests.iter().all(|test| test.holds(found.as_ref()))
    }

    /// Why it does not hold, for whoever wrote it.
    pub fn failure<L: Lookup + ?Sized>(&self, request: &L) -> Option<String> {
        if self.holds(request) {
            return None;
        }
        let found = if self.part.of(request).is_some() { "does not fit" } else { "is missing" };
        Some(format!("{} {found}", self.part))
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Method => f.write_str("method"),
            Self::Path(name) => write!(f, "path.{name}"),
            Self::Query(name) => write!(f, "query.{name}"),
            Self::Header(name) => write!(f, "header.{name}"),
            Self::Body(path) if path.is_empty() => f.write_str("body"),
            Self::Body(path) => write!(f, "body.{}", path.join(".")),
        }
    }
}

impl Part {
    fn of<'r, L: Lookup + ?Sized>(&self, request: &'r L) -> Option<Found<'r>> {
        match self {
            Self::Method => Some(Found::Text(Cow::Borrowed(request.method()))),
            Self::Path(name) => request.path(name).map(Found::Text),
            Self::Query(name) => request.query(name).map(Found::Text),
            Self::Header(name) => request.header(name).map(Found::Text),
            Self::Body(path) if path.is_empty() => {
                request.body_text().filter(|text| !text.is_empty()).map(Found::Text)
            }
            Self::Body(path) => at(request.body_json(), path).map(Found::Json),
        }
    }
}

impl Test {
    fn holds(&self, found: Option<&Found<'_>>) -> bool {
        match (self, found) {
            (Self::Present(wanted), found) => found.is_some() == *wanted,
            (Self::Not(_), None) => true,
            (_, None) => false,
            (Self::OneOf(wanted), Some(found)) => wanted.iter().any(|wanted| found.equals(wanted)),
            (Self::Not(refused), Some(found)) => {
                !refused.iter().any(|refused| found.equals(refused))
            }
            // A pattern that takes too long matches nothing.
            (Self::Matches(pattern), Some(found)) => {
                pattern.regex.is_match(&found.text()).unwrap_or(false)
            }
            (Self::Contains(wanted), Some(Found::Json(Value::Array(items)))) => {
                items.iter().any(|item| Found::Json(item).text() == *wanted)
            }
            (Self::Contains(wanted), Some(found)) => found.text().contains(wanted),
            (Self::Min(min), Some(found)) => found.number().is_some_and(|number| number >= *min),
            (Self::Max(max), Some(found)) => found.number().is_some_and(|number| number <= *max),
        }
    }
}

impl Found<'_> {
    fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Json(Value::String(text)) => Cow::Borrowed(text),
            Self::Json(other) => Cow::Owned(other.to_string()),
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Self::Text(text) => text.parse().ok().filter(|number: &f64| number.is_finite()),
            Self::Json(value) => value.as_f64(),
        }
    }

    /// Text has no type of its own: it takes that of what it is compared to.
    fn equals(&self, wanted: &Value) -> bool {
        match (self, wanted) {
            (Self::Text(text), Value::String(wanted)) => text == wanted,
            (Self::Text(_), Value::Number(wanted)) => self.number() == wanted.as_f64(),
            (Self::Text(text), wanted) => *text == wanted.to_string(),
            (Self::Json(Value::Number(number)), Value::Number(wanted)) => equal(number, wanted),
            (Self::Json(value), wanted) => *value == wanted,
        }
    }
}

/// 1 and 1.0 are the same number, as they are to JavaScript.
fn equal(one: &Number, other: &Number) -> bool {
    one == other || one.as_f64() == other.as_f64() && !(one.is_i64() && other.is_i64())
}

#[cfg(test)]
mod tests {
    use fancy_regex::Regex;
    use serde_json::json;

    use super::*;

    fn holds(test: Test, found: Option<Found<'_>>) -> bool {
        test.holds(found.as_ref())
    }

    fn text(text: &str) -> Option<Found<'_>> {
        Some(Found::Text(Cow::Borrowed(text)))
    }

    #[test]
    fn text_takes_the_type_of_what_it_is_compared_to() {
        assert!(holds(Test::OneOf(vec![json!("1")]), text("1")));
        assert!(holds(Test::OneOf(vec![json!(1)]), text("1.0")));
        assert!(holds(Test::OneOf(vec![json!(2), json!(true)]), text("true")));
        assert!(!holds(Test::OneOf(vec![json!(1)]), text("x")));
        assert!(!holds(Test::OneOf(vec![json!(1)]), None));
        assert!(holds(Test::Not(vec![json!(1)]), None));
        assert!(!holds(Test::Not(vec![json!(1), json!(2)]), text("2")));
    }

    #[test]
    fn json_keeps_its_type() {
        let one = json!(1);
        assert!(holds(Test::OneOf(vec![json!(1.0)]), Some(Found::Json(&one))));
        assert!(!holds(Test::OneOf(vec![json!("1")]), Some(Found::Json(&one))));
        let large = json!(9_007_199_254_740_993_i64);
        let near = json!(9_007_199_254_740_992_i64);
        assert!(!holds(Test::OneOf(vec![near]), Some(Found::Json(&large))));
        let null = Value::Null;
        assert!(holds(Test::Present(true), Some(Found::Json(&null))));
        let list = json!(["a", 2]);
        assert!(holds(Test::Contains("2".to_owned()), Some(Found::Json(&list))));
        assert!(!holds(Test::Contains("b".to_owned()), Some(Found::Json(&list))));
    }

    #[test]
    fn numbers_are_compared_and_patterns_matched() {
        assert!(holds(Test::Min(2.0), text("2")) && holds(Test::Max(2.0), text("2")));
        for no_number in ["", "x", "NaN", "inf"] {
            assert!(!holds(Test::Min(-1.0), text(no_number)), "{no_number:?}");
        }
        let regex = Regex::new("^(?:a.*)\\z").expect("a pattern");
        let pattern = SelectionPattern { text: "a.*".to_owned(), regex };
        assert!(holds(Test::Matches(pattern.clone()), text("abc")));
        assert!(!holds(Test::Matches(pattern), text("cab")));
        assert!(holds(Test::Contains("b".to_owned()), text("abc")));
        assert!(holds(Test::Present(false), None) && !holds(Test::Present(true), None));
    }
}

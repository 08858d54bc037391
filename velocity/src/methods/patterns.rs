//! Regular expressions. What stands in a template as it is, is compiled when
//! the template is parsed: that takes longer than most renderings.

use std::{borrow::Cow, collections::HashMap};

use fancy_regex::{Regex, RegexBuilder};

use super::Failure;

/// Backtracking steps of one regular expression.
const BACKTRACKS_MAX: usize = 200_000;

/// The compiled size of one regular expression, in bytes.
const REGEX_BYTES_MAX: usize = 1024 * 1024;

/// Of one that is kept, and how many of them a template keeps.
const KEPT_BYTES_MAX: usize = 64 * 1024;
const KEPT_MAX: usize = 32;

/// The patterns of a template, compiled.
#[derive(Debug)]
pub struct Patterns(HashMap<Box<str>, Regex>);

impl Patterns {
    /// Of the constants that methods are called with. What is no pattern, or
    /// too large a one, is left to the call.
    pub fn of(constants: &[(Box<str>, Box<str>)]) -> Self {
        let pattern = |(method, text): &(Box<str>, Box<str>)| match &**method {
            "matches" => Some(whole(text).into()),
            "split" | "replaceAll" | "replaceFirst" => Some(text.clone()),
            _ => None,
        };
        let patterns = constants.iter().filter_map(pattern).take(KEPT_MAX);
        let compiled = |pattern: Box<str>| {
            let regex = compile(&pattern, KEPT_BYTES_MAX).ok()?;
            Some((pattern, regex))
        };
        Self(patterns.filter_map(compiled).collect())
    }

    pub fn get(&self, pattern: &str) -> Result<Cow<'_, Regex>, Failure> {
        match self.0.get(pattern) {
            Some(regex) => Ok(Cow::Borrowed(regex)),
            None => compile(pattern, REGEX_BYTES_MAX).map(Cow::Owned),
        }
    }
}

/// The pattern that matches a text from its beginning to its end.
pub fn whole(pattern: &str) -> String {
    format!("^(?:{pattern})\\z")
}

fn compile(pattern: &str, bytes_max: usize) -> Result<Regex, Failure> {
    RegexBuilder::new(pattern)
        .backtrack_limit(BACKTRACKS_MAX)
        .delegate_size_limit(bytes_max)
        .delegate_dfa_size_limit(bytes_max)
        .build()
        .map_err(|error| {
            Failure::exception("java.util.regex.PatternSyntaxException", format!("{error}"))
        })
}

pub fn too_hard(error: fancy_regex::Error) -> Failure {
    Failure::Limit(format!("a regular expression took too long: {error}"))
}

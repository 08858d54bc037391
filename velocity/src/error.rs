//! What can go wrong with a template.

use std::fmt;

/// Why a template cannot be parsed or rendered, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Which kind of trouble.
    pub kind: ErrorKind,
    /// The line, from 1; in a string literal that is itself a template, its.
    pub line: usize,
    /// The column, in characters from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

/// Which kind of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The text is no template.
    Parse,
    /// A method failed, as Java's would have thrown an exception.
    Render,
    /// One of the [`Limits`](crate::Limits) was reached.
    Limit,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for Error {}

/// Line and column of an offset, both from 1.
pub fn place(text: &str, at: usize) -> (usize, usize) {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let before = &text[..at];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

//! Mapping templates: Apache Velocity as Amazon API Gateway runs it.
//!
//! A [`Template`] is parsed once and rendered many times. Whatever the text
//! and the values are, both end: nesting, steps and output are bounded by
//! [`Limits`], and errors name line and column.
//!
//! ```
//! use mayfly_velocity::{Context, Template, Value};
//!
//! let template = Template::parse("Hello, $name#if($loud)!#end")?;
//! let mut context = Context::new();
//! context.set("name", "Ada");
//! context.set("loud", Value::Bool(true));
//! assert_eq!(template.render(&context)?.text, "Hello, Ada!");
//! # Ok::<(), mayfly_velocity::Error>(())
//! ```
//!
//! The language is that of Velocity 1.7, with its whitespace rules and odd
//! corners. API Gateway differs from it in some points, which are the default;
//! [`Profile::Plain`] is Velocity itself:
//!
//! | | API Gateway | plain |
//! | --- | --- | --- |
//! | `$undefined` | is the empty string: true in `#if`, and it can be assigned | is null: shown as it is written, false, not assigned |
//! | `#macro` | the definition vanishes, calls stay as text | defines a macro |
//! | `#evaluate` | stays as text | renders its argument |
//!
//! Neither finds files: `#parse` and `#include` stay as text. A macro's
//! arguments are evaluated once, where Velocity does it at each use.

mod ast;
mod error;
mod host;
mod lexer;
mod methods;
mod names;
mod number;
mod parser;
mod render;
mod value;

use std::{collections::HashMap, sync::Arc};

pub use error::{Error, ErrorKind};
pub use host::{Context, Host, Object};
pub use number::Number;
pub use render::Output;
pub use value::{Key, List, ListKind, Map, TooDeep, Value};

/// Whose rules hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// API Gateway's mapping templates.
    #[default]
    Service,
    /// Apache Velocity 1.7 with its default settings.
    Plain,
}

/// What a template may take. Each has a default that no sane template reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The longest template, in bytes (API Gateway's is 300 KB).
    pub template_bytes_max: usize,
    /// How deep blocks, lists, calls and strings may be nested.
    pub nesting_max: usize,
    /// Steps of a rendering: one for each node, item and loop turn, and one
    /// for every 16 bytes that are made.
    pub steps_max: usize,
    /// The longest output, in bytes; also the longest string.
    pub output_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            template_bytes_max: 1024 * 1024,
            nesting_max: 100,
            steps_max: 5_000_000,
            output_bytes_max: 10 * 1024 * 1024,
        }
    }
}

/// A parsed template.
#[derive(Debug)]
pub struct Template {
    text: Box<str>,
    profile: Profile,
    limits: Limits,
    nodes: ast::Block,
    /// Of macros with one name the first.
    macros: HashMap<Box<str>, Arc<ast::Macro>>,
    known: parser::Known,
    patterns: methods::Patterns,
}

impl Template {
    /// Parses a mapping template with the default limits.
    ///
    /// # Errors
    /// [`Error`] with line and column where the text is no template.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Self::parse_with(text, Profile::default(), Limits::default())
    }

    /// Parses a template.
    ///
    /// # Errors
    /// [`Error`] with line and column where the text is no template.
    ///
    /// ```
    /// use mayfly_velocity::{Context, Limits, Profile, Template};
    ///
    /// let text = "#macro(b $x)<b>$x</b>#end#b('hi') $nobody";
    /// let template = Template::parse_with(text, Profile::Plain, Limits::default())?;
    /// assert_eq!(template.render(&Context::new())?.text, "<b>hi</b> $nobody");
    /// let template = Template::parse(text)?;
    /// assert_eq!(template.render(&Context::new())?.text, "#b('hi') ");
    /// # Ok::<(), mayfly_velocity::Error>(())
    /// ```
    pub fn parse_with(text: &str, profile: Profile, limits: Limits) -> Result<Self, Error> {
        let parser::Parsed { nodes, macros, known } = parser::parse(text, profile, &limits)?;
        let mut by_name = HashMap::new();
        for found in macros {
            by_name.entry(found.name.clone()).or_insert(found);
        }
        let patterns = methods::Patterns::of(&known.constants);
        Ok(Self { text: text.into(), profile, limits, nodes, macros: by_name, known, patterns })
    }

    /// What the template renders to, where that is the same for all hosts.
    pub fn constant(&self) -> Option<&str> {
        match &*self.nodes {
            [] => Some(""),
            [ast::Node::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The constant texts that methods of a name are called with first, so
    /// that a host may prepare for them.
    ///
    /// ```
    /// # use mayfly_velocity::Template;
    /// let template = Template::parse("$input.json('$.a') $input.json($b) \"$input.json('$.c')\"")?;
    /// assert_eq!(template.constants("json").collect::<Vec<_>>(), ["$.a", "$.c"]);
    /// # Ok::<(), mayfly_velocity::Error>(())
    /// ```
    pub fn constants(&self, method: &str) -> impl Iterator<Item = &str> {
        let own = move |(name, _): &&(Box<str>, Box<str>)| **name == *method;
        self.known.constants.iter().filter(own).map(|(_, text)| &**text)
    }

    /// Renders the template.
    ///
    /// # Errors
    /// [`Error`] where a method fails or a limit is reached.
    pub fn render(&self, host: &dyn Host) -> Result<Output<'_>, Error> {
        render::render(self, host)
    }
}

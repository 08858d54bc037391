//! The variables that a template names, each with a place of its own.

use indexmap::IndexSet;

/// The place of a variable among those that a template names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Name(usize);

impl Name {
    /// The variables that the language itself sets.
    pub const FOREACH: Self = Self(0);
    pub const VELOCITY_COUNT: Self = Self(1);
    pub const VELOCITY_HAS_NEXT: Self = Self(2);
    pub const BODY_CONTENT: Self = Self(3);

    pub fn place(self) -> usize {
        self.0
    }
}

/// What is at which place.
#[derive(Debug, Clone)]
pub struct Names(IndexSet<Box<str>>);

impl Default for Names {
    fn default() -> Self {
        let own = ["foreach", "velocityCount", "velocityHasNext", "bodyContent"];
        Self(own.into_iter().map(Box::from).collect())
    }
}

impl Names {
    /// The place of a variable, a new one if it has none.
    pub fn add(&mut self, text: &str) -> Name {
        self.find(text).unwrap_or_else(|| Name(self.0.insert_full(text.into()).0))
    }

    pub fn find(&self, text: &str) -> Option<Name> {
        self.0.get_index_of(text).map(Name)
    }

    pub fn text(&self, name: Name) -> &str {
        self.0.get_index(name.0).map_or("", |text| text)
    }

    /// How many places there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

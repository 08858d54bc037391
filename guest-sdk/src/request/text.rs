//! Texts of a request: parts of its event, as long as nothing has to be undone
//! there.

use std::borrow::Cow;

/// A text of a request.
#[derive(Debug, Clone)]
pub enum Text {
    /// A part of the event: where it begins and ends.
    Part(usize, usize),
    /// One that stands there in another form, or nowhere.
    Own(String),
}

/// Names and values in order; a name may come again.
pub type Pairs = Vec<(Text, Text)>;

impl Text {
    /// Keeps what was read from `event`.
    pub fn keep(text: Cow<'_, str>, event: &str) -> Self {
        match text {
            Cow::Owned(text) => Self::Own(text),
            Cow::Borrowed(text) => {
                let begin = text.as_ptr().addr().checked_sub(event.as_ptr().addr());
                let part = begin.map(|begin| (begin, begin.saturating_add(text.len())));
                match part.filter(|(_, end)| *end <= event.len()) {
                    Some((begin, end)) => Self::Part(begin, end),
                    None => Self::Own(text.to_owned()),
                }
            }
        }
    }

    /// The text, of which `event` has the part.
    pub fn get<'t>(&'t self, event: &'t str) -> &'t str {
        match self {
            Self::Part(begin, end) => event.get(*begin..*end).unwrap_or_default(),
            Self::Own(text) => text,
        }
    }
}

impl Default for Text {
    fn default() -> Self {
        Self::Own(String::new())
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::Own(text.to_owned())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::Own(text)
    }
}

/// Pairs that stand nowhere in the event.
pub fn own(pairs: impl Iterator<Item = (String, String)>) -> Pairs {
    pairs.map(|(name, value)| (name.into(), value.into())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_parts_of_the_event_are_kept_as_parts() {
        let event = String::from("one two");
        for (text, is_part) in [
            (Cow::Borrowed(&event[4..]), true),
            (Cow::Borrowed(""), false),
            (Cow::Borrowed("two"), false),
            (Cow::Owned("two".to_owned()), false),
        ] {
            let kept = Text::keep(text.clone(), &event);
            assert_eq!(kept.get(&event), text);
            assert_eq!(matches!(kept, Text::Part(..)), is_part, "{text}");
        }
    }
}

//! The function that a route names: its name, or a name for each stage, with
//! `${stageVariables.NAME}` in it; perhaps with a version or alias behind it.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use super::{function_name, is_qualifier};
use crate::sandbox::LATEST;

const OPEN: &str = "${stageVariables.";

/// A function's name, perhaps with stage variables in it.
#[derive(Clone, PartialEq, Eq)]
pub struct FunctionName(Vec<Piece>);

#[derive(Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    StageVariable(String),
}

impl FunctionName {
    /// A name as it is.
    pub fn fixed(name: &str) -> Self {
        Self(vec![Piece::Literal(name.to_owned())])
    }

    /// Reads a name.
    ///
    /// # Errors
    /// What a name may be.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut sample = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once(OPEN) {
            let Some((name, after)) = after.split_once('}').filter(|(name, _)| !name.is_empty())
            else {
                return Err("write ${stageVariables.NAME}".to_owned());
            };
            pieces.push(Piece::Literal(before.to_owned()));
            pieces.push(Piece::StageVariable(name.to_owned()));
            sample.push_str(before);
            sample.push('v');
            rest = after;
        }
        pieces.push(Piece::Literal(rest.to_owned()));
        sample.push_str(rest);
        let (name, qualifier) = sample.split_once(':').unwrap_or((&sample, LATEST));
        function_name(name)?;
        if !is_qualifier(qualifier) {
            return Err("write NAME:QUALIFIER with a version's number or an alias".to_owned());
        }
        pieces.retain(|piece| !matches!(piece, Piece::Literal(text) if text.is_empty()));
        Ok(Self(pieces))
    }

    /// The name on a stage with these variables.
    ///
    /// # Errors
    /// The variable that the stage has not.
    pub fn on_stage(&self, variables: &BTreeMap<String, String>) -> Result<Cow<'_, str>, &str> {
        if let [Piece::Literal(name)] = &*self.0 {
            return Ok(Cow::Borrowed(name));
        }
        let parts: Result<Vec<&str>, &str> = self
            .0
            .iter()
            .map(|piece| match piece {
                Piece::Literal(text) => Ok(text.as_str()),
                Piece::StageVariable(name) => {
                    variables.get(name).map(String::as_str).ok_or(name.as_str())
                }
            })
            .collect();
        parts.map(|parts| Cow::Owned(parts.concat()))
    }

    /// The names of its stage variables.
    pub fn stage_variables(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::StageVariable(name) => Some(name.as_str()),
            Piece::Literal(_) => None,
        })
    }
}

impl fmt::Display for FunctionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Literal(text) => f.write_str(text),
            Piece::StageVariable(name) => write!(f, "{OPEN}{name}}}"),
        })
    }
}

impl fmt::Debug for FunctionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stage_has_its_name() {
        let name = FunctionName::parse("pets-${stageVariables.alias}").expect("a name");
        let variables = [("alias".to_owned(), "blue".to_owned())].into();
        assert_eq!(name.on_stage(&variables).as_deref(), Ok("pets-blue"));
        assert_eq!(name.on_stage(&BTreeMap::new()), Err("alias"));
        assert_eq!(name.to_string(), "pets-${stageVariables.alias}");
        let name = FunctionName::parse("pets").expect("a name");
        assert_eq!(name.on_stage(&BTreeMap::new()).as_deref(), Ok("pets"));
        let name = FunctionName::parse("pets:${stageVariables.alias}").expect("a name");
        assert_eq!(name.on_stage(&variables).as_deref(), Ok("pets:blue"));
        for wrong in [
            "",
            "a b",
            ":live",
            "pets:",
            "pets:a:b",
            "pets:a b",
            "${stageVariables.}",
            "${stageVariables.a",
            "${a}",
            "{a}",
        ] {
            assert!(FunctionName::parse(wrong).is_err(), "{wrong}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_name_or_an_error(text in "(a|[$]|[{]|[}]|[$][{]stageVariables[.]|\\PC){0,10}") {
            if let Ok(name) = FunctionName::parse(&text) {
                proptest::prop_assert_eq!(name.to_string(), text);
            }
        }
    }
}

//! References: a variable, and what is done to it.

use super::{Parser, offset};
use crate::{
    ast::{Expression, Form, Reference, Step},
    error::Error,
    lexer::Kind,
};

impl Parser<'_> {
    pub(super) fn reference(&mut self) -> Result<Reference, Error> {
        let first = self.index;
        let formal = self.skip(Kind::CurlyOpen)?;
        let name = self.expect(Kind::Identifier)?;
        let mut steps = Vec::new();
        self.indexes(&mut steps)?;
        while self.peek()? == Kind::Dot && self.peek_at(1)? == Kind::Identifier {
            self.take()?;
            if self.is_method_next()? {
                steps.push(self.nested(Self::method)?);
            } else {
                let index = self.take()?;
                steps.push(Step::Property(self.tokens[index].image.as_str().into()));
            }
            self.indexes(&mut steps)?;
        }
        if formal {
            self.expect(Kind::CurlyClose)?;
        }
        Ok(self.finish_reference(first, name, steps))
    }

    fn indexes(&mut self, steps: &mut Vec<Step>) -> Result<(), Error> {
        while self.skip(Kind::IndexOpen)? {
            self.skip(Kind::Whitespace)?;
            let index = match self.peek()? {
                Kind::String
                | Kind::Integer
                | Kind::True
                | Kind::False
                | Kind::Identifier
                | Kind::CurlyOpen => self.value()?,
                _ => return Err(self.unexpected("an index")),
            };
            self.skip(Kind::Whitespace)?;
            self.expect(Kind::IndexClose)?;
            steps.push(Step::Index(index));
        }
        Ok(())
    }

    /// A name, a parenthesis and something that may follow it.
    fn is_method_next(&mut self) -> Result<bool, Error> {
        if self.peek_at(1)? != Kind::ParenOpen {
            return Ok(false);
        }
        Ok(matches!(
            self.peek_at(2)?,
            Kind::Whitespace
                | Kind::String
                | Kind::Integer
                | Kind::Float
                | Kind::ListOpen
                | Kind::MapOpen
                | Kind::True
                | Kind::False
                | Kind::Identifier
                | Kind::CurlyOpen
                | Kind::CallClose
        ))
    }

    fn method(&mut self) -> Result<Step, Error> {
        let name = self.expect(Kind::Identifier)?;
        let name: Box<str> = self.tokens[name].image.as_str().into();
        self.expect(Kind::ParenOpen)?;
        let mut arguments = Vec::new();
        if self.peek()? != Kind::CallClose {
            arguments.push(self.parameter()?);
            while self.skip(Kind::Comma)? {
                arguments.push(self.parameter()?);
            }
        }
        self.expect(Kind::CallClose)?;
        if let Some(Expression::Text(text)) = arguments.first() {
            self.known.constants.push((name.clone(), text.clone()));
        }
        Ok(Step::Method(name, arguments))
    }

    /// What the first token's own text says of the reference.
    fn finish_reference(&mut self, first: usize, name: usize, steps: Vec<Step>) -> Reference {
        let root: Box<str> = self.tokens[name].image.as_str().into();
        let at = self.tokens[first].at;
        if self.tokens[first].image.contains("\\!") {
            return self.slashed_bang(first, at);
        }
        let image = self.tokens[first].image.clone();
        let slashes = image.len() - image.trim_start_matches('\\').len();
        let dollar = image.rfind('$').unwrap_or(slashes).max(slashes);
        let shown = &image[dollar..];
        // A literal that this stands in shows it without what led to it.
        self.tokens[first].image = shown.to_owned();
        self.tokens[first].at += dollar;
        let quiet = shown.starts_with("$!");
        let escaped = slashes & 1 == 1;
        let literal = format!("{shown}{}", self.images(first + 1, self.index));
        let mut form = Form {
            quiet,
            escaped,
            runt: None,
            escapes: image[..slashes / 2].into(),
            prefix: image[slashes..dollar].into(),
            null: if quiet && !escaped { "".into() } else { literal.into() },
        };
        let root = match shown {
            "${" | "$!{" => &root,
            _ if quiet => &shown[2..],
            _ => shown.strip_prefix('$').unwrap_or_else(|| {
                form.runt = Some(shown.into());
                shown
            }),
        };
        let variable = self.known.names.add(root);
        let assigned = self.known.names.add(shown.get(1..).unwrap_or_default());
        Reference { variable, assigned, steps, form, at: offset(at) }
    }

    /// `$\!a`: shown with one backslash less, and never a variable.
    fn slashed_bang(&mut self, first: usize, at: usize) -> Reference {
        let image = &self.tokens[first].image;
        let dollar = image.find('$').unwrap_or(0);
        let start = image[dollar..].find('\\').map_or(image.len(), |found| dollar + found);
        let count = image[start..].bytes().take_while(|&byte| byte == b'\\').count();
        let end = start + count.saturating_sub(1);
        let shown = format!("{}{}", &image[..end], &image[start + count..]);
        let variable = self.known.names.add(&shown);
        let form = Form { null: shown.into(), ..Form::default() };
        Reference { variable, assigned: variable, steps: Vec::new(), form, at: offset(at) }
    }
}

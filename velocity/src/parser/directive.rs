//! Directives that are called by name, and their arguments.

use std::sync::Arc;

use super::{BLOCK_DIRECTIVES, Parser, offset, with_specials};
use crate::{
    Profile,
    ast::{Argument, Block, Call, Expression, Macro, Node},
    error::Error,
    lexer::Kind,
};

impl Parser<'_> {
    pub(super) fn directive(&mut self) -> Result<Node, Error> {
        let first = self.take()?;
        let token = &self.tokens[first];
        let at = token.at;
        let name = match token.kind {
            Kind::BracketedWord => token.image.get(2..token.image.len() - 1),
            _ => token.image.get(1..),
        };
        let name = name.unwrap_or_default().to_owned();
        let known = self.is_directive(&name) || name == "evaluate";
        let block_call = name.starts_with('@');
        self.lexer.begin_directive();
        if !self.lexer.is_parenthesis_next() {
            self.lexer.end_directive();
            return self.without_arguments(&name, first, at);
        }
        self.skip(Kind::Whitespace)?;
        self.expect(Kind::ParenOpen)?;
        let mut arguments = Vec::new();
        while self.is_argument_next()? {
            self.skip(Kind::Whitespace)?;
            if self.skip(Kind::Comma)? {
                self.skip(Kind::Whitespace)?;
            }
            let from = self.index;
            let value = self.argument()?;
            if let Expression::Word(word) = &value {
                let allowed = match name.as_str() {
                    "foreach" => arguments.len() == 1,
                    "macro" => arguments.is_empty(),
                    _ => !self.is_directive(&name),
                };
                if !allowed {
                    let place = self.tokens[from].at;
                    return Err(self.error(place, format!("#{name} takes no bare word {word:?}")));
                }
            }
            arguments.push(Argument { value, literal: self.written(from).into() });
        }
        self.skip(Kind::Whitespace)?;
        self.expect(Kind::ParenClose)?;
        let has_block = BLOCK_DIRECTIVES.contains(&name.as_str()) || (block_call && !known);
        if !has_block {
            return self.line_directive(name, arguments, first, at);
        }
        let from = self.index;
        let body = self.block()?;
        let to = self.index;
        self.expect(Kind::End)?;
        self.block_directive(name, arguments, body, (first, from, to))
    }

    fn without_arguments(&self, name: &str, first: usize, at: usize) -> Result<Node, Error> {
        Ok(match name {
            "break" => Node::Break { scope: None, at: offset(at) },
            "stop" => Node::Stop,
            "macro" => return Err(self.error(at, "#macro needs its name in parentheses")),
            _ if BLOCK_DIRECTIVES.contains(&name) => {
                return Err(self.error(at, format!("#{name} needs parentheses")));
            }
            "evaluate" if self.profile == Profile::Plain => {
                return Err(self.error(at, "#evaluate needs its template in parentheses"));
            }
            _ => Node::Call(Arc::new(Call {
                name: name.into(),
                arguments: Vec::new(),
                body: None,
                literal: self.tokens[first].image.as_str().into(),
                at: offset(at),
            })),
        })
    }

    fn line_directive(
        &self,
        name: String,
        mut arguments: Vec<Argument>,
        first: usize,
        at: usize,
    ) -> Result<Node, Error> {
        let at_most_one = |what: &str| {
            let message = format!("#{name} takes {what}");
            if arguments.len() > 1 { Err(self.error(at, message)) } else { Ok(()) }
        };
        match name.as_str() {
            "break" => {
                at_most_one("one scope at most")?;
                let scope = arguments.pop().map(|argument| argument.value);
                Ok(Node::Break { scope, at: offset(at) })
            }
            "stop" => {
                at_most_one("one message at most")?;
                Ok(Node::Stop)
            }
            "evaluate" if self.profile == Profile::Plain => {
                at_most_one("one template")?;
                match arguments.pop() {
                    Some(Argument { value, .. }) if is_template(&value) => {
                        Ok(Node::Evaluate { template: value, at: offset(at) })
                    }
                    Some(_) => Err(self.error(at, "#evaluate takes a string or a reference")),
                    None => Err(self.error(at, "#evaluate needs a template")),
                }
            }
            _ => Ok(Node::Call(Arc::new(Call {
                name: name.into(),
                arguments,
                body: None,
                literal: self.images(first, self.index).into(),
                at: offset(at),
            }))),
        }
    }

    fn block_directive(
        &mut self,
        name: String,
        mut arguments: Vec<Argument>,
        body: Block,
        (first, from, to): (usize, usize, usize),
    ) -> Result<Node, Error> {
        let at = self.tokens[first].at;
        match name.as_str() {
            "foreach" => {
                // Without what there is to go through nothing is rendered.
                if arguments.len() == 2 {
                    return Ok(Node::Text("".into()));
                }
                let [variable, _, items] = arguments.as_mut_slice() else {
                    return Err(self.error(at, "#foreach is written #foreach($item in $items)"));
                };
                let Expression::Reference(variable) = &variable.value else {
                    return Err(self.error(at, "#foreach needs a variable before \"in\""));
                };
                Ok(Node::Foreach {
                    variable: variable.variable,
                    items: std::mem::replace(&mut items.value, Expression::Null),
                    body,
                    at: offset(at),
                })
            }
            "define" => match arguments.as_slice() {
                [Argument { literal, .. }] => {
                    let name = self.known.names.add(first_name(literal));
                    Ok(Node::Define { name, body })
                }
                _ => Err(self.error(at, "#define is written #define($name)")),
            },
            "macro" => self.define_macro(arguments, body, at),
            "literal" => {
                let literal: String = self.tokens[from..to].iter().map(with_specials).collect();
                Ok(Node::Text(literal.into()))
            }
            _ => Ok(Node::Call(Arc::new(Call {
                name: name[1..].into(),
                arguments,
                body: Some(body),
                literal: self.images(first, self.index).into(),
                at: offset(at),
            }))),
        }
    }

    /// The definition vanishes; in API Gateway so does the macro.
    fn define_macro(
        &mut self,
        arguments: Vec<Argument>,
        body: Block,
        at: usize,
    ) -> Result<Node, Error> {
        let mut arguments = arguments.into_iter();
        let Some(Argument { value: Expression::Word(name), .. }) = arguments.next() else {
            return Err(self.error(at, "#macro is written #macro(name $parameter)"));
        };
        let names = &mut self.known.names;
        let parameters =
            arguments.map(|argument| names.add(first_name(&argument.literal))).collect();
        self.known.macros.insert(name.clone());
        if self.profile == Profile::Plain {
            self.macros.push(Arc::new(Macro { name, parameters, body }));
        }
        Ok(Node::Text("".into()))
    }

    fn is_argument_next(&mut self) -> Result<bool, Error> {
        let begins = |kind: Kind| {
            matches!(
                kind,
                Kind::Identifier
                    | Kind::CurlyOpen
                    | Kind::Word
                    | Kind::String
                    | Kind::Integer
                    | Kind::Float
                    | Kind::MapOpen
                    | Kind::ListOpen
                    | Kind::True
                    | Kind::False
            )
        };
        Ok(match self.peek()? {
            Kind::Whitespace => {
                let next = self.peek_at(1)?;
                next == Kind::Comma || begins(next)
            }
            Kind::Comma => {
                let next = self.peek_at(1)?;
                next == Kind::Whitespace || begins(next)
            }
            kind => begins(kind),
        })
    }

    fn argument(&mut self) -> Result<Expression, Error> {
        if self.peek()? == Kind::Word {
            let index = self.take()?;
            return Ok(Expression::Word(self.tokens[index].image.as_str().into()));
        }
        self.value()
    }
}

/// What `#define` and `#macro` take for a name of `$name.more`. A formal one,
/// `${name}`, is one that no reference reaches.
fn first_name(literal: &str) -> &str {
    let name = literal.strip_prefix('$').unwrap_or_default();
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let end = name.find(|c| !inside(c)).unwrap_or(name.len());
    if end == 0 { "{" } else { &name[..end] }
}

fn is_template(argument: &Expression) -> bool {
    matches!(
        argument,
        Expression::Text(_) | Expression::Interpolated { .. } | Expression::Reference(_)
    )
}

//! Values, and operators between them.

use super::{Parser, parse_at_depth};
use crate::{
    Profile,
    ast::{Expression, Literals, Operator},
    error::{Error, ErrorKind},
    lexer::{Kind, Token},
    number::Number,
};

/// Operators that may stand in a row without parentheses.
const OPERATORS_MAX: usize = 500;

/// By precedence, the loosest first.
const OPERATORS: [&[(Kind, Operator)]; 6] = [
    &[(Kind::Or, Operator::Or)],
    &[(Kind::And, Operator::And)],
    &[(Kind::Equal, Operator::Equal), (Kind::NotEqual, Operator::NotEqual)],
    &[
        (Kind::Less, Operator::Less),
        (Kind::Greater, Operator::Greater),
        (Kind::LessOrEqual, Operator::LessOrEqual),
        (Kind::GreaterOrEqual, Operator::GreaterOrEqual),
    ],
    &[(Kind::Plus, Operator::Add), (Kind::Minus, Operator::Subtract)],
    &[
        (Kind::Multiply, Operator::Multiply),
        (Kind::Divide, Operator::Divide),
        (Kind::Modulus, Operator::Modulus),
    ],
];

impl Parser<'_> {
    /// A value without operators.
    pub(super) fn value(&mut self) -> Result<Expression, Error> {
        self.nested(|parser| match parser.peek()? {
            Kind::String => {
                let index = parser.take()?;
                parser.string(index)
            }
            Kind::Integer | Kind::Float => {
                let index = parser.take()?;
                let Token { kind, image, at, .. } = &parser.tokens[index];
                // A `#` that came before it is part of it, and not of a number.
                if image.starts_with(['#', '$', '\\']) {
                    return Err(parser.error(*at, format!("{image:?} is not a number")));
                }
                Ok(Expression::Number(match kind {
                    Kind::Integer => Number::integer(image),
                    _ => Number::float(image),
                }))
            }
            Kind::True | Kind::False => {
                let index = parser.take()?;
                Ok(Expression::Bool(parser.tokens[index].kind == Kind::True))
            }
            Kind::ListOpen if parser.is_range()? => parser.range(),
            Kind::ListOpen => parser.list(),
            Kind::MapOpen => parser.map(),
            Kind::Identifier | Kind::CurlyOpen => Ok(Expression::Reference(parser.reference()?)),
            _ => Err(parser.unexpected("a value")),
        })
    }

    /// A value with blanks around it.
    pub(super) fn parameter(&mut self) -> Result<Expression, Error> {
        self.skip(Kind::Whitespace)?;
        let value = self.value()?;
        self.skip(Kind::Whitespace)?;
        Ok(value)
    }

    /// Whether the bracket that comes next is closed after a `..` of its own.
    fn is_range(&mut self) -> Result<bool, Error> {
        let mut depth = 0_usize;
        for ahead in 0.. {
            match self.peek_at(ahead)? {
                Kind::ListOpen | Kind::MapOpen | Kind::ParenOpen | Kind::IndexOpen => depth += 1,
                Kind::ListClose
                | Kind::MapClose
                | Kind::CallClose
                | Kind::IndexClose
                | Kind::ParenClose => {
                    depth -= 1;
                    if depth == 0 {
                        return Ok(false);
                    }
                }
                Kind::Comma if depth == 1 => return Ok(false),
                Kind::DoubleDot if depth == 1 => return Ok(true),
                Kind::Eof => return Ok(false),
                _ => {}
            }
        }
        Ok(false)
    }

    fn range(&mut self) -> Result<Expression, Error> {
        self.expect(Kind::ListOpen)?;
        let from = self.bound()?;
        self.expect(Kind::DoubleDot)?;
        let to = self.bound()?;
        self.expect(Kind::ListClose)?;
        Ok(Expression::Range(Box::new((from, to))))
    }

    fn bound(&mut self) -> Result<Expression, Error> {
        self.skip(Kind::Whitespace)?;
        let bound = match self.peek()? {
            Kind::Identifier | Kind::CurlyOpen | Kind::Integer => self.value()?,
            _ => return Err(self.unexpected("an integer or a reference")),
        };
        self.skip(Kind::Whitespace)?;
        Ok(bound)
    }

    fn list(&mut self) -> Result<Expression, Error> {
        self.expect(Kind::ListOpen)?;
        let mut items = Vec::new();
        if self.peek()? != Kind::ListClose {
            items.push(self.parameter()?);
            while self.skip(Kind::Comma)? {
                items.push(self.parameter()?);
            }
        }
        self.expect(Kind::ListClose)?;
        Ok(Expression::List(items))
    }

    fn map(&mut self) -> Result<Expression, Error> {
        self.expect(Kind::MapOpen)?;
        let mut entries = Vec::new();
        let blank = self.peek()? == Kind::Whitespace;
        let closes = |kind| matches!(kind, Kind::MapClose | Kind::CurlyClose);
        if closes(self.peek_at(usize::from(blank))?) {
            self.skip(Kind::Whitespace)?;
        } else {
            loop {
                let key = self.parameter()?;
                self.expect(Kind::Colon)?;
                entries.push((key, self.parameter()?));
                if !self.skip(Kind::Comma)? {
                    break;
                }
            }
        }
        if !closes(self.peek()?) {
            return Err(self.unexpected("a closing brace"));
        }
        self.take()?;
        Ok(Expression::Map(entries))
    }

    /// A string literal, which is a template if it is in double quotes and has
    /// a `$` or a `#`.
    fn string(&mut self, index: usize) -> Result<Expression, Error> {
        let token = &self.tokens[index];
        let image = &token.image;
        let double = image.starts_with('"');
        let interpolated = double && image.contains(['$', '#']);
        let mut text = image[1..image.len() - 1].to_owned();
        if double {
            text = unescape(&text).ok_or_else(|| {
                self.error(token.at, "\\u needs four hexadecimal digits after it")
            })?;
            text = text.replace("\"\"", "\"");
        } else {
            text = text.replace("''", "'");
        }
        if !interpolated {
            return Ok(Expression::Text(text.into()));
        }
        let padded = !text.contains("##");
        if padded {
            // The grammar wants something after a last reference.
            text.push(' ');
        }
        let at = token.at;
        let known = std::mem::take(&mut self.known);
        let inner = parse_at_depth(&text, self.profile, self.limits, self.depth + 1, known);
        let inner = inner.map_err(|error| {
            let message = format!("in the string: {}", error.message);
            Error { kind: error.kind, ..self.error(at, message) }
        })?;
        self.macros.extend(inner.macros);
        self.known = inner.known;
        Ok(Expression::Interpolated { body: inner.nodes, padded })
    }

    pub(super) fn expression(&mut self) -> Result<Expression, Error> {
        self.nested(|parser| parser.binary(0))
    }

    /// Operators by precedence, the loosest first; all bind to the left.
    fn binary(&mut self, level: usize) -> Result<Expression, Error> {
        let Some(operators) = OPERATORS.get(level) else { return self.unary() };
        let from = self.index;
        let mut left = self.binary(level + 1)?;
        loop {
            let next = self.peek()?;
            let Some(&(_, operator)) = operators.iter().find(|(kind, _)| *kind == next) else {
                return Ok(left);
            };
            let left_literal = self.written(from).trim().to_owned();
            self.take()?;
            let right_from = self.index;
            let right = self.binary(level + 1)?;
            let literals = (operator == Operator::Add && self.profile == Profile::Plain)
                .then(|| Box::new((left_literal.into(), self.written(right_from).trim().into())));
            left = Expression::Binary {
                operator,
                sides: Box::new((left, right)),
                literals: Literals(literals),
            };
            self.check_chain(&left)?;
        }
    }

    /// A chain of operators is a tree as deep as it is long.
    fn check_chain(&self, expression: &Expression) -> Result<(), Error> {
        let mut depth = 0;
        let mut next = expression;
        while let Expression::Binary { sides, .. } = next {
            depth += 1;
            next = &sides.0;
        }
        if depth <= OPERATORS_MAX {
            return Ok(());
        }
        let at = self.tokens[self.index - 1].at;
        let message = format!("more than {OPERATORS_MAX} operators in a row");
        Err(Error { kind: ErrorKind::Limit, ..self.error(at, message) })
    }

    fn unary(&mut self) -> Result<Expression, Error> {
        let blank = self.peek()? == Kind::Whitespace;
        if self.peek_at(usize::from(blank))? == Kind::Not {
            self.skip(Kind::Whitespace)?;
            self.take()?;
            let inner = self.nested(Self::unary)?;
            return Ok(Expression::Not(Box::new(inner)));
        }
        self.skip(Kind::Whitespace)?;
        let value = if self.skip(Kind::ParenOpen)? {
            let inner = self.expression()?;
            self.expect(Kind::ParenClose)?;
            inner
        } else {
            self.value()?
        };
        self.skip(Kind::Whitespace)?;
        Ok(value)
    }
}

/// `\u0041` in a string; none where the digits are missing.
fn unescape(text: &str) -> Option<String> {
    let mut result = String::new();
    let mut units: Vec<u16> = Vec::new();
    let mut parts = text.split("\\u");
    result.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let digits = part.get(..4)?;
        // Java's parseInt takes a sign.
        units.push(u16::try_from(i32::from_str_radix(digits, 16).ok()? & 0xffff).ok()?);
        if part.len() > 4 {
            result.push_str(&String::from_utf16_lossy(&units));
            units.clear();
            result.push_str(&part[4..]);
        }
    }
    result.push_str(&String::from_utf16_lossy(&units));
    Some(result)
}

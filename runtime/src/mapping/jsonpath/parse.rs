//! From text to a path.

use super::{
    Function, Path, Step,
    filter::{Filter, Operand, Operator},
};

/// How deep parentheses and paths in filters may be nested.
const DEPTH_MAX: usize = 20;

/// The longest path, in bytes.
const PATH_BYTES_MAX: usize = 10_000;

impl std::str::FromStr for Path {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() > PATH_BYTES_MAX {
            return Err(format!("the JSONPath has more than {PATH_BYTES_MAX} bytes"));
        }
        let trimmed = text.trim();
        // Without a root it begins at the root.
        let full = match trimmed.starts_with(['$', '@']) {
            true => trimmed.to_owned(),
            false if trimmed.starts_with('[') => format!("${trimmed}"),
            false => format!("$.{trimmed}"),
        };
        let mut parser = Parser { text: &full, at: 0, depth: 0 };
        let path = parser.path(false)?;
        if parser.at < full.len() {
            return Err(parser.error("something that belongs to no path"));
        }
        Ok(path)
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn error(&self, what: &str) -> String {
        format!("the JSONPath {:?} has {what} at character {}", self.text, self.at + 1)
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn skip(&mut self, text: &str) -> bool {
        let there = self.rest().starts_with(text);
        if there {
            self.at += text.len();
        }
        there
    }

    fn blanks(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn expect(&mut self, text: &str) -> Result<(), String> {
        self.blanks();
        match self.skip(text) {
            true => Ok(()),
            false => Err(self.error(&format!("no {text:?}"))),
        }
    }

    fn take_while(&mut self, is: impl Fn(char) -> bool) -> String {
        let length = self.rest().find(|c| !is(c)).unwrap_or(self.rest().len());
        let taken = self.rest()[..length].to_owned();
        self.at += length;
        taken
    }

    /// A path; inside a filter it ends where an operator begins.
    fn path(&mut self, in_filter: bool) -> Result<Path, String> {
        let relative = self.skip("@");
        if !relative && !self.skip("$") {
            return Err(self.error("no root"));
        }
        let mut path = Path { relative, steps: Vec::new(), function: None };
        loop {
            if self.skip("..") {
                path.steps.push(Step::DeepScan);
                if self.peek() == Some('[') {
                    continue;
                }
            } else if self.rest().starts_with('[') {
                self.at += 1;
                let step = self.brackets()?;
                path.steps.push(step);
                continue;
            } else if !self.skip(".") {
                break;
            } else if self.peek() == Some('[') {
                continue;
            }
            if self.skip("*") {
                path.steps.push(Step::Wildcard);
                continue;
            }
            let end = |c: char| {
                matches!(c, '.' | '[' | '(')
                    || c.is_whitespace()
                    || (in_filter
                        && matches!(c, ')' | '=' | '!' | '<' | '>' | '&' | '|' | ',' | ']'))
            };
            let name = self.take_while(|c| !end(c));
            if name.is_empty() {
                return Err(self.error("an empty name"));
            }
            if self.skip("(") {
                self.expect(")")?;
                path.function = Some(function(&name).ok_or_else(|| {
                    self.error(&format!("the function {name}(), which is not known"))
                })?);
                break;
            }
            path.steps.push(Step::Property(name));
        }
        Ok(path)
    }

    /// What stands in brackets, up to and with the closing one.
    fn brackets(&mut self) -> Result<Step, String> {
        self.blanks();
        if self.skip("*") {
            self.expect("]")?;
            return Ok(Step::Wildcard);
        }
        if self.skip("?") {
            self.blanks();
            self.expect("(")?;
            let filter = self.or()?;
            self.expect(")")?;
            self.expect("]")?;
            return Ok(Step::Filter(filter));
        }
        if matches!(self.peek(), Some('\'' | '"')) {
            let mut names = vec![self.string()?];
            self.blanks();
            while self.skip(",") {
                self.blanks();
                names.push(self.string()?);
                self.blanks();
            }
            self.expect("]")?;
            return Ok(match names.len() {
                1 => Step::Property(names.remove(0)),
                _ => Step::Properties(names),
            });
        }
        self.numbers()
    }

    /// `[1]`, `[1,2]` and `[1:2]`.
    fn numbers(&mut self) -> Result<Step, String> {
        let first = self.number()?;
        self.blanks();
        if self.skip(":") {
            let to = self.number()?;
            self.expect("]")?;
            return Ok(Step::Slice(first, to));
        }
        let Some(first) = first else { return Err(self.error("no index")) };
        let mut indices = vec![first];
        while self.skip(",") {
            let next = self.number()?.ok_or_else(|| self.error("no index"))?;
            indices.push(next);
            self.blanks();
        }
        self.expect("]")?;
        Ok(match indices.as_slice() {
            [index] => Step::Index(*index),
            _ => Step::Indices(indices),
        })
    }

    fn number(&mut self) -> Result<Option<i64>, String> {
        self.blanks();
        let sign = if self.skip("-") { "-" } else { "" };
        let digits = self.take_while(|c| c.is_ascii_digit());
        if digits.is_empty() && sign.is_empty() {
            return Ok(None);
        }
        let number = format!("{sign}{digits}").parse();
        number.map(Some).map_err(|_| self.error("a number that is none"))
    }

    /// A quoted string; a backslash takes the next character as it is.
    fn string(&mut self) -> Result<String, String> {
        let quote = self.peek().filter(|c| matches!(c, '\'' | '"'));
        let Some(quote) = quote else { return Err(self.error("no quoted name")) };
        self.at += 1;
        let mut text = String::new();
        while let Some(character) = self.peek() {
            self.at += character.len_utf8();
            match character {
                '\\' => {
                    let Some(escaped) = self.peek() else { break };
                    self.at += escaped.len_utf8();
                    text.push(escaped);
                }
                _ if character == quote => return Ok(text),
                _ => text.push(character),
            }
        }
        Err(self.error("a string without its end"))
    }

    fn nested<T>(
        &mut self,
        body: impl FnOnce(&mut Self) -> Result<T, String>,
    ) -> Result<T, String> {
        if self.depth >= DEPTH_MAX {
            return Err(self.error("a filter that is nested too deeply"));
        }
        self.depth += 1;
        let result = body(self);
        self.depth -= 1;
        result
    }

    fn or(&mut self) -> Result<Filter, String> {
        let mut parts = vec![self.and()?];
        self.blanks();
        while self.skip("||") {
            parts.push(self.and()?);
            self.blanks();
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Filter::Any(parts) })
    }

    fn and(&mut self) -> Result<Filter, String> {
        let mut parts = vec![self.not()?];
        self.blanks();
        while self.skip("&&") {
            parts.push(self.not()?);
            self.blanks();
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Filter::All(parts) })
    }

    fn not(&mut self) -> Result<Filter, String> {
        self.nested(|parser| {
            parser.blanks();
            if parser.skip("!") {
                return Ok(Filter::Not(Box::new(parser.not()?)));
            }
            if parser.skip("(") {
                let inner = parser.or()?;
                parser.expect(")")?;
                return Ok(inner);
            }
            parser.comparison()
        })
    }

    fn comparison(&mut self) -> Result<Filter, String> {
        let left = self.operand()?;
        self.blanks();
        let Some(operator) = self.operator() else {
            return match left {
                Operand::Path(path) => Ok(Filter::Exists(path)),
                Operand::Value(_) => Err(self.error("a value that is compared with nothing")),
            };
        };
        self.blanks();
        let right = match operator {
            Operator::Matches => Operand::Value(self.pattern()?),
            _ => self.operand()?,
        };
        Filter::compare(left, operator, right)
    }

    fn operator(&mut self) -> Option<Operator> {
        for (text, operator) in [
            ("==", Operator::Equal),
            ("!=", Operator::NotEqual),
            ("<=", Operator::LessOrEqual),
            (">=", Operator::GreaterOrEqual),
            ("<", Operator::Less),
            (">", Operator::Greater),
            ("=~", Operator::Matches),
        ] {
            if self.skip(text) {
                return Some(operator);
            }
        }
        let word: String = self.rest().chars().take_while(char::is_ascii_alphabetic).collect();
        let operator = match word.to_ascii_lowercase().as_str() {
            "in" => Operator::In,
            "nin" => Operator::NotIn,
            "contains" => Operator::Contains,
            "size" => Operator::Size,
            "empty" => Operator::Empty,
            "subsetof" => Operator::SubsetOf,
            "anyof" => Operator::AnyOf,
            "noneof" => Operator::NoneOf,
            _ => return None,
        };
        self.at += word.len();
        Some(operator)
    }

    fn operand(&mut self) -> Result<Operand, String> {
        self.blanks();
        match self.peek() {
            Some('@' | '$') => self.nested(|parser| Ok(Operand::Path(parser.path(true)?))),
            Some('\'' | '"') => Ok(Operand::Value(self.string()?.into())),
            Some('[' | '{') => {
                let mut values = serde_json::Deserializer::from_str(self.rest()).into_iter();
                if let Some(Ok(value)) = values.next() {
                    let length = values.byte_offset();
                    self.at += length;
                    return Ok(Operand::Value(value));
                }
                self.list()
            }
            _ => {
                let word = self.take_while(|c| c.is_ascii_alphanumeric() || "+-._".contains(c));
                serde_json::from_str(&word)
                    .map(Operand::Value)
                    .map_err(|_| self.error(&format!("{word:?}, which is no value")))
            }
        }
    }

    /// `['a', 'b']`, which JSON does not have.
    fn list(&mut self) -> Result<Operand, String> {
        self.expect("[")?;
        let mut items = Vec::new();
        self.blanks();
        while !self.skip("]") {
            match self.nested(Self::operand)? {
                Operand::Value(value) => items.push(value),
                Operand::Path(_) => return Err(self.error("a path in a list")),
            }
            self.blanks();
            if !self.skip(",") && self.peek() != Some(']') {
                return Err(self.error("no ',' or ']'"));
            }
            self.blanks();
        }
        Ok(Operand::Value(items.into()))
    }

    /// `/pattern/flags`, as a pattern with its flags inside.
    fn pattern(&mut self) -> Result<serde_json::Value, String> {
        self.expect("/")?;
        let mut pattern = String::new();
        loop {
            let Some(character) = self.peek() else {
                return Err(self.error("a pattern without its end"));
            };
            self.at += character.len_utf8();
            match character {
                '/' => break,
                '\\' if self.peek() == Some('/') => {
                    self.at += 1;
                    pattern.push('/');
                }
                _ => pattern.push(character),
            }
        }
        let flags = self.take_while(|c| "imsxuU".contains(c)).replace(['u', 'U'], "");
        let flags = if flags.is_empty() { String::new() } else { format!("(?{flags})") };
        Ok(format!("^{flags}(?:{pattern})\\z").into())
    }
}

fn function(name: &str) -> Option<Function> {
    Some(match name {
        "length" | "size" => Function::Length,
        "min" => Function::Min,
        "max" => Function::Max,
        "avg" => Function::Avg,
        "sum" => Function::Sum,
        "stddev" => Function::StdDev,
        "keys" => Function::Keys,
        "first" => Function::First,
        "last" => Function::Last,
        _ => return None,
    })
}

//! From tokens to a tree: Velocity 1.7's grammar, by recursive descent with a
//! bound on its depth.

mod directive;
mod expression;
mod reference;

use std::{collections::HashSet, sync::Arc};

use crate::{
    Limits, Profile,
    ast::{Block, Expression, Macro, Node},
    error::{Error, ErrorKind, place},
    lexer::{Kind, Lexer, Token},
    names::Names,
};

/// What a template is made of.
#[derive(Debug)]
pub struct Parsed {
    pub nodes: Block,
    pub macros: Vec<Arc<Macro>>,
    pub known: Known,
}

/// What is known so far of a template, of all that stands in it, and of what
/// it stands in.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// What `#macro` named.
    pub macros: HashSet<Box<str>>,
    /// All variables.
    pub names: Names,
    /// The methods that are called with a constant text first, and that text.
    pub constants: Vec<(Box<str>, Box<str>)>,
}

pub fn parse(text: &str, profile: Profile, limits: &Limits) -> Result<Parsed, Error> {
    if text.len() > limits.template_bytes_max {
        let message = format!(
            "the template has {} bytes, more than template_bytes_max = {}",
            text.len(),
            limits.template_bytes_max
        );
        return Err(Error { kind: ErrorKind::Limit, line: 1, column: 1, message });
    }
    parse_at_depth(text, profile, limits, 0, Known::default())
}

/// Parses what stands inside another template, so many levels deep.
pub fn parse_at_depth(
    text: &str,
    profile: Profile,
    limits: &Limits,
    depth: usize,
    known: Known,
) -> Result<Parsed, Error> {
    let mut parser = Parser {
        text,
        profile,
        limits,
        lexer: Lexer::new(text),
        tokens: Vec::new(),
        index: 0,
        depth,
        macros: Vec::new(),
        known,
    };
    let nodes = parser.block()?;
    parser.expect(Kind::Eof)?;
    Ok(Parsed { nodes, macros: parser.macros, known: parser.known })
}

struct Parser<'t> {
    text: &'t str,
    profile: Profile,
    limits: &'t Limits,
    lexer: Lexer<'t>,
    /// All tokens so far: looking ahead is going back afterwards.
    tokens: Vec<Token>,
    index: usize,
    depth: usize,
    macros: Vec<Arc<Macro>>,
    known: Known,
}

/// The directives with a block, and those without.
const BLOCK_DIRECTIVES: [&str; 4] = ["foreach", "define", "macro", "literal"];
const LINE_DIRECTIVES: [&str; 2] = ["break", "stop"];

impl Parser<'_> {
    fn error(&self, at: usize, message: impl Into<String>) -> Error {
        let (line, column) = place(self.text, at);
        Error { kind: ErrorKind::Parse, line, column, message: message.into() }
    }

    fn peek_at(&mut self, ahead: usize) -> Result<Kind, Error> {
        while self.tokens.len() <= self.index + ahead {
            let token = self.lexer.next().map_err(|lexical| {
                let found = self.text[lexical.at..].chars().next();
                let found =
                    found.map_or("the end of the template".to_owned(), |c| format!("{c:?}"));
                self.error(lexical.at, format!("{found} cannot stand here"))
            })?;
            self.tokens.push(token);
        }
        Ok(self.tokens[self.index + ahead].kind)
    }

    fn peek(&mut self) -> Result<Kind, Error> {
        self.peek_at(0)
    }

    /// Takes the next token and says where it is in `tokens`.
    fn take(&mut self) -> Result<usize, Error> {
        self.peek()?;
        self.index += 1;
        Ok(self.index - 1)
    }

    fn expect(&mut self, kind: Kind) -> Result<usize, Error> {
        if self.peek()? == kind {
            return self.take();
        }
        Err(self.unexpected(shown(kind)))
    }

    fn unexpected(&self, wanted: &str) -> Error {
        let token = &self.tokens[self.index];
        let found = match token.kind {
            Kind::Eof => "the end of the template".to_owned(),
            _ => format!("{:?}", token.image),
        };
        self.error(token.at, format!("{found} where {wanted} is expected"))
    }

    fn skip(&mut self, kind: Kind) -> Result<bool, Error> {
        let there = self.peek()? == kind;
        if there {
            self.take()?;
        }
        Ok(there)
    }

    /// One level deeper, as far as that goes.
    fn nested<T>(&mut self, body: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        if self.depth >= self.limits.nesting_max {
            let at = self.tokens.last().map_or(0, |token| token.at);
            let message = format!("nested deeper than nesting_max = {}", self.limits.nesting_max);
            return Err(Error { kind: ErrorKind::Limit, ..self.error(at, message) });
        }
        self.depth += 1;
        let result = body(self);
        self.depth -= 1;
        result
    }

    fn is_directive(&self, name: &str) -> bool {
        BLOCK_DIRECTIVES.contains(&name)
            || LINE_DIRECTIVES.contains(&name)
            || (self.profile == Profile::Plain && name == "evaluate")
    }

    /// Also what `#macro` named before, which the service's parser knows too.
    fn is_known(&self, name: &str) -> bool {
        self.is_directive(name) || self.known.macros.contains(name)
    }

    fn block(&mut self) -> Result<Block, Error> {
        self.nested(|parser| {
            let mut nodes = Vec::new();
            while let Some(node) = parser.statement()? {
                match (node, nodes.last_mut()) {
                    (Node::Text(text), _) if text.is_empty() => {}
                    // Tokens split text in places that nobody sees.
                    (Node::Text(text), Some(Node::Text(before))) => {
                        *before = format!("{before}{text}").into();
                    }
                    (node, _) => nodes.push(node),
                }
            }
            Ok(nodes.into())
        })
    }

    /// The next statement; none at the end of what it stands in.
    fn statement(&mut self) -> Result<Option<Node>, Error> {
        let node = match self.peek()? {
            Kind::If => self.if_statement()?,
            Kind::Identifier => Node::Reference(self.reference()?),
            Kind::CurlyOpen if self.peek_at(1)? == Kind::Identifier => {
                Node::Reference(self.reference()?)
            }
            Kind::LineComment => {
                let index = self.take()?;
                self.skip(Kind::LineCommentEnd)?;
                Node::Text(before_comment(&self.tokens[index].image))
            }
            Kind::CommentEnd => {
                let index = self.take()?;
                Node::Text(before_comment(&self.tokens[index].image))
            }
            Kind::Textblock => {
                let index = self.take()?;
                let image = &self.tokens[index].image;
                // What led to it counts among its first three characters.
                let inner = image.get(3..image.len() - 3).unwrap_or_default();
                Node::Text(inner.into())
            }
            Kind::Set => self.set_directive()?,
            Kind::EscapedDirective => {
                let index = self.take()?;
                let shown = self.escaped_directive(&self.tokens[index].image);
                // As a literal that it stands in has it.
                self.tokens[index].image.clone_from(&shown);
                Node::Text(shown.into())
            }
            Kind::DoubleEscape => Node::Text(self.escapes()?.into()),
            Kind::Word | Kind::BracketedWord => self.directive()?,
            Kind::ParenOpen
            | Kind::ParenClose
            | Kind::Escape
            | Kind::Text
            | Kind::String
            | Kind::Integer
            | Kind::Float
            | Kind::Dot
            | Kind::CurlyOpen
            | Kind::CurlyClose
            | Kind::NoReference => {
                let index = self.take()?;
                Node::Text(with_specials(&self.tokens[index]).into())
            }
            _ => return Ok(None),
        };
        Ok(Some(node))
    }

    fn escaped_directive(&self, image: &str) -> String {
        let slashes = image.rfind('\\').unwrap_or(0);
        let directive = &image[slashes + 1..];
        let name = directive[1..].trim_start_matches('{').trim_end_matches('}');
        let known = ["if", "end", "set", "else", "elseif"].contains(&name);
        if known || self.is_known(name) {
            return format!("{}{directive}", &image[..slashes / 2]);
        }
        image.to_owned()
    }

    /// `\\` before a directive is one backslash, else two.
    fn escapes(&mut self) -> Result<String, Error> {
        let mut count = 0;
        while self.skip(Kind::DoubleEscape)? {
            count += 1;
        }
        let next = self.peek()?;
        let image = &self.tokens[self.index].image;
        let control = matches!(next, Kind::End | Kind::If | Kind::ElseIf | Kind::Else)
            || image.get(1..).is_some_and(|name| self.is_known(name));
        Ok(if control { "\\" } else { "\\\\" }.repeat(count))
    }

    fn if_statement(&mut self) -> Result<Node, Error> {
        let mut branches = Vec::new();
        self.take()?;
        branches.push(self.branch()?);
        while self.skip(Kind::ElseIf)? {
            branches.push(self.branch()?);
        }
        let otherwise = if self.skip(Kind::Else)? { Some(self.block()?) } else { None };
        self.expect(Kind::End)?;
        Ok(Node::If { branches, otherwise })
    }

    fn branch(&mut self) -> Result<(Expression, Block), Error> {
        self.skip(Kind::Whitespace)?;
        self.expect(Kind::ParenOpen)?;
        let condition = self.expression()?;
        self.expect(Kind::ParenClose)?;
        Ok((condition, self.block()?))
    }

    fn set_directive(&mut self) -> Result<Node, Error> {
        self.take()?;
        self.skip(Kind::Whitespace)?;
        let target = self.reference()?;
        self.skip(Kind::Whitespace)?;
        self.expect(Kind::Assign)?;
        let value = self.expression()?;
        self.expect(Kind::ParenClose)?;
        self.lexer.end_set();
        Ok(Node::Set { target, value })
    }

    /// What is written from the token `from` on, up to here.
    fn written(&self, from: usize) -> &str {
        let begin = self.tokens[from].at;
        let last = &self.tokens[self.index - 1];
        self.text.get(begin..last.at + last.image.len()).unwrap_or_default()
    }

    fn images(&self, from: usize, to: usize) -> String {
        self.tokens[from..to].iter().map(|token| token.image.as_str()).collect()
    }
}

/// What stood before a comment in the same token.
fn before_comment(image: &str) -> Box<str> {
    let end = image.find("##").or_else(|| image.find("#*")).unwrap_or(0);
    image[..end].into()
}

/// A token's text after the `$` and `#` that came before it and meant nothing.
fn with_specials(token: &Token) -> String {
    let mut text = String::new();
    if token.specials.last().is_none_or(|last| !last.starts_with("##")) {
        for special in &token.specials {
            push_special(special, &mut text);
        }
    }
    if token.kind != Kind::CommentEnd {
        text.push_str(&token.image);
    }
    text
}

/// Of a special token only `$`, `#` and backslashes that lead to `$` are shown.
fn push_special(special: &str, text: &mut String) {
    let bytes = special.as_bytes();
    let mut index = 0;
    while index < bytes.len() {
        match bytes[index] {
            byte @ (b'#' | b'$') => text.push(char::from(byte)),
            b'\\' => {
                let slashes = bytes[index..].iter().take_while(|&&byte| byte == b'\\').count();
                if bytes.get(index + slashes) == Some(&b'$') {
                    text.push_str(&special[index..=index + slashes]);
                    index += slashes;
                }
            }
            _ => {}
        }
        index += 1;
    }
}

/// A token as people write it.
fn shown(kind: Kind) -> &'static str {
    match kind {
        Kind::Eof => "the end of the template",
        Kind::ParenOpen => "\"(\"",
        Kind::ParenClose | Kind::CallClose => "\")\"",
        Kind::ListOpen => "\"[\"",
        Kind::ListClose | Kind::IndexClose => "\"]\"",
        Kind::MapOpen => "\"{\"",
        Kind::CurlyClose => "\"}\"",
        Kind::Colon => "\":\"",
        Kind::DoubleDot => "\"..\"",
        Kind::Assign => "\"=\"",
        Kind::End => "#end",
        _ => "a name",
    }
}

fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

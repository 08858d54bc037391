//! Velocity's lexer: what a character means depends on a stack of states.
//!
//! The states and their tokens are Velocity 1.7's, because templates in the
//! wild depend on its odd corners: which `$` is text, what a directive's line
//! swallows, where whitespace disappears. In each state the longest match wins
//! and, among equally long ones, the kind that stands first in [`Kind`].

mod matches;

use matches::*;

/// The kinds of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The end of the template.
    Eof,
    /// `[` after a reference.
    IndexOpen,
    /// `]` after an index.
    IndexClose,
    /// `[` of a list or a range.
    ListOpen,
    /// `]` of a list or a range.
    ListClose,
    Comma,
    DoubleDot,
    Colon,
    /// `{` of a map.
    MapOpen,
    /// `}` of a map.
    MapClose,
    ParenOpen,
    /// `)` in a directive, with the rest of its line if that is blank.
    ParenClose,
    /// `)` of a method call.
    CallClose,
    /// `\#if`, also with more backslashes.
    EscapedDirective,
    /// `#set(`, with the blanks before it.
    Set,
    Dollar,
    DollarBang,
    TextblockOpen,
    FormalCommentOpen,
    CommentOpen,
    Hash,
    /// `##`.
    LineComment,
    /// `\\`.
    DoubleEscape,
    /// `\`.
    Escape,
    Text,
    /// The newline that ends a line comment.
    LineCommentEnd,
    /// The `*#` that ends a comment.
    CommentEnd,
    /// `]]#`, with all that stands in the block.
    Textblock,
    Whitespace,
    String,
    True,
    False,
    Minus,
    Plus,
    Multiply,
    Divide,
    Modulus,
    And,
    Or,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
    Not,
    Assign,
    /// `#end`, with the rest of its line if that is blank.
    End,
    If,
    ElseIf,
    /// `#else`, with the rest of its line if that is blank.
    Else,
    Integer,
    Float,
    /// The name of a directive, with its `#`.
    Word,
    /// The name of a directive in braces, with its `#`.
    BracketedWord,
    Identifier,
    Dot,
    /// `{` of a formal reference.
    CurlyOpen,
    /// `}` of a formal reference.
    CurlyClose,
    /// `$[` and `$.`: no reference, whatever follows.
    NoReference,
}

/// A token: what it is, how it is written, and where.
#[derive(Debug, Clone)]
pub struct Token {
    pub kind: Kind,
    /// What it is written as; a `$` or `#` that led to it included.
    pub image: String,
    /// Where it begins, in bytes.
    pub at: usize,
    /// What came before it and turned out to be nothing: a lone `$`.
    pub specials: Vec<String>,
}

/// Where text cannot be read as any token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LexicalError {
    pub at: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// After `$`.
    Reference,
    /// After the dot of a reference.
    RefModifier,
    /// In the brackets after a reference.
    RefIndex,
    /// In a directive's parentheses.
    Directive,
    /// In a method's parentheses.
    RefArguments,
    Default,
    Textblock,
    Comment,
    FormalComment,
    LineComment,
    /// After `#`.
    PreDirective,
}

impl State {
    fn is_comment(self) -> bool {
        matches!(self, Self::Textblock | Self::Comment | Self::FormalComment | Self::LineComment)
    }
}

#[derive(Debug, Clone, Copy)]
struct Saved {
    state: State,
    open: usize,
    closed: usize,
}

/// Reads one token after another; the parser tells it what it cannot know.
pub struct Lexer<'t> {
    text: &'t str,
    position: usize,
    state: State,
    stack: Vec<Saved>,
    open: usize,
    closed: usize,
    in_set: bool,
}

impl<'t> Lexer<'t> {
    pub fn new(text: &'t str) -> Self {
        Self {
            text,
            position: 0,
            state: State::Default,
            stack: Vec::new(),
            open: 0,
            closed: 0,
            in_set: false,
        }
    }

    /// A directive's name was read: what follows is its arguments.
    pub fn begin_directive(&mut self) {
        self.state = State::Directive;
    }

    /// The directive has no arguments after all.
    pub fn end_directive(&mut self) {
        self.pop();
    }

    /// A `#set` is complete.
    pub fn end_set(&mut self) {
        self.in_set = false;
    }

    /// Whether the next character that is no whitespace is `(`.
    pub fn is_parenthesis_next(&self) -> bool {
        let rest = &self.text[self.position..];
        rest.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('(')
    }

    /// The next token; at the end of the text always [`Kind::Eof`].
    pub fn next(&mut self) -> Result<Token, LexicalError> {
        let mut specials = Vec::new();
        let mut start = self.position;
        loop {
            if self.position == self.text.len() {
                if start < self.position {
                    return Err(LexicalError { at: self.position });
                }
                return Ok(Token { kind: Kind::Eof, image: String::new(), at: start, specials });
            }
            let Some((found, length)) = self.longest() else {
                return Err(LexicalError { at: self.position });
            };
            let end = self.position + length;
            self.position = end;
            match found {
                Match::More(kind) => self.more(kind),
                // A comment's text; what led to the comment goes with it.
                Match::Skip => start = end,
                Match::Continue => {}
                Match::Terminator => {
                    specials.push(self.text[start..end].to_owned());
                    self.position -= length;
                    self.pop();
                    start = self.position;
                }
                Match::Token(kind) => {
                    let mut image = self.text[start..end].to_owned();
                    self.token(kind, &mut image);
                    return Ok(Token { kind, image, at: start, specials });
                }
            }
        }
    }

    fn push(&mut self, next: State) {
        self.stack.push(Saved { state: self.state, open: self.open, closed: self.closed });
        self.open = 0;
        self.state = next;
    }

    fn pop(&mut self) -> bool {
        match self.stack.pop() {
            Some(saved) => {
                self.state = saved.state;
                self.open = saved.open;
                self.closed = saved.closed;
                true
            }
            None => {
                self.open = 0;
                self.state = State::Default;
                false
            }
        }
    }

    /// What is part of a longer token changes the state all the same.
    fn more(&mut self, kind: Kind) {
        if self.state.is_comment() {
            return;
        }
        match kind {
            Kind::Dollar | Kind::DollarBang => {
                if self.state == State::Reference {
                    self.pop();
                }
                self.push(State::Reference);
            }
            Kind::Hash => {
                if matches!(self.state, State::Reference | State::RefModifier) {
                    self.pop();
                }
                self.push(State::PreDirective);
            }
            Kind::TextblockOpen => self.push(State::Textblock),
            Kind::FormalCommentOpen => {
                // The character after `#**` belongs to the comment's text.
                self.position -=
                    self.text[..self.position].chars().next_back().map_or(0, char::len_utf8);
                self.push(State::FormalComment);
            }
            Kind::CommentOpen => self.push(State::Comment),
            _ => {}
        }
    }

    fn token(&mut self, kind: Kind, image: &mut String) {
        match kind {
            Kind::IndexOpen => self.push(State::RefIndex),
            Kind::IndexClose | Kind::End | Kind::Else | Kind::CurlyClose => {
                self.pop();
            }
            Kind::ParenOpen => {
                self.open += 1;
                if self.state == State::RefModifier {
                    self.state = State::RefArguments;
                }
            }
            Kind::ParenClose => self.close_parenthesis(),
            Kind::CallClose => self.state = State::Reference,
            Kind::Set => {
                self.push(State::Directive);
                self.in_set = true;
                self.open += 1;
            }
            Kind::LineComment => {
                if self.state == State::Reference {
                    self.pop();
                }
                self.push(State::LineComment);
            }
            Kind::LineCommentEnd | Kind::CommentEnd | Kind::Textblock => {
                self.pop();
            }
            Kind::String if self.state == State::Directive && self.is_bare() => {
                self.pop();
            }
            Kind::If | Kind::ElseIf => self.state = State::Directive,
            Kind::Integer => {
                if image.ends_with("..") {
                    self.position -= 2;
                    image.truncate(image.len() - 2);
                }
                let inside = matches!(self.state, State::RefArguments | State::RefIndex);
                if self.is_bare() && !inside {
                    self.pop();
                }
            }
            Kind::Float if self.is_bare() && self.state != State::RefArguments => {
                self.pop();
            }
            Kind::Dot => {
                self.position -= 1;
                *image = ".".to_owned();
                self.state = State::RefModifier;
            }
            _ => {}
        }
    }

    /// Whether a value stands without parentheses around it.
    fn is_bare(&self) -> bool {
        self.open == 0 && !self.in_set
    }

    /// Drops states until the one that has the parenthesis open.
    fn close_parenthesis(&mut self) {
        loop {
            if self.open > 0 {
                if self.open == self.closed + 1 {
                    self.pop();
                } else {
                    self.closed += 1;
                }
                return;
            }
            if !self.pop() {
                return;
            }
        }
    }

    fn longest(&self) -> Option<(Match, usize)> {
        let rest = &self.text[self.position..];
        let mut best = Best::default();
        common(rest, self.state, &mut best);
        match self.state {
            State::Default => {
                best.offer(Kind::EscapedDirective, escaped_directive(rest));
                best.offer(Kind::Set, set(rest));
                best.offer(Kind::DoubleEscape, literal(rest, "\\\\"));
                best.offer(Kind::Escape, literal(rest, "\\"));
                best.offer(Kind::Text, span(rest, |b| !matches!(b, b'$' | b'#' | b'\\')));
            }
            State::Reference | State::RefModifier => {
                best.offer(Kind::IndexOpen, literal(rest, "["));
                if self.state == State::RefModifier {
                    best.offer(Kind::ParenOpen, literal(rest, "("));
                }
                best.offer(Kind::Set, set(rest));
                best.offer(Kind::True, literal(rest, "true"));
                best.offer(Kind::False, literal(rest, "false"));
                best.offer(Kind::Identifier, identifier(rest));
                best.offer(Kind::Dot, dot(rest));
                best.offer(Kind::CurlyOpen, literal(rest, "{"));
                best.offer(Kind::CurlyClose, literal(rest, "}"));
            }
            State::RefIndex => {
                best.offer(Kind::IndexClose, literal(rest, "]"));
                values(rest, &mut best);
            }
            State::RefArguments => {
                brackets(rest, &mut best);
                best.offer(Kind::CallClose, literal(rest, ")"));
                best.offer(Kind::Set, set(rest));
                values(rest, &mut best);
                best.offer(Kind::Identifier, identifier(rest));
                best.offer(Kind::Dot, dot(rest));
            }
            State::Directive => {
                brackets(rest, &mut best);
                best.offer(Kind::ParenOpen, literal(rest, "("));
                best.offer(
                    Kind::ParenClose,
                    literal(rest, ")").map(|n| n + blank_line(&rest[n..])),
                );
                values(rest, &mut best);
                operators(rest, &mut best);
                best.offer(Kind::Word, word(rest));
                best.offer(Kind::BracketedWord, bracketed_word(rest));
            }
            State::PreDirective => pre_directive(rest, &mut best),
            State::Textblock => best.offer(Kind::Textblock, literal(rest, "]]#")),
            State::Comment | State::FormalComment => {
                best.offer(Kind::CommentEnd, literal(rest, "*#"));
            }
            State::LineComment => best.offer(Kind::LineCommentEnd, newline(rest)),
        }
        let found = best.0.map(|(length, kind)| {
            let more = matches!(
                kind,
                Kind::Dollar
                    | Kind::DollarBang
                    | Kind::TextblockOpen
                    | Kind::FormalCommentOpen
                    | Kind::CommentOpen
                    | Kind::Hash
            );
            (if more { Match::More(kind) } else { Match::Token(kind) }, length)
        });
        let any = || rest.chars().next().map_or(0, char::len_utf8);
        found.or_else(|| match self.state {
            State::Textblock => Some((Match::Continue, any())),
            State::Comment | State::FormalComment | State::LineComment => {
                Some((Match::Skip, any()))
            }
            State::Reference | State::RefModifier | State::PreDirective => {
                Some((Match::Terminator, any()))
            }
            _ => None,
        })
    }
}

enum Match {
    Token(Kind),
    /// Part of a longer token, with an effect.
    More(Kind),
    /// Part of a longer token, without one.
    Continue,
    /// A comment's text.
    Skip,
    /// A character that does not belong to what was begun: it is left.
    Terminator,
}

//! A parsed template.

use std::sync::Arc;

use crate::{names::Name, number::Number};

/// Nodes in order. Shared, because a `#define` keeps its body as a value.
pub type Block = Arc<[Node]>;

#[derive(Debug)]
pub enum Node {
    /// What stands there as it is.
    Text(Box<str>),
    Reference(Reference),
    Set {
        target: Reference,
        value: Expression,
    },
    If {
        branches: Vec<(Expression, Block)>,
        otherwise: Option<Block>,
    },
    Foreach {
        variable: Name,
        items: Expression,
        body: Block,
        at: u32,
    },
    Define {
        name: Name,
        body: Block,
    },
    Break {
        scope: Option<Expression>,
        at: u32,
    },
    Stop,
    /// `#evaluate`: plain Velocity only.
    Evaluate {
        template: Expression,
        at: u32,
    },
    /// A call of something that may be a macro; else it is its own text.
    Call(Arc<Call>),
}

#[derive(Debug)]
pub struct Call {
    pub name: Box<str>,
    pub arguments: Vec<Argument>,
    /// What stands between `#@name(…)` and `#end`.
    pub body: Option<Block>,
    /// The call as it is written.
    pub literal: Box<str>,
    pub at: u32,
}

/// An argument, which a macro evaluates anew at each use.
#[derive(Debug)]
pub struct Argument {
    pub value: Expression,
    pub literal: Box<str>,
}

/// `#macro(name $a $b)`: plain Velocity only.
#[derive(Debug)]
pub struct Macro {
    pub name: Box<str>,
    pub parameters: Vec<Name>,
    pub body: Block,
}

/// A variable, and what is done to it.
#[derive(Debug)]
pub struct Reference {
    pub variable: Name,
    /// The variable that `#set` sets: all that follows the `$`, so that only
    /// the plain form sets the one that is meant.
    pub assigned: Name,
    pub steps: Vec<Step>,
    /// How it is printed.
    pub form: Form,
    /// Where it begins, in bytes.
    pub at: u32,
}

/// How a reference is printed.
#[derive(Debug, Default)]
pub struct Form {
    /// `$!`: nothing for null.
    pub quiet: bool,
    /// A backslash before it: the reference itself is shown.
    pub escaped: bool,
    /// It only looks like one: this is shown.
    pub runt: Option<Box<str>>,
    /// Half of the backslashes before it.
    pub escapes: Box<str>,
    /// Text that its token began with: the first `$` of `$$a`.
    pub prefix: Box<str>,
    /// What is shown for null.
    pub null: Box<str>,
}

#[derive(Debug)]
pub enum Step {
    /// `.name`
    Property(Box<str>),
    /// `.name(…)`
    Method(Box<str>, Vec<Expression>),
    /// `[…]`
    Index(Expression),
}

#[derive(Debug)]
pub enum Expression {
    Null,
    Bool(bool),
    Number(Number),
    Text(Box<str>),
    /// A string that is a template; `padded` with a blank while it was parsed.
    Interpolated {
        body: Block,
        padded: bool,
    },
    List(Vec<Expression>),
    Map(Vec<(Expression, Expression)>),
    Range(Box<(Expression, Expression)>),
    Reference(Reference),
    Not(Box<Expression>),
    Binary {
        operator: Operator,
        sides: Box<(Expression, Expression)>,
        literals: Literals,
    },
    /// A bare word among a directive's arguments.
    Word(Box<str>),
}

/// What both sides of a `+` are written as: plain Velocity joins that where a
/// side is null.
#[derive(Debug, Default)]
pub struct Literals(pub Option<Box<(Box<str>, Box<str>)>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulus,
}

impl Operator {
    /// Whether it makes numbers or text, and so never a condition.
    pub fn calculates(self) -> bool {
        use Operator::{Add, Divide, Modulus, Multiply, Subtract};
        matches!(self, Add | Subtract | Multiply | Divide | Modulus)
    }
}

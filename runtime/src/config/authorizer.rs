//! `[authorizer.NAME]`: a function that says who may call a route.

use std::time::Duration;

use super::{FunctionName, MappingExpression, PayloadFormat, SelectionPattern};

/// A Lambda authorizer.
///
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-use-lambda-authorizer.html>
#[derive(Debug, Clone, PartialEq)]
pub struct AuthorizerConfig {
    /// Its name.
    pub name: String,
    /// What it is asked with.
    pub kind: AuthorizerKind,
    /// The function that is asked.
    pub function: FunctionName,
    /// What tells one caller from another; none of them may be missing.
    pub identity_sources: Vec<MappingExpression>,
    /// How long an answer holds for the same caller; zero for never.
    pub ttl: Duration,
}

/// The kinds of Lambda authorizer.
#[derive(Debug, Clone, PartialEq)]
pub enum AuthorizerKind {
    /// It gets a token, whose form is known beforehand.
    Token(Option<SelectionPattern>),
    /// It gets the request without its body.
    Request {
        /// The event's format.
        payload: PayloadFormat,
        /// Whether it answers with `isAuthorized`, not with a policy.
        simple_responses: bool,
    },
}

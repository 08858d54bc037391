//! `[authorizer.NAME]`: who says who may call a route.

use std::time::Duration;

use super::{FunctionName, MappingExpression, PayloadFormat, SelectionPattern};

/// An authorizer.
#[derive(Debug, Clone, PartialEq)]
pub struct AuthorizerConfig {
    /// Its name.
    pub name: String,
    /// Who decides.
    pub kind: AuthorizerKind,
}

/// The kinds of authorizer.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "an API has a few of them, each shared")]
pub enum AuthorizerKind {
    /// A function.
    Lambda(LambdaAuthorizer),
    /// Policies decide, of whoever a request's signature says it is from.
    Iam,
}

/// A Lambda authorizer.
///
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-use-lambda-authorizer.html>
#[derive(Debug, Clone, PartialEq)]
pub struct LambdaAuthorizer {
    /// The function that is asked.
    pub function: FunctionName,
    /// What it is asked with.
    pub input: LambdaInput,
    /// What tells one caller from another; none of them may be missing.
    pub identity: Vec<MappingExpression>,
    /// How long an answer holds for the same caller; zero for never.
    pub ttl: Duration,
}

/// What a Lambda authorizer is asked with.
#[derive(Debug, Clone, PartialEq)]
pub enum LambdaInput {
    /// A token, whose form may be known beforehand.
    Token(Option<SelectionPattern>),
    /// The request without its body.
    Request {
        /// The event's format.
        payload: PayloadFormat,
        /// Whether it answers with `isAuthorized`, not with a policy.
        simple_responses: bool,
    },
}

impl AuthorizerConfig {
    /// The function that is asked, where it is one.
    pub fn function(&self) -> Option<&FunctionName> {
        match &self.kind {
            AuthorizerKind::Lambda(lambda) => Some(&lambda.function),
            AuthorizerKind::Iam => None,
        }
    }
}

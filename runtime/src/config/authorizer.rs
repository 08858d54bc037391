//! `[authorizer.NAME]`: who says who may call a route.

use std::{sync::Arc, time::Duration};

use super::{FunctionName, MappingExpression, PayloadFormat, SelectionPattern};
use crate::jwt::{KeySet, Rules, remote::Location};

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
    /// Whoever signed a token.
    Jwt(JwtAuthorizer),
    /// A user pool.
    Cognito(CognitoAuthorizer),
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

/// A JWT authorizer.
///
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-jwt-authorizer.html>
#[derive(Debug, Clone, PartialEq)]
pub struct JwtAuthorizer {
    /// Where the token is: all values of it, so that a second one is noticed.
    pub identity: MappingExpression,
    /// What the token has to say.
    pub rules: Rules,
    /// Who may have signed it.
    pub keys: KeySource,
}

/// A user pool as an authorizer: an ID token says who calls, or an access token
/// what they may do, where the route has scopes.
///
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-integrate-with-cognito.html>
#[derive(Debug, Clone, PartialEq)]
pub struct CognitoAuthorizer {
    /// The tokens that it takes.
    pub tokens: JwtAuthorizer,
    /// What the `aud` of an ID token has to match.
    pub identity_validation: Option<SelectionPattern>,
}

/// Where keys come from.
#[derive(Debug, Clone, PartialEq)]
pub enum KeySource {
    /// From a file.
    Set(Arc<KeySet>),
    /// From the issuer.
    Remote(Location),
    /// From a user pool of this machine, by its name.
    UserPool(String),
}

impl AuthorizerConfig {
    /// The function that is asked, where it is one.
    pub fn function(&self) -> Option<&FunctionName> {
        match &self.kind {
            AuthorizerKind::Lambda(lambda) => Some(&lambda.function),
            AuthorizerKind::Iam | AuthorizerKind::Jwt(_) | AuthorizerKind::Cognito(_) => None,
        }
    }

    /// Where callers say who they are.
    pub fn identity(&self) -> &[MappingExpression] {
        match &self.kind {
            AuthorizerKind::Lambda(lambda) => &lambda.identity,
            AuthorizerKind::Iam => &[],
            AuthorizerKind::Jwt(jwt) => std::slice::from_ref(&jwt.identity),
            AuthorizerKind::Cognito(cognito) => std::slice::from_ref(&cognito.tokens.identity),
        }
    }

    /// What it takes of tokens, where it takes tokens that are signed.
    pub fn tokens(&self) -> Option<&JwtAuthorizer> {
        match &self.kind {
            AuthorizerKind::Lambda(_) | AuthorizerKind::Iam => None,
            AuthorizerKind::Jwt(jwt) => Some(jwt),
            AuthorizerKind::Cognito(cognito) => Some(&cognito.tokens),
        }
    }
}

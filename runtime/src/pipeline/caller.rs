//! Who calls, as the route's authorizer says.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    config::Secret,
    policy::{Authorization, Call, Decision},
};

/// A caller whom an authorizer knows.
#[derive(Debug)]
pub enum Caller {
    /// What a function said.
    Lambda(Arc<Authorization>),
}

impl Caller {
    /// The API key that the authorizer tells.
    pub fn usage_identifier_key(&self) -> Option<&Secret> {
        match self {
            Self::Lambda(authorization) => authorization.usage_identifier_key.as_ref(),
        }
    }

    /// What the caller's own policy says of a call.
    pub fn decide(&self, call: &Call<'_>) -> Decision {
        match self {
            Self::Lambda(authorization) => authorization.decide(call),
        }
    }

    /// `requestContext.authorizer` of events of the format 1.0, and
    /// `$context.authorizer`.
    pub fn v1(&self) -> Value {
        match self {
            Self::Lambda(authorization) => authorization.texts().into(),
        }
    }

    /// `requestContext.authorizer` of events of the format 2.0.
    pub fn v2(&self) -> Value {
        match self {
            Self::Lambda(authorization) => json!({ "lambda": authorization.context }),
        }
    }
}

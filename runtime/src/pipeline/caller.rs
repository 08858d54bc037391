//! Who calls, as the route's authorizer says.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::{
    config::{ApiKind, CredentialConfig, Secret},
    gateway::ACCOUNT_ID,
    jwt::Verified,
    policy::{Authorization, Call, Decision},
};

/// A caller whom an authorizer knows.
#[derive(Debug)]
pub enum Caller {
    /// What a function said.
    Lambda(Arc<Authorization>),
    /// Who signed the request.
    Iam(IamUser),
    /// What a token says.
    Token(Bearer),
}

/// A user of IAM.
#[derive(Debug)]
pub struct IamUser {
    /// What the request was signed with.
    pub credential: Arc<CredentialConfig>,
    /// What IAM calls users by who may be renamed.
    pub id: String,
    /// The user's ARN.
    pub arn: String,
}

/// Whoever has a token that counts.
pub struct Bearer {
    /// What it says.
    pub token: Arc<Verified>,
    /// Whether the route asks for scopes: then events have the token's.
    pub has_scopes: bool,
    /// Which kind of API it is: a REST API's events have claims alone.
    pub kind: ApiKind,
}

impl std::fmt::Debug for Bearer {
    // Claims say who somebody is.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bearer").field("scopes", &self.scopes()).finish_non_exhaustive()
    }
}

impl Bearer {
    /// Its claims, as text.
    fn claims(&self) -> &Map<String, Value> {
        &self.token.texts
    }

    /// What it allows, where the route asks for scopes.
    fn scopes(&self) -> Option<Vec<&str>> {
        self.has_scopes.then(|| self.token.claims.scopes())
    }
}

impl Caller {
    /// The API key that the authorizer tells.
    pub fn usage_identifier_key(&self) -> Option<&Secret> {
        match self {
            Self::Lambda(authorization) => authorization.usage_identifier_key.as_ref(),
            Self::Iam(_) | Self::Token(_) => None,
        }
    }

    /// What the caller's own policy says of a call.
    pub fn decide(&self, call: &Call<'_>) -> Decision {
        match self {
            Self::Lambda(authorization) => authorization.decide(call),
            Self::Iam(user) => {
                let policy = user.credential.policy.as_ref();
                policy.map_or(Decision::ImplicitDeny, |policy| policy.decide(call))
            }
            // A token has scopes, and no policy.
            Self::Token(_) => Decision::ImplicitDeny,
        }
    }

    /// `requestContext.authorizer` of events of the format 1.0, and
    /// `$context.authorizer`. IAM's users are told as the `identity`.
    pub fn v1(&self) -> Option<Value> {
        match self {
            Self::Lambda(authorization) => Some(authorization.texts().into()),
            Self::Iam(_) => None,
            Self::Token(bearer) => Some(match bearer.kind {
                ApiKind::Http => {
                    json!({ "claims": bearer.claims(), "scopes": bearer.scopes() })
                }
                ApiKind::Rest => json!({ "claims": bearer.claims() }),
            }),
        }
    }

    /// The user of IAM, where it is one.
    pub fn iam(&self) -> Option<&IamUser> {
        match self {
            Self::Iam(user) => Some(user),
            Self::Lambda(_) | Self::Token(_) => None,
        }
    }

    /// `requestContext.authorizer` of events of the format 2.0.
    pub fn v2(&self) -> Value {
        match self {
            Self::Lambda(authorization) => json!({ "lambda": authorization.context }),
            Self::Iam(user) => json!({
                "iam": {
                    "accessKey": user.credential.access_key_id,
                    "accountId": ACCOUNT_ID,
                    "callerId": user.id,
                    "cognitoIdentity": null,
                    "principalOrgId": null,
                    "userArn": user.arn,
                    "userId": user.id,
                },
            }),
            Self::Token(bearer) => {
                json!({ "jwt": { "claims": bearer.claims(), "scopes": bearer.scopes() } })
            }
        }
    }
}

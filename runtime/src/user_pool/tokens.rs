//! Tokens of a pool, with the claims that Cognito's have.
//!
//! <https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-tokens-with-identity-providers.html>

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{User, UserPool, UserPoolError, users::is_boolean};
use crate::jwt::is_scope;

/// What a user gets who signs in without asking for scopes.
const SCOPE: &str = "aws.cognito.signin.user.admin";

/// The kinds of token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenUse {
    /// Who somebody is.
    Id,
    /// What somebody may do.
    Access,
}

/// What a token is to say.
#[derive(Debug)]
pub struct Grant<'g> {
    /// Which kind it is.
    pub token_use: TokenUse,
    /// The app client that it is for; the pool's first if none is named.
    pub client: Option<&'g str>,
    /// What it allows; access tokens only.
    pub scopes: &'g [String],
    /// How long it is valid; the pool's own time if none is given.
    pub validity: Option<Duration>,
}

impl UserPool {
    /// A token for a user.
    ///
    /// # Errors
    /// A client that the pool has not, and a key that cannot sign.
    pub fn token(&self, user: &User, grant: &Grant<'_>) -> Result<String, UserPoolError> {
        let clients = &self.config.clients;
        let client = match grant.client {
            None => clients.first(),
            Some(given) => clients.iter().find(|own| *own == given),
        };
        let client = client.ok_or_else(|| {
            let given = grant.client.unwrap_or_default();
            self.failed(format!(
                "there is no client {given:?}; the clients are {}",
                clients.join(", ")
            ))
        })?;
        if let Some(bad) = grant.scopes.iter().find(|scope| !is_scope(scope)) {
            return Err(self.failed(format!("{bad:?} is no scope: it is a word without spaces")));
        }
        let claims = self.claims(user, grant, client, SystemTime::now());
        self.signer.sign(&claims).map_err(|error| self.failed(error))
    }

    fn claims(
        &self,
        user: &User,
        grant: &Grant<'_>,
        client: &str,
        now: SystemTime,
    ) -> Map<String, Value> {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let validity = grant.validity.unwrap_or(self.config.token_validity);
        let id = || Value::from(Uuid::new_v4().to_string());
        let mut claims = Map::new();
        let mut put = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        put("sub", user.sub.as_str().into());
        if !user.groups.is_empty() {
            put("cognito:groups", json!(user.groups));
        }
        put("iss", self.config.issuer.as_str().into());
        put("origin_jti", id());
        put("event_id", id());
        put("auth_time", now.into());
        put("iat", now.into());
        put("exp", (now + validity.as_secs()).into());
        put("jti", id());
        match grant.token_use {
            TokenUse::Id => {
                put("token_use", "id".into());
                put("aud", client.into());
                put("cognito:username", user.name.as_str().into());
                for (name, value) in &user.attributes {
                    let value =
                        if is_boolean(name) { Value::Bool(value == "true") } else { json!(value) };
                    put(name, value);
                }
            }
            TokenUse::Access => {
                let scopes = grant.scopes.join(" ");
                put("token_use", "access".into());
                put("client_id", client.into());
                put("scope", if scopes.is_empty() { SCOPE.into() } else { scopes.into() });
                put("username", user.name.as_str().into());
            }
        }
        claims
    }
}

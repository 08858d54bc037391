//! `[user_pool.NAME]`: users of this machine, and the tokens they get.

use std::time::Duration;

/// The longest that a token is valid: Cognito's.
pub const TOKEN_VALIDITY_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// A user pool.
#[derive(Debug, Clone, PartialEq)]
pub struct UserPoolConfig {
    /// Its name.
    pub name: String,
    /// Who its tokens say that issued them.
    pub issuer: String,
    /// The app clients that tokens are for; at least one.
    pub clients: Vec<String>,
    /// The attributes that users may have as `custom:NAME`.
    pub custom_attributes: Vec<String>,
    /// How long tokens are valid.
    pub token_validity: Duration,
}

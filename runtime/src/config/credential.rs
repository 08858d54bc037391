//! `[[credential]]`: users who sign their requests.

use time::OffsetDateTime;

use super::Secret;
use crate::policy::Policy;

/// A user with an access key.
#[derive(Debug, Clone, PartialEq)]
pub struct CredentialConfig {
    /// The user's name, in ARNs.
    pub name: String,
    /// What a request names its signer by.
    pub access_key_id: String,
    /// What requests are signed with.
    pub secret_access_key: Secret,
    /// What requests carry too, where the credentials are temporary.
    pub session_token: Option<Secret>,
    /// When temporary credentials end.
    pub expiration: Option<OffsetDateTime>,
    /// What the user may; nothing but what resource policies allow without one.
    pub policy: Option<Policy>,
}

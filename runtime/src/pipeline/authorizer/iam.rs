//! Whoever signs a request may make it as far as policies allow: the user's
//! own, and that of the API.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-authorization-flow.html>

use std::{convert::Infallible, sync::Arc};

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use time::OffsetDateTime;

use super::super::{
    Trace,
    caller::{Caller, IamUser},
    compression::aside,
    error::GatewayError,
    method_request::MethodRequest,
    resource_policy,
};
use crate::{
    config::{CredentialConfig, Secret},
    gateway::ACCOUNT_ID,
    sigv4::{self, Claim, SignatureError, SignedRequest},
};

/// What signatures of requests to an API are for.
const SERVICE: &str = "execute-api";

/// And of those to a function's own URL.
const URL_SERVICE: &str = "lambda";

/// What is said of a key that nobody has, in characters.
const KEY_CHARS_SHOWN: usize = 32;

/// Why it is not known who signed a request.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// Nobody did.
    #[error("the request is not signed")]
    Missing,
    /// No credential has this access key.
    #[error("no credential has the access key {0:?}")]
    Unknown(String),
    /// Temporary credentials have a token, others have none.
    #[error("the session token is not that of the credential {0:?}")]
    Token(String),
    /// Temporary credentials have ended.
    #[error("the credential {0:?} has expired")]
    Expired(String),
    /// The signature is not good.
    #[error("{0}")]
    Signature(#[from] SignatureError),
}

impl CredentialError {
    /// What the client of a REST API is told.
    pub fn message(&self) -> String {
        match self {
            Self::Missing => "Missing Authentication Token".to_owned(),
            Self::Unknown(_) | Self::Token(_) => {
                "The security token included in the request is invalid.".to_owned()
            }
            Self::Expired(_) => "The security token included in the request is expired".to_owned(),
            Self::Signature(error) => error.message(),
        }
    }

    /// The exception's name that it gets in a header.
    pub fn exception(&self) -> &'static str {
        match self {
            Self::Missing => "MissingAuthenticationTokenException",
            Self::Unknown(_) | Self::Token(_) => "UnrecognizedClientException",
            Self::Expired(_) => "ExpiredTokenException",
            Self::Signature(SignatureError::Incomplete(_)) => "IncompleteSignatureException",
            Self::Signature(_) => "InvalidSignatureException",
        }
    }

    /// The type of gateway response that it is.
    pub fn response_type(&self) -> &'static str {
        match self {
            Self::Missing => "MISSING_AUTHENTICATION_TOKEN",
            Self::Expired(_) => "EXPIRED_TOKEN",
            Self::Unknown(_) | Self::Token(_) | Self::Signature(_) => "INVALID_SIGNATURE",
        }
    }
}

/// Finds out who signed the request, and whether they may make it.
///
/// # Errors
/// [`GatewayError::Credential`], or [`GatewayError::AccessDenied`] where
/// policies do not allow it.
pub async fn authorize(
    request: &MethodRequest<'_>,
    authorizer: &str,
    trace: &mut Trace,
) -> Result<(), GatewayError> {
    let body = request.signed_body.clone();
    let digest = aside(body.len(), move || Ok::<_, Infallible>(sigv4::digest(&body))).await;
    let Ok(digest) = digest;
    let parts = request.parts;
    let signed = SignedRequest {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
        headers: &parts.headers,
        body: &digest,
    };
    let credential = signer(request, &signed)?;
    let user = IamUser {
        id: user_id(&credential.name),
        arn: format!("arn:aws:iam::{ACCOUNT_ID}:user/{}", credential.name),
        credential: Arc::clone(credential),
    };
    trace.note("authorizer", |_| format!("{authorizer}: {}", user.arn));
    // A request is authorized once; who is refused is known as well.
    let _ = request.exchange.caller.set(Caller::Iam(user));
    resource_policy::check_user(&request.about())
}

/// Whose signature it is.
fn signer<'r>(
    request: &'r MethodRequest<'_>,
    signed: &SignedRequest<'_>,
) -> Result<&'r Arc<CredentialConfig>, CredentialError> {
    let service = if request.gateway.url.is_some() { URL_SERVICE } else { SERVICE };
    let claim = Claim::read(signed, service)?.ok_or(CredentialError::Missing)?;
    check_path(signed.path)?;
    let credentials = &request.gateway.config.credentials;
    let credential = credentials.get(&claim.access_key_id).ok_or_else(|| {
        let shown = claim.access_key_id.chars().take(KEY_CHARS_SHOWN);
        CredentialError::Unknown(shown.collect())
    })?;
    if !is_token(credential.session_token.as_ref(), claim.session_token.as_deref()) {
        return Err(CredentialError::Token(credential.name.clone()));
    }
    let now = OffsetDateTime::from(request.exchange.time);
    claim.check_time(now)?;
    claim.verify(signed, credential.secret_access_key.reveal())?;
    // Only its owner is told that it was good once.
    if credential.expiration.is_some_and(|expiration| expiration <= now) {
        return Err(CredentialError::Expired(credential.name.clone()));
    }
    Ok(credential)
}

/// A signature covers a path's normal form; routes see the path as it came.
fn check_path(path: &str) -> Result<(), SignatureError> {
    if sigv4::is_normal(path) {
        return Ok(());
    }
    let message = "The path has empty segments, or '.' or '..', of which a signature says nothing.";
    Err(SignatureError::Invalid(message.to_owned()))
}

/// Compares without telling how much of it is right.
fn is_token(own: Option<&Secret>, given: Option<&str>) -> bool {
    match (own, given) {
        (None, None) => true,
        (Some(own), Some(given)) => own.reveal().as_bytes().ct_eq(given.as_bytes()).into(),
        _ => false,
    }
}

/// An id in the form of `AIDA2CRXO3S2JFSU7S42X` that stays the same for the
/// same name.
fn user_id(name: &str) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let digest = Sha256::digest(name.as_bytes());
    let letters = digest.iter().take(17).map(|byte| char::from(ALPHABET[usize::from(byte % 32)]));
    "AIDA".chars().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_all_there_or_none_is() {
        let own = Secret::new("token".to_owned());
        assert!(is_token(None, None));
        assert!(is_token(Some(&own), Some("token")));
        for given in [None, Some(""), Some("toke"), Some("tokens"), Some("Token")] {
            assert!(!is_token(Some(&own), given), "{given:?}");
        }
        assert!(!is_token(None, Some("token")));
    }

    #[test]
    fn a_user_s_id_is_of_iam_s_form() {
        let id = user_id("ada");
        assert_eq!(id, user_id("ada"));
        assert_ne!(id, user_id("eve"));
        assert!(id.len() == 21 && id.starts_with("AIDA"), "{id}");
        assert!(id.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit()), "{id}");
    }
}

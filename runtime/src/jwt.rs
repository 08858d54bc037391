//! JSON Web Tokens: whose signature counts, and what a token has to say.
//!
//! A token is read once ([`Token::read`]), verified with the key that its
//! header names ([`Token::verify`]), and only then believed ([`Claims::check`]).
//! From then on its text is known ([`VerifiedTokens`]).
//! Which algorithm that may be is for the key to say, never for the token.
//! [`remote`] has the keys of issuers that publish them; all else is pure.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-jwt-authorizer.html>

mod claims;
mod keys;
mod provider;
pub mod remote;
mod token;
mod verified;

#[cfg(test)]
mod tests;

pub use claims::{Claims, Form, Rules, Times, is_scope};
pub use keys::{KEY_SET_BYTES_MAX, KeySet};
pub use provider::{Signer, SigningError};
pub use token::{Token, secret};
pub use verified::{Verified, VerifiedTokens};

/// Why a token does not count. What it says is told to the client too, and has
/// nothing of the token in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is none.
    #[error("token not provided")]
    Missing,
    /// There are several, and nobody knows which is meant.
    #[error("more than one token")]
    Several,
    /// It is too long to be looked at.
    #[error("the token is too long")]
    TooLong,
    /// It is no signed JWT.
    #[error("the token is malformed")]
    Malformed,
    /// Its header asks for what nobody here understands.
    #[error("the token has critical header parameters")]
    Critical,
    /// Its algorithm is none that is signed with.
    #[error("signing method is invalid")]
    Algorithm,
    /// It does not say which key signed it.
    #[error("the token has no kid")]
    NoKey,
    /// None of the issuer's keys has its name.
    #[error("the token was signed with an unknown key")]
    UnknownKey,
    /// The key may not be used with its algorithm.
    #[error("the token's key is not for its signing method")]
    KeyAlgorithm,
    /// The signature is another's.
    #[error("the token's signature is invalid")]
    Signature,
    /// The issuer's keys are not known.
    #[error("OIDC discovery endpoint communication error")]
    NoKeys,
    /// It is someone else's.
    #[error("issuer does not match")]
    Issuer,
    /// It is for someone else.
    #[error("the token does not have a valid audience")]
    Audience,
    /// A claim is of the wrong type.
    #[error("the token has a malformed claim")]
    Claim,
    /// It has no end.
    #[error("the token does not expire")]
    NoExpiry,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// It comes from the future.
    #[error("the token was issued in the future")]
    IssuedInFuture,
    /// An ID token where an access token has to be, or the other way round.
    #[error("the token is not for this use")]
    Use,
}

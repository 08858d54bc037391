//! Tokens as clients send them: the compact form of RFC 7515.

use jsonwebtoken::{Algorithm, AlgorithmFamily, Validation};
use serde_json::{Map, Value};

use super::{Claims, KeySet, Refusal, keys::KEY_ID_BYTES_MAX, provider};
use crate::config::Secret;

/// The longest token, in bytes.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// A token that nobody has verified yet. Its text is a credential, and not
/// printed.
pub struct Token<'t> {
    text: &'t str,
    /// The name of the key that it says it was signed with.
    pub key: String,
    algorithm: Algorithm,
}

impl<'t> Token<'t> {
    /// Reads what a client sent, with `Bearer` before it or without.
    ///
    /// # Errors
    /// Why it cannot be a token that counts.
    pub fn read(sent: &'t str) -> Result<Self, Refusal> {
        if sent.len() > TOKEN_BYTES_MAX {
            return Err(Refusal::TooLong);
        }
        let text = without_scheme(sent);
        if text.is_empty() {
            return Err(Refusal::Missing);
        }
        // An unsigned or an encrypted token has another number of parts.
        let mut parts = text.split('.');
        let parts = [parts.next(), parts.next(), parts.next(), parts.next()];
        let [Some(header), Some(_), Some(signature), None] = parts else {
            return Err(Refusal::Malformed);
        };
        if header.is_empty() || signature.is_empty() {
            return Err(Refusal::Malformed);
        }
        let header = jsonwebtoken::decode_header(text).map_err(|error| match error.kind() {
            // An algorithm that the library does not know, such as `none`.
            jsonwebtoken::errors::ErrorKind::Json(_) => Refusal::Algorithm,
            _ => Refusal::Malformed,
        })?;
        if header.crit.is_some() {
            return Err(Refusal::Critical);
        }
        if header.alg.family() == AlgorithmFamily::Hmac {
            return Err(Refusal::Algorithm);
        }
        let key = header.kid.filter(|key| !key.is_empty() && key.len() <= KEY_ID_BYTES_MAX);
        Ok(Self { text, key: key.ok_or(Refusal::NoKey)?, algorithm: header.alg })
    }

    /// What it says, if one of `keys` signed it.
    ///
    /// # Errors
    /// Why none did.
    pub fn verify(&self, keys: &KeySet) -> Result<Claims, Refusal> {
        if !keys.has(&self.key) {
            return Err(Refusal::UnknownKey);
        }
        provider::install();
        let validation = only_signature(self.algorithm);
        let mut refusal = Refusal::KeyAlgorithm;
        for key in keys.find(&self.key, self.algorithm) {
            match jsonwebtoken::decode::<Map<String, Value>>(self.text, key, &validation) {
                Ok(token) => return Ok(Claims::new(token.claims)),
                Err(error) => {
                    refusal = match error.kind() {
                        jsonwebtoken::errors::ErrorKind::InvalidSignature => Refusal::Signature,
                        _ => Refusal::Malformed,
                    };
                }
            }
        }
        Err(refusal)
    }
}

/// Claims are checked by the service's rules, not by the library's.
fn only_signature(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}

/// The token in what a client sent, of which no log may have any.
pub fn secret(sent: &str) -> Secret {
    Secret::new(without_scheme(sent).to_owned())
}

/// The scheme is optional, and like all schemes of any case.
fn without_scheme(sent: &str) -> &str {
    let sent = sent.trim_matches([' ', '\t']);
    match sent.split_once(' ') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("bearer") => rest.trim_start(),
        None if sent.eq_ignore_ascii_case("bearer") => "",
        _ => sent,
    }
}

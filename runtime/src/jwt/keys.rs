//! JSON Web Key sets: which keys there are, and what each may be used for.
//!
//! RFC 7517, 7518, 8037.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{
        AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse,
        RSAKeyParameters,
    },
};
use serde_json::Value;

use super::provider;

/// The longest set, in bytes: API Gateway's.
pub const KEY_SET_BYTES_MAX: usize = 150_000;

/// The most keys of a set.
const KEYS_MAX: usize = 100;

/// RSA keys of other sizes are refused, in bits.
const RSA_BITS_MIN: usize = 2048;
const RSA_BITS_MAX: usize = 8192;

/// The longest name of a key, in bytes.
pub const KEY_ID_BYTES_MAX: usize = 256;

/// Keys that verify tokens.
#[derive(Clone)]
pub struct KeySet {
    keys: Vec<Key>,
    /// What is wrong with the keys that are not among them.
    pub unusable: Vec<String>,
}

#[derive(Clone)]
struct Key {
    id: String,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
    // What two keys are compared by.
    source: Value,
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids = self.keys.iter().map(|key| (&key.id, &key.algorithms));
        f.debug_map().entries(ids).finish()
    }
}

impl PartialEq for KeySet {
    fn eq(&self, other: &Self) -> bool {
        fn sources(set: &KeySet) -> impl Iterator<Item = &Value> {
            set.keys.iter().map(|key| &key.source)
        }
        sources(self).eq(sources(other))
    }
}

impl KeySet {
    /// Reads `{"keys": […]}`. Keys that cannot be used are left out, as RFC
    /// 7517 asks for; one has to remain.
    ///
    /// # Errors
    /// What is wrong with the set.
    pub fn parse(text: &str) -> Result<Self, String> {
        provider::install();
        if text.len() > KEY_SET_BYTES_MAX {
            return Err(format!("it is longer than {KEY_SET_BYTES_MAX} bytes"));
        }
        let set: Value =
            serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))?;
        let Some(given) = set.get("keys").and_then(Value::as_array) else {
            return Err("it has no list \"keys\"".to_owned());
        };
        if given.len() > KEYS_MAX {
            return Err(format!("it has {} keys, more than {KEYS_MAX}", given.len()));
        }
        let mut set = Self { keys: Vec::new(), unusable: Vec::new() };
        for (index, source) in given.iter().enumerate() {
            match Key::read(source) {
                Ok(key) => set.keys.extend(key),
                Err(why) => set.unusable.push(format!("keys[{index}] {why}")),
            }
        }
        if set.keys.is_empty() {
            let why = match set.unusable.as_slice() {
                [] => "none is for signatures".to_owned(),
                unusable => unusable.join("; "),
            };
            return Err(format!("none of its keys can be used: {why}"));
        }
        Ok(set)
    }

    /// Whether there is a key of this name.
    pub fn has(&self, id: &str) -> bool {
        self.keys.iter().any(|key| key.id == id)
    }

    /// The keys of this name that may be used with this algorithm.
    pub fn find(&self, id: &str, algorithm: Algorithm) -> impl Iterator<Item = &DecodingKey> {
        let fits = move |key: &&Key| key.id == id && key.algorithms.contains(&algorithm);
        self.keys.iter().filter(fits).map(|key| &key.key)
    }
}

impl Key {
    /// A key; none where it is for something else than signatures, as many
    /// issuers publish beside it.
    ///
    /// # Errors
    /// Why the key cannot be used; nothing of it is in the text.
    fn read(source: &Value) -> Result<Option<Self>, String> {
        let jwk: Jwk =
            serde_json::from_value(source.clone()).map_err(|_| "is no JSON Web Key".to_owned())?;
        let common = &jwk.common;
        if !matches!(common.public_key_use, None | Some(PublicKeyUse::Signature)) {
            return Ok(None);
        }
        let verifies =
            |operations: &Vec<KeyOperations>| operations.contains(&KeyOperations::Verify);
        if !common.key_operations.as_ref().is_none_or(verifies) {
            return Ok(None);
        }
        let id = common.key_id.clone().filter(|id| !id.is_empty());
        let id = id.ok_or_else(|| "has no kid".to_owned())?;
        if id.len() > KEY_ID_BYTES_MAX {
            return Err(format!("has a kid of more than {KEY_ID_BYTES_MAX} bytes"));
        }
        let (key, mut algorithms) = public_key(&jwk.algorithm)?;
        if let Some(own) = common.key_algorithm {
            algorithms.retain(|algorithm| named(*algorithm) == Some(own));
            if algorithms.is_empty() {
                return Err("has an alg that is not of its kty".to_owned());
            }
        }
        Ok(Some(Self { id, algorithms, key, source: source.clone() }))
    }
}

/// A public key, and what its kind may be used with.
fn public_key(parameters: &AlgorithmParameters) -> Result<(DecodingKey, Vec<Algorithm>), String> {
    let broken = |_| "has a coordinate that is not base64url".to_owned();
    match parameters {
        AlgorithmParameters::RSA(rsa) => Ok((
            rsa_key(rsa)?,
            vec![
                Algorithm::RS256,
                Algorithm::RS384,
                Algorithm::RS512,
                Algorithm::PS256,
                Algorithm::PS384,
                Algorithm::PS512,
            ],
        )),
        AlgorithmParameters::EllipticCurve(curve) => {
            let (algorithm, bytes) = match curve.curve {
                EllipticCurve::P256 => (Algorithm::ES256, 32),
                EllipticCurve::P384 => (Algorithm::ES384, 48),
                _ => return Err("is on a curve other than P-256 and P-384".to_owned()),
            };
            for coordinate in [&curve.x, &curve.y] {
                let decoded = URL_SAFE_NO_PAD.decode(coordinate);
                if decoded.is_ok_and(|decoded| decoded.len() != bytes) {
                    return Err(format!("has a coordinate of other than {bytes} bytes"));
                }
            }
            let key = DecodingKey::from_ec_components(&curve.x, &curve.y).map_err(broken)?;
            Ok((key, vec![algorithm]))
        }
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            let key = DecodingKey::from_ed_components(&pair.x).map_err(broken)?;
            match key.try_get_as_bytes() {
                Ok(point) if point.len() == 32 => Ok((key, vec![Algorithm::EdDSA])),
                _ => Err("has a coordinate of other than 32 bytes".to_owned()),
            }
        }
        AlgorithmParameters::OctetKeyPair(_) => Err("is on a curve other than Ed25519".to_owned()),
        AlgorithmParameters::OctetKey(_) => {
            Err("is a shared secret, which anyone who verifies could sign with".to_owned())
        }
        _ => Err("has a kty other than RSA, EC and OKP".to_owned()),
    }
}

fn rsa_key(given: &RSAKeyParameters) -> Result<DecodingKey, String> {
    let decode = |text: &String| {
        let bytes = URL_SAFE_NO_PAD.decode(text);
        bytes.map_err(|_| "has an n or e that is not base64url".to_owned())
    };
    let (n, e) = (decode(&given.n)?, decode(&given.e)?);
    let (n, e) = (trimmed(&n), trimmed(&e));
    let bits = n.first().map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize);
    if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) {
        return Err(format!(
            "is an RSA key of {bits} bits, not of {RSA_BITS_MIN} to {RSA_BITS_MAX}"
        ));
    }
    Ok(DecodingKey::from_rsa_raw_components(n, e))
}

/// Big-endian numbers without leading zeros, which some issuers write.
fn trimmed(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    &bytes[zeros..]
}

/// What `alg` of a key says for an algorithm.
fn named(algorithm: Algorithm) -> Option<KeyAlgorithm> {
    Some(match algorithm {
        Algorithm::RS256 => KeyAlgorithm::RS256,
        Algorithm::RS384 => KeyAlgorithm::RS384,
        Algorithm::RS512 => KeyAlgorithm::RS512,
        Algorithm::PS256 => KeyAlgorithm::PS256,
        Algorithm::PS384 => KeyAlgorithm::PS384,
        Algorithm::PS512 => KeyAlgorithm::PS512,
        Algorithm::ES256 => KeyAlgorithm::ES256,
        Algorithm::ES384 => KeyAlgorithm::ES384,
        Algorithm::EdDSA => KeyAlgorithm::EdDSA,
        _ => return None,
    })
}

//! The cryptography of tokens: `ring`, which TLS uses too.

use std::sync::Once;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    Algorithm, DecodingKey, DecodingKeyKind, EncodingKey, Header,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{Error, ErrorKind},
    signature,
};
use ring::{
    rand::SystemRandom,
    rsa::{KeyPair, PublicKeyComponents},
    signature as ring_signature,
};
use serde_json::{Map, Value, json};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| match algorithm {
        Algorithm::RS256 => Ok(Box::new(RingSigner { key: key.clone() })),
        _ => Err(Error::from(ErrorKind::InvalidAlgorithm)),
    },
    verifier_factory: |algorithm, key| {
        Ok(Box::new(RingVerifier { algorithm: *algorithm, key: key.clone() }))
    },
    key_utils: KeyUtils::new_unimplemented(),
};

/// Has to run before the library is asked for anything.
pub fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Nobody else in this process installs one.
        let _ = PROVIDER.install_default();
    });
}

struct RingVerifier {
    algorithm: Algorithm,
    key: DecodingKey,
}

/// How a key is given.
enum Parameters {
    Rsa(&'static ring_signature::RsaParameters),
    Point(&'static dyn ring_signature::VerificationAlgorithm),
}

fn parameters(algorithm: Algorithm) -> Option<Parameters> {
    use ring_signature as ring;
    Some(match algorithm {
        Algorithm::RS256 => Parameters::Rsa(&ring::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RS384 => Parameters::Rsa(&ring::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RS512 => Parameters::Rsa(&ring::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::PS256 => Parameters::Rsa(&ring::RSA_PSS_2048_8192_SHA256),
        Algorithm::PS384 => Parameters::Rsa(&ring::RSA_PSS_2048_8192_SHA384),
        Algorithm::PS512 => Parameters::Rsa(&ring::RSA_PSS_2048_8192_SHA512),
        Algorithm::ES256 => Parameters::Point(&ring::ECDSA_P256_SHA256_FIXED),
        Algorithm::ES384 => Parameters::Point(&ring::ECDSA_P384_SHA384_FIXED),
        Algorithm::EdDSA => Parameters::Point(&ring::ED25519),
        // No secret is shared with an issuer.
        _ => return None,
    })
}

impl signature::Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let verified = match (parameters(self.algorithm), self.key.kind()) {
            (Some(Parameters::Rsa(parameters)), DecodingKeyKind::RsaModulusExponent { n, e }) => {
                let key = ring_signature::RsaPublicKeyComponents { n, e };
                key.verify(parameters, message, signature).is_ok()
            }
            (Some(Parameters::Point(algorithm)), DecodingKeyKind::SecretOrDer(point)) => {
                let key = ring_signature::UnparsedPublicKey::new(algorithm, point);
                key.verify(message, signature).is_ok()
            }
            _ => false,
        };
        if verified { Ok(()) } else { Err(signature::Error::new()) }
    }
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

struct RingSigner {
    key: EncodingKey,
}

impl signature::Signer<Vec<u8>> for RingSigner {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        let failed = || signature::Error::new();
        let pair = KeyPair::from_pkcs8(self.key.as_bytes()).map_err(|_| failed())?;
        let mut signature = vec![0; pair.public().modulus_len()];
        let padding = &ring_signature::RSA_PKCS1_SHA256;
        pair.sign(padding, &SystemRandom::new(), message, &mut signature).map_err(|_| failed())?;
        Ok(signature)
    }
}

impl JwtSigner for RingSigner {
    fn algorithm(&self) -> Algorithm {
        Algorithm::RS256
    }
}

/// An RSA key that signs tokens.
#[derive(Debug)]
pub struct Signer {
    key: EncodingKey,
    id: String,
    jwk: Value,
}

/// A key that cannot be used, or a token that cannot be signed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SigningError(String);

impl Signer {
    /// The private key in `der`, PKCS#8.
    ///
    /// # Errors
    /// Why it is none.
    pub fn new(der: &[u8]) -> Result<Self, SigningError> {
        install();
        let pair = KeyPair::from_pkcs8(der)
            .map_err(|error| SigningError(format!("it is no RSA key in PKCS#8: {error}")))?;
        let public = PublicKeyComponents::<Vec<u8>>::from(pair.public());
        let (n, e) = (URL_SAFE_NO_PAD.encode(&public.n), URL_SAFE_NO_PAD.encode(&public.e));
        // Its thumbprint, as RFC 7638 has it: the members in this order.
        let members = format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#);
        let digest = ring::digest::digest(&ring::digest::SHA256, members.as_bytes());
        let id = URL_SAFE_NO_PAD.encode(digest);
        let jwk = json!({ "alg": "RS256", "e": e, "kid": id, "kty": "RSA", "n": n, "use": "sig" });
        Ok(Self { key: EncodingKey::from_rsa_der(der), id, jwk })
    }

    /// Its public half, as a set of one key.
    pub fn key_set(&self) -> Value {
        json!({ "keys": [self.jwk] })
    }

    /// A token that says this.
    ///
    /// # Errors
    /// Where the key cannot sign it.
    pub fn sign(&self, claims: &Map<String, Value>) -> Result<String, SigningError> {
        // As Cognito's, without `typ`.
        let header =
            Header { kid: Some(self.id.clone()), typ: None, ..Header::new(Algorithm::RS256) };
        jsonwebtoken::encode(&header, claims, &self.key)
            .map_err(|error| SigningError(format!("it cannot sign: {error}")))
    }
}

//! A certificate with its private key.

use std::{cmp::Ordering, fmt, sync::Arc};

use rustls::{
    Error, InconsistentKeys,
    pki_types::CertificateDer,
    sign::{CertifiedKey, SingleCertAndKey},
};
use sha2::{Digest as _, Sha256};

use super::{Facts, certificates, private_key, provider};

/// A chain of certificates and the private key of the first.
#[derive(Clone)]
pub struct Identity {
    key: Arc<CertifiedKey>,
    // What tells one key from another without saying it.
    digest: [u8; 32],
    /// What the first certificate says.
    pub facts: Facts,
}

/// What is wrong with which file.
#[derive(Debug, PartialEq, Eq)]
pub enum IdentityError {
    /// With the certificates.
    Certificate(String),
    /// With the key.
    PrivateKey(String),
    /// Each is good, but not with the other.
    Mismatch,
}

impl Identity {
    /// Reads both, and checks that they belong together.
    ///
    /// # Errors
    /// See there.
    pub fn parse(chain: &str, key: &str) -> Result<Self, IdentityError> {
        let chain = certificates(chain.as_bytes()).map_err(IdentityError::Certificate)?;
        let facts = chain.first().map_or_else(|| Err(String::new()), Facts::of);
        let facts = facts.map_err(IdentityError::Certificate)?;
        let digest = Sha256::digest(key.as_bytes()).into();
        let key = private_key(key.as_bytes()).map_err(IdentityError::PrivateKey)?;
        let unusable =
            "TLS cannot use its private key: RSA of 2048 to 8192 bits, ECDSA and Ed25519 it can";
        let key = provider()
            .key_provider
            .load_private_key(key)
            .map_err(|_| IdentityError::PrivateKey(unusable.to_owned()))?;
        let key = CertifiedKey::new(chain, key);
        match key.keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(Error::InconsistentKeys(_)) => return Err(IdentityError::Mismatch),
            Err(error) => return Err(IdentityError::Certificate(error.to_string())),
        }
        Ok(Self { key: Arc::new(key), digest, facts })
    }

    /// The chain, the own certificate first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.key.cert
    }

    /// Whether the own certificate is for this name.
    pub fn is_for(&self, domain: &str) -> bool {
        self.chain().first().is_some_and(|own| super::certificate::is_for(own, domain))
    }

    /// What shows it to the other side, be that a client or a server.
    pub fn resolver(&self) -> Arc<SingleCertAndKey> {
        Arc::new(SingleCertAndKey::from(Arc::clone(&self.key)))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("facts", &self.facts).finish_non_exhaustive()
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Identity {}

impl PartialOrd for Identity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Identity {
    fn cmp(&self, other: &Self) -> Ordering {
        fn bytes(own: &Identity) -> impl Iterator<Item = &[u8]> {
            own.chain().iter().map(|certificate| certificate.as_ref())
        }
        self.digest.cmp(&other.digest).then_with(|| bytes(self).cmp(bytes(other)))
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn pair() -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        (params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
    }

    #[test]
    fn a_key_belongs_to_its_certificate_and_is_never_shown() {
        let ((chain, key), (other, _)) = (pair(), pair());
        let identity = Identity::parse(&chain, &key).expect("a pair");
        assert!(identity.is_for("localhost") && !identity.is_for("example.com"));
        assert_eq!(identity, Identity::parse(&chain, &key).expect("a pair"));
        let secret = key.lines().nth(1).expect("a line");
        assert!(!format!("{identity:?}").contains(secret));
        assert_eq!(Identity::parse(&other, &key), Err(IdentityError::Mismatch));
        let error = Identity::parse(&chain, &chain).expect_err("no key");
        assert_eq!(error, IdentityError::PrivateKey("there is no private key in it".to_owned()));
        let error = Identity::parse(&key, &key).expect_err("no certificate");
        assert_eq!(error, IdentityError::Certificate("there is no certificate in it".to_owned()));
        let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        let error = Identity::parse(&chain, &encrypted).expect_err("encrypted");
        assert_eq!(
            error,
            IdentityError::PrivateKey("the private key in it is encrypted".to_owned())
        );
        // Damaged in the middle, where only cryptography can tell.
        let damaged = key.replace(secret, &secret.chars().rev().collect::<String>());
        let error = format!("{:?}", Identity::parse(&chain, &damaged).expect_err("damaged"));
        assert!(!error.contains(&secret[..16]), "{error}");
    }
}

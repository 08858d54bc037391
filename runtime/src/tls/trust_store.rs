//! The trust store of mutual TLS: who may sign clients' certificates.

use std::{fmt, sync::Arc};

use rustls::{
    RootCertStore,
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use sha2::{Digest as _, Sha256};

use super::{Facts, certificates, provider};

/// The smallest RSA key that counts, in bits.
const RSA_BITS_MIN: usize = 2048;

/// The most bytes of names that clients are told to choose their certificate
/// by: a handshake has no room for more. With more than that they are told none.
const HINT_BYTES_MAX: usize = 16 * 1024;

/// The most certificates that a store may hold.
const CERTIFICATES_MAX: usize = 1000;

/// Certificates of those who sign, all usable.
#[derive(Clone)]
pub struct TrustStore {
    verifier: Arc<dyn ClientCertVerifier>,
    digest: [u8; 32],
    length: usize,
}

impl TrustStore {
    /// Reads a store in PEM, and what is odd about it: a certificate that is
    /// no good is left out, as in the service.
    ///
    /// # Errors
    /// Where not one certificate is any good.
    pub fn parse(pem: &str) -> Result<(Self, Vec<String>), String> {
        let certificates = certificates(pem.as_bytes())?;
        if certificates.len() > CERTIFICATES_MAX {
            let length = certificates.len();
            return Err(format!("it has {length} certificates, more than {CERTIFICATES_MAX}"));
        }
        let (mut store, mut warnings) = (RootCertStore::empty(), Vec::new());
        let mut digest = Sha256::new();
        let mut hint_bytes = 0;
        for (number, der) in certificates.into_iter().enumerate() {
            let which = format!("certificate {}", number + 1);
            let facts = match Facts::of(&der) {
                Ok(facts) => facts,
                Err(why) => {
                    warnings.push(format!("{which} is left out: {why}"));
                    continue;
                }
            };
            let which = format!("{which} ({})", facts.subject);
            if let Some(why) = refused(&facts) {
                warnings.push(format!("{which} is left out: {why}"));
                continue;
            }
            digest.update(Sha256::digest(&der));
            match store.add(der) {
                Ok(()) => hint_bytes += facts.subject.len(),
                Err(error) => warnings.push(format!("{which} is left out: {error}")),
            }
        }
        let length = store.len();
        if store.is_empty() {
            let why = warnings.first().map_or("there is no certificate in it", String::as_str);
            return Err(format!("it trusts nobody: {why}"));
        }
        let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider());
        if hint_bytes > HINT_BYTES_MAX {
            builder = builder.clear_root_hint_subjects();
        }
        let verifier = builder.build().map_err(|error| error.to_string())?;
        Ok((Self { verifier, digest: digest.finalize().into(), length }, warnings))
    }

    /// Who checks clients' certificates.
    pub fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.verifier)
    }
}

/// Why a certificate signs nobody.
fn refused(facts: &Facts) -> Option<String> {
    if !facts.is_ca {
        return Some("it is not a certificate authority's".to_owned());
    }
    if let Some(when) = facts.out_of_time() {
        return Some(format!("it {when}"));
    }
    if let Some(algorithm) = facts.weak_signature {
        return Some(format!("it is signed with {algorithm}"));
    }
    let bits = facts.rsa_bits.filter(|bits| *bits < RSA_BITS_MIN)?;
    Some(format!("its RSA key has {bits} bits, less than {RSA_BITS_MIN}"))
}

impl fmt::Debug for TrustStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustStore").field("certificates", &self.length).finish()
    }
}

impl PartialEq for TrustStore {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for TrustStore {}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};

    use super::*;

    fn made(params: &CertificateParams) -> String {
        let key = KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("a certificate").pem()
    }

    #[test]
    fn what_cannot_sign_is_left_out_and_said_so() {
        let mut params = CertificateParams::new([]).expect("no names");
        let leaf = made(&params);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let good = made(&params);
        let (store, warnings) = TrustStore::parse(&format!("{good}{leaf}")).expect("a store");
        assert_eq!(store.length, 1);
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].starts_with("certificate 2 (CN="), "{warnings:?}");
        assert!(warnings[0].ends_with("it is not a certificate authority's"), "{warnings:?}");
        assert_eq!(store, TrustStore::parse(&good).expect("a store").0);
        assert_ne!(store, TrustStore::parse(&made(&params)).expect("a store").0);
        let error = TrustStore::parse(&leaf).expect_err("nobody");
        assert!(error.starts_with("it trusts nobody: certificate 1"), "{error}");
        params.not_after = date_time_ymd(2001, 1, 1);
        params.not_before = date_time_ymd(2000, 1, 1);
        let error = TrustStore::parse(&made(&params)).expect_err("nobody");
        assert!(error.ends_with("it expired on Jan  1 00:00:00 2001 GMT"), "{error}");
        let many = good.repeat(CERTIFICATES_MAX + 1);
        assert!(TrustStore::parse(&many).expect_err("long").contains("more than 1000"));
        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let (_, warnings) = TrustStore::parse(&format!("{good}{garbage}")).expect("a store");
        assert_eq!(warnings, ["certificate 2 is left out: it is not a certificate"]);
        assert_eq!(TrustStore::parse(""), Err("there is no certificate in it".to_owned()));
    }
}

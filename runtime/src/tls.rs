//! TLS without a connection: certificates and keys as PEM has them, what they
//! say, and what clients and servers are set up with. Pure, but for the system's
//! certificates.
//!
//! TLS 1.2 and 1.3 only; there is nothing else that rustls speaks.

mod certificate;
mod client;
mod identity;
mod server;
mod trust_store;

use std::sync::Arc;

use rustls::{
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

pub use certificate::{ClientCertificate, Facts, Validity};
pub use client::{Trust, client, roots};
pub use identity::{Identity, IdentityError};
pub use server::{HTTP_1, HTTP_2, SecurityPolicy, Session, Terms, nobody, server};
pub use trust_store::TrustStore;

/// The cryptography that is used everywhere.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// All certificates of a text in PEM, in its order.
///
/// # Errors
/// Why it holds none.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    // Errors of the parser may quote the text.
    let certificates = read.map_err(|_| "it is not PEM".to_owned())?;
    match certificates.is_empty() {
        true => Err("there is no certificate in it".to_owned()),
        false => Ok(certificates),
    }
}

/// The first private key of a text in PEM.
///
/// # Errors
/// Why it holds none; never what is in it.
pub fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    if pem.windows(ENCRYPTED.len()).any(|window| window == ENCRYPTED) {
        return Err("the private key in it is encrypted".to_owned());
    }
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| "there is no private key in it".to_owned())
}

const ENCRYPTED: &[u8] = b"BEGIN ENCRYPTED PRIVATE KEY";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_is_pem_or_an_error(
            text in "(-----BEGIN (CERTIFICATE|PRIVATE KEY|RSA PRIVATE KEY)-----|-----END (CERTIFICATE|PRIVATE KEY)-----|[A-Za-z0-9+/=]{0,40}|\n|\\PC){0,20}",
        ) {
            if let Ok(certificates) = certificates(text.as_bytes()) {
                for der in certificates {
                    drop(Facts::of(&der));
                    drop(ClientCertificate::of(&der));
                }
            }
            drop(private_key(text.as_bytes()));
        }
    }
}

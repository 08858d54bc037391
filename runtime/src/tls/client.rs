//! The client's side of TLS: whom it trusts, and what it shows of itself.

use std::sync::Arc;

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use super::{Identity, certificates, provider};

/// Whom a client trusts.
pub enum Trust {
    /// Those whom the system does.
    System,
    /// Those whom one of these has signed.
    Only(RootCertStore),
    /// Whoever shows a certificate.
    Anyone,
}

/// What a client's connections are set up with.
pub fn client(trust: Trust, identity: Option<&Identity>) -> ClientConfig {
    let provider = provider();
    let versions: &[_] = &[&rustls::version::TLS13, &rustls::version::TLS12];
    // The provider has suites for both versions.
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .unwrap_or_else(|_| unreachable!("ring knows TLS 1.2 and 1.3"));
    let builder = match trust {
        Trust::System => builder.with_root_certificates(system_roots()),
        Trust::Only(roots) => builder.with_root_certificates(roots),
        Trust::Anyone => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone(provider)))
        }
    };
    match identity {
        Some(identity) => builder.with_client_cert_resolver(identity.resolver()),
        None => builder.with_no_client_auth(),
    }
}

/// The certificates of a text in PEM, as those that are trusted.
///
/// # Errors
/// Why it holds none.
pub fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(pem)? {
        store.add(certificate).map_err(|error| format!("not a certificate: {error}"))?;
    }
    Ok(store)
}

/// The system's certificates; where there are none, every certificate is
/// refused when it is shown.
fn system_roots() -> RootCertStore {
    let mut store = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!("the system's certificates: {error}");
    }
    store.add_parsable_certificates(found.certs);
    store
}

/// Takes any certificate, as `insecure_skip_verification` asks; signatures
/// are still checked, so that the connection is with whoever showed it.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

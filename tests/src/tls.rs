//! An HTTPS server for a gateway to call, with a certificate of its own making.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer},
};

/// A running server, which answers with the version of HTTP that it is asked
/// in; it ends with the process.
pub struct TlsUpstream {
    /// Where it listens.
    pub address: SocketAddr,
    /// The certificate that signed its own, in PEM.
    pub ca: String,
}

impl TlsUpstream {
    /// One for `localhost`, which offers these protocols.
    pub fn new(protocols: &[&str]) -> Self {
        let ca_key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&ca_key).expect("a certificate");
        let issuer = Issuer::new(params, ca_key);
        let key = KeyPair::generate().expect("a key");
        let own = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        let own = own.signed_by(&key, &issuer).expect("a certificate");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring knows them")
            .with_no_client_auth()
            .with_single_cert(vec![own.der().clone()], key)
            .expect("they belong together");
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a mode");
        let address = listener.local_addr().expect("its address");
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime
                .expect("a runtime")
                .block_on(serve(listener, TlsAcceptor::from(Arc::new(config))));
        });
        Self { address, ca: ca.pem() }
    }
}

async fn serve(listener: std::net::TcpListener, acceptor: TlsAcceptor) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    while let Ok((stream, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            // A client that trusts nobody goes away.
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| async move {
                let text = format!("{:?}", request.version());
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(text))))
            });
            let builder = Builder::new(TokioExecutor::new());
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

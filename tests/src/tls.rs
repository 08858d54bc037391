//! Certificates of the tests' own making, a client that shows them, and an
//! HTTPS server for a gateway to call.

use std::{
    convert::Infallible,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::Arc,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, date_time_ymd,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
        server::WebPkiClientVerifier,
    },
};

/// A certificate and its private key, in PEM.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl Pair {
    fn parsed(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let chain = CertificateDer::from_pem_slice(self.certificate.as_bytes()).expect("PEM");
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("PEM");
        (vec![chain], key)
    }
}

fn roots(pem: &str) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM");
    roots.add(root).expect("a certificate");
    roots
}

/// Who signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate, in PEM.
    pub pem: String,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// A new one.
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = named("tests' authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// One for a server of these names.
    pub fn server(&self, names: &[&str]) -> Pair {
        self.signed(&server_params(names))
    }

    /// One for a server that is out of time.
    pub fn expired_server(&self, names: &[&str]) -> Pair {
        self.signed(&expired(server_params(names)))
    }

    /// One for a client of this name.
    pub fn client(&self, name: &str) -> Pair {
        self.signed(&client_params(name))
    }

    /// One for a client that is out of time.
    pub fn expired_client(&self, name: &str) -> Pair {
        self.signed(&expired(client_params(name)))
    }

    fn signed(&self, params: &CertificateParams) -> Pair {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Pair { certificate, key: key.serialize_pem() }
    }
}

/// A client's certificate that nobody but itself has signed.
pub fn self_signed_client(name: &str) -> Pair {
    let key = KeyPair::generate().expect("a key");
    let certificate = client_params(name).self_signed(&key).expect("a certificate").pem();
    Pair { certificate, key: key.serialize_pem() }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new([]).expect("no names");
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CountryName, "XX");
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn server_params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    CertificateParams::new(names).expect("names")
}

fn client_params(name: &str) -> CertificateParams {
    let mut params = named(name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn expired(mut params: CertificateParams) -> CertificateParams {
    params.not_before = date_time_ymd(2001, 1, 1);
    params.not_after = date_time_ymd(2002, 1, 1);
    params
}

/// A running server, which answers with the version of HTTP that it is asked
/// in, and with the name of a client that has shown a certificate; it ends with
/// the process.
pub struct TlsUpstream {
    /// Where it listens.
    pub address: SocketAddr,
    /// The certificate that signed its own, in PEM.
    pub ca: String,
}

impl TlsUpstream {
    /// One for `localhost`, which offers these protocols.
    pub fn new(protocols: &[&str]) -> Self {
        Self::start(protocols, None)
    }

    /// One that answers only clients whose certificate `clients` has signed.
    pub fn for_clients_of(clients: &Authority) -> Self {
        Self::start(&[], Some(clients))
    }

    fn start(protocols: &[&str], clients: Option<&Authority>) -> Self {
        let authority = Authority::new();
        let (chain, key) = authority.server(&["localhost"]).parsed();
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("ring knows them");
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let roots = Arc::new(roots(&clients.pem));
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                builder.with_client_cert_verifier(verifier.build().expect("roots"))
            }
        };
        let mut config = builder.with_single_cert(chain, key).expect("they belong together");
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
        Self { address, ca: authority.pem }
    }
}

async fn serve(listener: std::net::TcpListener, acceptor: TlsAcceptor) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    while let Ok((stream, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            // A client that trusts nobody goes away.
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
            let client = shown.map(|der| format!(" {}", client_name(der))).unwrap_or_default();
            let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| {
                let text = format!("{:?}{client}", request.version());
                async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(text)))) }
            });
            let builder = Builder::new(TokioExecutor::new());
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// The name in a certificate, where it begins with `client-`.
fn client_name(der: &[u8]) -> String {
    const BEGIN: &[u8] = b"client-";
    let at = der.windows(BEGIN.len()).position(|window| window == BEGIN);
    let at = at.expect("a client's name");
    // DER has a text's length before it.
    let name = &der[at..at + usize::from(der[at - 1])];
    String::from_utf8_lossy(name).into_owned()
}

/// A connection that a client of our own has made.
pub type Connection = StreamOwned<ClientConnection, TcpStream>;

/// Connects to `name` at `address`, in HTTP/1.1, as a client that trusts `ca`.
///
/// # Errors
/// Where the handshake fails; in TLS 1.3 a server's refusal comes with the
/// first read only.
pub fn connect(
    address: &str,
    name: &str,
    ca: &str,
    own: Option<&Pair>,
) -> std::io::Result<Connection> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring knows them")
        .with_root_certificates(roots(ca));
    let config = match own {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let (chain, key) = pair.parsed();
            builder.with_client_auth_cert(chain, key).expect("they belong together")
        }
    };
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let mut connection = ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(crate::PATIENCE))?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    Ok(StreamOwned::new(connection, stream))
}

/// Asks for `path` of `host` by a connection; the head and the body, which has
/// to have a length.
///
/// # Errors
/// Where the connection ends before.
pub fn ask(connection: &mut Connection, host: &str, path: &str) -> std::io::Result<String> {
    write!(connection, "GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n")?;
    connection.flush()?;
    let mut text = String::new();
    let mut chunk = [0; 4096];
    loop {
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.expect("a length").parse().expect("a number") {
                return Ok(text);
            }
        }
        match connection.read(&mut chunk)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => text.push_str(&String::from_utf8_lossy(&chunk[..read])),
        }
    }
}

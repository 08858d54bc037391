//! `mayfly test`: the console's Test button.

use std::{
    io::Write as _,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Instant,
};

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Uri, Version, header};
use http_body_util::Full;

use super::{ConfigArguments, Failure, load, runtime, text_or_file};
use crate::{
    config::{FaultKind, host_name},
    gateway::Gateway,
    pipeline::{self, Connection, Trace},
    tls::Session,
};

#[derive(clap::Args)]
pub struct Arguments {
    /// The request's method, for example GET
    method: String,
    /// The request's path with its query, for example '/pets/1?verbose=yes'
    path: String,
    /// A header of the request; may be given several times
    #[arg(short = 'H', long = "header", value_name = "K: V")]
    headers: Vec<String>,
    /// The request's body, or @FILE
    #[arg(long, value_name = "TEXT|@FILE")]
    body: Option<String>,
    /// The stage to test, one of the configuration's
    #[arg(long, value_name = "S")]
    stage: Option<String>,
    #[command(flatten)]
    config: ConfigArguments,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let request = request(arguments)?;
    let loaded = load(arguments.config.source(arguments.stage.clone())?)?;
    for problem in &loaded.problems {
        tracing::warn!("{problem}");
    }
    let port = loaded.gateway.config.server.listen.port();
    let here = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let tls = session(&loaded.gateway, &request);
    let connection = Connection { client: here(0), local: here(port), tls, proxied: None };
    let mut trace = Trace::On(Vec::new());
    let runtime = runtime()?;
    let started = Instant::now();
    let (mut parts, body) = request.into_parts();
    let served = pipeline::serve(&loaded.gateway, &connection, &mut parts, body, &mut trace);
    let response = runtime.block_on(served);
    let latency = started.elapsed();
    runtime.block_on(loaded.gateway.lambda.flush_usage());

    let mut out = std::io::stdout().lock();
    let Trace::On(steps) = trace else { return Ok(()) };
    for step in steps {
        writeln!(out, "--- {}\n{}\n", step.stage, step.text)?;
    }
    match response.extensions().get::<FaultKind>() {
        Some(fault) => writeln!(out, "fault: {fault}")?,
        None => writeln!(out, "status: {}", response.status().as_u16())?,
    }
    writeln!(out, "latency: {:.1} ms", latency.as_secs_f64() * 1000.0)?;
    Ok(())
}

/// The test stands for a request that has come the right way: where `Host`
/// names a domain that is reached in TLS, for one without a certificate of the
/// client's.
fn session<B>(gateway: &Gateway, request: &Request<B>) -> Option<Arc<Session>> {
    let host = pipeline::host(request.headers())?;
    let domain = gateway.config.domains.find(&host_name(host.host()))?;
    Some(Arc::new(Session {
        terms: Arc::clone(&domain.tls.as_ref()?.terms),
        version: "TLSv1.3",
        cipher_suite: "TLS_AES_128_GCM_SHA256",
        client_certificate: None,
    }))
}

fn request(arguments: &Arguments) -> anyhow::Result<Request<Full<Bytes>>> {
    let method = arguments.method.to_ascii_uppercase();
    let method = Method::from_bytes(method.as_bytes())
        .with_context(|| format!("{:?} is not a method", arguments.method))?;
    anyhow::ensure!(
        arguments.path.starts_with('/'),
        "the path {:?} does not begin with '/'",
        arguments.path
    );
    let uri: Uri =
        arguments.path.parse().with_context(|| format!("{:?} is not a path", arguments.path))?;
    let body = match &arguments.body {
        Some(argument) => Bytes::from(text_or_file(argument)?),
        None => Bytes::new(),
    };
    let mut request = Request::new(Full::new(body.clone()));
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_11;
    let headers = request.headers_mut();
    for text in &arguments.headers {
        let (name, value) =
            text.split_once(':').with_context(|| format!("{text:?} is not \"K: V\""))?;
        let name: HeaderName =
            name.trim().parse().with_context(|| format!("{name:?} is not a header's name"))?;
        let value = HeaderValue::from_str(value.trim())
            .with_context(|| format!("{value:?} is not a header's value"))?;
        headers.append(name, value);
    }
    headers.entry(header::HOST).or_insert(HeaderValue::from_static("localhost"));
    if !body.is_empty() {
        headers.entry(header::CONTENT_LENGTH).or_insert(HeaderValue::from(body.len()));
    }
    Ok(request)
}

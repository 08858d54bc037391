//! Where a request is for: the host that it names, the domain of that name,
//! and whether its connection may speak for it.
//!
//! A connection in TLS is one to a single domain. Without this check a client
//! could make it under the name of one domain and ask under another's, which
//! has other terms: one that asks for a certificate, say.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/how-to-custom-domains.html>

use std::borrow::Cow;

use http::{HeaderValue, Version, header, request::Parts, uri::Authority};

use super::{Connection, error::GatewayError};
use crate::{
    config::{DomainConfig, host_name},
    gateway::Gateway,
};

/// Why a request is for nothing that is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unserved {
    /// No stage has this path.
    NoStage,
    /// No base path of its domain is this path's beginning.
    NoMapping,
    /// It names no domain, and the default endpoint is disabled.
    DefaultEndpoint,
    /// Its connection is not one to what it names.
    Misdirected(&'static str),
    /// It names more than one host.
    Hosts,
    /// It names a function URL that there is not.
    NoFunctionUrl,
}

impl From<Unserved> for GatewayError {
    fn from(reason: Unserved) -> Self {
        match reason {
            Unserved::NoStage => Self::NoStage,
            Unserved::NoMapping => {
                Self::NotMapped("the domain's base_paths have nothing for this path")
            }
            Unserved::DefaultEndpoint => {
                Self::NotMapped("no domain has this host, and disable_execute_api_endpoint = true")
            }
            Unserved::NoFunctionUrl => Self::NotMapped("no function has this URL"),
            Unserved::Misdirected(why) => Self::Misdirected(why),
            Unserved::Hosts => Self::BadRequest("the request needs exactly one Host header"),
        }
    }
}

/// Makes `Host` what the request is for, whatever version it came in.
pub fn settle_host(parts: &mut Parts) {
    let Some(authority) = parts.uri.authority() else { return };
    let text = authority.as_str().rsplit('@').next().unwrap_or_default();
    let Ok(host) = HeaderValue::from_str(text) else { return };
    // RFC 9113, section 8.3.1: one that differs is malformed, and is found
    // where hosts are counted. RFC 9112, section 3.2.2: it is ignored.
    let differs = parts.headers.get(header::HOST).is_some_and(|own| *own != host);
    if differs && parts.version == Version::HTTP_2 {
        parts.headers.append(header::HOST, host);
    } else {
        parts.headers.insert(header::HOST, host);
    }
}

/// The host that a request names, without its port.
pub fn host(headers: &http::HeaderMap) -> Option<Authority> {
    headers.get(header::HOST)?.to_str().ok()?.parse().ok()
}

/// The same without its port, as text.
pub fn host_text(headers: &http::HeaderMap) -> Option<Cow<'_, str>> {
    let text = headers.get(header::HOST)?.to_str().ok()?;
    let (name, port) = text.split_once(':').unwrap_or((text, "0"));
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let digits =
        |port: &str| (1..6).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit());
    // As nearly all are; what else an authority may be is the parser's to say.
    if !name.is_empty() && name.bytes().all(is_plain) && digits(port) {
        return Some(name.into());
    }
    text.parse().ok().map(|authority: Authority| authority.host().to_owned().into())
}

/// The domain that a request is for; none for the default endpoint.
///
/// # Errors
/// Where it is for nothing that this connection may ask for.
pub fn domain<'g>(
    gateway: &'g Gateway,
    connection: &Connection,
    parts: &Parts,
) -> Result<Option<&'g DomainConfig>, Unserved> {
    let config = &gateway.config;
    let is_open = !config.disable_execute_api_endpoint;
    if config.domains.is_empty() && is_open && connection.tls.is_none() {
        return Ok(None);
    }
    if parts.headers.get_all(header::HOST).iter().count() > 1 {
        return Err(Unserved::Hosts);
    }
    let host = host(&parts.headers);
    let found = host.and_then(|host| config.domains.find(&host_name(host.host())));
    match (found.and_then(|domain| domain.tls.as_ref()), &connection.tls) {
        (None, None) => {}
        (Some(own), Some(session)) if own.terms == session.terms => {}
        (Some(own), Some(session)) if own.terms.domain == session.terms.domain => {
            return Err(Unserved::Misdirected(
                "the connection was made before the domain's TLS changed",
            ));
        }
        (_, Some(_)) => {
            return Err(Unserved::Misdirected(
                "the connection was made to another domain than Host names",
            ));
        }
        (Some(_), None) => {
            return Err(Unserved::Misdirected("the domain that Host names is reached in TLS only"));
        }
    }
    match found {
        None if !is_open => Err(Unserved::DefaultEndpoint),
        found => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn hosts(version: Version, uri: &str, host: &str) -> Vec<String> {
        let request = Request::builder().version(version).uri(uri).header("host", host);
        let (mut parts, ()) = request.body(()).expect("a request").into_parts();
        settle_host(&mut parts);
        let values = parts.headers.get_all(header::HOST).iter();
        values.map(|value| value.to_str().expect("text").to_owned()).collect()
    }

    #[test]
    fn the_target_says_what_a_request_is_for() {
        let (v1, v2) = (Version::HTTP_11, Version::HTTP_2);
        assert_eq!(hosts(v1, "/x", "a:1"), ["a:1"]);
        assert_eq!(hosts(v1, "http://b:2/x", "a:1"), ["b:2"]);
        assert_eq!(hosts(v1, "http://a@b/x", "a"), ["b"]);
        assert_eq!(hosts(v2, "https://b/x", "b"), ["b"]);
        assert_eq!(hosts(v2, "https://b/x", "a"), ["a", "b"]);
    }
}

//! The method request: a client's request as the gateway takes it in, whole
//! and within its limits.

use std::{
    borrow::Cow,
    sync::PoisonError,
    time::{Duration, SystemTime},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Version, header, request::Parts};
use http_body::Body;
use http_body_util::BodyExt as _;
use percent_encoding::percent_decode_str;

use super::{Connection, Exchange, Matched, compression, endpoint, error::GatewayError};
use crate::{
    body::{AnswerBody, Stream, bounded},
    config::{ApiKind, host_name, template::Lookup},
    gateway::{Gateway, Route},
};

/// A request that a route took.
pub struct MethodRequest<'g> {
    /// The snapshot that it is answered from.
    pub gateway: &'g Gateway,
    /// Where it came from.
    pub connection: &'g Connection,
    /// Its ids and times, and its stage.
    pub exchange: &'g Exchange<'g>,
    /// The route that took it.
    pub matched: Matched<'g>,
    /// Its method.
    pub method: &'g Method,
    /// The version of HTTP.
    pub version: Version,
    /// The path as it came, with the stage's prefix.
    pub path: &'g str,
    /// The query as it came, without the question mark.
    pub raw_query: &'g str,
    /// Names and values, decoded, in the order they came.
    pub query: Vec<(String, String)>,
    /// Its headers; without the content coding, where that was undone.
    pub headers: Cow<'g, HeaderMap>,
    /// The head as it came, which a signature is about.
    pub parts: &'g Parts,
    /// And the body as it came, where it is signed.
    pub signed_body: Bytes,
    /// The whole body; empty where it passes through.
    pub body: Bytes,
    /// Whether bodies pass through, the request's and the answer's.
    pub streams: bool,
    // What passes through, until the integration takes it.
    stream: std::sync::Mutex<Option<Stream>>,
    json: std::sync::OnceLock<Option<serde_json::Value>>,
}

/// What happens to bodies.
#[derive(Debug, Clone, Copy)]
pub struct Bodies {
    /// Whether they are passed on as they are.
    pub passes: bool,
    /// Whether that is done while they come.
    pub streams: bool,
}

impl<'g> MethodRequest<'g> {
    /// Takes in a request, with its body where that does not pass through.
    ///
    /// # Errors
    /// Where it is beyond a limit, or not well formed.
    pub async fn read<B>(
        gateway: &'g Gateway,
        connection: &'g Connection,
        exchange: &'g Exchange<'g>,
        matched: Matched<'g>,
        parts: &'g Parts,
        body: B,
        Bodies { passes, streams }: Bodies,
    ) -> Result<Self, GatewayError>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: std::error::Error,
    {
        check_head(gateway, parts)?;
        let max = gateway.config.limits.body_bytes_max;
        let idle = gateway.config.server.pools.body_idle_timeout;
        let declared = declared_length(&parts.headers);
        let mut headers = Cow::Borrowed(&parts.headers);
        let mut signed_body = Bytes::new();
        // A signature is about the whole body.
        let (body, stream) = match streams && !matched.route.is_signed() {
            true if declared.is_none_or(|length| length <= max) => {
                (Bytes::new(), Some(bounded(body, Some(max), idle)))
            }
            _ => {
                let mut body = read_body(body, &parts.headers, max, idle).await?;
                if matched.route.is_signed() {
                    signed_body.clone_from(&body);
                }
                // Only a REST API looks into what does not pass through.
                if gateway.config.kind == ApiKind::Rest && !passes {
                    body = compression::decompress(body, &mut headers, max).await?;
                }
                (body, None)
            }
        };
        let raw_query = parts.uri.query().unwrap_or_default();
        Ok(Self {
            gateway,
            connection,
            exchange,
            matched,
            method: &parts.method,
            version: parts.version,
            path: parts.uri.path(),
            raw_query,
            query: parse_query(raw_query),
            headers,
            parts,
            signed_body,
            body,
            streams,
            stream: std::sync::Mutex::new(stream),
            json: std::sync::OnceLock::new(),
        })
    }

    /// The host that the client named, without its port.
    pub fn domain_name(&self) -> Cow<'_, str> {
        self.about().domain_name()
    }

    /// A header's text.
    pub fn header_text(&self, name: impl header::AsHeaderName) -> Option<Cow<'_, str>> {
        header_text(&self.headers, name)
    }

    /// The protocol as events name it.
    pub fn protocol(&self) -> &'static str {
        self.about().protocol()
    }

    /// What is known of the request without its body.
    pub fn about(&self) -> About<'_> {
        About {
            gateway: self.gateway,
            connection: self.connection,
            exchange: self.exchange,
            route: Some(self.matched.route),
            method: self.method,
            version: self.version,
            path: self.path,
            headers: &self.headers,
        }
    }

    /// The body for an integration that takes it as it comes.
    pub fn take_body(&self) -> AnswerBody {
        let stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner).take();
        stream.map_or_else(|| self.body.clone().into(), AnswerBody::Stream)
    }

    /// Which kind of API this is a request to.
    pub fn kind(&self) -> ApiKind {
        self.gateway.config.kind
    }
}

/// What is known of a request without its body, and perhaps without a route.
#[derive(Clone, Copy)]
pub struct About<'g> {
    /// The snapshot that it is answered from.
    pub gateway: &'g Gateway,
    /// Where it came from.
    pub connection: &'g Connection,
    /// Its ids and times, and its stage.
    pub exchange: &'g Exchange<'g>,
    /// The route that took it, once that is known.
    pub route: Option<&'g Route>,
    /// Its method.
    pub method: &'g Method,
    /// The version of HTTP.
    pub version: Version,
    /// The path as it came, with the stage's prefix.
    pub path: &'g str,
    /// Its headers as they came, or as they are then.
    pub headers: &'g HeaderMap,
}

impl<'g> About<'g> {
    /// The host that the client named, without its port.
    pub fn domain_name(&self) -> Cow<'g, str> {
        match endpoint::host_text(self.headers) {
            // A domain has one spelling, so that it can be compared.
            Some(host) if self.exchange.base_path.is_some() => host_name(&host).into_owned().into(),
            Some(host) => host,
            None => self.connection.local.ip().to_string().into(),
        }
    }

    /// The protocol as events name it.
    pub fn protocol(&self) -> &'static str {
        match self.version {
            Version::HTTP_2 => "HTTP/2.0",
            Version::HTTP_10 => "HTTP/1.0",
            _ => "HTTP/1.1",
        }
    }
}

/// A header's text.
pub fn header_text(headers: &HeaderMap, name: impl header::AsHeaderName) -> Option<Cow<'_, str>> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()))
}

fn check_head(gateway: &Gateway, parts: &Parts) -> Result<(), GatewayError> {
    let limits = &gateway.config.limits;
    let bytes: usize =
        parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if bytes > limits.header_bytes_max {
        return Err(GatewayError::HeadersTooLarge(format!(
            "{bytes} bytes, more than header_bytes_max = {}",
            limits.header_bytes_max
        )));
    }
    if parts.headers.len() > limits.header_count_max {
        return Err(GatewayError::HeadersTooLarge(format!(
            "{} header lines, more than header_count_max = {}",
            parts.headers.len(),
            limits.header_count_max
        )));
    }
    // RFC 9112, section 3.2: exactly one Host from HTTP/1.1 on; HTTP/2 has
    // its authority in the target.
    let hosts = parts.headers.get_all(header::HOST).iter().count();
    if hosts > 1 || (hosts == 0 && parts.version == Version::HTTP_11) {
        return Err(GatewayError::BadRequest("the request needs exactly one Host header"));
    }
    Ok(())
}

/// What is read of a body that is refused, so that the client gets to read the
/// answer instead of a reset: in bytes, and in time.
const REFUSED_BYTES_MAX: usize = 32 * 1024 * 1024;
const REFUSED_TIME_MAX: Duration = Duration::from_secs(5);

/// The length that the head announces.
fn declared_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn read_body<B>(
    mut body: B,
    headers: &HeaderMap,
    max: usize,
    idle: Duration,
) -> Result<Bytes, GatewayError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error,
{
    let expects = headers.contains_key(header::EXPECT);
    if declared_length(headers).is_some_and(|length| length > max) {
        // A client that asked first has not sent anything yet.
        if !expects {
            discard(body).await;
        }
        return Err(GatewayError::BodyTooLarge { max });
    }
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let mut first: Option<Bytes> = None;
    let mut rest = BytesMut::new();
    loop {
        let frame = match tokio::time::timeout(idle, body.frame()).await {
            Err(_) => return Err(GatewayError::BodyTimeout(idle)),
            Ok(None) => break,
            Ok(Some(Err(error))) => return Err(GatewayError::BodyBroken(error.to_string())),
            Ok(Some(Ok(frame))) => frame,
        };
        // Trailers carry nothing that an event has a place for.
        let Ok(data) = frame.into_data() else { continue };
        let size = first.as_ref().map_or(rest.len(), Bytes::len);
        if size + data.len() > max {
            discard(body).await;
            return Err(GatewayError::BodyTooLarge { max });
        }
        // A body of one frame, which most are, is not copied.
        match first.take() {
            None if rest.is_empty() => first = Some(data),
            None => rest.extend_from_slice(&data),
            Some(begin) => {
                rest.extend_from_slice(&begin);
                rest.extend_from_slice(&data);
            }
        }
    }
    Ok(first.unwrap_or_else(|| rest.freeze()))
}

async fn discard<B: Body<Data = Bytes> + Unpin>(mut body: B) {
    let read = async {
        let mut seen = 0;
        while let Some(Ok(frame)) = body.frame().await {
            seen += frame.data_ref().map_or(0, Bytes::len);
            if seen > REFUSED_BYTES_MAX {
                break;
            }
        }
    };
    // Whoever needs longer meets a closed connection.
    let _ = tokio::time::timeout(REFUSED_TIME_MAX, read).await;
}

/// Names and values of a query, decoded as the service decodes them: `+` is a
/// space, a name without `=` has the empty value.
pub fn parse_query(query: &str) -> Vec<(String, String)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode_form(name), decode_form(value))
        })
        .collect()
}

fn decode_form(text: &str) -> String {
    if !text.contains(['+', '%']) {
        return text.to_owned();
    }
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

impl Lookup for MethodRequest<'_> {
    fn method(&self) -> &str {
        self.method.as_str()
    }

    fn path_text(&self) -> &str {
        self.path
    }

    fn query_pairs(&self) -> &[(String, String)] {
        &self.query
    }

    fn request_id(&self) -> &str {
        &self.exchange.request_id
    }

    fn time(&self) -> SystemTime {
        self.exchange.time
    }

    fn path(&self, name: &str) -> Option<Cow<'_, str>> {
        let (_, value) = self.matched.parameters.iter().find(|(key, _)| key == name)?;
        Some(Cow::Borrowed(value))
    }

    fn query(&self, name: &str) -> Option<Cow<'_, str>> {
        let (_, value) = self.query.iter().rev().find(|(key, _)| key == name)?;
        Some(Cow::Borrowed(value))
    }

    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        self.header_text(name)
    }

    fn body_text(&self) -> Option<Cow<'_, str>> {
        Some(String::from_utf8_lossy(&self.body))
    }

    fn body_json(&self) -> Option<&serde_json::Value> {
        let read = || {
            // All at once, which is faster than string by string.
            let text = std::str::from_utf8(&self.body).ok()?;
            serde_json::from_str(text).ok()
        };
        self.json.get_or_init(read).as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_decoded_as_the_service_decodes_them() {
        let pairs = parse_query("a=1&a=2&b=x+y%2Bz&c&=d&&e=%zz&f=a=b&g=%ff");
        let pairs: Vec<(&str, &str)> =
            pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(
            pairs,
            [
                ("a", "1"),
                ("a", "2"),
                ("b", "x y+z"),
                ("c", ""),
                ("", "d"),
                ("e", "%zz"),
                ("f", "a=b"),
                ("g", "\u{fffd}"),
            ]
        );
    }

    proptest::proptest! {
        #[test]
        fn any_query_is_decoded(query in "[a%20F+=&;\\PC]{0,40}") {
            for (name, value) in parse_query(&query) {
                proptest::prop_assert!(name.len() + value.len() <= 3 * query.len());
            }
        }
    }
}

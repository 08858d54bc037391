//! Compressed payloads of REST APIs: a request's body is decompressed before
//! anything looks at it, an answer's is compressed after everything is done.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-gzip-compression-decompression.html>

use std::{
    borrow::Cow,
    io::{self, Read, Write as _},
};

use bytes::Bytes;
use flate2::{
    Compression,
    read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder},
    write::{GzEncoder, ZlibEncoder},
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};

use super::{error::GatewayError, method_request::MethodRequest};
use crate::{config::ApiKind, integration::AnswerBody};

/// Longer payloads are worked on beside the threads that serve requests.
const INLINE_BYTES_MAX: usize = 64 * 1024;

/// The content codings that the service has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Gzip,
    /// As HTTP has it: in zlib's format.
    Deflate,
}

impl Coding {
    fn of(name: &str) -> Option<Self> {
        match name {
            _ if name.eq_ignore_ascii_case("gzip") => Some(Self::Gzip),
            _ if name.eq_ignore_ascii_case("deflate") => Some(Self::Deflate),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }
}

/// A request's body as its `Content-Encoding` says it is to be read; what
/// comes after sees neither the header nor the compressed length.
///
/// # Errors
/// 415 where the coding is not known or the body is not so coded, 413 where it
/// becomes longer than `max` bytes.
pub async fn decompress(
    body: Bytes,
    headers: &mut Cow<'_, HeaderMap>,
    max: usize,
) -> Result<Bytes, GatewayError> {
    if body.is_empty() {
        return Ok(body);
    }
    let Some(coding) = content_coding(headers)? else { return Ok(body) };
    let body = aside(body.len(), move || inflate(&body, coding, max)).await?;
    let headers = headers.to_mut();
    headers.remove(header::CONTENT_ENCODING);
    if headers.contains_key(header::CONTENT_LENGTH) {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    Ok(body)
}

fn content_coding(headers: &HeaderMap) -> Result<Option<Coding>, GatewayError> {
    let mut codings = headers.get_all(header::CONTENT_ENCODING).iter().map(HeaderValue::as_bytes);
    let (Some(first), second) = (codings.next(), codings.next()) else { return Ok(None) };
    let name = String::from_utf8_lossy(first);
    let name = name.trim();
    if second.is_none() && (name.is_empty() || name.eq_ignore_ascii_case("identity")) {
        return Ok(None);
    }
    match Coding::of(name) {
        Some(coding) if second.is_none() => Ok(Some(coding)),
        _ => Err(GatewayError::UnsupportedEncoding(format!(
            "Content-Encoding is {name:?}, not one of gzip, deflate and identity"
        ))),
    }
}

fn inflate(body: &[u8], coding: Coding, max: usize) -> Result<Bytes, GatewayError> {
    let read = match coding {
        Coding::Gzip => read_to(MultiGzDecoder::new(body), max),
        Coding::Deflate if has_zlib_header(body) => read_to(ZlibDecoder::new(body), max),
        // Many clients leave zlib's header away.
        Coding::Deflate => read_to(DeflateDecoder::new(body), max),
    };
    match read {
        Ok(bytes) if bytes.len() > max => Err(GatewayError::BodyTooLarge { max }),
        Ok(bytes) => Ok(bytes.into()),
        Err(error) => Err(GatewayError::UnsupportedEncoding(format!(
            "the body is not coded as {}: {error}",
            coding.name()
        ))),
    }
}

/// Everything, or one byte more than `max`.
fn read_to(decoder: impl Read, max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let bound = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    decoder.take(bound).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// RFC 1950, section 2.2: method 8, and a check that 31 divides.
fn has_zlib_header(body: &[u8]) -> bool {
    match body {
        [first, second, ..] => {
            first & 0x0f == 8 && (u16::from(*first) << 8 | u16::from(*second)) % 31 == 0
        }
        _ => false,
    }
}

/// Codes an answer as the client wants it, if it is long enough.
pub async fn compress(request: &MethodRequest<'_>, response: &mut Response<AnswerBody>) {
    let Some(min) = request.gateway.config.minimum_compression_size else { return };
    // What passes through as it comes has no length to go by.
    let AnswerBody::Whole(body) = response.body() else { return };
    let coded = response.headers().contains_key(header::CONTENT_ENCODING)
        || response.headers().contains_key(header::CONTENT_RANGE);
    let bodiless = request.method == Method::HEAD
        || matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if request.kind() != ApiKind::Rest || body.len() < min || coded || bodiless {
        return;
    }
    let body = body.clone();
    let coding = accepted(&request.headers);
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    let Some(coding) = coding else { return };
    let compressed = aside(body.len(), move || deflate(&body, coding)).await;
    // In memory nothing fails; if it did, the body is there as it was.
    let Ok(compressed) = compressed else { return };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    headers.remove(header::CONTENT_LENGTH);
    *response.body_mut() = AnswerBody::Whole(compressed);
}

fn deflate(body: &[u8], coding: Coding) -> io::Result<Bytes> {
    let level = Compression::default();
    let bytes = match coding {
        Coding::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), level);
            encoder.write_all(body)?;
            encoder.finish()?
        }
        Coding::Deflate => {
            let mut encoder = ZlibEncoder::new(Vec::new(), level);
            encoder.write_all(body)?;
            encoder.finish()?
        }
    };
    Ok(bytes.into())
}

/// The coding that the client prefers, as long as we have it: where its first
/// choice is another one, nothing is compressed. Codings have to be named; `*`
/// and no header at all mean none.
fn accepted(headers: &HeaderMap) -> Option<Coding> {
    let mut best: Option<(u16, Option<Coding>)> = None;
    for value in headers.get_all(header::ACCEPT_ENCODING) {
        for part in value.to_str().ok()?.split(',') {
            let mut parameters = part.split(';').map(str::trim);
            let name = parameters.next().unwrap_or_default();
            let weight = parameters.find_map(|parameter| {
                let (name, value) = parameter.split_once('=')?;
                name.trim().eq_ignore_ascii_case("q").then(|| weight(value.trim()))
            });
            // A weight that is none makes the coding one that is not wanted.
            let weight = weight.unwrap_or(Some(1000)).unwrap_or(0);
            let coding = Coding::of(name);
            let preferred = best.is_none_or(|(most, chosen)| {
                weight > most || (weight == most && chosen.is_none() && coding.is_some())
            });
            if !name.is_empty() && weight > 0 && preferred {
                best = Some((weight, coding));
            }
        }
    }
    best?.1
}

/// `0.5` in thousandths: RFC 9110, section 12.4.2.
fn weight(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let fraction: u16 = format!("{fraction:0<3}").parse().ok()?;
    match (whole, fraction) {
        ("0", _) => Some(fraction),
        ("1", 0) => Some(1000),
        _ => None,
    }
}

/// Runs `work` on `bytes` bytes without holding up other requests.
pub async fn aside<T, E>(
    bytes: usize,
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E>
where
    T: Send + 'static,
    E: Send + 'static,
{
    if bytes <= INLINE_BYTES_MAX {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn accepts(value: &str) -> Option<Coding> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, value.parse().expect("a header"));
        accepted(&headers)
    }

    #[test]
    fn the_client_s_first_choice_counts() {
        for (value, coding) in [
            ("gzip", Some(Coding::Gzip)),
            ("GZIP", Some(Coding::Gzip)),
            ("gzip, deflate, br", Some(Coding::Gzip)),
            ("br, gzip", Some(Coding::Gzip)),
            ("deflate, gzip", Some(Coding::Deflate)),
            ("gzip;q=0.5, deflate;q=0.8", Some(Coding::Deflate)),
            ("gzip;q=0.5, br;q=0.8", None),
            ("identity, gzip;q=0.5", None),
            ("identity;q=0.2, gzip ; q=0.5", Some(Coding::Gzip)),
            ("gzip;q=0", None),
            ("gzip;q=2, deflate", Some(Coding::Deflate)),
            ("gzip;q=nonsense", None),
            ("gzip;level=1;q=0.001", Some(Coding::Gzip)),
            ("*", None),
            ("", None),
            (",,;", None),
        ] {
            assert_eq!(accepts(value), coding, "{value}");
        }
        assert_eq!(accepted(&HeaderMap::new()), None);
    }

    #[test]
    fn a_small_stream_does_not_become_a_large_body() {
        for coding in [Coding::Gzip, Coding::Deflate] {
            let bomb = deflate(&vec![0; 5_000_000], coding).expect("compressed");
            assert!(bomb.len() < 10_000);
            let outcome = inflate(&bomb, coding, 1000);
            assert!(matches!(outcome, Err(GatewayError::BodyTooLarge { max: 1000 })));
            assert_eq!(inflate(&bomb, coding, 5_000_000).expect("whole").len(), 5_000_000);
        }
    }

    proptest! {
        #[test]
        fn what_is_compressed_comes_back(body: Vec<u8>) {
            for coding in [Coding::Gzip, Coding::Deflate] {
                let compressed = deflate(&body, coding).expect("compressed");
                prop_assert_eq!(&inflate(&compressed, coding, body.len()).expect("inflated"), &body);
                // Cut off, it is refused.
                let cut = &compressed[..compressed.len() - 1];
                prop_assert!(inflate(cut, coding, body.len()).is_err());
            }
        }

        #[test]
        fn any_bytes_are_inflated_or_refused(body: Vec<u8>, max in 0_usize..100) {
            for coding in [Coding::Gzip, Coding::Deflate] {
                if let Ok(bytes) = inflate(&body, coding, max) {
                    prop_assert!(bytes.len() <= max);
                }
            }
        }

        #[test]
        fn any_preference_is_read(value in "[a-z0-9*;=., q]{0,40}") {
            accepts(&value);
        }
    }
}

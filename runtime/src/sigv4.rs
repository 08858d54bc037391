//! Signature Version 4, the service's side of it: what a request says about
//! its signature, and whether that is the signature of this request by this
//! secret key. Pure: the time and the secret come from the caller.
//!
//! A request is signed in one of two ways, by a header `Authorization` or by
//! parameters of the query. Everything in it is a stranger's.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

mod canonical;
mod claim;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use http::HeaderMap;
use ring::hmac;
use sha2::{Digest as _, Sha256};
use time::{OffsetDateTime, PrimitiveDateTime, macros::format_description};

pub use canonical::is_normal;
use canonical::{canonical_request, masked};

/// The one algorithm there is.
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// How the scope of a credential ends.
const TERMINATOR: &str = "aws4_request";

/// How far the clocks of client and gateway may be apart, and so how long a
/// header's signature holds: the service's five minutes.
const SKEW_SECONDS_MAX: i64 = 300;

/// The longest that a signature in a query may hold, in seconds: a week, as
/// the service has it.
const EXPIRES_SECONDS_MAX: i64 = 604_800;

/// A longer canonical request is not shown to a client whose signature does
/// not fit it.
const SHOWN_BYTES_MAX: usize = 8192;

/// The digest of a request's body.
pub type BodyDigest = [u8; 32];

/// What a signature is about: the request as it came, nothing decoded.
#[derive(Clone, Copy)]
pub struct SignedRequest<'r> {
    /// The method.
    pub method: &'r str,
    /// The path.
    pub path: &'r str,
    /// The query, without the question mark.
    pub query: &'r str,
    /// All headers, with `Host` whatever the version of HTTP.
    pub headers: &'r HeaderMap,
    /// SHA-256 of the body, as it came.
    pub body: &'r BodyDigest,
}

/// What a request says about its signature; true of nothing yet.
pub struct Claim {
    /// Whose secret key it claims to be signed with.
    pub access_key_id: String,
    /// The token that temporary credentials come with.
    pub session_token: Option<String>,
    scope: Scope,
    signed_headers: Vec<String>,
    signature: String,
    time: OffsetDateTime,
    /// How long it holds, in seconds.
    seconds: i64,
    in_query: bool,
}

/// What a signing key is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Scope {
    date: String,
    region: String,
    service: String,
}

/// Why a signature is refused, in the words of the service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// It is not all there, or not in its form.
    #[error("{0}")]
    Incomplete(String),
    /// It is for something else, or for another time.
    #[error("{0}")]
    Invalid(String),
    /// It is not the signature of this request by this key.
    #[error("the signature is not that of this request, or of another secret key")]
    Mismatch {
        /// What the client should have signed, with its secrets masked; empty
        /// where that is too long to be shown.
        expected: String,
    },
}

impl SignatureError {
    /// What the client is told.
    pub fn message(&self) -> String {
        match self {
            Self::Incomplete(message) | Self::Invalid(message) => message.clone(),
            Self::Mismatch { expected } => format!(
                "The request signature we calculated does not match the signature you provided. \
                 Check your AWS Secret Access Key and signing method. Consult the service \
                 documentation for details.{expected}"
            ),
        }
    }
}

impl Claim {
    /// Reads what a request says about its signature; none where it says
    /// nothing. A signature is for one `service`.
    ///
    /// # Errors
    /// [`SignatureError::Incomplete`] where it is not in its form, and
    /// [`SignatureError::Invalid`] where it is for something else.
    pub fn read(
        request: &SignedRequest<'_>,
        service: &str,
    ) -> Result<Option<Self>, SignatureError> {
        claim::read(request, service)
    }

    /// Whether the signature holds now.
    ///
    /// # Errors
    /// [`SignatureError::Invalid`]
    pub fn check_time(&self, now: OffsetDateTime) -> Result<(), SignatureError> {
        let own = timestamp(self.time);
        let elapsed = (now - self.time).whole_seconds();
        let shown = |seconds: i64| match seconds % 60 {
            0 => format!("{} min.", seconds / 60),
            _ => format!("{seconds} sec."),
        };
        if elapsed > self.seconds {
            let first = timestamp(now.saturating_sub(time::Duration::seconds(self.seconds)));
            let how = shown(self.seconds);
            return Err(SignatureError::Invalid(format!(
                "Signature expired: {own} is now earlier than {first} ({} - {how})",
                timestamp(now)
            )));
        }
        if elapsed < -SKEW_SECONDS_MAX {
            let last = timestamp(now.saturating_add(time::Duration::seconds(SKEW_SECONDS_MAX)));
            let how = shown(SKEW_SECONDS_MAX);
            return Err(SignatureError::Invalid(format!(
                "Signature not yet current: {own} is still later than {last} ({} + {how})",
                timestamp(now)
            )));
        }
        Ok(())
    }

    /// Whether the request is signed with this secret key. Takes as long for
    /// a signature that is nearly right as for one that is all wrong.
    ///
    /// # Errors
    /// [`SignatureError::Mismatch`]
    pub fn verify(
        &self,
        request: &SignedRequest<'_>,
        secret_access_key: &str,
    ) -> Result<(), SignatureError> {
        let canonical = canonical_request(request, &self.signed_headers, self.in_query);
        let text = self.string_to_sign(&canonical);
        let signature = unhex(&self.signature).unwrap_or_default();
        let key = self.scope.signing_key(secret_access_key);
        hmac::verify(&key, text.as_bytes(), &signature)
            .map_err(|_| SignatureError::Mismatch { expected: shown(&canonical, &text) })
    }

    fn string_to_sign(&self, canonical: &[u8]) -> String {
        let (time, scope) = (timestamp(self.time), self.scope.text());
        format!("{ALGORITHM}\n{time}\n{scope}\n{}", hex(&Sha256::digest(canonical)))
    }
}

impl Scope {
    fn text(&self) -> String {
        let Self { date, region, service } = self;
        format!("{date}/{region}/{service}/{TERMINATOR}")
    }

    fn signing_key(&self, secret_access_key: &str) -> hmac::Key {
        let keyed = |bytes: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, bytes);
        let first = keyed(format!("AWS4{secret_access_key}").as_bytes());
        let parts = [&self.date, &self.region, &self.service, TERMINATOR];
        parts.into_iter().fold(first, |key, part| keyed(hmac::sign(&key, part.as_bytes()).as_ref()))
    }
}

/// The digest of a body.
pub fn digest(body: &[u8]) -> BodyDigest {
    Sha256::digest(body).into()
}

/// What the client should have signed, as the service tells it: nothing in it
/// is ours, and what was secret of the client's own stays out of logs.
fn shown(canonical: &[u8], string_to_sign: &str) -> String {
    let canonical = masked(&String::from_utf8_lossy(canonical));
    if canonical.len() > SHOWN_BYTES_MAX {
        return String::new();
    }
    format!(
        "\n\nThe Canonical String for this request should have been\n'{canonical}'\n\n\
         The String-to-Sign should have been\n'{string_to_sign}'\n"
    )
}

/// `20150830T123600Z`
fn timestamp(time: OffsetDateTime) -> String {
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    time.format(&format).unwrap_or_default()
}

fn from_timestamp(text: &str) -> Option<OffsetDateTime> {
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    let time = PrimitiveDateTime::parse(text, &format).ok()?;
    // The parser takes signs and more digits; a signature has one spelling.
    Some(time.assume_utc()).filter(|time| timestamp(*time) == text)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string never fails.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Bytes of lower-case hexadecimal digits.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let pair = |[high, low]: &[u8; 2]| Some(digit(*high)? << 4 | digit(*low)?);
    rest.is_empty().then(|| pairs.iter().map(pair).collect())?
}

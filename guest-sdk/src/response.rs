//! The HTTP response, into either payload format.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde::ser::Serialize;
use std::borrow::Cow;

use crate::write::Writer;
use crate::{Error, PayloadFormat};

/// Room for a proxy response without its body, in bytes; most need less.
const JSON_BYTES: usize = 256;

/// An HTTP response. It is written in the payload format of the event that it
/// answers; a body that is no text goes base64-encoded.
///
/// ```
/// use mayfly_guest::Response;
///
/// let response = Response::text(201, "made")
///     .with_header("location", "/users/7")
///     .with_cookie("seen=1; HttpOnly");
/// assert_eq!(response.status(), 201);
/// assert_eq!(response.header("Location"), Some("/users/7"));
/// assert_eq!(response.header("content-type"), Some("text/plain; charset=utf-8"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    cookies: Vec<String>,
    body: Vec<u8>,
}

impl Response {
    /// A response without a body.
    ///
    /// ```
    /// # use mayfly_guest::Response;
    /// assert!(Response::new(204).body().is_empty());
    /// ```
    pub fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), cookies: Vec::new(), body: Vec::new() }
    }

    /// A response of plain text.
    ///
    /// ```
    /// # use mayfly_guest::Response;
    /// assert_eq!(Response::text(403, "no").body_text(), "no");
    /// ```
    pub fn text(status: u16, body: impl Into<String>) -> Self {
        let headers = vec![("content-type".into(), "text/plain; charset=utf-8".into())];
        Self { headers, body: body.into().into_bytes(), ..Self::new(status) }
    }

    /// A response of JSON. Fails only where the value has no JSON form, such
    /// as a map whose keys are no text.
    ///
    /// ```
    /// # use mayfly_guest::{Response, json};
    /// let response = Response::json(200, &json!({ "id": 1 }))?;
    /// assert_eq!(response.body_text(), r#"{"id":1}"#);
    /// assert_eq!(response.header("content-type"), Some("application/json"));
    /// # Ok::<(), mayfly_guest::Error>(())
    /// ```
    #[track_caller]
    pub fn json<T: Serialize + ?Sized>(status: u16, body: &T) -> Result<Self, Error> {
        let headers = vec![("content-type".into(), "application/json".into())];
        Ok(Self { headers, body: serde_json::to_vec(body)?, ..Self::new(status) })
    }

    /// The same response with another status.
    ///
    /// ```
    /// # use mayfly_guest::Response;
    /// assert_eq!(Response::new(200).with_status(404).status(), 404);
    /// ```
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Sets a header, in place of any values it has.
    ///
    /// ```
    /// # use mayfly_guest::Response;
    /// let response = Response::text(200, "<p>hi").with_header("Content-Type", "text/html");
    /// assert_eq!(response.header("content-type"), Some("text/html"));
    /// ```
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        if is_cookie(name) {
            self.cookies.clear();
        }
        self.headers.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
        self.and_header(name, value)
    }

    /// Adds a value to a header, beside those it has.
    ///
    /// ```
    /// # use mayfly_guest::Response;
    /// let response = Response::new(200).and_header("vary", "a").and_header("vary", "b");
    /// assert_eq!(response.headers().count(), 2);
    /// ```
    #[must_use]
    pub fn and_header(mut self, name: &str, value: &str) -> Self {
        // Cookies have a place of their own: their values cannot be joined.
        if is_cookie(name) {
            return self.with_cookie(value);
        }
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Adds a cookie, as the text of a `Set-Cookie` header.
    ///
    /// ```
    /// # use mayfly_guest::Response;
    /// let response = Response::new(200).with_cookie("a=1; Path=/");
    /// assert_eq!(response.cookies(), ["a=1; Path=/"]);
    /// ```
    #[must_use]
    pub fn with_cookie(mut self, cookie: impl Into<String>) -> Self {
        self.cookies.push(cookie.into());
        self
    }

    /// Sets the body, text or bytes; the content type is yours to name.
    ///
    /// ```
    /// # use mayfly_guest::Response;
    /// let response = Response::new(200).with_header("content-type", "image/png").with_body(*b"\x89PNG");
    /// assert_eq!(response.body(), b"\x89PNG");
    /// ```
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The status.
    ///
    /// ```
    /// # use mayfly_guest::Response;
    /// assert_eq!(Response::new(418).status(), 418);
    /// ```
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The first value of a header, whatever the case of its name.
    ///
    /// ```
    /// # use mayfly_guest::Response;
    /// assert_eq!(Response::new(200).header("vary"), None);
    /// ```
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All headers, without the cookies.
    ///
    /// ```
    /// # use mayfly_guest::Response;
    /// let response = Response::new(200).with_header("etag", "1");
    /// assert_eq!(response.headers().collect::<Vec<_>>(), [("etag", "1")]);
    /// ```
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The cookies, each the text of a `Set-Cookie` header.
    ///
    /// ```
    /// # use mayfly_guest::Response;
    /// assert!(Response::new(200).cookies().is_empty());
    /// ```
    pub fn cookies(&self) -> &[String] {
        &self.cookies
    }

    /// The body's bytes.
    ///
    /// ```
    /// # use mayfly_guest::Response;
    /// assert_eq!(Response::text(200, "hi").body(), b"hi");
    /// ```
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body as text, for a test's assertions; what is not UTF-8 is
    /// replaced.
    ///
    /// ```
    /// # use mayfly_guest::Response;
    /// assert_eq!(Response::text(200, "hi").body_text(), "hi");
    /// ```
    pub fn body_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// The body read as JSON, for a test's assertions.
    ///
    /// ```
    /// # use mayfly_guest::{Response, Value, json};
    /// let response = Response::json(200, &[1, 2])?;
    /// assert_eq!(response.body_json::<Vec<u8>>()?, [1, 2]);
    /// # Ok::<(), mayfly_guest::Error>(())
    /// ```
    pub fn body_json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }

    /// The proxy response's JSON text in a payload format.
    ///
    /// ```
    /// use mayfly_guest::{PayloadFormat, Response};
    ///
    /// let response = Response::new(200).with_cookie("a=1");
    /// assert_eq!(
    ///     response.to_json(PayloadFormat::V1)?,
    ///     r#"{"statusCode":200,"multiValueHeaders":{"set-cookie":["a=1"]},"body":"","isBase64Encoded":false}"#,
    /// );
    /// assert_eq!(
    ///     response.to_json(PayloadFormat::V2)?,
    ///     r#"{"statusCode":200,"cookies":["a=1"],"body":"","isBase64Encoded":false}"#,
    /// );
    /// # Ok::<(), mayfly_guest::Error>(())
    /// ```
    pub fn to_json(&self, format: PayloadFormat) -> Result<String, Error> {
        let mut json = Writer::with_capacity(self.body.len() + JSON_BYTES);
        let (body, is_encoded) = match std::str::from_utf8(&self.body) {
            Ok(text) => (Cow::Borrowed(text), false),
            Err(_) => (Cow::Owned(STANDARD.encode(&self.body)), true),
        };
        json.object(|json| {
            json.member("statusCode").number(self.status);
            self.write_headers(json, format);
            json.member("body").text(&body);
            json.member("isBase64Encoded").flag(is_encoded);
        });
        Ok(json.finish())
    }

    /// Headers and cookies, each where the format has them.
    fn write_headers(&self, json: &mut Writer, format: PayloadFormat) {
        let is_v1 = format == PayloadFormat::V1;
        let cookies = || self.cookies.iter().map(String::as_str);
        if !is_v1 && !self.cookies.is_empty() {
            json.member("cookies").texts(cookies());
        }
        let groups = self.grouped();
        let is_single = |values: &[&str]| values.len() == 1 || !is_v1;
        if groups.iter().any(|(_, values)| is_single(values)) {
            json.member("headers").object(|json| {
                for (name, values) in groups.iter().filter(|(_, values)| is_single(values)) {
                    match values[..] {
                        [value] => json.entry(name).text(value),
                        _ => json.entry(name).text(&values.join(",")),
                    }
                }
            });
        }
        let is_multiple = |values: &[&str]| !is_single(values);
        let has_cookies = is_v1 && !self.cookies.is_empty();
        if has_cookies || groups.iter().any(|(_, values)| is_multiple(values)) {
            json.member("multiValueHeaders").object(|json| {
                for (name, values) in groups.iter().filter(|(_, values)| is_multiple(values)) {
                    json.entry(name).texts(values.iter().copied());
                }
                if has_cookies {
                    json.member("set-cookie").texts(cookies());
                }
            });
        }
    }

    /// Each header once, with all its values, in the order of their coming.
    fn grouped(&self) -> Vec<(&str, Vec<&str>)> {
        let mut groups: Vec<(&str, Vec<&str>)> = Vec::with_capacity(self.headers.len());
        for (name, value) in self.headers() {
            match groups.iter_mut().find(|(key, _)| key.eq_ignore_ascii_case(name)) {
                Some((_, values)) => values.push(value),
                None => groups.push((name, vec![value])),
            }
        }
        groups
    }
}

fn is_cookie(name: &str) -> bool {
    name.eq_ignore_ascii_case("set-cookie")
}

/// What a request can be answered with.
///
/// | returned | response |
/// | --- | --- |
/// | [`Response`] | itself |
/// | `String`, `&'static str` | 200, `text/plain; charset=utf-8` |
/// | `Vec<u8>` | 200, `application/octet-stream` |
/// | [`Json<T>`](Json) | 200, `application/json` |
/// | `()` | 204, no body |
/// | `(u16, R)` | `R` with that status |
///
/// ```
/// use mayfly_guest::{IntoResponse, Json};
///
/// let response = (201, Json(["made"])).into_response()?;
/// assert_eq!(response.status(), 201);
/// assert_eq!(response.body_text(), r#"["made"]"#);
/// # Ok::<(), mayfly_guest::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no HTTP response",
    note = "return a `Response`, text, bytes, `Json`, `(u16, _)` or a `Result` of these"
)]
pub trait IntoResponse {
    /// Makes the response.
    fn into_response(self) -> Result<Response, Error>;
}

impl IntoResponse for Response {
    fn into_response(self) -> Result<Response, Error> {
        Ok(self)
    }
}

impl IntoResponse for String {
    fn into_response(self) -> Result<Response, Error> {
        Ok(Response::text(200, self))
    }
}

impl IntoResponse for &'static str {
    fn into_response(self) -> Result<Response, Error> {
        Ok(Response::text(200, self))
    }
}

impl IntoResponse for Vec<u8> {
    fn into_response(self) -> Result<Response, Error> {
        Ok(Response::new(200)
            .with_header("content-type", "application/octet-stream")
            .with_body(self))
    }
}

impl IntoResponse for () {
    fn into_response(self) -> Result<Response, Error> {
        Ok(Response::new(204))
    }
}

impl<R: IntoResponse> IntoResponse for (u16, R) {
    fn into_response(self) -> Result<Response, Error> {
        Ok(self.1.into_response()?.with_status(self.0))
    }
}

/// A value that goes out as JSON: as the body of a response, or as the whole
/// answer to an [`Event`](crate::Event).
///
/// ```
/// use mayfly_guest::{Json, Request, handler};
///
/// #[handler]
/// fn primes(_request: Request) -> Json<[u8; 4]> {
///     Json([2, 3, 5, 7])
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Result<Response, Error> {
        Response::json(200, &self.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn written(response: &Response, format: PayloadFormat) -> Value {
        let text = response.to_json(format).expect("a response is written");
        serde_json::from_str(&text).expect("what is written is JSON")
    }

    #[test]
    fn each_format_has_its_own_place_for_repeated_headers_and_cookies() {
        let response = Response::text(200, "hi")
            .and_header("Vary", "a")
            .and_header("vary", "b")
            .with_cookie("x=1")
            .with_cookie("y=2");
        assert_eq!(
            written(&response, PayloadFormat::V1),
            json!({
                "statusCode": 200,
                "headers": { "content-type": "text/plain; charset=utf-8" },
                "multiValueHeaders": { "Vary": ["a", "b"], "set-cookie": ["x=1", "y=2"] },
                "body": "hi",
                "isBase64Encoded": false
            })
        );
        assert_eq!(
            written(&response, PayloadFormat::V2),
            json!({
                "statusCode": 200,
                "headers": { "content-type": "text/plain; charset=utf-8", "Vary": "a,b" },
                "cookies": ["x=1", "y=2"],
                "body": "hi",
                "isBase64Encoded": false
            })
        );
    }

    #[test]
    fn bytes_that_are_no_text_go_base64_encoded() {
        let response = vec![0xff, 0x00].into_response().expect("bytes are a response");
        let written = written(&response, PayloadFormat::V1);
        assert_eq!(written["body"], "/wA=");
        assert_eq!(written["isBase64Encoded"], true);
    }
}

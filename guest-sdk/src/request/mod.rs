//! The HTTP request, out of either payload format.

mod block;
mod build;
mod event;
mod path;
mod query;
mod scan;
mod text;

use std::fmt;
use std::str::Utf8Error;
use std::sync::OnceLock;

use serde::de::DeserializeOwned;

use crate::{Error, FromEvent, PayloadFormat, Value, kind};
use event::{Context, Outline};
use text::{Pairs, Text};

/// An HTTP request, read from API Gateway's Lambda proxy event in payload
/// format 1.0 or 2.0; a handler need not know which.
///
/// What a handler does not ask for is not read. What cannot be read when it
/// asks is empty, and the log says so.
///
/// ```
/// use mayfly_guest::{Request, json};
///
/// let request = Request::put("/users/7?dry-run=1")
///     .with_path_param("id", "7")
///     .with_json(&json!({ "name": "Ada" }));
///
/// assert_eq!(request.method(), "PUT");
/// assert_eq!(request.path(), "/users/7");
/// assert_eq!(request.path_param("id"), Some("7"));
/// assert_eq!(request.query("dry-run"), Some("1"));
/// assert_eq!(request.header("Content-Type"), Some("application/json"));
/// ```
#[derive(Clone)]
pub struct Request {
    format: PayloadFormat,
    method: Text,
    body: Body,
    outline: Outline,
    // What follows is read when somebody asks for it.
    context: OnceLock<Context>,
    authorizer: OnceLock<Value>,
    path: OnceLock<Text>,
    route: OnceLock<Text>,
    raw_query: OnceLock<Text>,
    query: OnceLock<Pairs>,
    headers: OnceLock<Pairs>,
    path_params: OnceLock<Pairs>,
    stage_variables: OnceLock<Pairs>,
    cookies: OnceLock<Pairs>,
    raw_event: String,
}

/// The body: text as the event has it, or what was base64 there.
#[derive(Clone)]
enum Body {
    Text(Text),
    Bytes(Vec<u8>),
}

impl FromEvent for Request {
    type Kind = kind::Http;

    fn from_event(event: String) -> Result<Self, Error> {
        event::read(event)
    }

    fn payload_format(&self) -> PayloadFormat {
        self.format
    }
}

impl Request {
    /// One of which nothing more has been read yet.
    fn unread(
        format: PayloadFormat,
        method: Text,
        body: Body,
        outline: Outline,
        raw_event: String,
    ) -> Self {
        Self {
            format,
            method,
            body,
            outline,
            context: OnceLock::new(),
            authorizer: OnceLock::new(),
            path: OnceLock::new(),
            route: OnceLock::new(),
            raw_query: OnceLock::new(),
            query: OnceLock::new(),
            headers: OnceLock::new(),
            path_params: OnceLock::new(),
            stage_variables: OnceLock::new(),
            cookies: OnceLock::new(),
            raw_event,
        }
    }

    /// The HTTP method, in capitals as the client sent it.
    ///
    /// ```
    /// # use mayfly_guest::Request;
    /// assert_eq!(Request::delete("/users/1").method(), "DELETE");
    /// ```
    pub fn method(&self) -> &str {
        self.method.get(&self.raw_event)
    }

    /// The path as the API knows it, without the stage's name and the query.
    ///
    /// An HTTP API's event has the stage's name in front, a REST API's has not;
    /// here it is never there. Percent-encoding is as in the event.
    ///
    /// ```
    /// use mayfly_guest::{FromEvent, Request};
    ///
    /// let event = r#"{
    ///     "version": "2.0", "routeKey": "GET /users/{id}", "rawPath": "/test/users/1",
    ///     "requestContext": { "stage": "test", "http": { "method": "GET" } }
    /// }"#;
    /// assert_eq!(Request::from_event(event.into())?.path(), "/users/1");
    /// # Ok::<(), mayfly_guest::Error>(())
    /// ```
    pub fn path(&self) -> &str {
        self.path_text().get(&self.raw_event)
    }

    /// A parameter of the route's path: `id` of `/users/{id}`.
    ///
    /// ```
    /// # use mayfly_guest::Request;
    /// let request = Request::get("/users/7").with_path_param("id", "7");
    /// assert_eq!(request.path_param("id"), Some("7"));
    /// assert_eq!(request.path_param("name"), None);
    /// ```
    pub fn path_param(&self, name: &str) -> Option<&str> {
        self.first(self.path_param_pairs(), name)
    }

    /// The last value of a query parameter, decoded; AWS counts the last one
    /// where only one is asked for.
    ///
    /// ```
    /// # use mayfly_guest::Request;
    /// let request = Request::get("/search?q=two%20words&page=1&page=2");
    /// assert_eq!(request.query("q"), Some("two words"));
    /// assert_eq!(request.query("page"), Some("2"));
    /// assert_eq!(request.query("absent"), None);
    /// ```
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query_all(name).last()
    }

    /// All values of a query parameter, in the client's order.
    ///
    /// ```
    /// # use mayfly_guest::Request;
    /// let request = Request::get("/search?tag=a&tag=b");
    /// assert_eq!(request.query_all("tag").collect::<Vec<_>>(), ["a", "b"]);
    /// ```
    pub fn query_all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.pairs(self.query_pairs()).filter(move |(key, _)| *key == name).map(|(_, value)| value)
    }

    /// The query as text, encoded and without the question mark.
    ///
    /// Payload format 1.0 does not carry it; then it is written anew.
    ///
    /// ```
    /// # use mayfly_guest::Request;
    /// assert_eq!(Request::get("/search?q=two%20words").raw_query(), "q=two%20words");
    /// assert_eq!(Request::get("/search").raw_query(), "");
    /// ```
    pub fn raw_query(&self) -> &str {
        self.raw_query_text().get(&self.raw_event)
    }

    /// The first value of a header, whatever the case of its name.
    ///
    /// ```
    /// # use mayfly_guest::Request;
    /// let request = Request::get("/").with_header("X-Trace", "abc");
    /// assert_eq!(request.header("x-trace"), Some("abc"));
    /// ```
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All headers, names as the event has them. Payload format 2.0 joins the
    /// values of a repeated header with commas, 1.0 lists each.
    ///
    /// ```
    /// # use mayfly_guest::Request;
    /// let request = Request::get("/").with_header("a", "1").with_header("b", "2");
    /// assert_eq!(request.headers().collect::<Vec<_>>(), [("a", "1"), ("b", "2")]);
    /// ```
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs(self.header_pairs())
    }

    /// The value of a cookie.
    ///
    /// ```
    /// # use mayfly_guest::Request;
    /// let request = Request::get("/").with_cookie("session", "abc");
    /// assert_eq!(request.cookie("session"), Some("abc"));
    /// ```
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.first(self.cookie_pairs(), name)
    }

    /// All cookies in the client's order.
    ///
    /// ```
    /// # use mayfly_guest::Request;
    /// let request = Request::get("/").with_cookie("a", "1").with_cookie("b", "2");
    /// assert_eq!(request.cookies().count(), 2);
    /// ```
    pub fn cookies(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs(self.cookie_pairs())
    }

    /// The body's bytes, base64 already undone; empty where there is no body.
    ///
    /// ```
    /// # use mayfly_guest::Request;
    /// assert_eq!(Request::post("/").with_body([0xff, 0x00]).body(), [0xff, 0x00]);
    /// ```
    pub fn body(&self) -> &[u8] {
        match &self.body {
            Body::Text(text) => text.get(&self.raw_event).as_bytes(),
            Body::Bytes(bytes) => bytes,
        }
    }

    /// The body as text.
    ///
    /// ```
    /// # use mayfly_guest::Request;
    /// assert_eq!(Request::post("/").with_body("hi").text(), Ok("hi"));
    /// assert!(Request::post("/").with_body([0xff]).text().is_err());
    /// ```
    pub fn text(&self) -> Result<&str, Utf8Error> {
        std::str::from_utf8(self.body())
    }

    /// The body read as JSON. With `?` bad JSON ends the invocation; answer it
    /// yourself to send a 400.
    ///
    /// ```
    /// use mayfly_guest::{Request, Response, json};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct User { name: String }
    ///
    /// fn greet(request: Request) -> Response {
    ///     match request.json::<User>() {
    ///         Ok(user) => Response::text(200, format!("Hello, {}!", user.name)),
    ///         Err(error) => Response::text(400, error.to_string()),
    ///     }
    /// }
    /// assert_eq!(greet(Request::post("/").with_json(&json!({ "name": "Ada" }))).status(), 200);
    /// assert_eq!(greet(Request::post("/").with_body("{")).status(), 400);
    /// ```
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(self.body())
    }

    /// The route that matched: `GET /users/{id}`, or `$default`.
    ///
    /// A REST API's event has the resource and the method apart; they are
    /// joined here, so that one handler reads both.
    ///
    /// ```
    /// # use mayfly_guest::Request;
    /// let request = Request::get("/users/1").with_route("GET /users/{id}");
    /// assert_eq!(request.route(), "GET /users/{id}");
    /// ```
    pub fn route(&self) -> &str {
        self.route_text().get(&self.raw_event)
    }

    /// The stage's name; `$default` where none is named.
    ///
    /// ```
    /// # use mayfly_guest::Request;
    /// assert_eq!(Request::get("/").stage(), "$default");
    /// ```
    pub fn stage(&self) -> &str {
        self.context().stage.get(&self.raw_event)
    }

    /// A variable of the stage.
    ///
    /// ```
    /// # use mayfly_guest::Request;
    /// let request = Request::get("/").with_stage_variable("table", "Users-test");
    /// assert_eq!(request.stage_variable("table"), Some("Users-test"));
    /// ```
    pub fn stage_variable(&self, name: &str) -> Option<&str> {
        self.first(self.stage_variable_pairs(), name)
    }

    /// The gateway's id of the request; the function's own is in the context.
    ///
    /// ```
    /// # use mayfly_guest::Request;
    /// assert!(!Request::get("/").request_id().is_empty());
    /// ```
    pub fn request_id(&self) -> &str {
        self.context().request_id.get(&self.raw_event)
    }

    /// The client's address.
    ///
    /// ```
    /// # use mayfly_guest::Request;
    /// assert_eq!(Request::get("/").source_ip(), "127.0.0.1");
    /// ```
    pub fn source_ip(&self) -> &str {
        self.context().source_ip.get(&self.raw_event)
    }

    /// What the route's authorizer said of the caller, as the event's
    /// `requestContext.authorizer` has it; null without an authorizer.
    ///
    /// ```
    /// # use mayfly_guest::{Request, json};
    /// let request = Request::get("/").with_authorizer(json!({ "principalId": "ada" }));
    /// assert_eq!(request.authorizer()["principalId"], "ada");
    /// ```
    pub fn authorizer(&self) -> &Value {
        self.authorizer_value()
    }

    /// The event's JSON text as the host gave it, for what has no method here;
    /// `{}` for a request that a test built.
    ///
    /// ```
    /// use mayfly_guest::{Error, FromEvent, Request, Value};
    ///
    /// let event = r#"{"httpMethod":"GET","path":"/","requestContext":{"apiId":"a1"}}"#;
    /// let request = Request::from_event(event.into())?;
    /// let event: Value = serde_json::from_str(request.raw_event())?;
    /// assert_eq!(event["requestContext"]["apiId"], "a1");
    /// # Ok::<(), Error>(())
    /// ```
    pub fn raw_event(&self) -> &str {
        &self.raw_event
    }

    fn pairs<'r>(&'r self, pairs: &'r Pairs) -> impl Iterator<Item = (&'r str, &'r str)> {
        let event = &self.raw_event;
        pairs.iter().map(move |(name, value)| (name.get(event), value.get(event)))
    }

    fn first<'r>(&'r self, pairs: &'r Pairs, name: &str) -> Option<&'r str> {
        self.pairs(pairs).find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}

/// What a handler's test prints of it.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs = |pairs| self.pairs(pairs).collect::<Vec<_>>();
        f.debug_struct("Request")
            .field("format", &self.format)
            .field("method", &self.method())
            .field("path", &self.path())
            .field("raw_query", &self.raw_query())
            .field("route", &self.route())
            .field("stage", &self.stage())
            .field("request_id", &self.request_id())
            .field("source_ip", &self.source_ip())
            .field("headers", &pairs(self.header_pairs()))
            .field("query", &pairs(self.query_pairs()))
            .field("path_params", &pairs(self.path_param_pairs()))
            .field("stage_variables", &pairs(self.stage_variable_pairs()))
            .field("cookies", &pairs(self.cookie_pairs()))
            .field("body", &self.body())
            .field("authorizer", self.authorizer())
            .field("raw_event", &self.raw_event)
            .finish()
    }
}

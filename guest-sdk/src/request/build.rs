//! Requests as tests build them.

use serde::Serialize;

use std::sync::OnceLock;

use super::event::{Context, Outline};
use super::text::{Pairs, Text, own};
use super::{Body, Request, query};
use crate::{PayloadFormat, Value};

impl Request {
    /// A request to build on, for a handler's unit test. The path may carry a
    /// query.
    ///
    /// ```
    /// # use mayfly_guest::Request;
    /// let request = Request::new("PATCH", "/users/1?x=1");
    /// assert_eq!((request.method(), request.path()), ("PATCH", "/users/1"));
    /// ```
    pub fn new(method: &str, path: &str) -> Self {
        let (path, raw_query) = path.split_once('?').unwrap_or((path, ""));
        let context = Context {
            request_id: "test-request".into(),
            source_ip: "127.0.0.1".into(),
            ..Context::default()
        };
        let body = Body::Bytes(Vec::new());
        let (format, outline) = (PayloadFormat::V2, Outline::default());
        let mut request = Self::unread(format, method.into(), body, outline, "{}".into());
        request.context = context.into();
        request.path = Text::from(path).into();
        request.route = Text::from("$default").into();
        request.raw_query = Text::from(raw_query).into();
        request.query = own(query::parse(raw_query)).into();
        request
    }

    /// A `GET` request.
    ///
    /// ```
    /// # use mayfly_guest::Request;
    /// assert_eq!(Request::get("/").method(), "GET");
    /// ```
    pub fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    /// A `POST` request.
    ///
    /// ```
    /// # use mayfly_guest::Request;
    /// assert_eq!(Request::post("/").method(), "POST");
    /// ```
    pub fn post(path: &str) -> Self {
        Self::new("POST", path)
    }

    /// A `PUT` request.
    ///
    /// ```
    /// # use mayfly_guest::Request;
    /// assert_eq!(Request::put("/").method(), "PUT");
    /// ```
    pub fn put(path: &str) -> Self {
        Self::new("PUT", path)
    }

    /// A `DELETE` request.
    ///
    /// ```
    /// # use mayfly_guest::Request;
    /// assert_eq!(Request::delete("/").method(), "DELETE");
    /// ```
    pub fn delete(path: &str) -> Self {
        Self::new("DELETE", path)
    }

    /// Adds a header.
    ///
    /// ```
    /// # use mayfly_guest::Request;
    /// let request = Request::get("/").with_header("accept", "text/html");
    /// assert_eq!(request.header("Accept"), Some("text/html"));
    /// ```
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.header_pairs();
        push(&mut self.headers, name, value);
        self
    }

    /// Adds a query parameter, not yet encoded.
    ///
    /// ```
    /// # use mayfly_guest::Request;
    /// let request = Request::get("/?a=1").with_query("q", "x y");
    /// assert_eq!(request.raw_query(), "a=1&q=x%20y");
    /// ```
    #[must_use]
    pub fn with_query(mut self, name: &str, value: &str) -> Self {
        self.query_pairs();
        push(&mut self.query, name, value);
        let raw_query = query::write(self.pairs(self.query_pairs()));
        self.raw_query = Text::from(raw_query).into();
        self
    }

    /// Adds a parameter of the route's path.
    ///
    /// ```
    /// # use mayfly_guest::Request;
    /// let request = Request::get("/users/1").with_path_param("id", "1");
    /// assert_eq!(request.path_param("id"), Some("1"));
    /// ```
    #[must_use]
    pub fn with_path_param(mut self, name: &str, value: &str) -> Self {
        self.path_param_pairs();
        push(&mut self.path_params, name, value);
        self
    }

    /// Names the route that matched.
    ///
    /// ```
    /// # use mayfly_guest::Request;
    /// assert_eq!(Request::get("/a").with_route("GET /{x}").route(), "GET /{x}");
    /// ```
    #[must_use]
    pub fn with_route(mut self, route: &str) -> Self {
        self.route = Text::from(route).into();
        self
    }

    /// Names the stage.
    ///
    /// ```
    /// # use mayfly_guest::Request;
    /// assert_eq!(Request::get("/").with_stage("test").stage(), "test");
    /// ```
    #[must_use]
    pub fn with_stage(mut self, stage: &str) -> Self {
        self.context = Context { stage: stage.into(), ..self.context().clone() }.into();
        self
    }

    /// Adds a variable of the stage.
    ///
    /// ```
    /// # use mayfly_guest::Request;
    /// let request = Request::get("/").with_stage_variable("mode", "dry");
    /// assert_eq!(request.stage_variable("mode"), Some("dry"));
    /// ```
    #[must_use]
    pub fn with_stage_variable(mut self, name: &str, value: &str) -> Self {
        self.stage_variable_pairs();
        push(&mut self.stage_variables, name, value);
        self
    }

    /// Adds a cookie.
    ///
    /// ```
    /// # use mayfly_guest::Request;
    /// assert_eq!(Request::get("/").with_cookie("a", "1").cookie("a"), Some("1"));
    /// ```
    #[must_use]
    pub fn with_cookie(mut self, name: &str, value: &str) -> Self {
        self.cookie_pairs();
        push(&mut self.cookies, name, value);
        self
    }

    /// Sets what an authorizer said of the caller.
    ///
    /// ```
    /// # use mayfly_guest::{Request, json};
    /// let claims = json!({ "jwt": { "claims": { "sub": "ada" } } });
    /// let request = Request::get("/").with_authorizer(claims);
    /// assert_eq!(request.authorizer()["jwt"]["claims"]["sub"], "ada");
    /// ```
    #[must_use]
    pub fn with_authorizer(mut self, authorizer: Value) -> Self {
        self.authorizer = authorizer.into();
        self
    }

    /// Sets the body, text or bytes.
    ///
    /// ```
    /// # use mayfly_guest::Request;
    /// assert_eq!(Request::post("/").with_body("hi").body(), b"hi");
    /// ```
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Body::Bytes(body.into());
        self
    }

    /// Sets a JSON body and its content type.
    ///
    /// # Panics
    ///
    /// If the value cannot be written as JSON, which fails the test.
    ///
    /// ```
    /// # use mayfly_guest::{Request, json};
    /// let request = Request::post("/").with_json(&json!({ "id": 1 }));
    /// assert_eq!(request.text(), Ok(r#"{"id":1}"#));
    /// ```
    #[must_use]
    #[track_caller]
    pub fn with_json<T: Serialize + ?Sized>(mut self, body: &T) -> Self {
        self.body = Body::Bytes(serde_json::to_vec(body).expect("the test's body is JSON"));
        self.with_header("content-type", "application/json")
    }
}

/// Adds a pair to those that have been read.
fn push(pairs: &mut OnceLock<Pairs>, name: &str, value: &str) {
    if let Some(pairs) = pairs.get_mut() {
        pairs.push((name.into(), value.into()));
    }
}

//! What mapping templates see of a request: made of it when it is asked for.

use std::{borrow::Cow, cell::OnceCell, collections::BTreeMap};

use serde_json::{Map, Value};

use super::{event, method_request::MethodRequest};
use crate::{config::template::Lookup as _, mapping::Variables};

/// A request, with the body that `$input` is.
pub struct TemplateVariables<'r> {
    request: &'r MethodRequest<'r>,
    body: Body<'r>,
    headers: OnceCell<Vec<(String, String)>>,
}

enum Body<'r> {
    /// The request's own, which is parsed but once for all.
    Request(&'r str),
    Other(Cow<'r, str>, OnceCell<Option<Value>>),
}

impl<'r> TemplateVariables<'r> {
    /// Before the integration is called: `text` is what the body was converted
    /// to.
    pub fn of_request(request: &'r MethodRequest<'r>, text: Cow<'r, str>) -> Self {
        let body = match text {
            Cow::Borrowed(text) => Body::Request(text),
            converted => Body::Other(converted, OnceCell::new()),
        };
        Self { request, body, headers: OnceCell::new() }
    }

    /// After it answered with `text`.
    pub fn of_answer(request: &'r MethodRequest<'r>, text: Cow<'r, str>) -> Self {
        Self { request, body: Body::Other(text, OnceCell::new()), headers: OnceCell::new() }
    }
}

impl Variables for TemplateVariables<'_> {
    fn body(&self) -> &str {
        match &self.body {
            Body::Request(text) => text,
            Body::Other(text, _) => text,
        }
    }

    fn json(&self) -> Option<&Value> {
        match &self.body {
            Body::Request(_) => self.request.body_json(),
            Body::Other(text, json) => {
                json.get_or_init(|| serde_json::from_str(text).ok()).as_ref()
            }
        }
    }

    fn path(&self) -> &[(String, String)] {
        &self.request.matched.parameters
    }

    fn query(&self) -> &[(String, String)] {
        &self.request.query
    }

    fn headers(&self) -> &[(String, String)] {
        self.headers.get_or_init(|| event::template_headers(self.request))
    }

    fn may_have_header(&self, name: &str) -> bool {
        // What the service adds is the host and what begins with an x.
        let added = name.eq_ignore_ascii_case("host") || name.starts_with(['x', 'X']);
        added || self.request.headers.contains_key(name)
    }

    fn context(&self) -> Map<String, Value> {
        event::template_context(&self.request.about())
    }

    fn stage_variables(&self) -> &BTreeMap<String, String> {
        self.request.exchange.stage.variables
    }
}

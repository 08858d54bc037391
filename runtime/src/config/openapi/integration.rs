//! `x-amazon-apigateway-integration`: what answers an operation.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-swagger-extensions-integration.html>

use super::{
    Definition, arn, array,
    operation::{Entry, Operation, left_out},
    reference, string, table,
};
use crate::{
    config::{
        ApiKind,
        sections::FRAMING,
        tree::{Data, Node},
    },
    router::RouteKey,
};

const EXTENSION: &str = "x-amazon-apigateway-integration";

/// What answers an operation.
pub enum Answer {
    /// What its integration becomes.
    Integration(Vec<Entry>),
    /// It has none: its examples answer.
    Examples,
    /// Nothing that is served.
    None,
}

/// Whose answer headers are mapped from.
#[derive(Clone, Copy, PartialEq)]
pub enum Answerer {
    /// An HTTP endpoint.
    Endpoint,
    /// A mock or a function, which have no headers.
    Headless,
    /// The gateway itself.
    Gateway,
}

impl Answerer {
    /// Whether a mapping expression can have a value. What is none at all is
    /// a problem, which is found where it is read.
    fn has(self, expression: &str) -> bool {
        match self {
            Self::Endpoint => true,
            Self::Headless => !["header.", "multivalueheader."].iter().any(|place| {
                let rest = expression.strip_prefix("integration.response.");
                rest.is_some_and(|rest| rest.starts_with(place))
            }),
            Self::Gateway => {
                !expression.starts_with("method.")
                    || expression.starts_with("method.request.header.")
            }
        }
    }

    fn hint(self) -> &'static str {
        match self {
            Self::Gateway => "write method.request.header.NAME, context.NAME or text",
            _ => "neither a mock nor a function answers with headers",
        }
    }
}

/// Why an integration is not served, with the place and what to do.
struct Unserved {
    at: usize,
    why: String,
    hint: &'static str,
}

impl Unserved {
    fn new(at: usize, why: impl Into<String>, hint: &'static str) -> Self {
        Self { at, why: why.into(), hint }
    }
}

/// An integration that is not served is easily replaced.
const OVERRIDE: &str = "write a route of its own in gateway.toml, which wins over the definition's";

impl<'d> Definition<'d> {
    pub fn integration(&self, operation: &Operation<'d>) -> Answer {
        let Some(member) = self.take(operation.node, EXTENSION) else { return Answer::Examples };
        let Some(node) = self.resolve(&member.node) else { return Answer::None };
        if node.entries().is_none() {
            let message = format!("{EXTENSION} is {}, not a table", node.data.kind());
            self.source.problem(node.at, message, "write its type and its uri below it");
            return Answer::None;
        }
        match self.translated(node, member.at, operation) {
            Ok(entries) => Answer::Integration(entries),
            Err(Unserved { at, why, hint }) => {
                left_out(self, at, &operation.name, &why, hint);
                Answer::None
            }
        }
    }

    fn translated(
        &self,
        node: &'d Node,
        at: usize,
        operation: &Operation<'d>,
    ) -> Result<Vec<Entry>, Unserved> {
        self.check(node)?;
        let Some(given) = node.get("type") else {
            return Err(Unserved::new(at, "its integration has no type", "write type: aws_proxy"));
        };
        let kind = given.text().unwrap_or_default().to_ascii_lowercase();
        let mapped = matches!(kind.as_str(), "mock" | "aws" | "http");
        if mapped && self.kind == ApiKind::Http {
            let why = format!("an HTTP API has no integration of the type {kind:?}");
            return Err(Unserved::new(given.at, why, "write kind = \"rest\" in gateway.toml"));
        }
        let mut entries = match kind.as_str() {
            "aws_proxy" => self.proxy(node, given.at)?,
            "mock" => vec![("integration", self.mapped(node, vec![("type", string(at, "mock"))]))],
            "aws" => {
                let own = vec![
                    ("type", string(given.at, "function")),
                    ("function", self.function(node, given.at)?),
                ];
                self.check_invocation(node)?;
                vec![("integration", self.mapped(node, own))]
            }
            "http" => vec![("integration", self.mapped(node, self.endpoint(node, "http")?))],
            "http_proxy" => {
                let own = self.endpoint(node, "http_proxy")?;
                vec![("integration", table(node.at, own))]
            }
            _ => {
                let why = format!("its integration's type {kind:?} is not known");
                let hint = "the types are aws_proxy, aws, http_proxy, http and mock";
                return Err(Unserved::new(given.at, why, hint));
            }
        };
        if mapped {
            entries.extend(self.method_responses(operation));
        }
        // What is proxied streams in any case.
        if kind != "http_proxy" {
            self.check_transfer_mode(node);
        }
        entries.extend(self.cache(node, operation));
        let timeout = node.get("timeoutInMillis");
        entries.extend(timeout.map(|timeout| ("timeout_ms", self.number(timeout))));
        Ok(entries)
    }

    /// What tells answers apart, where `gateway.toml` has them kept.
    fn cache(&self, node: &'d Node, operation: &Operation<'d>) -> Option<Entry> {
        let given = node.get("cacheKeyParameters").filter(|given| !given.items().is_empty())?;
        let is_known = |text: &str| match text.strip_prefix("method.request.path.") {
            Some(name) => match &operation.key {
                RouteKey::Path(_, path) => path.parameters().any(|own| own == name),
                RouteKey::Default => false,
            },
            None => ["method.request.querystring.", "method.request.header."]
                .iter()
                .any(|place| text.strip_prefix(place).is_some_and(|name| !name.is_empty())),
        };
        let mut known = Vec::new();
        for item in given.items() {
            match item.text() {
                Some(text) if is_known(text) => known.extend(self.copied(item.at, text)),
                _ => {
                    let hint = "write method.request.querystring.NAME, .header.NAME or .path.NAME";
                    self.unserved(item.at, "a cache key parameter is none of the request's", hint);
                }
            }
        }
        Some(("cache", table(given.at, vec![("key", array(given.at, known))])))
    }

    /// What no type of integration is served with.
    fn check(&self, node: &'d Node) -> Result<(), Unserved> {
        let given = |key: &str| node.get(key).filter(|value| value.data != Data::Null);
        if let Some(value) = given("connectionType")
            .filter(|value| !value.text().is_some_and(|text| text.eq_ignore_ascii_case("INTERNET")))
        {
            return Err(Unserved::new(value.at, "its integration is in a VPC", OVERRIDE));
        }
        if let Some(value) = given("integrationSubtype") {
            let why = "its integration calls a service of AWS";
            return Err(Unserved::new(value.at, why, OVERRIDE));
        }
        if self.kind == ApiKind::Http {
            let mapping = given("requestParameters").or_else(|| {
                let responses = given("responses")?.entries()?.values();
                responses.filter_map(|member| member.node.get("responseParameters")).next()
            });
            if let Some(value) =
                mapping.filter(|value| value.entries().is_some_and(|own| !own.is_empty()))
            {
                let why = "an HTTP API's parameter mapping is not served";
                return Err(Unserved::new(value.at, why, OVERRIDE));
            }
        }
        Ok(())
    }

    /// Says where an answer would be sent while it is made, and is not.
    fn check_transfer_mode(&self, node: &'d Node) {
        let is_buffered = |value: &&Node| {
            value.data == Data::Null
                || value.text().is_some_and(|text| text.eq_ignore_ascii_case("BUFFERED"))
        };
        let given = node.get("responseTransferMode");
        if let Some(value) = given.filter(|value| !is_buffered(value)) {
            let message = "responseTransferMode: only functions that speak HTTP stream";
            self.unserved(value.at, message, "any other answer is sent once it is complete");
        }
    }

    /// Lambda's event for it is the request.
    fn proxy(&self, node: &'d Node, at: usize) -> Result<Vec<Entry>, Unserved> {
        let mut entries = vec![("function", self.function(node, at)?)];
        let format = node.get("payloadFormatVersion");
        let text = format.and_then(|format| match &format.data {
            Data::String(text) | Data::Float(text) => Some(text.as_str()),
            _ => None,
        });
        match (self.kind, format) {
            (ApiKind::Http, None) => entries.push(("payload", string(at, "1.0"))),
            (ApiKind::Http, Some(given)) => {
                entries.push((
                    "payload",
                    text.map_or_else(|| self.scalar(given), |text| string(given.at, text)),
                ));
            }
            (ApiKind::Rest, Some(given)) if text != Some("1.0") => {
                let hint = "write kind = \"http\" in gateway.toml";
                self.unserved(given.at, "a REST API's functions get payload format 1.0", hint);
            }
            (ApiKind::Rest, _) => {}
        }
        if let Some(given) =
            node.get("contentHandling").filter(|given| given.text() == Some("CONVERT_TO_BINARY"))
        {
            let hint = "a function gets base64 for what is not text";
            self.unserved(given.at, "contentHandling of a proxy is not served", hint);
        }
        Ok(entries)
    }

    fn function(&self, node: &'d Node, at: usize) -> Result<Node, Unserved> {
        let Some(uri) = node.get("uri") else {
            return Err(Unserved::new(
                at,
                "its integration has no uri",
                "write the function's ARN",
            ));
        };
        let Some(text) = reference::text(uri) else {
            return Err(Unserved::new(
                uri.at,
                "which function its uri names is not known",
                OVERRIDE,
            ));
        };
        self.spend(1, text.len());
        match arn::function(&text) {
            Some(Ok(name)) => Ok(string(uri.at, name)),
            Some(Err(why)) => Err(Unserved::new(uri.at, why, OVERRIDE)),
            None => {
                let why = format!("{text:?} is no function, and other services are not served");
                Err(Unserved::new(uri.at, why, OVERRIDE))
            }
        }
    }

    /// Lambda answers an event at once, before its function has run.
    fn check_invocation(&self, node: &'d Node) -> Result<(), Unserved> {
        let parameters = node.get("requestParameters").and_then(Node::entries);
        for (name, member) in parameters.into_iter().flatten() {
            let invocation =
                name.eq_ignore_ascii_case("integration.request.header.x-amz-invocation-type");
            if invocation && member.node.text() != Some("'RequestResponse'") {
                let why = "its function is invoked asynchronously, which is not served";
                return Err(Unserved::new(member.at, why, OVERRIDE));
            }
        }
        Ok(())
    }

    /// What `http` and `http_proxy` share.
    fn endpoint(&self, node: &'d Node, kind: &str) -> Result<Vec<Entry>, Unserved> {
        let uri = node.get("uri");
        let text = uri.and_then(reference::text);
        let (Some(uri), Some(text)) = (uri, text) else {
            let at = uri.map_or(node.at, |uri| uri.at);
            return Err(Unserved::new(at, "its integration has no uri", "write an absolute URI"));
        };
        self.spend(1, text.len());
        if text.replace("${stageVariables.", "").contains("${") {
            let why = format!("where {text:?} leads is only known once it is deployed");
            return Err(Unserved::new(uri.at, why, OVERRIDE));
        }
        let mut entries = vec![("type", string(uri.at, kind)), ("uri", string(uri.at, text))];
        if let Some(method) = node.get("httpMethod") {
            entries.push(("method", self.capitals(method)));
        }
        if let Some(given) = node.get("requestParameters").and_then(|given| self.verbatim(given)) {
            entries.push(("request_parameters", given));
        }
        if let Some(tls) = node.get("tlsConfig") {
            if let Some(name) = tls.get("serverNameToVerify") {
                return Err(Unserved::new(name.at, "serverNameToVerify is not served", OVERRIDE));
            }
            let insecure = tls.get("insecureSkipVerification").map(|given| self.scalar(given));
            let insecure = insecure.map(|insecure| ("insecure_skip_verification", insecure));
            entries.push(("tls", table(tls.at, insecure)));
        }
        Ok(entries)
    }

    /// What integrations with mapping templates share, after what `own` has.
    fn mapped(&self, node: &'d Node, mut own: Vec<Entry>) -> Node {
        if let Some(templates) = node.get("requestTemplates") {
            own.extend(self.templates(templates).map(|node| ("request_templates", node)));
        }
        if let Some(given) = node.get("passthroughBehavior") {
            own.push(("passthrough_behavior", self.capitals(given)));
        }
        let kind = own.first().and_then(|(_, kind)| kind.text()).unwrap_or_default();
        let answerer = if kind == "http" { Answerer::Endpoint } else { Answerer::Headless };
        if let Some(given) = node.get("contentHandling").filter(|given| given.data != Data::Null) {
            own.push(("content_handling", self.capitals(given)));
        }
        let given = node.get("responses");
        let responses = given.and_then(Node::entries).into_iter().flatten();
        let responses = responses.map(|(pattern, member)| {
            self.spend(1, pattern.len());
            let pattern = (pattern != "default").then(|| string(member.at, pattern));
            self.response(&member.node, pattern, answerer)
        });
        let at = given.map_or(node.at, |given| given.at);
        own.push(("responses", array(at, responses.collect())));
        table(node.at, own)
    }

    fn response(&self, node: &'d Node, pattern: Option<Node>, answerer: Answerer) -> Node {
        let mut entries: Vec<Entry> = Vec::new();
        entries.extend(pattern.map(|pattern| ("pattern", pattern)));
        entries.extend(node.get("statusCode").map(|status| ("status", self.number(status))));
        if let Some(given) = node.get("contentHandling").filter(|given| given.data != Data::Null) {
            entries.push(("content_handling", self.capitals(given)));
        }
        if let Some(given) = node.get("responseTemplates") {
            entries.extend(self.templates(given).map(|node| ("templates", node)));
        }
        if let Some(given) = node.get("responseParameters") {
            entries.push(("headers", self.headers(given, "method.response.header.", answerer)));
        }
        table(node.at, entries)
    }

    /// Templates by content type. Only texts: a table would name a file.
    pub fn templates(&self, node: &'d Node) -> Option<Node> {
        let mut templates = Vec::new();
        for (content_type, member) in node.entries().into_iter().flatten() {
            let value = &member.node;
            let text = match value.get("Fn::Sub") {
                Some(given) => given.text().map(unescaped),
                None => value.text().map(str::to_owned),
            };
            match text {
                Some(text) => {
                    let copy = self.copied(value.at, &text)?;
                    templates.push((content_type.clone(), copy));
                }
                None if value.data == Data::Null => {}
                None => {
                    let kind = value.data.kind();
                    let message = format!("the template {content_type:?} is {kind}, not a string");
                    self.source.problem(value.at, message, "write the template's text");
                }
            }
        }
        Some(table(node.at, templates))
    }

    /// Header mappings whose keys begin with `prefix`.
    pub fn headers(&self, node: &'d Node, prefix: &str, answerer: Answerer) -> Node {
        let mut headers = Vec::new();
        for (name, member) in node.entries().into_iter().flatten() {
            let value = &member.node;
            let Some(header) = name.strip_prefix(prefix) else {
                let hint = format!("write {prefix}NAME");
                self.unserved(member.at, format!("{name} is not mapped"), hint);
                continue;
            };
            if FRAMING.iter().any(|own| header.eq_ignore_ascii_case(own.as_str())) {
                let hint = "the server writes it itself";
                self.unserved(member.at, format!("{name} is not mapped"), hint);
                continue;
            }
            let text = value.text();
            if let Some(text) = text.filter(|text| !answerer.has(text)) {
                let message = format!("{name} is not mapped: nothing gives {text}");
                self.unserved(value.at, message, answerer.hint());
                continue;
            }
            headers.push((header, self.scalar(value)));
        }
        table(node.at, headers)
    }

    /// What the operation says that it answers, which its integration has to
    /// keep to. A response for all codes allows any.
    fn method_responses(&self, operation: &Operation<'d>) -> Option<Entry> {
        let given = operation.node.get("responses")?;
        let mut responses = Vec::new();
        for (status, member) in given.entries()? {
            if status.starts_with("x-") || !self.spend(1, 0) {
                continue;
            }
            let status: u16 = status.parse().ok()?;
            let headers = self.part(&member.node, "headers");
            let names = headers.and_then(Node::entries).into_iter().flatten();
            let names = names.filter_map(|(name, member)| self.copied(member.at, name)).collect();
            let entries = [
                ("status", super::integer(member.at, status.into())),
                ("headers", array(member.at, names)),
            ];
            responses.push(table(member.at, entries));
        }
        Some(("method_responses", array(given.at, responses)))
    }
}

/// A template that `Fn::Sub` is to leave alone, without its escapes.
fn unescaped(text: &str) -> String {
    text.replace("${!", "${")
}

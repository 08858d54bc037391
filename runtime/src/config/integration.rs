//! What answers a route, as the configuration has it.

use std::sync::Arc;

use http::{HeaderName, Method};

use super::{FunctionName, MockConfig, PayloadFormat, UriTemplate};
use crate::{
    mapping::{self, MappingTemplate},
    tls::Identity,
};

/// What answers a route: exactly one of these.
#[derive(Debug, Clone, PartialEq)]
pub enum IntegrationConfig {
    /// A function behind a proxy integration.
    Function {
        /// The handler's name: the stem of its `.wasm` file.
        name: FunctionName,
        /// The event's format.
        payload: PayloadFormat,
    },
    /// An answer without code.
    Mock(Arc<MockConfig>),
    /// A mock, a function or an endpoint behind mapping templates.
    Mapped(Arc<MappedConfig>),
    /// An endpoint that gets the request as it is.
    HttpProxy(Arc<HttpConfig>),
}

/// An integration that is not a proxy: templates make its request, and its
/// answer selects a response.
#[derive(Debug, Clone, PartialEq)]
pub struct MappedConfig {
    /// What is called.
    pub target: MappedTarget,
    /// What happens to a body that no template is for.
    pub passthrough: Passthrough,
    /// What happens to the request's body before a template sees it.
    pub content_handling: Option<ContentHandling>,
    /// Templates of the request by content type, in lower case.
    pub request_templates: Vec<(String, MappingTemplate)>,
    /// Integration responses, in the order of the file.
    pub responses: Vec<IntegrationResponseConfig>,
}

/// What a mapped integration calls.
#[derive(Debug, Clone, PartialEq)]
pub enum MappedTarget {
    /// Nothing: the request template says with which status code.
    Mock,
    /// A function, with the request's body as its event.
    Function(FunctionName),
    /// An HTTP endpoint.
    Http(Box<HttpConfig>),
}

/// What happens to a request body whose content type has no template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passthrough {
    /// It goes on as it is.
    WhenNoMatch,
    /// It goes on only if there are no templates at all.
    WhenNoTemplates,
    /// It is refused with 415.
    Never,
}

/// One entry of `responses`.
#[derive(Debug, Clone, PartialEq)]
pub struct IntegrationResponseConfig {
    /// The status code that the client gets.
    pub status: http::StatusCode,
    /// What the status code of a mock or an endpoint, or the function's error
    /// message, has to match; none for the default response.
    pub pattern: Option<SelectionPattern>,
    /// What happens to the answer's body.
    pub content_handling: Option<ContentHandling>,
    /// Templates of the body by content type, in lower case.
    pub templates: Vec<(String, MappingTemplate)>,
    /// Headers in the order of the file.
    pub headers: Vec<(HeaderName, MappingExpression)>,
}

/// One `[gateway_responses.TYPE]`.
#[derive(Debug, Clone, PartialEq)]
pub struct GatewayResponseConfig {
    /// The status code instead of the type's own.
    pub status: Option<http::StatusCode>,
    /// Templates of the body by content type, in lower case.
    pub templates: Vec<(String, MappingTemplate)>,
    /// Headers in the order of the file.
    pub headers: Vec<(HeaderName, MappingExpression)>,
}

/// A regular expression that has to match as a whole.
#[derive(Debug, Clone)]
pub struct SelectionPattern {
    /// As the file has it.
    pub text: String,
    /// Compiled.
    pub regex: fancy_regex::Regex,
}

impl PartialEq for SelectionPattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// Where a parameter's or a header's value comes from.
///
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/request-response-data-mappings.html>
#[derive(Debug, Clone, PartialEq)]
pub enum MappingExpression {
    /// `'text'`
    Static(String),
    /// `context.a.b`
    Context(Vec<String>),
    /// `stageVariables.name`
    StageVariable(String),
    /// `method.request.path.name`
    RequestPath(String),
    /// `method.request.querystring.name`: of several, the last
    RequestQuery(String),
    /// `method.request.multivaluequerystring.name`
    RequestQueries(String),
    /// `method.request.header.name`: of several, the last
    RequestHeader(HeaderName),
    /// `method.request.multivalueheader.name`
    RequestHeaders(HeaderName),
    /// `method.request.body` and a JSONPath in it
    RequestBody(mapping::Path),
    /// `integration.response.header.name`: of several, the last
    ResponseHeader(HeaderName),
    /// `integration.response.multivalueheader.name`
    ResponseHeaders(HeaderName),
    /// `integration.response.body` and a JSONPath in it
    ResponseBody(mapping::Path),
}

/// An HTTP endpoint behind an integration.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpConfig {
    /// Where it is.
    pub uri: UriTemplate,
    /// The method it is called with; none for the request's.
    pub method: Option<Method>,
    /// `request_parameters`, in the order of the file.
    pub parameters: Vec<(IntegrationParameter, MappingExpression)>,
    /// How its certificate is checked.
    pub tls: TlsConfig,
}

/// A parameter of an integration request, written `integration.request.PLACE.NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IntegrationParameter {
    /// `integration.request.path.NAME`: a `{NAME}` of the URI
    Path(String),
    /// `integration.request.querystring.NAME`
    Query(String),
    /// `integration.request.header.NAME`
    Header(HeaderName),
}

/// Whom an integration trusts, and what it shows of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TlsConfig {
    /// Certificates in PEM instead of the system's.
    pub ca: Option<Vec<u8>>,
    /// Whether any certificate will do.
    pub insecure_skip_verification: bool,
    /// The client's certificate, where the server asks for one.
    pub identity: Option<Identity>,
}

/// What a payload is turned into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentHandling {
    /// Bytes become base64.
    ConvertToText,
    /// Base64 becomes bytes.
    ConvertToBinary,
}

impl IntegrationConfig {
    /// The endpoint that it calls.
    pub fn endpoint(&self) -> Option<&HttpConfig> {
        match self {
            Self::HttpProxy(http) => Some(http),
            Self::Mapped(mapped) => match &mapped.target {
                MappedTarget::Http(http) => Some(http),
                MappedTarget::Mock | MappedTarget::Function(_) => None,
            },
            Self::Function { .. } | Self::Mock(_) => None,
        }
    }

    /// The function that it calls.
    pub fn function(&self) -> Option<&FunctionName> {
        match self {
            Self::Function { name, .. } => Some(name),
            Self::Mock(_) | Self::HttpProxy(_) => None,
            Self::Mapped(mapped) => match &mapped.target {
                MappedTarget::Function(name) => Some(name),
                MappedTarget::Mock | MappedTarget::Http(_) => None,
            },
        }
    }
}

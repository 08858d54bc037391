//! Every way out of the pipeline that is not an answer, and the one table
//! from it to a response.
//!
//! Each error has two texts: what the client is told, which is the service's
//! own word for it, and what the log says, which names the reason.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html>

use std::{borrow::Cow, net::IpAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;

use super::authorizer::iam::CredentialError;
use crate::{
    config::ApiKind,
    integration::{IntegrationError, StreamError},
    jwt::Refusal,
    sandbox::InvokeError,
};

/// Why a request got no answer from its integration.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// No route takes this method and path.
    #[error("no route")]
    NoRoute,
    /// No stage has this path.
    #[error("no stage has this path: stage_prefix = true asks for /STAGE/path")]
    NoStage,
    /// It leads to no stage, by its host or its path.
    #[error("{0}")]
    NotMapped(&'static str),
    /// Its connection is not one to the host that it names.
    #[error("{0}")]
    Misdirected(&'static str),
    /// The request filter does not let the client's address through.
    #[error("the request filter does not let {0} through")]
    Filtered(IpAddr),
    /// The resource policy does not allow it.
    #[error("{0}")]
    AccessDenied(String),
    /// The request is not signed as its route wants it.
    #[error("{0}")]
    Credential(#[from] CredentialError),
    /// The caller says nothing of themselves, or nothing that counts.
    #[error("unauthorized: {0}")]
    Unauthorized(String),
    /// The authorizer does not allow it.
    #[error("the authorizer does not allow it{}", if *.is_explicit { ", by an explicit deny" } else { "" })]
    NotAuthorized {
        /// Whether it denies it.
        is_explicit: bool,
    },
    /// The caller's token does not count.
    #[error("invalid token: {refusal}")]
    InvalidToken {
        /// Why.
        refusal: Refusal,
        /// The route's scopes.
        wanted: Vec<String>,
    },
    /// The caller's token allows other things.
    #[error("the token has none of the scopes {}", wanted.join(", "))]
    InsufficientScope {
        /// The route's scopes.
        wanted: Vec<String>,
    },
    /// The authorizer failed.
    #[error("{0}")]
    AuthorizerFailure(String),
    /// The authorizer cannot be asked, or answers nonsense.
    #[error("{0}")]
    AuthorizerConfiguration(String),
    /// The request's form is against HTTP.
    #[error("bad request: {0}")]
    BadRequest(&'static str),
    /// Path and query are too long.
    #[error("the path has more than uri_bytes_max = {max} bytes")]
    UriTooLong {
        /// The limit.
        max: usize,
    },
    /// Too many or too long headers.
    #[error("the head has {0}")]
    HeadersTooLarge(String),
    /// The body is too long for the gateway.
    #[error("the body has more than body_bytes_max = {max} bytes")]
    BodyTooLarge {
        /// The limit.
        max: usize,
    },
    /// The client stopped sending.
    #[error("nothing of the body came for {0:?}")]
    BodyTimeout(Duration),
    /// The client went away, or framed its body wrongly.
    #[error("the body could not be read: {0}")]
    BodyBroken(String),
    /// The integration could not be called, or failed.
    #[error("{0}")]
    Integration(String),
    /// The endpoint could not be called.
    #[error("{0}")]
    Upstream(String),
    /// The integration's answer is not one.
    #[error("malformed proxy response: {0}")]
    Malformed(String),
    /// Required parameters are missing or blank.
    #[error("missing required request parameters: {}", .0.join(", "))]
    MissingParameters(Vec<String>),
    /// The body is not what its model says.
    #[error("invalid request body: {}", .0.join(", "))]
    InvalidBody(Vec<String>),
    /// No template is for the body's content type, and it may not pass.
    #[error("no request template is for the content type {0:?}")]
    UnsupportedMediaType(String),
    /// The body's coding is not known, or not what the body is in.
    #[error("{0}")]
    UnsupportedEncoding(String),
    /// A mapping template failed, or made what cannot be used.
    #[error("{0}")]
    Mapping(String),
    /// What a template made for a function is no JSON.
    #[error("the function's event is not JSON: {0}")]
    BadEvent(String),
    /// The integration was too slow.
    #[error("the integration took longer than {0:?}")]
    IntegrationTimeout(Duration),
    /// The payload is too long for the function.
    #[error("{0}")]
    PayloadTooLarge(String),
    /// The route wants an API key of a usage plan.
    #[error("{0}")]
    InvalidApiKey(String),
    /// A throttle lets nothing through for a while.
    #[error("throttled by {by}, for {wait:?}")]
    TooManyRequests {
        /// Which.
        by: String,
        /// How long.
        wait: Duration,
    },
    /// The caller's quota is used up.
    #[error("the quota is used up: {by}")]
    QuotaExceeded {
        /// Whose.
        by: String,
        /// How long until the next period.
        wait: Duration,
    },
    /// Nobody can be asked what limits have counted, and none may pass unasked.
    #[error("state: Redis is unavailable, and unavailable = \"closed\"")]
    StateUnavailable,
    /// Too much is running already.
    #[error("{0}")]
    Throttled(String),
}

impl From<IntegrationError> for GatewayError {
    fn from(error: IntegrationError) -> Self {
        match error {
            IntegrationError::Timeout(limit) => Self::IntegrationTimeout(limit),
            IntegrationError::Mock(_) => Self::Integration(error.to_string()),
            IntegrationError::Upstream(reason) => Self::Upstream(reason),
            IntegrationError::RequestBody(error) => error.into(),
            IntegrationError::Invoke(error) => match error {
                InvokeError::PayloadTooLarge { .. } => Self::PayloadTooLarge(error.to_string()),
                InvokeError::Throttled(_) => Self::Throttled(error.to_string()),
                error => Self::Integration(error.to_string()),
            },
        }
    }
}

impl From<StreamError> for GatewayError {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::TooLong { max } => Self::BodyTooLarge { max },
            StreamError::Idle(idle) => Self::BodyTimeout(idle),
            StreamError::Broken(reason) => Self::BodyBroken(reason),
        }
    }
}

/// One row: the status, the client's message and the exception's name that
/// REST APIs put into a header.
type Row = (StatusCode, &'static str, &'static str);

impl GatewayError {
    /// The table. Where a message names what is wrong, [`Self::message`] has it.
    fn row(&self, kind: ApiKind) -> Row {
        use ApiKind::{Http, Rest};
        use StatusCode as S;
        match (self, kind) {
            (Self::NoRoute, Rest) => (
                S::FORBIDDEN,
                "Missing Authentication Token",
                "MissingAuthenticationTokenException",
            ),
            (Self::Credential(error), Rest) => (S::FORBIDDEN, "", error.exception()),
            (Self::Credential(_), Http) => (S::FORBIDDEN, "Forbidden", ""),
            (Self::Unauthorized(_), _) => {
                (S::UNAUTHORIZED, "Unauthorized", "UnauthorizedException")
            }
            (Self::InvalidToken { refusal: Refusal::Expired, .. }, Rest) => {
                (S::UNAUTHORIZED, "The incoming token has expired", "UnauthorizedException")
            }
            (Self::InvalidToken { .. }, _) => {
                (S::UNAUTHORIZED, "Unauthorized", "UnauthorizedException")
            }
            (Self::InsufficientScope { .. }, _) => {
                (S::FORBIDDEN, "Forbidden", "AccessDeniedException")
            }
            (Self::NotAuthorized { is_explicit: true }, Rest) => (
                S::FORBIDDEN,
                "User is not authorized to access this resource with an explicit deny",
                "AccessDeniedException",
            ),
            (Self::NotAuthorized { .. }, Rest) => (
                S::FORBIDDEN,
                "User is not authorized to access this resource",
                "AccessDeniedException",
            ),
            (Self::NotAuthorized { .. }, Http) => (S::FORBIDDEN, "Forbidden", ""),
            (Self::AuthorizerFailure(_), Rest) => {
                (S::INTERNAL_SERVER_ERROR, "", "AuthorizerFailureException")
            }
            (Self::AuthorizerConfiguration(_), Rest) => {
                (S::INTERNAL_SERVER_ERROR, "", "AuthorizerConfigurationException")
            }
            (Self::AuthorizerFailure(_) | Self::AuthorizerConfiguration(_), Http) => {
                (S::INTERNAL_SERVER_ERROR, "Internal Server Error", "")
            }
            (Self::AccessDenied(_), _) => (S::FORBIDDEN, "Forbidden", "AccessDeniedException"),
            (Self::InvalidApiKey(_), _) => (S::FORBIDDEN, "Forbidden", "ForbiddenException"),
            (Self::QuotaExceeded { .. }, _) => {
                (S::TOO_MANY_REQUESTS, "Limit Exceeded", "LimitExceededException")
            }
            (Self::NotMapped(_), _) => (S::FORBIDDEN, "Forbidden", "ForbiddenException"),
            (Self::Misdirected(_), _) => (S::MISDIRECTED_REQUEST, "Misdirected Request", ""),
            (Self::NoStage, Rest) => (S::FORBIDDEN, "Forbidden", "ForbiddenException"),
            (Self::NoRoute | Self::NoStage, Http) => (S::NOT_FOUND, "Not Found", ""),
            (Self::BadRequest(_) | Self::BodyBroken(_), _) => {
                (S::BAD_REQUEST, "Bad Request", "BadRequestException")
            }
            (Self::UriTooLong { .. }, _) => {
                (S::URI_TOO_LONG, "Request-URI Too Long", "BadRequestException")
            }
            (Self::HeadersTooLarge(_), _) => (
                S::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "Request Header Fields Too Large",
                "BadRequestException",
            ),
            (Self::BodyTooLarge { .. } | Self::PayloadTooLarge(_), Rest) => {
                (S::PAYLOAD_TOO_LARGE, "Request Too Long", "RequestTooLargeException")
            }
            (Self::BodyTooLarge { .. } | Self::PayloadTooLarge(_), Http) => {
                (S::PAYLOAD_TOO_LARGE, "Request Entity Too Large", "")
            }
            (Self::BodyTimeout(_), _) => {
                (S::REQUEST_TIMEOUT, "Request Timeout", "BadRequestException")
            }
            (Self::Integration(_) | Self::Malformed(_), Rest) => {
                (S::BAD_GATEWAY, "Internal server error", "InternalServerErrorException")
            }
            (Self::Integration(_) | Self::Malformed(_), Http) => {
                (S::INTERNAL_SERVER_ERROR, "Internal Server Error", "")
            }
            (Self::Upstream(_), Rest) => (
                S::GATEWAY_TIMEOUT,
                "Network error communicating with endpoint",
                "InternalServerErrorException",
            ),
            (Self::Upstream(_), Http) => (S::BAD_GATEWAY, "Bad Gateway", ""),
            (Self::InvalidBody(_) | Self::MissingParameters(_), _) => {
                (S::BAD_REQUEST, "Invalid request body", "BadRequestException")
            }
            (Self::UnsupportedMediaType(_) | Self::UnsupportedEncoding(_), _) => {
                (S::UNSUPPORTED_MEDIA_TYPE, "Unsupported Media Type", "BadRequestException")
            }
            (Self::Mapping(_), _) => {
                (S::INTERNAL_SERVER_ERROR, "Internal server error", "InternalServerErrorException")
            }
            (Self::BadEvent(_), _) => (
                S::BAD_REQUEST,
                "Could not parse request body into json",
                "InvalidRequestContentException",
            ),
            (Self::IntegrationTimeout(_), _) => {
                (S::GATEWAY_TIMEOUT, "Endpoint request timed out", "InternalServerErrorException")
            }
            (Self::StateUnavailable, _) => {
                (S::SERVICE_UNAVAILABLE, "Service Unavailable", "ServiceUnavailableException")
            }
            (Self::Filtered(_), _) => (S::FORBIDDEN, "Forbidden", "ForbiddenException"),
            (Self::Throttled(_) | Self::TooManyRequests { .. }, _) => {
                (S::TOO_MANY_REQUESTS, "Too Many Requests", "TooManyRequestsException")
            }
        }
    }

    /// The type of gateway response that it is; the defaults stand for those
    /// that the service has no type for.
    pub fn response_type(&self) -> &'static str {
        match self {
            Self::NoRoute => "MISSING_AUTHENTICATION_TOKEN",
            Self::Credential(error) => error.response_type(),
            Self::AccessDenied(_) | Self::NotAuthorized { .. } => "ACCESS_DENIED",
            Self::InsufficientScope { .. } => "ACCESS_DENIED",
            Self::InvalidToken { refusal: Refusal::Expired, .. } => "EXPIRED_TOKEN",
            Self::Unauthorized(_) | Self::InvalidToken { .. } => "UNAUTHORIZED",
            Self::AuthorizerFailure(_) => "AUTHORIZER_FAILURE",
            Self::AuthorizerConfiguration(_) => "AUTHORIZER_CONFIGURATION_ERROR",
            Self::BodyTooLarge { .. } | Self::PayloadTooLarge(_) => "REQUEST_TOO_LARGE",
            Self::MissingParameters(_) => "BAD_REQUEST_PARAMETERS",
            Self::InvalidBody(_) => "BAD_REQUEST_BODY",
            Self::UnsupportedMediaType(_) | Self::UnsupportedEncoding(_) => {
                "UNSUPPORTED_MEDIA_TYPE"
            }
            Self::Mapping(_) => "API_CONFIGURATION_ERROR",
            Self::Integration(_) | Self::Malformed(_) | Self::Upstream(_) => "INTEGRATION_FAILURE",
            Self::IntegrationTimeout(_) => "INTEGRATION_TIMEOUT",
            Self::Throttled(_) | Self::TooManyRequests { .. } => "THROTTLED",
            Self::InvalidApiKey(_) => "INVALID_API_KEY",
            Self::QuotaExceeded { .. } => "QUOTA_EXCEEDED",
            Self::Filtered(_) => "WAF_FILTERED",
            Self::StateUnavailable => "DEFAULT_5XX",
            Self::NoStage
            | Self::NotMapped(_)
            | Self::Misdirected(_)
            | Self::BadRequest(_)
            | Self::BodyBroken(_)
            | Self::UriTooLong { .. }
            | Self::HeadersTooLarge(_)
            | Self::BodyTimeout(_)
            | Self::BadEvent(_) => "DEFAULT_4XX",
        }
    }

    /// What the client is told.
    pub fn message(&self, kind: ApiKind) -> Cow<'static, str> {
        match self {
            Self::MissingParameters(names) => {
                format!("Missing required request parameters: [{}]", names.join(", ")).into()
            }
            Self::AccessDenied(message) if kind == ApiKind::Rest => message.clone().into(),
            Self::Credential(error) if kind == ApiKind::Rest => error.message().into(),
            _ => self.row(kind).1.into(),
        }
    }

    /// What is wrong with the body or the parameters, for those who may know.
    pub fn validation_errors(&self) -> Option<String> {
        match self {
            Self::MissingParameters(errors) | Self::InvalidBody(errors) => {
                Some(format!("[{}]", errors.join(", ")))
            }
            _ => None,
        }
    }

    /// What is wrong with the integration, where that is why.
    pub fn integration_error(&self) -> Option<String> {
        match self {
            Self::Integration(_)
            | Self::Malformed(_)
            | Self::Upstream(_)
            | Self::IntegrationTimeout(_)
            | Self::Throttled(_) => Some(self.to_string()),
            _ => None,
        }
    }

    /// Writes the reason, which the client is not told.
    pub fn log(&self, request_id: &str, route: &str) {
        match self {
            Self::NoRoute => {}
            Self::Integration(_)
            | Self::Malformed(_)
            | Self::Upstream(_)
            | Self::AuthorizerFailure(_)
            | Self::AuthorizerConfiguration(_)
            | Self::Mapping(_)
            | Self::IntegrationTimeout(_) => {
                tracing::error!(request_id, route, "{self}");
            }
            _ => tracing::warn!(request_id, route, "{self}"),
        }
    }

    /// What a client lacks to be let in, as RFC 6750 has it.
    fn challenge(&self) -> Option<HeaderValue> {
        let (wanted, error, why) = match self {
            // Who sent no token is told nothing but the scheme.
            Self::InvalidToken { refusal: Refusal::Missing, .. } => {
                return Some(HeaderValue::from_static("Bearer"));
            }
            Self::InvalidToken { refusal, wanted } => {
                (wanted, "invalid_token", refusal.to_string())
            }
            Self::InsufficientScope { wanted } => {
                let why = "the token does not have a required scope".to_owned();
                (wanted, "insufficient_scope", why)
            }
            _ => return None,
        };
        // Scopes are words without quotes, which the configuration sees to.
        let scope = wanted.join(" ");
        let text =
            format!("Bearer scope=\"{scope}\" error=\"{error}\" error_description=\"{why}\"");
        HeaderValue::from_str(&text).ok()
    }

    /// The response that the client gets.
    pub fn to_response(&self, kind: ApiKind) -> Response<Bytes> {
        let (status, _, exception) = self.row(kind);
        // IAM writes its messages with a capital, and of an authorizer that
        // fails there is none.
        let is_denied = matches!(self, Self::AccessDenied(_) | Self::NotAuthorized { .. });
        let name = if is_denied && kind == ApiKind::Rest { "Message" } else { "message" };
        let message = Some(self.message(kind)).filter(|message| !message.is_empty());
        let mut response = Response::new(Bytes::from(json!({ name: message }).to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if kind == ApiKind::Rest && !exception.is_empty() {
            headers.insert("x-amzn-errortype", HeaderValue::from_static(exception));
        }
        if let Self::TooManyRequests { wait, .. } | Self::QuotaExceeded { wait, .. } = self {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1));
        }
        if kind == ApiKind::Http
            && let Some(challenge) = self.challenge()
        {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        // The rest of such a request cannot be told from the next one; and what
        // came by the wrong connection is to come by another.
        if matches!(self, Self::BodyTimeout(_) | Self::BodyBroken(_) | Self::Misdirected(_)) {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

//! Lambda's errors: one table from what happened to status, type and text.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/CommonErrors.html>

use http::StatusCode;
use serde_json::{Value, json};

use super::store::StoreError;
use crate::sandbox::{InvokeError, arn};

/// An error that a caller of Lambda's API gets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {}", kind.name(), reason.as_ref().unwrap_or(message))]
pub struct LambdaError {
    /// Which it is.
    pub kind: ErrorKind,
    /// Its text.
    pub message: String,
    /// What is behind it, for the log alone.
    pub reason: Option<String>,
}

/// The types of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// No such function, version, alias or configuration.
    ResourceNotFound,
    /// It exists already, or is in use.
    ResourceConflict,
    /// A parameter that cannot be.
    InvalidParameterValue,
    /// A parameter that does not have the form that the model wants.
    Validation,
    /// A payload that is not JSON.
    InvalidRequestContent,
    /// A payload that is too long.
    RequestTooLarge,
    /// The function's reserved concurrency is reached.
    ReservedConcurrency,
    /// The queue is full.
    QueueFull,
    /// The revision that was expected is not the latest one.
    PreconditionFailed,
    /// There are too many versions.
    CodeStorageExceeded,
    /// An operation that is not served.
    UnknownOperation,
    /// Something here went wrong.
    Service,
}

impl ErrorKind {
    /// Lambda's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ResourceNotFound => "ResourceNotFoundException",
            Self::ResourceConflict => "ResourceConflictException",
            Self::InvalidParameterValue => "InvalidParameterValueException",
            Self::Validation => "ValidationException",
            Self::InvalidRequestContent => "InvalidRequestContentException",
            Self::RequestTooLarge => "RequestTooLargeException",
            Self::ReservedConcurrency | Self::QueueFull => "TooManyRequestsException",
            Self::PreconditionFailed => "PreconditionFailedException",
            Self::CodeStorageExceeded => "CodeStorageExceededException",
            Self::UnknownOperation => "UnknownOperationException",
            Self::Service => "ServiceException",
        }
    }

    /// The status code.
    pub fn status(self) -> StatusCode {
        match self {
            Self::ResourceNotFound | Self::UnknownOperation => StatusCode::NOT_FOUND,
            Self::ResourceConflict => StatusCode::CONFLICT,
            Self::RequestTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ReservedConcurrency | Self::QueueFull => StatusCode::TOO_MANY_REQUESTS,
            Self::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            Self::Service => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// What the body's `Reason` says.
    fn code(self) -> Option<&'static str> {
        match self {
            Self::ReservedConcurrency => Some("ReservedFunctionConcurrentInvocationLimitExceeded"),
            Self::QueueFull => Some("FunctionInvocationRateLimitExceeded"),
            _ => None,
        }
    }
}

impl LambdaError {
    /// An error of this kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), reason: None }
    }

    /// Code that cannot be loaded.
    pub fn unusable(function: &str, reason: &str) -> Self {
        let arn = arn(function);
        let message = format!("The function {arn} could not be loaded; the log says why.");
        let reason = Some(format!("the function {function:?} cannot be invoked: {reason}"));
        Self { reason, ..Self::new(ErrorKind::Service, message) }
    }

    /// A function, or one of its versions or aliases, that there is not.
    pub fn no_function(name: &str, qualifier: Option<&str>) -> Self {
        let qualifier = qualifier.map_or_else(String::new, |qualifier| format!(":{qualifier}"));
        let message = format!("Function not found: {}{qualifier}", arn(name));
        Self::new(ErrorKind::ResourceNotFound, message)
    }

    /// A value that is not one of those that may be.
    pub fn not_one_of(value: &str, parameter: &str, words: &[&str]) -> Self {
        let message = format!(
            "1 validation error detected: Value '{value}' at '{parameter}' failed to satisfy constraint: Member must satisfy enum value set: [{}]",
            words.join(", ")
        );
        Self::new(ErrorKind::Validation, message)
    }

    /// A number out of its range.
    pub fn not_within(value: i64, parameter: &str, min: i64, max: i64) -> Self {
        let bound = match value < min {
            true => format!("greater than or equal to {min}"),
            false => format!("less than or equal to {max}"),
        };
        let message = format!(
            "1 validation error detected: Value '{value}' at '{parameter}' failed to satisfy constraint: Member must have value {bound}"
        );
        Self::new(ErrorKind::Validation, message)
    }

    /// Text that does not match the model's pattern.
    pub fn not_matching(value: &str, parameter: &str, pattern: &str) -> Self {
        let message = format!(
            "1 validation error detected: Value '{value}' at '{parameter}' failed to satisfy constraint: Member must satisfy regular expression pattern: {pattern}"
        );
        Self::new(ErrorKind::Validation, message)
    }

    /// The body that carries it.
    pub fn body(&self) -> Value {
        let key = match self.kind {
            ErrorKind::ResourceNotFound | ErrorKind::Service => "Message",
            _ => "message",
        };
        let by = if self.kind == ErrorKind::Service { "Service" } else { "User" };
        let mut body = json!({ "Type": by, key: self.message });
        if let Some(reason) = self.kind.code() {
            body["Reason"] = reason.into();
        }
        body
    }

    /// What a caller is told where an invocation did not begin; none where it
    /// ran and failed.
    pub fn of_invocation(function: &str, error: &InvokeError) -> Option<Self> {
        let kind = match error {
            InvokeError::Throttled(_) => Some(ErrorKind::ReservedConcurrency),
            InvokeError::PayloadTooLarge { .. } => Some(ErrorKind::RequestTooLarge),
            InvokeError::Unusable(reason) => return Some(Self::unusable(function, reason)),
            _ => None,
        };
        kind.map(|kind| Self::new(kind, error.message("")))
    }

    /// A revision that is not the latest one.
    pub fn stale_revision() -> Self {
        let message = "The RevisionId provided does not match the latest RevisionId. Call the GetFunction or the GetAlias API to retrieve the latest RevisionId for your resource.";
        Self::new(ErrorKind::PreconditionFailed, message)
    }

    /// An event of `size` bytes that is too long.
    pub fn event_too_large(size: u64, max: usize) -> Self {
        let message = format!(
            "{size} byte payload is too large for the Event invocation type (limit {max} bytes)"
        );
        Self::new(ErrorKind::RequestTooLarge, message)
    }
}

impl From<StoreError> for LambdaError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "Lambda's state cannot be kept");
        Self::new(ErrorKind::Service, "The state could not be written; the log says why.")
    }
}

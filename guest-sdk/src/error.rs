//! How a handler fails.

use std::any::Any;
use std::fmt::{self, Write};
use std::panic::Location;

use crate::ServiceError;

/// A Lambda function error: what `?` makes of any error.
///
/// It ends the invocation. API Gateway answers its client with a generic 5xx;
/// type and message are logged and never shown, so they may tell the truth.
///
/// ```
/// use mayfly_guest::{Error, Request, Response};
///
/// fn handle(request: Request) -> Result<Response, Error> {
///     let port: u16 = request.text()?.parse()?;
///     Ok(Response::text(200, port.to_string()))
/// }
///
/// let error = handle(Request::post("/").with_body("no number")).unwrap_err();
/// assert_eq!(error.message(), "invalid digit found in string");
/// assert_eq!(error.error_type(), "core::num::error::ParseIntError");
/// ```
// Boxed: a handler's `Result` stays small, and failing is the rare case.
pub struct Error(Box<Fields>);

struct Fields {
    error_type: String,
    message: String,
    stack_trace: Vec<String>,
}

impl Error {
    /// An error of the type `Runtime.HandlerError` with this message.
    ///
    /// ```
    /// use mayfly_guest::Error;
    ///
    /// let error = Error::msg("the table is empty");
    /// assert_eq!(error.to_string(), "the table is empty");
    /// assert_eq!(error.error_type(), "Runtime.HandlerError");
    /// ```
    #[track_caller]
    pub fn msg(message: impl Into<String>) -> Self {
        Self::at(Location::caller(), "Runtime.HandlerError".into(), message.into())
    }

    /// The same error under another type, as Lambda calls an error's class.
    ///
    /// ```
    /// use mayfly_guest::Error;
    ///
    /// let error = Error::msg("no such order").with_type("Orders.NotFound");
    /// assert_eq!(error.error_type(), "Orders.NotFound");
    /// ```
    #[must_use]
    pub fn with_type(mut self, error_type: impl Into<String>) -> Self {
        self.0.error_type = error_type.into();
        self
    }

    /// The error's type: the Rust type it was made from, or the service's
    /// exception.
    ///
    /// ```
    /// use mayfly_guest::{Error, ServiceError};
    ///
    /// let error = Error::from(ServiceError::new("ResourceNotFoundException", "no table"));
    /// assert_eq!(error.error_type(), "ResourceNotFoundException");
    /// ```
    pub fn error_type(&self) -> &str {
        &self.0.error_type
    }

    /// What went wrong, followed by its causes.
    ///
    /// ```
    /// # use mayfly_guest::Error;
    /// assert_eq!(Error::msg("no luck").message(), "no luck");
    /// ```
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Where the error became a function error, as `file:line:column`.
    ///
    /// ```
    /// # use mayfly_guest::Error;
    /// let error = Error::msg("no luck");
    /// assert!(error.stack_trace()[0].contains(".rs:"));
    /// ```
    pub fn stack_trace(&self) -> &[String] {
        &self.0.stack_trace
    }

    fn at(location: &Location<'_>, error_type: String, message: String) -> Self {
        Self(Box::new(Fields { error_type, message, stack_trace: vec![location.to_string()] }))
    }

    /// Type, message and stack trace, for the host.
    #[cfg(target_family = "wasm")]
    pub(crate) fn into_parts(self) -> (String, String, Vec<String>) {
        (self.0.error_type, self.0.message, self.0.stack_trace)
    }
}

/// Any error converts, which is why `Error` is itself no `std::error::Error`.
impl<E: std::error::Error + 'static> From<E> for Error {
    #[track_caller]
    fn from(error: E) -> Self {
        let error_type = match (&error as &dyn Any).downcast_ref::<ServiceError>() {
            Some(error) => error.code.clone(),
            None => std::any::type_name::<E>().to_owned(),
        };
        Self::at(Location::caller(), error_type, chain(&error))
    }
}

/// The error and its causes, `outer: inner`. A cause that its parent already
/// quotes is not repeated.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            // Writing to a String cannot fail.
            let _ = write!(text, ": {cause_text}");
        }
        source = cause.source();
    }
    text
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

/// What a failing `unwrap` in a test prints.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.error_type, self.0.message)?;
        self.0.stack_trace.iter().try_for_each(|frame| write!(f, "\n  at {frame}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Outer(std::num::ParseIntError);

    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the port is wrong")
        }
    }

    impl std::error::Error for Outer {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn a_converted_error_keeps_type_causes_and_place() {
        fn fail() -> Result<u16, Error> {
            Ok("x".parse().map_err(Outer)?)
        }
        let error = fail().expect_err("x is no number");
        assert_eq!(error.message(), "the port is wrong: invalid digit found in string");
        assert!(error.error_type().ends_with("Outer"), "{error:?}");
        assert!(error.stack_trace()[0].contains("error.rs:"), "{error:?}");
    }
}

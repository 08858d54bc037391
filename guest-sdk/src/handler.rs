//! From an event's JSON text to the answer's.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Context, Error, IntoResponse, Json, Value};

/// What a handler's first argument may be: [`Request`](crate::Request),
/// [`Event`] or [`Value`].
///
/// ```
/// use mayfly_guest::{Context, Error, FromEvent, PayloadFormat, kind};
///
/// /// Takes the event as it came.
/// struct Text(String);
///
/// impl FromEvent for Text {
///     type Kind = kind::Invocation;
///
///     fn from_event(event: String) -> Result<Self, Error> {
///         Ok(Self(event))
///     }
/// }
/// assert_eq!(Text::from_event("7".into())?.0, "7");
/// # Ok::<(), Error>(())
/// ```
pub trait FromEvent: Sized {
    /// What the event wants for an answer: [`kind::Http`] or
    /// [`kind::Invocation`].
    type Kind;

    /// Reads the event's JSON text.
    fn from_event(event: String) -> Result<Self, Error>;

    /// How the answer to this event is written.
    fn payload_format(&self) -> PayloadFormat {
        PayloadFormat::default()
    }
}

/// What an event wants for an answer.
///
/// ```
/// use mayfly_guest::{FromEvent, Request, kind};
///
/// fn answers_http<E: FromEvent<Kind = kind::Http>>() {}
/// answers_http::<Request>();
/// ```
pub mod kind {
    /// An HTTP request, answered by [`IntoResponse`](crate::IntoResponse).
    ///
    /// ```
    /// # use mayfly_guest::{IntoReply, kind};
    /// fn answers<R: IntoReply<kind::Http>>(_: R) {}
    /// answers("text");
    /// ```
    #[derive(Debug)]
    pub enum Http {}

    /// Any other invocation, answered by [`Json`](crate::Json).
    ///
    /// ```
    /// # use mayfly_guest::{IntoReply, Json, kind};
    /// fn answers<R: IntoReply<kind::Invocation>>(_: R) {}
    /// answers(Json(1));
    /// ```
    #[derive(Debug)]
    pub enum Invocation {}
}

/// The version of API Gateway's Lambda proxy events.
///
/// ```
/// use mayfly_guest::{FromEvent, PayloadFormat, Request};
///
/// assert_eq!(Request::get("/").payload_format(), PayloadFormat::V2);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PayloadFormat {
    /// Payload format 1.0: REST APIs, and HTTP APIs that ask for it.
    V1,
    /// Payload format 2.0: HTTP APIs.
    #[default]
    V2,
}

/// Any JSON that is no HTTP request: a direct invocation, a Lambda authorizer's
/// input, a queue's message.
///
/// ```
/// use mayfly_guest::{Error, Event, Json, handler};
///
/// #[derive(serde::Deserialize)]
/// struct Order { unit_price: u32, count: u32 }
///
/// #[handler]
/// fn total(Event(order): Event<Order>) -> Json<u32> {
///     Json(order.unit_price * order.count)
/// }
///
/// assert_eq!(total(Event(Order { unit_price: 3, count: 4 })).0, 12);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event<T>(pub T);

impl<T: DeserializeOwned> FromEvent for Event<T> {
    type Kind = kind::Invocation;

    fn from_event(event: String) -> Result<Self, Error> {
        Ok(Self(serde_json::from_str(&event)?))
    }
}

impl FromEvent for Value {
    type Kind = kind::Invocation;

    fn from_event(event: String) -> Result<Self, Error> {
        Ok(serde_json::from_str(&event)?)
    }
}

/// What a handler may return, by the kind of its event: an [`IntoResponse`] for
/// a request, [`Json`] or `()` for any other event, and for both a `Result` of
/// it with any error.
///
/// ```
/// use mayfly_guest::{IntoReply, Json, PayloadFormat, kind};
///
/// let reply = IntoReply::<kind::Invocation>::into_reply(Json(1), PayloadFormat::V2)?;
/// assert_eq!(reply, "1");
/// # Ok::<(), mayfly_guest::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}` to this event",
    note = "a `Request` is answered with a `Response`, text, bytes, `Json`, `(u16, _)` or a `Result` of these",
    note = "any other event is answered with `Json`, `()` or a `Result` of these"
)]
pub trait IntoReply<Kind> {
    /// Writes the answer's JSON text.
    fn into_reply(self, format: PayloadFormat) -> Result<String, Error>;
}

impl<R: IntoResponse> IntoReply<kind::Http> for R {
    fn into_reply(self, format: PayloadFormat) -> Result<String, Error> {
        self.into_response()?.to_json(format)
    }
}

impl<T: Serialize> IntoReply<kind::Invocation> for Json<T> {
    fn into_reply(self, _: PayloadFormat) -> Result<String, Error> {
        Ok(serde_json::to_string(&self.0)?)
    }
}

impl IntoReply<kind::Invocation> for () {
    fn into_reply(self, _: PayloadFormat) -> Result<String, Error> {
        Ok("null".into())
    }
}

impl<Kind, R: IntoReply<Kind>, E: Into<Error>> IntoReply<Kind> for Result<R, E> {
    fn into_reply(self, format: PayloadFormat) -> Result<String, Error> {
        self.map_err(Into::into)?.into_reply(format)
    }
}

/// A function that can be a handler: `fn(event)` or `fn(event, context)`.
///
/// ```
/// use mayfly_guest::{Context, Handler, Request};
///
/// let answer = (|request: Request| request.path().to_owned())
///     .handle(r#"{"httpMethod":"GET","path":"/here"}"#.into(), Context::default())?;
/// assert!(answer.contains("/here"));
/// # Ok::<(), mayfly_guest::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    note = "a handler is `fn(event) -> answer` or `fn(event, Context) -> answer`; the event is `Request`, `Event<T>` or `Value`",
    note = "the answer is a `Response`, what becomes one, `Json` for an `Event`, or a `Result` of these"
)]
pub trait Handler<Arguments> {
    /// Takes an event's JSON text and answers with the result's JSON text.
    fn handle(&self, event: String, context: Context) -> Result<String, Error>;
}

impl<F, E, R> Handler<(E,)> for F
where
    F: Fn(E) -> R,
    E: FromEvent,
    R: IntoReply<E::Kind>,
{
    fn handle(&self, event: String, _: Context) -> Result<String, Error> {
        let event = E::from_event(event)?;
        let format = event.payload_format();
        self(event).into_reply(format)
    }
}

impl<F, E, R> Handler<(E, Context)> for F
where
    F: Fn(E, Context) -> R,
    E: FromEvent,
    R: IntoReply<E::Kind>,
{
    fn handle(&self, event: String, context: Context) -> Result<String, Error> {
        let event = E::from_event(event)?;
        let format = event.payload_format();
        self(event, context).into_reply(format)
    }
}

/// Has the compiler check a handler's types where no export is built.
#[doc(hidden)]
pub fn check<Arguments>(_: impl Handler<Arguments>) {}

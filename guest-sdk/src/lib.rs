//! Write a Mayfly function: one annotated Rust function.
//!
//! A function lives for one event, in a WebAssembly sandbox of its own. Behind
//! a route the event is the request and the answer is the response:
//!
//! ```
//! use mayfly_guest::{Context, Error, Request, Response, handler, json};
//!
//! #[handler]
//! fn handle(request: Request, _context: Context) -> Result<Response, Error> {
//!     let name = request.query("name").unwrap_or("World");
//!     Response::json(200, &json!({ "message": format!("Hello, {name}!") }))
//! }
//!
//! // A handler is a plain function, so a unit test calls it.
//! let response = handle(Request::get("/hello?name=Ada"), Context::default())?;
//! assert_eq!(response.body_text(), r#"{"message":"Hello, Ada!"}"#);
//! # Ok::<(), Error>(())
//! ```
//!
//! - The event: [`Request`] reads API Gateway's payload formats 1.0 and 2.0;
//!   [`Event`] takes any other JSON.
//! - The answer: [`Response`], or whatever becomes one ([`IntoResponse`]), or
//!   [`Json`] to answer an [`Event`]. `?` turns any error into an [`Error`],
//!   which ends the invocation as a Lambda function error.
//! - Tables: [`Table`] reads and writes serde types in DynamoDB;
//!   [`services`] calls everything else that `gateway.toml` grants.
//! - What every invocation begins with: [`init`] makes it once, when the file
//!   is loaded.
//! - Logs: [`log`]'s macros, such as [`info!`], write records of the invocation.
//! - Tests: with the feature `testing`, `testing::World` gives plain
//!   `cargo test` in-memory tables and a mail outbox.
//!
//! The feature `arena`, on by default, makes a bump allocator the global
//! allocator of the WebAssembly build. Turn it off to choose your own.

mod context;
mod error;
mod handler;
pub mod log;
mod request;
mod response;
pub mod services;
pub mod table;
#[cfg(all(feature = "testing", not(target_family = "wasm")))]
pub mod testing;
mod vector;
mod write;

#[cfg(any(test, all(target_family = "wasm", feature = "arena")))]
mod arena;
#[cfg(not(target_family = "wasm"))]
mod host;
#[cfg(target_family = "wasm")]
mod wasm;

#[cfg(not(target_family = "wasm"))]
use host as platform;
#[cfg(target_family = "wasm")]
use wasm as platform;

pub use context::Context;
pub use error::Error;
pub use handler::{Event, FromEvent, Handler, IntoReply, PayloadFormat, kind};
pub use mayfly_guest_macros::{handler, init};
pub use request::Request;
pub use response::{IntoResponse, Json, Response};
pub use serde_json::{Value, json};
pub use services::ServiceError;
pub use table::Table;

/// What `#[handler]` expands to; no part of the API.
#[doc(hidden)]
pub mod __rt {
    pub use crate::handler::check;
    #[cfg(target_family = "wasm")]
    pub use crate::wasm::__rt::*;
}

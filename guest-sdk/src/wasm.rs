//! The component's side of `wit/`: this module alone talks to the host.

use crate::ServiceError;
use crate::log::Level;

/// What `#[handler]` expands to, beside the generated bindings.
#[allow(missing_docs, unused_qualifications, reason = "generated from wit/, which documents it")]
pub mod __rt {
    wit_bindgen::generate!({
        world: "function",
        path: "../wit",
        pub_export_macro: true,
        default_bindings_module: "::mayfly_guest::__rt",
    });

    pub use self::Context as WitContext;

    pub mod initialisation {
        wit_bindgen::generate!({
            inline: "package mayfly:initialisation; world initialised { export wizer-initialize: func(); }",
            pub_export_macro: true,
            default_bindings_module: "::mayfly_guest::__rt::initialisation",
        });
    }

    /// Runs a crate's initialisation.
    pub fn initialise(initialise: fn()) {
        super::report_panics();
        initialise();
    }

    /// Answers one event with a handler.
    pub fn serve<Arguments>(
        handler: impl crate::Handler<Arguments>,
        event: String,
        context: WitContext,
    ) -> Result<String, FunctionError> {
        super::report_panics();
        let context = crate::Context {
            request_id: context.request_id,
            function_name: context.function_name,
            function_version: context.function_version,
            invoked_function_arn: context.invoked_function_arn,
            memory_limit_mb: context.memory_limit_mb,
            deadline_ms: context.deadline_ms,
        };
        handler.handle(event, context).map_err(|error| {
            let (error_type, error_message, stack_trace) = error.into_parts();
            FunctionError { error_type, error_message, stack_trace }
        })
    }
}

use __rt::mayfly::lambda::{invocation, logging, services};

pub fn client_context() -> Option<String> {
    invocation::client_context()
}

pub fn log(level: Level, message: &str) {
    let level = match level {
        Level::Trace => logging::Level::Trace,
        Level::Debug => logging::Level::Debug,
        Level::Info => logging::Level::Info,
        Level::Warn => logging::Level::Warn,
        Level::Error => logging::Level::Error,
    };
    logging::log(level, message);
}

pub fn call(service: &str, action: &str, input: &str) -> Result<String, ServiceError> {
    services::call(service, action, input).map_err(|error| ServiceError {
        code: error.code,
        message: error.message,
        detail: error.detail,
    })
}

/// A panic ends the instance with a trap, which says nothing of its cause: the
/// message has to go out before.
fn report_panics() {
    std::panic::set_hook(Box::new(|panic| crate::error!("{panic}")));
}

//! One invocation: a fresh store and instance, a call, and nothing left.

use std::{
    borrow::Cow,
    pin::pin,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::json;
use tracing::Level;
use wasmtime::{Store, UpdateDeadline};

use super::{
    Function,
    account::Running,
    bindings::{Context, FunctionPre},
    component::{Compiled, Guest},
    direct::Call,
    host::{CONCURRENT_MAX, State},
    meter::{Meter, Metered},
};
use crate::{
    gateway::ACCOUNT_ID,
    telemetry::{InvocationLog, Tail},
    threads,
    timeout::within,
};

/// What is asked of a function.
pub struct Invocation {
    /// The event's JSON text.
    pub event: String,
    /// What is said of it besides.
    pub context: CallContext,
}

/// What an invocation has beside its event or request.
#[derive(Debug, Clone)]
pub struct CallContext {
    /// The invocation's id, a UUID.
    pub request_id: String,
    /// The id that its log lines carry, which is the client's request's.
    pub log_id: String,
    /// The version or alias that was asked for, as its ARN names it.
    pub qualifier: Option<String>,
    /// What the caller said beside the event, a JSON text.
    pub client_context: Option<String>,
    /// The level of the log's START, END and REPORT lines.
    pub lifecycle: Level,
    /// Who gets the end of the log.
    pub tail: Option<Tail>,
}

impl CallContext {
    /// That of a client of an API, whose own log lines tell of it.
    pub fn new(request_id: String, log_id: String) -> Self {
        Self {
            request_id,
            log_id,
            qualifier: None,
            client_context: None,
            lifecycle: Level::DEBUG,
            tail: None,
        }
    }

    /// That of an invocation that only the function's own log tells of.
    pub fn direct(request_id: String) -> Self {
        let log_id = request_id.clone();
        Self { lifecycle: Level::INFO, ..Self::new(request_id, log_id) }
    }
}

/// An error that the function itself returned, in Lambda's form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionError {
    /// `errorType`.
    pub error_type: String,
    /// `errorMessage`.
    pub error_message: String,
    /// `stackTrace`.
    pub stack_trace: Vec<String>,
}

/// How an invocation can fail.
#[derive(Debug, Clone, thiserror::Error)]
pub enum InvokeError {
    /// The function returned an error.
    #[error("{}: {}", .0.error_type, .0.error_message)]
    Function(FunctionError),
    /// The guest trapped: a panic, an out-of-bounds access, a stack overflow;
    /// why, without the frames, which are in its log.
    #[error("the function trapped: {0}")]
    Trap(String),
    /// The guest needed more memory than it may have.
    #[error("memory limit of {0} MB exceeded")]
    Memory(u32),
    /// The function's own time was up.
    #[error("task timed out after {:.2} seconds", .0.as_secs_f64())]
    Timeout(Duration),
    /// The event is longer than the function takes.
    #[error("the event has {size} bytes, more than payload_bytes_max = {max}")]
    PayloadTooLarge {
        /// Its size, in bytes.
        size: usize,
        /// The limit.
        max: usize,
    },
    /// The answer is longer than it may be.
    #[error("the response has {size} bytes, more than response_bytes_max = {max}")]
    ResponseTooLarge {
        /// Its size, in bytes.
        size: usize,
        /// The limit.
        max: usize,
    },
    /// A guest that speaks HTTP ended without an answer.
    #[error("the guest ended without an answer")]
    NoAnswer,
    /// A guest that speaks HTTP answered with an error code.
    #[error("the guest answered with the error {0}")]
    Answer(String),
    /// What a guest answered is no response.
    #[error("the guest's answer is no response: {0}")]
    Malformed(String),
    /// A guest that speaks HTTP was invoked with what is no request.
    #[error("the guest speaks HTTP, and the event is no proxy event: {0}")]
    Event(String),
    /// A command ended with a status other than 0.
    #[error("exit status {0}")]
    Exit(i32),
    /// What a command printed is no answer.
    #[error("the command's standard output is no answer: {0}")]
    Output(String),
    /// Its code turned out to be none that can be run.
    #[error("its code cannot be run: {0}")]
    Unusable(String),
    /// As many sandboxes of the function live as it reserved.
    #[error("reserved concurrency of {0} exceeded")]
    Throttled(u32),
}

impl InvokeError {
    /// The JSON that Lambda's Invoke answers for this error, with `request_id`.
    ///
    /// <https://docs.aws.amazon.com/lambda/latest/dg/invocation-retries.html>
    pub fn payload(&self, request_id: &str) -> serde_json::Value {
        let message = self.message(request_id);
        let mut payload = json!({ "errorType": self.error_type(), "errorMessage": message });
        if let Self::Function(error) = self
            && !error.stack_trace.is_empty()
        {
            payload["stackTrace"] = json!(error.stack_trace);
        }
        payload
    }

    /// `errorType`.
    pub fn error_type(&self) -> &str {
        match self {
            Self::Function(error) => &error.error_type,
            Self::Timeout(_) => "Sandbox.Timedout",
            Self::PayloadTooLarge { .. } => "RequestTooLargeException",
            Self::Throttled(_) => "TooManyRequestsException",
            _ => self.runtime_error_type().unwrap_or_default(),
        }
    }

    /// `errorMessage`.
    pub fn message(&self, request_id: &str) -> String {
        let message = match self {
            Self::Function(error) => return error.error_message.clone(),
            Self::PayloadTooLarge { max, .. } => {
                return format!(
                    "Request must be smaller than {max} bytes for the InvokeFunction operation"
                );
            }
            Self::ResponseTooLarge { size, max } => {
                return format!(
                    "Response payload size ({size} bytes) exceeded maximum allowed payload size ({max} bytes)."
                );
            }
            Self::Throttled(_) => return "Rate Exceeded.".to_owned(),
            Self::Trap(_) => "Runtime exited with error: trap".to_owned(),
            Self::Memory(_) => "Runtime exited with error: out of memory".to_owned(),
            Self::Timeout(limit) => {
                format!("Task timed out after {:.2} seconds", limit.as_secs_f64())
            }
            Self::Exit(status) => format!("Runtime exited with error: exit status {status}"),
            other => other.to_string(),
        };
        format!("RequestId: {request_id} Error: {message}")
    }
}

impl InvokeError {
    /// Of one that was ended from outside.
    pub(super) fn ended() -> Self {
        Self::Trap("the sandbox was ended".to_owned())
    }

    /// Whether the function ran, or should have, and it is its own fault.
    pub fn is_of_function(&self) -> bool {
        !matches!(self, Self::PayloadTooLarge { .. } | Self::Throttled(_) | Self::Unusable(_))
    }

    /// The type of an error that is the runtime's, not the function's.
    pub fn runtime_error_type(&self) -> Option<&'static str> {
        match self {
            Self::Trap(_) | Self::Exit(_) => Some("Runtime.ExitError"),
            Self::Memory(_) => Some("Runtime.OutOfMemory"),
            Self::ResponseTooLarge { .. } => Some("Function.ResponseSizeTooLarge"),
            Self::NoAnswer | Self::Answer(_) | Self::Malformed(_) | Self::Output(_) => {
                Some("Runtime.MalformedResponse")
            }
            Self::Event(_) => Some("Runtime.InvalidEvent"),
            Self::Unusable(_) => Some("Runtime.InvalidEntrypoint"),
            Self::Function(_)
            | Self::Timeout(_)
            | Self::PayloadTooLarge { .. }
            | Self::Throttled(_) => None,
        }
    }
}

/// The region that ARNs name.
pub const REGION: &str = "us-east-1";

/// A function's ARN by its name, with API Gateway's stand-in account.
pub fn arn(function: &str) -> String {
    format!("arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{function}")
}

impl Function {
    /// Runs the function once in a sandbox of its own and returns the JSON
    /// text it answers. Dropping the future ends the sandbox.
    ///
    /// # Errors
    /// [`InvokeError`]; whatever it is, other invocations do not notice.
    pub async fn invoke(self: &Arc<Self>, invocation: Invocation) -> Result<String, InvokeError> {
        self.check_payload(&invocation)?;
        let compiled = self.code.compiled().await?;
        if compiled.speaks_http() {
            // Apart, so that other invocations don't have room for it.
            return Box::pin(self.handle_event(invocation)).await;
        }
        let takes_long = self.account.takes_long();
        threads::in_step(takes_long, self.invoke_now(compiled, invocation)).await
    }

    async fn invoke_now(
        self: &Arc<Self>,
        compiled: &Arc<Compiled>,
        invocation: Invocation,
    ) -> Result<String, InvokeError> {
        let running = self.begin()?;
        // The pool is never closed.
        let slot = Arc::clone(&self.pool).acquire_many_owned(compiled.places).await.ok();
        let meter = Arc::<Meter>::default();
        let own = (Arc::clone(self), Arc::clone(compiled), Arc::clone(&meter));
        let run = Box::pin(async move {
            let (function, compiled, meter) = own;
            let outcome = function.metered(&compiled, invocation, running, meter).await;
            drop(slot);
            outcome
        });
        let ran = threads::run(run, || meter.is_long()).await;
        ran.unwrap_or_else(|_| Err(InvokeError::ended()))
    }

    async fn metered(
        &self,
        compiled: &Compiled,
        invocation: Invocation,
        running: Running,
        meter: Arc<Meter>,
    ) -> Result<String, InvokeError> {
        let log = self.log(&invocation.context);
        let context = &invocation.context;
        let metered = Metered::start(self, context, log.clone(), running, Arc::clone(&meter));
        // Pinned where it is made: it is kilobytes, which every layer around it
        // would move.
        let run = pin!(self.run(compiled, invocation, log, Arc::clone(&meter)));
        let outcome = within(self.config.timeout, pin!(meter.measure(run))).await;
        let outcome = outcome
            .unwrap_or(Err(InvokeError::Timeout(self.config.timeout)))
            .and_then(|output| self.bounded(output));
        metered.end(outcome.as_ref().map(|_| ()));
        outcome
    }

    pub(super) fn check_payload(&self, invocation: &Invocation) -> Result<(), InvokeError> {
        let (size, max) = (invocation.event.len(), self.config.payload_bytes_max);
        if size > max { Err(InvokeError::PayloadTooLarge { size, max }) } else { Ok(()) }
    }

    fn bounded(&self, output: String) -> Result<String, InvokeError> {
        let (size, max) = (output.len(), self.config.response_bytes_max);
        if size > max {
            return Err(InvokeError::ResponseTooLarge { size, max });
        }
        Ok(output)
    }

    /// One more of it, if that may be.
    pub(super) fn begin(&self) -> Result<Running, InvokeError> {
        self.account.begin(self.config.reserved_concurrency).map_err(InvokeError::Throttled)
    }

    /// The log of one invocation.
    pub(super) fn log(&self, context: &CallContext) -> InvocationLog {
        InvocationLog::new(&self.name, &context.log_id, self.config.log_bytes_max)
            .with_lifecycle(context.lifecycle, context.tail.clone())
    }

    /// What one invocation runs in.
    pub(super) fn store(
        &self,
        compiled: &Compiled,
        log: InvocationLog,
        meter: Arc<Meter>,
        context: &CallContext,
    ) -> Store<State> {
        let granted = Arc::clone(&self.granted);
        let state = State::new(granted, context.client_context.clone(), log, meter);
        new_store(compiled.guest.engine(), state)
    }

    async fn run(
        &self,
        compiled: &Compiled,
        invocation: Invocation,
        log: InvocationLog,
        meter: Arc<Meter>,
    ) -> Result<String, InvokeError> {
        if let Guest::Function(_) = &compiled.guest
            && let Some(output) = self.call_directly(compiled, &invocation, &log, &meter)
        {
            return Ok(output);
        }
        let store = self.store(compiled, log, meter, &invocation.context);
        match &compiled.guest {
            Guest::Function(pre) => self.call(compiled, pre, invocation, store).await,
            _ => self.command(compiled, invocation, store).await,
        }
    }

    /// What its module by itself answers, if it can.
    fn call_directly(
        &self,
        compiled: &Compiled,
        invocation: &Invocation,
        log: &InvocationLog,
        meter: &Arc<Meter>,
    ) -> Option<String> {
        let Some(direct) = compiled.direct() else {
            self.code.called();
            return None;
        };
        if self.account.takes_long() {
            return None;
        }
        let arn = self.invoked_arn(&invocation.context);
        let context = self.context(&invocation.context, &arn);
        direct.call(&Call { event: &invocation.event, context, config: &self.config, log, meter })
    }

    async fn call(
        &self,
        compiled: &Compiled,
        pre: &FunctionPre<State>,
        invocation: Invocation,
        mut store: Store<State>,
    ) -> Result<String, InvokeError> {
        let arn = self.invoked_arn(&invocation.context);
        let context = self.context(&invocation.context, &arn);
        let result = async {
            let instance = pre.instantiate_async(&mut store).await?;
            instance.call_handle(&mut store, &invocation.event, context).await
        }
        .await;
        compiled.ended();
        match result {
            Ok(Ok(output)) => Ok(output),
            Ok(Err(error)) => Err(InvokeError::Function(FunctionError {
                error_type: error.error_type,
                error_message: error.error_message,
                stack_trace: error.stack_trace,
            })),
            Err(trap) => Err(failure(&mut store, &trap, self.config.memory_mb)),
        }
    }

    /// The ARN by which it was asked for.
    pub(super) fn invoked_arn(&self, call: &CallContext) -> Cow<'_, str> {
        match &call.qualifier {
            Some(qualifier) => Cow::Owned(format!("{}:{qualifier}", self.arn)),
            None => Cow::Borrowed(&self.arn),
        }
    }

    pub(super) fn context<'c>(&'c self, call: &'c CallContext, arn: &'c str) -> Context<'c> {
        let deadline = SystemTime::now() + self.config.timeout;
        let deadline_ms = deadline.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        Context {
            request_id: &call.request_id,
            function_name: &self.name,
            function_version: &self.version,
            invoked_function_arn: arn,
            memory_limit_mb: self.config.memory_mb,
            deadline_ms: u64::try_from(deadline_ms).unwrap_or(u64::MAX),
        }
    }
}

/// A store for one invocation, within its limits.
pub(super) fn new_store(engine: &wasmtime::Engine, state: State) -> Store<State> {
    let mut store = Store::new(engine, state);
    store.limiter(|state| state.limits());
    // Wasmtime's own bound of what one call copies from a guest: an answer has
    // to fit beside what else a call says.
    let answer = store.data().response_bytes_max();
    store.set_hostcall_fuel(store.hostcall_fuel().saturating_add(answer));
    // Streams and futures of WASI 0.3 are not in the state's own table.
    if let Some(table) = store.concurrent_resource_table() {
        table.set_max_capacity(CONCURRENT_MAX);
    }
    // Whoever is done within a tick is never interrupted, whenever it began.
    store.set_epoch_deadline(2);
    store.epoch_deadline_callback(|store| {
        store.data().meter().interrupted();
        Ok(UpdateDeadline::Yield(1))
    });
    store
}

/// Why a guest ended early; the whole of it is written to its log.
pub(super) fn failure(
    store: &mut Store<State>,
    trap: &wasmtime::Error,
    memory_mb: u32,
) -> InvokeError {
    store.data().log().line(Level::ERROR, &format!("{trap:?}"));
    match store.data_mut().limits().exceeded() {
        true => InvokeError::Memory(memory_mb),
        false => InvokeError::Trap(trap.root_cause().to_string()),
    }
}

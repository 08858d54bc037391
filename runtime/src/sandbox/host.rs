//! What a guest can reach: the imports of `mayfly:lambda` and WASI, the latter
//! with nothing behind it but clocks, random numbers, the declared environment,
//! hosts and storage, and a log for what is printed.

use std::sync::Arc;

use bytes::Bytes;
use wasmtime::{
    ResourceLimiter,
    component::{HasSelf, Linker, ResourceTable},
};
use wasmtime_wasi::{
    WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView,
    p2::{bindings::random::insecure_seed, pipe::MemoryInputPipe},
};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::{
    bindings::mayfly::lambda::{
        invocation,
        logging::{self, Level},
        services, types,
    },
    engine::{Kind, MIB},
    meter::Meter,
    outgoing::Outgoing,
    stdio::{Kept, LogLines, Output},
    storage::{self, FilesystemView, Grant, Mount, StorageView},
};
use crate::{
    config::FunctionConfig,
    outbound::Outbound,
    services::{Grants, Services},
    telemetry::InvocationLog,
};

/// What belongs to one invocation, and ends with it.
pub struct State {
    limits: Limits,
    log: InvocationLog,
    granted: Arc<Granted>,
    client_context: Option<String>,
    // Beside those that are granted.
    variables: Vec<(String, String)>,
    // Made when the guest first asks: most handlers never do.
    wasi: Option<WasiCtx>,
    // The same whenever it asks.
    seed: Option<(u64, u64)>,
    stdio: Option<Stdio>,
    mount: Mount,
    http: WasiHttpCtx,
    outgoing: Outgoing,
    table: ResourceTable,
}

/// What every invocation of a function is granted.
pub struct Granted {
    pub config: Arc<FunctionConfig>,
    pub grants: Grants,
    pub services: Arc<Services>,
    pub outbound: Option<Arc<Outbound>>,
    pub storage: Option<Grant>,
}

/// What a command has in place of an event and an answer.
pub struct Stdio {
    /// Beginning with the command's own name.
    pub arguments: Vec<String>,
    pub input: Bytes,
    pub output: Kept,
}

/// Handles of WASI's resources that a guest may hold at once.
const RESOURCES_MAX: usize = 1024;

/// What wasmtime keeps of a guest's tasks, streams and futures of WASI 0.3; a
/// stream of a file and its end are about six of them.
pub const CONCURRENT_MAX: usize = 8 * RESOURCES_MAX;

/// The most that one set of header fields takes of the host's memory, roughly,
/// in bytes: they are not the guest's own memory.
const FIELDS_BYTES_MAX: usize = 64 * 1024;

/// The most that `wasi:random` gives at once, in bytes.
pub const RANDOM_BYTES_MAX: u64 = 1024 * 1024;

impl State {
    pub fn new(
        granted: Arc<Granted>,
        client_context: Option<String>,
        log: InvocationLog,
        meter: Arc<Meter>,
    ) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES_MAX);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(FIELDS_BYTES_MAX);
        Self {
            limits: Limits::new(granted.config.memory_mb, meter),
            outgoing: Outgoing::new(granted.outbound.clone(), log.clone()),
            mount: Mount::new(granted.storage.clone(), log.clone()),
            log,
            granted,
            client_context,
            variables: Vec::new(),
            wasi: None,
            seed: None,
            stdio: None,
            http,
            table,
        }
    }

    /// Whether the guest holds anything of the host's.
    pub fn holds_handles(&self) -> bool {
        !self.table.is_empty()
    }

    /// For a command, which sees these variables beside those that it is granted;
    /// what is granted wins.
    pub fn set_stdio(&mut self, stdio: Stdio, variables: Vec<(String, String)>) {
        self.variables = variables;
        let environment = &self.granted.config.environment;
        self.variables.retain(|(name, _)| !environment.contains_key(name));
        self.stdio = Some(stdio);
    }

    /// The longest answer that there may be, in bytes.
    pub fn response_bytes_max(&self) -> usize {
        self.granted.config.response_bytes_max
    }

    pub fn limits(&mut self) -> &mut Limits {
        &mut self.limits
    }

    /// What measures it.
    pub fn meter(&self) -> &Meter {
        &self.limits.meter
    }

    pub fn log(&self) -> &InvocationLog {
        &self.log
    }
}

/// Everything that a function may import.
pub fn add_to_linker(linker: &mut Linker<State>, kind: Kind) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    if kind == Kind::Async {
        wasmtime_wasi::p3::add_to_linker(linker)?;
        wasmtime_wasi_http::p3::add_to_linker(linker)?;
    }
    linker.allow_shadowing(true);
    insecure_seed::add_to_linker::<_, HasSelf<_>>(linker, |state: &mut State| state)?;
    linker.allow_shadowing(false);
    storage::add_to_linker(linker, kind)?;
    invocation::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    logging::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    services::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    types::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    Ok(())
}

impl types::Host for State {}

impl invocation::Host for State {
    async fn client_context(&mut self) -> Option<String> {
        self.client_context.clone()
    }
}

impl logging::Host for State {
    async fn log(&mut self, level: Level, message: String) {
        let level = match level {
            Level::Trace => tracing::Level::TRACE,
            Level::Debug => tracing::Level::DEBUG,
            Level::Info => tracing::Level::INFO,
            Level::Warn => tracing::Level::WARN,
            Level::Error => tracing::Level::ERROR,
        };
        self.log.line(level, &message);
    }
}

/// Every hash map of Rust asks for it, so that it does without the rest of WASI.
impl insecure_seed::Host for State {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        Ok(*self.seed.get_or_insert_with(rand::random))
    }
}

impl services::Host for State {
    async fn call(
        &mut self,
        service: String,
        action: String,
        input: String,
    ) -> Result<String, services::ServiceError> {
        let Granted { services, grants, .. } = &*self.granted;
        services.call(grants, &service, &action, input).await.map_err(|error| {
            services::ServiceError {
                detail: error.body(),
                code: error.code,
                message: error.message,
            }
        })
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let Self { wasi, table, log, granted, variables, stdio, .. } = self;
        let ctx = wasi.get_or_insert_with(|| {
            let mut builder = WasiCtxBuilder::new();
            for (name, value) in &granted.config.environment {
                builder.env(name, value.reveal());
            }
            builder
                .envs(variables)
                .stderr(Output(LogLines::new(log.clone(), tracing::Level::ERROR)))
                .max_random_size(RANDOM_BYTES_MAX)
                .allow_tcp(false)
                .allow_udp(false);
            match stdio {
                Some(stdio) => builder
                    .args(&stdio.arguments)
                    .stdin(MemoryInputPipe::new(stdio.input.clone()))
                    .stdout(Output(stdio.output.clone())),
                None => builder.stdout(Output(LogLines::new(log.clone(), tracing::Level::INFO))),
            };
            builder.build()
        });
        WasiCtxView { ctx, table }
    }
}

impl StorageView for State {
    fn storage(&mut self) -> FilesystemView<'_> {
        FilesystemView { mount: &mut self.mount, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let Self { http, outgoing, table, .. } = self;
        WasiHttpCtxView { ctx: http, table, hooks: outgoing }
    }
}

/// One limiter for all that a store may hold. Memories and tables count
/// together: a component may have several of both.
pub struct Limits {
    meter: Arc<Meter>,
    memory_bytes_max: usize,
    memory_bytes: usize,
    table_elements: usize,
    exceeded: bool,
}

impl Limits {
    pub fn new(memory_mb: u32, meter: Arc<Meter>) -> Self {
        let memory_bytes_max = memory_mb as usize * MIB;
        Self { meter, memory_bytes_max, memory_bytes: 0, table_elements: 0, exceeded: false }
    }

    /// Whether the guest asked for more memory than it may have.
    pub fn exceeded(&self) -> bool {
        self.exceeded
    }
}

/// Instances, tables and memories of one store; a component's own numbers are
/// bounded by the pool as well.
const STORE_ITEMS_MAX: usize = 64;

/// Elements of all tables of a store.
const TABLE_ELEMENTS_MAX: usize = 100_000;

/// Adds to `total` what grows from `current` to `desired`, if it may.
fn grow(total: &mut usize, current: usize, desired: usize, max: usize) -> bool {
    let grown = total.saturating_add(desired.saturating_sub(current));
    let allowed = grown <= max;
    if allowed {
        *total = grown;
    }
    allowed
}

/// Whether the guest's own maximum forbids it, which is compared only after the
/// limiter was asked: nothing would be there of what it has counted.
fn is_refused(desired: usize, maximum: Option<usize>) -> bool {
    maximum.is_some_and(|own| desired > own)
}

impl ResourceLimiter for Limits {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if is_refused(desired, maximum) {
            return Ok(false);
        }
        let allowed = grow(&mut self.memory_bytes, current, desired, self.memory_bytes_max);
        self.exceeded |= !allowed;
        self.meter.memory(self.memory_bytes);
        Ok(allowed)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if is_refused(desired, maximum) {
            return Ok(false);
        }
        Ok(grow(&mut self.table_elements, current, desired, TABLE_ELEMENTS_MAX))
    }

    fn instances(&self) -> usize {
        STORE_ITEMS_MAX
    }

    fn tables(&self) -> usize {
        STORE_ITEMS_MAX
    }

    fn memories(&self) -> usize {
        STORE_ITEMS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_memories_share_one_limit() {
        let mut limits = Limits::new(1, Arc::default());
        assert!(limits.memory_growing(0, MIB - 40, None).expect("an answer"));
        assert!(limits.memory_growing(0, 40, None).expect("an answer"));
        assert!(!limits.exceeded());
        assert!(!limits.memory_growing(40, 41, None).expect("an answer"));
        assert!(limits.exceeded());
    }

    #[test]
    fn growth_beyond_a_guest_s_own_maximum_is_not_counted() {
        let mut limits = Limits::new(1, Arc::default());
        for _ in 0..10 {
            assert!(!limits.memory_growing(0, 60, Some(50)).expect("an answer"));
            assert!(!limits.table_growing(0, TABLE_ELEMENTS_MAX, Some(1)).expect("an answer"));
        }
        assert!(!limits.exceeded());
        assert!(limits.memory_growing(0, MIB, Some(MIB)).expect("an answer"));
        assert!(limits.table_growing(0, TABLE_ELEMENTS_MAX, None).expect("an answer"));
    }
}

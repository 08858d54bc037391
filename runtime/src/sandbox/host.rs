//! What a guest can reach: the imports of `mayfly:lambda` and WASI 0.2, the
//! latter with nothing behind it but clocks, random numbers, the declared
//! environment, and a log for what is printed.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use tokio::io::AsyncWrite;
use wasmtime::{
    ResourceLimiter,
    component::{HasSelf, Linker, ResourceTable},
};
use wasmtime_wasi::{
    WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView,
    cli::{IsTerminal, StdoutStream},
};

use super::bindings::mayfly::lambda::{
    logging::{self, Level},
    services, types,
};
use crate::{
    config::FunctionConfig,
    services::{Grants, Services},
    telemetry::InvocationLog,
};

/// What belongs to one invocation, and ends with it.
pub struct State {
    limits: Limits,
    log: InvocationLog,
    services: Arc<Services>,
    grants: Grants,
    environment: Vec<(String, String)>,
    // Made when the guest first asks: most handlers never do.
    wasi: Option<WasiCtx>,
    table: ResourceTable,
}

impl State {
    pub fn new(config: &FunctionConfig, services: Arc<Services>, log: InvocationLog) -> Self {
        let environment = config
            .environment
            .iter()
            .map(|(name, value)| (name.clone(), value.reveal().to_owned()))
            .collect();
        Self {
            limits: Limits::new(config.memory_mb as usize * 1024 * 1024),
            log,
            services,
            grants: Grants::of(config),
            environment,
            wasi: None,
            table: ResourceTable::new(),
        }
    }

    pub fn limits(&mut self) -> &mut Limits {
        &mut self.limits
    }

    pub fn log(&self) -> &InvocationLog {
        &self.log
    }
}

/// Everything that a function may import.
pub fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    logging::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    services::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    types::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    Ok(())
}

impl types::Host for State {}

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

impl services::Host for State {
    async fn call(
        &mut self,
        service: String,
        action: String,
        input: String,
    ) -> Result<String, services::ServiceError> {
        self.services.call(&self.grants, &service, &action, input).await.map_err(|error| {
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
        let Self { wasi, table, log, environment, .. } = self;
        let ctx = wasi.get_or_insert_with(|| {
            WasiCtxBuilder::new()
                .envs(environment)
                .stdout(LogStream::new(log.clone(), tracing::Level::INFO))
                .stderr(LogStream::new(log.clone(), tracing::Level::ERROR))
                .allow_tcp(false)
                .allow_udp(false)
                .build()
        });
        WasiCtxView { ctx, table }
    }
}

/// One limiter for all that a store may hold. Memories and tables count
/// together: a component may have several of both.
pub struct Limits {
    memory_bytes_max: usize,
    memory_bytes: usize,
    table_elements: usize,
    exceeded: bool,
}

impl Limits {
    fn new(memory_bytes_max: usize) -> Self {
        Self { memory_bytes_max, memory_bytes: 0, table_elements: 0, exceeded: false }
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

impl ResourceLimiter for Limits {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let allowed = grow(&mut self.memory_bytes, current, desired, self.memory_bytes_max);
        self.exceeded |= !allowed;
        Ok(allowed)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
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

/// A guest's standard output or error: every line becomes a log line.
#[derive(Clone)]
struct LogStream {
    log: InvocationLog,
    level: tracing::Level,
    line: Arc<Mutex<Vec<u8>>>,
}

/// A longer line is broken, in bytes.
const LINE_BYTES_MAX: usize = 8 * 1024;

impl LogStream {
    fn new(log: InvocationLog, level: tracing::Level) -> Self {
        Self { log, level, line: Arc::default() }
    }

    fn push(&self, bytes: &[u8]) {
        let mut line = self.line.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for &byte in bytes {
            if byte != b'\n' {
                line.push(byte);
            }
            if byte == b'\n' || line.len() >= LINE_BYTES_MAX {
                self.log.line(self.level, &String::from_utf8_lossy(&line));
                line.clear();
            }
        }
    }
}

/// What was printed without a newline at the end.
impl Drop for LogStream {
    fn drop(&mut self) {
        let mut line = self.line.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if Arc::strong_count(&self.line) == 1 && !line.is_empty() {
            self.log.line(self.level, &String::from_utf8_lossy(&line));
            line.clear();
        }
    }
}

impl IsTerminal for LogStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LogStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for LogStream {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.push(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_memories_share_one_limit() {
        let mut limits = Limits::new(100);
        assert!(limits.memory_growing(0, 60, None).expect("an answer"));
        assert!(limits.memory_growing(0, 40, None).expect("an answer"));
        assert!(!limits.exceeded());
        assert!(!limits.memory_growing(40, 41, None).expect("an answer"));
        assert!(limits.exceeded());
    }
}

//! The sandbox: compiled functions, and a fresh instance of one for every
//! invocation. The only room that names wasmtime.
//!
//! A capability has three times: what exists for all guests is put into the
//! linker once ([`Sandbox::new`]); what a function asks for is checked when it
//! is loaded ([`Sandbox::load`]); what an invocation is granted is prepared for
//! its store alone ([`Function::invoke`]). Nothing outlives the store.

mod cache;
mod component;
mod engine;
mod host;
mod invoke;

use std::{path::Path, sync::Arc, time::Duration};

use tokio::sync::Semaphore;
use wasmtime::{Engine, component::Linker};

use crate::{
    config::{FunctionConfig, Pools},
    services::Services,
};
use cache::CodeCache;
pub use cache::{digest_of_bytes as digest, hex};
pub use component::{Code, LoadError};
pub use invoke::{FunctionError, Invocation, InvokeError};

mod bindings {
    //! Host and guest SDK are both generated from `wit/`.
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "function",
        imports: { default: async },
        exports: { default: async },
    });
}

/// How often guests are interrupted to let others run and to notice that
/// their time is up.
const TICK: Duration = Duration::from_millis(5);

/// What all functions share: the engine, what guests may import, the cache of
/// compiled code and the bound on living sandboxes.
pub struct Sandbox {
    engine: Engine,
    linker: Linker<host::State>,
    cache: CodeCache,
    permits: Arc<Semaphore>,
    services: Arc<Services>,
    memory_mb_max: u32,
}

/// A function that is ready to be invoked.
pub struct Function {
    /// Its name: the stem of the handler's file.
    pub name: String,
    /// Its code.
    pub code: Arc<Code>,
    /// What it is granted and held to.
    pub config: FunctionConfig,
    pool: Arc<Semaphore>,
    reserved: Option<Arc<Semaphore>>,
    services: Arc<Services>,
}

/// Why the sandbox could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// The engine refused its settings or could not reserve its pools.
    #[error(
        "the sandbox's pools could not be reserved for {concurrency} sandboxes of up to {memory_mb} MiB: {source:#}"
    )]
    Engine {
        /// `pools.concurrency_max`.
        concurrency: u32,
        /// `pools.memory_mb_max`.
        memory_mb: u32,
        /// What wasmtime said.
        source: wasmtime::Error,
    },
    /// The folder for compiled code cannot be used.
    #[error("the code cache {path} cannot be used: {source}")]
    Cache {
        /// The folder.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Sandbox {
    /// Sets up engine, linker and cache (in `data`), and starts the ticker,
    /// which ends with the sandbox.
    ///
    /// # Errors
    /// [`SetUpError`] where memory cannot be reserved or `data` not be written.
    pub fn new(pools: &Pools, data: &Path, services: Arc<Services>) -> Result<Self, SetUpError> {
        let wasmtime_error = |source| SetUpError::Engine {
            concurrency: pools.concurrency_max,
            memory_mb: pools.memory_mb_max,
            source,
        };
        let engine = engine::new(pools).map_err(wasmtime_error)?;
        let mut linker = Linker::new(&engine);
        host::add_to_linker(&mut linker).map_err(wasmtime_error)?;
        let folder = data.join("code");
        let cache = CodeCache::open(&folder, &engine)
            .map_err(|source| SetUpError::Cache { path: folder.display().to_string(), source })?;
        tick(engine.weak());
        Ok(Self {
            engine,
            linker,
            cache,
            permits: Arc::new(Semaphore::new(pools.concurrency_max as usize)),
            services,
            memory_mb_max: pools.memory_mb_max,
        })
    }

    /// Compiles `wasm`, or takes its code from the cache, and checks that it
    /// is a function whose every import can be served.
    ///
    /// # Errors
    /// [`LoadError`] says what the file is and what was expected.
    pub fn load(&self, wasm: &[u8]) -> Result<Code, LoadError> {
        component::load(&self.engine, &self.linker, &self.cache, wasm)
    }

    /// A function of loaded code. `previous` is the same function before a
    /// reload: what it has running counts on.
    pub fn function(
        &self,
        name: &str,
        code: Arc<Code>,
        config: FunctionConfig,
        previous: Option<&Function>,
    ) -> Function {
        debug_assert!(config.memory_mb <= self.memory_mb_max, "config checks this");
        let reserved = config.reserved_concurrency.map(|limit| {
            previous
                .filter(|old| old.config.reserved_concurrency == Some(limit))
                .and_then(|old| old.reserved.clone())
                .unwrap_or_else(|| Arc::new(Semaphore::new(limit as usize)))
        });
        Function {
            name: name.to_owned(),
            code,
            config,
            pool: Arc::clone(&self.permits),
            reserved,
            services: Arc::clone(&self.services),
        }
    }
}

/// Advances the engine's epoch until the engine is gone.
fn tick(engine: wasmtime::EngineWeak) {
    let run = move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(TICK);
        }
    };
    // Without a ticker no guest would ever be interrupted.
    std::thread::Builder::new()
        .name("epoch".to_owned())
        .spawn(run)
        .expect("a thread can be started");
}

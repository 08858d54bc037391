//! The sandbox: compiled functions, and a fresh instance of one for every
//! invocation. The only room that names wasmtime.
//!
//! A capability has three times: what exists for all guests is put into the
//! linker once ([`Sandbox::new`]); what a function asks for is checked when it
//! is loaded ([`Sandbox::code`]); what an invocation is granted is prepared for
//! its store alone ([`Function::invoke`]). Nothing outlives the store.

mod account;
mod adapter;
mod cache;
mod code;
mod command;
mod compiler;
mod component;
mod direct;
mod engine;
mod host;
mod http;
mod initialisation;
mod invoke;
mod linking;
mod meter;
mod outgoing;
mod proxy_event;
#[cfg(target_os = "linux")]
mod resident;
mod stdio;
mod storage;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock, mpsc::SyncSender},
    time::Duration,
};

use tokio::sync::Semaphore;
use wasmtime::component::Linker;

use crate::{
    config::{FunctionConfig, Pools},
    outbound,
    services::{Grants, Services},
};
pub use account::{Account, Accounts, Usage};
use cache::CodeCache;
pub use cache::{digest_of_bytes as digest, hex};
pub use code::{Code, CodeFile};
use compiler::Compiler;
use component::{Host, LoadError};
use engine::Kind;
use host::Granted;
pub use http::{GuestBody, HttpInvocation, LAMBDA_CONTEXT, Output, REQUEST_CONTEXT};
pub use invoke::{CallContext, FunctionError, Invocation, InvokeError, REGION, arn};

mod bindings {
    //! Host and guest SDK are both generated from `wit/`.
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "function",
        imports: { default: async },
        exports: { default: async },
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

/// Libraries that write a line for what a guest does wrong, as often as it
/// does: past the bound of its own log, which says what matters.
pub const LOUD_LIBRARIES: [&str; 1] = ["wasmtime_wasi_http"];

/// The version that is the file in the folder.
pub const LATEST: &str = "$LATEST";

/// How often guests are interrupted to let others run and to notice that
/// their time is up.
const TICK: Duration = Duration::from_millis(5);

/// What all functions share: the engines, what guests may import, the cache of
/// compiled code, connections to other servers and the bound on living
/// sandboxes.
pub struct Sandbox {
    compiler: Arc<Compiler>,
    permits: Arc<Semaphore>,
    accounts: Accounts,
    services: Arc<Services>,
    outbound: outbound::Clients,
    memory_mb_max: u32,
    temporary: Arc<Path>,
}

/// An engine for each kind of guest. All but the first are set up when the first
/// guest needs them.
struct Hosts {
    pools: Pools,
    cache: PathBuf,
    services: Arc<Services>,
    serial: Host,
    guarded: OnceLock<Result<Host, String>>,
    concurrent: OnceLock<Result<Host, String>>,
}

/// A function that is ready to be invoked.
pub struct Function {
    /// Its name: the stem of the handler's file.
    pub name: String,
    /// Its ARN, with API Gateway's stand-in account.
    pub arn: String,
    /// Its code.
    pub code: Arc<Code>,
    /// Which of its versions: a number, or `$LATEST` for the file in the folder.
    pub version: String,
    /// What it is granted and held to.
    pub config: Arc<FunctionConfig>,
    granted: Arc<Granted>,
    pool: Arc<Semaphore>,
    account: Arc<Account>,
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
    /// A folder for compiled code, or for what guests write, cannot be used.
    #[error("the folder {path} cannot be used: {source}")]
    Folder {
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
        let cache = data.join("code");
        let temporary = data.join("tmp");
        storage::prepare(&temporary).map_err(|source| SetUpError::Folder {
            path: temporary.display().to_string(),
            source,
        })?;
        let hosts = Hosts {
            serial: host(pools, Kind::Serial, &cache)?,
            guarded: OnceLock::new(),
            concurrent: OnceLock::new(),
            pools: pools.clone(),
            cache,
            services: Arc::clone(&services),
        };
        Ok(Self {
            compiler: Arc::new(Compiler::new(Arc::new(hosts))),
            permits: Arc::new(Semaphore::new(pools.concurrency_max as usize)),
            accounts: Accounts::default(),
            services,
            outbound: outbound::Clients::default(),
            memory_mb_max: pools.memory_mb_max,
            temporary: temporary.into(),
        })
    }

    /// The code of each file, in their order. What is in the cache is ready, the
    /// rest is compiled from now on, and whether each is a function whose every
    /// import can be served is known when it is.
    ///
    /// # Errors
    /// For each that cannot be read or is no WebAssembly file: why.
    pub fn code(&self, files: &[CodeFile]) -> Vec<Result<Arc<Code>, String>> {
        self.compiler.begin(files)
    }

    /// Waits until each of them is compiled, or has turned out to be no function.
    pub fn wait_for<'c>(&self, codes: impl Iterator<Item = &'c Arc<Code>>) {
        self.compiler.wait_for(codes);
    }

    /// The same for all code.
    pub fn finish(&self) {
        self.compiler.finish();
    }

    /// Who is told from now on when code turns out to be no function.
    pub fn tell_failures(&self, waker: SyncSender<()>) {
        self.compiler.tell_failures(waker);
    }

    /// A function of loaded code, as one of its versions.
    pub fn function(
        &self,
        name: &str,
        version: &str,
        code: Arc<Code>,
        config: FunctionConfig,
    ) -> Function {
        debug_assert!(config.memory_mb <= self.memory_mb_max, "config checks this");
        let config = Arc::new(config);
        let granted = Arc::new(Granted {
            grants: Grants::of(&config),
            services: Arc::clone(&self.services),
            outbound: self.outbound.outbound(&config.outbound),
            storage: config.ephemeral_storage_mb.map(|size_mb| {
                let folder = Arc::clone(&self.temporary);
                storage::Grant { folder, size_mb }
            }),
            config: Arc::clone(&config),
        });
        Function {
            name: name.to_owned(),
            arn: arn(name),
            code,
            version: version.to_owned(),
            config,
            granted,
            pool: Arc::clone(&self.permits),
            account: self.accounts.get(name),
        }
    }

    /// What each function has running and has used.
    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }
}

impl Hosts {
    fn get(&self, kind: Kind) -> Result<&Host, LoadError> {
        let new = || host(&self.pools, kind, &self.cache).map_err(|error| error.to_string());
        match kind {
            Kind::Serial => Ok(&self.serial),
            Kind::Guarded => {
                let guarded = self.guarded.get_or_init(|| {
                    new().inspect_err(|error| {
                        tracing::warn!("functions check their addresses, which is slower: {error}");
                    })
                });
                // Guard pages take gigabytes of addresses for each sandbox.
                Ok(guarded.as_ref().unwrap_or(&self.serial))
            }
            Kind::Async => {
                let host = self.concurrent.get_or_init(new);
                host.as_ref().map_err(|error| LoadError::Engine(error.clone()))
            }
        }
    }
}

fn host(pools: &Pools, kind: Kind, cache: &Path) -> Result<Host, SetUpError> {
    let wasmtime_error = |source| SetUpError::Engine {
        concurrency: pools.concurrency_max,
        memory_mb: pools.memory_mb_max,
        source,
    };
    let engine = engine::new(pools, kind).map_err(wasmtime_error)?;
    let mut linker = Linker::new(&engine);
    host::add_to_linker(&mut linker, kind).map_err(wasmtime_error)?;
    let cache = CodeCache::open(cache, &engine)
        .map_err(|source| SetUpError::Folder { path: cache.display().to_string(), source })?;
    tick(engine.weak());
    Ok(Host { engine, linker, cache })
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

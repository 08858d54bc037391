//! Guests that ask to be started where their initialisation ended.
//!
//! A guest asks by exporting Wizer's function. It is run once, when the file is
//! loaded and not in the cache: what it leaves in memories and globals is put
//! into the code that is compiled, so that every instance begins there. It
//! belongs to no request and no function, and so it gets nothing that a
//! function is granted, and what differs from one function to another is
//! refused, lest the guest keep it.

use std::{future::Future, sync::Arc, time::Duration};

use tracing::Level;
use wasmtime::{
    Store,
    component::{
        Component, HasData, Instance, InstancePre, Lift, Linker, Resource, WasmList,
        types::ComponentItem,
    },
};
use wasmtime_wasi::{
    filesystem::Descriptor,
    p2::bindings::{cli::environment, filesystem::preopens},
};
use wasmtime_wizer::{ComponentInstanceState, Wizer};

use super::{
    component::{LoadError, invalid, is_async, unserved},
    engine::{self, Kind},
    host::{self, Granted, State},
    invoke::new_store,
    tick,
};
use crate::{
    config::{FunctionConfig, Pools},
    services::{Grants, Services},
    telemetry::InvocationLog,
};

/// What a guest exports that has one; Wizer's own name for it.
pub const FUNCTION: &str = "wizer-initialize";

/// The same for a core module, which cannot say what its exports are.
pub const WIT: &str = "package mayfly:initialisation;\nworld initialised {\n    export wizer-initialize: func();\n}\n";

/// How long the guest may take: Lambda's bound of the phase Init. Reading what
/// it left comes on top, bounded by its memory.
const TIME_MAX: Duration = Duration::from_secs(10);

/// Runs it, and makes the component that begins where it ended.
///
/// # Errors
/// What it did wrong, or why what it left cannot be kept.
pub fn run(
    pools: &Pools,
    services: &Arc<Services>,
    component: &[u8],
) -> Result<Vec<u8>, LoadError> {
    // Whoever loads may be a task, which may not wait for one. And a thread
    // keeps a panic to itself: Wizer is made for what compilers write.
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| Initialisation::prepare(pools, services, component)?.run());
        thread.join().unwrap_or_else(|_| Err(unsupported("it is not what a compiler writes, or a memory cannot grow by the two pages that reading takes")))
    })
}

fn failed(why: impl Into<String>) -> LoadError {
    LoadError::Initialisation(why.into())
}

fn unsupported(why: &str) -> LoadError {
    failed(format!(
        "cannot be run ahead: {why} (hint: it is for components of one module, with its adapters, and for modules of WASI preview 1; without the export every instance initialises itself)"
    ))
}

struct Initialisation<'c> {
    wizer: Wizer,
    context: wasmtime_wizer::ComponentContext<'c>,
    component: InstancePre<State>,
    store: Store<State>,
    memory_mb: u32,
}

impl<'c> Initialisation<'c> {
    fn prepare(
        pools: &Pools,
        services: &Arc<Services>,
        component: &'c [u8],
    ) -> Result<Self, LoadError> {
        let set_up = |error: wasmtime::Error| failed(format!("has no engine: {error:#}"));
        let engine = engine::of_one(pools).map_err(set_up)?;
        let mut wizer = Wizer::new();
        // Without it Wizer 48 takes the export from the module, and leaves what
        // the component makes of it.
        wizer.keep_init_func(true);
        let (context, instrumented) = wizer
            .instrument_component(component)
            .map_err(|error| unsupported(&format!("{error:#}")))?;
        let component = Component::from_binary(&engine, &instrumented).map_err(|error| {
            match format!("{error:#}").contains("async") {
                true => unsupported("it has to do with WASI 0.3"),
                false => invalid(error),
            }
        })?;
        if is_async(&engine, &component) {
            return Err(unsupported("it has to do with WASI 0.3"));
        }
        let is_function = match component.get_export(None, FUNCTION) {
            Some((ComponentItem::ComponentFunc(ty), _)) => {
                ty.params().len() == 0 && ty.results().len() == 0
            }
            _ => false,
        };
        if !is_function {
            return Err(failed("is no function without parameters and results"));
        }
        let mut linker = Linker::new(&engine);
        host::add_to_linker(&mut linker, Kind::Serial).map_err(set_up)?;
        refuse_what_differs(&mut linker).map_err(set_up)?;
        let instance = linker
            .instantiate_pre(&component)
            .map_err(|error| LoadError::Import(unserved(&engine, &component, &error)))?;
        let config = FunctionConfig::of_lambda(pools.memory_mb_max);
        let log = InvocationLog::new(FUNCTION, "load", config.log_bytes_max);
        let granted = Granted {
            config: Arc::new(config),
            grants: Grants::default(),
            services: Arc::clone(services),
            outbound: None,
            storage: None,
        };
        let state = State::new(Arc::new(granted), None, log, Arc::default());
        let store = new_store(&engine, state);
        tick(engine.weak());
        let memory_mb = pools.memory_mb_max;
        Ok(Self { wizer, context, component: instance, store, memory_mb })
    }

    fn run(mut self) -> Result<Vec<u8>, LoadError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.map_err(|error| failed(format!("has no thread: {error}")))?;
        runtime.block_on(async {
            tokio::time::timeout(TIME_MAX, self.snapshot()).await.unwrap_or_else(|_| {
                Err(failed(format!("takes longer than {} seconds", TIME_MAX.as_secs())))
            })
        })
    }

    async fn snapshot(&mut self) -> Result<Vec<u8>, LoadError> {
        let instance = match self.initialise().await {
            Ok(instance) => instance,
            Err(error) => return Err(self.trapped(&error)),
        };
        if self.store.data().holds_handles() {
            return Err(failed(
                "leaves a stream or another handle open, which no other instance has (hint: print nothing in it, or log by mayfly:lambda/logging)",
            ));
        }
        // Wasmtime's own bound of what is copied from a guest. From here on only
        // memories are read, which have their limit.
        self.store.set_hostcall_fuel(usize::MAX);
        let mut left = Left { store: &mut self.store, instance, error: None };
        let made = self.wizer.snapshot_component(&self.context, &mut left).await;
        if let Some(error) = left.error {
            return Err(unsupported(&format!("what it left cannot be read: {error:#}")));
        }
        made.map_err(|error| unsupported(&format!("{error:#}")))
    }

    async fn initialise(&mut self) -> wasmtime::Result<Instance> {
        let store = &mut self.store;
        let instance = self.component.instantiate_async(&mut *store).await?;
        let function = instance.get_typed_func::<(), ()>(&mut *store, FUNCTION)?;
        function.call_async(&mut *store, ()).await?;
        Ok(instance)
    }

    fn trapped(&mut self, error: &wasmtime::Error) -> LoadError {
        self.store.data().log().line(Level::ERROR, &format!("{error:?}"));
        if self.store.data_mut().limits().exceeded() {
            let max = self.memory_mb;
            return failed(format!("needs more memory than pools.memory_mb_max = {max} MiB"));
        }
        failed(format!("trapped: {} (hint: the log has what it said)", error.root_cause()))
    }
}

/// The memories and globals of an instance.
struct Left<'s> {
    store: &'s mut Store<State>,
    instance: Instance,
    error: Option<wasmtime::Error>,
}

impl Left<'_> {
    async fn call<R: Lift + Send + Sync + 'static>(
        &mut self,
        instance: &str,
        function: &str,
    ) -> wasmtime::Result<R> {
        let missing = || wasmtime::Error::msg(format!("{instance}#{function} is missing"));
        let export = |outer: Option<&_>, name: &str, store: &mut Store<State>| {
            self.instance.get_export_index(store, outer, name).ok_or_else(missing)
        };
        let outer = export(None, instance, self.store)?;
        let inner = export(Some(&outer), function, self.store)?;
        let function = self.instance.get_typed_func::<(), (R,)>(&mut *self.store, inner)?;
        Ok(function.call_async(&mut *self.store, ()).await?.0)
    }

    async fn number<R: Lift + Default + Send + Sync + 'static>(
        &mut self,
        instance: &str,
        function: &str,
    ) -> R {
        self.call(instance, function).await.unwrap_or_else(|error| {
            self.error.get_or_insert(error);
            R::default()
        })
    }
}

impl ComponentInstanceState for Left<'_> {
    async fn call_func_ret_list_u8(
        &mut self,
        instance: &str,
        function: &str,
        contents: impl FnOnce(&[u8]) + Send,
    ) {
        match self.call::<WasmList<u8>>(instance, function).await {
            Ok(list) => contents(list.as_le_slice(&*self.store)),
            Err(error) => {
                self.error.get_or_insert(error);
                contents(&[]);
            }
        }
    }

    fn call_func_ret_s32(
        &mut self,
        instance: &str,
        function: &str,
    ) -> impl Future<Output = i32> + Send {
        self.number(instance, function)
    }

    fn call_func_ret_s64(
        &mut self,
        instance: &str,
        function: &str,
    ) -> impl Future<Output = i64> + Send {
        self.number(instance, function)
    }

    async fn call_func_ret_f32(&mut self, instance: &str, function: &str) -> u32 {
        self.number::<f32>(instance, function).await.to_bits()
    }

    async fn call_func_ret_f64(&mut self, instance: &str, function: &str) -> u64 {
        self.number::<f64>(instance, function).await.to_bits()
    }
}

/// What each function has of its own. Libraries ask for it once and keep it,
/// so that every instance would go on with none.
struct Refused;

impl HasData for Refused {
    type Data<'a> = Self;
}

fn refuse_what_differs(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    environment::add_to_linker::<State, Refused>(linker, |_| Refused)?;
    preopens::add_to_linker::<State, Refused>(linker, |_| Refused)?;
    linker.allow_shadowing(false);
    Ok(())
}

fn refused<T>(what: &str) -> wasmtime::Result<T> {
    let message = format!("it asks for {what}, which each function has of its own");
    Err(wasmtime::Error::msg(message))
}

impl environment::Host for Refused {
    fn get_environment(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        refused("the environment")
    }

    fn get_arguments(&mut self) -> wasmtime::Result<Vec<String>> {
        refused("arguments")
    }

    fn initial_cwd(&mut self) -> wasmtime::Result<Option<String>> {
        refused("a directory")
    }
}

impl preopens::Host for Refused {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        let message = "it asks for files, which each function has of its own; a module of WASI preview 1 does so to print";
        Err(wasmtime::Error::msg(message))
    }
}

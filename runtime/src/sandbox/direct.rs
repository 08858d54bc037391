//! Calls of a function's module by itself.
//!
//! To instantiate a component costs more than most of its calls: every import is linked
//! anew, and a stack is taken on which the guest could wait for what it calls. Most
//! requests call nothing that takes part in the world, or only their log. So the module
//! that has the function is compiled once more, with traps in place of all other imports,
//! and its function is called by the canonical ABI on the stack that is there. What goes
//! wrong with that, whatever it is, has had no effect and is not told: the component does
//! it over, and says.
//!
//! An instance is as fresh as the component's, and has the same limits.
//!
//! <https://github.com/WebAssembly/component-model/blob/main/design/mvp/CanonicalABI.md>

mod imports;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Instant};

use tracing::Level;
use wasmtime::{
    AsContextMut, Engine, Error, InstancePre, Linker, Memory, Module, ModuleExport, Result, Store,
    TypedFunc,
};

use super::{
    bindings::Context,
    host::Limits,
    linking::direct::{MEMORY, REALLOC},
    meter::Meter,
};
use crate::{config::FunctionConfig, telemetry::InvocationLog, turns::Turns};
pub use imports::Import;

/// How many calls go without after one that went wrong, at least:
const PAUSE_MIN: u32 = 16;

/// and at most, of a function that always needs its imports.
const PAUSE_MAX: u32 = 4096;

/// Ticks of the epoch in which a call has to be done.
const TICKS: u64 = 2;

/// A module whose function can be called by itself.
pub struct Direct {
    module: InstancePre<State>,
    memory: ModuleExport,
    realloc: ModuleExport,
    handle: ModuleExport,
    turns: Turns,
}

/// What is called, and what it is granted.
pub struct Call<'c> {
    pub event: &'c str,
    pub context: Context<'c>,
    pub config: &'c Arc<FunctionConfig>,
    pub log: &'c InvocationLog,
    pub meter: &'c Arc<Meter>,
}

/// What belongs to one call, and ends with it.
pub struct State {
    limits: Limits,
    config: Arc<FunctionConfig>,
    // Once there is an instance.
    memory: Option<Memory>,
    seed: Option<[u64; 2]>,
    first_instant: Option<Instant>,
    // What is to be written to the log if all goes well.
    lines: Vec<(Level, String)>,
    lines_bytes: usize,
}

impl State {
    fn memory(&self) -> Result<Memory> {
        self.memory.ok_or_else(|| Error::msg("there is no memory yet"))
    }
}

/// A string in a guest's memory: where, and its length in bytes.
type Text = (u32, u32);

/// What makes room in a guest's memory: an old place and its size, of which there is
/// none, an alignment and a size, in bytes.
type Realloc = TypedFunc<(u32, u32, u32, u32), u32>;

/// `handle` by the canonical ABI: the event and the context's fields, flat.
type Handle = TypedFunc<(u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u64), u32>;

impl Direct {
    /// Of what [`module`](super::linking::direct::module) made.
    ///
    /// # Errors
    /// It imports or exports something else.
    pub fn new(engine: &Engine, module: &Module, function: &str) -> Result<Self> {
        let mut linker = Linker::new(engine);
        for import in module.imports() {
            if let Some(own) = Import::of(import.module(), import.name()) {
                own.add(&mut linker, import.module(), import.name())?;
            }
        }
        let export = |name: &str| {
            module.get_export_index(name).ok_or_else(|| Error::msg(format!("it has no {name}")))
        };
        Ok(Self {
            memory: export(MEMORY)?,
            realloc: export(REALLOC)?,
            handle: export(function)?,
            module: linker.instantiate_pre(module)?,
            turns: Turns::new(PAUSE_MIN, PAUSE_MAX),
        })
    }

    /// What the function answers, if it answers and nothing goes wrong; else nothing has
    /// happened.
    pub fn call(&self, call: &Call<'_>) -> Option<String> {
        if !self.turns.is_next() {
            return None;
        }
        let answer = self.answer(call);
        self.turns.count(answer.is_ok());
        answer
            .inspect_err(|error| {
                let (function, error) = (call.context.function_name, error.root_cause());
                tracing::debug!(function, %error, "the component does a call over");
            })
            .ok()
    }

    fn answer(&self, call: &Call<'_>) -> Result<String> {
        let state = State {
            limits: Limits::new(call.config.memory_mb, Arc::clone(call.meter)),
            config: Arc::clone(call.config),
            memory: None,
            seed: None,
            first_instant: None,
            lines: Vec::new(),
            lines_bytes: 0,
        };
        let mut store = Store::new(self.module.module().engine(), state);
        store.limiter(|state| &mut state.limits);
        store.set_epoch_deadline(TICKS);
        let instance = self.module.instantiate(&mut store)?;
        let mut export = |own: &ModuleExport| instance.get_module_export(&mut store, own);
        let memory = export(&self.memory).and_then(|own| own.into_memory());
        let realloc = export(&self.realloc).and_then(|own| own.into_func());
        let handle = export(&self.handle).and_then(|own| own.into_func());
        let (Some(memory), Some(realloc), Some(handle)) = (memory, realloc, handle) else {
            return Err(Error::msg("an export is of another kind"));
        };
        store.data_mut().memory = Some(memory);
        let realloc: Realloc = realloc.typed(&store)?;
        let handle: Handle = handle.typed(&store)?;

        let mut lower = |text: &str| lower(&mut store, memory, &realloc, text.as_bytes());
        let context = &call.context;
        let event = lower(call.event)?;
        let id = lower(context.request_id)?;
        let name = lower(context.function_name)?;
        let version = lower(context.function_version)?;
        let arn = lower(context.invoked_function_arn)?;
        let (limit, deadline) = (context.memory_limit_mb, context.deadline_ms);
        let parameters = (
            event.0, event.1, id.0, id.1, name.0, name.1, version.0, version.1, arn.0, arn.1,
            limit, deadline,
        );
        let result = handle.call(&mut store, parameters)?;
        let answer = ok(memory.data(&store), result)?;
        if answer.1 as usize > call.config.response_bytes_max {
            return Err(beyond());
        }
        let answer = text(memory.data(&store), answer)?.to_owned();
        for (level, line) in &store.data().lines {
            call.log.line(*level, line);
        }
        Ok(answer)
    }
}

fn beyond() -> Error {
    Error::msg("something is beyond its bounds")
}

/// Puts bytes into a memory, where the guest makes room for them.
fn lower(
    mut store: impl AsContextMut,
    memory: Memory,
    realloc: &Realloc,
    bytes: &[u8],
) -> Result<Text> {
    let length = u32::try_from(bytes.len())?;
    let at = realloc.call(&mut store, (0, 0, 1, length))?;
    memory.write(&mut store, at as usize, bytes)?;
    Ok((at, length))
}

/// A string that lies in a memory.
fn text(memory: &[u8], (at, length): Text) -> Result<&str> {
    let bytes = memory.get(at as usize..).and_then(|own| own.get(..length as usize));
    Ok(std::str::from_utf8(bytes.ok_or_else(beyond)?)?)
}

/// The string of a `result<string, function-error>` that lies in a memory, if it is one.
fn ok(memory: &[u8], result: u32) -> Result<Text> {
    let own = memory.get(result as usize..).and_then(<[u8]>::first_chunk);
    match own.filter(|_| result.is_multiple_of(4)) {
        Some(&[0, _, _, _, a, b, c, d, e, f, g, h]) => {
            Ok((u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])))
        }
        _ => Err(Error::msg("no answer")),
    }
}

//! The engine's settings, each with its reason.

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig,
    WasmBacktraceDetails, component::Component,
};

use crate::{config::Pools, threads};

/// Bytes that a megabyte of memory has.
pub const MIB: usize = 1024 * 1024;

/// Linear memory that stays mapped between two guests of a slot, as far as the
/// one before wrote to it, and is only cleared: few guests need more, so their
/// reset asks the kernel nothing. In bytes.
pub const MEMORY_RESIDENT_BYTES: usize = 8 * MIB;

/// The same where the kernel cannot tell what was written to, so that the first
/// so many bytes are cleared, whatever is in them.
const UNKNOWN_RESIDENT_BYTES: usize = 256 * 1024;

/// What stays mapped of a table, in bytes.
const TABLE_RESIDENT_BYTES: usize = 64 * 1024;

/// Slots that keep the memory of the function that used them last, for its next
/// invocation: of many functions that are called in turn none has to be mapped
/// again.
const WARM_SLOTS: u32 = 512;

/// Core instances a component may be made of: composed components and
/// adapters have several.
const CORE_INSTANCES_PER_COMPONENT: u32 = 32;

/// Memories of one component: its own, and those of what it was composed with.
const MEMORIES_PER_COMPONENT: u32 = 4;

/// Tables of one component.
const TABLES_PER_COMPONENT: u32 = 16;

/// Tables that the pool has for each sandbox, on average; of memories it has
/// one.
const TABLES_PER_SANDBOX: u32 = 3;

/// Elements of one table; large applications have a few tens of thousands of
/// functions that are called through pointers.
const TABLE_ELEMENTS: usize = 100_000;

/// The stack that a guest's own calls may use, in bytes: of its own, or of the thread that
/// it runs on.
const WASM_STACK_BYTES: usize = threads::STACK_BYTES / 2;

/// That stack, and what the host needs on top while it serves an import.
const FIBER_STACK_BYTES: usize = 2 * MIB;

/// What a guest's code may address, in bytes: with all of that reserved, and the
/// guard behind it, no address needs to be checked.
const ADDRESSABLE_BYTES: u64 = 4 << 30;

/// What lies behind it and is never accessible, in bytes: constant offsets of
/// loads and stores, up to this, need no check either.
const GUARD_BYTES: u64 = 32 << 20;

/// The memory that engines of languages begin with, and few others do, from here
/// on, in pages of 64 KiB.
pub const LARGE_MEMORY_PAGES: u64 = 64;

/// Which guests an engine is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Whose calls run one after the other, and whose memory probably grows: each
    /// address is checked.
    Serial,
    /// The same with guard pages in place of the checks: functions of
    /// `mayfly:lambda`, whose memory seldom grows, as the SDK's arena is part of it
    /// from the start, and what begins with [`LARGE_MEMORY_PAGES`], which computes
    /// for much longer than growing takes.
    Guarded,
    /// Those of WASI 0.3, which have tasks, streams and futures. What keeps
    /// account of them makes every invocation some microseconds slower.
    Async,
}

/// How many of the pools' places one instance of a component takes: what is
/// composed of others has several memories and tables.
pub fn places(component: &Component, pools: &Pools) -> u32 {
    // None of it is known where modules are imported, which nobody provides.
    let Some(needs) = component.resources_required() else { return pools.concurrency_max };
    let tables = needs.num_tables.div_ceil(TABLES_PER_SANDBOX);
    needs.num_memories.max(tables).max(1).min(pools.concurrency_max)
}

/// Whether the kernel can tell which pages a guest wrote to.
pub fn knows_written_pages() -> bool {
    PoolingAllocationConfig::is_pagemap_scan_available()
}

/// The engine of invocations, whose sandboxes come from pools.
pub fn new(pools: &Pools, kind: Kind) -> wasmtime::Result<Engine> {
    let memory_bytes = pools.memory_mb_max as usize * MIB;
    let sandboxes = pools.concurrency_max;

    let tables = sandboxes.saturating_mul(TABLES_PER_SANDBOX);
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(sandboxes)
        // They are only counted: nothing is reserved for them.
        .total_core_instances(sandboxes.saturating_mul(CORE_INSTANCES_PER_COMPONENT))
        // Whoever is alone may have as many as one component may, see `places`.
        .total_memories(sandboxes.saturating_add(MEMORIES_PER_COMPONENT))
        .total_tables(tables.saturating_add(TABLES_PER_COMPONENT))
        .total_stacks(sandboxes)
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT)
        .max_memories_per_component(MEMORIES_PER_COMPONENT)
        .max_tables_per_component(TABLES_PER_COMPONENT)
        // Which of its modules have them is no matter.
        .max_memories_per_module(MEMORIES_PER_COMPONENT)
        .max_tables_per_module(TABLES_PER_COMPONENT)
        .max_core_instance_size(4 * MIB)
        .max_component_instance_size(4 * MIB)
        .max_memory_size(memory_bytes)
        .table_elements(TABLE_ELEMENTS)
        .linear_memory_keep_resident(match knows_written_pages() {
            true => MEMORY_RESIDENT_BYTES,
            false => UNKNOWN_RESIDENT_BYTES,
        })
        .table_keep_resident(TABLE_RESIDENT_BYTES)
        .max_unused_warm_slots(WARM_SLOTS)
        // Resetting only the pages that a guest wrote to, where the kernel
        // can tell which those are.
        .pagemap_scan(Enabled::Auto);

    let mut config = config(pools, kind);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config)
}

/// An engine for a single sandbox, which takes no slot from those that wait
/// for requests.
pub fn of_one(pools: &Pools) -> wasmtime::Result<Engine> {
    Engine::new(&config(pools, Kind::Serial))
}

/// One of invocations, for tests.
#[cfg(test)]
pub fn small(kind: Kind, concurrency_max: u32, memory_mb_max: u32) -> Engine {
    let none = std::time::Duration::ZERO;
    let pools = Pools {
        connections_max: 1,
        concurrency_max,
        memory_mb_max,
        header_read_timeout: none,
        body_idle_timeout: none,
        drain_timeout: none,
    };
    new(&pools, kind).expect("an engine")
}

fn config(pools: &Pools, kind: Kind) -> Config {
    let mut config = Config::new();
    if kind == Kind::Guarded {
        config
            .signals_based_traps(true)
            .memory_guard_size(GUARD_BYTES)
            .memory_reservation(ADDRESSABLE_BYTES);
    } else {
        // With guard pages every `memory.grow`, and every reset of what has
        // grown, is an `mprotect`, which takes the process's memory lock and
        // interrupts the other cores; explicit bounds checks need none.
        config
            .signals_based_traps(false)
            .memory_guard_size(0)
            .memory_reservation(u64::from(pools.memory_mb_max) * MIB as u64);
    }
    config
        // Guests that loop are interrupted at the next tick.
        .epoch_interruption(true)
        // None grows beyond that, so code may keep a memory's address in a register.
        .memory_may_move(false)
        .max_wasm_stack(WASM_STACK_BYTES)
        .async_stack_size(FIBER_STACK_BYTES)
        .wasm_component_model(true)
        .concurrency_support(kind == Kind::Async)
        // What debuggers of the process would need; a guest's own frames are found
        // without it.
        .native_unwind_info(false)
        // Frames of a trap carry function names, and lines where there is DWARF,
        // whatever the environment says.
        .wasm_backtrace_details(WasmBacktraceDetails::Enable)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(32));
    config
}

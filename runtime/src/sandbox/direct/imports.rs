//! What a module by itself may import: what it can be told without the component, and
//! what has no effect before the call has gone well.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tracing::Level;
use wasmtime::{Caller, Linker, Result};

use super::{REALLOC, Realloc, State, beyond, lower};
use crate::sandbox::{host::RANDOM_BYTES_MAX, linking::unversioned};

/// What a call may write to its log, in bytes. Who writes more, writes it as he does it.
const LINES_BYTES_MAX: usize = 64 * 1024;

/// What a line takes besides its text, in bytes.
const LINE_BYTES: usize = 64;

/// A function of the host's that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Import {
    /// `mayfly:lambda/logging`, `log`.
    Log,
    /// `wasi:cli/environment`, `get-environment`.
    Environment,
    /// `wasi:clocks/wall-clock`, `now`.
    WallClock,
    /// `wasi:clocks/monotonic-clock`, `now`.
    MonotonicClock,
    /// `wasi:random/insecure-seed`, `insecure-seed`.
    InsecureSeed,
    /// `wasi:random/random`, `get-random-u64`.
    RandomNumber,
    /// `wasi:random/random`, `get-random-bytes`.
    RandomBytes,
}

impl Import {
    /// By an interface's name, with its version, and a function's.
    pub fn of(interface: &str, function: &str) -> Option<Self> {
        Some(match (unversioned(interface), function) {
            ("wasi:cli/environment", "get-environment") => Self::Environment,
            ("wasi:clocks/wall-clock", "now") => Self::WallClock,
            ("wasi:clocks/monotonic-clock", "now") => Self::MonotonicClock,
            ("wasi:random/insecure-seed", "insecure-seed") => Self::InsecureSeed,
            ("wasi:random/random", "get-random-u64") => Self::RandomNumber,
            ("wasi:random/random", "get-random-bytes") => Self::RandomBytes,
            _ if (interface, function) == ("mayfly:lambda/logging@0.1.0", "log") => Self::Log,
            _ => return None,
        })
    }

    /// Serves it, by the canonical ABI, to who imports it by these names.
    pub fn add(self, linker: &mut Linker<State>, module: &str, name: &str) -> Result<()> {
        match self {
            Self::Log => linker.func_wrap(module, name, log),
            Self::Environment => linker.func_wrap(module, name, environment),
            Self::WallClock => linker.func_wrap(module, name, wall_clock),
            Self::MonotonicClock => linker.func_wrap(module, name, monotonic_clock),
            Self::InsecureSeed => linker.func_wrap(module, name, insecure_seed),
            Self::RandomNumber => linker.func_wrap(module, name, rand::random::<u64>),
            Self::RandomBytes => linker.func_wrap(module, name, random_bytes),
        }?;
        Ok(())
    }
}

type Guest<'g> = Caller<'g, State>;

/// `log: func(level: level, message: string)`
fn log(mut guest: Guest<'_>, level: u32, at: u32, length: u32) -> Result<()> {
    let level = match level {
        0 => Level::TRACE,
        1 => Level::DEBUG,
        2 => Level::INFO,
        3 => Level::WARN,
        4 => Level::ERROR,
        _ => return Err(beyond()),
    };
    let (memory, state) = guest.data().memory()?.data_and_store_mut(&mut guest);
    state.lines_bytes = state.lines_bytes.saturating_add(LINE_BYTES + length as usize);
    if state.lines_bytes > LINES_BYTES_MAX {
        return Err(beyond());
    }
    let message = super::text(memory, (at, length))?.to_owned();
    state.lines.push((level, message));
    Ok(())
}

/// `get-environment: func() -> list<tuple<string, string>>`
fn environment(mut guest: Guest<'_>, result: u32) -> Result<()> {
    let (memory, realloc) = (guest.data().memory()?, realloc(&mut guest)?);
    let config = guest.data().config.clone();
    let count = u32::try_from(config.environment.len())?;
    let list = realloc.call(&mut guest, (0, 0, 4, count.saturating_mul(16)))?;
    let mut tuples = Vec::new();
    for (name, value) in &config.environment {
        for text in [name, value.reveal()] {
            let (at, length) = lower(&mut guest, memory, &realloc, text.as_bytes())?;
            tuples.extend(words([at, length]));
        }
    }
    write(&mut guest, 4, list, &tuples)?;
    write(&mut guest, 4, result, &words([list, count]))
}

/// `now: func() -> datetime`
fn wall_clock(mut guest: Guest<'_>, result: u32) -> Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let [seconds, nanoseconds] = [now.as_secs(), now.subsec_nanos().into()].map(u64::to_le_bytes);
    write(&mut guest, 8, result, &[&seconds[..], &nanoseconds[..4]].concat())
}

/// `now: func() -> instant`, in nanoseconds since the guest first asked.
fn monotonic_clock(mut guest: Guest<'_>) -> Result<u64> {
    let first = *guest.data_mut().first_instant.get_or_insert_with(Instant::now);
    Ok(u64::try_from(first.elapsed().as_nanos())?)
}

/// `insecure-seed: func() -> tuple<u64, u64>`, the same whenever the guest asks.
fn insecure_seed(mut guest: Guest<'_>, result: u32) -> Result<()> {
    let numbers: [u64; 2] = *guest.data_mut().seed.get_or_insert_with(rand::random);
    write(&mut guest, 8, result, numbers.map(u64::to_le_bytes).as_flattened())
}

/// `get-random-bytes: func(len: u64) -> list<u8>`
fn random_bytes(mut guest: Guest<'_>, length: u64, result: u32) -> Result<()> {
    if length > RANDOM_BYTES_MAX {
        return Err(beyond());
    }
    let bytes: Vec<u8> = (0..length).map(|_| rand::random()).collect();
    let (memory, realloc) = (guest.data().memory()?, realloc(&mut guest)?);
    let (at, length) = lower(&mut guest, memory, &realloc, &bytes)?;
    write(&mut guest, 4, result, &words([at, length]))
}

fn realloc(guest: &mut Guest<'_>) -> Result<Realloc> {
    let realloc = guest.get_export(REALLOC).and_then(|own| own.into_func()).ok_or_else(beyond)?;
    realloc.typed(guest)
}

fn write(guest: &mut Guest<'_>, align: u32, at: u32, bytes: &[u8]) -> Result<()> {
    let memory = guest.data().memory()?;
    if !at.is_multiple_of(align) {
        return Err(beyond());
    }
    Ok(memory.write(guest, at as usize, bytes)?)
}

fn words<const N: usize>(words: [u32; N]) -> Vec<u8> {
    words.map(u32::to_le_bytes).concat()
}

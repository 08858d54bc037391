//! Addresses, folders, limits and pools.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use super::Folders;
use crate::config::{Limits, Overrides, Pools, ServerConfig, StateConfig, absolute, read::Table};

/// The longest timeout that may be configured: an hour.
const TIMEOUT_MS_MAX: u64 = 3_600_000;
/// hyper's smallest buffer for a request's head, in bytes.
const HEADER_BYTES_MIN: u64 = 8192;
/// wasm32 addresses no more.
const MEMORY_MB_MAX: u64 = 4096;
const GIB: u64 = 1024 * 1024 * 1024;

pub fn server(
    root: &Table<'_>,
    folders: &Folders<'_>,
    overrides: &Overrides,
    pools: Pools,
    state: StateConfig,
) -> ServerConfig {
    let listen = address(root, "listen", "127.0.0.1:3000");
    let listen = overrides.listen.or(listen).unwrap_or((Ipv4Addr::LOCALHOST, 3000).into());
    let admin = overrides.admin.or(address(root, "admin", "127.0.0.1:3001"));
    ServerConfig {
        listen,
        admin: admin.unwrap_or_else(|| beside(listen)),
        handlers: folder(root, "handlers", folders, overrides.handlers.as_deref(), "handlers"),
        data: folder(root, "data", folders, overrides.data.as_deref(), ".mayfly"),
        state,
        pools,
    }
}

/// The admin API's address as the file has it, whatever the command line says.
pub fn admin_of_file(root: &Table<'_>) -> SocketAddr {
    let listen = address(root, "listen", "127.0.0.1:3000");
    let listen = listen.unwrap_or((Ipv4Addr::LOCALHOST, 3000).into());
    address(root, "admin", "127.0.0.1:3001").unwrap_or_else(|| beside(listen))
}

/// The admin API's address unless one is given: the next port, on loopback
/// whatever the API listens on.
fn beside(listen: SocketAddr) -> SocketAddr {
    let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
    let port = match listen.port() {
        0 => 0,
        u16::MAX => u16::MAX - 1,
        port => port + 1,
    };
    SocketAddr::new(loopback, port)
}

fn address(root: &Table<'_>, key: &'static str, example: &str) -> Option<SocketAddr> {
    let given = root.string(key)?;
    let parsed = given.text.parse().ok();
    if parsed.is_none() {
        let message = format!("{key} cannot be {:?}", given.text);
        let hint = format!("write an IP address and a port: {key} = {example:?}");
        root.source.problem(given.at, message, hint);
    }
    parsed
}

fn folder(
    root: &Table<'_>,
    key: &'static str,
    folders: &Folders<'_>,
    given: Option<&Path>,
    default: &str,
) -> PathBuf {
    let text = root.string(key);
    if let Some(text) = text.filter(|text| text.text.is_empty()) {
        root.source.problem(text.at, format!("{key} is empty"), "write \".\" for this folder");
    }
    match given {
        Some(folder) => absolute(folders.working, folder),
        None => absolute(folders.file, Path::new(text.map_or(default, |text| text.text))),
    }
}

pub fn limits(table: &Table<'_>) -> Limits {
    Limits {
        body_bytes_max: table.integer("body_bytes_max", 0..=GIB, 10 * 1024 * 1024),
        header_bytes_max: table.integer_or(
            "header_bytes_max",
            HEADER_BYTES_MIN..=1024 * 1024,
            "a request's head is read into a buffer of at least 8192 bytes",
            10240,
        ),
        header_count_max: table.integer("header_count_max", 1..=10_000, 100),
        uri_bytes_max: table.integer("uri_bytes_max", 1..=65_535, 8192),
        integration_timeout: table.milliseconds(
            "integration_timeout_ms",
            1..=TIMEOUT_MS_MAX,
            "",
            Duration::from_secs(29),
        ),
    }
}

pub fn pools(table: &Table<'_>) -> Pools {
    let timeout = |key, default| {
        table.milliseconds(key, 1..=TIMEOUT_MS_MAX, "", Duration::from_secs(default))
    };
    Pools {
        connections_max: table.integer("connections_max", 1..=1_000_000, 1000),
        concurrency_max: table.integer("concurrency_max", 1..=10_000, 1000),
        memory_mb_max: table.integer_or(
            "memory_mb_max",
            1..=MEMORY_MB_MAX,
            "a 32-bit WebAssembly memory has at most 4096 MiB",
            1024,
        ),
        header_read_timeout: timeout("header_read_timeout_ms", 30),
        body_idle_timeout: timeout("body_idle_timeout_ms", 30),
        drain_timeout: timeout("drain_timeout_ms", 30),
    }
}

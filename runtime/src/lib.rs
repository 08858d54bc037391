//! Mayfly: an API gateway that runs every request in its own WebAssembly
//! sandbox.
//!
//! The rooms, in the order a request meets them; none imports one before it
//! but [`config`], whose checked values all know, and [`telemetry`] and
//! [`threads`], which know nobody:
//!
//! ```text
//! server → router → pipeline → integration → sandbox | services
//! ```
//!
//! [`gateway`] is the immutable snapshot that a request is served from,
//! [`reload`] makes new ones, [`admin`] tells about them, and [`cli`] is the
//! binary `mayfly`.

pub mod config;
pub mod gateway;
pub mod router;

pub mod server;

pub mod threads;

mod timeout;

mod turns;

pub mod tls;

pub mod pipeline;

pub mod policy;

pub mod sigv4;

pub mod jwt;

pub mod user_pool;

pub mod cache;

pub mod state;

pub mod usage_plan;

mod short_id;

mod json;

pub mod mapping;

pub mod integration;

pub mod body;

pub mod http_client;

pub mod sandbox;

pub mod services;

pub mod outbound;

pub mod lambda;

pub mod reload;

pub mod admin;

pub mod cli;

pub mod telemetry;

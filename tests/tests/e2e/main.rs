//! End to end: every test starts the real binary.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod answers;
mod browser;
mod cli;
mod cors;
mod events;
mod http;
mod limits;
mod mapping;
mod mocks;
mod openapi;
mod reload;
mod routing;
mod samples;
mod sandbox;
mod server;
mod stages;

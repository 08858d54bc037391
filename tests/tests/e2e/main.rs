//! End to end: every test starts the real binary.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod answers;
mod authorizers;
mod browser;
mod cache;
mod certificates;
mod cli;
mod collections;
mod compression;
mod cors;
mod events;
mod faults;
mod filter;
mod http;
mod iam;
mod jwt;
mod limits;
mod logging;
mod mapping;
mod mocks;
mod mutual_tls;
mod openapi;
mod policy;
mod prototyping;
mod record;
mod reload;
mod routing;
mod samples;
mod sandbox;
mod server;
mod shared;
mod stages;
mod tls;
mod usage_plans;
mod user_pools;

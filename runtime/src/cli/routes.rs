//! `mayfly routes`.

use std::io::Write as _;

use super::{ConfigArguments, Failure, load};
use crate::{
    config::{HttpConfig, MappedTarget},
    gateway::Target,
};

pub fn run(arguments: &ConfigArguments) -> Result<(), Failure> {
    let loaded = load(arguments.source(None)?)?;
    for problem in &loaded.problems {
        tracing::warn!("{problem}");
    }
    let routes = loaded.gateway.router.routes();
    let width = routes.iter().map(|route| route.key.len()).max().unwrap_or(0);
    let mut out = std::io::stdout().lock();
    for route in routes {
        let target = match &route.target {
            Target::Function { name, .. } => format!("function {name}"),
            Target::Mock(mock) => format!("mock {}", mock.status),
            Target::Mapped(mapped) => match &mapped.target {
                MappedTarget::Mock => "mock with templates".to_owned(),
                MappedTarget::Function(name) => format!("function {name} with templates"),
                MappedTarget::Http(http) => format!("{} with templates", endpoint(http)),
            },
            Target::HttpProxy(http) => endpoint(http),
        };
        let origin = if route.drop_in { "  (drop-in)" } else { "" };
        writeln!(out, "{:<width$}  {target}{origin}", route.key)?;
    }
    Ok(())
}

/// The method where it is not the request's own, and where it goes to.
fn endpoint(http: &HttpConfig) -> String {
    match &http.method {
        Some(method) => format!("http {method} {}", http.uri),
        None => format!("http {}", http.uri),
    }
}

//! `mayfly serve`.

use std::{
    io::{IsTerminal as _, Write as _},
    sync::Arc,
};

use anyhow::Context as _;
use tokio::sync::watch;

use super::{ConfigArguments, Failure, Loaded, load, runtime};
use crate::{
    admin,
    reload::{self, Shared},
    server::{self, Server},
};

pub fn run(arguments: &ConfigArguments) -> Result<(), Failure> {
    // Whatever is wrong is found before anything listens.
    let Loaded { gateway, problems, loader } = load(arguments.source(None)?)?;
    for warning in &gateway.config.warnings {
        tracing::warn!("{warning}");
    }
    for problem in &problems {
        tracing::error!("{problem}");
    }
    let state = Arc::clone(&gateway.state);
    let outcome = runtime()?.block_on(async {
        let config = gateway.config.clone();
        // Before anyone can know that there is something to stop.
        let mut signals = Signals::new()?;
        let shared = Arc::new(Shared::new(gateway, problems));
        let api = server::bind(config.server.listen).await?;
        let admin = server::bind(config.server.admin).await?;
        announce(&api, &admin)?;
        for domain in config.domains.iter() {
            let scheme = if domain.tls.is_some() { "https" } else { "http" };
            let port = api.local_addr()?.port();
            for (base_path, stage) in &domain.base_paths.0 {
                let name = domain.host();
                tracing::info!("stage {stage} at {scheme}://{name}:{port}/{base_path}");
            }
        }
        reload::start(loader, &shared).context("the reloading thread cannot be started")?;

        let (stop, stopped) = watch::channel(false);
        let server = Server {
            gateway: Arc::clone(&shared.gateway),
            pools: config.server.pools,
        };
        let admin = tokio::spawn(admin::run(admin, Arc::clone(&shared), stopped.clone()));
        let serving = tokio::spawn(server.run(api, stopped));
        signals.next().await?;
        tracing::info!("stopping: requests in flight are finished; a second signal ends them");
        stop.send_replace(true);
        tokio::select! {
            cut = serving => match cut? {
                0 => tracing::info!("stopped"),
                cut => tracing::warn!("stopped: {cut} connections cut off after pools.drain_timeout_ms"),
            },
            again = signals.next() => {
                again?;
                tracing::warn!("stopped at once");
            }
        }
        admin.abort();
        Ok(())
    });
    // The thread that reloads may hold on to it.
    state.flush();
    outcome
}

/// The two lines that whoever started us may wait for.
fn announce(api: &tokio::net::TcpListener, admin: &tokio::net::TcpListener) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "listening on http://{}", api.local_addr()?)?;
    writeln!(out, "admin on http://{}", admin.local_addr()?)?;
    out.flush()?;
    if out.is_terminal() {
        tracing::info!("ctrl-C stops; files are watched");
    }
    Ok(())
}

/// SIGTERM and ctrl-C. One that comes while nobody waits is kept.
#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> std::io::Result<()> {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        Ok(())
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> std::io::Result<()> {
        tokio::signal::ctrl_c().await
    }
}

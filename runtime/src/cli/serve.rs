//! `mayfly serve`.

use std::{
    io::{IsTerminal as _, Write as _},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use tokio::{sync::watch, task::JoinHandle};

use super::{ConfigArguments, Failure, Loaded, begin, runtime};
use crate::{
    admin,
    gateway::Gateway,
    lambda::{URL_DOMAIN, url_id},
    reload::{self, Shared},
    server::{self, Server},
    threads::Threads,
};

pub fn run(arguments: &ConfigArguments) -> Result<(), Failure> {
    // Whatever is wrong is found before anything listens.
    let Loaded { gateway, problems, loader } = begin(arguments.source(None)?)?;
    for warning in &gateway.config.warnings {
        tracing::warn!("{warning}");
    }
    for problem in &problems {
        tracing::error!("{problem}");
    }
    allow_open_files(gateway.config.server.pools.connections_max);
    let state = Arc::clone(&gateway.state);
    let outcome = runtime()?.block_on(async {
        let config = gateway.config.clone();
        // Before anyone can know that there is something to stop.
        let mut signals = Signals::new()?;
        let threads = Threads::start().context("the threads of connections cannot be started")?;
        let shared = Arc::new(Shared::new(gateway, problems));
        let api = server::bind(config.server.listen).await?;
        let admin = server::bind(config.server.admin).await?;
        announce(&api, &admin)?;
        let port = api.local_addr()?.port();
        shared.listens(port);
        tell_addresses(&shared.gateway.load(), port);
        reload::start(loader, &shared).context("the reloading thread cannot be started")?;

        let (stop, stopped) = watch::channel(false);
        let drain = config.server.pools.drain_timeout;
        let server = Server {
            gateway: Arc::clone(&shared.gateway),
            pools: config.server.pools,
            threads,
        };
        let admin = admin::run(admin, Arc::clone(&shared), stopped.clone(), drain);
        let [queue, schedules, usage] = background(&shared, drain, &stopped);
        let background = [tokio::spawn(admin), queue, schedules, usage];
        let serving = tokio::spawn(server.run(api, stopped));
        let serving = async {
            let cut = serving.await;
            for task in background {
                task.await?;
            }
            cut
        };
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
        // Of all that ran.
        shared.gateway.load().lambda.flush_usage().await;
        Ok(())
    });
    // The thread that reloads may hold on to it.
    state.flush();
    outcome
}

/// Each connection is an open file, and many systems begin with 1024 of them for
/// a process that may ask for more.
#[cfg(unix)]
fn allow_open_files(connections_max: usize) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let allowed = match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        Err(_) => current,
    };
    let too_few = |allowed: &u64| *allowed <= connections_max as u64;
    if let Some(allowed) = allowed.filter(too_few) {
        tracing::warn!(
            "pools.connections_max is {connections_max}, but the system lets this process open \
             {allowed} files; further connections wait (hint: `ulimit -n` shows and raises it)"
        );
    }
}

#[cfg(not(unix))]
fn allow_open_files(_: usize) {}

/// What goes on beside requests, until it is told to stop.
fn background(
    shared: &Shared,
    drain: Duration,
    stopped: &watch::Receiver<bool>,
) -> [JoinHandle<()>; 3] {
    let gateway = || Arc::clone(&shared.gateway);
    let lambda = || Arc::clone(&shared.gateway.load().lambda);
    [
        tokio::spawn(lambda().run_queue(gateway(), stopped.clone(), drain)),
        tokio::spawn(lambda().run_schedules(gateway(), stopped.clone())),
        tokio::spawn(lambda().write_usage(stopped.clone())),
    ]
}

/// The addresses that the two lines do not tell.
fn tell_addresses(gateway: &Gateway, port: u16) {
    for domain in gateway.config.domains.iter() {
        let scheme = if domain.tls.is_some() { "https" } else { "http" };
        for (base_path, stage) in &domain.base_paths.0 {
            let name = domain.host();
            tracing::info!("stage {stage} at {scheme}://{name}:{port}/{base_path}");
        }
    }
    for (function, _) in gateway.lambda.urls(&gateway.config) {
        tracing::info!("function {function} at http://{}.{URL_DOMAIN}:{port}/", url_id(&function));
    }
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

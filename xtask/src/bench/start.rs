//! How long it takes from the start of a process to its answers, and from a saved
//! file to the answer of the new code.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::Result;
use crate::bench::client;
use crate::bench::load::Request;
use crate::bench::peers::{Guest, Peer, Peers};
use crate::bench::project::{Project, patched};
use crate::bench::server::Server;
use crate::bench::stats::{Spread, table};
use crate::bench::{Bench, matches};
use crate::step::report;

pub const HANDLERS: usize = 100;

/// How often something is started that takes a moment, and what takes seconds.
const SHORT: usize = 7;
const LONG: usize = 3;

/// How often a file is replaced.
const RELOADS: usize = 9;

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(180);

/// What the gateways that are only started have.
pub const GATEWAY: &str = "# Started, and asked for little.\nkind = \"rest\"\nstage = \"bench\"\n\n\
    [stages.bench]\nlogging = \"OFF\"\n\n[pools]\nconnections_max = 12_000\n";

/// Milliseconds since the start, start by start.
#[derive(Default)]
struct Times {
    listening: Vec<f64>,
    first: Vec<f64>,
    all: Vec<f64>,
}

pub fn run(bench: &Bench<'_>, filters: &[String]) -> Result<String> {
    let mut rows = Vec::new();
    if matches(filters, "handlers") {
        rows.extend(hundred(bench)?);
    }
    if matches(filters, "one component") {
        rows.extend(one(bench)?);
    }
    let head = ["ms from start to", "listening", "", "first answer", "", "all answer", ""];
    let mut text = if rows.is_empty() { String::new() } else { table(&head, &rows) + "\n" };
    if matches(filters, "reload") {
        let rows = [
            reload(bench, "version-one", &bench.fixture("version-one"), ("\"body\":\"", "one"))?,
            reload(
                bench,
                "hello",
                &bench.host.root().join("handlers/hello.wasm"),
                ("", "Hello, "),
            )?,
        ];
        let head = ["ms from a saved handler to its answer", "median", "lowest to highest"];
        text.push_str(&table(&head, &rows));
    }
    if text.is_empty() {
        return Err(format!(
            "nothing of `start` matches {filters:?}: it has handlers, one component, reload"
        )
        .into());
    }
    Ok(text)
}

/// Many handlers, with the code that was compiled before and without.
fn hundred(bench: &Bench<'_>) -> Result<[Vec<String>; 2]> {
    let project = Project::new(bench, "hundred", GATEWAY)?;
    let paths = project.handlers(&bench.host.root().join("handlers/hello.wasm"), HANDLERS)?;
    let (cold, warm) = cold_and_warm(bench, &project, &paths, LONG)?;
    Ok([
        warm.cells(&format!("{HANDLERS} handlers, compiled before")),
        cold.cells(&format!("{HANDLERS} handlers, never seen")),
    ])
}

/// Starts of a project whose code was never seen, and of one that was compiled before.
fn cold_and_warm(
    bench: &Bench<'_>,
    project: &Project,
    paths: &[String],
    rounds: usize,
) -> Result<(Times, Times)> {
    let (mut cold, mut warm) = (Times::default(), Times::default());
    for _ in 0..bench.rounds(rounds) {
        project.forget_code()?;
        cold.add(|| bench.mayfly(&project.folder), paths)?;
    }
    for _ in 0..bench.rounds(SHORT) {
        warm.add(|| bench.mayfly(&project.folder), paths)?;
    }
    Ok((cold, warm))
}

/// One component, beside `wasmtime serve`.
fn one(bench: &Bench<'_>) -> Result<Vec<Vec<String>>> {
    let project = Project::new(bench, "one", GATEWAY)?;
    let peer = (Peer::Wasmtime { tuned: true }, Guest::Rust);
    let peers = Peers::set_up(bench, &[peer])?;
    fs::copy(bench.fixture("http-guest"), project.handler("web"))?;
    let paths = ["/web/count".to_owned()];
    let (cold, warm) = cold_and_warm(bench, &project, &paths, SHORT)?;
    let mut rows =
        vec![warm.cells("one component, compiled before"), cold.cells("one component, never seen")];
    if peers.has(peer.0, peer.1) {
        let mut serve = Times::default();
        for _ in 0..bench.rounds(SHORT) {
            serve.add(|| peers.start(peer.0, peer.1, &project.folder), &paths)?;
        }
        rows.push(serve.cells("one component, wasmtime serve"));
    }
    Ok(rows)
}

impl Times {
    fn add(&mut self, start: impl FnOnce() -> Result<Server>, paths: &[String]) -> Result {
        let begin = Instant::now();
        let ms = |at: Instant| (at - begin).as_secs_f64() * 1e3;
        let server = start()?;
        self.listening.push(ms(Instant::now()));
        let mut last = begin;
        for (index, path) in paths.iter().enumerate() {
            last = client::until(server.address, &Request::get(path), PATIENCE, |status, _| {
                status == 200
            })?;
            if index == 0 {
                self.first.push(ms(last));
            }
        }
        self.all.push(ms(last));
        Ok(())
    }

    fn cells(&self, name: &str) -> Vec<String> {
        report(&format!("{name}: {:.0} ms", Spread::of(&self.all).median));
        let times = [&self.listening, &self.first, &self.all];
        let cells = times.into_iter().flat_map(|times| Spread::of(times).cells(0));
        [name.to_owned()].into_iter().chain(cells).collect()
    }
}

/// From the moment when a new file has the handler's name to its first answer.
/// Each time the file is one that was never there: another text takes the place of
/// `old`, which is part of the answer and stands after `before` in the file.
fn reload(
    bench: &Bench<'_>,
    name: &str,
    file: &Path,
    (before, old): (&str, &str),
) -> Result<Vec<String>> {
    let project = Project::new(bench, "reload", GATEWAY)?;
    project.forget_code()?;
    let code = fs::read(file)?;
    fs::write(project.handler("it"), &code)?;
    let server = bench.mayfly(&project.folder)?;
    let it = Request::get("/it");
    client::until(server.address, &it, PATIENCE, |_, text| text.contains(old))?;
    let mut times = Vec::new();
    for round in 0..bench.rounds(RELOADS) {
        let new = format!("{:0width$}", 100 + round, width = old.len());
        let code = patched(&code, &format!("{before}{old}"), &format!("{before}{new}"))?;
        let begin = Instant::now();
        project.replace("it", &code)?;
        let end = client::until(server.address, &it, PATIENCE, |status, text| {
            status == 200 && text.contains(&new)
        })?;
        times.push((end - begin).as_secs_f64() * 1e3);
    }
    let [median, spread] = Spread::of(&times).cells(0);
    report(&format!("reload of {name}: {median} ms"));
    Ok(vec![format!("`{name}`, {} KB", code.len() / 1000), median, spread])
}

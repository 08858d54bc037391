//! How much memory stays with the gateway, and what makes it more.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::Result;
use crate::bench::Bench;
use crate::bench::client;
use crate::bench::load::{self, Request, Requests, USUAL};
use crate::bench::project::Project;
use crate::bench::server::Server;
use crate::bench::start::{GATEWAY, HANDLERS};
use crate::bench::stats::table;
use crate::step::report;

const REQUESTS: u32 = 1_000_000;
const REQUESTS_QUICK: u32 = 100_000;
const IDLE: u32 = 10_000;

/// By then nothing is kept of a connection for the request that it had.
const IDLE_FOR: Duration = Duration::from_secs(5);

/// How long the handlers may take to be there.
const PATIENCE: Duration = Duration::from_secs(180);

pub fn run(bench: &Bench<'_>, _: &[String]) -> Result<String> {
    let project = Project::new(bench, "hundred", GATEWAY)?;
    let paths = project.handlers(&bench.host.root().join("handlers/hello.wasm"), HANDLERS)?;
    // So that the code is compiled, which takes memory of its own.
    drop(ready(bench, &project, &paths)?);
    let server = ready(bench, &project, &paths)?;
    let mut rows = vec![Row::of(&format!("started, with {HANDLERS} handlers"), &server)?];
    let number = if bench.quick { REQUESTS_QUICK } else { REQUESTS };
    let requests = Requests::Number(number);
    let rate = load::spread(server.address, &paths, requests, USUAL.connections, &bench.folder)?;
    report(&format!("{number} requests, {rate:.0} a second"));
    rows.push(Row::of(&format!("after {number} requests over all of them"), &server)?);
    match Idle::open(bench, &server) {
        Ok(idle) => {
            rows.push(Row::of(&format!("with {IDLE} connections, just opened"), &server)?);
            thread::sleep(IDLE_FOR);
            rows.push(Row::of("the same, idle", &server)?);
            drop(idle);
            rows.push(Row::of("when they are closed", &server)?);
        }
        Err(why) => report(&format!("idle connections are left out: {why}")),
    }
    Ok(cells(&rows))
}

fn ready(bench: &Bench<'_>, project: &Project, paths: &[String]) -> Result<Server> {
    let server = bench.mayfly(&project.folder)?;
    for path in paths {
        client::until(server.address, &Request::get(path), PATIENCE, |status, _| status == 200)?;
    }
    Ok(server)
}

struct Row {
    name: String,
    resident_kib: u64,
    anonymous_kib: u64,
}

impl Row {
    fn of(name: &str, server: &Server) -> Result<Self> {
        let (resident_kib, anonymous_kib) = server.resident_kib()?;
        report(&format!("{name}: {resident_kib} KiB"));
        Ok(Self { name: name.to_owned(), resident_kib, anonymous_kib })
    }
}

fn cells(rows: &[Row]) -> String {
    let mib = |kib: u64| format!("{:.1} MiB", kib as f64 / 1024.0);
    let mut before: Option<&Row> = None;
    let mut lines = Vec::new();
    for row in rows {
        let growth = before.map_or_else(String::new, |before| {
            let kib = row.resident_kib as f64 - before.resident_kib as f64;
            format!("{:+.1} MiB", kib / 1024.0)
        });
        let (all, own) = (mib(row.resident_kib), mib(row.anonymous_kib));
        lines.push(vec![row.name.clone(), all, own, growth]);
        before = Some(row);
    }
    table(&["resident memory", "all", "of it no file's content", "growth"], &lines)
}

/// Connections on which one request was answered each, and nothing follows.
struct Idle(Child);

impl Idle {
    fn open(bench: &Bench<'_>, server: &Server) -> Result<Self> {
        let mut command = Command::new(bench.program("idle"));
        command.args([server.address.to_string(), IDLE.to_string(), "/h0".to_owned()]);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut idle = Self(child.map_err(|error| format!("cannot start {command:?}: {error}"))?);
        let mut line = String::new();
        BufReader::new(idle.0.stdout.take().ok_or("no standard output")?).read_line(&mut line)?;
        if line.trim_end() != format!("open {IDLE}") {
            return Err(format!("it could not open {IDLE}").into());
        }
        Ok(idle)
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        // It waits for the end of its input.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_since_the_row_before() {
        let row = |name: &str, resident_kib| Row {
            name: name.to_owned(),
            resident_kib,
            anonymous_kib: 512,
        };
        let text = cells(&[row("a", 1024), row("b", 4096), row("c", 2048)]);
        assert!(text.contains("| a | 1.0 MiB | 0.5 MiB |  |"), "{text}");
        assert!(text.contains("| b | 4.0 MiB | 0.5 MiB | +3.0 MiB |"), "{text}");
        assert!(text.contains("| c | 2.0 MiB | 0.5 MiB | -2.0 MiB |"), "{text}");
    }
}

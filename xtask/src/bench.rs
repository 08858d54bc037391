//! `cargo xtask bench`: what a request costs, as a ratio to what others need for
//! the same, in one run. Every round starts every server anew and measures one
//! after the other, so that what slows the machine down meets them all.

mod load;
mod report;
mod server;

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use mayfly_toolchain::apt;

use crate::bench::load::Request;
use crate::bench::report::{Row, median, percentile, table};
use crate::bench::server::{Server, free_address};
use crate::host::Host;
use crate::step::{report, run as run_command, step};
use crate::{Result, guests};

/// Where the tables are written.
const DOCUMENT: &str = "docs/benchmarks.md";

/// How often everything is measured.
const ROUNDS: usize = 5;

/// How long each measurement takes, after a second that does not count.
const SECONDS: u32 = 3;

/// What all others are measured against.
const BARE: &str = "bare hyper";

/// The same for requests that have a body.
const BARE_POST: &str = "bare hyper, a POST";

/// The body of requests that have one.
const BODY: &str = r#"{"name": "Ada", "tags": ["mathematics", "engines", "poetry"]}"#;

/// Where answers come from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Peer {
    Bare,
    Nginx,
    Mayfly,
    /// `wasmtime serve`, one request per instance: as it comes, or with the
    /// pooling allocator's settings that the gateway uses.
    Wasmtime {
        tuned: bool,
    },
}

struct Case {
    name: &'static str,
    against: &'static str,
    peer: Peer,
    request: Request,
}

struct Bench<'h> {
    host: &'h Host,
    /// `target/bench`.
    folder: PathBuf,
    wasmtime: Option<PathBuf>,
    has_nginx: bool,
}

/// `cargo xtask bench [FILTER…]`.
pub fn run(host: &Host, filters: &[String]) -> Result {
    let folder = host.workspace.target_dir.join("bench");
    fs::create_dir_all(&folder)?;
    step("load", load::set_up)?;
    step("mayfly", || host.build())?;
    step("bare", || run_command(&mut host.cargo(&["build", "--release", "--package", "bare"])))?;
    guests::handlers(host, &[])?;
    guests::fixtures(host, &[])?;
    let has_nginx = step("nginx", || Ok(had("nginx", &nginx())))?;
    let wasmtime = step("wasmtime", || wasmtime(host, &folder))?;
    let bench = Bench { host, folder, wasmtime, has_nginx };
    let token = step("project", || bench.project())?;
    let mut cases = cases(&token);
    cases.retain(|case| bench.has(case.peer));
    if !filters.is_empty() {
        let matches =
            |case: &&Case| filters.iter().any(|filter| case.name.contains(filter.as_str()));
        // Each with what it is measured against.
        let wanted: Vec<&str> =
            cases.iter().filter(matches).flat_map(|case| [case.name, case.against]).collect();
        if wanted.is_empty() {
            return Err(format!("no case matches {filters:?}").into());
        }
        cases.retain(|case| case.name == BARE || wanted.contains(&case.name));
    }
    let rows = step("throughput", || bench.throughput(&cases))?;
    let latencies = step("latency", || bench.latency(&cases, &rows))?;
    let text = format!("{}\n{}\n{latencies}", machine(&bench), table(&rows));
    // A closed pipe is the reader's choice.
    let _ = write!(std::io::stdout(), "\n{text}");
    // What was asked for in part is no replacement for the whole.
    if filters.is_empty() {
        let document = host.root().join(DOCUMENT);
        let old = fs::read_to_string(&document)?;
        fs::write(&document, replaced(&old, &text)?)?;
        report(&format!("written to {DOCUMENT}"));
    }
    Ok(())
}

/// The document with what was measured now in place of what it has.
fn replaced(document: &str, measured: &str) -> Result<String> {
    let (begin, end) = ("<!-- measured -->\n", "<!-- /measured -->");
    let parts = document.split_once(begin).zip(document.split_once(end));
    let ((before, _), (_, after)) =
        parts.ok_or_else(|| format!("{DOCUMENT} has no place between {begin:?} and {end:?}"))?;
    Ok(format!("{before}{begin}\n{measured}\n{end}{after}"))
}

/// On what, and with what, it was measured.
fn machine(bench: &Bench<'_>) -> String {
    let first_line = |program: &str, argument: &str| {
        let output = Command::new(program).arg(argument).output().ok()?;
        // nginx says it on standard error.
        let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
        Some(String::from_utf8_lossy(&text).lines().next()?.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("", |text| text.trim_start_matches([' ', '\t', ':']));
    let wasmtime = bench.wasmtime.as_deref().and_then(Path::to_str);
    let nginx = bench.has_nginx.then(|| first_line("nginx", "-v")).flatten();
    let versions = [
        first_line("uname", "-sr"),
        first_line("rustc", "--version"),
        first_line("h2load", "--version"),
        nginx,
        wasmtime.and_then(|program| first_line(program, "--version")),
    ];
    let versions: Vec<String> = versions.into_iter().flatten().collect();
    format!("{model}, {cores} cores; {}.\n", versions.join("; "))
}

fn cases(token: &str) -> Vec<Case> {
    let get = |path: &str| Request { path: path.to_owned(), ..Request::default() };
    let json = ("content-type".to_owned(), "application/json".to_owned());
    let post = |path: &str| Request {
        path: path.to_owned(),
        headers: vec![json.clone()],
        body: Some(BODY.to_owned()),
    };
    let mut guarded = post("/guarded");
    guarded.headers.extend([
        ("authorization".to_owned(), format!("Bearer {token}")),
        ("x-api-key".to_owned(), "a-key-for-the-benchmark".to_owned()),
    ]);
    let case = |name, against, peer, request| Case { name, against, peer, request };
    let tuned = "wasmtime serve, tuned";
    vec![
        case(BARE, BARE, Peer::Bare, get("/")),
        case(BARE_POST, BARE, Peer::Bare, post("/")),
        case("nginx return 200", BARE, Peer::Nginx, get("/")),
        case("mock", BARE, Peer::Mayfly, get("/mock")),
        case("templated mock", BARE_POST, Peer::Mayfly, post("/templated")),
        case("native handler", BARE, Peer::Mayfly, get("/hello?name=Ada")),
        case("wasmtime serve", BARE, Peer::Wasmtime { tuned: false }, get("/web/count")),
        case(tuned, BARE, Peer::Wasmtime { tuned: true }, get("/web/count")),
        case("wasi:http component", tuned, Peer::Mayfly, get("/web/count")),
        case("mock of a POST", BARE_POST, Peer::Mayfly, post("/mock")),
        case("the same, guarded", "mock of a POST", Peer::Mayfly, guarded),
    ]
}

impl Bench<'_> {
    fn has(&self, peer: Peer) -> bool {
        match peer {
            Peer::Bare | Peer::Mayfly => true,
            Peer::Nginx => self.has_nginx,
            Peer::Wasmtime { .. } => self.wasmtime.is_some(),
        }
    }

    /// The folder that is served; a token of one of its users.
    fn project(&self) -> Result<String> {
        let folder = self.folder.join("project");
        fs::create_dir_all(folder.join("handlers"))?;
        fs::write(folder.join("gateway.toml"), include_str!("bench/gateway.toml"))?;
        fs::copy(self.host.root().join("handlers/hello.wasm"), folder.join("handlers/hello.wasm"))?;
        fs::copy(self.component(), folder.join("handlers/web.wasm"))?;
        let mayfly = |arguments: &[&str]| {
            let mut command = Command::new(self.host.binary());
            command.args(arguments).current_dir(&folder).output()
        };
        // A user of an earlier run is as good.
        mayfly(&["users", "add", "ada"])?;
        let token = mayfly(&["token", "ada", "--expires-in", "24h"])?;
        if !token.status.success() {
            let why = String::from_utf8_lossy(&token.stderr).into_owned();
            return Err(format!("mayfly token: {why}").into());
        }
        Ok(String::from_utf8(token.stdout)?.trim().to_owned())
    }

    /// The component that speaks HTTP, the same for all.
    fn component(&self) -> PathBuf {
        self.host.workspace.guests_target_dir().join("fixtures/http-guest.wasm")
    }

    fn start(&self, peer: Peer) -> Result<Server> {
        // What a server says is of interest if it fails.
        let log = fs::File::create(self.folder.join("server.log"))?;
        match peer {
            Peer::Bare => {
                let name = format!("release/bare{}", std::env::consts::EXE_SUFFIX);
                let mut command = Command::new(self.host.workspace.target_dir.join(name));
                Server::that_says(command.stderr(log))
            }
            Peer::Mayfly => {
                let mut command = Command::new(self.host.binary());
                command.args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
                // No peer writes a line for each request.
                command.env("MAYFLY_LOG", "warn").current_dir(self.folder.join("project"));
                Server::that_says(command.stderr(log))
            }
            Peer::Nginx => {
                let address = free_address()?;
                let config = self.folder.join("nginx.conf");
                fs::write(&config, nginx_config(&self.folder, address))?;
                let mut command = Command::new("nginx");
                command.arg("-p").arg(&self.folder).arg("-c").arg(&config);
                Server::at(address, command.stderr(log))
            }
            Peer::Wasmtime { tuned } => {
                let address = free_address()?;
                let program = self.wasmtime.as_deref().ok_or("there is no wasmtime")?;
                let mut command = Command::new(program);
                command.args(["serve", "--addr", &address.to_string()]);
                command.args(["-S", "cli", "--max-instance-reuse-count=1"]);
                if tuned {
                    command.args(TUNED);
                }
                Server::at(address, command.arg(self.component()).stderr(log))
            }
        }
    }

    fn throughput(&self, cases: &[Case]) -> Result<Vec<Row>> {
        let row = |case: &Case| Row { name: case.name, against: case.against, rates: Vec::new() };
        let mut rows: Vec<Row> = cases.iter().map(row).collect();
        for round in 1..=ROUNDS {
            for (case, row) in cases.iter().zip(&mut rows) {
                let server = self.start(case.peer)?;
                let rate = load::throughput(server.address, &case.request, SECONDS, &self.folder)
                    .map_err(|error| format!("{}: {error}", case.name))?;
                report(&format!("{round}: {}: {rate:.0} a second", case.name));
                row.rates.push(rate);
            }
        }
        Ok(rows)
    }

    /// How long single requests take at half of the rate that each reaches.
    fn latency(&self, cases: &[Case], rows: &[Row]) -> Result<String> {
        let mut text =
            String::from("| at half of its own rate | median | p99 |\n| --- | ---: | ---: |\n");
        for (case, row) in cases.iter().zip(rows) {
            let server = self.start(case.peer)?;
            let rate = median(&row.rates) / 2.0;
            let times =
                load::latencies(server.address, &case.request, rate, SECONDS, &self.folder)?;
            let (middle, late) = (percentile(&times, 0.5), percentile(&times, 0.99));
            text.push_str(&format!("| {} | {middle} µs | {late} µs |\n", case.name));
        }
        Ok(text)
    }
}

/// The settings of the pooling allocator that make a fresh instance cheap.
const TUNED: [&str; 8] = [
    "-Opooling-allocator=y",
    "-Opooling-memory-keep-resident=262144",
    "-Opooling-table-keep-resident=65536",
    "-Opooling-pagemap-scan=auto",
    "-Opooling-max-memory-size=134217728",
    "-Omemory-reservation=134217728",
    "-Omemory-guard-size=0",
    "-Osignals-based-traps=n",
];

fn nginx_config(folder: &Path, address: SocketAddr) -> String {
    let folder = folder.display();
    format!(
        "daemon off;\nworker_processes auto;\npid {folder}/nginx.pid;\nerror_log /dev/null;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n  access_log off;\n  keepalive_requests 100000000;\n\
         client_body_temp_path {folder}/nginx;\n  proxy_temp_path {folder}/nginx;\n\
         fastcgi_temp_path {folder}/nginx;\n  uwsgi_temp_path {folder}/nginx;\n\
         scgi_temp_path {folder}/nginx;\n  server {{\n    listen {address};\n\
         location / {{ default_type application/json; return 200 '{{\"message\":\"hello\"}}'; }}\n\
         }}\n}}\n"
    )
}

/// Whether a peer is there. One that can't be had is left out, by name.
fn had(name: &str, outcome: &std::result::Result<(), String>) -> bool {
    if let Err(why) = outcome {
        report(&format!("{name} is left out: {why}"));
    }
    outcome.is_ok()
}

fn nginx() -> std::result::Result<(), String> {
    match Command::new("nginx").arg("-v").output() {
        Ok(_) => Ok(()),
        Err(_) => apt::install(&["nginx-light"], &report),
    }
}

/// `wasmtime` of the version that the gateway is built on.
fn wasmtime(host: &Host, folder: &Path) -> Result<Option<PathBuf>> {
    let lock = fs::read_to_string(host.root().join("Cargo.lock"))?;
    let mut lines = lock.lines().skip_while(|line| *line != "name = \"wasmtime\"");
    let version = lines.nth(1).and_then(|line| line.split('"').nth(1));
    let version = version.ok_or("Cargo.lock has no wasmtime")?;
    let root = folder.join(format!("wasmtime-{version}"));
    let program = root.join("bin/wasmtime");
    if !program.is_file() {
        report("building wasmtime-cli, once; it takes minutes");
        let mut install = host.cargo(&["install", "wasmtime-cli", "--locked", "--quiet"]);
        install.args(["--version", version, "--no-default-features", "--root"]).arg(&root);
        install.args([
            "--features",
            "serve,run,cranelift,component-model-async,pooling-allocator,parallel-compilation",
        ]);
        install.arg("--target-dir").arg(folder.join("wasmtime-build"));
        let built = run_command(&mut install).map_err(|error| error.to_string());
        if !had("wasmtime serve", &built) {
            return Ok(None);
        }
    }
    Ok(Some(program))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_measured_takes_the_place_of_what_was() {
        let old = "head\n<!-- measured -->\nold\n<!-- /measured -->\ntail\n";
        let new = replaced(old, "new").expect("a place");
        assert_eq!(new, "head\n<!-- measured -->\n\nnew\n<!-- /measured -->\ntail\n");
        assert_eq!(replaced(&new, "new").expect("a place"), new);
        assert!(replaced("nothing", "new").is_err());
    }
}

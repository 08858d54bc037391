//! Starts the real binary for end-to-end tests, on ports of its own and in a
//! folder of its own, and stops it when the test is over.

pub mod browser;
pub mod curl;
pub mod python;
pub mod redis;
pub mod tls;
pub mod tokens;
pub mod upstream;

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use reqwest::blocking::{Client, RequestBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long anything may take that is expected to happen: generous, since
/// machines are shared.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The checkout.
pub fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("tests/ lies in the checkout").to_owned()
}

/// Where cargo builds to.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The release binary.
pub fn binary() -> PathBuf {
    let binary = target().join("release/mayfly");
    assert!(binary.is_file(), "{} is missing: run `cargo xtask test`", binary.display());
    binary
}

/// A guest of tests/guests, built.
pub fn fixture(name: &str) -> PathBuf {
    built(target().join(format!("guests/fixtures/{name}.wasm")))
}

/// A sample handler, built.
pub fn handler(name: &str) -> PathBuf {
    built(root().join(format!("handlers/{name}.wasm")))
}

/// Says that a test is skipped, and why. With `CI=true` it fails instead.
pub fn skip(name: &str, why: &str) {
    let line = format!("test {name} ... skipped: {why}");
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{line}");
    // Not with `eprintln!`, whose lines are kept from those who pass.
    writeln!(std::io::stderr(), "{line}").expect("standard error");
}

fn built(path: PathBuf) -> PathBuf {
    assert!(path.is_file(), "{} is missing: run `cargo xtask test`", path.display());
    path
}

/// A folder with a configuration and handlers, as a user has it.
pub struct Project {
    folder: TempDir,
    environment: Vec<(String, String)>,
    limit: Option<(&'static str, u32)>,
}

impl Default for Project {
    fn default() -> Self {
        Self::new()
    }
}

impl Project {
    /// An empty project without a configuration.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("handlers")).expect("a folder");
        Self { folder, environment: Vec::new(), limit: None }
    }

    /// A project with this gateway.toml.
    pub fn with_config(text: &str) -> Self {
        let project = Self::new();
        project.write_config(text);
        project
    }

    /// Sets a variable of the environment for whatever is started.
    #[must_use]
    pub fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The number of open files that a gateway begins with (`ulimit -S -n`).
    #[must_use]
    pub fn with_open_files(mut self, number: u32) -> Self {
        self.limit = Some(("-n", number));
        self
    }

    /// The addresses that a gateway may reserve, in KiB (`ulimit -S -v`).
    #[must_use]
    pub fn with_address_space(mut self, kib: u32) -> Self {
        self.limit = Some(("-v", kib));
        self
    }

    /// Writes gateway.toml.
    pub fn write_config(&self, text: &str) {
        fs::write(self.path().join("gateway.toml"), text).expect("written");
    }

    /// Copies a built `.wasm` into the folder of handlers.
    #[must_use]
    pub fn with_handler(self, name: &str, wasm: &Path) -> Self {
        self.put_handler(name, wasm);
        self
    }

    /// The same while the gateway runs.
    pub fn put_handler(&self, name: &str, wasm: &Path) {
        fs::copy(wasm, self.handler_path(name)).expect("copied");
    }

    /// `handlers/NAME.wasm`.
    pub fn handler_path(&self, name: &str) -> PathBuf {
        self.path().join(format!("handlers/{name}.wasm"))
    }

    /// The project's folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a command to its end in the project's folder.
    pub fn run(&self, arguments: &[&str]) -> Output {
        Command::new(binary())
            .args(arguments)
            .current_dir(self.path())
            .env_remove("MAYFLY_LOG")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .output()
            .expect("the binary runs")
    }

    /// Starts `mayfly serve` and waits until it listens.
    pub fn serve(self) -> Gateway {
        self.serve_with(&[])
    }

    /// The same with further arguments.
    pub fn serve_with(self, arguments: &[&str]) -> Gateway {
        let mut command = match self.limit {
            None => Command::new(binary()),
            Some((kind, number)) => {
                let script = format!("ulimit -S {kind} $0 && exec \"$@\"");
                let mut shell = Command::new("sh");
                shell.args(["-c", &script, &number.to_string()]);
                shell.arg(binary());
                shell
            }
        };
        let mut child = command
            .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .args(arguments)
            .current_dir(self.path())
            .env_remove("MAYFLY_LOG")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let log = Arc::new(Mutex::new(String::new()));
        let reader = keep(child.stderr.take().expect("piped"), Arc::clone(&log));
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut address = |prefix: &str| {
            let line = lines.next().and_then(Result::ok).unwrap_or_default();
            let Some(address) = line.strip_prefix(prefix) else {
                let _ = child.kill();
                panic!("expected {prefix:?}, got {line:?}; {}", log.lock().expect("a log"));
            };
            address.to_owned()
        };
        let url = address("listening on http://");
        let admin = address("admin on http://");
        Gateway { project: self, child, address: url, admin, log, reader: Some(reader) }
    }
}

/// Adds what comes to the log by whole lines: nobody reads half of one.
fn keep(from: impl std::io::Read + Send + 'static, log: Arc<Mutex<String>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while let Ok(1..) = from.read_until(b'\n', &mut line) {
            log.lock().expect("a log").push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    })
}

/// Where the first of these programs is on PATH.
fn program(names: &[&str]) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH")?;
    let mut files = std::env::split_paths(&paths)
        .flat_map(|folder| names.iter().map(move |name| folder.join(name)));
    files.find(|file| file.is_file())
}

/// Sends a signal by its name.
fn signal(child: &Child, name: &str) {
    let arguments = [format!("-{name}"), child.id().to_string()];
    let status = Command::new("kill").args(arguments).status().expect("kill runs");
    assert!(status.success(), "the process is gone already");
}

/// A running `mayfly serve`.
pub struct Gateway {
    /// Its folder.
    pub project: Project,
    child: Child,
    /// `127.0.0.1:PORT` of the API.
    pub address: String,
    /// `127.0.0.1:PORT` of the admin API.
    pub admin: String,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Gateway {
    /// What it has written to standard error so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("a log").clone()
    }

    /// Waits until standard error holds `text`.
    pub fn wait_for_log(&self, text: &str) {
        self.wait(&format!("{text:?} in the log"), || self.log().contains(text));
    }

    /// Waits until `condition` holds.
    pub fn wait(&self, what: &str, condition: impl FnMut() -> bool) {
        self.wait_within(PATIENCE, what, condition);
    }

    /// Waits until all code is compiled that was there when the gateway began: some
    /// megabytes of it take half a minute where others compute, too.
    pub fn wait_for_code(&self, number: usize) {
        let last = format!("compiled {number} of {number}: ");
        self.wait_within(10 * PATIENCE, &format!("{last:?} in the log"), || {
            self.log().contains(&last)
        });
    }

    fn wait_within(&self, patience: Duration, what: &str, mut condition: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !condition() {
            assert!(
                begun.elapsed() < patience,
                "no {what} within {patience:?}; log:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// A request to the API.
    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = method.parse().expect("a method");
        client().request(method, format!("http://{}{path}", self.address))
    }

    /// A GET, sent.
    pub fn get(&self, path: &str) -> Answer {
        Answer::of(self.request("GET", path))
    }

    /// A GET with this `Authorization`, sent.
    pub fn get_as(&self, path: &str, authorization: &str) -> Answer {
        Answer::of(self.request("GET", path).header("authorization", authorization))
    }

    /// Asks for what a function fails at; a client of this `kind` of API is told
    /// no more than that.
    pub fn expect_function_error(&self, path: &str, kind: &str) {
        let answer = self.get(path);
        let expected = match kind {
            "rest" => (502, json!({ "message": "Internal server error" })),
            _ => (500, json!({ "message": "Internal Server Error" })),
        };
        assert_eq!((answer.status, answer.json()), expected, "{kind} {path}: {}", self.log());
    }

    /// The events that functions have printed so far, where `PRINT_EVENT` asks
    /// for it.
    pub fn printed_events(&self) -> Vec<Value> {
        let log = self.log();
        let printed = log.lines().filter_map(|line| Some(line.split_once("event: ")?.1));
        let first = |text: &str| serde_json::Deserializer::from_str(text).into_iter().next()?.ok();
        printed.filter_map(first).collect()
    }

    /// A POST of JSON, sent.
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        Answer::of(self.request("POST", path).json(body))
    }

    /// The admin API's report.
    pub fn health(&self) -> Value {
        let url = format!("http://{}/health", self.admin);
        client().get(url).send().and_then(|response| response.json()).expect("a report")
    }

    /// The process's id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends the process at once, as if the machine had gone, and gives its
    /// folder back with all that it had logged.
    pub fn kill(mut self) -> (Project, String) {
        self.child.kill().expect("a child");
        self.child.wait().expect("a child");
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        let log = self.log();
        (std::mem::take(&mut self.project), log)
    }

    /// Ends the process in order, and does the same.
    pub fn stop(mut self) -> (Project, String) {
        self.signal("TERM");
        self.wait_for_end();
        self.kill()
    }

    /// A call of Lambda's API.
    pub fn lambda(&self, method: &str, path: &str) -> RequestBuilder {
        let method = method.parse().expect("a method");
        client().request(method, format!("http://{}{path}", self.admin))
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// Waits for its end.
    pub fn wait_for_end(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end; log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        if std::thread::panicking() {
            eprintln!("log of the gateway:\n{}", self.log());
        }
    }
}

/// A client without proxies, which keeps connections alive and follows no
/// redirect: what a test asks for is what it looks at.
pub fn client() -> Client {
    Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(PATIENCE)
        .build()
        .expect("a client")
}

/// A response, read whole.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Names and values in the order they came.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// Sends and reads.
    pub fn of(request: RequestBuilder) -> Self {
        let mut response = request.send().expect("an answer");
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| {
                (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            })
            .collect();
        let mut body = Vec::new();
        response.read_to_end(&mut body).expect("a body");
        Self { status: response.status().as_u16(), headers, body }
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Every value of a header.
    pub fn header_values(&self, name: &str) -> Vec<&str> {
        let values = self.headers.iter().filter(|(key, _)| key == name);
        values.map(|(_, value)| value.as_str()).collect()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", self.text()))
    }
}

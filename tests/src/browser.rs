//! A real browser, and the site that its pages come from.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::Duration,
};

use serde_json::Value;

/// A browser starts slowly where much else goes on.
const PAGE_TIMEOUT: Duration = Duration::from_secs(120);

/// As long as a page and its report may be.
const REQUEST_BYTES_MAX: u64 = 1024 * 1024;

/// Debian's Chromium, or what else goes by its names.
pub fn chromium() -> Option<PathBuf> {
    crate::program(&["chromium", "chromium-browser", "google-chrome"])
}

/// A site with one page, on an origin of its own.
pub struct Site {
    listener: TcpListener,
    /// `http://127.0.0.1:PORT`
    pub origin: String,
}

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

impl Site {
    /// A site on a free port.
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let origin = format!("http://{}", listener.local_addr().expect("an address"));
        Self { listener, origin }
    }

    /// Opens the page in Chromium: `script` is the body of an async function
    /// and returns what is handed back.
    ///
    /// None, and a line that says so, where there is no Chromium: on a
    /// developer's machine the test `name` is skipped. With `CI=true` it fails.
    pub fn run(self, name: &str, script: &str) -> Option<Value> {
        self.run_with(name, script, &[], &[])
    }

    /// The same for a page that also speaks to `hosts`, which are this machine,
    /// in a browser with these arguments.
    pub fn run_with(
        self,
        name: &str,
        script: &str,
        hosts: &[&str],
        arguments: &[String],
    ) -> Option<Value> {
        let Some(chromium) = chromium() else {
            crate::skip(name, "there is no chromium on PATH");
            return None;
        };
        let page = format!(
            "<!doctype html><title>page</title><script>\n\
             const run = async () => {{ {script} }};\n\
             run().catch(error => ({{ failed: String(error) }}))\
             .then(result => fetch('/report', {{ method: 'POST', body: JSON.stringify(result) }}));\n\
             </script>"
        );
        let (sender, reports) = channel();
        let listener = self.listener;
        // It ends with the test's process; connections come from the page alone.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (page, sender) = (page.clone(), sender.clone());
                thread::spawn(move || answer(stream, &page, &sender));
            }
        });
        let _browser = Browser::open(&chromium, &self.origin, hosts, arguments);
        Some(report(&reports, name))
    }
}

fn report(reports: &Receiver<String>, name: &str) -> Value {
    let text = reports.recv_timeout(PAGE_TIMEOUT);
    let text = text.unwrap_or_else(|_| panic!("{name}: no report within {PAGE_TIMEOUT:?}"));
    let report: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(report.get("failed"), None, "{name}");
    report
}

/// One request of the page's own site: the page, or its report.
fn answer(stream: TcpStream, page: &str, reports: &Sender<String>) -> Option<()> {
    stream.set_read_timeout(Some(PAGE_TIMEOUT)).ok()?;
    let mut writer = stream.try_clone().ok()?;
    let mut reader = BufReader::new(stream.take(REQUEST_BYTES_MAX));
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let Some((name, value)) = line.split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = String::new();
    reader.take(length).read_to_string(&mut body).ok()?;
    let (status, text) = match first.split(' ').nth(1)? {
        "/" => ("200 OK", page),
        "/report" => ("200 OK", ""),
        _ => ("404 Not Found", ""),
    };
    let head = "content-type: text/html; charset=utf-8\r\nconnection: close";
    write!(writer, "HTTP/1.1 {status}\r\n{head}\r\ncontent-length: {}\r\n\r\n{text}", text.len())
        .ok()?;
    if first.starts_with("POST /report ") {
        reports.send(body).ok()?;
    }
    Some(())
}

/// Chromium at work, with a profile of its own, and nothing but this machine's
/// loopback to speak to.
struct Browser {
    child: Child,
    _profile: tempfile::TempDir,
}

impl Browser {
    fn open(chromium: &Path, url: &str, hosts: &[&str], arguments: &[String]) -> Self {
        let ours: String = hosts.iter().map(|host| format!("MAP {host} 127.0.0.1, ")).collect();
        let profile = tempfile::tempdir().expect("a folder");
        let child = Command::new(chromium)
            // Root has no sandbox, nor has a container.
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--no-first-run", "--disable-background-networking", "--disable-sync"])
            .args(["--disable-component-update", "--disable-breakpad", "--no-proxy-server"])
            .arg(format!("--host-resolver-rules={ours}MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"))
            .args(arguments)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(url)
            // Its own helpers end with it.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromium starts");
        Self { child, _profile: profile }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.child.wait();
    }
}

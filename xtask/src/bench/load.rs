//! The load: nghttp2's `h2load`, over HTTP/1.1 with connections that are kept.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use mayfly_toolchain::apt;

use crate::Result;
use crate::step::report;

/// What is asked for.
#[derive(Clone, Default)]
pub struct Request {
    pub path: String,
    pub headers: Vec<(String, String)>,
    /// Posted, where there is one.
    pub body: Option<String>,
}

impl Request {
    pub fn get(path: &str) -> Self {
        Self { path: path.to_owned(), ..Self::default() }
    }

    pub fn post(path: &str, body: &str) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Self { path: path.to_owned(), headers, body: Some(body.to_owned()) }
    }

    /// As HTTP/1.1 has it; `connection` says whether the connection is kept.
    pub fn written(&self, to: SocketAddr, connection: &str) -> String {
        let Self { path, headers, body } = self;
        let method = if body.is_some() { "POST" } else { "GET" };
        let body = body.as_deref().unwrap_or_default();
        let mut text = format!(
            "{method} {path} HTTP/1.1\r\nhost: {to}\r\nuser-agent: mayfly-bench\r\n\
             connection: {connection}\r\n"
        );
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
        text
    }
}

/// Finds `h2load`, or installs it.
pub fn set_up() -> Result {
    let found = || Command::new("h2load").arg("--version").output().is_ok();
    if !found() {
        apt::install(&["nghttp2-client"], &report)
            .map_err(|why| format!("h2load is missing (Debian: nghttp2-client): {why}"))?;
    }
    Ok(())
}

/// How hard, and for how long.
#[derive(Clone, Copy)]
pub struct Load {
    /// Connections at once, which are kept.
    pub connections: u32,
    /// Before anything counts.
    pub warm_up_ms: u32,
    pub ms: u32,
}

/// What servers are compared under.
pub const USUAL: Load = Load { connections: 32, warm_up_ms: 1000, ms: 3000 };

/// Requests a second, from as many as are answered. An answer other than 2xx is
/// an error: a server that refuses is quick.
pub fn throughput(to: SocketAddr, request: &Request, load: Load, folder: &Path) -> Result<f64> {
    let mut command = h2load(load.connections);
    command.args(duration(load));
    for (name, value) in &request.headers {
        command.arg(format!("--header={name}: {value}"));
    }
    if let Some(body) = &request.body {
        let file = folder.join("body");
        std::fs::write(&file, body)?;
        command.arg(format!("--data={}", file.display()));
    }
    rate(&run(command.arg(format!("http://{to}{}", request.path)))?)
}

/// Requests a second over all `paths` in turn, until so many are answered.
pub fn spread(
    to: SocketAddr,
    paths: &[String],
    requests: Requests,
    connections: u32,
    folder: &Path,
) -> Result<f64> {
    let file = folder.join("uris");
    let lines: Vec<String> = paths.iter().map(|path| format!("http://{to}{path}\n")).collect();
    std::fs::write(&file, lines.concat())?;
    let mut command = h2load(connections);
    match requests {
        Requests::Number(number) => command.arg(format!("--requests={number}")),
        Requests::During(load) => command.args(duration(load)),
    };
    rate(&run(command.arg(format!("--input-file={}", file.display())))?)
}

/// When a load over many paths ends.
#[derive(Clone, Copy)]
pub enum Requests {
    Number(u32),
    During(Load),
}

fn h2load(connections: u32) -> Command {
    let mut command = Command::new("h2load");
    command.args(["--h1", "--threads=1", &format!("--clients={connections}")]);
    command.stdin(Stdio::null());
    command
}

fn duration(load: Load) -> [String; 2] {
    [format!("--duration={}ms", load.ms), format!("--warm-up-time={}ms", load.warm_up_ms)]
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.output().map_err(|error| format!("h2load: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        return Err(format!("h2load: {}: {text}", output.status).into());
    }
    all_succeeded(&text)?;
    Ok(text)
}

/// `finished in 3.00s, 64323.00 req/s, 10.37MB/s`
fn rate(text: &str) -> Result<f64> {
    let rate = text.lines().find_map(|line| {
        line.strip_prefix("finished in ")?.split(", ").find_map(|part| part.strip_suffix(" req/s"))
    });
    let rate = rate.ok_or_else(|| format!("h2load said no rate: {text}"))?;
    Ok(rate.parse()?)
}

/// `status codes: 192969 2xx, 0 3xx, 0 4xx, 0 5xx`
fn all_succeeded(text: &str) -> Result {
    let line = text.lines().find_map(|line| line.strip_prefix("status codes: "));
    let line = line.ok_or_else(|| format!("h2load said no statuses: {text}"))?;
    let of = |class: &str| -> u64 {
        let count = line.split(", ").find_map(|part| part.strip_suffix(class));
        count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
    };
    if of("2xx") == 0 || of("3xx") + of("4xx") + of("5xx") > 0 {
        return Err(format!("not all answers are 2xx: {line}").into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "finished in 3.00s, 64323.50 req/s, 10.37MB/s\n\
        requests: 192969 total, 193001 started, 192969 done, 192969 succeeded, 0 failed\n\
        status codes: 192969 2xx, 0 3xx, 0 4xx, 0 5xx\n";

    #[test]
    fn a_body_is_posted_with_its_length() {
        let to = SocketAddr::from(([127, 0, 0, 1], 80));
        assert_eq!(
            Request::post("/x", "{}").written(to, "close"),
            "POST /x HTTP/1.1\r\nhost: 127.0.0.1:80\r\nuser-agent: mayfly-bench\r\n\
             connection: close\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
        );
    }

    #[test]
    fn what_h2load_says_is_read() {
        assert_eq!(rate(TEXT).expect("a rate"), 64323.5);
        all_succeeded(TEXT).expect("all of them");
        let error = all_succeeded("status codes: 1 2xx, 0 3xx, 2 4xx, 0 5xx").expect_err("not all");
        assert!(error.to_string().contains("2 4xx"), "{error}");
        assert!(all_succeeded("status codes: 0 2xx, 0 3xx, 0 4xx, 0 5xx").is_err());
    }
}

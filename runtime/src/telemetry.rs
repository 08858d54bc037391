//! What the gateway tells about itself: log lines on standard error. A leaf:
//! it imports no other room.

use std::{
    borrow::Cow,
    error::Error,
    fmt,
    io::{IsTerminal as _, Write as _},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::Notify;
use tracing::Level;
use tracing_subscriber::{EnvFilter, fmt::format::FmtSpan};

/// The environment variable that chooses what is logged, in the syntax of
/// `tracing`'s filters: `warn`, `mayfly=debug`.
pub const LOG_ENV: &str = "MAYFLY_LOG";

/// Sends log lines to standard error, in colour only on a terminal.
/// `default` holds where `MAYFLY_LOG` is not set. Libraries in `muted` say
/// something only where it names them.
///
/// # Errors
/// The filter's own text where `MAYFLY_LOG` is no filter.
pub fn start(default: &str, muted: &[&str]) -> Result<(), String> {
    let mut text = std::env::var(LOG_ENV).unwrap_or_else(|_| default.to_owned());
    for library in muted.iter().filter(|library| !text.contains(**library)).collect::<Vec<_>>() {
        text.push_str(&format!(",{library}=off"));
    }
    let filter = EnvFilter::try_new(&text)
        .map_err(|error| format!("{LOG_ENV}={text:?} is not a log filter: {error}"))?;
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colour)
        .with_target(false)
        .with_span_events(FmtSpan::NONE)
        .try_init()
        .map_err(|error| error.to_string())
}

/// The log of one invocation: lines carry its function and request id, up to
/// a number of bytes.
#[derive(Clone)]
pub struct InvocationLog {
    shared: Arc<InvocationLogShared>,
}

struct InvocationLogShared {
    function: String,
    request_id: String,
    bytes_max: usize,
    bytes: AtomicUsize,
    full: AtomicBool,
    lifecycle: Level,
    tail: Option<Tail>,
}

/// The end of a log, for who asked for it.
#[derive(Debug, Clone, Default)]
pub struct Tail(Arc<TailShared>);

#[derive(Debug, Default)]
struct TailShared {
    text: Mutex<String>,
    ended: Notify,
}

/// What Lambda's Invoke shows of a log, in bytes.
const TAIL_BYTES: usize = 4 * 1024;

impl Tail {
    fn push(&self, line: &str) {
        let mut tail = self.0.text.lock().unwrap_or_else(PoisonError::into_inner);
        tail.push_str(line);
        tail.push('\n');
        // Once in a while, so that each line is not moved by the next one.
        if tail.len() > 4 * TAIL_BYTES {
            let end = last_bytes(&tail).to_owned();
            *tail = end;
        }
    }

    /// The last 4 KB.
    pub fn text(&self) -> String {
        last_bytes(&self.0.text.lock().unwrap_or_else(PoisonError::into_inner)).to_owned()
    }

    /// Waits until nothing more comes: a guest may go on when it has answered.
    pub async fn ended(&self) {
        self.0.ended.notified().await;
    }
}

fn last_bytes(text: &str) -> &str {
    let start = text.len().saturating_sub(TAIL_BYTES);
    let start = (start..=text.len()).find(|&at| text.is_char_boundary(at));
    &text[start.unwrap_or_default()..]
}

impl InvocationLog {
    /// A log that takes `bytes_max` bytes of lines.
    pub fn new(function: &str, request_id: &str, bytes_max: usize) -> Self {
        Self {
            shared: Arc::new(InvocationLogShared {
                function: function.to_owned(),
                request_id: request_id.to_owned(),
                bytes_max,
                bytes: AtomicUsize::new(0),
                full: AtomicBool::new(false),
                lifecycle: Level::DEBUG,
                tail: None,
            }),
        }
    }

    /// The same, with the level of START, END and REPORT, and with who gets
    /// the end of it.
    #[must_use]
    pub fn with_lifecycle(mut self, level: Level, tail: Option<Tail>) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            (shared.lifecycle, shared.tail) = (level, tail);
        }
        self
    }

    /// Whether anyone reads the lines of [`Self::lifecycle`].
    pub fn tells_lifecycle(&self) -> bool {
        let is_logged = match self.shared.lifecycle {
            Level::INFO => tracing::enabled!(Level::INFO),
            _ => tracing::enabled!(Level::DEBUG),
        };
        is_logged || self.shared.tail.is_some()
    }

    /// Tells who gets the end of it that nothing more comes.
    pub fn end(&self) {
        if let Some(tail) = &self.shared.tail {
            tail.0.ended.notify_one();
        }
    }

    /// Writes a line of Lambda's own, with the processor's time where it tells
    /// what was used.
    pub fn lifecycle(&self, text: &str, cpu: Option<Duration>) {
        let InvocationLogShared { function, request_id, .. } = &*self.shared;
        if let Some(tail) = &self.shared.tail {
            tail.push(text);
        }
        let cpu_ms = cpu.map(|cpu| (cpu.as_secs_f64() * 1e5).round() / 100.0);
        match self.shared.lifecycle {
            Level::INFO => tracing::info!(function, request_id, cpu_ms, "{text}"),
            _ => tracing::debug!(function, request_id, cpu_ms, "{text}"),
        }
    }

    /// Writes a line; beyond the limit it is dropped, which is said once.
    pub fn line(&self, level: Level, text: &str) {
        let shared = &*self.shared;
        let (function, request_id) = (&shared.function, &shared.request_id);
        let used = shared.bytes.fetch_add(text.len().saturating_add(1), Ordering::Relaxed);
        if used.saturating_add(text.len()) > shared.bytes_max {
            if !shared.full.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    function,
                    request_id,
                    "log lines dropped: log_bytes_max = {} reached",
                    shared.bytes_max
                );
            }
            return;
        }
        if let Some(tail) = &shared.tail {
            tail.push(text);
        }
        let text = Printable(text);
        match level {
            Level::ERROR => tracing::error!(function, request_id, "{text}"),
            Level::WARN => tracing::warn!(function, request_id, "{text}"),
            Level::INFO => tracing::info!(function, request_id, "{text}"),
            Level::DEBUG => tracing::debug!(function, request_id, "{text}"),
            Level::TRACE => tracing::trace!(function, request_id, "{text}"),
        }
    }
}

/// Text of a guest or client without control characters, which could forge
/// log lines or steer a terminal.
struct Printable<'t>(&'t str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if c.is_control() && c != '\n' && c != '\t' {
                write!(f, "{}", c.escape_default())?;
            } else {
                write!(f, "{c}")?;
            }
        }
        Ok(())
    }
}

/// One line of the access log, written on every exit of the pipeline.
#[derive(Debug, Clone)]
pub struct Access<'a> {
    /// The request's id.
    pub request_id: Cow<'a, str>,
    /// The method.
    pub method: Cow<'a, str>,
    /// The path as it came, without the query.
    pub path: Cow<'a, str>,
    /// The route's key; `-` where none matched.
    pub route: Cow<'a, str>,
    /// The response's status.
    pub status: u16,
    /// When the request came.
    pub started: Instant,
    /// The client's address.
    pub client: std::net::IpAddr,
    /// A line in the configuration's own format instead.
    pub line: Option<Vec<LinePiece>>,
    /// Whether it is logged why the response's body ended too early.
    pub logs_errors: bool,
}

/// A piece of a line in a format of the configuration's, without control
/// characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinePiece {
    /// What was known when the response's head was.
    Text(String),
    /// The length of the response's body.
    ResponseLength,
    /// The milliseconds until the response's end.
    ResponseLatency,
}

impl Access<'_> {
    /// Writes the line; `bytes` is the length of the response's body.
    pub fn log(&self, bytes: usize) {
        if let Some(pieces) = &self.line {
            return self.log_line(pieces, bytes);
        }
        tracing::info!(
            request_id = &*self.request_id,
            route = &*self.route,
            client = %self.client,
            bytes,
            "{} {} {} {:.1}ms",
            self.method,
            Printable(&self.path),
            self.status,
            self.started.elapsed().as_secs_f64() * 1000.0,
        );
    }

    /// A line that some other program reads: nothing stands before it, and no
    /// filter applies.
    fn log_line(&self, pieces: &[LinePiece], bytes: usize) {
        let mut line = String::new();
        for piece in pieces {
            match piece {
                LinePiece::Text(text) => line.push_str(text),
                LinePiece::ResponseLength => line.push_str(&bytes.to_string()),
                LinePiece::ResponseLatency => {
                    line.push_str(&self.started.elapsed().as_millis().to_string());
                }
            }
        }
        line.push('\n');
        // Where standard error is closed there is nobody to tell.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }

    /// The same, for a line that is written later.
    pub fn into_owned(self) -> Access<'static> {
        let own = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Access {
            request_id: own(self.request_id),
            method: own(self.method),
            path: own(self.path),
            route: own(self.route),
            status: self.status,
            started: self.started,
            client: self.client,
            line: self.line,
            logs_errors: self.logs_errors,
        }
    }
}

/// Writes one step of the work on a request. Its further lines are indented,
/// so that none of them looks like one of ours.
pub fn step(request_id: &str, stage: &str, text: &str) {
    let text = text.replace('\n', "\n    ");
    tracing::info!(request_id, "{stage}: {}", Printable(&text));
}

/// An error and what caused it, outermost first.
pub fn causes<'e>(
    error: &'e (dyn Error + 'static),
) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// What an error and its causes say, without what another of them has said.
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    causes(error).map(ToString::to_string).fold(String::new(), |mut text, part| {
        if !text.contains(&part) {
            text.push_str(if text.is_empty() { "" } else { ": " });
            text.push_str(&part);
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(Printable("a\u{1b}[31mb\rc").to_string(), "a\\u{1b}[31mb\\rc");
    }

    #[test]
    fn a_tail_has_the_last_4_kb_in_whole_characters() {
        let tail = Tail::default();
        for _ in 0..3000 {
            tail.push("1\u{20ac}2");
        }
        let text = tail.text();
        assert!((TAIL_BYTES - 3..=TAIL_BYTES).contains(&text.len()), "{}", text.len());
        assert!(text.ends_with("1\u{20ac}2\n1\u{20ac}2\n"));
    }

    #[test]
    fn lines_beyond_the_limit_are_dropped() {
        let log = InvocationLog::new("f", "id", 10);
        log.line(Level::INFO, "12345");
        assert!(!log.shared.full.load(Ordering::Relaxed));
        log.line(Level::INFO, "123456");
        assert!(log.shared.full.load(Ordering::Relaxed));
    }
}

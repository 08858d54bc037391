//! Requests at a rate that is given, one after the other in time, over
//! connections that are kept.
//!
//! `h2load` sends every 10 ms what is due, as fast as it is answered: at half of
//! a rate that is all of it for half of the time.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;

use crate::Result;
use crate::bench::client::ANSWER;
use crate::bench::load::{Load, Request};

/// Headers of an answer, at most.
const HEADERS_MAX: usize = 64;

/// How much is read at once, in bytes.
const READ_BYTES: usize = 16 * 1024;

/// Times of single requests at `rate` a second, in µs, sorted: from the moment when
/// one is due to the end of its answer. One that is due while all connections wait
/// for answers is late, as it would be for whoever sends it.
pub fn latencies(to: SocketAddr, request: &Request, rate: f64, load: Load) -> Result<Vec<u64>> {
    let text = request.written(to, "keep-alive");
    let number = |ms: u32| (rate * f64::from(ms) / 1000.0) as u64;
    let (uncounted, all) = (number(load.warm_up_ms), number(load.warm_up_ms + load.ms));
    let mut connections = Connections::open(to, load.connections)?;
    let mut times = Vec::new();
    let begun = Instant::now();
    let due = |index: u64| begun + Duration::from_secs_f64(index as f64 / rate);
    let (mut sent, mut answered) = (0, 0);
    while answered < all {
        while sent < all && due(sent) <= Instant::now() && connections.send(&text, sent)? {
            sent += 1;
        }
        let next = (sent < all && connections.has_idle()).then(|| due(sent));
        for index in connections.wait(next)? {
            answered += 1;
            if index >= uncounted {
                times.push(due(index).elapsed().as_micros() as u64);
            }
        }
    }
    times.sort_unstable();
    Ok(times)
}

/// Connections to one server, those that wait for nothing in the order in which
/// they came to it.
struct Connections {
    to: SocketAddr,
    all: Vec<Connection>,
    idle: VecDeque<usize>,
    /// Where what comes is read to.
    read: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    /// What came of the answer.
    answer: Vec<u8>,
    /// Which request it is the answer of.
    index: Option<u64>,
}

impl Connections {
    fn open(to: SocketAddr, number: u32) -> Result<Self> {
        let all = (0..number).map(|_| Connection::open(to)).collect::<Result<Vec<_>>>()?;
        let idle = (0..all.len()).collect();
        Ok(Self { to, all, idle, read: vec![0; READ_BYTES] })
    }

    fn has_idle(&self) -> bool {
        !self.idle.is_empty()
    }

    /// Sends a request, if a connection is there for it.
    fn send(&mut self, text: &str, index: u64) -> Result<bool> {
        let Some(key) = self.idle.pop_front() else { return Ok(false) };
        let connection = &mut self.all[key];
        connection.stream.write_all(text.as_bytes())?;
        connection.index = Some(index);
        Ok(true)
    }

    /// Waits for answers, at most until `next`; whose those are that came.
    fn wait(&mut self, next: Option<Instant>) -> Result<Vec<u64>> {
        let left = next.map_or(ANSWER, |next| next.saturating_duration_since(Instant::now()));
        let ready = self.ready(left)?;
        if ready.is_empty() && next.is_none() {
            return Err(format!("http://{} does not answer within {ANSWER:?}", self.to).into());
        }
        let mut answered = Vec::new();
        for key in ready {
            let connection = &mut self.all[key];
            let Some(kept) = connection.read(&mut self.read)? else { continue };
            answered.extend(connection.index.take());
            connection.answer.clear();
            if !kept {
                *connection = Connection::open(self.to)?;
            }
            self.idle.push_back(key);
        }
        Ok(answered)
    }

    /// Those of which more of an answer has come, within the time that is `left`.
    /// One call of the system: a load that takes less of the processor leaves more
    /// of it to who is measured.
    fn ready(&self, left: Duration) -> Result<Vec<usize>> {
        let left = Timespec::try_from(left)?;
        let waiting = (0..).zip(&self.all).filter(|(_, own)| own.index.is_some());
        let (keys, mut events): (Vec<usize>, Vec<_>) =
            waiting.map(|(key, own)| (key, PollFd::new(&own.stream, PollFlags::IN))).unzip();
        retry_on_intr(|| poll(&mut events, Some(&left)))?;
        let ready = keys.into_iter().zip(events).filter(|(_, event)| !event.revents().is_empty());
        Ok(ready.map(|(key, _)| key).collect())
    }
}

impl Connection {
    fn open(to: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, answer: Vec::new(), index: None })
    }

    /// Reads what is there. Once that is the whole answer: whether the connection
    /// is kept.
    fn read(&mut self, buffer: &mut [u8]) -> Result<Option<bool>> {
        match self.stream.read(buffer) {
            Ok(0) => return Err("a connection was closed before its answer".into()),
            Ok(read) => self.answer.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        ended(&self.answer)
    }
}

/// Whether the connection is kept after an answer; none as long as more of it is to
/// come.
fn ended(answer: &[u8]) -> Result<Option<bool>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(answer)? else { return Ok(None) };
    match response.code {
        Some(200..300) => {}
        code => return Err(format!("an answer has the status {code:?}, not 2xx").into()),
    }
    let header = |name: &str| {
        let mut all = response.headers.iter();
        let found = all.find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(found.value).ok()
    };
    let body = &answer[head..];
    let is_whole = match header("content-length") {
        Some(length) => body.len() >= length.parse()?,
        None if header("transfer-encoding").is_some() => are_all_chunks(body)?,
        None => return Err("an answer does not say how long it is".into()),
    };
    let kept = !header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    Ok(is_whole.then_some(kept))
}

/// Whether a chunked body without trailers is whole.
fn are_all_chunks(mut body: &[u8]) -> Result<bool> {
    loop {
        let size = httparse::parse_chunk_size(body).map_err(|_| "a chunk has no size")?;
        let httparse::Status::Complete((head, size)) = size else { return Ok(false) };
        // With the end of its line.
        let end = head + usize::try_from(size)? + 2;
        match body.get(end..) {
            Some(rest) if size > 0 => body = rest,
            rest => return Ok(rest.is_some()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn answers_end_where_they_say() {
        let head = "HTTP/1.1 200 OK\r\n";
        for (rest, expected) in [
            ("content-length: 2\r\n\r\nok", Some(true)),
            ("content-length: 2\r\n\r\no", None),
            ("Connection: close\r\ncontent-length: 0\r\n\r\n", Some(false)),
            ("content-length: 0\r\n", None),
            ("transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", Some(true)),
            ("transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n", None),
            ("transfer-encoding: chunked\r\n\r\n2\r\nok\r\n", None),
            ("transfer-encoding: chunked\r\n\r\na\r\nok", None),
        ] {
            let answer = format!("{head}{rest}");
            assert_eq!(ended(answer.as_bytes()).expect("an answer"), expected, "{answer:?}");
        }
        for answer in [
            "HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n",
            "SSH-2.0\r\n",
        ] {
            assert!(ended(answer.as_bytes()).is_err(), "{answer:?}");
        }
    }

    #[test]
    fn each_request_is_sent_when_it_is_due() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let to = listener.local_addr().expect("an address");
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                thread::spawn(move || {
                    let mut request = [0; 1024];
                    // A request is one piece, as none is sent before the last is answered.
                    for close in ["", "", "", "", "connection: close\r\n"] {
                        if stream.read(&mut request).is_ok_and(|read| read > 0) {
                            let text = format!("{close}content-length: 2\r\n\r\nok");
                            let text = format!("HTTP/1.1 200 OK\r\n{text}");
                            stream.write_all(text.as_bytes()).expect("it is read");
                        }
                    }
                });
            }
        });
        let load = Load { connections: 2, warm_up_ms: 20, ms: 50 };
        let begun = Instant::now();
        let times = latencies(to, &Request::get("/"), 500.0, load).expect("answers");
        // The last of 35 is due after 34 pauses of 2 ms.
        assert!(begun.elapsed() >= Duration::from_millis(68), "{:?}", begun.elapsed());
        assert_eq!(times.len(), 25);
        assert!(times.is_sorted());
    }
}

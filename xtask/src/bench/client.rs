//! A client for single requests: when does something answer, and what?

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::Result;
use crate::bench::load::Request;

/// How long one answer may take.
pub const ANSWER: Duration = Duration::from_secs(30);

/// Between two questions: small beside what is measured, but what is waited
/// for needs the processor too.
const PAUSE: Duration = Duration::from_micros(500);

/// Asks over and over until an answer's status and body are as they should be; when
/// that was.
pub fn until(
    to: SocketAddr,
    request: &Request,
    patience: Duration,
    good: impl Fn(u16, &str) -> bool,
) -> Result<Instant> {
    let path = &request.path;
    let deadline = Instant::now() + patience;
    loop {
        let answer = ask(to, request);
        let now = Instant::now();
        match answer {
            Ok((status, text)) if good(status, body(&text)) => return Ok(now),
            Err(error) if now > deadline => {
                return Err(format!("http://{to}{path}: {error}").into());
            }
            Ok((_, text)) if now > deadline => {
                return Err(format!("http://{to}{path} still answers {text:?}").into());
            }
            _ => std::thread::sleep(PAUSE),
        }
    }
}

/// The status, and everything from the status line to the end.
fn ask(to: SocketAddr, request: &Request) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.write_all(request.written(to, "close").as_bytes())?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.ok_or_else(|| io::Error::other("no answer"))?, text))
}

/// What comes after the head, whose ids may have any text in them.
fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Answers so many connections, each with the next text.
    fn serve(texts: &'static [&'static str]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("an address");
        std::thread::spawn(move || {
            for text in texts {
                let (mut stream, _) = listener.accept().expect("a connection");
                let mut head = [0; 1024];
                let _ = stream.read(&mut head).expect("a request");
                stream.write_all(text.as_bytes()).expect("an open connection");
            }
        });
        address
    }

    #[test]
    fn it_waits_for_the_answer_that_is_wanted() {
        let address = serve(&[
            "",
            "HTTP/1.1 503 Unavailable\r\n\r\nnot yet",
            "HTTP/1.1 200 OK\r\nid: new\r\n\r\nold",
            "HTTP/1.1 200 OK\r\n\r\nnew",
        ]);
        let patience = Duration::from_secs(20);
        until(address, &Request::get("/"), patience, |status, text| {
            status == 200 && text.contains("new")
        })
        .expect("the last one");
    }

    #[test]
    fn its_patience_ends() {
        let address = serve(&["HTTP/1.1 404 Not Found\r\n\r\nnothing"]);
        let error = until(address, &Request::get("/x"), Duration::ZERO, |status, _| status == 200);
        let error = error.expect_err("never a 200");
        assert!(error.to_string().contains("404 Not Found"), "{error}");
    }
}

//! An HTTP server for a gateway to call: it answers as a test says, and
//! remembers what it was asked.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

use crate::PATIENCE;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Received {
    /// The first line and the headers, names in lower case.
    pub head: Vec<String>,
    /// The body.
    pub body: Vec<u8>,
    /// Which of the server's connections it came by, from 0.
    pub connection: usize,
}

impl Received {
    /// `METHOD target`
    pub fn line(&self) -> &str {
        self.head.first().and_then(|line| line.strip_suffix(" HTTP/1.1")).unwrap_or_default()
    }

    /// All values of a header.
    pub fn header(&self, name: &str) -> Vec<&str> {
        let pairs = self.head.iter().skip(1).filter_map(|line| line.split_once(": "));
        pairs.filter(|(own, _)| *own == name).map(|(_, value)| value).collect()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A running server; it ends with the process.
pub struct Upstream {
    /// Where it listens.
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<Received>>>,
}

impl Upstream {
    /// A server that answers every request with `answer`, which writes the
    /// response's bytes.
    pub fn new(
        answer: impl Fn(&Received, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::with_bodies(true, answer)
    }

    /// One whose `answer` reads the body itself, from the connection.
    pub fn streaming(
        answer: impl Fn(&Received, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::with_bodies(false, answer)
    }

    fn with_bodies(
        reads: bool,
        answer: impl Fn(&Received, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&requests);
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for (connection, stream) in listener.incoming().enumerate() {
                let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
                std::thread::spawn(move || {
                    let mut stream = stream.expect("a connection");
                    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
                    // A gateway that is gone ends the connection.
                    while let Ok(Some(request)) = read(&stream, connection, reads) {
                        kept.lock().expect("no panic").push(request.clone());
                        if answer(&request, &mut stream).is_err() {
                            break;
                        }
                    }
                });
            }
        });
        Self { address, requests }
    }

    /// One that answers 200 with a text.
    pub fn saying(text: &'static str) -> Self {
        Self::new(move |_, stream| {
            let length = text.len();
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{text}")
        })
    }

    /// What it was asked.
    pub fn requests(&self) -> Vec<Received> {
        self.requests.lock().expect("no panic").clone()
    }

    /// What it was asked last.
    pub fn last(&self) -> Received {
        self.requests().pop().expect("a request")
    }
}

/// Bytes are read one by one up to the body, so that nothing of it is lost in
/// a buffer.
fn read(stream: &TcpStream, connection: usize, reads: bool) -> std::io::Result<Option<Received>> {
    let mut reader = BufReader::with_capacity(1, stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        head.push(match line.split_once(": ") {
            Some((name, value)) if !head.is_empty() => {
                format!("{}: {value}", name.to_ascii_lowercase())
            }
            _ => line.to_owned(),
        });
    }
    let mut request = Received { head, body: Vec::new(), connection };
    let length = request.header("content-length").first().and_then(|text| text.parse().ok());
    match length {
        _ if !reads => {}
        Some(length) => {
            request.body = vec![0; length];
            reader.read_exact(&mut request.body)?;
        }
        None if request.header("transfer-encoding") == ["chunked"] => {
            while let Some(mut chunk) = chunk(&mut reader)? {
                request.body.append(&mut chunk);
            }
        }
        None => {}
    }
    Ok(Some(request))
}

/// The next chunk of a chunked body; none at its end.
pub fn chunk(reader: &mut impl std::io::BufRead) -> std::io::Result<Option<Vec<u8>>> {
    let mut size = String::new();
    reader.read_line(&mut size)?;
    let size = usize::from_str_radix(size.trim(), 16).map_err(std::io::Error::other)?;
    let mut data = vec![0; size + 2];
    reader.read_exact(&mut data)?;
    data.truncate(size);
    Ok((size > 0).then_some(data))
}

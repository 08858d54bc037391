//! Opens connections, has one request answered on each, and keeps them until its
//! standard input ends: `idle ADDRESS NUMBER PATH`.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, ensure};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, number, path] = &arguments[..] else {
        anyhow::bail!("usage: idle ADDRESS NUMBER PATH");
    };
    let address: SocketAddr = address.parse().context("the address")?;
    let number: usize = number.parse().context("the number")?;
    allow_open_files(number)?;
    let open =
        |index: usize| answered(address, path).with_context(|| format!("connection {index}"));
    let connections = (0..number).map(open).collect::<anyhow::Result<Vec<TcpStream>>>()?;
    writeln!(std::io::stdout(), "open {}", connections.len())?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// A connection that is kept after an answer, which has a short body.
fn answered(address: SocketAddr, path: &str) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n").as_bytes())?;
    let mut answer = [0; 4096];
    let length = stream.read(&mut answer)?;
    ensure!(answer[..length].starts_with(b"HTTP/1.1 200"), "it was not answered 200");
    Ok(stream)
}

/// Each connection is an open file.
fn allow_open_files(number: usize) -> anyhow::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    ensure!(
        maximum.is_none_or(|maximum| maximum > number as u64 + 16),
        "the system allows {maximum:?} open files (hint: `ulimit -H -n`)"
    );
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}

//! A server under measurement: started, waited for, and ended.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Result;

/// How long a server may take until it listens.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long a server may take to end in order.
const GRACE: Duration = Duration::from_secs(5);

/// A process that is ended with its owner.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
}

impl Server {
    /// Starts what says on standard output where it listens.
    pub fn that_says(command: &mut Command) -> Result<Self> {
        let mut child = start(command.stdout(Stdio::piped()))?;
        let out = child.stdout.take().ok_or("no standard output")?;
        let mut server = Self { child, address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)) };
        let mut lines = BufReader::new(out);
        let mut line = String::new();
        while lines.read_line(&mut line)? > 0 {
            if let Some(address) = line.trim_end().strip_prefix("listening on http://") {
                server.address = address.parse()?;
                // Whatever else it says has to go somewhere.
                std::thread::spawn(move || drop(std::io::copy(&mut lines, &mut std::io::sink())));
                return Ok(server);
            }
            line.clear();
        }
        Err(format!("{command:?} did not say where it listens").into())
    }

    /// Starts what listens where it is told to.
    pub fn at(address: SocketAddr, command: &mut Command) -> Result<Self> {
        let child = start(command.stdout(Stdio::null()))?;
        let mut server = Self { child, address };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            if let Some(status) = server.child.try_wait()? {
                return Err(format!("{command:?} ended: {status}").into());
            }
            if Instant::now() > deadline {
                return Err(format!("{command:?} does not listen at {address}").into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// What it keeps in memory, in KiB: all, and what is no file's content.
    pub fn resident_kib(&self) -> Result<(u64, u64)> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let of = |name| in_kib(&text, name).ok_or_else(|| format!("the system tells no {name}"));
        Ok((of("VmRSS")?, of("RssAnon")?))
    }
}

/// `VmRSS:     1234 kB`
fn in_kib(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

impl Drop for Server {
    fn drop(&mut self) {
        // In order first: nginx has processes of its own, which would stay.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let deadline = Instant::now() + GRACE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(command: &mut Command) -> Result<Child> {
    let started = command.stdin(Stdio::null()).spawn();
    Ok(started.map_err(|error| format!("cannot start {command:?}: {error}"))?)
}

/// An address that nobody uses at the moment.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_as_the_system_writes_it() {
        let status = "Name:\tmayfly\nVmRSS:\t   12345 kB\nRssAnon:\t    678 kB\n";
        assert_eq!(in_kib(status, "VmRSS"), Some(12345));
        assert_eq!(in_kib(status, "RssAnon"), Some(678));
        assert_eq!(in_kib(status, "Vm"), None);
    }
}

//! A Redis of a test's own.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{PATIENCE, program, signal, skip, tls::Authority};

/// What clients have to say.
pub const PASSWORD: &str = "hunter2-of-redis";

/// A running `redis-server`, which keeps nothing on disk.
pub struct Redis {
    child: Child,
    port: u16,
    folder: TempDir,
    speaks: Speaks,
}

/// What it speaks on its port.
#[derive(Clone, Copy, PartialEq)]
enum Speaks {
    Plain,
    Tls,
}

impl Redis {
    /// A server on a free port; none, and a line that says so, where there is
    /// no `redis-server`: the test `name` is then skipped.
    pub fn start(name: &str) -> Option<Self> {
        Self::speaking(name, Speaks::Plain)
    }

    /// The same in TLS, with a certificate that [`Self::authority`] has signed.
    pub fn start_tls(name: &str) -> Option<Self> {
        Self::speaking(name, Speaks::Tls)
    }

    fn speaking(name: &str, speaks: Speaks) -> Option<Self> {
        let Some(server) = server() else {
            skip(name, "there is no redis-server on PATH");
            return None;
        };
        // Somebody else may take the port meanwhile.
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let port = listener.local_addr().expect("an address").port();
            drop(listener);
            if let Some(redis) = Self::on(&server, port, speaks) {
                return Some(redis);
            }
        }
        panic!("no redis-server within {PATIENCE:?}");
    }

    /// The same again after it was killed, on its port, without what it knew.
    pub fn restart(&mut self) {
        self.kill();
        let server = server().expect("it has been there");
        let port = self.port;
        *self = Self::on(&server, port, self.speaks).expect("its own port");
    }

    fn on(server: &PathBuf, port: u16, speaks: Speaks) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new(server);
        match speaks {
            Speaks::Plain => command.args(["--port", &port.to_string()]),
            Speaks::Tls => {
                let authority = Authority::new();
                let pair = authority.server(&["localhost"]);
                let files = [
                    ("ca.pem", &authority.pem),
                    ("server.pem", &pair.certificate),
                    ("server-key.pem", &pair.key),
                ];
                for (name, text) in files {
                    fs::write(folder.path().join(name), text).expect("written");
                }
                command
                    .args(["--port", "0", "--tls-port", &port.to_string()])
                    .args(["--tls-cert-file", "server.pem", "--tls-key-file", "server-key.pem"])
                    .args(["--tls-ca-cert-file", "ca.pem", "--tls-auth-clients", "no"])
            }
        };
        let mut child = command
            .args(["--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--requirepass", PASSWORD])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let begun = Instant::now();
        while !answers(port, speaks) {
            if child.try_wait().expect("a child").is_some() {
                return None;
            }
            if begun.elapsed() > PATIENCE {
                let _ = child.kill();
                panic!("redis-server does not answer within {PATIENCE:?}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(Self { child, port, folder, speaks })
    }

    /// Where it is, with the password.
    pub fn url(&self) -> String {
        match self.speaks {
            Speaks::Plain => format!("redis://:{PASSWORD}@127.0.0.1:{}/0", self.port),
            Speaks::Tls => format!("rediss://:{PASSWORD}@localhost:{}/0", self.port),
        }
    }

    /// The certificate of whoever has signed its own.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Ends it at once: connections are refused from then on.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Stops it without an end: it takes connections and answers none.
    pub fn hang(&self) {
        signal(&self.child, "STOP");
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        signal(&self.child, "CONT");
    }

    /// The names of all keys.
    pub fn keys(&self) -> Vec<String> {
        let reply = ask(self.port, &format!("AUTH {PASSWORD}\r\nKEYS *\r\nQUIT\r\n"));
        let reply = reply.expect("an answer");
        reply.lines().filter(|line| line.starts_with("mayfly:")).map(str::to_owned).collect()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

fn server() -> Option<PathBuf> {
    program(&["redis-server"])
}

fn answers(port: u16, speaks: Speaks) -> bool {
    if speaks == Speaks::Tls {
        // Once it listens, it answers.
        return TcpStream::connect(("127.0.0.1", port)).is_ok();
    }
    ask(port, &format!("AUTH {PASSWORD}\r\nPING\r\nQUIT\r\n"))
        .is_some_and(|reply| reply.contains("PONG"))
}

/// All that it says to some commands, of which the last is QUIT.
fn ask(port: u16, commands: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(commands.as_bytes()).ok()?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).ok()?;
    Some(reply)
}

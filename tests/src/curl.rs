//! curl, and other programs that are clients.

use std::{
    fs::Permissions,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use crate::{Gateway, PATIENCE, program, skip};

/// Whether all of these are there; else it says that the test `name` is
/// skipped.
pub fn have(name: &str, programs: &[&str]) -> bool {
    let missing = programs.iter().find(|name| program(&[name]).is_none());
    if let Some(missing) = missing {
        skip(name, &format!("there is no {missing} on PATH"));
    }
    missing.is_none()
}

/// What curl got.
#[derive(Debug)]
pub struct Curled {
    /// curl's own exit code.
    pub code: i32,
    /// The status, 0 where there was no answer.
    pub status: u16,
    /// `1.1` or `2`.
    pub version: String,
    /// The body.
    pub body: String,
    /// What curl says of what it did, with `-v` in its arguments.
    pub notes: String,
}

impl Curled {
    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Asks the gateway for `https://HOST/path`, wherever DNS says that the host
/// is, with further arguments.
pub fn curl(gateway: &Gateway, url: &str, arguments: &[&str]) -> Curled {
    let (scheme, rest) = url.split_once("://").expect("a scheme");
    let (host, path) = rest.split_once('/').expect("a path");
    let port = gateway.address.rsplit(':').next().expect("a port");
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--show-error", "--noproxy", "*"])
        .args(["--max-time", &PATIENCE.as_secs().to_string()])
        .args(["--resolve", &format!("{host}:{port}:127.0.0.1")])
        .args(["--write-out", "\n%{http_code} %{http_version}"])
        .args(arguments)
        .arg(format!("{scheme}://{host}:{port}/{path}"))
        .current_dir(gateway.project.path());
    let output = run(&mut command, b"");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, last) = text.rsplit_once('\n').unwrap_or(("", "0 0"));
    let (status, version) = last.split_once(' ').unwrap_or(("0", "0"));
    Curled {
        code: output.status.code().unwrap_or(-1),
        status: status.parse().unwrap_or(0),
        version: version.to_owned(),
        body: body.to_owned(),
        notes: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// `openssl s_client`, which sends `input` and reads to the end; all that it
/// writes.
pub fn s_client(gateway: &Gateway, arguments: &[&str], input: &str) -> String {
    let mut command = Command::new("openssl");
    command
        .args(["s_client", "-connect", &gateway.address])
        .args(arguments)
        .current_dir(gateway.project.path());
    let output = run(&mut command, input.as_bytes());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// Writes files into the project's folder, keys so that only we can read them.
pub fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let file = folder.join(name);
        std::fs::write(&file, text).expect("written");
        if name.ends_with("-key.pem") {
            std::fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("a mode");
        }
    }
}

/// Runs a program to its end, with this on its standard input.
pub(crate) fn run(command: &mut Command, input: &[u8]) -> Output {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("the program starts");
    // It may not want to read all of it.
    let _ = child.stdin.take().expect("piped").write_all(input);
    child.wait_with_output().expect("the program ends")
}

//! `mayfly cert`: what it makes works, and nobody's files are lost.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Output};

use mayfly_tests::{
    Project,
    curl::{curl, have},
};

const ROUTE: &str = "[[route]]\nroute = \"GET /hello\"\nmock = { body = \"hello\" }\n";

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The lines that are for gateway.toml.
fn lines_for_config(text: &str) -> String {
    let wanted = ["[[", "name = ", "certificate = ", "private_key = ", "mutual_tls = "];
    let lines = text.lines().filter(|line| wanted.iter().any(|begin| line.starts_with(begin)));
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn what_it_makes_and_what_it_says_works() {
    if !have("certificates", &["curl"]) {
        return;
    }
    let project = Project::new();
    let server = text(&project.run(&["cert", "localhost", "*.example.com", "127.0.0.1"]));
    assert!(server.contains("curl --cacert certs/ca.pem https://localhost:3000/"), "{server}");
    let client = text(&project.run(&["cert", "--client", "Ada Lovelace"]));
    let certs = project.path().join("certs");
    for name in ["ca-key.pem", "localhost-key.pem", "Ada-Lovelace-key.pem"] {
        let mode = fs::metadata(certs.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert_eq!(fs::read_to_string(certs.join(".gitignore")).unwrap(), "*\n");
    let domains = lines_for_config(&server);
    assert_eq!(domains.matches("[[domain]]").count(), 3, "{domains}");
    let mutual = lines_for_config(&client);
    let config = format!("disable_execute_api_endpoint = true\n{domains}{mutual}{ROUTE}");
    project.write_config(&config);
    // The last one, of the address, asks for a certificate.
    let check = project.run(&["check"]);
    assert_eq!(text(&check), "ok: 1 routes, 0 functions\n");
    assert!(check.stderr.is_empty(), "{check:?}");
    let gateway = project.serve();
    let trust = ["--cacert", "certs/ca.pem"];
    for host in ["localhost", "any.example.com"] {
        let answer = curl(&gateway, &format!("https://{host}/hello"), &trust);
        assert_eq!(answer.body, "hello", "{answer:?}");
    }
    let url = "https://127.0.0.1/hello";
    assert_eq!(curl(&gateway, url, &trust).status, 0);
    let shown = ["--cert", "certs/Ada-Lovelace.pem", "--key", "certs/Ada-Lovelace-key.pem"];
    let answer = curl(&gateway, url, &[&trust[..], &shown].concat());
    assert_eq!(answer.body, "hello", "{answer:?}");
    // Whoever does not trust the authority trusts nothing that it signs.
    assert_eq!(curl(&gateway, "https://localhost/hello", &[]).code, 60);
}

#[test]
fn nothing_is_overwritten_without_being_told() {
    let project = Project::new();
    let read = |name: &str| fs::read_to_string(project.path().join("own").join(name)).unwrap();
    let cert =
        |more: &[&str]| project.run(&[&["cert", "--out", "own", "localhost"], more].concat());
    text(&cert(&[]));
    let names = ["ca.pem", "ca-key.pem", "localhost.pem", "localhost-key.pem"];
    let before = names.map(read);
    let again = cert(&[]);
    assert_eq!(again.status.code(), Some(1));
    let error = String::from_utf8(again.stderr).unwrap();
    assert!(error.contains("own/localhost.pem exists already; nothing was written"), "{error}");
    assert_eq!(names.map(read), before);
    text(&cert(&["--force"]));
    let after = names.map(read);
    assert_eq!(after[..2], before[..2], "the authority is made once");
    assert!(after[2] != before[2] && after[3] != before[3]);
    // An authority that is damaged signs nothing, and is not replaced.
    fs::write(project.path().join("own/ca-key.pem"), "damaged").unwrap();
    let damaged = cert(&["--force"]);
    assert_eq!(damaged.status.code(), Some(1));
    let error = String::from_utf8(damaged.stderr).unwrap();
    assert!(error.contains("are no authority (hint: remove both"), "{error}");
    assert_eq!(read("localhost.pem"), after[2]);
}

#[test]
fn what_is_no_name_is_refused() {
    let project = Project::new();
    for arguments in [
        &["cert", "https://localhost"][..],
        &["cert", "localhost:3000"],
        &["cert", "a b"],
        &["cert", "*.localhost"],
        &["cert", ""],
        &["cert", "--client", "a", "b"],
        &["cert", "--client", ""],
    ] {
        let output = project.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("hint: "), "{output:?}");
    }
    assert_eq!(project.run(&["cert"]).status.code(), Some(2));
    assert!(!project.path().join("certs").exists());
}

//! `/tmp` of a function that is granted one.

use std::fs;

use mayfly_tests::{Gateway, Project, fixture};
use serde_json::{Value, json};

/// The guests that have the same program, how each is asked, and what its
/// library makes of a write that there is no room for: that of WASI 0.2 knows
/// no more than that it failed.
const PROGRAMS: [(&str, &str, &str); 2] =
    [("command", "/tool?do=storage&what=", "EIO"), ("module", "/tool?storage=", "ENOSPC")];

fn gateway(guest: &str, function: &str) -> Gateway {
    let config = format!("[function.tool]\n{function}\n");
    Project::with_config(&config).with_handler("tool", &fixture(guest)).serve()
}

/// What the project's folder for it holds: nothing that has a name.
fn left_in(gateway: &Gateway) -> usize {
    fs::read_dir(gateway.project.path().join(".mayfly/tmp")).expect("the folder").count()
}

#[test]
fn without_the_key_there_is_none() {
    for (guest, query, _) in PROGRAMS {
        let gateway = gateway(guest, "");
        let text = gateway.get(&format!("{query}left")).text();
        assert!(text.starts_with("Err("), "{guest}: {text}");
        assert!(!text.ends_with("ok"), "{guest}: {text}");
    }
    let gateway = gateway("http-guest", "");
    assert_eq!(gateway.get("/tool/storage").json(), json!(["preopens: []"]));
}

#[test]
fn it_is_a_file_system() {
    for (guest, query, _) in PROGRAMS {
        let gateway = gateway(guest, "ephemeral_storage_mb = 1");
        let text = gateway.get(&format!("{query}posix")).text();
        for expected in [
            "empty: Ok([])",
            "directories: ok",
            "write: ok",
            "append: ok",
            "seek: Ok(\"2XYZ6789abc 5\")",
            "read: Ok(\"012XY\")",
            "link: ok",
            "rename: ok",
            "moved: Ok(\"012XY\")",
            "into itself: EINVAL",
            "no file: ENOENT",
            "not empty: ENOTEMPTY",
            "exists: EEXIST",
            "remove: ok",
            "linked: Ok(\"012XY\")",
            "listing: Ok([\"a\", \"link\", \"moved\"])",
            "all: ok",
            "time: Ok(true)",
            "long: ok",
            "whole: Ok(true)",
        ] {
            assert!(text.lines().any(|line| line == expected), "{guest}: {expected}\n{text}");
        }
        assert_eq!(left_in(&gateway), 0);
    }
}

#[test]
fn nothing_is_left_for_the_next_invocation() {
    for (guest, query, full) in PROGRAMS {
        let gateway = gateway(guest, "ephemeral_storage_mb = 1\ntimeout_ms = 700");
        for way in ["trap", "loop"] {
            gateway.expect_function_error(&format!("{query}{way}"), "http");
        }
        for _ in 0..5 {
            assert_eq!(gateway.get(&format!("{query}left")).text(), "Ok([])\nok", "{guest}");
        }
        assert_eq!(left_in(&gateway), 0);
        // Invocations at the same time have each its own.
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let text = gateway.get(&format!("{query}fill")).text();
                    assert_eq!(text, format!("1048576 {full}"), "{guest}");
                });
            }
        });
    }
}

#[test]
fn the_quota_holds_in_every_way() {
    for (guest, query, full) in PROGRAMS {
        let gateway = gateway(guest, "ephemeral_storage_mb = 1\ntimeout_ms = 20000");
        let text = gateway.get(&format!("{query}quota")).text();
        let expected = [
            "reuse: ok",
            "set_len: ENOSPC",
            "largest: ENOSPC",
            &format!("far: {full}"),
            "hole: ok",
            &format!("full: {full}"),
            "another name: ok",
            "unlinked: ok",
            &format!("has a name: {full}"),
            "without any: ok",
            &format!("is open: {full}"),
            "closed: ok",
            "renamed over: ok",
            "left: Ok([\"one\"])",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected, "{guest}");
        let text = gateway.get(&format!("{query}names")).text();
        let (files, directories) = text.split_once('\n').expect("two lines");
        assert_eq!(files, "16384 ENOSPC", "{guest}");
        // That deep no path is long enough.
        assert!(directories.ends_with(" ENAMETOOLONG"), "{guest}: {directories}");
    }
}

#[test]
fn nothing_else_can_be_reached() {
    for (guest, query, _) in PROGRAMS {
        let gateway = gateway(guest, "ephemeral_storage_mb = 1");
        let text = gateway.get(&format!("{query}outside")).text();
        let lines: Vec<&str> = text.lines().collect();
        let (listing, tried) = lines.split_last().expect("lines");
        assert_eq!(*listing, "Ok([\"mine\"])", "{guest}: {text}");
        assert_eq!(tried.len(), 6);
        for line in tried {
            assert!(line.ends_with(": false false false false"), "{guest}: {line}");
        }
    }
}

#[test]
fn guests_that_speak_http_have_it_too() {
    let two = gateway("http-guest", "ephemeral_storage_mb = 1");
    let expected = json!([
        "preopens: [\"/tmp\"]",
        "absolute: not-permitted",
        "up: ok",
        "through it: not-permitted",
        "written through: loop",
        "itself: ok",
        "long way: loop",
        "write: Ok(65536)",
        "beyond: insufficient-space",
        "last: file-too-large",
        "read: Ok((6, false))",
        "read-only: bad-descriptor",
        // One MiB has 16 parts of 64 KiB, and one of them was taken.
        "streams: 15 25 983040",
        "same: true",
    ]);
    let answer = two.get("/tool/storage");
    assert_eq!(answer.json(), expected);
    let three = gateway("http-async", "ephemeral_storage_mb = 1");
    let expected = [
        "preopens: [\"/tmp\"]",
        "directory: ok",
        "up: ok",
        "through it: ErrorCode::NotPermitted",
        "append: ok",
        "size: Ok(500000)",
        "read: 450000 true ok",
        "full: ErrorCode::InsufficientSpace",
        "held: Ok(true)",
        "set_size: ErrorCode::InsufficientSpace",
        "smaller: ok",
        "entries: [\"d\", \"up\"] ok",
        "no file: ErrorCode::IsDirectory",
        "remove: ok",
        "gone: ErrorCode::NoEntry",
    ];
    let text = three.get("/tool/storage").text();
    assert_eq!(text.lines().collect::<Vec<_>>(), expected, "{}", three.log());
}

#[test]
fn a_kill_leaves_nothing() {
    let gateway = gateway("command", "ephemeral_storage_mb = 64\ntimeout_ms = 60000");
    std::thread::scope(|scope| {
        let sent = scope.spawn(|| gateway.request("GET", "/tool?do=storage&what=loop").send());
        let held = format!("/proc/{}/fd", gateway.id());
        let folder = gateway.project.path().join(".mayfly/tmp");
        let is_open = || {
            let links = fs::read_dir(&held).expect("open files").flatten();
            let mut targets = links.filter_map(|link| fs::read_link(link.path()).ok());
            targets.any(|target| target.starts_with(&folder))
        };
        gateway.wait("file of /tmp", is_open);
        assert_eq!(left_in(&gateway), 0);
        gateway.signal("KILL");
        assert!(sent.join().expect("a thread").is_err());
    });
    let (project, _) = gateway.kill();
    let gateway = project.serve();
    assert_eq!(gateway.get("/tool?do=storage&what=left").text(), "Ok([])\nok");
}

#[test]
fn the_api_of_lambda_tells_of_it() {
    let gateway = gateway("command", "ephemeral_storage_mb = 64");
    let path = "/2015-03-31/functions/tool/configuration";
    let configuration: Value = gateway.lambda("GET", path).send().unwrap().json().unwrap();
    assert_eq!(configuration["EphemeralStorage"], json!({ "Size": 64 }));
}

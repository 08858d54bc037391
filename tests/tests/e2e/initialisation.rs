//! Guests that are started where their initialisation ended.

use std::{
    fs,
    time::{Duration, Instant},
};

use mayfly_tests::{Gateway, Project, fixture, handler};
use serde_json::{Value, json};

/// Tells when its table was made: a number that is drawn while it is.
fn table(gateway: &Gateway) -> String {
    let answer = gateway.get("/primes?n=1000").json();
    assert_eq!(answer["prime"], 7919, "{answer} {}", gateway.log());
    answer["table"].as_str().expect("a number").to_owned()
}

#[test]
fn what_it_makes_is_made_once_for_all_instances() {
    let gateway = Project::new().with_handler("primes", &handler("primes")).serve();
    let first = table(&gateway);
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| assert_eq!(table(&gateway), first));
        }
    });
    assert_ne!(gateway.get("/primes?n=1&again=1").json()["table"], json!(first));
    assert_eq!(table(&gateway), first);
    // It is kept with the code, and made again where that is gone.
    let (project, _) = gateway.stop();
    let gateway = project.serve();
    assert_eq!(table(&gateway), first);
    let (project, _) = gateway.stop();
    fs::remove_dir_all(project.path().join(".mayfly/code")).expect("the cache");
    assert_ne!(table(&project.serve()), first);
}

#[test]
fn it_saves_what_each_invocation_would_do() {
    let gateway = Project::new().with_handler("primes", &handler("primes")).serve();
    let fastest = |path: &str| -> Duration {
        let took = (0..20).map(|_| {
            let begun = Instant::now();
            assert_eq!(gateway.get(path).json()["prime"], 7919);
            begun.elapsed()
        });
        took.min().expect("some")
    };
    let (kept, again) = (fastest("/primes?n=1000"), fastest("/primes?n=1000&again=1"));
    println!(
        "with the table kept {kept:?}, with the table made again {again:?}: {:.0} times as long",
        again.as_secs_f64() / kept.as_secs_f64()
    );
}

/// A module of WASI preview 1 whose initialisation does this.
fn module(initialisation: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
            (memory (export "memory") 1)
            (table 2 funcref)
            (global $digit (mut i32) (i32.const 0x30))
            (data (i32.const 100) "Content-Type: text/plain\n\n00")
            (func $print
                (i32.store (i32.const 0) (i32.const 100))
                (i32.store (i32.const 4) (i32.const 28))
                (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
            (func (export "wizer-initialize") {initialisation})
            (func (export "_start")
                (i32.store8 (i32.const 127) (global.get $digit))
                (global.set $digit (i32.const 0x39))
                (call $print)))"#
    );
    wat::parse_str(text).expect("a module")
}

#[test]
fn a_core_module_keeps_memory_and_globals() {
    let project = Project::new();
    let wasm = module(
        "(i32.store8 (i32.const 126) (i32.const 0x34))
        (global.set $digit (i32.add (global.get $digit) (i32.const 2)))
        (drop (call $random (i32.const 1000) (i32.const 8)))
        (drop (memory.grow (i32.const 10)))",
    );
    fs::write(project.handler_path("old"), wasm).expect("written");
    fs::write(project.handler_path("plain"), module("")).expect("written");
    let gateway = project.serve();
    for _ in 0..3 {
        assert_eq!(gateway.get("/old").text(), "42", "{}", gateway.log());
        assert_eq!(gateway.get("/plain").text(), "00");
    }
}

#[test]
fn an_initialisation_is_tried_again_with_the_next_file() {
    let project = Project::new();
    fs::write(project.handler_path("old"), module("unreachable")).expect("written");
    let gateway = project.serve();
    gateway.wait_for_log("its initialisation, wizer-initialize, trapped");
    let wasm = module("(i32.store8 (i32.const 126) (i32.const 0x37))");
    fs::write(gateway.project.handler_path("old"), wasm).expect("written");
    gateway.wait("answer", || gateway.get("/old").text() == "70");
}

#[test]
fn one_that_cannot_be_run_ahead_is_named_with_the_reason() {
    let project = Project::new();
    let write = |name: &str, wasm: Vec<u8>| {
        fs::write(project.handler_path(name), wasm).expect("written");
    };
    write("trap", module("unreachable"));
    write("endless", module("(loop (br 0))"));
    write("memory", module("(drop (memory.grow (i32.const 30000))) unreachable"));
    write("environment", module("(drop (call $environ (i32.const 0) (i32.const 4)))"));
    write("prints", module("(call $print)"));
    write("tables", module("(table.set (i32.const 0) (table.get (i32.const 1)))"));
    let component =
        |text: &str| wat::parse_str(format!("(component {text})")).expect("a component");
    let exported = r#"(core module $m (func (export "f") (result i32) i32.const 1) (func (export "g")))
        (core instance $i (instantiate $m))"#;
    let lifted = r#"(func (export "wizer-initialize") (canon lift (core func $i "g")))"#;
    write(
        "result",
        component(&format!(
            r#"{exported} (func (export "wizer-initialize") (result u32) (canon lift (core func $i "f")))"#
        )),
    );
    write(
        "stream",
        component(
            r#"(import "wasi:io/streams@0.2.0" (instance $s (export "output-stream" (type (sub resource)))))
            (alias export $s "output-stream" (type $stream))
            (import "wasi:cli/stdout@0.2.0" (instance $stdout
                (alias outer 1 $stream (type $outer))
                (export "output-stream" (type $own (eq $outer)))
                (export "get-stdout" (func (result (own $own))))))
            (core func $get (canon lower (func $stdout "get-stdout")))
            (core module $m
                (import "host" "get" (func $get (result i32)))
                (func (export "g") (drop (call $get))))
            (core instance $i (instantiate $m (with "host" (instance (export "get" (func $get))))))
            (func (export "wizer-initialize") (canon lift (core func $i "g")))"#,
        ),
    );
    write("nested", component(&format!("(component (core module)) {exported} {lifted}")));
    write(
        "newer",
        component(&format!(
            r#"(import "wasi:clocks/system-clock@0.3.0" (instance (export "f" (func)))) {exported} {lifted}"#
        )),
    );
    let check = project.run(&["check"]);
    assert_eq!(check.status.code(), Some(2));
    let problems = String::from_utf8(check.stderr).expect("text");
    for (name, expected) in [
        ("trap", "trapped: wasm trap: wasm `unreachable` instruction executed"),
        ("endless", "takes longer than 10 seconds"),
        ("memory", "needs more memory than pools.memory_mb_max = 1024 MiB"),
        ("environment", "trapped: it asks for the environment, which each function has of its own"),
        (
            "prints",
            "trapped: it asks for files, which each function has of its own; a module of WASI",
        ),
        ("stream", "leaves a stream or another handle open"),
        ("tables", "cannot be run ahead: unsupported `table.set` instruction"),
        ("result", "is no function without parameters and results"),
        ("nested", "cannot be run ahead: nested components with modules"),
        ("newer", "cannot be run ahead: it has to do with WASI 0.3"),
    ] {
        let expected = format!("its initialisation, wizer-initialize, {expected}");
        let line = problems.lines().find(|line| line.contains(&format!("{name}.wasm")));
        let line = line.unwrap_or_else(|| panic!("{name}: {problems}"));
        assert!(line.contains(&expected), "{name}: {line}");
    }
    assert!(problems.contains("10 problems found"), "{problems}");
}

#[test]
fn what_asks_for_none_is_as_ever() {
    let gateway = Project::new().with_handler("probe", &fixture("probe")).serve();
    let answers: Vec<Value> = (0..3).map(|_| gateway.get("/probe?do=count").json()).collect();
    assert_eq!(answers, [1, 1, 1]);
}

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use super::*;
use crate::{
    config::{self, Overrides, Secret},
    sandbox::engine::{self, Kind},
    telemetry::Tail,
};

/// What the first byte of the event asks for is done; then the event is the answer.
const GUEST: &str = r#"(module
    (import "mayfly:lambda/logging@0.1.0" "log" (func $log (param i32 i32 i32)))
    (import "wasi:cli/environment@0.2.6" "get-environment" (func $environment (param i32)))
    (import "wasi:clocks/wall-clock@0.2.0" "now" (func $wall (param i32)))
    (import "wasi:clocks/monotonic-clock@0.2.0" "now" (func $monotonic (result i64)))
    (import "wasi:random/insecure-seed@0.2.4" "insecure-seed" (func $seed (param i32)))
    (import "wasi:random/random@0.2.0" "get-random-u64" (func $number (result i64)))
    (import "wasi:random/random@0.2.0" "get-random-bytes" (func $bytes (param i64 i32)))
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 4096))
    (func (export "realloc") (param i32 i32) (param $align i32) (param $bytes i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and
            (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
            (i32.sub (i32.const 0) (local.get $align))))
        (global.set $next (i32.add (local.get $at) (local.get $bytes)))
        (local.get $at))
    (func $expect (param i32) (if (i32.eqz (local.get 0)) (then unreachable)))
    (func $descend (param i32) (result i32)
        (i32.add (call $descend (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))
    (func (export "handle") (param $event i32) (param $length i32)
        (param i32 i32) (param $name i32) (param $name-length i32) (param i32 i32 i32 i32)
        (param $memory i32) (param $deadline i64) (result i32)
        (local $do i32)
        (local.set $do (i32.load8_u (local.get $event)))
        (i32.store (i32.const 1028) (local.get $event))
        (i32.store (i32.const 1032) (local.get $length))
        (if (i32.eq (local.get $do) (i32.const "n")) (then
            (i32.store (i32.const 1028) (local.get $name))
            (i32.store (i32.const 1032) (local.get $name-length))))
        (if (i32.eq (local.get $do) (i32.const "c")) (then
            (call $expect (i32.eq (local.get $memory) (i32.const 2)))
            (call $expect (i64.eq (local.get $deadline) (i64.const 12345678901)))))
        (if (i32.eq (local.get $do) (i32.const "l")) (then
            (call $log (i32.const 3) (local.get $event) (local.get $length))))
        (if (i32.eq (local.get $do) (i32.const "L")) (then
            (call $log (i32.const 3) (local.get $event) (local.get $length))
            unreachable))
        (if (i32.eq (local.get $do) (i32.const "F")) (then
            (loop $again
                (call $log (i32.const 0) (local.get $event) (local.get $length))
                (br $again))))
        (if (i32.eq (local.get $do) (i32.const "V")) (then
            (call $log (i32.const 5) (local.get $event) (local.get $length))))
        (if (i32.eq (local.get $do) (i32.const "e")) (then
            (call $environment (i32.const 64))
            (call $expect (i32.eq (i32.load (i32.const 68)) (i32.const 2)))
            (i32.store (i32.const 1028) (i32.load offset=24 (i32.load (i32.const 64))))
            (i32.store (i32.const 1032) (i32.load offset=28 (i32.load (i32.const 64))))))
        (if (i32.eq (local.get $do) (i32.const "w")) (then
            (call $wall (i32.const 64))
            (call $expect (i64.gt_u (i64.load (i32.const 64)) (i64.const 1700000000)))
            (call $expect (i32.lt_u (i32.load (i32.const 72)) (i32.const 1000000000)))))
        (if (i32.eq (local.get $do) (i32.const "m")) (then
            (call $expect (i64.le_u (call $monotonic) (call $monotonic)))))
        (if (i32.eq (local.get $do) (i32.const "s")) (then
            (call $seed (i32.const 64))
            (call $seed (i32.const 80))
            (call $expect (i64.eq (i64.load (i32.const 64)) (i64.load (i32.const 80))))
            (call $expect (i64.eq (i64.load (i32.const 72)) (i64.load (i32.const 88))))
            (call $expect (i64.ne (i64.load (i32.const 64)) (i64.load (i32.const 72))))))
        (if (i32.eq (local.get $do) (i32.const "S")) (then (call $seed (i32.const 65))))
        (if (i32.eq (local.get $do) (i32.const "r")) (then
            (call $expect (i64.ne (call $number) (call $number)))
            (call $bytes (i64.const 16) (i32.const 64))
            (call $expect (i32.eq (i32.load (i32.const 68)) (i32.const 16)))
            (call $expect (i64.ne
                (i64.load align=1 (i32.load (i32.const 64)))
                (i64.load offset=8 align=1 (i32.load (i32.const 64)))))))
        (if (i32.eq (local.get $do) (i32.const "R")) (then
            (call $bytes (i64.const -1) (i32.const 64))))
        (if (i32.eq (local.get $do) (i32.const "g")) (then
            (call $expect (i32.eq (memory.grow (i32.const 31)) (i32.const 1)))
            (call $expect (i32.eq (memory.grow (i32.const 1)) (i32.const -1)))))
        (if (i32.eq (local.get $do) (i32.const "k")) (then
            (call $expect (i32.eqz (i32.load (i32.const 512))))
            (i32.store (i32.const 512) (i32.const 1))))
        (if (i32.eq (local.get $do) (i32.const "t")) (then unreachable))
        (if (i32.eq (local.get $do) (i32.const "i")) (then (loop $again (br $again))))
        (if (i32.eq (local.get $do) (i32.const "d")) (then (drop (call $descend (i32.const 0)))))
        (if (i32.eq (local.get $do) (i32.const "f")) (then (i32.store (i32.const 1024) (i32.const 1))))
        (if (i32.eq (local.get $do) (i32.const "o")) (then
            (i32.store (i32.const 1028) (i32.const -1))))
        (if (i32.eq (local.get $do) (i32.const "O")) (then
            (i32.store (i32.const 1032) (i32.const 65536))))
        (if (i32.eq (local.get $do) (i32.const "b")) (then
            (i32.store8 (local.get $event) (i32.const 255))))
        (if (i32.eq (local.get $do) (i32.const "u")) (then (return (i32.const 1023))))
        (if (i32.eq (local.get $do) (i32.const "U")) (then (return (i32.const -4))))
        (i32.const 1024)))"#;

struct Guest {
    direct: Direct,
    config: Arc<FunctionConfig>,
    over: Arc<AtomicBool>,
}

impl Guest {
    fn new() -> Self {
        let engine = engine::small(Kind::Guarded, 2, 16);
        let (over, ticks) = (Arc::<AtomicBool>::default(), engine.clone());
        let ended = Arc::clone(&over);
        thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(100));
                ticks.increment_epoch();
            }
        });
        let text = ('a'..='z').chain('A'..='Z').fold(GUEST.to_owned(), |text, letter| {
            text.replace(
                &format!("(i32.const {:?})", letter.to_string()),
                &format!("(i32.const {})", u32::from(letter)),
            )
        });
        let module =
            Module::new(&engine, wat::parse_str(text).expect("a module")).expect("it is valid");
        let folder = tempfile::tempdir().expect("a folder");
        let config = config::load(None, folder.path(), &Overrides::default());
        let config = config.map_err(|invalid| invalid.problems).expect("a configuration");
        let config = FunctionConfig {
            memory_mb: 2,
            response_bytes_max: 100,
            environment: [("A", "1"), ("NAME", "Ada")]
                .map(|(name, value)| (name.to_owned(), Secret::new(value.to_owned())))
                .into(),
            ..config.function("guest").clone()
        };
        let direct = Direct::new(&engine, &module, "handle").expect("it can be called");
        Self { direct, config: Arc::new(config), over }
    }

    /// What it answers, and what its log has then.
    fn logged(&self, event: &str) -> (Option<String>, String) {
        let tail = Tail::default();
        let log = InvocationLog::new("guest", "id", 1000)
            .with_lifecycle(Level::DEBUG, Some(tail.clone()));
        let context = Context {
            request_id: "an-id",
            function_name: "guest",
            function_version: "$LATEST",
            invoked_function_arn: "arn",
            memory_limit_mb: 2,
            deadline_ms: 12_345_678_901,
        };
        let answer = self.direct.answer(&Call {
            event,
            context,
            config: &self.config,
            log: &log,
            meter: &Arc::default(),
        });
        (answer.ok(), tail.text())
    }

    fn answer(&self, event: &str) -> Option<String> {
        self.logged(event).0
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

#[test]
fn what_goes_well_is_answered() {
    let guest = Guest::new();
    let long = "x".repeat(100);
    for event in ["", "c", "w", "m", "s", "r", "g", "k", "k", "\u{e9}t\u{e9}", &long] {
        assert_eq!(guest.answer(event).as_deref(), Some(event));
    }
    assert_eq!(guest.answer("n").as_deref(), Some("guest"));
    assert_eq!(guest.answer("e").as_deref(), Some("Ada"));
}

#[test]
fn what_goes_wrong_is_not_answered() {
    let guest = Guest::new();
    let long = "x".repeat(101);
    for event in ["t", "i", "d", "f", "o", "O", "b", "u", "U", "S", "R", "V", "F", &long] {
        assert_eq!(guest.answer(event), None, "{event}");
    }
}

#[test]
fn lines_are_written_if_all_goes_well() {
    let guest = Guest::new();
    assert_eq!(guest.logged("line"), (Some("line".to_owned()), "line\n".to_owned()));
    for event in ["Line", "F"] {
        assert_eq!(guest.logged(event), (None, String::new()));
    }
}

#[test]
fn a_module_has_to_be_what_it_is_called_as() {
    let engine = Engine::default();
    let new = |text: &str| {
        let module =
            Module::new(&engine, wat::parse_str(text).expect("a module")).expect("it is valid");
        Direct::new(&engine, &module, "handle").err().map(|error| error.to_string())
    };
    let exports =
        r#"(memory (export "memory") 1) (func (export "realloc")) (func (export "handle"))"#;
    assert_eq!(new(&format!("(module {exports})")), None);
    assert_eq!(new("(module)").as_deref(), Some("it has no memory"));
    let import = r#"(import "wasi:random/insecure-seed@0.2.4" "insecure-seed" (func (param i64)))"#;
    let error = new(&format!("(module {import} {exports})")).expect("another type");
    assert!(error.contains("incompatible import type"), "{error}");
    let import = r#"(import "wasi:random/insecure-seed@0.3.0" "insecure-seed" (func (param i32)))"#;
    let error = new(&format!("(module {import} {exports})")).expect("another version");
    assert!(error.contains("unknown import"), "{error}");
}

//! What a function can do, and what it cannot.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use mayfly_tests::{Answer, Gateway, Project, fixture};
use serde_json::{Value, json};

fn probe(kind: &str, function: &str) -> Gateway {
    let config = format!(
        "kind = {kind:?}\n[function.probe]\n{function}\n[table.Own]\npartition_key = \"id:S\"\n[table.Other]\npartition_key = \"id:S\"\n"
    );
    Project::with_config(&config).with_handler("probe", &fixture("probe")).serve()
}

#[test]
fn nothing_is_kept_between_two_invocations() {
    let gateway = probe("http", "");
    for _ in 0..20 {
        assert_eq!(gateway.get("/probe?do=count").json(), json!(1));
    }
}

#[test]
fn without_its_component_a_function_answers_the_same() {
    const OVER: &str = "the component does a call over";
    let project = Project::with_config(
        "kind = \"http\"\n[function.probe]\nmemory_mb = 64\nenvironment = { EMPTY = \"\", NAME = \"Ada\" }\n",
    );
    let project = project.with_handler("probe", &fixture("probe"));
    let gateway = project.with_variable("MAYFLY_LOG", "debug").serve();
    let before: Vec<Value> = ["environment", "count"]
        .map(|what| gateway.get(&format!("/probe?do={what}")).json())
        .into();
    // It is called often: a client sends what it has at once.
    gateway.wait("code that can be called without its component", || {
        let one = "GET /probe?do=count HTTP/1.1\r\nhost: localhost\r\n\r\n";
        let last = "GET /probe?do=count HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        let mut connection = TcpStream::connect(&gateway.address).unwrap();
        let mut sending = connection.try_clone().unwrap();
        let sent = std::thread::spawn(move || {
            sending.write_all((one.repeat(4000) + last).as_bytes()).unwrap();
        });
        let mut answers = String::new();
        connection.read_to_string(&mut answers).unwrap();
        sent.join().unwrap();
        assert_eq!(answers.matches("HTTP/1.1 200 OK\r\n").count(), 4001);
        gateway.log().contains("probe can be called without its component")
    });
    for _ in 0..20 {
        assert_eq!(gateway.get("/probe?do=environment").json(), before[0]);
        assert_eq!(gateway.get("/probe?do=count").json(), before[1]);
    }
    assert_eq!(before, [json!({ "EMPTY": "", "NAME": "Ada" }), json!(1)]);
    let context = gateway.get("/probe?do=context").json();
    assert_eq!(context["functionName"], "probe");
    assert_eq!(context["functionVersion"], "$LATEST");
    assert_eq!(context["arn"], "arn:aws:lambda:us-east-1:000000000000:function:probe");
    assert_eq!(context["memoryLimitMb"], 64);
    let deadline = context["deadlineMs"].as_u64().expect("a number");
    assert!(deadline > 1_700_000_000_000, "{context}");
    let text = "\u{e9}t\u{e9} \u{1f41d}".repeat(100_000);
    assert_eq!(
        gateway.post("/probe", &json!({ "text": text })).json()["body"],
        json!({ "text": text }).to_string()
    );
    assert_eq!(gateway.get("/probe?do=big&n=1000000").text(), "x".repeat(1_000_000));
    assert!(!gateway.log().contains(OVER), "{}", gateway.log());
    // What it cannot do so has an effect once.
    let others = [
        ("trap", 500, "asked to trap"),
        ("print", 200, "printed to standard output"),
        ("error", 500, "asked to fail"),
        ("allocate&n=100000000", 500, "memory limit of 64 MB exceeded"),
        ("recurse", 500, "while executing at wasm backtrace"),
    ];
    for (number, (what, status, line)) in (1..).zip(others) {
        // More than go without before it is tried again, and none of them long.
        (0..100).for_each(|_| assert_eq!(gateway.get("/probe?do=count").json(), json!(1)));
        let before = gateway.log();
        assert_eq!(gateway.get(&format!("/probe?do={what}")).status, status, "{what}");
        gateway.wait_for_log(line);
        let log = gateway.log();
        assert_eq!(log.matches(OVER).count(), number, "{what}: {log}");
        let written = log[before.len()..].matches(line).count();
        assert_eq!(written, 1, "{what}: {log}");
    }
}

#[test]
fn without_room_for_guard_pages_addresses_are_checked() {
    // 100 GiB: enough for thirty memories of 128 MiB, not of 4 GiB and more.
    let project = Project::with_config("kind = \"http\"\n[pools]\nconcurrency_max = 30\n");
    let project = project.with_handler("probe", &fixture("probe")).with_address_space(100 << 20);
    std::fs::write(project.handler_path("scatter"), scattering_command()).unwrap();
    let gateway = project.serve();
    assert_eq!(gateway.get("/probe?do=count").json(), json!(1));
    assert_eq!(gateway.get("/scatter").text(), "fresh");
    gateway.wait_for_log("functions check their addresses, which is slower: ");
}

/// A command with 5 MiB of memory, which reads and then writes to a page of each
/// 32 KiB, and traps where it finds what another has written.
fn scattering_command() -> Vec<u8> {
    let data = "x".repeat(2 << 20);
    let text = format!(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 80)
            (data (i32.const 100) "Content-Type: text/plain\n\nfresh")
            (data (i32.const 65536) "{data}")
            (func $take (param $at i32) (param $expected i32)
                (if (i32.ne (i32.load8_u (local.get $at)) (local.get $expected)) (then unreachable))
                (i32.store8 (local.get $at) (i32.const 121)))
            (func (export "_start") (local $at i32)
                (local.set $at (i32.const 65536))
                (loop $again
                    (call $take (local.get $at) (i32.const 120))
                    (local.set $at (i32.add (local.get $at) (i32.const 32768)))
                    (br_if $again (i32.lt_u (local.get $at) (i32.const 2162688))))
                (call $take (i32.const 4000000) (i32.const 0))
                (i32.store (i32.const 0) (i32.const 100))
                (i32.store (i32.const 4) (i32.const 31))
                (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#
    );
    wat::parse_str(text).expect("a module")
}

/// Pages that the process had to be given so far.
fn page_faults(gateway: &Gateway) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", gateway.id())).unwrap();
    let (_, fields) = stat.rsplit_once(") ").expect("a name in parentheses");
    fields.split(' ').nth(7).expect("minflt").parse().expect("a number")
}

#[test]
fn what_large_guests_write_to_stays_resident_and_is_cleared() {
    const REQUESTS: u64 = 50;
    let project = Project::new();
    std::fs::write(project.handler_path("scatter"), scattering_command()).unwrap();
    let gateway = project.serve();
    gateway.wait("guest that causes few page faults", || {
        let before = page_faults(&gateway);
        (0..REQUESTS).for_each(|_| assert_eq!(gateway.get("/scatter").text(), "fresh"));
        // Of the 65 that each writes to, 32 are always kept.
        page_faults(&gateway) - before < REQUESTS * 10
    });
}

#[test]
fn a_guest_that_misbehaves_ends_alone() {
    for kind in ["http", "rest"] {
        let gateway = probe(kind, "timeout_ms = 500\nmemory_mb = 16");
        gateway.expect_function_error("/probe?do=trap", kind);
        gateway.wait_for_log("asked to trap");
        gateway.expect_function_error("/probe?do=error", kind);
        gateway.wait_for_log("Probe.Error: asked to fail");
        gateway.expect_function_error("/probe?do=recurse", kind);
        gateway.expect_function_error("/probe?do=allocate&n=50000000", kind);
        gateway.expect_function_error("/probe?do=loop", kind);
        gateway.wait_for_log("task timed out after 0.50 seconds");
        gateway.expect_function_error("/probe?do=sleep&n=20000", kind);
        assert_eq!(gateway.get("/probe?do=allocate&n=1000000").json(), json!("done"));
    }
}

/// A function that reads or writes far beyond its memory of one page.
fn overreaching_function(access: &str) -> Vec<u8> {
    let module = format!(
        r#"(memory (export "memory") 1)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024)
        (func (export "handle")
            (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i64) (result i32)
            {access}
            i32.const 0)"#
    );
    let text = include_str!("../../../runtime/benches/function.wat").replace("{module}", &module);
    wat::parse_str(text).expect("a component")
}

#[test]
fn a_guest_that_reaches_beyond_its_memory_ends_alone() {
    let accesses = [
        ("next", "(drop (i32.load (i32.const 65533)))"),
        ("far", "(drop (i64.load offset=4294967295 (i32.const -1)))"),
        ("store", "(i32.store (i32.const -4) (i32.const 1))"),
        ("fill", "(memory.fill (i32.const 65000) (i32.const 1) (i32.const 2000))"),
    ];
    let project = Project::with_config("kind = \"http\"\n");
    for (name, access) in accesses {
        let path = project.handler_path(name);
        std::fs::write(path, overreaching_function(access)).expect("written");
    }
    let gateway = project.with_handler("probe", &fixture("probe")).serve();
    for (name, _) in accesses {
        for _ in 0..3 {
            gateway.expect_function_error(&format!("/{name}"), "http");
        }
        gateway.wait_for_log("out of bounds memory access");
        assert_eq!(gateway.get("/probe?do=count").json(), json!(1));
    }
}

#[test]
fn others_are_served_while_guests_loop() {
    let gateway = probe("http", "timeout_ms = 10000");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(gateway.get("/probe?do=loop").status, 500));
        }
        std::thread::sleep(Duration::from_millis(200));
        let begun = Instant::now();
        assert_eq!(gateway.get("/probe?do=count").json(), json!(1));
        // The loops themselves go on for longer.
        assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    });
}

#[test]
fn a_route_s_timeout_is_a_late_integration() {
    for kind in ["http", "rest"] {
        let config = format!(
            "kind = {kind:?}\n[function.probe]\ntimeout_ms = 20000\n[[route]]\nroute = \"GET /late\"\nfunction = \"probe\"\ntimeout_ms = 200\n"
        );
        let gateway =
            Project::with_config(&config).with_handler("probe", &fixture("probe")).serve();
        let answer = gateway.get("/late?do=sleep&n=10000");
        let message = json!({ "message": "Endpoint request timed out" });
        assert_eq!((answer.status, answer.json()), (504, message), "{kind}");
    }
}

#[test]
fn a_guest_sees_the_declared_environment_and_no_files() {
    let gateway = probe("http", "environment = { STAGE = \"test\", BOARD = \"b\" }");
    assert_eq!(
        gateway.get("/probe?do=environment").json(),
        json!({ "BOARD": "b", "STAGE": "test" })
    );
    let files = gateway.get("/probe?do=files").json();
    assert!(files["error"].is_string(), "{files}");
}

#[test]
fn the_context_describes_the_invocation() {
    let gateway = probe("http", "memory_mb = 64\ntimeout_ms = 5000");
    let context = gateway.get("/probe?do=context").json();
    assert_eq!(context["functionName"], "probe");
    assert_eq!(context["functionVersion"], "$LATEST");
    assert_eq!(context["arn"], "arn:aws:lambda:us-east-1:000000000000:function:probe");
    assert_eq!(context["memoryLimitMb"], 64);
    assert_eq!(context["requestId"].as_str().unwrap().len(), 36);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let deadline = Duration::from_millis(context["deadlineMs"].as_u64().unwrap());
    assert!(deadline > now.saturating_sub(Duration::from_secs(25)), "{context}");
    assert!(deadline < now + Duration::from_secs(6), "{context}");
}

#[test]
fn what_a_guest_prints_becomes_log_lines_of_its_invocation() {
    let gateway = probe("http", "");
    let answer = gateway.get("/probe?do=print");
    let id = answer.header("apigw-requestid").unwrap().to_owned();
    for text in ["printed to standard output", "printed to standard error", "logged as a warning"] {
        gateway.wait_for_log(text);
        let log = gateway.log();
        let line = log.lines().find(|line| line.contains(text)).unwrap();
        assert!(line.contains(&id) && line.contains("probe"), "{line}");
    }
}

#[test]
fn a_flood_of_log_lines_is_cut() {
    let gateway = probe("http", "log_bytes_max = 1000");
    assert_eq!(gateway.get("/probe?do=flood&n=10000").json(), json!("done"));
    gateway.wait_for_log("log lines dropped: log_bytes_max = 1000 reached");
    let log = gateway.log();
    assert!(log.contains("line 0 of a flood"));
    assert!(!log.contains("line 9999 of a flood"));
}

fn call(gateway: &Gateway, service: &str, action: &str, input: Value) -> Value {
    gateway
        .post("/probe?do=call", &json!({ "service": service, "action": action, "input": input }))
        .json()
}

#[test]
fn only_granted_tables_and_services_can_be_called() {
    let gateway = probe("http", "tables = [\"Own\"]");
    let item = json!({ "id": { "S": "1" } });
    let put = call(&gateway, "dynamodb", "PutItem", json!({ "TableName": "Own", "Item": item }));
    assert!(put["ok"].is_object(), "{put}");
    for (service, action, input) in [
        ("dynamodb", "PutItem", json!({ "TableName": "Other", "Item": item })),
        ("dynamodb", "Scan", json!({ "TableName": "Other" })),
        ("dynamodb", "DeleteTable", json!({ "TableName": "Own" })),
        ("dynamodb", "ExecuteStatement", json!({ "Statement": "SELECT * FROM \"Own\"" })),
        ("dynamodb", "BatchGetItem", json!({ "RequestItems": { "Other": { "Keys": [item] } } })),
        ("ses", "SendEmail", json!({})),
    ] {
        let error = call(&gateway, service, action, input);
        assert_eq!(error["code"], "AccessDeniedException", "{service} {action}: {error}");
    }
    assert_eq!(call(&gateway, "s3", "GetObject", json!({}))["code"], "UnknownServiceException");
}

#[test]
fn service_errors_are_the_service_s_own() {
    let gateway = probe("http", "tables = [\"Own\"]");
    let error = call(&gateway, "dynamodb", "GetItem", json!({ "TableName": "Own", "Key": {} }));
    assert_eq!(error["code"], "ValidationException", "{error}");
    assert_eq!(error["message"], "The provided key element does not match the schema");
    let put = |condition: Value| json!({ "TableName": "Own", "Item": { "id": { "S": "1" } }, "ConditionExpression": condition });
    call(&gateway, "dynamodb", "PutItem", put(json!("attribute_not_exists(id)")));
    let error = call(&gateway, "dynamodb", "PutItem", put(json!("attribute_not_exists(id)")));
    assert_eq!(error["code"], "ConditionalCheckFailedException", "{error}");
    assert!(
        error["detail"]["__type"].as_str().unwrap().ends_with("#ConditionalCheckFailedException")
    );
}

#[test]
fn reserved_concurrency_throttles() {
    let gateway = probe("http", "reserved_concurrency = 1\ntimeout_ms = 20000");
    std::thread::scope(|scope| {
        // It may itself come while one of the quick ones is running.
        let slow = scope.spawn(|| {
            let statuses = (0..1000).map(|_| gateway.get("/probe?do=sleep&n=3000").status);
            statuses.into_iter().find(|&status| status != 429)
        });
        let mut throttled = None;
        gateway.wait("throttled request", || {
            let answer = gateway.get("/probe?do=count");
            throttled = (answer.status == 429).then(|| answer.json());
            throttled.is_some() || slow.is_finished()
        });
        assert_eq!(throttled, Some(json!({ "message": "Too Many Requests" })));
        assert_eq!(slow.join().unwrap(), Some(200));
    });
    assert_eq!(gateway.get("/probe?do=count").status, 200);
}

#[test]
fn more_sandboxes_than_the_pool_holds_wait_for_their_turn() {
    let config = "[pools]\nconcurrency_max = 2\n[function.probe]\ntimeout_ms = 20000\n";
    let gateway = Project::with_config(config).with_handler("probe", &fixture("probe")).serve();
    std::thread::scope(|scope| {
        let all: Vec<_> =
            (0..10).map(|_| scope.spawn(|| gateway.get("/probe?do=sleep&n=50").status)).collect();
        for one in all {
            assert_eq!(one.join().unwrap(), 200);
        }
    });
}

#[test]
fn a_file_that_is_no_function_is_named_with_the_reason() {
    let project = Project::new()
        .with_handler("wrong", &fixture("wrong-export"))
        .with_handler("strange", &fixture("strange-import"));
    std::fs::write(project.handler_path("text"), "not wasm").unwrap();
    std::fs::write(project.handler_path("core"), b"\0asm\x01\0\0\0").unwrap();
    std::fs::write(project.handler_path("empty"), b"").unwrap();
    let check = project.run(&["check"]);
    assert_eq!(check.status.code(), Some(2));
    let problems = String::from_utf8(check.stderr).unwrap();
    for expected in [
        "it exports func greet; expected func handle(event: string, context: context) -> result<string, function-error>",
        "acme:rocket/engine",
        "text.wasm: not a WebAssembly file",
        "core.wasm: a core WebAssembly module",
        "empty.wasm: not a WebAssembly file: it is empty",
        "5 problems found",
    ] {
        assert!(problems.contains(expected), "{expected:?} in {problems}");
    }
    let gateway = project.with_handler("probe", &fixture("probe")).serve();
    gateway.expect_function_error("/wrong", "http");
    assert_eq!(gateway.get("/probe?do=count").status, 200);
    // Two of them have to be compiled to see it.
    gateway.wait("five problems", || {
        let health = gateway.health();
        health["status"] == "degraded" && health["problems"].as_array().unwrap().len() == 5
    });
}

#[test]
fn what_a_guest_links_is_made_less_before_it_is_compiled() {
    let guests =
        ["probe", "authorizer", "http-guest", "http-async", "command", "command-async", "module"];
    let mut project = Project::new().with_variable("MAYFLY_LOG", "debug");
    for name in guests {
        project = project.with_handler(name, &fixture(name));
    }
    let gateway = project.serve();
    gateway.wait_for_code(guests.len());
    let log = gateway.log();
    assert!(log.contains(" DEBUG "), "{log}");
    assert!(!log.contains("is compiled as it is"), "{log}");
}

#[test]
fn a_damaged_or_foreign_cache_entry_is_compiled_again() {
    let project = Project::new().with_handler("probe", &fixture("probe"));
    let first = project.run(&[
        "invoke",
        "probe",
        "--payload",
        r#"{"queryStringParameters":{"do":"count"}}"#,
    ]);
    assert!(first.status.success(), "{first:?}");
    let cache = project.path().join(".mayfly/code");
    let entry = std::fs::read_dir(&cache).unwrap().next().unwrap().unwrap().path();
    let good = std::fs::read(&entry).unwrap();
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    for damaged in [&flipped[..], &good[..good.len() / 2], b"", b"something else entirely"] {
        // It cannot be written to by accident.
        std::fs::remove_file(&entry).unwrap();
        std::fs::write(&entry, damaged).unwrap();
        let again = project.run(&[
            "invoke",
            "probe",
            "--payload",
            r#"{"queryStringParameters":{"do":"count"}}"#,
        ]);
        assert!(again.status.success(), "{again:?}");
        let log = String::from_utf8(again.stderr).unwrap();
        assert!(log.contains("a damaged cache entry is compiled again"), "{log}");
        assert_eq!(std::fs::read(&entry).unwrap().len(), good.len());
    }
    assert!(Answer::of(project.serve().request("GET", "/probe?do=count")).status == 200);
}

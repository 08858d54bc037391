//! What a sandbox costs: an instance is made, called once and dropped. Beside it
//! stands wasmtime as its defaults are, with the same component; both copy an event in and an answer out.
//!
//! `cargo bench -p mayfly --bench sandbox`

#![allow(missing_docs, reason = "criterion's macros make public functions")]

use std::{hint::black_box, path::Path, sync::Arc};

use criterion::{Criterion, criterion_group, criterion_main};
use mayfly::{
    config::{self, Overrides},
    sandbox::{CallContext, CodeFile, Function, Invocation, LATEST, Sandbox},
    services::Services,
};
use wasmtime::{
    Engine, Store,
    component::{Component, Linker, Val},
};

/// A function that answers its event, and touches no more memory than that.
const MODULE: &str = r#"
        (memory (export "memory") 17)
        (global $next (mut i32) (i32.const 4096))
        (func (export "realloc") (param i32 i32 i32) (param $bytes i32) (result i32)
            (local $at i32)
            (local.set $at (global.get $next))
            (global.set $next (i32.add (local.get $at)
                (i32.and (i32.add (local.get $bytes) (i32.const 7)) (i32.const -8))))
            (local.get $at))
        (func (export "handle")
            (param $event i32) (param $bytes i32)
            (param i32 i32 i32 i32 i32 i32 i32 i32) (param i32) (param i64) (result i32)
            (i32.store (i32.const 1028) (local.get $event))
            (i32.store (i32.const 1032) (local.get $bytes))
            (i32.const 1024))"#;

/// What is around it.
const FUNCTION: &str = include_str!("function.wat");

/// As short as an event can usefully be.
const EVENT: &str = r#"{"name": "Ada", "tags": ["mathematics", "engines", "poetry"]}"#;

/// After so many calls within a second the function is one that is called often.
const OFTEN: usize = 2000;

const ID: &str = "7d4d3ae5-9a3f-4f0e-9c80-8f0a6f1b7a10";

fn function(folder: &Path, wasm: &[u8]) -> (Sandbox, Arc<Function>) {
    let config = config::load(None, folder, &Overrides::default());
    let config = config.map_err(|invalid| invalid.problems).expect("a configuration");
    let server = &config.server;
    let services = Arc::new(Services::open(&server.data).expect("services"));
    let sandbox = Sandbox::new(&server.pools, &server.data, services).expect("a sandbox");
    let path = folder.join("echo.wasm");
    std::fs::write(&path, wasm).expect("written");
    let file = CodeFile { name: "echo".to_owned(), path, is_reported: false };
    let code = sandbox.code(&[file]).remove(0).expect("a component");
    sandbox.finish();
    let function = sandbox.function("echo", LATEST, code, config.function("echo").clone());
    (sandbox, Arc::new(function))
}

fn invoked(runtime: &tokio::runtime::Runtime, function: &Arc<Function>) -> String {
    let context = CallContext::new(ID.to_owned(), ID.to_owned());
    let invocation = Invocation { event: EVENT.to_owned(), context };
    runtime.block_on(function.invoke(invocation)).expect("an answer")
}

/// The same by wasmtime's own means.
struct Plain {
    engine: Engine,
    component: Component,
    linker: Linker<()>,
}

impl Plain {
    fn new(wasm: &[u8]) -> Self {
        let engine = Engine::default();
        let component = Component::new(&engine, wasm).expect("a component");
        let mut linker = Linker::new(&engine);
        linker.instance("mayfly:lambda/types@0.1.0").expect("an instance");
        Self { engine, component, linker }
    }

    fn called(&self) -> Val {
        let mut store = Store::new(&self.engine, ());
        let instance = self.linker.instantiate(&mut store, &self.component).expect("an instance");
        let handle = instance.get_func(&mut store, "handle").expect("a function");
        let text = |name: &str, value: &str| (name.to_owned(), Val::String(value.to_owned()));
        let context = Val::Record(vec![
            text("request-id", ID),
            text("function-name", "echo"),
            text("function-version", LATEST),
            text("invoked-function-arn", "arn:aws:lambda:us-east-1:000000000000:function:echo"),
            ("memory-limit-mb".to_owned(), Val::U32(128)),
            ("deadline-ms".to_owned(), Val::U64(1)),
        ]);
        let mut results = [Val::Bool(false)];
        handle
            .call(&mut store, &[Val::String(EVENT.to_owned()), context], &mut results)
            .expect("an answer");
        let [result] = results;
        result
    }
}

fn sandbox(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let wasm = wat::parse_str(FUNCTION.replace("{module}", MODULE)).expect("a component");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let entered = runtime.enter();
    let (sandbox, function) = function(folder.path(), &wasm);
    drop(entered);
    let plain = Plain::new(&wasm);
    // The first of them come after it was compiled.
    for _ in 0..2 * OFTEN {
        assert_eq!(invoked(&runtime, &function), EVENT);
    }
    sandbox.finish();
    assert_eq!(plain.called(), Val::Result(Ok(Some(Box::new(Val::String(EVENT.to_owned()))))));
    let mut group = c.benchmark_group("sandbox");
    group.bench_function("baseline: wasmtime's defaults", |b| b.iter(|| black_box(plain.called())));
    group.bench_function("instantiated, called, dropped", |b| {
        b.iter(|| black_box(invoked(&runtime, &function)));
    });
    group.finish();
    drop(sandbox);
}

criterion_group!(benches, sandbox);
criterion_main!(benches);

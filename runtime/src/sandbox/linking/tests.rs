use wasmparser::Instance;
use wasmtime::{
    Engine, Store,
    component::{Component, Linker, Resource, ResourceType},
};

use super::{
    OWN_MAX, direct, lean,
    module::Module,
    outline::{Kind, Outline},
    unversioned,
};
use crate::sandbox::engine;

/// What the second function of a shim does.
const FORWARDS: &str = "local.get 0 local.get 1 i32.const 1 call_indirect (type $t)";

/// The interface of sockets: what takes a socket cannot be called.
const TCP: &str = "wasi:sockets/tcp@0.2.3";

/// A component whose main module calls methods of an imported interface by its own
/// table: `a` and `c`, whose result needs its memory, and likewise `b` and `d`. The
/// export `run` calls one of them by its number and answers what it does, for `c`
/// and `d` how long.
fn component(interface: &str, second: &str, more: &str) -> Vec<u8> {
    wat::parse_str(text(interface, second, more)).expect("a component")
}

fn text(interface: &str, second: &str, more: &str) -> String {
    let method = |name: &str, result: &str| {
        format!(
            r#"(export "[method]tcp-socket.{name}" (func (param "self" (borrow $socket)) (result {result})))"#
        )
    };
    let lower = |name: &str, options: &str| {
        format!(
            r#"(alias export $tcp "[method]tcp-socket.{name}" (func ${name}))
               (core func $core-{name} (canon lower (func ${name}) {options}))"#
        )
    };
    let memory = "(memory $memory) (realloc $realloc)";
    format!(
        r#"(component
          (import "{interface}" (instance $tcp
            (export "tcp-socket" (type $socket (sub resource)))
            (export "open" (func (result (own $socket))))
            {} {} {} {}))
          (alias export $tcp "tcp-socket" (type $socket))
          (core module $shim
            (type $t (func (param i32 i32)))
            (table (export "$imports") 3 3 funcref)
            (func (export "0") (type $t) local.get 0 local.get 1 i32.const 0 call_indirect (type $t))
            (func (export "1") (type $t) {second})
            (func (export "2") (type $t) local.get 0 local.get 1 i32.const 2 call_indirect (type $t)))
          (core module $main
            (type $plain (func (param i32) (result i32)))
            (import "tcp" "a" (func $a (param i32) (result i32)))
            (import "tcp" "c" (func $c (param i32 i32)))
            (import "tcp" "open" (func $open (result i32)))
            (import "tcp" "b" (func $b (param i32) (result i32)))
            (import "tcp" "d" (func $d (param i32 i32)))
            (import "tcp" "drop" (func $drop (param i32)))
            (memory (export "memory") 1)
            (table $own 4 4 funcref)
            (elem (table $own) (i32.const 0) func $a $b $length-c $length-d)
            (func $length-c (type $plain) local.get 0 i32.const 8 call $c i32.const 12 i32.load)
            (func $length-d (type $plain) local.get 0 i32.const 8 call $d i32.const 12 i32.load)
            (func (export "run") (param i32) (result i32) (local i32)
              call $open
              local.tee 1
              local.get 0
              call_indirect $own (type $plain)
              local.get 1
              call $drop)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024)
            {more})
          (core module $fixup
            (import "" "$imports" (table 3 3 funcref))
            (import "" "0" (func (param i32 i32)))
            (import "" "1" (func (param i32 i32)))
            (elem (i32.const 0) func 0 1))
          (core instance $shimmed (instantiate $shim))
          (alias core export $shimmed "0" (core func $c))
          (alias core export $shimmed "1" (core func $d))
          (alias core export $shimmed "$imports" (core table $imports))
          {} {}
          (alias export $tcp "open" (func $open))
          (core func $core-open (canon lower (func $open)))
          (core func $drop (canon resource.drop $socket))
          (core instance $args
            (export "a" (func $core-a)) (export "b" (func $core-b)) (export "open" (func $core-open))
            (export "c" (func $c)) (export "d" (func $d)) (export "drop" (func $drop)))
          (core instance $instance (instantiate $main (with "tcp" (instance $args))))
          (alias core export $instance "memory" (core memory $memory))
          (alias core export $instance "realloc" (core func $realloc))
          (alias core export $instance "run" (core func $run))
          {} {}
          (core instance $fill
            (export "$imports" (table $imports))
            (export "0" (func $core-c)) (export "1" (func $core-d)))
          (core instance (instantiate $fixup (with "" (instance $fill))))
          (func (export "run") (param "number" u32) (result u32) (canon lift (core func $run))))"#,
        method("a", "u32"),
        method("b", "u32"),
        method("c", "string"),
        method("d", "string"),
        lower("a", ""),
        lower("b", ""),
        lower("c", memory),
        lower("d", memory),
    )
}

/// That of invocations: what it refuses would be compiled as it was.
fn engine() -> Engine {
    engine::small(engine::Kind::Serial, 1, 1)
}

/// What `run` answers, or why it does not.
fn run(component: &[u8], interface: &str, number: u32) -> Result<u32, String> {
    struct Socket;
    let engine = engine();
    let component = Component::new(&engine, component).expect("it is valid");
    let mut linker = Linker::<()>::new(&engine);
    let mut host = linker.instance(interface).expect("an interface");
    host.resource("tcp-socket", ResourceType::host::<Socket>(), |_, _| Ok(())).expect("new");
    host.func_wrap("open", |_, ()| Ok((Resource::<Socket>::new_own(7),))).expect("new");
    for (name, answer) in [("a", 10_u32), ("b", 20)] {
        let name = format!("[method]tcp-socket.{name}");
        host.func_wrap(&name, move |_, (_,): (Resource<Socket>,)| Ok((answer,))).expect("new");
    }
    for (name, answer) in [("c", "thirty"), ("d", "fourteen bytes")] {
        let name = format!("[method]tcp-socket.{name}");
        host.func_wrap(&name, move |_, (_,): (Resource<Socket>,)| Ok((answer.to_owned(),)))
            .expect("new");
    }
    let mut store = Store::new(&engine, ());
    store.set_epoch_deadline(1);
    let instance = linker.instantiate(&mut store, &component).expect("an instance");
    let run = instance.get_typed_func::<(u32,), (u32,)>(&mut store, "run").expect("a function");
    let answer = run.call(&mut store, (number,));
    answer.map(|(answer,)| answer).map_err(|error| error.root_cause().to_string())
}

/// How many functions the modules of a component import: the main one, and what
/// fills the shim's table.
fn imports(component: &[u8]) -> (usize, usize) {
    let outline = Outline::of(component).expect("it is understood");
    let number = |index: usize| Module::of(outline.modules[index]).imported_functions().count();
    (number(1), number(2))
}

#[test]
fn what_nobody_can_call_is_linked_by_nobody() {
    let before = component(TCP, FORWARDS, "");
    assert_eq!(imports(&before), (6, 2));
    let after = lean(&before).expect("there is something to do");
    // What makes a socket is called like anything else.
    assert_eq!(imports(&after), (1, 0));
    for number in 0..4 {
        assert_eq!(
            run(&after, TCP, number),
            Err("wasm trap: wasm `unreachable` instruction executed".to_owned())
        );
    }
    assert_eq!(lean(&after), None);
}

#[test]
fn what_can_be_called_is_called_without_a_shim() {
    for interface in [
        "wasi:sockets/tcp@0.3.0",
        "wasi:sockets/tcp@0.2.0-rc",
        "wasi:sockets/tcp",
        "own:tcp/tcp@0.2.0",
    ] {
        let before = component(interface, FORWARDS, "");
        let after = lean(&before).expect("there is something to do");
        assert_eq!(imports(&after), (4, 2), "{interface}");
        // The shim's table is the main module's own.
        assert_eq!((instances(&before), instances(&after)), (3, 2), "{interface}");
        for (number, answer) in [10, 20, 6, 14, 0].into_iter().enumerate() {
            let number = u32::try_from(number).expect("it is small");
            let before = run(&before, interface, number);
            assert_eq!(run(&after, interface, number), before, "{interface}");
            assert_eq!(before.ok(), (number < 4).then_some(answer), "{interface}");
        }
        assert_eq!(lean(&after), None);
    }
}

/// A component whose export `run` asks an interface for a terminal, and answers
/// whether there is one.
fn asking(interface: &str, more: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
          (import "wasi:cli/terminal-output@0.2.3" (instance $output
            (export "terminal-output" (type (sub resource)))))
          (alias export $output "terminal-output" (type $terminal))
          (import "{interface}" (instance $host
            (alias outer 1 $terminal (type $outer))
            (export "terminal-output" (type $own (eq $outer)))
            (export "get-terminal-stdout" (func (result (option (own $own)))))))
          (alias export $host "get-terminal-stdout" (func $get))
          (core module $shim
            (type $t (func (param i32)))
            (table (export "$imports") 1 1 funcref)
            (func (export "0") (type $t) local.get 0 i32.const 0 call_indirect (type $t)))
          (core module $main
            (import "host" "get" (func $get (param i32)))
            (memory (export "memory") 1)
            (func (export "run") (result i32)
              (i32.store8 (i32.const 8) (i32.const 7))
              (call $get (i32.const 8))
              (i32.load8_u (i32.const 8))))
          (core module $fixup
            (import "" "$imports" (table 1 1 funcref))
            (import "" "0" (func (param i32)))
            (elem (i32.const 0) func 0))
          (core instance $shimmed (instantiate $shim))
          (alias core export $shimmed "0" (core func $shim-get))
          (alias core export $shimmed "$imports" (core table $imports))
          (core instance $args (export "get" (func $shim-get)))
          (core instance $instance (instantiate $main (with "host" (instance $args))))
          (alias core export $instance "memory" (core memory $memory))
          (alias core export $instance "run" (core func $run))
          (core func $core-get (canon lower (func $get) (memory $memory)))
          (core instance $fill
            (export "$imports" (table $imports)) (export "0" (func $core-get)))
          (core instance (instantiate $fixup (with "" (instance $fill))))
          {more}
          (func (export "run") (result u32) (canon lift (core func $run))))"#
    );
    wat::parse_str(text).expect("a component")
}

/// What it answers where there is a terminal.
fn asked(component: &[u8], interface: &str) -> u32 {
    struct Terminal;
    let engine = engine();
    let component = Component::new(&engine, component).expect("it is valid");
    let mut linker = Linker::<()>::new(&engine);
    let terminal = ResourceType::host::<Terminal>();
    for name in ["wasi:cli/terminal-output@0.2.3", interface] {
        let mut host = linker.instance(name).expect("an interface");
        host.resource("terminal-output", terminal, |_, _| Ok(())).expect("new");
    }
    let mut host = linker.instance(interface).expect("an interface");
    host.func_wrap("get-terminal-stdout", |_, ()| Ok((Some(Resource::<Terminal>::new_own(7)),)))
        .expect("new");
    let mut store = Store::new(&engine, ());
    store.set_epoch_deadline(1);
    let instance = linker.instantiate(&mut store, &component).expect("an instance");
    let run = instance.get_typed_func::<(), (u32,)>(&mut store, "run").expect("a function");
    run.call(&mut store, ()).expect("an answer").0
}

#[test]
fn nobody_is_asked_for_a_terminal() {
    let interface = "wasi:cli/terminal-stdout@0.2.3";
    let before = asking(interface, "");
    assert_eq!((imports(&before), asked(&before, interface)), ((1, 1), 1));
    let after = lean(&before).expect("there is something to do");
    assert_eq!((imports(&after), asked(&after, interface)), ((0, 0), 0));
    assert_eq!(lean(&after), None);
    // Somebody else asks by way of the shim.
    let others = [
        r#"(func (export "other") (param "at" u32) (canon lift (core func $shim-get)))"#,
        r#"(core module $other (import "host" "get" (func (param i32))))
           (core instance (instantiate $other (with "host" (instance $args))))
           (core instance (instantiate $other (with "host" (instance $args))))"#,
    ];
    for other in others {
        let after = lean(&asking(interface, other)).expect("there is something to do");
        assert_eq!((imports(&after), asked(&after, interface)), ((0, 1), 0), "{other}");
    }
    // And who gets the whole shim could fill its table.
    let other = r#"(core module $other (import "shim" "0" (func (param i32))))
        (core instance (instantiate $other (with "shim" (instance $shimmed))))"#;
    assert_eq!(lean(&asking(interface, other)), None);
    for interface in ["wasi:cli/terminal-stdout@0.3.0", "own:cli/terminal-stdout@0.2.3"] {
        let after = lean(&asking(interface, "")).expect("the shim's table is its own");
        assert_eq!((imports(&after), asked(&after, interface)), ((0, 1), 1), "{interface}");
    }
}

#[test]
fn shims_are_followed_only_if_they_are_shims() {
    for second in [
        "local.get 1 local.get 0 i32.const 1 call_indirect (type $t)",
        "i32.const 0 local.get 1 i32.const 1 call_indirect (type $t)",
        "local.get 0 local.get 1 local.get 0 call_indirect (type $t)",
        "local.get 0 local.get 1 i32.const 1 call_indirect (type $t) nop",
        "unreachable",
    ] {
        let after = lean(&component(TCP, second, "")).expect("there is something to do");
        // All that comes from the shim stays, and what fills its table.
        assert_eq!(imports(&after), (3, 2), "{second}");
        assert_eq!(instances(&after), 3, "{second}");
        Component::new(&engine(), &after).expect("it is valid");
        assert_eq!(lean(&component("own:tcp/tcp@0.2.0", second, "")), None, "{second}");
    }
}

#[test]
fn a_module_with_places_in_its_code_stays() {
    let before = component("own:tcp/tcp@0.2.0", FORWARDS, r#"(@custom ".debug_line" "")"#);
    assert_eq!(lean(&before), None);
    let after = lean(&component(TCP, FORWARDS, r#"(@custom ".debug_line" "")"#));
    let after = after.expect("the table needs no filling");
    assert_eq!(imports(&after), (6, 0));
    run(&after, TCP, 2).expect_err("nobody has a socket");
}

#[test]
fn nobody_gets_more_functions_than_anybody_needs() {
    let with = |number: usize| {
        let before = text(TCP, FORWARDS, "");
        let import = r#"(import "tcp" "a" (func (param i32) (result i32)))"#;
        let main = "(type $plain (func (param i32) (result i32)))";
        let more = format!("{main} {}", import.repeat(number));
        wat::parse_str(before.replacen(main, &more, 1)).expect("a component")
    };
    assert!(lean(&with(OWN_MAX - 5)).is_some());
    let after = lean(&with(OWN_MAX - 4)).expect("the table needs no filling");
    assert_eq!(imports(&after), (OWN_MAX + 2, 0));
}

#[test]
fn what_is_damaged_is_left_alone() {
    let whole = component(TCP, FORWARDS, "");
    let asking = asking("wasi:cli/terminal-stdout@0.2.3", "");
    for whole in [whole, asking, wat::parse_str(libraries()).expect("a component")] {
        for length in (0..whole.len()).step_by(7) {
            // Whatever it finds, it does not panic.
            let _ = lean(&whole[..length]);
        }
        for at in 0..whole.len() {
            for bits in [0x01, 0x80, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] ^= bits;
                let _ = lean(&damaged);
            }
        }
    }
    assert_eq!(lean(b"(component)"), None);
    assert_eq!(lean(&wat::parse_str("(component)").expect("a component")), None);
}

/// A library: where its functions and data are comes from the first module.
const LIBRARY: &str = r#"
    (core module $library
      (type $unary (func (param i32) (result i32)))
      (import "env" "memory" (memory 1))
      (import "env" "table" (table 4 funcref))
      (import "env" "memory base" (global $memory i32))
      (import "env" "table base" (global $table i32))
      (import "env" "count" (global $count (mut i32)))
      (import "env" "twice" (func $twice (type $unary)))
      (import "outside" "next" (func $next (result i32)))
      (elem (global.get $table) func $square $next-of $twice)
      (data (global.get $memory) "\2a\00\00\00")
      (data $later "\07\00\00\00")
      (func $square (type $unary) local.get 0 local.get 0 i32.mul)
      (func $next-of (type $unary) call $next local.get 0 i32.add)
      (func (export "stored") (type $unary)
        global.get $count i32.const 1 i32.add global.set $count
        (memory.init $later (i32.const 8) (i32.const 0) (i32.const 4))
        global.get $memory i32.load (i32.load (i32.const 8)) i32.add
        global.get $count i32.add local.get 0 call $twice i32.add))"#;

/// A component of two libraries over one memory and table, with something between
/// them that needs the memory. The export `run` calls a slot of the table.
fn libraries() -> String {
    let unary = "(type $unary (func (param i32) (result i32)))";
    format!(
        r#"(component
          (import "own:host/host" (instance $host
            (export "next" (func (result u32)))
            (export "said" (func (param "what" string)))))
          (alias export $host "next" (func $next))
          (alias export $host "said" (func $said))
          (core module $first
            {unary}
            (memory (export "memory") 1)
            (table (export "table") 4 funcref)
            (global (export "memory base") i32 (i32.const 64))
            (global (export "table base") i32 (i32.const 1))
            (global (export "count") (mut i32) (i32.const 100))
            (func (export "twice") (type $unary) local.get 0 i32.const 1 i32.shl))
          {LIBRARY}
          (core module $last
            {unary}
            (import "first" "table" (table 4 funcref))
            (import "library" "stored" (func $stored (type $unary)))
            (elem (i32.const 0) func $stored)
            (func (export "run") (param i32 i32) (result i32)
              local.get 1 local.get 0 call_indirect (type $unary)))
          (core module $started
            (import "first" "memory" (memory 1))
            (import "last" "run" (func $run (param i32 i32) (result i32)))
            (import "host" "said" (func $said (param i32 i32)))
            (start $start)
            (func $start (call $said (i32.const 64)
              (i32.sub (call $run (i32.const 3) (i32.const 3)) (i32.const 5)))))
          (core instance $of-first (instantiate $first))
          (alias core export $of-first "memory" (core memory $memory))
          (core func $core-said (canon lower (func $said) (memory $memory)))
          (core instance $saying (export "said" (func $core-said)))
          (core func $core-next (canon lower (func $next)))
          (core instance $outside (export "next" (func $core-next)))
          (core instance $of-library (instantiate $library
            (with "env" (instance $of-first)) (with "outside" (instance $outside))))
          (alias core export $of-first "table" (core table $table))
          (core instance $group (export "table" (table $table)))
          (core instance $of-last (instantiate $last
            (with "first" (instance $group)) (with "library" (instance $of-library))))
          (core instance (instantiate $started (with "first" (instance $of-first))
            (with "last" (instance $of-last)) (with "host" (instance $saying))))
          (alias core export $of-last "run" (core func $run))
          (func (export "run") (param "slot" u32) (param "number" u32) (result u32)
            (canon lift (core func $run))))"#
    )
}

/// What a component of libraries says when it starts, and what its slots answer.
fn answers(component: &[u8]) -> (String, Vec<Result<u32, String>>) {
    let engine = engine();
    let component = Component::new(&engine, component).expect("it is valid");
    let mut linker = Linker::<(u32, String)>::new(&engine);
    let mut host = linker.instance("own:host/host").expect("an interface");
    host.func_wrap("next", |mut store, ()| {
        store.data_mut().0 += 1000;
        Ok((store.data().0,))
    })
    .expect("new");
    host.func_wrap("said", |mut store, (what,): (String,)| {
        store.data_mut().1 = what;
        Ok(())
    })
    .expect("new");
    let slots = (0..5).map(|slot| {
        let mut store = Store::new(&engine, (0, String::new()));
        store.set_epoch_deadline(1);
        let instance = linker.instantiate(&mut store, &component).expect("an instance");
        let run = instance.get_typed_func::<(u32, u32), (u32,)>(&mut store, "run");
        let answers: Vec<_> = (0..2)
            .map(|_| {
                let answer = run.as_ref().expect("a function").call(&mut store, (slot, 9));
                answer.map(|(answer,)| answer).map_err(|error| error.root_cause().to_string())
            })
            .collect();
        (store.data().1.clone(), answers)
    });
    let (said, answers): (Vec<_>, Vec<_>) = slots.unzip();
    (said.concat(), answers.concat())
}

/// How many instances of modules a component has.
fn instances(component: &[u8]) -> usize {
    let outline = Outline::of(component).expect("it is understood");
    let is_one = |own: &&Instance<'_>| matches!(own, Instance::Instantiate { .. });
    outline.core_instances.iter().filter(is_one).count()
}

#[test]
fn what_shares_memory_or_table_is_one_instance() {
    let before = wat::parse_str(libraries()).expect("a component");
    assert_eq!(instances(&before), 4);
    let after = lean(&before).expect("there is something to do");
    // What does something when it starts stays, and comes after what it needs.
    assert_eq!(instances(&after), 2);
    let (said, ran) = answers(&after);
    assert_eq!((said.as_str(), &ran), ("*".repeat(5).as_str(), &answers(&before).1));
    // 42 and 7 from the memory, how often it was called, and twice 9; the square; the
    // host's number and 9; twice 9; and no such slot.
    let numbers = [168, 169, 81, 81, 1009, 2009, 18, 18];
    assert_eq!(ran[..8], numbers.map(Ok));
    assert!(ran[8].as_ref().is_err_and(|why| why.contains("undefined element")), "{ran:?}");
    assert_eq!(lean(&after), None);
}

/// How many globals of their own the modules of a component have.
fn globals(component: &[u8]) -> u32 {
    let outline = Outline::of(component).expect("it is understood");
    outline.modules.iter().map(|own| Module::of(own).own[Kind::Global as usize]).sum()
}

#[test]
fn a_global_that_is_always_the_same_number_is_that_number() {
    let count = |places: &[(&str, &str)]| {
        let (before, after) = rewritten(places);
        let after = after.expect("there is something to do");
        assert_eq!(answers(&after), answers(&before));
        (globals(&before), globals(&after))
    };
    // Where memory and table begin; what counts stays.
    assert_eq!(count(&[]), (3, 1));
    // What is no number stays, and what is between others.
    let base = r#"(global (export "memory base") i32 (i32.const 64))"#;
    let more = format!("(global funcref (ref.func 0)) {base} (global i64 (i64.const 9))");
    assert_eq!(count(&[(base, &more)]), (5, 2));
    // As does what somebody else gets, too.
    let between = BETWEEN.1.replace(
        r#"(import "host" "said" (func (param i32 i32)))"#,
        r#"(import "host" "said" (func (param i32 i32)))
           (import "first" "table base" (global $table i32))
           (func (export "table base") (result i32) global.get $table)"#,
    );
    let between = between.replace(
        r#"(with "host" (instance $saying))"#,
        r#"(with "host" (instance $saying)) (with "first" (instance $of-first))"#,
    );
    assert_eq!(count(&[(BETWEEN.0, &between)]), (3, 2));
}

/// A component of libraries, with something in place of something else: how many
/// instances are left of it, if it is made anew.
fn instances_after(places: &[(&str, &str)]) -> Option<usize> {
    let (before, after) = rewritten(places);
    let after = after?;
    assert_eq!(answers(&after), answers(&before));
    Some(instances(&after))
}

/// The same component, and what is made of it, if it is made anew.
fn rewritten(places: &[(&str, &str)]) -> (Vec<u8>, Option<Vec<u8>>) {
    let mut text = libraries();
    for (place, new) in places {
        assert_eq!(text.matches(place).count(), 1, "{place}");
        text = text.replace(place, new);
    }
    let before = wat::parse_str(text).expect("a component");
    let after = lean(&before);
    (before, after)
}

/// Makes the library count when it starts.
const STARTING: (&str, &str) = (
    "(elem (global.get $table)",
    "(start $start)
     (func $start global.get $count i32.const 500 i32.add global.set $count)
     (elem (global.get $table)",
);

/// An instance before the library's that needs the memory of the first.
const BETWEEN: (&str, &str) = (
    "(core instance $of-library",
    r#"(core module $between (import "host" "said" (func (param i32 i32))))
       (core instance (instantiate $between (with "host" (instance $saying))))
       (core instance $of-library"#,
);

#[test]
fn what_does_something_when_it_starts_is_the_last_to_join() {
    assert_eq!(instances_after(&[]), Some(2));
    // Another instance comes after the one, where that is no matter.
    assert_eq!(instances_after(&[BETWEEN]), Some(3));
    assert_eq!(instances_after(&[STARTING]), Some(3));
    assert_eq!(instances_after(&[STARTING, BETWEEN]), None);
}

#[test]
fn the_one_may_have_several_memories() {
    let with_its_own = ("(elem (global.get", "(memory 1) (elem (global.get");
    assert_eq!(instances_after(&[with_its_own]), Some(2));
}

#[test]
fn what_is_no_part_of_the_one_stays_an_instance() {
    // The last needs it, and so it can't join either.
    let with_places = ("(elem (global.get", r#"(@custom ".debug_line" "") (elem (global.get"#);
    assert_eq!(instances_after(&[with_places]), None);
    let export = r#"(alias core export $of-last "run" (core func $run))"#;
    let and = |more: &str| format!("{export} {more}");
    // Of one that there is twice, each has its own globals.
    let twice = r#"(core instance (instantiate $library
        (with "env" (instance $of-first)) (with "outside" (instance $outside))))"#;
    assert_eq!(instances_after(&[(export, &and(twice))]), None);
    // Another component may have it, too.
    let within = "(component (alias outer 1 $library (core module)))";
    assert_eq!(instances_after(&[(export, &and(within))]), None);
    // Whoever else gets something of it gets it from the one.
    let stored = r#"(alias core export $of-library "stored" (core func $stored))
        (func (export "stored") (param "number" u32) (result u32) (canon lift (core func $stored)))"#;
    assert_eq!(instances_after(&[(export, &and(stored))]), Some(2));
}

/// A component whose main module imports a seed, by way of a shim, and how to exit.
const SEEDED: &str = r#"(component
    (import "wasi:random/insecure-seed@0.2.6" (instance $seeds
        (export "insecure-seed" (func (result (tuple u64 u64))))))
    (import "wasi:cli/exit@0.2.6" (instance $exits (export "exit" (func (param "status" (result))))))
    (core module $shim
        (type $plain (func (param i32)))
        (table (export "$imports") 1 1 funcref)
        (func (export "0") (type $plain) local.get 0 i32.const 0 call_indirect (type $plain)))
    (core module $main
        (import "wasi:cli/exit@0.2.4" "exit" (func $exit (param i32)))
        (import "wasi:random/insecure-seed@0.2.4" "insecure-seed" (func $seed (param i32)))
        (memory (export "own-memory") 1)
        (func (export "own-realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024)
        (func (export "own-run") (param i32) (result i32)
            (if (i32.eqz (local.get 0)) (then (call $exit (i32.const 0))))
            (call $seed (i32.const 8))
            (i32.load (i32.const 8)))
        (func (export "further")))
    (core module $fixup
        (import "" "$imports" (table 1 1 funcref))
        (import "" "0" (func (param i32)))
        (elem (i32.const 0) func 0))
    (core instance $shimmed (instantiate $shim))
    (alias core export $shimmed "0" (core func $indirect))
    (alias core export $shimmed "$imports" (core table $imports))
    (alias export $seeds "insecure-seed" (func $seed))
    (alias export $exits "exit" (func $exit))
    (core func $core-exit (canon lower (func $exit)))
    (core instance $given (export "insecure-seed" (func $indirect)))
    (core instance $ended (export "exit" (func $core-exit)))
    (core instance $own (instantiate $main
        (with "wasi:cli/exit@0.2.4" (instance $ended))
        (with "wasi:random/insecure-seed@0.2.4" (instance $given))))
    (alias core export $own "own-memory" (core memory $memory))
    (alias core export $own "own-realloc" (core func $realloc))
    (core func $core-seed (canon lower (func $seed) (memory $memory)))
    (core instance $fill (export "$imports" (table $imports)) (export "0" (func $core-seed)))
    (core instance (instantiate $fixup (with "" (instance $fill))))
    (func $run (param "number" u32) (result u32)
        (canon lift (core func $own "own-run") (memory $memory) (realloc $realloc)))
    (export "run" (func $run)))"#;

/// What is called by itself of it, where places in its text are others.
fn direct_of(places: &[(&str, &str)]) -> Option<Vec<u8>> {
    let text = places.iter().fold(SEEDED.to_owned(), |text, (old, new)| {
        assert!(text.contains(old), "{old}");
        text.replacen(old, new, 1)
    });
    direct::module(&wat::parse_str(text).expect("a component"), "run", seed)
}

/// What is served to it.
fn seed(interface: &str, function: &str) -> Option<()> {
    ((unversioned(interface), function) == ("wasi:random/insecure-seed", "insecure-seed"))
        .then_some(())
}

fn imported(module: &[u8]) -> Vec<(&str, &str)> {
    let module = Module::of(module);
    module.imported_functions().map(|own| (own.module, own.name)).collect()
}

#[test]
fn a_module_by_itself_has_what_is_served_and_traps() {
    const SEED: (&str, &str) = ("wasi:random/insecure-seed@0.2.4", "insecure-seed");
    let bytes = direct_of(&[]).expect("its module is all that matters");
    assert_eq!(imported(&bytes), [SEED]);
    let engine = engine();
    let module = wasmtime::Module::new(&engine, &bytes).expect("it is valid");
    let mut exports: Vec<_> = module.exports().map(|own| own.name().to_owned()).collect();
    exports.sort();
    assert_eq!(exports, ["memory", "realloc", "run"]);
    let mut linker = wasmtime::Linker::<()>::new(&engine);
    let seed = |mut caller: wasmtime::Caller<'_, ()>, at: u32| {
        let memory = caller.get_export("memory").and_then(|own| own.into_memory());
        memory.expect("a memory").write(&mut caller, at as usize, &[7, 0, 0, 0])?;
        wasmtime::error::Ok(())
    };
    linker.func_wrap(SEED.0, SEED.1, seed).expect("new");
    let mut store = Store::new(&engine, ());
    store.set_epoch_deadline(1000);
    let instance = linker.instantiate(&mut store, &module).expect("an instance");
    let run = instance.get_typed_func::<u32, u32>(&mut store, "run").expect("its type");
    assert_eq!(run.call(&mut store, 1).expect("a seed"), 7);
    let trap = run.call(&mut store, 0).expect_err("an exit").downcast::<wasmtime::Trap>();
    assert_eq!(trap.expect("a trap"), wasmtime::Trap::UnreachableCodeReached);
    // What is called like a seed and is none.
    let exit = [(
        "(export \"insecure-seed\" (func $indirect))",
        "(export \"insecure-seed\" (func $core-exit))",
    )];
    assert_eq!(imported(&direct_of(&exit).expect("its module")), []);
}

#[test]
fn a_module_is_not_all_that_matters() {
    let bytes = wat::parse_str(SEEDED).expect("a component");
    assert_eq!(direct::module(&bytes, "walk", seed), None);
    // Nobody else may do something with it.
    let starts = r#"(core module $starts (import "" "further" (func)) (start 0))
        (core instance (instantiate $starts (with "" (instance $own))))
        (export "run""#;
    assert_eq!(direct_of(&[("(export \"run\"", starts)]), None);
    let utf16 = [("(realloc $realloc)", "(realloc $realloc) string-encoding=utf16")];
    assert_eq!(direct_of(&utf16), None);
    assert_eq!(direct_of(&[("(realloc $realloc)", "")]), None);
    // It would have two.
    let table = [
        ("(memory (export", "(import \"t\" \"$imports\" (table 1 1 funcref)) (memory (export"),
        ("(instantiate $main", "(instantiate $main (with \"t\" (instance $shimmed))"),
    ];
    assert_eq!(direct_of(&table), None);
    // Without its names it is whole; without what it exports, nothing is called.
    let whole: Vec<usize> = (0..bytes.len())
        .filter(|end| direct::module(&bytes[..*end], "run", seed).is_some())
        .collect();
    let exported = bytes.windows(4).position(|own| own == b"\x03run").expect("an export");
    assert!(whole.iter().all(|end| *end > exported), "{whole:?}");
}

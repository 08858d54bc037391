use std::collections::BTreeSet;

use wasmtime::{Config, Engine, component::Component};

use super::{
    merged,
    outline::{CoreInstance, Outline},
};

/// What the second function of a shim does.
const FORWARDS: &str = "local.get 0 local.get 1 i32.const 1 call_indirect (type $t)";

/// A component that imports two methods of each of two signatures, one of which
/// needs the memory of the module that gets it.
fn component(interface: &str, second: &str) -> Vec<u8> {
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
    let text = format!(
        r#"(component
          (import "{interface}" (instance $tcp
            (export "tcp-socket" (type $socket (sub resource)))
            {} {} {} {}))
          (alias export $tcp "tcp-socket" (type $socket))
          (core module $shim
            (type $t (func (param i32 i32)))
            (table (export "$imports") 3 3 funcref)
            (func (export "0") (type $t) local.get 0 local.get 1 i32.const 0 call_indirect (type $t))
            (func (export "1") (type $t) {second})
            (func (export "2") (type $t) local.get 0 local.get 1 i32.const 2 call_indirect (type $t)))
          (core module $main
            (import "tcp" "a" (func (param i32) (result i32)))
            (import "tcp" "b" (func (param i32) (result i32)))
            (import "tcp" "c" (func (param i32 i32)))
            (import "tcp" "d" (func (param i32 i32)))
            (import "tcp" "drop" (func (param i32)))
            (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable))
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
          (core func $drop (canon resource.drop $socket))
          (core instance $args
            (export "a" (func $core-a)) (export "b" (func $core-b))
            (export "c" (func $c)) (export "d" (func $d)) (export "drop" (func $drop)))
          (core instance $instance (instantiate $main (with "tcp" (instance $args))))
          (alias core export $instance "memory" (core memory $memory))
          (alias core export $instance "realloc" (core func $realloc))
          {} {}
          (core instance $fill
            (export "$imports" (table $imports))
            (export "0" (func $core-c)) (export "1" (func $core-d)))
          (core instance (instantiate $fixup (with "" (instance $fill)))))"#,
        method("a", "bool"),
        method("b", "bool"),
        method("c", "string"),
        method("d", "string"),
        lower("a", ""),
        lower("b", ""),
        lower("c", memory),
        lower("d", memory),
    );
    wat::parse_str(text).expect("a component")
}

/// How many core functions are handed to modules, each counted once.
fn handed_out(component: &[u8]) -> usize {
    let outline = Outline::of(component).expect("it is understood");
    let exports = outline.core_instances.iter().filter_map(|own| match own {
        CoreInstance::Exports(exports) => Some(exports.iter()),
        CoreInstance::Of { .. } => None,
    });
    let functions = exports.flatten().filter(|own| own.kind == wasmparser::ExternalKind::Func);
    functions.map(|own| own.index).collect::<BTreeSet<_>>().len()
}

fn is_valid(component: &[u8]) -> bool {
    let mut config = Config::new();
    config.wasm_component_model(true);
    Component::new(&Engine::new(&config).expect("an engine"), component).is_ok()
}

const TCP: &str = "wasi:sockets/tcp@0.2.3";

#[test]
fn what_nobody_can_call_is_linked_once_for_each_signature() {
    let before = component(TCP, FORWARDS);
    assert!(is_valid(&before));
    assert_eq!(handed_out(&before), 7);
    let after = merged(&before).expect("there is something to merge");
    assert!(is_valid(&after));
    // One of `a` and `b`, of `c` and `d` in the shim and behind it, and the drop.
    assert_eq!(handed_out(&after), 4);
    assert_eq!(merged(&after), None);
}

#[test]
fn what_can_be_called_stays() {
    for interface in [
        "wasi:sockets/tcp@0.3.0",
        "wasi:sockets/tcp@0.2.0-rc",
        "wasi:sockets/tcp",
        "own:tcp/tcp@0.2.0",
    ] {
        assert_eq!(merged(&component(interface, FORWARDS)), None, "{interface}");
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
        let before = component(TCP, second);
        assert!(is_valid(&before), "{second}");
        let after = merged(&before).expect("there is something to merge");
        assert!(is_valid(&after), "{second}");
        // What the shim exports stays; what fills its table is known all the same.
        assert_eq!(handed_out(&after), 5, "{second}");
    }
}

#[test]
fn what_is_damaged_is_left_alone() {
    let whole = component(TCP, FORWARDS);
    for length in (0..whole.len()).step_by(7) {
        // Whatever it finds, it does not panic.
        let _ = merged(&whole[..length]);
    }
    assert_eq!(merged(b"(component)"), None);
    assert_eq!(merged(&wat::parse_str("(component)").expect("a component")), None);
}

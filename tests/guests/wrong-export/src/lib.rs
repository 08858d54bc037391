//! A component that exports something else than a function.
#![cfg(target_family = "wasm")]
#![allow(unsafe_code, reason = "generated bindings")]
#![allow(missing_docs, reason = "generated bindings")]

wit_bindgen::generate!({
    inline: "
        package acme:greeter;
        world greeter { export greet: func(name: string) -> string; }
    ",
});

struct Greeter;

impl Guest for Greeter {
    fn greet(name: String) -> String {
        name
    }
}

export!(Greeter);

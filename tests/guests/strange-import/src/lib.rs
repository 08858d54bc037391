//! A component that imports what no host has.
#![cfg(target_family = "wasm")]
#![allow(unsafe_code, reason = "generated bindings")]
#![allow(missing_docs, reason = "generated bindings")]

wit_bindgen::generate!({
    inline: "
        package acme:rocket;
        interface engine { launch: func() -> bool; }
        world pilot { import engine; export fly: func() -> bool; }
    ",
});

struct Pilot;

impl Guest for Pilot {
    fn fly() -> bool {
        acme::rocket::engine::launch()
    }
}

export!(Pilot);

//! Core modules of WASI preview 1 as components: an adapter implements what
//! they import with WASI 0.2.

use std::panic::{AssertUnwindSafe, catch_unwind};

use sha2::{Digest as _, Sha256};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as PREVIEW_1,
    WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER as COMMAND,
    WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER as REACTOR,
};
use wasmparser::{Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::initialisation;

/// What adapted code is cached under: a new adapter makes other code.
pub fn key(sha256: &[u8; 32]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(sha256);
    hash.update(COMMAND);
    hash.update(REACTOR);
    hash.finalize().into()
}

/// Makes a component of a module that is valid.
///
/// # Errors
/// What it lacks, or imports from elsewhere.
pub fn adapt(module: &[u8]) -> Result<Vec<u8>, String> {
    let outline = Outline::of(module).map_err(|error| error.to_string())?;
    let adapter = outline.adapter()?;
    let encode = || {
        let mut module = module.to_vec();
        if outline.asks_for_initialisation() {
            describe_initialisation(&mut module)?;
        }
        ComponentEncoder::default()
            .module(&module)?
            .adapter(PREVIEW_1, adapter)?
            .validate(true)
            .encode()
    };
    // The encoder is made for the output of compilers; what its author did not
    // think of is this file's fault alone.
    match catch_unwind(AssertUnwindSafe(encode)) {
        Ok(encoded) => encoded.map_err(|error| format!("{error:#}")),
        Err(_) => Err("its custom sections are not what a compiler writes".to_owned()),
    }
}

/// Says of a module that its component exports the initialisation as well.
fn describe_initialisation(module: &mut Vec<u8>) -> Result<(), anyhow::Error> {
    let mut resolve = Resolve::default();
    let package = resolve.push_source("initialisation.wit", initialisation::WIT)?;
    let world = resolve.select_world(&[package], None)?;
    embed_component_metadata(module, &resolve, world, StringEncoding::UTF8)
}

/// What a module says of itself.
#[derive(Default)]
struct Outline {
    imports: Vec<String>,
    exports: Vec<String>,
    // `wit-bindgen` leaves there which component is meant.
    has_component_type: bool,
}

impl Outline {
    fn of(module: &[u8]) -> Result<Self, wasmparser::BinaryReaderError> {
        let mut outline = Self::default();
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        outline.imports.push(import?.module.to_owned());
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        outline.exports.push(export?.name.to_owned());
                    }
                }
                Payload::CustomSection(section) => {
                    outline.has_component_type |= section.name().starts_with("component-type");
                }
                _ => {}
            }
        }
        outline.imports.sort_unstable();
        outline.imports.dedup();
        Ok(outline)
    }

    fn adapter(&self) -> Result<&'static [u8], String> {
        if self.has_component_type {
            return Ok(if self.is_command() { COMMAND } else { REACTOR });
        }
        if let Some(import) = self.imports.iter().find(|name| *name != PREVIEW_1) {
            return Err(format!("it imports from {import:?} (hint: {})", provider(import)));
        }
        if self.is_command() {
            return Ok(COMMAND);
        }
        let exports = match &self.exports[..] {
            [] => "nothing".to_owned(),
            some => some[..some.len().min(10)].join(", "),
        };
        Err(format!(
            "it exports {exports}; expected _start, as a command of WASI preview 1 has it (hint: give it a main, or build it for wasm32-wasip2)"
        ))
    }

    /// One that `wit-bindgen` made says so itself.
    fn asks_for_initialisation(&self) -> bool {
        !self.has_component_type && self.exports.iter().any(|name| name == initialisation::FUNCTION)
    }

    fn is_command(&self) -> bool {
        self.exports.iter().any(|name| name == "_start")
    }
}

/// Who could provide what a module imports.
fn provider(import: &str) -> &'static str {
    match import {
        "wasi_unstable" => "that is WASI before preview 1: build it with a newer compiler",
        "env" => {
            "that is for Emscripten, or for symbols that nothing defines: build it for wasm32-wasip1 or wasm32-wasip2"
        }
        "go" | "gojs" => "that is for browsers and Node.js: build it with GOOS=wasip1",
        name if name.starts_with("wbg") || name.starts_with("__wbindgen") => {
            "that is for browsers and Node.js: build it for wasm32-wasip2, without wasm-bindgen"
        }
        _ => "a module may import wasi_snapshot_preview1; link it with what defines the rest",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The module with these sections.
    fn module(sections: &[&[u8]]) -> Vec<u8> {
        [b"\0asm\x01\0\0\0", sections.concat().as_slice()].concat()
    }

    #[test]
    fn a_module_without_a_beginning_is_refused() {
        let error = adapt(&module(&[])).expect_err("no command");
        assert!(error.contains("it exports nothing; expected _start"), "{error}");
    }

    #[test]
    fn an_import_from_elsewhere_is_named() {
        // (type (func)) (import "env" "f" (func (type 0)))
        let sections: [&[u8]; 2] = [b"\x01\x04\x01\x60\0\0", b"\x02\x09\x01\x03env\x01f\0\0"];
        let error = adapt(&module(&sections)).expect_err("an import");
        assert!(error.contains("\"env\"") && error.contains("wasm32-wasip1"), "{error}");
    }

    #[test]
    fn a_damaged_description_of_a_component_is_an_error() {
        // A custom section with the name, and nothing that it should hold.
        let error = adapt(&module(&[b"\0\x10\x0ecomponent-type\xff"]));
        assert!(error.is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_adapted_or_refused(bytes in proptest::collection::vec(0u8.., 0..64)) {
            drop(adapt(&module(&[&bytes])));
        }
    }
}

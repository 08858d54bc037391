//! Answers `two`: two files that differ, for reloading.
#![cfg(target_family = "wasm")]
#![allow(unsafe_code, reason = "generated bindings")]
#![allow(missing_docs, reason = "generated bindings")]

wit_bindgen::generate!({ path: "../../../wit", world: "function" });

struct Version;

impl Guest for Version {
    fn handle(_event: String, _context: Context) -> Result<String, FunctionError> {
        Ok(r#"{"statusCode":200,"body":"two"}"#.to_owned())
    }
}

export!(Version);

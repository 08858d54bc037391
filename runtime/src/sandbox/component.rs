//! From the bytes of a `.wasm` file to code that can be instantiated.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};
use wasmtime::{
    Engine,
    component::{Component, Linker, types::ComponentItem},
};

use super::{bindings::FunctionPre, cache::CodeCache, host::State};

/// Compiled code of one handler.
pub struct Code {
    /// SHA-256 of the `.wasm` file.
    pub sha256: [u8; 32],
    /// Size of the `.wasm` file, in bytes.
    pub size: usize,
    pub(super) pre: FunctionPre<State>,
}

/// Why a file is not a function.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Not WebAssembly at all.
    #[error("not a WebAssembly file: {0}")]
    NotWasm(String),
    /// A core module: it has no typed exports.
    #[error(
        "a core WebAssembly module, where a component was expected (hint: build it for wasm32-wasip2, which makes components)"
    )]
    CoreModule,
    /// Invalid, truncated, or beyond what the engine takes.
    #[error("not a valid component: {0}")]
    Invalid(String),
    /// It needs something that nobody here provides.
    #[error("{0}")]
    Import(String),
    /// It does not export what makes it a function.
    #[error("{0}")]
    Export(String),
}

/// The first bytes of a component: magic, version 13, layer 1.
const COMPONENT: [u8; 8] = [0x00, 0x61, 0x73, 0x6d, 0x0d, 0x00, 0x01, 0x00];
/// The first bytes of a core module: magic, version 1, layer 0.
const CORE_MODULE: [u8; 8] = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];

pub fn load(
    engine: &Engine,
    linker: &Linker<State>,
    cache: &CodeCache,
    wasm: &[u8],
) -> Result<Code, LoadError> {
    recognise(wasm)?;
    let sha256: [u8; 32] = Sha256::digest(wasm).into();
    let component = match cache.get(engine, &sha256) {
        Some(component) => component,
        None => {
            let component = Component::from_binary(engine, wasm)
                .map_err(|error| LoadError::Invalid(format!("{error:#}")))?;
            cache.put(&sha256, &component);
            component
        }
    };
    let instance = linker.instantiate_pre(&component).map_err(|error| {
        LoadError::Import(format!(
            "an import cannot be served: {error:#} (hint: a function may import mayfly:lambda and WASI 0.2)"
        ))
    })?;
    let pre = FunctionPre::new(instance)
        .map_err(|error| LoadError::Export(missing_export(engine, &component, &error)))?;
    Ok(Code { sha256, size: wasm.len(), pre })
}

fn recognise(wasm: &[u8]) -> Result<(), LoadError> {
    if wasm.starts_with(&COMPONENT) {
        return Ok(());
    }
    if wasm.starts_with(&CORE_MODULE) {
        return Err(LoadError::CoreModule);
    }
    Err(LoadError::NotWasm(match wasm {
        [] => "it is empty".to_owned(),
        [0x00, 0x61, 0x73, 0x6d, version @ ..] => {
            format!("its version is {:02x?}", &version[..version.len().min(4)])
        }
        _ => format!("it begins with {:02x?}", &wasm[..wasm.len().min(8)]),
    }))
}

/// What the component has instead of the export that was expected.
fn missing_export(engine: &Engine, component: &Component, error: &wasmtime::Error) -> String {
    let ty = component.component_type();
    let mut exports = String::new();
    for (name, item) in ty.exports(engine) {
        let separator = if exports.is_empty() { "" } else { ", " };
        let _ = write!(exports, "{separator}{} {name}", kind(&item.ty));
    }
    if exports.is_empty() {
        exports.push_str("nothing");
    }
    format!(
        "not a function: it exports {exports}; expected func handle(event: string, context: context) -> result<string, function-error> of mayfly:lambda/function ({error:#})"
    )
}

fn kind(item: &ComponentItem) -> &'static str {
    match item {
        ComponentItem::ComponentFunc(_) | ComponentItem::CoreFunc(_) => "func",
        ComponentItem::Module(_) => "module",
        ComponentItem::Component(_) => "component",
        ComponentItem::ComponentInstance(_) => "interface",
        ComponentItem::Type(_) => "type",
        ComponentItem::Resource(_) => "resource",
    }
}

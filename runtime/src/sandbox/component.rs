//! From the bytes of a `.wasm` file to code that can be instantiated, and to
//! which kind of guest it is.

use std::{borrow::Cow, fmt::Write as _, sync::OnceLock};

use wasmparser::{Parser, Payload};
use wasmtime::{
    Module,
    component::{Component, InstancePre, types::ComponentItem},
};
use wasmtime_wasi::{p2, p3};
use wasmtime_wasi_http::{p2::bindings as http_p2, p3::bindings as http_p3};

use super::{
    Hosts, adapter,
    bindings::FunctionPre,
    cache,
    direct::{Direct, Import},
    engine::{self, Kind},
    host::State,
    initialisation, linking,
};

/// What is made of a file, for its sandboxes to start from.
pub(super) struct Compiled {
    pub guest: Guest,
    /// How many of the pools' places a sandbox of it takes.
    pub places: u32,
    direct: OnceLock<Direct>,
    #[cfg(target_os = "linux")]
    resident: Option<super::resident::Resident>,
}

/// What a guest is called by. What exports several of these is the first of
/// them.
pub(super) enum Guest {
    /// `mayfly:lambda/function`.
    Function(FunctionPre<State>),
    /// `wasi:http/incoming-handler@0.2`.
    HttpP2(http_p2::ProxyPre<State>),
    /// `wasi:http/handler@0.3`.
    HttpP3(http_p3::ServicePre<State>),
    /// `wasi:cli/run@0.2`.
    CommandP2(p2::bindings::CommandPre<State>),
    /// `wasi:cli/run@0.3`.
    CommandP3(p3::bindings::CommandPre<State>),
}

impl Guest {
    /// The engine that it was compiled for.
    pub fn engine(&self) -> &wasmtime::Engine {
        match self {
            Self::Function(pre) => pre.engine(),
            Self::HttpP2(pre) => pre.engine(),
            Self::HttpP3(pre) => pre.engine(),
            Self::CommandP2(pre) => pre.engine(),
            Self::CommandP3(pre) => pre.engine(),
        }
    }
}

impl Compiled {
    /// Whether it takes HTTP requests as they come, not events.
    pub fn speaks_http(&self) -> bool {
        matches!(self.guest, Guest::HttpP2(_) | Guest::HttpP3(_))
    }

    /// Its module by itself, once that is compiled, if it can be called so.
    pub fn direct(&self) -> Option<&Direct> {
        self.direct.get()
    }

    /// From now on its module is called by itself first.
    pub fn set_direct(&self, direct: Direct) {
        // It is compiled once.
        let _ = self.direct.set(direct);
        #[cfg(target_os = "linux")]
        if let Guest::Function(pre) = &self.guest {
            super::resident::leave(pre.instance_pre().component());
        }
    }

    /// Called when a guest has ended, before its memory is cleared.
    pub fn ended(&self) {
        #[cfg(target_os = "linux")]
        if let Some(resident) = &self.resident {
            resident.look();
        }
    }
}

/// Why a file is not a function.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Not WebAssembly at all.
    #[error("not a WebAssembly file: {0}")]
    NotWasm(String),
    /// A core module that cannot be made a component.
    #[error("a core WebAssembly module that cannot be adapted: {0}")]
    CoreModule(String),
    /// Invalid, truncated, or beyond what the engine takes.
    #[error("not a valid component: {0}")]
    Invalid(String),
    /// It needs something that nobody here provides.
    #[error("{0}")]
    Import(String),
    /// It does not export what makes it a function.
    #[error("{0}")]
    Export(String),
    /// Its initialisation could not be run, or what it left not be kept.
    #[error("its initialisation, wizer-initialize, {0}")]
    Initialisation(String),
    /// It needs an engine that could not be set up.
    #[error("it needs WASI 0.3, and {0}")]
    Engine(String),
}

/// The first bytes of a component: magic, version 13, layer 1.
const COMPONENT: [u8; 8] = [0x00, 0x61, 0x73, 0x6d, 0x0d, 0x00, 0x01, 0x00];
/// The first bytes of a core module: magic, version 1, layer 0.
const CORE_MODULE: [u8; 8] = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];

/// What a function of `mayfly:lambda` exports.
const HANDLE: &str = "handle";

/// The two forms of WebAssembly.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Component,
    CoreModule,
}

impl Form {
    /// What a file's code is cached under: a component that an adapter was part
    /// of changes with it.
    fn key(self, sha256: &[u8; 32]) -> [u8; 32] {
        match self {
            Self::Component => *sha256,
            Self::CoreModule => adapter::key(sha256),
        }
    }
}

/// Takes the code of a file with this digest from the cache, if it is there.
pub(super) fn find(
    hosts: &Hosts,
    wasm: &[u8],
    sha256: &[u8; 32],
) -> Result<Option<Compiled>, LoadError> {
    let key = recognise(wasm)?.key(sha256);
    let kind = Summary::of(wasm).kind();
    let mut host = hosts.get(kind)?;
    let mut found = host.cache.get(&host.engine, &key);
    // What a module is told by is only in its component.
    if kind != Kind::Async && found.as_ref().is_some_and(|own| is_async(&host.engine, own)) {
        host = hosts.get(Kind::Async)?;
        found = host.cache.get(&host.engine, &key);
    }
    found.map(|component| link(hosts, host, &component)).transpose()
}

/// Compiles a file with this digest, or takes its code from the cache.
pub(super) fn load(hosts: &Hosts, wasm: &[u8], sha256: &[u8; 32]) -> Result<Compiled, LoadError> {
    let form = recognise(wasm)?;
    let kind = Summary::of(wasm).kind();
    let mut host = hosts.get(kind)?;
    let mut component = compiled(hosts, host, form, sha256, wasm);
    let needs_the_other = match &component {
        Ok(component) => is_async(&host.engine, component),
        // The validator names the feature that is missing.
        Err(LoadError::Invalid(reason)) => reason.contains("async"),
        Err(_) => false,
    };
    if kind != Kind::Async && needs_the_other {
        host = hosts.get(Kind::Async)?;
        component = compiled(hosts, host, form, sha256, wasm);
    }
    link(hosts, host, &component?)
}

/// Compiles the module of a file with this digest that can be called by itself, or takes
/// it from the cache; none where there is no such module.
pub(super) fn direct(hosts: &Hosts, wasm: &[u8], sha256: &[u8; 32]) -> Option<Direct> {
    let summary = Summary::of(wasm);
    if !summary.may_be_called_directly() {
        return None;
    }
    let host = hosts.get(summary.kind()).ok()?;
    let key = cache::digest_of_bytes(&[HANDLE.as_bytes(), sha256].concat());
    let module = match host.cache.get(&host.engine, &key) {
        Some(module) => module,
        None => {
            let module = linking::direct::module(wasm, HANDLE, Import::of)?;
            let module = Module::from_binary(&host.engine, &module).inspect_err(not_direct);
            host.cache.put(&host.engine, &key, module.ok()?)
        }
    };
    Direct::new(&host.engine, &module, HANDLE).inspect_err(not_direct).ok()
}

fn not_direct(error: &wasmtime::Error) {
    tracing::debug!(error = format!("{error:#}"), "a module is not called by itself");
}

/// Finds out what a component is, with all its imports looked up.
fn link(hosts: &Hosts, host: &Host, component: &Component) -> Result<Compiled, LoadError> {
    let instance = host
        .linker
        .instantiate_pre(component)
        .map_err(|error| LoadError::Import(unserved(&host.engine, component, &error)))?;
    let guest = guest(host, component, instance)?;
    Ok(Compiled {
        guest,
        places: engine::places(component, &hosts.pools),
        direct: OnceLock::new(),
        #[cfg(target_os = "linux")]
        resident: super::resident::Resident::new(component),
    })
}

/// An engine with what its guests may import, and its cache of compiled code.
pub(super) struct Host {
    pub engine: wasmtime::Engine,
    pub linker: wasmtime::component::Linker<State>,
    pub cache: cache::CodeCache,
}

fn compiled(
    hosts: &Hosts,
    host: &Host,
    form: Form,
    sha256: &[u8; 32],
    wasm: &[u8],
) -> Result<Component, LoadError> {
    let key = form.key(sha256);
    if let Some(component) = host.cache.get(&host.engine, &key) {
        return Ok(component);
    }
    let bytes = match form {
        Form::Component => Cow::Borrowed(wasm),
        Form::CoreModule => {
            Module::validate(&host.engine, wasm).map_err(invalid)?;
            Cow::Owned(adapter::adapt(wasm).map_err(LoadError::CoreModule)?)
        }
    };
    let bytes = match Summary::of(&bytes).asks_for_initialisation() {
        true => Cow::Owned(initialisation::run(&hosts.pools, &hosts.services, &bytes)?),
        false => bytes,
    };
    let component = match linking::lean(&bytes) {
        // What is wrong is said of what the user has.
        Some(lean) => Component::from_binary(&host.engine, &lean).or_else(|error| {
            tracing::debug!(error = format!("{error:#}"), "a component is compiled as it is");
            Component::from_binary(&host.engine, &bytes)
        }),
        None => Component::from_binary(&host.engine, &bytes),
    };
    let component = component.map_err(invalid)?;
    Ok(host.cache.put(&host.engine, &key, component))
}

fn recognise(wasm: &[u8]) -> Result<Form, LoadError> {
    if wasm.starts_with(&COMPONENT) {
        return Ok(Form::Component);
    }
    if wasm.starts_with(&CORE_MODULE) {
        return Ok(Form::CoreModule);
    }
    Err(LoadError::NotWasm(match wasm {
        [] => "it is empty".to_owned(),
        [0x00, 0x61, 0x73, 0x6d, version @ ..] => {
            format!("its version is {:02x?}", &version[..version.len().min(4)])
        }
        _ => format!("it begins with {:02x?}", &wasm[..wasm.len().min(8)]),
    }))
}

/// What is wrong with a file that the engine does not take.
pub(super) fn invalid(error: wasmtime::Error) -> LoadError {
    let reason = format!("{error:#}");
    LoadError::Invalid(match reason.contains("memory has a minimum byte size") {
        true => format!("{reason} (hint: pools.memory_mb_max is the most that a guest may have)"),
        false => reason,
    })
}

/// What a file tells without being compiled. What is damaged is somebody else's
/// problem.
#[derive(Default)]
struct Summary<'w> {
    /// What a component itself imports, by name.
    imports: Vec<&'w str>,
    /// What it itself exports.
    exports: Vec<&'w str>,
    /// The most that one of its modules has as memory to begin with, in pages.
    memory_pages: u64,
}

impl<'w> Summary<'w> {
    fn of(wasm: &'w [u8]) -> Self {
        let mut summary = Self::default();
        let mut depth = 0_u32;
        for payload in Parser::new(0).parse_all(wasm) {
            match payload {
                Ok(Payload::Version { .. }) => depth += 1,
                Ok(Payload::End(_)) => depth = depth.saturating_sub(1),
                Ok(Payload::ComponentImportSection(own)) if depth == 1 => {
                    let own = own.into_iter().filter_map(Result::ok);
                    summary.imports.extend(own.map(|own| own.name.name));
                }
                Ok(Payload::ComponentExportSection(own)) if depth == 1 => {
                    let own = own.into_iter().filter_map(Result::ok);
                    summary.exports.extend(own.map(|own| own.name.name));
                }
                Ok(Payload::MemorySection(own)) => {
                    let pages = own.into_iter().filter_map(Result::ok).map(|own| own.initial);
                    summary.memory_pages = pages.fold(summary.memory_pages, u64::max);
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        summary
    }

    /// Whether a component exports what is run once for all its instances.
    fn asks_for_initialisation(&self) -> bool {
        self.exports.contains(&initialisation::FUNCTION)
    }

    /// Whether a function's module may be called by itself: engines of languages ask for
    /// more than a seed, and what is initialised is no longer what the file has.
    fn may_be_called_directly(&self) -> bool {
        self.exports.contains(&HANDLE)
            && self.kind() == Kind::Guarded
            && self.memory_pages < engine::LARGE_MEMORY_PAGES
            && !self.asks_for_initialisation()
    }

    /// The engine that it is for, as far as that tells.
    fn kind(&self) -> Kind {
        if self.imports.iter().chain(&self.exports).any(|name| is_of_wasi_3(name)) {
            return Kind::Async;
        }
        let is_large = self.memory_pages >= engine::LARGE_MEMORY_PAGES;
        match self.exports.contains(&HANDLE) || is_large {
            true => Kind::Guarded,
            false => Kind::Serial,
        }
    }
}

/// Whether it has to do with WASI 0.3, of which only one engine knows.
pub(super) fn is_async(engine: &wasmtime::Engine, component: &Component) -> bool {
    let ty = component.component_type();
    let imports = ty.imports(engine).map(|(name, _)| name);
    let exports = ty.exports(engine).map(|(name, _)| name);
    imports.chain(exports).any(is_of_wasi_3)
}

fn is_of_wasi_3(name: &str) -> bool {
    interface(name)
        .is_some_and(|(name, version)| name.starts_with("wasi:") && version.starts_with("0.3."))
}

/// `wasi:http/types@0.2.3` → `wasi:http/types` and `0.2.3`.
fn interface(name: &str) -> Option<(&str, &str)> {
    name.split_once('@')
}

fn guest(host: &Host, component: &Component, pre: InstancePre<State>) -> Result<Guest, LoadError> {
    let ty = component.component_type();
    let exports: Vec<&str> = ty.exports(&host.engine).map(|(name, _)| name).collect();
    // A release candidate is an interface of its own.
    let has = |own: &str, line: &str| {
        exports.iter().filter_map(|name| interface(name)).any(|(name, version)| {
            name == own && version.starts_with(line) && !version.contains('-')
        })
    };
    let wrong = |error: wasmtime::Error| LoadError::Export(unexpected(host, component, &error));
    if exports.contains(&HANDLE) {
        return Ok(Guest::Function(FunctionPre::new(pre).map_err(wrong)?));
    }
    if has("wasi:http/incoming-handler", "0.2.") {
        return Ok(Guest::HttpP2(http_p2::ProxyPre::new(pre).map_err(wrong)?));
    }
    if has("wasi:http/handler", "0.3.") {
        return Ok(Guest::HttpP3(http_p3::ServicePre::new(pre).map_err(wrong)?));
    }
    if has("wasi:cli/run", "0.2.") {
        return Ok(Guest::CommandP2(p2::bindings::CommandPre::new(pre).map_err(wrong)?));
    }
    if has("wasi:cli/run", "0.3.") {
        return Ok(Guest::CommandP3(p3::bindings::CommandPre::new(pre).map_err(wrong)?));
    }
    let error = wasmtime::Error::msg("none of its exports is one of these");
    Err(LoadError::Export(unexpected(host, component, &error)))
}

/// What the component has instead of an export that was expected.
fn unexpected(host: &Host, component: &Component, error: &wasmtime::Error) -> String {
    let ty = component.component_type();
    let mut exports = String::new();
    for (name, item) in ty.exports(&host.engine) {
        let separator = if exports.is_empty() { "" } else { ", " };
        let _ = write!(exports, "{separator}{} {name}", kind(&item.ty));
    }
    if exports.is_empty() {
        exports.push_str("nothing");
    }
    format!(
        "not a function: it exports {exports}; expected func handle(event: string, context: context) -> result<string, function-error> of mayfly:lambda/function, wasi:http/incoming-handler@0.2, wasi:http/handler@0.3.0 or wasi:cli/run ({error:#})"
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

/// Packages of interfaces that guests may import.
const PROVIDED: [&str; 8] = [
    "mayfly:lambda",
    "wasi:cli",
    "wasi:clocks",
    "wasi:filesystem",
    "wasi:http",
    "wasi:io",
    "wasi:random",
    "wasi:sockets",
];

/// Names every import that nobody here provides, and who could.
pub(super) fn unserved(
    engine: &wasmtime::Engine,
    component: &Component,
    error: &wasmtime::Error,
) -> String {
    let ty = component.component_type();
    let missing: Vec<&str> = ty
        .imports(engine)
        .map(|(name, _)| name)
        .filter(|name| {
            let package = name.split('/').next().unwrap_or_default();
            let candidate = interface(name).is_some_and(|(_, version)| version.contains('-'));
            candidate || !PROVIDED.contains(&package)
        })
        .collect();
    let Some(first) = missing.first() else {
        return format!(
            "an import cannot be served: {error:#} (hint: a function may import mayfly:lambda, WASI 0.2 and WASI 0.3)"
        );
    };
    format!("imports that cannot be served: {} (hint: {})", missing.join(", "), provider(first))
}

/// Who could provide an import.
fn provider(import: &str) -> String {
    let namespace = import.split(':').next().unwrap_or_default();
    let package = import.split(['/', '@']).next().unwrap_or_default();
    // What is provided in another version.
    if PROVIDED.contains(&package) {
        return format!("{import} is a release candidate: build for WASI 0.2 or 0.3.0");
    }
    match (namespace, package) {
        (_, "wasi:keyvalue" | "wasi:blobstore") => {
            "it is a proposal that wasmCloud and Spin provide; here tables are called through mayfly:lambda/services".to_owned()
        }
        (_, "wasi:config") => {
            "it is a proposal that wasmtime and Spin provide; here settings are environment variables".to_owned()
        }
        ("wasi", _) => format!("{package} is a proposal that wasmtime may provide"),
        ("fermyon" | "spin", _) => "Spin provides it".to_owned(),
        ("wasmcloud" | "wrpc", _) => "wasmCloud provides it".to_owned(),
        ("fastly", _) => "Fastly Compute and Viceroy provide it".to_owned(),
        _ if !import.contains(':') => {
            "a function or type of its own: compose it with a component that exports it, for example with `wac plug`".to_owned()
        }
        _ => format!("compose it with a component that exports {package}, for example with `wac plug`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_are_chosen_by_names_and_memories() {
        let of = |text: &str| Summary::of(&wat::parse_str(text).expect("a file")).kind();
        let large = engine::LARGE_MEMORY_PAGES;
        assert_eq!(of(&format!("(module (memory {}))", large - 1)), Kind::Serial);
        assert_eq!(of(&format!("(module (memory {large}))")), Kind::Guarded);
        let modules = format!("(core module (memory {large})) (core module (memory 1))");
        assert_eq!(of(&format!("(component {modules})")), Kind::Guarded);
        let handle = r#"(component (import "f" (func $f)) (export "handle" (func $f)))"#;
        assert_eq!(of(handle), Kind::Guarded);
        // Within it, that is nobody's business.
        assert_eq!(
            of(&format!(
                "(component (component {}))",
                &handle["(component ".len()..handle.len() - 1]
            )),
            Kind::Serial
        );
        let clock = r#"(import "wasi:clocks/monotonic-clock@0.3.0" (instance))"#;
        assert_eq!(of(&format!("(component {clock} {modules})")), Kind::Async);
        for damaged in [&b""[..], b"\0asm", b"nothing of the kind"] {
            assert_eq!(Summary::of(damaged).kind(), Kind::Serial);
        }
    }

    /// The first bytes of a component, and a section.
    fn with_section(id: u8, section: &[u8]) -> Vec<u8> {
        let length = u8::try_from(section.len()).expect("a short section");
        [b"\0asm\x0d\0\x01\0", [id, length].as_slice(), section].concat()
    }

    #[test]
    fn an_export_of_the_name_asks_for_initialisation() {
        // One export, with a plain name, of the function 0 as what it is.
        let export = |name: &str| {
            let length = u8::try_from(name.len()).expect("a short name");
            [b"\x01\0".as_slice(), &[length], name.as_bytes(), b"\x01\0\0"].concat()
        };
        let asks = |wasm: &[u8]| Summary::of(wasm).asks_for_initialisation();
        assert!(asks(&with_section(11, &export(initialisation::FUNCTION))));
        assert!(!asks(&with_section(11, &export("wizer-initialise"))));
        assert!(!asks(&with_section(11, &export(initialisation::FUNCTION)[..10])));
        // That of a component within is that one's own.
        let inner = with_section(11, &export(initialisation::FUNCTION));
        assert!(!asks(&with_section(4, &inner)));
        assert!(!asks(b""));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_have_a_summary(id in 0..13_u8, section in proptest::collection::vec(0u8.., 0..64)) {
            Summary::of(&with_section(id, &section)).asks_for_initialisation();
        }
    }
}

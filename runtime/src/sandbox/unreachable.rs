//! Imports that a guest can never call, linked once in place of each by itself.
//!
//! Every instance links each import of its component, which costs as much as
//! some of the guests themselves. What is compiled with a standard library
//! imports all that the library could need, for sockets alone more than fifty
//! functions. But a method takes a handle of its resource, and of some resources
//! nobody here makes any: whoever calls such a method traps, for he has no
//! handle. So all of them with the same signature are as good as the first.
//!
//! Components are left as they are but for the core functions that are handed
//! to modules: directly, or by way of the table of `wit-component`'s shim, for
//! those that need the memory of a module that needs them to be instantiated.

mod module;
mod outline;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use wasm_encoder::{Component, ExportKind, InstanceSection, ModuleArg, RawSection};
use wasmparser::{ExternalKind, FuncType, Instance, Parser, Payload};

use module::Module;
use outline::{CoreInstance, Outline};

/// Whether there is never a handle of a resource. Sockets are refused before one
/// is made, as are look-ups of names; and standard streams are no terminals.
fn is_never_made(interface: &str, resource: &str) -> bool {
    let Some((interface, version)) = interface.split_once('@') else { return false };
    let resources: &[&str] = match interface {
        "wasi:sockets/tcp" => &["tcp-socket"],
        "wasi:sockets/udp" => {
            &["udp-socket", "incoming-datagram-stream", "outgoing-datagram-stream"]
        }
        "wasi:sockets/ip-name-lookup" => &["resolve-address-stream"],
        "wasi:cli/terminal-input" => &["terminal-input"],
        "wasi:cli/terminal-output" => &["terminal-output"],
        _ => &[],
    };
    version.starts_with("0.2.") && !version.contains('-') && resources.contains(&resource)
}

/// Whether a function takes a handle that there never is.
fn is_never_called(interface: &str, function: &str) -> bool {
    let method = function.strip_prefix("[method]").and_then(|own| own.split_once('.'));
    method.is_some_and(|(resource, _)| is_never_made(interface, resource))
}

/// The component with all such imports of one signature made one; none where
/// there are none, or where it is not understood.
pub fn merged(component: &[u8]) -> Option<Vec<u8>> {
    let outline = Outline::of(component)?;
    let merged = Merged::of(&outline);
    if merged.0.is_empty() { None } else { rewritten(component, &merged) }
}

/// What stands in for core functions: by the instance that hands one out, and
/// the function's index.
struct Merged(HashMap<(u32, u32), u32>);

impl Merged {
    fn of(outline: &Outline<'_>) -> Self {
        let modules: Vec<Module<'_>> = outline.modules.iter().map(|own| Module::of(own)).collect();
        let slots = Slots::of(outline, &modules);
        let mut first: HashMap<(bool, FuncType), u32> = HashMap::new();
        let mut merged = HashMap::new();
        for (index, instance) in (0..).zip(&outline.core_instances) {
            let CoreInstance::Exports(exports) = instance else { continue };
            // Its signature is that of the import which it is for.
            let Some((module, name)) = outline.users(index).next() else { continue };
            let Some(module) = modules.get(module as usize) else { continue };
            let signatures = module.signatures(name);
            for export in exports.iter().filter(|export| export.kind == ExternalKind::Func) {
                let is_direct = outline.is_unreachable(export.index);
                if !is_direct && !slots.leads_nowhere(outline, export.index) {
                    continue;
                }
                let Some(signature) = signatures.of(export.name) else { continue };
                let key = (is_direct, signature.clone());
                let stand_in = *first.entry(key).or_insert(export.index);
                if stand_in != export.index {
                    merged.insert((index, export.index), stand_in);
                }
            }
        }
        Self(merged)
    }
}

/// What the tables of shims are filled with: by the shim's instance and the slot,
/// a core function.
struct Slots<'m> {
    functions: HashMap<(u32, u32), u32>,
    forwards: HashMap<u32, &'m HashMap<&'m str, u32>>,
}

impl<'m> Slots<'m> {
    fn of(outline: &Outline<'_>, modules: &'m [Module<'m>]) -> Self {
        let mut slots = Self { functions: HashMap::new(), forwards: HashMap::new() };
        let module = |index: u32| modules.get(index as usize);
        for (index, instance) in (0..).zip(&outline.core_instances) {
            let CoreInstance::Of { module: own, .. } = instance else { continue };
            let Some(shim) = module(*own).and_then(|own| own.shim.as_ref()) else { continue };
            // Who else has its table could put there what he likes.
            if let [filler] = &outline.users_of_table(index, shim.table)[..]
                && let Some(fixup) = module(filler.module).and_then(|own| own.fixup.as_ref())
                && fixup.table == (filler.import, filler.name)
            {
                slots.forwards.insert(index, &shim.forwards);
                let function = |name: &str| filler.exports.iter().find(|own| own.name == name);
                for (slot, (from, name)) in (0..).zip(&fixup.functions) {
                    if let Some(export) = function(name).filter(|_| *from == filler.import) {
                        slots.functions.insert((index, slot), export.index);
                    }
                }
            }
        }
        slots
    }

    /// Whether a core function does nothing but call one that nobody can.
    fn leads_nowhere(&self, outline: &Outline<'_>, function: u32) -> bool {
        let Some((instance, name)) = outline.export(function) else { return false };
        let slot = self.forwards.get(&instance).and_then(|forwards| forwards.get(name));
        let target = slot.and_then(|slot| self.functions.get(&(instance, *slot)));
        target.is_some_and(|target| outline.is_unreachable(*target))
    }
}

/// The same component, but for what its instances hand out.
fn rewritten(component: &[u8], merged: &Merged) -> Option<Vec<u8>> {
    let mut new = Component::new();
    let (mut depth, mut instance) = (0_u32, 0_u32);
    for payload in Parser::new(0).parse_all(component) {
        let payload = payload.ok()?;
        match &payload {
            Payload::Version { .. } => {
                depth += 1;
                continue;
            }
            Payload::End(_) => {
                depth -= 1;
                continue;
            }
            // A nested one is copied as a whole, by its section's range.
            _ if depth > 1 => continue,
            _ => {}
        }
        if let Payload::InstanceSection(section) = payload {
            let mut instances = InstanceSection::new();
            for own in section {
                match own.ok()? {
                    Instance::Instantiate { module_index, args } => {
                        let args = args.iter();
                        let args = args.map(|own| (own.name, ModuleArg::Instance(own.index)));
                        instances.instantiate(module_index, args);
                    }
                    Instance::FromExports(exports) => {
                        let exports = exports.iter().map(|own| {
                            let stand_in = merged.0.get(&(instance, own.index));
                            let stand_in = stand_in.filter(|_| own.kind == ExternalKind::Func);
                            Some((own.name, kind(own.kind)?, *stand_in.unwrap_or(&own.index)))
                        });
                        let exports: Vec<_> = exports.collect::<Option<_>>()?;
                        instances.export_items(exports);
                    }
                }
                instance += 1;
            }
            new.section(&instances);
        } else if let Some((id, range)) = payload.as_section() {
            new.section(&RawSection { id, data: component.get(range)? });
        }
    }
    Some(new.finish())
}

fn kind(kind: ExternalKind) -> Option<ExportKind> {
    Some(match kind {
        ExternalKind::Func => ExportKind::Func,
        ExternalKind::Table => ExportKind::Table,
        ExternalKind::Memory => ExportKind::Memory,
        ExternalKind::Global => ExportKind::Global,
        ExternalKind::Tag => ExportKind::Tag,
        ExternalKind::FuncExact => return None,
    })
}

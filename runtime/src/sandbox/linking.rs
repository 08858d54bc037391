//! What every instance of a component links, made less before it is compiled.
//!
//! Linking one import costs an instance as much as hundreds of a guest's own
//! instructions, and what is compiled with a standard library imports all that
//! the library could need. Three kinds of imports become functions of the module's own:
//!
//! - What nobody can call. A method takes a handle of its resource, and of some
//!   resources nobody here makes any: for sockets alone these are more than fifty
//!   functions. They trap, as they would without a handle.
//! - What always answers that there is none: standard streams are no terminals.
//! - What needs the memory of the module that imports it. `wit-component` hands it
//!   out by way of a shim, whose functions call through a table that a third
//!   module fills once the memory is there. The module calls through that table
//!   itself.
//!
//! Then the modules that share a memory or a table become one (`merge`), of which the
//! shim is part if all who called it do without. Whatever is not understood is left
//! as it is.

pub mod direct;
mod merge;
mod module;
mod outline;
mod rewrite;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use wasm_encoder::{
    Component, InstanceSection, ModuleArg, ModuleSection, reencode::RoundtripReencoder,
};
use wasmparser::{Instance, InstantiationArg};

use module::{Fixup, Module, Shim};
use outline::{Definition, Item, Kind, Outline};
use rewrite::{Body, Own};

/// Whether there is never a handle of a resource. Sockets are refused before one
/// is made, as are look-ups of names; and standard streams are no terminals.
fn is_never_made(interface: &str, resource: &str) -> bool {
    let resources: &[&str] = match unversioned(interface) {
        "wasi:sockets/tcp" => &["tcp-socket"],
        "wasi:sockets/udp" => {
            &["udp-socket", "incoming-datagram-stream", "outgoing-datagram-stream"]
        }
        "wasi:sockets/ip-name-lookup" => &["resolve-address-stream"],
        "wasi:cli/terminal-input" => &["terminal-input"],
        "wasi:cli/terminal-output" => &["terminal-output"],
        _ => &[],
    };
    resources.contains(&resource)
}

/// Whether a function answers an option, and always that there is none.
fn is_always_none(interface: &str, function: &str) -> bool {
    let own = match unversioned(interface) {
        "wasi:cli/terminal-stdin" => "get-terminal-stdin",
        "wasi:cli/terminal-stdout" => "get-terminal-stdout",
        "wasi:cli/terminal-stderr" => "get-terminal-stderr",
        _ => return false,
    };
    function == own
}

/// The name of an interface of WASI 0.2; of all others nothing is known.
pub fn unversioned(interface: &str) -> &str {
    let known = interface
        .split_once('@')
        .filter(|(_, version)| version.starts_with("0.2.") && !version.contains('-'));
    known.map_or("", |(name, _)| name)
}

/// Whether a function takes a handle that there never is.
fn is_never_called(interface: &str, function: &str) -> bool {
    let method = function.strip_prefix("[method]").and_then(|own| own.split_once('.'));
    method.is_some_and(|(resource, _)| is_never_made(interface, resource))
}

/// The name by which a module gets a shim, for its table.
const SHIM: &str = "mayfly:shim";

/// Functions that a module gets in place of imports: more than anybody has, and few
/// enough that those with many parameters are not much code.
const OWN_MAX: usize = 4096;

/// The same component with fewer imports and instances; none where there is nothing
/// to do, or it is not understood.
pub fn lean(component: &[u8]) -> Option<Vec<u8>> {
    let outline = Outline::of(component)?;
    let modules = outline.parsed();
    let new = New::of(&outline, &modules);
    if new.modules.is_empty() {
        return merge::merged(&outline, &modules);
    }
    let fewer = rewritten(&outline, &new)?;
    let merged = Outline::of(&fewer).and_then(|own| merge::merged(&own, &own.parsed()));
    merged.or(Some(fewer))
}

/// What is written anew.
#[derive(Default)]
struct New {
    /// Modules, by their index.
    modules: HashMap<u32, wasm_encoder::Module>,
    /// The shim that an instance gets in addition, by the instance.
    shims: HashMap<u32, u32>,
}

impl New {
    fn of(outline: &Outline<'_>, modules: &[Module<'_>]) -> Self {
        let shims = Shims::of(outline, modules);
        let mut new = Self::default();
        // What became of an instance's imports of functions, by the instance.
        let mut bodies = HashMap::new();
        for (index, instance) in (0..).zip(&outline.core_instances) {
            let Instance::Instantiate { module_index: module, args } = instance else { continue };
            let Some(own) = modules.get(*module as usize) else { continue };
            // Others may get other functions.
            let is_one = outline.instances_of(*module) == 1 && own.shim.is_none();
            if !is_one || shims.filled_by(*module).is_some() {
                continue;
            }
            let Some(own) = shims.own(outline, (index, own), args) else { continue };
            let Some(written) = own.module() else { continue };
            new.modules.insert(*module, written);
            new.shims.extend(own.shim.map(|(shim, _)| (index, shim)));
            bodies.insert(index, own.bodies);
        }
        let called = shims.called(outline, modules, &bodies);
        for slots in &shims.0 {
            let written = slots.filler(outline, called.as_ref());
            new.modules.extend(written.map(|written| (slots.filler, written)));
        }
        new
    }
}

/// A shim's instance and the module that fills its table.
struct Slots<'m> {
    instance: u32,
    shim: &'m Shim<'m>,
    /// The module that fills it.
    filler: u32,
    fixup: &'m Fixup<'m>,
    /// Core functions, by their slots.
    functions: Vec<u32>,
}

impl<'m> Slots<'m> {
    /// Those of an instance, if it is a shim's.
    fn of(
        outline: &Outline<'m>,
        modules: &'m [Module<'m>],
        index: u32,
        instance: &Instance<'_>,
    ) -> Option<Self> {
        let module = |index: u32| modules.get(index as usize);
        let Instance::Instantiate { module_index: own, .. } = instance else { return None };
        let shim = module(*own)?.shim.as_ref()?;
        // Who else has its table could put there what he likes.
        let [filler] = &outline.users_of_table(index, shim.table)[..] else { return None };
        let fixup = module(filler.module)?.fixup.as_ref()?;
        if fixup.table != (filler.import, filler.name) || outline.instances_of(filler.module) != 1 {
            return None;
        }
        let function = |(from, name): &(&str, &str)| {
            (*from == filler.import).then_some(outline.handed_out(
                filler.group?,
                Kind::Function,
                name,
            )?)
        };
        let functions = fixup.functions.iter().map(function).collect::<Option<_>>()?;
        Some(Self { instance: index, shim, filler: filler.module, fixup, functions })
    }

    /// What fills the table with what can be called; of what says that there is none,
    /// with what is.
    fn filler(
        &self,
        outline: &Outline<'_>,
        called: Option<&HashSet<(u32, u32)>>,
    ) -> Option<wasm_encoder::Module> {
        let is_called = |slot| called.is_none_or(|called| called.contains(&(self.instance, slot)));
        let is_kept = |slot: u32, function: u32| {
            !outline.is_unreachable(function)
                && (outline.memory_of_none(function).is_none() || is_called(slot))
        };
        let kept: Vec<bool> =
            (0..).zip(&self.functions).map(|(at, &own)| is_kept(at, own)).collect();
        if kept.iter().all(|kept| *kept) { None } else { rewrite::filler(self.fixup, &kept) }
    }
}

struct Shims<'m>(Vec<Slots<'m>>);

impl<'m> Shims<'m> {
    fn of(outline: &Outline<'m>, modules: &'m [Module<'m>]) -> Self {
        let instances = (0..).zip(&outline.core_instances);
        Self(instances.filter_map(|(at, own)| Slots::of(outline, modules, at, own)).collect())
    }

    fn filled_by(&self, module: u32) -> Option<&Slots<'m>> {
        self.0.iter().find(|own| own.filler == module)
    }

    /// Which imports of a module become functions of its own, given what it is
    /// instantiated with; none if none does.
    fn own<'o>(
        &'o self,
        outline: &Outline<'_>,
        (instance, module): (u32, &'o Module<'o>),
        arguments: &[InstantiationArg<'_>],
    ) -> Option<Own<'o>> {
        let mut own = Own { instance, module, bodies: HashMap::new(), shim: None };
        let arguments: HashMap<_, _> = arguments.iter().map(|own| (own.name, own.index)).collect();
        for (index, import) in (0..).zip(module.imported_functions()) {
            let argument = *arguments.get(import.module)?;
            let body = match outline.handed_out(argument, Kind::Function, import.name) {
                Some(function) if outline.is_unreachable(function) => Some(Body::Unreachable),
                _ => outline
                    .exported(argument, import.name)
                    .and_then(|item| self.body(outline, &mut own, item)),
            };
            own.bodies.extend(body.map(|body| (index, body)));
        }
        // The name is free: it is not one of `wit-component`'s.
        let is_free = !arguments.contains_key(SHIM);
        (is_free && (1..=OWN_MAX).contains(&own.bodies.len())).then_some(own)
    }

    /// What a function does that an instance exports, if that is a shim's.
    fn body<'o>(
        &'o self,
        outline: &Outline<'_>,
        own: &mut Own<'o>,
        item: Item<'_>,
    ) -> Option<Body> {
        let (slots, slot) = self.slot(item)?;
        let function = *slots.functions.get(slot as usize)?;
        if outline.is_unreachable(function) {
            return Some(Body::Unreachable);
        }
        if let Some(memory) = own.memory(outline.memory_of_none(function)) {
            return Some(Body::None { memory });
        }
        // There is one name, for one shim.
        if own.shim.is_some_and(|(other, _)| other != slots.instance) {
            return None;
        }
        own.shim = Some((slots.instance, slots.shim));
        Some(Body::Slot(slot))
    }

    /// The slot that a function calls which an instance exports, if that is a shim's.
    fn slot(&self, (instance, name): Item<'_>) -> Option<(&Slots<'m>, u32)> {
        let slots = self.0.iter().find(|own| own.instance == instance)?;
        Some((slots, *slots.shim.forwards.get(name)?))
    }

    /// Which function of an imported interface it is that is handed out by a name, in
    /// whichever way, by the names of both.
    fn lowered<'c>(
        &self,
        outline: &Outline<'c>,
        argument: u32,
        name: &str,
    ) -> Option<(&'c str, &'c str)> {
        let function = outline.handed_out(argument, Kind::Function, name)?;
        let slot = outline.export(function).and_then(|item| self.slot(item));
        outline.lowered(match slot {
            Some((slots, slot)) => *slots.functions.get(slot as usize)?,
            None => function,
        })
    }

    /// Slots that somebody calls, each with its shim's instance, given what became of
    /// imports; none where it is not known.
    fn called(
        &self,
        outline: &Outline<'_>,
        modules: &[Module<'_>],
        bodies: &HashMap<u32, HashMap<u32, Body>>,
    ) -> Option<HashSet<(u32, u32)>> {
        let mut called = HashSet::new();
        let lifted = outline.lifted.iter().filter_map(|own| self.slot(outline.export(*own)?));
        called.extend(lifted.map(|(slots, slot)| (slots.instance, slot)));
        for (index, instance) in (0..).zip(&outline.core_instances) {
            let Instance::Instantiate { module_index, args } = instance else { continue };
            let module = modules.get(*module_index as usize)?;
            if module.bytes.is_empty() {
                return None;
            }
            for (import, own) in (0..).zip(module.imported_functions()) {
                let body = bodies.get(&index).and_then(|bodies| bodies.get(&import));
                if matches!(body, Some(Body::Unreachable | Body::None { .. })) {
                    continue;
                }
                let argument = args.iter().find(|argument| argument.name == own.module)?.index;
                let slot = outline.exported(argument, own.name).and_then(|item| self.slot(item));
                called.extend(slot.map(|(slots, slot)| (slots.instance, slot)));
            }
        }
        Some(called)
    }
}

/// The same component, with what is new in it.
fn rewritten(outline: &Outline<'_>, new: &New) -> Option<Vec<u8>> {
    let mut written = Component::new();
    for definition in &outline.definitions {
        match definition {
            Definition::Module(index) if new.modules.contains_key(index) => {
                written.section(&ModuleSection(new.modules.get(index)?));
            }
            Definition::Instance(index) if new.shims.contains_key(index) => {
                let shim = *new.shims.get(index)?;
                let Some(Instance::Instantiate { module_index, args }) =
                    outline.core_instances.get(*index as usize)
                else {
                    return None;
                };
                let args = args.iter().map(|own| (own.name, own.index)).chain([(SHIM, shim)]);
                let args = args.map(|(name, index)| (name, ModuleArg::Instance(index)));
                let mut instances = InstanceSection::new();
                instances.instantiate(*module_index, args.collect::<Vec<_>>());
                written.section(&instances);
            }
            _ => outline.write(definition, &mut written, &mut RoundtripReencoder).ok()?,
        }
    }
    Some(written.finish())
}

//! The module of a component by itself, for calls that need nothing else.

use std::{collections::HashMap, convert::Infallible};

use wasm_encoder::{
    ExportSection, Module,
    reencode::{Error, Reencode, utils},
};
use wasmparser::{CanonicalOption, ExportSectionReader, Instance, Parser};

use super::{
    OWN_MAX, Shims,
    module::Module as Parsed,
    outline::{Kind, Outline},
    rewrite::{Body, Own},
};

/// What the module exports beside the function: where strings lie,
pub const MEMORY: &str = "memory";
/// and what makes room for them.
pub const REALLOC: &str = "realloc";

/// The module that has a function which a component exports, if it is all that matters
/// of it: nothing else is instantiated but what hands it functions. Those are unreachable
/// but for what is `served` to it, by the names of interface and function.
pub fn module<S: PartialEq>(
    component: &[u8],
    function: &str,
    served: impl Fn(&str, &str) -> Option<S>,
) -> Option<Vec<u8>> {
    let outline = Outline::of(component)?;
    let modules = outline.parsed();
    let shims = Shims::of(&outline, &modules);
    let lift = outline.lifts.get(outline.exports.get(function)?)?;
    let (instance, own_name) = outline.export(lift.function)?;
    let (mut memory, mut realloc) = (None, None);
    for option in &lift.options {
        match option {
            CanonicalOption::UTF8 => {}
            CanonicalOption::Memory(index) => memory = outline.memory(*index),
            CanonicalOption::Realloc(index) => realloc = outline.export(*index),
            // What it frees ends with the instance.
            CanonicalOption::PostReturn(_) => {}
            _ => return None,
        }
    }
    let own = |item: Option<(u32, _)>| item.filter(|own| own.0 == instance).map(|own| own.1);
    let names =
        Names { memory: own(memory)?, functions: [(own_name, function), (own(realloc)?, REALLOC)] };
    let hands_out = |(index, own): (u32, &Instance<'_>)| match own {
        Instance::FromExports(_) => true,
        Instance::Instantiate { module_index, .. } => {
            shims.0.iter().any(|own| own.instance == index || own.filler == *module_index)
        }
    };
    let mut others = (0..).zip(&outline.core_instances).filter(|(index, _)| *index != instance);
    let Instance::Instantiate { module_index, args } =
        outline.core_instances.get(instance as usize)?
    else {
        return None;
    };
    let module = modules.get(*module_index as usize)?;
    if !others.all(hands_out) || module.imported_functions().count() != module.imports.len() {
        return None;
    }
    let mut bodies = HashMap::new();
    for (index, import) in (0..).zip(module.imported_functions()) {
        let argument = args.iter().find(|own| own.name == import.module)?.index;
        let is_kept = shims.lowered(&outline, argument, import.name).is_some_and(|lowered| {
            let served = [lowered, (import.module, import.name)].map(|own| served(own.0, own.1));
            served[0].is_some() && served[0] == served[1]
        });
        if !is_kept {
            bodies.insert(index, Body::Unreachable);
        }
    }
    names.of(&alone(instance, module, bodies)?)
}

/// A module with bodies in place of imports.
fn alone(instance: u32, module: &Parsed<'_>, bodies: HashMap<u32, Body>) -> Option<Vec<u8>> {
    if module.has_places || bodies.len() > OWN_MAX {
        return None;
    }
    if bodies.is_empty() {
        return Some(module.bytes.to_vec());
    }
    Some(Own { instance, module, bodies, shim: None }.module()?.finish())
}

/// What is exported of a module, by the names that it has.
struct Names<'m> {
    memory: &'m str,
    /// Each with its new name.
    functions: [(&'m str, &'m str); 2],
}

impl Names<'_> {
    fn of(mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut module = Module::new();
        utils::parse_core_module(&mut self, &mut module, Parser::new(0), bytes).ok()?;
        Some(module.finish())
    }
}

impl Reencode for Names<'_> {
    type Error = Infallible;

    fn parse_export_section(
        &mut self,
        exports: &mut ExportSection,
        section: ExportSectionReader<'_>,
    ) -> Result<(), Error<Infallible>> {
        for export in section {
            let export = export?;
            match Kind::from(export.kind) {
                Kind::Memory if export.name == self.memory => {
                    exports.export(MEMORY, Kind::Memory.into(), export.index);
                }
                Kind::Function => {
                    for (_, new) in self.functions.iter().filter(|own| own.0 == export.name) {
                        exports.export(new, Kind::Function.into(), export.index);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

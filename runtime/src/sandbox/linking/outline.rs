//! What a component is made of, as far as it tells where core functions come
//! from and who gets them.

use std::collections::HashMap;

use wasmparser::{
    CanonicalFunction, ComponentAlias, ComponentExternalKind, ComponentOuterAliasKind,
    ComponentTypeRef, Export, ExternalKind, Instance, InstantiationArg, Parser, Payload,
};

use super::{is_never_called, is_never_made};

/// An item of the component's own that an instance exports: whose, and its name.
type Item<'c> = (u32, &'c str);

/// As many core instances as one component may have in wasmtime.
const INSTANCES_MAX: usize = 1000;

/// The index spaces of a component, without those of components inside.
#[derive(Default)]
pub struct Outline<'c> {
    /// Core modules, as bytes.
    pub modules: Vec<&'c [u8]>,
    /// Core instances.
    pub core_instances: Vec<CoreInstance<'c>>,
    // The core functions that each of them hands out, if it is a group.
    handed_out: Vec<HashMap<&'c str, u32>>,
    core_functions: Vec<CoreFunction<'c>>,
    core_tables: Vec<Item<'c>>,
    // The interface, of those that are imported.
    instances: Vec<Option<&'c str>>,
    functions: Vec<Option<Item<'c>>>,
    types: Vec<Option<Item<'c>>>,
}

/// A core instance.
pub enum CoreInstance<'c> {
    /// Of a module, with the instances that it imports from.
    Of {
        /// The module.
        module: u32,
        /// By the first name of an import.
        arguments: Box<[InstantiationArg<'c>]>,
    },
    /// A group of what is there.
    Exports(Box<[Export<'c>]>),
}

enum CoreFunction<'c> {
    /// One that takes a handle that there never is.
    Unreachable,
    /// What an instance exports.
    Export(Item<'c>),
    Other,
}

/// Whoever gets a table: a module, by an import.
pub struct TableUser<'c> {
    /// The module.
    pub module: u32,
    /// The import's first name.
    pub import: &'c str,
    /// Its second.
    pub name: &'c str,
    /// The group that comes by the same first name, if it is one.
    pub group: Option<u32>,
}

impl<'c> Outline<'c> {
    /// None where something is not understood.
    pub fn of(component: &'c [u8]) -> Option<Self> {
        let mut outline = Self::default();
        let mut depth = 0_u32;
        for payload in Parser::new(0).parse_all(component) {
            let payload = payload.ok()?;
            match payload {
                Payload::Version { .. } => depth += 1,
                Payload::End(_) => depth -= 1,
                payload if depth == 1 => outline.add(component, payload)?,
                _ => {}
            }
        }
        Some(outline)
    }

    fn add(&mut self, component: &'c [u8], payload: Payload<'c>) -> Option<()> {
        match payload {
            Payload::ModuleSection { unchecked_range, .. } => {
                self.modules.push(component.get(unchecked_range)?);
            }
            Payload::InstanceSection(section) => {
                for instance in section {
                    let (instance, functions) = match instance.ok()? {
                        Instance::Instantiate { module_index, args } => {
                            let own = CoreInstance::Of { module: module_index, arguments: args };
                            (own, HashMap::new())
                        }
                        Instance::FromExports(exports) => {
                            let functions = exports.iter();
                            let functions = functions.filter(|own| own.kind == ExternalKind::Func);
                            let functions = functions.map(|own| (own.name, own.index)).collect();
                            (CoreInstance::Exports(exports), functions)
                        }
                    };
                    self.core_instances.push(instance);
                    self.handed_out.push(functions);
                }
                if self.core_instances.len() > INSTANCES_MAX {
                    return None;
                }
            }
            Payload::ComponentTypeSection(section) => {
                self.types.extend((0..section.count()).map(|_| None));
            }
            Payload::ComponentInstanceSection(section) => {
                self.instances.extend((0..section.count()).map(|_| None));
            }
            Payload::ComponentImportSection(section) => {
                for import in section {
                    let import = import.ok()?;
                    match import.ty {
                        ComponentTypeRef::Instance(_) => {
                            self.instances.push(Some(import.name.name));
                        }
                        ComponentTypeRef::Func(_) => self.functions.push(None),
                        ComponentTypeRef::Type(_) => self.types.push(None),
                        // Its code is not there.
                        ComponentTypeRef::Module(_) => return None,
                        ComponentTypeRef::Component(_) | ComponentTypeRef::Value(_) => {}
                    }
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    // It is another name of what is there.
                    self.component_item(export.ok()?.kind, None)?;
                }
            }
            Payload::ComponentCanonicalSection(section) => {
                for function in section {
                    self.canonical(&function.ok()?)?;
                }
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section {
                    self.alias(alias.ok()?)?;
                }
            }
            _ => {}
        }
        Some(())
    }

    fn canonical(&mut self, function: &CanonicalFunction) -> Option<()> {
        let is_unreachable = match function {
            CanonicalFunction::Lift { .. } => {
                self.functions.push(None);
                return Some(());
            }
            CanonicalFunction::Lower { func_index, .. } => {
                let item = self.functions.get(*func_index as usize)?;
                self.is_of_import(*item, is_never_called)
            }
            CanonicalFunction::ResourceDrop { resource } => {
                let item = self.types.get(*resource as usize)?;
                self.is_of_import(*item, is_never_made)
            }
            _ => false,
        };
        self.core_functions.push(match is_unreachable {
            true => CoreFunction::Unreachable,
            false => CoreFunction::Other,
        });
        Some(())
    }

    /// Whether what an imported instance exports is so, by interface and name.
    fn is_of_import(&self, item: Option<Item<'_>>, is_so: fn(&str, &str) -> bool) -> bool {
        let Some((instance, name)) = item else { return false };
        let interface = self.instances.get(instance as usize).copied().flatten();
        interface.is_some_and(|interface| is_so(interface, name))
    }

    fn alias(&mut self, alias: ComponentAlias<'c>) -> Option<()> {
        match alias {
            ComponentAlias::InstanceExport { kind, instance_index, name } => {
                self.component_item(kind, Some((instance_index, name)))
            }
            ComponentAlias::CoreInstanceExport { kind, instance_index, name } => {
                match kind {
                    ExternalKind::Func => {
                        self.core_functions.push(CoreFunction::Export((instance_index, name)));
                    }
                    ExternalKind::Table => self.core_tables.push((instance_index, name)),
                    _ => {}
                }
                Some(())
            }
            ComponentAlias::Outer { kind, .. } => match kind {
                ComponentOuterAliasKind::Type => {
                    self.component_item(ComponentExternalKind::Type, None)
                }
                ComponentOuterAliasKind::CoreModule => None,
                ComponentOuterAliasKind::CoreType | ComponentOuterAliasKind::Component => Some(()),
            },
        }
    }

    fn component_item(
        &mut self,
        kind: ComponentExternalKind,
        item: Option<Item<'c>>,
    ) -> Option<()> {
        match kind {
            ComponentExternalKind::Func => self.functions.push(item),
            ComponentExternalKind::Type => self.types.push(item),
            ComponentExternalKind::Instance => self.instances.push(None),
            ComponentExternalKind::Module => return None,
            ComponentExternalKind::Component | ComponentExternalKind::Value => {}
        }
        Some(())
    }

    /// Whether nobody can call a core function.
    pub fn is_unreachable(&self, function: u32) -> bool {
        matches!(self.core_functions.get(function as usize), Some(CoreFunction::Unreachable))
    }

    /// How many instances of a module there are.
    pub fn instances_of(&self, module: u32) -> usize {
        let is_one = |own: &&CoreInstance<'_>| match own {
            CoreInstance::Of { module: own, .. } => *own == module,
            CoreInstance::Exports(_) => false,
        };
        self.core_instances.iter().filter(is_one).count()
    }

    /// The core function that a group hands out by a name.
    pub fn handed_out(&self, instance: u32, name: &str) -> Option<u32> {
        self.handed_out.get(instance as usize)?.get(name).copied()
    }

    /// Which export a core function is, where it is one.
    pub fn export(&self, function: u32) -> Option<Item<'c>> {
        match self.core_functions.get(function as usize)? {
            CoreFunction::Export(item) => Some(*item),
            _ => None,
        }
    }

    /// The modules that get a core instance, and by which names.
    fn users(&self, instance: u32) -> impl Iterator<Item = (u32, &'c str)> {
        self.core_instances.iter().flat_map(move |own| {
            let (module, arguments) = match own {
                CoreInstance::Of { module, arguments } => (*module, &arguments[..]),
                CoreInstance::Exports(_) => (0, &[][..]),
            };
            let arguments = arguments.iter().filter(move |own| own.index == instance);
            arguments.map(move |own| (module, own.name))
        })
    }

    /// Everyone who gets a table that an instance exports.
    pub fn users_of_table(&self, instance: u32, name: &'c str) -> Vec<TableUser<'c>> {
        let is_it = |export: &&Export<'_>| {
            let table = self.core_tables.get(export.index as usize);
            export.kind == ExternalKind::Table && table == Some(&(instance, name))
        };
        // Whoever gets the whole instance gets the table.
        let mut users: Vec<TableUser<'c>> = self
            .users(instance)
            .map(|(module, import)| TableUser { module, import, name, group: None })
            .collect();
        for (index, own) in (0..).zip(&self.core_instances) {
            let CoreInstance::Exports(exports) = own else { continue };
            for export in exports.iter().filter(is_it) {
                users.extend(self.users(index).map(|(module, import)| TableUser {
                    module,
                    import,
                    name: export.name,
                    group: Some(index),
                }));
            }
        }
        users
    }
}

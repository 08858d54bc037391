//! What a component is made of, as far as it tells where core functions come
//! from and who gets them.

use std::collections::HashMap;

use wasm_encoder::{
    CanonicalFunctionSection, Component, ComponentAliasSection, ComponentSectionId, ExportKind,
    InstanceSection, RawSection,
    reencode::{Error, ReencodeComponent, component_utils},
};
use wasmparser::{
    CanonicalFunction, CanonicalOption, ComponentAlias, ComponentExternalKind,
    ComponentOuterAliasKind, ComponentTypeRef, Export, ExternalKind, Instance, Parser, Payload,
};

use super::{is_always_none, is_never_called, is_never_made, module::Module};

/// An item of the component's own that an instance exports: whose, and its name.
pub type Item<'c> = (u32, &'c str);

/// As many core instances as one component may have in wasmtime.
const INSTANCES_MAX: usize = 1000;

/// The index spaces of a component, without those of components inside.
#[derive(Default)]
pub struct Outline<'c> {
    /// Core modules, as bytes.
    pub modules: Vec<&'c [u8]>,
    /// Core instances.
    pub core_instances: Vec<Instance<'c>>,
    /// All that it is made of, in its order.
    pub definitions: Vec<Definition<'c>>,
    /// Core functions that the component itself calls.
    pub lifted: Vec<u32>,
    /// Its own functions that are lifted, each with how, by their index.
    pub lifts: HashMap<u32, Lift>,
    /// The functions that it exports, by their names.
    pub exports: HashMap<&'c str, u32>,
    // Which of the imported interfaces' functions core functions are.
    lowered: HashMap<u32, Item<'c>>,
    // What each core instance hands out, if it is a group.
    groups: Vec<HashMap<(Kind, &'c str), u32>>,
    core: [Vec<Core<'c>>; Kind::ALL],
    // The interface, of those that are imported.
    instances: Vec<Option<&'c str>>,
    functions: Vec<Option<Item<'c>>>,
    types: Vec<Option<Item<'c>>>,
}

/// How a component calls a core function.
pub struct Lift {
    /// The core function.
    pub function: u32,
    /// How values come to it and from it.
    pub options: Vec<CanonicalOption>,
}

/// What modules import and export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    Function,
    Table,
    Memory,
    Global,
    Tag,
}

impl Kind {
    /// How many kinds there are.
    pub const ALL: usize = 5;
}

impl From<ExternalKind> for Kind {
    fn from(kind: ExternalKind) -> Self {
        match kind {
            ExternalKind::Func | ExternalKind::FuncExact => Self::Function,
            ExternalKind::Table => Self::Table,
            ExternalKind::Memory => Self::Memory,
            ExternalKind::Global => Self::Global,
            ExternalKind::Tag => Self::Tag,
        }
    }
}

impl From<Kind> for ExportKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Function => Self::Func,
            Kind::Table => Self::Table,
            Kind::Memory => Self::Memory,
            Kind::Global => Self::Global,
            Kind::Tag => Self::Tag,
        }
    }
}

/// What has an index of its own in a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Index {
    /// A core instance.
    Instance(u32),
    /// A core function, table, memory, global or tag.
    Core(Kind, u32),
}

/// One thing that a component is made of.
pub enum Definition<'c> {
    /// A core module.
    Module(u32),
    /// A core instance.
    Instance(u32),
    /// What an instance exports, and the index that it gets if it is of core.
    Alias(ComponentAlias<'c>, Option<Index>),
    /// A function by the canonical ABI, and its index if it is one of core.
    Canonical(CanonicalFunction, Option<Index>),
    /// A section of anything else.
    Section(RawSection<'c>),
}

impl Definition<'_> {
    /// The index of core that it has.
    pub fn index(&self) -> Option<Index> {
        match self {
            Self::Instance(index) => Some(Index::Instance(*index)),
            Self::Alias(_, index) | Self::Canonical(_, index) => *index,
            Self::Module(_) | Self::Section(_) => None,
        }
    }
}

#[derive(Clone, Copy)]
enum Core<'c> {
    /// A function that takes a handle that there never is.
    Unreachable,
    /// A function that says in a memory that there is none.
    None {
        /// The memory.
        memory: u32,
    },
    /// What an instance exports.
    Export(Item<'c>),
    /// A function by the canonical ABI.
    Canonical,
}

/// Where an item comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin<'c> {
    /// The component itself makes it.
    Component(Index),
    /// The instance of a module exports it.
    Instance(Item<'c>),
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
                // Within it, one of these modules may be another's too.
                Payload::ComponentAliasSection(section) => {
                    for alias in section {
                        if is_of_module(&alias.ok()?) {
                            return None;
                        }
                    }
                }
                _ => {}
            }
        }
        Some(outline)
    }

    fn add(&mut self, component: &'c [u8], payload: Payload<'c>) -> Option<()> {
        let section = payload.as_section();
        match payload {
            Payload::ModuleSection { unchecked_range, .. } => {
                self.definitions.push(Definition::Module(u32::try_from(self.modules.len()).ok()?));
                self.modules.push(component.get(unchecked_range)?);
                return Some(());
            }
            Payload::InstanceSection(section) => {
                for instance in section {
                    self.core_instance(instance.ok()?)?;
                }
                return Some(());
            }
            Payload::ComponentCanonicalSection(section) => {
                for function in section {
                    let function = function.ok()?;
                    let index = self.canonical(&function)?;
                    self.definitions.push(Definition::Canonical(function, index));
                }
                return Some(());
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section {
                    let alias = alias.ok()?;
                    let index = self.alias(&alias)?;
                    self.definitions.push(Definition::Alias(alias, index));
                }
                return Some(());
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
                    let export = export.ok()?;
                    if export.kind == ComponentExternalKind::Func {
                        self.exports.insert(export.name.name, export.index);
                    }
                    // It is another name of what is there.
                    self.component_item(export.kind, None)?;
                }
            }
            _ => {}
        }
        if let Some((id, range)) = section {
            let data = component.get(range)?;
            self.definitions.push(Definition::Section(RawSection { id, data }));
        }
        Some(())
    }

    fn core_instance(&mut self, instance: Instance<'c>) -> Option<()> {
        if self.core_instances.len() >= INSTANCES_MAX {
            return None;
        }
        let index = u32::try_from(self.core_instances.len()).ok()?;
        self.groups.push(match &instance {
            Instance::Instantiate { .. } => HashMap::new(),
            Instance::FromExports(exports) => {
                let exports = exports.iter();
                exports.map(|own| ((Kind::from(own.kind), own.name), own.index)).collect()
            }
        });
        self.core_instances.push(instance);
        self.definitions.push(Definition::Instance(index));
        Some(())
    }

    /// Writes what the component is made of into another one, by the indices that
    /// things have there.
    pub fn write<R: ReencodeComponent>(
        &self,
        definition: &Definition<'c>,
        component: &mut Component,
        indices: &mut R,
    ) -> Result<(), Error<R::Error>> {
        match definition {
            Definition::Module(index) => {
                let data = self.modules.get(*index as usize).copied().unwrap_or_default();
                let id = ComponentSectionId::CoreModule.into();
                component.section(&RawSection { id, data });
            }
            Definition::Instance(index) => {
                let mut section = InstanceSection::new();
                if let Some(instance) = self.core_instances.get(*index as usize) {
                    component_utils::parse_instance(indices, &mut section, instance.clone())?;
                }
                component.section(&section);
            }
            Definition::Alias(alias, _) => {
                let mut section = ComponentAliasSection::new();
                section.alias(component_utils::component_alias(indices, alias.clone())?);
                component.section(&section);
            }
            Definition::Canonical(function, _) => {
                let mut section = CanonicalFunctionSection::new();
                let function = function.clone();
                component_utils::parse_component_canonical(indices, &mut section, function)?;
                component.section(&section);
            }
            Definition::Section(section) => {
                component.section(section);
            }
        }
        Ok(())
    }

    /// Adds a function; the index that it has, if it is one of core.
    fn canonical(&mut self, function: &CanonicalFunction) -> Option<Option<Index>> {
        let function = match function {
            CanonicalFunction::Lift { core_func_index, options, .. } => {
                let lift = Lift { function: *core_func_index, options: options.to_vec() };
                self.lifts.insert(u32::try_from(self.functions.len()).ok()?, lift);
                self.functions.push(None);
                let further = options.iter().filter_map(|option| match option {
                    CanonicalOption::Realloc(function)
                    | CanonicalOption::PostReturn(function)
                    | CanonicalOption::Callback(function) => Some(*function),
                    _ => None,
                });
                self.lifted.extend(further.chain([*core_func_index]));
                return Some(None);
            }
            CanonicalFunction::Lower { func_index, options } => {
                let item = *self.functions.get(*func_index as usize)?;
                let index = u32::try_from(self.core[Kind::Function as usize].len()).ok()?;
                self.lowered.extend(item.map(|item| (index, item)));
                let memory = options.iter().find_map(|option| match option {
                    CanonicalOption::Memory(memory) => Some(*memory),
                    _ => None,
                });
                match memory {
                    _ if self.is_of_import(item, is_never_called) => Core::Unreachable,
                    Some(memory) if self.is_of_import(item, is_always_none) => {
                        Core::None { memory }
                    }
                    _ => Core::Canonical,
                }
            }
            CanonicalFunction::ResourceDrop { resource } => {
                let item = self.types.get(*resource as usize)?;
                match self.is_of_import(*item, is_never_made) {
                    true => Core::Unreachable,
                    false => Core::Canonical,
                }
            }
            _ => Core::Canonical,
        };
        Some(Some(self.core_item(Kind::Function, function)?))
    }

    fn core_item(&mut self, kind: Kind, item: Core<'c>) -> Option<Index> {
        let items = &mut self.core[kind as usize];
        items.push(item);
        Some(Index::Core(kind, u32::try_from(items.len() - 1).ok()?))
    }

    /// Whether what an imported instance exports is so, by interface and name.
    fn is_of_import(&self, item: Option<Item<'_>>, is_so: fn(&str, &str) -> bool) -> bool {
        let Some((instance, name)) = item else { return false };
        let interface = self.instances.get(instance as usize).copied().flatten();
        interface.is_some_and(|interface| is_so(interface, name))
    }

    /// Adds what is aliased; the index that it has, if it is one of core.
    fn alias(&mut self, alias: &ComponentAlias<'c>) -> Option<Option<Index>> {
        match *alias {
            ComponentAlias::InstanceExport { kind, instance_index, name } => {
                self.component_item(kind, Some((instance_index, name)))?;
            }
            ComponentAlias::CoreInstanceExport { kind, instance_index, name } => {
                return self.core_item(kind.into(), Core::Export((instance_index, name))).map(Some);
            }
            ComponentAlias::Outer { kind, .. } => match kind {
                ComponentOuterAliasKind::Type => {
                    self.component_item(ComponentExternalKind::Type, None)?;
                }
                ComponentOuterAliasKind::CoreModule => return None,
                ComponentOuterAliasKind::CoreType | ComponentOuterAliasKind::Component => {}
            },
        }
        Some(None)
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

    fn core(&self, kind: Kind, index: u32) -> Option<Core<'c>> {
        self.core[kind as usize].get(index as usize).copied()
    }

    /// Whether nobody can call a core function.
    pub fn is_unreachable(&self, function: u32) -> bool {
        matches!(self.core(Kind::Function, function), Some(Core::Unreachable))
    }

    /// The memory, as what an instance exports, in which a core function says that
    /// there is none, if that is all it does.
    pub fn memory_of_none(&self, function: u32) -> Option<Item<'c>> {
        let Core::None { memory } = self.core(Kind::Function, function)? else { return None };
        self.memory(memory)
    }

    /// Which function of an imported interface a core function is, by the names of both.
    pub fn lowered(&self, function: u32) -> Option<(&'c str, &'c str)> {
        let (instance, name) = *self.lowered.get(&function)?;
        Some(((*self.instances.get(instance as usize)?)?, name))
    }

    /// Which export a memory is, where it is one.
    pub fn memory(&self, memory: u32) -> Option<Item<'c>> {
        match self.core(Kind::Memory, memory)? {
            Core::Export(item) => Some(item),
            _ => None,
        }
    }

    /// Its modules, as far as they are understood.
    pub fn parsed(&self) -> Vec<Module<'c>> {
        self.modules.iter().map(|own| Module::of(own)).collect()
    }

    /// How many instances of a module there are.
    pub fn instances_of(&self, module: u32) -> usize {
        let is_one = |own: &&Instance<'_>| match own {
            Instance::Instantiate { module_index, .. } => *module_index == module,
            Instance::FromExports(_) => false,
        };
        self.core_instances.iter().filter(is_one).count()
    }

    /// What a group hands out by a name, by its index.
    pub fn handed_out(&self, instance: u32, kind: Kind, name: &str) -> Option<u32> {
        self.groups.get(instance as usize)?.get(&(kind, name)).copied()
    }

    /// Which export a core function is, where it is one.
    pub fn export(&self, function: u32) -> Option<Item<'c>> {
        match self.core(Kind::Function, function)? {
            Core::Export(item) => Some(item),
            _ => None,
        }
    }

    /// Which export it is that an instance hands out by a name, if it is one.
    pub fn exported<'n>(&self, instance: u32, name: &'n str) -> Option<Item<'n>>
    where
        'c: 'n,
    {
        match self.handed_out(instance, Kind::Function, name) {
            Some(function) => self.export(function),
            None => Some((instance, name)),
        }
    }

    /// Where it comes from that an instance hands out by a name, through however
    /// many groups.
    pub fn origin(&self, mut item: Item<'c>, kind: Kind) -> Option<Origin<'c>> {
        loop {
            let (instance, name) = item;
            if let Instance::Instantiate { .. } = self.core_instances.get(instance as usize)? {
                return Some(Origin::Instance(item));
            }
            let index = self.handed_out(instance, kind, name)?;
            item = match self.core(kind, index)? {
                // One that comes later would be no valid one.
                Core::Export(next) if next.0 < instance => next,
                Core::Export(_) => return None,
                Core::Canonical | Core::Unreachable | Core::None { .. } => {
                    return Some(Origin::Component(Index::Core(kind, index)));
                }
            };
        }
    }

    /// The modules that get a core instance, and by which names.
    fn users(&self, instance: u32) -> impl Iterator<Item = (u32, &'c str)> {
        self.core_instances.iter().flat_map(move |own| {
            let (module, arguments) = match own {
                Instance::Instantiate { module_index, args } => (*module_index, &args[..]),
                Instance::FromExports(_) => (0, &[][..]),
            };
            let arguments = arguments.iter().filter(move |own| own.index == instance);
            arguments.map(move |own| (module, own.name))
        })
    }

    /// Everyone who gets a table that an instance exports.
    pub fn users_of_table(&self, instance: u32, name: &'c str) -> Vec<TableUser<'c>> {
        let is_it = |export: &&Export<'_>| {
            let table = self.core(Kind::Table, export.index);
            export.kind == ExternalKind::Table
                && matches!(table, Some(Core::Export(own)) if own == (instance, name))
        };
        // Whoever gets the whole instance gets the table.
        let mut users: Vec<TableUser<'c>> = self
            .users(instance)
            .map(|(module, import)| TableUser { module, import, name, group: None })
            .collect();
        for (index, own) in (0..).zip(&self.core_instances) {
            let Instance::FromExports(exports) = own else { continue };
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

fn is_of_module(alias: &ComponentAlias<'_>) -> bool {
    matches!(alias, ComponentAlias::Outer { kind: ComponentOuterAliasKind::CoreModule, .. })
}

//! Core instances that share a memory or a table, made one instance of one module.
//!
//! A guest that is linked from libraries, as Python's are, has an instance for each
//! of them, and all but the first import its table and put their functions there.
//! An imported table is filled when its module is instantiated, one function after
//! another, thousands for each request; one of the module's own is filled as its
//! slots are called. What the instances call of each other becomes direct calls.
//!
//! An instance joins if all that it imports is there before the first of them or is
//! theirs. When they are instantiated they fill memories and tables, and nobody can
//! tell that they do so at the same time. Only the last may do more, as WASI's
//! adapters do; and only if no instance comes in between that now comes after it.

mod modules;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use wasm_encoder::{
    Component, ComponentAliasSection, ExportKind, InstanceSection, Module as EncodedModule,
    ModuleArg, ModuleSection,
    reencode::{Error, Reencode, ReencodeComponent},
};
use wasmparser::{ComponentAlias, Instance};

use super::{
    module::{self, Module},
    outline::{Definition, Index, Kind, Origin, Outline},
};
use modules::Modules;

/// Imports of all modules of a component: several times as many as Python has, and
/// few enough to be looked up for every instance that others could join.
const IMPORTS_MAX: usize = 65_536;

/// The name by which the one module gets what is not its own.
const OUTSIDE: &str = "outside";

/// An instance that becomes part of the one.
pub struct Member<'o, 'c> {
    /// The index of its module.
    index: u32,
    module: &'o Module<'c>,
    /// Where what it imports comes from, import by import.
    origins: Vec<Origin<'c>>,
}

/// What a member exports: whose, the kind and the name.
type Export<'c> = (u32, Kind, &'c str);

/// The same component with fewer core instances; none where it has no instances that
/// could be one, or is not understood.
pub fn merged(outline: &Outline<'_>, modules: &[Module<'_>]) -> Option<Vec<u8>> {
    if modules.iter().map(|own| own.imports.len()).sum::<usize>() > IMPORTS_MAX {
        return None;
    }
    let uses = outline.definitions.iter().map(|own| uses(outline, own)).collect::<Option<_>>()?;
    let all = All { outline, modules, uses };
    let roots = (0..).zip(&outline.core_instances).filter(|(_, own)| all.is_root(own));
    let mut groups = roots.map(|(root, _)| Group::of(&all, root));
    groups.find(|group| group.members.len() > 1)?.written()
}

/// What a component is made of.
struct All<'o, 'c> {
    outline: &'o Outline<'c>,
    modules: &'o [Module<'c>],
    /// What each of its definitions refers to.
    uses: Vec<Vec<Index>>,
}

impl All<'_, '_> {
    /// Whether others could share what an instance has.
    fn is_root(&self, instance: &Instance<'_>) -> bool {
        let Instance::Instantiate { module_index, .. } = instance else { return false };
        let Some(module) = self.modules.get(*module_index as usize) else { return false };
        let is_shared = |kind: Kind, index: u32| {
            matches!(kind, Kind::Memory | Kind::Table) && index >= module.imported[kind as usize]
        };
        module.exports.iter().any(|((kind, _), index)| is_shared(*kind, *index))
    }
}

/// Instances that become one.
struct Group<'o, 'c> {
    all: &'o All<'o, 'c>,
    members: Vec<Member<'o, 'c>>,
    /// Which of them an instance is.
    numbers: HashMap<u32, usize>,
    /// What there is only when they are there, but for themselves.
    late: HashSet<Index>,
    /// The definitions that need it.
    needs: HashSet<usize>,
    /// The definitions of the first and the last of them.
    first: usize,
    last: usize,
}

impl<'o, 'c> Group<'o, 'c> {
    /// An instance and all that can join it.
    fn of(all: &'o All<'o, 'c>, root: u32) -> Self {
        let mut group = Self {
            all,
            members: Vec::new(),
            numbers: HashMap::new(),
            late: HashSet::new(),
            needs: HashSet::new(),
            first: 0,
            last: 0,
        };
        for (at, definition) in all.outline.definitions.iter().enumerate() {
            if let Definition::Instance(index) = definition
                && *index >= root
                && let Some(member) = group.member(*index, *index == root)
            {
                group.first = if group.members.is_empty() { at } else { group.first };
                group.last = at;
                group.numbers.insert(*index, group.members.len());
                group.members.push(member);
            } else if group.all.uses.get(at).is_some_and(|uses| group.is_needed_by(uses)) {
                group.needs.insert(at);
                group.late.extend(definition.index());
            }
        }
        group
    }

    fn is_needed_by(&self, uses: &[Index]) -> bool {
        uses.iter().any(|own| match own {
            Index::Instance(index) if self.numbers.contains_key(index) => true,
            own => self.late.contains(own),
        })
    }

    /// Whether there are instances of modules among what is late.
    fn has_late_instances(&self) -> bool {
        let instances = &self.all.outline.core_instances;
        self.late.iter().any(|own| match own {
            Index::Instance(index) => {
                matches!(instances.get(*index as usize), Some(Instance::Instantiate { .. }))
            }
            Index::Core(..) => false,
        })
    }

    /// An instance, if it can join those that there are.
    fn member(&self, instance: u32, is_root: bool) -> Option<Member<'o, 'c>> {
        let outline = self.all.outline;
        let own = outline.core_instances.get(instance as usize)?;
        let Instance::Instantiate { module_index, args } = own else { return None };
        let module = self.all.modules.get(*module_index as usize)?;
        let has_start = self.members.last().is_some_and(|last| last.module.has_start);
        let is_too_late = has_start || (module.has_start && self.has_late_instances());
        let is_first = self.members.is_empty();
        if module.bytes.is_empty() || module.has_places || is_too_late || is_first != is_root {
            return None;
        }
        // Others would share what each instance has of its own.
        if outline.instances_of(*module_index) != 1 {
            return None;
        }
        let arguments: HashMap<_, _> = args.iter().map(|own| (own.name, own.index)).collect();
        let (mut origins, mut shares) = (Vec::new(), is_root);
        for import in &module.imports {
            let kind = module::kind(import.ty);
            let item = (*arguments.get(import.module)?, import.name);
            let origin = outline.origin(item, kind)?;
            match origin {
                Origin::Instance((other, name)) => match self.numbers.get(&other) {
                    Some(number) => {
                        self.members.get(*number)?.module.exports.get(&(kind, name))?;
                        shares |= matches!(kind, Kind::Memory | Kind::Table);
                    }
                    None if self.late.contains(&Index::Instance(other)) => return None,
                    None => {}
                },
                Origin::Component(index) if self.late.contains(&index) => return None,
                Origin::Component(_) => {}
            }
            origins.push(origin);
        }
        shares.then_some(Member { index: *module_index, module, origins })
    }

    /// The component with the one instance.
    fn written(&self) -> Option<Vec<u8>> {
        let mut modules = Modules::of(&self.members, &self.numbers)?;
        let needed = Needed::of(self, &modules)?;
        let mut written = Written {
            group: self,
            component: Component::new(),
            indices: Indices::default(),
            instance: None,
        };
        let module = modules.written(&needed.exports)?;
        let index = self.members.last()?.index;
        let mut moved = Vec::new();
        for (at, definition) in self.all.outline.definitions.iter().enumerate() {
            match definition {
                Definition::Module(own) if *own == index => {
                    written.component.section(&ModuleSection(&module));
                }
                // What refers to a module does so by number.
                Definition::Module(own) if self.members.iter().any(|one| one.index == *own) => {
                    written.component.section(&ModuleSection(&EncodedModule::new()));
                }
                Definition::Instance(_) if at == self.last => {
                    written.instantiate(index, &modules, &needed)?;
                    for definition in moved.drain(..) {
                        written.define(definition)?;
                    }
                }
                Definition::Instance(own) if self.numbers.contains_key(own) => {}
                // What names things by their old indices.
                Definition::Section(section) if section.id == 0 => {}
                _ if !needed.definitions.contains(&at) => {}
                _ if (self.first..self.last).contains(&at) && self.needs.contains(&at) => {
                    // Others have an index that would change.
                    definition.index()?;
                    moved.push(definition);
                }
                _ => written.define(definition)?,
            }
        }
        Some(written.component.finish())
    }
}

/// What is needed still, now that the members are one.
#[derive(Default)]
struct Needed<'c> {
    definitions: HashSet<usize>,
    /// What others get from members.
    exports: BTreeSet<Export<'c>>,
    /// What they get with a member as a whole, by the member.
    groups: BTreeMap<u32, BTreeSet<(Kind, &'c str)>>,
}

impl<'c> Needed<'c> {
    fn of(group: &Group<'_, 'c>, modules: &Modules<'_, 'c>) -> Option<Self> {
        let mut needed = Self::default();
        let mut indices: HashSet<Index> =
            modules.outside().map(|(origin, _)| origin.index()).collect();
        let outline = group.all.outline;
        for (at, definition) in outline.definitions.iter().enumerate().rev() {
            let is_needed = |index: &Option<Index>| index.is_some_and(|own| indices.contains(&own));
            let (is_needed, uses) = match definition {
                Definition::Instance(index) => match outline.core_instances.get(*index as usize)? {
                    Instance::Instantiate { .. } if group.numbers.contains_key(index) => continue,
                    Instance::Instantiate { module_index, args } => {
                        let module = group.all.modules.get(*module_index as usize)?;
                        for own in args.iter().filter(|own| group.numbers.contains_key(&own.index))
                        {
                            needed.whole(module, own.name, own.index)?;
                        }
                        (true, group.all.uses.get(at)?)
                    }
                    Instance::FromExports(_) => {
                        (indices.contains(&Index::Instance(*index)), group.all.uses.get(at)?)
                    }
                },
                Definition::Alias(
                    ComponentAlias::CoreInstanceExport { kind, instance_index, name },
                    index,
                ) => {
                    if is_needed(index) && group.numbers.contains_key(instance_index) {
                        needed.exports.insert((*instance_index, (*kind).into(), name));
                    }
                    (is_needed(index), group.all.uses.get(at)?)
                }
                _ => (true, group.all.uses.get(at)?),
            };
            if is_needed {
                needed.definitions.insert(at);
                indices.extend(uses);
            }
        }
        Some(needed)
    }

    /// What a module imports of a member that it gets by a name.
    fn whole(&mut self, module: &Module<'c>, name: &str, member: u32) -> Option<()> {
        // Of one that is not understood nobody knows what it imports.
        if module.bytes.is_empty() {
            return None;
        }
        let group = self.groups.entry(member).or_default();
        for import in module.imports.iter().filter(|own| own.module == name) {
            let kind = module::kind(import.ty);
            group.insert((kind, import.name));
            self.exports.insert((member, kind, import.name));
        }
        Some(())
    }
}

/// The name by which the one module exports what a member does. Several kinds of
/// things may have the same name.
fn exported(export: &Export<'_>) -> String {
    let (member, kind, name) = export;
    format!("{member} {kind:?} {name}")
}

/// The component as far as it is written.
struct Written<'g, 'o, 'c> {
    group: &'g Group<'o, 'c>,
    component: Component,
    indices: Indices,
    /// The one instance.
    instance: Option<u32>,
}

impl<'c> Written<'_, '_, 'c> {
    fn define(&mut self, definition: &Definition<'c>) -> Option<()> {
        let alias = match definition {
            Definition::Alias(
                ComponentAlias::CoreInstanceExport { kind, instance_index, name },
                Some(index),
            ) if self.group.numbers.contains_key(instance_index) => {
                Some((*index, (*instance_index, Kind::from(*kind), *name)))
            }
            _ => None,
        };
        if let Some((index, export)) = alias {
            let new = self.alias(self.instance?, export.1, &exported(&export));
            self.indices.new.insert(index, new);
            return Some(());
        }
        let outline = self.group.all.outline;
        outline.write(definition, &mut self.component, &mut self.indices).ok()?;
        if let Some(index) = definition.index() {
            let new = self.indices.next(index);
            self.indices.new.insert(index, new);
        }
        Some(())
    }

    /// Another name of what an instance exports; its index.
    fn alias(&mut self, instance: u32, kind: Kind, name: &str) -> u32 {
        let mut section = ComponentAliasSection::new();
        section.alias(wasm_encoder::Alias::CoreInstanceExport {
            instance,
            kind: kind.into(),
            name,
        });
        self.component.section(&section);
        self.indices.next(Index::Core(kind, 0))
    }

    fn group(&mut self, items: Vec<(String, Kind, u32)>) -> u32 {
        let mut section = InstanceSection::new();
        let items = items.iter();
        section.export_items(
            items
                .map(|(name, kind, index)| (name.as_str(), ExportKind::from(*kind), *index))
                .collect::<Vec<_>>(),
        );
        self.component.section(&section);
        self.indices.next(Index::Instance(0))
    }

    /// The one instance, and what takes the place of members that others get.
    fn instantiate(
        &mut self,
        module: u32,
        modules: &Modules<'_, 'c>,
        needed: &Needed<'c>,
    ) -> Option<()> {
        let mut outside = Vec::new();
        for (number, (origin, kind)) in modules.outside().enumerate() {
            let index = match origin {
                Origin::Component(index) => *self.indices.new.get(&index)?,
                Origin::Instance((instance, name)) => {
                    let instance = *self.indices.new.get(&Index::Instance(instance))?;
                    self.alias(instance, kind, name)
                }
            };
            outside.push((number.to_string(), kind, index));
        }
        let outside = self.group(outside);
        let mut section = InstanceSection::new();
        section.instantiate(module, [(OUTSIDE, ModuleArg::Instance(outside))]);
        self.component.section(&section);
        let instance = self.indices.next(Index::Instance(0));
        self.instance = Some(instance);
        for (member, exports) in &needed.groups {
            let mut items = Vec::new();
            for (kind, name) in exports {
                let index = self.alias(instance, *kind, &exported(&(*member, *kind, name)));
                items.push(((*name).to_owned(), *kind, index));
            }
            let group = self.group(items);
            self.indices.new.insert(Index::Instance(*member), group);
        }
        Some(())
    }
}

/// The indices that things get.
#[derive(Default)]
struct Indices {
    new: HashMap<Index, u32>,
    instances: u32,
    core: [u32; Kind::ALL],
}

impl Indices {
    /// That of the next thing of the same sort.
    fn next(&mut self, like: Index) -> u32 {
        let next = match like {
            Index::Instance(_) => &mut self.instances,
            Index::Core(kind, _) => &mut self.core[kind as usize],
        };
        *next += 1;
        *next - 1
    }

    fn of(&self, index: Index) -> Result<u32, Error<Missing>> {
        self.new.get(&index).copied().ok_or(Error::UserError(Missing))
    }
}

/// Something refers to what is not there.
#[derive(Debug)]
struct Missing;

impl Reencode for Indices {
    type Error = Missing;

    fn function_index(&mut self, index: u32) -> Result<u32, Error<Missing>> {
        self.of(Index::Core(Kind::Function, index))
    }

    fn table_index(&mut self, index: u32) -> Result<u32, Error<Missing>> {
        self.of(Index::Core(Kind::Table, index))
    }

    fn memory_index(&mut self, index: u32) -> Result<u32, Error<Missing>> {
        self.of(Index::Core(Kind::Memory, index))
    }

    fn global_index(&mut self, index: u32) -> Result<u32, Error<Missing>> {
        self.of(Index::Core(Kind::Global, index))
    }

    fn tag_index(&mut self, index: u32) -> Result<u32, Error<Missing>> {
        self.of(Index::Core(Kind::Tag, index))
    }
}

impl ReencodeComponent for Indices {
    fn instance_index(&mut self, index: u32) -> u32 {
        // No component has as many: wasmtime refuses it, and takes the old one.
        self.of(Index::Instance(index)).unwrap_or(u32::MAX)
    }
}

/// The core indices that a definition refers to.
fn uses(outline: &Outline<'_>, definition: &Definition<'_>) -> Option<Vec<Index>> {
    let mut uses = Uses::default();
    match definition {
        Definition::Module(_) | Definition::Section(_) => {}
        _ => outline.write(definition, &mut Component::new(), &mut uses).ok()?,
    }
    Some(uses.0)
}

/// Leaves indices as they are, and writes them down.
#[derive(Default)]
struct Uses(Vec<Index>);

impl Uses {
    fn core(&mut self, kind: Kind, index: u32) -> u32 {
        self.0.push(Index::Core(kind, index));
        index
    }
}

impl Reencode for Uses {
    type Error = Missing;

    fn function_index(&mut self, index: u32) -> Result<u32, Error<Missing>> {
        Ok(self.core(Kind::Function, index))
    }

    fn table_index(&mut self, index: u32) -> Result<u32, Error<Missing>> {
        Ok(self.core(Kind::Table, index))
    }

    fn memory_index(&mut self, index: u32) -> Result<u32, Error<Missing>> {
        Ok(self.core(Kind::Memory, index))
    }

    fn global_index(&mut self, index: u32) -> Result<u32, Error<Missing>> {
        Ok(self.core(Kind::Global, index))
    }

    fn tag_index(&mut self, index: u32) -> Result<u32, Error<Missing>> {
        Ok(self.core(Kind::Tag, index))
    }
}

impl ReencodeComponent for Uses {
    fn instance_index(&mut self, index: u32) -> u32 {
        self.0.push(Index::Instance(index));
        index
    }
}

impl<'c> Origin<'c> {
    /// What has to be there for it.
    fn index(self) -> Index {
        match self {
            Self::Component(index) => index,
            Self::Instance((instance, _)) => Index::Instance(instance),
        }
    }
}

//! Core modules made one, each with what the others export as its own.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use wasm_encoder::{
    CodeSection, DataCountSection, DataSection, ElementSection, ExportKind, ExportSection,
    FunctionSection, GlobalSection, ImportSection, Instruction, MemorySection, NameMap,
    NameSection, StartSection, TableSection, TagSection, TypeSection,
    reencode::{Error, Reencode, utils},
};
use wasmparser::{GlobalSectionReader, KnownCustom, Name, Operator, Parser, Payload};

use super::{
    super::{
        module::{self, Number},
        outline::{Kind, Origin},
    },
    Export, Member, Missing, OUTSIDE, exported,
};

/// The modules of some instances, and where their things are in the one.
pub struct Modules<'o, 'c> {
    members: &'o [Member<'o, 'c>],
    numbers: &'o HashMap<u32, usize>,
    /// What it imports: where that comes from, the kind, and who imports it as what.
    outside: Vec<(Origin<'c>, Kind, (usize, usize))>,
    /// Where the things are that a member imports, by its number and their kind.
    places: Vec<[Vec<Place>; Kind::ALL]>,
    /// The first index of what is a member's own, by its number and their kind; of globals
    /// only that of the first member's.
    bases: Vec<[u32; Kind::ALL]>,
    /// The indices of a member's own globals, by its number; none of what is left out.
    globals: Vec<Vec<Option<u32>>>,
    /// The first indices of its types and segments.
    offsets: Vec<Offsets>,
}

/// What an import becomes.
#[derive(Clone, Copy)]
enum Place {
    /// An import, by its index among those of its kind.
    Outside(u32),
    /// A member's own, by the number of the member and the index among its own.
    Own(usize, u32),
}

#[derive(Clone, Copy, Default)]
struct Offsets {
    types: u32,
    elements: u32,
    data: u32,
}

impl<'o, 'c> Modules<'o, 'c> {
    pub fn of(members: &'o [Member<'o, 'c>], numbers: &'o HashMap<u32, usize>) -> Option<Self> {
        let mut modules = Self {
            members,
            numbers,
            outside: Vec::new(),
            places: Vec::new(),
            bases: Vec::new(),
            globals: Vec::new(),
            offsets: Vec::new(),
        };
        let mut counts = [0_u32; Kind::ALL];
        let mut known = HashMap::new();
        for (number, member) in members.iter().enumerate() {
            modules.places.push(<[Vec<Place>; Kind::ALL]>::default());
            for (index, (origin, import)) in
                member.origins.iter().zip(&member.module.imports).enumerate()
            {
                let kind = module::kind(import.ty);
                let place = match modules.place(*origin, kind) {
                    Some(place) => place?,
                    None => *known.entry((*origin, kind)).or_insert_with(|| {
                        modules.outside.push((*origin, kind, (number, index)));
                        let count = &mut counts[kind as usize];
                        *count += 1;
                        Place::Outside(*count - 1)
                    }),
                };
                modules.places.get_mut(number)?[kind as usize].push(place);
            }
        }
        let mut offsets = Offsets::default();
        for member in members {
            modules.bases.push(counts);
            modules.offsets.push(offsets);
            for (count, own) in counts.iter_mut().zip(member.module.own) {
                *count = count.checked_add(own)?;
            }
            let types = u32::try_from(member.module.types.len()).ok()?;
            offsets.types = offsets.types.checked_add(types)?;
            offsets.elements = offsets.elements.checked_add(member.module.element_segments)?;
            offsets.data = offsets.data.checked_add(member.module.data_segments)?;
        }
        Some(modules)
    }

    /// What the one module imports, in its order.
    pub fn outside(&self) -> impl Iterator<Item = (Origin<'c>, Kind)> {
        self.outside.iter().map(|(origin, kind, _)| (*origin, *kind))
    }

    /// Where it is that comes from a member, if it does.
    fn place(&self, origin: Origin<'c>, kind: Kind) -> Option<Option<Place>> {
        let Origin::Instance((instance, name)) = origin else { return None };
        let number = *self.numbers.get(&instance)?;
        Some(self.export(number, kind, name))
    }

    /// Where it is that a member exports.
    fn export(&self, number: usize, kind: Kind, name: &str) -> Option<Place> {
        let module = self.members.get(number)?.module;
        let index = *module.exports.get(&(kind, name))?;
        self.thing(number, kind, index)
    }

    /// Where something is that has an index in a member's module.
    fn thing(&self, number: usize, kind: Kind, index: u32) -> Option<Place> {
        let imported = &self.places.get(number)?[kind as usize];
        match imported.get(index as usize) {
            Some(place) => Some(*place),
            None => {
                let imported = self.members.get(number)?.module.imported[kind as usize];
                Some(Place::Own(number, index.checked_sub(imported)?))
            }
        }
    }

    /// The index that something has in the one module.
    fn index(&self, place: Place, kind: Kind) -> Option<u32> {
        match (place, kind) {
            (Place::Outside(index), _) => Some(index),
            (Place::Own(number, own), Kind::Global) => {
                *self.globals.get(number)?.get(own as usize)?
            }
            (Place::Own(number, own), _) => self.bases.get(number)?[kind as usize].checked_add(own),
        }
    }

    /// Numbers the globals, without those that are always the same number and no
    /// export: each of them would cost every instance forty instructions, and
    /// whoever reads one has the number in its place.
    fn number_globals(&mut self, exports: &BTreeSet<Export<'c>>) -> Option<()> {
        let mut exported = HashSet::new();
        for (instance, kind, name) in exports.iter().filter(|(_, kind, _)| *kind == Kind::Global) {
            if let Place::Own(number, own) =
                self.export(*self.numbers.get(instance)?, *kind, name)?
            {
                exported.insert((number, own));
            }
        }
        let mut next = self.bases.first()?[Kind::Global as usize];
        for (number, Member { module, .. }) in self.members.iter().enumerate() {
            let globals = (0..module.own[Kind::Global as usize]).map(|own| {
                let is_kept =
                    !module.constants.contains_key(&own) || exported.contains(&(number, own));
                is_kept.then(|| {
                    next += 1;
                    next - 1
                })
            });
            self.globals.push(globals.collect());
        }
        Some(())
    }

    /// The one module, with these of its members' exports.
    pub fn written(&mut self, exports: &BTreeSet<Export<'c>>) -> Option<wasm_encoder::Module> {
        self.number_globals(exports)?;
        let mut sections = Sections::default();
        for (number, (_, kind, (importer, import))) in self.outside.iter().enumerate() {
            let import = self.members.get(*importer)?.module.imports.get(*import)?;
            let ty = self.member(*importer)?.entity_type(import.ty).ok()?;
            debug_assert_eq!(*kind, module::kind(import.ty));
            sections.imports.import(OUTSIDE, &number.to_string(), ty);
        }
        for number in 0..self.members.len() {
            self.member(number)?.add(&mut sections)?;
        }
        for export in exports {
            let (instance, kind, name) = export;
            let place = self.export(*self.numbers.get(instance)?, *kind, name)?;
            let index = self.index(place, *kind)?;
            sections.exports.export(&exported(export), ExportKind::from(*kind), index);
        }
        Some(sections.module())
    }

    fn member(&self, number: usize) -> Option<Renumbered<'_, 'o, 'c>> {
        Some(Renumbered { modules: self, number, offsets: *self.offsets.get(number)? })
    }
}

/// What a module is made of.
#[derive(Default)]
struct Sections<'c> {
    types: TypeSection,
    imports: ImportSection,
    functions: FunctionSection,
    tables: TableSection,
    memories: MemorySection,
    tags: TagSection,
    globals: GlobalSection,
    exports: ExportSection,
    elements: ElementSection,
    code: CodeSection,
    data: DataSection,
    names: BTreeMap<u32, &'c str>,
    /// That of the longest module that has one, and how long that is.
    name: Option<(usize, &'c str)>,
    start: Option<u32>,
}

impl Sections<'_> {
    fn module(&self) -> wasm_encoder::Module {
        let mut names = NameMap::new();
        for (index, name) in &self.names {
            names.append(*index, name);
        }
        let mut section = NameSection::new();
        if let Some((_, name)) = self.name {
            section.module(name);
        }
        section.functions(&names);
        let mut module = wasm_encoder::Module::new();
        module.section(&self.types).section(&self.imports).section(&self.functions);
        module.section(&self.tables).section(&self.memories);
        // Even without any, it is refused where there are no exceptions.
        if !self.tags.is_empty() {
            module.section(&self.tags);
        }
        module.section(&self.globals).section(&self.exports);
        if let Some(function_index) = self.start {
            module.section(&StartSection { function_index });
        }
        module.section(&self.elements);
        module.section(&DataCountSection { count: self.data.len() });
        module.section(&self.code).section(&self.data).section(&section);
        module
    }
}

/// A member's module, by the indices that its things have in the one.
struct Renumbered<'w, 'o, 'c> {
    modules: &'w Modules<'o, 'c>,
    number: usize,
    offsets: Offsets,
}

type Written<T = ()> = Result<T, Error<Missing>>;

impl<'c> Renumbered<'_, '_, 'c> {
    /// Adds all that is the member's own.
    fn add(mut self, to: &mut Sections<'c>) -> Option<()> {
        let bytes = self.modules.members.get(self.number)?.module.bytes;
        for payload in Parser::new(0).parse_all(bytes) {
            self.section(payload.ok()?, to).ok()?;
        }
        Some(())
    }

    fn section(&mut self, payload: Payload<'c>, to: &mut Sections<'c>) -> Written {
        match payload {
            Payload::TypeSection(own) => self.parse_type_section(&mut to.types, own),
            Payload::FunctionSection(own) => self.parse_function_section(&mut to.functions, own),
            Payload::TableSection(own) => self.parse_table_section(&mut to.tables, own),
            Payload::MemorySection(own) => self.parse_memory_section(&mut to.memories, own),
            Payload::TagSection(own) => self.parse_tag_section(&mut to.tags, own),
            Payload::GlobalSection(own) => self.parse_global_section(&mut to.globals, own),
            Payload::StartSection { func, .. } => {
                to.start = Some(self.function_index(func)?);
                Ok(())
            }
            Payload::ElementSection(own) => self.parse_element_section(&mut to.elements, own),
            Payload::DataSection(own) => self.parse_data_section(&mut to.data, own),
            Payload::CodeSectionEntry(own) => self.parse_function_body(&mut to.code, own),
            Payload::CustomSection(own) => {
                if let KnownCustom::Name(names) = own.as_known() {
                    // They are for people; what is wrong with them is no matter.
                    for names in names.into_iter().filter_map(Result::ok) {
                        self.names(names, to)?;
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn names(&mut self, names: Name<'c>, to: &mut Sections<'c>) -> Written {
        match names {
            Name::Module { name, .. } => {
                let member = self.modules.members.get(self.number);
                let own = member.map(|member| (member.module.bytes.len(), name));
                to.name = to.name.max(own);
            }
            Name::Function(names) => {
                for name in names.into_iter().filter_map(Result::ok) {
                    let index = self.function_index(name.index)?;
                    to.names.entry(index).or_insert(name.name);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn place(&self, kind: Kind, index: u32) -> Written<Place> {
        self.modules.thing(self.number, kind, index).ok_or(Error::UserError(Missing))
    }

    fn index(&self, kind: Kind, index: u32) -> Written<u32> {
        let index = self.modules.index(self.place(kind, index)?, kind);
        index.ok_or(Error::UserError(Missing))
    }

    /// The number that a global always has.
    fn constant(&self, global: u32) -> Written<Option<Number>> {
        Ok(match self.place(Kind::Global, global)? {
            Place::Outside(_) => None,
            Place::Own(number, own) => {
                let member = self.modules.members.get(number);
                member.and_then(|member| member.module.constants.get(&own).copied())
            }
        })
    }
}

impl Reencode for Renumbered<'_, '_, '_> {
    type Error = Missing;

    fn type_index(&mut self, index: u32) -> Written<u32> {
        Ok(self.offsets.types.saturating_add(index))
    }

    fn element_index(&mut self, index: u32) -> Written<u32> {
        Ok(self.offsets.elements.saturating_add(index))
    }

    fn data_index(&mut self, index: u32) -> Written<u32> {
        Ok(self.offsets.data.saturating_add(index))
    }

    fn function_index(&mut self, index: u32) -> Written<u32> {
        self.index(Kind::Function, index)
    }

    fn table_index(&mut self, index: u32) -> Written<u32> {
        self.index(Kind::Table, index)
    }

    fn memory_index(&mut self, index: u32) -> Written<u32> {
        self.index(Kind::Memory, index)
    }

    fn global_index(&mut self, index: u32) -> Written<u32> {
        self.index(Kind::Global, index)
    }

    fn tag_index(&mut self, index: u32) -> Written<u32> {
        self.index(Kind::Tag, index)
    }

    fn parse_global_section(
        &mut self,
        globals: &mut GlobalSection,
        section: GlobalSectionReader<'_>,
    ) -> Written {
        for (own, global) in (0..).zip(section) {
            if self.modules.index(Place::Own(self.number, own), Kind::Global).is_some() {
                self.parse_global(globals, global?)?;
            }
        }
        Ok(())
    }

    // Where a library begins in the memory and the table is such a number. Only with
    // it are a segment's place and what it fills known before there is an instance.
    fn instruction<'a>(&mut self, operator: Operator<'a>) -> Written<Instruction<'a>> {
        if let Operator::GlobalGet { global_index } = operator
            && let Some(number) = self.constant(global_index)?
        {
            return Ok(match number {
                Number::I32(value) => Instruction::I32Const(value),
                Number::I64(value) => Instruction::I64Const(value),
            });
        }
        utils::instruction(self, operator)
    }
}

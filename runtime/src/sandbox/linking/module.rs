//! What a core module says of its imports and of what it has itself, and whether it
//! is one of the two by which `wit-component` hands a module functions that need its
//! own memory: a shim, whose functions call through a table, and what fills that
//! table.

use std::collections::HashMap;

use wasmparser::{
    ConstExpr, ElementItems, ElementKind, FuncType, FunctionBody, Import, Operator, Parser,
    Payload, TableType, TypeRef,
};

use super::outline::Kind;

/// A core module. Of one that is not understood there is nothing.
#[derive(Default)]
pub struct Module<'m> {
    /// All of it.
    pub bytes: &'m [u8],
    pub types: Vec<FuncType>,
    pub imports: Vec<Import<'m>>,
    /// How many of each kind it imports, and how many are its own.
    pub imported: [u32; Kind::ALL],
    pub own: [u32; Kind::ALL],
    /// What it exports, by its kind and name: the index.
    pub exports: HashMap<(Kind, &'m str), u32>,
    /// The numbers that globals of its own always have, by their index among those.
    pub constants: HashMap<u32, Number>,
    /// How many segments for tables it has.
    pub element_segments: u32,
    /// How many segments for memories it has.
    pub data_segments: u32,
    /// Whether a function of it is called when it is instantiated.
    pub has_start: bool,
    /// Whether a section says where in its code something is.
    pub has_places: bool,
    /// What it is, if it is a shim.
    pub shim: Option<Shim<'m>>,
    /// What it is, if it fills a shim's table.
    pub fixup: Option<Fixup<'m>>,
}

/// The value of a global.
#[derive(Clone, Copy)]
pub enum Number {
    I32(i32),
    I64(i64),
}

/// A function that a module imports.
#[derive(Clone, Copy)]
pub struct ImportedFunction<'m> {
    /// Its first name.
    pub module: &'m str,
    /// Its second.
    pub name: &'m str,
    /// Its type among those of the module.
    pub ty: u32,
}

/// A module whose functions do nothing but call through its table.
pub struct Shim<'m> {
    /// The table's name.
    pub table: &'m str,
    pub table_type: TableType,
    /// Which slot each of its functions calls, by its name.
    pub forwards: HashMap<&'m str, u32>,
}

/// A module that does nothing but fill a table with what it imports.
pub struct Fixup<'m> {
    /// The table, as an import.
    pub table: (&'m str, &'m str),
    pub table_type: TableType,
    /// The functions, as imports, by their slots.
    pub functions: Vec<(&'m str, &'m str)>,
    /// Their types.
    pub types: Vec<FuncType>,
}

/// What is read only to tell a shim and what fills it.
#[derive(Default)]
struct Contents<'m> {
    imported_tables: Vec<(&'m str, &'m str, TableType)>,
    tables: Vec<TableType>,
    /// The types of its own functions.
    functions: Vec<u32>,
    bodies: Vec<FunctionBody<'m>>,
    /// What its segments put into its only table, from the first slot on.
    elements: Vec<Vec<u32>>,
    /// Whether there is anything else that matters to a shim.
    has_more: bool,
}

impl<'m> Module<'m> {
    pub fn of(bytes: &'m [u8]) -> Self {
        Self::read(bytes).unwrap_or_default()
    }

    fn read(bytes: &'m [u8]) -> Option<Self> {
        let (mut module, mut contents) = (Self { bytes, ..Self::default() }, Contents::default());
        for payload in Parser::new(0).parse_all(bytes) {
            module.add(&mut contents, payload.ok()?)?;
        }
        module.shim = contents.shim(&module);
        module.fixup = contents.fixup(&module);
        Some(module)
    }

    /// The functions that it imports, in their order.
    pub fn imported_functions(&self) -> impl Iterator<Item = ImportedFunction<'m>> {
        self.imports.iter().filter_map(|import| match import.ty {
            TypeRef::Func(ty) | TypeRef::FuncExact(ty) => {
                Some(ImportedFunction { module: import.module, name: import.name, ty })
            }
            _ => None,
        })
    }

    fn add(&mut self, contents: &mut Contents<'m>, payload: Payload<'m>) -> Option<()> {
        match payload {
            Payload::TypeSection(section) => {
                let types = section.into_iter_err_on_gc_types().collect::<Result<_, _>>();
                self.types = types.ok()?;
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import.ok()?;
                    self.imported[kind(import.ty) as usize] += 1;
                    if let TypeRef::Table(ty) = import.ty {
                        contents.imported_tables.push((import.module, import.name, ty));
                    }
                    self.imports.push(import);
                }
            }
            Payload::FunctionSection(section) => {
                self.own[Kind::Function as usize] = section.count();
                contents.functions = section.into_iter().collect::<Result<_, _>>().ok()?;
            }
            Payload::TableSection(section) => {
                self.own[Kind::Table as usize] = section.count();
                for table in section {
                    contents.tables.push(table.ok()?.ty);
                }
            }
            Payload::MemorySection(section) => {
                self.own[Kind::Memory as usize] = section.count();
                contents.has_more = true;
            }
            Payload::TagSection(section) => self.own[Kind::Tag as usize] = section.count(),
            Payload::GlobalSection(section) => {
                self.own[Kind::Global as usize] = section.count();
                for (index, global) in (0..).zip(section) {
                    let global = global.ok()?;
                    if let (false, Some(number)) = (global.ty.mutable, number(&global.init_expr)) {
                        self.constants.insert(index, number);
                    }
                }
                contents.has_more = true;
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export.ok()?;
                    self.exports.insert((export.kind.into(), export.name), export.index);
                }
            }
            Payload::StartSection { .. } => {
                self.has_start = true;
                contents.has_more = true;
            }
            Payload::ElementSection(section) => {
                self.element_segments = section.count();
                for element in section {
                    let element = element.ok()?;
                    let ElementKind::Active { table_index: None | Some(0), offset_expr } =
                        element.kind
                    else {
                        contents.has_more = true;
                        continue;
                    };
                    match (element.items, number(&offset_expr)) {
                        (ElementItems::Functions(functions), Some(Number::I32(0))) => {
                            let functions = functions.into_iter().collect::<Result<_, _>>();
                            contents.elements.push(functions.ok()?);
                        }
                        _ => contents.has_more = true,
                    }
                }
            }
            Payload::DataSection(section) => self.data_segments = section.count(),
            Payload::CodeSectionEntry(body) => contents.bodies.push(body),
            Payload::CustomSection(section) => {
                let name = section.name();
                self.has_places |=
                    [".debug_", "reloc.", "metadata.code."].iter().any(|own| name.starts_with(own))
                        || ["linking", "external_debug_info"].contains(&name);
            }
            _ => {}
        }
        Some(())
    }
}

impl<'m> Contents<'m> {
    fn shim(&self, module: &Module<'m>) -> Option<Shim<'m>> {
        if !module.imports.is_empty() || !self.elements.is_empty() || self.has_more {
            return None;
        }
        let (mut table, mut forwards) = (None, HashMap::new());
        for ((kind, name), index) in &module.exports {
            match (kind, index) {
                (Kind::Table, 0) if table.is_none() => table = Some(*name),
                (Kind::Function, index) => {
                    forwards.insert(*name, self.slot(module, *index as usize)?);
                }
                _ => return None,
            }
        }
        let [table_type] = self.tables[..] else { return None };
        Some(Shim { table: table?, table_type, forwards })
    }

    /// The slot that a function calls with its own parameters, if that is all.
    fn slot(&self, module: &Module<'m>, function: usize) -> Option<u32> {
        let own = *self.functions.get(function)?;
        let parameters = module.types.get(own as usize)?.params().len();
        let mut operators = self.bodies.get(function)?.get_operators_reader().ok()?.into_iter();
        let mut next = || operators.next()?.ok();
        for parameter in 0..parameters {
            match next()? {
                Operator::LocalGet { local_index } if local_index as usize == parameter => {}
                _ => return None,
            }
        }
        let Operator::I32Const { value } = next()? else { return None };
        match (next()?, next()?, next()) {
            (Operator::CallIndirect { type_index, table_index: 0 }, Operator::End, None)
                if type_index == own =>
            {
                u32::try_from(value).ok()
            }
            _ => None,
        }
    }

    fn fixup(&self, module: &Module<'m>) -> Option<Fixup<'m>> {
        let ([table], [elements]) = (&self.imported_tables[..], &self.elements[..]) else {
            return None;
        };
        let has_more = self.has_more || module.own != [0; Kind::ALL] || !module.exports.is_empty();
        let imports: Vec<_> = module.imported_functions().collect();
        // The functions and the table are all that it imports.
        if has_more || imports.len() + 1 != module.imports.len() {
            return None;
        }
        let (mut functions, mut types) = (Vec::new(), Vec::new());
        for index in elements {
            let import = imports.get(*index as usize)?;
            functions.push((import.module, import.name));
            types.push(module.types.get(import.ty as usize)?.clone());
        }
        let (module, name, table_type) = *table;
        Some(Fixup { table: (module, name), table_type, functions, types })
    }
}

/// The kind of what is imported by a type.
pub fn kind(ty: TypeRef) -> Kind {
    match ty {
        TypeRef::Func(_) | TypeRef::FuncExact(_) => Kind::Function,
        TypeRef::Table(_) => Kind::Table,
        TypeRef::Memory(_) => Kind::Memory,
        TypeRef::Global(_) => Kind::Global,
        TypeRef::Tag(_) => Kind::Tag,
    }
}

/// What an expression is, if it is no more than a number.
fn number(expression: &ConstExpr<'_>) -> Option<Number> {
    let mut operators = expression.get_operators_reader().into_iter();
    let number = match operators.next()?.ok()? {
        Operator::I32Const { value } => Number::I32(value),
        Operator::I64Const { value } => Number::I64(value),
        _ => return None,
    };
    let ends = matches!(operators.next(), Some(Ok(Operator::End))) && operators.next().is_none();
    ends.then_some(number)
}

//! What a core module says of its imports, and whether it is one of the two by
//! which `wit-component` hands a module functions that need its own memory: a
//! shim, whose functions call through a table, and what fills that table.

use std::collections::HashMap;

use wasmparser::{
    ConstExpr, ElementItems, ElementKind, ExternalKind, FuncType, FunctionBody, Operator, Parser,
    Payload, TableType, TypeRef,
};

/// A core module. Of one that is not understood there is nothing.
#[derive(Default)]
pub struct Module<'m> {
    /// All of it.
    pub bytes: &'m [u8],
    pub types: Vec<FuncType>,
    /// The functions that it imports.
    pub imports: Vec<Import<'m>>,
    /// How many tables it imports.
    pub imported_tables: u32,
    /// The types of its own functions.
    pub functions: Vec<u32>,
    /// Whether a section says where in its code something is.
    pub has_places: bool,
    /// What it is, if it is a shim.
    pub shim: Option<Shim<'m>>,
    /// What it is, if it fills a shim's table.
    pub fixup: Option<Fixup<'m>>,
}

/// A function that a module imports.
#[derive(Clone, Copy)]
pub struct Import<'m> {
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

/// All that is read of a module.
#[derive(Default)]
struct Contents<'m> {
    types: Vec<FuncType>,
    imports: Vec<Import<'m>>,
    imported_tables: Vec<(&'m str, &'m str, TableType)>,
    tables: Vec<TableType>,
    /// The types of its own functions.
    functions: Vec<u32>,
    bodies: Vec<FunctionBody<'m>>,
    exports: Vec<(&'m str, ExternalKind, u32)>,
    /// What its segments put into its only table, from the first slot on.
    elements: Vec<Vec<u32>>,
    /// Whether there is anything else that matters to a shim.
    has_more: bool,
    has_places: bool,
}

impl<'m> Module<'m> {
    pub fn of(bytes: &'m [u8]) -> Self {
        let Some(contents) = Contents::of(bytes) else { return Self::default() };
        let (shim, fixup) = (contents.shim(), contents.fixup());
        Self {
            bytes,
            types: contents.types,
            imports: contents.imports,
            imported_tables: u32::try_from(contents.imported_tables.len()).unwrap_or(u32::MAX),
            functions: contents.functions,
            has_places: contents.has_places,
            shim,
            fixup,
        }
    }
}

impl<'m> Contents<'m> {
    fn of(bytes: &'m [u8]) -> Option<Self> {
        let mut contents = Self::default();
        for payload in Parser::new(0).parse_all(bytes) {
            contents.add(payload.ok()?)?;
        }
        Some(contents)
    }

    fn add(&mut self, payload: Payload<'m>) -> Option<()> {
        match payload {
            Payload::TypeSection(section) => {
                let types = section.into_iter_err_on_gc_types().collect::<Result<_, _>>();
                self.types = types.ok()?;
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import.ok()?;
                    match import.ty {
                        TypeRef::Func(ty) | TypeRef::FuncExact(ty) => {
                            let (module, name) = (import.module, import.name);
                            self.imports.push(Import { module, name, ty });
                        }
                        TypeRef::Table(ty) => {
                            self.imported_tables.push((import.module, import.name, ty));
                        }
                        _ => self.has_more = true,
                    }
                }
            }
            Payload::TableSection(section) => {
                for table in section {
                    self.tables.push(table.ok()?.ty);
                }
            }
            Payload::CustomSection(section) => {
                let name = section.name();
                self.has_places |=
                    [".debug_", "reloc.", "metadata.code."].iter().any(|own| name.starts_with(own))
                        || ["linking", "external_debug_info"].contains(&name);
            }
            Payload::FunctionSection(section) => {
                self.functions = section.into_iter().collect::<Result<_, _>>().ok()?;
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export.ok()?;
                    self.exports.push((export.name, export.kind, export.index));
                }
            }
            Payload::ElementSection(section) => {
                for element in section {
                    let element = element.ok()?;
                    let ElementKind::Active { table_index: None | Some(0), offset_expr } =
                        element.kind
                    else {
                        self.has_more = true;
                        continue;
                    };
                    match element.items {
                        ElementItems::Functions(functions) if is_zero(&offset_expr) => {
                            let functions = functions.into_iter().collect::<Result<_, _>>();
                            self.elements.push(functions.ok()?);
                        }
                        _ => self.has_more = true,
                    }
                }
            }
            Payload::CodeSectionEntry(body) => self.bodies.push(body),
            Payload::GlobalSection(_)
            | Payload::MemorySection(_)
            | Payload::StartSection { .. } => {
                self.has_more = true;
            }
            _ => {}
        }
        Some(())
    }

    fn shim(&self) -> Option<Shim<'m>> {
        let is_one = self.imports.is_empty()
            && self.imported_tables.is_empty()
            && self.elements.is_empty()
            && !self.has_more;
        if !is_one {
            return None;
        }
        let (mut table, mut forwards) = (None, HashMap::new());
        for (name, kind, index) in &self.exports {
            match (kind, index) {
                (ExternalKind::Table, 0) if table.is_none() => table = Some(*name),
                (ExternalKind::Func, index) => {
                    forwards.insert(*name, self.slot(*index as usize)?);
                }
                _ => return None,
            }
        }
        let [table_type] = self.tables[..] else { return None };
        Some(Shim { table: table?, table_type, forwards })
    }

    /// The slot that a function calls with its own parameters, if that is all.
    fn slot(&self, function: usize) -> Option<u32> {
        let own = *self.functions.get(function)?;
        let parameters = self.types.get(own as usize)?.params().len();
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

    fn fixup(&self) -> Option<Fixup<'m>> {
        let ([table], [elements]) = (&self.imported_tables[..], &self.elements[..]) else {
            return None;
        };
        let is_one = self.functions.is_empty()
            && self.exports.is_empty()
            && self.tables.is_empty()
            && !self.has_more;
        let (mut functions, mut types) = (Vec::new(), Vec::new());
        for index in elements {
            let import = self.imports.get(*index as usize)?;
            functions.push((import.module, import.name));
            types.push(self.types.get(import.ty as usize)?.clone());
        }
        let (module, name, table_type) = *table;
        is_one.then_some(Fixup { table: (module, name), table_type, functions, types })
    }
}

fn is_zero(expression: &ConstExpr<'_>) -> bool {
    let mut operators = expression.get_operators_reader().into_iter();
    matches!(operators.next(), Some(Ok(Operator::I32Const { value: 0 })))
        && matches!(operators.next(), Some(Ok(Operator::End)))
        && operators.next().is_none()
}

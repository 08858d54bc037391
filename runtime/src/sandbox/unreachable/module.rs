//! What a core module says of its imports, and whether it is one of the two by
//! which `wit-component` hands a module functions that need its own memory: a
//! shim, whose functions call through a table, and what fills that table.

use std::collections::HashMap;

use wasmparser::{
    ConstExpr, ElementItems, ElementKind, ExternalKind, FuncType, FunctionBody, Operator, Parser,
    Payload, TypeRef,
};

/// A core module. Of one that is not understood there is nothing.
#[derive(Default)]
pub struct Module<'m> {
    types: Vec<FuncType>,
    /// Names and types of the functions that it imports.
    imports: Vec<(&'m str, &'m str, u32)>,
    /// What it is, if it is a shim.
    pub shim: Option<Shim<'m>>,
    /// What it is, if it fills a shim's table.
    pub fixup: Option<Fixup<'m>>,
}

/// A module whose functions do nothing but call through its table.
pub struct Shim<'m> {
    /// The table's name.
    pub table: &'m str,
    /// Which slot each of its functions calls, by its name.
    pub forwards: HashMap<&'m str, u32>,
}

/// A module that does nothing but fill a table with what it imports.
pub struct Fixup<'m> {
    /// The table, as an import.
    pub table: (&'m str, &'m str),
    /// The functions, as imports, by their slots.
    pub functions: Vec<(&'m str, &'m str)>,
}

/// Types of the functions that a module imports from one instance.
pub struct Signatures<'o>(HashMap<&'o str, &'o FuncType>);

impl Signatures<'_> {
    pub fn of(&self, name: &str) -> Option<&FuncType> {
        self.0.get(name).copied()
    }
}

/// All that is read of a module.
#[derive(Default)]
struct Contents<'m> {
    types: Vec<FuncType>,
    imports: Vec<(&'m str, &'m str, u32)>,
    imported_tables: Vec<(&'m str, &'m str)>,
    /// The types of its own functions.
    functions: Vec<u32>,
    bodies: Vec<FunctionBody<'m>>,
    exports: Vec<(&'m str, ExternalKind, u32)>,
    /// What its segments put into its only table, from the first slot on.
    elements: Vec<Vec<u32>>,
    /// Whether there is anything else that matters.
    has_more: bool,
}

impl<'m> Module<'m> {
    pub fn of(bytes: &'m [u8]) -> Self {
        let Some(contents) = Contents::of(bytes) else { return Self::default() };
        let (shim, fixup) = (contents.shim(), contents.fixup());
        Self { types: contents.types, imports: contents.imports, shim, fixup }
    }

    pub fn signatures(&self, from: &str) -> Signatures<'_> {
        let own = self.imports.iter().filter(|(module, ..)| *module == from);
        Signatures(
            own.filter_map(|(_, name, ty)| Some((*name, self.types.get(*ty as usize)?))).collect(),
        )
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
                        TypeRef::Func(ty) => self.imports.push((import.module, import.name, ty)),
                        TypeRef::Table(_) => {
                            self.imported_tables.push((import.module, import.name));
                        }
                        _ => self.has_more = true,
                    }
                }
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
        Some(Shim { table: table?, forwards })
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
        let is_one = self.functions.is_empty() && self.exports.is_empty() && !self.has_more;
        let function = |index: &u32| {
            let (module, name, _) = self.imports.get(*index as usize)?;
            Some((*module, *name))
        };
        let functions = elements.iter().map(function).collect::<Option<_>>()?;
        is_one.then_some(Fixup { table: *table, functions })
    }
}

fn is_zero(expression: &ConstExpr<'_>) -> bool {
    let mut operators = expression.get_operators_reader().into_iter();
    matches!(operators.next(), Some(Ok(Operator::I32Const { value: 0 })))
        && matches!(operators.next(), Some(Ok(Operator::End)))
        && operators.next().is_none()
}

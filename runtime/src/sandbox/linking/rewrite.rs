//! Core modules written anew, with functions of their own in place of imports.

use std::{collections::HashMap, convert::Infallible};

use wasm_encoder::{
    CodeSection, ConstExpr, ElementSection, Elements, EntityType, Function, FunctionSection,
    ImportSection, MemArg, Module, TypeSection,
    reencode::{Error, Reencode, RoundtripReencoder, utils},
};
use wasmparser::{CodeSectionReader, FunctionSectionReader, ImportSectionReader, Parser, TypeRef};

use super::{
    SHIM, module,
    module::{Fixup, Shim},
    outline::{Item, Kind},
};

/// What a function does that a module imports.
#[derive(Clone, Copy)]
pub enum Body {
    /// Nobody can call it.
    Unreachable,
    /// It calls a slot of the shim's table.
    Slot(u32),
    /// It says that there is none, where its parameter points to.
    None {
        /// The memory.
        memory: u32,
    },
}

/// A module and its imports that become functions of its own.
pub struct Own<'o> {
    /// Its only instance.
    pub instance: u32,
    /// The module.
    pub module: &'o module::Module<'o>,
    /// What they do, by the function that they are.
    pub bodies: HashMap<u32, Body>,
    /// The instance whose table is called through.
    pub shim: Option<(u32, &'o Shim<'o>)>,
}

impl Own<'_> {
    /// Which memory of the module it is that an instance exports.
    pub fn memory(&self, exported: Option<Item<'_>>) -> Option<u32> {
        let (_, name) = exported.filter(|(instance, _)| *instance == self.instance)?;
        self.module.exports.get(&(Kind::Memory, name)).copied()
    }

    /// The module with them; none where something is not understood.
    pub fn module(&self) -> Option<Module> {
        // Who says where in its code something is would be wrong.
        if self.module.has_places || self.module.own[Kind::Function as usize] == 0 {
            return None;
        }
        let mut writer = Writer::new(self)?;
        let mut module = Module::new();
        let (parser, bytes) = (Parser::new(0), self.module.bytes);
        utils::parse_core_module(&mut writer, &mut module, parser, bytes).ok()?;
        Some(module)
    }
}

struct Writer<'w> {
    own: &'w Own<'w>,
    /// New indices of what was imported.
    functions: Vec<u32>,
    /// How much less the indices of all other functions are.
    removed: u32,
    /// The type and body of each further function.
    further: Vec<(u32, Body)>,
}

impl<'w> Writer<'w> {
    fn new(own: &'w Own<'w>) -> Option<Self> {
        let module = own.module;
        let [imports, ..] = module.imported;
        let removed = u32::try_from(own.bodies.len()).ok()?;
        let [functions, ..] = module.own;
        let mut writer = Self { own, functions: Vec::new(), removed, further: Vec::new() };
        let (mut kept, mut further) = (0, imports.checked_sub(removed)?.checked_add(functions)?);
        for (index, import) in (0..).zip(module.imported_functions()) {
            let next = match own.bodies.get(&index) {
                Some(body) => {
                    writer.further.push((import.ty, *body));
                    &mut further
                }
                None => &mut kept,
            };
            writer.functions.push(*next);
            *next = next.checked_add(1)?;
        }
        Some(writer)
    }

    /// Where the table of the shim is among its tables.
    fn table(&self) -> u32 {
        self.own.module.imported[Kind::Table as usize]
    }

    fn function(&self, ty: u32, body: Body) -> Function {
        let mut function = Function::new([]);
        let mut code = function.instructions();
        match body {
            Body::Slot(slot) => {
                let parameters =
                    self.own.module.types.get(ty as usize).map_or(0, |ty| ty.params().len());
                for parameter in (0..).take(parameters) {
                    code.local_get(parameter);
                }
                code.i32_const(slot.cast_signed()).call_indirect(self.table(), ty);
            }
            Body::Unreachable => {
                code.unreachable();
            }
            Body::None { memory } => {
                let discriminant = MemArg { offset: 0, align: 0, memory_index: memory };
                code.local_get(0).i32_const(0).i32_store8(discriminant);
            }
        }
        code.end();
        function
    }
}

type Written<T = ()> = Result<T, Error<Infallible>>;

impl Reencode for Writer<'_> {
    type Error = Infallible;

    fn function_index(&mut self, function: u32) -> Written<u32> {
        let imported = self.functions.get(function as usize);
        Ok(imported.copied().unwrap_or_else(|| function.saturating_sub(self.removed)))
    }

    fn table_index(&mut self, table: u32) -> Written<u32> {
        let is_moved = self.own.shim.is_some() && table >= self.table();
        Ok(table.saturating_add(u32::from(is_moved)))
    }

    fn parse_import_section(
        &mut self,
        imports: &mut ImportSection,
        section: ImportSectionReader<'_>,
    ) -> Written {
        let mut function = 0;
        for import in section.into_imports() {
            let import = import?;
            if matches!(import.ty, TypeRef::Func(_) | TypeRef::FuncExact(_)) {
                function += 1;
                if self.own.bodies.contains_key(&(function - 1)) {
                    continue;
                }
            }
            utils::parse_import(self, imports, import)?;
        }
        if let Some((_, shim)) = &self.own.shim {
            imports.import(SHIM, shim.table, EntityType::Table(self.table_type(shim.table_type)?));
        }
        Ok(())
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: FunctionSectionReader<'_>,
    ) -> Written {
        utils::parse_function_section(self, functions, section)?;
        for (ty, _) in &self.further {
            functions.function(*ty);
        }
        Ok(())
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: CodeSectionReader<'_>,
    ) -> Written {
        utils::parse_code_section(self, code, section)?;
        for (ty, body) in &self.further {
            code.function(&self.function(*ty, *body));
        }
        Ok(())
    }
}

/// A module that fills only some slots of a table.
pub fn filler(fixup: &Fixup<'_>, kept: &[bool]) -> Option<Module> {
    let (mut types, mut imports) = (TypeSection::new(), ImportSection::new());
    // Functions that lie side by side, by the first one's slot.
    let mut runs: Vec<(usize, Vec<u32>)> = Vec::new();
    let mut same = RoundtripReencoder;
    for (slot, ((module, name), ty)) in fixup.functions.iter().zip(&fixup.types).enumerate() {
        if kept.get(slot) != Some(&true) {
            continue;
        }
        let function = types.len();
        types.ty().func_type(&same.func_type(ty.clone()).ok()?);
        imports.import(module, name, EntityType::Function(function));
        match runs.last_mut() {
            Some((first, run)) if *first + run.len() == slot => run.push(function),
            _ => runs.push((slot, vec![function])),
        }
    }
    let mut elements = ElementSection::new();
    for (first, run) in runs {
        let place = ConstExpr::i32_const(i32::try_from(first).ok()?);
        elements.active(None, &place, Elements::Functions(run.into()));
    }
    let table = same.table_type(fixup.table_type).ok()?;
    imports.import(fixup.table.0, fixup.table.1, EntityType::Table(table));
    let mut module = Module::new();
    module.section(&types).section(&imports).section(&elements);
    Some(module)
}

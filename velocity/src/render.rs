//! From a tree and variables to text, within limits.

mod expression;
mod scope;

use std::{
    cell::Cell,
    collections::{HashMap, HashSet},
    rc::Rc,
    sync::Arc,
};

use crate::{
    Context, Limits, Profile, Template,
    ast::{Block, Call, Expression, Macro, Node, Reference},
    error::{Error, ErrorKind, place},
    number::Number,
    parser,
    value::{Changed, Cursor, Definition, Scope, TooDeep, Value},
};
pub use scope::Layer;

/// How many times a `#define` may be rendered inside itself.
const DEFINITION_DEPTH_MAX: usize = 2;

/// Blocks and expressions that may be inside one another at work: what a
/// definition or a macro leads to counts like what is written in place.
const DEPTH_MAX: usize = 300;

/// Macros that may be at work inside one another, as Velocity has it.
const MACRO_DEPTH_MAX: usize = 20;

/// Why a rendering does not go on: what Velocity has exceptions for.
enum Halt {
    Error(Box<Error>),
    /// `#break`: the nearest loop, definition, macro or `#evaluate` ends.
    Break,
    /// `#break($foreach)`: the loop with this body ends.
    Leave(Block),
    /// `#stop`: everything ends, or the nearest `#evaluate`.
    Stop,
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Error(Box::new(error))
    }
}

type Result<T> = std::result::Result<T, Halt>;

pub fn render(template: &Template, context: &mut Context) -> std::result::Result<String, Error> {
    let mut renderer = Renderer {
        text: &template.text,
        profile: template.profile,
        limits: &template.limits,
        context,
        layer: None,
        kept: Vec::new(),
        macros: HashMap::new(),
        names: template.parsed.names.clone(),
        macro_depth: 0,
        steps: 0,
        depth: 0,
        at: 0,
    };
    renderer.know(&template.parsed.macros);
    let mut out = String::new();
    match renderer.block(&template.parsed.nodes, &mut out) {
        Ok(()) | Err(Halt::Break | Halt::Stop) => Ok(out),
        Err(Halt::Error(error)) => Err(*error),
        Err(Halt::Leave(_)) => {
            let (line, column) = place(&template.text, renderer.at as usize);
            let message = "#break of a loop that is over".to_owned();
            Err(Error { kind: ErrorKind::Render, line, column, message })
        }
    }
}

struct Renderer<'t> {
    text: &'t str,
    profile: Profile,
    limits: &'t Limits,
    context: &'t mut Context,
    /// What macros and loops put over the context here.
    layer: Option<Rc<Layer>>,
    /// Layers that a definition may want to see again.
    kept: Vec<Rc<Layer>>,
    macros: HashMap<Box<str>, Arc<Macro>>,
    /// What `#macro` named, for templates that are parsed on the way.
    names: HashSet<Box<str>>,
    macro_depth: usize,
    steps: usize,
    depth: usize,
    /// Where the last reference was, for what has no place of its own.
    at: u32,
}

impl Renderer<'_> {
    fn error(&self, kind: ErrorKind, message: impl Into<String>) -> Halt {
        let (line, column) = place(self.text, self.at as usize);
        Error { kind, line, column, message: message.into() }.into()
    }

    fn limit(&self, message: impl Into<String>) -> Halt {
        self.error(ErrorKind::Limit, message)
    }

    fn too_deep(&self, TooDeep: TooDeep) -> Halt {
        self.limit("a value is nested too deeply to be printed")
    }

    fn charge(&mut self, steps: usize) -> Result<()> {
        self.steps = self.steps.saturating_add(steps);
        if self.steps > self.limits.steps_max {
            return Err(
                self.limit(format!("more than steps_max = {} steps", self.limits.steps_max))
            );
        }
        Ok(())
    }

    fn write(&mut self, out: &mut String, text: &str) -> Result<()> {
        self.charge(text.len() / 16)?;
        let max = self.limits.output_bytes_max;
        if out.len() + text.len() > max {
            return Err(self.limit(format!("more than output_bytes_max = {max} bytes")));
        }
        out.push_str(text);
        Ok(())
    }

    /// A level deeper, as far as the stack goes.
    fn deeper<T>(&mut self, body: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= DEPTH_MAX {
            return Err(
                self.limit(format!("nested deeper than {DEPTH_MAX} levels while rendering"))
            );
        }
        self.depth += 1;
        let result = body(self);
        self.depth -= 1;
        result
    }

    fn block(&mut self, nodes: &[Node], out: &mut String) -> Result<()> {
        self.deeper(|renderer| {
            for node in nodes {
                renderer.charge(1)?;
                renderer.node(node, out)?;
            }
            Ok(())
        })
    }

    fn node(&mut self, node: &Node, out: &mut String) -> Result<()> {
        match node {
            Node::Text(text) => self.write(out, text)?,
            Node::Reference(reference) => self.show(reference, out)?,
            Node::Set { target, value } => {
                let value = self.value(value)?;
                if !value.is_null() {
                    self.assign(target, value)?;
                }
            }
            Node::If { branches, otherwise } => {
                for (condition, body) in branches {
                    if self.test(condition)? {
                        return self.block(body, out);
                    }
                }
                if let Some(body) = otherwise {
                    self.block(body, out)?;
                }
            }
            Node::Foreach { variable, items, body, at } => {
                let items = self.value(items)?;
                self.at = *at;
                self.foreach(variable, &items, body, out)?;
            }
            Node::Define { name, body } => {
                let definition = self.definition(body, DEFINITION_DEPTH_MAX);
                self.set_variable(name, definition)?;
            }
            Node::Break { scope: None, .. } => return Err(Halt::Break),
            Node::Break { scope: Some(scope), at } => {
                let scope = self.value(scope)?;
                self.at = *at;
                let Value::Scope(scope) = scope else {
                    return Err(self.error(ErrorKind::Render, "#break needs a scope: $foreach"));
                };
                return Err(Halt::Leave(Arc::clone(&scope.body)));
            }
            Node::Stop => return Err(Halt::Stop),
            Node::Evaluate { template, at } => {
                let template = self.value(template)?;
                self.at = *at;
                self.evaluate(&template, out)?;
            }
            Node::Call(call) => self.call_macro(call, out)?,
        }
        Ok(())
    }

    fn foreach(
        &mut self,
        variable: &str,
        items: &Value,
        body: &Block,
        out: &mut String,
    ) -> Result<()> {
        let cursor = match items {
            Value::List(list) => Rc::new(Cursor::over(list)),
            Value::Map(map) => Rc::new(Cursor::over_values(map)),
            Value::Iterator(cursor) => Rc::clone(cursor),
            // Whatever else it is has nothing to go through.
            _ => return Ok(()),
        };
        let mut saved = Vec::new();
        for name in [variable, "velocityCount", "velocityHasNext"] {
            saved.push((name, self.variable(name)?));
        }
        let replaced = self.variable("foreach")?;
        let scope = Rc::new(Scope {
            index: Cell::new(-1),
            has_next: Cell::new(false),
            replaced: replaced.clone(),
            body: Arc::clone(body),
        });
        self.set_variable("foreach", Value::Scope(Rc::clone(&scope)))?;
        let ended = match self.turns(variable, &cursor, &scope, out) {
            Err(Halt::Break) => Ok(()),
            Err(Halt::Leave(loop_body)) if Arc::ptr_eq(&loop_body, body) => Ok(()),
            ended => ended,
        };
        for (name, value) in saved {
            self.restore(name, value)?;
        }
        // Unless the body put something else there.
        if let Value::Scope(_) = self.variable("foreach")? {
            self.restore("foreach", replaced)?;
        }
        ended
    }

    fn turns(
        &mut self,
        variable: &str,
        cursor: &Cursor,
        scope: &Scope,
        out: &mut String,
    ) -> Result<()> {
        let mut null_item = None;
        let mut count = 0;
        while cursor.has_next() {
            self.charge(1)?;
            let item = cursor.next().map_err(|Changed| {
                self.error(ErrorKind::Render, "#foreach: java.util.ConcurrentModificationException")
            })?;
            let Some(item) = item else { break };
            count += 1;
            let has_next = cursor.has_next();
            self.set_variable("velocityCount", Value::Number(Number::Int(count)))?;
            self.set_variable("velocityHasNext", Value::Bool(has_next))?;
            let is_null = item.is_null();
            self.set_variable(variable, item)?;
            scope.index.set(count - 1);
            scope.has_next.set(has_next);
            if is_null {
                let layer =
                    null_item.get_or_insert_with(|| Layer::null_item(self.layer.clone(), variable));
                let layer = Some(Rc::clone(layer));
                self.within(layer, |renderer| renderer.block(&scope.body, out))?;
            } else {
                self.block(&scope.body, out)?;
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, template: &Value, out: &mut String) -> Result<()> {
        let text = match template {
            Value::Null => return Ok(()),
            other => other.to_text().map_err(|deep| self.too_deep(deep))?,
        };
        self.charge(text.len())?;
        let depth = self.limits.nesting_max / 2;
        let names = std::mem::take(&mut self.names);
        let parsed = parser::parse_at_depth(&text, self.profile, self.limits, depth, names)
            .map_err(|error| self.error(error.kind, format!("in #evaluate: {error}")))?;
        self.names = parsed.names;
        self.know(&parsed.macros);
        match self.block(&parsed.nodes, out) {
            Err(Halt::Break | Halt::Stop) => Ok(()),
            ended => ended,
        }
    }

    /// Of macros with one name the first is called.
    fn know(&mut self, macros: &[Arc<Macro>]) {
        for known in macros {
            self.macros.entry(known.name.clone()).or_insert_with(|| Arc::clone(known));
        }
    }

    fn call_macro(&mut self, call: &Arc<Call>, out: &mut String) -> Result<()> {
        let Some(found) = self.macros.get(&call.name).map(Arc::clone) else {
            return self.write(out, &call.literal);
        };
        self.at = call.at;
        if let Some(word) = call.arguments.iter().find_map(|argument| match &argument.value {
            Expression::Word(word) => Some(word),
            _ => None,
        }) {
            let message = format!("#{} takes no bare word {word:?}", call.name);
            return Err(self.error(ErrorKind::Render, message));
        }
        if self.macro_depth == MACRO_DEPTH_MAX {
            return Err(self.limit(format!("macros nested deeper than {MACRO_DEPTH_MAX} calls")));
        }
        let body = call.body.as_ref().map(|body| self.definition(body, MACRO_DEPTH_MAX));
        let layer = self.macro_layer(&found, call, body)?;
        self.macro_depth += 1;
        let ended = self.within(Some(layer), |renderer| renderer.block(&found.body, out));
        match ended {
            // Velocity goes on counting a macro that ended by #break.
            Err(Halt::Break) => Ok(()),
            Ok(()) => {
                self.macro_depth -= 1;
                Ok(())
            }
            ended => ended,
        }
    }

    /// Prints a reference.
    fn show(&mut self, reference: &Reference, out: &mut String) -> Result<()> {
        let form = &reference.form;
        if form.runt {
            return self.write(out, &reference.root);
        }
        let value = self.reference(reference)?;
        if form.escaped {
            self.write(out, &form.escapes)?;
            if value.is_null() {
                self.write(out, "\\")?;
            }
            let shown = self.null_text(&form.null);
            return self.write(out, &shown);
        }
        if let Value::Definition(definition) = &value {
            if definition.depth.get() < definition.depth_max {
                return self.show_definition(definition, out);
            }
        } else if !value.is_null() {
            self.write(out, &form.escapes)?;
            self.write(out, &form.prefix)?;
            let text = value.to_text().map_err(|deep| self.too_deep(deep))?;
            return self.write(out, &text);
        }
        // Twice, as Velocity does it.
        self.write(out, &form.escapes)?;
        self.write(out, &form.escapes)?;
        self.write(out, &form.prefix)?;
        let shown = self.null_text(&form.null);
        self.write(out, &shown)
    }

    /// A block to be rendered where it is used.
    fn definition(&mut self, body: &Block, depth_max: usize) -> Value {
        let layer = self.layer.as_ref().map(Rc::downgrade);
        self.kept.extend(self.layer.clone());
        let body = Arc::clone(body);
        Value::Definition(Rc::new(Definition { body, depth: Cell::new(0), depth_max, layer }))
    }

    fn show_definition(&mut self, definition: &Definition, out: &mut String) -> Result<()> {
        definition.depth.set(definition.depth.get() + 1);
        let ended = self.block(&definition.body, out);
        definition.depth.set(definition.depth.get() - 1);
        match ended {
            Err(Halt::Break) => Ok(()),
            ended => ended,
        }
    }
}

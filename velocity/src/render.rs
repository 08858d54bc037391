//! From a tree and variables to text, within limits.

mod expression;
mod scope;

use std::{borrow::Cow, cell::Cell, collections::HashMap, rc::Rc, sync::Arc};

use crate::{
    Host, Limits, Template,
    ast::{Block, Call, Expression, Macro, Node, Reference},
    error::{Error, ErrorKind, place},
    methods::Tools,
    names::Name,
    number::Number,
    parser::{self, Known},
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

/// What a template rendered to.
#[derive(Debug)]
pub struct Output<'t> {
    /// The text.
    pub text: String,
    known: Cow<'t, Known>,
    variables: Vec<Option<Value>>,
}

impl Output<'_> {
    /// A variable as the template left it; none where it neither read nor set
    /// it.
    pub fn variable(&self, name: &str) -> Option<&Value> {
        let name = self.known.names.find(name)?;
        self.variables.get(name.place())?.as_ref()
    }
}

/// The output's first capacity, in bytes; the template's own length if that is
/// less.
const CAPACITY_MAX: usize = 16 * 1024;

pub fn render<'t>(
    template: &'t Template,
    host: &dyn Host,
) -> std::result::Result<Output<'t>, Error> {
    let tools = Tools {
        host,
        string_bytes_max: template.limits.output_bytes_max,
        patterns: &template.patterns,
    };
    let mut renderer = Renderer {
        template,
        tools,
        limits: &template.limits,
        known: Cow::Borrowed(&template.known),
        variables: vec![None; template.known.names.len()],
        empty: "".into(),
        layer: None,
        kept: Vec::new(),
        macros: HashMap::new(),
        macro_depth: 0,
        steps: 0,
        depth: 0,
        at: 0,
    };
    let mut text = String::with_capacity(template.text.len().min(CAPACITY_MAX));
    match renderer.block(&template.nodes, &mut text) {
        Ok(()) | Err(Halt::Break | Halt::Stop) => {
            Ok(Output { text, known: renderer.known, variables: renderer.variables })
        }
        Err(Halt::Error(error)) => Err(*error),
        Err(Halt::Leave(_)) => {
            let (line, column) = place(&template.text, renderer.at as usize);
            let message = "#break of a loop that is over".to_owned();
            Err(Error { kind: ErrorKind::Render, line, column, message })
        }
    }
}

struct Renderer<'t, 'h> {
    template: &'t Template,
    limits: &'t Limits,
    tools: Tools<'h>,
    /// The template's, and more where templates are parsed on the way.
    known: Cow<'t, Known>,
    /// By place; none where one has not been read or set yet.
    variables: Vec<Option<Value>>,
    /// What null is in API Gateway.
    empty: Value,
    /// What macros and loops put over the variables here.
    layer: Option<Rc<Layer>>,
    /// Layers that a definition may want to see again.
    kept: Vec<Rc<Layer>>,
    /// Macros of templates that were parsed on the way.
    macros: HashMap<Box<str>, Arc<Macro>>,
    macro_depth: usize,
    steps: usize,
    depth: usize,
    /// Where the last reference was, for what has no place of its own.
    at: u32,
}

impl Renderer<'_, '_> {
    fn error(&self, kind: ErrorKind, message: impl Into<String>) -> Halt {
        let (line, column) = place(&self.template.text, self.at as usize);
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
                self.foreach(*variable, &items, body, out)?;
            }
            Node::Define { name, body } => {
                let definition = self.definition(body, DEFINITION_DEPTH_MAX);
                self.set_variable(*name, definition)?;
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
        variable: Name,
        items: &Value,
        body: &Block,
        out: &mut String,
    ) -> Result<()> {
        let own;
        let cursor = match items {
            Value::List(list) => {
                own = Cursor::over(list);
                &own
            }
            Value::Map(map) => {
                own = Cursor::over_values(map);
                &own
            }
            Value::Iterator(cursor) => cursor,
            // Whatever else it is has nothing to go through.
            _ => return Ok(()),
        };
        let saved = [
            (variable, self.variable(variable)?),
            (Name::VELOCITY_COUNT, self.variable(Name::VELOCITY_COUNT)?),
            (Name::VELOCITY_HAS_NEXT, self.variable(Name::VELOCITY_HAS_NEXT)?),
        ];
        let replaced = self.variable(Name::FOREACH)?;
        let scope = Rc::new(Scope {
            index: Cell::new(-1),
            has_next: Cell::new(false),
            replaced: replaced.clone(),
            body: Arc::clone(body),
        });
        self.set_variable(Name::FOREACH, Value::Scope(Rc::clone(&scope)))?;
        let ended = match self.turns(variable, cursor, &scope, out) {
            Err(Halt::Break) => Ok(()),
            Err(Halt::Leave(loop_body)) if Arc::ptr_eq(&loop_body, body) => Ok(()),
            ended => ended,
        };
        for (name, value) in saved {
            self.restore(name, value)?;
        }
        // Unless the body put something else there.
        if let Value::Scope(_) = self.variable(Name::FOREACH)? {
            self.restore(Name::FOREACH, replaced)?;
        }
        ended
    }

    fn turns(
        &mut self,
        variable: Name,
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
            self.set_variable(Name::VELOCITY_COUNT, Value::Number(Number::Int(count)))?;
            self.set_variable(Name::VELOCITY_HAS_NEXT, Value::Bool(has_next))?;
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
        let known = std::mem::take(&mut self.known).into_owned();
        let profile = self.template.profile;
        let parsed = parser::parse_at_depth(&text, profile, self.limits, depth, known)
            .map_err(|error| self.error(error.kind, format!("in #evaluate: {error}")))?;
        self.variables.resize(parsed.known.names.len(), None);
        self.known = Cow::Owned(parsed.known);
        for found in parsed.macros {
            self.macros.entry(found.name.clone()).or_insert(found);
        }
        match self.block(&parsed.nodes, out) {
            Err(Halt::Break | Halt::Stop) => Ok(()),
            ended => ended,
        }
    }

    fn call_macro(&mut self, call: &Arc<Call>, out: &mut String) -> Result<()> {
        // The template's own come first.
        let found = self.template.macros.get(&call.name).or_else(|| self.macros.get(&call.name));
        let Some(found) = found.map(Arc::clone) else {
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
        if let Some(text) = &form.runt {
            return self.write(out, text);
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
            return match &value {
                Value::Text(text) => self.write(out, text),
                other => {
                    let text = other.to_text().map_err(|deep| self.too_deep(deep))?;
                    self.write(out, &text)
                }
            };
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

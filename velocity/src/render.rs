//! From a tree and variables to text, within limits.

use std::{cell::Cell, rc::Rc, sync::Arc};

use crate::{
    Context, Limits, Profile, Template,
    ast::{Block, Call, Expression, Literals, Macro, Node, Operator, Reference, Step},
    error::{Error, ErrorKind, place},
    methods::{self, Failure},
    number::Number,
    parser,
    value::{Changed, Cursor, Definition, Key, Map, Scope, TooDeep, Value},
};

/// How many times a `#define` may be rendered inside itself.
const DEFINITION_DEPTH_MAX: usize = 2;

/// Blocks and expressions that may be inside one another at work: what a
/// definition or a macro leads to counts like what is written in place.
const DEPTH_MAX: usize = 300;

/// How a block ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    /// At its end.
    Next,
    /// By `#break`: the nearest loop, definition or macro ends.
    Break,
    /// By `#stop`: everything ends.
    Stop,
}

type Result<T> = std::result::Result<T, Error>;

pub fn render(template: &Template, context: &mut Context) -> Result<String> {
    let mut renderer = Renderer {
        text: &template.text,
        profile: template.profile,
        limits: &template.limits,
        context,
        macros: template.parsed.macros.iter().collect(),
        literals: Vec::new(),
        steps: 0,
        depth: 0,
        at: 0,
    };
    let mut out = String::new();
    renderer.block(&template.parsed.nodes, &mut out)?;
    Ok(out)
}

struct Renderer<'t> {
    text: &'t str,
    profile: Profile,
    limits: &'t Limits,
    context: &'t mut Context,
    macros: Vec<&'t Macro>,
    /// What a macro's parameters are written as where it was called.
    literals: Vec<(Box<str>, Box<str>)>,
    steps: usize,
    depth: usize,
    /// Where the last reference was, for what has no place of its own.
    at: u32,
}

impl Renderer<'_> {
    fn error(&self, kind: ErrorKind, message: impl Into<String>) -> Error {
        let (line, column) = place(self.text, self.at as usize);
        Error { kind, line, column, message: message.into() }
    }

    fn limit(&self, message: impl Into<String>) -> Error {
        self.error(ErrorKind::Limit, message)
    }

    fn too_deep(&self, TooDeep: TooDeep) -> Error {
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

    fn block(&mut self, nodes: &[Node], out: &mut String) -> Result<Flow> {
        self.deeper(|renderer| {
            for node in nodes {
                renderer.charge(1)?;
                match renderer.node(node, out)? {
                    Flow::Next => {}
                    flow => return Ok(flow),
                }
            }
            Ok(Flow::Next)
        })
    }

    fn node(&mut self, node: &Node, out: &mut String) -> Result<Flow> {
        match node {
            Node::Text(text) => self.write(out, text)?,
            Node::Reference(reference) => return self.show(reference, out),
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
                    return self.block(body, out);
                }
            }
            Node::Foreach { variable, items, body, at } => {
                let items = self.value(items)?;
                self.at = *at;
                return self.foreach(variable, &items, body, out);
            }
            Node::Define { name, body } => {
                let definition = Definition { body: Arc::clone(body), depth: Cell::new(0) };
                self.context.set(name, Value::Definition(Rc::new(definition)));
            }
            Node::Break { scope: None, .. } => return Ok(Flow::Break),
            Node::Break { scope: Some(scope), at } => match self.value(scope)? {
                Value::Scope(scope) => {
                    scope.stopped.set(true);
                    return Ok(Flow::Break);
                }
                _ => {
                    self.at = *at;
                    return Err(self.error(ErrorKind::Render, "#break needs a scope: $foreach"));
                }
            },
            Node::Stop => return Ok(Flow::Stop),
            Node::Evaluate { template, at } => {
                let template = self.value(template)?;
                self.at = *at;
                return self.evaluate(&template, out);
            }
            Node::Call(call) => return self.call_macro(call, out),
        }
        Ok(Flow::Next)
    }

    fn foreach(
        &mut self,
        variable: &str,
        items: &Value,
        body: &Block,
        out: &mut String,
    ) -> Result<Flow> {
        let cursor = match items {
            Value::List(list) => Rc::new(Cursor::over(list)),
            Value::Map(map) => Rc::new(Cursor::over_values(map)),
            Value::Iterator(cursor) => Rc::clone(cursor),
            // Whatever else it is has nothing to go through.
            _ => return Ok(Flow::Next),
        };
        let saved = [variable, "velocityCount", "velocityHasNext"]
            .map(|name| (name, self.context.get(name).cloned().unwrap_or_default()));
        let replaced = self.context.get("foreach").cloned().unwrap_or_default();
        let scope = Rc::new(Scope {
            index: Cell::new(-1),
            has_next: Cell::new(false),
            replaced: replaced.clone(),
            stopped: Cell::new(false),
        });
        self.context.set("foreach", Value::Scope(Rc::clone(&scope)));
        let mut flow = Flow::Next;
        let mut count = 0;
        while flow == Flow::Next && cursor.has_next() {
            self.charge(1)?;
            let item = cursor.next().map_err(|Changed| {
                self.error(ErrorKind::Render, "#foreach: java.util.ConcurrentModificationException")
            })?;
            let Some(item) = item else { break };
            count += 1;
            scope.index.set(count - 1);
            scope.has_next.set(cursor.has_next());
            self.context.set("velocityCount", Value::Number(Number::Int(count)));
            self.context.set("velocityHasNext", Value::Bool(cursor.has_next()));
            self.context.set(variable, item);
            flow = self.block(body, out)?;
        }
        for (name, value) in saved {
            self.restore(name, value);
        }
        // Unless the body put something else there.
        if let Some(Value::Scope(_)) = self.context.get("foreach") {
            self.restore("foreach", replaced);
        }
        Ok(match flow {
            // Meant for a loop further out, unless this one was meant.
            Flow::Break if !scope.stopped.get() && stopped_outside(&scope) => Flow::Break,
            Flow::Stop => Flow::Stop,
            _ => Flow::Next,
        })
    }

    fn restore(&mut self, name: &str, value: Value) {
        if value.is_null() {
            self.context.remove(name);
        } else {
            self.context.set(name, value);
        }
    }

    fn evaluate(&mut self, template: &Value, out: &mut String) -> Result<Flow> {
        let text = match template {
            Value::Null => return Ok(Flow::Next),
            other => other.to_text().map_err(|deep| self.too_deep(deep))?,
        };
        self.charge(text.len())?;
        let depth = self.limits.nesting_max / 2;
        let parsed = parser::parse_at_depth(&text, self.profile, self.limits, depth)
            .map_err(|error| self.error(error.kind, format!("in #evaluate: {error}")))?;
        match self.block(&parsed.nodes, out)? {
            Flow::Stop => Ok(Flow::Stop),
            _ => Ok(Flow::Next),
        }
    }

    fn call_macro(&mut self, call: &Call, out: &mut String) -> Result<Flow> {
        let found = self.macros.iter().find(|known| known.name == call.name).copied();
        let Some(found) = found else {
            self.write(out, &call.literal)?;
            return Ok(Flow::Next);
        };
        self.at = call.at;
        if call.arguments.len() > found.parameters.len() {
            let message = format!("#{} takes {} arguments", call.name, found.parameters.len());
            return Err(self.error(ErrorKind::Render, message));
        }
        let mut values = Vec::new();
        for argument in &call.arguments {
            values.push(self.value(&argument.value)?);
        }
        self.expand(found, call, &values, out)
    }

    /// Renders a macro's body with its parameters, and puts back what they hid.
    fn expand(
        &mut self,
        found: &Macro,
        call: &Call,
        values: &[Value],
        out: &mut String,
    ) -> Result<Flow> {
        let literals = self.literals.len();
        let mut saved = Vec::new();
        for (index, parameter) in found.parameters.iter().enumerate() {
            let value = values.get(index).cloned().unwrap_or_default();
            saved.push((&**parameter, self.context.remove(parameter), Some(value.clone())));
            self.restore(parameter, value);
            if let Some(argument) = call.arguments.get(index) {
                self.literals.push((parameter.clone(), argument.literal.clone()));
            }
        }
        if let Some(body) = &call.body {
            let definition = Definition { body: Arc::clone(body), depth: Cell::new(0) };
            saved.push(("bodyContent", self.context.remove("bodyContent"), None));
            self.context.set("bodyContent", Value::Definition(Rc::new(definition)));
        }
        let flow = self.block(&found.body, out);
        self.literals.truncate(literals);
        for (name, value, bound) in saved.into_iter().rev() {
            // What the macro's body set stays set, as in Velocity.
            let now = self.context.get(name).cloned().unwrap_or_default();
            if bound.is_none_or(|bound| now.equals(&bound)) {
                self.restore(name, value.unwrap_or_default());
            }
        }
        Ok(if flow? == Flow::Stop { Flow::Stop } else { Flow::Next })
    }

    /// Prints a reference.
    fn show(&mut self, reference: &Reference, out: &mut String) -> Result<Flow> {
        let form = &reference.form;
        if form.runt {
            self.write(out, &reference.root)?;
            return Ok(Flow::Next);
        }
        let value = self.reference(reference)?;
        if form.escaped {
            self.write(out, &form.escapes)?;
            if value.is_null() {
                self.write(out, "\\")?;
            }
            let shown = self.null_text(&form.null);
            self.write(out, &shown)?;
            return Ok(Flow::Next);
        }
        if let Value::Definition(definition) = &value {
            if definition.depth.get() < DEFINITION_DEPTH_MAX {
                return self.definition(definition, out);
            }
        } else if !value.is_null() {
            self.write(out, &form.escapes)?;
            self.write(out, &form.prefix)?;
            let text = value.to_text().map_err(|deep| self.too_deep(deep))?;
            self.write(out, &text)?;
            return Ok(Flow::Next);
        }
        // Twice, as Velocity does it.
        self.write(out, &form.escapes)?;
        self.write(out, &form.escapes)?;
        self.write(out, &form.prefix)?;
        let shown = self.null_text(&form.null);
        self.write(out, &shown)?;
        Ok(Flow::Next)
    }

    /// A macro's parameter in its plain form is shown as what the macro was
    /// called with.
    fn null_text(&self, null: &str) -> Box<str> {
        let found = null.strip_prefix('$').and_then(|name| {
            self.literals.iter().rev().find(|(parameter, _)| **parameter == *name)
        });
        found.map_or_else(|| null.into(), |(_, literal)| literal.clone())
    }

    fn definition(&mut self, definition: &Definition, out: &mut String) -> Result<Flow> {
        definition.depth.set(definition.depth.get() + 1);
        let flow = self.block(&definition.body, out);
        definition.depth.set(definition.depth.get() - 1);
        Ok(if flow? == Flow::Stop { Flow::Stop } else { Flow::Next })
    }

    /// What a reference stands for. In API Gateway null is the empty string.
    fn reference(&mut self, reference: &Reference) -> Result<Value> {
        if reference.form.runt {
            return Ok(Value::Null);
        }
        self.charge(1)?;
        let mut value = self.context.get(&reference.root).cloned().unwrap_or_default();
        for step in &reference.steps {
            if value.is_null() {
                break;
            }
            self.at = reference.at;
            value = self.step(&value, step)?;
        }
        if value.is_null() && self.profile == Profile::Service {
            return Ok(Value::from(""));
        }
        Ok(value)
    }

    fn step(&mut self, target: &Value, step: &Step) -> Result<Value> {
        self.charge(1)?;
        let found = match step {
            Step::Property(name) => methods::property(target, name),
            Step::Method(name, arguments) => {
                let mut values = Vec::with_capacity(arguments.len());
                for argument in arguments {
                    values.push(self.value(argument)?);
                }
                self.charge(methods::cost(target, name, &values))?;
                methods::call(target, name, &values, self.limits.output_bytes_max)
            }
            Step::Index(index) => {
                let index = self.value(index)?;
                methods::index(target, &index)
            }
        };
        let value = found.map_err(|failure| self.failure(failure, step))?;
        if let Value::Text(text) = &value {
            self.charge(text.len() / 16)?;
        }
        Ok(value)
    }

    fn failure(&self, failure: Failure, step: &Step) -> Error {
        match failure {
            Failure::Limit(message) => self.limit(message),
            Failure::Exception(message) => {
                let what = match step {
                    Step::Property(name) => format!("the property {name}"),
                    Step::Method(name, _) => format!("the method {name}"),
                    Step::Index(_) => "the index".to_owned(),
                };
                self.error(ErrorKind::Render, format!("{what} failed: {message}"))
            }
        }
    }

    fn assign(&mut self, target: &Reference, value: Value) -> Result<()> {
        let Some((last, steps)) = target.steps.split_last() else {
            self.context.set(&target.assigned, value);
            return Ok(());
        };
        let mut container = self.context.get(&target.root).cloned().unwrap_or_default();
        self.at = target.at;
        for step in steps {
            if container.is_null() {
                return Ok(());
            }
            container = self.step(&container, step)?;
        }
        let index = match last {
            Step::Index(index) => Some(self.value(index)?),
            _ => None,
        };
        let (inside, looked) = value.reaches(&container);
        self.charge(looked)?;
        if inside && matches!(container, Value::List(_) | Value::Map(_)) {
            return Err(self.limit("a list or map cannot hold itself"));
        }
        let done = match (last, index) {
            (Step::Property(name), _) => {
                methods::set_property(&container, name, value);
                Ok(())
            }
            (_, Some(index)) => methods::set_index(&container, &index, value),
            // `#set($a.b() = 1)`: nothing that could be set.
            _ => Ok(()),
        };
        done.map_err(|failure| self.failure(failure, last))
    }

    /// Whether a condition holds. A reference holds unless it is null or
    /// `false`; of what is written in place only `true` and comparisons can.
    fn test(&mut self, expression: &Expression) -> Result<bool> {
        Ok(match expression {
            Expression::Bool(value) => *value,
            Expression::Reference(reference) => is_true(&self.reference(reference)?),
            Expression::Not(_) | Expression::Binary { .. } => {
                matches!(self.value(expression)?, Value::Bool(true))
            }
            _ => false,
        })
    }

    fn value(&mut self, expression: &Expression) -> Result<Value> {
        self.charge(1)?;
        self.deeper(|renderer| renderer.value_of(expression))
    }

    fn value_of(&mut self, expression: &Expression) -> Result<Value> {
        Ok(match expression {
            Expression::Null => Value::Null,
            Expression::Bool(value) => Value::Bool(*value),
            Expression::Number(number) => Value::Number(number.clone()),
            Expression::Text(text) => Value::Text(Arc::clone(text)),
            Expression::Word(word) => Value::from(&**word),
            Expression::Interpolated { body, padded } => {
                let mut text = String::new();
                self.block(body, &mut text)?;
                if *padded {
                    text.pop();
                }
                Value::text(text)
            }
            Expression::List(items) => {
                let mut values = Vec::with_capacity(items.len());
                for item in items {
                    values.push(self.value(item)?);
                }
                Value::list(values)
            }
            Expression::Map(entries) => {
                let map = Map::default();
                for (key, value) in entries {
                    let key = Key::of(&self.value(key)?);
                    map.insert(key, self.value(value)?);
                }
                Value::Map(map)
            }
            Expression::Range(bounds) => self.range(&bounds.0, &bounds.1)?,
            Expression::Reference(reference) => self.reference(reference)?,
            Expression::Not(inner) => Value::Bool(!self.test(inner)?),
            Expression::Binary { .. } => self.binary(expression)?,
        })
    }

    fn range(&mut self, from: &Expression, to: &Expression) -> Result<Value> {
        let (Value::Number(from), Value::Number(to)) = (self.value(from)?, self.value(to)?) else {
            return Ok(Value::Null);
        };
        let (from, to) = (from.to_int(), to.to_int());
        let count = from.abs_diff(to) as usize + 1;
        self.charge(count)?;
        let number = |number| Value::Number(Number::Int(number));
        let items = match from <= to {
            true => (from..=to).map(number).collect(),
            false => (to..=from).rev().map(number).collect(),
        };
        Ok(Value::list(items))
    }

    /// A chain of operators, from its first operand on.
    fn binary(&mut self, expression: &Expression) -> Result<Value> {
        let mut chain = Vec::new();
        let mut first = expression;
        while let Expression::Binary { operator, sides, literals } = first {
            chain.push((*operator, &sides.1, literals));
            first = &sides.0;
        }
        let logic = |operator| matches!(operator, Operator::And | Operator::Or);
        let begins_with_logic = chain.last().is_some_and(|(operator, ..)| logic(*operator));
        let mut left = match begins_with_logic {
            true => Value::Bool(self.test(first)?),
            false => self.value(first)?,
        };
        for (operator, right, literals) in chain.into_iter().rev() {
            self.charge(1)?;
            // What was calculated is no condition, only what was compared.
            let holds = matches!(left, Value::Bool(true));
            left = match operator {
                Operator::And => Value::Bool(holds && self.test(right)?),
                Operator::Or => Value::Bool(holds || self.test(right)?),
                _ => {
                    let right = self.value(right)?;
                    self.operate(operator, left, right, literals)?
                }
            };
        }
        Ok(left)
    }

    fn operate(
        &mut self,
        operator: Operator,
        left: Value,
        right: Value,
        literals: &Literals,
    ) -> Result<Value> {
        let ordered = |holds: fn(std::cmp::Ordering) -> bool| match (&left, &right) {
            (Value::Number(left), Value::Number(right)) => holds(left.compare(right)),
            _ => false,
        };
        Ok(match operator {
            Operator::Equal => Value::Bool(self.is_equal(&left, &right)?),
            Operator::NotEqual => Value::Bool(!self.is_equal(&left, &right)?),
            Operator::Less => Value::Bool(ordered(std::cmp::Ordering::is_lt)),
            Operator::LessOrEqual => Value::Bool(ordered(std::cmp::Ordering::is_le)),
            Operator::Greater => Value::Bool(ordered(std::cmp::Ordering::is_gt)),
            Operator::GreaterOrEqual => Value::Bool(ordered(std::cmp::Ordering::is_ge)),
            Operator::Add if left.as_str().is_some() || right.as_str().is_some() => {
                self.join(&left, &right, literals)?
            }
            _ => self.calculate(operator, &left, &right)?,
        })
    }

    fn calculate(&mut self, operator: Operator, left: &Value, right: &Value) -> Result<Value> {
        // Anything but two numbers is null.
        let (Value::Number(left), Value::Number(right)) = (left, right) else {
            return Ok(Value::Null);
        };
        self.charge((left.size() + right.size()) / 16)?;
        let result = match operator {
            Operator::Add => Some(left.add(right)),
            Operator::Subtract => Some(left.subtract(right)),
            Operator::Multiply => {
                let product = left.multiply(right);
                if product.is_none() {
                    return Err(self.limit("a number has too many digits"));
                }
                product
            }
            Operator::Divide => left.divide(right),
            _ => left.modulo(right),
        };
        Ok(result.map_or(Value::Null, Value::Number))
    }

    fn join(&mut self, left: &Value, right: &Value, literals: &Literals) -> Result<Value> {
        let mut text = String::new();
        for (side, value) in [left, right].into_iter().enumerate() {
            let part = match (value, &literals.0) {
                (Value::Null, Some(literals)) if side == 0 => literals.0.to_string(),
                (Value::Null, Some(literals)) => literals.1.to_string(),
                (Value::Definition(definition), _) => {
                    let mut part = String::new();
                    self.definition(&Rc::clone(definition), &mut part)?;
                    part
                }
                (value, _) => value.to_text().map_err(|deep| self.too_deep(deep))?,
            };
            self.write(&mut text, &part)?;
        }
        Ok(Value::text(text))
    }

    /// `==`: numbers by value, values of one class by contents, others by what
    /// they print.
    fn is_equal(&mut self, left: &Value, right: &Value) -> Result<bool> {
        Ok(match (left, right) {
            (Value::Number(left), Value::Number(right)) => left.compare(right).is_eq(),
            (Value::Null, Value::Null) => true,
            (Value::Null, _) | (_, Value::Null) => false,
            _ if left.is_comparable(right) => left.equals(right),
            _ => {
                let left = left.to_text().map_err(|deep| self.too_deep(deep))?;
                let right = right.to_text().map_err(|deep| self.too_deep(deep))?;
                self.charge((left.len() + right.len()) / 16)?;
                left == right
            }
        })
    }
}

fn is_true(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Bool(false))
}

/// Whether a loop around this one was told to end.
fn stopped_outside(scope: &Scope) -> bool {
    let mut outer = scope.replaced.clone();
    while let Value::Scope(scope) = outer {
        if scope.stopped.get() {
            return true;
        }
        outer = scope.replaced.clone();
    }
    false
}

//! The variables as a template's place sees them: a chain of layers over the
//! context.
//!
//! A macro's parameters are names for what it was called with: each use
//! evaluates the argument anew, with the variables of the place of the call.
//! What is set inside is set in every layer and in the context.

use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    sync::Arc,
};

use super::{Renderer, Result};
use crate::{
    ast::{Call, Expression, Macro},
    names::Name,
    value::Value,
};

pub struct Layer {
    inner: Option<Rc<Layer>>,
    kind: Kind,
}

enum Kind {
    /// A macro at work.
    Macro {
        locals: RefCell<HashMap<Name, Value>>,
        /// Parameters by name, as positions among the call's arguments.
        parameters: RefCell<HashMap<Name, usize>>,
        /// The parameters that are shown as they were written when null.
        written: HashMap<Name, usize>,
        call: Arc<Call>,
    },
    /// The turn of a loop whose item is null: its variable is null, whatever
    /// lies below or is set.
    NullItem { variable: Name, active: Cell<bool> },
}

impl Layer {
    pub fn null_item(inner: Option<Rc<Layer>>, variable: Name) -> Rc<Self> {
        let kind = Kind::NullItem { variable, active: Cell::new(true) };
        Rc::new(Self { inner, kind })
    }
}

impl Renderer<'_, '_> {
    /// What a macro's body sees. Arguments that are constants are variables.
    pub(super) fn macro_layer(
        &mut self,
        found: &Macro,
        call: &Arc<Call>,
        body: Option<Value>,
    ) -> Result<Rc<Layer>> {
        let mut locals = HashMap::new();
        let mut written = HashMap::new();
        for (index, (parameter, argument)) in
            found.parameters.iter().zip(&call.arguments).enumerate()
        {
            if is_constant(&argument.value) {
                locals.insert(*parameter, self.value(&argument.value)?);
            } else {
                written.insert(*parameter, index);
            }
        }
        locals.extend(body.map(|body| (Name::BODY_CONTENT, body)));
        let kind = Kind::Macro {
            locals: RefCell::new(locals),
            parameters: RefCell::new(written.clone()),
            written,
            call: Arc::clone(call),
        };
        Ok(Rc::new(Layer { inner: self.layer.clone(), kind }))
    }

    /// A variable, or what a macro's parameter stands for.
    pub(super) fn variable(&mut self, name: Name) -> Result<Value> {
        let mut next = self.layer.clone();
        while let Some(layer) = next {
            self.charge(1)?;
            match &layer.kind {
                Kind::NullItem { variable, active } => {
                    if active.get() && *variable == name {
                        return Ok(Value::Null);
                    }
                }
                Kind::Macro { locals, parameters, call, .. } => {
                    let local =
                        locals.borrow().get(&name).filter(|local| !local.is_null()).cloned();
                    if let Some(local) = local {
                        return Ok(local);
                    }
                    let index = parameters.borrow().get(&name).copied();
                    if let Some(argument) = index.and_then(|index| call.arguments.get(index)) {
                        let inner = layer.inner.clone();
                        return self.within(inner, |renderer| match &argument.value {
                            Expression::Reference(reference) if reference.steps.is_empty() => {
                                renderer.variable(reference.variable)
                            }
                            other => renderer.value(other),
                        });
                    }
                }
            }
            next = layer.inner.clone();
        }
        Ok(self.global(name).clone())
    }

    /// A variable below all layers, which the host is asked for once.
    fn global(&mut self, name: Name) -> &Value {
        self.variables[name.place()].get_or_insert_with(|| {
            self.tools.host.variable(self.known.names.text(name)).unwrap_or_default()
        })
    }

    /// With the variables of another place.
    pub(super) fn within<T>(
        &mut self,
        layer: Option<Rc<Layer>>,
        body: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let outside = std::mem::replace(&mut self.layer, layer);
        let result = body(self);
        self.layer = outside;
        result
    }

    pub(super) fn set_variable(&mut self, name: Name, value: Value) -> Result<()> {
        let mut next = self.layer.clone();
        while let Some(layer) = next {
            self.charge(1)?;
            match &layer.kind {
                Kind::Macro { locals, .. } => {
                    locals.borrow_mut().insert(name, value.clone());
                }
                Kind::NullItem { variable, active } => {
                    if *variable == name && value.is_null() {
                        active.set(true);
                    }
                }
            }
            next = layer.inner.clone();
        }
        self.variables[name.place()] = Some(value);
        Ok(())
    }

    /// Sets what a variable was before; null is none.
    pub(super) fn restore(&mut self, name: Name, value: Value) -> Result<()> {
        if !value.is_null() {
            return self.set_variable(name, value);
        }
        let mut next = self.layer.clone();
        while let Some(layer) = next {
            self.charge(1)?;
            match &layer.kind {
                Kind::Macro { locals, parameters, .. } => {
                    locals.borrow_mut().remove(&name);
                    parameters.borrow_mut().remove(&name);
                }
                Kind::NullItem { variable, active } => {
                    if *variable == name {
                        active.set(false);
                    }
                }
            }
            next = layer.inner.clone();
        }
        self.variables[name.place()] = Some(Value::Null);
        Ok(())
    }

    /// A macro's parameter in its plain form is shown as what the macro was
    /// called with.
    pub(super) fn null_text<'n>(&self, null: &'n str) -> Cow<'n, str> {
        let name = null.strip_prefix('$').filter(|_| self.layer.is_some());
        let Some(name) = name.and_then(|name| self.known.names.find(name)) else {
            return Cow::Borrowed(null);
        };
        let mut next = self.layer.as_ref();
        while let Some(layer) = next {
            if let Kind::Macro { written, call, .. } = &layer.kind
                && let Some(argument) = written.get(&name).and_then(|at| call.arguments.get(*at))
            {
                return Cow::Owned(argument.literal.to_string());
            }
            next = layer.inner.as_ref();
        }
        Cow::Borrowed(null)
    }
}

/// Whether an argument is evaluated once, at the call.
fn is_constant(argument: &Expression) -> bool {
    matches!(argument, Expression::Number(_) | Expression::Bool(_) | Expression::Null)
}

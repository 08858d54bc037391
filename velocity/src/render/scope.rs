//! The variables as a template's place sees them: a chain of layers over the
//! context.
//!
//! A macro's parameters are names for what it was called with: each use
//! evaluates the argument anew, with the variables of the place of the call.
//! What is set inside is set in every layer and in the context.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    sync::Arc,
};

use super::{Renderer, Result};
use crate::{
    ast::{Call, Expression, Macro},
    value::Value,
};

pub struct Layer {
    inner: Option<Rc<Layer>>,
    kind: Kind,
}

enum Kind {
    /// A macro at work.
    Macro {
        locals: RefCell<HashMap<Box<str>, Value>>,
        /// Parameters by name, as positions among the call's arguments.
        parameters: RefCell<HashMap<Box<str>, usize>>,
        /// The parameters that are shown as they were written when null.
        written: HashMap<Box<str>, usize>,
        call: Arc<Call>,
    },
    /// The turn of a loop whose item is null: its variable is null, whatever
    /// lies below or is set.
    NullItem { variable: Box<str>, active: Cell<bool> },
}

impl Layer {
    pub fn null_item(inner: Option<Rc<Layer>>, variable: &str) -> Rc<Self> {
        let kind = Kind::NullItem { variable: variable.into(), active: Cell::new(true) };
        Rc::new(Self { inner, kind })
    }
}

impl Renderer<'_> {
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
                locals.insert(parameter.clone(), self.value(&argument.value)?);
            } else {
                written.insert(parameter.clone(), index);
            }
        }
        locals.extend(body.map(|body| ("bodyContent".into(), body)));
        let kind = Kind::Macro {
            locals: RefCell::new(locals),
            parameters: RefCell::new(written.clone()),
            written,
            call: Arc::clone(call),
        };
        Ok(Rc::new(Layer { inner: self.layer.clone(), kind }))
    }

    /// A variable, or what a macro's parameter stands for.
    pub(super) fn variable(&mut self, name: &str) -> Result<Value> {
        let mut next = self.layer.clone();
        while let Some(layer) = next {
            self.charge(1)?;
            match &layer.kind {
                Kind::NullItem { variable, active } => {
                    if active.get() && **variable == *name {
                        return Ok(Value::Null);
                    }
                }
                Kind::Macro { locals, parameters, call, .. } => {
                    let local = locals.borrow().get(name).filter(|local| !local.is_null()).cloned();
                    if let Some(local) = local {
                        return Ok(local);
                    }
                    let index = parameters.borrow().get(name).copied();
                    if let Some(argument) = index.and_then(|index| call.arguments.get(index)) {
                        let inner = layer.inner.clone();
                        return self.within(inner, |renderer| match &argument.value {
                            Expression::Reference(reference) if reference.steps.is_empty() => {
                                renderer.variable(&reference.root)
                            }
                            other => renderer.value(other),
                        });
                    }
                }
            }
            next = layer.inner.clone();
        }
        Ok(self.context.get(name).cloned().unwrap_or_default())
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

    pub(super) fn set_variable(&mut self, name: &str, value: Value) -> Result<()> {
        let mut next = self.layer.clone();
        while let Some(layer) = next {
            self.charge(1)?;
            match &layer.kind {
                Kind::Macro { locals, .. } => {
                    locals.borrow_mut().insert(name.into(), value.clone());
                }
                Kind::NullItem { variable, active } => {
                    if **variable == *name && value.is_null() {
                        active.set(true);
                    }
                }
            }
            next = layer.inner.clone();
        }
        self.context.set(name, value);
        Ok(())
    }

    /// Sets what a variable was before; null is none.
    pub(super) fn restore(&mut self, name: &str, value: Value) -> Result<()> {
        if !value.is_null() {
            return self.set_variable(name, value);
        }
        let mut next = self.layer.clone();
        while let Some(layer) = next {
            self.charge(1)?;
            match &layer.kind {
                Kind::Macro { locals, parameters, .. } => {
                    locals.borrow_mut().remove(name);
                    parameters.borrow_mut().remove(name);
                }
                Kind::NullItem { variable, active } => {
                    if **variable == *name {
                        active.set(false);
                    }
                }
            }
            next = layer.inner.clone();
        }
        self.context.remove(name);
        Ok(())
    }

    /// A macro's parameter in its plain form is shown as what the macro was
    /// called with.
    pub(super) fn null_text(&self, null: &str) -> Box<str> {
        let Some(name) = null.strip_prefix('$') else { return null.into() };
        let mut next = self.layer.as_ref();
        while let Some(layer) = next {
            if let Kind::Macro { written, call, .. } = &layer.kind
                && let Some(argument) = written.get(name).and_then(|at| call.arguments.get(*at))
            {
                return argument.literal.clone();
            }
            next = layer.inner.as_ref();
        }
        null.into()
    }
}

/// Whether an argument is evaluated once, at the call.
fn is_constant(argument: &Expression) -> bool {
    matches!(argument, Expression::Number(_) | Expression::Bool(_) | Expression::Null)
}

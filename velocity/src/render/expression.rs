//! Values: references, operators, and what `#set` does.

use std::rc::Weak;

use super::{Halt, Renderer, Result};
use crate::{
    Profile,
    ast::{Expression, Literals, Operator, Reference, Step},
    error::ErrorKind,
    methods::{self, Failure, Outcome},
    number::Number,
    value::{Definition, Key, Map, Value},
};

impl Renderer<'_, '_> {
    /// What a reference stands for. In API Gateway null is the empty string.
    pub(super) fn reference(&mut self, reference: &Reference) -> Result<Value> {
        if reference.form.runt.is_some() {
            return Ok(Value::Null);
        }
        self.charge(1)?;
        let mut value = self.variable(reference.variable)?;
        for step in &reference.steps {
            if value.is_null() {
                break;
            }
            self.at = reference.at;
            value = self.step(&value, step)?;
        }
        if value.is_null() && self.template.profile == Profile::Service {
            return Ok(self.empty.clone());
        }
        Ok(value)
    }

    fn step(&mut self, target: &Value, step: &Step) -> Result<Value> {
        self.charge(1)?;
        let found = match step {
            Step::Property(name) => methods::property(target, name, &self.tools),
            Step::Method(name, arguments) => match arguments.as_slice() {
                // What most calls have needs no vector.
                [] => self.call(target, name, &[])?,
                [only] => {
                    let only = self.value(only)?;
                    self.call(target, name, &[only])?
                }
                more => {
                    let mut values = Vec::with_capacity(more.len());
                    for argument in more {
                        values.push(self.value(argument)?);
                    }
                    self.call(target, name, &values)?
                }
            },
            Step::Index(index) => {
                let index = self.value(index)?;
                methods::index(target, &index, &self.tools)
            }
        };
        let value = found.map_err(|failure| self.failure(failure, step))?;
        if let Value::Text(text) = &value {
            self.charge(text.len() / 16)?;
        }
        Ok(value)
    }

    fn call(&mut self, target: &Value, name: &str, arguments: &[Value]) -> Result<Outcome> {
        self.charge(methods::cost(target, name, arguments))?;
        Ok(methods::call(target, name, arguments, &self.tools))
    }

    fn failure(&self, failure: Failure, step: &Step) -> Halt {
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

    pub(super) fn assign(&mut self, target: &Reference, value: Value) -> Result<()> {
        let Some((last, steps)) = target.steps.split_last() else {
            return self.set_variable(target.assigned, value);
        };
        let mut container = self.variable(target.variable)?;
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
    pub(super) fn test(&mut self, expression: &Expression) -> Result<bool> {
        Ok(match expression {
            Expression::Bool(value) => *value,
            Expression::Reference(reference) => match self.reference(reference)? {
                Value::Definition(definition) => self.definition_text(&definition)?.is_some(),
                value => is_true(&value),
            },
            Expression::Binary { operator, .. } if operator.calculates() => false,
            Expression::Not(_) | Expression::Binary { .. } => {
                matches!(self.value(expression)?, Value::Bool(true))
            }
            _ => false,
        })
    }

    pub(super) fn value(&mut self, expression: &Expression) -> Result<Value> {
        self.charge(1)?;
        self.deeper(|renderer| renderer.value_of(expression))
    }

    fn value_of(&mut self, expression: &Expression) -> Result<Value> {
        Ok(match expression {
            Expression::Null => Value::Null,
            Expression::Bool(value) => Value::Bool(*value),
            Expression::Number(number) => Value::Number(number.clone()),
            Expression::Text(text) => Value::from(&**text),
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
        let mut is_condition = false;
        while let Expression::Binary { operator, sides, literals } = first {
            // What is calculated is no condition, only what is compared.
            if is_condition && operator.calculates() {
                break;
            }
            chain.push((*operator, &sides.1, literals));
            first = &sides.0;
            is_condition = matches!(operator, Operator::And | Operator::Or);
        }
        let mut left = match is_condition {
            true => Value::Bool(self.test(first)?),
            false => self.value(first)?,
        };
        for (operator, right, literals) in chain.into_iter().rev() {
            self.charge(1)?;
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
                (Value::Definition(definition), _) => match self.definition_text(definition)? {
                    Some(part) => part,
                    None => {
                        return Err(self.error(ErrorKind::Render, "a #define that joins itself"));
                    }
                },
                (value, _) => value.to_text().map_err(|deep| self.too_deep(deep))?,
            };
            self.write(&mut text, &part)?;
        }
        Ok(Value::text(text))
    }

    /// A definition as text has the variables of its own place. None where it
    /// is too deep within itself.
    fn definition_text(&mut self, definition: &Definition) -> Result<Option<String>> {
        if definition.depth.get() >= definition.depth_max {
            return Ok(None);
        }
        let mut text = String::new();
        let layer = definition.layer.as_ref().and_then(Weak::upgrade);
        self.within(layer, |renderer| renderer.show_definition(definition, &mut text))?;
        Ok(Some(text))
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

//! `$input`: the body and the parameters of a request.

use std::{borrow::Cow, rc::Rc};

use mayfly_velocity::{Key, Map, Object, Value};

use super::{Path, Scene};

/// What the rendering knows it by.
pub const CLASS: &str = "$input";

type Json = serde_json::Value;

impl Scene<'_> {
    /// The object, which prints as the body; an empty one is an empty object.
    pub(super) fn input(&self) -> Object {
        let body = self.variables.body();
        let body = if body.is_empty() { "{}" } else { body };
        Object { class: CLASS, text: body.into() }
    }

    pub(super) fn call_input(
        &self,
        object: &Object,
        method: &str,
        arguments: &[Value],
    ) -> Result<Option<Value>, String> {
        Ok(Some(match (method, arguments) {
            ("body", []) => Value::Text(Rc::clone(&object.text)),
            ("params", []) => self.all_parameters(),
            ("params", [name]) => self.parameter(&text(name)?),
            ("path", [path]) => {
                self.find(&text(path)?)?.map_or(Value::Null, |found| Value::from(&*found))
            }
            ("json", [path]) => match self.find(&text(path)?)? {
                Some(found) => Value::text(found.to_string()),
                // The service's answer where there is nothing.
                None => Value::from("\"\""),
            },
            _ => return Ok(None),
        }))
    }

    /// What a path leads to in the body; none where there is nothing.
    fn find(&self, path: &str) -> Result<Option<Cow<'_, Json>>, String> {
        let parsed: Path;
        let path = match self.paths.get(path) {
            Some(path) => path,
            None => {
                parsed = path.parse()?;
                &parsed
            }
        };
        let json = match self.variables.body() {
            "" => Some(&self.nothing),
            _ => self.variables.json(),
        };
        path.find(json.ok_or("the body is not JSON")?)
    }

    /// `$input.params()`
    fn all_parameters(&self) -> Value {
        let map = |parameters: &[(String, String)], folds: bool| {
            let map = if folds { Map::folding() } else { Map::default() };
            for (name, value) in parameters {
                map.insert(Key::Text(name.as_str().into()), Value::from(value.as_str()));
            }
            Value::Map(map)
        };
        let variables = self.variables;
        let folds = !variables.header_case_is_known();
        let all = [
            ("path", map(variables.path(), false)),
            ("querystring", map(variables.query(), false)),
            ("header", map(variables.headers(), folds)),
        ];
        let all = all.into_iter().map(|(name, map)| (Key::Text(name.into()), map));
        Value::Map(all.collect())
    }

    /// `$input.params(name)`: path, then query string, then header.
    fn parameter(&self, name: &str) -> Value {
        let last = |parameters: &[(String, String)]| {
            let found = parameters.iter().rev().find(|(own, _)| own == name);
            found.map(|(_, value)| Value::from(value.as_str()))
        };
        let header = || {
            // Headers are gathered only for a name that is among them.
            if !self.variables.may_have_header(name) {
                return None;
            }
            let headers = self.variables.headers().iter().rev();
            let mut same = headers.filter(|(own, _)| own.eq_ignore_ascii_case(name));
            same.next().map(|(_, value)| Value::from(value.as_str()))
        };
        last(self.variables.path())
            .or_else(|| last(self.variables.query()))
            .or_else(header)
            .unwrap_or_default()
    }
}

/// An argument as text, whatever it is.
pub fn text(value: &Value) -> Result<Cow<'_, str>, String> {
    match value {
        Value::Text(text) => Ok(Cow::Borrowed(text)),
        other => match other.to_text() {
            Ok(text) => Ok(Cow::Owned(text)),
            Err(_) => Err("the argument is nested too deeply".to_owned()),
        },
    }
}

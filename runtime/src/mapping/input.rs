//! `$input`: the body and the parameters of a request.

use std::cell::OnceCell;

use mayfly_velocity::{Key, Map, Object, Value};

use super::{Variables, jsonpath::Path};

/// What the body is in JSON; none where it is something else.
type Json = Option<serde_json::Value>;

pub struct Input {
    variables: Variables,
    json: OnceCell<Json>,
}

impl Input {
    pub fn new(variables: Variables) -> Self {
        Self { variables, json: OnceCell::new() }
    }

    /// The body; an empty one is an empty object.
    fn body(&self) -> &str {
        if self.variables.body.is_empty() { "{}" } else { &self.variables.body }
    }

    fn json(&self) -> &Json {
        self.json.get_or_init(|| serde_json::from_str(self.body()).ok())
    }

    /// What a path leads to; none where there is nothing.
    fn find(&self, path: &str) -> Result<Option<serde_json::Value>, String> {
        let path: Path = path.parse()?;
        let Some(root) = self.json() else {
            return Err("the body is not JSON".to_owned());
        };
        path.find(root)
    }

    /// `$input.params()`
    fn all_parameters(&self) -> Value {
        let all = Map::default();
        for (name, parameters) in [
            ("path", &self.variables.path),
            ("querystring", &self.variables.query),
            ("header", &self.variables.headers),
        ] {
            let folds = name == "header" && !self.variables.header_case_is_known;
            let map = if folds { Map::folding() } else { Map::default() };
            for (name, value) in parameters {
                map.insert(Key::Text(name.as_str().into()), Value::from(value.as_str()));
            }
            all.insert(Key::Text(name.into()), Value::Map(map));
        }
        Value::Map(all)
    }

    /// `$input.params(name)`: path, then query string, then header.
    fn parameter(&self, name: &str) -> Value {
        let last = |parameters: &[(String, String)]| {
            let found = parameters.iter().rev().find(|(own, _)| own == name);
            found.map(|(_, value)| value.clone())
        };
        let header = || {
            let headers = self.variables.headers.iter().rev();
            let mut same = headers.filter(|(own, _)| own.eq_ignore_ascii_case(name));
            same.next().map(|(_, value)| value.clone())
        };
        let found =
            last(&self.variables.path).or_else(|| last(&self.variables.query)).or_else(header);
        found.map_or(Value::Null, Value::text)
    }
}

impl Object for Input {
    fn class(&self) -> &'static str {
        "$input"
    }

    fn property(&self, name: &str) -> Result<Option<Value>, String> {
        Ok((name == "body").then(|| Value::from(self.body())))
    }

    fn call(&self, method: &str, arguments: &[Value]) -> Result<Option<Value>, String> {
        Ok(Some(match (method, arguments) {
            ("body", []) => Value::from(self.body()),
            ("params", []) => self.all_parameters(),
            ("params", [name]) => self.parameter(&text(name)?),
            ("path", [path]) => self.find(&text(path)?)?.map_or(Value::Null, Value::from),
            ("json", [path]) => match self.find(&text(path)?)? {
                Some(found) => Value::text(found.to_string()),
                // The service's answer where there is nothing.
                None => Value::from("\"\""),
            },
            _ => return Ok(None),
        }))
    }

    fn text(&self) -> String {
        self.body().to_owned()
    }
}

/// An argument as text, whatever it is.
pub fn text(value: &Value) -> Result<String, String> {
    value.to_text().map_err(|_| "the argument is nested too deeply".to_owned())
}

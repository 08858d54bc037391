//! What a rendering gets from outside.

use std::{collections::HashMap, rc::Rc};

use crate::Value;

/// Where variables come from, and what the objects among them can do.
pub trait Host {
    /// A variable that the template did not set; none where there is none. A
    /// rendering asks for it once, when it first reads it.
    fn variable(&self, name: &str) -> Option<Value>;

    /// A property, as in `$object.name`; none where there is none.
    ///
    /// # Errors
    /// The reason, which ends the rendering.
    fn property(&self, object: &Object, name: &str) -> Result<Option<Value>, String> {
        let _ = (object, name);
        Ok(None)
    }

    /// A method, as in `$object.name($argument)`; none where there is none.
    ///
    /// # Errors
    /// The reason, which ends the rendering.
    fn call(
        &self,
        object: &Object,
        method: &str,
        arguments: &[Value],
    ) -> Result<Option<Value>, String> {
        let _ = (object, method, arguments);
        Ok(None)
    }
}

/// An object of the [`Host`]: what it can do is asked there, so that it need
/// not hold what the host has.
#[derive(Debug, Clone)]
pub struct Object {
    /// Its class, by which the host knows it.
    pub class: &'static str,
    /// What `toString()` gives.
    pub text: Rc<str>,
}

/// Variables by name.
///
/// ```
/// use mayfly_velocity::{Context, Template, Value};
///
/// let mut context = Context::new();
/// context.set("user", Value::from(serde_json::json!({ "name": "Ada", "tags": ["a", "b"] })));
/// let template = Template::parse("$user.name $user.tags[1] $user.tags#set($seen = true)")?;
/// let output = template.render(&context)?;
/// assert_eq!(output.text, r#"Ada b ["a","b"]"#);
/// assert_eq!(output.variable("seen").unwrap().to_text(), Ok("true".to_owned()));
/// # Ok::<(), mayfly_velocity::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Context {
    variables: HashMap<Box<str>, Value>,
}

impl Context {
    /// A context without variables.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a variable.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.variables.insert(name.into(), value.into());
    }
}

impl Host for Context {
    fn variable(&self, name: &str) -> Option<Value> {
        self.variables.get(name).cloned()
    }
}

//! Mapping templates: the language is `mayfly_velocity`'s, the variables are
//! API Gateway's: `$input`, `$util`, `$context` and `$stageVariables`.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-mapping-template-reference.html>

mod input;
mod jsonpath;
mod util;

use std::{collections::BTreeMap, rc::Rc, sync::Arc};

use mayfly_velocity::{Context, Error, Key, Map, Template, Value};
use serde_json::Map as JsonMap;

use input::Input;
pub use jsonpath::Path;
use util::Util;

/// A mapping template of a configuration.
#[derive(Clone)]
pub struct MappingTemplate {
    text: Arc<str>,
    template: Arc<Template>,
}

/// What a rendered template made.
#[derive(Debug)]
pub struct Rendered {
    /// The text.
    pub text: String,
    /// `$context.responseOverride.status`, if it was set.
    pub status: Option<String>,
    /// `$context.responseOverride.header`
    pub headers: Vec<(String, String)>,
    /// `$context.requestOverride`
    pub request: RequestOverride,
}

/// What a request template changes about the integration request.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct RequestOverride {
    /// `header`
    pub headers: Vec<(String, String)>,
    /// `path`
    pub path: Vec<(String, String)>,
    /// `querystring`
    pub query: Vec<(String, String)>,
}

impl MappingTemplate {
    /// Parses a template.
    ///
    /// # Errors
    /// With line and column within it.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Ok(Self { text: text.into(), template: Arc::new(Template::parse(text)?) })
    }

    /// Renders the template.
    ///
    /// # Errors
    /// With line and column within it.
    pub fn render(&self, variables: Variables) -> Result<Rendered, Error> {
        let mut context = variables.into_context();
        let text = self.template.render(&mut context)?;
        let own = |name: &str| member(context.get("context").cloned(), name);
        let (request, response) = (own("requestOverride"), own("responseOverride"));
        let status = member(response.clone(), "status").and_then(|status| status.to_text().ok());
        let headers = pairs(member(response, "header"));
        let request = RequestOverride {
            headers: pairs(member(request.clone(), "header")),
            path: pairs(member(request.clone(), "path")),
            query: pairs(member(request, "querystring")),
        };
        Ok(Rendered { text, status, headers, request })
    }
}

fn member(value: Option<Value>, name: &str) -> Option<Value> {
    match value {
        Some(Value::Map(map)) => map.get(&Key::Text(name.into())),
        _ => None,
    }
}

/// A map's entries as text; what cannot be text is left out.
fn pairs(map: Option<Value>) -> Vec<(String, String)> {
    let Some(Value::Map(map)) = map else { return Vec::new() };
    let pair = |key: &Key| {
        let value = map.get(key)?.to_text().ok()?;
        Some((key.to_value().to_text().ok()?, value))
    };
    map.keys().iter().filter_map(pair).collect()
}

impl std::fmt::Debug for MappingTemplate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("MappingTemplate").field(&self.text).finish()
    }
}

impl PartialEq for MappingTemplate {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// What a template sees of a request or an answer.
#[derive(Debug, Clone, Default)]
pub struct Variables {
    /// The body; an empty one counts as `{}`, as in the service.
    pub body: String,
    /// Path parameters.
    pub path: Vec<(String, String)>,
    /// Query string parameters; of several, the last counts.
    pub query: Vec<(String, String)>,
    /// Headers; of several, the last counts.
    pub headers: Vec<(String, String)>,
    /// Whether headers are written as the client wrote them; where nobody
    /// knows, `$input.params().header` finds them in any case.
    pub header_case_is_known: bool,
    /// `$context`.
    pub context: JsonMap<String, serde_json::Value>,
    /// `$stageVariables`.
    pub stage_variables: BTreeMap<String, String>,
}

impl Variables {
    /// The variables that a template is rendered with.
    pub fn into_context(self) -> Context {
        let mut context = Context::new();
        let stage_variables = Map::default();
        for (name, value) in &self.stage_variables {
            stage_variables.insert(Key::Text(name.as_str().into()), Value::from(value.as_str()));
        }
        context.set("stageVariables", Value::Map(stage_variables));
        context.set("context", self.context_value());
        context.set("util", Value::Object(Rc::new(Util)));
        context.set("input", Value::Object(Rc::new(Input::new(self))));
        context
    }

    /// `$context`, with the maps that overrides are written into.
    fn context_value(&self) -> Value {
        let mut context = self.context.clone();
        for (name, maps) in [
            ("requestOverride", ["header", "path", "querystring"].as_slice()),
            ("responseOverride", ["header"].as_slice()),
        ] {
            let own = context.entry(name).or_insert_with(|| JsonMap::new().into());
            for map in maps {
                if let Some(own) = own.as_object_mut() {
                    own.entry(*map).or_insert_with(|| JsonMap::new().into());
                }
            }
        }
        Value::from(serde_json::Value::Object(context))
    }
}

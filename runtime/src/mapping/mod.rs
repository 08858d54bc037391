//! Mapping templates: the language is `mayfly_velocity`'s, the variables are
//! API Gateway's: `$input`, `$util`, `$context` and `$stageVariables`.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-mapping-template-reference.html>

mod input;
mod jsonpath;
mod util;

use std::{
    collections::{BTreeMap, HashMap},
    rc::Rc,
    sync::Arc,
};

use mayfly_velocity::{Error, Host, Key, Object, Output, Template, Value};
use serde_json::Map as JsonMap;

pub use jsonpath::Path;

/// A mapping template of a configuration.
#[derive(Clone)]
pub struct MappingTemplate {
    text: Arc<str>,
    parsed: Arc<Parsed>,
}

struct Parsed {
    template: Template,
    paths: Paths,
}

/// The JSONPaths that a template has in place, parsed.
type Paths = HashMap<Box<str>, Path>;

/// How many of them are kept.
const PATHS_MAX: usize = 200;

/// What a rendered template made.
#[derive(Debug, Default)]
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
        let template = Template::parse(text)?;
        let constants = template.constants("json").chain(template.constants("path"));
        // One that is none is an error where it is used.
        let path = |text: &str| Some((text.into(), text.parse().ok()?));
        let paths = constants.take(PATHS_MAX).filter_map(path).collect();
        Ok(Self { text: text.into(), parsed: Arc::new(Parsed { template, paths }) })
    }

    /// Renders the template.
    ///
    /// # Errors
    /// With line and column within it.
    pub fn render(&self, variables: &dyn Variables) -> Result<Rendered, Error> {
        let Parsed { template, paths } = &*self.parsed;
        if let Some(text) = template.constant() {
            return Ok(Rendered { text: text.to_owned(), ..Rendered::default() });
        }
        let scene = Scene { variables, paths, nothing: JsonMap::new().into() };
        Ok(Rendered::from(template.render(&scene)?))
    }
}

impl From<Output<'_>> for Rendered {
    fn from(output: Output<'_>) -> Self {
        // Nothing is overridden where `$context` was not even read.
        let context = output.variable("context");
        let own = |name: &str| context.and_then(|context| member(context, name));
        let pairs = |own: &Option<Value>, name: &str| match own {
            Some(own) => pairs(member(own, name)),
            None => Vec::new(),
        };
        let (request, response) = (own("requestOverride"), own("responseOverride"));
        let status = response.as_ref().and_then(|response| member(response, "status"));
        let status = status.and_then(|status| status.to_text().ok());
        let headers = pairs(&response, "header");
        let request = RequestOverride {
            headers: pairs(&request, "header"),
            path: pairs(&request, "path"),
            query: pairs(&request, "querystring"),
        };
        Self { text: output.text, status, headers, request }
    }
}

fn member(value: &Value, name: &str) -> Option<Value> {
    match value {
        Value::Map(map) => map.member(name),
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

/// What a template sees of a request or an answer. A rendering asks for what
/// the template reads, and for nothing else.
pub trait Variables {
    /// The body; an empty one counts as `{}`, as in the service.
    fn body(&self) -> &str {
        ""
    }

    /// The same as JSON; none where it is something else.
    fn json(&self) -> Option<&serde_json::Value> {
        None
    }

    /// Path parameters.
    fn path(&self) -> &[(String, String)] {
        &[]
    }

    /// Query string parameters; of several, the last counts.
    fn query(&self) -> &[(String, String)] {
        &[]
    }

    /// Headers; of several, the last counts.
    fn headers(&self) -> &[(String, String)] {
        &[]
    }

    /// Whether one of them may have this name, in any case.
    fn may_have_header(&self, name: &str) -> bool {
        let _ = name;
        true
    }

    /// Whether headers are written as the client wrote them; where nobody
    /// knows, `$input.params().header` finds them in any case.
    fn header_case_is_known(&self) -> bool {
        false
    }

    /// `$context`.
    fn context(&self) -> JsonMap<String, serde_json::Value>;

    /// `$stageVariables`.
    fn stage_variables(&self) -> &BTreeMap<String, String>;

    /// A variable that is none of the service's, and comes before those.
    fn other(&self, name: &str) -> Option<Value> {
        let _ = name;
        None
    }
}

/// What a rendering takes place in.
struct Scene<'r> {
    variables: &'r dyn Variables,
    paths: &'r Paths,
    /// What an empty body is.
    nothing: serde_json::Value,
}

impl Host for Scene<'_> {
    fn variable(&self, name: &str) -> Option<Value> {
        if let Some(other) = self.variables.other(name) {
            return Some(other);
        }
        Some(match name {
            "input" => self.input().into(),
            "util" => util::object().into(),
            "context" => self.context(),
            "stageVariables" => {
                let variable = |(name, value): (&String, &String)| {
                    (Key::Text(name.as_str().into()), Value::from(value.as_str()))
                };
                let variables = self.variables.stage_variables().iter();
                Value::Map(variables.map(variable).collect())
            }
            _ => return None,
        })
    }

    fn property(&self, object: &Object, name: &str) -> Result<Option<Value>, String> {
        let is_body = object.class == input::CLASS && name == "body";
        Ok(is_body.then(|| Value::Text(Rc::clone(&object.text))))
    }

    fn call(
        &self,
        object: &Object,
        method: &str,
        arguments: &[Value],
    ) -> Result<Option<Value>, String> {
        match object.class {
            input::CLASS => self.call_input(object, method, arguments),
            _ => util::call(method, arguments),
        }
    }
}

impl Scene<'_> {
    /// `$context`, with the maps that overrides are written into.
    fn context(&self) -> Value {
        let mut context = self.variables.context();
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

#[cfg(test)]
mod tests;

//! `[models.NAME]`, and what a route's requests are checked for.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/models-mappings-models.html>

use std::{collections::BTreeMap, sync::Arc};

use http::HeaderName;
use jsonschema::{Draft, Retrieve, Uri, ValidationError, Validator, json::Json};
use serde_json::Value;

use super::templates::is_content_type;
use crate::{
    config::{
        ApiKind, Model, RequestParameter, RequiredParameter, ValidationConfig,
        keys::{MODEL, closest},
        read::{Entry, Table},
    },
    json::Borrowed,
    router::RouteKey,
};

/// The configuration's models, compiled; none for one that is invalid.
pub struct Models(BTreeMap<String, Option<Model>>);

/// Where `$ref` finds other models: no schema is fetched from anywhere.
struct Local(Arc<BTreeMap<String, Value>>);

impl Retrieve for Local {
    fn retrieve(
        &self,
        uri: &Uri<String>,
    ) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        let name = uri.as_str().rsplit_once("/models/").map(|(_, name)| name);
        let found = name.and_then(|name| self.0.get(name));
        found.cloned().ok_or_else(|| {
            format!("{uri} is no model (hint: write https://apigateway.amazonaws.com/restapis/api/models/NAME)")
                .into()
        })
    }
}

impl Model {
    /// The model of this name, whose schema may refer to all the others.
    ///
    /// # Errors
    /// What is wrong with the schema.
    pub fn compiled(
        name: &str,
        schema: &Value,
        schemas: &Arc<BTreeMap<String, Value>>,
    ) -> Result<Self, ValidationError<'static>> {
        let bundle = bundled(name, schemas);
        Ok(Self {
            name: name.to_owned(),
            schemas: Arc::clone(schemas),
            validator: validator(bundle.as_ref(), schema, schemas)?,
            quick: validator(bundle.as_ref(), schema, schemas)?,
        })
    }

    /// Whether a body is as the model says, found out without a copy of what is in it. Of
    /// one that is not, or is long, or has names twice, nothing is known by that.
    pub fn surely_takes(&self, body: &[u8]) -> bool {
        if body.len() > QUICK_BYTES_MAX {
            return false;
        }
        let text = std::str::from_utf8(body).ok();
        let value = text.and_then(|text| serde_json::from_str::<Borrowed<'_>>(text).ok());
        value.is_some_and(|value| value.has_distinct_names() && self.quick.is_valid(&value))
    }
}

/// How long a body may be that is only looked at, in bytes: in there members are
/// looked for one after the other.
const QUICK_BYTES_MAX: usize = 16 * 1024;

fn validator<F: Json>(
    bundle: Option<&Value>,
    schema: &Value,
    schemas: &Arc<BTreeMap<String, Value>>,
) -> Result<Arc<Validator<F>>, ValidationError<'static>> {
    let options = jsonschema::options_for().with_draft(Draft::Draft4);
    let built = match bundle {
        Some(bundle) => options.build(bundle),
        None => options.with_retriever(Local(Arc::clone(schemas))).build(schema),
    };
    built.map(Arc::new)
}

impl Models {
    pub fn read(root: &Table<'_>, kind: ApiKind) -> Self {
        if let Some(given) = root.take("models").filter(|_| kind == ApiKind::Http) {
            given.problem("an HTTP API has no models", "write kind = \"rest\"");
        }
        let entries = root.entries("models", "write [models.NAME] and below it schema = \"{}\"");
        let mut schemas = BTreeMap::new();
        for Entry { name, value } in &entries {
            if name.text.is_empty() || !name.text.chars().all(|c| c.is_ascii_alphanumeric()) {
                let message = format!("a model cannot be named {:?}", name.text);
                root.source.problem(name.at, message, "use letters and digits");
            }
            let Some(table) = value.table(&MODEL) else { continue };
            if table.take("schema").is_none() {
                value.problem(format!("{} has no schema", value.path), "write schema = '{}'");
            }
            let Some(schema) = table.take("schema") else { continue };
            let Some((text, path)) = schema.text_or_file() else { continue };
            match serde_json::from_str::<Value>(&text) {
                Ok(schema) => {
                    schemas.insert(name.text.to_owned(), schema);
                }
                Err(error) => {
                    schema.problem(format!("{path} is not JSON: {error}"), "");
                }
            }
        }
        // Any may refer to any: a change of one is a change of all.
        let schemas = Arc::new(schemas);
        let compiled = entries.iter().map(|Entry { name, value }| {
            let schema = schemas.get(name.text);
            let built = schema.map(|schema| Model::compiled(name.text, schema, &schemas));
            let model = match built {
                Some(Ok(model)) => Some(model),
                Some(Err(error)) => {
                    value.problem(format!("{} is no JSON schema: {error}", value.path), "");
                    None
                }
                None => None,
            };
            (name.text.to_owned(), model)
        });
        Self(compiled.collect())
    }

    /// What the keys of a route ask for.
    pub fn validation(
        &self,
        route: &Table<'_>,
        key: Option<&RouteKey>,
        kind: ApiKind,
    ) -> Option<Arc<ValidationConfig>> {
        let keys = ["request_models", "required_parameters"];
        let given = keys.into_iter().find(|key| route.take(key).is_some())?;
        if kind == ApiKind::Http {
            let message = format!("an HTTP API has no {given}");
            route.source.problem(route.key_at(given), message, "write kind = \"rest\"");
        }
        let parameters = route.take("required_parameters").and_then(|value| value.strings());
        let mut config = ValidationConfig { parameters: Vec::new(), models: Vec::new() };
        for text in parameters.unwrap_or_default() {
            match parameter(text.text, key) {
                Ok(parameter) => {
                    let name = text.text.splitn(4, '.').last().unwrap_or_default().to_owned();
                    config.parameters.push(RequiredParameter { name, parameter });
                }
                Err((message, hint)) => route.source.problem(text.at, message, hint),
            }
        }
        let hint = "write { \"application/json\" = \"NAME\" }";
        for Entry { name, value } in route.entries("request_models", hint) {
            let content_type = name.text.to_ascii_lowercase();
            if !is_content_type(&content_type) {
                let message = format!("{:?} is not a content type", name.text);
                route.source.problem(name.at, message, "write for example \"application/json\"");
            }
            let Some(text) = value.string() else { continue };
            match self.0.get(text.text) {
                Some(Some(model)) => config.models.push((content_type, model.clone())),
                // It has been reported where it stands.
                Some(None) => {}
                None => {
                    let names: Vec<&str> = self.0.keys().map(String::as_str).collect();
                    let hint = match closest(text.text, &names) {
                        Some(near) => format!("did you mean {near:?}?"),
                        None => format!("write [models.{}] with its schema", text.text),
                    };
                    value.problem(format!("there is no model {:?}", text.text), hint);
                }
            }
        }
        Some(Arc::new(config))
    }
}

/// The model `name` with all that it refers to below it: compiling that takes
/// a fraction of the time that references to other documents do. None where a
/// model refers to itself by place or has an id, or to no model.
fn bundled(name: &str, schemas: &BTreeMap<String, Value>) -> Option<Value> {
    let mut definitions = serde_json::Map::new();
    let mut open = Vec::new();
    let mut root = schemas.get(name)?.clone();
    refer_within(&mut root, name, &mut open)?;
    while let Some(other) = open.pop() {
        if !definitions.contains_key(&other) {
            let mut schema = schemas.get(&other)?.clone();
            refer_within(&mut schema, name, &mut open)?;
            definitions.insert(other, schema);
        }
    }
    // Errors are found by the path of keywords, which has to stay the model's.
    let taken = root.as_object_mut()?.insert("definitions".to_owned(), definitions.into());
    taken.is_none().then_some(root)
}

/// Turns references to models into references within the bundle of the model
/// `root`, and names the others.
// Recursion is as deep as the JSON parser lets a schema nest.
fn refer_within(schema: &mut Value, root: &str, named: &mut Vec<String>) -> Option<()> {
    match schema {
        Value::Array(items) => {
            items.iter_mut().try_for_each(|item| refer_within(item, root, named))
        }
        Value::Object(members) => {
            if members.get("id").is_some_and(Value::is_string) {
                return None;
            }
            if let Some(Value::String(reference)) = members.get_mut("$ref") {
                let (_, name) = reference.rsplit_once("/models/")?;
                let within = match name == root {
                    true => "#".to_owned(),
                    false => format!("#/definitions/{name}"),
                };
                if name != root {
                    named.push(name.to_owned());
                }
                *reference = within;
            }
            members.values_mut().try_for_each(|member| refer_within(member, root, named))
        }
        _ => Some(()),
    }
}

/// A parameter that the route can have, in the service's form.
pub fn parameter(
    text: &str,
    key: Option<&RouteKey>,
) -> Result<RequestParameter, (String, &'static str)> {
    let hint = "write method.request.path.NAME, method.request.querystring.NAME or method.request.header.NAME";
    let rest = text.strip_prefix("method.request.").and_then(|rest| rest.split_once('.'));
    let (place, name) = rest.unwrap_or_default();
    named_parameter(text, place, name, key)
        .unwrap_or_else(|| Err((format!("{text:?} is no parameter of a request"), hint)))
}

/// The parameter `name` at its place, `querystring`, `header` or `path`; none
/// where there can be no such parameter.
pub fn named_parameter(
    text: &str,
    place: &str,
    name: &str,
    key: Option<&RouteKey>,
) -> Option<Result<RequestParameter, (String, &'static str)>> {
    match place {
        _ if name.is_empty() => None,
        "querystring" => Some(Ok(RequestParameter::Query(name.to_owned()))),
        "header" => {
            let header = HeaderName::from_bytes(name.as_bytes()).ok()?;
            Some(Ok(RequestParameter::Header(header)))
        }
        "path" => {
            let known = match key {
                Some(RouteKey::Path(_, path)) => path.parameters().any(|own| own == name),
                Some(RouteKey::Default) => false,
                // The route's own key is wrong: nobody knows.
                None => true,
            };
            if known {
                return Some(Ok(RequestParameter::Path(name.to_owned())));
            }
            let message = format!("{text:?} names a path parameter that the route does not have");
            Some(Err((message, "use one of the route's {parameters}")))
        }
        _ => None,
    }
}

//! Request validators: what the one that an operation chooses says is
//! validated, and nothing else.

use std::collections::HashSet;

use super::{
    Definition, Version, array,
    operation::{Entry, Operation},
    string, table,
};
use crate::{
    config::{
        ApiKind,
        sections::is_content_type,
        tree::{Data, Node},
    },
    router::RouteKey,
};

const VALIDATORS: &str = "x-amazon-apigateway-request-validators";
const VALIDATOR: &str = "x-amazon-apigateway-request-validator";

impl<'d> Definition<'d> {
    /// `request_models` and `required_parameters` of a route.
    pub fn validation(&self, operation: &Operation<'d>) -> Vec<Entry> {
        // An HTTP API validates nothing: the extensions are reported as such.
        if self.kind == ApiKind::Http {
            return Vec::new();
        }
        let validators = self.take(self.root, VALIDATORS);
        let default = self.take(self.root, VALIDATOR);
        let Some(chosen) = self.take(operation.node, VALIDATOR).or(default) else {
            return Vec::new();
        };
        let chosen = &chosen.node;
        let name = chosen.text().unwrap_or_default();
        let validator = validators.and_then(|validators| self.part(&validators.node, name));
        let Some(validator) = validator else {
            let message = format!("there is no request validator {name:?}");
            let hint = format!("{VALIDATORS} has to have it, at the top level");
            self.source.problem(chosen.at, message, hint);
            return Vec::new();
        };
        let says = |key: &str| match validator.get(key).map(|node| &node.data) {
            Some(Data::Boolean(says)) => *says,
            Some(Data::String(text)) => text.eq_ignore_ascii_case("true"),
            _ => false,
        };
        let mut entries = Vec::new();
        if says("validateRequestParameters") {
            entries.extend(self.required_parameters(operation));
        }
        if says("validateRequestBody") {
            entries.extend(self.request_models(operation));
        }
        entries
    }

    fn required_parameters(&self, operation: &Operation<'d>) -> Option<Entry> {
        let mut names = Vec::new();
        let mut seen = HashSet::new();
        for parameter in &operation.parameters {
            let text = |key: &str| parameter.get(key).and_then(Node::text);
            let (Some(place), Some(name)) = (text("in"), text("name")) else { continue };
            // An operation's own parameter stands before its path's.
            if !seen.insert((place, name)) {
                continue;
            }
            let required =
                matches!(parameter.get("required"), Some(Node { data: Data::Boolean(true), .. }));
            let place = match place {
                "path" | "header" => place,
                "query" => "querystring",
                _ => continue,
            };
            if required && place == "path" && !has_parameter(&operation.key, name) {
                let message = format!("{} has no parameter {{{name}}}", operation.name);
                self.unserved(parameter.at, message, "it is not validated");
            } else if required {
                let text = format!("method.request.{place}.{name}");
                names.push(self.copied(parameter.at, &text)?);
            }
        }
        let at = operation.node.get("parameters").map_or(operation.at, |node| node.at);
        (!names.is_empty()).then(|| ("required_parameters", array(at, names)))
    }

    fn request_models(&self, operation: &Operation<'d>) -> Option<Entry> {
        let mut models: Vec<(String, Node)> = Vec::new();
        for (content_type, at, schema) in self.bodies(operation) {
            let essence = content_type.split(';').next().unwrap_or_default().trim();
            if !is_content_type(&essence.to_ascii_lowercase()) {
                let hint = "write for example application/json";
                let message = format!("bodies of the type {content_type:?} are not validated");
                self.unserved(at, message, hint);
            } else if models.iter().all(|(other, _)| !other.eq_ignore_ascii_case(essence)) {
                let name = self.model(schema, &operation.name)?;
                models.push((essence.to_owned(), string(at, name)));
            }
        }
        let at = models.first().map(|(_, model)| model.at)?;
        Some(("request_models", table(at, models)))
    }

    /// The schemas of an operation's body by content type, each with its place.
    fn bodies(&self, operation: &Operation<'d>) -> Vec<(&'d str, usize, &'d Node)> {
        if self.version != Version::Swagger2 {
            let body = self.part(operation.node, "requestBody");
            let content = body.and_then(|body| body.get("content")).and_then(Node::entries);
            let schema = |(name, member): (&'d String, &'d crate::config::tree::Member)| {
                Some((name.as_str(), member.at, member.node.get("schema")?))
            };
            return content.into_iter().flatten().filter_map(schema).collect();
        }
        let body = operation
            .parameters
            .iter()
            .find(|parameter| parameter.get("in").and_then(Node::text) == Some("body"));
        let Some(schema) = body.and_then(|body| body.get("schema")) else { return Vec::new() };
        let consumes = operation.node.get("consumes").or_else(|| self.top("consumes"));
        let types: Vec<_> = consumes.map_or(&[][..], Node::items).iter().collect();
        if types.is_empty() {
            return vec![("application/json", schema.at, schema)];
        }
        let types = types.into_iter().filter_map(|node| Some((node.text()?, node.at, schema)));
        types.collect()
    }
}

fn has_parameter(key: &RouteKey, name: &str) -> bool {
    matches!(key, RouteKey::Path(_, path) if path.parameters().any(|own| own == name))
}

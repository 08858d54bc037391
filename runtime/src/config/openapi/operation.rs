//! Paths and their operations: each becomes a route, or is left out.

use std::collections::HashSet;

use super::{
    Definition, Secured, api_key, array, extensions, integration::Answer, security, string, table,
};
use crate::{
    config::{
        ApiKind,
        tree::{Data, Member, Node},
    },
    router::RouteKey,
};

const METHODS: [&str; 7] = ["get", "put", "post", "delete", "options", "head", "patch"];
const ANY_METHOD: &str = "x-amazon-apigateway-any-method";

/// What beside methods stands in a path item.
const OTHERS: [&str; 6] = ["$ref", "summary", "description", "servers", "parameters", "security"];

/// An operation, and what is around it.
pub struct Operation<'d> {
    /// The route's key, `GET /pets/{id}`.
    pub name: String,
    pub key: RouteKey,
    /// Where its method stands.
    pub at: usize,
    pub node: &'d Node,
    /// Its parameters and those of its path.
    pub parameters: Vec<&'d Node>,
}

impl<'d> Operation<'d> {
    /// The security that it asks for; none where one of the alternatives is
    /// to ask for nothing. What is no list is an alternative, and what is no table
    /// is one that cannot be enforced: a mistake opens nothing.
    pub fn alternatives(&self, definition: &Definition<'d>) -> &'d [Node] {
        let given = self.node.get("security").or_else(|| definition.top("security"));
        let alternatives = given.map_or(&[][..], |given| match given.data {
            Data::Array(_) => given.items(),
            _ => std::slice::from_ref(given),
        });
        definition.spend(alternatives.len(), 0);
        let open = |alternative: &Node| alternative.entries().is_some_and(|own| own.is_empty());
        if alternatives.iter().any(open) { &[] } else { alternatives }
    }
}

/// All routes, and what they ask for in vain.
pub struct Operations {
    pub routes: Node,
    pub secured: Secured,
}

/// A key of a route's table.
pub type Entry = (&'static str, Node);

pub fn routes(definition: &Definition<'_>) -> Operations {
    let mut routes = Vec::new();
    let mut secured = Secured::new();
    let mut seen = HashSet::new();
    let paths = definition.part(definition.root, "paths");
    for (path, member) in paths.and_then(Node::entries).into_iter().flatten() {
        if path.starts_with("x-") {
            continue;
        }
        if !path.starts_with('/') && path != "$default" {
            let message = format!("{path:?} is no path, and what is below it is not served");
            definition.unserved(member.at, message, "a path begins with /");
            continue;
        }
        for operation in operations(definition, path, member) {
            if definition.is_spent() {
                break;
            }
            if !seen.insert(operation.key.identity()) {
                let why = "another operation has its method and path";
                left_out(definition, operation.at, &operation.name, why, "remove one of the two");
                continue;
            }
            if definition.around.routes.contains(&operation.key.identity()) {
                definition.replaced.borrow_mut().insert(operation.at);
                continue;
            }
            let Some(entries) = route(definition, &operation) else { continue };
            let is_open = !entries.iter().any(|(key, _)| *key == "authorizer");
            extensions::note(&mut secured, definition, &operation, is_open);
            let at = operation.at;
            let key = ("route", string(at, operation.name));
            routes.push(table(at, [key].into_iter().chain(entries)));
        }
    }
    Operations { routes: array(paths.map_or(0, |paths| paths.at), routes), secured }
}

/// The operations of a path that can be routed.
fn operations<'d>(
    definition: &Definition<'d>,
    path: &str,
    member: &'d Member,
) -> Vec<Operation<'d>> {
    let mut found = Vec::new();
    let Some(item) = definition.resolve(&member.node) else { return found };
    let Some(entries) = item.entries() else {
        let message = format!("{path:?} is {}, not a table", item.data.kind());
        definition.source.problem(item.at, message, "write its operations below it");
        return found;
    };
    let shared = item.get("parameters").map_or(&[][..], Node::items);
    for (key, member) in entries {
        let method = key.to_ascii_lowercase();
        let method = match method.as_str() {
            ANY_METHOD => {
                definition.take(item, key);
                "ANY".to_owned()
            }
            method if METHODS.contains(&method) => method.to_ascii_uppercase(),
            method if OTHERS.contains(&method) || method.starts_with("x-") => continue,
            _ => {
                let hint = "API Gateway routes GET, POST, PUT, PATCH, DELETE, HEAD and OPTIONS";
                left_out(definition, member.at, &format!("{key} {path}"), "no such method", hint);
                continue;
            }
        };
        let name = named(definition.kind, &method, path);
        let key = match name.parse::<RouteKey>() {
            Ok(RouteKey::Default) if definition.kind == ApiKind::Rest => {
                let hint = "write /{proxy+}, or kind = \"http\" in gateway.toml";
                left_out(definition, member.at, &name, "a REST API has no $default route", hint);
                continue;
            }
            Ok(key) => key,
            Err(error) => {
                left_out(definition, member.at, &name, &error.message, &error.hint);
                continue;
            }
        };
        if !definition.spend(1 + shared.len(), path.len()) {
            break;
        }
        let Some(node) = definition.resolve(&member.node) else { continue };
        let own = node.get("parameters").map_or(&[][..], Node::items);
        let parameters = own.iter().chain(shared);
        let parameters = parameters.filter_map(|parameter| definition.resolve(parameter));
        found.push(Operation { name, key, at: member.at, node, parameters: parameters.collect() });
    }
    found
}

/// The key of a route. A trailing slash is nothing to the router.
fn named(kind: ApiKind, method: &str, path: &str) -> String {
    let path = match path.strip_suffix('/') {
        Some(shorter) if !shorter.is_empty() => shorter,
        _ => path,
    };
    match path {
        "$default" | "/$default" if kind == ApiKind::Http && method == "ANY" => {
            "$default".to_owned()
        }
        path => format!("{method} {path}"),
    }
}

/// What the route of an operation has beside its key; none where it is left
/// out.
fn route<'d>(definition: &Definition<'d>, operation: &Operation<'d>) -> Option<Vec<Entry>> {
    // What may not be called by everybody is not looked at further.
    let security = security::entries(definition, operation)?;
    let mut entries = match definition.integration(operation) {
        Answer::Integration(entries) => entries,
        Answer::Examples => vec![("mock", definition.mock(operation)?)],
        Answer::None => return None,
    };
    entries.extend(definition.validation(operation));
    entries.extend(security);
    if api_key::is_required(definition, operation) {
        let at = operation.at;
        entries.push(("api_key_required", Node { at, data: Data::Boolean(true) }));
    }
    Some(entries)
}

/// Says that an operation gets no route.
pub fn left_out(definition: &Definition<'_>, at: usize, name: &str, why: &str, hint: &str) {
    definition.unserved(at, format!("{name} is left out: {why}"), hint);
}

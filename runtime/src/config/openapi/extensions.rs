//! What stands beside the operations: extensions of the whole API, and what
//! of all that is not served.

use super::{
    Definition, Secured, api_key, array, integration::Answerer, operation::Operation, reference,
    security, string, table,
};
use crate::config::{
    ApiKind,
    tree::{Data, Node},
};

const PREFIX: &str = "x-amazon-apigateway-";

/// Extensions that change nothing of what a request gets.
const WITHOUT_EFFECT: [&str; 3] = [
    "x-amazon-apigateway-documentation",
    "x-amazon-apigateway-importexport-version",
    "x-amazon-apigateway-tag-value",
];

/// What the lack of an extension means.
const MEANINGS: [(&str, &str); 5] = [
    ("x-amazon-apigateway-auth", "nobody is authorized: anyone may call"),
    ("x-amazon-apigateway-authorizer", "nobody is authorized: anyone may call"),
    ("x-amazon-apigateway-authtype", "nobody is authorized: anyone may call"),
    ("x-amazon-apigateway-endpoint-configuration", "the API is where Mayfly listens"),
    ("x-amazon-apigateway-integration", "only an operation has an integration"),
];

const NAME_CHARS_MAX: usize = 64;

/// HTTP if the definition has what only HTTP APIs have.
pub fn kind(document: &Node) -> ApiKind {
    let paths = document.get("paths").and_then(Node::entries).into_iter().flatten();
    let default =
        paths.into_iter().any(|(path, _)| matches!(path.as_str(), "/$default" | "$default"));
    let cors = document.get("x-amazon-apigateway-cors").is_some();
    if cors || default || has_format_2(document) { ApiKind::Http } else { ApiKind::Rest }
}

// Recursion is as deep as the document.
fn has_format_2(node: &Node) -> bool {
    match &node.data {
        Data::Array(items) => items.iter().any(has_format_2),
        Data::Table(entries) => entries.iter().any(|(key, member)| {
            let own = match &member.node.data {
                Data::String(text) | Data::Float(text) => text == "2.0",
                _ => false,
            };
            (key == "payloadFormatVersion" && own) || has_format_2(&member.node)
        }),
        _ => false,
    }
}

/// The API's name, as far as its title makes one.
pub fn name(document: &Node) -> Option<String> {
    let title = document.get("info")?.get("title").and_then(reference::text)?;
    if title.contains("${") {
        return None;
    }
    let mut name = String::new();
    for c in title.chars() {
        match c {
            _ if name.len() == NAME_CHARS_MAX => break,
            c if c.is_ascii_alphanumeric() => name.push(c),
            _ if !name.is_empty() && !name.ends_with('-') => name.push('-'),
            _ => {}
        }
    }
    let name = name.trim_end_matches('-');
    (!name.is_empty()).then(|| name.to_owned())
}

pub fn gateway_responses(definition: &Definition<'_>) -> Option<Node> {
    if definition.kind == ApiKind::Http {
        return None;
    }
    let member = definition.take(definition.root, "x-amazon-apigateway-gateway-responses")?;
    let given = definition.resolve(&member.node)?;
    let mut responses = Vec::new();
    for (name, member) in given.entries()? {
        let Some(response) = definition.resolve(&member.node) else { continue };
        let mut entries = Vec::new();
        if let Some(status) = response.get("statusCode").filter(|given| given.data != Data::Null) {
            entries.push(("status", definition.number(status)));
        }
        if let Some(templates) = response.get("responseTemplates") {
            entries.push(("templates", definition.templates(templates)?));
        }
        if let Some(parameters) = response.get("responseParameters") {
            entries.push((
                "headers",
                definition.headers(parameters, "gatewayresponse.header.", Answerer::Gateway),
            ));
        }
        let mut response = table(response.at, entries);
        response.at = member.at;
        responses.push((name.clone(), response));
    }
    Some(table(member.at, responses))
}

/// What API Gateway leaves out of a preflight's answer stays out.
pub fn cors(definition: &Definition<'_>) -> Option<Node> {
    let member = definition.take(definition.root, "x-amazon-apigateway-cors")?;
    let given = definition.resolve(&member.node)?;
    let list = |key: &str, upper: bool| {
        let Some(value) = given.get(key) else { return array(member.at, Vec::new()) };
        let text = |node: &Node| match upper {
            true => definition.capitals(node),
            false => definition.scalar(node),
        };
        match &value.data {
            Data::Array(items) => array(value.at, items.iter().map(text).collect()),
            // One string stands for a list of one.
            Data::String(_) => array(value.at, vec![text(value)]),
            _ => definition.scalar(value),
        }
    };
    let mut entries = vec![
        ("allow_origins", list("allowOrigins", false)),
        ("allow_methods", list("allowMethods", true)),
        ("allow_headers", list("allowHeaders", false)),
        ("expose_headers", list("exposeHeaders", false)),
    ];
    let others = [("allow_credentials", "allowCredentials"), ("max_age_seconds", "maxAge")];
    for (key, theirs) in others {
        entries.extend(given.get(theirs).map(|value| (key, definition.number(value))));
    }
    Some(table(member.at, entries))
}

pub fn binary_media_types(definition: &Definition<'_>) -> Option<Node> {
    if definition.kind == ApiKind::Http {
        return None;
    }
    let member = definition.take(definition.root, "x-amazon-apigateway-binary-media-types")?;
    let given = definition.resolve(&member.node)?;
    // An export may escape the slash, as a JSON pointer does.
    let items = given.items().iter();
    let items = items.map(|item| match item.text() {
        Some(text) => string(item.at, text.replace("~1", "/")),
        None => definition.scalar(item),
    });
    match &given.data {
        Data::Array(_) => Some(array(given.at, items.collect())),
        _ => Some(definition.scalar(given)),
    }
}

pub fn minimum_compression_size(definition: &Definition<'_>) -> Option<Node> {
    if definition.kind == ApiKind::Http {
        return None;
    }
    let key = "x-amazon-apigateway-minimum-compression-size";
    let member = definition.take(definition.root, key)?;
    Some(definition.number(definition.resolve(&member.node)?))
}

/// A policy is JSON in JSON.
pub fn policy(definition: &Definition<'_>) -> Option<Node> {
    if definition.kind == ApiKind::Http {
        return None;
    }
    let member = definition.take(definition.root, "x-amazon-apigateway-policy")?;
    let given = definition.resolve(&member.node)?;
    match &given.data {
        Data::Table(_) => Some(string(member.at, json(given).to_string())),
        _ => Some(definition.scalar(given)),
    }
}

// Recursion is as deep as the document.
fn json(node: &Node) -> serde_json::Value {
    match &node.data {
        Data::Null => serde_json::Value::Null,
        Data::Boolean(flag) => (*flag).into(),
        Data::Array(items) => items.iter().map(json).collect(),
        Data::Table(entries) => {
            // A resource is known by what is behind the API's own id.
            if let Some(text) = reference::text(node) {
                return text.into_owned().into();
            }
            let entries = entries.iter();
            entries.map(|(key, member)| (key.clone(), json(&member.node))).collect()
        }
        Data::Integer(number) => number.text.clone().into(),
        Data::Float(text) | Data::String(text) | Data::Verbatim(text) | Data::Datetime(text) => {
            text.clone().into()
        }
    }
}

/// An authorization that operations ask for.
pub struct Asked {
    at: usize,
    operation: String,
    others: usize,
}

/// Notes what an operation asks for.
pub fn note<'d>(
    secured: &mut Secured,
    definition: &Definition<'d>,
    operation: &Operation<'d>,
    is_open: bool,
) {
    let alternatives = operation.alternatives(definition);
    for (scheme, member) in alternatives.iter().filter_map(Node::entries).flatten() {
        definition.spend(1, 0);
        let is_served = api_key::is_api_key(definition, scheme);
        if is_served || !is_open || !security::is_plain(definition, scheme) {
            continue;
        }
        match secured.get_mut(scheme) {
            Some(asked) => asked.others += 1,
            None => {
                let operation = operation.name.clone();
                secured.insert(scheme.clone(), Asked { at: member.at, operation, others: 0 });
            }
        }
    }
}

/// Everything that is not served and has not been named yet.
pub fn report(definition: &Definition<'_>, secured: Secured) {
    let components = definition.top("components");
    for node in [Some(definition.root), components].into_iter().flatten() {
        definition.take(node, "x-amazon-apigateway-integrations");
    }
    security::take_all(definition);
    let mut secured: Vec<(String, Asked)> = secured.into_iter().collect();
    secured.sort_by_key(|(_, asked)| asked.at);
    for (scheme, Asked { at, operation, others }) in secured {
        let more = match others {
            0 => String::new(),
            1 => " and 1 more operation".to_owned(),
            others => format!(" and {others} more operations"),
        };
        let message =
            format!("security {scheme:?} is not enforced: anyone may call {operation}{more}");
        definition.unserved(at, message, "do not let strangers reach this address");
    }
    walk(definition, definition.root);
    for (key, member) in definition.root.entries().into_iter().flatten() {
        if key.starts_with("Fn::") {
            let message = format!("{key} is not run: what it would put in is missing");
            definition.unserved(member.at, message, "process the file with CloudFormation first");
        }
    }
}

// Recursion is as deep as the document.
fn walk(definition: &Definition<'_>, node: &Node) {
    match &node.data {
        Data::Array(items) => items.iter().for_each(|item| walk(definition, item)),
        Data::Table(entries) => {
            for (key, member) in entries {
                let replaced = definition.replaced.borrow().contains(&member.at);
                if replaced || matches!(key.as_str(), "example" | "examples") {
                    continue;
                }
                let own = key.starts_with(PREFIX) && !WITHOUT_EFFECT.contains(&key.as_str());
                if own && !definition.taken.borrow().contains(&member.at) {
                    let meaning = MEANINGS.iter().find(|(name, _)| name == key);
                    let hint = meaning.map_or("it has no effect here", |(_, meaning)| meaning);
                    definition.unserved(member.at, format!("{key} is not served"), hint);
                } else {
                    walk(definition, &member.node);
                }
            }
        }
        _ => {}
    }
}

//! API keys: where they come from, and which operations want one.

use super::{Definition, operation::Operation, security, string};
use crate::config::tree::{Data, Node};

/// What makes a scheme another one than an API key's.
const AUTHORIZERS: [&str; 2] = ["x-amazon-apigateway-authorizer", "x-amazon-apigateway-authtype"];

/// `api_key_source`: the service writes it in capitals.
pub fn source(definition: &Definition<'_>) -> Option<Node> {
    let member = definition.take(definition.root, "x-amazon-apigateway-api-key-source")?;
    let Node { at, data } = definition.scalar(definition.resolve(&member.node)?);
    Some(match data {
        Data::String(text) => string(at, text.to_ascii_lowercase()),
        data => Node { at, data },
    })
}

/// Whether a security scheme is an API key in the service's header.
pub fn is_api_key(definition: &Definition<'_>, scheme: &str) -> bool {
    let Some(found) = security::named(definition, scheme) else { return false };
    let says = |key: &str, wanted: &str| {
        let text = found.get(key).and_then(Node::text);
        text.is_some_and(|text| text.eq_ignore_ascii_case(wanted))
    };
    says("type", "apiKey")
        && says("in", "header")
        && says("name", "x-api-key")
        && AUTHORIZERS.iter().all(|key| found.get(key).is_none())
}

/// Whether an operation wants an API key, in one of its alternatives: the
/// service takes them all together.
pub fn is_required<'d>(definition: &Definition<'d>, operation: &Operation<'d>) -> bool {
    let alternatives = operation.alternatives(definition);
    let schemes = alternatives.iter().filter_map(Node::entries).flatten();
    schemes.into_iter().any(|(scheme, _)| is_api_key(definition, scheme))
}

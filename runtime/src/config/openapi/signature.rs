//! What of a definition's security is served: signatures, which a scheme or
//! an operation asks for.

use super::{
    Definition,
    operation::{Entry, Operation},
    string, table,
};
use crate::config::tree::Node;

/// The authorizer that stands for them.
const SIGV4: &str = "awsSigv4";

/// Whether a security scheme asks for a signature.
pub fn is_sigv4(definition: &Definition<'_>, scheme: &str) -> bool {
    let schemes = match definition.top("components").and_then(|own| own.get("securitySchemes")) {
        Some(schemes) => Some(schemes),
        None => definition.top("securityDefinitions"),
    };
    let own = schemes.and_then(|schemes| schemes.get(scheme));
    let Some(own) = own.and_then(|own| definition.resolve(own)) else { return false };
    let key = "x-amazon-apigateway-authtype";
    let is_sigv4 = |own: &Node| own.get(key).and_then(Node::text) == Some(SIGV4);
    is_sigv4(own) && definition.take(own, key).is_some()
}

/// The authorizer of an operation that asks for a signature: by itself, or by
/// a scheme that cannot be gone round.
pub fn authorizer<'d>(definition: &Definition<'d>, operation: &Operation<'d>) -> Option<Entry> {
    let key = "x-amazon-apigateway-auth";
    let auth = operation.node.get(key).and_then(|auth| auth.get("type")).and_then(Node::text);
    let own = match auth {
        Some("AWS_IAM") => definition.take(operation.node, key),
        Some("NONE") => {
            definition.take(operation.node, key);
            None
        }
        _ => None,
    };
    if let Some(own) = own {
        return Some(("authorizer", string(own.at, SIGV4)));
    }
    let asked = operation.alternatives(definition).iter().filter_map(Node::entries).flatten();
    let mut asked = asked.filter(|(scheme, _)| is_sigv4(definition, scheme));
    let (_, member) = asked.next()?;
    Some(("authorizer", string(member.at, SIGV4)))
}

/// The table of authorizers that operations refer to.
pub fn authorizers(definition: &Definition<'_>) -> Node {
    let at = definition.root.at;
    table(at, [(SIGV4, table(at, [("type", string(at, "iam"))]))])
}

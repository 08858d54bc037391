//! Signatures: operations and schemes that ask for one.

use super::{Definition, operation::Operation, string, table};
use crate::config::tree::Node;

/// What `x-amazon-apigateway-authtype` says of a scheme, and the authorizer of an
/// operation that asks by itself.
pub const SIGV4: &str = "awsSigv4";

/// Where an operation asks for a signature by itself, whatever its schemes say.
pub fn required<'d>(definition: &Definition<'d>, operation: &Operation<'d>) -> Option<usize> {
    let key = "x-amazon-apigateway-auth";
    let auth = operation.node.get(key).and_then(|auth| auth.get("type")).and_then(Node::text);
    match auth {
        Some("AWS_IAM") => definition.take(operation.node, key).map(|member| member.at),
        Some("NONE") => {
            definition.take(operation.node, key);
            None
        }
        _ => None,
    }
}

/// The table of an authorizer of signatures.
pub fn authorizer(at: usize) -> Node {
    table(at, [("type", string(at, "iam"))])
}

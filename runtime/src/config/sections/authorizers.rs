//! `[authorizer.NAME]`

mod lambda;

use std::{collections::BTreeMap, sync::Arc};

use super::expression::{self, Sources};
use crate::config::{
    ApiKind, AuthorizerConfig, AuthorizerKind, MappingExpression,
    keys::{AUTHORIZER, closest},
    read::{Entry, Table, Text},
};

/// Authorizers by name; none for one that is invalid.
pub type Authorizers = BTreeMap<String, Option<Arc<AuthorizerConfig>>>;

/// What `type` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Request,
    Token,
    Iam,
}

/// The words of `type`.
const TYPES: [(&str, Type); 3] =
    [("request", Type::Request), ("token", Type::Token), ("iam", Type::Iam)];

/// Which types have a key.
const KEYS: [(&str, &[Type]); 6] = [
    ("function", &[Type::Request, Type::Token]),
    ("identity", &[Type::Request, Type::Token]),
    ("identity_validation", &[Type::Token]),
    ("ttl_seconds", &[Type::Request, Type::Token]),
    ("payload", &[Type::Request]),
    ("simple_responses", &[Type::Request]),
];

pub fn authorizers(root: &Table<'_>, kind: ApiKind) -> Authorizers {
    let entries = root.entries("authorizer", "write [authorizer.NAME]");
    let read = |Entry { name, value }: Entry<'_>| {
        let table = value.table(&AUTHORIZER);
        let config = table.and_then(|table| authorizer(name.text, &table, kind));
        (name.text.to_owned(), config.map(Arc::new))
    };
    entries.into_iter().map(read).collect()
}

/// The authorizer that a route names.
pub fn of_route(route: &Table<'_>, authorizers: &Authorizers) -> Option<Arc<AuthorizerConfig>> {
    let given = route.take("authorizer")?;
    let name = given.string()?.text;
    match authorizers.get(name) {
        // One that is invalid has been reported where it stands.
        Some(found) => found.clone(),
        None => {
            let names: Vec<&str> = authorizers.keys().map(String::as_str).collect();
            let hint = match closest(name, &names) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("write [authorizer.{name}] with its function"),
            };
            given.problem(format!("there is no authorizer {name:?}"), hint);
            None
        }
    }
}

fn authorizer(name: &str, table: &Table<'_>, kind: ApiKind) -> Option<AuthorizerConfig> {
    let own = table.choice("type", &TYPES).unwrap_or(Type::Request);
    for (key, types) in KEYS.iter().filter(|(_, types)| !types.contains(&own)) {
        if table.take(key).is_some() {
            let named =
                |of: &Type| TYPES.iter().find(|(_, other)| other == of).map(|(word, _)| word);
            let words: Vec<String> =
                types.iter().filter_map(named).map(|word| format!("{word:?}")).collect();
            let message =
                format!("{key} belongs to authorizers of the type {}", words.join(" or "));
            table.source.problem(table.key_at(key), message, "remove it");
        }
    }
    let kind = match own {
        Type::Request | Type::Token => {
            AuthorizerKind::Lambda(lambda::lambda(table, own == Type::Token, kind)?)
        }
        Type::Iam => AuthorizerKind::Iam,
    };
    Some(AuthorizerConfig { name: name.to_owned(), kind })
}

/// What tells callers apart: `header.NAME`, or in full `method.request.header.NAME`,
/// or `$request.header.NAME`, as HTTP APIs write it; and the like. A token is a
/// header.
fn identity_source(
    table: &Table<'_>,
    given: &Text<'_>,
    is_token: bool,
) -> Option<MappingExpression> {
    let text = given.text.strip_prefix('$').unwrap_or(given.text);
    let text = match text.strip_prefix("request.") {
        Some(rest) => format!("method.request.{rest}"),
        None => expression::in_full(text).into_owned(),
    };
    let source = expression::parse(&text, &Sources::Request(None));
    let allowed = |source: &MappingExpression| match source {
        MappingExpression::RequestHeader(_) => true,
        MappingExpression::RequestQuery(_)
        | MappingExpression::StageVariable(_)
        | MappingExpression::Context(_) => !is_token,
        _ => false,
    };
    match source {
        Ok(source) if allowed(&source) => {
            if let MappingExpression::StageVariable(name) = &source {
                table.source.reads_stage_variable(given.at, name);
            }
            Some(source)
        }
        _ => {
            let message = format!("{:?} is no source of an identity", given.text);
            let hint = match is_token {
                true => "write header.NAME",
                false => "write header.NAME, query.NAME, stageVariables.NAME or context.NAME",
            };
            table.source.problem(given.at, message, hint);
            None
        }
    }
}

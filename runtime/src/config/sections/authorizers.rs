//! `[authorizer.NAME]`

mod jwt;
mod lambda;

use std::{collections::BTreeMap, sync::Arc};

use super::{
    expression::{self, Sources},
    user_pools::UserPools,
};
use crate::{
    config::{
        ApiKind, AuthorizerConfig, AuthorizerKind, MappingExpression,
        keys::{AUTHORIZER, closest},
        read::{Entry, Table, Text},
    },
    jwt::is_scope,
};

/// Authorizers by name; none for one that is invalid.
pub type Authorizers = BTreeMap<String, Option<Arc<AuthorizerConfig>>>;

/// What `type` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Request,
    Token,
    Iam,
    Jwt,
    Cognito,
}

/// The words of `type`.
const TYPES: [(&str, Type); 5] = [
    ("request", Type::Request),
    ("token", Type::Token),
    ("iam", Type::Iam),
    ("jwt", Type::Jwt),
    ("cognito", Type::Cognito),
];

/// Which types have a key.
const KEYS: [(&str, &[Type]); 11] = [
    ("function", &[Type::Request, Type::Token]),
    ("identity", &[Type::Request, Type::Token, Type::Jwt, Type::Cognito]),
    ("identity_validation", &[Type::Token, Type::Cognito]),
    ("ttl_seconds", &[Type::Request, Type::Token]),
    ("payload", &[Type::Request]),
    ("simple_responses", &[Type::Request]),
    ("issuer", &[Type::Jwt, Type::Cognito]),
    ("audience", &[Type::Jwt, Type::Cognito]),
    ("jwks", &[Type::Jwt, Type::Cognito]),
    ("user_pool", &[Type::Jwt, Type::Cognito]),
    ("clock_skew_seconds", &[Type::Jwt, Type::Cognito]),
];

/// The most scopes of a route: API Gateway's.
const SCOPES_MAX: usize = 10;

/// Those of `gateway.toml`, and those of a definition that it does not replace.
pub fn authorizers(
    root: &Table<'_>,
    definition: Option<&Table<'_>>,
    kind: ApiKind,
    pools: &UserPools,
) -> Authorizers {
    let mut authorizers = Authorizers::new();
    for root in [root].into_iter().chain(definition) {
        for Entry { name, value } in root.entries("authorizer", "write [authorizer.NAME]") {
            authorizers.entry(name.text.to_owned()).or_insert_with(|| {
                let table = value.table(&AUTHORIZER);
                table.and_then(|table| authorizer(name.text, &table, kind, pools)).map(Arc::new)
            });
        }
    }
    authorizers
}

/// `scopes` of a route: what a token has to allow.
pub fn scopes(route: &Table<'_>, authorizer: Option<&AuthorizerConfig>) -> Vec<String> {
    let Some(given) = route.take("scopes") else { return Vec::new() };
    // One that is invalid has been reported where it stands.
    let belongs = match authorizer {
        None => route.take("authorizer").is_some(),
        Some(authorizer) => authorizer.tokens().is_some(),
    };
    if !belongs {
        let message =
            "scopes belong to routes with an authorizer of the type \"jwt\" or \"cognito\"";
        given.problem(message, "name one with authorizer = \"NAME\", or remove them");
    }
    let texts = given.strings().unwrap_or_default();
    if texts.len() > SCOPES_MAX {
        let message = format!("{} has {} scopes, more than {SCOPES_MAX}", given.path, texts.len());
        given.problem(message, "one of them is enough for a token");
    }
    for text in texts.iter().filter(|text| !is_scope(text.text)) {
        let message = format!("{:?} is no scope", text.text);
        route.source.problem(text.at, message, "a scope is one word, without quotes");
    }
    texts.into_iter().map(|text| text.text.to_owned()).collect()
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

fn authorizer(
    name: &str,
    table: &Table<'_>,
    kind: ApiKind,
    pools: &UserPools,
) -> Option<AuthorizerConfig> {
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
        Type::Jwt => AuthorizerKind::Jwt(jwt::jwt(table, pools, true)?),
        Type::Cognito => AuthorizerKind::Cognito(jwt::cognito(table, pools)?),
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

//! Security schemes: who may call an operation, as `[authorizer.NAME]` would
//! say it.
//!
//! A scheme with API Gateway's extensions is enforced, or else the operations
//! that ask for it are left out: they were never meant for everybody. A scheme
//! without them means nothing to API Gateway's import, nor here, unless
//! `gateway.toml` has an authorizer of its name.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-swagger-extensions-authorizer.html>

use std::collections::{HashMap, HashSet};

use super::{
    Definition, api_key, arn, array, integer,
    operation::{Entry, Operation, left_out},
    reference, signature, string, table,
};
use crate::{
    config::tree::{Data, Node},
    jwt::remote::Location,
};

const AUTHORIZER: &str = "x-amazon-apigateway-authorizer";
const AUTHTYPE: &str = "x-amazon-apigateway-authtype";

/// What `gateway.toml` has that a definition may refer to.
#[derive(Debug, Default)]
pub struct Around {
    /// The identities of its routes, which win.
    pub routes: HashSet<String>,
    /// Its authorizers, each with what its `type` says.
    pub authorizers: HashMap<String, String>,
    /// Its user pools.
    pub user_pools: HashSet<String>,
}

/// What a scheme comes to.
#[derive(Clone)]
pub enum Scheme {
    /// An authorizer of its name.
    Authorizer {
        /// Whether it takes scopes.
        has_scopes: bool,
        /// Its table; none where `gateway.toml` has it.
        table: Option<Node>,
    },
    /// It cannot be enforced, though API Gateway would.
    Unserved {
        /// Why.
        why: String,
        /// What to do about it.
        hint: String,
    },
    /// API Gateway passes over it.
    Plain,
}

/// What an operation's route has of its security, beside an API key; none where
/// it is left out.
pub fn entries<'d>(definition: &Definition<'d>, operation: &Operation<'d>) -> Option<Vec<Entry>> {
    if let Some(at) = signature::required(definition, operation) {
        let mut authorizers = definition.authorizers.borrow_mut();
        let own = || signature::authorizer(at);
        authorizers.entry(signature::SIGV4.to_owned()).or_insert_with(own);
        return Some(vec![("authorizer", string(at, signature::SIGV4))]);
    }
    let mut refused = None;
    let mut has_key = false;
    for alternative in operation.alternatives(definition) {
        match chosen(definition, alternative) {
            Ok(Chosen::Authorizer(entries)) => return Some(entries),
            Ok(Chosen::ApiKey) => has_key = true,
            Ok(Chosen::Nothing) => {}
            Err(unserved) => refused = refused.or(Some(unserved)),
        }
    }
    match refused.filter(|_| !has_key) {
        None => Some(Vec::new()),
        Some((at, why, hint)) => {
            left_out(definition, at, &operation.name, &why, &hint);
            // Nothing else of it is looked at.
            definition.replaced.borrow_mut().insert(operation.at);
            None
        }
    }
}

/// What an alternative asks for that is enforced.
enum Chosen {
    /// An authorizer.
    Authorizer(Vec<Entry>),
    /// An API key alone.
    ApiKey,
    /// What API Gateway passes over.
    Nothing,
}

/// Why an alternative cannot be enforced: where, why, and what to do.
type Unserved = (usize, String, String);

/// The one authorizer that an alternative asks for, or what else it does.
fn chosen(definition: &Definition<'_>, alternative: &Node) -> Result<Chosen, Unserved> {
    let mut found: Option<Vec<Entry>> = None;
    let mut plain = Vec::new();
    let mut has_key = false;
    let Some(schemes) = alternative.entries() else {
        let why = format!("its security is {}, not a table", alternative.data.kind());
        let hint = "write security: [{ SCHEME: [] }], or security: [] where anyone may call";
        return Err((alternative.at, why, hint.to_owned()));
    };
    for (name, member) in schemes {
        definition.spend(1, name.len());
        match scheme(definition, name) {
            Scheme::Plain if api_key::is_api_key(definition, name) => has_key = true,
            Scheme::Plain => plain.push((name, member.at)),
            Scheme::Unserved { why, hint } => {
                return Err((member.at, format!("its security {name:?} {why}"), hint));
            }
            Scheme::Authorizer { .. } if found.is_some() => {
                let why = format!("its security asks for {name:?} and another authorizer at once");
                return Err((member.at, why, "a route has one authorizer".to_owned()));
            }
            Scheme::Authorizer { has_scopes, table } => {
                if has_scopes && !matches!(member.node.data, Data::Array(_) | Data::Null) {
                    let kind = member.node.data.kind();
                    let why = format!("the scopes of its security {name:?} are {kind}, not a list");
                    return Err((member.node.at, why, format!("write {name}: [SCOPE]")));
                }
                if let Some(table) = table {
                    definition.authorizers.borrow_mut().entry(name.clone()).or_insert(table);
                }
                let mut entries = vec![("authorizer", string(member.at, name.as_str()))];
                let scopes = member.node.items();
                if has_scopes && !scopes.is_empty() {
                    let scopes = scopes.iter().map(|scope| definition.scalar(scope)).collect();
                    entries.push(("scopes", array(member.node.at, scopes)));
                }
                found = Some(entries);
            }
        }
    }
    let Some(found) = found else {
        return Ok(if has_key { Chosen::ApiKey } else { Chosen::Nothing });
    };
    for (name, at) in plain {
        let message = format!("security {name:?} is not enforced, only what stands beside it");
        definition.unserved(at, message, "write an authorizer that checks both");
    }
    Ok(Chosen::Authorizer(found))
}

/// Whether a scheme of this name says nothing that is enforced.
pub fn is_plain(definition: &Definition<'_>, name: &str) -> bool {
    matches!(scheme(definition, name), Scheme::Plain)
}

/// What the scheme of this name comes to.
fn scheme(definition: &Definition<'_>, name: &str) -> Scheme {
    if let Some(kind) = definition.around.authorizers.get(name) {
        let has_scopes = matches!(kind.as_str(), "jwt" | "cognito");
        return Scheme::Authorizer { has_scopes, table: None };
    }
    if let Some(known) = definition.schemes.borrow().get(name) {
        return known.clone();
    }
    let scheme = named(definition, name).map_or(Scheme::Plain, |node| read(definition, name, node));
    definition.schemes.borrow_mut().insert(name.to_owned(), scheme.clone());
    scheme
}

fn schemes<'d>(definition: &Definition<'d>) -> Option<&'d Node> {
    let components = definition.top("components").and_then(|own| own.get("securitySchemes"));
    components.or_else(|| definition.top("securityDefinitions"))
}

/// The scheme of this name.
pub fn named<'d>(definition: &Definition<'d>, name: &str) -> Option<&'d Node> {
    definition.part(schemes(definition)?, name)
}

/// Extensions of schemes have been taken care of, whether anybody asks for them
/// or not.
pub fn take_all(definition: &Definition<'_>) {
    let schemes = schemes(definition).and_then(Node::entries);
    for (_, member) in schemes.into_iter().flatten() {
        if let Some(node) = definition.resolve(&member.node) {
            definition.take(node, AUTHORIZER);
            definition.take(node, AUTHTYPE);
        }
    }
}

fn read<'d>(definition: &Definition<'d>, name: &str, scheme: &'d Node) -> Scheme {
    let hint = format!("write [authorizer.{}] in gateway.toml, which stands for it", key(name));
    let unserved = |why: String| Scheme::Unserved { why, hint: hint.clone() };
    let Some(given) = definition.part(scheme, AUTHORIZER) else {
        return match scheme.get(AUTHTYPE) {
            Some(given) if given.text() == Some(signature::SIGV4) => Scheme::Authorizer {
                has_scopes: false,
                table: Some(signature::authorizer(given.at)),
            },
            Some(given) => {
                let kind = given.text().unwrap_or("of no type");
                unserved(format!("is {kind}, without an {AUTHORIZER}"))
            }
            None => Scheme::Plain,
        };
    };
    let kind = given.get("type").and_then(Node::text).unwrap_or_default().to_ascii_lowercase();
    let (entries, has_scopes) = match kind.as_str() {
        "token" => (lambda(definition, scheme, given, true), false),
        "request" => (lambda(definition, scheme, given, false), false),
        "jwt" => (jwt(definition, scheme, given), true),
        "cognito_user_pools" => (cognito(definition, scheme, given), true),
        other => {
            (Err(format!("has an authorizer of the type {other:?}, which is not known")), false)
        }
    };
    match entries {
        Ok(entries) => Scheme::Authorizer { has_scopes, table: Some(table(given.at, entries)) },
        Err(why) => unserved(why),
    }
}

/// A name as a key of TOML.
fn key(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !name.is_empty() && name.chars().all(bare) { name.to_owned() } else { format!("{name:?}") }
}

type Entries = Vec<(&'static str, Node)>;

/// A function that decides.
fn lambda<'d>(
    definition: &Definition<'d>,
    scheme: &'d Node,
    given: &'d Node,
    is_token: bool,
) -> Result<Entries, String> {
    let uri = given.get("authorizerUri").ok_or("has an authorizer without an authorizerUri")?;
    let text = reference::text(uri);
    let function = match text.as_deref().and_then(arn::function) {
        Some(Ok(name)) => name,
        Some(Err(why)) => return Err(format!("has an authorizer of which {why}")),
        None => return Err("has an authorizer whose authorizerUri is no function's".to_owned()),
    };
    let kind = if is_token { "token" } else { "request" };
    let mut entries =
        vec![("type", string(given.at, kind)), ("function", string(uri.at, function))];
    let identity = identity(definition, scheme, given, is_token)?;
    let mut ttl = given.get("authorizerResultTtlInSeconds").map(|ttl| definition.number(ttl));
    match identity {
        Some(identity) => entries.push(("identity", identity)),
        // There is nothing to keep answers by.
        None if ttl.is_none() => ttl = Some(integer(given.at, 0)),
        None => {}
    }
    entries.extend(ttl.map(|ttl| ("ttl_seconds", ttl)));
    if is_token {
        entries.extend(validation(definition, given));
        return Ok(entries);
    }
    if definition.kind == crate::config::ApiKind::Http {
        if let Some(format) = given.get("authorizerPayloadFormatVersion") {
            let text = match &format.data {
                Data::Float(text) => string(format.at, text.as_str()),
                _ => definition.scalar(format),
            };
            entries.push(("payload", text));
        }
        let simple = given.get("enableSimpleResponses");
        entries.extend(simple.map(|simple| ("simple_responses", definition.scalar(simple))));
    }
    Ok(entries)
}

/// Any issuer. One that is Cognito's, and whose pool is on this machine, is
/// that pool.
fn jwt<'d>(
    definition: &Definition<'d>,
    scheme: &'d Node,
    given: &'d Node,
) -> Result<Entries, String> {
    let configuration = definition.part(given, "jwtConfiguration");
    let configuration = configuration.ok_or("has an authorizer without a jwtConfiguration")?;
    let issuer = configuration.get("issuer").ok_or("has an authorizer without an issuer")?;
    let text = reference::text(issuer).ok_or("has an authorizer whose issuer is no text")?;
    let audience = configuration.get("audience").ok_or("has an authorizer without an audience")?;
    let audience = match &audience.data {
        Data::Array(items) => {
            let items = items.iter().map(|item| definition.scalar(item));
            array(audience.at, items.collect())
        }
        _ => array(audience.at, vec![definition.scalar(audience)]),
    };
    let mut entries = vec![("type", string(given.at, "jwt")), ("audience", audience)];
    let pool = text.strip_prefix("https://cognito-idp.").and_then(|rest| rest.split_once('/'));
    let pool =
        pool.map(|(_, pool)| pool).filter(|pool| definition.around.user_pools.contains(*pool));
    match pool {
        Some(pool) => entries.push(("user_pool", string(issuer.at, pool))),
        None => {
            if let Err(why) = Location::of_issuer(&text) {
                return Err(format!("has an authorizer whose issuer {text:?} {why}"));
            }
            entries.push(("issuer", string(issuer.at, text)));
        }
    }
    let identity = identity(definition, scheme, given, true)?;
    entries.extend(identity.map(|identity| ("identity", identity)));
    Ok(entries)
}

/// A user pool, which has to be on this machine.
fn cognito<'d>(
    definition: &Definition<'d>,
    scheme: &'d Node,
    given: &'d Node,
) -> Result<Entries, String> {
    let arns = given.get("providerARNs").map_or(&[][..], Node::items);
    let [provider] = arns else {
        return Err(format!("has an authorizer with {} providerARNs, not one", arns.len()));
    };
    let text =
        reference::text(provider).ok_or("has an authorizer whose providerARNs are no texts")?;
    // CloudFormation's words for an ARN name the resource.
    let name = match text.rsplit_once(":userpool/") {
        Some((_, name)) => name,
        None => text.trim_start_matches("${").trim_end_matches('}').trim_end_matches(".Arn"),
    };
    if !definition.around.user_pools.contains(name) {
        return Err(format!(
            "needs the user pool {name:?}, which gateway.toml has not: write [user_pool.{}] with its clients",
            key(name)
        ));
    }
    let mut entries =
        vec![("type", string(given.at, "cognito")), ("user_pool", string(provider.at, name))];
    let identity = identity(definition, scheme, given, true)?;
    entries.extend(identity.map(|identity| ("identity", identity)));
    entries.extend(validation(definition, given));
    Ok(entries)
}

fn validation(definition: &Definition<'_>, given: &Node) -> Option<(&'static str, Node)> {
    let pattern = given.get("identityValidationExpression")?;
    Some(("identity_validation", definition.scalar(pattern)))
}

/// `identitySource`, a list with commas, or else the header or the query
/// parameter that the scheme names, as far as the authorizer `reads_scheme`.
fn identity<'d>(
    definition: &Definition<'d>,
    scheme: &'d Node,
    given: &'d Node,
    reads_scheme: bool,
) -> Result<Option<Node>, String> {
    if let Some(source) = given.get("identitySource").filter(|own| own.data != Data::Null) {
        let texts: Vec<&str> = match &source.data {
            Data::Array(items) => items.iter().filter_map(Node::text).collect(),
            _ => source.text().unwrap_or_default().split(',').map(str::trim).collect(),
        };
        let texts = texts.into_iter().filter(|text| !text.is_empty());
        let nodes: Vec<Node> =
            texts.filter_map(|text| definition.copied(source.at, text)).collect();
        return Ok((!nodes.is_empty()).then(|| array(source.at, nodes)));
    }
    let text = |key: &str| scheme.get(key).and_then(Node::text);
    match (reads_scheme, text("type"), text("in"), text("name")) {
        (true, Some("apiKey"), Some("header"), Some(name)) if !name.is_empty() => {
            let source = string(scheme.at, format!("header.{name}"));
            Ok(Some(array(scheme.at, vec![source])))
        }
        (true, Some("apiKey"), Some("query"), Some(name)) if !name.is_empty() => {
            let source = string(scheme.at, format!("query.{name}"));
            Ok(Some(array(scheme.at, vec![source])))
        }
        (true, Some("apiKey"), Some(place), _) => {
            Err(format!("has its token in a {place}, which is not served"))
        }
        _ => Ok(None),
    }
}

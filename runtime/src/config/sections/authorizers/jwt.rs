//! Tokens that are signed: of any issuer, and of user pools.

use std::{sync::Arc, time::Duration};

use http::header;

use super::{
    super::{integration::selection_pattern, user_pools::UserPools},
    identity_source,
};
use crate::{
    config::{
        CognitoAuthorizer, JwtAuthorizer, KeySource, MappingExpression, UserPoolConfig,
        keys::closest,
        read::{Table, Text},
    },
    jwt::{
        KeySet, Rules,
        remote::{self, Location},
    },
};

/// The most audiences of an authorizer: API Gateway's.
const AUDIENCES_MAX: usize = 50;

/// The most by which clocks may differ, in seconds. The service allows nothing.
const CLOCK_SKEW_SECONDS_MAX: u64 = 300;

/// A user pool; it takes the tokens of all its clients where none is named.
pub fn cognito(table: &Table<'_>, pools: &UserPools) -> Option<CognitoAuthorizer> {
    let pattern = table.take("identity_validation").and_then(|value| selection_pattern(&value));
    Some(CognitoAuthorizer { tokens: jwt(table, pools, false)?, identity_validation: pattern })
}

/// Any issuer; tokens have to be for someone where that `needs_audience`.
pub fn jwt(table: &Table<'_>, pools: &UserPools, needs_audience: bool) -> Option<JwtAuthorizer> {
    let identity = identity(table);
    let skew = table.integer("clock_skew_seconds", 0..=CLOCK_SKEW_SECONDS_MAX, 0_u64);
    let audience = audience(table);
    if needs_audience && table.take("audience").is_none() && table.take("user_pool").is_none() {
        let message = format!("{} has no audience", table.path);
        let hint = "write audience = [\"app\"]: whom tokens have to be for";
        table.source.problem(table.at, message, hint);
    }
    let issued = issued(table, pools)?;
    let audience = match (audience, &issued.pool) {
        (Some(audience), _) => audience,
        (None, Some(pool)) => pool.clients.clone(),
        (None, None) if needs_audience => return None,
        (None, None) => Vec::new(),
    };
    let rules = Rules { issuer: issued.issuer, audience, clock_skew: Duration::from_secs(skew) };
    Some(JwtAuthorizer { identity, rules, keys: issued.keys })
}

/// Who issues tokens, and with which keys.
struct Issued {
    issuer: String,
    keys: KeySource,
    pool: Option<Arc<UserPoolConfig>>,
}

fn issued(table: &Table<'_>, pools: &UserPools) -> Option<Issued> {
    if let Some(given) = table.take("user_pool") {
        for key in ["issuer", "jwks"] {
            if table.take(key).is_some() {
                let message = format!("{} has both user_pool and {key}", table.path);
                let hint = "a pool of this machine is its own issuer: keep one of them";
                table.source.problem(table.key_at(key), message, hint);
            }
        }
        let pool = user_pool(table, &given.string()?, pools)?;
        let keys = KeySource::UserPool(pool.name.clone());
        return Some(Issued { issuer: pool.issuer.clone(), keys, pool: Some(pool) });
    }
    let Some(issuer) = table.string("issuer").filter(|issuer| !issuer.text.is_empty()) else {
        if table.take("issuer").is_none_or(|given| given.value.kind() == "a string") {
            let message = format!("{} has no issuer", table.path);
            let hint = "write issuer = \"https://issuer.example\", as tokens have it in iss, or user_pool = \"NAME\"";
            table.source.problem(table.key_at("issuer"), message, hint);
        }
        // What else is wrong is said at once.
        drop(key_set(table));
        return None;
    };
    let keys = match table.take("jwks") {
        Some(_) => key_set(table)?,
        None => match Location::of_issuer(issuer.text) {
            Ok(location) => KeySource::Remote(location),
            Err(why) => {
                let message = format!("the issuer {:?} {why}", issuer.text);
                let hint = "its keys are looked for below it; or write jwks = \"FILE\", or a URL";
                table.source.problem(issuer.at, message, hint);
                return None;
            }
        },
    };
    Some(Issued { issuer: issuer.text.to_owned(), keys, pool: None })
}

fn user_pool(table: &Table<'_>, name: &Text<'_>, pools: &UserPools) -> Option<Arc<UserPoolConfig>> {
    // One that is invalid has been reported where it stands.
    if let Some(found) = pools.get(name.text) {
        return found.clone();
    }
    let names: Vec<&str> = pools.keys().map(String::as_str).collect();
    let hint = match closest(name.text, &names) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("write [user_pool.{}] with its clients", name.text),
    };
    table.source.problem(name.at, format!("there is no user pool {:?}", name.text), hint);
    None
}

/// `jwks`: a file, or an address.
fn key_set(table: &Table<'_>) -> Option<KeySource> {
    let given = table.take("jwks")?;
    let name = given.string()?;
    if name.text.contains("://") {
        return match remote::address(name.text) {
            Ok(uri) => Some(KeySource::Remote(Location::KeySet(uri))),
            Err(why) => {
                let message = format!("{}: {:?} {why}", given.path, name.text);
                given.problem(message, "write a file, or an https address");
                None
            }
        };
    }
    let text = given.file(name)?;
    match KeySet::parse(&text) {
        Ok(keys) => {
            for why in &keys.unusable {
                let message = format!("{}: {}: {why}", given.path, name.text);
                given.source.warning(given.at, message, "tokens that it signed are refused");
            }
            Some(KeySource::Set(Arc::new(keys)))
        }
        Err(why) => {
            let hint = "it has to be a JSON Web Key set: {\"keys\": [{\"kid\": …, \"kty\": …, …}]}, of public keys with names";
            given.problem(format!("{}: {}: {why}", given.path, name.text), hint);
            None
        }
    }
}

fn audience(table: &Table<'_>) -> Option<Vec<String>> {
    let given = table.take("audience")?;
    let texts = given.strings()?;
    match texts.len() {
        0 => given.problem(format!("{} is empty", given.path), "write audience = [\"app\"]"),
        1..=AUDIENCES_MAX => {}
        count => {
            given.problem(format!("{} has {count}, more than {AUDIENCES_MAX}", given.path), "");
        }
    }
    Some(texts.into_iter().map(|text| text.text.to_owned()).collect())
}

/// One header or one query parameter, and all its values.
fn identity(table: &Table<'_>) -> MappingExpression {
    let default = MappingExpression::RequestHeaders(header::AUTHORIZATION);
    let Some(given) = table.take("identity") else { return default };
    let texts = given.strings().unwrap_or_default();
    let [text] = texts.as_slice() else {
        let hint = "write identity = [\"header.authorization\"]";
        given.problem("a token comes from one place", hint);
        return default;
    };
    match identity_source(table, text, false) {
        Some(MappingExpression::RequestHeader(name)) => MappingExpression::RequestHeaders(name),
        Some(MappingExpression::RequestQuery(name)) => MappingExpression::RequestQueries(name),
        Some(_) => {
            let message = format!("{:?} has no token", text.text);
            table.source.problem(text.at, message, "write header.NAME or query.NAME");
            default
        }
        None => default,
    }
}

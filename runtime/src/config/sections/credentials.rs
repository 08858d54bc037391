//! `[[credential]]`

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    config::{
        AuthorizerKind, CredentialConfig, RouteConfig,
        keys::CREDENTIAL,
        read::{Table, Text},
        tree::Data,
    },
    policy::Policy,
};

/// IAM's bound of a user's name.
const NAME_CHARS_MAX: usize = 64;

/// IAM's bound of an access key's id.
const KEY_CHARS_MAX: usize = 128;

const POLICY: &str = "it has to be as IAM has it: {\"Statement\": [{\"Effect\": \"Allow\", \"Action\": \"execute-api:Invoke\", \"Resource\": \"execute-api:/*\"}]}";

/// Credentials by the id of their access key.
pub fn credentials(root: &Table<'_>) -> BTreeMap<String, Arc<CredentialConfig>> {
    let mut credentials = BTreeMap::new();
    let mut firsts = HashMap::new();
    for table in root.list("credential", &CREDENTIAL) {
        let name = text(&table, "name", "ada", NAME_CHARS_MAX, "+=,.@_-");
        let id = text(&table, "access_key_id", "AKIDEXAMPLE", KEY_CHARS_MAX, "_");
        for (key, text) in [("name", &name), ("access_key_id", &id)] {
            let Some(text) = text else { continue };
            let first = *firsts.entry((key, text.text)).or_insert(text.at);
            if first != text.at {
                let (line, _) = root.source.place(first);
                let message = format!("the {key} {:?} is already on line {line}", text.text);
                root.source.problem(text.at, message, "give each credential its own");
            }
        }
        let credential = credential(&table, name, id);
        credentials.extend(credential.map(|own| (own.access_key_id.clone(), Arc::new(own))));
    }
    credentials
}

fn credential(
    table: &Table<'_>,
    name: Option<Text<'_>>,
    id: Option<Text<'_>>,
) -> Option<CredentialConfig> {
    let secret = table.secret("secret_access_key", "secret_access_key_env");
    if secret.is_none()
        && table.take("secret_access_key").or(table.take("secret_access_key_env")).is_none()
    {
        let message = format!("{} has no secret_access_key", table.path);
        let hint = "write secret_access_key_env = \"VARIABLE\"";
        table.source.problem(table.at, message, hint);
    }
    let policy = policy(table);
    let session_token = table.secret("session_token", "session_token_env");
    let expiration = expiration(table);
    if let Some(given) = table.take("expiration")
        && table.take("session_token").or(table.take("session_token_env")).is_none()
    {
        let hint = "write session_token_env = \"VARIABLE\", or remove it";
        given.problem("expiration belongs to credentials with a session token", hint);
    }
    Some(CredentialConfig {
        name: name?.text.to_owned(),
        access_key_id: id?.text.to_owned(),
        secret_access_key: secret?,
        session_token,
        expiration,
        policy,
    })
}

/// A key that every credential has, of letters, digits and `more`.
fn text<'r>(
    table: &Table<'r>,
    key: &'static str,
    example: &str,
    chars_max: usize,
    more: &str,
) -> Option<Text<'r>> {
    if table.take(key).is_none() {
        let message = format!("{} has no {key}", table.path);
        table.source.problem(table.at, message, format!("write {key} = {example:?}"));
    }
    let given = table.string(key)?;
    let is_valid = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
    if given.text.is_empty() || given.text.len() > chars_max || !given.text.chars().all(is_valid) {
        let message = format!("{}.{key} cannot be {:?}", table.path, given.text);
        let hint = format!("use 1 to {chars_max} letters, digits and {more}");
        table.source.problem(given.at, message, hint);
        return None;
    }
    Some(given)
}

/// A time with its offset, as a string or as TOML has it.
fn expiration(table: &Table<'_>) -> Option<OffsetDateTime> {
    let given = table.take("expiration")?;
    let text = match given.value {
        Data::Datetime(text) => text.as_str(),
        _ => given.string()?.text,
    };
    let time = OffsetDateTime::parse(text, &Rfc3339).ok();
    if time.is_none() {
        let message = format!("{} cannot be {text:?}", given.path);
        given.problem(message, "write a time with its offset: 2030-01-31T12:00:00Z");
    }
    time
}

fn policy(table: &Table<'_>) -> Option<Policy> {
    let given = table.take("policy")?;
    let (text, path) = given.text_or_file()?;
    let document = serde_json::from_str::<serde_json::Value>(&text);
    let document = document.map_err(|error| format!("not JSON: {error}"));
    match document.and_then(|document| Policy::parse_identity(&document)) {
        Ok(policy) => Some(policy),
        Err(why) => {
            given.problem(format!("{path}: {why}"), POLICY);
            None
        }
    }
}

/// Says who can call nothing: whoever has no policy where the API has none,
/// and everybody where routes are signed and there are no credentials.
pub fn warn_of_the_powerless(
    root: &Table<'_>,
    definition: Option<&Table<'_>>,
    has_policy: bool,
    routes: &[RouteConfig],
) {
    let is_signed = |route: &&RouteConfig| {
        let config = route.authorizer.as_ref();
        config.is_some_and(|config| config.kind == AuthorizerKind::Iam)
    };
    let given = root.take("credential");
    let items = match given.as_ref().map(|given| given.value) {
        Some(Data::Array(items)) => items.as_slice(),
        _ => &[],
    };
    if items.is_empty()
        && let Some(route) = routes.iter().find(is_signed)
    {
        let table =
            if root.take("authorizer").is_some() { root } else { definition.unwrap_or(root) };
        let message = format!("nobody can call {}: there is no [[credential]]", route.key);
        let hint = "write [[credential]] with its access_key_id";
        table.source.warning(table.key_at("authorizer"), message, hint);
    }
    for item in items.iter().filter(|item| item.get("policy").is_none() && !has_policy) {
        let name = item.get("name").and_then(|name| name.text()).unwrap_or_default();
        let message = format!("the credential {name:?} has no policy: it may call nothing");
        root.source.warning(item.at, message, "write policy, or let the API's own policy allow it");
    }
}

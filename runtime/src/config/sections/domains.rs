//! `[[domain]]`: custom domain names.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use crate::{
    config::{
        BasePaths, DomainConfig, DomainTls, Domains, StageConfig, domain_name,
        keys::{DOMAIN, MUTUAL_TLS},
        read::{Entry, Table, Text, Value},
        tree::Data,
    },
    tls::{self, Identity, IdentityError, SecurityPolicy, Terms, TrustStore},
};

/// The longest base path, in characters: API Gateway's.
const BASE_PATH_CHARS_MAX: usize = 300;
/// The characters of a base path beside letters and digits: API Gateway's.
const BASE_PATH_CHARS: &str = "$-_.+!*'()/";

/// How to get a certificate to try things out.
const CERT: &str = "`mayfly cert` makes one to try out";

pub fn domains(root: &Table<'_>, stages: &BTreeMap<String, StageConfig>, stage: &str) -> Domains {
    let is_empty = |given: Value<'_>| matches!(given.value, Data::Array(list) if list.is_empty());
    if root.take("domain").is_none_or(is_empty)
        && root.boolean("disable_execute_api_endpoint", false)
    {
        let message = "disable_execute_api_endpoint leaves nothing to call";
        let at = root.key_at("disable_execute_api_endpoint");
        root.source.problem(at, message, "write [[domain]] with a name, or remove it");
    }
    let mut first_lines = HashMap::new();
    let mut domains = Vec::new();
    for table in root.list("domain", &DOMAIN) {
        let name = name(&table);
        let base_paths = base_paths(&table, stages, stage);
        let tls = tls(&table, name.as_deref());
        let Some(name) = name else { continue };
        let at = table.key_at("name");
        let (line, _) = root.source.place(at);
        if let Some(first) = first_lines.insert(name.clone(), line) {
            let message = format!("the domain {name:?} is already on line {first}");
            root.source.problem(at, message, "remove one of the two");
            first_lines.insert(name, first);
            continue;
        }
        warn_of_default_endpoint(root, &table);
        domains.extend(tls.map(|tls| DomainConfig { name, tls, base_paths }));
    }
    Domains::new(domains)
}

/// Whoever knows the address goes past the domain, unless that is forbidden.
fn warn_of_default_endpoint(root: &Table<'_>, domain: &Table<'_>) {
    if domain.take("mutual_tls").is_some() && !root.boolean("disable_execute_api_endpoint", false) {
        let message = "the default endpoint asks nobody for a certificate";
        let hint =
            "write disable_execute_api_endpoint = true, so that mutual TLS cannot be passed by";
        domain.source.warning(domain.key_at("mutual_tls"), message, hint);
    }
}

fn name(table: &Table<'_>) -> Option<String> {
    let Some(value) = table.take("name") else {
        let message = format!("{} has no name", table.path);
        table.source.problem(table.at, message, "write name = \"api.example.com\"");
        return None;
    };
    let given = value.string()?;
    let name = domain_name(given.text);
    if name.is_none() {
        let message = format!("a domain cannot be named {:?}", given.text);
        let hint = "write a host's name such as \"api.example.com\" or \"*.example.com\", in punycode if it has other letters, or an IP address; no port";
        table.source.problem(given.at, message, hint);
    }
    name
}

fn base_paths(table: &Table<'_>, stages: &BTreeMap<String, StageConfig>, stage: &str) -> BasePaths {
    if table.take("base_paths").is_none() {
        return BasePaths(BTreeMap::from([(String::new(), stage.to_owned())]));
    }
    let mut paths = BTreeMap::new();
    let hint = "write { \"v1\" = \"STAGE\" }; \"\" is for all other paths";
    for Entry { name, value } in table.entries("base_paths", hint) {
        let fits = |c: char| c.is_ascii_alphanumeric() || BASE_PATH_CHARS.contains(c);
        let segments = name.text.is_empty() || name.text.split('/').all(|part| !part.is_empty());
        if !segments || !name.text.chars().all(fits) || name.text.len() > BASE_PATH_CHARS_MAX {
            let message = format!("a base path cannot be {:?}", name.text);
            let hint = format!(
                "use letters, digits and {BASE_PATH_CHARS}, no '/' at its beginning, its end or twice in a row, and {BASE_PATH_CHARS_MAX} characters at most"
            );
            table.source.problem(name.at, message, hint);
        }
        let Some(text) = value.string() else { continue };
        if !stages.contains_key(text.text) {
            let names: Vec<&str> = stages.keys().map(String::as_str).collect();
            let hint = format!("the stages are {}; or write [stages.NAME]", names.join(", "));
            let message = format!("there is no stage {:?}", text.text);
            table.source.problem(text.at, message, hint);
        }
        paths.insert(name.text.to_owned(), text.text.to_owned());
    }
    BasePaths(paths)
}

/// None where something is wrong with it.
#[allow(clippy::option_option, reason = "no TLS is not the same as TLS that is wrong")]
fn tls(table: &Table<'_>, name: Option<&str>) -> Option<Option<DomainTls>> {
    let policies = [("TLS_1_2", SecurityPolicy::Tls12), ("TLS_1_3", SecurityPolicy::Tls13)];
    let security_policy = table.choice("security_policy", &policies);
    let mutual_tls = table.take("mutual_tls");
    let trust_store = mutual_tls.as_ref().and_then(trust_store);
    if table.take("certificate").is_none() {
        for key in ["private_key", "security_policy", "mutual_tls"] {
            if table.take(key).is_some() {
                let message = format!("{}.{key} needs a certificate", table.path);
                let hint = format!("write certificate = \"FILE\"; {CERT}");
                table.source.problem(table.key_at(key), message, hint);
            }
        }
        return Some(None);
    }
    let identity = identity(table)?;
    let name = name?;
    if !identity.is_for(name) {
        let message = format!("{}.certificate is not for {name}", table.path);
        let hint = format!("a certificate names its domain as subjectAltName; {CERT}");
        table.source.problem(table.key_at("certificate"), message, hint);
        return None;
    }
    if mutual_tls.is_some() && trust_store.is_none() {
        return None;
    }
    let terms = Terms {
        domain: name.to_owned(),
        security_policy: security_policy.unwrap_or_default(),
        mutual_tls: trust_store,
    };
    match tls::server(&identity, &terms) {
        Ok(server) => Some(Some(DomainTls { terms: Arc::new(terms), identity, server })),
        Err(error) => {
            table.source.problem(table.at, format!("{}: {error}", table.path), "");
            None
        }
    }
}

/// `certificate` and `private_key`, which belong together.
pub fn identity(table: &Table<'_>) -> Option<Identity> {
    let certificate = table.take("certificate");
    let private_key = table.take("private_key");
    for (key, given, other) in
        [("private_key", &certificate, &private_key), ("certificate", &private_key, &certificate)]
    {
        if let (Some(given), None) = (given, other) {
            let message = format!("{} needs {}.{key}", given.path, table.path);
            given.problem(message, format!("write {key} = \"FILE\""));
        }
    }
    // Both are read, so that what is wrong with either is said.
    let chain = certificate.as_ref().and_then(|value| named(value, Value::file));
    let key = private_key.as_ref().and_then(|value| named(value, Value::secret_file));
    let ((chain_name, chain), (key_name, key)) = (chain?, key?);
    let (certificate, private_key) = (certificate?, private_key?);
    let problem = |value: &Value<'_>, name: Text<'_>, why: String| {
        value.problem(format!("{}: {}: {why}", value.path, name.text), CERT);
    };
    match Identity::parse(&chain, &key) {
        Ok(identity) => {
            if let Some(when) = identity.facts.out_of_time() {
                let message = format!("{}: {} {when}", certificate.path, chain_name.text);
                certificate.source.warning(certificate.at, message, "have it renewed");
            }
            return Some(identity);
        }
        Err(IdentityError::Certificate(why)) => problem(&certificate, chain_name, why),
        Err(IdentityError::PrivateKey(why)) => problem(&private_key, key_name, why),
        Err(IdentityError::Mismatch) => {
            let why = format!("it is not the key of {}", chain_name.text);
            problem(&private_key, key_name, why);
        }
    }
    None
}

/// The text of a file, with its name.
fn named<'r>(
    value: &Value<'r>,
    read: fn(&Value<'r>, Text<'_>) -> Option<String>,
) -> Option<(Text<'r>, String)> {
    let name = value.string()?;
    Some((name, read(value, name)?))
}

fn trust_store(value: &Value<'_>) -> Option<TrustStore> {
    let table = value.table(&MUTUAL_TLS)?;
    let Some(given) = table.take("truststore") else {
        let hint = "write { truststore = \"FILE\" }: certificates of those who sign clients'";
        value.problem(format!("{} has no truststore", value.path), hint);
        return None;
    };
    let (name, text) = named(&given, Value::file)?;
    match TrustStore::parse(&text) {
        Ok((store, warnings)) => {
            for warning in warnings {
                let message = format!("{}: {}: {warning}", given.path, name.text);
                given.source.warning(given.at, message, "its clients are refused");
            }
            Some(store)
        }
        Err(why) => {
            let hint = "name a file of certificate authorities' certificates in PEM";
            given.problem(format!("{}: {}: {why}", given.path, name.text), hint);
            None
        }
    }
}

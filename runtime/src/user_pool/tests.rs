use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::*;
use crate::jwt::{Rules, Token};

fn config(clients: &[&str]) -> Arc<UserPoolConfig> {
    Arc::new(UserPoolConfig {
        name: "people".to_owned(),
        issuer: "http://127.0.0.1:3001/people".to_owned(),
        clients: clients.iter().map(ToString::to_string).collect(),
        custom_attributes: vec!["team".to_owned()],
        token_validity: Duration::from_secs(600),
    })
}

#[test]
fn a_pool_keeps_its_key_and_its_users() {
    let data = tempfile::tempdir().expect("a folder");
    let config = config(&["app", "web"]);
    let pool = UserPool::open(data.path(), &config).expect("a pool");
    let attribute = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let attributes = BTreeMap::from([
        attribute("email", "ada@example.com"),
        attribute("email_verified", "true"),
        attribute("custom:team", "core"),
    ]);
    let ada = pool.add("ada", attributes, vec!["admins".to_owned()]).expect("added");
    // Another process opens the same.
    let other = UserPool::open(data.path(), &config).expect("the pool");
    assert_eq!(other.key_set(), pool.key_set());
    assert_eq!(other.users().expect("users"), std::slice::from_ref(&ada));

    let grant = Grant { token_use: TokenUse::Id, client: Some("web"), scopes: &[], validity: None };
    let text = other.token(&ada, &grant).expect("a token");
    let token = Token::read(&text).map_err(|refusal| refusal.to_string()).expect("readable");
    let claims = token.verify(&pool.keys).expect("verified");
    let rules = Rules {
        issuer: config.issuer.clone(),
        audience: vec!["web".to_owned()],
        clock_skew: Duration::ZERO,
    };
    let now = SystemTime::now();
    assert_eq!(claims.check(&rules, now).map(drop), Ok(()));
    assert_eq!(
        claims.check(&rules, now + Duration::from_secs(601)).map(drop),
        Err(crate::jwt::Refusal::Expired)
    );
    let texts = claims.texts(crate::jwt::Form::Jwt);
    for (name, value) in [
        ("sub", ada.sub.as_str()),
        ("token_use", "id"),
        ("cognito:username", "ada"),
        ("cognito:groups", "[admins]"),
        ("email", "ada@example.com"),
        ("email_verified", "true"),
        ("custom:team", "core"),
    ] {
        assert_eq!(texts[name], value, "{name}");
    }

    other.remove("ada").expect("removed");
    assert_eq!(pool.users().expect("users"), []);
    let stranger = Grant { client: Some("stranger"), ..grant };
    let error = pool.token(&ada, &stranger).expect_err("no such client").to_string();
    assert!(error.contains("the clients are app, web"), "{error}");
}

#[test]
fn users_are_what_cognito_would_take() {
    let data = tempfile::tempdir().expect("a folder");
    let pool = UserPool::open(data.path(), &config(&["app"])).expect("a pool");
    let add = |name: &str, attribute: Option<(&str, &str)>, group: &[&str]| {
        let attributes = attribute.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let groups = group.iter().map(ToString::to_string).collect();
        let added = pool.add(name, attributes.into_iter().collect(), groups);
        added.map(drop).map_err(|error| error.to_string())
    };
    add("ada", None, &[]).expect("added");
    for (added, why) in [
        (add("ada", None, &[]), "there is a user \"ada\" already"),
        (add("", None, &[]), "a user cannot be named"),
        (add("a b", None, &[]), "a user cannot be named"),
        (add(&"a".repeat(129), None, &[]), "a user cannot be named"),
        (add("bob", Some(("sub", "x")), &[]), "there is no attribute \"sub\""),
        (add("bob", Some(("custom:size", "x")), &[]), "custom_attributes = [\"size\"]"),
        (add("bob", Some(("email_verified", "yes")), &[]), "is true or false"),
        (add("bob", None, &["a\nb"]), "a group cannot be named"),
    ] {
        let error = added.expect_err(why);
        assert!(error.contains(why), "{error}");
    }
    assert!(pool.remove("bob").is_err());
    assert_eq!(pool.users().expect("users").len(), 1);
}

#[cfg(unix)]
#[test]
fn nobody_else_reads_a_key() {
    use std::os::unix::fs::PermissionsExt as _;
    let data = tempfile::tempdir().expect("a folder");
    let pool = UserPool::open(data.path(), &config(&["app"])).expect("a pool");
    pool.add("ada", BTreeMap::new(), Vec::new()).expect("added");
    let folder = data.path().join("user-pools/people");
    let mode = |file: &str| {
        let metadata = fs::metadata(folder.join(file)).expect("metadata");
        metadata.permissions().mode() & 0o777
    };
    assert_eq!((mode(""), mode("key.pem"), mode("users.json")), (0o700, 0o600, 0o600));
    // Nor does it show.
    let pem = fs::read_to_string(folder.join("key.pem")).expect("a key");
    let line = pem.lines().nth(1).expect("base64");
    assert!(!format!("{pool:?}").contains(line));
    // What is no key is said with its place, and not replaced.
    fs::write(folder.join("key.pem"), "no key").expect("written");
    let error = UserPool::open(data.path(), &config(&["app"])).expect_err("no key").to_string();
    assert!(error.contains("key.pem"), "{error}");
}

//! What a verified token says, and whether that is enough.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};
use time::{OffsetDateTime, macros::format_description};

use super::Refusal;

/// The claims of a token that one of its issuer's keys has signed.
#[derive(Clone, PartialEq)]
pub struct Claims(Map<String, Value>);

/// What a token has to say to count.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// Who issued it.
    pub issuer: String,
    /// Whom it may be for; anyone where this is empty.
    pub audience: Vec<String>,
    /// By how much the issuer's clock may differ.
    pub clock_skew: Duration,
}

/// When a token counts, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Times {
    expires: f64,
    begins: Option<f64>,
    issued: Option<f64>,
    skew: Duration,
}

/// In which form claims reach events and templates: as text, always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Lists as `[a b]`, as a JWT authorizer hands them over.
    Jwt,
    /// Lists as `a,b`, and times as dates, as a REST API's user pool authorizer
    /// hands them over.
    UserPool,
}

impl std::fmt::Debug for Claims {
    // They say who somebody is.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Claims")
    }
}

impl Claims {
    pub(super) fn new(claims: Map<String, Value>) -> Self {
        Self(claims)
    }

    /// A claim that is a string.
    pub fn text(&self, name: &str) -> Option<&str> {
        // There are few, so that all are compared sooner than a name is hashed.
        self.0.iter().find(|(own, _)| *own == name)?.1.as_str()
    }

    /// Checks issuer, audience and times at `now`; the times, which have to be
    /// looked at whenever the token comes again.
    ///
    /// # Errors
    /// The first that is wrong, in the service's order.
    pub fn check(&self, rules: &Rules, now: SystemTime) -> Result<Times, Refusal> {
        if self.text("iss") != Some(rules.issuer.as_str()) {
            return Err(Refusal::Issuer);
        }
        if !rules.audience.is_empty()
            && !self.audience().iter().any(|own| rules.audience.iter().any(|any| any == own))
        {
            return Err(Refusal::Audience);
        }
        let expires = self.seconds("exp")?.ok_or(Refusal::NoExpiry)?;
        let mut times = Times { expires, begins: None, issued: None, skew: rules.clock_skew };
        times.check(now)?;
        times.begins = self.seconds("nbf")?;
        times.check(now)?;
        times.issued = self.seconds("iat")?;
        times.check(now)?;
        Ok(times)
    }

    /// `aud`, or `client_id` in a token that has none.
    pub fn audience(&self) -> Vec<&str> {
        match self.0.get("aud") {
            Some(audience) => strings(audience),
            None => self.text("client_id").into_iter().collect(),
        }
    }

    /// What it allows to do: `scope`, words with spaces between, and `scp`,
    /// which some issuers write instead; either may be a list.
    pub fn scopes(&self) -> Vec<&str> {
        let given = ["scp", "scope"].iter().filter_map(|name| self.0.get(*name));
        given.flat_map(strings).flat_map(str::split_ascii_whitespace).collect()
    }

    /// About how many bytes they take.
    pub(super) fn size(&self) -> usize {
        members_size(&self.0)
    }

    /// Seconds since 1970.
    fn seconds(&self, name: &str) -> Result<Option<f64>, Refusal> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::Number(number)) => Ok(number.as_f64()),
            Some(_) => Err(Refusal::Claim),
        }
    }

    /// All claims as text.
    pub fn texts(&self, form: Form) -> Map<String, Value> {
        let text = |(name, value): (&String, &Value)| {
            let text = match form {
                Form::UserPool if matches!(name.as_str(), "exp" | "iat" | "nbf") => date(value),
                _ => None,
            };
            (name.clone(), text.unwrap_or_else(|| plain(value, form)).into())
        };
        self.0.iter().map(text).collect()
    }
}

impl Times {
    /// Whether it counts at `now`.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, now: SystemTime) -> Result<(), Refusal> {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let skew = self.skew.as_secs_f64();
        if now >= self.expires + skew {
            return Err(Refusal::Expired);
        }
        if self.begins.is_some_and(|begins| now < begins - skew) {
            return Err(Refusal::NotYetValid);
        }
        if self.issued.is_some_and(|issued| now < issued - skew) {
            return Err(Refusal::IssuedInFuture);
        }
        Ok(())
    }

    /// How long it goes on counting, but not longer than `longest`.
    pub(super) fn left(&self, now: SystemTime, longest: Duration) -> Duration {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let left = self.expires + self.skew.as_secs_f64() - now;
        Duration::from_secs_f64(left.clamp(0.0, longest.as_secs_f64()))
    }
}

/// Whether a text may be one of the words of `scope`: RFC 6749, section 3.3.
pub fn is_scope(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\'))
}

/// What a member of an object takes beside its name and its value, in bytes:
/// its hash, its place, and the room that is kept for more of them.
const MEMBER_BYTES: usize = 64;

/// Recursion is as deep as a claim nests, which the JSON parser bounds.
fn size(value: &Value) -> usize {
    let held = match value {
        Value::String(text) => text.len(),
        // A list may have room for twice as many.
        Value::Array(items) => {
            size_of_val(items.as_slice()) + items.iter().map(size).sum::<usize>()
        }
        Value::Object(members) => members_size(members),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    size_of::<Value>() + held
}

/// About how many bytes the members of an object take.
pub(super) fn members_size(members: &Map<String, Value>) -> usize {
    members.iter().map(|(name, value)| MEMBER_BYTES + name.len() + size(value)).sum()
}

/// A string, or the strings of a list.
fn strings(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// Recursion is as deep as a claim nests, which the JSON parser bounds.
fn plain(value: &Value, form: Form) -> String {
    match (value, form) {
        (Value::String(text), _) => text.clone(),
        (Value::Array(items), Form::Jwt) => {
            let items: Vec<String> = items.iter().map(|item| plain(item, form)).collect();
            format!("[{}]", items.join(" "))
        }
        (Value::Array(items), Form::UserPool) => {
            let items: Vec<String> = items.iter().map(|item| plain(item, form)).collect();
            items.join(",")
        }
        (other, _) => other.to_string(),
    }
}

/// `Tue Apr 04 18:39:39 UTC 2023`
fn date(value: &Value) -> Option<String> {
    let format = format_description!(
        "[weekday repr:short] [month repr:short] [day] [hour]:[minute]:[second] UTC [year]"
    );
    #[expect(clippy::cast_possible_truncation, reason = "seconds are whole in the service's text")]
    let seconds = value.as_f64()? as i64;
    OffsetDateTime::from_unix_timestamp(seconds).ok()?.format(&format).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(value: Value) -> Claims {
        match value {
            Value::Object(claims) => Claims::new(claims),
            other => panic!("{other} is no object"),
        }
    }

    fn check(value: Value) -> Result<(), Refusal> {
        let rules = Rules {
            issuer: "https://issuer.example".to_owned(),
            audience: vec!["app".to_owned(), "other".to_owned()],
            clock_skew: Duration::from_secs(10),
        };
        let mut all = json!({ "iss": "https://issuer.example", "aud": "app", "exp": 2000 });
        for (name, value) in value.as_object().expect("an object") {
            all[name] = value.clone();
        }
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        claims(all).check(&rules, now).map(drop)
    }

    #[test]
    fn claims_are_checked_as_the_service_lists_them() {
        for (value, expected) in [
            (json!({}), Ok(())),
            (json!({ "iss": "https://issuer.example/" }), Err(Refusal::Issuer)),
            (json!({ "iss": ["https://issuer.example"] }), Err(Refusal::Issuer)),
            (json!({ "aud": ["x", "other"] }), Ok(())),
            (json!({ "aud": [] }), Err(Refusal::Audience)),
            // What is there counts, even if it is nothing.
            (json!({ "aud": null, "client_id": "app" }), Err(Refusal::Audience)),
            (json!({ "aud": "x", "client_id": "app" }), Err(Refusal::Audience)),
            (json!({ "exp": 991 }), Ok(())),
            (json!({ "exp": 990 }), Err(Refusal::Expired)),
            (json!({ "exp": 1e300 }), Ok(())),
            (json!({ "exp": -1e300 }), Err(Refusal::Expired)),
            (json!({ "exp": "2000" }), Err(Refusal::Claim)),
            (json!({ "exp": null }), Err(Refusal::Claim)),
            (json!({ "nbf": 1010 }), Ok(())),
            (json!({ "nbf": 1010.5 }), Err(Refusal::NotYetValid)),
            (json!({ "nbf": "soon" }), Err(Refusal::Claim)),
            (json!({ "iat": 1010 }), Ok(())),
            (json!({ "iat": 1011 }), Err(Refusal::IssuedInFuture)),
        ] {
            assert_eq!(check(value.clone()), expected, "{value}");
        }
        let rules =
            Rules { issuer: "i".into(), audience: vec!["app".into()], clock_skew: Duration::ZERO };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let client = claims(json!({ "iss": "i", "client_id": "app", "exp": 1001 }));
        assert_eq!(client.check(&rules, now).map(drop), Ok(()));
        let endless = claims(json!({ "iss": "i", "client_id": "app" }));
        assert_eq!(endless.check(&rules, now).map(drop), Err(Refusal::NoExpiry));
    }

    #[test]
    fn scopes_are_words_or_lists() {
        for (value, scopes) in [
            (json!({ "scope": "a  b" }), vec!["a", "b"]),
            (json!({ "scope": ["a", "b c", 7] }), vec!["a", "b", "c"]),
            (json!({ "scp": "a", "scope": "b" }), vec!["a", "b"]),
            (json!({ "scope": { "a": 1 } }), vec![]),
            (json!({}), vec![]),
        ] {
            assert_eq!(claims(value.clone()).scopes(), scopes, "{value}");
        }
    }

    #[test]
    fn claims_are_handed_over_as_text() {
        let all = claims(json!({
            "exp": 1_680_633_579, "auth_time": 1_680_629_979, "verified": true, "nothing": null,
            "groups": ["a", "b", ["c", 1]], "address": { "city": "x" }, "ratio": 1.5, "sub": "s",
        }));
        assert_eq!(
            Value::Object(all.texts(Form::Jwt)),
            json!({
                "exp": "1680633579", "auth_time": "1680629979", "verified": "true",
                "nothing": "null", "groups": "[a b [c 1]]", "address": "{\"city\":\"x\"}",
                "ratio": "1.5", "sub": "s",
            })
        );
        let pool = Value::Object(all.texts(Form::UserPool));
        assert_eq!(pool["exp"], "Tue Apr 04 18:39:39 UTC 2023");
        assert_eq!(pool["auth_time"], "1680629979");
        assert_eq!(pool["groups"], "a,b,c,1");
        let far = claims(json!({ "exp": 1e300 })).texts(Form::UserPool);
        assert_eq!(far["exp"], "1e+300");
    }
}

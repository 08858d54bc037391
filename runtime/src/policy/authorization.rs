//! What an authorizer answers: who calls, and what they may.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-output.html>

use serde_json::{Map, Value};

use super::{Action, Call, Decision, Policy};
use crate::config::Secret;

/// What an authorizer said of a caller.
#[derive(Debug)]
pub struct Authorization {
    /// Who it is.
    pub principal: Option<String>,
    /// What it says about them.
    pub context: Map<String, Value>,
    /// The API key whose usage plan counts.
    pub usage_identifier_key: Option<Secret>,
    verdict: Verdict,
    /// How long its text is, in bytes.
    pub size: usize,
}

#[derive(Debug)]
enum Verdict {
    Policy(Policy),
    Simple(bool),
}

impl Authorization {
    /// Reads the answer of an authorizer: `isAuthorized` if it `is_simple`,
    /// else a principal and a policy. Objects and lists in its context are
    /// `nested`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &str, is_simple: bool, nested: bool) -> Result<Self, String> {
        let answer: Value = serde_json::from_str(text)
            .map_err(|error| format!("its answer is not JSON: {error}"))?;
        let context = match &answer["context"] {
            Value::Null => Map::new(),
            Value::Object(context) => context.clone(),
            other => return Err(format!("context is {other}, not an object")),
        };
        let is_nested = |value: &Value| matches!(value, Value::Object(_) | Value::Array(_));
        if !nested && context.values().any(is_nested) {
            return Err("context may hold strings, numbers and booleans".to_owned());
        }
        let principal = answer["principalId"].as_str().map(str::to_owned);
        let verdict = match (is_simple, &answer["isAuthorized"]) {
            (true, Value::Bool(is_authorized)) => Verdict::Simple(*is_authorized),
            (true, _) => return Err("its answer has no isAuthorized".to_owned()),
            (false, _) if principal.is_none() => {
                return Err("its answer has no principalId".to_owned());
            }
            (false, _) => {
                let policy = Policy::parse_answer(&answer["policyDocument"]);
                Verdict::Policy(policy.map_err(|why| format!("its policyDocument: {why}"))?)
            }
        };
        let key = answer["usageIdentifierKey"].as_str();
        let usage_identifier_key = key.map(|key| Secret::new(key.to_owned()));
        Ok(Self { principal, context, usage_identifier_key, verdict, size: text.len() })
    }

    /// Whether the caller may make this call.
    pub fn decide(&self, call: &Call<'_>) -> Decision {
        match &self.verdict {
            Verdict::Simple(true) if call.action == Action::Invoke => Decision::Allow,
            Verdict::Simple(true) => Decision::ImplicitDeny,
            Verdict::Simple(false) => Decision::ExplicitDeny,
            Verdict::Policy(policy) => policy.decide(call),
        }
    }

    /// The context with values as text, and the principal.
    pub fn texts(&self) -> Map<String, Value> {
        let text = |value: &Value| match value {
            Value::Null | Value::String(_) => value.clone(),
            other => other.to_string().into(),
        };
        let mut texts: Map<String, Value> =
            self.context.iter().map(|(name, value)| (name.clone(), text(value))).collect();
        if let Some(principal) = &self.principal {
            texts.insert("principalId".to_owned(), principal.as_str().into());
        }
        texts
    }
}

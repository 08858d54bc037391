//! From JSON to a policy. What IAM has and we don't is refused by name: a
//! policy that is read in part would allow what it should not.

use serde_json::{Map, Value};

use super::{Condition, Patterns, Policy, Principals, Statement};

impl Policy {
    /// Reads a policy document.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse(document: &Value) -> Result<Self, String> {
        Self::read(document, Whom::Named)
    }

    /// Reads a policy of a caller, which has no principals.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse_identity(document: &Value) -> Result<Self, String> {
        Self::read(document, Whom::Owner)
    }

    /// Reads the policy that an authorizer answers, of whoever has asked.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse_answer(document: &Value) -> Result<Self, String> {
        Self::read(document, Whom::Anyone)
    }

    fn read(document: &Value, whom: Whom) -> Result<Self, String> {
        let object = document.as_object().ok_or("the policy is not an object")?;
        only(object, "the policy", &["Version", "Id", "Statement"])?;
        if let Some(version) = object.get("Version")
            && !matches!(version.as_str(), Some("2012-10-17" | "2008-10-17"))
        {
            return Err(format!("Version is {version}, not \"2012-10-17\""));
        }
        let statements = match object.get("Statement") {
            None => return Err("the policy has no Statement".to_owned()),
            Some(Value::Array(list)) => list.iter().collect(),
            Some(one) => vec![one],
        };
        let numbered = statements.into_iter().enumerate();
        let statements =
            numbered.map(|(index, one)| statement(one, &format!("Statement[{index}]"), whom));
        Ok(Self { statements: statements.collect::<Result<_, _>>()? })
    }
}

/// Whom a policy's statements are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whom {
    /// Those whom they name.
    Named,
    /// Whose policy it is; they name nobody.
    Owner,
    /// The same, whomever they name.
    Anyone,
}

const ELEMENTS: [&str; 9] = [
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
];

fn statement(value: &Value, path: &str, whom: Whom) -> Result<Statement, String> {
    let object = value.as_object().ok_or_else(|| format!("{path} is not an object"))?;
    only(object, path, &ELEMENTS)?;
    let allows = match object.get("Effect") {
        Some(Value::String(text)) if text == "Allow" => true,
        Some(Value::String(text)) if text == "Deny" => false,
        Some(other) => return Err(format!("{path}.Effect is {other}, not \"Allow\" or \"Deny\"")),
        None => return Err(format!("{path} has no Effect")),
    };
    let named = ["Principal", "NotPrincipal"].into_iter().find(|name| object.contains_key(*name));
    if let (Whom::Owner, Some(name)) = (whom, named) {
        return Err(format!(
            "{path}.{name}: a policy of a user is about that user, and names none"
        ));
    }
    let lower = |text: &str| Some(text.to_ascii_lowercase());
    Ok(Statement {
        allows,
        principals: (whom == Whom::Named).then(|| principals(object, path)).transpose()?,
        actions: patterns(object, path, "Action", "NotAction", lower)?,
        resources: patterns(object, path, "Resource", "NotResource", resource)?,
        conditions: Condition::parse_all(object.get("Condition"), path)?,
    })
}

fn only(object: &Map<String, Value>, path: &str, names: &[&str]) -> Result<(), String> {
    match object.keys().find(|name| !names.contains(&name.as_str())) {
        Some(name) => Err(format!("{path}: there is no element {name:?}")),
        None => Ok(()),
    }
}

/// Which of two elements is there.
fn either<'v>(
    object: &'v Map<String, Value>,
    path: &str,
    own: &str,
    not: &str,
) -> Result<(&'v Value, String, bool), String> {
    match (object.get(own), object.get(not)) {
        (Some(value), None) => Ok((value, format!("{path}.{own}"), false)),
        (None, Some(value)) => Ok((value, format!("{path}.{not}"), true)),
        (None, None) => Err(format!("{path} has neither {own} nor {not}")),
        (Some(_), Some(_)) => Err(format!("{path} has both {own} and {not}")),
    }
}

/// Callers are meant by `*`, by their ARN or by their account; services and
/// strangers' identities never call.
fn principals(object: &Map<String, Value>, path: &str) -> Result<Principals, String> {
    let (value, path, negated) = either(object, path, "Principal", "NotPrincipal")?;
    let names = match value {
        Value::Object(kinds) => {
            let mut names = Vec::new();
            for (kind, value) in kinds {
                if !matches!(kind.as_str(), "AWS" | "Service" | "Federated" | "CanonicalUser") {
                    return Err(format!("{path}: there is no kind of principal {kind:?}"));
                }
                let own = strings(value, &format!("{path}.{kind}"))?;
                if kind == "AWS" {
                    names.extend(own);
                }
            }
            names
        }
        Value::String(text) if text == "*" => vec![text.clone()],
        other => return Err(format!("{path} is {other}, not \"*\" or an object")),
    };
    Ok(Principals { names, negated })
}

fn patterns(
    object: &Map<String, Value>,
    path: &str,
    own: &str,
    not: &str,
    read: impl Fn(&str) -> Option<String>,
) -> Result<Patterns, String> {
    let (value, path, negated) = either(object, path, own, not)?;
    let texts = strings(value, &path)?;
    if let Some(text) = texts.iter().find(|text| text.contains("${aws:")) {
        return Err(format!("{path} is {text:?}: policy variables are not known"));
    }
    Ok(Patterns { patterns: texts.iter().filter_map(|text| read(text)).collect(), negated })
}

/// The service and what a resource's ARN has below the API, with the slash that
/// it begins with: region, account and API are those of a deployment that this
/// is not. None where it can mean no call of an API or a function.
fn resource(text: &str) -> Option<String> {
    let of_api = |rest: &str| format!("execute-api:{rest}");
    if let Some(rest) = text.strip_prefix("execute-api:") {
        return Some(match rest.starts_with(['/', '*']) {
            true => of_api(rest),
            false => of_api(&format!("/{rest}")),
        });
    }
    // The first star takes what is before the stage.
    if text.starts_with('*') {
        return Some(text.to_owned());
    }
    if matches!(text, "arn:*" | "arn:aws:*") {
        return Some("*".to_owned());
    }
    // Partition, region and account may be CloudFormation's `${AWS::Region}`.
    let arn = text.strip_prefix("arn:")?.replace("${AWS::", "${");
    let (_, arn) = arn.split_once(':')?;
    if let Some(arn) = arn.strip_prefix("lambda:") {
        return function(arn).map(|own| format!("lambda:{own}"));
    }
    let arn = arn.strip_prefix("execute-api:")?;
    match arn.split_once('/') {
        // A star at the API's end takes slashes too, and so any of the path.
        Some((api, rest)) if api.ends_with('*') => Some(of_api(&format!("*/{rest}"))),
        Some((_, rest)) => Some(of_api(&format!("/{rest}"))),
        None => arn.ends_with('*').then(|| of_api("*")),
    }
}

/// What an ARN of Lambda says of functions, behind region and account, or the
/// star that takes these. None where it is about layers and the like.
fn function(arn: &str) -> Option<&str> {
    let leads = |before: &str| before.ends_with([':', '*']) && before.matches(':').count() <= 2;
    let mut found = arn.match_indices("function:").map(|(at, _)| at);
    if let Some(at) = found.find(|at| leads(&arn[..*at])) {
        return Some(&arn[at..]);
    }
    let mut parts = arn.splitn(3, ':').skip(1);
    let is_account = |text: &str| {
        text.starts_with("${") || text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'*' | b'?'))
    };
    match (parts.next(), parts.next()) {
        _ if !arn.ends_with('*') => None,
        (None, _) => Some("*"),
        (Some(account), _) if !is_account(account) => None,
        (Some(_), None) => Some("*"),
        (Some(_), Some(own)) => (!own.contains(':')).then_some(own),
    }
}

/// A string or several.
pub fn strings(value: &Value, path: &str) -> Result<Vec<String>, String> {
    let text = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        _ => Err(format!("{path} is not a string or a list of strings: {value}")),
    };
    match value {
        Value::Array(list) => list.iter().map(text).collect(),
        one => Ok(vec![text(one)?]),
    }
}

//! Policies in IAM's language, as API Gateway evaluates them for calls of an
//! API: explicit deny before allow, and nothing without an allow.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html>

mod authorization;
mod condition;
mod parse;

pub use authorization::Authorization;
use condition::Condition;
pub use condition::range;

/// A policy document.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    statements: Vec<Statement>,
}

#[derive(Debug, Clone, PartialEq)]
struct Statement {
    allows: bool,
    /// Whom it is about; callers themselves where a policy has no principals.
    principals: Option<Principals>,
    actions: Patterns,
    resources: Patterns,
    conditions: Vec<Condition>,
}

/// Patterns of which one has to match, or none may.
#[derive(Debug, Clone, PartialEq)]
struct Patterns {
    patterns: Vec<String>,
    negated: bool,
}

/// Whom a statement of a resource's policy is about, or not.
#[derive(Debug, Clone, PartialEq)]
struct Principals {
    /// `*`, ARNs and accounts.
    names: Vec<String>,
    negated: bool,
}

/// How far a statement is about a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Naming {
    No,
    /// It names their account, whose own policies decide what it hands on.
    Account,
    Caller,
}

/// A caller with a name.
#[derive(Debug, Clone, Copy)]
pub struct Principal<'c> {
    /// Its ARN.
    pub arn: &'c str,
    /// Its account's number.
    pub account: &'c str,
}

/// A call of an API.
#[derive(Clone, Copy)]
pub struct Call<'c> {
    /// What the call is, among IAM's actions.
    pub action: Action,
    /// Who makes it; none who has no name.
    pub principal: Option<Principal<'c>>,
    /// `/STAGE/METHOD/path`, as the ARN of a method ends, or `function:NAME`.
    pub resource: &'c str,
    /// Values of condition keys, whose names come in lower case.
    pub context: &'c dyn Fn(&str) -> Option<String>,
}

/// What a policy says of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// A statement allows it, and none denies it.
    Allow,
    /// A statement denies it.
    ExplicitDeny,
    /// No statement says anything.
    ImplicitDeny,
}

/// What policies of an API allow and deny.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Calling a method.
    Invoke,
    /// Having an answer made anew that a stage keeps.
    InvalidateCache,
    /// Calling a function's own URL.
    InvokeFunctionUrl,
}

impl Action {
    /// Its name among IAM's actions.
    pub fn name(self) -> &'static str {
        match self {
            Self::Invoke => "execute-api:Invoke",
            Self::InvalidateCache => "execute-api:InvalidateCache",
            Self::InvokeFunctionUrl => "lambda:InvokeFunctionUrl",
        }
    }

    /// The service whose action it is, as ARNs name it.
    pub fn service(self) -> &'static str {
        match self {
            Self::Invoke | Self::InvalidateCache => "execute-api",
            Self::InvokeFunctionUrl => "lambda",
        }
    }
}

impl Policy {
    /// Whether the call is allowed.
    pub fn decide(&self, call: &Call<'_>) -> Decision {
        // Actions are compared without regard to case.
        let action = call.action.name().to_ascii_lowercase();
        let resource = format!("{}:{}", call.action.service(), call.resource);
        let applying = self.statements.iter();
        let applying = applying.filter(|own| own.applies(call, &action, &resource));
        let mut decision = Decision::ImplicitDeny;
        for statement in applying {
            if !statement.allows {
                return Decision::ExplicitDeny;
            }
            decision = Decision::Allow;
        }
        decision
    }
}

impl Statement {
    fn applies(&self, call: &Call<'_>, action: &str, resource: &str) -> bool {
        self.is_about(call.principal)
            && self.actions.hold(action)
            && self.resources.hold(resource)
            && self.conditions.iter().all(|condition| condition.holds(call.context))
    }

    /// To allow somebody something, their account is not enough.
    fn is_about(&self, principal: Option<Principal<'_>>) -> bool {
        let Some(principals) = &self.principals else { return true };
        match principals.name(principal) {
            Naming::No => principals.negated,
            Naming::Account => !principals.negated && !self.allows,
            Naming::Caller => !principals.negated,
        }
    }
}

impl Principals {
    fn name(&self, principal: Option<Principal<'_>>) -> Naming {
        let is_account = |name: &str, account: &str| {
            let root = name.strip_suffix(":root").and_then(|name| name.rsplit(':').next());
            name == account || (name.starts_with("arn:") && root == Some(account))
        };
        let is = |name: &String| match principal {
            _ if name == "*" => Naming::Caller,
            Some(own) if name == own.arn => Naming::Caller,
            Some(own) if is_account(name, own.account) => Naming::Account,
            _ => Naming::No,
        };
        let names: Vec<Naming> = self.names.iter().map(is).collect();
        let found = [Naming::Caller, Naming::Account].into_iter().find(|own| names.contains(own));
        found.unwrap_or(Naming::No)
    }
}

impl Patterns {
    fn hold(&self, text: &str) -> bool {
        self.patterns.iter().any(|pattern| matches(pattern, text)) != self.negated
    }
}

/// Whether `text` is like `pattern`, in which `*` is any text and `?` any
/// character. Takes time in proportion to both lengths.
fn matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    // Where the last star stands, and how much it takes so far.
    let mut star: Option<(usize, usize)> = None;
    while let Some(c) = text.get(t) {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(own) if *own == '?' || own == c => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((at, taken)) = star else { return false };
                star = Some((at, taken + 1));
                p = at + 1;
                t = taken + 1;
            }
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn functions_are_called_by_their_own_urls() {
        let context = |_: &str| None;
        let decide = |action: Action, resource: &str, pattern: &str| {
            let statement =
                json!({ "Effect": "Allow", "Principal": "*", "Action": "*", "Resource": pattern });
            let policy = Policy::parse(&json!({ "Version": "2012-10-17", "Statement": statement }));
            let call = Call { principal: None, action, resource, context: &context };
            policy.expect("a policy").decide(&call) == Decision::Allow
        };
        let url = |pattern: &str| decide(Action::InvokeFunctionUrl, "function:pets", pattern);
        let api = |pattern: &str| decide(Action::Invoke, "/prod/GET/pets", pattern);
        for pattern in [
            "*",
            "arn:*",
            "arn:aws:lambda:us-east-1:000000000000:function:pets",
            "arn:aws:lambda:*:function:p*",
            "arn:aws:lambda:*",
            "arn:aws:lambda:us-east-1:*",
            "arn:aws:lambda:*:*:*",
            "arn:aws:lambda:${AWS::Region}:${AWS::AccountId}:function:*",
        ] {
            assert!(url(pattern), "{pattern}");
        }
        for pattern in [
            "arn:aws:lambda:*:*:layer:*",
            "arn:aws:lambda:*:layer:*",
            "arn:aws:lambda:us-east-1:000000000000:layer*",
            "arn:aws:lambda:us-east-1:000000000000:layer:my-function:*",
            "arn:aws:lambda:us-east-1:000000000000:event-source-mapping:*",
            "arn:aws:lambda:us-east-1:000000000000:function:pet",
            "arn:aws:lambda:us-east-1:000000000000:function:pets:live",
            "arn:aws:execute-api:us-east-1:000000000000:abc/*",
            "execute-api:/*",
            "execute-api:*",
        ] {
            assert!(!url(pattern), "{pattern}");
        }
        assert!(api("execute-api:/*") && api("*/GET/pets") && api("arn:aws:execute-api:*"));
        assert!(!api("arn:aws:lambda:*"));
        let named = "arn:aws:execute-api:us-east-1:0:abc/prod/POST/run:lambda:x";
        assert!(decide(Action::Invoke, "/prod/POST/run:lambda:x", named));
    }

    fn decide(statements: &Value, resource: &str, ip: &str) -> Decision {
        let policy = Policy::parse(&json!({ "Version": "2012-10-17", "Statement": statements }));
        let context = |key: &str| match key {
            "aws:sourceip" => Some(ip.to_owned()),
            "aws:useragent" => Some("curl/8".to_owned()),
            "aws:securetransport" => Some("false".to_owned()),
            "aws:currenttime" => Some("2026-06-01T12:00:00Z".to_owned()),
            "aws:epochtime" => Some("1780315200".to_owned()),
            _ => None,
        };
        let call = Call { principal: None, action: Action::Invoke, resource, context: &context };
        policy.expect("a policy").decide(&call)
    }

    fn statement(effect: &str, resource: &str) -> Value {
        json!({ "Effect": effect, "Principal": "*", "Action": "execute-api:Invoke", "Resource": resource })
    }

    #[test]
    fn a_deny_comes_before_an_allow_and_nothing_is_a_deny() {
        let (allow, deny) =
            (statement("Allow", "*"), statement("Deny", "execute-api:/prod/*/admin*"));
        let both = json!([allow, deny]);
        assert_eq!(decide(&both, "/prod/GET/pets", "127.0.0.1"), Decision::Allow);
        assert_eq!(decide(&both, "/prod/GET/admin/1", "127.0.0.1"), Decision::ExplicitDeny);
        assert_eq!(decide(&json!([deny]), "/prod/GET/pets", "127.0.0.1"), Decision::ImplicitDeny);
        assert_eq!(decide(&allow, "/prod/GET/pets", "127.0.0.1"), Decision::Allow);
    }

    #[test]
    fn resources_are_compared_below_the_api() {
        for (resource, expected) in [
            ("*", Decision::Allow),
            ("arn:aws:execute-api:*:*:*", Decision::Allow),
            ("arn:aws:execute-api:eu-west-1:123456789012:abc/*", Decision::Allow),
            (
                "arn:aws-cn:execute-api:${AWS::Region}:${AWS::AccountId}:abc/prod/GET/pets",
                Decision::Allow,
            ),
            // A star takes slashes, and what is on both sides of the API's id.
            ("arn:aws:execute-api:us-east-1:1:*/GET/pets", Decision::Allow),
            ("arn:aws:execute-api:us-east-1:1:*/prod/*", Decision::Allow),
            ("arn:aws:execute-api:us-east-1:*/pets", Decision::Allow),
            ("arn:aws:execute-api:us-east-1:1:abc/GET/pets", Decision::ImplicitDeny),
            ("arn:aws:execute-api:us-east-1:1:*/rod/GET/pets", Decision::ImplicitDeny),
            ("*/GET/pets", Decision::Allow),
            ("*/prod/GET/*", Decision::Allow),
            ("execute-api:*/pets", Decision::Allow),
            ("execute-api:prod/GET/pets", Decision::Allow),
            ("execute-api:/prod/G?T/pets", Decision::Allow),
            ("execute-api:/*/*/pets", Decision::Allow),
            ("execute-api:/prod/POST/pets", Decision::ImplicitDeny),
            ("execute-api:/prod/GET/pets/*", Decision::ImplicitDeny),
            ("arn:aws:execute-api:eu-west-1:123456789012:abc", Decision::ImplicitDeny),
            ("arn:aws:s3:::bucket/*", Decision::ImplicitDeny),
        ] {
            let policy = statement("Allow", resource);
            assert_eq!(decide(&policy, "/prod/GET/pets", "127.0.0.1"), expected, "{resource}");
        }
    }

    #[test]
    fn elements_may_be_lists_and_negations() {
        let with = |key: &str, value: Value| {
            let mut policy = statement("Allow", "*");
            policy.as_object_mut().expect("an object").remove("Principal");
            let principal = json!({ "AWS": ["arn:aws:iam::1:root", "*"] });
            policy["Principal"] = principal;
            if let Some(own) = key.strip_prefix("Not") {
                policy.as_object_mut().expect("an object").remove(own);
            }
            policy[key] = value;
            decide(&policy, "/prod/GET/pets", "127.0.0.1")
        };
        assert_eq!(with("Action", json!(["s3:Get*", "execute-api:*"])), Decision::Allow);
        assert_eq!(with("Action", json!("EXECUTE-API:invoke")), Decision::Allow);
        assert_eq!(with("Action", json!("execute-api:ManageConnections")), Decision::ImplicitDeny);
        assert_eq!(with("NotAction", json!("execute-api:Invoke")), Decision::ImplicitDeny);
        assert_eq!(with("NotResource", json!("execute-api:/prod/POST/*")), Decision::Allow);
        assert_eq!(with("NotResource", json!(["*"])), Decision::ImplicitDeny);
        assert_eq!(with("Principal", json!({ "AWS": "123456789012" })), Decision::ImplicitDeny);
        assert_eq!(with("NotPrincipal", json!({ "AWS": "123456789012" })), Decision::Allow);
        assert_eq!(with("NotPrincipal", json!("*")), Decision::ImplicitDeny);
    }

    #[test]
    fn leave_to_call_is_no_leave_to_invalidate() {
        let decide = |action: Value| {
            let mut allowing = statement("Allow", "*");
            allowing["Action"] = action;
            let policy = Policy::parse(&json!({ "Statement": allowing })).expect("a policy");
            let context = |_: &str| None;
            let call = Call {
                principal: None,
                action: Action::InvalidateCache,
                resource: "a",
                context: &context,
            };
            policy.decide(&call)
        };
        assert_eq!(decide(json!("execute-api:Invoke")), Decision::ImplicitDeny);
        assert_eq!(decide(json!("execute-api:invalidatecache")), Decision::Allow);
        assert_eq!(decide(json!(["execute-api:*"])), Decision::Allow);
        let simple = Authorization::read(r#"{"isAuthorized": true}"#, true, true);
        let context = |_: &str| None;
        let call = |action| Call { principal: None, action, resource: "a", context: &context };
        let decide = |action| simple.as_ref().map(|simple| simple.decide(&call(action)));
        assert_eq!(decide(Action::Invoke), Ok(Decision::Allow));
        assert_eq!(decide(Action::InvalidateCache), Ok(Decision::ImplicitDeny));
    }

    #[test]
    fn principals_are_callers_or_their_account() {
        const ADA: &str = "arn:aws:iam::000000000000:user/ada";
        let decide = |effect: &str, element: &str, principals: Value, caller: Option<&str>| {
            let mut statement = json!({ "Effect": effect, "Action": "*", "Resource": "*" });
            statement[element] = principals;
            let policy = Policy::parse(&json!({ "Statement": statement })).expect("a policy");
            let principal = caller.map(|arn| Principal { arn, account: "000000000000" });
            let (action, resource) = (Action::Invoke, "/prod/GET/pets");
            policy.decide(&Call { principal, action, resource, context: &|_| None })
        };
        let (root, account) = ("arn:aws:iam::000000000000:root", "000000000000");
        let (allow, deny, none) = (Decision::Allow, Decision::ExplicitDeny, Decision::ImplicitDeny);
        for (principals, allowed, denied) in [
            (json!("*"), allow, deny),
            (json!({ "AWS": [ADA, "x"] }), allow, deny),
            (json!({ "AWS": "arn:aws:iam::000000000000:user/*" }), none, none),
            (json!({ "AWS": "arn:aws:iam::111111111111:user/ada" }), none, none),
            (json!({ "AWS": "arn:aws:iam::111111111111:root" }), none, none),
            // It hands on to the account's own policies.
            (json!({ "AWS": root }), none, deny),
            (json!({ "AWS": account }), none, deny),
            (json!({ "AWS": [root, ADA] }), allow, deny),
            (json!({ "Service": [ADA, "*"] }), none, none),
        ] {
            let found = decide("Allow", "Principal", principals.clone(), Some(ADA));
            assert_eq!(found, allowed, "{principals}");
            let found = decide("Deny", "Principal", principals.clone(), Some(ADA));
            assert_eq!(found, denied, "{principals}");
            let found = decide("Deny", "NotPrincipal", principals.clone(), Some(ADA));
            assert_eq!(found, if denied == deny { none } else { deny }, "{principals}");
        }
        assert_eq!(decide("Allow", "Principal", json!({ "AWS": [ADA, root] }), None), none);
        assert_eq!(decide("Deny", "NotPrincipal", json!({ "AWS": ADA }), None), deny);
        let eve = Some("arn:aws:iam::000000000000:user/eve");
        assert_eq!(decide("Deny", "NotPrincipal", json!({ "AWS": ADA }), eve), deny);
    }

    #[test]
    fn a_user_s_policy_names_nobody() {
        for element in ["Principal", "NotPrincipal"] {
            let mut own = json!({ "Effect": "Allow", "Action": "*", "Resource": "*" });
            let document = json!({ "Statement": own });
            Policy::parse_identity(&document).expect("a policy");
            own[element] = json!({ "AWS": "arn:aws:iam::000000000000:user/ada" });
            let document = json!({ "Statement": own });
            let why = Policy::parse_identity(&document).expect_err("it names somebody");
            assert!(why.starts_with(&format!("Statement[0].{element}: ")), "{why}");
            // What an authorizer answers is about its caller, whomever it names.
            Policy::parse_answer(&document).expect("a policy");
        }
    }

    #[test]
    fn conditions_hold_or_not() {
        for (condition, holds) in [
            (json!({ "IpAddress": { "aws:SourceIp": "127.0.0.0/8" } }), true),
            (json!({ "IpAddress": { "aws:SourceIp": ["10.0.0.0/8", "127.0.0.1"] } }), true),
            (json!({ "IpAddress": { "aws:SourceIp": ["10.0.0.0/8", "2001:db8::/32"] } }), false),
            (json!({ "NotIpAddress": { "aws:SourceIp": ["10.0.0.0/8"] } }), true),
            (json!({ "NotIpAddress": { "aws:SourceIp": "::ffff:127.0.0.0/104" } }), false),
            (json!({ "NotIpAddress": { "aws:SourceIp": "::ffff:7f00:1/128" } }), false),
            (json!({ "NotIpAddress": { "aws:SourceIp": "::ffff:127.0.0.1" } }), false),
            (json!({ "IpAddress": { "aws:SourceIp": "::ffff:0:0/96" } }), true),
            (json!({ "IpAddress": { "aws:SourceIp": "::ffff:10.0.0.0/104" } }), false),
            (json!({ "IpAddress": { "aws:SourceIp": "::/0" } }), false),
            (json!({ "NotIpAddress": { "AWS:sourceip": ["127.0.0.1/32", "10.0.0.0/8"] } }), false),
            (json!({ "IpAddress": { "aws:VpcSourceIp": "10.0.0.0/8" } }), false),
            (json!({ "NotIpAddress": { "aws:VpcSourceIp": "10.0.0.0/8" } }), true),
            (json!({ "StringEquals": { "aws:UserAgent": ["wget", "curl/8"] } }), true),
            (json!({ "StringEquals": { "aws:UserAgent": "CURL/8" } }), false),
            (json!({ "StringEqualsIgnoreCase": { "aws:UserAgent": "CURL/8" } }), true),
            (json!({ "StringNotEquals": { "aws:UserAgent": ["wget", "curl/8"] } }), false),
            (json!({ "StringLike": { "aws:UserAgent": "curl/*" } }), true),
            (json!({ "StringNotLike": { "aws:UserAgent": "curl/*" } }), false),
            (json!({ "StringEquals": { "aws:SourceVpc": "vpc-1" } }), false),
            (json!({ "StringNotEquals": { "aws:SourceVpc": "vpc-1" } }), true),
            (json!({ "StringEqualsIfExists": { "aws:SourceVpc": "vpc-1" } }), true),
            (json!({ "ForAnyValue:StringLike": { "aws:UserAgent": "curl*" } }), true),
            (json!({ "ForAnyValue:StringLike": { "aws:SourceVpce": "*" } }), false),
            (json!({ "ForAnyValue:StringNotLike": { "aws:UserAgent": "wget*" } }), true),
            (json!({ "ForAnyValue:StringNotEquals": { "aws:SourceVpce": "x" } }), false),
            (json!({ "ForAnyValue:StringNotEqualsIfExists": { "aws:SourceVpce": "x" } }), true),
            (json!({ "ForAllValues:StringLike": { "aws:SourceVpce": "x" } }), true),
            (json!({ "ForAllValues:StringNotLike": { "aws:SourceVpce": "x" } }), true),
            (json!({ "Bool": { "aws:SecureTransport": "false" } }), true),
            (json!({ "Bool": { "aws:SecureTransport": true } }), false),
            (json!({ "Null": { "aws:SourceVpc": "true" } }), true),
            (json!({ "Null": { "aws:SourceIp": true } }), false),
            (json!({ "DateLessThan": { "aws:CurrentTime": "2026-06-01T12:00:01Z" } }), true),
            (json!({ "DateGreaterThan": { "aws:CurrentTime": "2026-06-02" } }), false),
            (json!({ "DateGreaterThanEquals": { "aws:EpochTime": "1780315200" } }), true),
            (json!({ "NumericLessThan": { "aws:EpochTime": 1780315200 } }), false),
            (json!({ "NumericNotEquals": { "aws:EpochTime": "5" } }), true),
            (json!({ "ArnLike": { "aws:SourceArn": "arn:*" } }), false),
            (
                json!({ "IpAddress": { "aws:SourceIp": "127.0.0.1" }, "Bool": { "aws:SecureTransport": "true" } }),
                false,
            ),
        ] {
            let mut policy = statement("Allow", "*");
            policy["Condition"] = condition.clone();
            let expected = if holds { Decision::Allow } else { Decision::ImplicitDeny };
            assert_eq!(decide(&policy, "/prod/GET/pets", "127.0.0.1"), expected, "{condition}");
        }
    }

    #[test]
    fn what_is_no_policy_is_an_error_that_names_the_place() {
        for (policy, error) in [
            (json!([]), "the policy is not an object"),
            (json!({}), "the policy has no Statement"),
            (json!({ "Statement": [1] }), "Statement[0] is not an object"),
            (json!({ "Version": "2020-01-01", "Statement": [] }), "Version is \"2020-01-01\""),
            (json!({ "Statement": [], "Statment": [] }), "there is no element \"Statment\""),
            (json!({ "Statement": { "Effect": "allow" } }), "Statement[0].Effect is \"allow\""),
            (
                json!({ "Statement": { "Effect": "Allow", "Principal": "*", "Resource": "*" } }),
                "Statement[0] has neither Action nor NotAction",
            ),
            (
                json!({ "Statement": { "Effect": "Allow", "Action": "*", "Resource": "*" } }),
                "Statement[0] has neither Principal nor NotPrincipal",
            ),
            (
                json!({ "Statement": { "Effect": "Allow", "Principal": "*", "Action": "*", "Resource": 1 } }),
                "Statement[0].Resource is not a string",
            ),
            (
                json!({ "Statement": { "Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*", "NotResource": "*" } }),
                "Statement[0] has both Resource and NotResource",
            ),
            (
                json!({ "Statement": { "Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "execute-api:/*/GET/${aws:username}" } }),
                "Statement[0].Resource is \"execute-api:/*/GET/${aws:username}\": policy variables",
            ),
            (
                json!({ "Statement": { "Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*", "Condition": { "IpAdress": {} } } }),
                "Statement[0].Condition has no operator \"IpAdress\"",
            ),
            (
                json!({ "Statement": { "Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*", "Condition": { "IpAddress": { "aws:SourceIp": "a" } } } }),
                "\"a\" is not an address or a range",
            ),
            (
                json!({ "Statement": { "Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*", "Condition": { "StringLike": { "aws:UserAgent": "${aws:username}" } } } }),
                "policy variables",
            ),
        ] {
            let found = Policy::parse(&policy).expect_err("no policy");
            assert!(found.contains(error), "{policy}: {found}");
        }
    }

    proptest::proptest! {
        #[test]
        fn patterns_match_as_regular_expressions_do(pattern in "[ab*?]{0,8}", text in "[ab]{0,8}") {
            let regex = pattern.replace('*', ".*").replace('?', ".");
            let regex = fancy_regex::Regex::new(&format!("^{regex}$")).expect("a pattern");
            proptest::prop_assert_eq!(matches(&pattern, &text), regex.is_match(&text).expect("an end"));
        }
    }
}

//! The format of a stage's access log: text with `$context` variables.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-variables-for-access-logging.html>
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-logging-variables.html>

use super::{
    context::{AUTHORIZER, COMMON},
    keys::closest,
};

/// The longest format, in bytes: the service's bound.
const FORMAT_BYTES_MAX: usize = 3072;

/// A format, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLogFormat(pub Vec<AccessLogPiece>);

/// A piece of a format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLogPiece {
    /// What stands there as it is.
    Text(String),
    /// `$context.a.b`, as `a.b`.
    Context(String),
}

/// What the service has beside those. Of what Mayfly knows nothing, the log
/// has `-`.
const OWN: [&str; 33] = [
    "authenticate.error",
    "authenticate.latency",
    "authenticate.status",
    "authorize.error",
    "authorize.latency",
    "authorize.status",
    "authorizer.error",
    "authorizer.integrationLatency",
    "authorizer.integrationStatus",
    "authorizer.latency",
    "authorizer.principalId",
    "authorizer.requestId",
    "authorizer.status",
    "awsEndpointRequestId2",
    "cipherSuite",
    "customDomain.basePathMatched",
    "customDomain.routingRuleIdMatched",
    "dataProcessed",
    "integration.error",
    "integration.integrationStatus",
    "integration.latency",
    "integration.requestId",
    "integration.status",
    "integrationErrorMessage",
    "integrationLatency",
    "integrationStatus",
    "responseLatency",
    "responseLength",
    "routeKey",
    "tlsVersion",
    "waf.error",
    "waf.latency",
    "waf.status",
];

const PREFIX: &str = "$context.";

impl AccessLogFormat {
    /// Parses a format.
    ///
    /// # Errors
    /// What is wrong with it, and what to do about it.
    pub fn parse(text: &str) -> Result<Self, (String, String)> {
        if text.len() > FORMAT_BYTES_MAX {
            let message = format!("has {} bytes, more than {FORMAT_BYTES_MAX}", text.len());
            return Err((message, "leave some variables out".to_owned()));
        }
        if text.chars().any(|c| c.is_control() && c != '\t') {
            return Err((
                "is not one line of text".to_owned(),
                "each request is a line".to_owned(),
            ));
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(PREFIX) {
            if at > 0 {
                pieces.push(AccessLogPiece::Text(rest[..at].to_owned()));
            }
            let after = &rest[at + PREFIX.len()..];
            let name = &after[..name_length(after)];
            check(name)?;
            pieces.push(AccessLogPiece::Context(name.to_owned()));
            rest = &after[name.len()..];
        }
        if !rest.is_empty() {
            pieces.push(AccessLogPiece::Text(rest.to_owned()));
        }
        let identifies = |piece: &AccessLogPiece| {
            matches!(piece, AccessLogPiece::Context(name)
                if name == "requestId" || name == "extendedRequestId")
        };
        if !pieces.iter().any(identifies) {
            let message = "names no request: it needs $context.requestId".to_owned();
            return Err((message, "write $context.requestId or $context.extendedRequestId".into()));
        }
        Ok(Self(pieces))
    }
}

/// How long `a.b` is at the beginning of `text`; a dot that ends a sentence is
/// none of it.
fn name_length(text: &str) -> usize {
    let mut length = 0;
    for (index, part) in text.split('.').enumerate() {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let own = part.find(|c| !word(c)).unwrap_or(part.len());
        if own == 0 {
            break;
        }
        length += own + usize::from(index > 0);
        if own < part.len() {
            break;
        }
    }
    length
}

fn check(name: &str) -> Result<(), (String, String)> {
    let mut variables = [&COMMON[..], &OWN].concat();
    variables.sort_unstable();
    if variables.contains(&name) || name.strip_prefix(AUTHORIZER).is_some_and(|own| !own.is_empty())
    {
        return Ok(());
    }
    let last = format!(".{name}");
    let belongs = variables.iter().copied().find(|known| known.ends_with(&last));
    let hint = match belongs.or_else(|| closest(name, &variables)) {
        Some(near) => format!("did you mean $context.{near}?"),
        None => "the variables are API Gateway's for access logs".to_owned(),
    };
    Err((format!("has the unknown variable $context.{name}"), hint))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(text: &str) -> AccessLogPiece {
        AccessLogPiece::Text(text.to_owned())
    }

    fn context(name: &str) -> AccessLogPiece {
        AccessLogPiece::Context(name.to_owned())
    }

    #[test]
    fn formats_are_text_and_variables() {
        let format = r#"$context.identity.sourceIp [$context.requestTime] "$context.path." $5 $context.requestId"#;
        assert_eq!(
            AccessLogFormat::parse(format),
            Ok(AccessLogFormat(vec![
                context("identity.sourceIp"),
                text(" ["),
                context("requestTime"),
                text("] \""),
                context("path"),
                text(".\" $5 "),
                context("requestId"),
            ]))
        );
        let own = "$context.authorizer.tenant_id,$context.extendedRequestId";
        assert!(AccessLogFormat::parse(own).is_ok());
    }

    #[test]
    fn what_names_nothing_is_refused() {
        for (format, message) in [
            ("$context.requestId $context.pth", "unknown variable $context.pth"),
            ("$context.requestId $context.path.json", "unknown variable $context.path.json"),
            ("$context.requestId $context.", "unknown variable $context."),
            ("$context.requestId $context.authorizer", "unknown variable $context.authorizer"),
            ("$context.status", "names no request"),
            ("", "names no request"),
            ("$context.requestId\n$context.status", "not one line"),
        ] {
            let (found, hint) = AccessLogFormat::parse(format).expect_err(format);
            assert!(found.contains(message), "{found}");
            assert!(!hint.is_empty());
        }
        let (_, hint) = AccessLogFormat::parse("$context.requestID").expect_err("another case");
        assert_eq!(hint, "did you mean $context.requestId?");
        let (_, hint) =
            AccessLogFormat::parse("$context.requestId $context.sourceIp").expect_err("no such");
        assert_eq!(hint, "did you mean $context.identity.sourceIp?");
        let long = format!("$context.requestId{}", "x".repeat(FORMAT_BYTES_MAX));
        assert!(AccessLogFormat::parse(&long).expect_err("long").0.contains("more than 3072"));
    }

    proptest! {
        #[test]
        fn any_format_is_parsed_or_refused(format in "(\\$context\\.|[a-zA-Z.$ \\PC]|requestId){0,30}") {
            if let Ok(AccessLogFormat(pieces)) = AccessLogFormat::parse(&format) {
                let again: String = pieces
                    .iter()
                    .map(|piece| match piece {
                        AccessLogPiece::Text(text) => text.clone(),
                        AccessLogPiece::Context(name) => format!("{PREFIX}{name}"),
                    })
                    .collect();
                prop_assert_eq!(again, format);
            }
        }
    }
}

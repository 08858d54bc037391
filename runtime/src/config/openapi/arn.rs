//! From what an integration calls to the name of a handler.

use crate::config::FunctionName;

/// How parameters that hold ARNs end, the longest first.
const ENDINGS: [&str; 9] = [
    "_invocation_arn",
    "_invoke_arn",
    "_invoke_uri",
    "InvokeArn",
    "InvokeUri",
    "_arn",
    "_uri",
    "Arn",
    "Uri",
];

/// The function that `uri` calls: `Ok` with its name, `Err` with why it cannot
/// be known. None where it calls something else than a function.
pub fn function(uri: &str) -> Option<Result<String, String>> {
    let called = match uri.split_once("/functions/") {
        Some((before, after)) if before.contains(":lambda:path") => {
            Some(after.rsplit_once("/invocations").map_or(after, |(arn, _)| arn))
        }
        _ if uri.contains(":lambda:") && uri.contains(":function:") => Some(uri),
        // CloudFormation's or Terraform's word for an ARN, and nothing else.
        _ if uri.starts_with("${") && !uri.contains('/') => Some(uri),
        _ => None,
    }?;
    let named = match called.split_once(":function:") {
        Some((_, named)) => named,
        None => called,
    };
    Some(name(named).and_then(|name| match FunctionName::parse(&name) {
        Ok(_) => Ok(name),
        Err(_) => Err(format!("{name:?} cannot be the name of a handler")),
    }))
}

const STAGE_VARIABLE: &str = "${stageVariables.";

/// `NAME`, `NAME:QUALIFIER`, `${NAME.Arn}`, `${NAME}` and the like; stage
/// variables may stand anywhere in it.
fn name(named: &str) -> Result<String, String> {
    let unknown = || format!("which function {named:?} is, is only known once it is deployed");
    let mut is_inside = false;
    let end = named.find(|c: char| {
        is_inside = c == '{' || (is_inside && c != '}');
        !is_inside && matches!(c, ':' | '/')
    });
    let name = &named[..end.unwrap_or(named.len())];
    if !name.replace(STAGE_VARIABLE, "").contains("${") {
        return Ok(name.to_owned());
    }
    let inner = name.strip_prefix("${").and_then(|open| open.strip_suffix('}'));
    let inner = inner.filter(|inner| !inner.contains(['{', '}', ':'])).ok_or_else(unknown)?;
    let mut parts = inner.split('.');
    let first = parts.next().unwrap_or_default();
    Ok(match (first, parts.next()) {
        ("aws_lambda_function" | "aws_lambda_alias", Some(name)) => name.to_owned(),
        // A nested stack's output is named as parameters are.
        (_, Some("Outputs")) => shortened(parts.next().unwrap_or_default()),
        (name, Some(_)) => name.to_owned(),
        (name, None) => shortened(name),
    })
}

/// A name that says that it is an ARN, without that.
fn shortened(name: &str) -> String {
    let short = ENDINGS.iter().find_map(|ending| name.strip_suffix(ending));
    short.filter(|short| !short.is_empty()).unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_has_the_name_in_its_arn() {
        let path = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/";
        let arn = "arn:aws:lambda:us-east-1:123456789012:function:";
        for (uri, name) in [
            (format!("{path}{arn}hello/invocations"), "hello"),
            (format!("{path}{arn}hello:live/invocations"), "hello"),
            (format!("{arn}hello"), "hello"),
            (format!("{arn}hello:$LATEST"), "hello"),
            (format!("{path}${{HelloFunction.Arn}}/invocations"), "HelloFunction"),
            (format!("{path}${{HelloFunction.Arn}}:live/invocations"), "HelloFunction"),
            (format!("{path}${{HelloFunctionArn}}/invocations"), "HelloFunction"),
            (
                "arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:function:${Hello}/invocations".to_owned(),
                "Hello",
            ),
            ("${HelloFunction.Arn}".to_owned(), "HelloFunction"),
            ("${aws_lambda_function.hello.invoke_arn}".to_owned(), "hello"),
            ("${hello_invoke_arn}".to_owned(), "hello"),
            ("${Stack.Outputs.HelloArn}".to_owned(), "Hello"),
            (format!("{path}{arn}${{stageVariables.f}}:live/invocations"), "${stageVariables.f}"),
            (format!("{path}{arn}a-${{stageVariables.f}}/invocations"), "a-${stageVariables.f}"),
            ("${hello_uri}".to_owned(), "hello"),
            ("${Arn}".to_owned(), "Arn"),
        ] {
            assert_eq!(function(&uri), Some(Ok(name.to_owned())), "{uri}");
        }
    }

    #[test]
    fn names_that_only_a_deployment_knows_are_none() {
        let path = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/";
        for name in ["${AWS::StackName}-f", "f-${Env}", "${A}-${B}", "", "a b"] {
            let uri = format!("{path}arn:aws:lambda:us-east-1:1:function:{name}/invocations");
            assert!(matches!(function(&uri), Some(Err(_))), "{name}");
        }
        for other in [
            "https://example.com/functions/x",
            "arn:aws:apigateway:us-east-1:dynamodb:action/PutItem",
            "arn:aws:apigateway:us-east-1:states:action/StartExecution",
            "",
        ] {
            assert_eq!(function(other), None, "{other}");
        }
    }
}

//! Authorizes as the caller's token says: `allow`, `deny`, `allow-get`, `simple-yes`, `fail` and so on.
#![cfg(target_family = "wasm")]
#![allow(unsafe_code, reason = "generated bindings")]
#![allow(missing_docs, reason = "generated bindings")]

wit_bindgen::generate!({ path: "../../../wit", world: "function" });

use serde_json::{Value, json};

struct Authorizer;

impl Guest for Authorizer {
    fn handle(text: String, context: Context) -> Result<String, FunctionError> {
        let event: Value =
            serde_json::from_str(&text).map_err(|error| failed(&error.to_string()))?;
        let places = [
            &event["authorizationToken"],
            &event["headers"]["Authorization"],
            &event["headers"]["authorization"],
            &event["queryStringParameters"]["token"],
        ];
        let token = places.into_iter().find_map(Value::as_str).unwrap_or("nobody");
        let what = token.split(':').next().unwrap_or_default();
        let effect = if what.starts_with("allow") { "Allow" } else { "Deny" };
        let resource = match what {
            "allow-get" => "arn:aws:execute-api:*:*:*/*/GET/*",
            "allow-other" => "arn:aws:execute-api:us-east-1:000000000000:mayfly/other/*",
            _ => "*",
        };
        let mut answer = json!({
            "principalId": format!("user {token}"),
            "policyDocument": {
                "Version": "2012-10-17",
                "Statement": [{ "Effect": effect, "Action": "execute-api:Invoke", "Resource": resource }],
            },
            "context": { "call": context.request_id, "number": 5, "flag": true, "event": text },
        });
        if what.ends_with("-key") {
            answer["usageIdentifierKey"] = token.split(':').nth(1).into();
        }
        match what {
            "unauthorized" => return Err(failed("Unauthorized")),
            "fail" => return Err(failed("asked to fail")),
            "nonsense" => return Ok("[1]".to_owned()),
            "nobody" => answer["principalId"] = Value::Null,
            "allow-cache" => {
                let actions = json!(["execute-api:Invoke", "execute-api:InvalidateCache"]);
                answer["policyDocument"]["Statement"][0]["Action"] = actions;
            }
            "nested" => answer["context"]["list"] = json!([1]),
            "simple-yes" => {
                answer = json!({ "isAuthorized": true, "context": { "list": [1, "2"] } });
            }
            "simple-key" => answer["isAuthorized"] = true.into(),
            "simple-no" => answer = json!({ "isAuthorized": false }),
            "broken" => answer["policyDocument"]["Statement"][0]["Effect"] = json!("Maybe"),
            _ => {}
        }
        Ok(answer.to_string())
    }
}

fn failed(message: &str) -> FunctionError {
    FunctionError {
        error_type: "Error".to_owned(),
        error_message: message.to_owned(),
        stack_trace: Vec::new(),
    }
}

export!(Authorizer);

//! What a function answered, read as API Gateway reads it, each payload format
//! in its own way.
//!
//! Format 1.0: <https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html#api-gateway-simple-proxy-for-lambda-output-format>
//! Format 2.0: <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html#http-api-develop-integrations-lambda.response>

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::error::GatewayError;
use crate::json::Borrowed;

/// Headers that an answer may have: far more than any client reads, and less
/// than what a header map holds.
pub const HEADERS_MAX: usize = 1000;

/// Status, headers and body.
pub type ResponseParts = (StatusCode, HeaderMap, Bytes);

fn malformed(reason: impl Into<String>) -> GatewayError {
    GatewayError::Malformed(reason.into())
}

fn parsed(text: &str) -> Result<Borrowed<'_>, GatewayError> {
    serde_json::from_str(text).map_err(|error| malformed(format!("it is not JSON: {error}")))
}

/// Format 1.0: no member is mandatory, and no other is allowed. `decodes` is
/// whether base64 becomes bytes.
///
/// # Errors
/// [`GatewayError::Malformed`] where the answer has another form.
pub fn v1(text: &str, decodes: bool) -> Result<ResponseParts, GatewayError> {
    let members = match parsed(text)? {
        Borrowed::Object(members) => members,
        other => return Err(malformed(format!("it is {}, not an object", other.kind()))),
    };
    let answer = Answer::of(members)?;
    if let Some(name) = &answer.others.first().map(|(name, _)| name) {
        return Err(malformed(format!(
            "it has the member {name:?}; allowed are statusCode, headers, multiValueHeaders, body and isBase64Encoded"
        )));
    }
    answer.into_parts(decodes)
}

/// Format 2.0: an answer without `statusCode` is the body itself.
///
/// # Errors
/// [`GatewayError::Malformed`] where the answer has another form.
pub fn v2(text: &str) -> Result<ResponseParts, GatewayError> {
    match parsed(text)? {
        Borrowed::Object(members) if members.iter().any(|(name, _)| name == "statusCode") => {
            let mut answer = Answer::of(members)?;
            let cookies = answer.others.iter_mut().rfind(|(name, _)| name == "cookies");
            if let Some((_, cookies)) = cookies {
                for cookie in strings(std::mem::take(cookies), "cookies")? {
                    let value = header_value("cookies", &cookie)?;
                    append(&mut answer.headers, header::SET_COOKIE, value)?;
                }
            }
            answer.into_parts(true)
        }
        inferred => {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            let body = match inferred {
                Borrowed::String(text) => text.into_owned(),
                other => other.to_string(),
            };
            Ok((StatusCode::OK, headers, Bytes::from(body)))
        }
    }
}

/// The members that both formats share, and what else there is.
struct Answer<'t> {
    status: StatusCode,
    headers: HeaderMap,
    body: Cow<'t, str>,
    is_base64_encoded: bool,
    others: Members<'t>,
}

type Members<'t> = Vec<(Cow<'t, str>, Borrowed<'t>)>;

impl<'t> Answer<'t> {
    fn of(members: Members<'t>) -> Result<Self, GatewayError> {
        let mut others = Vec::new();
        let [mut status_code, mut single, mut multiple, mut body, mut flag] =
            [const { Borrowed::Null }; 5];
        // Of members with the same name the last one counts.
        for (name, value) in members {
            match &*name {
                "statusCode" => status_code = value,
                "headers" => single = value,
                "multiValueHeaders" => multiple = value,
                "body" => body = value,
                "isBase64Encoded" => flag = value,
                _ => others.push((name, value)),
            }
        }
        Ok(Self {
            status: status(&status_code)?,
            headers: headers(single, multiple)?,
            body: match body {
                Borrowed::Null => Cow::Borrowed(""),
                Borrowed::String(text) => text,
                other => return Err(malformed(format!("body is {}, not a string", other.kind()))),
            },
            is_base64_encoded: match flag {
                Borrowed::Null => false,
                Borrowed::Bool(flag) => flag,
                other => {
                    let kind = other.kind();
                    return Err(malformed(format!("isBase64Encoded is {kind}, not a boolean")));
                }
            },
            others,
        })
    }

    fn into_parts(self, decodes: bool) -> Result<ResponseParts, GatewayError> {
        let body = if self.is_base64_encoded && decodes {
            let bytes = STANDARD
                .decode(self.body.as_bytes())
                .map_err(|error| malformed(format!("body is not base64: {error}")))?;
            Bytes::from(bytes)
        } else {
            Bytes::from(self.body.into_owned())
        };
        Ok((self.status, self.headers, body))
    }
}

/// A number, or text that is one; 200 where there is none.
fn status(value: &Borrowed<'_>) -> Result<StatusCode, GatewayError> {
    let number = match value {
        Borrowed::Null => Some(200),
        Borrowed::Number(number) => number
            .as_u64()
            .or_else(|| number.as_f64().filter(|n| n.fract() == 0.0).map(|n| n as u64)),
        Borrowed::String(text) => text.parse().ok(),
        _ => None,
    };
    let status = number
        .filter(|number| (200..=599).contains(number))
        .and_then(|number| StatusCode::from_u16(u16::try_from(number).ok()?).ok());
    status.ok_or_else(|| malformed(format!("statusCode is {value}, not one of 200 to 599")))
}

/// Those of `headers` and `multiValueHeaders`.
fn headers(single: Borrowed<'_>, multiple: Borrowed<'_>) -> Result<HeaderMap, GatewayError> {
    let mut headers = HeaderMap::new();
    for (name, value) in object(single, "headers")? {
        let value = value
            .into_text()
            .map_err(|other| malformed(format!("the header {name:?} is {}", other.kind())))?;
        let (parsed, value) = (header_name(&name)?, header_value(&name, &value)?);
        // The same name in another case: the last one counts.
        headers.remove(&parsed);
        append(&mut headers, parsed, value)?;
    }
    for (name, values) in object(multiple, "multiValueHeaders")? {
        let parsed = header_name(&name)?;
        // A name in both: the service merges, and a value counts once.
        for value in strings(values, &name)? {
            let value = header_value(&name, &value)?;
            if !headers.get_all(&parsed).iter().any(|other| other == value) {
                append(&mut headers, parsed.clone(), value)?;
            }
        }
    }
    Ok(headers)
}

fn object<'t>(value: Borrowed<'t>, name: &str) -> Result<Members<'t>, GatewayError> {
    match value {
        Borrowed::Null => Ok(Vec::new()),
        Borrowed::Object(members) => Ok(members),
        other => Err(malformed(format!("{name} is {}, not an object", other.kind()))),
    }
}

fn strings<'t>(value: Borrowed<'t>, name: &str) -> Result<Vec<Cow<'t, str>>, GatewayError> {
    let list = match value {
        Borrowed::Null => return Ok(Vec::new()),
        Borrowed::Array(list) => list,
        other => return Err(malformed(format!("{name} is {}, not an array", other.kind()))),
    };
    list.into_iter()
        .map(|value| {
            let text = value.into_text();
            text.map_err(|other| malformed(format!("{name} holds {}, not a string", other.kind())))
        })
        .collect()
}

fn append(
    headers: &mut HeaderMap,
    name: HeaderName,
    value: HeaderValue,
) -> Result<(), GatewayError> {
    if headers.len() >= HEADERS_MAX {
        return Err(malformed(format!("it has more than {HEADERS_MAX} headers")));
    }
    headers.append(name, value);
    Ok(())
}

fn header_name(name: &str) -> Result<HeaderName, GatewayError> {
    name.parse().map_err(|_| malformed(format!("{name:?} is not a header's name")))
}

fn header_value(name: &str, value: &str) -> Result<HeaderValue, GatewayError> {
    HeaderValue::from_str(value)
        .map_err(|_| malformed(format!("{value:?} cannot be the value of the header {name:?}")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;

    fn v1(value: &Value) -> Result<ResponseParts, GatewayError> {
        super::v1(&value.to_string(), true)
    }

    fn v2(value: &Value) -> Result<ResponseParts, GatewayError> {
        super::v2(&value.to_string())
    }

    fn header<'h>(parts: &'h ResponseParts, name: &str) -> Vec<&'h str> {
        parts.1.get_all(name).iter().map(|value| value.to_str().expect("text")).collect()
    }

    #[test]
    fn format_1_takes_every_member() {
        let parts = v1(&json!({
            "statusCode": "201",
            "headers": { "X-One": "1", "X-Flag": true },
            "multiValueHeaders": { "x-one": ["1", "2"], "Set-Cookie": ["a=1", "b=2"] },
            "body": "aGk=",
            "isBase64Encoded": true,
        }))
        .expect("well formed");
        assert_eq!(parts.0, StatusCode::CREATED);
        assert_eq!(header(&parts, "x-one"), ["1", "2"]);
        assert_eq!(header(&parts, "x-flag"), ["true"]);
        assert_eq!(header(&parts, "set-cookie"), ["a=1", "b=2"]);
        assert_eq!(parts.2, "hi");
        let parts = v1(&json!({})).expect("nothing is mandatory");
        assert_eq!((parts.0, parts.2), (StatusCode::OK, Bytes::new()));
    }

    #[test]
    fn format_1_refuses_what_the_service_refuses() {
        for malformed in [
            json!("text"),
            json!(null),
            json!([]),
            json!({ "message": "hi" }),
            json!({ "statusCode": 200, "cookies": [] }),
            json!({ "statusCode": "abc" }),
            json!({ "statusCode": 99 }),
            json!({ "statusCode": 1000 }),
            json!({ "statusCode": 200.5 }),
            json!({ "statusCode": 200, "body": { "a": 1 } }),
            json!({ "statusCode": 200, "headers": [] }),
            json!({ "statusCode": 200, "headers": { "a b": "1" } }),
            json!({ "statusCode": 200, "headers": { "a": "1\r\nb: 2" } }),
            json!({ "statusCode": 200, "headers": { "a": {} } }),
            json!({ "statusCode": 200, "multiValueHeaders": { "a": "1" } }),
            json!({ "statusCode": 200, "body": "%", "isBase64Encoded": true }),
            json!({ "statusCode": 200, "isBase64Encoded": "yes" }),
        ] {
            assert!(v1(&malformed).is_err(), "{malformed}");
        }
    }

    #[test]
    fn format_2_infers_what_is_missing() {
        for (value, body) in [
            (json!("Hello"), "Hello"),
            (json!({ "message": "Hello" }), "{\"message\":\"Hello\"}"),
            (json!([1, 2]), "[1,2]"),
            (json!(null), "null"),
            (json!({ "body": "x" }), "{\"body\":\"x\"}"),
        ] {
            let parts = v2(&value).expect("anything goes");
            assert_eq!(parts.0, StatusCode::OK);
            assert_eq!(header(&parts, "content-type"), ["application/json"]);
            assert_eq!(parts.2, body);
        }
        let parts =
            v2(&json!({ "statusCode": 200, "cookies": ["a=1; Secure", "b=2"] })).expect("fine");
        assert_eq!(header(&parts, "set-cookie"), ["a=1; Secure", "b=2"]);
        assert!(v2(&json!({ "statusCode": 99 })).is_err());
    }

    #[test]
    fn of_members_with_one_name_the_last_counts() {
        let parts = super::v1(
            r#"{"statusCode":201,"body":"a","headers":{"x-a":"1","X-A":"2"},"statusCode":202,"body":"b"}"#,
            true,
        )
        .expect("well formed");
        assert_eq!((parts.0, &*parts.2), (StatusCode::ACCEPTED, &b"b"[..]));
        assert_eq!(header(&parts, "x-a"), ["2"]);
        let parts = super::v2(r#"{"statusCode":200,"cookies":["a=1"],"cookies":["b=2"]}"#);
        assert_eq!(header(&parts.expect("well formed"), "set-cookie"), ["b=2"]);
    }

    #[test]
    fn what_is_no_json_says_where() {
        for text in ["", "{", r#"{"statusCode":}"#, "{} {}", &"[".repeat(10_000)] {
            let expected = serde_json::from_str::<Value>(text).expect_err("no JSON");
            for parts in [super::v1(text, true), super::v2(text)] {
                let error = parts.expect_err("no JSON").to_string();
                assert!(error.contains(&format!("it is not JSON: {expected}")), "{error}");
            }
        }
    }

    #[test]
    fn a_flood_of_headers_is_refused() {
        let many: Map<String, Value> =
            (0..50_000).map(|index| (format!("x-{index}"), json!("1"))).collect();
        let cookies = vec!["a=1"; 50_000];
        assert!(v1(&json!({ "headers": many })).is_err());
        assert!(
            v1(&json!({ "multiValueHeaders": { "a": (0..2000).collect::<Vec<_>>() } })).is_err()
        );
        assert!(v2(&json!({ "statusCode": 200, "cookies": cookies })).is_err());
    }

    /// JSON of the members that count, with values of every kind.
    fn answer() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            (150_u16..650).prop_map(Value::from),
            "\\PC{0,8}".prop_map(Value::from),
        ];
        let value = scalar.prop_recursive(2, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("[a-zA-Z-]{1,8}", inner), 0..4)
                    .prop_map(|entries| Value::Object(entries.into_iter().collect())),
            ]
        });
        let name = prop_oneof![
            Just("statusCode"),
            Just("headers"),
            Just("multiValueHeaders"),
            Just("cookies"),
            Just("body"),
            Just("isBase64Encoded"),
        ];
        prop::collection::vec((name, value), 0..6).prop_map(|members| {
            members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
        })
    }

    proptest! {
        #[test]
        fn any_answer_is_a_response_or_malformed(value in answer()) {
            for parts in [v1(&value), v2(&value)] {
                match parts {
                    Ok((status, headers, _)) => {
                        prop_assert!((200..600).contains(&status.as_u16()));
                        prop_assert!(headers.len() <= HEADERS_MAX);
                    }
                    Err(error) => prop_assert!(matches!(error, GatewayError::Malformed(_))),
                }
            }
        }
    }
}

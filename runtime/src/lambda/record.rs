//! What functions are told: the records of destinations, the messages of dead
//! letters, the events of schedules.

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{moment, queue::Event};
use crate::{
    gateway::ACCOUNT_ID,
    sandbox::{REGION, arn},
};

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// The function answered.
    Success,
    /// It failed as often as it may.
    RetriesExhausted,
    /// It became too old.
    EventAgeExceeded,
}

/// The last attempt.
pub struct Attempt {
    /// The version that ran.
    pub version: String,
    /// Its answer, or its error's JSON.
    pub outcome: Result<String, String>,
}

impl Condition {
    fn name(self) -> &'static str {
        match self {
            Self::Success => "Success",
            Self::RetriesExhausted => "RetriesExhausted",
            Self::EventAgeExceeded => "EventAgeExceeded",
        }
    }
}

/// The record that a destination gets.
///
/// <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html>
pub fn destination(event: &Event, condition: Condition, attempt: Option<&Attempt>) -> String {
    let runs = event.failures + u32::from(condition == Condition::Success);
    let function = arn(&event.function.name);
    let mut record = json!({
        "version": "1.0",
        "timestamp": moment::record(moment::now()),
        "requestContext": {
            "requestId": event.request_id,
            "functionArn": format!("{function}:{}", event.function.version()),
            "condition": condition.name(),
            "approximateInvokeCount": runs,
        },
        "requestPayload": json_or_text(&event.payload),
    });
    if let Some(attempt) = attempt {
        let mut context = json!({ "statusCode": 200, "executedVersion": attempt.version });
        if attempt.outcome.is_err() {
            context["functionError"] = "Unhandled".into();
        }
        let (Ok(payload) | Err(payload)) = &attempt.outcome;
        record["responseContext"] = context;
        record["responsePayload"] = json_or_text(payload);
    }
    record.to_string()
}

/// What a function gets that reads the queue of dead letters: an event of SQS
/// with one message, whose body is the event.
///
/// <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html#invocation-dlq>
pub fn dead_letter(event: &Event, condition: Condition, attempt: Option<&Attempt>) -> String {
    let error = attempt.and_then(|attempt| attempt.outcome.as_ref().err());
    let error: Value = error.map_or(Value::Null, |text| json_or_text(text));
    let message = error["errorMessage"].as_str().unwrap_or(condition.name());
    // SQS's bound for the attribute is Lambda's: the first kilobyte.
    let message: String = message.chars().take(1024).collect();
    let text = |value: &str| json!({ "stringValue": value, "dataType": "String", "stringListValues": [], "binaryListValues": [] });
    let now = moment::now_ms().to_string();
    json!({
        "Records": [{
            "messageId": uuid::Uuid::new_v4().to_string(),
            "receiptHandle": event.request_id,
            "body": event.payload,
            "attributes": {
                "ApproximateReceiveCount": "1",
                "SentTimestamp": now,
                "SenderId": ACCOUNT_ID,
                "ApproximateFirstReceiveTimestamp": now,
            },
            "messageAttributes": {
                "RequestID": text(&event.request_id),
                "ErrorCode": json!({ "stringValue": "200", "dataType": "Number", "stringListValues": [], "binaryListValues": [] }),
                "ErrorMessage": text(&message),
            },
            "eventSource": "aws:sqs",
            "eventSourceARN": format!("arn:aws:sqs:{REGION}:{ACCOUNT_ID}:{}-dead-letters", event.function.name),
            "awsRegion": REGION,
        }],
    })
    .to_string()
}

/// EventBridge's event of a schedule.
///
/// <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-run-lambda-schedule.html>
pub fn scheduled(name: &str, due: OffsetDateTime) -> String {
    json!({
        "version": "0",
        "id": uuid::Uuid::new_v4().to_string(),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": ACCOUNT_ID,
        "time": moment::event(due),
        "region": REGION,
        "resources": [format!("arn:aws:events:{REGION}:{ACCOUNT_ID}:rule/{name}")],
        "detail": {},
    })
    .to_string()
}

/// A function's answer should be JSON, and may be anything.
fn json_or_text(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::FunctionReference;

    fn event() -> Event {
        let function = FunctionReference { name: "pets".to_owned(), qualifier: None };
        Event { failures: 3, ..Event::new(function, "id".to_owned(), "{\"a\":1}".to_owned()) }
    }

    fn json(text: &str) -> Value {
        serde_json::from_str(text).expect("JSON")
    }

    #[test]
    fn a_destination_gets_lambda_s_record() {
        let attempt = Attempt {
            version: "3".to_owned(),
            outcome: Err("{\"errorType\":\"T\",\"errorMessage\":\"M\"}".to_owned()),
        };
        let record = json(&destination(&event(), Condition::RetriesExhausted, Some(&attempt)));
        assert_eq!(record["version"], "1.0");
        assert_eq!(
            record["requestContext"],
            json!({
                "requestId": "id",
                "functionArn": "arn:aws:lambda:us-east-1:000000000000:function:pets:$LATEST",
                "condition": "RetriesExhausted",
                "approximateInvokeCount": 3,
            })
        );
        assert_eq!(record["requestPayload"], json!({ "a": 1 }));
        assert_eq!(
            record["responseContext"],
            json!({ "statusCode": 200, "executedVersion": "3", "functionError": "Unhandled" })
        );
        assert_eq!(record["responsePayload"]["errorMessage"], "M");
        let record = json(&destination(&event(), Condition::EventAgeExceeded, None));
        assert_eq!(record["requestContext"]["condition"], "EventAgeExceeded");
        assert!(record.get("responseContext").is_none());
        let letter = json(&dead_letter(&event(), Condition::RetriesExhausted, Some(&attempt)));
        let letter = &letter["Records"][0];
        assert_eq!(letter["body"], "{\"a\":1}");
        assert_eq!(letter["messageAttributes"]["ErrorMessage"]["stringValue"], "M");
    }
}

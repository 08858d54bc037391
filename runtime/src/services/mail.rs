//! Mail: SES's `SendEmail`, written to an outbox of `.eml` files.
//!
//! <https://docs.aws.amazon.com/ses/latest/APIReference/API_SendEmail.html>

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use lettre::{
    Message,
    message::{Mailbox, MessageBuilder, MultiPart, SinglePart},
};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::ServiceError;

/// Recipients of one message, SES's own limit.
const RECIPIENTS_MAX: usize = 50;

pub struct Outbox {
    folder: PathBuf,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct SendEmail {
    source: String,
    destination: Destination,
    message: Content,
    #[serde(default)]
    reply_to_addresses: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Destination {
    #[serde(default)]
    to_addresses: Vec<String>,
    #[serde(default)]
    cc_addresses: Vec<String>,
    #[serde(default)]
    bcc_addresses: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Content {
    subject: Text,
    body: Body,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Body {
    text: Option<Text>,
    html: Option<Text>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Text {
    data: String,
    // Texts come as JSON and leave as UTF-8, whatever is said here.
    #[serde(rename = "Charset")]
    _charset: Option<String>,
}

impl Outbox {
    /// The outbox in `data`; its folder is made with the first message.
    pub fn new(data: &Path) -> Self {
        Self { folder: data.join("outbox") }
    }

    pub async fn call(&self, action: &str, input: &Value) -> Result<String, ServiceError> {
        if action != "SendEmail" {
            return Err(ServiceError::new(
                "InvalidAction",
                format!("the action {action:?} is not served; SendEmail is"),
            ));
        }
        let request = SendEmail::deserialize(input)
            .map_err(|error| ServiceError::new("ValidationError", error.to_string()))?;
        let id = Uuid::new_v4();
        let message = message(&request, id)?.formatted();
        let folder = self.folder.clone();
        let written = tokio::task::spawn_blocking(move || write(&folder, id, &message)).await;
        match written.map_err(io::Error::other).flatten() {
            Ok(path) => {
                tracing::info!(path = %path.display(), "mail put into the outbox");
                Ok(json!({ "MessageId": id.to_string() }).to_string())
            }
            Err(error) => {
                tracing::error!(folder = %self.folder.display(), %error, "mail could not be written");
                Err(ServiceError::new("InternalFailure", "the outbox cannot be written"))
            }
        }
    }
}

type AddMailbox = fn(MessageBuilder, Mailbox) -> MessageBuilder;

fn message(request: &SendEmail, id: Uuid) -> Result<Message, ServiceError> {
    let Destination { to_addresses, cc_addresses, bcc_addresses } = &request.destination;
    let recipients = to_addresses.len() + cc_addresses.len() + bcc_addresses.len();
    if !(1..=RECIPIENTS_MAX).contains(&recipients) {
        return Err(ServiceError::new(
            "InvalidParameterValue",
            format!("Recipient count must be between 1 and {RECIPIENTS_MAX}, it is {recipients}."),
        ));
    }
    let mut builder = Message::builder()
        .message_id(Some(format!("<{id}@email.mayfly.local>")))
        .from(mailbox(&request.source)?)
        .subject(request.message.subject.data.as_str())
        .keep_bcc();
    let lists: [(&[String], AddMailbox); 4] = [
        (to_addresses, MessageBuilder::to),
        (cc_addresses, MessageBuilder::cc),
        (bcc_addresses, MessageBuilder::bcc),
        (&request.reply_to_addresses, MessageBuilder::reply_to),
    ];
    for (addresses, add) in lists {
        for address in addresses {
            builder = add(builder, mailbox(address)?);
        }
    }
    let body = &request.message.body;
    let message = match (&body.text, &body.html) {
        (Some(text), Some(html)) => builder
            .multipart(MultiPart::alternative_plain_html(text.data.clone(), html.data.clone())),
        (Some(text), None) => builder.singlepart(SinglePart::plain(text.data.clone())),
        (None, Some(html)) => builder.singlepart(SinglePart::html(html.data.clone())),
        (None, None) => {
            return Err(ServiceError::new(
                "InvalidParameterValue",
                "Message.Body needs Text or Html",
            ));
        }
    };
    message.map_err(|error| ServiceError::new("InvalidParameterValue", error.to_string()))
}

fn mailbox(address: &str) -> Result<Mailbox, ServiceError> {
    address.parse().map_err(|error| {
        ServiceError::new(
            "InvalidParameterValue",
            format!("{address:?} is not a mail address: {error}"),
        )
    })
}

fn write(folder: &Path, id: Uuid, message: &[u8]) -> io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let path = folder.join(format!("{id}.eml"));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(message)?;
    file.persist(&path)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input() -> Value {
        json!({
            "Source": "Board <board@example.com>",
            "Destination": { "ToAddresses": ["you@example.com"] },
            "Message": {
                "Subject": { "Data": "Grüße" },
                "Body": { "Text": { "Data": "Hello\nthere" } },
            },
        })
    }

    #[tokio::test]
    async fn a_message_lies_in_the_outbox() {
        let data = tempfile::tempdir().expect("a folder");
        let outbox = Outbox::new(data.path());
        let answer = outbox.call("SendEmail", &input()).await.expect("sent");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        let id = answer["MessageId"].as_str().expect("an id");
        let text =
            fs::read_to_string(data.path().join(format!("outbox/{id}.eml"))).expect("a file");
        assert!(text.contains("To: you@example.com"), "{text}");
        assert!(text.contains("Hello"), "{text}");
    }

    #[tokio::test]
    async fn bad_requests_are_refused_and_write_nothing() {
        let data = tempfile::tempdir().expect("a folder");
        let outbox = Outbox::new(data.path());
        let cases = [
            ("/Destination/ToAddresses", json!([]), "InvalidParameterValue"),
            ("/Destination/ToAddresses", json!(["not an address"]), "InvalidParameterValue"),
            ("/Source", json!("a@b.c\r\nBcc: x@y.z"), "InvalidParameterValue"),
            ("/Message/Body", json!({}), "InvalidParameterValue"),
            ("/Message/Subject", json!({ "Data": 1 }), "ValidationError"),
        ];
        for (pointer, value, code) in cases {
            let mut input = input();
            *input.pointer_mut(pointer).expect("a place") = value;
            let error = outbox.call("SendEmail", &input).await.expect_err(pointer);
            assert_eq!(error.code, code, "{error}");
        }
        assert!(!data.path().join("outbox").exists());
    }
}

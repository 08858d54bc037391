//! Sends a notification through SES: `{"to": …, "subject": …, "message": …}`.
//!
//! What the request leaves out comes from the function's environment:
//! `MAIL_TO`, `MAIL_SUBJECT`; the sender is `MAIL_FROM`.

use mayfly_guest::{Context, Error, Request, Response, Value, handler, json, services};

#[derive(Default, serde::Deserialize)]
struct Mail {
    to: Option<String>,
    subject: Option<String>,
    message: Option<String>,
}

#[handler]
fn send_email(request: Request, _context: Context) -> Result<Response, Error> {
    let mail = match request.body() {
        b"" => Mail::default(),
        _ => match request.json() {
            Ok(mail) => mail,
            Err(error) => return Response::json(400, &json!({ "message": error.to_string() })),
        },
    };
    let to = mail.to.unwrap_or_else(|| variable("MAIL_TO", "you@example.com"));
    let subject = mail.subject.unwrap_or_else(|| variable("MAIL_SUBJECT", "Notification"));
    let message = mail.message.unwrap_or_else(|| "Something happened.".to_owned());
    let sent: Value = services::call(
        "ses",
        "SendEmail",
        &json!({
            "Source": variable("MAIL_FROM", "noreply@example.com"),
            "Destination": { "ToAddresses": [to] },
            "Message": {
                "Subject": { "Data": subject },
                "Body": { "Text": { "Data": message } },
            },
        }),
    )?;
    mayfly_guest::info!("sent {}", sent["MessageId"]);
    Response::json(200, &json!({ "message": "Succesfully sent email" }))
}

fn variable(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

#[cfg(test)]
mod tests {
    use mayfly_guest::{ServiceError, testing::World};

    use super::*;

    fn call(world: &World, request: Request) -> Result<Response, Error> {
        world.run(|| send_email(request, Context::default()))
    }

    #[test]
    fn a_mail_is_sent() {
        let world = World::new();
        let mail = json!({ "to": "ada@example.com", "subject": "Hello", "message": "There" });
        let response = call(&world, Request::post("/").with_json(&mail)).expect("an answer");
        assert_eq!(response.body_text(), r#"{"message":"Succesfully sent email"}"#);
        let sent = &world.outbox()[0];
        assert_eq!(sent["Destination"]["ToAddresses"], json!(["ada@example.com"]));
        assert_eq!(sent["Message"]["Subject"]["Data"], "Hello");
        assert_eq!(sent["Message"]["Body"]["Text"]["Data"], "There");
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let world = World::new();
        assert_eq!(call(&world, Request::post("/")).expect("an answer").status(), 200);
        assert_eq!(world.outbox()[0]["Source"], "noreply@example.com");
    }

    #[test]
    fn a_body_that_is_no_mail_is_refused() {
        let world = World::new();
        for body in ["no JSON", r#"{"to":1}"#] {
            let response = call(&world, Request::post("/").with_body(body)).expect("an answer");
            assert_eq!(response.status(), 400, "{body}");
        }
        assert!(world.outbox().is_empty());
    }

    #[test]
    fn a_service_that_fails_ends_the_invocation() {
        let world = World::new()
            .service("ses", |_, _| Err(ServiceError::new("MessageRejected", "not verified")));
        let error = call(&world, Request::post("/")).expect_err("no answer");
        assert_eq!(error.error_type(), "MessageRejected");
    }
}

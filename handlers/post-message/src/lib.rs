//! The whiteboard's writing half: `{"author": …, "text": …}` goes on the board.

use std::time::{SystemTime, UNIX_EPOCH};

use mayfly_guest::table::Condition;
use mayfly_guest::{Context, Error, Request, Response, ServiceError, Table, Value, error, handler};

/// A message as the table keeps it.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    // The same for all messages, so that one query sorts them by time.
    part_key: &'a str,
    created_at: u64,
    author: &'a str,
    text: &'a str,
}

/// Messages that may arrive within one millisecond.
const COLLISIONS_MAX: u32 = 1000;

#[handler]
fn post_message(request: Request, _context: Context) -> Result<Response, Error> {
    let body: Value = match request.json() {
        Ok(body) => body,
        Err(reason) => return Ok(wrong(&format!("the body is not JSON: {reason}"))),
    };
    let field = |name: &str| body[name].as_str().filter(|text| !text.is_empty());
    let (Some(author), Some(text)) = (field("author"), field("text")) else {
        return Ok(Response::text(403, "author and text are required!"));
    };
    match post(author, text) {
        Ok(()) => Ok(Response::text(200, "Message posted on board!")),
        Err(reason) => Ok(wrong(&format!("the message cannot be written: {reason}"))),
    }
}

/// Writes a message. The time is its key: one that arrives in the same
/// millisecond as another takes the next that is free, so that none is lost.
fn post(author: &str, text: &str) -> Result<(), ServiceError> {
    let board = Table::new("board-messages-table");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut created_at = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    for _ in 1..COLLISIONS_MAX {
        let message = Message { part_key: "board", created_at, author, text };
        match board.put_if(&message, Condition::not_exists("partKey")) {
            Err(error) if error.is_condition_failed() => created_at += 1,
            done => return done,
        }
    }
    Err(ServiceError::new("Throttling", "too many messages at once"))
}

fn wrong(reason: &str) -> Response {
    error!("{reason}");
    Response::text(500, "Something went wrong :(")
}

#[cfg(test)]
mod tests {
    use mayfly_guest::{json, testing::World};

    use super::*;

    fn board() -> World {
        World::new().table("board-messages-table", "partKey:S, createdAt:N")
    }

    fn post(world: &World, body: &str) -> (u16, String) {
        let request = Request::post("/messages").with_body(body);
        let response = world.run(|| post_message(request, Context::default()));
        let response = response.expect("an answer");
        (response.status(), response.body_text().into_owned())
    }

    fn messages(world: &World) -> Vec<Value> {
        let board = Table::new("board-messages-table");
        world.run(|| board.query("partKey", "board").send()).expect("the messages")
    }

    #[test]
    fn a_message_is_written() {
        let world = board();
        let answer = post(&world, r#"{"author":"Ada","text":"Hello"}"#);
        assert_eq!(answer, (200, "Message posted on board!".to_owned()));
        let messages = messages(&world);
        assert_eq!(messages.len(), 1);
        assert_eq!(
            (&messages[0]["author"], &messages[0]["text"]),
            (&json!("Ada"), &json!("Hello"))
        );
        assert!(messages[0]["createdAt"].as_u64() > Some(1_600_000_000_000));
    }

    #[test]
    fn author_and_text_are_required() {
        let world = board();
        for body in [r#"{"author":"Ada"}"#, r#"{"author":"","text":"Hello"}"#, "{}", "[]", "null"] {
            let answer = post(&world, body);
            assert_eq!(answer, (403, "author and text are required!".to_owned()), "{body}");
        }
        assert_eq!(post(&world, "Hello").0, 500);
        assert_eq!(messages(&world), [] as [Value; 0]);
    }

    #[test]
    fn messages_of_one_millisecond_are_all_kept() {
        let world = board();
        for _ in 0..50 {
            assert_eq!(post(&world, r#"{"author":"Ada","text":"Hello"}"#).0, 200);
        }
        assert_eq!(messages(&world).len(), 50);
    }
}

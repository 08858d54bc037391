//! The whiteboard's reading half: the newest three messages, newest first, as
//! DynamoDB writes them.

use mayfly_guest::{Context, Error, Request, Response, Table, error, handler};

#[handler]
fn get_messages(_request: Request, _context: Context) -> Result<Response, Error> {
    let board = Table::new("board-messages-table");
    match board.query("partKey", "board").descending().limit(3).send_raw() {
        Ok(messages) => Response::json(200, &messages),
        Err(reason) => {
            error!("the board cannot be read: {reason}");
            Ok(Response::text(500, "Something went wrong :("))
        }
    }
}

#[cfg(test)]
mod tests {
    use mayfly_guest::{Value, json, testing::World};

    use super::*;

    #[test]
    fn the_newest_three_come_newest_first() {
        let mut world = World::new().table("board-messages-table", "partKey:S, createdAt:N");
        for created_at in [1, 3, 2, 4] {
            let message = json!({ "partKey": "board", "createdAt": created_at, "text": "hi" });
            world = world.item("board-messages-table", &message);
        }
        let response = world
            .run(|| get_messages(Request::get("/messages"), Context::default()))
            .expect("an answer");
        let messages: Vec<Value> = response.body_json().expect("JSON");
        let times: Vec<_> = messages.iter().map(|message| &message["createdAt"]["N"]).collect();
        assert_eq!(times, ["4", "3", "2"]);
        assert_eq!(messages[0]["text"], json!({ "S": "hi" }));
    }

    #[test]
    fn without_a_table_it_says_so_kindly() {
        let world = World::new();
        let response = world
            .run(|| get_messages(Request::get("/messages"), Context::default()))
            .expect("an answer");
        assert_eq!(response.status(), 500);
        assert_eq!(response.body_text(), "Something went wrong :(");
        assert!(world.logs()[0].1.contains("ResourceNotFoundException"));
    }
}

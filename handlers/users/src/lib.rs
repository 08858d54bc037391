//! The users API in one function: list, create, read, update and delete.
//!
//! It works behind `/users` and `/users/{id}`, behind a greedy route and under
//! the drop-in rule, with either payload format.

use mayfly_guest::{Context, Error, Request, Response, Table, Value, handler, json};

#[handler]
fn users(request: Request, _context: Context) -> Result<Response, Error> {
    let users = Table::new("Users");
    match (request.method(), id(&request)) {
        ("GET", None) => {
            let found: Vec<Value> = users.scan().send()?;
            answer(200, &json!({ "users": found }))
        }
        ("POST", None) => {
            let body: Value = request.json().unwrap_or_default();
            let Some(id) = body["id"].as_str().filter(|id| !id.is_empty()) else {
                return invalid();
            };
            users.put(&json!({ "id": id, "name": body["name"] }))?;
            answer(201, &json!({ "message": "User created", "id": id }))
        }
        ("GET", Some(id)) => match users.get::<Value>(("id", id))? {
            Some(user) => answer(200, &user),
            None => answer(404, &json!({ "error": "User not found" })),
        },
        ("PUT", Some(id)) => {
            let Ok(body) = request.json::<Value>() else { return invalid() };
            users.update(("id", id)).set("name", &body["name"]).send()?;
            answer(200, &json!({ "message": "User updated" }))
        }
        ("DELETE", Some(id)) => {
            users.delete(("id", id))?;
            answer(200, &json!({ "message": "User deleted" }))
        }
        _ => invalid(),
    }
}

/// The user that the request is about: the path parameter, whatever the route
/// calls it, else what follows `/users/`.
fn id(request: &Request) -> Option<&str> {
    let parameter = request.path_param("id").or_else(|| request.path_param("proxy"));
    let below = || request.path().split_once("/users/").map(|(_, id)| id);
    let id = parameter.or_else(below)?.trim_end_matches('/');
    (!id.is_empty()).then_some(id)
}

fn invalid() -> Result<Response, Error> {
    answer(400, &json!({ "error": "Invalid request" }))
}

fn answer(status: u16, body: &Value) -> Result<Response, Error> {
    let response = Response::json(status, body)?
        .with_header("Access-Control-Allow-Origin", "*")
        .with_header("Access-Control-Allow-Methods", "GET,POST,PUT,DELETE,OPTIONS")
        .with_header("Access-Control-Allow-Headers", "Content-Type,Authorization");
    Ok(response)
}

#[cfg(test)]
mod tests {
    use mayfly_guest::testing::World;

    use super::*;

    fn call(world: &World, request: Request) -> (u16, Value) {
        let response = world.run(|| users(request, Context::default())).expect("an answer");
        (response.status(), response.body_json().expect("JSON"))
    }

    #[test]
    fn a_user_lives() {
        let world = World::new().table("Users", "id:S");
        let ada = json!({ "id": "1", "name": "Ada" });
        let created = json!({ "message": "User created", "id": "1" });
        assert_eq!(call(&world, Request::post("/users").with_json(&ada)), (201, created));
        assert_eq!(call(&world, Request::get("/users")), (200, json!({ "users": [ada] })));
        assert_eq!(call(&world, Request::get("/users/1")), (200, ada));

        let grace = Request::put("/users/1").with_json(&json!({ "name": "Grace" }));
        assert_eq!(call(&world, grace), (200, json!({ "message": "User updated" })));
        let grace = Request::get("/users/1").with_path_param("id", "1");
        assert_eq!(call(&world, grace).1["name"], "Grace");

        let deleted = json!({ "message": "User deleted" });
        assert_eq!(call(&world, Request::delete("/users/1")), (200, deleted));
        let gone = json!({ "error": "User not found" });
        assert_eq!(call(&world, Request::get("/users/1")), (404, gone));
    }

    #[test]
    fn other_requests_are_invalid() {
        let world = World::new().table("Users", "id:S");
        for request in [
            Request::new("PATCH", "/users/1"),
            Request::delete("/users"),
            Request::post("/users").with_body("no JSON"),
            Request::post("/users").with_json(&json!({ "name": "Ada" })),
            Request::put("/users/1").with_body("no JSON"),
        ] {
            let invalid = json!({ "error": "Invalid request" });
            assert_eq!(call(&world, request.clone()), (400, invalid), "{request:?}");
        }
    }

    #[test]
    fn answers_may_be_read_by_any_page() {
        let world = World::new().table("Users", "id:S");
        let response =
            world.run(|| users(Request::get("/users"), Context::default())).expect("an answer");
        assert_eq!(response.header("access-control-allow-origin"), Some("*"));
    }
}

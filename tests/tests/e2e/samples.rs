//! The sample API of the checkout: what a newcomer's first minutes meet.

use std::fs;

use mayfly_tests::{Gateway, Project, handler, root};
use serde_json::json;

const HANDLERS: [&str; 5] = ["hello", "post-message", "get-messages", "users", "send-email"];

/// The checkout's own gateway.toml with its own handlers.
fn samples() -> Gateway {
    samples_of_kind("kind = \"http\"")
}

fn samples_of_kind(kind: &str) -> Gateway {
    let text = fs::read_to_string(root().join("gateway.toml")).unwrap();
    assert!(text.contains("kind = \"http\""));
    let project = Project::with_config(&text.replace("kind = \"http\"", kind));
    for name in HANDLERS {
        project.put_handler(name, &handler(name));
    }
    project.serve()
}

#[test]
fn a_handler_without_a_route_answers_under_its_name() {
    let gateway = Project::new().with_handler("hello", &handler("hello")).serve();
    assert_eq!(gateway.get("/hello").json(), json!({ "message": "Hello, World!" }));
    assert_eq!(gateway.get("/hello?name=Ada").json(), json!({ "message": "Hello, Ada!" }));
    assert_eq!(gateway.get("/hello/below/it").status, 200);
    assert_eq!(gateway.get("/").status, 404);
}

#[test]
fn the_handler_index_is_served_at_the_root() {
    let gateway = Project::new()
        .with_handler("index", &handler("hello"))
        .with_handler("hello", &handler("hello"))
        .serve();
    assert_eq!(gateway.get("/?name=root").json(), json!({ "message": "Hello, root!" }));
    assert_eq!(gateway.get("/any/thing").status, 200);
    assert_eq!(gateway.get("/hello?name=own").json(), json!({ "message": "Hello, own!" }));
}

#[test]
fn the_whiteboard_shows_the_newest_three() {
    for kind in ["kind = \"http\"", "kind = \"rest\""] {
        let gateway = samples_of_kind(kind);
        for text in ["first", "second", "third", "fourth"] {
            let answer = gateway.post("/messages", &json!({ "author": "Ada", "text": text }));
            assert_eq!((answer.status, answer.text().as_str()), (200, "Message posted on board!"));
        }
        let board = gateway.get("/messages");
        assert_eq!(board.status, 200);
        let board = board.json();
        let texts: Vec<&str> = board
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["text"]["S"].as_str().unwrap())
            .collect();
        assert_eq!(texts, ["fourth", "third", "second"], "{kind}");
    }
}

#[test]
fn the_whiteboard_refuses_a_message_without_author_or_text() {
    let gateway = samples();
    for body in
        [json!({ "author": "Ada" }), json!({ "text": "x" }), json!({ "author": "", "text": "x" })]
    {
        let answer = gateway.post("/messages", &body);
        assert_eq!((answer.status, answer.text().as_str()), (403, "author and text are required!"));
    }
    assert_eq!(gateway.get("/messages").json(), json!([]));
}

#[test]
fn messages_posted_at_once_are_all_kept() {
    let gateway = samples();
    std::thread::scope(|scope| {
        for author in 0..4 {
            let gateway = &gateway;
            scope.spawn(move || {
                for text in 0..10 {
                    let body = json!({ "author": author.to_string(), "text": text.to_string() });
                    assert_eq!(gateway.post("/messages", &body).status, 200);
                }
            });
        }
    });
    let kept = || gateway.log().matches("POST /messages 200").count();
    gateway.wait("a line for each message", || kept() == 40);
}

#[test]
fn users_can_be_created_listed_read_changed_and_deleted() {
    for kind in ["kind = \"http\"", "kind = \"rest\""] {
        let gateway = samples_of_kind(kind);
        let created = gateway.post("/users", &json!({ "id": "1", "name": "Ada" }));
        assert_eq!(created.status, 201, "{kind}: {created:?}");
        assert_eq!(created.json(), json!({ "message": "User created", "id": "1" }));
        assert_eq!(
            gateway.get("/users").json(),
            json!({ "users": [{ "id": "1", "name": "Ada" }] })
        );
        assert_eq!(gateway.get("/users/1").json(), json!({ "id": "1", "name": "Ada" }));
        let put = mayfly_tests::Answer::of(
            gateway.request("PUT", "/users/1").json(&json!({ "name": "Grace" })),
        );
        assert_eq!((put.status, put.json()), (200, json!({ "message": "User updated" })));
        assert_eq!(gateway.get("/users/1").json()["name"], "Grace");
        let deleted = mayfly_tests::Answer::of(gateway.request("DELETE", "/users/1"));
        assert_eq!((deleted.status, deleted.json()), (200, json!({ "message": "User deleted" })));
        let gone = gateway.get("/users/1");
        assert_eq!((gone.status, gone.json()), (404, json!({ "error": "User not found" })));
        let strange = mayfly_tests::Answer::of(gateway.request("PATCH", "/users/1"));
        assert_eq!((strange.status, strange.json()), (400, json!({ "error": "Invalid request" })));
    }
}

#[test]
fn mail_lies_in_the_outbox() {
    let gateway = samples();
    let mail = json!({ "to": "you@example.com", "subject": "Hello", "message": "There" });
    let answer = gateway.post("/", &mail);
    assert_eq!(answer.status, 200, "{answer:?} {}", gateway.log());
    assert_eq!(answer.json(), json!({ "message": "Succesfully sent email" }));
    let outbox = gateway.project.path().join(".mayfly/outbox");
    let files: Vec<_> = fs::read_dir(outbox).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1);
    assert!(fs::read_to_string(&files[0]).unwrap().contains("To: you@example.com"));
}

#[test]
fn tables_outlive_the_process() {
    let gateway = samples();
    gateway.post("/users", &json!({ "id": "7", "name": "Ada" }));
    let data = tempfile::tempdir().unwrap();
    let from = gateway.project.path().join(".mayfly");
    gateway.signal("TERM");
    let mut gateway = gateway;
    assert!(gateway.wait_for_end().success());
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_file() {
            fs::copy(entry.path(), data.path().join(entry.file_name())).unwrap();
        }
    }
    let text = fs::read_to_string(root().join("gateway.toml")).unwrap();
    let project = Project::with_config(&text);
    for name in HANDLERS {
        project.put_handler(name, &handler(name));
    }
    let again = project.serve_with(&["--data", data.path().to_str().unwrap()]);
    assert_eq!(again.get("/users/7").json()["name"], "Ada");
}

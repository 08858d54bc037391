//! Mocks that stand for a collection: what is created is there, in both kinds
//! of API.

use mayfly_tests::{Answer, Gateway, Project, client};
use serde_json::{Value, json};

const KINDS: [&str; 2] = ["rest", "http"];

const TODOS: &str = r#"
[collection.todos]
items = [
    { id = 1, title = "buy milk", done = false },
    { id = 2, title = "call Ada", done = true, by = { name = "Ada" } },
    { title = "no id yet", done = false },
]
items_max = 5
bytes_max = 1000

[[route]]
route = "ANY /todos"
mock = { collection = "todos", headers = { x-mock = "{query.q}" } }

[[route]]
route = "ANY /todos/{id}"
mock = { collection = "todos" }
"#;

fn serve(kind: &str, config: &str) -> Gateway {
    Project::with_config(&format!("kind = \"{kind}\"\n{config}")).serve()
}

fn send(gateway: &Gateway, method: &str, path: &str, body: &Value) -> Answer {
    Answer::of(gateway.request(method, path).json(body))
}

fn ids(answer: &Answer) -> Vec<Value> {
    let list = answer.json();
    list.as_array().expect("a list").iter().map(|item| item["id"].clone()).collect()
}

fn message(answer: &Answer) -> String {
    answer.json()["message"].as_str().expect("a message").to_owned()
}

#[test]
fn what_is_created_is_read_replaced_merged_and_deleted() {
    for kind in KINDS {
        let gateway = serve(kind, TODOS);
        let made = gateway.post("/todos/", &json!({ "title": "new", "tags": { "a": 1, "b": 2 } }));
        assert_eq!((made.status, made.header("location")), (201, Some("/todos/4")));
        assert_eq!(made.json(), json!({ "id": 4, "title": "new", "tags": { "a": 1, "b": 2 } }));
        assert_eq!(gateway.get("/todos/4").json(), made.json());

        let patch = json!({ "title": null, "tags": { "b": null, "c": 3 } });
        let merged = send(&gateway, "PATCH", "/todos/4", &patch);
        assert_eq!(merged.status, 200);
        assert_eq!(merged.json(), json!({ "id": 4, "tags": { "a": 1, "c": 3 } }));

        let replaced = send(&gateway, "PUT", "/todos/4", &json!({ "title": "other" }));
        assert_eq!((replaced.status, replaced.json()), (200, json!({ "id": 4, "title": "other" })));
        assert_eq!(gateway.get("/todos/4").json(), replaced.json());

        let gone = Answer::of(gateway.request("DELETE", "/todos/4"));
        assert_eq!((gone.status, gone.text().as_str()), (204, ""));
        for method in ["GET", "PATCH", "DELETE"] {
            let answer = send(&gateway, method, "/todos/4", &json!({}));
            assert_eq!((answer.status, message(&answer).as_str()), (404, "Not Found"), "{method}");
        }
        let created = send(&gateway, "PUT", "/todos/a%2Fb", &json!({ "title": "named" }));
        assert_eq!((created.status, created.json()["id"].clone()), (201, json!("a/b")));
        assert_eq!(gateway.get("/todos/a%2Fb").json()["title"], "named");
        let next = gateway.post("/todos", &json!({}));
        assert_eq!(next.json(), json!({ "id": 5 }), "ids do not come twice");
    }
}

#[test]
fn a_list_is_filtered_sorted_and_paged() {
    for kind in KINDS {
        let gateway = serve(kind, TODOS);
        for (query, expected, total) in [
            ("", json!([1, 2, 3]), "3"),
            ("?done=false", json!([1, 3]), "2"),
            ("?by.name=Ada", json!([2]), "1"),
            ("?_sort=-id&_limit=2", json!([3, 2]), "3"),
            ("?_sort=title&_offset=1&_limit=1", json!([2]), "3"),
        ] {
            let answer = gateway.get(&format!("/todos{query}"));
            assert_eq!((answer.status, json!(ids(&answer))), (200, expected), "{query}");
            assert_eq!(answer.header("x-total-count"), Some(total), "{query}");
            assert_eq!(answer.header("content-type"), Some("application/json"));
        }
        assert_eq!(gateway.get("/todos?q=a").header("x-mock"), Some("a"));
        let wrong = gateway.get("/todos?_limit=many");
        assert_eq!(
            (wrong.status, message(&wrong).as_str()),
            (400, "_limit is \"many\", not a number from 0")
        );
        let head = Answer::of(gateway.request("HEAD", "/todos"));
        assert_eq!((head.status, head.header("x-total-count")), (200, Some("3")));
    }
}

#[test]
fn what_is_wrong_is_refused_and_changes_nothing() {
    for kind in KINDS {
        let gateway = serve(kind, TODOS);
        let before = gateway.get("/todos").json();
        for (method, path, body, status) in [
            ("POST", "/todos", "{", 400),
            ("POST", "/todos", "", 400),
            ("POST", "/todos", "[1]", 400),
            ("POST", "/todos", r#"{"id":1.5}"#, 400),
            ("POST", "/todos", r#"{"id":""}"#, 400),
            ("POST", "/todos", r#"{"id":"1"}"#, 409),
            ("PUT", "/todos/1", r#"{"id":2}"#, 400),
            ("PATCH", "/todos/1", r#"{"id":2}"#, 400),
            ("PATCH", "/todos/1", r#"{"id":null}"#, 400),
            ("PATCH", "/todos/1", "null", 400),
            ("POST", "/todos/1", "{}", 405),
            ("DELETE", "/todos", "", 405),
        ] {
            let answer = Answer::of(gateway.request(method, path).body(body));
            assert_eq!(answer.status, status, "{method} {path} {body}: {}", answer.text());
            let allow = match (status, path) {
                (405, "/todos") => Some("GET, HEAD, POST"),
                (405, _) => Some("GET, HEAD, PUT, PATCH, DELETE"),
                _ => None,
            };
            assert_eq!(answer.header("allow"), allow);
        }
        assert_eq!(gateway.get("/todos").json(), before);
    }
}

#[test]
fn a_full_collection_takes_no_more() {
    let gateway = serve("http", TODOS);
    let long = "x".repeat(900);
    let answer = gateway.post("/todos", &json!({ "title": long }));
    assert_eq!(answer.status, 507);
    assert_eq!(message(&answer), "the collection \"todos\" is full: bytes_max = 1000");
    let answer = send(&gateway, "PATCH", "/todos/1", &json!({ "title": long }));
    assert_eq!(answer.status, 507);
    assert_eq!(gateway.get("/todos/1").json()["title"], "buy milk");
    for _ in 0..2 {
        assert_eq!(gateway.post("/todos", &json!({})).status, 201);
    }
    let answer = gateway.post("/todos", &json!({}));
    assert_eq!(message(&answer), "the collection \"todos\" is full: items_max = 5");
    assert_eq!(send(&gateway, "PATCH", "/todos/1", &json!({ "done": true })).status, 200);
    gateway.wait_for_log("the collection \"todos\" is full");
}

#[test]
fn a_collection_outlives_reloads_and_can_be_set_back() {
    let gateway = serve("http", TODOS);
    assert_eq!(gateway.post("/todos", &json!({ "title": "kept" })).status, 201);
    let more = "[[route]]\nroute = \"GET /new\"\nmock = { body = \"new\" }\n";
    gateway.project.write_config(&format!("{TODOS}{more}"));
    gateway.wait("the new route", || gateway.get("/new").status == 200);
    assert_eq!(gateway.get("/todos/4").json()["title"], "kept");

    let url = format!("http://{}/mocks/reset", gateway.admin);
    assert_eq!(Answer::of(client().post(&url)).json(), json!({ "mocks": 3, "collections": 1 }));
    assert_eq!(ids(&gateway.get("/todos")), [1, 2, 3]);

    assert_eq!(gateway.post("/todos", &json!({})).status, 201);
    gateway.project.write_config(&TODOS.replace("buy milk", "buy bread"));
    gateway
        .wait("the changed collection", || gateway.get("/todos/1").json()["title"] == "buy bread");
    assert_eq!(ids(&gateway.get("/todos")), [1, 2, 3]);
}

#[test]
fn everyone_gets_an_id_of_their_own() {
    let config =
        TODOS.replace("items_max = 5", "items_max = 1000").replace("1000\n\n", "100000\n\n");
    let gateway = serve("http", &config);
    let mut made: Vec<i64> = std::thread::scope(|scope| {
        let post = || gateway.post("/todos", &json!({})).json()["id"].as_i64().expect("an id");
        let posting: Vec<_> = (0..8)
            .map(|_| scope.spawn(move || (0..20).map(|_| post()).collect::<Vec<_>>()))
            .collect();
        posting.into_iter().flat_map(|one| one.join().expect("a thread")).collect()
    });
    made.sort_unstable();
    assert_eq!(made, (4..164).collect::<Vec<_>>());
    assert_eq!(gateway.get("/todos").header("x-total-count"), Some("163"));
}

#[test]
fn other_path_parameters_are_fields() {
    let config = r#"
seed = 7

[collection.notes]
id = "key"
ids = "uuid"
items = [{ key = "a", user = 1, text = "one" }, { key = "b", user = "two", text = "two" }]

[[route]]
route = "ANY /users/{user}/notes"
mock.collection = "notes"

[[route]]
route = "ANY /users/{user}/notes/{note}"

[route.mock]
collection = "notes"

[[route.mock.rules]]
when = { method = "DELETE", "header.x-admin" = { present = false } }
status = 403
"#;
    let gateway = serve("http", config);
    assert_eq!(gateway.get("/users/1/notes").json()[0]["key"], "a");
    assert_eq!(gateway.get("/users/2/notes").json(), json!([]));
    assert_eq!(gateway.get("/users/two/notes/b").json()["text"], "two");
    assert_eq!(gateway.get("/users/1/notes/b").status, 404);
    let made = gateway.post("/users/2/notes", &json!({ "text": "new" }));
    let key = made.json()["key"].as_str().expect("a UUID").to_owned();
    assert_eq!((made.json()["user"].clone(), key.len()), (json!(2), 36));
    assert_eq!(made.header("location"), Some(format!("/users/2/notes/{key}").as_str()));
    assert_eq!(gateway.get(&format!("/users/2/notes/{key}")).json(), made.json());
    assert_eq!(gateway.post("/users/2/notes", &json!({ "user": 1 })).status, 400);
    assert_eq!(send(&gateway, "PATCH", "/users/1/notes/a", &json!({ "user": 2 })).status, 400);
    assert_eq!(send(&gateway, "PUT", "/users/2/notes/a", &json!({})).status, 404);
    assert_eq!(Answer::of(gateway.request("DELETE", "/users/1/notes/a")).status, 403);
    let allowed = gateway.request("DELETE", "/users/1/notes/a").header("x-admin", "yes");
    assert_eq!(Answer::of(allowed).status, 204);

    let again = serve("http", config);
    assert_eq!(again.post("/users/2/notes", &json!({})).json()["key"], key, "as the seed says");
}

#[test]
fn the_commands_show_the_collection() {
    let project = Project::with_config(TODOS);
    let out = |arguments: &[&str]| {
        let output = project.run(arguments);
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let routes = out(&["routes"]);
    assert!(routes.contains("mock, the collection todos"), "{routes}");
    assert!(routes.contains("mock, an item of the collection todos"), "{routes}");
    let test = out(&["test", "POST", "/todos", "--body", "{\"title\": \"x\"}"]);
    assert!(test.contains("mock, the collection todos") && test.contains("status: 201"), "{test}");
}

#[test]
fn items_come_from_a_file_and_change_with_it() {
    let project = Project::with_config(
        "[collection.pets]\nfile = \"pets.json\"\n[[route]]\nroute = \"ANY /pets\"\nmock = { collection = \"pets\" }\n",
    );
    let file = project.path().join("pets.json");
    std::fs::write(&file, r#"[{ "name": "Rex" }, { "id": 9, "name": "Tom" }]"#).expect("written");
    let gateway = project.serve();
    assert_eq!(
        gateway.get("/pets").json(),
        json!([{ "id": 10, "name": "Rex" }, { "id": 9, "name": "Tom" }])
    );
    std::fs::write(&file, "[{").expect("written");
    gateway.wait_for_log("pets.json: EOF");
    assert_eq!(gateway.get("/pets").header("x-total-count"), Some("2"));
    std::fs::write(&file, r#"[{ "id": 1 }]"#).expect("written");
    gateway.wait("the new items", || gateway.get("/pets").json() == json!([{ "id": 1 }]));
}

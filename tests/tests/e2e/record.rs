//! Answers of an upstream become mocks that serve without it.

use std::{fs, io::Write as _, net::TcpStream};

use mayfly_tests::{
    Answer, Gateway, Project,
    upstream::{Received, Upstream},
};
use serde_json::json;

fn respond(stream: &mut TcpStream, head: &str, body: &[u8]) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n", body.len())?;
    stream.write_all(body)
}

fn answer(request: &Received, stream: &mut TcpStream) -> std::io::Result<()> {
    let json = "200 OK\r\ncontent-type: application/json\r\nset-cookie: id=secret\r\nx-total: 2\r\ndate: today\r\nx-auth-token: secret";
    match request.line().split('?').next().unwrap_or_default() {
        "GET /v1/pets" => respond(stream, json, br#"[{"id":1,"tags":["a"],"price":1.5},{"id":2}]"#),
        "GET /v1/pets/a%20b" => respond(stream, json, br#"{"name":null}"#),
        "POST /v1/pets" => respond(
            stream,
            "201 Created\r\ncontent-type: text/plain; charset=utf-8\r\nlocation: /pets/3",
            &request.body,
        ),
        "GET /v1/image" => respond(stream, "200 OK\r\ncontent-type: image/png", b"\x89PNG\xff"),
        "GET /v1/broken" => respond(stream, "503 Service Unavailable", b"later"),
        "GET /v1/template" => respond(stream, "200 OK\r\ncontent-type: text/plain", b"Hello {now}"),
        "DELETE /v1/pets/1" => respond(stream, "204 No Content", b""),
        _ => respond(
            stream,
            "404 Not Found\r\ncontent-type: application/json",
            br#"{"error":"no such pet"}"#,
        ),
    }
}

fn config(kind: &str, upstream: &Upstream) -> String {
    format!(
        "kind = \"{kind}\"\n[record]\nupstream = \"http://{}/v1/\"\nfile = \"recorded.toml\"\n[[route]]\nroute = \"GET /own\"\nmock = {{ body = \"own\" }}\n",
        upstream.address
    )
}

fn recorded(gateway: &Gateway) -> String {
    fs::read_to_string(gateway.project.path().join("recorded.toml")).unwrap_or_default()
}

#[test]
fn what_an_upstream_answers_is_served_without_it() {
    for kind in ["rest", "http"] {
        let upstream = Upstream::new(answer);
        let gateway = Project::with_config(&config(kind, &upstream)).serve();
        assert_eq!(gateway.get("/own").text(), "own");
        assert_eq!(recorded(&gateway), "", "a route's own answers are not recorded");

        let pets = gateway.get("/pets?page=1");
        assert_eq!((pets.status, pets.header("set-cookie")), (200, Some("id=secret")));
        assert_eq!(upstream.last().line(), "GET /v1/pets?page=1");
        assert_eq!(upstream.last().header("accept-encoding"), ["identity"]);
        gateway.get("/pets?page=2");
        let made = Answer::of(gateway.request("POST", "/pets").body("it's \"text\"\r\n{ a: 1 }"));
        assert_eq!(made.status, 201);
        for path in ["/pets/a%20b", "/image", "/broken", "/template", "/none"] {
            gateway.get(path);
        }
        assert_eq!(Answer::of(gateway.request("DELETE", "/pets/1")).status, 204);
        for why in ["its body is not text", "it was answered 503", "takes for a placeholder"] {
            gateway.wait_for_log(why);
        }
        let file = recorded(&gateway);
        assert_eq!(file.matches("\n[[route]]\n").count(), 5, "{file}");
        assert!(!file.contains("secret") && !file.contains("today"), "{file}");

        let mut again = Project::with_config(&file).serve();
        let mock = again.get("/pets");
        assert_eq!((mock.status, mock.json()), (200, pets.json()));
        assert_eq!((mock.header("x-total"), mock.header("set-cookie")), (Some("2"), None));
        assert_eq!(mock.header("content-type"), Some("application/json"));
        let mock = Answer::of(again.request("POST", "/pets"));
        assert_eq!((mock.status, mock.body), (201, made.body));
        assert_eq!(mock.headers.iter().filter(|(name, _)| name == "location").count(), 1);
        let mock = again.get("/pets/a%20b");
        assert_eq!((mock.status, mock.json()), (200, json!({ "name": null })));
        assert_eq!(mock.header("content-type"), Some("application/json"));
        assert_eq!(again.get("/none").json(), json!({ "error": "no such pet" }));
        assert_eq!(Answer::of(again.request("DELETE", "/pets/1")).status, 204);
        assert_eq!(again.health()["kind"], kind);
        again.signal("TERM");
        assert!(again.wait_for_end().success());
    }
}

#[test]
fn what_a_user_wrote_stays() {
    let upstream = Upstream::new(answer);
    let project = Project::with_config(&config("http", &upstream));
    let mine = "# mine\n[[route]]\nroute = \"GET /pets\"\nmock = { body = \"mine\" }";
    fs::write(project.path().join("recorded.toml"), mine).unwrap();
    let gateway = project.serve();
    assert_eq!(gateway.get("/pets").status, 200);
    assert_eq!(recorded(&gateway), mine);
    gateway.get("/none/");
    let file = recorded(&gateway);
    assert!(file.starts_with(&format!("{mine}\n\n[[route]]\nroute = \"GET /none\"\n")), "{file}");

    fs::write(gateway.project.path().join("recorded.toml"), "route = [").unwrap();
    gateway.get("/other");
    gateway.wait_for_log("it is not TOML");
    assert_eq!(recorded(&gateway), "route = [");
}

#[test]
fn many_who_ask_at_once_record_each_route_once() {
    let upstream = Upstream::new(answer);
    let gateway = Project::with_config(&config("http", &upstream)).serve();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..5).for_each(|index| drop(gateway.get(&format!("/many/{index}")))));
        }
    });
    let file = recorded(&gateway);
    assert_eq!(file.matches("[[route]]").count(), 5, "{file}");
    let output = Project::with_config(&file).run(&["check"]);
    assert_eq!(output.status.code(), Some(0), "{file}");
}

#[test]
fn an_upstream_that_is_gone_is_an_error_of_the_gateway() {
    for (kind, status) in [("rest", 504), ("http", 502)] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let config = format!(
            "kind = \"{kind}\"\n[record]\nupstream = \"http://{address}\"\nfile = \"recorded.toml\"\n"
        );
        let gateway = Project::with_config(&config).serve();
        let answer = gateway.get("/pets");
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_eq!(recorded(&gateway), "");
    }
}

#[test]
fn routes_shows_where_the_rest_goes() {
    let project = Project::with_config(
        "[record]\nupstream = \"https://api.example.com/\"\nfile = \"recorded.toml\"\n",
    );
    let output = project.run(&["routes"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("https://api.example.com, recorded in "), "{text}");
}

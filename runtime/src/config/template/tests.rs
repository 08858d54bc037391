use serde_json::json;

use super::*;

struct Request {
    body: String,
    json: Option<Value>,
}

impl Request {
    fn new(body: &str) -> Self {
        Self { body: body.to_owned(), json: serde_json::from_str(body).ok() }
    }
}

impl Lookup for Request {
    fn method(&self) -> &str {
        "PUT"
    }

    fn path_text(&self) -> &str {
        "/pets/7/x"
    }

    fn query_pairs(&self) -> &[(String, String)] {
        &[]
    }

    fn request_id(&self) -> &str {
        "request-1"
    }

    fn time(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(86_400_123)
    }

    fn path(&self, name: &str) -> Option<Cow<'_, str>> {
        (name == "id").then_some(Cow::Borrowed("7"))
    }

    fn query(&self, name: &str) -> Option<Cow<'_, str>> {
        (name == "q").then_some(Cow::Borrowed("a b"))
    }

    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        (name == "x-me").then_some(Cow::Borrowed("me"))
    }

    fn body_text(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(&self.body))
    }

    fn body_json(&self) -> Option<&Value> {
        self.json.as_ref()
    }
}

fn parse(text: &str) -> Result<TextTemplate, PlaceholderError> {
    let key = "PUT /pets/{id}/{rest+}".parse().expect("a route key");
    TextTemplate::parse(text, &key)
}

fn render(text: &str, body: &str) -> String {
    let template = parse(text).expect("a template");
    template.render(&Request::new(body), &mut Sampler::new(&|| 7)).expect("short output")
}

fn json_of(template: &JsonTemplate, request: &Request) -> Result<Value, OutputTooLong> {
    template.render(request, &mut Sampler::new(&|| 7))
}

#[test]
fn placeholders_are_filled() {
    let body = r#"{"a":{"b":[1,{"c":"deep"}]},"n":null,"t":"text"}"#;
    for (template, expected) in [
        ("", ""),
        ("plain", "plain"),
        ("{path.id}", "7"),
        ("pet {id}!", "pet 7!"),
        ("{id}{id}", "77"),
        ("{query.q}|{query.none}|", "a b||"),
        ("{header.X-Me}", "me"),
        ("{body.a.b.1.c}", "deep"),
        ("{body.a.b}", r#"[1,{"c":"deep"}]"#),
        ("{body.n} {body.t} {body.none} {body.a.b.9}", "null text  "),
        ("{body}", body),
        ("{now}|{now.epoch}|{request.id}", "1970-01-02T00:00:00.123Z|86400|request-1"),
        ("{random.int.4.4}{random.one_of.x}", "4x"),
        ("é{id}é", "é7é"),
    ] {
        assert_eq!(render(template, body), expected, "{template:?}");
    }
}

#[test]
fn other_braces_are_literal() {
    for text in [
        "{",
        "}",
        "{}",
        "{{",
        "}}",
        "{other}",
        "{ id }",
        "{Id}",
        "{id",
        "id}",
        r#"{"path.id": {"id": 1}}"#,
        "a { color: red } b{margin:0}",
        "{\"body\"}",
        "{path}",
        "{rest+}",
        "{random}",
        "{Now}",
        "{é}",
    ] {
        assert_eq!(render(text, ""), text, "{text:?}");
    }
    assert_eq!(render("{{id}}", ""), "{7}");
    assert_eq!(render(r#"{"id":"{id}"}"#, ""), r#"{"id":"7"}"#);
}

#[test]
fn what_no_request_can_fill_is_refused() {
    for text in [
        "{path.petId}",
        "{path.}",
        "{query.}",
        "{header.}",
        "{header.é}",
        "{body.}",
        "{body..a}",
        "{body.a.}",
        "{random.}",
        "{random.int.2.1}",
        "{now.}",
        "{request.}",
    ] {
        assert!(parse(text).is_err(), "{text:?}");
    }
    let error = TextTemplate::parse("{path.id}", &RouteKey::Default)
        .expect_err("$default has no path parameters");
    assert_eq!(error.hint, "this route has no path parameters");
}

#[test]
fn a_lone_body_placeholder_keeps_its_type() {
    let text = |text: &str| JsonTemplate::Text(parse(text).expect("a template"));
    let template = JsonTemplate::Object(vec![
        ("whole".to_owned(), text("{body}")),
        ("number".to_owned(), text("{body.n}")),
        ("missing".to_owned(), text("{body.x}")),
        ("text".to_owned(), text("n={body.n}")),
        ("id".to_owned(), text("{id}")),
        ("list".to_owned(), JsonTemplate::Array(vec![JsonTemplate::Literal(json!(1.5))])),
    ]);
    let rendered = json_of(&template, &Request::new(r#"{"n":[1]}"#));
    let expected = json!({
        "whole": {"n": [1]}, "number": [1], "missing": null, "text": "n=[1]",
        "id": "7", "list": [1.5],
    });
    assert_eq!(rendered, Ok(expected));
    let alone = |text_of: &str, body: &str| json_of(&text(text_of), &Request::new(body));
    assert_eq!(alone("{body}", "not json"), Ok(json!("not json")));
    assert_eq!(alone("{body}", ""), Ok(Value::Null));
    assert_eq!(alone("{random.int.4.4}", ""), Ok(json!(4)));
    assert_eq!(alone("{now.epoch}", ""), Ok(json!(86400)));
    assert_eq!(alone("n={random.int.4.4}", ""), Ok(json!("n=4")));
}

#[test]
fn output_is_bounded() {
    let body = format!("\"{}\"", "x".repeat(OUTPUT_BYTES_MAX / 4));
    let request = Request::new(&body);
    let text = parse(&"{body}".repeat(5)).expect("a template");
    assert_eq!(text.render(&request, &mut Sampler::new(&|| 7)), Err(OutputTooLong));
    let once = JsonTemplate::Text(parse("{body}").expect("a template"));
    assert!(json_of(&once, &request).is_ok());
    assert_eq!(json_of(&JsonTemplate::Array(vec![once; 5]), &request), Err(OutputTooLong));
}

proptest::proptest! {
    #[test]
    fn any_text_is_a_template_or_an_error(text in "([{}]|path|query|header|body|random|int|name|now|[.]|id|0|\\PC){0,24}") {
        match parse(&text) {
            Ok(template) => {
                let request = Request::new("{\"a\":[1]}");
                let rendered = template.render(&request, &mut Sampler::new(&|| 7));
                proptest::prop_assert!(rendered.is_ok());
                if !text.contains('{') {
                    proptest::prop_assert_eq!(rendered.expect("rendered"), text);
                }
            }
            Err(error) => proptest::prop_assert!(!error.hint.is_empty()),
        }
    }
}

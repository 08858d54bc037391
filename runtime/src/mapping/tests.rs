use std::{
    cell::{OnceCell, RefCell},
    collections::BTreeMap,
};

use mayfly_velocity::ErrorKind;
use serde_json::{Map, Value, json};

use super::{MappingTemplate, RequestOverride, Variables};

/// Variables that keep account of what was asked for.
struct Asked {
    what: RefCell<Vec<&'static str>>,
    body: &'static str,
    json: OnceCell<Option<Value>>,
    pairs: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    stage_variables: BTreeMap<String, String>,
}

impl Asked {
    fn new(body: &'static str) -> Self {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Self {
            what: RefCell::default(),
            body,
            json: OnceCell::new(),
            pairs: vec![pair("id", "7")],
            headers: vec![pair("X-Kind", "cat"), pair("X-Kind", "dog")],
            stage_variables: [pair("color", "blue")].into(),
        }
    }

    fn note(&self, what: &'static str) {
        self.what.borrow_mut().push(what);
    }
}

impl Variables for Asked {
    fn body(&self) -> &str {
        self.body
    }

    fn json(&self) -> Option<&Value> {
        let parse = || {
            self.note("json");
            serde_json::from_str(self.body).ok()
        };
        self.json.get_or_init(parse).as_ref()
    }

    fn path(&self) -> &[(String, String)] {
        self.note("path");
        &self.pairs
    }

    fn query(&self) -> &[(String, String)] {
        self.note("query");
        &[]
    }

    fn headers(&self) -> &[(String, String)] {
        self.note("headers");
        &self.headers
    }

    fn may_have_header(&self, name: &str) -> bool {
        name.starts_with(['x', 'X'])
    }

    fn context(&self) -> Map<String, Value> {
        self.note("context");
        Map::from_iter([("stage".to_owned(), json!("test"))])
    }

    fn stage_variables(&self) -> &BTreeMap<String, String> {
        self.note("stage variables");
        &self.stage_variables
    }
}

#[test]
fn only_what_a_template_reads_is_made() {
    for (template, output, asked) in [
        (r#"{"statusCode": 200}"#, r#"{"statusCode": 200}"#, &[][..]),
        ("$input.body $util.urlEncode('a b')", r#"{"a": [1, "b"]} a+b"#, &[]),
        (
            "$input.json('$.a')$input.path('$.a[1]')$input.json('$.none')",
            r#"[1,"b"]b"""#,
            &["json"],
        ),
        ("$input.params('id')", "7", &["path"]),
        ("$input.params('x-kind')", "dog", &["path", "query", "headers"]),
        ("$input.params('none')", "", &["path", "query"]),
        ("$input.params().header.x-kind", "dog", &["path", "query", "headers"]),
        ("$context.stage$context.none", "test", &["context"]),
        ("$stageVariables.color", "blue", &["stage variables"]),
        ("#set($path = '$.a[0]')$input.json($path)", "1", &["json"]),
    ] {
        let variables = Asked::new(r#"{"a": [1, "b"]}"#);
        let parsed = MappingTemplate::parse(template).expect(template);
        let rendered = parsed.render(&variables).expect(template);
        assert_eq!(rendered.text, output, "{template}");
        assert_eq!(*variables.what.borrow(), asked, "{template}");
    }
}

#[test]
fn an_empty_body_is_an_empty_object_and_another_one_has_to_be_json() {
    let template = MappingTemplate::parse("$input.json('$')").expect("a template");
    let rendered = template.render(&Asked::new("")).expect("an output");
    assert_eq!(rendered.text, "{}");
    let error = template.render(&Asked::new("text")).expect_err("no JSON");
    assert_eq!(error.kind, ErrorKind::Render);
    assert!(error.message.contains("the body is not JSON"), "{error}");
    // A path that is none is an error where it is used, and nowhere else.
    let bad = MappingTemplate::parse("#if($input.body == 'a')$input.json('$.a.')#end");
    let bad = bad.expect("a template");
    assert!(bad.render(&Asked::new("b")).is_ok());
    let error = bad.render(&Asked::new("a")).expect_err("no path");
    assert!(error.message.contains("an empty name"), "{error}");
}

#[test]
fn overrides_are_what_the_template_left_in_the_context() {
    let template = "#set($context.responseOverride.status = 404)\
        #set($context.responseOverride.header.a = 'b')\
        #set($context.requestOverride.querystring.q = 1)";
    let parsed = MappingTemplate::parse(template).expect("a template");
    let rendered = parsed.render(&Asked::new("")).expect("an output");
    assert_eq!(rendered.status.as_deref(), Some("404"));
    assert_eq!(rendered.headers, [("a".to_owned(), "b".to_owned())]);
    let query = vec![("q".to_owned(), "1".to_owned())];
    assert_eq!(rendered.request, RequestOverride { query, ..RequestOverride::default() });
}

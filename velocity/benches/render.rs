//! What rendering costs. Each group has the least that makes the same output,
//! so that the ratio tells what the template adds.

use std::{fmt::Write as _, hint::black_box};

use criterion::{Criterion, criterion_group, criterion_main};
use mayfly_velocity::{Context, Host, Limits, Object, Profile, Template, Value};
use serde_json::json;

/// A template of which nothing depends on the request.
const CONSTANT: &str = r#"{"statusCode": 200}"#;

/// What mapping templates mostly are: a few values of the body, and a loop.
const MAPPING: &str = r##"{
  "id": "$input.params('id')",
  "name": $input.json('$.name'),
  "first": "$input.path('$.tags[0]')",
  "tags": [#foreach($tag in $input.path('$.tags'))"$tag"#if($foreach.hasNext), #end#end]
}"##;

const LOOP: &str = r##"#foreach($item in $items)#set($double = $item.id * 2){"id": $item.id, "double": $double, "name": "$item.name.toUpperCase()"#if($item.id % 2 == 0), "even": true#end}#if($foreach.hasNext),#end#end"##;

/// Items of the loop.
const ITEMS: i32 = 1000;

const MACROS: &str = r##"#macro(attribute $name $value) $name="$value"#end#macro(tag $name $id)<$name#attribute("id", $id)#attribute("class", "c$id")>$bodyContent</$name>#end#foreach($i in [1..100])#@tag("li", $i)Item $i of 100#end
#end"##;

struct Input {
    tags: Value,
}

impl Input {
    fn new() -> Self {
        Self { tags: Value::from(json!(["mathematics", "engines", "poetry"])) }
    }
}

impl Host for Input {
    fn variable(&self, name: &str) -> Option<Value> {
        (name == "input").then(|| Value::from(Object { class: "$input", text: "{}".into() }))
    }

    fn call(&self, _: &Object, method: &str, given: &[Value]) -> Result<Option<Value>, String> {
        Ok(match (method, given.first().and_then(Value::as_str)) {
            ("params", Some("id")) => Some(Value::from("42")),
            ("json", Some("$.name")) => Some(Value::from("\"Ada\"")),
            ("path", Some("$.tags")) => Some(self.tags.clone()),
            ("path", Some("$.tags[0]")) => Some(Value::from("mathematics")),
            _ => None,
        })
    }
}

fn compare(
    criterion: &mut Criterion,
    name: &str,
    template: &Template,
    host: &dyn Host,
    least: impl Fn() -> String,
) {
    let render = || template.render(host).expect("an output").text;
    assert_eq!(render(), least(), "{name}");
    let mut group = criterion.benchmark_group(name);
    group.bench_function("template", |bencher| bencher.iter(render));
    group.bench_function("baseline: by hand", |bencher| bencher.iter(&least));
    group.finish();
}

fn render(criterion: &mut Criterion) {
    let parse = |text| Template::parse(text).expect("a template");
    let context = Context::new();
    compare(criterion, "constant", &parse(CONSTANT), &context, || black_box(CONSTANT).to_owned());

    let tags = ["mathematics", "engines", "poetry"];
    compare(criterion, "mapping", &parse(MAPPING), &Input::new(), || {
        let [id, name, first] = black_box(["42", "\"Ada\"", tags[0]]);
        let listed: Vec<String> = black_box(tags).iter().map(|tag| format!("\"{tag}\"")).collect();
        let listed = listed.join(", ");
        format!(
            "{{\n  \"id\": \"{id}\",\n  \"name\": {name},\n  \"first\": \"{first}\",\n  \"tags\": [{listed}]\n}}"
        )
    });

    let name = |id: i32| format!("item {id}");
    let items: Vec<_> = (0..ITEMS).map(|id| json!({ "id": id, "name": name(id) })).collect();
    let mut context = Context::new();
    context.set("items", Value::from(json!(items)));
    compare(criterion, "loop", &parse(LOOP), &context, || {
        let mut out = String::new();
        for id in 0..black_box(ITEMS) {
            let (double, name) = (id * 2, name(id).to_uppercase());
            let _ = write!(out, r#"{{"id": {id}, "double": {double}, "name": "{name}""#);
            out.push_str(if id % 2 == 0 { r#", "even": true}"# } else { "}" });
            out.push_str(if id + 1 < ITEMS { "," } else { "" });
        }
        out
    });

    let macros = Template::parse_with(MACROS, Profile::Plain, Limits::default());
    let macros = macros.expect("a template");
    compare(criterion, "macros", &macros, &Context::new(), || {
        let mut out = String::new();
        for id in 1..=black_box(100) {
            let _ = write!(out, r#"<li id="{id}" class="c{id}">Item {id} of 100</li>"#);
        }
        out
    });
}

criterion_group!(benches, render);
criterion_main!(benches);

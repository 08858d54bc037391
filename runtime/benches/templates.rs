//! What mapping templates cost in a request: the whole pipeline with both
//! templates, beside a plain mock that answers the same.

use std::path::Path;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use http::{Request, header};
use http_body_util::Full;
use mayfly::{
    cli,
    config::Overrides,
    gateway::Gateway,
    pipeline::{self, Connection, Trace},
    reload::Source,
};
use tokio::runtime::Runtime;

/// Each group's routes answer the same, by a template and by a plain mock.
const CONFIG: &str = r##"
kind = "rest"
stage = "bench"

[stages.bench]
logging = "OFF"

# Nothing but the status code: the least that a mapped mock can do.
[[route]]
route = "POST /constant/template"
[route.integration]
type = "mock"
request_templates = { "application/json" = '{"statusCode": 200}' }
[[route.integration.responses]]
status = 200
templates = { "application/json" = '{"message": "hello"}' }

[[route]]
route = "POST /constant/mock"
mock = { json = { message = "hello" } }

# The body, parameters and a loop.
[[route]]
route = "POST /{id}/input/template"
[route.integration]
type = "mock"
request_templates = { "application/json" = '''
#set($tags = $input.path('$.tags'))
{"statusCode": #if($tags.size() == 3 && $input.json('$.name') == '"Ada"')200#{else}400#end}''' }
[[route.integration.responses]]
status = 200
[route.integration.responses.templates]
"application/json" = '''{"id": "$input.params('id')", "tags": [#foreach($tag in ["a", "b", "c"])"$tag"#if($foreach.hasNext), #end#end]}'''

[[route]]
route = "POST /{id}/input/mock"
mock = { body = '{"id": "{id}", "tags": ["a", "b", "c"]}' }

# What is made of the whole request: its context and its headers.
[[route]]
route = "POST /context/template"
[route.integration]
type = "mock"
request_templates = { "application/json" = '{"statusCode": 200}' }
[[route.integration.responses]]
status = 200
templates = { "application/json" = '{"path": "$context.resourcePath", "agent": "$input.params("user-agent")"}' }

[[route]]
route = "POST /context/mock"
mock = { body = '{"path": "/context/template", "agent": "{header.user-agent}"}' }
"##;

const BODY: &str = r#"{"name": "Ada", "tags": ["mathematics", "engines", "poetry"]}"#;

fn load(folder: &Path) -> Gateway {
    std::fs::write(folder.join("gateway.toml"), CONFIG).expect("a configuration");
    std::fs::create_dir_all(folder.join("handlers")).expect("a folder");
    let source = Source {
        file: "gateway.toml".into(),
        required: true,
        working_folder: folder.to_owned(),
        overrides: Overrides::default(),
    };
    cli::gateway(source).expect("a gateway")
}

/// The answer's body; what is wrong with it is shown there.
fn answer(runtime: &Runtime, gateway: &Gateway, path: &str) -> Bytes {
    let here = ([127, 0, 0, 1], 3000).into();
    let connection = Connection { client: here, local: here, tls: None, proxied: None };
    let request = Request::post(path)
        .header(header::HOST, "127.0.0.1:3000")
        .header(header::USER_AGENT, "bench")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONTENT_LENGTH, BODY.len())
        .body(Full::from(BODY))
        .expect("a request");
    let (mut parts, body) = request.into_parts();
    let mut trace = Trace::Off;
    let served = pipeline::serve(gateway, &connection, &mut parts, body, &mut trace);
    let response = runtime.block_on(served);
    response.body().whole().cloned().unwrap_or_default()
}

fn templates(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = load(folder.path());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    for (group, prefix) in [("constant", ""), ("input", "/42"), ("context", "")] {
        let path = |kind: &str| format!("{prefix}/{group}/{kind}");
        let (template, mock) = (path("template"), path("mock"));
        let same = |path: &str| {
            String::from_utf8_lossy(&answer(&runtime, &gateway, path)).replace(' ', "")
        };
        assert!(same(&template).starts_with(r#"{""#), "{}", same(&template));
        assert_eq!(same(&template), same(&mock), "{group}");
        let mut group = criterion.benchmark_group(format!("request, {group}"));
        for (name, path) in [("templates", &template), ("baseline: a plain mock", &mock)] {
            group.bench_function(name, |bencher| {
                bencher.iter(|| answer(&runtime, &gateway, path));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, templates);
criterion_main!(benches);

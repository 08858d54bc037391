//! The commands beside `serve`.

use std::{fs, process::Output};

use mayfly_tests::{Project, fixture, handler, root};
use serde_json::{Value, json};

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn check_accepts_the_checkout_s_own_configuration() {
    let project = Project::with_config(&fs::read_to_string(root().join("gateway.toml")).unwrap());
    for name in ["hello", "post-message", "get-messages", "users", "send-email"] {
        project.put_handler(name, &handler(name));
    }
    let output = project.run(&["check"]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(out(&output).starts_with("ok: "), "{}", out(&output));
    assert!(!project.path().join(".mayfly").exists(), "checking leaves nothing behind");
}

#[test]
fn check_reports_every_problem_with_its_place() {
    let project = Project::with_config(
        "kindd = \"http\"\n\n[[route]]\nroute = \"GET /a\"\nfunction = \"prob\"\n\n[[route]]\nroute = \"FETCH /b\"\nmock = { status = 9 }\n",
    )
    .with_handler("probe", &fixture("probe"));
    let output = project.run(&["check"]);
    assert_eq!(output.status.code(), Some(2));
    let text = err(&output);
    for expected in
        ["gateway.toml:1:1", "kind", "gateway.toml:8:", "FETCH", "gateway.toml:9:", "status"]
    {
        assert!(text.contains(expected), "{expected:?} in {text}");
    }
    let serve = project.run(&["serve"]);
    assert_eq!(serve.status.code(), Some(2));
    assert_eq!(out(&serve), "", "nothing listens before the configuration is right");
}

#[test]
fn an_unknown_function_is_a_problem_of_the_configuration() {
    let project = Project::with_config("[[route]]\nroute = \"GET /a\"\nfunction = \"prob\"\n")
        .with_handler("probe", &fixture("probe"));
    for command in ["check", "serve", "routes"] {
        let output = project.run(&[command]);
        assert_eq!(output.status.code(), Some(2), "{command}");
        let text = err(&output);
        assert!(text.contains("gateway.toml:2"), "{command}: {text}");
        assert!(text.contains("did you mean \"probe\"?"), "{command}: {text}");
    }
}

#[test]
fn routes_lists_what_is_served() {
    let project =
        Project::with_config("[[route]]\nroute = \"GET /pets/{id}\"\nmock = { status = 201 }\n")
            .with_handler("probe", &fixture("probe"));
    let output = project.run(&["routes"]);
    let text = out(&output);
    let lines: Vec<Vec<&str>> =
        text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0][..3], ["GET", "/pets/{id}", "mock"]);
    assert_eq!(lines[1], ["ANY", "/probe", "function", "probe", "(drop-in)"]);
    assert_eq!(lines[2], ["ANY", "/probe/{proxy+}", "function", "probe", "(drop-in)"]);
}

#[test]
fn test_shows_every_stage() {
    let project = Project::with_config(
        "stage = \"a\"\n[stages.a]\n[stages.b]\nvariables = { where = \"b\" }\n",
    )
    .with_handler("probe", &fixture("probe"));
    let output = project.run(&[
        "test",
        "POST",
        "/probe/x?q=1",
        "-H",
        "X-Custom: yes",
        "--body",
        "hello",
        "--stage",
        "b",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let text = out(&output);
    for expected in [
        "--- route\nANY /probe/{proxy+}",
        "--- method request\nPOST /probe/x?q=1\nx-custom: yes",
        "--- integration request\nfunction probe\n{",
        "\"where\": \"b\"",
        "--- integration response\n{",
        "--- method response\n200 OK",
        "status: 200",
        "latency: ",
    ] {
        assert!(text.contains(expected), "{expected:?} in {text}");
    }
    let unknown = project.run(&["test", "GET", "/nothing"]);
    assert!(out(&unknown).contains("status: 404"));
    let stage = project.run(&["test", "GET", "/probe", "--stage", "c"]);
    assert_eq!(stage.status.code(), Some(2), "{}", err(&stage));
}

#[test]
fn invoke_prints_the_answer_and_lambda_s_errors() {
    let project = Project::new().with_handler("probe", &fixture("probe"));
    let invoke = |payload: Value, more: &[&str]| {
        let payload = payload.to_string();
        project.run(&[&["invoke", "probe", "--payload", &payload], more].concat())
    };
    let doing = |what: &str| json!({ "queryStringParameters": { "do": what } });
    let answer = invoke(doing("count"), &[]);
    assert_eq!(answer.status.code(), Some(0), "{}", err(&answer));
    let value: Value = serde_json::from_str(&out(&answer)).unwrap();
    assert_eq!(value["body"], "1");
    let error = invoke(doing("error"), &[]);
    assert_eq!(error.status.code(), Some(1));
    let value: Value = serde_json::from_str(&out(&error)).unwrap();
    assert_eq!(
        value,
        json!({ "errorType": "Probe.Error", "errorMessage": "asked to fail", "stackTrace": ["probe"] })
    );
    let trap = invoke(doing("trap"), &[]);
    let value: Value = serde_json::from_str(&out(&trap)).unwrap();
    assert_eq!(value["errorType"], "Runtime.ExitError");
    assert!(err(&trap).contains("asked to trap"), "{}", err(&trap));
    let event = invoke(doing("count"), &["--type", "Event"]);
    assert_eq!((event.status.code(), out(&event).as_str()), (Some(0), ""));
    let dry = invoke(doing("trap"), &["--type", "DryRun"]);
    assert_eq!((dry.status.code(), out(&dry).as_str()), (Some(0), ""));
    fs::write(project.path().join("event.json"), doing("count").to_string()).unwrap();
    let file = project.run(&["invoke", "probe", "--payload", "@event.json"]);
    assert_eq!(file.status.code(), Some(0), "{}", err(&file));
    let bad = project.run(&["invoke", "probe", "--payload", "{"]);
    assert_eq!(bad.status.code(), Some(1));
    assert!(err(&bad).contains("the payload is not JSON"));
    let unknown = project.run(&["invoke", "nobody"]);
    assert!(err(&unknown).contains("there are probe"), "{}", err(&unknown));
}

#[test]
fn a_new_handler_builds_tests_and_serves() {
    let project = Project::new();
    let new = project.run(&["new", "greeter"]);
    assert_eq!(new.status.code(), Some(0), "{}", err(&new));
    let again = project.run(&["new", "greeter"]);
    assert_eq!(again.status.code(), Some(1), "nothing is overwritten");
    let build = project.run(&["build", "greeter"]);
    assert_eq!(build.status.code(), Some(0), "{}", err(&build));
    let gateway = project.serve();
    let answer = gateway.get("/greeter?name=Ada");
    assert_eq!(answer.status, 200, "{}", gateway.log());
    assert!(answer.text().contains("Ada"), "{}", answer.text());
}

#[test]
fn bad_names_for_a_new_handler_are_refused() {
    let project = Project::new();
    for name in ["", "a b", "../x", "1st", "Ünicode", "test"] {
        let output = project.run(&["new", name]);
        assert_ne!(output.status.code(), Some(0), "{name:?}");
    }
    assert_eq!(fs::read_dir(project.path()).unwrap().count(), 1);
}

#[test]
fn help_and_usage_errors_say_what_to_do() {
    let project = Project::new();
    let help = project.run(&["--help"]);
    for command in ["serve", "check", "routes", "test", "invoke", "new", "build"] {
        assert!(out(&help).contains(command), "{command}");
        let help = project.run(&[command, "--help"]);
        assert_eq!(help.status.code(), Some(0));
        assert!(!out(&help).contains('\u{1b}'), "no colours where there is no terminal");
    }
    assert!(out(&help).contains("Exit codes"));
    let wrong = project.run(&["serv"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(err(&wrong).contains("serve"), "{}", err(&wrong));
}

#[test]
fn render_tries_a_template_and_names_the_place_of_an_error() {
    let project = Project::new();
    fs::write(
        project.path().join("t.vtl"),
        "#set($pet = $input.path('$.pet'))\n$pet.name is $pet.age, $input.params('q'), $greeting",
    )
    .unwrap();
    let request = r#"{"body":{"pet":{"name":"Rex","age":3}},"query":{"q":"a b"}}"#;
    let output =
        project.run(&["render", "t.vtl", "--vars", r#"{"greeting":"hi"}"#, "--request", request]);
    assert_eq!(out(&output), "Rex is 3, a b, hi", "{}", err(&output));
    fs::write(project.path().join("bad.vtl"), "fine\n#if($x").unwrap();
    let output = project.run(&["render", "bad.vtl"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("bad.vtl:2:7: "), "{}", err(&output));
}

#[test]
fn render_prints_a_line_for_each_case() {
    let project = Project::new();
    let cases = json!([
        { "name": "vars", "template": "$a.b", "vars": { "a": { "b": [1, 2] } } },
        { "name": "bad", "template": "#if(" },
        { "name": "input", "template": "$input.json('$.x')|$input.params('id')|$input.params('H')|$input.body",
          "request": { "body": "{\"x\":[1]}", "path": { "id": "7" }, "headers": { "h": "v" } } },
        { "name": "stage", "template": "$stageVariables.v $context.stage#set($context.responseOverride.status = 418)$context.responseOverride.status",
          "stageVariables": { "v": "1" }, "context": { "stage": "test" } },
        { "name": "unknown", "template": "", "var": {} },
        { "name": "no body", "template": "$input.body $input.json('$') $input.json('$.x')" },
    ]);
    fs::write(project.path().join("cases.json"), cases.to_string()).unwrap();
    let output = project.run(&["render", "--cases", "cases.json"]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let lines: Vec<Value> =
        out(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 6);
    assert_eq!(lines[0], json!({ "name": "vars", "output": "[1,2]" }));
    assert!(lines[1]["error"].as_str().unwrap().starts_with("line 1, column "), "{}", lines[1]);
    assert_eq!(lines[2]["output"], "[1]|7|v|{\"x\":[1]}");
    assert_eq!(lines[3]["output"], "1 test418");
    assert!(lines[4]["error"].as_str().unwrap().contains("`var`"), "{}", lines[4]);
    assert_eq!(lines[5]["output"], "{} {} \"\"");
}

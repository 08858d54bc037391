//! OpenAPI definitions, as API Gateway exports and imports them.

use std::fs;

use mayfly_tests::{Answer, Gateway, Project, fixture};
use serde_json::{Value, json};

/// A project with a definition and without a configuration.
fn project(file: &str, definition: &str) -> Project {
    let project = Project::new().with_handler("probe", &fixture("probe"));
    fs::write(project.path().join(file), definition).unwrap();
    project
}

fn serve(file: &str, definition: &str) -> Gateway {
    project(file, definition).serve_with(&["--openapi", file])
}

/// What a console exports of a REST API, with its extensions.
fn export(upstream: &str) -> String {
    let header = |name: &str| json!({ name: { "type": "string" } });
    json!({
        "swagger": "2.0",
        "info": { "version": "2026-11-21T10:00:00Z", "title": "Pet shop" },
        "host": "abc.execute-api.eu-west-1.amazonaws.com",
        "basePath": "/prod",
        "schemes": ["https"],
        "paths": {
            "/pets": {
                "get": {
                    "produces": ["application/json"],
                    "parameters": [{ "name": "type", "in": "query", "required": true, "type": "string" }],
                    "responses": { "200": { "description": "200 response", "headers": header("X-Stage") } },
                    "x-amazon-apigateway-request-validator": "Validate query string parameters",
                    "x-amazon-apigateway-integration": {
                        "type": "mock",
                        "passthroughBehavior": "when_no_match",
                        "contentHandling": "CONVERT_TO_TEXT",
                        "requestTemplates": { "application/json": "{\"statusCode\": 200}" },
                        "responses": {
                            "default": {
                                "statusCode": "200",
                                "responseParameters": { "method.response.header.X-Stage": "context.stage" },
                                "responseTemplates": {
                                    "application/json": "[{\"type\": \"$input.params('type')\"}]"
                                }
                            }
                        }
                    }
                },
                "post": {
                    "consumes": ["application/json"],
                    "parameters": [{ "in": "body", "name": "NewPet", "required": true, "schema": { "$ref": "#/definitions/NewPet" } }],
                    "responses": { "200": { "description": "200 response" }, "201": { "description": "made" } },
                    "x-amazon-apigateway-request-validator": "all",
                    "x-amazon-apigateway-integration": {
                        "type": "aws",
                        "httpMethod": "POST",
                        "uri": "arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/arn:aws:lambda:eu-west-1:123456789012:function:probe/invocations",
                        "requestTemplates": {
                            "application/json": "{\"queryStringParameters\": {\"do\": \"answer\"}, \"body\": \"{\\\"name\\\": \\\"$input.path('$.name')\\\"}\"}"
                        },
                        "responses": {
                            "default": {
                                "statusCode": 201,
                                "responseTemplates": { "application/json": "{\"made\": $input.json('$.name')}" }
                            }
                        }
                    }
                }
            },
            "/pets/{id}": {
                "get": {
                    "parameters": [{ "name": "id", "in": "path", "required": true, "type": "string" }],
                    "responses": { "200": { "description": "200 response" } },
                    "x-amazon-apigateway-integration": {
                        "type": "http",
                        "httpMethod": "GET",
                        "uri": format!("http://{upstream}/upstream/{{pet}}"),
                        "requestParameters": { "integration.request.path.pet": "method.request.path.id" },
                        "responses": {
                            "default": {
                                "statusCode": "200",
                                "responseTemplates": { "application/json": "{\"upstream\": $input.json('$.pet')}" }
                            }
                        }
                    }
                }
            },
            "/files/{proxy+}": {
                "x-amazon-apigateway-any-method": {
                    "parameters": [{ "name": "proxy", "in": "path", "required": true, "type": "string" }],
                    "responses": {},
                    "x-amazon-apigateway-integration": {
                        "type": "aws_proxy",
                        "httpMethod": "POST",
                        "uri": "arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/arn:aws:lambda:eu-west-1:123456789012:function:probe:live/invocations",
                        "cacheNamespace": "abc",
                        "cacheKeyParameters": []
                    }
                }
            }
        },
        "definitions": {
            "Name": { "type": "string", "minLength": 1 },
            "NewPet": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": { "$ref": "#/definitions/Name" },
                    "parent": { "$ref": "#/definitions/NewPet" },
                    "nick": { "type": "string", "x-nullable": true, "example": "Rexy" }
                }
            }
        },
        "x-amazon-apigateway-request-validators": {
            "all": { "validateRequestBody": true, "validateRequestParameters": true },
            "Validate query string parameters": { "validateRequestBody": false, "validateRequestParameters": true }
        },
        "x-amazon-apigateway-gateway-responses": {
            "MISSING_AUTHENTICATION_TOKEN": {
                "statusCode": 404,
                "responseParameters": { "gatewayresponse.header.X-Reason": "'no such route'" },
                "responseTemplates": { "application/json": "{\"error\": $context.error.messageString}" }
            }
        },
        "x-amazon-apigateway-binary-media-types": ["image/png"]
    })
    .to_string()
}

#[test]
fn an_export_of_a_rest_api_is_served() {
    let upstream = Project::with_config(
        "[[route]]\nroute = \"GET /upstream/{id}\"\nmock = { json = { pet = \"{id}\" } }\n",
    )
    .serve();
    let gateway = serve("pets.json", &export(&upstream.address));
    let answer = gateway.get("/pets?type=dog");
    assert_eq!((answer.status, answer.json()), (200, json!([{ "type": "dog" }])));
    assert_eq!(answer.header("x-stage"), Some("prod"));
    let answer = gateway.get("/pets");
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json(), json!({ "message": "Missing required request parameters: [type]" }));
    let answer = gateway.post("/pets", &json!({ "name": "Rex", "nick": null }));
    assert_eq!((answer.status, answer.json()), (201, json!({ "made": "Rex" })));
    for wrong in [json!({}), json!({ "name": "" }), json!({ "name": "a", "parent": {} })] {
        let answer = gateway.post("/pets", &wrong);
        assert_eq!(answer.status, 400, "{wrong}");
        assert_eq!(answer.json(), json!({ "message": "Invalid request body" }));
    }
    assert_eq!(gateway.get("/pets/7").json(), json!({ "upstream": "7" }));
    let event = Answer::of(gateway.request("PUT", "/files/a/b")).json();
    assert_eq!(event["resource"], "/files/{proxy+}");
    assert_eq!(event["pathParameters"], json!({ "proxy": "a/b" }));
    assert_eq!(event["requestContext"]["apiId"], "Pet-shop");
    let answer = gateway.get("/nothing");
    assert_eq!(answer.status, 404);
    assert_eq!(answer.header("x-reason"), Some("no such route"));
    assert_eq!(answer.json(), json!({ "error": "Missing Authentication Token" }));
    assert!(!gateway.log().contains("pets.json"), "{}", gateway.log());
}

const HTTP: &str = r"
openapi: 3.0.1
info: { title: shop, version: 1 }
x-amazon-apigateway-cors:
  allowOrigins: [https://shop.example]
  allowMethods: [GET]
  allowHeaders: [x-token]
  maxAge: 60
paths:
  /two:
    get:
      x-amazon-apigateway-integration: &proxy
        type: AWS_PROXY
        httpMethod: POST
        payloadFormatVersion: '2.0'
        uri: !Sub arn:aws:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${probe.Arn}/invocations
  /one:
    get:
      x-amazon-apigateway-integration:
        <<: *proxy
        payloadFormatVersion: '1.0'
  /$default:
    x-amazon-apigateway-any-method:
      isDefaultRoute: true
      x-amazon-apigateway-integration: { $ref: '#/components/x-amazon-apigateway-integrations/probe' }
components:
  x-amazon-apigateway-integrations:
    probe: *proxy
";

#[test]
fn a_definition_of_an_http_api_is_served() {
    let gateway = serve("shop.yaml", HTTP);
    assert_eq!(gateway.get("/two").json()["routeKey"], "GET /two");
    assert_eq!(gateway.get("/one").json()["version"], "1.0");
    assert_eq!(gateway.get("/anything/else").json()["routeKey"], "$default");
    let preflight = gateway
        .request("OPTIONS", "/two")
        .header("origin", "https://shop.example")
        .header("access-control-request-method", "GET")
        .header("access-control-request-headers", "x-token");
    let preflight = Answer::of(preflight);
    assert_eq!(preflight.header("access-control-allow-origin"), Some("https://shop.example"));
    assert_eq!(preflight.header("access-control-allow-headers"), Some("x-token"));
    assert_eq!(preflight.header("access-control-max-age"), Some("60"));
}

#[test]
fn an_operation_without_an_integration_answers_with_its_example() {
    let gateway = serve(
        "api.yaml",
        r##"
openapi: 3.1.0
info: { title: examples, version: 1 }
paths:
  /example/{id}:
    get:
      responses:
        201: { content: { application/json: { example: { id: "{id}", all: "{body}" } } } }
        200: { $ref: "#/components/responses/Text" }
  /schema:
    get:
      responses:
        2XX:
          content:
            application/problem+json:
              schema: { $ref: "#/components/schemas/Node" }
  /nothing:
    delete: { responses: { 204: { description: gone } } }
components:
  responses:
    Text: { content: { text/csv: { example: "id,{id}\n1,{path.id}\n" } } }
  schemas:
    Node:
      properties:
        at: { type: string, format: date }
        inside: { type: array, items: { $ref: "#/components/schemas/Node" } }
"##,
    );
    let answer = gateway.get("/example/7");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/csv")));
    assert_eq!(answer.text(), "id,{id}\n1,{path.id}\n");
    let answer = gateway.get("/schema");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert_eq!(answer.json(), json!({ "at": "2024-01-31", "inside": [] }));
    assert_eq!(Answer::of(gateway.request("DELETE", "/nothing")).status, 204);
}

const UNSERVED: &str = r"
openapi: 3.0.1
security: [{ basic: [] }]
x-amazon-apigateway-endpoint-configuration: {}
paths:
  /open: { get: { responses: { 200: { content: { text/plain: { example: yes } } } } } }
  /queue:
    post:
      x-amazon-apigateway-integration:
        type: aws
        uri: arn:aws:apigateway:eu-west-1:sqs:path/123456789012/queue
  /token:
    get:
      security: [{ token: [] }]
      x-amazon-apigateway-integration: { type: mock }
components:
  securitySchemes:
    basic: { type: http, scheme: basic }
    token:
      type: apiKey
      x-amazon-apigateway-authorizer: { type: token }
";

#[test]
fn what_is_not_served_is_said_and_refused_if_strict() {
    let warnings = [
        "api.yaml:3:14: security \"basic\" is not enforced: anyone may call GET /open",
        "api.yaml:4:1: x-amazon-apigateway-endpoint-configuration is not served",
        "api.yaml:11:14: POST /queue is left out: ",
        "api.yaml:14:20: GET /token is left out: its security \"token\" has an authorizer without",
    ];
    let project = project("api.yaml", UNSERVED);
    let checked = project.run(&["check", "--openapi", "api.yaml"]);
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(checked.status.success(), "{said}");
    for warning in warnings {
        assert!(said.contains(&format!("warning: {warning}")), "{warning}: {said}");
    }
    for command in ["check", "serve", "routes"] {
        let refused = project.run(&[command, "--openapi", "api.yaml", "--strict"]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{said}");
        for warning in warnings {
            assert!(said.contains(&format!("error: {warning}")), "{warning}: {said}");
        }
    }
    let gateway = project.serve_with(&["--openapi", "api.yaml"]);
    for warning in warnings {
        gateway.wait_for_log(warning);
    }
    // What is left out is not named twice.
    assert!(!gateway.log().contains("only an operation has"), "{}", gateway.log());
    assert_eq!(gateway.get("/token").status, 403);
    assert_eq!(gateway.get("/open").text(), "yes");
    let queue = gateway.post("/queue", &json!({}));
    assert_eq!(
        (queue.status, queue.json()),
        (403, json!({ "message": "Missing Authentication Token" }))
    );
}

fn example(text: &str) -> String {
    format!(
        "openapi: 3.0.1\npaths: {{ /a: {{ get: {{ responses: {{ 200: {{ content: {{ text/plain: {{ example: {text} }} }} }} }} }} }} }}\n"
    )
}

#[test]
fn a_definition_is_reloaded_and_a_mistake_changes_nothing() {
    let project = Project::with_config("openapi = \"apis/a.yaml\"\n");
    let folder = project.path().join("apis");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("a.yaml"), example("one")).unwrap();
    let gateway = project.serve();
    assert_eq!(gateway.get("/a").text(), "one");
    fs::write(folder.join("a.yaml"), example("two")).unwrap();
    gateway.wait("the second example", || gateway.get("/a").text() == "two");
    fs::write(folder.join("a.yaml"), "openapi: [\n").unwrap();
    gateway.wait_for_log("apis/a.yaml:2:");
    assert_eq!(gateway.get("/a").text(), "two");
    // Replaced as editors do.
    fs::write(folder.join(".a.yaml.new"), example("three")).unwrap();
    fs::rename(folder.join(".a.yaml.new"), folder.join("a.yaml")).unwrap();
    gateway.wait("the third example", || gateway.get("/a").text() == "three");
    // Another one, which does not exist at first.
    gateway.project.write_config("openapi = \"apis/b.json\"\n");
    gateway.wait_for_log("apis/b.json cannot be read");
    assert_eq!(gateway.get("/a").text(), "three");
    let four: Value = json!({
        "openapi": "3.0.1",
        "paths": { "/a": { "get": { "responses": { "200": { "content": { "text/plain": { "example": "four" } } } } } } },
    });
    fs::write(folder.join("b.json"), four.to_string()).unwrap();
    gateway.wait("the fourth example", || gateway.get("/a").text() == "four");
}

#[test]
fn a_new_warning_of_a_reload_is_logged_once() {
    let gateway = serve("a.yaml", &example("one"));
    let warned = "x-amazon-apigateway-endpoint-configuration is not served";
    assert!(!gateway.log().contains(warned));
    let unserved = "x-amazon-apigateway-endpoint-configuration: {}\n";
    fs::write(gateway.project.path().join("a.yaml"), example("two") + unserved).unwrap();
    gateway.wait("the second example", || gateway.get("/a").text() == "two");
    gateway.wait_for_log(warned);
    fs::write(gateway.project.path().join("a.yaml"), format!("{unserved}{}", example("three")))
        .unwrap();
    gateway.wait("the third example", || gateway.get("/a").text() == "three");
    assert_eq!(gateway.log().matches(warned).count(), 1);
}

#[test]
fn the_configuration_wins_over_the_definition() {
    let project = Project::with_config(
        "name = \"own\"\nkind = \"http\"\nopenapi = \"other.yaml\"\n[[route]]\nroute = \"GET /a\"\nmock = { body = \"configured\" }\n",
    );
    let definition = example("defined") + "  # and a path beside it\n";
    let definition = definition.replace(" }\n  #", ", /b: { get: {} } }\n  #");
    fs::write(project.path().join("api.yaml"), definition).unwrap();
    // The command line wins over the key, whose file does not even exist.
    let listed = project.run(&["routes", "--openapi", "api.yaml"]);
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.status.success(), "{listed:?}");
    assert_eq!(text, "GET /a  mock 200 OK\nGET /b  mock 200 OK\n");
    let tested = project.run(&["test", "GET", "/b", "--openapi", "api.yaml"]);
    assert!(tested.status.success(), "{tested:?}");
    let gateway = project.serve_with(&["--openapi", "api.yaml"]);
    assert_eq!(gateway.get("/a").text(), "configured");
    // An HTTP API's answer to an unknown route.
    assert_eq!(gateway.get("/c").status, 404);
}

#[test]
fn stages_of_the_configuration_choose_functions_of_the_definition() {
    let definition =
        HTTP.replace("${probe.Arn}", "arn:aws:lambda:r:1:function:${!stageVariables.f}");
    let project = project("api.yaml", &definition);
    project.write_config(
        "openapi = \"api.yaml\"\nstage = \"test\"\n[stages.test]\nvariables = { f = \"probe\" }\n",
    );
    let gateway = project.serve();
    assert_eq!(gateway.get("/two").json()["requestContext"]["stage"], "test");
    gateway.project.write_config("openapi = \"api.yaml\"\n");
    gateway.wait_for_log("no stage has the variable \"f\"");
}

#[test]
fn a_function_without_a_file_is_named_where_the_definition_names_it() {
    let project = project("api.yaml", &HTTP.replace("${probe.Arn}", "${Other.Arn}"));
    let checked = project.run(&["check", "--openapi", "api.yaml"]);
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert_eq!(checked.status.code(), Some(2), "{said}");
    assert!(
        said.contains("api.yaml:11:5: the route GET /two names the function \"Other\", but there is no Other.wasm"),
        "{said}"
    );
}

#[test]
fn a_definition_that_is_none_ends_the_command() {
    let project = project("api.json", "{\"openapi\": \"3.0.1\", \"paths\": {,}}");
    for (file, problem) in [
        ("api.json", "api.json:1:32: expected a key in double quotes, found ','"),
        ("none.yaml", "command line: --openapi: none.yaml cannot be read: No such file"),
    ] {
        let refused = project.run(&["serve", "--openapi", file]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{said}");
        assert!(said.contains(problem), "{said}");
    }
}

#[test]
fn a_definition_s_policy_is_enforced() {
    let definition = r#"
openapi: 3.0.1
info: { title: pets, version: "1" }
x-amazon-apigateway-policy:
  Version: "2012-10-17"
  Statement:
    - { Effect: Allow, Principal: "*", Action: "execute-api:Invoke", Resource: "arn:aws:execute-api:us-east-1:1:abc/*" }
    - { Effect: Deny, Principal: "*", Action: "execute-api:Invoke", Resource: "execute-api:/*/DELETE/*" }
paths:
  /pets:
    get: { responses: { "200": { description: ok } } }
    delete: { responses: { "204": { description: gone } } }
"#;
    let project = Project::new();
    fs::write(project.path().join("api.yaml"), definition).unwrap();
    let gateway = project.serve_with(&["--openapi", "api.yaml", "--strict"]);
    assert_eq!(gateway.get("/pets").status, 200);
    let denied = Answer::of(gateway.request("DELETE", "/pets"));
    assert_eq!(denied.status, 403);
    assert!(denied.text().ends_with("prod/DELETE/pets with an explicit deny\"}"), "{denied:?}");

    let unreadable = definition.replace("Effect: Deny", "Effect: Refuse");
    fs::write(gateway.project.path().join("api.yaml"), unreadable).unwrap();
    gateway.wait_for_log("Statement[1].Effect is \"Refuse\"");
    assert_eq!(Answer::of(gateway.request("DELETE", "/pets")).status, 403);
}

use std::path::Path;

use super::{Around, Translated};
use crate::config::{
    ApiKind, Problem,
    read::Source,
    tree::{Data, Node},
};

mod security;

/// A definition's tables as JSON, and its problems and warnings in lines.
struct Outcome {
    kind: ApiKind,
    name: Option<String>,
    root: serde_json::Value,
    problems: Vec<String>,
    warnings: Vec<String>,
}

fn lines(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

fn translate(text: &str) -> Outcome {
    translate_beside(text, &Around::default())
}

fn translate_beside(text: &str, around: &Around) -> Outcome {
    let source = Source::new(Path::new("api"), text, Path::new("/"));
    let translated = super::translate(&source, Path::new("api"), text, None, around);
    let warnings = lines(&source.warnings());
    let problems = lines(&source.into_problems(&[]));
    let Some(Translated { kind, name, root }) = translated else {
        return Outcome {
            kind: ApiKind::Rest,
            name: None,
            root: serde_json::Value::Null,
            problems,
            warnings,
        };
    };
    let root = plain(&Node { at: 0, data: Data::Table(root) });
    Outcome { kind, name, root, problems, warnings }
}

/// What a tree says, without its places. Strings in which braces are text are
/// marked.
pub fn plain(node: &Node) -> serde_json::Value {
    match &node.data {
        Data::Null => serde_json::Value::Null,
        Data::Boolean(value) => (*value).into(),
        Data::Integer(number) => (number.value as i64).into(),
        Data::Float(number) => number.parse::<f64>().expect("a number").into(),
        Data::String(text) | Data::Datetime(text) => text.clone().into(),
        Data::Verbatim(text) => format!("verbatim: {text}").into(),
        Data::Array(items) => items.iter().map(plain).collect(),
        Data::Table(entries) => serde_json::Value::Object(
            entries.iter().map(|(key, member)| (key.clone(), plain(&member.node))).collect(),
        ),
    }
}

/// The only route of a definition.
fn route(text: &str) -> serde_json::Value {
    let outcome = translate(text);
    assert_eq!(outcome.problems, [""; 0]);
    outcome.root["route"][0].clone()
}

#[test]
fn what_is_no_definition_is_a_problem() {
    let hint = "hint: begin with openapi: 3.0.1 or swagger: \"2.0\"";
    for (text, problem) in [
        ("", "api:1:1: the definition is null, not a table"),
        ("[]", "api:1:1: the definition is an array, not a table"),
        ("info: {}", "api:1:1: the definition has neither openapi nor swagger"),
        ("openapi: 2.0.0", "api:1:10: openapi \"2.0.0\" is not known"),
        ("swagger: 1.2", "api:1:10: swagger \"1.2\" is not known"),
    ] {
        assert_eq!(translate(text).problems, [format!("{problem}\n  {hint}")], "{text}");
    }
    assert_eq!(translate("swagger: 2.0").problems, [""; 0]);
    assert_eq!(translate("openapi: 3.1.0").problems, [""; 0]);
}

#[test]
fn kind_and_name_come_from_the_definition() {
    let outcome = translate("{openapi: 3.0.1, info: {title: '  My (API), v1 '}}");
    assert_eq!((outcome.kind, outcome.name.as_deref()), (ApiKind::Rest, Some("My-API-v1")));
    let outcome =
        translate("{openapi: 3.0.1, info: {title: '日本'}, x-amazon-apigateway-cors: {}}");
    assert_eq!((outcome.kind, outcome.name), (ApiKind::Http, None));
    let outcome = translate(
        "{openapi: 3.0.1, paths: {/a: {get: {x-amazon-apigateway-integration: {type: aws_proxy, uri: 'arn:aws:lambda:r:1:function:f', payloadFormatVersion: '2.0'}}}}}",
    );
    assert_eq!(outcome.kind, ApiKind::Http);
    assert_eq!(
        outcome.root["route"],
        serde_json::json!([{ "route": "GET /a", "function": "f", "payload": "2.0" }])
    );
}

#[test]
fn references_are_followed_and_cycles_are_not() {
    let outcome = translate(
        "openapi: 3.0.1
paths:
  /a: { $ref: '#/components/pathItems/a' }
  /b~c: { get: { responses: { 200: { $ref: '#/paths/~1d~0e/get/responses/200' } } } }
  /d~e: { get: { responses: { 200: { description: x, content: { text/plain: { example: 'd' } } } } } }
  /f: { $ref: '#/paths/~1f' }
  /g: { $ref: 'other.yaml#/a' }
  /h: { $ref: '#/components/nothing' }
components: { pathItems: { a: { get: {} } } }
",
    );
    let routes = outcome.root["route"].as_array().expect("routes");
    let keys: Vec<&str> = routes.iter().filter_map(|route| route["route"].as_str()).collect();
    assert_eq!(keys, ["GET /a", "GET /b~c", "GET /d~e"]);
    assert_eq!(routes[1]["mock"]["body"], "verbatim: d");
    assert_eq!(
        outcome.problems,
        [
            "api:6:7: the reference leads over more than 32 others, or to itself\n  hint: refer to the value itself",
            "api:7:15: \"other.yaml#/a\" is outside of the document\n  hint: only references within the document, #/…, are followed; put it here",
            "api:8:15: \"#/components/nothing\" names nothing: there is no \"nothing\"\n  hint: write #/ and the keys from the top level on",
        ]
    );
}

#[test]
fn a_sample_has_the_shape_of_its_schema() {
    let schema = "
type: object
properties:
  id: { type: string, format: uuid }
  name: { type: string, minLength: 8 }
  code: { type: string, maxLength: 3 }
  state: { enum: [open, shut] }
  size: { type: integer, minimum: 2, exclusiveMinimum: true, multipleOf: 5 }
  debt: { type: number, maximum: -1.5 }
  flag: { type: boolean }
  tags: { type: array, items: { type: string, example: '{id}' } }
  self: { $ref: '#/components/schemas/Pet' }
  kin: { type: array, items: { $ref: '#/components/schemas/Pet' } }
  one: { oneOf: [{ type: integer }, { type: string }] }
  all: { allOf: [{ type: object, properties: { a: { default: 1 } } }, { properties: { b: { type: [ 'null', string ] } } }] }
  any: {}
  secret: { type: string, writeOnly: true }
";
    let indented: String = schema.lines().map(|line| format!("      {line}\n")).collect();
    let route = route(&format!(
        "openapi: 3.0.1
paths: {{ /: {{ get: {{ responses: {{ default: {{ content: {{ application/json: {{ schema: {{ $ref: '#/components/schemas/Pet' }} }} }} }} }} }} }} }}
components:
  schemas:
    Pet:
{indented}"
    ));
    assert_eq!(
        route["mock"],
        serde_json::json!({ "status": 200, "json": {
            "id": "verbatim: 3f2b8c1e-5d4a-4b6f-9c7e-8a1d2e3f4a5b",
            "name": "verbatim: stringxx",
            "code": "verbatim: str",
            "state": "verbatim: open",
            "size": 5,
            "debt": -1.5,
            "flag": true,
            "tags": ["verbatim: {id}"],
            "kin": [],
            "one": 0,
            "all": { "a": 1, "b": "verbatim: string" },
            "any": null,
        } })
    );
}

#[test]
fn the_first_success_answers_with_its_example() {
    let mock = |responses: &str| {
        let text =
            format!("{{openapi: 3.0.1, paths: {{/a: {{get: {{responses: {responses}}}}}}}}}");
        route(&text)["mock"].clone()
    };
    for (responses, expected) in [
        ("{}", serde_json::json!({ "status": 200 })),
        (
            "{404: {}, 204: {content: {text/plain: {example: x}}}}",
            serde_json::json!({ "status": 204 }),
        ),
        (
            "{202: {}, 201: {content: {application/json: {example: {a: '{path.id}', b: 18446744073709551615}}}}}",
            serde_json::json!({ "status": 201, "json": { "a": "verbatim: {path.id}", "b": 18446744073709551615_u64 as f64 } }),
        ),
        (
            "{default: {content: {text/html: {example: <p>}, application/json: {examples: {x: {value: [1]}}}}}}",
            serde_json::json!({ "status": 200, "json": [1] }),
        ),
        (
            "{200: {content: {application/json: {example: '{\"a\": 1}'}}}}",
            serde_json::json!({
                "status": 200,
                "body": "verbatim: {\"a\": 1}",
                "headers": { "content-type": "verbatim: application/json" },
            }),
        ),
        (
            "{200: {content: {application/xml: {schema: {type: object}}}}}",
            serde_json::json!({ "status": 200 }),
        ),
        (
            "{200: {content: {application/hal+json: {schema: {type: integer}}}}}",
            serde_json::json!({
                "status": 200,
                "json": 0,
                "headers": { "content-type": "verbatim: application/hal+json" },
            }),
        ),
        ("{500: {}, 302: {}}", serde_json::json!({ "status": 302 })),
    ] {
        assert_eq!(mock(responses), expected, "{responses}");
    }
    let route = route(
        "{swagger: '2.0', produces: [application/json], paths: {/a: {get: {responses: {200: {schema: {type: string}, examples: {application/json: {a: 1}}}}}}}}",
    );
    assert_eq!(route["mock"], serde_json::json!({ "status": 200, "json": { "a": 1 } }));
}

#[test]
fn schemas_become_models_of_draft_4() {
    let outcome = translate(
        "openapi: 3.0.1
x-amazon-apigateway-request-validators: { all: { validateRequestBody: true, validateRequestParameters: true } }
x-amazon-apigateway-request-validator: all
paths:
  /pets/{id}:
    parameters:
    - { name: id, in: path, required: true }
    - { name: q, in: query, required: true }
    - { name: missing, in: path, required: true }
    post:
      parameters:
      - { name: q, in: query }
      - { name: X-Client, in: header, required: true }
      requestBody:
        content:
          application/json: { schema: { $ref: '#/components/schemas/New_Pet' } }
          '*/*': { schema: {} }
          text/json; charset=utf-8: { schema: { type: object, required: [a] } }
components:
  schemas:
    New_Pet:
      type: object
      required: [name]
      discriminator: { propertyName: kind }
      properties:
        id: { type: integer, format: int64, example: 1, readOnly: true }
        name: { type: string, nullable: true, enum: [a, b] }
        required: { type: boolean, required: true }
        parent: { $ref: '#/components/schemas/New_Pet', description: ignored }
        other: { $ref: '#/components/schemas/Other' }
    Other: { minimum: 1, exclusiveMinimum: true, additionalProperties: false }
    Unused: { type: nonsense }
",
    );
    assert_eq!(outcome.problems, [""; 0]);
    assert_eq!(
        outcome.warnings,
        [
            "api:9:7: POST /pets/{id} has no parameter {missing}\n  hint: it is not validated",
            "api:17:11: bodies of the type \"*/*\" are not validated\n  hint: write for example application/json",
        ]
    );
    let route = &outcome.root["route"][0];
    assert_eq!(
        route["required_parameters"],
        serde_json::json!(["method.request.header.X-Client", "method.request.path.id"])
    );
    assert_eq!(
        route["request_models"],
        serde_json::json!({ "application/json": "NewPet", "text/json": "POSTpetsidBody" })
    );
    let models = &outcome.root["models"];
    let schema = |name: &str| {
        let text = models[name]["schema"].as_str().expect("a schema");
        serde_json::from_str::<serde_json::Value>(text).expect("JSON")
    };
    let refer = |name: &str| serde_json::json!({ "$ref": format!("https://apigateway.amazonaws.com/restapis/api/models/{name}") });
    assert_eq!(models.as_object().expect("models").len(), 3);
    assert_eq!(
        schema("NewPet"),
        serde_json::json!({
            "type": "object",
            "required": ["name"],
            "properties": {
                "id": { "type": "integer", "format": "int64" },
                "name": { "type": ["string", "null"], "enum": ["a", "b", null] },
                "required": { "type": "boolean" },
                "parent": refer("NewPet"),
                "other": refer("Other"),
            },
        })
    );
    assert_eq!(
        schema("Other"),
        serde_json::json!({ "minimum": 1, "exclusiveMinimum": true, "additionalProperties": false })
    );
}

#[test]
fn schemas_of_3_1_become_models_of_draft_4() {
    let outcome = translate(
        "openapi: 3.1.0
x-amazon-apigateway-request-validators: { body: { validateRequestBody: true } }
paths:
  /a:
    post:
      x-amazon-apigateway-request-validator: body
      requestBody:
        content:
          application/json:
            schema:
              properties:
                a: { const: 1 }
                b: { exclusiveMinimum: 2 }
                c: { type: [string, 'null'] }
                d: true
                e: false
                f: { prefixItems: [{}], items: false }
                g: { $ref: '#/components/schemas/X', maxLength: 2 }
components: { schemas: { X: {} } }
",
    );
    assert_eq!((outcome.problems, outcome.warnings), (Vec::new(), Vec::new()));
    let text = outcome.root["models"]["POSTaBody"]["schema"].as_str().expect("a schema");
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(text).expect("JSON")["properties"],
        serde_json::json!({
            "a": { "enum": [1] },
            "b": { "minimum": 2, "exclusiveMinimum": true },
            "c": { "type": ["string", "null"] },
            "d": {},
            "e": { "not": {} },
            "f": { "items": [{}], "additionalItems": false },
            "g": {
                "allOf": [{ "$ref": "https://apigateway.amazonaws.com/restapis/api/models/X" }],
                "maxLength": 2,
            },
        })
    );
}

#[test]
fn http_integrations_keep_their_parameters() {
    let route = route(
        "openapi: 3.0.1
paths:
  /a/{id}:
    x-amazon-apigateway-any-method:
      x-amazon-apigateway-integration:
        type: http
        httpMethod: post
        uri: https://example.com/${stageVariables.base}/{id}
        requestParameters: { integration.request.path.id: method.request.path.id }
        tlsConfig: { insecureSkipVerification: true }
        contentHandling: CONVERT_TO_TEXT
        passthroughBehavior: when_no_match
        cacheNamespace: x
        timeoutInMillis: 1000
        responses:
          default: { statusCode: 200 }
          4\\d{2}:
            statusCode: '404'
            contentHandling: CONVERT_TO_TEXT
            responseParameters: { method.response.header.X-A: integration.response.header.x-a }
            responseTemplates: { application/json: $input.body }
      responses:
        200: {}
        404: { headers: { X-A: {} } }
",
    );
    assert_eq!(
        route,
        serde_json::json!({
            "route": "ANY /a/{id}",
            "integration": {
                "type": "http",
                "uri": "https://example.com/${stageVariables.base}/{id}",
                "method": "POST",
                "request_parameters": { "integration.request.path.id": "verbatim: method.request.path.id" },
                "tls": { "insecure_skip_verification": true },
                "passthrough_behavior": "WHEN_NO_MATCH",
                "content_handling": "CONVERT_TO_TEXT",
                "responses": [
                    { "status": 200 },
                    {
                        "pattern": "4\\d{2}",
                        "status": 404,
                        "content_handling": "CONVERT_TO_TEXT",
                        "templates": { "application/json": "$input.body" },
                        "headers": { "X-A": "integration.response.header.x-a" },
                    },
                ],
            },
            "method_responses": [
                { "status": 200, "headers": [] },
                { "status": 404, "headers": ["X-A"] },
            ],
            "timeout_ms": 1000,
        })
    );
}

#[test]
fn what_is_not_served_is_named_with_its_place() {
    let outcome = translate(
        "openapi: 3.0.1
x-amazon-apigateway-endpoint-configuration: {}
x-amazon-apigateway-documentation: {}
security: [{ plain: [] }]
paths:
  /a:
    get: { security: [] }
    put: {}
    post: {}
    patch: { security: [{ key: [] }] }
    trace: {}
  /a{b}:
    get: {}
  /b:
    get:
      x-amazon-apigateway-auth: { type: AWS_IAM }
      x-amazon-apigateway-integration: { type: aws_proxy, connectionType: VPC_LINK }
    put:
      x-amazon-apigateway-integration: { type: aws, uri: 'arn:aws:apigateway:r:dynamodb:action/PutItem' }
    post:
      x-amazon-apigateway-integration: { type: aws_proxy, uri: 'arn:aws:apigateway:r:lambda:path/2015-03-31/functions/arn:aws:lambda:r:1:function:${AWS::StackName}-f/invocations' }
    patch:
      x-amazon-apigateway-integration:
        type: aws
        uri: 'arn:aws:lambda:r:1:function:f'
        requestParameters: { integration.request.header.X-Amz-Invocation-Type: \"'Event'\" }
  /{c}:
    get: {}
  /{d}:
    get: {}
  misplaced: []
components:
  securitySchemes:
    key: { type: apiKey, x-amazon-apigateway-authtype: custom }
    plain: { type: apiKey }
",
    );
    assert_eq!(outcome.problems, [""; 0]);
    let keys: Vec<&str> = outcome.root["route"]
        .as_array()
        .expect("routes")
        .iter()
        .filter_map(|route| route["route"].as_str())
        .collect();
    assert_eq!(keys, ["GET /a", "PUT /a", "POST /a", "GET /{c}"]);
    let own =
        "\n  hint: write a route of its own in gateway.toml, which wins over the definition's";
    assert_eq!(
        outcome.warnings,
        [
            "api:2:1: x-amazon-apigateway-endpoint-configuration is not served\n  hint: the API is where Mayfly listens".to_owned(),
            "api:4:14: security \"plain\" is not enforced: anyone may call PUT /a and 2 more operations\n  hint: do not let strangers reach this address".to_owned(),
            "api:10:27: PATCH /a is left out: its security \"key\" is custom, without an x-amazon-apigateway-authorizer\n  hint: write [authorizer.key] in gateway.toml, which stands for it".to_owned(),
            "api:11:5: trace /a is left out: no such method\n  hint: API Gateway routes GET, POST, PUT, PATCH, DELETE, HEAD and OPTIONS".to_owned(),
            "api:13:5: GET /a{b} is left out: the segment \"a{b}\" of \"/a{b}\" has a brace inside\n  hint: a segment is text, \"{name}\" or, last, \"{name+}\"".to_owned(),
            format!("api:17:75: GET /b is left out: its integration is in a VPC{own}"),
            format!("api:19:58: PUT /b is left out: \"arn:aws:apigateway:r:dynamodb:action/PutItem\" is no function, and other services are not served{own}"),
            format!("api:21:64: POST /b is left out: which function \"${{AWS::StackName}}-f\" is, is only known once it is deployed{own}"),
            format!("api:26:30: PATCH /b is left out: its function is invoked asynchronously, which is not served{own}"),
            "api:30:5: GET /{d} is left out: another operation has its method and path\n  hint: remove one of the two".to_owned(),
            "api:31:3: \"misplaced\" is no path, and what is below it is not served\n  hint: a path begins with /".to_owned(),
        ]
    );
}

#[test]
fn what_streams_is_no_warning() {
    let warnings = |integration: &str| {
        translate(&format!(
            "openapi: 3.0.1\npaths: {{ /a: {{ get: {{ x-amazon-apigateway-integration: {{ {integration} }} }} }} }}"
        ))
        .warnings
    };
    let proxy = "type: http_proxy, httpMethod: GET, uri: 'https://a.example', responseTransferMode";
    let function = "type: aws_proxy, uri: 'arn:aws:lambda:r:1:function:f', responseTransferMode";
    assert_eq!(warnings(&format!("{proxy}: STREAM")), [""; 0]);
    assert_eq!(warnings(&format!("{function}: BUFFERED")), [""; 0]);
    assert_eq!(warnings(&format!("{function}: null")), [""; 0]);
    assert_eq!(
        warnings(&format!("{function}: STREAM")),
        [
            "api:2:135: responseTransferMode: only functions that speak HTTP stream\n  hint: any other answer is sent once it is complete"
        ]
    );
}

#[test]
fn api_keys_are_asked_for() {
    let operations = "paths:
  /inherited: { get: {} }
  /open: { get: { security: [] } }
  /optional: { get: { security: [{ key: [] }, {}] } }
  /both: { get: { security: [{ key: [], token: [] }] } }
  /other: { get: { security: [{ query: [] }] } }
security: [{ key: [] }]
";
    let schemes = "key: { type: apiKey, name: X-Api-Key, in: header }
    query: { type: apiKey, name: x-api-key, in: query }
    token: { type: http, scheme: basic }
";
    let three = format!(
        "openapi: 3.0.1\nx-amazon-apigateway-api-key-source: AUTHORIZER\n{operations}components:\n  securitySchemes:\n    {schemes}"
    );
    let two = format!("swagger: '2.0'\n{operations}securityDefinitions:\n    {schemes}");
    for text in [&three, &two] {
        let outcome = translate(text);
        assert_eq!(outcome.problems, [""; 0]);
        let required: Vec<&str> = outcome.root["route"]
            .as_array()
            .expect("routes")
            .iter()
            .filter(|route| route["api_key_required"] == true)
            .filter_map(|route| route["route"].as_str())
            .collect();
        assert_eq!(required, ["GET /inherited", "GET /both"]);
        let unserved: Vec<&String> =
            outcome.warnings.iter().filter(|line| line.contains("is not enforced")).collect();
        assert_eq!(unserved.len(), 2, "{unserved:?}");
    }
    assert_eq!(translate(&three).root["api_key_source"], "authorizer");
    assert_eq!(translate(&two).root.get("api_key_source"), None);
}

#[test]
fn headers_that_nothing_gives_are_not_mapped() {
    let outcome = translate(
        "swagger: '2.0'
x-amazon-apigateway-gateway-responses:
  DEFAULT_5XX:
    responseParameters:
      gatewayresponse.header.a: \"'text'\"
      gatewayresponse.header.b: method.input.params.b
      gatewayresponse.path.c: method.request.path.c
paths:
  /a:
    get:
      x-amazon-apigateway-integration:
        type: mock
        contentHandling: CONVERT_TO_TEXT
        responses:
          default:
            responseParameters:
              method.response.header.A: integration.response.header.a
              method.response.header.Content-Length: integration.response.body.length
              method.response.header.B: context.requestId
",
    );
    assert_eq!(outcome.problems, [""; 0]);
    let gateway = &outcome.root["gateway_responses"]["DEFAULT_5XX"];
    assert_eq!(gateway["headers"], serde_json::json!({ "a": "'text'" }));
    let integration = &outcome.root["route"][0]["integration"];
    assert_eq!(
        integration["responses"],
        serde_json::json!([{ "headers": { "B": "context.requestId" } }])
    );
    assert_eq!(integration["content_handling"], "CONVERT_TO_TEXT");
    assert_eq!(
        outcome.warnings,
        [
            "api:6:33: gatewayresponse.header.b is not mapped: nothing gives method.input.params.b\n  hint: write method.request.header.NAME, context.NAME or text",
            "api:7:7: gatewayresponse.path.c is not mapped\n  hint: write gatewayresponse.header.NAME",
            "api:17:41: method.response.header.A is not mapped: nothing gives integration.response.header.a\n  hint: neither a mock nor a function answers with headers",
            "api:18:15: method.response.header.Content-Length is not mapped\n  hint: the server writes it itself",
        ]
    );
}

#[test]
fn routes_of_the_configuration_win() {
    let text = "
openapi: 3.0.1
paths:
  /{a}:
    get: { x-amazon-apigateway-integration: { type: aws_proxy, connectionType: VPC_LINK } }
    put: {}
";
    let source = Source::new(Path::new("api"), text, Path::new("/"));
    let around = Around { routes: ["GET /{}".to_owned()].into(), ..Around::default() };
    let own: crate::router::RouteKey = "GET /{b}".parse().expect("a key");
    assert!(around.routes.contains(&own.identity()), "{}", own.identity());
    let translated = super::translate(&source, Path::new("api"), text, None, &around);
    let root = translated.expect("a definition").root;
    assert_eq!(root["route"].node.items().len(), 1);
    assert_eq!(source.warnings(), []);
}

#[test]
fn what_references_multiply_is_bounded() {
    let example = vec!["\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\""; 5000].join(",");
    let paths: Vec<String> = (0..1000)
        .map(|index| {
            format!(
                "\"/{index}\": {{\"get\": {{\"responses\": {{\"200\": {{\"$ref\": \"#/x\"}}}}}}}}"
            )
        })
        .collect();
    let text = format!(
        "{{\"openapi\": \"3.0.1\", \"paths\": {{{}}}, \"x\": {{\"content\": {{\"application/json\": {{\"example\": [{example}]}}}}}}}}",
        paths.join(",")
    );
    let outcome = translate(&text);
    assert_eq!(outcome.problems.len(), 1);
    assert!(outcome.problems[0].contains("references make more than"), "{:?}", outcome.problems);
}

/// One value that thousands of operations refer to is copied for none of them
/// beyond the bound.
#[test]
fn shared_integrations_are_bounded() {
    let large = vec!["x"; 20_000].join(",");
    for integration in [
        format!(
            "{{\"type\": \"mock\", \"passthroughBehavior\": [{large:?}], \"responses\": {{}}}}"
        ),
        format!("{{\"type\": \"mock\", \"passthroughBehavior\": {large:?}, \"responses\": {{}}}}"),
        format!("{{\"type\": \"http_proxy\", \"uri\": {large:?}}}"),
        format!("{{\"type\": \"mock\", \"requestTemplates\": {{\"a/b\": {large:?}}}}}"),
    ] {
        let paths: Vec<String> =
            (0..5000).map(|index| format!("\"/{index}\": {{\"$ref\": \"#/x\"}}")).collect();
        let text = format!(
            "{{\"openapi\": \"3.0.1\", \"paths\": {{{}}}, \"x\": {{\"get\": {{\"x-amazon-apigateway-integration\": {integration}}}}}}}",
            paths.join(",")
        );
        let outcome = translate(&text);
        let routes = outcome.root["route"].as_array().expect("routes").len();
        let bounded = outcome.problems.iter().any(|problem| problem.contains("references make"));
        assert!(bounded || integration.contains('['), "{routes} of {:.60}", integration);
    }
}

proptest::proptest! {
    #[test]
    fn any_definition_is_routes_or_problems(
        text in "(get|paths|/a|responses|200|content|application/json|example|schema|type|\\$ref|'#/paths'|'#/'|properties|allOf|items|x-amazon-apigateway-integration|aws_proxy|mock|uri|parameters|: |: |\\{|\\}|\\[|\\]|,|\n  |\n    |\n      |\n){0,60}",
    ) {
        drop(translate(&format!("openapi: 3.1.0\npaths:\n  /a:\n    get:\n      {text}")));
    }
}

/// A reference may lead anywhere, also to where no such value belongs.
#[test]
fn references_to_the_wrong_place_never_panic() {
    for target in ["#", "#/", "#/paths", "#/openapi", "#/paths/~1a", "#/paths/~1a/get", "#/x/0"] {
        for text in [
            format!("/a: {{ $ref: '{target}' }}"),
            format!("/a: {{ get: {{ $ref: '{target}' }} }}"),
            format!("/a: {{ get: {{ parameters: [{{ $ref: '{target}' }}] }} }}"),
            format!("/a: {{ get: {{ responses: {{ $ref: '{target}' }} }} }}"),
            format!("/a: {{ get: {{ responses: {{ 200: {{ $ref: '{target}' }} }} }} }}"),
            format!(
                "/a: {{ get: {{ responses: {{ 200: {{ content: {{ a/json: {{ schema: {{ $ref: '{target}' }} }} }} }} }} }} }}"
            ),
            format!("/a: {{ get: {{ x-amazon-apigateway-integration: {{ $ref: '{target}' }} }} }}"),
            format!(
                "/a: {{ post: {{ requestBody: {{ content: {{ a/json: {{ schema: {{ $ref: '{target}' }} }} }} }} }} }}"
            ),
        ] {
            drop(translate(&format!(
                "openapi: 3.1.0\nx-amazon-apigateway-request-validator: a\nx-amazon-apigateway-request-validators: {{ a: {{ validateRequestBody: true, validateRequestParameters: true }} }}\nx: [x]\npaths:\n  {text}\n"
            )));
        }
    }
}

#[test]
fn a_policy_becomes_json() {
    let outcome = translate(
        "openapi: 3.0.1
x-amazon-apigateway-policy:
  Version: '2012-10-17'
  Statement:
    - Effect: Allow
      Principal: '*'
      Action: execute-api:Invoke
      Resource: !Sub 'arn:aws:execute-api:${AWS::Region}:${AWS::AccountId}:*/prod/*'
      Condition: { Bool: { 'aws:SecureTransport': false } }
paths: {}
",
    );
    let text = outcome.root["policy"].as_str().expect("text").to_owned();
    let policy: serde_json::Value =
        serde_json::from_str(text.trim_start_matches("verbatim: ")).expect("JSON");
    assert_eq!(
        policy,
        serde_json::json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow",
                "Principal": "*",
                "Action": "execute-api:Invoke",
                "Resource": "arn:aws:execute-api:${AWS::Region}:${AWS::AccountId}:*/prod/*",
                "Condition": { "Bool": { "aws:SecureTransport": false } },
            }],
        })
    );
}

#[test]
fn cache_key_parameters_are_those_of_the_request() {
    let outcome = translate(
        "swagger: '2.0'
paths:
  /a/{id}:
    get:
      x-amazon-apigateway-integration:
        type: http_proxy
        httpMethod: GET
        uri: http://a.example/
        cacheKeyParameters:
          - method.request.path.id
          - method.request.querystring.q
          - method.request.path.other
          - integration.request.header.x
",
    );
    assert_eq!(
        outcome.root["route"][0]["cache"],
        serde_json::json!({ "key": ["method.request.path.id", "method.request.querystring.q"] })
    );
    assert_eq!(outcome.warnings.len(), 2, "{:?}", outcome.warnings);
}

use serde_json::json;

use super::{Around, translate, translate_beside};

/// A definition with one operation, which asks for `security`.
fn secured(security: &str, schemes: &str) -> String {
    format!(
        "openapi: 3.0.1
paths:
  /a:
    get:
      security: {security}
components:
  securitySchemes:
{schemes}"
    )
}

const URI: &str = "arn:aws:apigateway:r:lambda:path/2015-03-31/functions/arn:aws:lambda:r:1:function:check/invocations";

#[test]
fn schemes_become_the_authorizers_they_stand_for() {
    let around = Around {
        user_pools: ["us-east-1_Ab".to_owned(), "People".to_owned()].into(),
        ..Around::default()
    };
    let header = "type: apiKey, in: header, name: X-Token";
    for (scheme, scopes, authorizer) in [
        (
            format!("{{ {header}, x-amazon-apigateway-authtype: custom, x-amazon-apigateway-authorizer: {{ type: token, authorizerUri: '{URI}', authorizerResultTtlInSeconds: '60', identityValidationExpression: 'a.*' }} }}"),
            json!(null),
            json!({ "type": "token", "function": "check", "identity": ["header.X-Token"], "ttl_seconds": 60, "identity_validation": "a.*" }),
        ),
        (
            format!("{{ type: apiKey, in: header, name: Unused, x-amazon-apigateway-authorizer: {{ type: REQUEST, authorizerUri: '{URI}', identitySource: 'method.request.header.A, method.request.querystring.b' }} }}"),
            json!(null),
            json!({ "type": "request", "function": "check", "identity": ["method.request.header.A", "method.request.querystring.b"] }),
        ),
        (
            format!("{{ type: apiKey, x-amazon-apigateway-authorizer: {{ type: request, authorizerUri: '{URI}' }} }}"),
            json!(null),
            json!({ "type": "request", "function": "check", "ttl_seconds": 0 }),
        ),
        (
            "{ type: oauth2, x-amazon-apigateway-authorizer: { type: jwt, jwtConfiguration: { issuer: 'https://issuer.example', audience: [app, web] }, identitySource: '$request.header.Authorization' } }".to_owned(),
            json!(["read", "write"]),
            json!({ "type": "jwt", "audience": ["app", "web"], "issuer": "https://issuer.example", "identity": ["$request.header.Authorization"] }),
        ),
        (
            "{ type: openIdConnect, x-amazon-apigateway-authorizer: { type: jwt, jwtConfiguration: { issuer: 'https://cognito-idp.us-east-1.amazonaws.com/us-east-1_Ab', audience: app } } }".to_owned(),
            json!(["read", "write"]),
            json!({ "type": "jwt", "audience": ["app"], "user_pool": "us-east-1_Ab" }),
        ),
        (
            format!("{{ {header}, x-amazon-apigateway-authorizer: {{ type: cognito_user_pools, providerARNs: ['arn:aws:cognito-idp:us-east-1:123456789012:userpool/us-east-1_Ab'] }} }}"),
            json!(["read", "write"]),
            json!({ "type": "cognito", "user_pool": "us-east-1_Ab", "identity": ["header.X-Token"] }),
        ),
        (
            format!("{{ {header}, x-amazon-apigateway-authorizer: {{ type: cognito_user_pools, providerARNs: [{{ Fn::GetAtt: [People, Arn] }}] }} }}"),
            json!(["read", "write"]),
            json!({ "type": "cognito", "user_pool": "People", "identity": ["header.X-Token"] }),
        ),
    ] {
        let text = secured("[{ s: [read, write] }]", &format!("    s: {scheme}"));
        let outcome = translate_beside(&text, &around);
        assert_eq!((&outcome.problems, &outcome.warnings), (&Vec::new(), &Vec::new()), "{scheme}");
        assert_eq!(outcome.root["authorizer"]["s"], authorizer, "{scheme}");
        let route = &outcome.root["route"][0];
        assert_eq!((&route["authorizer"], &route["scopes"]), (&json!("s"), &scopes), "{scheme}");
    }
}

#[test]
fn what_api_gateway_would_enforce_is_never_open() {
    for (authorizer, why) in [
        ("{}", "has an authorizer of the type \"\", which is not known"),
        ("{ type: token }", "has an authorizer without an authorizerUri"),
        ("{ type: token, authorizerUri: 'https://example.com' }", "is no function's"),
        (
            "{ type: token, authorizerUri: 'arn:aws:lambda:r:1:function:${AWS::StackName}-f' }",
            "only known once it is deployed",
        ),
        ("{ type: jwt }", "without a jwtConfiguration"),
        ("{ type: jwt, jwtConfiguration: { issuer: 'https://i.example' } }", "without an audience"),
        ("{ type: jwt, jwtConfiguration: { audience: [a] } }", "without an issuer"),
        (
            "{ type: jwt, jwtConfiguration: { audience: [a], issuer: '${Issuer}' } }",
            "issuer \"${Issuer}\"",
        ),
        (
            "{ type: jwt, jwtConfiguration: { audience: [a], issuer: 'http://i.example' } }",
            "is not https",
        ),
        ("{ type: cognito_user_pools }", "with 0 providerARNs, not one"),
        ("{ type: cognito_user_pools, providerARNs: [a, b] }", "with 2 providerARNs, not one"),
        (
            "{ type: cognito_user_pools, providerARNs: ['arn:aws:cognito-idp:r:1:userpool/r_x'] }",
            "write [user_pool.r_x]",
        ),
    ] {
        let scheme =
            format!("    s: {{ type: apiKey, x-amazon-apigateway-authorizer: {authorizer} }}");
        let outcome = translate(&secured("[{ s: [] }]", &scheme));
        assert_eq!(outcome.root["route"], json!([]), "{authorizer}");
        let [warning] = outcome.warnings.as_slice() else { panic!("{:?}", outcome.warnings) };
        assert!(warning.contains("GET /a is left out: its security \"s\""), "{warning}");
        assert!(warning.contains(why), "{warning}");
        // gateway.toml may say what stands for it.
        let own = |kind: &str| Around {
            authorizers: [("s".to_owned(), kind.to_owned())].into(),
            ..Around::default()
        };
        for (kind, scopes) in [("jwt", json!(["a"])), ("request", json!(null))] {
            let outcome = translate_beside(&secured("[{ s: [a] }]", &scheme), &own(kind));
            let route = &outcome.root["route"][0];
            assert_eq!((&route["authorizer"], &route["scopes"]), (&json!("s"), &scopes));
            assert_eq!(outcome.root["authorizer"], json!(null));
            assert_eq!(outcome.warnings, [""; 0]);
        }
    }
}

#[test]
fn many_alternatives_are_all_looked_at() {
    let token = format!(
        "    a: {{ type: apiKey, x-amazon-apigateway-authorizer: {{ type: request, authorizerUri: '{URI}' }} }}"
    );
    let plain: Vec<String> = (0..200).map(|index| format!("{{ plain{index}: [] }}")).collect();
    let text = secured(&format!("[{}, {{ a: [] }}]", plain.join(", ")), &token);
    assert_eq!(translate(&text).root["route"][0]["authorizer"], "a");
    let plain: Vec<String> = (0..200).map(|index| format!("plain{index}: []")).collect();
    let text = secured(&format!("[{{ {}, a: [] }}]", plain.join(", ")), &token);
    assert_eq!(translate(&text).root["route"][0]["authorizer"], "a");
}

#[test]
fn one_alternative_is_enforced() {
    let token = format!(
        "{{ type: apiKey, in: header, name: A, x-amazon-apigateway-authorizer: {{ type: token, authorizerUri: '{URI}' }} }}"
    );
    let schemes = format!(
        "    a: {token}\n    b: {token}\n    broken: {{ type: apiKey, x-amazon-apigateway-authtype: custom }}\n    jwt: {{ type: oauth2, x-amazon-apigateway-authorizer: {{ type: jwt, jwtConfiguration: {{ issuer: 'https://issuer.example', audience: app }} }} }}\n    plain: {{ type: http, scheme: basic }}\n    key: {{ type: apiKey, name: x-api-key, in: header }}"
    );
    for (security, authorizer, warning) in [
        ("[{ a: [] }, { b: [] }]", Some("a"), None),
        ("[{ broken: [] }, { b: [] }]", Some("b"), None),
        ("[{ plain: [] }, { b: [] }]", Some("b"), None),
        ("[{ key: [] }, { b: [] }]", Some("b"), None),
        ("[{ key: [], a: [] }]", Some("a"), None),
        ("[{ broken: [] }, { key: [] }]", None, None),
        (
            "[{ a: [], plain: [] }]",
            Some("a"),
            Some("security \"plain\" is not enforced, only what"),
        ),
        ("[{ a: [], b: [] }]", None, Some("another authorizer at once")),
        ("[{ a: [], broken: [] }]", None, Some("is custom, without an")),
        ("[{ a: [] }, {}]", None, None),
        ("[]", None, None),
        ("[{ missing: [] }]", None, Some("security \"missing\" is not enforced: anyone may call")),
        // What is malformed opens nothing.
        ("{ a: [] }", Some("a"), None),
        ("{}", None, None),
        ("a", None, Some("its security is a string, not a table")),
        ("null", None, Some("its security is null, not a table")),
        ("[a]", None, Some("its security is a string, not a table")),
        ("[[]]", None, Some("its security is an array, not a table")),
        ("[a, { b: [] }]", Some("b"), None),
        ("[{ jwt: read }]", None, Some("scopes of its security \"jwt\" are a string, not a list")),
    ] {
        let outcome = translate(&secured(security, &schemes));
        assert_eq!(outcome.problems, [""; 0]);
        let found = outcome.root["route"][0]["authorizer"].as_str();
        assert_eq!(found, authorizer, "{security}");
        match (warning, outcome.warnings.as_slice()) {
            (None, []) => {}
            (Some(part), [line]) if line.contains(part) => {}
            (_, lines) => panic!("{security}: {lines:?}"),
        }
        let is_left_out = warning.is_some_and(|part| !part.contains("not enforced"));
        assert_eq!(outcome.root["route"] == json!([]), is_left_out, "{security}");
    }
}

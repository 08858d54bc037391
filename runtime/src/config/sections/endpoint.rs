//! What `http` and `http_proxy` integrations share: the endpoint and the
//! parameters that it is called with.

use http::{HeaderName, HeaderValue, Method, header};

use super::{
    domains,
    expression::{self, Sources},
    templates::header_name,
};
use crate::{
    config::{
        ApiKind, HttpConfig, IntegrationParameter, MappingExpression, TlsConfig, UriTemplate,
        keys::TLS,
        read::{Entry, Table, Text, Value},
    },
    router::RouteKey,
};

/// Methods of an integration request.
const METHODS: [(&str, Option<&Method>); 8] = [
    ("GET", Some(&Method::GET)),
    ("POST", Some(&Method::POST)),
    ("PUT", Some(&Method::PUT)),
    ("PATCH", Some(&Method::PATCH)),
    ("DELETE", Some(&Method::DELETE)),
    ("HEAD", Some(&Method::HEAD)),
    ("OPTIONS", Some(&Method::OPTIONS)),
    ("ANY", None),
];

/// What the client writes itself.
const OWN: [HeaderName; 2] = [header::HOST, header::EXPECT];

pub fn endpoint(table: &Table<'_>, key: Option<&RouteKey>, kind: ApiKind) -> Option<HttpConfig> {
    let method = table.choice("method", &METHODS).flatten().cloned();
    let tls = table.take("tls").and_then(|value| tls(&value)).unwrap_or_default();
    let uri = uri(table);
    if let Some(given) = table.take("request_parameters").filter(|_| kind == ApiKind::Http) {
        given.problem("an HTTP API has no request_parameters", "write kind = \"rest\"");
    }
    let parameters = parameters(table, key, uri.as_ref());
    let uri = uri?;
    for name in uri.parameters() {
        let mapped = parameters
            .iter()
            .any(|(to, _)| matches!(to, IntegrationParameter::Path(own) if own == name));
        let known = match key {
            Some(RouteKey::Path(_, path)) => path.parameters().any(|own| own == name),
            Some(RouteKey::Default) => false,
            None => true,
        };
        if !mapped && !known {
            let message = format!("nothing fills {{{name}}} of uri");
            let hint = format!(
                "the route has no {{{name}}}; map integration.request.path.{name} in request_parameters"
            );
            table.source.problem(table.key_at("uri"), message, hint);
        }
    }
    Some(HttpConfig { uri, method, parameters, tls })
}

fn uri(table: &Table<'_>) -> Option<UriTemplate> {
    let Some(value) = table.take("uri") else {
        let message = format!("{} has no uri", table.path);
        table.source.problem(table.at, message, "write uri = \"https://example.com/pets/{id}\"");
        return None;
    };
    match UriTemplate::parse(value.string()?.text) {
        Ok(uri) => {
            for name in uri.stage_variables() {
                table.source.reads_stage_variable(value.at, name);
            }
            Some(uri)
        }
        Err((message, hint)) => {
            value.problem(format!("{}: {message}", value.path), hint);
            None
        }
    }
}

fn tls(value: &Value<'_>) -> Option<TlsConfig> {
    let table = value.table(&TLS)?;
    let ca = table.take("ca_file").and_then(|value| {
        let pem = value.file(value.string()?)?;
        if let Err(why) = crate::tls::roots(pem.as_bytes()) {
            value.problem(format!("{}: {why}", value.path), "name a file of certificates in PEM");
        }
        Some(pem.into_bytes())
    });
    let insecure_skip_verification = table.boolean("insecure_skip_verification", false);
    let identity = domains::identity(&table);
    Some(TlsConfig { ca, insecure_skip_verification, identity })
}

fn parameters(
    table: &Table<'_>,
    key: Option<&RouteKey>,
    uri: Option<&UriTemplate>,
) -> Vec<(IntegrationParameter, MappingExpression)> {
    let hint = "write { \"integration.request.header.x-name\" = \"method.request.header.x-name\" }";
    let mut parameters = Vec::new();
    for Entry { name, value } in table.entries("request_parameters", hint) {
        let to = parameter(table, &name, uri);
        let Some(text) = value.string() else { continue };
        match (to, expression::parse(text.text, &Sources::Request(key))) {
            (Some(IntegrationParameter::Header(_)), Ok(MappingExpression::Static(text)))
                if HeaderValue::from_str(&text).is_err() =>
            {
                let message = format!("{}: {text:?} is not the value of a header", value.path);
                value.problem(message, "remove control characters");
            }
            (Some(to), Ok(from)) => {
                if let MappingExpression::StageVariable(name) = &from {
                    table.source.reads_stage_variable(value.at, name);
                }
                parameters.push((to, from));
            }
            (None, Ok(_)) => {}
            (_, Err((message, hint))) => value.problem(format!("{}: {message}", value.path), hint),
        }
    }
    parameters
}

/// `integration.request.PLACE.NAME`
fn parameter(
    table: &Table<'_>,
    name: &Text<'_>,
    uri: Option<&UriTemplate>,
) -> Option<IntegrationParameter> {
    let wrong = || {
        let message = format!("{:?} is no parameter of an integration request", name.text);
        let hint = "write integration.request.path.NAME, .querystring.NAME or .header.NAME";
        table.source.problem(name.at, message, hint);
    };
    let split =
        name.text.strip_prefix("integration.request.").and_then(|rest| rest.split_once('.'));
    match split {
        Some(("path", own)) if !own.is_empty() => {
            if uri.is_some_and(|uri| !uri.parameters().any(|other| other == own)) {
                let message = format!("uri has no {{{own}}}, which {:?} would fill", name.text);
                table.source.problem(name.at, message, "write {NAME} in uri where it belongs");
            }
            Some(IntegrationParameter::Path(own.to_owned()))
        }
        Some(("querystring", own)) if !own.is_empty() => {
            Some(IntegrationParameter::Query(own.to_owned()))
        }
        Some(("header", own)) => {
            let header = header_name(table, &Text { text: own, at: name.at })?;
            if OWN.contains(&header) {
                let message = format!("the header {header} cannot be mapped");
                table.source.problem(name.at, message, "it follows from uri; remove it");
                return None;
            }
            Some(IntegrationParameter::Header(header))
        }
        _ => {
            wrong();
            None
        }
    }
}

//! Functions that say who may call.

use std::time::Duration;

use http::header;

use super::{
    super::{integration::selection_pattern, routes::function_of},
    identity_source,
};
use crate::config::{
    ApiKind, LambdaAuthorizer, LambdaInput, MappingExpression, PayloadFormat, read::Table,
    tree::Data,
};

/// The longest that an answer holds, in seconds: API Gateway's.
const TTL_SECONDS_MAX: u64 = 3600;

pub fn lambda(table: &Table<'_>, is_token: bool, kind: ApiKind) -> Option<LambdaAuthorizer> {
    let ttl = table.integer("ttl_seconds", 0..=TTL_SECONDS_MAX, 300_u64);
    let identity = identity(table, is_token, ttl > 0);
    let payload = payload(table, kind);
    let simple_responses = table.boolean("simple_responses", false);
    if simple_responses && payload == PayloadFormat::V1 && !is_token {
        let message = "simple_responses belongs to payload format 2.0";
        table.source.problem(table.key_at("simple_responses"), message, "remove it");
    }
    let pattern = table.take("identity_validation").and_then(|value| selection_pattern(&value));
    let Some(function) = table.take("function") else {
        let message = format!("{} names no function", table.path);
        table.source.problem(table.at, message, "write function = \"NAME\"");
        return None;
    };
    let input = match is_token {
        true => LambdaInput::Token(pattern),
        false => LambdaInput::Request { payload, simple_responses },
    };
    let function = function_of(&function)?;
    Some(LambdaAuthorizer { function, input, identity, ttl: Duration::from_secs(ttl) })
}

fn payload(table: &Table<'_>, kind: ApiKind) -> PayloadFormat {
    let given = table.choice("payload", &[("1.0", PayloadFormat::V1), ("2.0", PayloadFormat::V2)]);
    if kind == ApiKind::Rest && given == Some(PayloadFormat::V2) {
        let message = "payload cannot be \"2.0\" in a REST API";
        table.source.problem(table.key_at("payload"), message, "remove it");
    }
    match kind {
        ApiKind::Rest => PayloadFormat::V1,
        ApiKind::Http => given.unwrap_or(PayloadFormat::V2),
    }
}

fn identity(table: &Table<'_>, is_token: bool, cached: bool) -> Vec<MappingExpression> {
    const HINT: &str =
        "write identity = [\"header.authorization\"], or ttl_seconds = 0: answers are kept by it";
    let Some(given) = table.take("identity") else {
        if !is_token && cached {
            table.source.problem(table.at, format!("{} has no identity", table.path), HINT);
        }
        let authorization = MappingExpression::RequestHeader(header::AUTHORIZATION);
        return if is_token { vec![authorization] } else { Vec::new() };
    };
    // One answer would be everybody's.
    if !is_token && cached && matches!(given.value, Data::Array(items) if items.is_empty()) {
        given.problem(format!("{} is empty", given.path), HINT);
    }
    let texts = given.strings().unwrap_or_default();
    if is_token && texts.len() != 1 {
        let hint = "write identity = [\"header.authorization\"]";
        given.problem("a token comes from one header", hint);
    }
    texts.iter().filter_map(|text| identity_source(table, text, is_token)).collect()
}

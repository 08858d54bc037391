//! Mapping templates and mapped headers, as integrations and gateway
//! responses have them.

use http::{HeaderName, HeaderValue};

use super::{
    expression::{self, Sources},
    routes::FRAMING,
};
use crate::{
    config::{
        MappingExpression,
        read::{Entry, Table},
    },
    mapping::MappingTemplate,
};

/// Templates by content type, in lower case.
pub fn templates(table: &Table<'_>, key: &'static str) -> Vec<(String, MappingTemplate)> {
    let hint = "write { \"application/json\" = \"the template\" }, or { file = \"FILE\" } for the template";
    let mut templates: Vec<(String, MappingTemplate)> = Vec::new();
    for Entry { name, value } in table.entries(key, hint) {
        let content_type = name.text.to_ascii_lowercase();
        if !is_content_type(&content_type) {
            let message = format!("{:?} is not a content type", name.text);
            table.source.problem(name.at, message, "write for example \"application/json\"");
        }
        if templates.iter().any(|(other, _)| *other == content_type) {
            let message = format!("{:?} has two templates", name.text);
            table.source.problem(name.at, message, "keep one of them");
        }
        let Some((text, path)) = value.text_or_file() else { continue };
        match MappingTemplate::parse(&text) {
            Ok(template) => templates.push((content_type, template)),
            Err(error) => value.problem(format!("{path}: {error}"), ""),
        }
    }
    templates
}

/// Whether it is a type and a subtype, without parameters.
pub fn is_content_type(text: &str) -> bool {
    let token = |part: &str| {
        !part.is_empty()
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "!#$&-^_.+".contains(c))
    };
    text.split_once('/').is_some_and(|(kind, subtype)| token(kind) && token(subtype))
}

/// `headers`: names with mapping expressions.
pub fn headers(table: &Table<'_>, sources: &Sources<'_>) -> Vec<(HeaderName, MappingExpression)> {
    let mut headers = Vec::new();
    for Entry { name, value } in table.entries("headers", "write { x-name = \"'text'\" }") {
        let Some(header) = header_name(table, &name) else { continue };
        let Some(text) = value.string() else { continue };
        match expression::parse(text.text, sources) {
            Ok(MappingExpression::Static(text)) if HeaderValue::from_str(&text).is_err() => {
                let message = format!("{}: {text:?} is not the value of a header", value.path);
                value.problem(message, "remove control characters");
            }
            Ok(mapping) => {
                if let MappingExpression::StageVariable(name) = &mapping {
                    table.source.reads_stage_variable(value.at, name);
                }
                headers.push((header, mapping));
            }
            Err((message, hint)) => value.problem(format!("{}: {message}", value.path), hint),
        }
    }
    headers
}

/// The name of a header that may be mapped.
pub fn header_name(table: &Table<'_>, name: &crate::config::read::Text<'_>) -> Option<HeaderName> {
    let Ok(header) = HeaderName::from_bytes(name.text.as_bytes()) else {
        let message = format!("{:?} is not the name of a header", name.text);
        table.source.problem(name.at, message, "use letters, digits and '-'");
        return None;
    };
    if FRAMING.contains(&header) {
        let message = format!("the header {header} cannot be mapped");
        table.source.problem(name.at, message, "the server writes it itself; remove it");
        return None;
    }
    Some(header)
}

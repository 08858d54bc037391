//! `[function.NAME.url]`.

use super::cors;
use crate::config::{
    FunctionUrlConfig, InvokeMode, UrlAuth,
    keys::FUNCTION_URL,
    read::{Table, Value},
};

const AUTH: [(&str, UrlAuth); 2] = [("none", UrlAuth::None), ("iam", UrlAuth::Iam)];
const INVOKE_MODE: [(&str, InvokeMode); 2] =
    [("buffered", InvokeMode::Buffered), ("response_stream", InvokeMode::ResponseStream)];

/// The URL of a function, whose table this is.
pub fn url(function: &Table<'_>) -> Option<FunctionUrlConfig> {
    let given = function.take("url")?;
    let table = given.table(&FUNCTION_URL)?;
    let (auth, cors) = (auth(&given, &table), cors::cors(&table));
    let invoke_mode = table.choice("invoke_mode", &INVOKE_MODE).unwrap_or(InvokeMode::Buffered);
    Some(FunctionUrlConfig { auth: auth?, cors, invoke_mode })
}

/// Nobody opens a function by leaving something out.
fn auth(given: &Value<'_>, table: &Table<'_>) -> Option<UrlAuth> {
    if table.take("auth").is_none() {
        given.problem(
            format!("{} does not say who may call", given.path),
            "write auth = \"none\" for anybody, or auth = \"iam\" for those who sign",
        );
        return None;
    }
    table.choice("auth", &AUTH)
}

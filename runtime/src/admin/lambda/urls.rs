//! Function URLs.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunctionUrlConfig.html>

use std::{fs, sync::Arc};

use http::StatusCode;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::{Answer, Call, mistyped, nothing, respond, text};
use crate::{
    config::{CorsConfig, FunctionReference, FunctionUrlConfig, InvokeMode, UrlAuth},
    lambda::{
        ErrorKind, FunctionUrl, LambdaError, URL_DOMAIN, cors_json, cors_of, moment, no_alias,
        url_id,
    },
    sandbox::{LATEST, arn},
};

/// What Lambda's model says of `Qualifier` here.
const QUALIFIER_PATTERN: &str = "(^\\$LATEST$)|((?!^[0-9]+$)([a-zA-Z0-9-_]+))";

impl Call {
    pub(super) async fn create_url(&mut self, function: &FunctionReference) -> Answer {
        let given = self.object().await?;
        let lambda = Arc::clone(&self.gateway.lambda);
        let edit = lambda.edit().await;
        self.url_exists_for(function)?;
        let Some(auth) = auth(&given)? else {
            let message = "1 validation error detected: Value null at 'authType' failed to satisfy constraint: Member must not be null";
            return Err(LambdaError::new(ErrorKind::Validation, message));
        };
        if self.gateway.lambda.url(&self.gateway.config, function).is_some() {
            let message = format!(
                "Failed to create function url config for [functionArn = {}]. Error message:  FunctionUrlConfig exists for this Lambda function",
                arn(&function.to_string())
            );
            return Err(LambdaError::new(ErrorKind::ResourceConflict, message));
        }
        let invoke_mode = invoke_mode(&given)?.unwrap_or(InvokeMode::Buffered);
        let config = FunctionUrlConfig { auth, cors: cors(&given)?.flatten(), invoke_mode };
        let now = moment::now();
        let url = FunctionUrl { config, times: Some((now, now)) };
        self.gateway.lambda.set_url(&edit, function, Some(url.clone())).await?;
        Ok(respond(StatusCode::CREATED, &self.described_url(function, &url)))
    }

    pub(super) async fn update_url(&mut self, function: &FunctionReference) -> Answer {
        let given = self.object().await?;
        let lambda = Arc::clone(&self.gateway.lambda);
        let edit = lambda.edit().await;
        let FunctionUrl { mut config, times } = self.url(function)?;
        config.auth = auth(&given)?.unwrap_or(config.auth);
        config.invoke_mode = invoke_mode(&given)?.unwrap_or(config.invoke_mode);
        config.cors = cors(&given)?.unwrap_or(config.cors);
        let now = moment::now();
        let created = times.map_or(now, |(created, _)| created);
        let url = FunctionUrl { config, times: Some((created, now)) };
        self.gateway.lambda.set_url(&edit, function, Some(url.clone())).await?;
        Ok(respond(StatusCode::OK, &self.described_url(function, &url)))
    }

    pub(super) fn get_url(&self, function: &FunctionReference) -> Answer {
        let url = self.url(function)?;
        Ok(respond(StatusCode::OK, &self.described_url(function, &url)))
    }

    pub(super) async fn delete_url(&self, function: &FunctionReference) -> Answer {
        let edit = self.gateway.lambda.edit().await;
        if self.url(function)?.times.is_none() {
            let message = format!(
                "The URL of {function} is configured: remove [function.{}.url] from gateway.toml to delete it",
                function.name
            );
            return Err(LambdaError::new(ErrorKind::InvalidParameterValue, message));
        }
        self.gateway.lambda.set_url(&edit, function, None).await?;
        Ok(nothing(StatusCode::NO_CONTENT))
    }

    pub(super) fn list_urls(&self, function: &FunctionReference) -> Answer {
        self.exists(function)?;
        let urls = self.gateway.lambda.urls(&self.gateway.config);
        let own = urls.into_iter().filter(|(own, _)| own.name == function.name);
        let items = own.map(|(own, url)| (own.to_string(), self.described_url(&own, &url)));
        let mut items: Vec<(String, Value)> = items.collect();
        items.sort_by(|(one, _), (other, _)| one.cmp(other));
        self.page("FunctionUrlConfigs", items)
    }

    /// The URL that there is.
    fn url(&self, function: &FunctionReference) -> Result<FunctionUrl, LambdaError> {
        self.url_exists_for(function)?;
        self.gateway.lambda.url(&self.gateway.config, function).ok_or_else(|| {
            let message = "The resource you requested does not exist.";
            LambdaError::new(ErrorKind::ResourceNotFound, message)
        })
    }

    /// That there is what may have a URL: the function, or an alias of it.
    fn url_exists_for(&self, function: &FunctionReference) -> Result<(), LambdaError> {
        self.exists(function)?;
        let qualifier = function.version();
        if qualifier == LATEST {
            return Ok(());
        }
        if qualifier.bytes().all(|b| b.is_ascii_digit()) {
            return Err(LambdaError::not_matching(qualifier, "qualifier", QUALIFIER_PATTERN));
        }
        let own = self.gateway.lambda.own(&function.name);
        match own.aliases.contains_key(qualifier) {
            true => Ok(()),
            false => Err(no_alias(&function.name, qualifier)),
        }
    }

    fn described_url(&self, function: &FunctionReference, url: &FunctionUrl) -> Value {
        let (created, modified) = url.times.unwrap_or_else(|| {
            let file = self.gateway.config.file.as_deref();
            let written = file.and_then(|file| fs::metadata(file).ok()?.modified().ok());
            let written = written.map_or(OffsetDateTime::UNIX_EPOCH, OffsetDateTime::from);
            (written, written)
        });
        // $LATEST is the function itself.
        let qualifier = function.qualifier.clone().filter(|own| own != LATEST);
        let function = FunctionReference { name: function.name.clone(), qualifier };
        let mut body = json!({
            "FunctionUrl": format!("http://{}.{URL_DOMAIN}:{}/", url_id(&function), self.port),
            "FunctionArn": arn(&function.to_string()),
            "AuthType": url.config.auth.word(),
            "CreationTime": moment::record(created),
            "LastModifiedTime": moment::record(modified),
            "InvokeMode": url.config.invoke_mode.word(),
        });
        if let Some(cors) = &url.config.cors {
            body["Cors"] = cors_json(cors);
        }
        body
    }
}

fn auth(given: &Map<String, Value>) -> Result<Option<UrlAuth>, LambdaError> {
    let Some(word) = text(given, "AuthType")? else { return Ok(None) };
    let unknown = || LambdaError::not_one_of(word, "authType", &UrlAuth::WORDS);
    UrlAuth::of(word).map(Some).ok_or_else(unknown)
}

fn invoke_mode(given: &Map<String, Value>) -> Result<Option<InvokeMode>, LambdaError> {
    let Some(word) = text(given, "InvokeMode")? else { return Ok(None) };
    let unknown = || LambdaError::not_one_of(word, "invokeMode", &InvokeMode::WORDS);
    InvokeMode::of(word).map(Some).ok_or_else(unknown)
}

/// What is given for CORS, if anything is; an empty map is no CORS.
fn cors(given: &Map<String, Value>) -> Result<Option<Option<CorsConfig>>, LambdaError> {
    match given.get("Cors") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(cors)) if cors.is_empty() => Ok(Some(None)),
        Some(Value::Object(cors)) => cors_of(cors).map(|cors| Some(Some(cors))),
        Some(_) => Err(mistyped("Cors", "a map")),
    }
}

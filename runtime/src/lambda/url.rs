//! Function URLs: what the API has made, over what is configured.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/urls-configuration.html>

use std::collections::BTreeMap;

use http::HeaderValue;
use rusqlite::{Connection, params};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::{Edit, ErrorKind, Lambda, LambdaError, Published, moment};
use crate::{
    config::{
        Config, CorsConfig, CorsMethod, FunctionReference, FunctionUrlConfig, InvokeMode, UrlAuth,
        cors_header, cors_method, cors_origin,
    },
    sandbox::LATEST,
    short_id::short_id,
};

/// Where function URLs are: `URL-ID.lambda-url.localhost`, a name that is
/// loopback without being asked for anywhere (RFC 6761).
pub const URL_DOMAIN: &str = "lambda-url.localhost";

/// The length of a URL's id, in characters: Lambda's.
pub const ID_CHARS: usize = 32;

/// Lambda's bounds of a list in CORS, and of one of its items in bytes.
const CORS_ITEMS_MAX: usize = 100;
const CORS_ITEM_BYTES_MAX: usize = 1024;
const MAX_AGE_SECONDS: u64 = 86_400;

/// A function URL.
#[derive(Debug, Clone, PartialEq)]
pub struct FunctionUrl {
    /// What it is.
    pub config: FunctionUrlConfig,
    /// When it was made and changed; none of one that is configured.
    pub times: Option<(OffsetDateTime, OffsetDateTime)>,
}

/// The id of a function's URL: the same for the same name and alias, so that it
/// can be written down.
pub fn url_id(reference: &FunctionReference) -> String {
    short_id::<ID_CHARS>(&format!("{}:{}", reference.name, reference.version()))
}

/// Whose each URL is, by its id, so that nobody has to make ids of all names to
/// find one.
pub fn ids(published: &Published) -> BTreeMap<String, FunctionReference> {
    let references = published.iter().flat_map(|(name, own)| {
        own.urls.keys().map(|qualifier| {
            let qualifier = Some(qualifier.clone()).filter(|own| own != LATEST);
            FunctionReference { name: name.clone(), qualifier }
        })
    });
    references.map(|reference| (url_id(&reference), reference)).collect()
}

impl Lambda {
    /// Whose URL an id is, of those that the API has made.
    pub fn made_url(&self, id: &str) -> Option<FunctionReference> {
        self.url_ids.load().get(id).cloned()
    }

    /// The URL of a function, or of one of its aliases.
    pub fn url(&self, config: &Config, reference: &FunctionReference) -> Option<FunctionUrl> {
        let published = self.published.load();
        let own = published.get(&reference.name);
        let made = own.and_then(|own| own.urls.get(reference.version()).cloned());
        made.or_else(|| configured(config, reference))
    }

    /// All function URLs.
    pub fn urls(&self, config: &Config) -> Vec<(FunctionReference, FunctionUrl)> {
        let mut urls: Vec<(FunctionReference, FunctionUrl)> = Vec::new();
        for (name, own) in self.published.load().iter() {
            urls.extend(own.urls.iter().map(|(qualifier, url)| {
                let qualifier = Some(qualifier.clone()).filter(|own| own != LATEST);
                (FunctionReference { name: name.clone(), qualifier }, url.clone())
            }));
        }
        for name in config.function_urls.keys() {
            let reference = FunctionReference { name: name.clone(), qualifier: None };
            if urls.iter().all(|(own, _)| *own != reference)
                && let Some(url) = configured(config, &reference)
            {
                urls.push((reference, url));
            }
        }
        urls
    }

    /// Makes, changes or deletes the URL of a function or an alias.
    ///
    /// # Errors
    /// Where that cannot be kept.
    pub async fn set_url(
        &self,
        _edit: &Edit<'_>,
        reference: &FunctionReference,
        url: Option<FunctionUrl>,
    ) -> Result<(), LambdaError> {
        let (name, qualifier) = (reference.name.clone(), reference.version().to_owned());
        let row = url.clone();
        self.store
            .run(move |connection| match row {
                Some(url) => url.write(connection, &name, &qualifier),
                None => {
                    let sql = "DELETE FROM url WHERE function = ?1 AND qualifier = ?2";
                    connection.execute(sql, [name, qualifier]).map(|_| ())
                }
            })
            .await?;
        self.change(&reference.name, |own| {
            let qualifier = reference.version().to_owned();
            match url {
                Some(url) => own.urls.insert(qualifier, url),
                None => own.urls.remove(&qualifier),
            };
        });
        Ok(())
    }
}

fn configured(config: &Config, reference: &FunctionReference) -> Option<FunctionUrl> {
    if reference.version() != LATEST {
        return None;
    }
    let config = config.function_urls.get(&reference.name)?.clone();
    Some(FunctionUrl { config, times: None })
}

impl FunctionUrl {
    /// All of them, with function and qualifier.
    pub fn load(connection: &Connection) -> rusqlite::Result<Vec<(String, String, Self)>> {
        let sql =
            "SELECT function, qualifier, auth, cors, invoke_mode, created_ms, modified_ms FROM url";
        let mut statement = connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        let mut urls = Vec::new();
        while let Some(row) = rows.next()? {
            let (function, qualifier): (String, String) = (row.get(0)?, row.get(1)?);
            let (auth, cors): (String, Option<String>) = (row.get(2)?, row.get(3)?);
            let mode: String = row.get(4)?;
            let times = (moment::of_ms(row.get(5)?), moment::of_ms(row.get(6)?));
            match read(&auth, cors.as_deref(), &mode) {
                Ok(config) => {
                    urls.push((function, qualifier, Self { config, times: Some(times) }));
                }
                // One that nobody knows who may call is not served.
                Err(why) => {
                    tracing::error!("the URL of {function}:{qualifier} cannot be read: {why}")
                }
            }
        }
        Ok(urls)
    }

    fn write(
        &self,
        connection: &Connection,
        function: &str,
        qualifier: &str,
    ) -> rusqlite::Result<()> {
        let FunctionUrlConfig { auth, cors, invoke_mode } = &self.config;
        let cors = cors.as_ref().map(|cors| cors_json(cors).to_string());
        let (created, modified) = self.times.unwrap_or_else(|| (moment::now(), moment::now()));
        let values = params![
            function,
            qualifier,
            auth.word(),
            cors,
            invoke_mode.word(),
            moment::ms(created),
            moment::ms(modified)
        ];
        let sql = "INSERT OR REPLACE INTO url VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        connection.execute(sql, values).map(|_| ())
    }
}

fn read(auth: &str, cors: Option<&str>, mode: &str) -> Result<FunctionUrlConfig, String> {
    let unknown = |what: &str| format!("{what:?} is not known");
    let cors = cors.map(|text| {
        let cors: Map<String, Value> =
            serde_json::from_str(text).map_err(|error| error.to_string())?;
        cors_of(&cors).map_err(|error| error.message)
    });
    Ok(FunctionUrlConfig {
        auth: UrlAuth::of(auth).ok_or_else(|| unknown(auth))?,
        cors: cors.transpose()?,
        invoke_mode: InvokeMode::of(mode).ok_or_else(|| unknown(mode))?,
    })
}

/// CORS as Lambda's API writes it.
///
/// # Errors
/// What it may not have.
pub fn cors_of(given: &Map<String, Value>) -> Result<CorsConfig, LambdaError> {
    const MEMBERS: [&str; 6] = [
        "AllowCredentials",
        "AllowHeaders",
        "AllowMethods",
        "AllowOrigins",
        "ExposeHeaders",
        "MaxAge",
    ];
    let invalid = |message: String| LambdaError::new(ErrorKind::InvalidParameterValue, message);
    if let Some(other) = given.keys().find(|key| !MEMBERS.contains(&key.as_str())) {
        return Err(invalid(format!("Cors has no member {other:?}")));
    }
    let allow_credentials = match given.get("AllowCredentials") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(flag)) => *flag,
        Some(_) => return Err(invalid("Cors.AllowCredentials is not a boolean".to_owned())),
    };
    let max_age_seconds = match given.get("MaxAge") {
        None | Some(Value::Null) => None,
        Some(value) => match value.as_u64() {
            Some(seconds @ 0..=MAX_AGE_SECONDS) => Some(seconds),
            _ => {
                return Err(invalid(format!(
                    "Cors.MaxAge is {value}, not from 0 to {MAX_AGE_SECONDS}"
                )));
            }
        },
    };
    Ok(CorsConfig {
        allow_origins: list(given, "AllowOrigins", cors_origin)?,
        allow_methods: list(given, "AllowMethods", cors_method)?,
        allow_headers: list(given, "AllowHeaders", cors_header)?,
        expose_headers: list(given, "ExposeHeaders", cors_header)?,
        allow_credentials,
        max_age_seconds,
    })
}

fn list<T>(
    given: &Map<String, Value>,
    key: &str,
    parse: fn(&str) -> Result<T, &'static str>,
) -> Result<Vec<T>, LambdaError> {
    let invalid = |message: String| LambdaError::new(ErrorKind::InvalidParameterValue, message);
    let items = match given.get(key) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(items)) if items.len() <= CORS_ITEMS_MAX => items,
        Some(_) => {
            return Err(invalid(format!("Cors.{key} is not a list of at most {CORS_ITEMS_MAX}")));
        }
    };
    let item = |item: &Value| {
        let text = item.as_str().filter(|text| text.len() <= CORS_ITEM_BYTES_MAX);
        let text = text.ok_or_else(|| invalid(format!("Cors.{key} cannot hold {item}")))?;
        parse(text).map_err(|hint| invalid(format!("Cors.{key} cannot hold {item}: {hint}")))
    };
    items.iter().map(item).collect()
}

/// The same, for Lambda's API.
pub fn cors_json(cors: &CorsConfig) -> Value {
    let texts = |values: &[HeaderValue]| -> Vec<String> {
        values.iter().filter_map(|value| value.to_str().ok()).map(str::to_owned).collect()
    };
    let method = |method: &CorsMethod| match method {
        CorsMethod::Any => "*".to_owned(),
        CorsMethod::Only(method) => method.to_string(),
    };
    let mut json = json!({
        "AllowCredentials": cors.allow_credentials,
        "AllowHeaders": texts(&cors.allow_headers),
        "AllowMethods": cors.allow_methods.iter().map(method).collect::<Vec<_>>(),
        "AllowOrigins": texts(&cors.allow_origins),
        "ExposeHeaders": texts(&cors.expose_headers),
    });
    if let Some(seconds) = cors.max_age_seconds {
        json["MaxAge"] = seconds.into();
    }
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn an_id_is_a_label_of_a_host_name_and_stays() {
        let of = |name: &str, qualifier: Option<&str>| {
            let qualifier = qualifier.map(str::to_owned);
            url_id(&FunctionReference { name: name.to_owned(), qualifier })
        };
        let id = of("pets", None);
        assert_eq!(id, of("pets", Some(LATEST)));
        assert_ne!(id, of("pets", Some("live")));
        assert_ne!(id, of("Pets", None));
        assert!(
            id.len() == ID_CHARS
                && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        );
    }

    #[test]
    fn cors_is_read_as_it_is_written() {
        let given = object(json!({
            "AllowCredentials": true, "AllowHeaders": ["x-a"], "AllowMethods": ["GET", "*"],
            "AllowOrigins": ["https://example.com"], "ExposeHeaders": ["x-b"], "MaxAge": 86400,
        }));
        let cors = cors_of(&given).expect("CORS");
        assert_eq!(cors_json(&cors), Value::Object(given));
        assert_eq!(cors_of(&object(cors_json(&cors))).expect("CORS"), cors);
        for wrong in [
            json!({ "AllowOrigin": ["*"] }),
            json!({ "AllowOrigins": "*" }),
            json!({ "AllowOrigins": ["example.com"] }),
            json!({ "AllowOrigins": [1] }),
            json!({ "AllowMethods": ["FETCH"] }),
            json!({ "AllowHeaders": ["a b"] }),
            json!({ "AllowHeaders": vec!["a"; 101] }),
            json!({ "AllowCredentials": 1 }),
            json!({ "MaxAge": 86401 }),
            json!({ "MaxAge": -1 }),
        ] {
            assert!(cors_of(&object(wrong.clone())).is_err(), "{wrong}");
        }
    }
}

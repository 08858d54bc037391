//! Functions as Lambda has them: versions and aliases, settings that the API
//! makes, asynchronous invocations, schedules, and what was used.
//!
//! What the API makes is kept in the data folder and outlives reloads and
//! restarts; what the file says is the snapshot's. Invocations end in
//! [`crate::sandbox`].

mod error;
pub mod moment;
mod published;
mod queue;
mod record;
mod scheduler;
mod settings;
mod store;
mod url;
mod usage;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use arc_swap::ArcSwap;
use rusqlite::params;
use serde_json::{Map, Value};

use crate::{
    config::{FunctionReference, is_qualifier, version_number},
    gateway::{FunctionState, Gateway},
    sandbox::{self, Function, LATEST, Sandbox},
};
pub use error::{ErrorKind, LambdaError};
pub use published::{Alias, Own, Version};
use published::{Archive, Published};
pub use queue::{EVENT_BYTES_MAX, Event, Queue};
pub use settings::EventConfig;
use store::Store;
pub use store::StoreError;
pub use url::{FunctionUrl, ID_CHARS, URL_DOMAIN, cors_json, cors_of, url_id};
pub use usage::{FunctionUsage, used};

/// Versions of one function.
const VERSIONS_MAX: usize = 200;

/// Aliases of one function.
const ALIASES_MAX: usize = 200;

/// The longest description, in characters.
pub const DESCRIPTION_CHARS_MAX: usize = 256;

/// Leave to change what the API makes.
pub type Edit<'l> = tokio::sync::MutexGuard<'l, ()>;

/// Lambda.
pub struct Lambda {
    sandbox: Arc<Sandbox>,
    store: Store,
    archive: Archive,
    published: ArcSwap<Published>,
    /// Whose URL an id is, of those that the API has made.
    url_ids: ArcSwap<BTreeMap<String, FunctionReference>>,
    queue: Queue,
    /// One change after the other.
    edit: tokio::sync::Mutex<()>,
}

/// A function that a caller means, with the version that runs.
#[derive(Clone)]
pub struct Resolved {
    /// The function.
    pub function: Arc<Function>,
    /// The version or alias that was asked for, if one was.
    pub qualifier: Option<String>,
}

/// What an alias is to be; what is missing stays or has its default.
#[derive(Debug, Default)]
pub struct AliasChange {
    /// The version that it names.
    pub version: Option<String>,
    /// What is said of it.
    pub description: Option<String>,
    /// Other versions with their weights.
    pub weights: Option<Vec<(String, f64)>>,
    /// The revision that it has to have.
    pub revision: Option<String>,
}

impl Lambda {
    /// Opens what the folder `data` holds, or begins it.
    ///
    /// # Errors
    /// Where it cannot be used.
    pub fn open(data: &Path, sandbox: Arc<Sandbox>) -> Result<Self, StoreError> {
        let (store, connection) = Store::open(data)?;
        let archive = Archive::new(data);
        let failed = |error: rusqlite::Error| StoreError(error.to_string());
        let published = published::load(&connection, &archive, &sandbox).map_err(failed)?;
        for (name, own) in published.iter().filter(|(_, own)| own.reserved.is_some()) {
            sandbox.accounts().get(name).reserve(own.reserved);
        }
        let queue = Queue::new(&connection).map_err(failed)?;
        Ok(Self {
            sandbox,
            store,
            archive,
            url_ids: ArcSwap::from_pointee(url::ids(&published)),
            published: ArcSwap::from_pointee(published),
            queue,
            edit: tokio::sync::Mutex::default(),
        })
    }

    /// What the API has made for a function.
    pub fn own(&self, function: &str) -> Own {
        self.published.load().get(function).cloned().unwrap_or_default()
    }

    /// The function that a name means, with a version that its alias picks.
    ///
    /// # Errors
    /// Where there is none, or its code cannot be loaded.
    pub fn resolve(
        &self,
        gateway: &Gateway,
        reference: &FunctionReference,
    ) -> Result<Resolved, LambdaError> {
        let FunctionReference { name, qualifier } = reference;
        let missing = || LambdaError::no_function(name, qualifier.as_deref());
        let state = gateway.functions.get(name).ok_or_else(missing)?;
        let asked = reference.version();
        let function = if asked == LATEST {
            latest(name, state)?
        } else {
            let published = self.published.load();
            let own = published.get(name).ok_or_else(missing)?;
            let picked = match own.aliases.get(asked) {
                Some(alias) => alias.pick(rand::random()),
                None => asked,
            };
            if picked == LATEST {
                latest(name, state)?
            } else {
                let number = version_number(picked).ok_or_else(missing)?;
                let version = own.versions.get(&number).ok_or_else(missing)?;
                let config = gateway.config.function(name);
                let function = version.function(&self.sandbox, name, config);
                function.map_err(|reason| LambdaError::unusable(name, &reason))?
            }
        };
        Ok(Resolved { function, qualifier: qualifier.clone() })
    }

    /// Publishes the code of `$LATEST`, which `wasm` is.
    ///
    /// # Errors
    /// Where there are too many versions, or it cannot be kept.
    pub async fn publish(
        &self,
        latest: &Function,
        wasm: Vec<u8>,
        description: String,
    ) -> Result<Arc<Version>, LambdaError> {
        let _edit = self.edit.lock().await;
        let own = self.own(&latest.name);
        let sha256 = latest.code.sha256;
        // What did not change since the last version is that version.
        if let Some((_, version)) = own.versions.last_key_value()
            && version.sha256 == sha256
        {
            return Ok(Arc::clone(version));
        }
        if own.versions.len() >= VERSIONS_MAX {
            let message =
                format!("Code storage limit exceeded: {VERSIONS_MAX} versions of a function");
            return Err(LambdaError::new(ErrorKind::CodeStorageExceeded, message));
        }
        let kept = tokio::task::block_in_place(|| self.archive.put(&sha256, &wasm));
        kept.map_err(|error| {
            tracing::error!(%error, function = latest.name, "a version cannot be kept");
            LambdaError::new(
                ErrorKind::Service,
                "The version could not be written; the log says why.",
            )
        })?;
        let code = Arc::clone(&latest.code);
        let number = own.last_number + 1;
        let version = Arc::new(Version::new(number, sha256, wasm.len(), description, Ok(code)));
        let (function, row) = (latest.name.clone(), Arc::clone(&version));
        self.store
            .run(move |connection| {
                let number = i64::try_from(row.number).unwrap_or(i64::MAX);
                let size = i64::try_from(row.size).unwrap_or(i64::MAX);
                connection.execute(
                    "INSERT OR REPLACE INTO version_number VALUES (?1, ?2)",
                    params![function, number],
                )?;
                let values = params![
                    function,
                    number,
                    row.sha256,
                    size,
                    row.description,
                    moment::ms(row.published),
                    row.revision
                ];
                connection
                    .execute("INSERT INTO version VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)", values)
            })
            .await?;
        self.change(&latest.name, |own| {
            own.last_number = number;
            own.versions.insert(number, Arc::clone(&version));
        });
        Ok(version)
    }

    /// Deletes a version that no alias names.
    ///
    /// # Errors
    /// Where an alias names it. One that is not there is deleted already.
    pub async fn delete_version(&self, name: &str, number: u64) -> Result<(), LambdaError> {
        let _edit = self.edit.lock().await;
        let own = self.own(name);
        let Some(version) = own.versions.get(&number) else { return Ok(()) };
        let text = number.to_string();
        let naming: Vec<&str> = own
            .aliases
            .values()
            .filter(|alias| alias.names(&text))
            .map(|alias| alias.name.as_str())
            .collect();
        if !naming.is_empty() {
            let message = format!(
                "Unable to delete version because the following aliases reference it: [{}]",
                naming.join(", ")
            );
            return Err(LambdaError::new(ErrorKind::ResourceConflict, message));
        }
        let function = name.to_owned();
        self.store
            .run(move |connection| {
                let sql = "DELETE FROM version WHERE function = ?1 AND number = ?2";
                let number = i64::try_from(number).unwrap_or(i64::MAX);
                connection.execute(sql, params![function, number])?;
                let sql = "DELETE FROM event_config WHERE function = ?1 AND qualifier = ?2";
                connection.execute(sql, params![function, number.to_string()])
            })
            .await?;
        self.change(name, |own| {
            own.versions.remove(&number);
            own.event_configs.remove(&text);
        });
        let needed: BTreeSet<[u8; 32]> = self
            .published
            .load()
            .values()
            .flat_map(|own| own.versions.values().map(|version| version.sha256))
            .collect();
        if !needed.contains(&version.sha256) {
            self.archive.remove(&version.sha256);
        }
        Ok(())
    }

    /// Makes an alias.
    ///
    /// # Errors
    /// Where there is one of that name, or what it names is not there.
    pub async fn create_alias(
        &self,
        function: &str,
        alias: &str,
        change: AliasChange,
    ) -> Result<Arc<Alias>, LambdaError> {
        let _edit = self.edit.lock().await;
        let own = self.own(function);
        let arn = format!("{}:{alias}", sandbox::arn(function));
        if own.aliases.contains_key(alias) {
            let message = format!("Alias already exists: {arn}");
            return Err(LambdaError::new(ErrorKind::ResourceConflict, message));
        }
        let is_number = alias.bytes().all(|b| b.is_ascii_digit());
        if !is_qualifier(alias) || alias == LATEST || is_number {
            return Err(LambdaError::not_matching(alias, "name", "(?!^[0-9]+$)([a-zA-Z0-9-_]+)"));
        }
        if own.aliases.len() >= ALIASES_MAX {
            let message = format!("Alias limit exceeded: {ALIASES_MAX} aliases of a function");
            return Err(LambdaError::new(ErrorKind::InvalidParameterValue, message));
        }
        let Some(version) = change.version.clone() else {
            let message = "1 validation error detected: Value null at 'functionVersion' failed to satisfy constraint: Member must not be null";
            return Err(LambdaError::new(ErrorKind::Validation, message));
        };
        let before = Alias {
            name: alias.to_owned(),
            version,
            description: String::new(),
            weights: Vec::new(),
            revision: String::new(),
        };
        self.put_alias(function, &own, before, change).await
    }

    /// Changes an alias.
    ///
    /// # Errors
    /// Where there is none, or what it shall name is not there.
    pub async fn update_alias(
        &self,
        function: &str,
        alias: &str,
        change: AliasChange,
    ) -> Result<Arc<Alias>, LambdaError> {
        let _edit = self.edit.lock().await;
        let own = self.own(function);
        let before = own.aliases.get(alias).ok_or_else(|| no_alias(function, alias))?;
        let before = Alias::clone(before);
        self.put_alias(function, &own, before, change).await
    }

    async fn put_alias(
        &self,
        function: &str,
        own: &Own,
        mut alias: Alias,
        change: AliasChange,
    ) -> Result<Arc<Alias>, LambdaError> {
        if change.revision.is_some_and(|revision| revision != alias.revision) {
            return Err(LambdaError::stale_revision());
        }
        alias.version = change.version.unwrap_or(alias.version);
        alias.description = change.description.unwrap_or(alias.description);
        alias.weights = change.weights.unwrap_or(alias.weights);
        alias.revision = uuid::Uuid::new_v4().to_string();
        check_alias(function, own, &alias)?;
        let (row, name) = (alias.clone(), function.to_owned());
        self.store
            .run(move |connection| {
                let weights = serde_json::to_string(&row.weights).unwrap_or_default();
                let Alias { name: alias, version, description, revision, .. } = row;
                let values = params![name, alias, version, description, weights, revision];
                let sql = "INSERT OR REPLACE INTO alias VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
                connection.execute(sql, values)
            })
            .await?;
        let alias = Arc::new(alias);
        self.change(function, |own| {
            own.aliases.insert(alias.name.clone(), Arc::clone(&alias));
        });
        Ok(alias)
    }

    /// Deletes an alias, its URL, and how its asynchronous invocations go; one
    /// that is not there is deleted already.
    ///
    /// # Errors
    /// Where that cannot be kept.
    pub async fn delete_alias(&self, function: &str, alias: &str) -> Result<(), LambdaError> {
        let _edit = self.edit.lock().await;
        let names = (function.to_owned(), alias.to_owned());
        self.store
            .run(move |connection| {
                let (function, alias) = names;
                let names = params![function, alias];
                let sql = "DELETE FROM event_config WHERE function = ?1 AND qualifier = ?2";
                connection.execute(sql, names)?;
                let sql = "DELETE FROM url WHERE function = ?1 AND qualifier = ?2";
                connection.execute(sql, names)?;
                connection.execute("DELETE FROM alias WHERE function = ?1 AND name = ?2", names)
            })
            .await?;
        self.change(function, |own| {
            own.aliases.remove(alias);
            own.event_configs.remove(alias);
            own.urls.remove(alias);
        });
        Ok(())
    }

    /// Sets the reserved concurrency, or leaves it to the configuration.
    ///
    /// # Errors
    /// Where that cannot be kept.
    pub async fn reserve(&self, function: &str, limit: Option<u32>) -> Result<(), LambdaError> {
        let _edit = self.edit.lock().await;
        let name = function.to_owned();
        self.store
            .run(move |connection| match limit {
                Some(limit) => connection.execute(
                    "INSERT OR REPLACE INTO concurrency VALUES (?1, ?2)",
                    params![name, limit],
                ),
                None => connection.execute("DELETE FROM concurrency WHERE function = ?1", [name]),
            })
            .await?;
        self.sandbox.accounts().get(function).reserve(limit);
        self.change(function, |own| own.reserved = limit);
        Ok(())
    }

    /// While this is held, nothing else that the API makes changes: for whoever
    /// looks first at what there is.
    pub async fn edit(&self) -> Edit<'_> {
        self.edit.lock().await
    }

    /// Sets how asynchronous invocations of a version or alias go, or leaves
    /// it to the configuration.
    ///
    /// # Errors
    /// Where that cannot be kept.
    pub async fn set_event_config(
        &self,
        _edit: &Edit<'_>,
        reference: &FunctionReference,
        config: Option<EventConfig>,
    ) -> Result<(), LambdaError> {
        let (name, qualifier) = (reference.name.clone(), reference.version().to_owned());
        let row = config.clone();
        self.store
            .run(move |connection| match row {
                Some(config) => config.write(connection, &name, &qualifier),
                None => {
                    let sql = "DELETE FROM event_config WHERE function = ?1 AND qualifier = ?2";
                    connection.execute(sql, [name, qualifier]).map(|_| ())
                }
            })
            .await?;
        self.change(&reference.name, |own| {
            let qualifier = reference.version().to_owned();
            match config {
                Some(config) => own.event_configs.insert(qualifier, config),
                None => own.event_configs.remove(&qualifier),
            };
        });
        Ok(())
    }

    /// Changes what is in memory; whoever calls holds `edit`.
    fn change(&self, function: &str, change: impl FnOnce(&mut Own)) {
        let mut published = Published::clone(&self.published.load());
        change(published.entry(function.to_owned()).or_default());
        self.url_ids.store(Arc::new(url::ids(&published)));
        self.published.store(Arc::new(published));
    }
}

/// An alias names versions that are there; `$LATEST` only without weights.
fn check_alias(function: &str, own: &Own, alias: &Alias) -> Result<(), LambdaError> {
    let invalid = |message: String| LambdaError::new(ErrorKind::InvalidParameterValue, message);
    let exists = |version: &str| {
        version_number(version).is_some_and(|number| own.versions.contains_key(&number))
    };
    if alias.version != LATEST && !exists(&alias.version) {
        return Err(LambdaError::no_function(function, Some(&alias.version)));
    }
    if alias.weights.len() > 1 {
        return Err(invalid(
            "Number of items in AdditionalVersionWeights cannot be greater than 1".to_owned(),
        ));
    }
    for (version, weight) in &alias.weights {
        if alias.version == LATEST {
            return Err(invalid(
                "$LATEST is not supported for an alias pointing to more than 1 version".to_owned(),
            ));
        }
        if *version == alias.version {
            return Err(invalid(format!(
                "Invalid function version {version}. Function version {version} is already included in routing configuration."
            )));
        }
        if !(0.0..=1.0).contains(weight) {
            return Err(invalid(format!(
                "The weight {weight} of version {version} is not between 0 and 1"
            )));
        }
        if !exists(version) {
            return Err(LambdaError::no_function(function, Some(version)));
        }
    }
    Ok(())
}

/// The function as it is in the folder.
fn latest(name: &str, state: &FunctionState) -> Result<Arc<Function>, LambdaError> {
    let function = state.function().map_err(|reason| LambdaError::unusable(name, &reason))?;
    Ok(Arc::clone(function))
}

/// An alias that there is not.
pub fn no_alias(function: &str, alias: &str) -> LambdaError {
    let message = format!("Cannot find alias arn: {}:{alias}", sandbox::arn(function));
    LambdaError::new(ErrorKind::ResourceNotFound, message)
}

/// Weights as the API has them.
///
/// # Errors
/// Where they are not numbers.
pub fn weights(given: &Map<String, Value>) -> Result<Vec<(String, f64)>, LambdaError> {
    let weight = |(version, weight): (&String, &Value)| {
        let number = weight.as_f64().ok_or_else(|| {
            let message = format!("The weight of version {version} is not a number");
            LambdaError::new(ErrorKind::InvalidParameterValue, message)
        })?;
        Ok((version.clone(), number))
    };
    given.iter().map(weight).collect()
}

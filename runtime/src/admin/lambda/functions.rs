//! What functions there are, and how they are configured.

use std::{fs, path::PathBuf};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::StatusCode;
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Answer, Call, nothing, respond};
use crate::{
    config::{FunctionReference, version_number},
    gateway::{ACCOUNT_ID, FunctionState},
    lambda::{ErrorKind, LambdaError, Own, Version, moment},
    sandbox::{LATEST, arn},
};

/// Lambda's bounds of an account that mean nothing here, in bytes.
const CODE_SIZE_MAX: u64 = 80_530_636_800;
const UNZIPPED_SIZE_MAX: u64 = 262_144_000;
const ZIPPED_SIZE_MAX: u64 = 52_428_800;

/// The state of a function whose code is being compiled.
const PENDING: &str = "Pending";

/// What one version has of its own.
struct Code<'c> {
    version: String,
    sha256: Option<&'c [u8; 32]>,
    size: usize,
    description: &'c str,
    modified: OffsetDateTime,
    revision: String,
    state: (&'static str, Option<&'c str>),
    last_update: (&'static str, Option<&'c str>),
}

impl Call {
    pub(super) fn list_functions(&self) -> Answer {
        let all = match self.query("FunctionVersion") {
            None => false,
            Some("ALL") => true,
            Some(other) => {
                return Err(LambdaError::not_one_of(other, "functionVersion", &["ALL"]));
            }
        };
        let mut items = Vec::new();
        for name in self.gateway.functions.keys() {
            if !all {
                items.push((name.clone(), self.configuration_of(name, None)));
                continue;
            }
            items.extend(self.versions_of(name));
        }
        self.page("Functions", items)
    }

    /// `$LATEST` and all versions, each with its key in a list.
    pub(super) fn versions_of(&self, name: &str) -> Vec<(String, Value)> {
        let latest = (format!("{name}:{LATEST}"), self.configuration_of(name, Some(LATEST)));
        let own = self.gateway.lambda.own(name);
        let versions = own.versions.values().map(|version| {
            let qualifier = version.number.to_string();
            (format!("{name}:{qualifier}"), self.version_configuration(name, version, &qualifier))
        });
        std::iter::once(latest).chain(versions).collect()
    }

    pub(super) fn get_function(&self, function: &FunctionReference) -> Answer {
        let configuration = self.configuration(function)?;
        let own = self.gateway.lambda.own(&function.name);
        let file = self.file(&function.name);
        let mut body = json!({
            "Configuration": configuration,
            "Code": { "RepositoryType": "File", "Location": format!("file://{}", file.display()) },
            "Tags": {},
        });
        if let Some(reserved) = own.reserved.or(self.configured(&function.name)) {
            body["Concurrency"] = json!({ "ReservedConcurrentExecutions": reserved });
        }
        Ok(respond(StatusCode::OK, &body))
    }

    pub(super) fn get_configuration(&self, function: &FunctionReference) -> Answer {
        Ok(respond(StatusCode::OK, &self.configuration(function)?))
    }

    /// Deletes a version; a function itself is a file of the user's.
    pub(super) async fn delete_function(&self, function: &FunctionReference) -> Answer {
        self.exists(function)?;
        let invalid = |message: String| LambdaError::new(ErrorKind::InvalidParameterValue, message);
        let Some(qualifier) = function.qualifier.as_deref() else {
            let file = self.file(&function.name);
            return Err(invalid(format!(
                "The function {} is the file {}: remove that to delete it",
                function.name,
                file.display()
            )));
        };
        if qualifier == LATEST {
            return Err(invalid(
                "$LATEST version cannot be deleted without deleting the function.".to_owned(),
            ));
        }
        let Some(number) = version_number(qualifier) else {
            return Err(invalid("Deletion of aliases is not currently supported.".to_owned()));
        };
        self.gateway.lambda.delete_version(&function.name, number).await?;
        Ok(nothing(StatusCode::NO_CONTENT))
    }

    pub(super) fn account_settings(&self) -> Answer {
        let concurrency = self.gateway.config.server.pools.concurrency_max;
        let functions = self.gateway.functions.values();
        let reserved = self.gateway.functions.keys().filter_map(|name| {
            let own = self.gateway.lambda.own(name).reserved;
            own.or(self.configured(name))
        });
        let unreserved = concurrency.saturating_sub(reserved.fold(0, u32::saturating_add));
        let code: usize =
            functions.filter_map(|state| Some(state.function().ok()?.code.size)).sum();
        let body = json!({
            "AccountLimit": {
                "TotalCodeSize": CODE_SIZE_MAX,
                "CodeSizeUnzipped": UNZIPPED_SIZE_MAX,
                "CodeSizeZipped": ZIPPED_SIZE_MAX,
                "ConcurrentExecutions": concurrency,
                "UnreservedConcurrentExecutions": unreserved,
            },
            "AccountUsage": { "TotalCodeSize": code, "FunctionCount": self.gateway.functions.len() },
        });
        Ok(respond(StatusCode::OK, &body))
    }

    /// The configuration of what a reference means.
    pub(super) fn configuration(&self, function: &FunctionReference) -> Result<Value, LambdaError> {
        let FunctionReference { name, qualifier } = function;
        let missing = || LambdaError::no_function(name, qualifier.as_deref());
        self.gateway.functions.get(name).ok_or_else(missing)?;
        let Some(asked) = qualifier.as_deref() else {
            return Ok(self.configuration_of(name, None));
        };
        let own: Own = self.gateway.lambda.own(name);
        let version = own.aliases.get(asked).map_or(asked, |alias| &alias.version);
        if version == LATEST {
            return Ok(self.configuration_of(name, Some(asked)));
        }
        let version = version_number(version).and_then(|number| own.versions.get(&number));
        Ok(self.version_configuration(name, version.ok_or_else(missing)?, asked))
    }

    pub(super) fn version_configuration(
        &self,
        name: &str,
        version: &Version,
        qualifier: &str,
    ) -> Value {
        let problem = version.problem();
        let failed = |word| if problem.is_some() { ("Failed", problem) } else { (word, None) };
        let code = Code {
            version: version.number.to_string(),
            sha256: Some(&version.sha256),
            size: version.size,
            description: &version.description,
            modified: version.published,
            revision: version.revision.clone(),
            state: match version.is_pending() {
                true => (PENDING, Some("The function is being created.")),
                false => failed("Active"),
            },
            last_update: failed("Successful"),
        };
        self.describe(name, Some(qualifier), code)
    }

    /// The configuration of `$LATEST`, which is the file as it runs.
    fn configuration_of(&self, name: &str, qualifier: Option<&str>) -> Value {
        let state = self.gateway.functions.get(name);
        let function = state.and_then(|state| state.function().ok());
        let problem = state.and_then(FunctionState::problem);
        let problem = problem.as_deref();
        let is_pending = function.is_some_and(|function| !function.code.is_settled());
        let modified = fs::metadata(self.file(name)).and_then(|metadata| metadata.modified());
        let sha256 = function.map(|function| &function.code.sha256);
        let failed = |word| if problem.is_some() { ("Failed", problem) } else { (word, None) };
        let code = Code {
            version: LATEST.to_owned(),
            sha256,
            size: function.map_or(0, |function| function.code.size),
            description: "",
            modified: modified.map_or(OffsetDateTime::UNIX_EPOCH, OffsetDateTime::from),
            revision: sha256.map_or_else(String::new, revision),
            state: match function {
                Some(_) if is_pending => (PENDING, Some("The function is being created.")),
                Some(_) => ("Active", None),
                None => failed("Active"),
            },
            last_update: failed("Successful"),
        };
        self.describe(name, qualifier, code)
    }

    fn describe(&self, name: &str, qualifier: Option<&str>, code: Code<'_>) -> Value {
        let config = self.gateway.config.function(name);
        let mut description = json!({
            "FunctionName": name,
            "FunctionArn": qualifier.map_or_else(|| arn(name), |own| format!("{}:{own}", arn(name))),
            "Runtime": "provided.al2023",
            "Role": format!("arn:aws:iam::{ACCOUNT_ID}:role/mayfly"),
            "Handler": format!("{name}.wasm"),
            "CodeSize": code.size,
            "Description": code.description,
            // Lambda's are whole seconds.
            "Timeout": config.timeout.as_millis().div_ceil(1000),
            "MemorySize": config.memory_mb,
            "LastModified": moment::lambda(code.modified),
            "CodeSha256": code.sha256.map_or_else(String::new, |sha256| BASE64_STANDARD.encode(sha256)),
            "Version": code.version,
            "TracingConfig": { "Mode": "PassThrough" },
            "RevisionId": code.revision,
            "State": code.state.0,
            "LastUpdateStatus": code.last_update.0,
            "PackageType": "Zip",
            "Architectures": ["x86_64"],
        });
        if let Some(size) = config.ephemeral_storage_mb {
            description["EphemeralStorage"] = json!({ "Size": size });
        }
        if let Some(reason) = code.state.1 {
            description["StateReason"] = reason.into();
            let code = if code.state.0 == PENDING { "Creating" } else { "InternalError" };
            description["StateReasonCode"] = code.into();
        }
        if let Some(reason) = code.last_update.1 {
            description["LastUpdateStatusReason"] = reason.into();
            description["LastUpdateStatusReasonCode"] = "InternalError".into();
        }
        if let Some(target) = &config.asynchronous.dead_letter {
            description["DeadLetterConfig"] = json!({ "TargetArn": arn(&target.to_string()) });
        }
        description
    }

    /// The file that `$LATEST` is.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.gateway.config.server.handlers.join(format!("{name}.wasm"))
    }

    /// The configured reserved concurrency.
    pub(super) fn configured(&self, name: &str) -> Option<u32> {
        self.gateway.config.function(name).reserved_concurrency
    }
}

/// A revision of `$LATEST`: the same as long as its code is.
pub(super) fn revision(sha256: &[u8; 32]) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&sha256[..16]);
    Uuid::from_bytes(bytes).to_string()
}

//! PublishVersion and ListVersionsByFunction.

use std::fs;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::StatusCode;

use super::{Answer, Call, description, functions::revision, respond, text};
use crate::{
    config::FunctionReference,
    lambda::{ErrorKind, LambdaError},
    sandbox::{self, arn},
};

impl Call {
    pub(super) async fn publish_version(&mut self, function: &FunctionReference) -> Answer {
        let given = self.object().await?;
        let latest = FunctionReference { name: function.name.clone(), qualifier: None };
        let latest = self.gateway.function(&latest)?.function;
        let own = BASE64_STANDARD.encode(latest.code.sha256);
        if let Some(wanted) = text(&given, "CodeSha256")?.filter(|wanted| !wanted.is_empty())
            && wanted != own
        {
            let message = format!(
                "CodeSHA256 ({wanted}) is different from current CodeSHA256 in $LATEST ({own}). Please try again with the CodeSHA256 in $LATEST."
            );
            return Err(LambdaError::new(ErrorKind::InvalidParameterValue, message));
        }
        if text(&given, "RevisionId")?.is_some_and(|wanted| wanted != revision(&latest.code.sha256))
        {
            return Err(LambdaError::stale_revision());
        }
        let description = description(&given)?.unwrap_or_default();
        let file = self.file(&latest.name);
        let wasm = tokio::task::block_in_place(|| fs::read(&file)).unwrap_or_default();
        // The file may be newer than what runs, and not be loaded yet, or be invalid.
        if sandbox::digest(&wasm) != latest.code.sha256 {
            let message = format!(
                "The operation cannot be performed at this time. An update is in progress for resource: {}",
                arn(&latest.name)
            );
            return Err(LambdaError::new(ErrorKind::ResourceConflict, message));
        }
        let version = self.gateway.lambda.publish(&latest, wasm, description).await?;
        let number = version.number.to_string();
        let body = self.version_configuration(&latest.name, &version, &number);
        Ok(respond(StatusCode::CREATED, &body))
    }

    pub(super) fn list_versions(&self, function: &FunctionReference) -> Answer {
        self.exists(function)?;
        self.page("Versions", self.versions_of(&function.name))
    }
}

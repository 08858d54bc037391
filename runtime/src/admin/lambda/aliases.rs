//! Aliases.

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::{Answer, Call, description, mistyped, nothing, respond, text};
use crate::{
    config::FunctionReference,
    lambda::{self, Alias, AliasChange, LambdaError},
    sandbox::arn,
};

impl Call {
    pub(super) async fn create_alias(&mut self, function: &FunctionReference) -> Answer {
        let given = self.object().await?;
        self.exists(function)?;
        let name = text(&given, "Name")?.unwrap_or_default();
        let change = change(&given)?;
        let alias = self.gateway.lambda.create_alias(&function.name, name, change).await?;
        Ok(respond(StatusCode::CREATED, &described(&function.name, &alias)))
    }

    pub(super) async fn update_alias(
        &mut self,
        function: &FunctionReference,
        name: &str,
    ) -> Answer {
        let given = self.object().await?;
        self.exists(function)?;
        let change = change(&given)?;
        let alias = self.gateway.lambda.update_alias(&function.name, name, change).await?;
        Ok(respond(StatusCode::OK, &described(&function.name, &alias)))
    }

    pub(super) fn get_alias(&self, function: &FunctionReference, name: &str) -> Answer {
        self.exists(function)?;
        let own = self.gateway.lambda.own(&function.name);
        let alias = own.aliases.get(name);
        let alias = alias.ok_or_else(|| lambda::no_alias(&function.name, name))?;
        Ok(respond(StatusCode::OK, &described(&function.name, alias)))
    }

    pub(super) fn list_aliases(&self, function: &FunctionReference) -> Answer {
        self.exists(function)?;
        let version = self.query("FunctionVersion");
        let own = self.gateway.lambda.own(&function.name);
        let named = own.aliases.values().filter(|alias| version.is_none_or(|own| alias.names(own)));
        let items = named.map(|alias| (alias.name.clone(), described(&function.name, alias)));
        self.page("Aliases", items.collect())
    }

    pub(super) async fn delete_alias(&self, function: &FunctionReference, name: &str) -> Answer {
        self.exists(function)?;
        self.gateway.lambda.delete_alias(&function.name, name).await?;
        Ok(nothing(StatusCode::NO_CONTENT))
    }
}

fn change(given: &Map<String, Value>) -> Result<AliasChange, LambdaError> {
    let weights = match given.get("RoutingConfig") {
        None | Some(Value::Null) => None,
        Some(routing) => match &routing["AdditionalVersionWeights"] {
            Value::Null => Some(Vec::new()),
            Value::Object(weights) => Some(lambda::weights(weights)?),
            _ => return Err(mistyped("AdditionalVersionWeights", "a map")),
        },
    };
    Ok(AliasChange {
        version: text(given, "FunctionVersion")?.map(str::to_owned),
        description: description(given)?,
        weights,
        revision: text(given, "RevisionId")?.map(str::to_owned),
    })
}

fn described(function: &str, alias: &Alias) -> Value {
    let mut body = json!({
        "AliasArn": format!("{}:{}", arn(function), alias.name),
        "Name": alias.name,
        "FunctionVersion": alias.version,
        "Description": alias.description,
        "RevisionId": alias.revision,
    });
    if !alias.weights.is_empty() {
        body["RoutingConfig"] = json!({ "AdditionalVersionWeights": alias.weights() });
    }
    body
}

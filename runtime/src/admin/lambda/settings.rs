//! Reserved concurrency, and how asynchronous invocations go.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::{Answer, Call, integer, mistyped, nothing, respond};
use crate::{
    config::FunctionReference,
    lambda::{ErrorKind, EventConfig, LambdaError, moment},
    sandbox::{LATEST, arn},
};

/// Lambda's bounds of an event's age, in seconds.
const AGE_SECONDS: (i64, i64) = (60, 21_600);

impl Call {
    pub(super) async fn put_concurrency(&mut self, function: &FunctionReference) -> Answer {
        let given = self.object().await?;
        self.exists(function)?;
        let max = self.gateway.config.server.pools.concurrency_max;
        let limit = integer(&given, "ReservedConcurrentExecutions", 0, max.into())?;
        let Some(limit) = limit else {
            let message = "ReservedConcurrentExecutions is required";
            return Err(LambdaError::new(ErrorKind::InvalidParameterValue, message));
        };
        self.gateway.lambda.reserve(&function.name, Some(limit)).await?;
        Ok(respond(StatusCode::OK, &json!({ "ReservedConcurrentExecutions": limit })))
    }

    pub(super) fn get_concurrency(&self, function: &FunctionReference) -> Answer {
        self.exists(function)?;
        let own = self.gateway.lambda.own(&function.name).reserved;
        let body = match own.or(self.configured(&function.name)) {
            Some(limit) => json!({ "ReservedConcurrentExecutions": limit }),
            None => json!({}),
        };
        Ok(respond(StatusCode::OK, &body))
    }

    pub(super) async fn delete_concurrency(&self, function: &FunctionReference) -> Answer {
        self.exists(function)?;
        self.gateway.lambda.reserve(&function.name, None).await?;
        Ok(nothing(StatusCode::NO_CONTENT))
    }

    /// Sets all of it, or what is given only.
    pub(super) async fn put_event_config(
        &mut self,
        function: &FunctionReference,
        updates: bool,
    ) -> Answer {
        let given = self.object().await?;
        self.configuration(function)?;
        let lambda = Arc::clone(&self.gateway.lambda);
        let edit = lambda.edit().await;
        let own = self.gateway.lambda.own(&function.name);
        let before = own.event_configs.get(function.version());
        let mut config = match before {
            Some(before) if updates => before.clone(),
            None if updates => return Err(no_event_config(function)),
            _ => EventConfig {
                retries: None,
                age_seconds: None,
                on_success: None,
                on_failure: None,
                modified: moment::now(),
            },
        };
        config.modified = moment::now();
        config.retries = integer(&given, "MaximumRetryAttempts", 0, 2)?.or(config.retries);
        let (min, max) = AGE_SECONDS;
        let age = integer(&given, "MaximumEventAgeInSeconds", min, max)?;
        config.age_seconds = age.or(config.age_seconds);
        if let Some(destinations) = given.get("DestinationConfig").filter(|own| !own.is_null()) {
            let destinations =
                destinations.as_object().ok_or_else(|| mistyped("DestinationConfig", "a map"))?;
            for (key, own) in
                [("OnSuccess", &mut config.on_success), ("OnFailure", &mut config.on_failure)]
            {
                if let Some(destination) = self.destination(destinations, key)? {
                    *own = destination;
                }
            }
        }
        self.gateway.lambda.set_event_config(&edit, function, Some(config.clone())).await?;
        Ok(respond(StatusCode::OK, &described(function, &config)))
    }

    /// The function that a destination names; an empty one is none.
    fn destination(
        &self,
        destinations: &Map<String, Value>,
        key: &str,
    ) -> Result<Option<Option<String>>, LambdaError> {
        let Some(given) = destinations.get(key).filter(|own| !own.is_null()) else {
            return Ok(None);
        };
        let invalid = |message: String| LambdaError::new(ErrorKind::InvalidParameterValue, message);
        match &given["Destination"] {
            Value::Null => Ok(Some(None)),
            Value::String(text) if text.is_empty() => Ok(Some(None)),
            Value::String(text) => {
                let reference = FunctionReference::parse(text).map_err(|_| {
                    invalid(format!(
                        "The destination ARN {text} is invalid: Mayfly knows functions only"
                    ))
                })?;
                if !self.gateway.functions.contains_key(&reference.name) {
                    return Err(invalid(format!("The destination {text} does not exist")));
                }
                Ok(Some(Some(reference.to_string())))
            }
            _ => Err(mistyped("Destination", "a string")),
        }
    }

    pub(super) fn get_event_config(&self, function: &FunctionReference) -> Answer {
        self.exists(function)?;
        let own = self.gateway.lambda.own(&function.name);
        let config = own.event_configs.get(function.version());
        let config = config.ok_or_else(|| no_event_config(function))?;
        Ok(respond(StatusCode::OK, &described(function, config)))
    }

    pub(super) async fn delete_event_config(&self, function: &FunctionReference) -> Answer {
        self.exists(function)?;
        let edit = self.gateway.lambda.edit().await;
        let own = self.gateway.lambda.own(&function.name);
        if !own.event_configs.contains_key(function.version()) {
            return Err(no_event_config(function));
        }
        self.gateway.lambda.set_event_config(&edit, function, None).await?;
        Ok(nothing(StatusCode::NO_CONTENT))
    }

    pub(super) fn list_event_configs(&self, function: &FunctionReference) -> Answer {
        self.exists(function)?;
        let own = self.gateway.lambda.own(&function.name);
        let items = own.event_configs.iter().map(|(qualifier, config)| {
            let qualifier = Some(qualifier.clone());
            let function = FunctionReference { name: function.name.clone(), qualifier };
            (function.version().to_owned(), described(&function, config))
        });
        self.page("FunctionEventInvokeConfigs", items.collect())
    }
}

fn no_event_config(function: &FunctionReference) -> LambdaError {
    let message = format!(
        "The function {}:{} doesn't have an EventInvokeConfig",
        arn(&function.name),
        function.version()
    );
    LambdaError::new(ErrorKind::ResourceNotFound, message)
}

fn described(function: &FunctionReference, config: &EventConfig) -> Value {
    let qualifier = function.qualifier.as_deref().unwrap_or(LATEST);
    let destination = |own: &Option<String>| {
        own.as_ref().map_or_else(|| json!({}), |own| json!({ "Destination": arn(own) }))
    };
    let mut body = json!({
        "LastModified": config.modified.unix_timestamp(),
        "FunctionArn": format!("{}:{qualifier}", arn(&function.name)),
        "DestinationConfig": {
            "OnSuccess": destination(&config.on_success),
            "OnFailure": destination(&config.on_failure),
        },
    });
    if let Some(retries) = config.retries {
        body["MaximumRetryAttempts"] = retries.into();
    }
    if let Some(age) = config.age_seconds {
        body["MaximumEventAgeInSeconds"] = age.into();
    }
    body
}

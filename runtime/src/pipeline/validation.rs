//! Request validation: required parameters, and the body's model.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-method-request-validation.html>

mod messages;

use std::ops::Deref;

use super::{content, error::GatewayError, method_request::MethodRequest};
use crate::{
    config::{RequestParameter, ValidationConfig, template::Lookup as _},
    gateway::Target,
};

/// A method request that has all that its route asks for.
pub struct Validated<'r, 'g>(&'r MethodRequest<'g>);

impl<'g> Deref for Validated<'_, 'g> {
    type Target = MethodRequest<'g>;

    fn deref(&self) -> &MethodRequest<'g> {
        self.0
    }
}

impl<'r, 'g> Validated<'r, 'g> {
    /// Checks parameters first, then the body, as the service does.
    ///
    /// # Errors
    /// [`GatewayError::MissingParameters`], [`GatewayError::InvalidBody`]
    pub fn check(request: &'r MethodRequest<'g>) -> Result<Self, GatewayError> {
        if let Some(config) = &request.matched.route.validation {
            check_parameters(request, config)?;
            check_body(request, config)?;
        }
        Ok(Self(request))
    }
}

fn check_parameters(
    request: &MethodRequest<'_>,
    config: &ValidationConfig,
) -> Result<(), GatewayError> {
    let missing: Vec<String> = config
        .parameters
        .iter()
        .filter_map(|required| {
            let value = match &required.parameter {
                RequestParameter::Path(name) => request.path(name),
                RequestParameter::Query(name) => request.query(name),
                RequestParameter::Header(name) => request.header_text(name),
            };
            let there = value.is_some_and(|value| !value.trim().is_empty());
            (!there).then(|| required.name.clone())
        })
        .collect();
    if missing.is_empty() { Ok(()) } else { Err(GatewayError::MissingParameters(missing)) }
}

fn check_body(request: &MethodRequest<'_>, config: &ValidationConfig) -> Result<(), GatewayError> {
    // A type that has no model is not checked.
    let mut models = config.models.iter();
    let Some((_, model)) = models.find(|(own, _)| content::is_of(&request.headers, own)) else {
        return Ok(());
    };
    // A template will read it, too, and then it is read once.
    let is_kept = matches!(request.matched.route.target, Target::Mapped(_));
    if !is_kept && model.surely_takes(&request.body) {
        return Ok(());
    }
    let Some(body) = request.body_json() else {
        return Err(GatewayError::InvalidBody(vec!["the body is not JSON".to_owned()]));
    };
    // Whether anything is wrong is known sooner than what.
    if model.validator.is_valid(body) {
        return Ok(());
    }
    Err(GatewayError::InvalidBody(messages::messages(model, body)))
}

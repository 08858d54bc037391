//! `mayfly invoke`.

use std::io::Write as _;

use anyhow::Context as _;
use clap::ValueEnum;
use uuid::Uuid;

use super::{ConfigArguments, Failure, Loaded, begin, runtime, text_or_file};
use crate::{
    config::FunctionReference,
    gateway::Gateway,
    lambda::{Event, Resolved},
    sandbox::{CallContext, Invocation},
};

#[derive(clap::Args)]
pub struct Arguments {
    /// The function's name: its file without .wasm; NAME:QUALIFIER for a version or alias
    function: String,
    /// The event, JSON or @FILE
    #[arg(long, value_name = "JSON|@FILE", default_value = "{}")]
    payload: String,
    /// RequestResponse prints the answer, Event queues it, DryRun only checks
    #[arg(long = "type", value_enum, value_name = "TYPE", default_value = "RequestResponse")]
    invocation: InvocationType,
    #[command(flatten)]
    config: ConfigArguments,
}

/// Lambda's invocation types.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum InvocationType {
    #[value(name = "RequestResponse")]
    RequestResponse,
    #[value(name = "Event")]
    Event,
    #[value(name = "DryRun")]
    DryRun,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let payload = text_or_file(&arguments.payload)?;
    let event = String::from_utf8(payload).context("the payload is not UTF-8")?;
    serde_json::from_str::<serde::de::IgnoredAny>(&event).context("the payload is not JSON")?;

    let Loaded { gateway, .. } = begin(arguments.config.source(None)?)?;
    let reference = FunctionReference::parse(&arguments.function).map_err(|hint| {
        anyhow::anyhow!("{:?} is no function (hint: {hint})", arguments.function)
    })?;
    let name = reference.name.clone();
    let Some(state) = gateway.functions.get(&name) else {
        let folder = gateway.config.server.handlers.display();
        let names: Vec<&str> = gateway.functions.keys().map(String::as_str).collect();
        return Err(anyhow::anyhow!(
            "there is no function {name:?} in {folder} (hint: there are {})",
            if names.is_empty() { "none".to_owned() } else { names.join(", ") }
        )
        .into());
    };
    runtime()?.block_on(async {
        // Of all that is being compiled, this is needed.
        if let Ok(resolved) = gateway.function(&reference) {
            resolved.function.code.settled().await;
        }
        if let (None, Err(reason)) = (&reference.qualifier, state.function()) {
            return Err(anyhow::anyhow!("the function {name:?} cannot be loaded: {reason}").into());
        }
        let resolved = gateway.function(&reference)?;
        let outcome = match arguments.invocation {
            InvocationType::DryRun => Ok(()),
            InvocationType::Event => queue(&gateway, reference, event).await,
            InvocationType::RequestResponse => call(resolved, event).await,
        };
        gateway.lambda.flush_usage().await;
        outcome
    })
}

/// Runs the function and prints its answer.
async fn call(Resolved { function, qualifier }: Resolved, event: String) -> Result<(), Failure> {
    let request_id = Uuid::new_v4().to_string();
    let context = CallContext { qualifier, ..CallContext::direct(request_id.clone()) };
    let invocation = Invocation { event, context };
    let outcome = function.invoke(invocation).await;
    let mut out = std::io::stdout().lock();
    match outcome {
        Ok(output) => Ok(writeln!(out, "{output}")?),
        Err(error) => {
            writeln!(out, "{}", error.payload(&request_id))?;
            tracing::error!("{error}");
            Err(Failure::Quiet)
        }
    }
}

/// Queues the event. Where no server works off the queue of the data folder it
/// is tried once, at once; retries are the next server's.
async fn queue(
    gateway: &Gateway,
    reference: FunctionReference,
    event: String,
) -> Result<(), Failure> {
    let event = Event::new(reference, Uuid::new_v4().to_string(), event);
    let lambda = &gateway.lambda;
    let id = lambda.enqueue(event).await?;
    if !lambda.run_event(id, gateway).await? {
        tracing::info!("queued for the mayfly that serves");
    }
    Ok(())
}

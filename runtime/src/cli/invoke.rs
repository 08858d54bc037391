//! `mayfly invoke`.

use std::io::Write as _;

use anyhow::Context as _;
use clap::ValueEnum;
use uuid::Uuid;

use super::{ConfigArguments, Failure, load, runtime, text_or_file};
use crate::{gateway::FunctionState, sandbox::Invocation};

#[derive(clap::Args)]
pub struct Arguments {
    /// The function's name: its file without .wasm
    function: String,
    /// The event, JSON or @FILE
    #[arg(long, value_name = "JSON|@FILE", default_value = "{}")]
    payload: String,
    /// RequestResponse prints the answer, Event only runs, DryRun only checks
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

    let loaded = load(arguments.config.source(None)?)?;
    let name = &arguments.function;
    let function = match loaded.gateway.functions.get(name) {
        Some(FunctionState::Ready { function, .. }) => function,
        Some(FunctionState::Failed { reason }) => {
            return Err(anyhow::anyhow!("the function {name:?} cannot be loaded: {reason}").into());
        }
        None => {
            let folder = loaded.gateway.config.server.handlers.display();
            let names: Vec<&str> = loaded.gateway.functions.keys().map(String::as_str).collect();
            return Err(anyhow::anyhow!(
                "there is no function {name:?} in {folder} (hint: there are {})",
                if names.is_empty() { "none".to_owned() } else { names.join(", ") }
            )
            .into());
        }
    };
    if arguments.invocation == InvocationType::DryRun {
        return Ok(());
    }
    let request_id = Uuid::new_v4().to_string();
    let invocation =
        Invocation { event, request_id: request_id.clone(), log_id: request_id.clone() };
    let outcome = runtime()?.block_on(function.invoke(invocation));
    let mut out = std::io::stdout().lock();
    match (outcome, arguments.invocation) {
        (Ok(output), InvocationType::RequestResponse) => Ok(writeln!(out, "{output}")?),
        (Ok(_), _) => Ok(()),
        (Err(error), InvocationType::RequestResponse) => {
            writeln!(out, "{}", error.payload(&request_id))?;
            tracing::error!("{error}");
            Err(Failure::Quiet)
        }
        (Err(error), _) => Err(error.into()),
    }
}

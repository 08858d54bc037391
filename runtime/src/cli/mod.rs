//! The command line: arguments, and a file per command.
//!
//! Exit codes: 0 for success, 1 for a failure while running (a function's
//! error, a port that is taken), 2 for bad arguments and invalid
//! configuration.

mod build;
mod cert;
mod check;
mod invoke;
mod new;
mod render;
mod routes;
mod serve;
mod test;
mod token;
mod usage;
mod users;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc};

use clap::{Args, Parser, Subcommand};

use crate::{
    config::{Config, Overrides, Problem},
    gateway::Gateway,
    lambda::Lambda,
    reload::{Loader, Source},
    sandbox::{self, Sandbox},
    services::Services,
    state::State,
    telemetry, threads,
    user_pool::UserPools,
};

/// An API gateway that runs every request in its own WebAssembly sandbox.
///
/// Put a .wasm file into the folder `handlers`, run `mayfly serve`, and it
/// answers at http://127.0.0.1:3000/NAME. Routes and mocks are written in
/// gateway.toml; both are watched, and each save takes effect at once.
#[derive(Parser)]
#[command(name = "mayfly", version, after_help = AFTER_HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Exit codes: 0 success; 1 failure while running; 2 bad arguments or invalid configuration.
Environment: MAYFLY_LOG chooses what is logged to standard error (error, warn, info, debug); NO_COLOR turns colours off.";

#[derive(Subcommand)]
enum Command {
    /// Serves the API until SIGTERM or ctrl-C
    #[command(after_help = "\
Examples:
  mayfly serve                              serves ./handlers, and ./gateway.toml if there is one
  mayfly serve --config api.toml --listen 127.0.0.1:0
  mayfly serve --openapi api.yaml           serves a definition as API Gateway would import it

Prints `listening on http://ADDR`, then `admin on http://ADDR`; logs go to standard error.")]
    Serve(ConfigArguments),
    /// Checks configuration and handlers, and reports every problem
    #[command(after_help = "\
Example:
  mayfly check --config api.toml            exits with 0, or with 2 and every problem with its line")]
    Check(ConfigArguments),
    /// Lists the routes that would be served
    Routes(ConfigArguments),
    /// Sends one request through the whole pipeline and shows each stage
    #[command(after_help = "\
Examples:
  mayfly test GET '/pets/7?verbose=yes' -H 'Accept: application/json'
  mayfly test POST /messages -H 'Content-Type: application/json' --body @message.json")]
    Test(test::Arguments),
    /// Invokes one function with an event
    #[command(after_help = "\
Examples:
  mayfly invoke hello --payload '{\"httpMethod\": \"GET\", \"path\": \"/hello\"}'
  mayfly invoke nightly --type Event --payload @event.json

Exits with 1 if the function fails; its error is printed as Lambda's Invoke answers it.")]
    Invoke(invoke::Arguments),
    /// Shows what API keys have used of their usage plans, or what functions have used
    #[command(after_help = "\
Examples:
  mayfly usage                              every key of every plan, in the period of today
  mayfly usage --plan basic --key partner --json
  mayfly usage --functions                  every function that has run: invocations, time and memory

Works whether a server runs or not; what one let through just now follows within a moment.")]
    Usage(usage::Arguments),
    /// Adds, lists and removes the users of a user pool
    #[command(after_help = "\
Examples:
  mayfly users add ada --attribute email=ada@example.com --group admins
  mayfly users list --pool people

Users have no passwords: whoever may run `mayfly token` here may be any of them.")]
    Users(users::Arguments),
    /// Prints a token for a user of a user pool
    #[command(after_help = "\
Examples:
  curl -H \"authorization: Bearer $(mayfly token ada)\" http://127.0.0.1:3000/
  mayfly token ada --scope orders/read --expires-in 5m")]
    Token(token::Arguments),
    /// Tries a mapping template without a gateway
    #[command(after_help = "\
Examples:
  mayfly render pet.vtl --request '{\"body\": {\"name\": \"Rex\"}, \"path\": {\"id\": \"7\"}}'
  echo '$greeting, $input.params(\"name\")' | mayfly render - --vars '{\"greeting\": \"Hi\"}'

A template that fails exits with 1 and FILE:LINE:COLUMN.")]
    Render(render::Arguments),
    /// Makes certificates to try TLS and mutual TLS out with
    #[command(after_help = "\
Examples:
  mayfly cert localhost                     makes certs/localhost.pem, certs/localhost-key.pem and, once, certs/ca.pem
  mayfly cert api.example.com '*.example.com' 127.0.0.1
  mayfly cert --client Ada                  makes a client's, for mutual_tls = { truststore = \"certs/ca.pem\" }

Nothing is overwritten without --force. Clients have to be told to trust certs/ca.pem.")]
    Cert(cert::Arguments),
    /// Begins a handler: a folder with a crate that builds and a test that passes
    #[command(after_help = "\
Example:
  mayfly new greet && mayfly build greet && mayfly serve")]
    New(new::Arguments),
    /// Builds handlers and puts their .wasm files where they are served
    #[command(after_help = "\
Examples:
  mayfly build greet                        builds handlers/greet.wasm
  mayfly build --setup greet                installs what is missing first")]
    Build(build::Arguments),
}

/// Where configuration, handlers and data are.
#[derive(Args, Clone)]
pub struct ConfigArguments {
    /// The configuration [default: ./gateway.toml if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// An OpenAPI definition with API Gateway's extensions, in JSON or YAML
    #[arg(long, value_name = "FILE")]
    openapi: Option<PathBuf>,
    /// Refuses a definition that has anything which is not served
    #[arg(long)]
    strict: bool,
    /// The folder of .wasm files [default: handlers]
    #[arg(long, value_name = "DIR")]
    handlers: Option<PathBuf>,
    /// Where the API listens; port 0 takes any free one [default: 127.0.0.1:3000]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Where the admin API listens [default: 127.0.0.1 and the next port]
    #[arg(long, value_name = "ADDR")]
    admin: Option<SocketAddr>,
    /// The folder for all that is kept: tables, mail, usage, users, versions, queued events, compiled code [default: .mayfly]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// Why a command ended without success; what there is to say has been said.
enum Failure {
    Running(anyhow::Error),
    Problems(Vec<Problem>),
    // Everything is printed already.
    Quiet,
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Running(error.into())
    }
}

/// What has no effect, for a person to read.
fn print_warnings(config: &Config) {
    for warning in &config.warnings {
        eprintln!("warning: {warning}");
    }
}

/// Runs the binary.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // A server tells what it does; a single command only what goes wrong.
    let level = match arguments.command {
        Command::Serve(_) => "info",
        Command::Invoke(_) => "info",
        _ => "warn",
    };
    if let Err(error) = telemetry::start(level, &sandbox::LOUD_LIBRARIES) {
        return report(Failure::Running(anyhow::anyhow!(error)), 2);
    }
    let outcome = match arguments.command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Routes(arguments) => routes::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Invoke(arguments) => invoke::run(&arguments),
        Command::Usage(arguments) => usage::run(&arguments),
        Command::Users(arguments) => users::run(arguments),
        Command::Token(arguments) => token::run(&arguments),
        Command::Render(arguments) => render::run(&arguments),
        Command::Cert(arguments) => cert::run(&arguments),
        Command::New(arguments) => new::run(&arguments),
        Command::Build(arguments) => build::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(failure, 1),
    }
}

fn report(failure: Failure, code: u8) -> ExitCode {
    match failure {
        Failure::Running(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(code)
        }
        Failure::Problems(problems) => {
            for problem in &problems {
                eprintln!("error: {problem}");
            }
            let s = if problems.len() == 1 { "" } else { "s" };
            eprintln!("{} problem{s} found", problems.len());
            ExitCode::from(2)
        }
        Failure::Quiet => ExitCode::from(code),
    }
}

impl ConfigArguments {
    fn source(&self, stage: Option<String>) -> anyhow::Result<Source> {
        let working_folder = std::env::current_dir()?;
        Ok(Source {
            file: self.config.clone().unwrap_or_else(|| PathBuf::from("gateway.toml")),
            required: self.config.is_some(),
            working_folder,
            overrides: Overrides {
                handlers: self.handlers.clone(),
                listen: self.listen,
                admin: self.admin,
                data: self.data.clone(),
                stage,
                openapi: self.openapi.clone(),
                strict: self.strict,
            },
        })
    }
}

/// A gateway that is loaded but not served.
struct Loaded {
    gateway: Gateway,
    problems: Vec<String>,
    loader: Loader,
}

/// Everything that a single command needs.
fn load(source: Source) -> Result<Loaded, Failure> {
    let mut loaded = begin(source)?;
    loaded.problems = loaded.loader.finish(&loaded.gateway);
    Ok(loaded)
}

/// Everything that comes before listening: code that is not in the cache is
/// being compiled then.
fn begin(source: Source) -> Result<Loaded, Failure> {
    let config = source.load().map_err(|invalid| Failure::Problems(invalid.problems))?;
    let services = Arc::new(Services::open(&config.server.data)?);
    services.create_tables(&config.tables)?;
    let Config { server, .. } = &config;
    let sandbox = Sandbox::new(&server.pools, &server.data, Arc::clone(&services))?;
    let sandbox = Arc::new(sandbox);
    let state = Arc::new(State::of(server)?);
    let user_pools = UserPools::open(&config.server.data, &config.user_pools)?;
    let lambda = Arc::new(Lambda::open(&config.server.data, Arc::clone(&sandbox))?);
    let mut loader = Loader::new(source, config, sandbox, services, state, user_pools, lambda);
    let (gateway, problems) = loader.first().map_err(Failure::Problems)?;
    Ok(Loaded { gateway, problems, loader })
}

/// A gateway that is loaded and not served, for whoever calls its pipeline.
///
/// # Errors
/// What the configuration has wrong, or what could not be opened.
pub fn gateway(source: Source) -> anyhow::Result<Gateway> {
    match load(source) {
        Ok(loaded) => Ok(loaded.gateway),
        Err(Failure::Running(error)) => Err(error),
        Err(Failure::Problems(problems)) => {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            anyhow::bail!("{}", problems.join("\n"))
        }
        Err(Failure::Quiet) => anyhow::bail!("it could not be loaded"),
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .thread_stack_size(threads::STACK_BYTES)
        .enable_all()
        .build()
}

/// Text that is given on the command line itself, or in a file after `@`.
fn text_or_file(argument: &str) -> anyhow::Result<Vec<u8>> {
    match argument.strip_prefix('@') {
        None => Ok(argument.as_bytes().to_vec()),
        Some(file) => {
            std::fs::read(file).map_err(|error| anyhow::anyhow!("cannot read {file}: {error}"))
        }
    }
}

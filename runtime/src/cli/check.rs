//! `mayfly check`.

use std::{io::Write as _, sync::Arc};

use super::{ConfigArguments, Failure, print_warnings};
use crate::{
    config::Problem,
    lambda::Lambda,
    reload::{Loader, names, unknown_functions},
    sandbox::Sandbox,
    services::Services,
    state::State,
    user_pool::UserPools,
};

pub fn run(arguments: &ConfigArguments) -> Result<(), Failure> {
    let source = arguments.source(None)?;
    let (config, mut problems) = match source.read() {
        Ok(config) => (config, Vec::new()),
        // What could be read is checked further, to report everything at once.
        Err(invalid) => (invalid.partial, invalid.problems),
    };
    print_warnings(&config);
    // Checking leaves nothing behind: tables and code go into a folder that ends.
    let scratch = tempfile::tempdir()?;
    let services = Arc::new(Services::open(scratch.path())?);
    if let Err(error) = services.create_tables(&config.tables) {
        problems.push(whole(config.file.clone().unwrap_or_default(), error.to_string()));
    }
    let sandbox = Sandbox::new(&config.server.pools, scratch.path(), Arc::clone(&services))?;
    let handlers = config.server.handlers.clone();
    let state = Arc::new(State::open(scratch.path())?);
    let pools = UserPools::default();
    let sandbox = Arc::new(sandbox);
    let lambda = Arc::new(Lambda::open(scratch.path(), Arc::clone(&sandbox))?);
    let mut loader = Loader::new(source, config.clone(), sandbox, services, state, pools, lambda);
    let functions = loader.functions(&config);
    problems.extend(unknown_functions(&config, &names(&functions)));
    for state in functions.values() {
        if let Some(problem) = state.problem() {
            problems.push(whole(handlers.clone(), problem.into_owned()));
        }
    }
    if !problems.is_empty() {
        return Err(Failure::Problems(problems));
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "ok: {} routes, {} functions", config.routes.len(), functions.len())?;
    Ok(())
}

fn whole(file: std::path::PathBuf, message: String) -> Problem {
    Problem { file, place: None, message, hint: None }
}

//! `mayfly usage`.

use std::{io::Write as _, path::PathBuf};

use serde_json::json;
use time::OffsetDateTime;

use super::{ConfigArguments, Failure, runtime};
use crate::{
    config::{Config, Problem},
    lambda::{FunctionUsage, used},
    sandbox::Usage,
    state::State,
    usage_plan::{self, usage},
};

#[derive(clap::Args)]
pub struct Arguments {
    /// Only this usage plan
    #[arg(long, value_name = "PLAN")]
    plan: Option<String>,
    /// Only this API key, by its name
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// What functions have used instead: invocations, time and memory
    #[arg(long, conflicts_with_all = ["plan", "key"])]
    functions: bool,
    /// Prints JSON; of API keys what GET /usage of the admin API answers
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArguments,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.functions {
        let config = read(arguments, |config| config.server.data.is_dir())?;
        return functions(&config, arguments.json);
    }
    let config = config(arguments)?;
    let state = State::of(&config.server)?;
    let chosen = (arguments.plan.as_deref(), arguments.key.as_deref());
    let today = OffsetDateTime::now_utc().date();
    let usages = runtime()?.block_on(usage(&config, &state, today, chosen))?;
    let mut out = std::io::stdout().lock();
    if arguments.json {
        writeln!(out, "{:#}", json!({ "items": usages }))?;
    } else {
        table(&mut out, &usages)?;
    }
    Ok(())
}

/// What functions have used since the data folder began.
fn functions(config: &Config, as_json: bool) -> Result<(), Failure> {
    let used = used(&config.server.data)?;
    let mut out = std::io::stdout().lock();
    let seconds = |of: &FunctionUsage| format!("{:.3}", of.gigabyte_seconds());
    if as_json {
        let items = used.iter().map(|of| {
            json!({
                "function": of.function,
                "invocations": of.usage.invocations,
                "errors": of.usage.errors,
                "throttles": of.usage.throttles,
                "billed_ms": of.usage.billed_ms,
                "gb_seconds": of.gigabyte_seconds(),
                "cpu_ms": of.usage.cpu_us as f64 / 1000.0,
            })
        });
        writeln!(out, "{:#}", json!({ "items": items.collect::<Vec<_>>() }))?;
        return Ok(());
    }
    let heads =
        ["FUNCTION", "INVOCATIONS", "ERRORS", "THROTTLES", "BILLED MS", "GB-SECONDS", "CPU MS"];
    let mut rows = vec![heads.map(str::to_owned)];
    rows.extend(used.iter().map(|of| {
        let Usage { invocations, errors, throttles, billed_ms, cpu_us, .. } = of.usage;
        let numbers = [invocations, errors, throttles, billed_ms].map(|number| number.to_string());
        let [invocations, errors, throttles, billed_ms] = numbers;
        let (name, cpu_ms) = (of.function.clone(), (cpu_us / 1000).to_string());
        [name, invocations, errors, throttles, billed_ms, seconds(of), cpu_ms]
    }));
    print(&mut out, &rows, 1)?;
    Ok(())
}

/// Rows in columns, of which those from `right` on are numbers.
fn print<const N: usize>(
    out: &mut impl std::io::Write,
    rows: &[[String; N]],
    right: usize,
) -> std::io::Result<()> {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    for row in rows {
        let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| {
            if column < right { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  "))?;
    }
    Ok(())
}

/// The configuration. What is wrong with it does not matter if what was read is
/// `enough`: whoever asks may not have the server's environment.
fn read(arguments: &Arguments, enough: impl Fn(&Config) -> bool) -> Result<Config, Failure> {
    match arguments.config.source(None)?.load() {
        Ok(config) => Ok(config),
        Err(invalid) if !enough(&invalid.partial) => Err(Failure::Problems(invalid.problems)),
        Err(invalid) => {
            for problem in &invalid.problems {
                eprintln!("warning: {problem}");
            }
            Ok(invalid.partial)
        }
    }
}

/// What a configuration says of usage plans.
fn config(arguments: &Arguments) -> Result<Config, Failure> {
    let config = read(arguments, |config| !config.usage_plans.is_empty())?;
    let plans: Vec<&str> = config.usage_plans.iter().map(|plan| plan.name.as_str()).collect();
    let keys = config.usage_plans.iter().flat_map(|plan| &plan.keys);
    let keys: Vec<&str> = keys.map(String::as_str).collect();
    let asked = [
        ("--plan", "usage plan", &arguments.plan, plans),
        ("--key", "API key of a usage plan", &arguments.key, keys),
    ];
    let unknown = asked.into_iter().filter_map(|(flag, what, asked, mut known)| {
        let asked = asked.as_deref().filter(|asked| !known.contains(asked))?;
        known.sort_unstable();
        known.dedup();
        Some(Problem {
            file: PathBuf::from("command line"),
            place: None,
            message: format!("{flag}: there is no {what} {asked:?}"),
            hint: Some(match known.is_empty() {
                true => "write [[usage_plan]] and [[api_key]]".to_owned(),
                false => format!("there are {}", known.join(", ")),
            }),
        })
    });
    let unknown: Vec<Problem> = unknown.collect();
    if unknown.is_empty() { Ok(config) } else { Err(Failure::Problems(unknown)) }
}

fn table(out: &mut impl std::io::Write, usages: &[usage_plan::Usage]) -> std::io::Result<()> {
    let number = |number: Option<u64>| number.map_or("-".to_owned(), |number| number.to_string());
    let mut rows = vec![["PLAN", "KEY", "PERIOD", "USED", "REMAINING", "LIMIT"].map(str::to_owned)];
    rows.extend(usages.iter().map(|usage| {
        [
            usage.plan.clone(),
            usage.key.clone(),
            format!("{} {}", usage.period, usage.start_date),
            usage.used.to_string(),
            number(usage.remaining),
            number(usage.limit),
        ]
    }));
    print(out, &rows, 3)
}

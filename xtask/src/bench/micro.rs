//! The micro-benchmarks: criterion's estimates, as ratios to what each group
//! calls its baseline.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::Result;
use crate::bench::Bench;
use crate::bench::stats::table;
use crate::step::{report, run as run_command};

/// Packages that have them, and where.
const PACKAGES: [(&str, &str); 2] = [("mayfly", "runtime"), ("mayfly-velocity", "velocity")];

/// Of each function: before measuring, and measuring. All of them take minutes.
const SECONDS: [&str; 4] = ["--warm-up-time", "0.5", "--measurement-time", "2"];

/// What a function of a group took.
#[derive(Debug, PartialEq)]
struct Estimate {
    group: String,
    function: String,
    /// Mean time, and the bounds of its confidence interval, in ns.
    mean: f64,
    low: f64,
    high: f64,
}

pub fn run(bench: &Bench<'_>, filters: &[String]) -> Result<String> {
    let results = bench.folder.join("criterion");
    if results.exists() {
        // What is no longer measured is no longer told.
        fs::remove_dir_all(&results)?;
    }
    for (package, folder) in PACKAGES {
        if !bench.host.root().join(folder).join("benches").is_dir() {
            report(&format!("{folder} has no benches"));
            continue;
        }
        let arguments = ["bench", "--package", package, "--bench", "*", "--"];
        let mut command = bench.host.cargo(&arguments);
        command.args(SECONDS).args(["--noplot", "--quiet"]).env("CRITERION_HOME", &results);
        if !filters.is_empty() {
            command.arg(filters.join("|"));
        }
        run_command(&mut command)?;
    }
    let mut estimates = Vec::new();
    if results.exists() {
        collect(&results, &mut estimates)?;
    }
    if estimates.is_empty() {
        return Err("no micro-benchmark was run".into());
    }
    estimates.sort_by(|a, b| (&a.group, &a.function).cmp(&(&b.group, &b.function)));
    Ok(rows(&estimates))
}

/// Finds what criterion has written, however deep.
fn collect(folder: &Path, estimates: &mut Vec<Estimate>) -> Result {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if !path.is_dir() {
            continue;
        }
        if path.ends_with("new") {
            let read = |name: &str| fs::read_to_string(path.join(name));
            estimates.push(estimate(&read("benchmark.json")?, &read("estimates.json")?)?);
        } else {
            collect(&path, estimates)?;
        }
    }
    Ok(())
}

fn estimate(benchmark: &str, estimates: &str) -> Result<Estimate> {
    let benchmark: Value = serde_json::from_str(benchmark)?;
    let mean = &serde_json::from_str::<Value>(estimates)?["mean"];
    let text = |name: &str| benchmark[name].as_str().unwrap_or_default().to_owned();
    let number =
        |value: &Value| value.as_f64().ok_or("criterion's estimates have no mean with its bounds");
    let function = [text("function_id"), text("value_str")];
    Ok(Estimate {
        group: text("group_id"),
        function: function
            .iter()
            .filter(|text| !text.is_empty())
            .cloned()
            .collect::<Vec<_>>()
            .join("/"),
        mean: number(&mean["point_estimate"])?,
        low: number(&mean["confidence_interval"]["lower_bound"])?,
        high: number(&mean["confidence_interval"]["upper_bound"])?,
    })
}

fn rows(estimates: &[Estimate]) -> String {
    let cells = |row: &Estimate| {
        let of_group = |other: &&Estimate| other.group == row.group;
        let is_baseline = |other: &&Estimate| other.function.starts_with("baseline");
        let base = estimates.iter().filter(of_group).find(is_baseline);
        let ratio = base.map_or_else(String::new, |base| format!("{:.2}", row.mean / base.mean));
        let bounds = format!("{} to {}", time(row.low), time(row.high));
        let name = format!("{}: {}", row.group, row.function);
        vec![name, time(row.mean), bounds, ratio]
    };
    let rows: Vec<Vec<String>> = estimates.iter().map(cells).collect();
    table(&["", "mean", "95 % of means", "of the baseline"], &rows)
}

fn time(ns: f64) -> String {
    match ns {
        ..1e3 => format!("{ns:.0} ns"),
        ..1e6 => format!("{:.2} µs", ns / 1e3),
        _ => format!("{:.2} ms", ns / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(group: &str, function: &str, mean: f64) -> Estimate {
        let benchmark = format!(r#"{{"group_id":"{group}","function_id":"{function}"}}"#);
        let interval = format!(r#"{{"lower_bound":{},"upper_bound":{}}}"#, mean * 0.9, mean * 1.1);
        let mean = format!(r#"{{"point_estimate":{mean},"confidence_interval":{interval}}}"#);
        estimate(&benchmark, &format!(r#"{{"mean":{mean}}}"#)).expect("an estimate")
    }

    #[test]
    fn ratios_are_to_the_baseline_of_the_group() {
        let text =
            rows(&[of("a", "baseline: copy", 100.0), of("a", "render", 250.0), of("b", "x", 2e6)]);
        assert!(text.contains("| a: baseline: copy | 100 ns | 90 ns to 110 ns | 1.00 |"), "{text}");
        assert!(text.contains("| a: render | 250 ns | 225 ns to 275 ns | 2.50 |"), "{text}");
        assert!(text.contains("| b: x | 2.00 ms | 1.80 ms to 2.20 ms |  |"), "{text}");
    }

    #[test]
    fn estimates_without_a_mean_are_an_error() {
        assert!(estimate("{}", "{}").is_err());
        assert!(estimate("nothing", "{}").is_err());
    }

    #[test]
    fn results_are_found_where_criterion_puts_them() {
        let folder = std::env::temp_dir().join(format!("mayfly-micro-{}", std::process::id()));
        let new = folder.join("group/function/8/new");
        fs::create_dir_all(&new).expect("a folder");
        let write = |name: &str, text: &str| fs::write(new.join(name), text).expect("a file");
        write("benchmark.json", r#"{"group_id":"g","function_id":"f","value_str":"8"}"#);
        write(
            "estimates.json",
            r#"{"mean":{"point_estimate":1.0,"confidence_interval":{"lower_bound":0.5,"upper_bound":1.5}}}"#,
        );
        let mut found = Vec::new();
        collect(&folder, &mut found).expect("it is read");
        fs::remove_dir_all(&folder).expect("it was there");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].function, "f/8");
    }
}

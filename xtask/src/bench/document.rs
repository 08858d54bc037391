//! `docs/benchmarks.md`: text by people, with a place for each part's tables.

use std::path::Path;
use std::process::Command;

use crate::Result;

/// The document with what was measured now in the place of that part.
pub fn replaced(document: &str, part: &str, measured: &str) -> Result<String> {
    let begin = format!("<!-- measured: {part} -->\n");
    let end = format!("<!-- /measured: {part} -->");
    let place = document
        .split_once(&begin)
        .and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    let (before, after) =
        place.ok_or_else(|| format!("the document has no {begin:?} with {end:?} after it"))?;
    Ok(format!("{before}{begin}\n{}\n\n{end}{after}", measured.trim()))
}

/// On what, and with what, it was measured. `wasmtime` is there to be compared
/// with.
pub fn machine(wasmtime: Option<&Path>) -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("", |text| text.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let versions = [
        first_line("uname", "-sr"),
        first_line("rustc", "--version"),
        first_line("h2load", "--version"),
        first_line("nginx", "-v"),
        wasmtime.and_then(Path::to_str).and_then(|program| first_line(program, "--version")),
        first_line("node", "--version").map(|version| format!("node {version}")),
        first_line("java", "--version"),
    ];
    let versions: Vec<String> = versions.into_iter().flatten().collect();
    format!("{model}, {cores} cores; {}.", versions.join("; "))
}

fn first_line(program: &str, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).output().ok()?;
    // nginx says it on standard error.
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    Some(String::from_utf8_lossy(&text).lines().next()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "head\n<!-- measured: a -->\nold\n<!-- /measured: a -->\nmiddle\n\
        <!-- measured: b -->\n<!-- /measured: b -->\ntail\n";

    #[test]
    fn what_was_measured_takes_the_place_of_what_was() {
        let new = replaced(OLD, "a", "new\n").expect("a place");
        assert!(new.starts_with("head\n<!-- measured: a -->\n\nnew\n\n<!-- /measured: a -->\nmid"));
        assert!(new.ends_with("<!-- measured: b -->\n<!-- /measured: b -->\ntail\n"), "{new}");
        assert_eq!(replaced(&new, "a", "new").expect("a place"), new);
        let both = replaced(&new, "b", "of b").expect("a place");
        assert!(both.contains("new") && both.contains("\nof b\n"), "{both}");
    }

    #[test]
    fn what_has_no_place_is_an_error() {
        let error = replaced(OLD, "c", "new").expect_err("no place");
        assert!(error.to_string().contains("measured: c"), "{error}");
    }
}

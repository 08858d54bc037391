//! The rules, each with its reason.

use std::collections::BTreeSet;

use super::{File, Problem};

type Check = fn(&[File]) -> Vec<Problem>;

/// All of them.
pub const ALL: [Check; 7] = [
    no_binaries,
    no_long_files,
    no_machine_paths,
    no_loose_ends,
    guests_are_used,
    dependencies_have_reasons,
    licences_are_here,
];

/// A source file longer than this does too much, and no reviewer reads it.
const LINES_MAX: usize = 1000;

/// Written in halves, or this file would break its own rule.
const LOOSE_ENDS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

/// Where people's folders are; the same remark applies.
const MACHINE_PATHS: [&str; 3] =
    [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/")];

/// Binaries cannot be reviewed, and what is built is stale sooner or later.
fn no_binaries(files: &[File]) -> Vec<Problem> {
    let reason = |file: &File| {
        if file.path.ends_with(".wasm") {
            Some("a built guest is not kept here; `cargo xtask handlers` and `guests` build them")
        } else if file.bytes.contains(&0) {
            Some("a binary file cannot be reviewed; make it from text when it is needed")
        } else {
            None
        }
    };
    files.iter().filter_map(|file| Some(Problem::of(&file.path, reason(file)?))).collect()
}

fn no_long_files(files: &[File]) -> Vec<Problem> {
    let sources = files.iter().filter(|file| file.path.ends_with(".rs"));
    let count = |file: &File| file.bytes.iter().filter(|&&byte| byte == b'\n').count();
    sources
        .filter(|file| count(file) > LINES_MAX)
        .map(|file| {
            let reason = format!("{} lines, more than {LINES_MAX}; split it", count(file));
            Problem::of(&file.path, reason)
        })
        .collect()
}

/// A path of one person's machine works on no other.
fn no_machine_paths(files: &[File]) -> Vec<Problem> {
    // `/a/home/`, `x/home/` and `{}/home/` are other paths.
    let is_boundary = |before: char| !before.is_alphanumeric() && !"/._-}>*".contains(before);
    find_in_lines(
        files,
        &MACHINE_PATHS,
        is_boundary,
        |_| true,
        |path| format!("a path of some machine ({path})"),
    )
}

/// What is left to do is an issue, where it can be found and discussed.
fn no_loose_ends(files: &[File]) -> Vec<Problem> {
    let is_boundary = |beside: char| !beside.is_alphanumeric() && beside != '_';
    find_in_lines(files, &LOOSE_ENDS, is_boundary, is_boundary, |word| {
        format!("{word}: do it, or file an issue")
    })
}

/// Every line of text that holds one of `words` between such characters.
fn find_in_lines(
    files: &[File],
    words: &[&str],
    before: impl Fn(char) -> bool,
    after: impl Fn(char) -> bool,
    reason: impl Fn(&str) -> String,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in files.iter().filter(|file| !is_generated(&file.path)) {
        let lines = file.text().unwrap_or_default().lines();
        for (line, number) in lines.zip(1..) {
            let stands_in = |word: &&&str| {
                line.match_indices(**word).any(|(start, _)| {
                    line[..start].chars().next_back().is_none_or(&before)
                        && line[start + word.len()..].chars().next().is_none_or(&after)
                })
            };
            let found = words.iter().filter(stands_in);
            problems.extend(found.map(|word| Problem::at(&file.path, number, reason(word))));
        }
    }
    problems
}

fn is_generated(path: &str) -> bool {
    path.ends_with(".lock") || path.ends_with("-lock.json")
}

/// A guest that no test loads is built for nothing.
fn guests_are_used(files: &[File]) -> Vec<Problem> {
    const GUESTS: &str = "tests/guests/";
    let of_tests = |file: &&File| file.path.starts_with("tests/") && file.path.ends_with(".rs");
    let tests: String = files
        .iter()
        .filter(of_tests)
        .filter(|file| !file.path.starts_with(GUESTS))
        .filter_map(File::text)
        .collect();
    let names = files.iter().filter_map(|file| {
        let name = file.path.strip_prefix(GUESTS)?.strip_suffix("/Cargo.toml")?;
        (!name.contains('/')).then_some(name)
    });
    names
        // In quotes: as a bare word it could be anything.
        .filter(|name| {
            !tests.contains(&format!("\"{name}\"")) && !tests.contains(&format!("{name}.wasm"))
        })
        .map(|name| {
            Problem::of(&format!("{GUESTS}{name}"), "no test names this guest; use it or remove it")
        })
        .collect()
}

/// Whoever adds a dependency says why, where the next reader looks for it.
fn dependencies_have_reasons(files: &[File]) -> Vec<Problem> {
    const REASONS: &str = "ARCHITECTURE.md";
    let manifest = file_text(files, "Cargo.toml").unwrap_or_default();
    let dependencies = workspace_dependencies(manifest);
    let Some(reasons) = file_text(files, REASONS) else {
        return vec![Problem::of(REASONS, "it is missing; it gives the reason of each dependency")];
    };
    dependencies
        .into_iter()
        .filter(|(name, _)| !reasons.contains(&format!("`{name}`")))
        .map(|(name, line)| {
            let reason = format!("{REASONS} has no line with `{name}` and the reason for it");
            Problem::at("Cargo.toml", line, reason)
        })
        .collect()
}

/// Names and lines of `[workspace.dependencies]`, without our own crates.
///
/// It reads the file as we write it, an entry per line.
fn workspace_dependencies(manifest: &str) -> Vec<(&str, usize)> {
    let mut inside = false;
    let mut dependencies = Vec::new();
    for (line, number) in manifest.lines().zip(1..) {
        if line.starts_with('[') {
            inside = line.trim_end() == "[workspace.dependencies]";
            continue;
        }
        let Some((name, value)) = line.split_once('=').filter(|_| inside) else { continue };
        let is_entry = !line.starts_with([' ', '\t', '#', '"', ']']);
        if is_entry && !value.contains("path =") {
            dependencies.push((name.trim().trim_end_matches(".workspace"), number));
        }
    }
    dependencies
}

/// A licence that `Cargo.toml` offers has to be there to read.
fn licences_are_here(files: &[File]) -> Vec<Problem> {
    const TEXTS: [(&str, &str); 2] = [("MIT", "MIT License"), ("Apache-2.0", "Apache License")];
    let manifest = file_text(files, "Cargo.toml").unwrap_or_default();
    let Some((line, number)) =
        manifest.lines().zip(1..).find(|(line, _)| line.starts_with("license"))
    else {
        return vec![Problem::of("Cargo.toml", "it names no licence")];
    };
    let offered: BTreeSet<&str> = line.split(['"', ' ']).collect();
    let texts: Vec<&str> = files
        .iter()
        .filter(|file| file.path.starts_with("LICENSE"))
        .filter_map(File::text)
        .collect();
    TEXTS
        .iter()
        .filter(|(id, title)| {
            offered.contains(id) && !texts.iter().any(|text| text.contains(title))
        })
        .map(|(id, _)| {
            Problem::at("Cargo.toml", number, format!("no LICENSE file has the text of {id}"))
        })
        .collect()
}

fn file_text<'a>(files: &'a [File], path: &str) -> Option<&'a str> {
    files.iter().find(|file| file.path == path)?.text()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.to_owned(), bytes: text.as_bytes().to_vec() }
    }

    fn said(problems: &[Problem]) -> Vec<String> {
        problems.iter().map(Problem::to_string).collect()
    }

    #[test]
    fn binaries_are_found_by_their_bytes() {
        let files = [file("a.md", "text"), file("logo", "\0"), file("handlers/a.wasm", "text")];
        let said = said(&no_binaries(&files));
        assert_eq!(said.len(), 2);
        assert!(said[0].starts_with("logo: a binary file"), "{said:?}");
        assert!(said[1].starts_with("handlers/a.wasm: a built guest"), "{said:?}");
    }

    #[test]
    fn only_sources_have_a_longest_length() {
        let long = "\n".repeat(LINES_MAX + 1);
        let files =
            [file("a.rs", &long), file("b.rs", &"\n".repeat(LINES_MAX)), file("c.json", &long)];
        assert_eq!(said(&no_long_files(&files)), ["a.rs: 1001 lines, more than 1000; split it"]);
    }

    #[test]
    fn a_path_is_one_only_at_its_start() {
        let home = MACHINE_PATHS[0];
        let text = format!("fine\nlet a = \"{home}me\";\nGET https://a.b{home}x\n{home}you");
        let said = said(&no_machine_paths(&[file("a.rs", &text)]));
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].starts_with("a.rs:2: a path"), "{said:?}");
        assert!(said[1].starts_with("a.rs:4: a path"), "{said:?}");
    }

    #[test]
    fn loose_ends_are_whole_words() {
        let word = LOOSE_ENDS[0];
        let text = format!("// {word}: later\nlet MY_{word} = 1; {word}S\n{word}");
        let said = said(&no_loose_ends(&[file("a.rs", &text), file("Cargo.lock", word)]));
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].starts_with("a.rs:1: "), "{said:?}");
        assert!(said[1].starts_with("a.rs:3: "), "{said:?}");
    }

    #[test]
    fn a_guest_is_used_where_its_name_is_quoted() {
        let files = [
            file("tests/guests/trap/Cargo.toml", ""),
            file("tests/guests/trap/src/lib.rs", "\"spin\""),
            file("tests/guests/spin/Cargo.toml", ""),
            file("tests/tests/e2e/sandbox.rs", "fixture(\"trap\") // how long may it spin?"),
        ];
        let said = said(&guests_are_used(&files));
        assert_eq!(said, ["tests/guests/spin: no test names this guest; use it or remove it"]);
    }

    const MANIFEST: &str = "[workspace.package]\nlicense = \"MIT OR Apache-2.0\"\n\
        [workspace.dependencies]\nmayfly = { path = \"runtime\" }\nhttp = \"1\"\n\
        wasmtime = { version = \"48\", features = [\n    \"async\",\n] }\n[profile.x]\nlto = true\n";

    #[test]
    fn a_dependency_needs_a_reason() {
        assert_eq!(workspace_dependencies(MANIFEST), [("http", 5), ("wasmtime", 6)]);
        let missing = dependencies_have_reasons(&[file("Cargo.toml", MANIFEST)]);
        assert_eq!(missing.len(), 1);
        let reasons = file("ARCHITECTURE.md", "- `wasmtime`: the sandbox");
        let said = said(&dependencies_have_reasons(&[file("Cargo.toml", MANIFEST), reasons]));
        assert_eq!(said.len(), 1);
        assert!(said[0].starts_with("Cargo.toml:5: ") && said[0].contains("`http`"), "{said:?}");
    }

    #[test]
    fn every_licence_on_offer_has_its_text() {
        let mut files = vec![file("Cargo.toml", MANIFEST), file("LICENSE-MIT", "MIT License\n")];
        assert_eq!(
            said(&licences_are_here(&files)),
            ["Cargo.toml:2: no LICENSE file has the text of Apache-2.0"]
        );
        files.push(file("LICENSE-APACHE", "  Apache License\n"));
        assert_eq!(licences_are_here(&files), []);
    }
}

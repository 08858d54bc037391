//! A reader over a tree with places that goes on after a problem.
//!
//! A serde raw struct would stop at the first problem and know no columns.
//! Here every taker records what is wrong, gives a stand-in and goes on, so
//! that one pass over the file reports everything in it.

use std::{
    borrow::Cow,
    cell::RefCell,
    ffi::OsStr,
    fs,
    io::{self, Read as _},
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    Place, Problem, Secret, absolute,
    keys::{FROM_FILE, Section, closest, hint_for_unknown},
    sections::environment_variable,
    tree::{Data, Entries, Node},
};

/// The longest file that a configuration may name, in bytes.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Nobody reads more problems of one file, nor more warnings.
const PROBLEMS_MAX: usize = 1000;

/// The text that is read, and what is wrong with it so far.
pub struct Source<'t> {
    file: PathBuf,
    text: &'t str,
    // What names of other files start from.
    folder: PathBuf,
    files: RefCell<Vec<PathBuf>>,
    // Where which stage variable is read.
    stage_variables: RefCell<Vec<(usize, String)>>,
    line_starts: Vec<usize>,
    problems: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<Problem>>,
}

/// A value, and where it stands.
#[derive(Clone)]
pub struct Value<'r> {
    pub source: &'r Source<'r>,
    /// Its keys from the root on, joined by dots.
    pub path: String,
    /// Where it begins, in bytes.
    pub at: usize,
    pub value: &'r Data,
}

/// A string, and where it stands.
#[derive(Clone, Copy)]
pub struct Text<'r> {
    pub text: &'r str,
    pub at: usize,
}

/// An entry of a table whose keys are names that the user chose.
pub struct Entry<'r> {
    pub name: Text<'r>,
    pub value: Value<'r>,
}

/// A table with known keys. One that the file lacks reads as an empty one.
pub struct Table<'r> {
    pub source: &'r Source<'r>,
    pub path: String,
    pub at: usize,
    section: &'static Section,
    entries: Option<&'r Entries>,
}

impl<'t> Source<'t> {
    pub fn new(file: &Path, text: &'t str, folder: &Path) -> Self {
        let line_ends = text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            file: file.to_owned(),
            text,
            folder: folder.to_owned(),
            files: RefCell::default(),
            stage_variables: RefCell::default(),
            line_starts: std::iter::once(0).chain(line_ends).collect(),
            problems: RefCell::default(),
            warnings: RefCell::default(),
        }
    }

    /// Line and column of an offset, from 1; a column is a character.
    pub fn place(&self, at: usize) -> (usize, usize) {
        let line = self.line_starts.partition_point(|&start| start <= at);
        let start = self.line_starts[line - 1];
        let before = self.text.get(start..at).unwrap_or_default();
        (line, before.chars().count() + 1)
    }

    /// Records a problem; an empty hint is none.
    pub fn problem(&self, at: usize, message: impl Into<String>, hint: impl Into<String>) {
        let place = Some(self.place(at));
        self.record(self.file.clone(), place, message.into(), hint.into());
    }

    /// Records a problem with what the command line says.
    pub fn command_line_problem(&self, message: impl Into<String>, hint: impl Into<String>) {
        let command_line = PathBuf::from("command line");
        self.record(command_line, None, message.into(), hint.into());
    }

    /// Records what is not wrong but has no effect; an empty hint is none.
    pub fn warning(&self, at: usize, message: impl Into<String>, hint: impl Into<String>) {
        let hint = Some(hint.into()).filter(|hint| !hint.is_empty());
        let place = Some(self.place(at));
        let warning = Problem { file: self.file.clone(), place, message: message.into(), hint };
        let mut warnings = self.warnings.borrow_mut();
        if warnings.len() < PROBLEMS_MAX && !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }

    /// All warnings in the order of the file.
    pub fn warnings(&self) -> Vec<Problem> {
        let mut warnings = self.warnings.borrow().clone();
        warnings.sort_by_key(|warning| warning.place);
        warnings
    }

    /// Where an offset is, with the file.
    pub fn located(&self, at: usize) -> Place {
        let (line, column) = self.place(at);
        Place { file: self.file.clone(), line, column }
    }

    fn record(&self, file: PathBuf, place: Option<(usize, usize)>, message: String, hint: String) {
        let hint = Some(hint).filter(|hint| !hint.is_empty());
        let problem = Problem { file, place, message, hint };
        let mut problems = self.problems.borrow_mut();
        // The parser reports some errors twice.
        if problems.len() < PROBLEMS_MAX && !problems.contains(&problem) {
            problems.push(problem);
        }
    }

    /// Remembers that a stage variable is read there.
    pub fn reads_stage_variable(&self, at: usize, name: &str) {
        self.stage_variables.borrow_mut().push((at, name.to_owned()));
    }

    /// Records a problem with each stage variable that is read and that no
    /// stage has.
    pub fn check_stage_variables(&self, is_known: impl Fn(&str) -> bool) {
        self.unknown_stage_variables(is_known, |at, message, hint| self.problem(at, message, hint));
    }

    /// The same as a warning: a definition has no stages of its own.
    pub fn warn_of_stage_variables(&self, is_known: impl Fn(&str) -> bool) {
        self.unknown_stage_variables(is_known, |at, message, hint| self.warning(at, message, hint));
    }

    fn unknown_stage_variables(
        &self,
        is_known: impl Fn(&str) -> bool,
        report: impl Fn(usize, String, String),
    ) {
        for (at, name) in self.stage_variables.borrow().iter().filter(|(_, name)| !is_known(name)) {
            let message = format!("no stage has the variable {name:?}");
            let hint = format!("write variables = {{ {name} = \"value\" }} below [stages.NAME]");
            report(*at, message, hint);
        }
    }

    /// The name of the configuration's own file.
    pub fn file_name(&self) -> Option<&OsStr> {
        self.file.file_name()
    }

    /// The other files that have been read, or looked for.
    pub fn files(&self) -> Vec<PathBuf> {
        self.files.borrow().clone()
    }

    /// The lines that have a problem so far.
    pub fn lines_with_problems(&self) -> Vec<usize> {
        let problems = self.problems.borrow();
        let lines = problems.iter().filter_map(|problem| problem.place);
        lines.map(|(line, _)| line).collect()
    }

    /// All problems in the order of the file. On lines that could not be
    /// read only the first counts: the others come from the parser's guess.
    pub fn into_problems(self, unreadable: &[usize]) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        let mut seen = Vec::new();
        problems.retain(|problem| match problem.place {
            Some((line, _)) if unreadable.contains(&line) => {
                let first = !seen.contains(&line);
                seen.push(line);
                first
            }
            _ => true,
        });
        problems.sort_by_key(|problem| problem.place);
        problems
    }
}

impl<'r> Value<'r> {
    pub fn new(source: &'r Source<'r>, path: String, node: &'r Node) -> Self {
        Self { source, path, at: node.at, value: &node.data }
    }

    pub fn problem(&self, message: impl Into<String>, hint: impl Into<String>) {
        self.source.problem(self.at, message, hint);
    }

    /// Records that the value's type is not `wanted`.
    pub fn mistyped(&self, wanted: &str, hint: impl Into<String>) {
        self.problem(format!("{} is {}, not {wanted}", self.path, self.value.kind()), hint);
    }

    pub fn string(&self) -> Option<Text<'r>> {
        let hint = match self.value {
            Data::String(text) | Data::Verbatim(text) => {
                return Some(Text { text, at: self.at });
            }
            Data::Integer(number) => format!("write it in quotes: \"{}\"", number.text),
            Data::Float(number) => format!("write it in quotes: \"{number}\""),
            Data::Boolean(value) => format!("write it in quotes: \"{value}\""),
            _ => String::new(),
        };
        self.mistyped("a string", hint);
        None
    }

    /// The text of the file that `name` names.
    pub fn file(&self, name: Text<'_>) -> Option<String> {
        let path = absolute(&self.source.folder, Path::new(name.text));
        let text = read_text(&path, FILE_BYTES_MAX);
        let mut files = self.source.files.borrow_mut();
        if !files.contains(&path) {
            files.push(path);
        }
        match text {
            Ok(text) => Some(text),
            Err(error) => {
                let message = format!("{} cannot be read: {error}", name.text);
                let hint = "names of files start from the configuration's folder";
                self.source.problem(name.at, message, hint);
                None
            }
        }
    }

    /// The same for a file that nobody else should be able to read.
    pub fn secret_file(&self, name: Text<'_>) -> Option<String> {
        let text = self.file(name)?;
        if is_open(&absolute(&self.source.folder, Path::new(name.text))) {
            let message = format!("{}: others can read {}", self.path, name.text);
            self.source.warning(name.at, message, format!("run chmod 600 {}", name.text));
        }
        Some(text)
    }

    /// A string, or `{ file = "FILE" }` for the text of a file; with what to
    /// call it when something is wrong with it.
    pub fn text_or_file(&self) -> Option<(Cow<'r, str>, String)> {
        if !matches!(self.value, Data::Table(_)) {
            return self.string().map(|text| (Cow::Borrowed(text.text), self.path.clone()));
        }
        let table = self.table(&FROM_FILE)?;
        match table.string("file") {
            Some(name) => {
                let text = self.file(name)?;
                Some((Cow::Owned(text), format!("{}: {}", self.path, name.text)))
            }
            None => {
                if table.take("file").is_none() {
                    self.problem(
                        format!("{} names no file", self.path),
                        "write { file = \"FILE\" }",
                    );
                }
                None
            }
        }
    }

    /// An integer. One that is out of range counts as the nearest in range,
    /// so that what depends on it is not reported as well.
    pub fn integer(&self, range: RangeInclusive<u64>, hint: &str) -> Option<u64> {
        let number = match self.value {
            Data::Integer(number) => number,
            Data::String(text) if text.parse::<i64>().is_ok() => {
                self.mistyped("an integer", format!("write {text} without quotes"));
                return None;
            }
            _ => {
                self.mistyped("an integer", "");
                return None;
            }
        };
        let (min, max) = range.into_inner();
        if !(i128::from(min)..=i128::from(max)).contains(&number.value) {
            let message = format!("{} is {}, not within {min} to {max}", self.path, number.text);
            self.problem(message, hint);
        }
        Some(u64::try_from(number.value.max(0)).unwrap_or(max).clamp(min, max))
    }

    /// A number, whole or not.
    pub fn number(&self, range: RangeInclusive<f64>) -> Option<f64> {
        let number = match self.value {
            Data::Integer(number) => number.text.parse().ok(),
            Data::Float(text) => text.replace('_', "").parse().ok(),
            _ => None,
        };
        let Some(number) = number else {
            self.mistyped("a number", "");
            return None;
        };
        if range.contains(&number) {
            return Some(number);
        }
        let (min, max) = range.into_inner();
        self.problem(format!("{} is {number}, not within {min} to {max}", self.path), "");
        None
    }

    pub fn boolean(&self) -> Option<bool> {
        let hint = match self.value {
            Data::Boolean(value) => return Some(*value),
            Data::String(text) if matches!(text.as_str(), "true" | "false") => {
                format!("write {text} without quotes")
            }
            _ => String::new(),
        };
        self.mistyped("a boolean", hint);
        None
    }

    pub fn array(&self) -> Option<Vec<Value<'r>>> {
        let Data::Array(items) = self.value else {
            let hint = match self.value {
                Data::String(text) => format!("write [{text:?}]"),
                _ => String::new(),
            };
            self.mistyped("an array", hint);
            return None;
        };
        let values = items.iter().map(|item| Value::new(self.source, self.path.clone(), item));
        Some(values.collect())
    }

    /// An array of strings; items of other types are reported and left out.
    pub fn strings(&self) -> Option<Vec<Text<'r>>> {
        let items = self.array()?;
        Some(items.iter().filter_map(Value::string).collect())
    }

    /// A table with known keys.
    pub fn table(&self, section: &'static Section) -> Option<Table<'r>> {
        let Data::Table(entries) = self.value else {
            self.mistyped("a table", "");
            return None;
        };
        let table = Table {
            source: self.source,
            path: self.path.clone(),
            at: self.at,
            section,
            entries: Some(entries),
        };
        table.report_unknown_keys();
        Some(table)
    }

    /// A table whose keys are names, each with a value of its own.
    pub fn entries(&self, hint: &str) -> Option<Vec<Entry<'r>>> {
        let Data::Table(entries) = self.value else {
            self.mistyped("a table", hint);
            return None;
        };
        let entries = entries.iter().map(|(name, member)| Entry {
            name: Text { text: name, at: member.at },
            value: Value::new(self.source, format!("{}.{name}", self.path), &member.node),
        });
        Some(entries.collect())
    }
}

impl<'r> Table<'r> {
    /// The whole document.
    pub fn root(source: &'r Source<'r>, section: &'static Section, document: &'r Entries) -> Self {
        let table = Self { source, path: String::new(), at: 0, section, entries: Some(document) };
        table.report_unknown_keys();
        table
    }

    fn report_unknown_keys(&self) {
        let place = match self.path.as_str() {
            "" => "at the top level".to_owned(),
            path => format!("in {path}"),
        };
        for (name, member) in self.entries.into_iter().flatten() {
            if !self.section.keys.contains(&name.as_str()) {
                let message = format!("unknown key {name:?} {place}");
                let hint = hint_for_unknown(self.section, name);
                self.source.problem(member.at, message, hint);
            }
        }
    }

    /// Where a key that the table has is written.
    pub fn key_at(&self, key: &str) -> usize {
        let member = self.entries.and_then(|entries| entries.get(key));
        member.map_or(self.at, |member| member.at)
    }

    pub fn take(&self, key: &'static str) -> Option<Value<'r>> {
        debug_assert!(self.section.keys.contains(&key), "{key} is a listed key");
        let member = self.entries?.get(key)?;
        let path = match self.path.as_str() {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        };
        Some(Value::new(self.source, path, &member.node))
    }

    pub fn string(&self, key: &'static str) -> Option<Text<'r>> {
        self.take(key)?.string()
    }

    /// A secret as it is written, or under `key_env` the name of the variable
    /// of the gateway's own environment that has it. No message repeats it.
    pub fn secret(&self, key: &'static str, key_env: &'static str) -> Option<Secret> {
        let (own, variable) = (self.take(key), self.take(key_env));
        if let (Some(_), Some(second)) = (&own, &variable) {
            let message = format!("{} has both {key} and {key_env}", self.path);
            second.problem(message, "keep one of them");
        }
        let (value, secret) = match (own, variable) {
            (Some(own), _) => {
                let Some(text) = own.value.text() else {
                    // What it is instead may be the secret without its quotes.
                    own.problem(format!("{} is not a string", own.path), "write it in quotes");
                    return None;
                };
                (own, text.to_owned())
            }
            (None, Some(variable)) => {
                let text = environment_variable(&variable, variable.string()?)?;
                (variable, text)
            }
            (None, None) => return None,
        };
        if secret.is_empty() {
            value.problem(format!("{} is empty", value.path), "a secret has to be one");
            return None;
        }
        Some(Secret::new(secret))
    }

    pub fn boolean(&self, key: &'static str, default: bool) -> bool {
        let given = self.take(key).and_then(|value| value.boolean());
        given.unwrap_or(default)
    }

    pub fn integer<T: TryFrom<u64>>(
        &self,
        key: &'static str,
        range: RangeInclusive<u64>,
        default: T,
    ) -> T {
        self.integer_or(key, range, "", default)
    }

    /// An integer whose range needs explaining.
    pub fn integer_or<T: TryFrom<u64>>(
        &self,
        key: &'static str,
        range: RangeInclusive<u64>,
        hint: &str,
        default: T,
    ) -> T {
        let given = self.take(key).and_then(|value| value.integer(range, hint));
        given.and_then(|value| T::try_from(value).ok()).unwrap_or(default)
    }

    pub fn milliseconds(
        &self,
        key: &'static str,
        range: RangeInclusive<u64>,
        hint: &str,
        default: Duration,
    ) -> Duration {
        let given = self.take(key).and_then(|value| value.integer(range, hint));
        given.map_or(default, Duration::from_millis)
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&self, key: &'static str, choices: &[(&str, T)]) -> Option<T> {
        let value = self.take(key)?;
        choice(&value, value.string()?, choices)
    }

    /// A table below this one; an empty one where there is none.
    pub fn table(&self, key: &'static str, section: &'static Section) -> Table<'r> {
        let given = self.take(key).and_then(|value| value.table(section));
        given.unwrap_or_else(|| Table {
            source: self.source,
            path: key.to_owned(),
            at: self.at,
            section,
            entries: None,
        })
    }

    /// The tables of a list, `[[KEY]]`; none where the key is missing.
    pub fn list(&self, key: &'static str, section: &'static Section) -> Vec<Table<'r>> {
        let Some(given) = self.take(key) else { return Vec::new() };
        if matches!(given.value, Data::Table(_)) {
            let path = &given.path;
            given.problem(
                format!("[{path}] is one table"),
                format!("it is a list: write [[{path}]]"),
            );
            return Vec::new();
        }
        let items = given.array().unwrap_or_default();
        items.iter().filter_map(|item| item.table(section)).collect()
    }

    /// A table of named things; none where the key is missing.
    pub fn entries(&self, key: &'static str, hint: &str) -> Vec<Entry<'r>> {
        let given = self.take(key).and_then(|value| value.entries(hint));
        given.unwrap_or_default()
    }
}

/// What `text` stands for among `choices`.
pub fn choice<T: Copy>(value: &Value<'_>, text: Text<'_>, choices: &[(&str, T)]) -> Option<T> {
    let found = choices.iter().find(|(word, _)| *word == text.text);
    if found.is_none() {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let hint = match closest(text.text, &words) {
            Some(near) => format!("did you mean {near:?}?"),
            None => {
                let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
                format!("write {}", quoted.join(" or "))
            }
        };
        let message = format!("{} cannot be {:?}", value.path, text.text);
        value.source.problem(text.at, message, hint);
    }
    found.map(|(_, meaning)| *meaning)
}

/// A file of at most `bytes_max` bytes, in UTF-8.
pub fn read_text(file: &Path, bytes_max: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    fs::File::open(file)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(io::Error::other(format!("it is longer than {bytes_max} bytes")));
    }
    String::from_utf8(bytes)
        .map_err(|error| io::Error::other(format!("it is not UTF-8: {}", error.utf8_error())))
}

/// Whether others than its owner can read a file.
#[cfg(unix)]
fn is_open(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(file).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn is_open(_: &Path) -> bool {
    false
}

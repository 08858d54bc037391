//! `mayfly render`.

use std::{
    collections::BTreeMap,
    io::{IsTerminal as _, Read as _, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use mayfly_velocity::Value;
use serde::Deserialize;
use serde_json::{Map, json};

use super::{Failure, text_or_file};
use crate::mapping::{MappingTemplate, Variables};

#[derive(clap::Args)]
pub struct Arguments {
    /// The template; - is standard input
    #[arg(value_name = "FILE", required_unless_present = "cases")]
    template: Option<PathBuf>,
    /// Variables that are set before the template: a JSON object, or @FILE
    #[arg(long, value_name = "JSON", conflicts_with = "cases")]
    vars: Option<String>,
    /// The request: {"body", "path", "query", "headers"} as JSON, or @FILE
    #[arg(long, value_name = "JSON", conflicts_with = "cases")]
    request: Option<String>,
    /// Renders each case of a JSON array and prints a JSON line for each
    #[arg(long, value_name = "FILE", conflicts_with = "template")]
    cases: Option<PathBuf>,
}

/// One case of `--cases`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Case {
    name: serde_json::Value,
    template: String,
    #[serde(default)]
    vars: Map<String, serde_json::Value>,
    #[serde(default)]
    request: Request,
    #[serde(default)]
    stage_variables: Map<String, serde_json::Value>,
    #[serde(default)]
    context: Map<String, serde_json::Value>,
}

/// What `$input` reads.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Request {
    /// Text, or JSON that is the text.
    #[serde(default)]
    body: serde_json::Value,
    #[serde(default)]
    path: Map<String, serde_json::Value>,
    #[serde(default)]
    query: Map<String, serde_json::Value>,
    #[serde(default)]
    headers: Map<String, serde_json::Value>,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    if let Some(file) = &arguments.cases {
        return cases(file);
    }
    let file = arguments.template.as_deref().unwrap_or(Path::new("-"));
    let (name, template) = read(file)?;
    let case = Case {
        name: json!(name),
        template,
        vars: argument("--vars", arguments.vars.as_deref())?,
        request: argument("--request", arguments.request.as_deref())?,
        stage_variables: Map::new(),
        context: Map::new(),
    };
    let output = case.render().map_err(|error| {
        anyhow::anyhow!("{name}:{}:{}: {}", error.line, error.column, error.message)
    })?;
    let mut out = std::io::stdout().lock();
    out.write_all(output.as_bytes())?;
    if out.is_terminal() && !output.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// The template, and what to call it.
fn read(file: &Path) -> anyhow::Result<(String, String)> {
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
        return Ok(("-".to_owned(), text));
    }
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {name}"))?;
    Ok((name, text))
}

fn argument<T: Default + serde::de::DeserializeOwned>(
    name: &str,
    given: Option<&str>,
) -> anyhow::Result<T> {
    let Some(given) = given else { return Ok(T::default()) };
    serde_json::from_slice(&text_or_file(given)?).with_context(|| format!("{name} is no such JSON"))
}

fn cases(file: &Path) -> Result<(), Failure> {
    let (name, text) = read(file)?;
    let cases: Vec<serde_json::Value> =
        serde_json::from_str(&text).with_context(|| format!("{name} is no JSON array of cases"))?;
    let mut out = std::io::stdout().lock();
    for case in cases {
        let (name, rendered) = match Case::deserialize(&case) {
            Ok(case) => (case.name.clone(), case.render().map_err(|error| error.to_string())),
            // One that is wrong says so in its line; the others go on.
            Err(error) => {
                let name = case.get("name").cloned().unwrap_or_default();
                (name, Err(format!("the case is wrong: {error}")))
            }
        };
        let line = match rendered {
            Ok(output) => json!({ "name": name, "output": output }),
            Err(error) => json!({ "name": name, "error": error }),
        };
        writeln!(out, "{line}")?;
    }
    Ok(())
}

impl Case {
    fn render(&self) -> Result<String, mayfly_velocity::Error> {
        let template = MappingTemplate::parse(&self.template)?;
        let pairs = |values: &Map<String, serde_json::Value>| -> Vec<(String, String)> {
            values.iter().map(|(name, value)| (name.clone(), plain(value))).collect()
        };
        let body = plain(&self.request.body);
        let given = Given {
            case: self,
            json: serde_json::from_str(&body).ok(),
            body,
            path: pairs(&self.request.path),
            query: pairs(&self.request.query),
            headers: pairs(&self.request.headers),
            stage_variables: pairs(&self.stage_variables).into_iter().collect(),
        };
        Ok(template.render(&given)?.text)
    }
}

/// A case as its template sees it.
struct Given<'c> {
    case: &'c Case,
    body: String,
    json: Option<serde_json::Value>,
    path: Vec<(String, String)>,
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    stage_variables: BTreeMap<String, String>,
}

impl Variables for Given<'_> {
    fn body(&self) -> &str {
        &self.body
    }

    fn json(&self) -> Option<&serde_json::Value> {
        self.json.as_ref()
    }

    fn path(&self) -> &[(String, String)] {
        &self.path
    }

    fn query(&self) -> &[(String, String)] {
        &self.query
    }

    fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    fn header_case_is_known(&self) -> bool {
        true
    }

    fn context(&self) -> Map<String, serde_json::Value> {
        self.case.context.clone()
    }

    fn stage_variables(&self) -> &BTreeMap<String, String> {
        &self.stage_variables
    }

    fn other(&self, name: &str) -> Option<Value> {
        self.case.vars.get(name).map(Value::from)
    }
}

/// Text as it is, anything else as JSON; null is nothing.
fn plain(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

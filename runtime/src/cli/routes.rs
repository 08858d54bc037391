//! `mayfly routes`.

use std::io::Write as _;

use super::{ConfigArguments, Failure, load};
use crate::{
    config::{HttpConfig, MappedTarget, MockAnswer, MockConfig, MockSource, SequenceEnd},
    gateway::Target,
};

pub fn run(arguments: &ConfigArguments) -> Result<(), Failure> {
    let loaded = load(arguments.source(None)?)?;
    for problem in &loaded.problems {
        tracing::warn!("{problem}");
    }
    let routes = loaded.gateway.router.routes();
    let width = routes.iter().map(|route| route.key.len()).max().unwrap_or(0);
    let mut out = std::io::stdout().lock();
    for route in routes {
        let target = match &route.target {
            Target::Function { name, .. } => format!("function {name}"),
            Target::Mock(mock) => mock_text(mock.config()),
            Target::Mapped(mapped) => match &mapped.target {
                MappedTarget::Mock => "mock with templates".to_owned(),
                MappedTarget::Function(name) => format!("function {name} with templates"),
                MappedTarget::Http(http) => format!("{} with templates", endpoint(http)),
            },
            Target::HttpProxy(http) => endpoint(http),
        };
        let origin = if route.drop_in { "  (drop-in)" } else { "" };
        writeln!(out, "{:<width$}  {target}{origin}", route.key)?;
    }
    if let Some(record) = &loaded.gateway.config.record {
        let file = record.file.display();
        writeln!(out, "{:<width$}  {}, recorded in {file}", "other", record.upstream)?;
    }
    Ok(())
}

/// The method where it is not the request's own, and where it goes to.
fn endpoint(http: &HttpConfig) -> String {
    match &http.method {
        Some(method) => format!("http {method} {}", http.uri),
        None => format!("http {}", http.uri),
    }
}

fn mock_text(mock: &MockConfig) -> String {
    let mut text = match &mock.otherwise {
        MockSource::Answer(MockAnswer { fault: Some(fault), status, .. }) => match fault.percent {
            100 => format!("mock {}", fault.kind),
            percent => format!("mock {status}; {percent} % {}", fault.kind),
        },
        MockSource::Answer(answer) => format!("mock {}", answer.status),
        MockSource::Sequence { answers, end } => {
            let statuses: Vec<&str> = answers.iter().map(|one| one.status.as_str()).collect();
            let end = match end {
                SequenceEnd::Last => "",
                SequenceEnd::Repeat => ", again and again",
            };
            format!("mock {}{end}", statuses.join(", then "))
        }
        MockSource::Collection(own) => match &own.item {
            Some(_) => format!("mock, an item of the collection {}", own.name),
            None => format!("mock, the collection {}", own.name),
        },
    };
    match mock.rules.len() {
        0 => {}
        1 => text.push_str("; 1 rule"),
        count => text.push_str(&format!("; {count} rules")),
    }
    text
}

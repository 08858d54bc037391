//! Renders whose outputs come from Apache Velocity itself, run on the JVM with
//! the settings that make it behave as API Gateway does, and with its own.
//!
//! Each case has a template, variables as JSON, and what both profiles give:
//! the output, or null where they fail.

use std::{fs, path::Path};

use mayfly_velocity::{Context, Limits, Profile, Template, Value};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    template: String,
    #[serde(default)]
    context: serde_json::Map<String, serde_json::Value>,
    service: Option<String>,
    plain: Option<String>,
}

fn render(case: &Case, profile: Profile) -> Result<String, mayfly_velocity::Error> {
    let mut context = Context::new();
    for (name, value) in &case.context {
        context.set(name, Value::from(value.clone()));
    }
    let template = Template::parse_with(&case.template, profile, Limits::default())?;
    Ok(template.render(&context)?.text)
}

fn check(profile: Profile, expected: fn(&Case) -> &Option<String>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut wrong = Vec::new();
    let mut checked = 0;
    for entry in fs::read_dir(folder).expect("the corpus") {
        let path = entry.expect("an entry").path();
        let text = fs::read_to_string(&path).expect("a file");
        let cases: Vec<Case> = serde_json::from_str(&text).expect("cases");
        for case in cases {
            checked += 1;
            let rendered = render(&case, profile);
            let expected = expected(&case);
            if rendered.as_ref().ok() != expected.as_ref() {
                wrong.push(format!(
                    "{:?} with {}\n  expected {expected:?}\n  rendered {rendered:?}",
                    case.template,
                    serde_json::Value::Object(case.context.clone()),
                ));
            }
        }
    }
    assert!(checked > 100, "{checked} cases");
    assert!(wrong.is_empty(), "{} of {checked} wrong\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_service_renders_as_recorded() {
    check(Profile::Service, |case| &case.service);
}

#[test]
fn plain_velocity_renders_as_recorded() {
    check(Profile::Plain, |case| &case.plain);
}

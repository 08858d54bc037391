//! Schedules.

use std::collections::BTreeSet;

use mayfly_tests::{Project, fixture};
use serde_json::json;

fn project(schedules: &str) -> Project {
    let config = config(schedules);
    Project::with_config(&config).with_handler("report", &fixture("probe"))
}

fn config(schedules: &str) -> String {
    format!("[function.report]\nenvironment = {{ PRINT_EVENT = \"1\" }}\n{schedules}")
}

const OFTEN: &str =
    "[[schedule]]\nname = \"often\"\nschedule = \"rate(1 second)\"\nfunction = \"report\"\n";

#[test]
fn a_schedule_invokes_its_function_with_eventbridge_s_event() {
    let gateway = project(OFTEN).serve();
    gateway.wait("second event", || gateway.printed_events().len() >= 2);
    let event = &gateway.printed_events()[0];
    assert_eq!(
        (&event["source"], &event["detail-type"]),
        (&json!("aws.events"), &json!("Scheduled Event"))
    );
    assert_eq!(event["resources"][0], "arn:aws:events:us-east-1:000000000000:rule/often");
    assert_eq!((&event["account"], &event["detail"]), (&json!("000000000000"), &json!({})));
    let time = event["time"].as_str().unwrap();
    assert!(time.len() == 20 && time.ends_with('Z'), "{time}");
}

#[test]
fn a_reload_neither_repeats_nor_forgets() {
    let gateway = project(OFTEN).serve();
    gateway.wait("first event", || !gateway.printed_events().is_empty());
    for edit in 0..4 {
        gateway.project.write_config(&config(&format!("# {edit}\n{OFTEN}")));
        gateway.project.put_handler(
            "other",
            &fixture(if edit % 2 == 0 { "version-one" } else { "version-two" }),
        );
        let seen = gateway.printed_events().len();
        gateway.wait("further event", || gateway.printed_events().len() > seen);
    }
    let events = gateway.printed_events();
    let times: BTreeSet<&str> =
        events.iter().map(|event| event["time"].as_str().unwrap()).collect();
    assert_eq!(times.len(), events.len(), "{times:?}");
}

#[test]
fn a_schedule_can_be_changed_stopped_and_given_an_event() {
    let with =
        |input: &str, enabled: bool| format!("{OFTEN}input = '{input}'\nenabled = {enabled}\n");
    let gateway = project(&with("{\"own\": 1}", false)).serve();
    gateway.project.write_config(&config(&with("{\"own\": 2}", true)));
    gateway.wait("first event", || !gateway.printed_events().is_empty());
    assert_eq!(gateway.printed_events()[0], json!({ "own": 2 }));
    gateway.project.write_config(&config(""));
    gateway.wait_for_log("reloaded: configuration");
    let reloads = || gateway.health()["reloads"].as_u64().unwrap();
    gateway.wait("second reload", || reloads() >= 2);
    // What was queued when it was removed may still run.
    let later = || gateway.log().matches(" scheduled ").count();
    let seen = later();
    assert!(seen > 0, "{}", gateway.log());
    let begun = std::time::Instant::now();
    gateway.wait("some seconds", || begun.elapsed().as_secs() >= 3);
    assert!(later() <= seen + 1, "{} after {seen}", later());
}

#[test]
fn a_schedule_of_a_function_that_is_not_there_is_a_problem() {
    let project = project(&OFTEN.replace("\"report\"", "\"reprot\""));
    let check = project.run(&["check"]);
    assert_eq!(check.status.code(), Some(2));
    let problems = String::from_utf8(check.stderr).unwrap();
    let expected =
        "the schedule \"often\" names the function \"reprot\", but there is no reprot.wasm";
    assert!(problems.contains(expected), "{problems}");
    assert!(problems.contains("did you mean \"report\"?"), "{problems}");
}

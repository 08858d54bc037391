//! Asynchronous invocations: what was accepted runs, whatever happens.

use std::{collections::BTreeSet, time::Duration};

use mayfly_tests::{Answer, Gateway, Project, fixture};
use serde_json::{Value, json};

/// Two functions, of which `audit` prints what it gets.
fn project(probe: &str) -> Project {
    let config = format!(
        "[function.probe]\ntimeout_ms = 10000\n[function.probe.async]\n{probe}\n[function.audit]\nenvironment = {{ PRINT_EVENT = \"1\" }}\n"
    );
    Project::with_config(&config)
        .with_handler("probe", &fixture("probe"))
        .with_handler("audit", &fixture("probe"))
}

fn doing(what: &str, n: u32) -> Value {
    json!({ "queryStringParameters": { "do": what, "n": n.to_string() } })
}

/// Has an event accepted, and returns the invocation's id.
fn send(gateway: &Gateway, event: &Value) -> String {
    let path = "/2015-03-31/functions/probe/invocations";
    let request = gateway.lambda("POST", path).header("x-amz-invocation-type", "Event");
    let answer = Answer::of(request.json(event));
    assert_eq!((answer.status, answer.text().as_str()), (202, ""), "{answer:?}");
    answer.header("x-amzn-requestid").unwrap().to_owned()
}

fn runs(log: &str, id: &str) -> usize {
    log.matches(&format!("START RequestId: {id} ")).count()
}

/// The first event that `audit` printed.
fn told(gateway: &Gateway) -> Value {
    gateway.wait("record", || !gateway.printed_events().is_empty());
    gateway.printed_events().remove(0)
}

#[test]
fn a_failed_invocation_is_tried_again_and_then_told() {
    let gateway = project("retry_delay_ms = 100\non_failure = \"audit\"").serve();
    let id = send(&gateway, &doing("error", 0));
    let record = told(&gateway);
    assert_eq!(runs(&gateway.log(), &id), 3);
    assert_eq!(record["version"], "1.0");
    assert_eq!(
        record["requestContext"],
        json!({
            "requestId": id,
            "functionArn": "arn:aws:lambda:us-east-1:000000000000:function:probe:$LATEST",
            "condition": "RetriesExhausted",
            "approximateInvokeCount": 3,
        })
    );
    assert_eq!(record["requestPayload"], doing("error", 0));
    assert_eq!(record["responseContext"]["functionError"], "Unhandled");
    assert_eq!(record["responsePayload"]["errorType"], "Probe.Error");
}

#[test]
fn success_is_told_and_a_dead_letter_holds_the_event() {
    let gateway = project("on_success = \"audit\"").serve();
    let id = send(&gateway, &doing("count", 0));
    let record = told(&gateway);
    assert_eq!(record["requestContext"]["condition"], "Success");
    assert_eq!(record["requestContext"]["requestId"], json!(id));
    assert_eq!(record["responsePayload"]["body"], "1");
    let gateway = project("maximum_retry_attempts = 0\ndead_letter = \"audit\"").serve();
    let id = send(&gateway, &doing("error", 0));
    let record = &told(&gateway)["Records"][0];
    assert_eq!(runs(&gateway.log(), &id), 1);
    assert_eq!(record["eventSource"], "aws:sqs");
    assert_eq!(record["body"], json!(doing("error", 0).to_string()));
    let attributes = &record["messageAttributes"];
    assert_eq!(attributes["RequestID"]["stringValue"], json!(id));
    assert_eq!(attributes["ErrorMessage"]["stringValue"], "asked to fail");
}

#[test]
fn nothing_that_was_accepted_is_lost_when_the_process_is_killed() {
    let gateway = project("").serve();
    let ids: BTreeSet<String> = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| (0..25).map(|_| send(&gateway, &doing("sleep", 200))).collect())
            })
            .collect();
        let sent = senders.into_iter().map(|sender| sender.join().unwrap());
        sent.flat_map(|ids: Vec<String>| ids).collect()
    });
    assert_eq!(ids.len(), 200);
    let (project, first) = gateway.kill();
    let done = |log: &str, id: &str| log.contains(&format!("END RequestId: {id}"));
    let left: Vec<&String> = ids.iter().filter(|id| !done(&first, id)).collect();
    // 64 at once take 200 ms: the last were just accepted.
    assert!(!left.is_empty(), "the kill came too late to show anything");
    let gateway = project.serve();
    gateway.wait("end of every event", || {
        let log = gateway.log();
        left.iter().all(|id| done(&log, id))
    });
    // What had ended before ran once; what was running ran once more.
    let log = gateway.log();
    assert!(ids.iter().all(|id| (1..=2).contains(&(runs(&first, id) + runs(&log, id)))));
    let (project, _) = gateway.stop();
    assert_eq!(queued(&project), 0);
}

#[test]
fn a_reload_takes_effect_for_what_waits() {
    let gateway = project("retry_delay_ms = 1500\non_success = \"audit\"").serve();
    let id = send(&gateway, &doing("error", 0));
    gateway.wait_for_log("tried again in 1.5s");
    gateway.project.put_handler("probe", &fixture("version-one"));
    let record = told(&gateway);
    assert_eq!(record["requestContext"]["condition"], "Success");
    assert_eq!(record["requestContext"]["approximateInvokeCount"], 2);
    assert_eq!(runs(&gateway.log(), &id), 2);
}

#[test]
fn a_throttled_event_waits_until_there_is_room() {
    let gateway = project("").serve();
    let path = "/2017-10-31/functions/probe/concurrency";
    let limit = json!({ "ReservedConcurrentExecutions": 0 });
    assert_eq!(Answer::of(gateway.lambda("PUT", path).json(&limit)).status, 200);
    let id = send(&gateway, &doing("count", 0));
    gateway.wait("deferral", || queued_with(&gateway, "deferrals > 0") == 1);
    assert_eq!(runs(&gateway.log(), &id), 0);
    assert_eq!(Answer::of(gateway.lambda("DELETE", path)).status, 204);
    gateway.wait_for_log(&format!("END RequestId: {id}"));
    gateway.wait("empty queue", || queued_with(&gateway, "true") == 0);
}

#[test]
fn an_event_that_is_too_old_is_given_up() {
    let gateway = project("retry_delay_ms = 3600000\non_failure = \"audit\"").serve();
    let id = send(&gateway, &doing("error", 0));
    gateway.wait_for_log("tried again in 3600s");
    gateway.wait("retry", || queued_with(&gateway, "failures = 1") == 1);
    let (project, _) = gateway.stop();
    // It is made to be seven hours old, and due.
    let connection = database(&project);
    let sql = "UPDATE event SET accepted_ms = accepted_ms - 7 * 3600 * 1000, due_ms = 0";
    assert_eq!(connection.execute(sql, []).unwrap(), 1);
    drop(connection);
    let gateway = project.serve();
    let record = told(&gateway);
    assert_eq!(record["requestContext"]["condition"], "EventAgeExceeded");
    assert_eq!(record["requestContext"]["approximateInvokeCount"], 1);
    assert_eq!(record["requestContext"]["requestId"], json!(id));
    assert_eq!(runs(&gateway.log(), &id), 0);
}

#[test]
fn functions_that_tell_each_other_in_a_circle_are_stopped() {
    let project = project("on_success = \"probe\"");
    let gateway = project.with_handler("probe", &fixture("version-one")).serve();
    send(&gateway, &json!({}));
    gateway.wait_for_log("in a circle");
    gateway.wait("empty queue", || queued_with(&gateway, "true") == 0);
    assert_eq!(gateway.log().matches("START RequestId").count(), 17);
}

#[test]
fn a_command_leaves_its_event_to_the_server() {
    let gateway = project("").serve();
    let event = doing("print", 0).to_string();
    let run = gateway.project.run(&["invoke", "probe", "--type", "Event", "--payload", &event]);
    assert_eq!((run.status.code(), run.stdout.len()), (Some(0), 0), "{run:?}");
    assert!(!String::from_utf8_lossy(&run.stderr).contains("printed to"), "{run:?}");
    gateway.wait_for_log("printed to standard output");
    let (project, _) = gateway.stop();
    // Without one, it runs by itself.
    let run = project.run(&["invoke", "probe", "--type", "Event", "--payload", &event]);
    assert!(String::from_utf8_lossy(&run.stderr).contains("printed to standard output"), "{run:?}");
    assert_eq!(queued(&project), 0);
}

#[test]
fn a_shutdown_waits_for_what_runs() {
    let gateway = project("").serve();
    let id = send(&gateway, &doing("sleep", 700));
    gateway.wait_for_log(&format!("START RequestId: {id}"));
    let (project, log) = gateway.stop();
    assert!(log.contains(&format!("END RequestId: {id}")), "{log}");
    assert!(!log.contains("Status: error"), "{log}");
    assert_eq!(queued(&project), 0);
}

fn database(project: &Project) -> rusqlite::Connection {
    let connection =
        rusqlite::Connection::open(project.path().join(".mayfly/lambda.sqlite")).unwrap();
    connection.busy_timeout(Duration::from_secs(10)).unwrap();
    connection
}

fn queued(project: &Project) -> i64 {
    database(project).query_row("SELECT count(*) FROM event", [], |row| row.get(0)).unwrap()
}

fn queued_with(gateway: &Gateway, condition: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM event WHERE {condition}");
    database(&gateway.project).query_row(&sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn steady_work_does_not_hide_what_others_queue() {
    let gateway = project("").serve();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Something comes more often than one looks for what others have queued.
        let busy = scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                send(&gateway, &doing("sleep", 50));
            }
        });
        let event = doing("print", 0).to_string();
        let run = gateway.project.run(&["invoke", "probe", "--type", "Event", "--payload", &event]);
        assert_eq!(run.status.code(), Some(0), "{run:?}");
        let begun = std::time::Instant::now();
        let found = || gateway.log().contains("printed to standard output");
        while !found() && begun.elapsed() < mayfly_tests::PATIENCE {
            std::thread::sleep(Duration::from_millis(10));
        }
        let found = found();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        busy.join().unwrap();
        assert!(found, "the event still waits: {}", queued_with(&gateway, "true"));
    });
}

#[test]
fn a_command_s_event_has_the_limit_of_all_events() {
    let project = project("").with_handler("probe", &fixture("probe"));
    let event = project.path().join("event.json");
    std::fs::write(&event, format!("\"{}\"", "x".repeat(1024 * 1024))).unwrap();
    let run = project.run(&["invoke", "probe", "--type", "Event", "--payload", "@event.json"]);
    assert_eq!(run.status.code(), Some(1), "{run:?}");
    let text =
        "1048578 byte payload is too large for the Event invocation type (limit 1048576 bytes)";
    assert!(String::from_utf8_lossy(&run.stderr).contains(text), "{run:?}");
    assert_eq!(queued(&project), 0);
}

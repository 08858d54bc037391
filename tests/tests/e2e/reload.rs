//! What is saved takes effect; what is invalid does not; nothing is lost.

use std::{
    fs,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use mayfly_tests::{Gateway, Project, client, fixture};
use serde_json::json;

fn text(gateway: &Gateway, path: &str) -> String {
    gateway.get(path).text()
}

fn wait_for_text(gateway: &Gateway, path: &str, expected: &str) {
    gateway.wait(&format!("{expected:?} at {path}"), || text(gateway, path) == expected);
}

fn mock(body: &str) -> String {
    format!("[[route]]\nroute = \"GET /mock\"\nmock = {{ body = {body:?} }}\n")
}

#[test]
fn a_new_a_changed_and_a_removed_handler_take_effect() {
    let gateway = Project::new().serve();
    assert_eq!(gateway.get("/v").status, 404);
    gateway.project.put_handler("v", &fixture("version-one"));
    wait_for_text(&gateway, "/v", "one");
    gateway.project.put_handler("v", &fixture("version-two"));
    wait_for_text(&gateway, "/v", "two");
    fs::remove_file(gateway.project.handler_path("v")).unwrap();
    gateway.wait("404", || gateway.get("/v").status == 404);
}

#[test]
fn a_configuration_that_is_written_later_takes_effect_and_stays_when_it_is_gone() {
    let gateway = Project::new().serve();
    assert_eq!(gateway.get("/mock").status, 404);
    gateway.project.write_config(&mock("later"));
    wait_for_text(&gateway, "/mock", "later");
    fs::remove_file(gateway.project.path().join("gateway.toml")).unwrap();
    gateway.wait_for_log("gateway.toml: cannot be read");
    assert_eq!(text(&gateway, "/mock"), "later");
    gateway.project.write_config(&mock("again"));
    wait_for_text(&gateway, "/mock", "again");
}

#[test]
fn every_way_to_replace_a_file_works() {
    let gateway = Project::new().with_handler("v", &fixture("version-one")).serve();
    let path = gateway.project.handler_path("v");
    let elsewhere = tempfile::tempdir().unwrap();
    // An editor's atomic rename, from the same folder and with a hidden name.
    let hidden = gateway.project.path().join("handlers/.v.wasm.swp");
    fs::copy(fixture("version-two"), &hidden).unwrap();
    fs::rename(&hidden, &path).unwrap();
    wait_for_text(&gateway, "/v", "two");
    // Truncate and write, with a pause in between.
    let bytes = fs::read(fixture("version-one")).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert_eq!(text(&gateway, "/v"), "two");
    fs::write(&path, &bytes).unwrap();
    wait_for_text(&gateway, "/v", "one");
    // A symbolic link, swapped, and then its target's folder swapped.
    let releases = elsewhere.path();
    for (folder, version) in [("a", "version-one"), ("b", "version-two")] {
        fs::create_dir(releases.join(folder)).unwrap();
        fs::copy(fixture(version), releases.join(folder).join("v.wasm")).unwrap();
    }
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(releases.join("b/v.wasm"), &path).unwrap();
    wait_for_text(&gateway, "/v", "two");
    fs::copy(fixture("version-one"), releases.join("b/v.wasm")).unwrap();
    wait_for_text(&gateway, "/v", "one");
    let next = gateway.project.path().join("handlers/.next");
    std::os::unix::fs::symlink(fixture("version-two"), &next).unwrap();
    fs::rename(&next, &path).unwrap();
    wait_for_text(&gateway, "/v", "two");
}

#[test]
fn the_folder_itself_may_be_a_link_that_is_swapped() {
    let project = Project::new();
    for (folder, version) in [("a", "version-one"), ("b", "version-two")] {
        fs::create_dir(project.path().join(folder)).unwrap();
        fs::copy(fixture(version), project.path().join(folder).join("v.wasm")).unwrap();
    }
    fs::remove_dir(project.path().join("handlers")).unwrap();
    std::os::unix::fs::symlink("a", project.path().join("handlers")).unwrap();
    let gateway = project.serve();
    assert_eq!(text(&gateway, "/v"), "one");
    let folder = gateway.project.path();
    std::os::unix::fs::symlink("b", folder.join("next")).unwrap();
    fs::rename(folder.join("next"), folder.join("handlers")).unwrap();
    wait_for_text(&gateway, "/v", "two");
}

#[test]
fn a_folder_that_is_removed_and_made_again_is_watched_again() {
    let gateway = Project::new().with_handler("v", &fixture("version-one")).serve();
    let folder = gateway.project.path().join("handlers");
    fs::remove_dir_all(&folder).unwrap();
    gateway.wait("404", || gateway.get("/v").status == 404);
    fs::create_dir(&folder).unwrap();
    gateway.project.put_handler("v", &fixture("version-two"));
    wait_for_text(&gateway, "/v", "two");
    gateway.project.put_handler("v", &fixture("version-one"));
    wait_for_text(&gateway, "/v", "one");
}

#[test]
fn an_invalid_file_keeps_the_old_version_and_is_reported_once() {
    let gateway = Project::new().with_handler("v", &fixture("version-one")).serve();
    // Until it is compiled there is no old version.
    assert_eq!(text(&gateway, "/v"), "one");
    fs::write(gateway.project.handler_path("v"), "rubbish").unwrap();
    gateway.wait_for_log("v.wasm: not a WebAssembly file");
    assert_eq!(text(&gateway, "/v"), "one");
    let health = gateway.health();
    assert_eq!(health["status"], "degraded");
    assert_eq!(health["functions"][0]["state"], "stale");
    assert!(health["problems"][0].as_str().unwrap().contains("not a WebAssembly file"), "{health}");
    // Another reload does not say it again.
    gateway.project.put_handler("w", &fixture("version-two"));
    wait_for_text(&gateway, "/w", "two");
    assert_eq!(gateway.log().matches("v.wasm: not a WebAssembly file").count(), 1);
    gateway.project.put_handler("v", &fixture("version-two"));
    wait_for_text(&gateway, "/v", "two");
    gateway.wait("healthy report", || gateway.health()["status"] == "ok");
}

#[test]
fn the_configuration_is_reloaded_or_refused_as_a_whole() {
    let gateway = Project::with_config(&mock("first")).serve();
    assert_eq!(text(&gateway, "/mock"), "first");
    gateway.project.write_config(&mock("second"));
    wait_for_text(&gateway, "/mock", "second");
    gateway.project.write_config(&format!("{}\n[limitz]\n", mock("third")));
    gateway.wait_for_log("limitz");
    assert_eq!(text(&gateway, "/mock"), "second");
    assert_eq!(gateway.health()["status"], "degraded");
    let unknown =
        format!("{}[[route]]\nroute = \"GET /f\"\nfunction = \"later\"\n", mock("fourth"));
    gateway.project.write_config(&unknown);
    gateway.wait_for_log("there is no later.wasm");
    assert_eq!(text(&gateway, "/mock"), "second");
    // The handler comes after the route that names it.
    gateway.project.put_handler("later", &fixture("version-one"));
    wait_for_text(&gateway, "/f", "one");
    assert_eq!(text(&gateway, "/mock"), "fourth");
}

#[test]
fn what_needs_a_restart_is_refused_with_a_message() {
    let gateway = Project::with_config(&mock("first")).serve();
    gateway.project.write_config(&format!("data = \"elsewhere\"\n{}", mock("second")));
    gateway.wait_for_log("data changed, which needs a restart");
    assert_eq!(text(&gateway, "/mock"), "first");
    gateway.project.write_config(&mock("third"));
    wait_for_text(&gateway, "/mock", "third");
    gateway.wait("healthy report", || gateway.health()["status"] == "ok");
}

#[test]
fn ten_quick_saves_cause_no_storm() {
    let gateway = Project::with_config(&mock("0")).serve();
    for n in 1..=10 {
        gateway.project.write_config(&mock(&n.to_string()));
    }
    wait_for_text(&gateway, "/mock", "10");
    let reloads = gateway.health()["reloads"].as_u64().unwrap();
    assert!((1..=10).contains(&reloads), "{reloads}");
}

#[test]
fn a_table_that_is_declared_later_exists_at_once() {
    let grants = "[function.probe]\ntables = [\"Late\"]\n[table.Late]\npartition_key = \"id:S\"\n";
    let gateway = Project::with_config("").with_handler("probe", &fixture("probe")).serve();
    gateway.project.write_config(grants);
    let call = json!({ "service": "dynamodb", "action": "Scan", "input": { "TableName": "Late" } });
    gateway.wait("a scan", || gateway.post("/probe?do=call", &call).json()["ok"]["Count"] == 0);
}

#[test]
fn a_hundred_reloads_under_load_lose_no_request() {
    let gateway =
        Project::with_config(&mock("load")).with_handler("v", &fixture("version-one")).serve();
    // Or the first of them replaces what nobody has looked at yet.
    gateway.wait_for_code(1);
    let stop = AtomicBool::new(false);
    let answered = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let loads: Vec<_> = (0..4)
            .map(|n| {
                let (stop, answered, gateway) = (&stop, &answered, &gateway);
                scope.spawn(move || {
                    let client = client();
                    let path = if n % 2 == 0 { "/v" } else { "/mock" };
                    let url = format!("http://{}{path}", gateway.address);
                    while !stop.load(Ordering::Relaxed) {
                        let response = client.get(&url).send().expect("an answer");
                        assert_eq!(response.status().as_u16(), 200);
                        let text = response.text().expect("a body");
                        assert!(
                            ["one", "two"].contains(&text.as_str()) || text.starts_with("load"),
                            "{text}"
                        );
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for n in 0..100u32 {
            let before = gateway.health()["reloads"].as_u64().unwrap();
            if n % 2 == 0 {
                let version = if n % 4 == 0 { "version-two" } else { "version-one" };
                gateway.project.put_handler("v", &fixture(version));
            } else {
                gateway.project.write_config(&mock(&format!("load {n}")));
            }
            gateway.wait("reload", || gateway.health()["reloads"].as_u64().unwrap() > before);
        }
        stop.store(true, Ordering::Relaxed);
        for load in loads {
            load.join().unwrap();
        }
    });
    assert!(gateway.health()["reloads"].as_u64().unwrap() >= 100);
    assert!(answered.load(Ordering::Relaxed) >= 100);
    assert!(!gateway.log().contains("ERROR"), "{}", gateway.log());
}

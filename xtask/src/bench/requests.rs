//! Requests a second and how long single ones take, beside other servers. Every
//! round starts every server anew. Those that are compared take turns, so that
//! what slows the machine down meets them all.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::Result;
use crate::bench::client;
use crate::bench::load::{self, Load, Request, USUAL};
use crate::bench::pace;
use crate::bench::peers::{Guest, Peer, Peers};
use crate::bench::project::Project;
use crate::bench::stats::{Spread, percentile, ratios, table};
use crate::bench::{Bench, matches};
use crate::step::{report, step};

/// How often everything is measured.
const ROUNDS: usize = 5;

/// The same for guests that `wasmtime serve` compiles for seconds at each start.
const HEAVY_ROUNDS: usize = 3;

/// How many turns a case has of a round, in which it is measured for the usual time
/// altogether.
const TURNS: usize = 6;

/// Before each turn but the first, while connections are made.
const TURN_WARM_UP_MS: u32 = 100;

/// For the times of single requests, of a server that is warm.
const LATENCY: Load = Load { warm_up_ms: 500, ms: 2000, ..USUAL };

const BARE: &str = "bare hyper";
const BARE_POST: &str = "bare hyper, a POST";
const MOCK: &str = "mock";
const MOCK_POST: &str = "mock of a POST";
const NATIVE: &str = "native handler";
const LEAST: &str = "the least handler";
const SERVE: &str = "wasmtime serve";
const SERVE_TUNED: &str = "wasmtime serve, tuned";
const COMPONENT: &str = "wasi:http component";
const PRISM: &str = "Prism";
const WIREMOCK: &str = "WireMock";
const MOCKOON: &str = "Mockoon";

/// How long a server may take to its first answer.
const PATIENCE: Duration = Duration::from_secs(120);

/// The body of requests that have one.
const BODY: &str = r#"{"name": "Ada", "tags": ["mathematics", "engines", "poetry"]}"#;

struct Case {
    name: String,
    peer: Peer,
    guest: Guest,
    request: Request,
}

impl Case {
    /// What answers it; cases of a group may share it.
    fn server(&self) -> (Peer, Guest) {
        (self.peer, self.guest)
    }
}

/// Cases that are compared with each other.
type Group = Vec<Case>;

fn keep(groups: &mut Vec<Group>, is_kept: impl Fn(&Case) -> bool) {
    for group in groups.iter_mut() {
        group.retain(&is_kept);
    }
    groups.retain(|group| !group.is_empty());
}

/// A row of ratios: how many requests a second, as a ratio to the best of others.
struct Comparison {
    of: String,
    with: Vec<String>,
    /// What the ratio is to reach.
    goal: Option<f64>,
}

/// What a case reached, round by round.
struct Measured {
    name: String,
    /// Requests a second.
    rates: Vec<f64>,
    /// Of single requests at half of that rate, in µs.
    medians: Vec<f64>,
    p99s: Vec<f64>,
}

pub fn run(bench: &Bench<'_>, filters: &[String]) -> Result<String> {
    let wanted = wanted(&comparisons(), filters)?;
    let (token, project) = step("project", || project(bench))?;
    let mut groups = groups(&token);
    keep(&mut groups, |case| wanted.contains(&case.name));
    let peers: Vec<(Peer, Guest)> = groups.iter().flatten().map(Case::server).collect();
    let peers = Peers::set_up(bench, &peers)?;
    keep(&mut groups, |case| peers.has(case.peer, case.guest));
    for (guest, name) in [(Guest::Rust, "web"), (Guest::JavaScript, "js"), (Guest::Python, "py")] {
        if let Some(file) = peers.guest(guest) {
            fs::copy(file, project.handler(name))?;
        }
    }
    // So that nothing is compiled beside a measurement.
    step("code", || {
        let server = bench.mayfly(&project.folder)?;
        // Its file is there, whatever is measured.
        let hello = Request::get("/hello");
        let own = groups.iter().flatten().filter(|case| matches!(case.peer, Peer::Mayfly));
        own.map(|case| &case.request).chain([&hello]).try_for_each(|request| {
            client::until(server.address, request, PATIENCE, |status, _| status == 200).map(drop)
        })
    })?;
    let measured = step("rounds", || rounds(bench, &groups, &peers, &project.folder))?;
    let mut text = rates(&measured);
    text.push('\n');
    text.push_str(&ratio_table(&measured, &comparisons()));
    text.push('\n');
    text.push_str(&latency_table(&measured));
    for why in &peers.left_out {
        text.push_str(&format!("\n{why}\n"));
    }
    Ok(text)
}

/// The names of the cases that filters choose, each with what it is compared with
/// and what is compared with it.
fn wanted(comparisons: &[Comparison], filters: &[String]) -> Result<Vec<String>> {
    let chosen = comparisons
        .iter()
        .filter(|row| row.with.iter().chain([&row.of]).any(|name| matches(filters, name)));
    let mut names: Vec<String> =
        chosen.flat_map(|row| row.with.iter().chain([&row.of]).cloned()).collect();
    if names.is_empty() {
        return Err(format!("no case matches {filters:?}").into());
    }
    // Times are compared with it.
    names.push(BARE.to_owned());
    if names.iter().any(|name| is_post(name)) {
        names.push(BARE_POST.to_owned());
    }
    Ok(names)
}

fn is_post(name: &str) -> bool {
    [MOCK_POST, "templated mock", "the same, guarded", BARE_POST].contains(&name)
}

fn groups(token: &str) -> Vec<Group> {
    let get = Request::get;
    let post = |path: &str| Request::post(path, BODY);
    let mut guarded = post("/guarded");
    guarded.headers.extend([
        ("authorization".to_owned(), format!("Bearer {token}")),
        ("x-api-key".to_owned(), "a-key-for-the-benchmark".to_owned()),
    ]);
    let case =
        |name: &str, peer, guest, request| Case { name: name.to_owned(), peer, guest, request };
    let rust = |name, peer, request| case(name, peer, Guest::Rust, request);
    let mut groups = vec![
        vec![
            rust(BARE, Peer::Bare, get("/")),
            rust(MOCK, Peer::Mayfly, get("/mock")),
            rust(NATIVE, Peer::Mayfly, get("/hello?name=Ada")),
            rust(LEAST, Peer::Mayfly, get("/least")),
            rust("nginx return 200", Peer::Nginx, get("/")),
        ],
        vec![
            rust(BARE_POST, Peer::Bare, post("/")),
            rust("templated mock", Peer::Mayfly, post("/templated")),
            rust(MOCK_POST, Peer::Mayfly, post("/mock")),
            rust("the same, guarded", Peer::Mayfly, guarded),
        ],
        vec![
            rust(SERVE, Peer::Wasmtime { tuned: false }, get("/web/count")),
            rust(SERVE_TUNED, Peer::Wasmtime { tuned: true }, get("/web/count")),
            rust(COMPONENT, Peer::Mayfly, get("/web/count")),
        ],
        // By themselves, as they do not rest when nothing is asked of them.
        vec![rust(PRISM, Peer::Prism, get("/mock"))],
        vec![rust(WIREMOCK, Peer::WireMock, get("/mock"))],
        vec![rust(MOCKOON, Peer::Mockoon, get("/mock"))],
    ];
    for (language, guest, path) in
        [("JavaScript", Guest::JavaScript, "/js"), ("Python", Guest::Python, "/py")]
    {
        let of = |what: &str, peer| case(&format!("{language}: {what}"), peer, guest, get(path));
        groups.push(vec![
            of(SERVE, Peer::Wasmtime { tuned: false }),
            of(SERVE_TUNED, Peer::Wasmtime { tuned: true }),
            of(COMPONENT, Peer::Mayfly),
        ]);
    }
    groups
}

fn comparisons() -> Vec<Comparison> {
    let row = |of: &str, with: &[&str], goal| Comparison {
        of: of.to_owned(),
        with: with.iter().map(|&name| name.to_owned()).collect(),
        goal,
    };
    let mut rows = vec![
        row("nginx return 200", &[BARE], None),
        row(MOCK, &[BARE], Some(0.85)),
        row(MOCK, &[PRISM, WIREMOCK, MOCKOON], Some(8.0)),
        row("templated mock", &[BARE_POST], Some(0.5)),
        row(NATIVE, &[BARE], Some(0.5)),
        row(LEAST, &[BARE], None),
        row(SERVE_TUNED, &[BARE], None),
        row(COMPONENT, &[SERVE], Some(3.0)),
        row(COMPONENT, &[SERVE_TUNED], Some(1.2)),
    ];
    for language in ["JavaScript", "Python"] {
        let of = |what: &str| format!("{language}: {what}");
        rows.push(row(&of(COMPONENT), &[&of(SERVE)], Some(2.5)));
        rows.push(row(&of(COMPONENT), &[&of(SERVE_TUNED)], Some(1.0)));
    }
    rows.push(row(MOCK_POST, &[BARE_POST], None));
    rows.push(row("the same, guarded", &[MOCK_POST], Some(0.85)));
    rows
}

/// The folder that is served; a token of one of its users.
fn project(bench: &Bench<'_>) -> Result<(String, Project)> {
    let project = Project::new(bench, "project", include_str!("gateway.toml"))?;
    fs::copy(bench.host.root().join("handlers/hello.wasm"), project.handler("hello"))?;
    // Its route names it, whatever is measured.
    fs::copy(bench.fixture("http-guest"), project.handler("web"))?;
    fs::write(project.handler("least"), least_handler()?)?;
    let mayfly = |arguments: &[&str]| {
        let mut command = Command::new(bench.program("mayfly"));
        command.args(arguments).current_dir(&project.folder).output()
    };
    // A user of an earlier run is as good.
    mayfly(&["users", "add", "ada"])?;
    let token = mayfly(&["token", "ada", "--expires-in", "24h"])?;
    if !token.status.success() {
        let why = String::from_utf8_lossy(&token.stderr).into_owned();
        return Err(format!("mayfly token: {why}").into());
    }
    Ok((String::from_utf8(token.stdout)?.trim().to_owned(), project))
}

/// A handler that answers what `handlers/hello` does and looks at nothing, without
/// a standard library.
fn least_handler() -> Result<Vec<u8>> {
    let answer = r#"{"statusCode":200,"body":"{\"message\":\"Hello, World!\"}"}"#;
    let module = include_str!("least.wat")
        .replace("{answer}", &answer.replace('\\', r"\5c").replace('"', r"\22"))
        .replace("{length}", &answer.len().to_string());
    let component = include_str!("../../../runtime/benches/function.wat");
    Ok(wat::parse_str(component.replace("{module}", &module))?)
}

fn rounds(
    bench: &Bench<'_>,
    groups: &[Group],
    peers: &Peers<'_>,
    project: &Path,
) -> Result<Vec<Measured>> {
    let empty = |case: &Case| Measured {
        name: case.name.clone(),
        rates: Vec::new(),
        medians: Vec::new(),
        p99s: Vec::new(),
    };
    let mut measured: Vec<Vec<Measured>> =
        groups.iter().map(|group| group.iter().map(empty).collect()).collect();
    for round in 1..=bench.rounds(ROUNDS) {
        for (group, rows) in groups.iter().zip(&mut measured) {
            if round > HEAVY_ROUNDS && group.iter().any(|case| case.guest != Guest::Rust) {
                continue;
            }
            measure(bench, group, peers, project, rows)?;
            for row in rows {
                let (rate, p99) = (row.rates.last(), row.p99s.last());
                let (rate, p99) = rate.zip(p99).ok_or("nothing was measured")?;
                report(&format!("{round}: {}: {rate:.0} a second, p99 {p99:.0} µs", row.name));
            }
        }
    }
    Ok(measured.into_iter().flatten().collect())
}

/// A round of a group.
fn measure(
    bench: &Bench<'_>,
    group: &Group,
    peers: &Peers<'_>,
    project: &Path,
    rows: &mut [Measured],
) -> Result {
    let mut servers = Vec::new();
    for case in group {
        if !servers.iter().any(|(own, _)| *own == case.server()) {
            servers.push((case.server(), peers.start(case.peer, case.guest, project)?));
        }
    }
    let at = |case: &Case| {
        let own = servers.iter().find(|(own, _)| *own == case.server());
        own.map(|(_, server)| server.address).ok_or_else(|| format!("{}: no server", case.name))
    };
    let failed = |case: &Case, error: crate::Error| format!("{}: {error}", case.name);
    for case in group {
        // Large components are compiled for seconds when they are seen for the first time.
        client::until(at(case)?, &case.request, PATIENCE, |status, _| status == 200)
            .map_err(|error| failed(case, error))?;
    }
    let turns = bench.rounds(TURNS);
    let ms = USUAL.ms / u32::try_from(turns)?;
    let mut rates = vec![Vec::new(); group.len()];
    for turn in 0..turns {
        for (case, rates) in group.iter().zip(&mut rates) {
            let warm_up_ms = match (turn, case.peer) {
                // Java compiles what it does often, and takes seconds until it knows.
                (0, Peer::WireMock) => 8000,
                (0, _) => USUAL.warm_up_ms,
                _ => TURN_WARM_UP_MS,
            };
            let load = Load { warm_up_ms, ms, ..USUAL };
            let rate = load::throughput(at(case)?, &case.request, bench.load(load), &bench.folder);
            rates.push(rate.map_err(|error| failed(case, error))?);
        }
    }
    for ((case, rates), row) in group.iter().zip(rates).zip(rows) {
        let rate = rates.iter().sum::<f64>() / turns as f64;
        let times = pace::latencies(at(case)?, &case.request, rate / 2.0, bench.load(LATENCY))
            .map_err(|error| failed(case, error))?;
        row.rates.push(rate);
        row.medians.push(percentile(&times, 0.5) as f64);
        row.p99s.push(percentile(&times, 0.99) as f64);
    }
    Ok(())
}

fn find<'m>(measured: &'m [Measured], name: &str) -> Option<&'m Measured> {
    measured.iter().find(|row| row.name == name)
}

fn rates(measured: &[Measured]) -> String {
    let row = |row: &Measured| {
        let [median, spread] = Spread::of(&row.rates).cells(0);
        vec![row.name.clone(), median, spread]
    };
    let rows: Vec<Vec<String>> = measured.iter().map(row).collect();
    table(&["", "requests a second", "lowest to highest"], &rows)
}

fn ratio_table(measured: &[Measured], comparisons: &[Comparison]) -> String {
    let mut rows = Vec::new();
    for comparison in comparisons {
        let with: Vec<&Measured> =
            comparison.with.iter().filter_map(|name| find(measured, name)).collect();
        let Some(own) = find(measured, &comparison.of).filter(|_| !with.is_empty()) else {
            continue;
        };
        // The best of each round.
        let round = |index: usize| with.iter().filter_map(move |row| row.rates.get(index).copied());
        let best: Vec<f64> =
            (0..own.rates.len()).filter_map(|index| round(index).reduce(f64::max)).collect();
        let names: Vec<&str> = with.iter().map(|row| row.name.as_str()).collect();
        let with = match names[..] {
            [name] => name.to_owned(),
            _ => format!("the best of {}", names.join(", ")),
        };
        let [ratio, spread] = Spread::of(&ratios(&own.rates, &best)).cells(2);
        let goal = comparison.goal.map_or_else(String::new, |goal| format!("≥ {goal}"));
        rows.push(vec![format!("{} / {with}", own.name), ratio, spread, goal]);
    }
    table(&["requests a second as a ratio", "median", "lowest to highest", "goal"], &rows)
}

/// How long single requests take at half of the rate that each reaches.
fn latency_table(measured: &[Measured]) -> String {
    let row = |row: &Measured| {
        let base = find(measured, if is_post(&row.name) { BARE_POST } else { BARE });
        let base = base.map_or(&[][..], |base| &base.p99s);
        let [ratio, spread] = Spread::of(&ratios(&row.p99s, base)).cells(2);
        let micros = |values: &[f64]| format!("{:.0} µs", Spread::of(values).median);
        vec![row.name.clone(), micros(&row.medians), micros(&row.p99s), ratio, spread]
    };
    let rows: Vec<Vec<String>> = measured.iter().map(row).collect();
    let head =
        ["at half of its own rate", "median", "p99", "p99 / bare hyper's", "lowest to highest"];
    table(&head, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, rates: &[f64], p99s: &[f64]) -> Measured {
        let name = name.to_owned();
        Measured { name, rates: rates.to_vec(), medians: p99s.to_vec(), p99s: p99s.to_vec() }
    }

    #[test]
    fn every_comparison_is_of_cases() {
        let cases: Vec<Case> = groups("token").into_iter().flatten().collect();
        let is_case = |name: &String| cases.iter().any(|case| case.name == *name);
        for row in comparisons() {
            assert!(is_case(&row.of) && row.with.iter().all(is_case), "{}", row.of);
        }
        // And every case is compared, or compared with.
        let wanted = wanted(&comparisons(), &[]).expect("all of them");
        assert!(cases.iter().all(|case| wanted.contains(&case.name)));
    }

    #[test]
    fn what_is_compared_with_one_is_in_its_group() {
        let groups = groups("token");
        let group = |name: &String| {
            groups.iter().position(|group| group.iter().any(|case| case.name == *name))
        };
        for row in comparisons() {
            let [with] = &row.with[..] else { continue };
            // A server with defaults of its own is a limit for all.
            if row.of != SERVE_TUNED {
                assert_eq!(group(&row.of), group(with), "{} / {with}", row.of);
            }
        }
    }

    #[test]
    fn the_least_handler_says_how_long_its_answer_is() {
        let wasm = least_handler().expect("a component");
        let answer = br#"{"statusCode":200,"body":"{\"message\":\"Hello, World!\"}"}"#;
        assert!(wasm.windows(answer.len()).any(|part| part == answer));
        assert!(serde_json::from_slice::<serde_json::Value>(answer).is_ok());
    }

    #[test]
    fn filters_keep_what_is_compared_with() {
        let wanted = wanted(&comparisons(), &["guarded".to_owned()]).expect("one");
        assert_eq!(wanted, [MOCK_POST, "the same, guarded", BARE, BARE_POST]);
        let wanted = super::wanted(&comparisons(), &[PRISM.to_owned()]).expect("one");
        assert_eq!(wanted, [PRISM, WIREMOCK, MOCKOON, MOCK, BARE]);
        assert!(super::wanted(&comparisons(), &["nothing".to_owned()]).is_err());
    }

    #[test]
    fn ratios_are_to_the_best_of_each_round() {
        let measured = [
            of(MOCK, &[80.0, 90.0], &[1.0]),
            of(PRISM, &[10.0, 5.0], &[1.0]),
            of(WIREMOCK, &[8.0, 9.0], &[1.0]),
        ];
        let text = ratio_table(&measured, &comparisons());
        assert!(
            text.contains("| mock / the best of Prism, WireMock | 8.00 | 8.00 to 10.00 | ≥ 8 |"),
            "{text}"
        );
        assert!(!text.contains(BARE), "{text}");
    }

    #[test]
    fn times_are_compared_with_the_same_kind_of_request() {
        let measured = [
            of(BARE, &[1.0], &[100.0]),
            of(BARE_POST, &[1.0], &[200.0]),
            of(MOCK, &[1.0], &[300.0]),
            of(MOCK_POST, &[1.0], &[300.0]),
        ];
        let text = latency_table(&measured);
        assert!(text.contains("| mock | 300 µs | 300 µs | 3.00 | 3.00 to 3.00 |"), "{text}");
        assert!(text.contains("| mock of a POST | 300 µs | 300 µs | 1.50 |"), "{text}");
    }
}

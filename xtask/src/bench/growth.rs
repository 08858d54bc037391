//! What becomes of the rate when there is more of something: routes, handlers,
//! bytes in a body, connections. Each is plotted, and all are in tables.

use std::fs;
use std::time::Duration;

use crate::Result;
use crate::bench::client;
use crate::bench::load::{self, Load, Request, Requests};
use crate::bench::plot::{Plot, Point, Series, short};
use crate::bench::project::Project;
use crate::bench::server::Server;
use crate::bench::stats::{Spread, table};
use crate::bench::{Bench, matches};
use crate::step::report;

/// Where the plots are, from the document.
const FOLDER: &str = "benchmarks";

const ROUNDS: usize = 3;

/// Each point is measured for so long.
const LOAD: Load = Load { connections: 32, warm_up_ms: 500, ms: 1500 };

/// How long a gateway with many handlers may take to have them all.
const PATIENCE: Duration = Duration::from_secs(180);

/// Paths that are asked for in turn, at most.
const PATHS: usize = 1000;

/// The head of every configuration here.
const GATEWAY: &str = "# What is measured while it grows.\nkind = \"rest\"\nstage = \"bench\"\n\n\
    [stages.bench]\nlogging = \"OFF\"\n\n[pools]\nconnections_max = 2_000\nmemory_mb_max = 128\n";

const MOCK: &str = "mock = { status = 200, json = { message = \"hello\" } }";

type Measure = fn(&Bench<'_>) -> Result<Plot>;

pub fn run(bench: &Bench<'_>, filters: &[String]) -> Result<String> {
    let plots: [(&str, Measure); 4] = [
        ("routes", routes),
        ("handlers", handlers),
        ("body", bodies),
        ("connections", connections),
    ];
    let mut text = String::new();
    for (name, measure) in plots.iter().filter(|(name, _)| matches(filters, name)) {
        let plot = measure(bench)?;
        // As with the tables: what was asked for in part replaces nothing.
        let folder = match filters {
            [] if !bench.quick => bench.host.root().join("docs").join(FOLDER),
            _ => bench.folder.clone(),
        };
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(format!("{name}.svg")), plot.svg()?)?;
        let title = plot.title;
        text.push_str(&format!("![{title}]({FOLDER}/{name}.svg)\n\n{}\n", rows(&plot)));
    }
    if text.is_empty() {
        let names: Vec<&str> = plots.iter().map(|(name, _)| *name).collect();
        return Err(format!("nothing of `growth` matches {filters:?}: it has {names:?}").into());
    }
    Ok(text)
}

/// All that is in a plot, as a table.
fn rows(plot: &Plot) -> String {
    let mut rows = Vec::new();
    for series in &plot.series {
        for point in &series.points {
            let [median, spread] = Spread::of(&point.values).cells(0);
            rows.push(vec![series.name.to_owned(), short(point.x), median, spread]);
        }
    }
    table(&["", plot.x, plot.y, "lowest to highest"], &rows)
}

/// Measures some series at some places, round by round.
fn measured(
    rounds: usize,
    names: &[&'static str],
    places: &[u32],
    mut measure: impl FnMut(usize, u32) -> Result<f64>,
) -> Result<Vec<Series>> {
    let mut series: Vec<Series> = Vec::new();
    for name in names {
        let point = |&x: &u32| Point { x: f64::from(x), values: Vec::new() };
        series.push(Series { name, points: places.iter().map(point).collect() });
    }
    for round in 1..=rounds {
        for (at, &place) in places.iter().enumerate() {
            for (of, series) in series.iter_mut().enumerate() {
                let value = measure(of, place)?;
                report(&format!(
                    "{round}: {} at {}: {value:.0}",
                    series.name,
                    short(f64::from(place))
                ));
                series.points[at].values.push(value);
            }
        }
    }
    Ok(series)
}

/// Mocks, with a parameter in each path.
fn routes(bench: &Bench<'_>) -> Result<Plot> {
    let rounds = bench.rounds(ROUNDS);
    let series = measured(
        rounds,
        &["one of them", "all in turn"],
        &[10, 100, 1000, 10_000],
        |of, number| {
            let route =
                |index: u32| format!("\n[[route]]\nroute = \"GET /r{index}/{{id}}\"\n{MOCK}\n");
            let gateway: String = (0..number).map(route).collect();
            let project = Project::new(bench, "routes", &format!("{GATEWAY}{gateway}"))?;
            let paths: Vec<String> = match of {
                0 => vec![format!("/r{}/7", number / 2)],
                _ => every(number, PATHS).map(|index| format!("/r{index}/7")).collect(),
            };
            let server = bench.mayfly(&project.folder)?;
            over(bench, &server, &paths)
        },
    )?;
    Ok(Plot { title: "Routes", x: "routes", y: "requests a second", series })
}

/// So many of all, evenly.
fn every(of: u32, most: usize) -> impl Iterator<Item = u32> {
    (0..of).step_by((of as usize).div_ceil(most).max(1))
}

/// Small handlers that are different files.
fn handlers(bench: &Bench<'_>) -> Result<Plot> {
    let rounds = bench.rounds(ROUNDS);
    let names = ["one of them", "all in turn"];
    let series = measured(rounds, &names, &[1, 10, 100, 1000], |of, number| {
        let project = Project::new(bench, "handlers", GATEWAY)?;
        let mut paths = project.handlers(&bench.fixture("version-one"), number as usize)?;
        let server = bench.mayfly(&project.folder)?;
        for path in &paths {
            ready(&server, &Request::get(path))?;
        }
        if of == 0 {
            paths = paths.split_off(paths.len() / 2);
            paths.truncate(1);
        }
        over(bench, &server, &paths)
    })?;
    Ok(Plot { title: "Handlers", x: "handlers", y: "requests a second", series })
}

/// Waits until it answers: a function may still be compiled.
fn ready(server: &Server, request: &Request) -> Result {
    client::until(server.address, request, PATIENCE, |status, _| status == 200)?;
    Ok(())
}

fn over(bench: &Bench<'_>, server: &Server, paths: &[String]) -> Result<f64> {
    let requests = Requests::During(bench.load(LOAD));
    load::spread(server.address, paths, requests, LOAD.connections, &bench.folder)
}

/// Bodies that come back as they are. The native handler gets its body in an event
/// and gives it back in a proxy response; the other one reads and writes streams.
fn bodies(bench: &Bench<'_>) -> Result<Plot> {
    let rounds = bench.rounds(ROUNDS);
    let gateway = format!(
        "{GATEWAY}\n[[route]]\nroute = \"POST /native\"\nfunction = \"native\"\n\n[[route]]\n\
         route = \"POST /web/{{proxy+}}\"\nfunction = \"web\"\n"
    );
    let project = Project::new(bench, "bodies", &gateway)?;
    fs::copy(bench.fixture("probe"), project.handler("native"))?;
    fs::copy(bench.fixture("http-guest"), project.handler("web"))?;
    let names = ["bare hyper, which only reads", "native handler", "wasi:http component"];
    let sizes = [1_000, 10_000, 100_000, 1_000_000, 5_000_000];
    let series = measured(rounds, &names, &sizes, |of, bytes| {
        let (server, path) = match of {
            0 => (bench.bare()?, "/"),
            1 => (bench.mayfly(&project.folder)?, "/native?do=answer"),
            _ => (bench.mayfly(&project.folder)?, "/web/echo"),
        };
        // A proxy response, which for the others is a text like any other.
        let frame = r#"{"statusCode":200,"body":""}"#;
        let mut body = frame.to_owned();
        body.insert_str(frame.len() - 2, &"x".repeat(bytes as usize - frame.len()));
        let request = Request::post(path, &body);
        ready(&server, &request)?;
        let rate = load::throughput(server.address, &request, bench.load(LOAD), &bench.folder)?;
        Ok(rate * f64::from(bytes) / 1e6)
    })?;
    Ok(Plot { title: "Bodies", x: "bytes of a body", y: "MB a second", series })
}

/// Connections that all have a request under way.
fn connections(bench: &Bench<'_>) -> Result<Plot> {
    let rounds = bench.rounds(ROUNDS);
    let gateway = format!(
        "{GATEWAY}\n[[route]]\nroute = \"GET /mock\"\n{MOCK}\n\n[[route]]\nroute = \"GET /hello\"\n\
         function = \"hello\"\n"
    );
    let project = Project::new(bench, "connections", &gateway)?;
    fs::copy(bench.host.root().join("handlers/hello.wasm"), project.handler("hello"))?;
    let names = ["bare hyper", "mock", "native handler"];
    let series = measured(rounds, &names, &[1, 4, 16, 64, 256, 1000], |of, connections| {
        let (server, path) = match of {
            0 => (bench.bare()?, "/"),
            1 => (bench.mayfly(&project.folder)?, "/mock"),
            _ => (bench.mayfly(&project.folder)?, "/hello?name=Ada"),
        };
        let request = Request::get(path);
        ready(&server, &request)?;
        let load = bench.load(Load { connections, ..LOAD });
        load::throughput(server.address, &request, load, &bench.folder)
    })?;
    Ok(Plot { title: "Connections", x: "connections", y: "requests a second", series })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_chosen_evenly() {
        assert_eq!(every(3, 10).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(every(10, 5).collect::<Vec<_>>(), [0, 2, 4, 6, 8]);
        assert_eq!(every(10_000, PATHS).count(), PATHS);
    }

    #[test]
    fn every_point_has_a_value_of_each_round() {
        let mut calls = 0.0;
        let series = measured(3, &["a", "b"], &[1, 10], |_, _| {
            calls += 1.0;
            Ok(calls)
        });
        let series = series.expect("values");
        assert_eq!(series[0].points[0].values, [1.0, 5.0, 9.0]);
        assert_eq!(series[1].points[1].values, [4.0, 8.0, 12.0]);
        let text = rows(&Plot { title: "T", x: "n", y: "rate", series });
        assert!(text.contains("| a | 1 | 5 | 1 to 9 |"), "{text}");
    }
}

//! Golden files: each `tests/config/valid/NAME.toml` beside the checked value
//! as `NAME.txt`, each `invalid/NAME.toml` beside its problems as `NAME.err`.
//! `UPDATE_GOLDEN=1 cargo test -p mayfly config` writes them anew, to be
//! reviewed as a diff.

mod domains;

use std::{
    fmt::Write as _,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use super::{Config, Overrides, Problem, StateConfig, keys, load};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config").join(name)
}

fn golden(name: &str, extension: &str, outcome: fn(&Path, &str) -> String) {
    let folder = folder(name);
    let mut checked = 0;
    for entry in fs::read_dir(&folder).expect("the folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        checked += 1;
        let file = path.file_name().expect("a name").to_str().expect("UTF-8");
        let text = outcome(&folder, file);
        let golden = path.with_extension(extension);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &text).expect("written");
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(text, expected, "{}", golden.display());
    }
    assert!(checked >= 4, "{checked} files in {}", folder.display());
}

#[test]
fn valid_files_become_what_they_say() {
    golden("valid", "txt", |folder, file| {
        let loaded = load(Some(Path::new(file)), folder, &Overrides::default());
        let config = loaded.unwrap_or_else(|invalid| panic!("{}", text(&invalid.problems)));
        format!("{config:#?}\n").replace(folder.to_str().expect("UTF-8"), "FOLDER")
    });
}

#[test]
fn invalid_files_get_all_their_problems_at_once() {
    golden("invalid", "err", |folder, file| {
        let loaded = load(Some(Path::new(file)), folder, &Overrides::default());
        text(&loaded.expect_err("the file is invalid").problems)
    });
}

fn text(problems: &[Problem]) -> String {
    problems.iter().fold(String::new(), |mut text, problem| {
        writeln!(text, "{problem}").expect("a string takes it");
        text
    })
}

fn load_text(text: &str, overrides: &Overrides) -> Result<Config, Vec<Problem>> {
    let folder = tempfile::tempdir().expect("a folder");
    load_in(folder.path(), text, overrides)
}

fn load_in(folder: &Path, text: &str, overrides: &Overrides) -> Result<Config, Vec<Problem>> {
    fs::write(folder.join("gateway.toml"), text).expect("written");
    load(Some(Path::new("gateway.toml")), folder, overrides).map_err(|invalid| invalid.problems)
}

#[test]
fn without_a_file_everything_has_its_default() {
    let config = load(None, Path::new("/somewhere"), &Overrides::default()).expect("valid");
    assert_eq!(config.file, None);
    assert_eq!(config.server.handlers, Path::new("/somewhere/handlers"));
    assert_eq!(config.server.listen, SocketAddr::from(([127, 0, 0, 1], 3000)));
    assert_eq!(config.server.admin, SocketAddr::from(([127, 0, 0, 1], 3001)));
    assert_eq!(config.stage, "$default");
    assert!(config.drop_in && config.routes.is_empty());
}

#[test]
fn the_command_line_wins_over_the_file() {
    let given = Overrides {
        handlers: Some("mine".into()),
        listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        admin: None,
        data: Some("/data".into()),
        stage: Some("b".to_owned()),
        ..Overrides::default()
    };
    let config = load_text(
        "stage = \"a\"\nhandlers = \"theirs\"\nlisten = \"127.0.0.1:9\"\n[stages.a]\n[stages.b]\n",
        &given,
    )
    .expect("valid");
    assert!(config.server.handlers.ends_with("mine"));
    assert_eq!(config.server.data, Path::new("/data"));
    assert_eq!((config.server.listen.port(), config.server.admin.port()), (0, 0));
    assert_eq!(config.stage, "b");
}

#[test]
fn a_stage_that_the_command_line_invents_is_refused() {
    let given = Overrides { stage: Some("c".to_owned()), ..Overrides::default() };
    let problems = load_text("[stages.a]\n", &given).expect_err("no such stage");
    assert_eq!(
        text(&problems),
        "command line: --stage: there is no stage \"c\"\n  hint: the stages are a; or write [stages.c]\n"
    );
}

#[test]
fn a_file_that_cannot_be_read_is_one_problem() {
    let invalid = load(Some(Path::new("none.toml")), Path::new("/"), &Overrides::default())
        .expect_err("gone");
    assert!(text(&invalid.problems).starts_with("none.toml: cannot be read: "), "{invalid:?}");
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("x.toml"), b"name = \"\xff\"").expect("written");
    let loaded = load(Some(Path::new("x.toml")), folder.path(), &Overrides::default());
    assert!(text(&loaded.expect_err("not UTF-8").problems).contains("not UTF-8"));
}

#[test]
fn secrets_are_masked() {
    let config =
        load_text("[function.f]\nenvironment = { TOKEN = \"hunter2\" }\n", &Overrides::default())
            .expect("valid");
    assert_eq!(config.function("f").environment["TOKEN"].reveal(), "hunter2");
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn a_url_of_redis_is_shown_to_nobody() {
    for state in [
        "\"redis://me:hunter2@\"",
        "\"redis//:hunter2@a\"",
        "\"redis://:hunter2@a:port/0\"",
        "\"redis://:hunter2@a:1/hunter2\"",
        "{ url = \"unix:///hunter2\" }",
        "{ url = \"redis://:hunter2@a\", url_env = \"HOME\" }",
        "{ url_env = \"PATH\" }",
        "{ url_env = \"MAYFLY_TEST_NO_SUCH_VARIABLE\" }",
        "{ timeout_ms = 1 }",
        "{}",
        "7",
    ] {
        let text = format!("state = {state}\n");
        let problems = load_text(&text, &Overrides::default()).expect_err("no URL");
        let told = self::text(&problems);
        assert!(!told.contains("hunter2") && !told.contains("/bin"), "{told}");
        assert!(told.contains("state"), "{told}");
    }
    let config = load_text("state = \"redis://:hunter2@a/3\"\n", &Overrides::default());
    let config = config.unwrap_or_else(|problems| panic!("{}", text(&problems)));
    assert!(!format!("{config:?}").contains("hunter2"));
    let StateConfig::Redis(redis) = config.server.state else { panic!("no Redis") };
    assert_eq!((redis.url.reveal(), &*redis.prefix), ("redis://:hunter2@a/3", "mayfly:mayfly:"));
}

#[test]
fn the_shipped_configuration_is_valid() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    load(Some(Path::new("gateway.toml")), &root, &Overrides::default())
        .unwrap_or_else(|invalid| panic!("{}", text(&invalid.problems)));
}

const DOCUMENTATION: &str = include_str!("../../../docs/config.md");

#[test]
fn every_key_is_documented() {
    for section in keys::SECTIONS {
        for key in section.keys {
            assert!(
                DOCUMENTATION.contains(&format!("`{key}`")),
                "docs/config.md lacks `{key}` of {}",
                section.title
            );
        }
    }
}

#[test]
fn the_examples_of_the_documentation_are_valid() {
    let examples: Vec<&str> = DOCUMENTATION
        .split("```toml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().expect("its end"))
        .collect();
    assert!(examples.len() >= 5, "{} examples", examples.len());
    let folder = tempfile::tempdir().expect("a folder");
    domains::write_certificates(folder.path());
    for example in examples {
        if let Err(problems) = load_in(folder.path(), example, &Overrides::default()) {
            panic!("{example}\n{}", text(&problems));
        }
    }
}

/// Any text is read to its end: slips of every kind in a valid file must be
/// reported or taken, never panic.
#[test]
fn damaged_files_never_panic() {
    let valid = fs::read_to_string(folder("valid").join("everything.toml")).expect("the file");
    let lines: Vec<&str> = valid.lines().collect();
    for index in 0..lines.len() {
        let mut without = lines.clone();
        without.remove(index);
        drop(load_text(&without.join("\n"), &Overrides::default()));
        for damage in ["= ", "[", "]]", "\"", "{", "'''", "1e999", "\u{0}", "[[route]]"] {
            let mut damaged = lines.clone();
            damaged.insert(index, damage);
            drop(load_text(&damaged.join("\n"), &Overrides::default()));
        }
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_a_configuration_or_problems_with_places(
        text in "(name|domain|base_paths|certificate|route|mock|rules|when|query[.]a|sequence|delay_ms|min|max|like|function|table|stages|[.]|=|\"|\\[|\\]|\\[\\[|[{}]|,|\n|[0-9]|-|true|\\PC){0,40}",
    ) {
        if let Err(problems) = load_text(&text, &Overrides::default()) {
            proptest::prop_assert!(!problems.is_empty());
            proptest::prop_assert!(problems.iter().all(|problem| problem.place.is_some()));
        }
    }
}

//! `mayfly new`.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use include_dir::{Dir, include_dir};

use super::Failure;

#[derive(clap::Args)]
pub struct Arguments {
    /// The handler's name, which is its path: letters, digits, '-' and '_'
    name: String,
}

/// The guest SDK of this very version, so that a new handler speaks the
/// contract that this binary serves, and needs no checkout.
static SDK: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../guest-sdk/src");
static MACROS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../guest-sdk/macros/src");
static WIT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../wit");
const SDK_MANIFEST: &str = include_str!("../../../guest-sdk/Cargo.toml");
const MACROS_MANIFEST: &str = include_str!("../../../guest-sdk/macros/Cargo.toml");

/// Lambda's limit for a function's name.
const NAME_MAX: usize = 64;

/// Names that Cargo or Rust keep for themselves.
const RESERVED: [&str; 60] = [
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "build",
    "const",
    "continue",
    "core",
    "crate",
    "deps",
    "do",
    "dyn",
    "else",
    "enum",
    "examples",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "incremental",
    "let",
    "loop",
    "macro",
    "main",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
];

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let name = &arguments.name;
    check(name)?;
    let folder = PathBuf::from(name);
    ensure_absent(&folder)?;
    // In a checkout the handler is a member of the workspace like the others.
    let here = std::env::current_dir()?;
    let checkout = here.file_name().is_some_and(|folder| folder == "handlers")
        && here.join("../guest-sdk/Cargo.toml").is_file();

    fs::create_dir(&folder)?;
    let written = if checkout {
        write_crate(&folder, name, "../../guest-sdk", "")
    } else {
        write_sdk(&folder.join("mayfly"))
            .and_then(|()| write_crate(&folder, name, "mayfly/guest-sdk", STANDALONE))
    };
    written.with_context(|| format!("{} could not be written", folder.display()))?;

    let mut out = std::io::stdout().lock();
    writeln!(out, "{name}/src/lib.rs is the handler. Next:")?;
    let steps = [
        (format!("(cd {name} && cargo test)"), "runs its unit test".to_owned()),
        (format!("mayfly build {name}"), format!("builds handlers/{name}.wasm")),
        ("mayfly serve".to_owned(), format!("answers at http://127.0.0.1:3000/{name}")),
    ];
    let width = steps.iter().map(|(command, _)| command.len()).max().unwrap_or(0);
    for (command, outcome) in steps {
        writeln!(out, "  {command:<width$}  {outcome}")?;
    }
    Ok(())
}

fn check(name: &str) -> anyhow::Result<()> {
    let mut characters = name.chars();
    let valid = characters.next().is_some_and(|first| first.is_ascii_alphabetic())
        && characters.all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        && name.len() <= NAME_MAX;
    ensure!(
        valid,
        "{name:?} cannot be a handler's name (hint: a letter, then letters, digits, '-' and '_', {NAME_MAX} at most)"
    );
    ensure!(!RESERVED.contains(&name), "{name:?} is a word that Rust or Cargo keeps for itself");
    Ok(())
}

fn ensure_absent(folder: &Path) -> anyhow::Result<()> {
    ensure!(
        !folder.exists(),
        "{} exists already (hint: choose another name; nothing was written)",
        folder.display()
    );
    Ok(())
}

fn write_sdk(folder: &Path) -> std::io::Result<()> {
    let sdk = folder.join("guest-sdk");
    for (dir, to) in
        [(&SDK, sdk.join("src")), (&MACROS, sdk.join("macros/src")), (&WIT, folder.join("wit"))]
    {
        fs::create_dir_all(&to)?;
        dir.extract(&to)?;
    }
    fs::write(sdk.join("Cargo.toml"), SDK_MANIFEST)?;
    fs::write(sdk.join("macros/Cargo.toml"), MACROS_MANIFEST)
}

fn write_crate(folder: &Path, name: &str, sdk: &str, more: &str) -> std::io::Result<()> {
    fs::create_dir(folder.join("src"))?;
    let manifest = MANIFEST.replace("NAME", name).replace("SDK", sdk).replace("MORE", more);
    fs::write(folder.join("Cargo.toml"), manifest)?;
    fs::write(folder.join("src/lib.rs"), HANDLER)?;
    if !more.is_empty() {
        fs::write(folder.join(".gitignore"), "/target\n")?;
    }
    Ok(())
}

const MANIFEST: &str = r#"[package]
name = "NAME"
version = "0.1.0"
edition = "2024"

[lib]
crate-type = ["cdylib", "rlib"]

[dependencies]
mayfly-guest = { path = "SDK" }
serde = { version = "1", features = ["derive"] }

[dev-dependencies]
# In-memory tables and an outbox for unit tests.
mayfly-guest = { path = "SDK", features = ["testing"] }
MORE"#;

const STANDALONE: &str = r#"
# A workspace of its own, whatever folder it lies in.
[workspace]

# A handler is loaded whole: small code starts faster.
[profile.release]
opt-level = "s"
lto = true
codegen-units = 1
panic = "abort"
strip = "debuginfo"

# What each request goes through.
[profile.release.package.mayfly-guest]
opt-level = 3
"#;

const HANDLER: &str = r##"//! Greets whoever asks.

use mayfly_guest::{Context, Error, Request, Response, handler, json};

#[handler]
fn handle(request: Request, _context: Context) -> Result<Response, Error> {
    let name = request.query("name").unwrap_or("World");
    Response::json(200, &json!({ "message": format!("Hello, {name}!") }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greets_by_name() -> Result<(), Error> {
        let response = handle(Request::get("/?name=Ada"), Context::default())?;
        assert_eq!(response.status(), 200);
        assert_eq!(response.body_text(), r#"{"message":"Hello, Ada!"}"#);
        Ok(())
    }
}
"##;

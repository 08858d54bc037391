//! Builds real guests with whatever toolchain is there.
//!
//! `cargo xtask test` sets one up before it runs this.

use std::fs;
use std::path::Path;

use mayfly_toolchain::{ArtifactKind, BuildRequest, Error, Setup, Target, Toolchain, Workspace};

/// The header of a core module, and of a component.
const MODULE: &[u8] = b"\0asm\x01\0\0\0";
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// The same profile as the workspace's, so that a standard library which was
/// built for the fixtures is used again.
const WORKSPACE: &str = r#"
[workspace]
members = ["a library", "command", "plain"]
resolver = "3"
[profile.guest]
inherits = "release"
opt-level = "s"
lto = true
codegen-units = 1
panic = "abort"
strip = "debuginfo"
"#;

#[test]
fn a_library_and_a_command_become_components() {
    let temporary = workspace();
    let toolchain = find();
    let request = request(temporary.path(), &["some-library", "some-command"]);
    let artifacts = toolchain.build(&request).expect("both are built");
    let kind_of = |package: &str| {
        let artifact = artifacts.iter().find(|artifact| artifact.package == package);
        let artifact = artifact.unwrap_or_else(|| panic!("{package} is in {artifacts:?}"));
        let wasm = fs::read(&artifact.path).expect("the artifact is a file");
        assert!(wasm.starts_with(COMPONENT), "{package} is not a component");
        // Only a command may ask to be run.
        let runs = wasm.windows(12).any(|bytes| bytes == b"wasi:cli/run");
        assert_eq!(runs, artifact.kind == ArtifactKind::Command, "{package}");
        artifact.kind
    };
    assert_eq!(kind_of("some-library"), ArtifactKind::Library);
    assert_eq!(kind_of("some-command"), ArtifactKind::Command);
    assert_eq!(artifacts.len(), 2);
}

#[test]
fn a_package_that_makes_no_wasm_is_named() {
    let temporary = workspace();
    let error = find().build(&request(temporary.path(), &["plain"])).expect_err("an rlib only");
    assert!(matches!(&error, Error::NoArtifact { package, .. } if package == "plain"), "{error}");
}

#[test]
fn a_build_that_fails_names_its_command() {
    let temporary = workspace();
    let source = temporary.path().join("plain/src/lib.rs");
    fs::write(source, "compile_error!(\"on purpose\");").expect("written");
    let error = find().build(&request(temporary.path(), &["plain"])).expect_err("it is broken");
    assert!(error.to_string().contains("--package plain"), "{error}");
}

#[test]
fn a_core_module_is_built_where_that_target_is_there() {
    // rustup was asked for components only, so this may rightly be absent.
    let Ok(toolchain) = Toolchain::find_for(Target::Wasip1, Setup::Forbidden, &|_| {}) else {
        return;
    };
    let temporary = workspace();
    let artifacts = toolchain.build(&request(temporary.path(), &["some-library"]));
    let artifacts = artifacts.expect("it is built");
    let wasm = fs::read(&artifacts[0].path).expect("the artifact is a file");
    assert!(wasm.starts_with(MODULE));
}

fn find() -> Toolchain {
    match Toolchain::find(Setup::Forbidden, &|_| {}) {
        Ok(toolchain) => toolchain,
        Err(error) => panic!("{error}\nhint: `cargo xtask guests` sets a toolchain up"),
    }
}

fn request(dir: &Path, packages: &[&str]) -> BuildRequest {
    let own = Workspace::at(env!("CARGO_MANIFEST_DIR").as_ref()).expect("our own workspace");
    BuildRequest {
        dir: dir.to_owned(),
        packages: packages.iter().map(|&package| package.to_owned()).collect(),
        profile: "guest".to_owned(),
        target_dir: own.guests_target_dir(),
    }
}

/// Three crates, in a folder whose name has a space.
fn workspace() -> tempfile::TempDir {
    let temporary = tempfile::Builder::new().prefix("a workspace ").tempdir();
    let temporary = temporary.expect("a temporary folder");
    let write = |path: &str, text: &str| {
        let path = temporary.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("written");
    };
    let package = |name: &str| {
        format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n")
    };
    write("Cargo.toml", WORKSPACE);
    write(
        "a library/Cargo.toml",
        &format!("{}[lib]\ncrate-type = [\"cdylib\", \"rlib\"]\n", package("some-library")),
    );
    write(
        "a library/src/lib.rs",
        "#[unsafe(no_mangle)]\npub extern \"C\" fn count() -> usize { std::env::args().count() }",
    );
    write("command/Cargo.toml", &package("some-command"));
    write("command/src/main.rs", "fn main() { println!(\"{:?}\", std::env::args()); }");
    write("plain/Cargo.toml", &package("plain"));
    write("plain/src/lib.rs", "pub fn nothing() {}");
    temporary
}

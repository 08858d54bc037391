//! Puts a built `.wasm` where it is served from.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Error;

/// Where a guest was installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// The file.
    pub path: PathBuf,
    /// Whether it differs from what was there before.
    pub changed: bool,
}

/// Copies `wasm` to `NAME.wasm` in `dir`, which is made if need be.
///
/// A gateway may be watching `dir`. So the file appears whole or not at all,
/// and one that is the same already is not touched.
pub fn install(wasm: &Path, dir: &Path, name: &str) -> Result<Installed, Error> {
    let content = fs::read(wasm).map_err(|source| failed("read", wasm, source))?;
    let path = dir.join(format!("{name}.wasm"));
    if fs::read(&path).is_ok_and(|present| present == content) {
        return Ok(Installed { path, changed: false });
    }
    fs::create_dir_all(dir).map_err(|source| failed("make", dir, source))?;
    // Its ending is not `.wasm`, so that no watcher takes it for a guest.
    let part = Part(dir.join(format!(".{name}.wasm.{}.part", std::process::id())));
    fs::write(&part.0, content).map_err(|source| failed("write", &part.0, source))?;
    fs::rename(&part.0, &path).map_err(|source| failed("replace", &path, source))?;
    Ok(Installed { path, changed: true })
}

/// A file that is gone at the end, unless it was renamed.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn failed(action: &'static str, path: &Path, source: std::io::Error) -> Error {
    Error::File { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_only_when_it_differs() {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        let built = temporary.path().join("my_guest.wasm");
        let dir = temporary.path().join("handlers");
        for (content, changed) in [("one", true), ("one", false), ("two", true)] {
            fs::write(&built, content).expect("written");
            let installed = install(&built, &dir, "my-guest").expect("installed");
            assert_eq!(installed, Installed { path: dir.join("my-guest.wasm"), changed });
            assert_eq!(fs::read_to_string(&installed.path).expect("readable"), content);
        }
        // Nothing else is left behind.
        assert_eq!(fs::read_dir(&dir).expect("readable").count(), 1);
    }

    #[test]
    fn a_failure_names_the_file_and_leaves_nothing() {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        let absent = temporary.path().join("absent.wasm");
        let error = install(&absent, temporary.path(), "absent").expect_err("no such file");
        assert!(error.to_string().contains("absent.wasm"), "{error}");
        assert_eq!(fs::read_dir(temporary.path()).expect("readable").count(), 0);
    }
}

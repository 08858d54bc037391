//! The files of the handlers' folder, and what has been made of them.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use crate::sandbox::{Code, CodeFile, Sandbox};

/// Handlers' files as they were when they were last read.
#[derive(Default)]
pub struct Files(HashMap<PathBuf, Seen>);

struct Seen {
    fingerprint: Fingerprint,
    outcome: Result<Arc<Code>, String>,
    // Seen twice without a change: nobody is writing it any more.
    settled: bool,
}

/// What changes when a file does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    len: u64,
    modified: Option<SystemTime>,
    /// Which file it is, as the system counts them.
    pub inode: u64,
}

/// What a look at a file gave.
pub struct Look {
    /// The function's name.
    pub name: String,
    /// Its code, or what is wrong with the file.
    pub outcome: Result<Arc<Code>, String>,
    /// Whether the file has been this way for a while.
    pub settled: bool,
}

impl Files {
    /// The files that there were.
    pub fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.0.keys()
    }

    /// The code of each file; what has changed is read again, and compiled: here
    /// where somebody `waits`, else from now on.
    pub fn look(
        &mut self,
        sandbox: &Sandbox,
        files: Vec<(String, PathBuf)>,
        waits: bool,
    ) -> Vec<Look> {
        self.0.retain(|path, _| files.iter().any(|(_, file)| file == path));
        // Gone between the listing and now: as if it had not been listed.
        let print = |(name, path): (String, PathBuf)| {
            let fingerprint = fingerprint(&path).ok()?;
            Some((CodeFile { name, path, is_reported: true }, fingerprint))
        };
        let files: Vec<(CodeFile, Fingerprint)> = files.into_iter().filter_map(print).collect();
        let mut changed = Vec::new();
        let mut fingerprints = Vec::new();
        for (file, fingerprint) in &files {
            match self.0.get_mut(&file.path) {
                Some(seen) if seen.fingerprint == *fingerprint => seen.settled = true,
                _ => {
                    changed.push(file.clone());
                    fingerprints.push(*fingerprint);
                }
            }
        }
        let codes = sandbox.code(&changed);
        if waits {
            sandbox.wait_for(codes.iter().flatten());
        }
        for ((file, fingerprint), outcome) in changed.into_iter().zip(fingerprints).zip(codes) {
            self.0.insert(file.path, Seen { fingerprint, outcome, settled: false });
        }
        files.into_iter().filter_map(|(file, _)| Some(self.0.get(&file.path)?.look(file))).collect()
    }
}

impl Seen {
    fn look(&self, file: CodeFile) -> Look {
        let problem = match &self.outcome {
            Ok(code) => code.problem(),
            Err(problem) => Some(problem.as_str()),
        };
        let outcome = match (problem, &self.outcome) {
            (None, Ok(code)) => Ok(Arc::clone(code)),
            (problem, _) => Err(format!("{}.wasm: {}", file.name, problem.unwrap_or_default())),
        };
        Look { name: file.name, outcome, settled: self.settled }
    }
}

/// `NAME.wasm` files, sorted by name. Hidden files are nobody's handlers:
/// editors and copying programs write them.
pub fn handler_files(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let (Some(stem), Some(extension)) = (path.file_stem(), path.extension()) else { continue };
        let Some(name) = stem.to_str() else { continue };
        if extension == "wasm" && !name.starts_with('.') && path.is_file() {
            files.push((name.to_owned(), path));
        }
    }
    files.sort();
    Ok(files)
}

/// A look at a file's metadata.
#[cfg(unix)]
pub fn fingerprint(path: &Path) -> io::Result<Fingerprint> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = fs::metadata(path)?;
    Ok(Fingerprint {
        len: metadata.len(),
        modified: metadata.modified().ok(),
        inode: metadata.ino(),
    })
}

/// A look at a file's metadata.
#[cfg(not(unix))]
pub fn fingerprint(path: &Path) -> io::Result<Fingerprint> {
    let metadata = fs::metadata(path)?;
    Ok(Fingerprint { len: metadata.len(), modified: metadata.modified().ok(), inode: 0 })
}

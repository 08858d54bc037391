//! Versions and aliases: what the API has made, in memory as one immutable
//! value, and on the disk.

use std::{
    collections::BTreeMap,
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwapOption;
use rusqlite::Connection;
use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::{moment, settings::EventConfig, url::FunctionUrl};
use crate::{
    config::FunctionConfig,
    sandbox::{self, Code, CodeFile, Function, Sandbox},
};

/// All functions' versions, aliases and settings, by the functions' names.
pub type Published = BTreeMap<String, Own>;

/// What one function has.
#[derive(Clone, Default)]
pub struct Own {
    /// Versions by number.
    pub versions: BTreeMap<u64, Arc<Version>>,
    /// The number that was given last; none is given twice.
    pub last_number: u64,
    /// Aliases by name.
    pub aliases: BTreeMap<String, Arc<Alias>>,
    /// Reserved concurrency in place of the configured one.
    pub reserved: Option<u32>,
    /// How asynchronous invocations go, by version or alias.
    pub event_configs: BTreeMap<String, EventConfig>,
    /// URLs, by `$LATEST` or alias.
    pub urls: BTreeMap<String, FunctionUrl>,
}

/// A version: code that does not change any more.
pub struct Version {
    /// Its number, from 1.
    pub number: u64,
    /// SHA-256 of its `.wasm` file.
    pub sha256: [u8; 32],
    /// Size of that file, in bytes.
    pub size: usize,
    /// What was said of it.
    pub description: String,
    /// When it was published.
    pub published: OffsetDateTime,
    /// The revision id.
    pub revision: String,
    code: Result<Arc<Code>, String>,
    // As it was needed last.
    function: ArcSwapOption<Function>,
}

/// A name for a version, or for two with a weight.
#[derive(Debug, Clone, PartialEq)]
pub struct Alias {
    /// Its name.
    pub name: String,
    /// The version's number, or `$LATEST`.
    pub version: String,
    /// What was said of it.
    pub description: String,
    /// Other versions, each with its share of the invocations, 0 to 1.
    pub weights: Vec<(String, f64)>,
    /// The revision id.
    pub revision: String,
}

impl Version {
    /// A version of loaded code, or of code that could not be loaded.
    pub fn new(
        number: u64,
        sha256: [u8; 32],
        size: usize,
        description: String,
        code: Result<Arc<Code>, String>,
    ) -> Self {
        Self {
            number,
            sha256,
            size,
            description,
            published: moment::now(),
            revision: uuid::Uuid::new_v4().to_string(),
            code,
            function: ArcSwapOption::empty(),
        }
    }

    /// Why it cannot be invoked, as far as that is known by now.
    pub fn problem(&self) -> Option<&str> {
        match &self.code {
            Ok(code) => code.problem(),
            Err(reason) => Some(reason),
        }
    }

    /// Whether its code is still being compiled.
    pub fn is_pending(&self) -> bool {
        self.code.as_ref().is_ok_and(|code| !code.is_settled())
    }

    /// The version as a function that has what is configured now: what a
    /// function is granted is the configuration's word, for old code too.
    ///
    /// # Errors
    /// Why its code cannot be loaded.
    pub fn function(
        &self,
        sandbox: &Sandbox,
        name: &str,
        config: &FunctionConfig,
    ) -> Result<Arc<Function>, String> {
        if let Some(problem) = self.problem() {
            return Err(problem.to_owned());
        }
        if let Some(function) = &*self.function.load()
            && *function.config == *config
        {
            return Ok(Arc::clone(function));
        }
        let code = Arc::clone(self.code.as_ref().map_err(String::clone)?);
        let number = self.number.to_string();
        let function = Arc::new(sandbox.function(name, &number, code, config.clone()));
        self.function.store(Some(Arc::clone(&function)));
        Ok(function)
    }
}

impl Alias {
    /// The version for an invocation, where `random` is from 0 to 1.
    pub fn pick(&self, random: f64) -> &str {
        let mut from = 0.0;
        for (version, weight) in &self.weights {
            from += weight;
            if random < from {
                return version;
            }
        }
        &self.version
    }

    /// The versions that it names.
    pub fn versions(&self) -> impl Iterator<Item = &str> {
        let others = self.weights.iter().map(|(version, _)| version.as_str());
        std::iter::once(self.version.as_str()).chain(others)
    }

    /// Whether it names this version.
    pub fn names(&self, version: &str) -> bool {
        self.versions().any(|own| own == version)
    }

    /// The weights as the API has them.
    pub fn weights(&self) -> Map<String, Value> {
        self.weights.iter().map(|(version, weight)| (version.clone(), (*weight).into())).collect()
    }
}

/// Where the bytes of versions are: named by what they are.
pub struct Archive(PathBuf);

impl Archive {
    /// The folder below `data`.
    pub fn new(data: &Path) -> Self {
        Self(data.join("versions"))
    }

    fn path(&self, sha256: &[u8; 32]) -> PathBuf {
        self.0.join(format!("{}.wasm", sandbox::hex(sha256)))
    }

    /// Keeps bytes; they are on the disk when this returns.
    pub fn put(&self, sha256: &[u8; 32], wasm: &[u8]) -> io::Result<()> {
        let path = self.path(sha256);
        // A copy that was damaged is replaced.
        if self.get(sha256).is_ok() {
            return Ok(());
        }
        fs::create_dir_all(&self.0)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.0)?;
        file.write_all(wasm)?;
        file.as_file().sync_all()?;
        file.persist(&path).map_err(|error| error.error)?;
        // The folder's entry too.
        fs::File::open(&self.0)?.sync_all()
    }

    /// The bytes, if they are still what they were.
    pub fn get(&self, sha256: &[u8; 32]) -> io::Result<Vec<u8>> {
        let wasm = fs::read(self.path(sha256))?;
        if sandbox::digest(&wasm) != *sha256 {
            return Err(io::Error::other(CHANGED));
        }
        Ok(wasm)
    }

    /// Forgets bytes that no version needs.
    pub fn remove(&self, sha256: &[u8; 32]) {
        let path = self.path(sha256);
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "a version's code could not be removed");
        }
    }

    /// The code of versions with these digests, each with what progress calls it.
    fn load(&self, sandbox: &Sandbox, versions: &BTreeMap<[u8; 32], String>) -> Codes {
        let file = |(sha256, name): (&[u8; 32], &String)| CodeFile {
            name: name.clone(),
            path: self.path(sha256),
            is_reported: false,
        };
        let files: Vec<CodeFile> = versions.iter().map(file).collect();
        let mut codes = Codes::new();
        for ((sha256, file), code) in versions.keys().zip(&files).zip(sandbox.code(&files)) {
            let code = match code {
                Ok(code) if code.sha256 != *sha256 => Err(CHANGED.to_owned()),
                code => code,
            };
            let code = code.map_err(|error| format!("{}: {error}", file.path.display()));
            codes.insert(*sha256, code);
        }
        codes
    }
}

/// Code by its digest, or why there is none.
type Codes = BTreeMap<[u8; 32], Result<Arc<Code>, String>>;

/// What is wrong with a copy that was damaged.
const CHANGED: &str = "its content is not what its name says";

/// Everything as the disk has it.
pub fn load(
    connection: &Connection,
    archive: &Archive,
    sandbox: &Sandbox,
) -> rusqlite::Result<Published> {
    let mut published = Published::new();
    load_versions(connection, archive, sandbox, &mut published)?;
    let mut statement = connection.prepare("SELECT function, last FROM version_number")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let last: i64 = row.get(1)?;
        let own = published.entry(row.get(0)?).or_default();
        own.last_number = u64::try_from(last).unwrap_or_default();
    }
    load_aliases(connection, &mut published)?;
    let mut statement = connection.prepare("SELECT function, reserved FROM concurrency")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        published.entry(row.get(0)?).or_default().reserved = Some(row.get(1)?);
    }
    for (function, qualifier, config) in EventConfig::load(connection)? {
        published.entry(function).or_default().event_configs.insert(qualifier, config);
    }
    for (function, qualifier, url) in FunctionUrl::load(connection)? {
        published.entry(function).or_default().urls.insert(qualifier, url);
    }
    Ok(published)
}

fn load_versions(
    connection: &Connection,
    archive: &Archive,
    sandbox: &Sandbox,
    published: &mut Published,
) -> rusqlite::Result<()> {
    let columns = "function, number, sha256, size, description, published_ms, revision";
    let mut names: BTreeMap<[u8; 32], String> = BTreeMap::new();
    let mut versions = Vec::new();
    let mut statement = connection.prepare(&format!("SELECT {columns} FROM version"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let function: String = row.get(0)?;
        let (number, size): (i64, i64) = (row.get(1)?, row.get(3)?);
        let sha256: [u8; 32] = row.get(2)?;
        names.entry(sha256).or_insert_with(|| format!("version {number} of {function}"));
        let number = u64::try_from(number).unwrap_or_default();
        let size = usize::try_from(size).unwrap_or_default();
        let version = Version {
            published: moment::of_ms(row.get(5)?),
            revision: row.get(6)?,
            // Until all of them are known.
            ..Version::new(number, sha256, size, row.get(4)?, Err(String::new()))
        };
        versions.push((function, version));
    }
    let codes = archive.load(sandbox, &names);
    for (function, mut version) in versions {
        if let Some(code) = codes.get(&version.sha256) {
            version.code.clone_from(code);
        }
        let number = version.number;
        if let Err(error) = &version.code {
            tracing::error!("version {number} of {function} cannot be invoked: {error}");
        }
        published.entry(function).or_default().versions.insert(number, Arc::new(version));
    }
    Ok(())
}

fn load_aliases(connection: &Connection, published: &mut Published) -> rusqlite::Result<()> {
    let mut statement = connection
        .prepare("SELECT function, name, version, description, weights, revision FROM alias")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let weights: String = row.get(4)?;
        let alias = Alias {
            name: row.get(1)?,
            version: row.get(2)?,
            description: row.get(3)?,
            weights: serde_json::from_str(&weights).unwrap_or_default(),
            revision: row.get(5)?,
        };
        let own = published.entry(row.get(0)?).or_default();
        own.aliases.insert(alias.name.clone(), Arc::new(alias));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_shares_its_invocations_by_weight() {
        let alias = Alias {
            name: "live".to_owned(),
            version: "1".to_owned(),
            description: String::new(),
            weights: vec![("2".to_owned(), 0.25)],
            revision: String::new(),
        };
        let picked: Vec<&str> = [0.0, 0.24, 0.25, 0.99].map(|random| alias.pick(random)).to_vec();
        assert_eq!(picked, ["2", "2", "1", "1"]);
        assert!(alias.names("1") && alias.names("2") && !alias.names("3"));
    }

    #[test]
    fn code_is_kept_under_what_it_is() {
        let data = tempfile::tempdir().expect("a folder");
        let archive = Archive::new(data.path());
        let sha256 = sandbox::digest(b"wasm");
        archive.put(&sha256, b"wasm").expect("kept");
        assert_eq!(archive.get(&sha256).expect("bytes"), b"wasm");
        fs::write(archive.path(&sha256), b"damaged").expect("written");
        assert!(archive.get(&sha256).is_err());
        archive.put(&sha256, b"wasm").expect("kept again");
        assert_eq!(archive.get(&sha256).expect("bytes"), b"wasm");
        archive.remove(&sha256);
        archive.remove(&sha256);
        assert!(archive.get(&sha256).is_err());
    }
}

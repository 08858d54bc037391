//! Watch → load → build → swap: what is saved takes effect, what is invalid
//! does not.
//!
//! Every reload loads everything from the beginning and builds a whole new
//! snapshot; unchanged files are recognised and cost a look at their metadata.
//! A failed reload changes nothing and says so once.

mod files;
mod watch;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU16, AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;

use crate::{
    config::{self, Config, Overrides, Problem, ServerConfig},
    gateway::{FunctionState, Gateway},
    integration::http::Clients,
    lambda::Lambda,
    sandbox::{Code, Function, LATEST, Sandbox},
    services::Services,
    state::State,
    user_pool::UserPools,
};
use files::{Files, Look, handler_files};
pub use watch::start;

/// What servers and the admin API see.
pub struct Shared {
    /// The snapshot of the moment.
    pub gateway: Arc<ArcSwap<Gateway>>,
    /// What is wrong at the moment, each in a line.
    pub problems: ArcSwap<Vec<String>>,
    reloads: AtomicU64,
    port: AtomicU16,
}

impl Shared {
    /// Begins with a first snapshot.
    pub fn new(gateway: Gateway, problems: Vec<String>) -> Self {
        Self {
            gateway: Arc::new(ArcSwap::from_pointee(gateway)),
            problems: ArcSwap::from_pointee(problems),
            reloads: AtomicU64::new(0),
            port: AtomicU16::new(0),
        }
    }

    /// The port that the API listens on, once it does.
    pub fn port(&self) -> u16 {
        self.port.load(Ordering::Relaxed)
    }

    /// Tells where it does.
    pub fn listens(&self, port: u16) {
        self.port.store(port, Ordering::Relaxed);
    }

    /// How many times a new snapshot has taken effect since the start.
    pub fn reloads(&self) -> u64 {
        self.reloads.load(Ordering::Relaxed)
    }
}

/// Where the configuration comes from.
#[derive(Debug, Clone)]
pub struct Source {
    /// The file.
    pub file: PathBuf,
    /// Whether it has to be there; without it, everything has its default.
    pub required: bool,
    /// What relative paths of the command line start from.
    pub working_folder: PathBuf,
    /// The command line.
    pub overrides: Overrides,
}

impl Source {
    /// Reads and checks the configuration by itself.
    ///
    /// # Errors
    /// Every problem in the file and on the command line.
    pub fn read(&self) -> Result<Config, Box<config::Invalid>> {
        let present = self.required || self.working_folder.join(&self.file).exists();
        let file = present.then_some(self.file.as_path());
        config::load(file, &self.working_folder, &self.overrides)
    }

    /// The same, for whoever needs a configuration to go on: what is wrong
    /// includes routes of functions that have no file.
    ///
    /// # Errors
    /// Every problem there is.
    pub fn load(&self) -> Result<Config, Box<config::Invalid>> {
        self.read().map_err(|mut invalid| {
            let files = handler_files(&invalid.partial.server.handlers).unwrap_or_default();
            let names = files.iter().map(|(name, _)| name.as_str()).collect();
            invalid.problems.extend(unknown_functions(&invalid.partial, &names));
            invalid.problems.sort_by(|a, b| (&a.file, a.place).cmp(&(&b.file, b.place)));
            invalid
        })
    }
}

/// Turns configuration and files into snapshots, and remembers what it has
/// seen.
pub struct Loader {
    source: Source,
    sandbox: Arc<Sandbox>,
    services: Arc<Services>,
    clients: Clients,
    state: Arc<State>,
    user_pools: UserPools,
    lambda: Arc<Lambda>,
    handlers: Files,
    reported: BTreeSet<String>,
    // What the configuration names as it is now, be it valid or not.
    files: Vec<PathBuf>,
    // The configuration of the last problem-free load.
    config: Config,
}

/// What a look at the folder gave.
struct Scan {
    functions: BTreeMap<String, FunctionState>,
    // A file is invalid but may still be being written.
    unsettled: bool,
}

impl Loader {
    /// A loader that starts from `config`, which `source` gave.
    pub fn new(
        source: Source,
        config: Config,
        sandbox: Arc<Sandbox>,
        services: Arc<Services>,
        state: Arc<State>,
        user_pools: UserPools,
        lambda: Arc<Lambda>,
    ) -> Self {
        Self {
            source,
            sandbox,
            services,
            clients: Clients::default(),
            state,
            user_pools,
            lambda,
            handlers: Files::default(),
            reported: BTreeSet::new(),
            files: config.files.clone(),
            config,
        }
    }

    /// The first snapshot, with what is wrong with handlers by now: what the
    /// cache has not is being compiled.
    ///
    /// # Errors
    /// Routes of functions that have no file.
    pub fn first(&mut self) -> Result<(Gateway, Vec<String>), Vec<Problem>> {
        let functions = self.scan(&self.config.clone(), None).functions;
        let unknown = unknown_functions(&self.config, &names(&functions));
        if !unknown.is_empty() {
            return Err(unknown);
        }
        let gateway = self.gateway(functions, None);
        let problems = self.handler_problems(&gateway);
        self.reported.extend(problems.iter().cloned());
        Ok((gateway, problems))
    }

    /// The folder's handlers as they are now, compiled, under `config`.
    pub fn functions(&mut self, config: &Config) -> BTreeMap<String, FunctionState> {
        let functions = self.scan(config, None).functions;
        self.sandbox.finish();
        functions
    }

    /// Waits until everything is compiled.
    ///
    /// # Returns
    /// What is wrong with handlers then.
    pub fn finish(&mut self, gateway: &Gateway) -> Vec<String> {
        self.sandbox.finish();
        self.handler_problems(gateway)
    }

    /// Loads everything again and swaps in what is valid. True means: look
    /// again soon, something may still be being written.
    pub fn reload(&mut self, shared: &Shared) -> bool {
        let current = shared.gateway.load_full();
        let mut problems = Vec::new();
        let mut config = self.config.clone();
        // A file that was there is not meant to be gone: an editor may be
        // replacing it.
        self.source.required |= self.config.file.is_some();
        match self.source.load() {
            Ok(loaded) => {
                self.files.clone_from(&loaded.files);
                problems.extend(restart_needed(&loaded, &self.config.server));
                if problems.is_empty() {
                    config = loaded;
                }
            }
            Err(invalid) => {
                // One of these may be what has to change.
                self.files.clone_from(&invalid.partial.files);
                problems.extend(invalid.problems.iter().map(ToString::to_string));
            }
        }
        let mut scan = self.scan(&config, Some(&current));
        if config != self.config {
            let mut refused: Vec<String> = unknown_functions(&config, &names(&scan.functions))
                .iter()
                .map(ToString::to_string)
                .collect();
            if let Err(error) = self.services.create_tables(&config.tables) {
                refused.push(error.to_string());
            }
            let user_pools = UserPools::open(&config.server.data, &config.user_pools);
            let user_pools = user_pools.map_err(|error| refused.push(error.to_string()));
            if refused.is_empty() {
                self.user_pools = user_pools.unwrap_or_default();
                for warning in new_warnings(&config, &self.config) {
                    tracing::warn!("{warning}");
                }
                self.config = config;
            } else {
                problems.extend(refused);
                // What is valid in the folder takes effect all the same.
                scan = self.scan(&self.config.clone(), Some(&current));
            }
        }
        let gateway = self.gateway(scan.functions, Some(&current));
        problems.extend(self.handler_problems(&gateway));
        problems.extend(missing_files(&gateway));
        let changes = changes(&current, &gateway);
        if !changes.is_empty() {
            shared.gateway.store(Arc::new(gateway));
            shared.reloads.fetch_add(1, Ordering::Relaxed);
            tracing::info!("reloaded: {}", changes.join(", "));
        }
        self.report(shared, problems, scan.unsettled);
        scan.unsettled
    }

    /// A snapshot of what is in force.
    fn gateway(
        &self,
        functions: BTreeMap<String, FunctionState>,
        before: Option<&Gateway>,
    ) -> Gateway {
        let (config, pools) = (self.config.clone(), self.user_pools.clone());
        let (state, lambda) = (Arc::clone(&self.state), Arc::clone(&self.lambda));
        Gateway::new(config, functions, &self.clients, state, pools, lambda, before)
    }

    /// The folders whose changes matter: those of the configuration, of the
    /// handlers and of what either links to.
    fn folders(&self) -> BTreeSet<PathBuf> {
        let mut folders = BTreeSet::new();
        let handlers = &self.config.server.handlers;
        let mut files: Vec<PathBuf> = self.handlers.paths().cloned().collect();
        files.push(self.source.working_folder.join(&self.source.file));
        files.push(handlers.clone());
        files.extend(self.files.iter().cloned());
        for file in files {
            // A link can be swapped where it lies, or where it leads.
            let target = fs::canonicalize(&file).ok();
            for path in [Some(file), target].into_iter().flatten() {
                folders.extend(path.parent().map(Path::to_owned));
            }
        }
        folders.extend(fs::canonicalize(handlers));
        folders
    }

    /// Every handler in the folder. What is new beside `current` is compiled;
    /// without one it is begun.
    fn scan(&mut self, config: &Config, current: Option<&Gateway>) -> Scan {
        let mut functions = BTreeMap::new();
        let mut unsettled = false;
        let files = handler_files(&config.server.handlers).unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                let folder = config.server.handlers.display();
                tracing::warn!(%folder, %error, "the handlers' folder cannot be read");
            }
            Vec::new()
        });
        for Look { name, outcome, settled } in
            self.handlers.look(&self.sandbox, files, current.is_some())
        {
            unsettled |= outcome.is_err() && !settled;
            let before = current.and_then(|gateway| gateway.functions.get(&name));
            let before = before.and_then(|before| before.function().ok());
            let state = self.state(&name, config, outcome, before);
            functions.insert(name, state);
        }
        Scan { functions, unsettled }
    }

    fn state(
        &self,
        name: &str,
        config: &Config,
        outcome: Result<Arc<Code>, String>,
        before: Option<&Arc<Function>>,
    ) -> FunctionState {
        if let Err(reason) = config::function_name(name) {
            return FunctionState::Failed { reason: format!("{name}.wasm: {reason}") };
        }
        let (code, stale) = match (outcome, before) {
            (Ok(code), _) => (code, None),
            (Err(reason), Some(before)) => (Arc::clone(&before.code), Some(reason)),
            (Err(reason), None) => return FunctionState::Failed { reason },
        };
        let granted = config.function(name);
        let function = match before {
            Some(before) if before.code.sha256 == code.sha256 && *before.config == *granted => {
                Arc::clone(before)
            }
            _ => Arc::new(self.sandbox.function(name, LATEST, code, granted.clone())),
        };
        FunctionState::Loaded { function, stale }
    }

    fn handler_problems(&self, gateway: &Gateway) -> Vec<String> {
        let folder = gateway.config.server.handlers.display();
        gateway
            .functions
            .values()
            .filter_map(|state| {
                let problem = state.problem()?;
                let serving = match state.function() {
                    Ok(_) => "; the version before keeps serving",
                    Err(_) => "",
                };
                Some(format!("{folder}/{problem}{serving}"))
            })
            .collect()
    }

    /// Says what is new, once; what may still be being written waits.
    fn report(&mut self, shared: &Shared, problems: Vec<String>, unsettled: bool) {
        if unsettled {
            return;
        }
        for problem in problems.iter().filter(|problem| !self.reported.contains(*problem)) {
            tracing::error!("{problem}");
        }
        self.reported = problems.iter().cloned().collect();
        shared.problems.store(Arc::new(problems));
    }
}

/// The names of the functions that have a file.
pub fn names(functions: &BTreeMap<String, FunctionState>) -> BTreeSet<&str> {
    functions.keys().map(String::as_str).collect()
}

/// What names a function that has no file.
pub fn unknown_functions(config: &Config, functions: &BTreeSet<&str>) -> Vec<Problem> {
    let routes = config.routes.iter().flat_map(|route| {
        let names = config.functions_of(route).into_iter();
        names.map(move |name| (format!("the route {}", route.key), name, &route.place))
    });
    let others = config.named_functions.iter();
    let others = others.map(|named| (named.by.clone(), named.name.clone(), &named.place));
    routes
        .chain(others)
        .filter(|(_, name, _)| !functions.contains(name.as_str()))
        .map(|(by, name, place)| {
            let folder = config.server.handlers.display();
            let closest = functions
                .iter()
                .map(|other| (strsim::jaro_winkler(&name, other), other))
                .filter(|(similarity, _)| *similarity > 0.8)
                .max_by(|a, b| a.0.total_cmp(&b.0));
            let hint = match closest {
                Some((_, other)) => format!("did you mean {other:?}?"),
                None if by.starts_with("the route") => {
                    format!("put {name}.wasm into {folder}, or mock the route until there is one")
                }
                None => format!("put {name}.wasm into {folder}"),
            };
            Problem {
                file: place.file.clone(),
                place: Some((place.line, place.column)),
                message: format!(
                    "{by} names the function {name:?}, but there is no {name}.wasm in {folder}"
                ),
                hint: Some(hint),
            }
        })
        .collect()
}

/// The same for a folder that lost a file while the gateway runs.
fn missing_files(gateway: &Gateway) -> Vec<String> {
    unknown_functions(&gateway.config, &names(&gateway.functions))
        .iter()
        .map(ToString::to_string)
        .collect()
}

/// What has no effect and was not there before, wherever it stood.
fn new_warnings<'c>(config: &'c Config, before: &'c Config) -> impl Iterator<Item = &'c Problem> {
    config
        .warnings
        .iter()
        .filter(|warning| before.warnings.iter().all(|other| other.message != warning.message))
}

/// What a reload may not change, in a line each.
fn restart_needed(loaded: &Config, running: &ServerConfig) -> Vec<String> {
    let new = &loaded.server;
    let file = loaded.file.clone().unwrap_or_default();
    let differences = [
        ("listen", new.listen != running.listen),
        ("admin", new.admin != running.admin),
        ("handlers", new.handlers != running.handlers),
        ("data", new.data != running.data),
        ("state", new.state != running.state),
        ("[pools]", new.pools != running.pools),
    ];
    differences
        .into_iter()
        .filter(|(_, differs)| *differs)
        .map(|(key, _)| {
            format!(
                "{}: {key} changed, which needs a restart; the configuration before stays in force",
                file.display()
            )
        })
        .collect()
}

/// What a new snapshot brings, in words; nothing where it is the same.
fn changes(current: &Gateway, new: &Gateway) -> Vec<String> {
    let mut changes = Vec::new();
    if current.config != new.config {
        changes.push("configuration".to_owned());
    }
    for (name, state) in &new.functions {
        let before = current.functions.get(name);
        let own = before.and_then(|before| before.function().ok());
        match (own, state.function().ok()) {
            (None, Some(_)) => changes.push(format!("{name} added")),
            (Some(old), Some(new)) if old.code.sha256 != new.code.sha256 => {
                changes.push(format!("{name} changed"));
            }
            _ if before.is_none_or(|before| before.problem() != state.problem()) => {
                changes.push(format!("{name} checked"));
            }
            _ => {}
        }
    }
    for name in current.functions.keys().filter(|name| !new.functions.contains_key(*name)) {
        changes.push(format!("{name} removed"));
    }
    changes
}

//! `[function_default]` and `[function.NAME]`.

use std::{cell::RefCell, collections::BTreeMap, time::Duration};

use ipnet::IpNet;

use super::function_urls::url;
use crate::{
    config::{
        AsyncConfig, FunctionConfig, FunctionReference, FunctionUrlConfig, NamedFunction,
        OutboundConfig, OutboundHost, Pools, Secret, ServiceName, UrlAuth,
        keys::{ASYNC, FROM_ENVIRONMENT, FUNCTION, closest},
        read::{Table, Text, Value, choice},
        tree::Data,
    },
    policy::range,
};

const FUNCTION_NAME_CHARS_MAX: usize = 64;
/// Lambda's: 10 GiB.
const EPHEMERAL_STORAGE_MB_MAX: u64 = 10_240;
/// Lambda's: 15 minutes.
const TIMEOUT_MS_MAX: u64 = 900_000;
/// Lambda's: 6 hours.
const EVENT_AGE_SECONDS_MAX: u64 = 21_600;
const RETRY_DELAY_MS_MAX: u64 = 3_600_000;
const MIB: u64 = 1024 * 1024;
const SERVICES: [(&str, ServiceName); 1] = [("ses", ServiceName::Ses)];

/// Why a function cannot have this name.
///
/// The rule is Lambda's: 1 to 64 letters, digits, `-` and `_`.
pub fn function_name(name: &str) -> Result<(), String> {
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if name.is_empty() || name.len() > FUNCTION_NAME_CHARS_MAX || !name.chars().all(valid) {
        return Err(format!(
            "a function's name has 1 to {FUNCTION_NAME_CHARS_MAX} letters, digits, '-' and '_'"
        ));
    }
    Ok(())
}

/// What is said of functions.
pub struct Functions {
    pub function_default: FunctionConfig,
    pub functions: BTreeMap<String, FunctionConfig>,
    pub function_urls: BTreeMap<String, FunctionUrlConfig>,
}

impl FunctionConfig {
    /// That of Lambda, where nothing is written: nothing is granted.
    pub fn of_lambda(memory_mb: u32) -> Self {
        Self {
            environment: BTreeMap::new(),
            tables: Vec::new(),
            services: Vec::new(),
            outbound: OutboundConfig {
                hosts: Vec::new(),
                networks: Vec::new(),
                response_bytes_max: 64 * MIB,
            },
            memory_mb,
            ephemeral_storage_mb: None,
            timeout: Duration::from_secs(3),
            log_bytes_max: 64 * 1024,
            payload_bytes_max: 6 * 1024 * 1024,
            response_bytes_max: 6 * 1024 * 1024,
            reserved_concurrency: None,
            asynchronous: AsyncConfig {
                maximum_retry_attempts: 2,
                maximum_event_age: Duration::from_secs(EVENT_AGE_SECONDS_MAX),
                retry_delay: Duration::from_secs(60),
                on_success: None,
                on_failure: None,
                dead_letter: None,
            },
        }
    }
}

/// Reads functions against what they depend on.
pub struct Reader<'c> {
    pools: &'c Pools,
    // Those that the file names, be they valid or not.
    tables: Vec<&'c str>,
    named: RefCell<Vec<NamedFunction>>,
}

impl<'c> Reader<'c> {
    pub fn new(pools: &'c Pools, root: &Table<'c>) -> Self {
        let tables = root.entries("table", "");
        let tables = tables.into_iter().map(|entry| entry.name.text).collect();
        Self { pools, tables, named: RefCell::default() }
    }

    /// The functions that those that were read name.
    pub fn named(self) -> Vec<NamedFunction> {
        self.named.into_inner()
    }

    /// The defaults and the functions that have a table of their own.
    pub fn functions(&self, root: &Table<'_>) -> Functions {
        let lambda = FunctionConfig::of_lambda(self.pools.memory_mb_max.min(128));
        let table = root.table("function_default", &FUNCTION);
        let function_default = self.function(&table, lambda);
        if let Some(url) = table.take("url") {
            url.problem("function_default cannot have a url", "write [function.NAME.url]");
        }
        let given = root.take("credential");
        let has_credentials =
            given.is_some_and(|own| matches!(own.value, Data::Array(own) if !own.is_empty()));
        let hint = "write [function.NAME] and below it what this function gets";
        let (mut functions, mut function_urls) = (BTreeMap::new(), BTreeMap::new());
        for entry in root.entries("function", hint) {
            let name = entry.name;
            if let Err(hint) = function_name(name.text) {
                let message = format!("a function cannot be named {:?}", name.text);
                root.source.problem(name.at, message, hint);
            }
            if let Some(table) = entry.value.table(&FUNCTION) {
                let function = self.function(&table, function_default.clone());
                functions.insert(name.text.to_owned(), function);
                if let Some(url) = url(&table) {
                    if url.auth == UrlAuth::Iam && !has_credentials {
                        let message = format!(
                            "nobody can call {}.url: there is no [[credential]]",
                            table.path
                        );
                        let hint = "write [[credential]] with its access_key_id and a policy";
                        root.source.warning(name.at, message, hint);
                    }
                    let by = format!("{}.url", table.path);
                    let (name, place) = (name.text.to_owned(), root.source.located(name.at));
                    function_urls.insert(name.clone(), url);
                    self.named.borrow_mut().push(NamedFunction { by, name, place });
                }
            }
        }
        Functions { function_default, functions, function_urls }
    }

    /// What `table` says, on top of `base`: environments are merged, lists
    /// replaced.
    fn function(&self, table: &Table<'_>, base: FunctionConfig) -> FunctionConfig {
        let mut function = base;
        function.environment.extend(environment(table));
        if let Some(given) = table.take("tables").and_then(|value| value.strings()) {
            function.tables =
                given.into_iter().filter_map(|name| self.table(table, name)).collect();
        }
        if let Some(given) = table.take("services") {
            function.services = services(&given);
        }
        outbound(table, &mut function.outbound);
        let pools = self.pools;
        function.memory_mb = table.integer_or(
            "memory_mb",
            1..=pools.memory_mb_max.into(),
            "pools.memory_mb_max is the most that a function may have",
            function.memory_mb,
        );
        if let Some(given) = table.take("ephemeral_storage_mb") {
            let hint = "without the key a function has no /tmp; Lambda gives 512 to 10240";
            let given = given.integer(1..=EPHEMERAL_STORAGE_MB_MAX, hint);
            function.ephemeral_storage_mb = given.and_then(|size| u32::try_from(size).ok());
        }
        function.timeout =
            table.milliseconds("timeout_ms", 1..=TIMEOUT_MS_MAX, "", function.timeout);
        function.log_bytes_max =
            table.integer("log_bytes_max", 0..=64 * MIB, function.log_bytes_max);
        function.payload_bytes_max =
            table.integer("payload_bytes_max", 1..=1024 * MIB, function.payload_bytes_max);
        function.response_bytes_max =
            table.integer("response_bytes_max", 1..=1024 * MIB, function.response_bytes_max);
        if let Some(given) = table.take("reserved_concurrency") {
            let hint = "pools.concurrency_max is shared by all functions; 0 throttles every call";
            let given = given.integer(0..=pools.concurrency_max.into(), hint);
            function.reserved_concurrency = given.and_then(|limit| u32::try_from(limit).ok());
        }
        if let Some(given) = table.take("async").and_then(|value| value.table(&ASYNC)) {
            self.asynchronous(&given, &mut function.asynchronous);
        }
        function
    }

    fn asynchronous(&self, table: &Table<'_>, config: &mut AsyncConfig) {
        let attempts = config.maximum_retry_attempts;
        config.maximum_retry_attempts = table.integer("maximum_retry_attempts", 0..=2, attempts);
        let hint = "the service keeps an event for 60 seconds to 6 hours";
        let age = table.take("maximum_event_age_seconds");
        let age = age.and_then(|value| value.integer(60..=EVENT_AGE_SECONDS_MAX, hint));
        config.maximum_event_age = age.map_or(config.maximum_event_age, Duration::from_secs);
        config.retry_delay =
            table.milliseconds("retry_delay_ms", 1..=RETRY_DELAY_MS_MAX, "", config.retry_delay);
        for (key, destination) in [
            ("on_success", &mut config.on_success),
            ("on_failure", &mut config.on_failure),
            ("dead_letter", &mut config.dead_letter),
        ] {
            if let Some(value) = table.take(key)
                && let Some((reference, named)) = reference(&value)
            {
                *destination = Some(reference);
                self.named.borrow_mut().push(named);
            }
        }
    }

    fn table(&self, table: &Table<'_>, name: Text<'_>) -> Option<String> {
        if self.tables.contains(&name.text) {
            return Some(name.text.to_owned());
        }
        let hint = match closest(name.text, &self.tables) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("write [table.{}] with its partition_key", name.text),
        };
        let message = format!("{}.tables: there is no table {:?}", table.path, name.text);
        table.source.problem(name.at, message, hint);
        None
    }
}

fn outbound(table: &Table<'_>, outbound: &mut OutboundConfig) {
    if let Some(given) = table.take("outbound").and_then(|value| value.strings()) {
        let read = |text: Text<'_>| match OutboundHost::parse(text.text) {
            Ok(host) => Some(host),
            Err((why, hint)) => {
                table.source.problem(text.at, format!("{}.outbound: {why}", table.path), hint);
                None
            }
        };
        outbound.hosts = given.into_iter().filter_map(read).collect();
    }
    if let Some(given) = table.take("outbound_networks").and_then(|value| value.strings()) {
        let read = |text: Text<'_>| {
            let network = network(text.text);
            if network.is_none() {
                let what = format!("{}.outbound_networks: {:?}", table.path, text.text);
                let hint = "write for example \"127.0.0.1\", \"10.0.0.0/8\" or \"fd00::/8\"";
                table.source.problem(text.at, format!("{what} is no address and no range"), hint);
            }
            network
        };
        outbound.networks = given.into_iter().filter_map(read).collect();
    }
    outbound.response_bytes_max = table.integer(
        "outbound_response_bytes_max",
        0..=1024 * 1024 * MIB,
        outbound.response_bytes_max,
    );
}

/// A range of addresses, or one of them.
fn network(text: &str) -> Option<IpNet> {
    range(text).map(|network| network.trunc())
}

/// A function that a value names, with or without a version or alias.
pub fn reference(value: &Value<'_>) -> Option<(FunctionReference, NamedFunction)> {
    let text = value.string()?;
    match FunctionReference::parse(text.text) {
        Ok(reference) => {
            let place = value.source.located(text.at);
            let named =
                NamedFunction { by: value.path.clone(), name: reference.name.clone(), place };
            Some((reference, named))
        }
        Err(hint) => {
            let message = format!("{} cannot be {:?}", value.path, text.text);
            value.source.problem(text.at, message, hint);
            None
        }
    }
}

fn services(given: &Value<'_>) -> Vec<ServiceName> {
    let items = given.array().unwrap_or_default();
    items.iter().filter_map(|item| choice(item, item.string()?, &SERVICES)).collect()
}

fn environment(table: &Table<'_>) -> Vec<(String, Secret)> {
    let hint = "write { NAME = \"value\" }, or NAME = { from_env = \"VARIABLE\" }";
    let mut variables = Vec::new();
    for entry in table.entries("environment", hint) {
        let name = entry.name.text;
        if name.is_empty() || name.contains(['=', '\0']) {
            let message = format!("an environment variable cannot be named {name:?}");
            table.source.problem(entry.name.at, message, "use letters, digits and '_'");
        }
        if let Some(value) = variable(&entry.value) {
            if value.contains('\0') {
                let message = format!("{} has a NUL character in it", entry.value.path);
                entry.value.problem(message, "an environment cannot hold one");
            }
            variables.push((name.to_owned(), Secret::new(value)));
        }
    }
    variables
}

/// A value as written, or that of a variable of the gateway's own environment,
/// which keeps secrets out of the file.
fn variable(value: &Value<'_>) -> Option<String> {
    if !matches!(value.value, Data::Table(_)) {
        return value.string().map(|text| text.text.to_owned());
    }
    let table = value.table(&FROM_ENVIRONMENT)?;
    let Some(source) = table.string("from_env") else {
        if table.take("from_env").is_none() {
            value.problem(
                format!("{} names no variable", value.path),
                "write { from_env = \"NAME\" }",
            );
        }
        return None;
    };
    environment_variable(value, source)
}

/// The value of a variable of the gateway's own environment.
pub fn environment_variable(value: &Value<'_>, name: Text<'_>) -> Option<String> {
    match std::env::var(name.text) {
        Ok(found) => Some(found),
        Err(error) => {
            // Of one that is not UTF-8 the error shows what it holds.
            let why = match error {
                std::env::VarError::NotPresent => "is not set",
                std::env::VarError::NotUnicode(_) => "is not UTF-8",
            };
            let message = format!("{}: the variable {:?} {why}", value.path, name.text);
            value.source.problem(name.at, message, "set it where mayfly is started");
            None
        }
    }
}

//! From the text of `gateway.toml` to the checked types, a file per section.
//!
//! Every section reads what it can and leaves a stand-in for what it cannot,
//! so that one pass finds every problem.

mod api;
mod authorizers;
mod cache;
mod collections;
mod conditions;
mod cors;
mod credentials;
mod definition;
mod domains;
mod endpoint;
mod expression;
mod filter;
mod function_urls;
mod functions;
mod gateway_responses;
mod integration;
mod mock;
mod models;
mod record;
mod routes;
mod schedules;
mod server;
mod state;
mod tables;
mod templates;
mod usage_plans;
mod user_pools;

use std::path::Path;

use toml::de::DeTable;

use super::{
    ApiKind, Config, Invalid, Overrides, Problem, absolute,
    keys::{LIMITS, POOLS, ROOT},
    openapi,
    read::{Source, Table, read_text},
    tree,
};
pub use cors::{cors_header, cors_method, cors_origin};
pub use functions::{environment_variable, function_name};
pub use routes::FRAMING;
pub use templates::is_content_type;

/// The longest configuration, in bytes: far more than anyone writes, and less
/// than what a file that never ends would take.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Where relative paths start from.
struct Folders<'f> {
    /// The configuration file's folder.
    file: &'f Path,
    /// The configuration file, as the user named it.
    named: &'f Path,
    /// The command line's.
    working: &'f Path,
}

/// An OpenAPI definition, as tables of the same form.
struct Definition<'r> {
    kind: ApiKind,
    name: Option<&'r str>,
    root: Table<'r>,
}

/// Reads and checks `file`; without one, everything has its default.
///
/// # Errors
/// Every problem there is.
pub fn load(
    file: Option<&Path>,
    working_folder: &Path,
    overrides: &Overrides,
) -> Result<Config, Box<Invalid>> {
    let path = file.map(|file| absolute(working_folder, file));
    let (text, unread) = match path.as_deref().map(|path| read_text(path, FILE_BYTES_MAX)) {
        None => (String::new(), None),
        Some(Ok(text)) => (text, None),
        Some(Err(error)) => (String::new(), Some(format!("cannot be read: {error}"))),
    };
    let name = file.unwrap_or(Path::new("gateway.toml"));
    let folder = path.as_deref().and_then(Path::parent).unwrap_or(working_folder);
    let source = Source::new(name, &text, folder);
    let (document, errors) = DeTable::parse_recoverable(&text);
    for error in errors {
        source.problem(error.span().map_or(0, |span| span.start), error.message(), "");
    }
    let unreadable = source.lines_with_problems();
    let folders = Folders { file: folder, named: name, working: working_folder };
    let document = tree::from_toml(document.get_ref());
    let root = Table::root(&source, &ROOT, &document);
    let given = definition::read(&root, &folders, overrides);
    let (definition_name, definition_text) =
        given.as_ref().map_or((name, ""), definition::Given::parts);
    let definition_source = Source::new(definition_name, definition_text, folder);
    let translated = given.as_ref().filter(|given| given.text.is_some()).and_then(|_| {
        let (kind, around) = (api::kind(&root), definition::around(&root));
        openapi::translate(&definition_source, definition_name, definition_text, kind, &around)
    });
    let definition = translated.as_ref().map(|translated| Definition {
        kind: translated.kind,
        name: translated.name.as_deref(),
        root: Table::root(&definition_source, &ROOT, &translated.root),
    });
    let mut config = config(&root, definition.as_ref(), &folders, overrides);
    source.check_stage_variables(|name| config.has_stage_variable(name));
    definition_source.warn_of_stage_variables(|name| config.has_stage_variable(name));
    config.file = file.map(Path::to_owned);
    config.files = source.files();
    config.files.extend(given.as_ref().map(|given| given.path.clone()));
    config.warnings = definition_source.warnings();
    let own_warnings = source.warnings();
    let mut problems = source.into_problems(&unreadable);
    problems.extend(unread.map(|message| Problem {
        file: name.to_owned(),
        place: None,
        message,
        hint: None,
    }));
    problems.extend(definition_source.into_problems(&[]));
    if overrides.strict {
        problems.append(&mut config.warnings);
    }
    config.warnings.extend(own_warnings);
    if problems.is_empty() {
        Ok(config)
    } else {
        Err(Box::new(Invalid { problems, partial: config }))
    }
}

/// What `gateway.toml` says wins over what the definition says.
fn config(
    root: &Table<'_>,
    definition: Option<&Definition<'_>>,
    folders: &Folders<'_>,
    overrides: &Overrides,
) -> Config {
    let kind = api::kind(root).or(definition.map(|definition| definition.kind));
    let kind = kind.unwrap_or(ApiKind::Http);
    let (mut stages, stage) = api::stages(root, kind, overrides);
    if let Some(throttle) = usage_plans::throttle_of(root) {
        for stage in stages.values_mut() {
            stage.throttle.get_or_insert(throttle);
        }
    }
    let pools = server::pools(&root.table("pools", &POOLS));
    let limits = server::limits(&root.table("limits", &LIMITS));
    let tables = tables::tables(root);
    let reader = functions::Reader::new(&pools, root);
    let functions::Functions { function_default, functions, function_urls } =
        reader.functions(root);
    let (schedules, mut named_functions) = schedules::schedules(root);
    named_functions.extend(reader.named());
    let collections = collections::collections(root);
    let user_pools = user_pools::user_pools(root);
    let theirs = definition.map(|definition| &definition.root);
    let written = |key| if root.take(key).is_some() { root } else { theirs.unwrap_or(root) };
    let both = || theirs.into_iter().chain([root]);
    let api_key_source = usage_plans::api_key_source(written("api_key_source"));
    let authorizers = authorizers::authorizers(root, theirs, kind, &user_pools);
    // A definition's models are its own, as are those of gateway.toml.
    let routes = [root].into_iter().chain(theirs).flat_map(|root| {
        let models = models::Models::read(root, kind);
        let surroundings = routes::Surroundings {
            kind,
            timeout_default: limits.integration_timeout,
            models: &models,
            collections: &collections,
            authorizers: &authorizers,
            api_key_source,
        };
        routes::routes(root, &surroundings)
    });
    let routes: Vec<_> = routes.collect();
    let policy = api::policy(written("policy"), kind);
    credentials::warn_of_the_powerless(root, theirs, policy.is_some(), &routes);
    let record = record::record(root, folders, &routes);
    api::check_methods(root, &routes);
    let name = api::name(root).or_else(|| definition?.name.map(str::to_owned));
    let name = name.unwrap_or_else(|| "mayfly".to_owned());
    let state = state::state(root, &name);
    let compression = written("minimum_compression_size");
    let usage_plans = usage_plans::usage_plans(root, &stages);
    Config {
        file: None,
        files: Vec::new(),
        warnings: Vec::new(),
        name,
        kind,
        domains: domains::domains(root, &stages, &stage),
        disable_execute_api_endpoint: root.boolean("disable_execute_api_endpoint", false),
        stage,
        stages,
        stage_prefix: root.boolean("stage_prefix", false),
        drop_in: root.boolean("drop_in", true),
        request_filter: filter::request_filter(root),
        trusted_proxies: filter::trusted_proxies(root),
        policy,
        credentials: credentials::credentials(root),
        binary_media_types: api::binary_media_types(written("binary_media_types"), kind),
        minimum_compression_size: api::minimum_compression_size(compression, kind),
        api_keys: usage_plans::api_keys(root),
        api_key_source,
        usage_plans,
        account_throttle: usage_plans::account(root),
        seed: root.take("seed").and_then(|value| value.integer(0..=i64::MAX as u64, "")),
        cors: cors::cors(written("cors")),
        gateway_responses: both()
            .flat_map(|root| gateway_responses::gateway_responses(root, kind))
            .collect(),
        routes,
        limits,
        function_default,
        functions,
        function_urls,
        tables,
        user_pools: user_pools.into_iter().filter_map(|(name, pool)| Some((name, pool?))).collect(),
        collections,
        record,
        schedules,
        named_functions,
        server: server::server(root, folders, overrides, pools, state),
    }
}

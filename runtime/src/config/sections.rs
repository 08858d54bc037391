//! From the text of `gateway.toml` to the checked types, a file per section.
//!
//! Every section reads what it can and leaves a stand-in for what it cannot,
//! so that one pass finds every problem.

mod api;
mod collections;
mod conditions;
mod cors;
mod endpoint;
mod expression;
mod functions;
mod gateway_responses;
mod integration;
mod mock;
mod models;
mod record;
mod routes;
mod server;
mod tables;
mod templates;

use std::path::Path;

use toml::de::DeTable;

use super::{
    Config, Invalid, Overrides, Problem, absolute,
    keys::{LIMITS, POOLS, ROOT},
    read::{Source, Table, read_text},
    tree,
};
pub use functions::function_name;

/// The longest configuration, in bytes: far more than anyone writes, and less
/// than what a file that never ends would take.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Where relative paths start from.
struct Folders<'f> {
    /// The configuration file's folder.
    file: &'f Path,
    /// The command line's.
    working: &'f Path,
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
    let folders = Folders { file: folder, working: working_folder };
    let document = tree::from_toml(document.get_ref());
    let root = Table::root(&source, &ROOT, &document);
    let mut config = config(&root, &folders, overrides);
    source.check_stage_variables(|name| config.has_stage_variable(name));
    config.file = file.map(Path::to_owned);
    config.files = source.files();
    let mut problems = source.into_problems(&unreadable);
    problems.extend(unread.map(|message| Problem {
        file: name.to_owned(),
        place: None,
        message,
        hint: None,
    }));
    if problems.is_empty() {
        Ok(config)
    } else {
        Err(Box::new(Invalid { problems, partial: config }))
    }
}

fn config(root: &Table<'_>, folders: &Folders<'_>, overrides: &Overrides) -> Config {
    let kind = api::kind(root);
    let (stages, stage) = api::stages(root, kind, overrides);
    let pools = server::pools(&root.table("pools", &POOLS));
    let limits = server::limits(&root.table("limits", &LIMITS));
    let tables = tables::tables(root);
    let models = models::Models::read(root, kind);
    let reader = functions::Reader::new(&pools, root);
    let (function_default, functions) = reader.functions(root);
    let collections = collections::collections(root);
    let routes = routes::routes(root, kind, limits.integration_timeout, &models, &collections);
    let record = record::record(root, folders, &routes);
    Config {
        file: None,
        files: Vec::new(),
        name: api::name(root),
        kind,
        stage,
        stages,
        stage_prefix: root.boolean("stage_prefix", false),
        drop_in: root.boolean("drop_in", true),
        binary_media_types: api::binary_media_types(root, kind),
        minimum_compression_size: api::minimum_compression_size(root, kind),
        seed: root.take("seed").and_then(|value| value.integer(0..=i64::MAX as u64, "")),
        cors: cors::cors(root),
        gateway_responses: gateway_responses::gateway_responses(root, kind),
        routes,
        limits,
        function_default,
        functions,
        tables,
        collections,
        record,
        server: server::server(root, folders, overrides, pools),
    }
}

//! `[record]`: where requests without a route go, and where answers are kept.

use std::sync::Arc;

use http::header;

use super::Folders;
use crate::{
    config::{
        HttpConfig, IntegrationParameter, MappingExpression, RecordConfig, RouteConfig, TlsConfig,
        UriTemplate, absolute, keys::RECORD, read::Table,
    },
    router::RouteKey,
};

pub fn record(
    root: &Table<'_>,
    folders: &Folders<'_>,
    routes: &[RouteConfig],
) -> Option<RecordConfig> {
    let table = root.take("record")?.table(&RECORD)?;
    for key in ["upstream", "file"] {
        if table.take(key).is_none() {
            let hint = "write upstream = \"https://api.example.com\" and file = \"recorded.toml\"";
            table.source.problem(table.at, format!("record has no {key}"), hint);
        }
    }
    if let Some(all) = routes.iter().find(|route| route.key == RouteKey::Default) {
        let message = format!("nothing is recorded: $default at {} takes everything", all.place);
        table.source.problem(table.at, message, "remove that route, or [record]");
    }
    let upstream = upstream(&table);
    let name = table.string("file")?;
    let file = absolute(folders.file, name.text.as_ref());
    if name.text.is_empty() || file.file_name() == root.source.file_name() {
        let message = format!("{:?} is no file to record into", name.text);
        table.source.problem(name.at, message, "name a file of its own, as \"recorded.toml\"");
    }
    let (upstream, endpoint) = upstream?;
    Some(RecordConfig { upstream, endpoint, file })
}

fn upstream(table: &Table<'_>) -> Option<(String, Arc<HttpConfig>)> {
    let given = table.take("upstream")?;
    let text = given.string()?.text.trim_end_matches('/');
    let hint = "write scheme, host and perhaps a path, as in \"https://api.example.com/v1\"";
    if text.contains(['?', '#', '{', '$']) {
        given.problem(format!("{text:?} is more than scheme, host and path"), hint);
        return None;
    }
    let uri = match UriTemplate::parse(&format!("{text}/{{proxy+}}")) {
        Ok(uri) => uri,
        Err(_) => {
            given.problem(format!("{text:?} is not an absolute URI"), hint);
            return None;
        }
    };
    // A body that is compressed could not be read by whoever edits the file.
    let identity = MappingExpression::Static("identity".to_owned());
    let parameters = vec![(IntegrationParameter::Header(header::ACCEPT_ENCODING), identity)];
    let endpoint = HttpConfig { uri, method: None, parameters, tls: TlsConfig::default() };
    Some((text.to_owned(), Arc::new(endpoint)))
}

//! Function URLs: each is an API of one route, and so a gateway of its own,
//! made of the snapshot's parts when it is called for the first time.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::Gateway;
use crate::{
    config::{
        ApiKeySource, ApiKind, AuthorizerConfig, AuthorizerKind, BinaryMediaTypes, Config, Domains,
        FunctionName, FunctionReference, FunctionUrlConfig, IntegrationConfig, InvokeMode,
        PayloadFormat, Place, RouteConfig, StageConfig, UrlAuth,
    },
    integration::http::Clients,
    lambda::url_id,
    router::RouteKey,
    user_pool::UserPools,
};

/// The stage that events name.
const STAGE: &str = "$default";

/// How long a function may take: no longer than any may run.
const TIMEOUT: Duration = Duration::from_secs(900);

/// What a gateway is the URL of.
#[derive(Debug, Clone, PartialEq)]
pub struct Url {
    /// The function, perhaps an alias of it.
    pub function: FunctionReference,
    /// What the URL is.
    pub config: FunctionUrlConfig,
}

impl Url {
    /// Whether answers are given while they come.
    pub fn streams(&self) -> bool {
        self.config.invoke_mode == InvokeMode::ResponseStream
    }
}

/// Function URLs by their ids: those that are configured, and the gateways of
/// those that were called.
pub struct Urls {
    configured: BTreeMap<String, FunctionReference>,
    called: Mutex<BTreeMap<String, Arc<Gateway>>>,
}

impl Urls {
    /// Those that are configured; none was called yet.
    pub fn new(config: &Config) -> Self {
        let names = config.function_urls.keys();
        let references =
            names.map(|name| FunctionReference { name: name.clone(), qualifier: None });
        let configured = references.map(|reference| (url_id(&reference), reference)).collect();
        Self { configured, called: Mutex::default() }
    }
}

impl Gateway {
    /// The gateway of the function URL with this id.
    pub fn url_gateway(&self, id: &str) -> Option<Arc<Self>> {
        let known = self.urls().get(id).map(Arc::clone);
        let function = match known.as_ref().and_then(|own| own.url.as_ref()) {
            Some(url) => url.function.clone(),
            None => match self.urls.configured.get(id) {
                Some(function) => function.clone(),
                None => self.lambda.made_url(id)?,
            },
        };
        self.functions.get(&function.name)?;
        // As it is now: the API changes it while the snapshot stays.
        let config = self.lambda.url(&self.config, &function)?.config;
        let url = Url { function, config };
        if let Some(own) = known.filter(|own| own.url.as_ref() == Some(&url)) {
            return Some(own);
        }
        let own = Arc::new(self.of_url(id, url));
        self.urls().insert(id.to_owned(), Arc::clone(&own));
        Some(own)
    }

    fn urls(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Self>>> {
        self.urls.called.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of_url(&self, id: &str, url: Url) -> Self {
        let name = &url.function.name;
        let functions = self.functions.get_key_value(name).into_iter();
        let functions = functions.map(|(name, state)| (name.clone(), state.clone())).collect();
        let (config, state) = (config(&self.config, id, &url), Arc::clone(&self.state));
        // No endpoint is called by its route.
        let (clients, pools) = (Clients::default(), UserPools::default());
        let lambda = Arc::clone(&self.lambda);
        let own = Self::new(config, functions, &clients, state, pools, lambda, None);
        Self { url: Some(url), ..own }
    }
}

/// What the gateway has is what holds for every API; what is said of its own
/// API holds for that alone.
fn config(config: &Config, id: &str, url: &Url) -> Config {
    let iam = || AuthorizerConfig { name: "AWS_IAM".to_owned(), kind: AuthorizerKind::Iam };
    let route = RouteConfig {
        key: RouteKey::Default,
        integration: IntegrationConfig::Function {
            name: FunctionName::fixed(&url.function.to_string()),
            payload: PayloadFormat::V2,
        },
        authorizer: (url.config.auth == UrlAuth::Iam).then(|| Arc::new(iam())),
        scopes: Vec::new(),
        api_key_required: false,
        throttle: None,
        cache: None,
        validation: None,
        timeout: TIMEOUT,
        place: Place { file: PathBuf::new(), line: 0, column: 0 },
    };
    Config {
        name: id.to_owned(),
        kind: ApiKind::Http,
        stage: STAGE.to_owned(),
        stages: [(STAGE.to_owned(), StageConfig::default())].into(),
        stage_prefix: false,
        drop_in: false,
        domains: Domains::default(),
        disable_execute_api_endpoint: false,
        policy: None,
        api_keys: Vec::new(),
        api_key_source: ApiKeySource::default(),
        usage_plans: Vec::new(),
        account_throttle: None,
        binary_media_types: BinaryMediaTypes::default(),
        minimum_compression_size: None,
        cors: url.config.cors.clone(),
        gateway_responses: BTreeMap::new(),
        routes: vec![route],
        collections: BTreeMap::new(),
        record: None,
        ..config.clone()
    }
}

//! From a checked configuration and loaded functions to one immutable
//! snapshot. A request takes it once and keeps it to its end; a reload builds
//! another one.

mod url;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use http::Method;
use moka::sync::Cache;
use rustls::ServerConfig;

use crate::{
    cache::StageCache,
    config::{
        ApiKind, AuthorizerConfig, AuthorizerKind, CACHE_BYTES, CACHE_TTL, Config, FunctionName,
        FunctionReference, HttpConfig, IntegrationConfig, IntegrationParameter, KeySource,
        LambdaAuthorizer, MappedConfig, MappingExpression, PayloadFormat, Place, RouteCacheConfig,
        RouteConfig, StageConfig, ThrottleConfig, Unauthorized, ValidationConfig,
    },
    integration::{
        Mock, Mocks,
        http::{Client, Clients},
        record::Recorder,
    },
    jwt::{
        KeySet, VerifiedTokens,
        remote::{Location, Remote},
    },
    lambda::{Lambda, LambdaError, Resolved},
    policy::Authorization,
    router::{PathPattern, RouteKey, RouteMethod, Router, Segment},
    sandbox::{Function, hex},
    short_id::short_id,
    state::{Bucket, State, Values},
    tls,
    usage_plan::ApiKeys,
    user_pool::UserPools,
};
pub use url::Url;
use url::Urls;

/// The account that events and ARNs name.
pub const ACCOUNT_ID: &str = "000000000000";

/// Everything that a request needs.
pub struct Gateway {
    /// The configuration this was built from.
    pub config: Config,
    /// Functions by name.
    pub functions: BTreeMap<String, FunctionState>,
    /// Routes: those of the file, then drop-ins.
    pub router: Router<Route>,
    /// What requests share.
    pub state: Arc<State>,
    /// Who may send which API key.
    pub api_keys: ApiKeys,
    /// How often all routes together may be called.
    pub account: Option<Bucket>,
    /// Versions and aliases of functions, and what is invoked later.
    pub lambda: Arc<Lambda>,
    /// What mocks remember.
    pub mocks: Mocks,
    /// What ends handshakes for names that no domain has; none where no domain
    /// is reached in TLS.
    pub nobody: Option<Arc<ServerConfig>>,
    /// The user pools of this machine.
    pub user_pools: UserPools,
    /// The keys of issuers elsewhere, which outlive snapshots.
    issuers: Vec<Arc<Remote>>,
    /// What answers where no route does.
    pub recording: Option<Recording>,
    /// What this is the URL of, where it is one's.
    pub url: Option<Url>,
    /// The deployment's id, as events have it.
    pub deployment_id: String,
    urls: Urls,
}

/// `[record]`, with the route that it stands for.
pub struct Recording {
    /// A proxy for everything.
    pub route: Route,
    /// Who writes its answers.
    pub recorder: Arc<Recorder>,
}

/// A handler in the folder, loaded or not.
#[derive(Clone)]
pub enum FunctionState {
    /// Loaded, as far as is known: its code may still be being compiled, and
    /// turn out to be no function. `stale` says why a newer file is not what
    /// runs.
    Loaded {
        /// The function.
        function: Arc<Function>,
        /// The problem with the file as it is now.
        stale: Option<String>,
    },
    /// Never loaded.
    Failed {
        /// Why.
        reason: String,
    },
}

impl FunctionState {
    /// The function, if it can be invoked.
    ///
    /// # Errors
    /// Why not.
    pub fn function(&self) -> Result<&Arc<Function>, Cow<'_, str>> {
        match self {
            Self::Loaded { function, .. } => match function.code.problem() {
                None => Ok(function),
                Some(problem) => Err(format!("{}.wasm: {problem}", function.name).into()),
            },
            Self::Failed { reason } => Err(reason.into()),
        }
    }

    /// What is wrong with its file.
    pub fn problem(&self) -> Option<Cow<'_, str>> {
        match (self.function(), self) {
            (Ok(_), Self::Loaded { stale, .. }) => stale.as_deref().map(Cow::Borrowed),
            (function, _) => function.err(),
        }
    }
}

/// A route with all that is derived from it once.
#[derive(Debug)]
pub struct Route {
    /// `GET /pets/{id}`.
    pub key: String,
    /// `/pets/{id}`.
    pub resource: String,
    /// A short stable id of the resource, as REST APIs have.
    pub resource_id: String,
    /// Whether it comes from a file in the folder, not from the configuration.
    pub drop_in: bool,
    /// The method, where it is one.
    pub method: Option<Method>,
    /// Whether a request needs an API key.
    pub api_key_required: bool,
    /// How often it may be called, by stage.
    pub throttles: BTreeMap<String, Bucket>,
    /// Where its answers are kept, by stage.
    pub caches: BTreeMap<String, RouteCache>,
    /// Who says who may call.
    pub authorizer: Option<Arc<Authorizer>>,
    /// What a token has to allow, one of them; nothing where there is none.
    pub scopes: Vec<String>,
    /// What the route itself says of keeping its answers.
    pub cache: RouteCacheConfig,
    /// What a request has to have.
    pub validation: Option<Arc<ValidationConfig>>,
    /// Whether bodies may pass through without being read; to a function only
    /// if it speaks HTTP.
    pub streams: bool,
    /// What answers.
    pub target: Target,
    /// Who calls the endpoint, where that is what answers.
    pub client: Option<Client>,
    /// How long that may take.
    pub timeout: Duration,
}

/// Where a stage keeps the answers of a route.
#[derive(Debug)]
pub struct RouteCache {
    /// The stage's cache.
    pub cache: StageCache,
    /// How long they are kept.
    pub ttl: Duration,
    /// Whether only those to GET are.
    pub only_get: bool,
    /// Whether a policy has to allow that one is made anew.
    pub require_authorization: bool,
    /// What clients get whom none allows that.
    pub unauthorized: Unauthorized,
}

/// An authorizer, with what a function said of callers.
pub struct Authorizer {
    /// What it is.
    pub config: Arc<AuthorizerConfig>,
    /// Its answers, where they are kept.
    pub answers: Option<Answers>,
    /// What verifies tokens, where it takes tokens that are signed.
    pub keys: Keys,
    /// Those that were verified, where it takes any.
    pub verified: Option<VerifiedTokens>,
}

/// What an authorizer said, by the stage and the values of identity sources.
pub enum Answers {
    /// To this gateway.
    Own(Cache<Vec<String>, Arc<Authorization>>),
    /// To any gateway, as its function said it.
    Shared(Values),
}

/// What verifies tokens.
#[derive(Debug, Clone)]
pub enum Keys {
    /// Nothing.
    None,
    /// Keys that are here.
    Here(Arc<KeySet>),
    /// Keys of an issuer elsewhere.
    Remote(Arc<Remote>),
}

impl fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Authorizer").field(&self.config.name).finish()
    }
}

/// What is kept of one authorizer's answers, in bytes.
const ANSWERS_BYTES_MAX: u64 = 16 * 1024 * 1024;

impl Authorizer {
    fn new(
        config: &Arc<AuthorizerConfig>,
        keys: Keys,
        shared: impl FnOnce(String) -> Option<Values>,
    ) -> Self {
        let weigh = |identity: &Vec<String>, answer: &Arc<Authorization>| {
            let bytes: usize = identity.iter().map(String::len).sum();
            u32::try_from(bytes + answer.size).unwrap_or(u32::MAX)
        };
        let ttl = match config.kind {
            AuthorizerKind::Lambda(LambdaAuthorizer { ttl, .. }) => ttl,
            // Their tokens are remembered elsewhere.
            AuthorizerKind::Iam | AuthorizerKind::Jwt(_) | AuthorizerKind::Cognito(_) => {
                Duration::ZERO
            }
        };
        let own = || {
            let own = Cache::builder().max_capacity(ANSWERS_BYTES_MAX).weigher(weigh);
            Answers::Own(own.time_to_live(ttl).build())
        };
        let answers = (!ttl.is_zero()).then(|| {
            shared(format!("authorizer:{}", config.name)).map_or_else(own, Answers::Shared)
        });
        let verified = config.tokens().map(|_| VerifiedTokens::new());
        Self { config: Arc::clone(config), answers, keys, verified }
    }
}

/// What answers a route.
#[derive(Debug)]
pub enum Target {
    /// A function by its name in [`Gateway::functions`].
    Function {
        /// The name.
        name: FunctionName,
        /// The event's format.
        payload: PayloadFormat,
    },
    /// A mock.
    Mock(Arc<Mock>),
    /// A mock, a function or an endpoint behind mapping templates.
    Mapped(Arc<MappedConfig>),
    /// An endpoint that gets the request as it is.
    HttpProxy(Arc<HttpConfig>),
}

/// The path's parameter where everything is proxied.
pub const REST: &str = "proxy";

/// The name that is served at the root.
const INDEX: &str = "index";

impl Gateway {
    /// Routes of the configuration first, so that they win over drop-ins. What
    /// mocks remember is taken over from `before`.
    pub fn new(
        config: Config,
        functions: BTreeMap<String, FunctionState>,
        clients: &Clients,
        state: Arc<State>,
        user_pools: UserPools,
        lambda: Arc<Lambda>,
        before: Option<&Self>,
    ) -> Self {
        let mocks = Mocks::new(&config, before.map(|before| &before.mocks));
        let mut authorizers: Vec<Arc<Authorizer>> = Vec::new();
        // What others have kept counts as long as they would make the same.
        let version = state.is_shared().then(|| version(&config, &functions));
        let shared = |space: String| state.values(format!("{}:{space}", version.as_ref()?));
        let mut issuers = Vec::new();
        let mut routes: Vec<(RouteKey, Route)> = config
            .routes
            .iter()
            .filter_map(|route| {
                let target = target(route, &mocks)?;
                let mut own = Route::new(&route.key, target, route.timeout, false);
                let endpoint = route.integration.endpoint();
                own.client = endpoint.map(|http| clients.get(&http.tls));
                own.streams = streams(&route.integration, route.validation.as_deref());
                own.api_key_required = route.api_key_required;
                own.throttles = throttles(&config, &state, &own.key, route.throttle);
                own.validation.clone_from(&route.validation);
                own.scopes.clone_from(&route.scopes);
                own.cache = route.cache.clone().unwrap_or_default();
                own.authorizer = route.authorizer.as_ref().map(|config| {
                    // Routes with the same authorizer share what it said.
                    let same = |other: &&Arc<Authorizer>| Arc::ptr_eq(&other.config, config);
                    let found = authorizers.iter().find(same).map(Arc::clone);
                    found.unwrap_or_else(|| {
                        let keys = keys(config, &user_pools, |location| {
                            let known = before.map_or(&[][..], |before| &before.issuers);
                            remote(location, &mut issuers, known, clients)
                        });
                        let new = Arc::new(Authorizer::new(config, keys, shared));
                        authorizers.push(Arc::clone(&new));
                        new
                    })
                });
                Some((route.key.clone(), own))
            })
            .collect();
        if config.drop_in {
            let named: BTreeSet<String> =
                config.routes.iter().flat_map(|route| config.functions_of(route)).collect();
            for name in functions.keys().filter(|name| !named.contains(*name)) {
                routes.extend(drop_in_routes(&config, name));
            }
        }
        let mut caches = BTreeMap::new();
        for (_, route) in &mut routes {
            if route.drop_in {
                route.throttles = throttles(&config, &state, &route.key, None);
            }
            let cache =
                |stage: &str, capacity| StageCache::new(capacity, shared(format!("stage:{stage}")));
            route.caches = route_caches(&config, route, &mut caches, cache);
        }
        let router = Router::new(config.kind, routes);
        let recording = config.record.as_ref().map(|own| {
            let old = before.and_then(|before| before.recording.as_ref());
            let old = old.map(|old| &old.recorder).filter(|old| old.is_of(own, config.kind));
            let new = || Arc::new(Recorder::new(own.clone(), config.kind));
            let target = Target::HttpProxy(Arc::clone(&own.endpoint));
            let rest = vec![Segment::Greedy(REST.to_owned())];
            let key = RouteKey::Path(RouteMethod::Any, PathPattern::from_segments(rest));
            let mut route = Route::new(&key, target, config.limits.integration_timeout, false);
            route.client = Some(clients.get(&own.endpoint.tls));
            Recording { route, recorder: old.map_or_else(new, Arc::clone) }
        });
        // There is cryptography for TLS: what fails is never configured.
        let nobody = config.domains.has_tls().then(tls::nobody).and_then(Result::ok);
        let account = config.account_throttle.as_ref();
        let account = account.map(|throttle| state.bucket("account", throttle));
        let api_keys = ApiKeys::new(&config, &state);
        let urls = Urls::new(&config);
        let deployment_id = short_id::<6>(&config.name);
        Self {
            config,
            functions,
            router,
            state,
            lambda,
            api_keys,
            account,
            mocks,
            nobody,
            user_pools,
            issuers,
            recording,
            url: None,
            urls,
            deployment_id,
        }
    }

    /// The function that a name means, perhaps with a version or alias.
    ///
    /// # Errors
    /// Where there is none, or its code cannot be loaded.
    pub fn function(&self, reference: &FunctionReference) -> Result<Resolved, LambdaError> {
        self.lambda.resolve(self, reference)
    }
}

/// A digest of all that decides what routes and authorizers answer: gateways
/// with the same one may answer for each other.
fn version(config: &Config, functions: &BTreeMap<String, FunctionState>) -> String {
    use sha2::{Digest as _, Sha256};
    let mut hash = Sha256::new();
    let mut add = |text: &str| {
        hash.update(text.len().to_be_bytes());
        hash.update(text);
    };
    add(env!("CARGO_PKG_VERSION"));
    let mut own = config.clone();
    // Where it is written and served changes no answer.
    (own.file, own.files, own.warnings) = (None, Vec::new(), Vec::new());
    for route in &mut own.routes {
        route.place = Place { file: PathBuf::new(), line: 0, column: 0 };
        for (_, model) in route.validation.iter().flat_map(|validation| &validation.models) {
            for (name, schema) in &*model.schemas {
                add(&format!("{name}={schema}"));
            }
        }
    }
    for function in own.functions.values().chain([&own.function_default]) {
        // Secrets are masked in what follows.
        let environment = function.environment.iter();
        environment.for_each(|(name, value)| add(&format!("{name}={}", value.reveal())));
    }
    for domain in std::mem::take(&mut own.domains).iter() {
        add(&format!("{}={:?}", domain.name, domain.base_paths));
    }
    let Config { server, .. } = &mut own;
    (server.handlers, server.data) = (PathBuf::new(), PathBuf::new());
    let nowhere = SocketAddr::from(([0; 4], 0));
    (server.listen, server.admin) = (nowhere, nowhere);
    add(&format!("{own:?}"));
    for (name, state) in functions {
        let code = state.function().ok().map(|function| hex(&function.code.sha256));
        add(&format!("{name}={}", code.unwrap_or_default()));
    }
    hex(&hash.finalize())
}

/// What verifies the tokens that an authorizer takes.
fn keys(
    config: &AuthorizerConfig,
    pools: &UserPools,
    remote: impl FnOnce(&Location) -> Arc<Remote>,
) -> Keys {
    match config.tokens().map(|tokens| &tokens.keys) {
        None => Keys::None,
        Some(KeySource::Set(keys)) => Keys::Here(Arc::clone(keys)),
        Some(KeySource::UserPool(name)) => {
            pools.get(name).map_or(Keys::None, |pool| Keys::Here(Arc::clone(&pool.keys)))
        }
        Some(KeySource::Remote(location)) => Keys::Remote(remote(location)),
    }
}

/// The keys that are at `location`: those that are there already, of this
/// snapshot or of the one before.
fn remote(
    location: &Location,
    own: &mut Vec<Arc<Remote>>,
    before: &[Arc<Remote>],
    clients: &Clients,
) -> Arc<Remote> {
    let mut known = own.iter().chain(before);
    if let Some(known) = known.find(|remote| remote.is_at(location)).map(Arc::clone) {
        if !own.iter().any(|other| Arc::ptr_eq(other, &known)) {
            own.push(Arc::clone(&known));
        }
        return known;
    }
    let new = Arc::new(Remote::new(location.clone(), clients));
    own.push(Arc::clone(&new));
    new
}

/// A bucket for each stage that has one for this route: its own, else the
/// route's `own` on every stage, else one as the stage has it.
fn throttles(
    config: &Config,
    state: &State,
    route: &str,
    throttle: Option<ThrottleConfig>,
) -> BTreeMap<String, Bucket> {
    let stages = config.stages.iter();
    let own = |(name, stage): (&String, &StageConfig)| {
        let method = stage.methods.get(route).and_then(|method| method.throttle);
        let throttle = method.or(throttle).or(stage.throttle)?;
        Some((name.clone(), state.bucket(&format!("stage:{name}:{route}"), &throttle)))
    };
    stages.filter_map(own).collect()
}

/// The stages that keep this route's answers, as the stage's settings of the
/// route say, else the route, else the stage: those to GET, and to another
/// method where it is named.
fn route_caches<'c>(
    config: &'c Config,
    route: &Route,
    caches: &mut BTreeMap<&'c str, StageCache>,
    new: impl Fn(&str, u64) -> StageCache,
) -> BTreeMap<String, RouteCache> {
    let mut kept = BTreeMap::new();
    for (name, stage) in &config.stages {
        let method = stage.methods.get(&route.key).and_then(|method| method.cache);
        let ttl = method.and_then(|method| method.ttl).or(route.cache.ttl);
        let ttl = ttl.or(stage.cache.map(|cache| cache.ttl)).or(method.map(|_| CACHE_TTL));
        let Some(ttl) = ttl.filter(|ttl| !ttl.is_zero()) else { continue };
        let capacity = stage.cache.map_or(CACHE_BYTES, |cache| cache.capacity_bytes);
        let cache = caches.entry(name).or_insert_with(|| new(name, capacity)).clone();
        let is_named = method.is_some() || (route.cache.ttl.is_some() && route.method.is_some());
        let said = method.map(|method| method.invalidation).unwrap_or_default();
        let stages = stage.cache.map(|cache| cache.invalidation).unwrap_or_default();
        let invalidation = said.or(route.cache.invalidation).or(stages);
        let cache = RouteCache {
            cache,
            ttl,
            only_get: !is_named,
            require_authorization: invalidation.require_authorization.unwrap_or(true),
            unauthorized: invalidation.unauthorized.unwrap_or_default(),
        };
        kept.insert(name.clone(), cache);
    }
    kept
}

/// Whether nobody needs to see the body of a request.
fn streams(integration: &IntegrationConfig, validation: Option<&ValidationConfig>) -> bool {
    let reads = |(_, from): &(IntegrationParameter, MappingExpression)| {
        matches!(from, MappingExpression::RequestBody(_))
    };
    let passes = match integration {
        IntegrationConfig::Function { .. } => true,
        IntegrationConfig::HttpProxy(http) => !http.parameters.iter().any(reads),
        IntegrationConfig::Mock(_) | IntegrationConfig::Mapped(_) => false,
    };
    passes && validation.is_none_or(|validation| validation.models.is_empty())
}

/// Every mock has its state; a route without one is not served.
fn target(route: &RouteConfig, mocks: &Mocks) -> Option<Target> {
    Some(match &route.integration {
        IntegrationConfig::Function { name, payload } => {
            Target::Function { name: name.clone(), payload: *payload }
        }
        IntegrationConfig::Mock(_) => {
            Target::Mock(Arc::clone(mocks.route(&route.key.to_string())?))
        }
        IntegrationConfig::Mapped(mapped) => Target::Mapped(Arc::clone(mapped)),
        IntegrationConfig::HttpProxy(http) => Target::HttpProxy(Arc::clone(http)),
    })
}

/// `ANY /NAME` and `ANY /NAME/{proxy+}`; for `index` the root and the rest.
fn drop_in_routes(config: &Config, name: &str) -> Vec<(RouteKey, Route)> {
    let payload = match config.kind {
        ApiKind::Rest => PayloadFormat::V1,
        ApiKind::Http => PayloadFormat::V2,
    };
    let base = if name == INDEX { Vec::new() } else { vec![Segment::Literal(name.to_owned())] };
    let mut rest = base.clone();
    rest.push(Segment::Greedy(REST.to_owned()));
    [base, rest]
        .into_iter()
        .map(|segments| {
            let key = RouteKey::Path(RouteMethod::Any, PathPattern::from_segments(segments));
            let target = Target::Function { name: FunctionName::fixed(name), payload };
            let mut route = Route::new(&key, target, config.limits.integration_timeout, true);
            route.streams = true;
            (key, route)
        })
        .collect()
}

impl Route {
    fn new(key: &RouteKey, target: Target, timeout: Duration, drop_in: bool) -> Self {
        let resource = key.resource();
        Self {
            key: key.to_string(),
            resource_id: short_id::<6>(&resource),
            resource,
            drop_in,
            method: match key {
                RouteKey::Path(RouteMethod::Only(method), _) => Some(method.clone()),
                _ => None,
            },
            api_key_required: false,
            throttles: BTreeMap::new(),
            caches: BTreeMap::new(),
            cache: RouteCacheConfig::default(),
            authorizer: None,
            scopes: Vec::new(),
            validation: None,
            streams: false,
            target,
            client: None,
            timeout,
        }
    }

    /// Whether requests have to be signed.
    pub fn is_signed(&self) -> bool {
        let config = self.authorizer.as_ref().map(|authorizer| &authorizer.config);
        config.is_some_and(|config| config.kind == AuthorizerKind::Iam)
    }
}

//! The configuration: text in, a checked value out. Pure but for reading the
//! file itself.
//!
//! [`load`] reads `gateway.toml`, reports every [`Problem`] at once and gives
//! a [`Config`] only when there is none. Request-time code sees the checked
//! types of this page, never the text or the raw tables behind it.

mod access_log;
mod authorizer;
mod condition;
mod context;
mod credential;
mod domain;
mod filter;
mod function_name;
mod function_reference;
mod function_url;
mod integration;
mod keys;
mod mock;
mod openapi;
mod outbound;
mod read;
mod schedule;
mod sections;
mod stage;
mod state;
pub mod template;
#[cfg(test)]
mod tests;
mod tree;
mod uri;
mod usage_plan;
mod user_pool;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use http::{HeaderName, HeaderValue, Method};
use ipnet::IpNet;

use crate::{json::BorrowedJson, policy::Policy, router::RouteKey};
pub use access_log::{AccessLogFormat, AccessLogPiece};
pub use authorizer::{
    AuthorizerConfig, AuthorizerKind, CognitoAuthorizer, JwtAuthorizer, KeySource,
    LambdaAuthorizer, LambdaInput,
};
pub use condition::{Condition, Part, Test};
pub use credential::CredentialConfig;
pub use domain::{BasePaths, DomainConfig, DomainTls, Domains, Mapping, domain_name, host_name};
pub use filter::{RequestFilterConfig, contains};
pub use function_name::FunctionName;
pub use function_reference::{FunctionReference, is_qualifier, version_number};
pub use function_url::{FunctionUrlConfig, InvokeMode, UrlAuth};
pub use integration::{
    ContentHandling, GatewayResponseConfig, HttpConfig, IntegrationConfig, IntegrationParameter,
    IntegrationResponseConfig, MappedConfig, MappedTarget, MappingExpression, Passthrough,
    SelectionPattern, TlsConfig,
};
pub use mock::{
    COLLECTION_METHODS, CollectionConfig, CollectionMock, Delay, Fault, FaultKind, ID_BYTES_MAX,
    ITEM_METHODS, IdKind, MockAnswer, MockBody, MockConfig, MockRule, MockSource, RecordConfig,
    SequenceEnd, id_text,
};
pub use outbound::{OutboundConfig, OutboundHost, Server, is_public};
pub use schedule::{Expression, ScheduleConfig};
pub use sections::{cors_header, cors_method, cors_origin, function_name, load};
pub use stage::{
    CACHE_BYTES, CACHE_TTL, CacheConfig, CanaryConfig, Invalidation, LoggingLevel,
    MethodCacheConfig, MethodConfig, RouteCacheConfig, StageConfig, Unauthorized,
};
pub use state::{RedisConfig, StateConfig, Unavailable};
pub use uri::{UriPiece, UriTemplate, check_absolute, has_dot_segments};
pub use usage_plan::{
    ApiKeyConfig, ApiKeySource, Period, QuotaConfig, ThrottleConfig, UsagePlanConfig, Window,
};
pub use user_pool::{TOKEN_VALIDITY_MAX, UserPoolConfig};

/// Everything a gateway is told: what `gateway.toml` says, with defaults for
/// the rest.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The file this came from, as the user named it; none where there is none.
    pub file: Option<PathBuf>,
    /// Other files that it names and that were read, absolute: an OpenAPI
    /// definition, templates, schemas, certificates.
    pub files: Vec<PathBuf>,
    /// What is not wrong and still not right: what the OpenAPI definition says
    /// and is not served, certificates that have expired.
    pub warnings: Vec<Problem>,
    /// What needs a restart to change.
    pub server: ServerConfig,
    /// The API's name, in `requestContext.apiId` and in log lines.
    pub name: String,
    /// Which of API Gateway's two kinds of API is imitated.
    pub kind: ApiKind,
    /// The stage that requests are served under.
    pub stage: String,
    /// Stages by name; at least the one in `stage`.
    pub stages: BTreeMap<String, StageConfig>,
    /// Whether paths begin with a stage's name, so that all stages are served.
    pub stage_prefix: bool,
    /// Whether handlers that no route names are served under their own name.
    pub drop_in: bool,
    /// What makes random values of mocks the same with every start.
    pub seed: Option<u64>,
    /// `[[domain]]`: custom domain names.
    pub domains: Domains,
    /// Whether the API is reached by its domains only.
    pub disable_execute_api_endpoint: bool,
    /// `[request_filter]`: who may call at all, by their addresses.
    pub request_filter: RequestFilterConfig,
    /// Whose word on their clients' addresses counts.
    pub trusted_proxies: Vec<IpNet>,
    /// Who may call a REST API.
    pub policy: Option<Policy>,
    /// Who calls, by what they send.
    pub api_keys: Vec<ApiKeyConfig>,
    /// Where requests have their API keys.
    pub api_key_source: ApiKeySource,
    /// How often and how much those may call.
    pub usage_plans: Vec<UsagePlanConfig>,
    /// How often all routes together may be called.
    pub account_throttle: Option<ThrottleConfig>,
    /// `[[credential]]` by the id of its access key.
    pub credentials: BTreeMap<String, Arc<CredentialConfig>>,
    /// Content types whose bodies are bytes, not text.
    pub binary_media_types: BinaryMediaTypes,
    /// Answers of a REST API that have as many bytes are compressed.
    pub minimum_compression_size: Option<usize>,
    /// CORS for the whole API.
    pub cors: Option<CorsConfig>,
    /// `[gateway_responses.TYPE]`: what the gateway itself answers.
    pub gateway_responses: BTreeMap<String, GatewayResponseConfig>,
    /// Limits on requests and responses.
    pub limits: Limits,
    /// Routes in the order of the file.
    pub routes: Vec<RouteConfig>,
    /// What functions without a table of their own get, and what tables start from.
    pub function_default: FunctionConfig,
    /// `[function.NAME]` tables, each complete with the defaults.
    pub functions: BTreeMap<String, FunctionConfig>,
    /// URLs of functions, by the functions' names.
    pub function_urls: BTreeMap<String, FunctionUrlConfig>,
    /// `[table.NAME]`: tables that exist from the start.
    pub tables: Vec<TableConfig>,
    /// `[user_pool.NAME]`: who gets tokens on this machine.
    pub user_pools: BTreeMap<String, Arc<UserPoolConfig>>,
    /// `[collection.NAME]`: what mocks serve by name.
    pub collections: BTreeMap<String, CollectionConfig>,
    /// `[record]`.
    pub record: Option<RecordConfig>,
    /// `[[schedule]]`, in the order of the file.
    pub schedules: Vec<ScheduleConfig>,
    /// Functions that the file names beside routes.
    pub named_functions: Vec<NamedFunction>,
}

/// A function that something other than a route names.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedFunction {
    /// What names it, as a message calls it.
    pub by: String,
    /// Its name.
    pub name: String,
    /// Where it is written.
    pub place: Place,
}

/// What is fixed while the process lives: a reload that changes it is refused.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerConfig {
    /// Where the API listens.
    pub listen: SocketAddr,
    /// Where the admin API listens; a loopback address unless the user says otherwise.
    pub admin: SocketAddr,
    /// The folder of `.wasm` files, absolute.
    pub handlers: PathBuf,
    /// The folder for tables, mail and compiled code, absolute.
    pub data: PathBuf,
    /// Where counters, quotas and kept answers are.
    pub state: StateConfig,
    /// Sizes of pools and timeouts of connections.
    pub pools: Pools,
}

/// Bounds that are set up once, at start.
#[derive(Debug, Clone, PartialEq)]
pub struct Pools {
    /// Connections that are open at once; further ones wait to be accepted.
    pub connections_max: usize,
    /// Sandboxes that live at once, over all functions.
    pub concurrency_max: u32,
    /// The most memory that any function may ask for, in MiB.
    pub memory_mb_max: u32,
    /// A client that takes longer to send a request's head is cut off; also
    /// the longest a kept-alive connection may idle.
    pub header_read_timeout: Duration,
    /// A client that sends nothing of its body for this long is cut off.
    pub body_idle_timeout: Duration,
    /// How long a shutdown waits for requests in flight.
    pub drain_timeout: Duration,
}

/// API Gateway's two kinds of HTTP-speaking API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiKind {
    /// A REST API: payload format 1.0, 403 for an unknown route.
    Rest,
    /// An HTTP API: payload format 2.0 by default, 404 for an unknown route.
    Http,
}

/// The version of the proxy event and of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadFormat {
    /// REST APIs always, HTTP APIs on request.
    V1,
    /// HTTP APIs by default.
    V2,
}

/// Limits on every request, whatever its route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The longest request body, in bytes (10 MiB, API Gateway's).
    pub body_bytes_max: usize,
    /// The longest request head, in bytes.
    pub header_bytes_max: usize,
    /// The most header lines of a request.
    pub header_count_max: usize,
    /// The longest path with its query, in bytes.
    pub uri_bytes_max: usize,
    /// The longest an integration may take (29 s, API Gateway's).
    pub integration_timeout: Duration,
}

/// `binary_media_types` of a REST API, in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BinaryMediaTypes(pub Vec<String>);

impl BinaryMediaTypes {
    /// Whether bodies of this content type are bytes; parameters don't count.
    pub fn contains(&self, content_type: &str) -> bool {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        let kind = essence.split('/').next().unwrap_or_default();
        self.0.iter().any(|own| match own.strip_suffix("/*") {
            Some("*") => true,
            Some(own) => own.eq_ignore_ascii_case(kind),
            None => own.eq_ignore_ascii_case(essence),
        })
    }
}

/// Where something is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file, as the user named it.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The character in it, from 1.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

/// One `[[route]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteConfig {
    /// Method and path, or `$default`.
    pub key: RouteKey,
    /// What answers.
    pub integration: IntegrationConfig,
    /// Who says who may call it.
    pub authorizer: Option<Arc<AuthorizerConfig>>,
    /// What a token has to allow, one of them; nothing where there is none.
    pub scopes: Vec<String>,
    /// Whether a request needs an API key that has a usage plan.
    pub api_key_required: bool,
    /// How often it may be called on each stage.
    pub throttle: Option<ThrottleConfig>,
    /// Whether and how its answers are kept.
    pub cache: Option<RouteCacheConfig>,
    /// What a request has to have to get there.
    pub validation: Option<Arc<ValidationConfig>>,
    /// How long the integration may take.
    pub timeout: Duration,
    /// Where it is written.
    pub place: Place,
}

/// What a route's requests are checked for.
#[derive(Debug, PartialEq)]
pub struct ValidationConfig {
    /// Parameters that have to be there and not blank.
    pub parameters: Vec<RequiredParameter>,
    /// Models of the body by content type, in lower case.
    pub models: Vec<(String, Model)>,
}

/// A parameter that a request has to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequiredParameter {
    /// Its name as the file has it.
    pub name: String,
    /// Which it is.
    pub parameter: RequestParameter,
}

/// A parameter of a request, written `method.request.PLACE.NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestParameter {
    /// `method.request.path.NAME`
    Path(String),
    /// `method.request.querystring.NAME`
    Query(String),
    /// `method.request.header.NAME`
    Header(HeaderName),
}

/// A JSON schema, compiled.
#[derive(Clone)]
pub struct Model {
    /// Its name, `[models.NAME]`.
    pub name: String,
    /// All models' schemas by name: it may refer to any.
    pub schemas: Arc<BTreeMap<String, serde_json::Value>>,
    /// Compiled, for bodies that are kept.
    pub validator: Arc<jsonschema::Validator>,
    /// The same for bodies that are only looked at, see [`Model::surely_takes`].
    quick: Arc<jsonschema::Validator<BorrowedJson>>,
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Model").field(&self.name).finish()
    }
}

impl PartialEq for Model {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.schemas == other.schemas
    }
}

/// What a function is granted and held to.
#[derive(Debug, Clone, PartialEq)]
pub struct FunctionConfig {
    /// Environment variables, the only ones it sees.
    pub environment: BTreeMap<String, Secret>,
    /// DynamoDB tables it may call.
    pub tables: Vec<String>,
    /// Other services it may call.
    pub services: Vec<ServiceName>,
    /// HTTP servers it may call.
    pub outbound: OutboundConfig,
    /// The most linear memory, in MiB.
    pub memory_mb: u32,
    /// The quota of its `/tmp`, in MiB; none for no `/tmp`.
    pub ephemeral_storage_mb: Option<u32>,
    /// How long one invocation may run.
    pub timeout: Duration,
    /// The most bytes of log lines per invocation.
    pub log_bytes_max: usize,
    /// The longest event, in bytes (6 MiB, Lambda's).
    pub payload_bytes_max: usize,
    /// The longest answer, in bytes (6 MiB, Lambda's).
    pub response_bytes_max: usize,
    /// Sandboxes of this function that live at once; none for the pool's bound.
    pub reserved_concurrency: Option<u32>,
    /// How its asynchronous invocations go.
    pub asynchronous: AsyncConfig,
}

/// `[function.NAME.async]`
#[derive(Debug, Clone, PartialEq)]
pub struct AsyncConfig {
    /// How often an invocation that failed is tried again.
    pub maximum_retry_attempts: u32,
    /// How old an event may get before it is given up.
    pub maximum_event_age: Duration,
    /// The wait before the first retry; each further one is twice as long.
    pub retry_delay: Duration,
    /// The function that is told of success.
    pub on_success: Option<FunctionReference>,
    /// The function that is told of failure.
    pub on_failure: Option<FunctionReference>,
    /// The function that gets the event itself, where it was given up.
    pub dead_letter: Option<FunctionReference>,
}

/// Services that are granted by name; tables are granted each by its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceName {
    /// Mail: `SendEmail` into the outbox.
    Ses,
}

/// A value that must not appear in logs or error texts.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    pub fn new(value: String) -> Self {
        Self(value)
    }

    /// The value itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// CORS as API Gateway's HTTP APIs configure it.
///
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-cors.html>
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorsConfig {
    /// Origins that may read answers; `*` for any.
    pub allow_origins: Vec<HeaderValue>,
    /// Methods a preflight allows; empty means those of the resource's routes.
    pub allow_methods: Vec<CorsMethod>,
    /// Request headers a preflight allows; `*` for any.
    pub allow_headers: Vec<HeaderValue>,
    /// Response headers that a script may read.
    pub expose_headers: Vec<HeaderValue>,
    /// Whether credentials may be sent; together with origin `*` by function URLs
    /// of Lambda's API alone.
    pub allow_credentials: bool,
    /// How long a preflight's answer may be cached, in seconds.
    pub max_age_seconds: Option<u64>,
}

/// A method in a CORS list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CorsMethod {
    /// `*`.
    Any,
    /// One method.
    Only(Method),
}

/// One `[table.NAME]`: created at start if it does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableConfig {
    /// The table's name, 3 to 255 characters of `a-zA-Z0-9_.-`.
    pub name: String,
    /// The partition key.
    pub partition_key: KeyAttribute,
    /// The sort key.
    pub sort_key: Option<KeyAttribute>,
    /// Global secondary indexes, projecting all attributes.
    pub indexes: Vec<IndexConfig>,
}

/// One entry of a table's `indexes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexConfig {
    /// The index's name, 3 to 255 characters.
    pub name: String,
    /// The partition key.
    pub partition_key: KeyAttribute,
    /// The sort key.
    pub sort_key: Option<KeyAttribute>,
}

/// A key attribute, written `name:TYPE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyAttribute {
    /// The attribute's name.
    pub name: String,
    /// Its type: string, number or binary.
    pub kind: KeyKind,
}

/// The three types a key may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// `S`.
    String,
    /// `N`.
    Number,
    /// `B`.
    Binary,
}

/// What the command line says; each wins over the file.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--handlers`, relative to the working folder.
    pub handlers: Option<PathBuf>,
    /// `--listen`.
    pub listen: Option<SocketAddr>,
    /// `--admin`.
    pub admin: Option<SocketAddr>,
    /// `--data`, relative to the working folder.
    pub data: Option<PathBuf>,
    /// `--stage`.
    pub stage: Option<String>,
    /// `--openapi`, relative to the working folder.
    pub openapi: Option<PathBuf>,
    /// `--strict`: what a definition says and is not served is a problem.
    pub strict: bool,
}

/// One thing wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, as the user named it.
    pub file: PathBuf,
    /// Line and column in it, from 1; none for a problem with the whole file.
    pub place: Option<(usize, usize)>,
    /// What is wrong, naming the key and the value.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// A configuration with problems.
#[derive(Debug)]
pub struct Invalid {
    /// Every problem, in the order of the file.
    pub problems: Vec<Problem>,
    /// What could be read, to look for further problems in; never to be served.
    pub partial: Config,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

impl Config {
    /// What holds for the function `name`: its own table, else the defaults.
    pub fn function(&self, name: &str) -> &FunctionConfig {
        self.functions.get(name).unwrap_or(&self.function_default)
    }

    /// Whether any stage, or its canary, has the variable.
    pub fn has_stage_variable(&self, name: &str) -> bool {
        self.stages.values().any(|stage| {
            let canary = stage.canary.as_ref().map(|canary| &canary.variables);
            stage.variables.contains_key(name)
                || canary.is_some_and(|variables| variables.contains_key(name))
        })
    }

    /// The functions that the route calls on the stages that are served, or on
    /// their canaries.
    pub fn functions_of(&self, route: &RouteConfig) -> BTreeSet<String> {
        let authorizer = route.authorizer.as_ref().and_then(|authorizer| authorizer.function());
        let called: Vec<&FunctionName> =
            route.integration.function().into_iter().chain(authorizer).collect();
        let mapped: BTreeSet<&String> =
            self.domains.iter().flat_map(|domain| domain.base_paths.0.values()).collect();
        let served =
            |own: &&String| self.stage_prefix || **own == self.stage || mapped.contains(*own);
        let mut names = BTreeSet::new();
        for stage in self.stages.iter().filter(|(own, _)| served(own)).map(|(_, stage)| stage) {
            let mut add = |variables| {
                let resolved = called.iter().filter_map(|name| name.on_stage(variables).ok());
                let name = |whole: Cow<'_, str>| match whole.split_once(':') {
                    Some((name, _)) => name.to_owned(),
                    None => whole.into_owned(),
                };
                names.extend(resolved.map(name));
            };
            add(&stage.variables);
            if let Some(canary) = &stage.canary {
                add(&canary.variables);
            }
        }
        names
    }
}

/// `path` made absolute against `base` without following symbolic links:
/// a link that is swapped later must be seen.
fn absolute(base: &Path, path: &Path) -> PathBuf {
    let joined = base.join(path);
    std::path::absolute(&joined).unwrap_or(joined)
}

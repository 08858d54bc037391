//! Which keys each table of `gateway.toml` has.

/// A kind of table.
#[derive(Debug)]
pub struct Section {
    /// How a person would call it in "it belongs to …".
    pub title: &'static str,
    /// Its keys, in the order of the documentation.
    pub keys: &'static [&'static str],
}

pub static ROOT: Section = Section {
    title: "the top level, above the first [table]",
    keys: &[
        "name",
        "kind",
        "openapi",
        "stage",
        "handlers",
        "data",
        "state",
        "listen",
        "admin",
        "stage_prefix",
        "drop_in",
        "seed",
        "request_filter",
        "trusted_proxies",
        "policy",
        "disable_execute_api_endpoint",
        "domain",
        "binary_media_types",
        "minimum_compression_size",
        "cors",
        "gateway_responses",
        "models",
        "authorizer",
        "api_key_source",
        "api_key",
        "usage_plan",
        "throttle",
        "account",
        "credential",
        "user_pool",
        "stages",
        "limits",
        "pools",
        "function_default",
        "function",
        "table",
        "collection",
        "record",
        "schedule",
        "route",
    ],
};

pub static DOMAIN: Section = Section {
    title: "[[domain]]",
    keys: &["name", "certificate", "private_key", "security_policy", "mutual_tls", "base_paths"],
};

pub static MUTUAL_TLS: Section = Section { title: "a domain's mutual_tls", keys: &["truststore"] };

pub static STATE: Section = Section {
    title: "a table for state",
    keys: &["url", "url_env", "prefix", "unavailable", "timeout_ms"],
};

pub static CORS: Section = Section {
    title: "[cors]",
    keys: &[
        "allow_origins",
        "allow_methods",
        "allow_headers",
        "expose_headers",
        "allow_credentials",
        "max_age_seconds",
    ],
};

pub static REQUEST_FILTER: Section =
    Section { title: "[request_filter]", keys: &["allow", "deny", "throttle"] };

pub static STAGE: Section = Section {
    title: "[stages.NAME]",
    keys: &[
        "variables",
        "logging",
        "data_trace",
        "access_log",
        "throttle",
        "cache",
        "methods",
        "canary",
    ],
};

pub static METHOD: Section =
    Section { title: "[stages.NAME.methods.\"METHOD /path\"]", keys: &["throttle", "cache"] };

pub static CACHE: Section = Section {
    title: "[stages.NAME] cache",
    keys: &["ttl_seconds", "capacity_bytes", "require_authorization", "unauthorized"],
};

pub static ROUTE_CACHE: Section = Section {
    title: "a route's cache",
    keys: &["ttl_seconds", "key", "require_authorization", "unauthorized"],
};

pub static METHOD_CACHE: Section = Section {
    title: "a method's cache",
    keys: &["ttl_seconds", "require_authorization", "unauthorized"],
};

pub static ACCOUNT: Section = Section { title: "[account]", keys: &["throttle"] };

pub static API_KEY: Section =
    Section { title: "[[api_key]]", keys: &["name", "value", "value_env", "enabled"] };

pub static USAGE_PLAN: Section = Section {
    title: "[[usage_plan]]",
    keys: &["name", "keys", "stages", "throttle", "quota", "methods"],
};

pub static QUOTA: Section =
    Section { title: "a usage plan's quota", keys: &["limit", "period", "offset"] };

pub static PLAN_METHOD: Section =
    Section { title: "a method of a usage plan", keys: &["throttle"] };

pub static THROTTLE: Section = Section { title: "a throttle", keys: &["rate", "burst"] };

pub static CANARY: Section =
    Section { title: "[stages.NAME.canary]", keys: &["percent", "variables"] };

pub static LIMITS: Section = Section {
    title: "[limits]",
    keys: &[
        "body_bytes_max",
        "header_bytes_max",
        "header_count_max",
        "uri_bytes_max",
        "integration_timeout_ms",
    ],
};

pub static POOLS: Section = Section {
    title: "[pools]",
    keys: &[
        "connections_max",
        "concurrency_max",
        "memory_mb_max",
        "header_read_timeout_ms",
        "body_idle_timeout_ms",
        "drain_timeout_ms",
    ],
};

pub static FUNCTION: Section = Section {
    title: "[function.NAME] or [function_default]",
    keys: &[
        "environment",
        "tables",
        "services",
        "outbound",
        "outbound_networks",
        "outbound_response_bytes_max",
        "memory_mb",
        "ephemeral_storage_mb",
        "timeout_ms",
        "log_bytes_max",
        "payload_bytes_max",
        "response_bytes_max",
        "reserved_concurrency",
        "async",
        "url",
    ],
};

pub static FUNCTION_URL: Section =
    Section { title: "[function.NAME.url]", keys: &["auth", "cors", "invoke_mode"] };

pub static ASYNC: Section = Section {
    title: "[function.NAME.async]",
    keys: &[
        "maximum_retry_attempts",
        "maximum_event_age_seconds",
        "retry_delay_ms",
        "on_success",
        "on_failure",
        "dead_letter",
    ],
};

pub static SCHEDULE: Section =
    Section { title: "[[schedule]]", keys: &["name", "schedule", "function", "input", "enabled"] };

pub static FROM_ENVIRONMENT: Section =
    Section { title: "a value of environment", keys: &["from_env"] };

pub static TABLE: Section =
    Section { title: "[table.NAME]", keys: &["partition_key", "sort_key", "indexes"] };

pub static INDEX: Section =
    Section { title: "an entry of indexes", keys: &["name", "partition_key", "sort_key"] };

pub static ROUTE: Section = Section {
    title: "[[route]]",
    keys: &[
        "route",
        "function",
        "mock",
        "integration",
        "request_models",
        "required_parameters",
        "method_responses",
        "authorizer",
        "scopes",
        "api_key_required",
        "throttle",
        "cache",
        "payload",
        "timeout_ms",
    ],
};

pub static AUTHORIZER: Section = Section {
    title: "[authorizer.NAME]",
    keys: &[
        "type",
        "function",
        "identity",
        "identity_validation",
        "ttl_seconds",
        "payload",
        "simple_responses",
        "issuer",
        "audience",
        "jwks",
        "user_pool",
        "clock_skew_seconds",
    ],
};

pub static CREDENTIAL: Section = Section {
    title: "[[credential]]",
    keys: &[
        "name",
        "access_key_id",
        "secret_access_key",
        "secret_access_key_env",
        "session_token",
        "session_token_env",
        "expiration",
        "policy",
    ],
};

pub static USER_POOL: Section = Section {
    title: "[user_pool.NAME]",
    keys: &["clients", "issuer", "custom_attributes", "token_validity_seconds"],
};

pub static MODEL: Section = Section { title: "[models.NAME]", keys: &["schema"] };

pub static FROM_FILE: Section = Section { title: "a template or a schema", keys: &["file"] };

pub static MOCK: Section = Section {
    title: "a route's mock",
    keys: &[
        "status",
        "headers",
        "body",
        "json",
        "delay_ms",
        "fault",
        "sequence",
        "sequence_end",
        "rules",
        "collection",
    ],
};

pub static RECORD: Section = Section { title: "[record]", keys: &["upstream", "file"] };

pub static COLLECTION: Section = Section {
    title: "[collection.NAME]",
    keys: &["id", "ids", "items", "file", "items_max", "bytes_max"],
};

pub static SEQUENCE: Section = Section {
    title: "an entry of a mock's sequence",
    keys: &["status", "headers", "body", "json", "delay_ms", "fault"],
};

pub static RULE: Section = Section {
    title: "an entry of a mock's rules",
    keys: &["when", "status", "headers", "body", "json", "delay_ms", "fault"],
};

pub static CONDITION: Section = Section {
    title: "a condition of a mock's rule",
    keys: &["equals", "not", "one_of", "like", "matches", "contains", "present", "min", "max"],
};

pub static FAULT: Section = Section { title: "a mock's fault", keys: &["type", "percent"] };

pub static DELAY: Section = Section { title: "a mock's delay_ms", keys: &["min", "max"] };

pub static INTEGRATION: Section = Section {
    title: "a route's integration",
    keys: &[
        "type",
        "function",
        "uri",
        "method",
        "tls",
        "request_parameters",
        "content_handling",
        "passthrough_behavior",
        "request_templates",
        "responses",
    ],
};

pub static TLS: Section = Section {
    title: "an integration's tls",
    keys: &["ca_file", "insecure_skip_verification", "certificate", "private_key"],
};

pub static METHOD_RESPONSE: Section =
    Section { title: "an entry of a route's method_responses", keys: &["status", "headers"] };

pub static GATEWAY_RESPONSE: Section =
    Section { title: "[gateway_responses.TYPE]", keys: &["status", "templates", "headers"] };

pub static RESPONSE: Section = Section {
    title: "an entry of an integration's responses",
    keys: &["status", "pattern", "content_handling", "templates", "headers"],
};

/// All of them, in the order of the documentation.
pub static SECTIONS: &[&Section] = &[
    &ROOT,
    &DOMAIN,
    &MUTUAL_TLS,
    &STATE,
    &CORS,
    &REQUEST_FILTER,
    &STAGE,
    &METHOD,
    &API_KEY,
    &USAGE_PLAN,
    &QUOTA,
    &PLAN_METHOD,
    &ACCOUNT,
    &THROTTLE,
    &CACHE,
    &METHOD_CACHE,
    &CANARY,
    &LIMITS,
    &POOLS,
    &FUNCTION,
    &ASYNC,
    &FUNCTION_URL,
    &FROM_ENVIRONMENT,
    &SCHEDULE,
    &TABLE,
    &INDEX,
    &COLLECTION,
    &RECORD,
    &ROUTE,
    &ROUTE_CACHE,
    &MOCK,
    &DELAY,
    &FAULT,
    &SEQUENCE,
    &RULE,
    &CONDITION,
    &INTEGRATION,
    &TLS,
    &RESPONSE,
    &METHOD_RESPONSE,
    &GATEWAY_RESPONSE,
    &MODEL,
    &AUTHORIZER,
    &CREDENTIAL,
    &USER_POOL,
    &FROM_FILE,
];

/// What to do about a key that `section` does not have.
pub fn hint_for_unknown(section: &Section, key: &str) -> String {
    let elsewhere: Vec<&str> = SECTIONS
        .iter()
        .filter(|other| other.keys.contains(&key))
        .map(|other| other.title)
        .collect();
    if std::ptr::eq(section, &ROUTE) && matches!(key, "method" | "path") {
        return "write both in one key: route = \"GET /path\"".to_owned();
    }
    if std::ptr::eq(section, &ROUTE) && key == "cache_key_parameters" {
        return "write cache = { key = [\"query.NAME\"] }".to_owned();
    }
    // A word that only lacks its plural, or has one too many.
    let plural = |one: &str, many: &str| many.strip_suffix('s') == Some(one);
    if let Some(own) = section.keys.iter().find(|own| plural(key, own) || plural(own, key)) {
        return format!("did you mean {own:?}?");
    }
    if !elsewhere.is_empty() {
        return format!("it belongs to {}", elsewhere.join(", or to "));
    }
    match closest(key, section.keys) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("the keys here are {}", section.keys.join(", ")),
    }
}

/// The candidate that `given` was probably meant to be.
pub fn closest<'c>(given: &str, candidates: &[&'c str]) -> Option<&'c str> {
    let given = given.to_lowercase();
    // One slip in a short word, more in a long one; or its beginning only,
    // as in "env" or "timeout".
    let slips_max = (given.chars().count() / 3).max(1);
    candidates
        .iter()
        .map(|&candidate| {
            let distance = strsim::damerau_levenshtein(&given, &candidate.to_lowercase());
            let begins = given.len() >= 3 && candidate.starts_with(&given);
            (if begins { 0 } else { distance }, candidate)
        })
        .filter(|(distance, _)| *distance <= slips_max)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

//! `[[domain]]`: custom domain names, and where their paths lead.

use std::{borrow::Cow, collections::BTreeMap, fmt, net::IpAddr, sync::Arc};

use rustls::ServerConfig;

use crate::tls::{Identity, Terms};

/// The longest name of a host, in characters: DNS's.
const NAME_CHARS_MAX: usize = 253;

/// The longest label of one, in characters.
const LABEL_CHARS_MAX: usize = 63;

/// One `[[domain]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct DomainConfig {
    /// Its name as [`host_name`] makes it, or `*.` and a name.
    pub name: String,
    /// How it is reached in TLS; without it, it is reached in plain text.
    pub tls: Option<DomainTls>,
    /// What the paths of its requests begin with.
    pub base_paths: BasePaths,
}

impl DomainConfig {
    /// Its name as a URL has it.
    pub fn host(&self) -> Cow<'_, str> {
        match self.name.contains(':') {
            true => format!("[{}]", self.name).into(),
            false => self.name.as_str().into(),
        }
    }
}

/// A domain's side of TLS.
#[derive(Clone)]
pub struct DomainTls {
    /// What its connections have to keep to.
    pub terms: Arc<Terms>,
    /// What it shows.
    pub identity: Identity,
    /// What its connections are set up with.
    pub server: Arc<ServerConfig>,
}

impl fmt::Debug for DomainTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("DomainTls");
        debug.field("terms", &self.terms).field("identity", &self.identity);
        debug.finish_non_exhaustive()
    }
}

impl PartialEq for DomainTls {
    fn eq(&self, other: &Self) -> bool {
        self.terms == other.terms && self.identity == other.identity
    }
}

/// All domains by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Domains(BTreeMap<String, DomainConfig>);

impl Domains {
    /// Those of a list, in which each name is there once.
    pub fn new(domains: Vec<DomainConfig>) -> Self {
        Self(domains.into_iter().map(|domain| (domain.name.clone(), domain)).collect())
    }

    /// The domain of a host as [`host_name`] makes it: one of this very name,
    /// else a wildcard's.
    pub fn find(&self, host: &str) -> Option<&DomainConfig> {
        if self.0.is_empty() {
            return None;
        }
        let wildcard = || {
            let (first, rest) = host.split_once('.')?;
            self.0.get(&format!("*.{rest}")).filter(|_| !first.is_empty())
        };
        self.0.get(host).or_else(wildcard)
    }

    /// In the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &DomainConfig> {
        self.0.values()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether any is reached in TLS.
    pub fn has_tls(&self) -> bool {
        self.iter().any(|domain| domain.tls.is_some())
    }
}

/// A host as domains are named: in lower case, without the dot that ends it,
/// an address in one spelling.
pub fn host_name(host: &str) -> Cow<'_, str> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Cow::Owned(address.to_canonical().to_string());
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    match host.contains(|c: char| c.is_ascii_uppercase()) {
        true => Cow::Owned(host.to_ascii_lowercase()),
        false => Cow::Borrowed(host),
    }
}

/// What a domain called `given` is named: a host's name as [`host_name`] makes
/// it, `*.` and one of at least two labels, or an address. None where it can be
/// no domain's name.
pub fn domain_name(given: &str) -> Option<String> {
    let name = host_name(given).into_owned();
    if name.parse::<IpAddr>().is_ok() {
        return Some(name);
    }
    let (labels, least) = match name.strip_prefix("*.") {
        Some(labels) => (labels, 2),
        None => (name.as_str(), 1),
    };
    let label = |label: &str| {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
        (1..=LABEL_CHARS_MAX).contains(&label.len())
            && label.chars().all(fits)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // What is like an address and is none is nobody's name either.
    let is_number = labels.split('.').next_back().is_some_and(|last| last.parse::<u32>().is_ok());
    let is_name = name.len() <= NAME_CHARS_MAX
        && labels.split('.').count() >= least
        && labels.split('.').all(label)
        && !is_number;
    is_name.then_some(name)
}

/// A domain's API mappings: base paths, without slashes at their ends, and the
/// stages that they lead to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BasePaths(pub BTreeMap<String, String>);

/// What a path begins with, where it leads, and the rest of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping<'c, 'p> {
    /// The base path, empty where it is for all paths.
    pub base_path: &'c str,
    /// The stage.
    pub stage: &'c str,
    /// The path below the base path.
    pub below: &'p str,
}

impl BasePaths {
    /// The longest base path that `path` begins with, segment by segment.
    pub fn find<'c, 'p>(&'c self, path: &'p str) -> Option<Mapping<'c, 'p>> {
        let rest = path.strip_prefix('/').unwrap_or(path);
        let longest = self.0.keys().map(String::len).max()?;
        // No base path is longer, so that what is further back does not count.
        let boundary = |at: &usize| *at <= longest && rest.is_char_boundary(*at);
        let slashes = rest.match_indices('/').map(|(at, _)| at).take_while(boundary);
        let mut ends: Vec<usize> = slashes.collect();
        ends.push(rest.len());
        let below = |at: usize| if at == rest.len() { "/" } else { &rest[at..] };
        let mapped = ends.into_iter().rev().find_map(|at| {
            let (base_path, stage) = self.0.get_key_value(&rest[..at])?;
            (at > 0).then(|| Mapping { base_path, stage, below: below(at) })
        });
        mapped.or_else(|| {
            let (base_path, stage) = self.0.get_key_value("")?;
            Some(Mapping { base_path, stage, below: path })
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn base_paths(pairs: &[(&str, &str)]) -> BasePaths {
        let owned = |(base, stage): &(&str, &str)| ((*base).to_owned(), (*stage).to_owned());
        BasePaths(pairs.iter().map(owned).collect())
    }

    #[test]
    fn the_longest_base_path_wins_segment_by_segment() {
        let paths = base_paths(&[
            ("", "1"),
            ("orders", "2"),
            ("orders/v1/items", "3"),
            ("orders/v2/items", "4"),
            ("orders/v2/items/categories", "5"),
        ]);
        for (path, base_path, stage, below) in [
            ("/orders", "orders", "2", "/"),
            ("/orders/", "orders", "2", "/"),
            ("/orders/v1/items", "orders/v1/items", "3", "/"),
            ("/orders/v2/items", "orders/v2/items", "4", "/"),
            ("/orders/v1/items/123", "orders/v1/items", "3", "/123"),
            ("/orders/v2/items/categories/5", "orders/v2/items/categories", "5", "/5"),
            ("/orders/v2", "orders", "2", "/v2"),
            ("/ordersandmore", "", "1", "/ordersandmore"),
            ("/Orders", "", "1", "/Orders"),
            ("//orders", "", "1", "//orders"),
            ("/customers", "", "1", "/customers"),
            ("/", "", "1", "/"),
        ] {
            assert_eq!(paths.find(path), Some(Mapping { base_path, stage, below }), "{path}");
        }
        let some = base_paths(&[("v1", "a")]);
        assert_eq!(some.find("/"), None);
        assert_eq!(some.find("/v2"), None);
        assert_eq!(BasePaths::default().find("/v2"), None);
    }

    #[test]
    fn a_domain_has_a_host_s_name_or_an_address() {
        for (given, name) in [
            ("API.Example.com.", Some("api.example.com")),
            ("localhost", Some("localhost")),
            ("*.example.com", Some("*.example.com")),
            ("[::1]", Some("::1")),
            ("127.0.0.1", Some("127.0.0.1")),
            ("*.localhost", None),
            ("*", None),
            ("*.", None),
            ("a.*.example.com", None),
            ("-a.example.com", None),
            ("a-.example.com", None),
            ("a..b", None),
            ("192.168.1", None),
            ("*.168.1", None),
            ("a:443", None),
            ("", None),
        ] {
            assert_eq!(domain_name(given).as_deref(), name, "{given}");
        }
        assert!(domain_name(&"a.".repeat(126)).is_some());
        assert!(domain_name(&"a.".repeat(128)).is_none());
        assert!(domain_name(&"a".repeat(64)).is_none());
    }

    #[test]
    fn an_exact_name_comes_before_a_wildcard() {
        let domain = |name: &str| DomainConfig {
            name: name.to_owned(),
            tls: None,
            base_paths: BasePaths::default(),
        };
        let names = ["*.example.com", "api.example.com", "127.0.0.1", "::1"];
        let domains = Domains::new(names.map(domain).into());
        for (host, found) in [
            ("api.example.com", Some("api.example.com")),
            ("API.Example.COM.", Some("api.example.com")),
            ("b.example.com", Some("*.example.com")),
            ("a.b.example.com", None),
            ("example.com", None),
            (".example.com", None),
            ("127.0.0.1", Some("127.0.0.1")),
            ("[::1]", Some("::1")),
            ("[0:0::1]", Some("::1")),
            ("::ffff:127.0.0.1", Some("127.0.0.1")),
            ("", None),
        ] {
            let name = domains.find(&host_name(host)).map(|domain| domain.name.as_str());
            assert_eq!(name, found, "{host}");
        }
    }

    proptest! {
        #[test]
        fn what_is_below_is_the_end_of_the_path(path in "/?([a-b]{0,2}|/|%2F|\\PC){0,8}") {
            let paths = base_paths(&[("", "1"), ("a", "2"), ("a/b", "3"), ("é", "4")]);
            let mapping = paths.find(&path).expect("there is one for all");
            prop_assert!(path.ends_with(mapping.below) || mapping.below == "/");
            prop_assert!(path.trim_start_matches('/').starts_with(mapping.base_path));
        }

        #[test]
        fn a_host_s_name_is_its_own(host in "\\PC{0,20}") {
            let name = host_name(&host).into_owned();
            let again = host_name(&name).into_owned();
            prop_assert!(again == name || name.ends_with('.'));
        }
    }
}

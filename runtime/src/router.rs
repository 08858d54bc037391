//! From a method and a path to a route and its path parameters. Pure.
//!
//! Precedence is API Gateway's: a literal segment before a `{parameter}`
//! before a greedy `{proxy+}`, at each level of the path, and a method's own
//! route before `ANY`. The two kinds of API differ: a REST API first chooses
//! the resource and then looks for the method there; an HTTP API looks for a
//! route that has both, and takes a greedy one only where no other fits.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html>

use std::{borrow::Cow, fmt};

use http::Method;
use percent_encoding::percent_decode_str;
use rustc_hash::FxHashMap;

use crate::config::ApiKind;

/// The key of a route, as API Gateway writes it: `GET /pets/{id}`, `$default`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RouteKey {
    /// A method and a path.
    Path(RouteMethod, PathPattern),
    /// `$default`: whatever no other route takes; HTTP APIs only.
    Default,
}

/// The method of a route.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RouteMethod {
    /// `ANY`.
    Any,
    /// One method.
    Only(Method),
}

/// The path of a route, segment by segment; `/` has none.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PathPattern(Vec<Segment>);

/// A segment of a route's path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Segment {
    /// Text that must be there.
    Literal(String),
    /// `{name}`: exactly one segment.
    Parameter(String),
    /// `{name+}`: the rest of the path, at least one segment; last only.
    Greedy(String),
}

/// Why a route key is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RouteKeyError {
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: String,
}

impl RouteKeyError {
    fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

/// Segments a route's or a request's path may have at most.
pub const SEGMENTS_MAX: usize = 256;

impl std::str::FromStr for RouteKey {
    type Err = RouteKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "$default" {
            return Ok(Self::Default);
        }
        let example = "write a method and a path, for example \"GET /pets/{id}\"";
        let mut words = text.split_ascii_whitespace();
        let (Some(method), Some(path), None) = (words.next(), words.next(), words.next()) else {
            return Err(RouteKeyError::new(format!("{text:?} is not a route key"), example));
        };
        let method = method.parse()?;
        Ok(Self::Path(method, path.parse()?))
    }
}

impl std::str::FromStr for RouteMethod {
    type Err = RouteKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "ANY" {
            return Ok(Self::Any);
        }
        if METHODS.contains(&text) {
            // The list above holds only valid tokens.
            return Method::from_bytes(text.as_bytes())
                .map(Self::Only)
                .map_err(|_| RouteKeyError::new("not a method", ""));
        }
        Err(RouteKeyError::new(
            format!("{text:?} is not a method that API Gateway routes"),
            format!("use one of {}, ANY", METHODS.join(", ")),
        ))
    }
}

impl std::str::FromStr for PathPattern {
    type Err = RouteKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some(rest) = text.strip_prefix('/') else {
            return Err(RouteKeyError::new(
                format!("the path {text:?} does not begin with '/'"),
                format!("write \"/{text}\""),
            ));
        };
        if rest.is_empty() {
            return Ok(Self(Vec::new()));
        }
        if let Some(shorter) = rest.strip_suffix('/') {
            return Err(RouteKeyError::new(
                format!("the path {text:?} ends with '/'"),
                format!("write \"/{shorter}\": a request's trailing slash is ignored"),
            ));
        }
        let segments =
            rest.split('/').map(|part| segment(text, part)).collect::<Result<Vec<_>, _>>()?;
        if segments.len() > SEGMENTS_MAX {
            return Err(RouteKeyError::new(
                format!("the path has {} segments", segments.len()),
                format!("use at most {SEGMENTS_MAX}"),
            ));
        }
        check_parameters(text, &segments)?;
        Ok(Self(segments))
    }
}

fn segment(path: &str, part: &str) -> Result<Segment, RouteKeyError> {
    let malformed = |why: &str| {
        RouteKeyError::new(
            format!("the segment {part:?} of {path:?} {why}"),
            "a segment is text, \"{name}\" or, last, \"{name+}\"",
        )
    };
    if part.is_empty() {
        return Err(malformed("is empty"));
    }
    let Some(inner) = part.strip_prefix('{') else {
        if part.contains(['{', '}']) {
            return Err(malformed("has a brace inside"));
        }
        return Ok(Segment::Literal(decode(part).into_owned()));
    };
    let Some(inner) = inner.strip_suffix('}') else {
        return Err(malformed("has no closing brace at its end"));
    };
    let (name, greedy) = match inner.strip_suffix('+') {
        Some(name) => (name, true),
        None => (inner, false),
    };
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '$');
    if name.is_empty() || !name.chars().all(valid) {
        return Err(malformed("does not name its parameter with letters, digits, '_', '-' or '.'"));
    }
    let name = name.to_owned();
    Ok(if greedy { Segment::Greedy(name) } else { Segment::Parameter(name) })
}

fn check_parameters(path: &str, segments: &[Segment]) -> Result<(), RouteKeyError> {
    let mut seen = Vec::new();
    for (index, segment) in segments.iter().enumerate() {
        let name = match segment {
            Segment::Literal(_) => continue,
            Segment::Parameter(name) => name,
            Segment::Greedy(name) => {
                if index + 1 != segments.len() {
                    return Err(RouteKeyError::new(
                        format!("{{{name}+}} is not the last segment of {path:?}"),
                        "a greedy parameter takes the rest of the path",
                    ));
                }
                name
            }
        };
        if seen.contains(&name) {
            return Err(RouteKeyError::new(
                format!("{path:?} names the parameter {{{name}}} twice"),
                "give each parameter its own name",
            ));
        }
        seen.push(name);
    }
    Ok(())
}

impl PathPattern {
    /// A path of segments that are known to be valid.
    pub fn from_segments(segments: Vec<Segment>) -> Self {
        Self(segments)
    }

    /// The segments, from the root on.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// The names of the parameters, greedy or not, in order.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|segment| match segment {
            Segment::Literal(_) => None,
            Segment::Parameter(name) | Segment::Greedy(name) => Some(name.as_str()),
        })
    }

    /// The same path with parameters' names left out: what two patterns share
    /// that match the same requests.
    fn shape(&self) -> String {
        let mut shape = String::new();
        for segment in &self.0 {
            shape.push('/');
            match segment {
                Segment::Literal(text) => shape.push_str(text),
                Segment::Parameter(_) => shape.push_str("{}"),
                Segment::Greedy(_) => shape.push_str("{+}"),
            }
        }
        shape
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("/");
        }
        for segment in &self.0 {
            match segment {
                Segment::Literal(text) => {
                    f.write_str("/")?;
                    text.chars().try_for_each(|c| match c {
                        // What would be read as something else.
                        '%' | '{' | '}' | '/' => write!(f, "%{:02X}", u32::from(c)),
                        _ if c.is_ascii_whitespace() => write!(f, "%{:02X}", u32::from(c)),
                        _ => write!(f, "{c}"),
                    })?;
                }
                Segment::Parameter(name) => write!(f, "/{{{name}}}")?,
                Segment::Greedy(name) => write!(f, "/{{{name}+}}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for RouteMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("ANY"),
            Self::Only(method) => f.write_str(method.as_str()),
        }
    }
}

impl fmt::Display for RouteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(method, path) => write!(f, "{method} {path}"),
            Self::Default => f.write_str("$default"),
        }
    }
}

impl RouteKey {
    /// What two keys share exactly when no request could tell them apart.
    pub fn identity(&self) -> String {
        match self {
            Self::Path(method, path) => format!("{method} {}", path.shape()),
            Self::Default => "$default".to_owned(),
        }
    }

    /// The path, `$default` for the catch-all: API Gateway's `resource`.
    pub fn resource(&self) -> String {
        match self {
            Self::Path(_, path) => path.to_string(),
            Self::Default => "$default".to_owned(),
        }
    }
}

/// Routes, ready to be matched. `T` is what a route leads to.
#[derive(Debug)]
pub struct Router<T> {
    kind: ApiKind,
    root: Node,
    routes: Vec<T>,
    default: Option<usize>,
}

#[derive(Debug, Default)]
struct Node {
    // What is looked up is a client's, what is there is the configuration's: no
    // client can make it slow.
    literals: FxHashMap<String, Node>,
    parameter: Option<Box<Node>>,
    greedy: Option<Endpoint>,
    endpoint: Option<Endpoint>,
}

/// What a search of the tree looks for.
struct Wanted<'m> {
    /// Only resources with this method or `ANY`.
    method: Option<&'m Method>,
    /// Greedy resources too.
    greedy: bool,
}

/// A resource: the methods of one path, each with its route and its names of
/// the path's parameters.
#[derive(Debug, Default)]
struct Endpoint {
    // There are seven at most.
    methods: Vec<(Method, Leaf)>,
    any: Option<Leaf>,
}

#[derive(Debug)]
struct Leaf {
    route: usize,
    names: Vec<String>,
}

/// What a request's method and path lead to.
#[derive(Debug, PartialEq)]
pub struct Found<'r, T> {
    /// The route's value.
    pub route: &'r T,
    /// Path parameters in the order of the path, percent-decoded.
    pub parameters: Vec<(String, String)>,
}

impl<T> Router<T> {
    /// Builds from pairs of key and value. Of two keys with the same
    /// [`RouteKey::identity`] the first stays.
    pub fn new(kind: ApiKind, routes: impl IntoIterator<Item = (RouteKey, T)>) -> Self {
        let mut router = Self { kind, root: Node::default(), routes: Vec::new(), default: None };
        for (key, value) in routes {
            let index = router.routes.len();
            router.routes.push(value);
            match key {
                RouteKey::Default => {
                    router.default.get_or_insert(index);
                }
                RouteKey::Path(method, path) => router.root.insert(method, &path, index),
            }
        }
        router
    }

    /// All values, in the order they were given.
    pub fn routes(&self) -> &[T] {
        &self.routes
    }

    /// The route for a request. `path` is the request's, still encoded; an
    /// encoded slash does not end a segment.
    pub fn find(&self, method: &Method, path: &str) -> Option<Found<'_, T>> {
        let path = Segments::of(path)?;
        let passes: &[Wanted<'_>] = match self.kind {
            ApiKind::Rest => &[Wanted { method: None, greedy: true }],
            ApiKind::Http => &[
                Wanted { method: Some(method), greedy: false },
                Wanted { method: Some(method), greedy: true },
            ],
        };
        let mut taken = Vec::new();
        let leaf = passes
            .iter()
            .find_map(|wanted| self.root.find(path, wanted, &mut taken))
            .and_then(|endpoint| endpoint.leaf(method));
        match leaf {
            Some(leaf) => Some(Found {
                route: &self.routes[leaf.route],
                parameters: leaf.names.iter().cloned().zip(taken).collect(),
            }),
            None => self
                .default
                .map(|index| Found { route: &self.routes[index], parameters: Vec::new() }),
        }
    }

    /// The methods that have a route at `path`, for a CORS preflight; `None`
    /// stands for `ANY`.
    pub fn methods(&self, path: &str) -> Vec<Option<Method>> {
        let Some(path) = Segments::of(path) else { return Vec::new() };
        let mut endpoints = Vec::new();
        self.root.endpoints(path, &mut endpoints);
        let mut methods: Vec<_> = endpoints
            .iter()
            .flat_map(|endpoint| {
                let any = endpoint.any.as_ref().map(|_| None);
                endpoint.methods.iter().map(|(method, _)| Some(method.clone())).chain(any)
            })
            .collect();
        if self.default.is_some() {
            methods.push(None);
        }
        methods.sort_by_key(|method| method.as_ref().map(|method| method.as_str().to_owned()));
        methods.dedup();
        methods
    }
}

/// The segments of a request's path that are left of it, encoded as they came;
/// none of `/`. A trailing slash is ignored, as the service ignores it.
#[derive(Clone, Copy)]
struct Segments<'p>(Option<&'p str>);

impl<'p> Segments<'p> {
    /// All of a path, unless it has too many.
    fn of(path: &'p str) -> Option<Self> {
        let path = path.strip_prefix('/').unwrap_or(path);
        let path = path.strip_suffix('/').unwrap_or(path);
        let slashes = path.bytes().filter(|byte| *byte == b'/').count();
        (slashes < SEGMENTS_MAX).then_some(Self((!path.is_empty()).then_some(path)))
    }

    /// The first, and those after it.
    fn split_first(self) -> Option<(&'p str, Self)> {
        let path = self.0?;
        Some(match path.split_once('/') {
            Some((first, rest)) => (first, Self(Some(rest))),
            None => (path, Self(None)),
        })
    }

    /// As they stand in the path.
    fn as_str(self) -> &'p str {
        self.0.unwrap_or_default()
    }
}

impl<'p> Iterator for Segments<'p> {
    type Item = &'p str;

    fn next(&mut self) -> Option<&'p str> {
        let (first, rest) = self.split_first()?;
        *self = rest;
        Some(first)
    }
}

/// A path as routes see it: decoded, without a trailing slash. Whoever may call
/// is decided by it, so that no other spelling leads past a rule. A slash
/// within a segment ends none, and stays encoded.
pub fn canonical(path: &str) -> String {
    let Some(segments) = Segments::of(path) else { return path.to_owned() };
    let segments = segments.map(|segment| decode(segment).replace('/', "%2F"));
    format!("/{}", segments.collect::<Vec<_>>().join("/"))
}

/// Percent-decoding as the service does it for path parameters: bytes that
/// are no UTF-8 become replacement characters, `+` stays.
fn decode(text: &str) -> Cow<'_, str> {
    // As it is, nearly always.
    if !text.contains('%') {
        return text.into();
    }
    percent_decode_str(text).decode_utf8_lossy()
}

impl Node {
    fn insert(&mut self, method: RouteMethod, path: &PathPattern, route: usize) {
        let names = path.parameters().map(str::to_owned).collect();
        let mut node = self;
        for segment in path.segments() {
            match segment {
                Segment::Literal(text) => node = node.literals.entry(text.clone()).or_default(),
                Segment::Parameter(_) => node = node.parameter.get_or_insert_default(),
                Segment::Greedy(_) => {
                    node.greedy.get_or_insert_default().insert(method, Leaf { route, names });
                    return;
                }
            }
        }
        node.endpoint.get_or_insert_default().insert(method, Leaf { route, names });
    }

    /// The most specific resource for `path` that is `wanted`. Parameters'
    /// values are left in `taken`.
    /// The depth of the recursion is bounded by [`SEGMENTS_MAX`].
    fn find<'n>(
        &'n self,
        path: Segments<'_>,
        wanted: &Wanted<'_>,
        taken: &mut Vec<String>,
    ) -> Option<&'n Endpoint> {
        let fits = |endpoint: &&Endpoint| {
            wanted.method.is_none_or(|method| endpoint.leaf(method).is_some())
        };
        let Some((first, rest)) = path.split_first() else {
            return self.endpoint.as_ref().filter(fits);
        };
        let first = decode(first);
        let depth = taken.len();
        if let Some(child) = self.literals.get(first.as_ref())
            && let Some(found) = child.find(rest, wanted, taken)
        {
            return Some(found);
        }
        if let Some(child) = &self.parameter {
            taken.push(first.into_owned());
            if let Some(found) = child.find(rest, wanted, taken) {
                return Some(found);
            }
            taken.truncate(depth);
        }
        let found = self.greedy.as_ref().filter(|_| wanted.greedy).filter(fits)?;
        taken.push(decode(path.as_str()).into_owned());
        Some(found)
    }

    /// Every resource that some method's request for `path` could reach.
    fn endpoints<'n>(&'n self, path: Segments<'_>, found: &mut Vec<&'n Endpoint>) {
        let Some((first, rest)) = path.split_first() else {
            found.extend(&self.endpoint);
            return;
        };
        if let Some(child) = self.literals.get(decode(first).as_ref()) {
            child.endpoints(rest, found);
        }
        if let Some(child) = &self.parameter {
            child.endpoints(rest, found);
        }
        found.extend(&self.greedy);
    }
}

impl Endpoint {
    fn insert(&mut self, method: RouteMethod, leaf: Leaf) {
        match method {
            RouteMethod::Any => {
                self.any.get_or_insert(leaf);
            }
            RouteMethod::Only(method) => {
                if !self.methods.iter().any(|(own, _)| *own == method) {
                    self.methods.push((method, leaf));
                }
            }
        }
    }

    fn leaf(&self, method: &Method) -> Option<&Leaf> {
        let own = self.methods.iter().find(|(own, _)| own == method);
        own.map(|(_, leaf)| leaf).or(self.any.as_ref())
    }
}

#[cfg(test)]
mod tests;

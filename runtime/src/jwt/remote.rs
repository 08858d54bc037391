//! Keys that issuers publish: fetched when a token first needs them, kept for
//! an hour, and fetched again when a token names a key that is not among them,
//! but not as often as a stranger makes up names.
//!
//! Clients never wait for keys that are only old, and an issuer that cannot be
//! reached takes nothing away: what it said last stays in use.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Limited};
use serde_json::Value;
use tokio::sync::watch;

use super::{KEY_SET_BYTES_MAX, KeySet};
use crate::{
    config::{TlsConfig, check_absolute},
    integration::{AnswerBody, http::Client, http::Clients},
};

/// How long fetched keys are fresh.
const FRESH: Duration = Duration::from_secs(60 * 60);

/// The least time between two attempts to fetch keys that are old or missing.
const RETRY: Duration = Duration::from_secs(5);

/// The least time between two fetches for names that are not among the keys,
/// whoever sends them.
const UNKNOWN_KEY: Duration = Duration::from_secs(10);

/// The longest that a document of an issuer may take: API Gateway's.
const FETCH_TIMEOUT: Duration = Duration::from_millis(1500);

/// The longest document of an issuer that names its keys' address, in bytes.
const DISCOVERY_BYTES_MAX: usize = KEY_SET_BYTES_MAX;

/// Where an issuer's keys are.
#[derive(Debug, Clone, PartialEq)]
pub enum Location {
    /// At this address.
    KeySet(Uri),
    /// Where the issuer's discovery document says.
    Discovery {
        /// The issuer, as tokens name it.
        issuer: String,
        /// The document.
        document: Uri,
    },
}

impl Location {
    /// The discovery document of an issuer.
    ///
    /// # Errors
    /// Why there can be none.
    pub fn of_issuer(issuer: &str) -> Result<Self, String> {
        let base = issuer.trim_end_matches('/');
        let document = address(&format!("{base}/.well-known/openid-configuration"))?;
        if document.query().is_some() || issuer.contains('#') {
            return Err("has a query or a fragment".to_owned());
        }
        Ok(Self::Discovery { issuer: issuer.to_owned(), document })
    }
}

/// An address that keys may come from: nobody on the way may change them, so
/// that it has to be `https`, or this machine.
///
/// # Errors
/// Why they may not.
pub fn address(text: &str) -> Result<Uri, String> {
    check_absolute(text)?;
    let uri: Uri = text.parse().map_err(|error| format!("is not a URI: {error}"))?;
    let host = uri.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let is_loopback =
        host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|ip| ip.is_loopback());
    if uri.scheme_str() != Some("https") && !is_loopback {
        return Err(
            "is not https, which only this machine's own addresses may do without".to_owned()
        );
    }
    Ok(uri)
}

/// The keys of one issuer. They outlive snapshots, as long as the configuration
/// names the same place.
pub struct Remote {
    location: Location,
    client: Client,
    kept: ArcSwapOption<Kept>,
    fetches: Mutex<Fetches>,
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Remote").field(&self.location).finish()
    }
}

struct Kept {
    keys: Arc<KeySet>,
    since: Instant,
}

#[derive(Default)]
struct Fetches {
    // Closed when the fetch has ended.
    running: Option<watch::Receiver<()>>,
    last: Option<Instant>,
    last_for_unknown: Option<Instant>,
}

/// Why keys are fetched.
#[derive(Clone, Copy, PartialEq)]
enum Reason {
    Old,
    Missing,
    UnknownKey,
}

impl Remote {
    /// Keys that nobody has fetched yet.
    pub fn new(location: Location, clients: &Clients) -> Self {
        Self {
            location,
            client: clients.get(&TlsConfig::default()),
            kept: ArcSwapOption::empty(),
            fetches: Mutex::default(),
        }
    }

    /// Whether its keys come from there.
    pub fn is_at(&self, location: &Location) -> bool {
        self.location == *location
    }

    /// The issuer's keys, among which `id` is looked for; none where they
    /// cannot be had. Takes no longer than two documents may.
    pub async fn keys(self: &Arc<Self>, id: &str) -> Option<Arc<KeySet>> {
        let kept = self.kept.load_full();
        let reason = match &kept {
            None => Reason::Missing,
            Some(kept) if kept.since.elapsed() >= FRESH => Reason::Old,
            Some(kept) if !kept.keys.has(id) => Reason::UnknownKey,
            Some(kept) => return Some(Arc::clone(&kept.keys)),
        };
        let fetch = self.fetch(reason);
        let kept = match (kept, fetch) {
            // Old keys serve those who name them, while newer ones come.
            (Some(kept), _) if kept.keys.has(id) => Some(kept),
            (_, Some(mut fetch)) => {
                // It says nothing and ends.
                let _ = fetch.changed().await;
                self.kept.load_full()
            }
            (kept, None) => kept,
        };
        kept.map(|kept| Arc::clone(&kept.keys))
    }

    /// Whether these are the keys that the issuer is known to publish. Old ones
    /// are, while newer ones come.
    pub fn publishes(self: &Arc<Self>, keys: &Arc<KeySet>) -> bool {
        let kept = self.kept.load();
        let Some(kept) = kept.as_ref().filter(|kept| Arc::ptr_eq(&kept.keys, keys)) else {
            return false;
        };
        if kept.since.elapsed() >= FRESH {
            self.fetch(Reason::Old);
        }
        true
    }

    /// Begins a fetch, or joins the one that runs; none where it is too early
    /// for another.
    fn fetch(self: &Arc<Self>, reason: Reason) -> Option<watch::Receiver<()>> {
        let mut fetches = self.fetches.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = &fetches.running
            && running.has_changed().is_ok()
        {
            return Some(running.clone());
        }
        let (last, pause) = match reason {
            Reason::Old | Reason::Missing => (fetches.last, RETRY),
            Reason::UnknownKey => (fetches.last_for_unknown, UNKNOWN_KEY),
        };
        if last.is_some_and(|last| last.elapsed() < pause) {
            return None;
        }
        let (ends, running) = watch::channel(());
        fetches.last = Some(Instant::now());
        if reason == Reason::UnknownKey {
            fetches.last_for_unknown = fetches.last;
        }
        fetches.running = Some(running.clone());
        drop(fetches);
        let own = Arc::clone(self);
        // Whoever began it may go away; others wait for it too.
        tokio::spawn(async move {
            own.finish(own.fetched().await);
            drop(ends);
        });
        Some(running)
    }

    fn finish(&self, fetched: Result<KeySet, String>) {
        match fetched {
            Ok(keys) => {
                for why in &keys.unusable {
                    tracing::warn!("the keys of {}: {why}; it is not used", self.place());
                }
                let kept = Kept { keys: Arc::new(keys), since: Instant::now() };
                self.kept.store(Some(Arc::new(kept)));
            }
            Err(why) => {
                let before = match self.kept.load().is_some() {
                    true => "those before stay in use",
                    false => "no token of theirs counts",
                };
                tracing::error!("the keys of {} cannot be fetched: {why}; {before}", self.place());
            }
        }
    }

    fn place(&self) -> String {
        match &self.location {
            Location::KeySet(uri) => uri.to_string(),
            Location::Discovery { issuer, .. } => issuer.clone(),
        }
    }

    async fn fetched(&self) -> Result<KeySet, String> {
        let uri = match &self.location {
            Location::KeySet(uri) => uri.clone(),
            Location::Discovery { issuer, document } => {
                let text = self.get(document, DISCOVERY_BYTES_MAX).await?;
                jwks_uri(issuer, &text).map_err(|why| format!("{document}: {why}"))?
            }
        };
        let text = self.get(&uri, KEY_SET_BYTES_MAX).await?;
        KeySet::parse(&text).map_err(|why| format!("{uri}: {why}"))
    }

    async fn get(&self, uri: &Uri, bytes_max: usize) -> Result<String, String> {
        let answer = async {
            let mut request = Request::new(AnswerBody::default());
            *request.uri_mut() = uri.clone();
            let accepted = http::HeaderValue::from_static("application/json");
            request.headers_mut().insert(header::ACCEPT, accepted);
            let response = self.client.send(request, FETCH_TIMEOUT).await;
            let response = response.map_err(|error| error.to_string())?;
            if response.status() != StatusCode::OK {
                return Err(format!("it answered {}", response.status()));
            }
            let body = Limited::new(response.into_body(), bytes_max).collect().await;
            let body = body.map_err(|error| format!("its answer cannot be read: {error}"))?;
            String::from_utf8(body.to_bytes().into())
                .map_err(|_| "its answer is not UTF-8".to_owned())
        };
        let answer = tokio::time::timeout(FETCH_TIMEOUT, answer).await;
        let answer =
            answer.unwrap_or_else(|_| Err(format!("it took longer than {FETCH_TIMEOUT:?}")));
        answer.map_err(|why| format!("{uri}: {why}"))
    }
}

/// Where a discovery document says that the keys of `issuer` are.
fn jwks_uri(issuer: &str, text: &str) -> Result<Uri, String> {
    let document: Value =
        serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))?;
    // A document of another issuer would let that one sign.
    if document["issuer"].as_str() != Some(issuer) {
        return Err(format!("it is the document of the issuer {}", document["issuer"]));
    }
    let uri = document["jwks_uri"].as_str().ok_or("it has no jwks_uri")?;
    address(uri).map_err(|why| format!("its jwks_uri {uri:?} {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_over_https_or_from_this_machine() {
        for good in [
            "https://issuer.example/keys?a=b",
            "http://localhost:8080/keys",
            "http://127.1.2.3/keys",
            "http://[::1]:1/keys",
        ] {
            assert!(address(good).is_ok(), "{good}");
        }
        for bad in [
            "http://issuer.example/keys",
            "http://localhost.example/keys",
            "http://10.0.0.1/",
            "ftp://localhost/",
            "https://user@issuer.example/",
            "https:///keys",
            "/keys",
            "",
        ] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_discovery_document_is_its_issuer_s_own() {
        let document = |issuer: &str, uri: &str| {
            serde_json::json!({ "issuer": issuer, "jwks_uri": uri }).to_string()
        };
        let issuer = "https://issuer.example";
        let good = document(issuer, "https://keys.example/jwks");
        assert_eq!(
            jwks_uri(issuer, &good).map(|uri| uri.to_string()).as_deref(),
            Ok("https://keys.example/jwks")
        );
        for bad in [
            document("https://other.example", "https://keys.example/jwks"),
            document(issuer, "http://keys.example/jwks"),
            document(issuer, "file:///etc/passwd"),
            "{}".to_owned(),
            "[".to_owned(),
        ] {
            assert!(jwks_uri(issuer, &bad).is_err(), "{bad}");
        }
        assert!(Location::of_issuer("https://issuer.example/?a=b").is_err());
        assert!(Location::of_issuer("issuer").is_err());
        let slash = Location::of_issuer("https://issuer.example/tenant/");
        let Ok(Location::Discovery { document, .. }) = slash else { panic!("{slash:?}") };
        assert_eq!(
            document.to_string(),
            "https://issuer.example/tenant/.well-known/openid-configuration"
        );
    }
}

//! Tokens that were verified before: clients send the same one again and again,
//! and a signature costs more than all else that a request is asked for.
//!
//! What is remembered of a token holds for its text and for the keys that
//! verified it. Whoever finds one asks whether those are still the keys, and
//! looks at its times. An authorizer remembers its own alone, and a snapshot has
//! its own authorizers.
//!
//! That a token is known here shows in how fast the answer comes, to those who
//! send all of it and so have it already. Of a text that is only like it, the
//! comparison ends at the first difference: one guesses a signature no better for
//! that, since its place is chosen by a keyed hash and as many of its bytes are
//! compared at once as nobody can try.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use indexmap::Equivalent;
use moka::{Expiry, sync::Cache};
use serde_json::{Map, Value};

use super::{
    Claims, Form, KeySet, Refusal,
    claims::{Times, members_size},
};

/// What is remembered of one authorizer's tokens, in bytes.
const BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What one takes beside its text and its claims, in bytes, so that their number
/// is bounded too.
const ENTRY_BYTES: usize = 512;

/// The longest that one is remembered for.
const REMEMBERED: Duration = Duration::from_secs(60 * 60);

/// How much of a text's end is hashed, in bytes: a part of the signature, which
/// no two tokens have in common.
const HASHED_BYTES: usize = 32;

/// What a token says that was verified.
pub struct Verified {
    /// Its claims.
    pub claims: Claims,
    /// The same as events and templates have them.
    pub texts: Map<String, Value>,
    /// What verified it.
    pub keys: Arc<KeySet>,
    times: Times,
}

impl fmt::Debug for Verified {
    // Claims say who somebody is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified").field("times", &self.times).finish_non_exhaustive()
    }
}

impl Verified {
    /// What `keys` have verified.
    pub fn new(claims: Claims, times: Times, form: Form, keys: Arc<KeySet>) -> Self {
        Self { texts: claims.texts(form), claims, keys, times }
    }

    /// Whether it counts at `now`.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, now: SystemTime) -> Result<(), Refusal> {
        self.times.check(now)
    }

    /// About how many bytes it takes in memory.
    fn size(&self) -> usize {
        ENTRY_BYTES + self.claims.size() + members_size(&self.texts)
    }
}

/// An authorizer's tokens by their texts, bounded, each until it expires.
pub struct VerifiedTokens(Cache<Text, Arc<Verified>>);

/// What a client sent.
struct Text(Box<[u8]>);

/// The same while it is only looked at.
struct Sent<'s>(&'s [u8]);

impl Hash for Sent<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0[self.0.len().saturating_sub(HASHED_BYTES)..]);
    }
}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Sent(&self.0).hash(state);
    }
}

impl Equivalent<Text> for Sent<'_> {
    fn equivalent(&self, text: &Text) -> bool {
        *self.0 == *text.0
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Text {}

/// Each is remembered until it expires.
struct UntilItExpires;

impl Expiry<Text, Arc<Verified>> for UntilItExpires {
    fn expire_after_create(
        &self,
        _: &Text,
        verified: &Arc<Verified>,
        _: Instant,
    ) -> Option<Duration> {
        Some(verified.times.left(SystemTime::now(), REMEMBERED))
    }

    fn expire_after_update(
        &self,
        text: &Text,
        verified: &Arc<Verified>,
        at: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        self.expire_after_create(text, verified, at)
    }
}

impl VerifiedTokens {
    /// None yet.
    #[expect(clippy::new_without_default, reason = "an authorizer without tokens has none")]
    pub fn new() -> Self {
        let weigh = |text: &Text, verified: &Arc<Verified>| {
            u32::try_from(text.0.len() + verified.size()).unwrap_or(u32::MAX)
        };
        let cache = Cache::builder().max_capacity(BYTES_MAX).weigher(weigh);
        Self(cache.expire_after(UntilItExpires).build())
    }

    /// What was verified of this text. Its keys may be others by now, and its
    /// time over.
    pub fn get(&self, sent: &[u8]) -> Option<Arc<Verified>> {
        self.0.get(&Sent(sent))
    }

    /// Remembers what was verified of a text.
    pub fn remember(&self, sent: &[u8], verified: &Arc<Verified>) {
        self.0.insert(Text(sent.into()), Arc::clone(verified));
    }

    /// How many are remembered, and about how many bytes that takes.
    #[cfg(test)]
    pub fn held(&self) -> (u64, u64) {
        self.0.run_pending_tasks();
        (self.0.entry_count(), self.0.weighted_size())
    }
}

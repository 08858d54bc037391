//! What a function learns about its invocation.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What AWS Lambda's context object tells a function about its invocation.
///
/// ```
/// use mayfly_guest::Context;
///
/// let context = Context { function_name: "users".into(), ..Context::default() };
/// assert_eq!(context.function_version, "$LATEST");
/// assert!(context.remaining().as_secs() <= 3);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// The invocation's own id, a UUID; every log line carries it.
    pub request_id: String,
    /// The function's name: the stem of its `.wasm` file.
    pub function_name: String,
    /// The version that runs, `$LATEST` unless one was published.
    pub function_version: String,
    /// `arn:aws:lambda:REGION:ACCOUNT:function:NAME`.
    pub invoked_function_arn: String,
    /// The most linear memory the invocation may hold, in MiB.
    pub memory_limit_mb: u32,
    /// When the invocation is ended, in milliseconds since the Unix epoch.
    pub deadline_ms: u64,
}

impl Context {
    /// What the caller of the invocation said beside the event, a JSON text;
    /// none where it said nothing, as API Gateway does, and in tests.
    pub fn client_context(&self) -> Option<String> {
        #[cfg(target_family = "wasm")]
        return crate::wasm::client_context();
        #[cfg(not(target_family = "wasm"))]
        None
    }

    /// The time left until the invocation is ended; zero once it has passed.
    ///
    /// ```
    /// use mayfly_guest::Context;
    ///
    /// let late = Context { deadline_ms: 0, ..Context::default() };
    /// assert!(late.remaining().is_zero());
    /// ```
    pub fn remaining(&self) -> Duration {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Duration::from_millis(self.deadline_ms).saturating_sub(now)
    }
}

/// For tests: an invocation of a function named `test`, with AWS Lambda's
/// default limits of 128 MiB and 3 s.
impl Default for Context {
    fn default() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let deadline = now + Duration::from_secs(3);
        Self {
            request_id: "00000000-0000-4000-8000-000000000000".into(),
            function_name: "test".into(),
            function_version: "$LATEST".into(),
            invoked_function_arn: "arn:aws:lambda:us-east-1:000000000000:function:test".into(),
            memory_limit_mb: 128,
            deadline_ms: u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

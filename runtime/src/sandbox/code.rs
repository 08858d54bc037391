//! Code of a handler, which is there at once or when it has been compiled.

use std::{
    fs, io,
    io::Read as _,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::SetOnce;

use super::{compiler::Compiler, component::Compiled, invoke::InvokeError};

/// The largest handler, in bytes: Lambda's limit for unpacked code.
const CODE_BYTES_MAX: u64 = 250 * 1024 * 1024;

/// How many calls within [`OFTEN_WITHIN`] are worth that code is compiled once more. Of fewer
/// it would save less than a hundredth of a processor, and it takes memory.
const OFTEN: u32 = 2000;
const OFTEN_WITHIN: Duration = Duration::from_secs(1);

/// Code of one handler.
pub struct Code {
    /// SHA-256 of the `.wasm` file.
    pub sha256: [u8; 32],
    /// Size of the `.wasm` file, in bytes.
    pub size: usize,
    compiled: SetOnce<Result<Arc<Compiled>, String>>,
    // Somebody waits for it.
    wanted: AtomicBool,
    calls: Calls,
    // Where it comes from, and who compiles.
    origin: Option<(Weak<Compiler>, CodeFile)>,
}

/// Where code comes from.
#[derive(Debug, Clone)]
pub struct CodeFile {
    /// What progress calls it.
    pub name: String,
    /// The `.wasm` file.
    pub path: PathBuf,
    /// Whether who asks for it says itself that it is no function, and when.
    pub is_reported: bool,
}

impl CodeFile {
    /// Its bytes, as far as a handler may have so many.
    pub(super) fn read(&self) -> Result<Vec<u8>, String> {
        let failed = |error: io::Error| error.to_string();
        let file = fs::File::open(&self.path).map_err(failed)?;
        let len = file.metadata().map_err(failed)?.len();
        if len > CODE_BYTES_MAX {
            return Err(format!(
                "{len} bytes, more than the {CODE_BYTES_MAX} that a handler may have"
            ));
        }
        // One read, where nobody is writing it.
        let mut bytes = Vec::with_capacity(usize::try_from(len + 1).unwrap_or_default());
        file.take(CODE_BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?;
        Ok(bytes)
    }
}

impl Code {
    pub(super) fn new(sha256: [u8; 32], size: usize, compiled: Option<Compiled>) -> Self {
        let compiled = SetOnce::new_with(compiled.map(|compiled| Ok(Arc::new(compiled))));
        let (wanted, calls) = (AtomicBool::new(false), Calls::new(Instant::now()));
        Self { sha256, size, compiled, wanted, calls, origin: None }
    }

    /// The same, which knows where it comes from.
    pub(super) fn of_file(self, compiler: Weak<Compiler>, file: CodeFile) -> Self {
        Self { origin: Some((compiler, file)), ..self }
    }

    /// Counts a call. When it is called often, what makes its calls shorter is compiled.
    pub(super) fn called(self: &Arc<Self>) {
        if !self.calls.are_often_now(Instant::now) {
            return;
        }
        let origin = self.origin.as_ref();
        if let Some((compiler, file)) = origin.and_then(|(own, file)| Some((own.upgrade()?, file)))
        {
            compiler.compile_further(self, file);
        }
    }

    /// Whether it is known what has become of it.
    pub fn is_settled(&self) -> bool {
        self.compiled.initialized()
    }

    /// Why it cannot be run, as far as that is known by now.
    pub fn problem(&self) -> Option<&str> {
        self.compiled.get()?.as_ref().err().map(String::as_str)
    }

    /// Whether it takes HTTP requests as they come, not events; of what is still
    /// being compiled nobody knows.
    pub fn speaks_http(&self) -> bool {
        self.ready().is_some_and(|own| own.speaks_http())
    }

    /// Waits until it is settled. What is waited for is compiled before the rest.
    pub async fn settled(&self) {
        if !self.is_settled() {
            self.want();
            self.compiled.wait().await;
        }
    }

    /// What was compiled, once it is.
    pub(super) async fn compiled(&self) -> Result<&Arc<Compiled>, InvokeError> {
        let outcome = match self.compiled.get() {
            Some(outcome) => outcome,
            None => {
                self.want();
                self.compiled.wait().await
            }
        };
        outcome.as_ref().map_err(|reason| InvokeError::Unusable(reason.clone()))
    }

    pub(super) fn settle(&self, outcome: Result<Compiled, String>) {
        // It is compiled once.
        let _ = self.compiled.set(outcome.map(Arc::new));
    }

    /// What was compiled, if it was by now.
    pub(super) fn ready(&self) -> Option<&Arc<Compiled>> {
        self.compiled.get()?.as_ref().ok()
    }

    pub(super) fn want(&self) {
        self.wanted.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }
}

/// Calls, as far as it matters whether they are many.
struct Calls {
    number: AtomicU32,
    // When the last so many began.
    since: Mutex<Instant>,
    were_often: AtomicBool,
}

impl Calls {
    fn new(now: Instant) -> Self {
        let (number, were_often) = (AtomicU32::new(0), AtomicBool::new(false));
        Self { number, since: Mutex::new(now), were_often }
    }

    /// Counts one; whether it is the first after which there were many within a short time.
    fn are_often_now(&self, now: impl Fn() -> Instant) -> bool {
        if self.were_often.load(Ordering::Relaxed) {
            return false;
        }
        let number = self.number.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        if !number.is_multiple_of(OFTEN) {
            return false;
        }
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        let now = now();
        let took = now.duration_since(std::mem::replace(&mut since, now));
        took <= OFTEN_WITHIN && !self.were_often.swap(true, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_often_when_many_come_within_a_second() {
        let begun = Instant::now();
        let calls = Calls::new(begun);
        // The number of the call after which they are, where each comes so much later.
        let often = |first: Duration, each: Duration| {
            (1..=3 * OFTEN).find(|number| calls.are_often_now(|| begun + first + each * *number))
        };
        assert_eq!(often(Duration::ZERO, Duration::from_millis(1)), None);
        // The first of them waited.
        let later = Duration::from_secs(60);
        assert_eq!(often(later, Duration::from_micros(400)), Some(2 * OFTEN));
        // Once is enough.
        assert_eq!(often(2 * later, Duration::from_micros(1)), None);
    }
}

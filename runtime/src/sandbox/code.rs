//! Code of a handler, which is there at once or when it has been compiled.

use std::{
    fs, io,
    io::Read as _,
    path::PathBuf,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use tokio::sync::SetOnce;

use super::{compiler::Compiler, component::Compiled, invoke::InvokeError};

/// The largest handler, in bytes: Lambda's limit for unpacked code.
const CODE_BYTES_MAX: u64 = 250 * 1024 * 1024;

/// After how many calls code is worth to be compiled once more.
const OFTEN: u32 = 1000;

/// Code of one handler.
pub struct Code {
    /// SHA-256 of the `.wasm` file.
    pub sha256: [u8; 32],
    /// Size of the `.wasm` file, in bytes.
    pub size: usize,
    compiled: SetOnce<Result<Arc<Compiled>, String>>,
    // Somebody waits for it.
    wanted: AtomicBool,
    // Up to those after which it is called often.
    calls: AtomicU32,
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
        let (wanted, calls) = (AtomicBool::new(false), AtomicU32::new(0));
        Self { sha256, size, compiled, wanted, calls, origin: None }
    }

    /// The same, which knows where it comes from.
    pub(super) fn of_file(self, compiler: Weak<Compiler>, file: CodeFile) -> Self {
        Self { origin: Some((compiler, file)), ..self }
    }

    /// Counts a call. When it is called often, what makes its calls shorter is compiled.
    pub(super) fn called(self: &Arc<Self>) {
        if self.calls.load(Ordering::Relaxed) >= OFTEN
            || self.calls.fetch_add(1, Ordering::Relaxed) + 1 != OFTEN
        {
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

//! Where a handler's calls go when it runs as a plain function in a unit test.

use std::cell::RefCell;
use std::rc::Rc;

use crate::ServiceError;
use crate::log::Level;

/// What stands in for the host during a test.
#[cfg_attr(not(feature = "testing"), allow(dead_code, reason = "only `testing` has one"))]
pub trait Backend {
    fn log(&self, level: Level, message: &str);
    fn call(&self, service: &str, action: &str, input: &str) -> Result<String, ServiceError>;
}

thread_local! {
    // By thread, because `cargo test` runs each test on its own.
    static BACKEND: RefCell<Option<Rc<dyn Backend>>> = const { RefCell::new(None) };
}

/// The backend of this thread until the guard is dropped.
#[cfg(feature = "testing")]
pub struct Installed {
    previous: Option<Rc<dyn Backend>>,
}

#[cfg(feature = "testing")]
pub fn install(backend: Rc<dyn Backend>) -> Installed {
    Installed { previous: BACKEND.replace(Some(backend)) }
}

#[cfg(feature = "testing")]
impl Drop for Installed {
    fn drop(&mut self) {
        BACKEND.set(self.previous.take());
    }
}

fn backend() -> Option<Rc<dyn Backend>> {
    BACKEND.with_borrow(Clone::clone)
}

pub fn log(level: Level, message: &str) {
    eprintln!("[{level:?}] {message}");
    if let Some(backend) = backend() {
        backend.log(level, message);
    }
}

pub fn call(service: &str, action: &str, input: &str) -> Result<String, ServiceError> {
    match backend() {
        Some(backend) => backend.call(service, action, input),
        None => Err(ServiceError::new(
            "NoTestWorld",
            format!(
                "{service}:{action} was called outside a test world; \
                 enable the feature `testing` of mayfly-guest in [dev-dependencies] \
                 and call the handler within `testing::World::new().run(|| ...)`"
            ),
        )),
    }
}

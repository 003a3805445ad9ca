//! The only way out of a plugin. Lines are shown with plugin, call and event number; they are bounded in bytes a call, and
//! cannot change a decision. Outside a component (unit tests) they go to stderr.

pub use crate::bindings::info::forebay::plugin::log::Level;

/// Writes one line.
#[cfg(target_arch = "wasm32")]
pub fn log(level: Level, message: &str) {
    crate::bindings::info::forebay::plugin::log::log(level, message);
}

/// Writes one line.
#[cfg(not(target_arch = "wasm32"))]
#[expect(
    clippy::print_stderr,
    reason = "outside a component there is no host to log to"
)]
pub fn log(level: Level, message: &str) {
    eprintln!("{level:?}: {message}");
}

/// For the author of the plugin.
pub fn debug(message: &str) {
    log(Level::Debug, message);
}

/// For whoever looks closely at a job.
pub fn info(message: &str) {
    log(Level::Info, message);
}

/// Something odd that the plugin copes with.
pub fn warn(message: &str) {
    log(Level::Warn, message);
}

/// Something that went wrong.
pub fn error(message: &str) {
    log(Level::Error, message);
}

/// Makes a panic write its message and place before the trap, which carries neither.
pub(crate) fn report_panics() {
    std::panic::set_hook(Box::new(|panic| error(&panic.to_string())));
}

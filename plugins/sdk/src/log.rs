//! The only way out of a plugin or operator. Lines are shown with its name and the call; they are bounded in bytes a call,
//! and cannot change a decision. Outside a component (unit tests) they go to stderr.

use std::cell::Cell;

pub use crate::bindings::info::forebay::plugin::log::Level;

/// Who takes lines. Each kind of component has a `log` of its own, and must not import the other's.
pub(crate) type Sink = fn(Level, &str);

thread_local! {
    static SINK: Cell<Sink> = const { Cell::new(to_nobody) };
}

/// Writes one line.
pub fn log(level: Level, message: &str) {
    SINK.get()(level, message);
}

/// Before the first call of a component there is nothing to say; standard error would be dead weight in it.
#[cfg(target_arch = "wasm32")]
fn to_nobody(_: Level, _: &str) {}

#[cfg(not(target_arch = "wasm32"))]
#[expect(
    clippy::print_stderr,
    reason = "outside a component there is no host to log to"
)]
fn to_nobody(level: Level, message: &str) {
    eprintln!("{level:?}: {message}");
}

/// To the host of engine plugins.
pub(crate) fn to_plugin_host(level: Level, message: &str) {
    crate::bindings::info::forebay::plugin::log::log(level, message);
}

/// To the host of operators.
pub(crate) fn to_operator_host(level: Level, message: &str) {
    use crate::bindings::operator::forebay::operator::log;
    let level = match level {
        Level::Debug => log::Level::Debug,
        Level::Info => log::Level::Info,
        Level::Warn => log::Level::Warn,
        Level::Error => log::Level::Error,
    };
    log::log(level, message);
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

/// At the begin of each call: lines go to this host, and so does the message of a panic, since the trap carries none.
pub(crate) fn begin(sink: Sink) {
    SINK.set(sink);
    std::panic::set_hook(Box::new(|panic| error(&panic.to_string())));
}

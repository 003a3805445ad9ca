//! Where the host's own log lines go. `FOREBAY_LOG` chooses them, such as `debug` or `forebay_cluster=debug,warn`.

use std::fs::File;
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

const FILTER_VARIABLE: &str = "FOREBAY_LOG";
const FILTER_DEFAULT: &str = "info";

/// To a file, for a process whose terminal belongs to others.
pub(crate) fn to_file(file: File) {
    start(BoxMakeWriter::new(Mutex::new(file)));
}

/// To standard error.
pub(crate) fn to_stderr() {
    start(BoxMakeWriter::new(std::io::stderr));
}

fn start(writer: BoxMakeWriter) {
    let filter =
        EnvFilter::try_from_env(FILTER_VARIABLE).unwrap_or_else(|_| EnvFilter::new(FILTER_DEFAULT));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(false);
    // A log that cannot be written is no reason to panic, which the default would do with a closed terminal.
    // Nor is a second start in one process, which only tests make.
    let _ = lines.log_internal_errors(false).try_init();
}

//! Whole runs of Forebay, through its binary, with real processes: see `tests/all`.
//!
//! Not here: what one crate can show by itself. A test belongs here when it needs the command line, an application
//! manager and nodes at once. Everything is started in a `forebay_test_support::Sandbox`, which is the type to start from.

//! Sources and sinks, each against the same expectations, and each with its own mishaps.

// Also for helpers: nothing here is anything but a test.
#![cfg(test)]

mod conformance;
mod csv_files;
mod full;
mod generated;
mod inference;
mod killed;
mod listing;
mod malformed;
mod permissions;
mod positions;
mod random;
mod replayed;
mod sinks;
mod support;
mod writers;

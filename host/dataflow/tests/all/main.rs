//! Whole dataflows, as a user of the crate makes them.

mod answers;
mod cuts;
mod enough;
mod exchanges;
mod failures;
mod joins;
mod keys;
mod reading;
mod support;
mod tables;
mod threads;
mod watermarks;
mod windows;

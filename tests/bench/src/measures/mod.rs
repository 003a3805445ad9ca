//! The measurements, one file each.

pub(crate) mod channel;
pub(crate) mod check;
pub(crate) mod cluster;
pub(crate) mod dataflow;
pub(crate) mod failover;
pub(crate) mod fed;
pub(crate) mod flights;
pub(crate) mod idle;
pub(crate) mod killed;
pub(crate) mod plugin;
pub(crate) mod submit;
pub(crate) mod training;
pub(crate) mod trivial;

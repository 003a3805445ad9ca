//! `forebay node-exec`: the small parent of a node. Agents start it; it is no verb for people.

use crate::exit::Exit;
use crate::failure::Failure;

pub(crate) fn execute() -> Result<Exit, Failure> {
    forebay_cluster::exec::run()
        .map(|()| Exit::Done)
        .map_err(|error| Failure::from_engine(&error))
}

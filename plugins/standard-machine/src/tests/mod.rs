//! The machine against a simulated host: what each call decides.

mod ending;
mod failing;
mod feeding;
mod restarting;
mod running;
mod simulation;

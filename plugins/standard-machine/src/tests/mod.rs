//! The machine against a simulated host: what each call decides.

mod ending;
mod failing;
mod restarting;
mod running;
mod simulation;

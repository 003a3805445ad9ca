//! The machine against a simulated host: what each call decides.

mod ending;
mod failing;
mod running;
mod simulation;

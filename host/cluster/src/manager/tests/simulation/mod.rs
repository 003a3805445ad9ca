//! A deterministic simulation of a whole job: application managers with the standard machine as it is shipped, agents,
//! processes and the network between them, on a simulated clock. One seed gives the job and everything that goes wrong:
//! kills, delays, partitions, reorderings, deaths of application managers between any two effects.
//!
//! `scenario` is what a seed gives, `world` what happens, `managing` what application managers do in it, `judge` what must
//! be true of every run. The agents are in `agent/simulated`.
//!
//! `FOREBAY_SEED=N` runs that seed alone and shows what happens; `FOREBAY_SEEDS=N` runs so many.

mod journal;
mod judge;
mod managing;
mod network;
mod people;
mod plugins;
mod process;
mod scenario;
mod world;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use self::plugins::Plugins;
use self::world::World;

/// How many seeds every run of the tests plays.
const SEEDS: u64 = 10_000;
/// Most broken seeds that are told of.
const SHOWN_MAX: usize = 10;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("`{variable}` is no number: `{text}`")))
}

/// What happened, and what of it must not happen.
fn play(seed: u64, plugins: &Plugins) -> World<'_> {
    let mut world = World::new(seed, plugins);
    let played = catch_unwind(AssertUnwindSafe(|| world.play()));
    if played.is_err() {
        world
            .witness
            .violated("something panicked, see above".into());
    }
    world
}

/// The first seeds that break a promise, with what they break.
fn broken(seeds: Range<u64>, plugins: &Plugins) -> Vec<(u64, World<'_>)> {
    let worlds = seeds.map(|seed| (seed, play(seed, plugins)));
    let broken = worlds.filter(|(_, world)| !world.witness.violations.is_empty());
    broken.take(SHOWN_MAX).collect()
}

#[test]
fn no_schedule_of_faults_breaks_what_is_promised() {
    let plugins = Plugins::load();
    if let Some(seed) = number("FOREBAY_SEED") {
        println!("{}", play(seed, &plugins).witness.trace);
    }
    let alone = number("FOREBAY_SEED").map(|seed| seed..seed + 1);
    let seeds = alone.unwrap_or_else(|| 0..number("FOREBAY_SEEDS").unwrap_or(SEEDS));
    let broken = broken(seeds, &plugins);
    let Some((first, world)) = broken.first() else {
        return;
    };
    let texts = broken.iter().map(|(seed, world)| {
        let violations = world.witness.violations.join("; ");
        format!("  seed {seed}: {violations}")
    });
    let texts: Vec<String> = texts.collect();
    panic!(
        "{}\nWhat happened with seed {first} is above. These promises are broken:\n{}\nOne seed alone: \
         FOREBAY_SEED={first} cargo test -p forebay-cluster no_schedule_of_faults -- --nocapture",
        world.witness.trace,
        texts.join("\n")
    );
}

//! How often tests play a peer that writes anything.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use fastrand::Rng;

/// Calls the case so often with a seed of its own, which a failure prints. `FOREBAY_FUZZ_CASES` says how often else, `FOREBAY_FUZZ_SEED` with what.
#[expect(clippy::print_stderr, reason = "shown where the test fails")]
pub(crate) fn cases(times: u64, case: impl Fn(&mut Rng)) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let first = number("FOREBAY_FUZZ_SEED").unwrap_or(0);
    for seed in first..first + number("FOREBAY_FUZZ_CASES").unwrap_or(times) {
        let run = AssertUnwindSafe(|| case(&mut Rng::with_seed(seed)));
        if let Err(panic) = catch_unwind(run) {
            eprintln!("FOREBAY_FUZZ_SEED={seed} FOREBAY_FUZZ_CASES=1");
            resume_unwind(panic);
        }
    }
}

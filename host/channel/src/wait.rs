//! Waiting in a thread of its own, as a node does. A host never waits so: it asks, and is woken by what it polls.

use std::time::{Duration, Instant};
use std::{hint, thread};

use crate::channel::NodeEnd;
use crate::error::Error;
use crate::link::{Link, Waited};
use crate::page::Word;
use crate::ring::{Reader, Record, Room, Slot, Writer};
#[cfg(all(test, feature = "loom"))]
use crate::sync::{Condvar, Mutex};

/// Looks before a sleep; together they take about as long as a sleep and a wake-up.
const LOOKS: u32 = 4_000;
/// So many looks, and somebody else may have the processor: where all are busy, the peer may be among those that wait for one.
const LOOKS_IN_A_ROW: u32 = 64;
/// So many waits in a row that ended in a sleep, and looking does not pay off any more.
const MISSES_MAX: u32 = 4;
/// Each so many waits look all the same, so that it is seen when looking pays off again.
const PROBES_EVERY: u32 = 8;

/// How often to look before a sleep: as long as it was worth it of late. A peer that answers at once is never slept for, one that takes its
/// time costs next to nothing.
#[derive(Debug)]
pub(crate) struct Patience {
    waits: u32,
    /// The last waits, as far as they ended in a sleep.
    misses: u32,
    /// The wait that was slept in goes on.
    has_slept: bool,
    /// Where there is one processor, the peer does nothing while this end looks.
    has_company: bool,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            waits: 0,
            misses: 0,
            has_slept: false,
            // The model checker has all of its threads in one.
            has_company: cfg!(not(feature = "loom"))
                && thread::available_parallelism().is_ok_and(|count| count.get() > 1),
        }
    }
}

impl Patience {
    /// Looks until something is seen, or it is time to sleep. What is there already is no wait.
    fn look<T>(
        &mut self,
        mut look: impl FnMut() -> Result<Option<T>, Error>,
    ) -> Result<Option<T>, Error> {
        if let Some(seen) = look()? {
            self.has_slept = false;
            return Ok(Some(seen));
        }
        for number in 1..=self.looks() {
            if number.is_multiple_of(LOOKS_IN_A_ROW) {
                thread::yield_now();
            } else {
                hint::spin_loop();
            }
            if let Some(seen) = look()? {
                self.misses = 0;
                return Ok(Some(seen));
            }
        }
        Ok(None)
    }

    /// After the first one.
    fn looks(&mut self) -> u32 {
        if std::mem::take(&mut self.has_slept) || !self.has_company {
            return 0;
        }
        self.waits = self.waits.wrapping_add(1);
        let is_worth_it = self.misses < MISSES_MAX || self.waits.is_multiple_of(PROBES_EVERY);
        if is_worth_it { LOOKS } else { 0 }
    }

    /// It was slept. Where nothing has come, the wait goes on.
    fn slept(&mut self) {
        self.misses = self.misses.saturating_add(1);
        self.has_slept = true;
    }
}

/// How long a wait may take. It begins with the first sleep: where nobody sleeps, nobody looks at a clock.
pub(crate) struct Limit {
    longest: Option<Duration>,
    begun: Option<Instant>,
}

impl Limit {
    pub(crate) fn new(longest: Option<Duration>) -> Self {
        Self {
            longest,
            begun: None,
        }
    }

    /// Somebody who rings without end does not make it longer.
    pub(crate) fn is_over(&mut self) -> bool {
        self.left() == Some(Duration::ZERO)
    }

    pub(crate) fn left(&mut self) -> Option<Duration> {
        let begun = *self.begun.get_or_insert_with(Instant::now);
        let longest = self.longest?;
        Some(longest.saturating_sub(begun.elapsed()))
    }
}

/// What came of a wait.
#[derive(Debug)]
pub enum Outcome<T> {
    /// What was waited for.
    Came(T),
    /// The time is over.
    TimedOut,
    /// A signal came: look whether it is for this thread, and wait again.
    Interrupted,
}

/// What a thread sleeps on until the peer rings.
pub(crate) trait Sleep {
    /// Taken before the last look in front of a sleep: what rings from then on ends it.
    fn ticket(&self) -> u64;

    /// Sleeps until the peer rings.
    ///
    /// # Errors
    ///
    /// The peer is gone.
    fn sleep(&self, ticket: u64, longest: Option<Duration>) -> Result<Waited, Error>;
}

/// Whoever sleeps alone misses nothing: what has rung stays in the socket.
impl Sleep for Link {
    fn ticket(&self) -> u64 {
        0
    }

    fn sleep(&self, _ticket: u64, longest: Option<Duration>) -> Result<Waited, Error> {
        self.wait(longest)
    }
}

/// What stands for the socket where the model checker tries all orders. What has rung stays in it, too.
#[cfg(all(test, feature = "loom"))]
#[derive(Debug, Default)]
pub(crate) struct Bed {
    rung: Mutex<bool>,
    changed: Condvar,
}

#[cfg(all(test, feature = "loom"))]
impl Bed {
    pub(crate) fn ring(&self) {
        *self.rung.lock().unwrap() = true;
        self.changed.notify_one();
    }
}

#[cfg(all(test, feature = "loom"))]
impl Sleep for Bed {
    fn ticket(&self) -> u64 {
        0
    }

    fn sleep(&self, _ticket: u64, _longest: Option<Duration>) -> Result<Waited, Error> {
        let mut rung = self.rung.lock().unwrap();
        while !*rung {
            rung = self.changed.wait(rung).unwrap();
        }
        *rung = false;
        Ok(Waited::Rung)
    }
}

impl NodeEnd {
    /// The next record, which may take its time.
    ///
    /// # Errors
    ///
    /// The host is gone and all that it has written was read, or it has broken the rules.
    pub fn wait_for_record(&mut self, longest: Option<Duration>) -> Result<Outcome<Record>, Error> {
        wait_for_record(&mut self.input, &mut self.patience, &self.link, longest)
    }

    /// Room for a record to the host, which may take its time.
    ///
    /// # Errors
    ///
    /// There never is any, the host is gone, or it has broken the rules.
    pub fn wait_for_room(
        &mut self,
        body: usize,
        longest: Option<Duration>,
    ) -> Result<Outcome<Slot<'_>>, Error> {
        let (output, patience) = (&mut self.output, &mut self.patience);
        wait_for_room(output, patience, &self.link, body, longest)
    }
}

/// See [`NodeEnd::wait_for_record`].
pub(crate) fn wait_for_record(
    input: &mut Reader,
    patience: &mut Patience,
    sleeper: &impl Sleep,
    longest: Option<Duration>,
) -> Result<Outcome<Record>, Error> {
    let mut limit = Limit::new(longest);
    loop {
        if let Some(record) = patience.look(|| input.take())? {
            return Ok(Outcome::Came(record));
        }
        let ticket = sleeper.ticket();
        if !input.sleeps()? {
            continue;
        }
        let slept = sleep(sleeper, ticket, limit.left(), input.waited());
        input.wakes();
        patience.slept();
        match slept {
            Ok(Waited::Rung) => {
                if limit.is_over() {
                    return Ok(input.take()?.map_or(Outcome::TimedOut, Outcome::Came));
                }
            }
            Ok(Waited::TimedOut) => return Ok(Outcome::TimedOut),
            Ok(Waited::Interrupted) => return Ok(Outcome::Interrupted),
            // What it wrote last is still there.
            Err(error) => return input.take()?.map(Outcome::Came).ok_or(error),
        }
    }
}

/// See [`NodeEnd::wait_for_room`].
pub(crate) fn wait_for_room<'a>(
    output: &'a mut Writer,
    patience: &mut Patience,
    sleeper: &impl Sleep,
    body: usize,
    longest: Option<Duration>,
) -> Result<Outcome<Slot<'a>>, Error> {
    let mut limit = Limit::new(longest);
    loop {
        let seen = patience.look(|| output.reserve(body).map(|slot| slot.map(|_| ())))?;
        if seen.is_some() {
            break;
        }
        let ticket = sleeper.ticket();
        // A node has no answers to wait for.
        if output.sleeps_for(body)? != Room::WaitsForPeer {
            continue;
        }
        let slept = sleep(sleeper, ticket, limit.left(), output.waited());
        output.wakes();
        patience.slept();
        match slept? {
            Waited::Rung => {
                if limit.is_over() && output.reserve(body)?.is_none() {
                    return Ok(Outcome::TimedOut);
                }
            }
            Waited::TimedOut => return Ok(Outcome::TimedOut),
            Waited::Interrupted => return Ok(Outcome::Interrupted),
        }
    }
    let slot = output.reserve(body)?;
    Ok(slot.map_or(Outcome::Interrupted, Outcome::Came))
}

/// Sleeps until the peer rings, and adds what it took to a word of this end.
fn sleep(
    sleeper: &impl Sleep,
    ticket: u64,
    longest: Option<Duration>,
    total: &Word,
) -> Result<Waited, Error> {
    let begun = Instant::now();
    let waited = sleeper.sleep(ticket, longest);
    total.add(begun.elapsed());
    waited
}

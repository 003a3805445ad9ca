//! The two directions of a node's end in the hands of two threads: one waits for records while another one waits for room.
//!
//! A socket wakes one sleeper, and both wait for it. So one of them sleeps on the socket, the leader, and the other one beside it until the
//! leader leaves: because it was rung, or because its time is over, and then the other one leads.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crate::channel::NodeEnd;
use crate::error::Error;
use crate::link::{HangUp, Link, Waited};
use crate::ring::{Reader, Record, Slot, Writer};
use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::wait::{self, Limit, Outcome, Patience, Sleep};

/// What a node reads, and waits for.
#[derive(Debug)]
pub struct NodeInput {
    /// From the host.
    pub reader: Reader,
    patience: Patience,
    common: Arc<Common>,
}

/// What a node writes, and waits for.
#[derive(Debug)]
pub struct NodeOutput {
    /// To the host.
    pub writer: Writer,
    patience: Patience,
    common: Arc<Common>,
}

/// What both halves have. The host sees the node hang up when both are gone.
#[derive(Debug)]
struct Common {
    sleepers: Sleepers<Link>,
    _hang_up: HangUp,
}

impl NodeEnd {
    /// For two threads, one for each direction.
    pub fn split(self) -> (NodeInput, NodeOutput) {
        let common = Arc::new(Common {
            sleepers: Sleepers::new(self.link),
            _hang_up: self.hang_up,
        });
        let input = NodeInput {
            reader: self.input,
            patience: Patience::default(),
            common: common.clone(),
        };
        let output = NodeOutput {
            writer: self.output,
            patience: self.patience,
            common,
        };
        (input, output)
    }
}

impl NodeInput {
    /// As [`NodeEnd::wait_for_record`].
    ///
    /// # Errors
    ///
    /// As [`NodeEnd::wait_for_record`].
    pub fn wait_for_record(&mut self, longest: Option<Duration>) -> Result<Outcome<Record>, Error> {
        let sleepers = &self.common.sleepers;
        wait::wait_for_record(&mut self.reader, &mut self.patience, sleepers, longest)
    }
}

impl NodeOutput {
    /// As [`NodeEnd::wait_for_room`].
    ///
    /// # Errors
    ///
    /// As [`NodeEnd::wait_for_room`].
    pub fn wait_for_room(
        &mut self,
        body: usize,
        longest: Option<Duration>,
    ) -> Result<Outcome<Slot<'_>>, Error> {
        let (writer, patience) = (&mut self.writer, &mut self.patience);
        wait::wait_for_room(writer, patience, &self.common.sleepers, body, longest)
    }
}

/// Those who sleep on one thing, of whom one is woken.
#[derive(Debug)]
struct Sleepers<S> {
    bed: S,
    state: Mutex<State>,
    /// The leader has left.
    left: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// How often a leader was rung.
    rings: u64,
    is_led: bool,
}

impl<S> Sleepers<S> {
    fn new(bed: S) -> Self {
        Self {
            bed,
            state: Mutex::new(State::default()),
            left: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until there is no leader; `None`: the time is over.
    fn wait_for_lead<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        limit: &mut Limit,
    ) -> Option<MutexGuard<'a, State>> {
        while state.is_led {
            state = match limit.left() {
                Some(Duration::ZERO) => return None,
                Some(left) => {
                    let waited = self.left.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => {
                    let waited = self.left.wait(state);
                    waited.unwrap_or_else(PoisonError::into_inner)
                }
            };
        }
        Some(state)
    }
}

impl<S: Sleep> Sleep for Sleepers<S> {
    fn ticket(&self) -> u64 {
        self.state().rings
    }

    fn sleep(&self, ticket: u64, longest: Option<Duration>) -> Result<Waited, Error> {
        let mut limit = Limit::new(longest);
        let Some(mut state) = self.wait_for_lead(self.state(), &mut limit) else {
            return Ok(Waited::TimedOut);
        };
        // The bell that rang for a leader may have been meant for this one.
        if state.rings != ticket {
            return Ok(Waited::Rung);
        }
        state.is_led = true;
        drop(state);
        let waited = self.bed.sleep(0, limit.left());
        let mut state = self.state();
        state.is_led = false;
        state.rings += u64::from(matches!(waited, Ok(Waited::Rung)));
        self.left.notify_all();
        waited
    }
}

#[cfg(test)]
#[cfg(not(feature = "loom"))]
mod tests {
    use std::thread;
    use std::time::Instant;

    use super::*;
    use crate::channel::{Channel, HostEnd, RING_BYTES_MIN, Retention, Setting};
    use crate::record::{Header, Kind};

    const WATCHDOG: Option<Duration> = Some(Duration::from_secs(20));
    const BODY: usize = 2000;

    fn ends() -> (HostEnd, NodeInput, NodeOutput) {
        let setting = Setting {
            input_bytes: RING_BYTES_MIN,
            output_bytes: RING_BYTES_MIN,
            retention: Retention::Read,
        };
        let (host, descriptors) = Channel::new(setting).unwrap().begin(1).unwrap();
        let (input, output) = NodeEnd::open(descriptors).unwrap().split();
        (host, input, output)
    }

    fn write(output: &mut NodeOutput) {
        let Outcome::Came(slot) = output.wait_for_room(BODY, WATCHDOG).unwrap() else {
            panic!("there was no room")
        };
        slot.commit(Header::new(Kind::Data), BODY);
    }

    fn read(input: &mut NodeInput) {
        let outcome = input.wait_for_record(WATCHDOG).unwrap();
        assert!(matches!(outcome, Outcome::Came(_)), "{outcome:?}");
    }

    /// Writes and reads where it can; sleeps where it can do neither.
    fn exchange(host: &mut HostEnd, records: usize) {
        let (mut written, mut read) = (0, 0);
        while written < records || read < records {
            let mut stands = true;
            if written < records
                && let Some(slot) = host.input.reserve(BODY).unwrap()
            {
                slot.commit(Header::new(Kind::Data), BODY);
                (written, stands) = (written + 1, false);
            }
            if host.output.take().unwrap().is_some() {
                (read, stands) = (read + 1, false);
            }
            if stands && host.output.sleeps().unwrap() {
                host.input.sleeps_for(BODY).unwrap();
                host.link.wait(Some(Duration::from_millis(1))).unwrap();
                host.output.wakes();
                host.input.wakes();
            }
        }
    }

    #[test]
    fn two_threads_wait_for_one_bell_and_neither_is_forgotten() {
        const RECORDS: usize = 20_000;
        let (mut host, mut input, mut output) = ends();
        let reading = thread::spawn(move || (0..RECORDS).for_each(|_| read(&mut input)));
        let writing = thread::spawn(move || (0..RECORDS).for_each(|_| write(&mut output)));
        exchange(&mut host, RECORDS);
        reading.join().unwrap();
        writing.join().unwrap();
    }

    #[test]
    fn when_the_leader_gives_up_the_other_one_leads() {
        let (mut host, mut input, mut output) = ends();
        while output.writer.reserve(BODY).unwrap().is_some() {
            write(&mut output);
        }
        let writing = thread::spawn(move || write(&mut output));
        for _ in 0..20 {
            let outcome = input.wait_for_record(Some(Duration::from_millis(5)));
            assert!(matches!(outcome.unwrap(), Outcome::TimedOut));
        }
        let begun = Instant::now();
        while host.output.take().unwrap().is_some() {}
        writing.join().unwrap();
        assert!(begun.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn both_learn_that_the_host_is_gone() {
        let (host, mut input, mut output) = ends();
        while output.writer.reserve(BODY).unwrap().is_some() {
            write(&mut output);
        }
        let reading = thread::spawn(move || input.wait_for_record(WATCHDOG).unwrap_err());
        let writing = thread::spawn(move || output.wait_for_room(BODY, WATCHDOG).map(drop));
        drop(host);
        assert!(matches!(reading.join().unwrap(), Error::PeerGone));
        assert!(matches!(writing.join().unwrap(), Err(Error::PeerGone)));
    }

    #[test]
    fn the_host_sees_a_hang_up_when_both_halves_are_gone() {
        let (host, input, output) = ends();
        let moment = Some(Duration::from_millis(1));
        drop(input);
        assert_eq!(host.link.wait(moment).unwrap(), Waited::TimedOut);
        drop(output);
        assert!(matches!(host.link.wait(WATCHDOG), Err(Error::PeerGone)));
    }
}

#[cfg(test)]
#[cfg(feature = "loom")]
mod every_order {
    use loom::sync::atomic::{AtomicBool, Ordering};
    use loom::thread;

    use super::*;
    use crate::wait::Bed;

    fn wait_for(sleepers: &Sleepers<Bed>, wish: &AtomicBool) {
        loop {
            let ticket = sleepers.ticket();
            if wish.load(Ordering::SeqCst) {
                return;
            }
            sleepers.sleep(ticket, None).unwrap();
        }
    }

    /// Each of two waits for something of its own, one bell rings for both, and nobody sleeps for ever.
    #[test]
    fn two_sleepers_and_one_bell_in_every_order() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let sleepers = Arc::new(Sleepers::new(Bed::default()));
            let wishes = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
            let threads = wishes.clone().map(|wish| {
                let sleepers = sleepers.clone();
                thread::spawn(move || wait_for(&sleepers, &wish))
            });
            for wish in wishes {
                wish.store(true, Ordering::SeqCst);
                sleepers.bed.ring();
            }
            for thread in threads {
                thread.join().unwrap();
            }
        });
    }
}

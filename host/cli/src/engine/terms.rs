//! One application manager after the other: when one dies, the next term takes up its work, unless they die too often.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::process::ExitStatus;
use std::time::Duration;

use forebay_cluster::journal::LocalJournal;
use forebay_cluster::manager::FaultPoint;
use forebay_cluster::run_directory::RunDirectory;
use tokio::time::{Instant, sleep_until, timeout};

use super::listeners::Listeners;
use super::manager_process::ManagerProcess;
use super::pulse::until_silent;
use crate::failure::Failure;

/// From the first death to the next term; twice as long after each further one.
const BACK_OFF: Duration = Duration::from_millis(100);
/// So many deaths in a row are one too many ...
const DEATHS_MAX: usize = 6;
/// ... where each came so soon after the one before. One that never answers has some 90 s before it is killed for that.
const IN_A_ROW: Duration = Duration::from_mins(3);

/// What happens to application managers.
pub(super) enum Event {
    /// The one of the newest term is gone.
    Died(io::Result<ExitStatus>),
    /// It is time for the next term.
    Due,
}

type Silence = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The terms of one run.
pub(super) struct Terms {
    run: RunDirectory,
    term: u64,
    /// Absent between two terms.
    process: Option<ManagerProcess>,
    /// Ready when the process lives and yet says nothing.
    silence: Silence,
    /// The newest was killed for its silence.
    was_silent: bool,
    due: Option<Instant>,
    /// Of the first application manager alone, for tests.
    fault_point: Option<FaultPoint>,
    deaths: VecDeque<Instant>,
}

impl Terms {
    /// Starts the first one: the one after the last that the run has seen. Must be called, as [`Terms::next`], on a thread that lives as long as the engine.
    pub(super) fn begin(
        run: &RunDirectory,
        listeners: &Listeners,
        fault_point: Option<FaultPoint>,
    ) -> Result<Self, Failure> {
        let last = LocalJournal::last_term(&run.journal());
        let mut terms = Self {
            run: run.clone(),
            term: last.map_err(|error| Failure::from_engine(&error))?,
            process: None,
            silence: Box::pin(std::future::pending()),
            was_silent: false,
            due: None,
            fault_point,
            deaths: VecDeque::new(),
        };
        terms.next(listeners)?;
        Ok(terms)
    }

    /// Starts the application manager of the next term.
    pub(super) fn next(&mut self, listeners: &Listeners) -> Result<(), Failure> {
        self.term += 1;
        self.due = None;
        let fault_point = self.fault_point.take();
        let process = ManagerProcess::spawn(&self.run, self.term, listeners, fault_point)?;
        self.process = Some(process);
        self.was_silent = false;
        self.silence = Box::pin(until_silent(self.run.clone()));
        Ok(())
    }

    /// The newest.
    pub(super) fn term(&self) -> u64 {
        self.term
    }

    /// Waits for the next thing that happens.
    pub(super) async fn event(&mut self) -> Event {
        match (&mut self.process, self.due) {
            (Some(process), _) => {
                // Asked anew after whatever else has happened: the silence is heard once.
                tokio::select! {
                    ended = process.exited() => return Event::Died(ended),
                    () = &mut self.silence, if !self.was_silent => {
                        self.was_silent = true;
                        process.press_kill();
                    }
                }
                Event::Died(process.exited().await)
            }
            (None, Some(due)) => {
                sleep_until(due).await;
                Event::Due
            }
            (None, None) => std::future::pending().await,
        }
    }

    /// Takes note of a death: why, in one sentence, and how long until the next term; no time at all where it is one death
    /// too many.
    pub(super) fn died(&mut self, ended: &io::Result<ExitStatus>) -> (String, Option<Duration>) {
        let process = self.process.take();
        let cause = match process {
            Some(_) if self.was_silent => {
                "the application manager did not answer any more and was killed".into()
            }
            Some(process) => process.cause_of_death(ended),
            None => String::new(),
        };
        let now = Instant::now();
        if self
            .deaths
            .back()
            .is_some_and(|last| now - *last > IN_A_ROW)
        {
            self.deaths.clear();
        }
        self.deaths.push_back(now);
        let number = self.deaths.len();
        if number >= DEATHS_MAX {
            return (cause, None);
        }
        let doublings = u32::try_from(number - 1).unwrap_or(u32::MAX);
        let wait = BACK_OFF * 2_u32.saturating_pow(doublings);
        self.due = Some(now + wait);
        (cause, Some(wait))
    }

    /// Ends the newest at once; no other follows.
    pub(super) fn kill(&mut self) {
        self.due = None;
        if let Some(process) = &mut self.process {
            process.kill();
        }
    }

    /// Gives the newest time to leave by itself.
    pub(super) async fn leave(&mut self, within: Duration) {
        if let Some(process) = &mut self.process
            && timeout(within, process.exited()).await.is_err()
        {
            process.kill();
        }
    }
}

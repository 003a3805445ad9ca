//! Signals that a person or the system sends to the engine.

use std::fs;
use std::io;

use rustix::process::Signal as Number;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// The end, for this reason.
    Stop(&'static str),
    /// A pause, which a running job cannot make.
    Suspend,
}

/// Receives signals from when it is made; they do nothing else any more.
pub(crate) struct Signals {
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
    hang_up: Option<Signal>,
    suspend: Option<Signal>,
}

impl Signals {
    /// Listens to all of them but those that whoever started us wants ignored (`nohup`, a shell's background jobs).
    pub(crate) fn listen() -> io::Result<Self> {
        let ignored = ignored_mask();
        let unless_ignored = |number: Number| {
            let raw = number.as_raw();
            let is_ignored = ignored >> (raw - 1) & 1 == 1;
            if is_ignored {
                Ok(None)
            } else {
                signal(SignalKind::from_raw(raw)).map(Some)
            }
        };
        Ok(Self {
            interrupt: unless_ignored(Number::INT)?,
            terminate: unless_ignored(Number::TERM)?,
            hang_up: unless_ignored(Number::HUP)?,
            suspend: unless_ignored(Number::TSTP)?,
        })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) -> Asked {
        tokio::select! {
            () = received(&mut self.interrupt) => Asked::Stop("interrupted (SIGINT)"),
            () = received(&mut self.terminate) => Asked::Stop("terminated (SIGTERM)"),
            () = received(&mut self.hang_up) => Asked::Stop("the terminal was closed (SIGHUP)"),
            () = received(&mut self.suspend) => Asked::Suspend,
        }
    }

    /// Waits for the next one that asks for the end; says why a pause is refused.
    pub(crate) async fn stop(&mut self) -> &'static str {
        loop {
            if let Asked::Stop(reason) = self.next().await {
                return reason;
            }
            // Somebody pressed Ctrl-Z: the terminal is there.
            let _ = crate::output::tell(SUSPEND_REFUSED);
        }
    }
}

/// What a person is told who presses Ctrl-Z.
pub(crate) const SUSPEND_REFUSED: &str =
    "Ctrl-Z is refused: without heartbeats a suspended job is taken for lost; Ctrl-C stops it";

async fn received(signal: &mut Option<Signal>) {
    let came = match signal {
        Some(signal) => signal.recv().await.is_some(),
        None => false,
    };
    if !came {
        std::future::pending::<()>().await;
    }
}

/// Bit n-1 is set where signal n is ignored.
fn ignored_mask() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    mask_in(&status).unwrap_or(0)
}

fn mask_in(status: &str) -> Option<u64> {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_status_of_the_process() {
        assert_eq!(
            mask_in("Name:\tx\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n"),
            Some(0x1001)
        );
        assert_eq!(mask_in("Name:\tx\n"), None);
    }
}

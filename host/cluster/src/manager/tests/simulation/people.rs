//! What people do: they stop the job, and they resume it once they have mended its plugins.

use super::process::Mail;
use super::world::World;
use crate::manager::effect::{Input, ResumeCall, StopCall, StopWay};

/// A person whose call is not answered calls again.
const CALL_AGAIN_MS: u64 = 1_000;

/// What a person wants, until it is answered.
pub(super) struct Call {
    request: u64,
    wish: Wish,
    pub(super) again_at_ms: u64,
}

#[derive(Clone, Copy)]
pub(super) enum Wish {
    Stop(StopWay),
    Resume,
}

impl World<'_> {
    /// Somebody has mended the plugins.
    pub(super) fn mend(&mut self) {
        if self.mended_at_ms.is_some_and(|at| at <= self.now_ms) {
            self.mended_at_ms = None;
            self.breakdown.set(false);
            self.call(Wish::Resume);
        }
    }

    pub(super) fn call(&mut self, wish: Wish) {
        self.requests += 1;
        self.calls.push(Call {
            request: self.requests,
            wish,
            again_at_ms: self.now_ms,
        });
    }

    pub(super) fn call_again(&mut self) {
        let now_ms = self.now_ms;
        if self.summary.is_some() {
            self.calls.clear();
        }
        let hears = self.managers.last().is_some_and(|manager| !manager.is_gone);
        for call in 0..self.calls.len() {
            if hears && self.calls[call].again_at_ms <= now_ms {
                self.calls[call].again_at_ms = now_ms + CALL_AGAIN_MS;
                let input = self.request(&self.calls[call]);
                if let Some(manager) = self.managers.last_mut() {
                    manager.post(Mail::Input(input), now_ms);
                }
            }
        }
    }

    fn request(&self, call: &Call) -> Input {
        let (ticket, request) = (call.request, call.request.to_string());
        match call.wish {
            Wish::Stop(way) => Input::Stop(StopCall {
                ticket,
                request,
                way,
                reason: "a person wants it".into(),
            }),
            Wish::Resume => Input::Resume(Box::new(ResumeCall {
                ticket,
                request,
                mended: self.mended(),
            })),
        }
    }

    pub(super) fn answered(&mut self, request: u64) {
        self.calls.retain(|call| call.request != request);
    }
}

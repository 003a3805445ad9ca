//! The way into a task: which queue is read next, where barriers are aligned, how far event time is.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use arrow_array::RecordBatch;

use crate::element::{Element, Told, Watermark};
use crate::error::Cause;
use crate::exchange::Receiver;
use crate::operator::Reads;

/// What the inputs of a task say together.
#[derive(Debug)]
pub(crate) enum Arrival {
    Batch(usize, RecordBatch),
    /// The least of all inputs has changed.
    Watermark(Watermark),
    /// It has come on every input that has not ended.
    Barrier(u64),
    /// One input of several has ended.
    InputEnded(usize),
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gate {
    Open,
    /// It has brought this barrier and is not read until the others have too.
    Held(u64),
    Ended,
}

/// One queue before the task.
#[derive(Debug)]
struct Lane {
    input: usize,
    receiver: Receiver,
    watermark: Watermark,
    gate: Gate,
}

/// All queues before a task.
#[derive(Debug)]
pub(crate) struct Inputs {
    lanes: Vec<Lane>,
    /// How many inputs the lanes belong to.
    count: usize,
    /// Whether one source feeds several inputs.
    shares_sources: bool,
    must_not_choose: bool,
    told: Told,
    /// The lane that is asked first, so that each has its turn.
    first: usize,
    arrived: VecDeque<Arrival>,
}

impl Inputs {
    /// Queues and the inputs that they belong to, counted from 0.
    pub(crate) fn new(
        receivers: Vec<(usize, Receiver)>,
        shares_sources: bool,
        must_not_choose: bool,
    ) -> Self {
        let lane = |(input, receiver)| Lane {
            input,
            receiver,
            watermark: Watermark::START,
            gate: Gate::Open,
        };
        let lanes: Vec<_> = receivers.into_iter().map(lane).collect();
        let count = lanes
            .iter()
            .map(|lane| lane.input + 1)
            .max()
            .unwrap_or_default();
        Self {
            lanes,
            count,
            shares_sources,
            must_not_choose,
            told: Told::default(),
            first: 0,
            arrived: VecDeque::new(),
        }
    }

    pub(crate) fn poll_next(&mut self, reads: Reads, context: &mut Context<'_>) -> Poll<Arrival> {
        loop {
            if let Some(arrival) = self.arrived.pop_front() {
                return Poll::Ready(arrival);
            }
            let Some((lane, element)) = self.poll_lanes(reads, context) else {
                return Poll::Pending;
            };
            self.first = lane + 1;
            self.take(lane, element);
        }
    }

    fn poll_lanes(&self, reads: Reads, context: &mut Context<'_>) -> Option<(usize, Element)> {
        let preferred = self.preferred(reads);
        let is_preferred =
            |lane: &Lane| lane.gate == Gate::Open && preferred.get(lane.input) == Some(&true);
        // A barrier may have closed all that are preferred; then it comes first.
        let any = !self.lanes.iter().any(is_preferred);
        let turns = (0..self.lanes.len()).map(|turn| (self.first + turn) % self.lanes.len());
        turns
            .filter(|&lane| {
                self.lanes[lane].gate == Gate::Open && (any || is_preferred(&self.lanes[lane]))
            })
            .find_map(|lane| match self.lanes[lane].receiver.poll_next(context) {
                Poll::Ready(element) => Some((lane, element)),
                Poll::Pending => None,
            })
    }

    /// For each input, whether it is to be read now.
    fn preferred(&self, reads: Reads) -> Vec<bool> {
        match reads {
            Reads::First(first) if !self.must_not_choose && !self.has_ended(first) => {
                (0..self.count).map(|input| input == first).collect()
            }
            Reads::Lagging if !self.shares_sources => {
                let reached: Vec<_> = (0..self.count)
                    .map(|input| self.reached(Some(input)))
                    .collect();
                let least = Watermark::of_all(reached.iter().copied().flatten());
                // Nobody waits for an idle one, but it may speak.
                let lags = |watermark: &Option<Watermark>| {
                    *watermark == least || *watermark == Some(Watermark::Idle)
                };
                reached.iter().map(lags).collect()
            }
            _ => vec![true; self.count],
        }
    }

    fn has_ended(&self, input: usize) -> bool {
        self.lanes
            .iter()
            .all(|lane| lane.input != input || lane.gate == Gate::Ended)
    }

    /// The event time of one input or of all; `None` at their end.
    fn reached(&self, input: Option<usize>) -> Option<Watermark> {
        let asked = |lane: &&Lane| {
            lane.gate != Gate::Ended && input.is_none_or(|input| lane.input == input)
        };
        Watermark::of_all(self.lanes.iter().filter(asked).map(|lane| lane.watermark))
    }

    fn take(&mut self, lane: usize, element: Element) {
        let lane = &mut self.lanes[lane];
        match element {
            Element::Batch(batch) => {
                return self.arrived.push_back(Arrival::Batch(lane.input, batch));
            }
            Element::Watermark(watermark) => lane.watermark = watermark,
            Element::Barrier(barrier) => lane.gate = Gate::Held(barrier),
            Element::End => {
                (lane.gate, lane.watermark) = (Gate::Ended, Watermark::ALL);
                let input = lane.input;
                if self.count > 1 && self.has_ended(input) {
                    self.arrived.push_back(Arrival::InputEnded(input));
                }
            }
        }
        self.advance();
        self.align();
    }

    fn advance(&mut self) {
        let Some(reached) = self.reached(None) else {
            return self.arrived.push_back(Arrival::End);
        };
        self.arrived
            .extend(self.told.advance(reached).map(Arrival::Watermark));
    }

    /// Opens all gates when the barrier has come through each.
    fn align(&mut self) {
        let mut gates = self
            .lanes
            .iter()
            .map(|lane| lane.gate)
            .filter(|gate| *gate != Gate::Ended);
        let Some(Gate::Held(barrier)) = gates.next() else {
            return;
        };
        if gates.all(|gate| gate == Gate::Held(barrier)) {
            self.lanes
                .iter_mut()
                .filter(|lane| lane.gate != Gate::Ended)
                .for_each(|lane| lane.gate = Gate::Open);
            self.arrived.push_back(Arrival::Barrier(barrier));
        }
    }

    /// How far each queue is. To be asked when a barrier has come, before anything else is read.
    pub(crate) fn watermarks(&self) -> Vec<Watermark> {
        self.lanes.iter().map(|lane| lane.watermark).collect()
    }

    /// Takes up what [`watermarks`](Self::watermarks) said: a row that was late stays late.
    pub(crate) fn restore(&mut self, watermarks: &[Watermark]) -> Result<(), Cause> {
        if watermarks.len() != self.lanes.len() {
            return Err(format!(
                "it has {} queues before it, not {}",
                self.lanes.len(),
                watermarks.len()
            )
            .into());
        }
        for (lane, watermark) in self.lanes.iter_mut().zip(watermarks) {
            lane.watermark = *watermark;
        }
        self.told
            .advance(self.reached(None).unwrap_or(Watermark::START));
        Ok(())
    }
}

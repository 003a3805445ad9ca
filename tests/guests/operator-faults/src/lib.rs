//! An operator that hands its rows on as they are, and counts them. With a `fault` in its config it goes wrong in the call
//! `at`, in every way that a limit or a check of the host has to catch; `size` says how much of it.

mod spoil;

use std::hint::black_box;

use forebay_plugin_sdk::log;
use forebay_plugin_sdk::operator::{
    Batch, BatchOperator, Column, Field, Fields, Kind, OperatorError, Rows, config, take_state,
};

#[derive(serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    fault: String,
    /// The call in which it goes wrong.
    at: String,
    size: usize,
    /// A column `seen` more: how many rows have come up to this one, over all batches.
    count: bool,
    /// Rows wait for event time, or the end, in place of going on at once.
    hold: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            fault: String::new(),
            at: "process".to_owned(),
            size: 0,
            count: false,
            hold: false,
        }
    }
}

struct Faults {
    config: Config,
    seen: i64,
    held: Vec<Batch>,
}

impl BatchOperator for Faults {
    fn open(text: &str, input: &Fields) -> Result<(Self, Vec<Field>), OperatorError> {
        let config: Config = config(text)?;
        let mut output = input.to_vec();
        if config.count {
            output.push(Field::new("seen", Kind::Int64));
        }
        let mut faults = Self {
            config,
            seen: 0,
            held: Vec::new(),
        };
        faults.go_wrong("open")?;
        spoil::fields(&faults.config.fault, &mut output);
        Ok((faults, output))
    }

    fn process(&mut self, rows: &Rows) -> Result<Vec<Batch>, OperatorError> {
        self.go_wrong("process")?;
        let mut columns = rows.columns().to_vec();
        let before = self.seen;
        self.seen += i64::try_from(rows.len()).unwrap_or(i64::MAX);
        if self.config.count {
            columns.push(Column::from((before + 1..=self.seen).collect::<Vec<i64>>()));
        }
        let mut batch = Batch::new(rows.len(), columns);
        spoil::batch(&self.config.fault, rows.fields(), &mut batch);
        match self.config.fault.as_str() {
            "output" => Ok(vec![batch; self.config.size]),
            _ if self.config.hold => {
                self.held.push(batch);
                Ok(Vec::new())
            }
            _ => Ok(vec![batch]),
        }
    }

    fn watermark(&mut self, event_time: i64) -> Result<Vec<Batch>, OperatorError> {
        self.go_wrong("watermark")?;
        log::debug(&format!("event time is {event_time}"));
        Ok(std::mem::take(&mut self.held))
    }

    fn end(&mut self) -> Result<Vec<Batch>, OperatorError> {
        self.go_wrong("end")?;
        Ok(std::mem::take(&mut self.held))
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, OperatorError> {
        self.go_wrong("snapshot")?;
        if self.config.fault == "state" {
            return Ok(vec![0; self.config.size]);
        }
        Ok(self.seen.to_le_bytes().to_vec())
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), OperatorError> {
        self.go_wrong("restore")?;
        self.seen = i64::from_le_bytes(take_state(state)?);
        Ok(())
    }
}

impl Faults {
    fn go_wrong(&mut self, call: &str) -> Result<(), OperatorError> {
        if self.config.at != call {
            return Ok(());
        }
        let size = self.config.size;
        match self.config.fault.as_str() {
            "trap" => std::process::abort(),
            "loop" => loop {
                black_box(());
            },
            "memory" => drop(black_box(vec![1_u8; size])),
            "recursion" => drop(black_box(depth(size))),
            "panic" => panic!("the mill has no water"),
            "log" => (0..size).for_each(|line| log::info(&format!("line {line} of the flood"))),
            "log-at-once" => log::info(&"x".repeat(size)),
            "refusal" => {
                return Err(OperatorError::new("no-water", "the mill has no water")
                    .at_column("wheel")
                    .at_row(size));
            }
            "long-refusal" => return Err(OperatorError::new("long", "x\n".repeat(size))),
            _ => {}
        }
        Ok(())
    }
}

/// Recursion that the compiler cannot make a loop of.
fn depth(left: usize) -> usize {
    let frame = black_box([left; 8]);
    if left == 0 {
        0
    } else {
        depth(left - 1) + black_box(frame)[7].min(1)
    }
}

forebay_plugin_sdk::export!(Faults: batch_operator);

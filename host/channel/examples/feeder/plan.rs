//! What a feeder is to do.

use std::time::Duration;

use forebay_channel::{RING_BYTES_MIN, Retention};
use serde_json::Value;

/// `{"report": "FILE", "input_bytes": 65536, "output_bytes": 65536, "emitted": false, "results": ["score"], "steps": [...]}`
pub(crate) struct Plan {
    pub(crate) report: String,
    pub(crate) input_bytes: u64,
    pub(crate) output_bytes: u64,
    pub(crate) retention: Retention,
    /// Columns that the node answers with.
    pub(crate) results: Option<Vec<String>>,
    pub(crate) steps: Vec<Step>,
}

/// Each is an object of one key: `{"schema": ["id", "x"]}`.
#[derive(Clone)]
pub(crate) enum Step {
    /// `schema`: names of columns that `rows` knows.
    Schema(Vec<String>),
    /// `data`
    Data(Data),
    /// `barrier`: its checkpoint.
    Barrier(u64),
    /// `watermark`: microseconds.
    Watermark(i64),
    /// `pass_end`: its number.
    PassEnd(u32),
    /// `end`
    End,
    /// `error`: its text.
    Error(String),
    /// `hang_up`: without a word.
    HangUp,
    /// `pause`: milliseconds.
    Pause(Duration),
    /// `hold_output`: milliseconds in which nothing is read.
    HoldOutput(Duration),
    /// `wait_for_file`: until the script has made it.
    WaitForFile(String),
    /// `wait_for_barrier`: until its echo has come.
    WaitForBarrier(u64),
}

/// `{"rows": 100, "batch": 10, "part": 4, "padding": 2, "pass": 0}`
#[derive(Clone)]
pub(crate) struct Data {
    pub(crate) rows: usize,
    /// Rows of a batch; by default all.
    pub(crate) batch: usize,
    /// Most rows of a record; by default all of a batch.
    pub(crate) part: usize,
    /// Rows at the end of the last batch that fill it up.
    pub(crate) padding: usize,
    pub(crate) pass: u32,
}

impl Plan {
    pub(crate) fn read(plan: &Value) -> crate::Result<Self> {
        let bytes = |key: &str| plan[key].as_u64().unwrap_or(RING_BYTES_MIN);
        let steps = plan["steps"].as_array().ok_or("the plan has no steps")?;
        Ok(Self {
            report: plan["report"]
                .as_str()
                .ok_or("the plan has no report")?
                .to_owned(),
            input_bytes: bytes("input_bytes"),
            output_bytes: bytes("output_bytes"),
            retention: if plan["emitted"] == true {
                Retention::Emitted
            } else {
                Retention::Read
            },
            results: plan.get("results").map(names),
            steps: steps.iter().map(step).collect::<crate::Result<_>>()?,
        })
    }
}

fn names(list: &Value) -> Vec<String> {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn step(step: &Value) -> crate::Result<Step> {
    let object = step.as_object().ok_or("a step is an object")?;
    let (key, value) = object.iter().next().ok_or("a step has a key")?;
    let number = || value.as_u64().unwrap_or(0);
    let time = || Duration::from_millis(number());
    let text = || value.as_str().unwrap_or("").to_owned();
    Ok(match key.as_str() {
        "schema" => Step::Schema(names(value)),
        "data" => Step::Data(data(value)?),
        "barrier" => Step::Barrier(number()),
        "watermark" => Step::Watermark(value.as_i64().ok_or("a watermark is a number")?),
        "pass_end" => Step::PassEnd(u32::try_from(number())?),
        "end" => Step::End,
        "error" => Step::Error(text()),
        "hang_up" => Step::HangUp,
        "pause" => Step::Pause(time()),
        "hold_output" => Step::HoldOutput(time()),
        "wait_for_file" => Step::WaitForFile(text()),
        "wait_for_barrier" => Step::WaitForBarrier(number()),
        _ => return Err(format!("nobody knows the step `{key}`").into()),
    })
}

fn data(value: &Value) -> crate::Result<Data> {
    let number = |key: &str| {
        value[key]
            .as_u64()
            .and_then(|number| usize::try_from(number).ok())
    };
    let rows = number("rows").ok_or("data without rows")?;
    let batch = number("batch").unwrap_or(rows).max(1);
    Ok(Data {
        rows,
        batch,
        part: number("part").unwrap_or(batch).max(1),
        padding: number("padding").unwrap_or(0),
        pass: u32::try_from(number("pass").unwrap_or(0))?,
    })
}

//! What is fed to a role, and what comes back: all that is known before anything runs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use forebay_channel::{Columns, ColumnsError, Retention, Setting};
use forebay_connectors::type_of;
use forebay_dataflow::{Cause, Exchange, Graph, GraphError, Rest, Stream};
use forebay_job::{Dealing, Feeding, Role};
use tokio::runtime::Handle;

use super::feeds::{ChannelPlan, Feeds};
use super::siblings::{Passing, Siblings};
use super::task::{RoleTask, in_one};
use super::view::View;
use crate::problem::{Problem, code, column_hint, problem};
use crate::sources::count;

/// A ring for a node that answers nothing: barriers and the end go through it.
const SILENT_RING_BYTES: u64 = 64 << 10;

/// A role that is fed.
pub(crate) struct Fed {
    pub(crate) role: String,
    pub(crate) input: String,
    nodes: usize,
    exchange: Exchange,
    passing: Passing,
    /// The most rows of a batch.
    pub(crate) rows: usize,
    pub(crate) passes: u32,
    /// Whether the input has an end of its own.
    pub(crate) is_bounded: bool,
    pub(crate) view: View,
    pub(crate) results: Option<Results>,
    input_bytes: u64,
    output_bytes: u64,
    pub(crate) runtime: Handle,
    /// How long a barrier waits for a node.
    pub(crate) acknowledge_within: Duration,
}

/// What nodes answer.
pub(crate) struct Results {
    pub(crate) columns: Columns,
    /// As the body of a schema record.
    pub(crate) encoded: Arc<[u8]>,
    /// The columns of the input with those of the answers behind them.
    pub(crate) schema: SchemaRef,
}

/// What an attempt of a dataflow feeds nodes with.
pub(crate) struct FeedingAttempt<'a> {
    pub(crate) feeds: &'a Feeds,
    pub(crate) attempt: u64,
    /// Where rows are kept for the next passes.
    pub(crate) spill: PathBuf,
}

/// What planning knows of a role's surroundings.
pub(crate) struct Around<'a> {
    pub(crate) schema: &'a SchemaRef,
    pub(crate) is_bounded: bool,
    pub(crate) runtime: Handle,
    pub(crate) acknowledge_within: Duration,
}

/// Looks at how a role is fed, over an input of these columns.
pub(crate) fn prepare(role: &Role, around: &Around<'_>) -> Result<Fed, Vec<Problem>> {
    let feeding = &role.feeding;
    let key = |key: &str| format!("roles.{}.{key}", role.name);
    let mut problems = Vec::new();
    let view = View::new(around.schema, &feeding.tensors)
        .map_err(|error| {
            let at = if feeding.tensors.is_empty() {
                "input"
            } else {
                "tensors"
            };
            problems.push(problem(
                code::ROLE,
                key(at),
                &error,
                Some(error.hint(around.schema)),
            ));
        })
        .ok();
    let dealing = dealing(&feeding.dealing, around.schema)
        .map_err(|error| {
            let hint = error.hint(around.schema);
            problems.push(problem(code::ROLE, key("dealing"), &error, hint));
        })
        .ok();
    let results = results(feeding, around.schema)
        .map_err(|(column, error)| {
            let at = key(&format!("output.{column}"));
            problems.push(problem(code::ROLE, at, &error, error.hint(around.schema)));
        })
        .ok();
    if feeding.passes > 1 && !around.is_bounded {
        let error = FedError::Unbounded;
        problems.push(problem(
            code::ROLE,
            key("passes"),
            &error,
            error.hint(around.schema),
        ));
    }
    let (Some(view), Some((exchange, passing, rows)), Some(results), true) =
        (view, dealing, results, problems.is_empty())
    else {
        return Err(problems);
    };
    Ok(Fed {
        role: role.name.clone(),
        input: role.input.clone().unwrap_or_default(),
        nodes: count(role.nodes),
        exchange,
        passing,
        rows,
        passes: feeding.passes,
        is_bounded: around.is_bounded,
        view,
        output_bytes: match results {
            Some(_) => feeding.output_ring_bytes,
            None => SILENT_RING_BYTES,
        },
        results,
        input_bytes: feeding.input_ring_bytes,
        runtime: around.runtime.clone(),
        acknowledge_within: around.acknowledge_within,
    })
}

#[derive(Debug, thiserror::Error)]
enum FedError {
    #[error("there is only one pass over a stream, which has no end")]
    Unbounded,
    #[error("the input has no column `{0}`")]
    NoColumn(String),
    #[error("`{column}` is {kind}, which no rows can be dealt by")]
    NoKey { column: String, kind: DataType },
    #[error("`{column}` is {kind}, and a weight is a number")]
    NoWeight { column: String, kind: DataType },
    #[error("{kind:?} is no type of a column")]
    Type { kind: String, hint: String },
    #[error("the input has a column `{0}` already")]
    Taken(String),
    #[error("{0} is no type of an answer: nodes have no dictionary")]
    Dictionary(DataType),
    #[error(transparent)]
    Columns(#[from] ColumnsError),
}

impl FedError {
    fn hint(&self, input: &Schema) -> Option<String> {
        match self {
            Self::NoColumn(column) => Some(column_hint(column, input)),
            Self::Unbounded => {
                Some("leave `passes` out, or read the files without `replay`".into())
            }
            Self::Taken(_) => Some("give it another name".into()),
            Self::Dictionary(_) => Some("give it the type of the values".into()),
            Self::Type { hint, .. } => Some(hint.clone()),
            _ => None,
        }
    }
}

fn dealing(dealing: &Dealing, input: &Schema) -> Result<(Exchange, Passing, usize), FedError> {
    let field = |column: &String| {
        let found = input.column_with_name(column);
        found.ok_or_else(|| FedError::NoColumn(column.clone()))
    };
    Ok(match dealing {
        Dealing::Credit { rows } => {
            let rows = count(*rows);
            (Exchange::Credit { rows }, Passing::Anybody, rows)
        }
        Dealing::Rounds { rows, pad } => {
            let rest = match pad {
                None => Rest::Drop,
                Some(column) => {
                    let (_, weight) = field(column)?;
                    if !weight.data_type().is_numeric() {
                        return Err(FedError::NoWeight {
                            column: column.clone(),
                            kind: weight.data_type().clone(),
                        });
                    }
                    Rest::Pad {
                        weight: column.clone(),
                    }
                }
            };
            let rows = count(*rows);
            (Exchange::Rounds { rows, rest }, Passing::Nobody, rows)
        }
        Dealing::Key { columns, rows } => {
            let mut positions = Vec::new();
            for column in columns {
                let (position, field) = field(column)?;
                if !forebay_dataflow::key::is_hashable(field.data_type()) {
                    return Err(FedError::NoKey {
                        column: column.clone(),
                        kind: field.data_type().clone(),
                    });
                }
                positions.push(position);
            }
            let exchange = Exchange::Hash(columns.clone());
            (exchange, Passing::ByKey(positions), count(*rows))
        }
    })
}

fn results(feeding: &Feeding, input: &Schema) -> Result<Option<Results>, (String, FedError)> {
    if feeding.output.is_empty() {
        return Ok(None);
    }
    let mut fields = Vec::new();
    for (name, kind) in &feeding.output {
        let failed = |error| (name.clone(), error);
        let no_type = |hint| FedError::Type {
            kind: kind.clone(),
            hint,
        };
        let kind = type_of(kind).map_err(|hint| failed(no_type(hint)))?;
        if input.column_with_name(name).is_some() {
            return Err(failed(FedError::Taken(name.clone())));
        }
        let field = Field::new(name, kind, true);
        if columns_of(vec![field.clone()]).has_dictionaries() {
            return Err(failed(FedError::Dictionary(field.data_type().clone())));
        }
        fields.push(field);
    }
    let columns = columns_of(fields.clone());
    let encoded = columns.encode();
    let encoded = encoded.map_err(|error| (feeding.output[0].0.clone(), error.into()))?;
    let all = input.fields().iter().map(|field| field.as_ref().clone());
    Ok(Some(Results {
        columns,
        encoded: encoded.into(),
        schema: Arc::new(Schema::new(all.chain(fields).collect::<Vec<_>>())),
    }))
}

fn columns_of(fields: Vec<Field>) -> Columns {
    Columns::of(&RecordBatch::new_empty(Arc::new(Schema::new(fields))))
}

impl Fed {
    /// How its channels are.
    pub(crate) fn channel(&self) -> ChannelPlan {
        let retention = match self.results {
            Some(_) => Retention::Emitted,
            None => Retention::Read,
        };
        ChannelPlan {
            setting: Setting {
                input_bytes: self.input_bytes,
                output_bytes: self.output_bytes,
                retention,
            },
            results: self.results.as_ref().map(|results| results.encoded.clone()),
        }
    }

    /// The columns that come out of it; `None`: none do.
    pub(crate) fn schema(&self) -> Option<&SchemaRef> {
        self.results.as_ref().map(|results| &results.schema)
    }

    /// Adds it to a dataflow, whose attempt this is; what comes out of it, if anything does.
    pub(crate) fn add(
        self: &Arc<Self>,
        graph: &mut Graph,
        input: &Stream,
        feeding: &FeedingAttempt<'_>,
    ) -> Result<Option<Stream>, GraphError> {
        let siblings = Siblings::new(self.nodes, self.passing.clone());
        let (fed, feeds) = (self.clone(), feeding.feeds.clone());
        let (fed_by, spill) = (feeding.attempt, feeding.spill.clone());
        let make = move |context| {
            RoleTask::new(
                fed.clone(),
                &feeds,
                siblings.clone(),
                fed_by,
                &spill,
                context,
            )
        };
        let operator = graph.operator(&self.role, self.nodes).role();
        let operator = operator.input(input, self.exchange.clone());
        match self.schema() {
            Some(schema) => operator.build(schema.clone(), make).map(Some),
            None => operator.sink(make).map(|()| None),
        }
    }

    /// The rows of a batch with what was answered to them, without those that only fill it up; nothing where there are none.
    pub(crate) fn joined(
        &self,
        batch: &RecordBatch,
        padding: usize,
        answers: &[RecordBatch],
    ) -> Result<Option<RecordBatch>, Cause> {
        let (Some(results), Some(answer)) = (&self.results, in_one(answers)?) else {
            return Ok(None);
        };
        let rows = batch.num_rows() - padding;
        if rows == 0 {
            return Ok(None);
        }
        let (batch, answer) = (batch.slice(0, rows), answer.slice(0, rows));
        let columns = batch.columns().iter().chain(answer.columns());
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let columns = columns.cloned().collect();
        Ok(Some(RecordBatch::try_new_with_options(
            results.schema.clone(),
            columns,
            &options,
        )?))
    }
}

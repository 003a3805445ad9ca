//! Tumbling windows: which groups of a GROUP BY are pieces of event time.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, TimeUnit};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Aggregate, Expr, ExprSchemable, LogicalPlan};
use forebay_dataflow::operators::{TumblingWindowPlan, WindowTime};

use crate::aggregates;
use crate::error::About;
use crate::interval::{fixed, moved};
use crate::join::any_time_of;
use crate::node::{Kind, Node, unique_names};
use crate::planner::{Planner, position, selected};
use crate::{Error, Relations};

/// Event time in pieces of one length, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pieces {
    pub(crate) size: i64,
    /// They begin at multiples of the size and so much.
    pub(crate) offset: i64,
}

/// 1970-01-01 was a Thursday, and weeks begin on Monday.
const FIRST_MONDAY: i64 = 4 * 86_400_000_000;

/// Units of `date_trunc` whose pieces are not of one length.
const LONGER_AND_SHORTER: [&str; 6] = [
    "month",
    "quarter",
    "year",
    "decade",
    "century",
    "millennium",
];

impl Pieces {
    /// The pieces that an expression tells apart, if it does that of the event time.
    pub(crate) fn of(expression: &Expr, input: &Node, schema: &DFSchema) -> Option<Self> {
        match expression {
            Expr::Alias(alias) => Self::of(&alias.expr, input, schema),
            Expr::Column(_) => input.windows.get(&position(expression, schema)?).copied(),
            Expr::ScalarFunction(function) => {
                let at = Self::cut(function, input, schema)?;
                Self::of_function(function, &at.get_type(schema).ok()?)
            }
            _ => None,
        }
    }

    /// The event time, where it is what a function cuts into pieces.
    fn cut<'a>(function: &'a ScalarFunction, input: &Node, schema: &DFSchema) -> Option<&'a Expr> {
        let at = match function.name() {
            "date_trunc" | "date_bin" => function.args.get(1)?,
            _ => return None,
        };
        let (time, by) = moved(at, schema)?;
        let is_time = by == 0 && schema.maybe_index_of_column(time) == input.time;
        is_time.then_some(at)
    }

    /// Whether an expression cuts the event time into months or the like, which are longer and shorter.
    fn have_no_length(expression: &Expr, input: &Node, schema: &DFSchema) -> bool {
        let function = match expression {
            Expr::Alias(alias) => return Self::have_no_length(&alias.expr, input, schema),
            Expr::ScalarFunction(function) => function,
            _ => return false,
        };
        let (Some(_), Some(Expr::Literal(length, _))) =
            (Self::cut(function, input, schema), function.args.first())
        else {
            return false;
        };
        match length.try_as_str() {
            Some(unit) => {
                unit.is_some_and(|unit| LONGER_AND_SHORTER.contains(&unit.to_lowercase().as_str()))
            }
            None => fixed(&function.args[0]).is_none(),
        }
    }

    fn of_function(function: &ScalarFunction, kind: &DataType) -> Option<Self> {
        let Expr::Literal(length, _) = function.args.first()? else {
            return None;
        };
        if function.name() == "date_trunc" {
            return Self::of_unit(length.try_as_str()??).filter(|_| is_utc(kind));
        }
        // It bins instants, whatever their zone.
        let size = fixed(function.args.first()?).filter(|size| *size > 0)?;
        let offset = match function.args.get(2) {
            None => 0,
            Some(Expr::Literal(origin, _)) => micros(origin)?.rem_euclid(size),
            Some(_) => return None,
        };
        // What begins between two values of the column is rounded there, and would be of the window before.
        let is_whole = |micros: i64| micros % micros_of_unit(kind) == 0;
        (is_whole(size) && is_whole(offset)).then_some(Self { size, offset })
    }

    fn of_unit(unit: &str) -> Option<Self> {
        let of_seconds = |seconds: i64| Self {
            size: seconds * 1_000_000,
            offset: 0,
        };
        Some(match unit.to_lowercase().as_str() {
            "microsecond" => Self { size: 1, offset: 0 },
            "millisecond" => Self {
                size: 1_000,
                offset: 0,
            },
            "second" => of_seconds(1),
            "minute" => of_seconds(60),
            "hour" => of_seconds(3_600),
            "day" => of_seconds(86_400),
            "week" => Self {
                offset: FIRST_MONDAY,
                ..of_seconds(7 * 86_400)
            },
            _ => return None,
        })
    }
}

fn micros_of_unit(kind: &DataType) -> i64 {
    match kind {
        DataType::Timestamp(TimeUnit::Second, _) => 1_000_000,
        DataType::Timestamp(TimeUnit::Millisecond, _) => 1_000,
        _ => 1,
    }
}

pub(crate) fn is_utc(kind: &DataType) -> bool {
    match kind {
        DataType::Timestamp(_, None) => true,
        DataType::Timestamp(_, Some(zone)) => {
            matches!(&**zone, "UTC" | "Z" | "+00:00" | "+00" | "Etc/UTC")
        }
        _ => false,
    }
}

fn micros(time: &ScalarValue) -> Option<i64> {
    match time {
        ScalarValue::TimestampSecond(Some(at), _) => at.checked_mul(1_000_000),
        ScalarValue::TimestampMillisecond(Some(at), _) => at.checked_mul(1_000),
        ScalarValue::TimestampMicrosecond(Some(at), _) => Some(*at),
        ScalarValue::TimestampNanosecond(Some(at), _) if at % 1_000 == 0 => Some(at / 1_000),
        _ => None,
    }
}

impl Planner<'_> {
    /// Groups of which one part is a piece of event time.
    pub(crate) fn window(&mut self, aggregate: &Aggregate) -> Result<Node, Error> {
        let input = self.node(&aggregate.input)?;
        let before = aggregate.input.schema();
        let pieces: BTreeMap<usize, Pieces> = aggregate
            .group_expr
            .iter()
            .enumerate()
            .filter_map(|(group, expression)| {
                Some((group, Pieces::of(expression, &input, before)?))
            })
            .collect();
        let shortest = pieces.iter().min_by_key(|(_, pieces)| pieces.size);
        let Some((&window, &of_window)) = shortest else {
            let mut groups = aggregate.group_expr.iter();
            let has_no_length = groups.any(|group| Pieces::have_no_length(group, &input, before));
            return Err(no_window(&aggregate.input, has_no_length, self.relations));
        };
        let width = input.schema.fields().len();
        let (input, keys) = self.keyed(input, &aggregate.input, aggregate.group_expr.iter())?;
        let own = Schema::new(input.schema.fields()[..width].to_vec());
        let aggregates = aggregates::plan(&self.state, &aggregate.aggr_expr, before, &own)?;
        let schema = unique_names(&aggregate.schema);
        let bound = |name: &str| {
            Field::new(
                name,
                DataType::Timestamp(TimeUnit::Microsecond, None),
                false,
            )
        };
        let fields = [bound("window start"), bound("window end")]
            .map(Arc::new)
            .into_iter()
            .chain(schema.fields().iter().cloned());
        let output = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let plan = TumblingWindowPlan {
            input: input.schema.clone(),
            time: keys[window],
            keys,
            size: of_window.size,
            offset: of_window.offset,
            output: output.clone(),
            event_time: WindowTime::Start,
        };
        let node = Node {
            kind: Kind::Window {
                input: Box::new(input),
                plan,
                aggregates: aggregates.into(),
            },
            schema: output,
            time: Some(2 + window),
            windows: pieces
                .into_iter()
                .map(|(group, pieces)| (2 + group, pieces))
                .collect(),
        };
        Ok(selected(
            node,
            (2..2 + schema.fields().len()).collect(),
            schema,
        ))
    }
}

fn no_window(plan: &LogicalPlan, has_no_length: bool, relations: &Relations) -> Error {
    let error = Error::new(
        "unbounded state: nothing bounds how many groups GROUP BY or DISTINCT has to remember",
    )
    .about(About::Grouping);
    if has_no_length {
        return error.with_hint(
            "a window has one length for all time, which a month, a quarter and a year have not: group by a day or a week",
        );
    }
    match any_time_of(plan, relations) {
        Some(time) => error.with_hint(format!(
            "group by a window of the event time too, as in GROUP BY date_bin(INTERVAL '1 hour', {time})"
        )),
        None => error.with_hint("name the event time where the source is declared, and group by a window of it"),
    }
}

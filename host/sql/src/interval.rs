//! How far the event times of two joined rows may lie from each other, read from the conditions of the join.

use arrow_schema::DataType;
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator};

use crate::window::is_utc;

const MICROS_OF_DAY: i64 = 86_400_000_000;

/// By how much the right row may be later than the left one, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Interval {
    pub(crate) from: Option<i64>,
    pub(crate) to: Option<i64>,
}

/// The two event times.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times<'a> {
    pub(crate) left: &'a Column,
    pub(crate) right: &'a Column,
    /// The columns of both sides.
    pub(crate) schema: &'a DFSchema,
}

impl Interval {
    pub(crate) const ANY: Self = Self {
        from: None,
        to: None,
    };

    /// What these conditions leave, all of which must hold.
    pub(crate) fn of<'a>(conditions: impl IntoIterator<Item = &'a Expr>, times: Times<'_>) -> Self {
        let conditions = conditions.into_iter().flat_map(split_conjunction);
        conditions.fold(Self::ANY, |interval, condition| {
            interval.and(Self::of_one(condition, times))
        })
    }

    fn and(self, other: Self) -> Self {
        let of_both = |one: Option<i64>, other: Option<i64>, choose: fn(i64, i64) -> i64| match (
            one, other,
        ) {
            (Some(one), Some(other)) => Some(choose(one, other)),
            (one, other) => one.or(other),
        };
        Self {
            from: of_both(self.from, other.from, i64::max),
            to: of_both(self.to, other.to, i64::min),
        }
    }

    fn of_one(condition: &Expr, times: Times<'_>) -> Self {
        match condition {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                Self::of_comparison(left, *op, right, times)
            }
            Expr::Between(between) if !between.negated => {
                let low = Self::of_comparison(&between.expr, Operator::GtEq, &between.low, times);
                low.and(Self::of_comparison(
                    &between.expr,
                    Operator::LtEq,
                    &between.high,
                    times,
                ))
            }
            _ => Self::ANY,
        }
    }

    /// `left time + a OP right time + b`, or the other way round. The bounds are never stricter than the condition, which is
    /// checked besides.
    pub(crate) fn of_comparison(one: &Expr, op: Operator, other: &Expr, times: Times<'_>) -> Self {
        let (Some((first, a)), Some((second, b))) =
            (moved(one, times.schema), moved(other, times.schema))
        else {
            return Self::ANY;
        };
        // A nanosecond more or less is a microsecond here.
        let (from, to) = (
            a.saturating_sub(b).saturating_sub(1),
            a.saturating_sub(b).saturating_add(1),
        );
        let op = if first == times.left && second == times.right {
            op
        } else if first == times.right && second == times.left {
            let Some(swapped) = op.swap() else {
                return Self::ANY;
            };
            return Self::of_difference(
                swapped,
                b.saturating_sub(a).saturating_sub(1),
                b.saturating_sub(a).saturating_add(1),
            );
        } else {
            return Self::ANY;
        };
        Self::of_difference(op, from, to)
    }

    /// `a - b OP right time - left time`.
    fn of_difference(op: Operator, from: i64, to: i64) -> Self {
        match op {
            Operator::Eq => Self {
                from: Some(from),
                to: Some(to),
            },
            Operator::Lt | Operator::LtEq => Self {
                from: Some(from),
                to: None,
            },
            Operator::Gt | Operator::GtEq => Self {
                from: None,
                to: Some(to),
            },
            _ => Self::ANY,
        }
    }
}

/// A column that is moved by a fixed time, in microseconds.
pub(crate) fn moved<'e>(expression: &'e Expr, schema: &DFSchema) -> Option<(&'e Column, i64)> {
    match expression {
        Expr::Column(column) => Some((column, 0)),
        Expr::Alias(alias) => moved(&alias.expr, schema),
        Expr::Cast(cast) => {
            let from = cast.expr.get_type(schema).ok()?;
            keeps_instants(&from, cast.field.data_type()).then(|| moved(&cast.expr, schema))?
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (column, by) = moved(left, schema)?;
            // A day is not always 24 hours.
            if has_days(right) && !is_utc(&left.get_type(schema).ok()?) {
                return None;
            }
            let more = fixed(right)?;
            match op {
                Operator::Plus => Some((column, by.checked_add(more)?)),
                Operator::Minus => Some((column, by.checked_sub(more)?)),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Whether a cast leaves each timestamp where it is: in no coarser unit, and not from the wall clock of another zone.
fn keeps_instants(from: &DataType, to: &DataType) -> bool {
    let (DataType::Timestamp(unit, zone), DataType::Timestamp(finer, other)) = (from, to) else {
        return false;
    };
    let is_same_clock = zone.is_some() == other.is_some() || (is_utc(from) && is_utc(to));
    unit <= finer && is_same_clock
}

fn has_days(expression: &Expr) -> bool {
    match expression {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(interval)), _) => interval.days != 0,
        Expr::Literal(ScalarValue::IntervalDayTime(Some(interval)), _) => interval.days != 0,
        _ => false,
    }
}

/// A length of time that is always the same: no months.
pub(crate) fn fixed(expression: &Expr) -> Option<i64> {
    let Expr::Literal(value, _) = expression else {
        return None;
    };
    let of_day = |days: i32, rest: i64| {
        i64::from(days)
            .checked_mul(MICROS_OF_DAY)?
            .checked_add(rest)
    };
    match value {
        ScalarValue::IntervalMonthDayNano(Some(interval))
            if interval.months == 0 && interval.nanoseconds % 1_000 == 0 =>
        {
            of_day(interval.days, interval.nanoseconds.div_euclid(1_000))
        }
        ScalarValue::IntervalDayTime(Some(interval)) => {
            of_day(interval.days, i64::from(interval.milliseconds) * 1_000)
        }
        ScalarValue::DurationSecond(Some(seconds)) => seconds.checked_mul(1_000_000),
        ScalarValue::DurationMillisecond(Some(milliseconds)) => milliseconds.checked_mul(1_000),
        ScalarValue::DurationMicrosecond(Some(microseconds)) => Some(*microseconds),
        ScalarValue::DurationNanosecond(Some(nanoseconds)) => Some(nanoseconds.div_euclid(1_000)),
        _ => None,
    }
}

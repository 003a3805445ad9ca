//! Lengths of time that need no calendar.

use arrow_schema::{DataType, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, DataFusionError, ScalarValue};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator};

/// The same expression, in which lengths without months and days that are added to a timestamp are durations. To add one of those is to
/// add two numbers, where an interval goes through the calendar of the zone for every row.
pub(crate) fn with_durations(expression: Expr, schema: &DFSchema) -> Result<Expr, DataFusionError> {
    let moved = expression.transform_up(|part| {
        let Expr::BinaryExpr(moved) = &part else {
            return Ok(Transformed::no(part));
        };
        let Some(length) = duration(moved, schema) else {
            return Ok(Transformed::no(part));
        };
        let (left, length) = (moved.left.clone(), Expr::Literal(length, None));
        let moved = BinaryExpr::new(left, moved.op, Box::new(length));
        Ok(Transformed::yes(Expr::BinaryExpr(moved)))
    });
    Ok(moved?.data)
}

fn duration(moved: &BinaryExpr, schema: &DFSchema) -> Option<ScalarValue> {
    let Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(length)), _) = &*moved.right else {
        return None;
    };
    let is_fixed = length.months == 0 && length.days == 0;
    if !is_fixed || !matches!(moved.op, Operator::Plus | Operator::Minus) {
        return None;
    }
    let DataType::Timestamp(unit, _) = moved.left.get_type(schema).ok()? else {
        return None;
    };
    let whole = |nanoseconds_of_unit: i64| {
        let rest = length.nanoseconds % nanoseconds_of_unit;
        (rest == 0).then(|| Some(length.nanoseconds / nanoseconds_of_unit))
    };
    match unit {
        TimeUnit::Second => whole(1_000_000_000).map(ScalarValue::DurationSecond),
        TimeUnit::Millisecond => whole(1_000_000).map(ScalarValue::DurationMillisecond),
        TimeUnit::Microsecond => whole(1_000).map(ScalarValue::DurationMicrosecond),
        TimeUnit::Nanosecond => whole(1).map(ScalarValue::DurationNanosecond),
    }
}

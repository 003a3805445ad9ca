//! How deep expressions are: planning takes the square of it, and each row goes through all of it on a stack that is small.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, Statement, Visit, Visitor};

use crate::Error;

/// A sum of so many terms is the deepest expression.
const DEEPEST: usize = 500;

#[derive(Default)]
struct Depth(usize);

impl Visitor for Depth {
    type Break = ();

    fn pre_visit_expr(&mut self, _: &Expr) -> ControlFlow<()> {
        self.0 += 1;
        if self.0 > DEEPEST {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, _: &Expr) -> ControlFlow<()> {
        self.0 -= 1;
        ControlFlow::Continue(())
    }
}

/// Refuses what is deeper.
pub(crate) fn check(statement: &Statement) -> Result<(), Error> {
    match statement.visit(&mut Depth::default()) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::new(format!(
            "an expression is more than {DEEPEST} levels deep"
        ))
        .with_hint("write `x IN (...)` for many comparisons, and compute a long sum in steps")),
    }
}

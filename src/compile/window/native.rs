//! Which window functions the engine computes itself.
//!
//! All or none of those over the same partitions: one that PostgreSQL evaluates needs the whole partition, and the others
//! are then to be had for nothing. Their order must be one that the engine knows (HAZARDS E37). What a function reads is
//! computed for every row, so an argument that PostgreSQL would not evaluate for every row must be one that cannot raise.

use crate::compile::block::Block;
use crate::compile::limit::order_keys;
use crate::compile::{native, Compiler};
use crate::pg::node::{Aggregate as Call, Node};
use crate::pg::window::{BuiltIn, WindowCall as Written, WindowClause};
use trickle_operators::expr::Expr;
use trickle_operators::plan::{AggregateFunction, OrderKey, WindowCall, WindowFrame, WindowFunction};
use trickle_operators::value::{ColumnType, Row};

/// When the content determines a function's value (HAZARDS E20).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Determined {
    Always,
    /// If no two rows are equal in the order.
    InTotalOrder,
    Never,
}

/// Beyond it, a neighbour is as far as the partition is long.
const FARTHEST_NEIGHBOUR: i64 = 10_000;
const MOST_ROWS_AROUND: i64 = 100;

impl<'t> Compiler<'t, '_> {
    /// Whether the engine computes all of these windows.
    pub(super) fn are_native(&self, block: &Block<'t>, windows: &[(&WindowClause<'t>, Vec<Node<'t>>)]) -> bool {
        windows.iter().all(|(clause, calls)| {
            self.native_order(block, clause).is_some()
                && calls.iter().all(|call| self.native_call(*call, clause, &mut |_| 0).is_some())
        })
    }

    /// The order of a window, its columns from 0.
    fn native_order(&self, block: &Block<'t>, clause: &WindowClause<'t>) -> Option<Vec<OrderKey>> {
        let types: Vec<ColumnType> =
            clause.order.iter().map(|key| block.outputs[block.carried + key.target].expression.column_type()).collect();
        let order: Vec<_> = clause.order.iter().enumerate().map(|(at, key)| (at, *key)).collect();
        order_keys(&order, &|at| &types[at]).filter(|_| self.options.native_expressions)
    }

    /// The engine's own function for a call, if it has one, over columns that `show` makes of expressions.
    pub(super) fn native_call(
        &self,
        call: Node<'t>,
        clause: &WindowClause<'t>,
        show: &mut dyn FnMut(Node<'t>) -> usize,
    ) -> Option<(WindowCall, Determined)> {
        let written = call.window_call()?;
        // Without an order all rows are peers.
        let frame = || match clause.frame.since_the_start() {
            Some(WindowFrame::Peers) if clause.order.is_empty() => Some(WindowFrame::All),
            frame => frame,
        };
        if written.aggregate {
            let frame = frame().or_else(|| rows_around(call, clause))?;
            return self.native_over_frame(&written, frame, show);
        }
        let function = BuiltIn::of(written.function)?;
        let (mut over, mut determined) = (WindowFrame::Rows, Determined::InTotalOrder);
        let function = match (function, &written.arguments[..]) {
            (BuiltIn::RowNumber, []) => WindowFunction::RowNumber,
            (BuiltIn::Rank | BuiltIn::DenseRank, []) => {
                determined = Determined::Always;
                if function == BuiltIn::Rank {
                    WindowFunction::Rank
                } else {
                    WindowFunction::DenseRank
                }
            }
            (BuiltIn::Lag | BuiltIn::Lead, [value, rest @ ..]) => {
                let offset = match rest.first() {
                    Some(offset) => i64::from(int4(*offset)?),
                    None => 1,
                };
                if offset.abs() > FARTHEST_NEIGHBOUR {
                    return None;
                }
                let offset = if function == BuiltIn::Lag { offset } else { -offset };
                let argument = self.shown(*value, show)?;
                let default = match rest.get(1) {
                    Some(default) => Some(self.default_value(*default, show)?),
                    None => None,
                };
                WindowFunction::Neighbour { argument, offset, default }
            }
            (BuiltIn::FirstValue | BuiltIn::LastValue, [value]) => {
                over = frame()?;
                let argument = self.shown(*value, show)?;
                match function {
                    BuiltIn::FirstValue => WindowFunction::FirstValue(argument),
                    _ => WindowFunction::LastValue(argument),
                }
            }
            (BuiltIn::NthValue, [value, n]) => {
                over = frame().filter(|frame| *frame != WindowFrame::All)?;
                let n = u64::try_from(int4(*n)?).ok().filter(|n| *n > 0)?;
                WindowFunction::NthValue(self.shown(*value, show)?, n)
            }
            _ => return None,
        };
        Some((WindowCall { function, frame: over }, determined))
    }

    fn native_over_frame(
        &self,
        written: &Written<'t>,
        frame: WindowFrame,
        show: &mut dyn FnMut(Node<'t>) -> usize,
    ) -> Option<(WindowCall, Determined)> {
        let call = Call {
            function: written.function,
            arguments: written.arguments.clone(),
            order: Vec::new(),
            has_order: false,
            distinct: false,
            filter: written.filter,
            levels_up: 0,
            collation: written.collation,
            ordered_set: false,
            variadic: false,
            order_of_input: false,
        };
        let (aggregate, determined) = self.native_aggregate_over(&call, show)?;
        if aggregate.function == AggregateFunction::AnyValue {
            return None;
        }
        let determined = match (determined, frame) {
            (false, _) => Determined::Never,
            (true, WindowFrame::Rows | WindowFrame::Around { .. }) => Determined::InTotalOrder,
            (true, _) => Determined::Always,
        };
        Some((WindowCall { function: WindowFunction::Aggregate(aggregate), frame }, determined))
    }

    fn shown(&self, argument: Node<'t>, show: &mut dyn FnMut(Node<'t>) -> usize) -> Option<usize> {
        self.cannot_raise(argument).then(|| show(argument))
    }

    fn default_value(&self, default: Node<'t>, show: &mut dyn FnMut(Node<'t>) -> usize) -> Option<Expr> {
        match native::constant(default) {
            Some(constant) => {
                let image = constant.eval(Row::default().as_ref()).ok()?.map(|image| image.into_owned());
                Some(Expr::Literal(image, constant.kind()))
            }
            None => Some(Expr::Column(self.shown(default, show)?, default.column_type().kind)),
        }
    }
}

/// A frame of so many rows around the current one, if they are few: each row is computed from all of its frame.
fn rows_around<'t>(call: Node<'t>, clause: &WindowClause<'t>) -> Option<WindowFrame> {
    let at = |(ahead, offset): (bool, Option<Node<'t>>)| match offset {
        None => Some(0),
        Some(offset) => {
            let by = i64::from_ne_bytes(image(offset)?.try_into().ok()?);
            (0..=MOST_ROWS_AROUND).contains(&by).then_some(if ahead { by } else { -by })
        }
    };
    let [start, end] = clause.frame.rows_around(call)?;
    let (from, to) = (at(start)?, at(end)?);
    (to - from <= MOST_ROWS_AROUND).then_some(WindowFrame::Around { from, to })
}

/// The value of a constant expression of type int4 that is not NULL.
fn int4(expression: Node<'_>) -> Option<i32> {
    Some(i32::from_ne_bytes(image(expression)?.try_into().ok()?))
}

/// The value of a constant expression that is not NULL.
fn image(expression: Node<'_>) -> Option<Vec<u8>> {
    Some(native::constant(expression)?.eval(Row::default().as_ref()).ok()??.into_owned())
}

//! Which aggregates the engine computes itself, and of which of them the content determines the result.

use super::Inputs;
use crate::compile::block::columns_of;
use crate::compile::{equality, native, Compiler};
use crate::pg::catalog_lookup;
use crate::pg::node::{Aggregate as Call, Node};
use std::collections::HashMap;
use trickle_operators::plan::{Aggregate, AggregateFunction, Regression};
use trickle_operators::value::Kind;

/// A native aggregate over inputs of the block under the reduce.
pub(super) struct Native {
    function: AggregateFunction,
    argument: Option<usize>,
    /// The kind of which each distinct argument is taken once.
    distinct: Option<Kind>,
    filter: Option<usize>,
    pub determined: bool,
    /// Of which the value is determined, if not how it is written.
    pub settled: bool,
}

impl Native {
    /// Whether the result is a number also of no values.
    pub fn counts(&self) -> bool {
        match self.function {
            AggregateFunction::Count | AggregateFunction::CountRows => true,
            AggregateFunction::Regression { statistic, .. } => statistic == Regression::Count,
            _ => false,
        }
    }

    /// The number of rows for which an input is true.
    pub fn rows_where(filter: usize) -> Self {
        let function = AggregateFunction::CountRows;
        Native { function, argument: None, distinct: None, filter: Some(filter), determined: true, settled: true }
    }

    /// The aggregate, with the columns that show the inputs.
    pub fn over(&self, shown: &dyn Fn(usize) -> usize) -> Aggregate {
        let function = match self.function {
            AggregateFunction::Regression { statistic, x } => AggregateFunction::Regression { statistic, x: shown(x) },
            function => function,
        };
        Aggregate {
            function,
            argument: self.argument.map(shown),
            distinct: self.distinct,
            filter: self.filter.map(shown),
        }
    }
}

impl<'t> Compiler<'t, '_> {
    /// The engine's own aggregate for a call, if it has one; then what it reads is added to the inputs.
    pub(super) fn native_aggregate(&self, inputs: &mut Inputs<'t>, call: &Call<'t>) -> Option<Native> {
        // FILTER is a guard: what it leaves out is not evaluated.
        let guarded = |argument: Node<'t>| match call.filter {
            Some(filter) if !self.cannot_raise(argument) => self.arena.case_when(filter, argument),
            _ => argument,
        };
        if let Some(statistic) = self.regression(call) {
            let [y, x] = call.arguments[..] else { return None };
            let (y, x) = (inputs.add(guarded(y)), inputs.add(guarded(x)));
            let function = AggregateFunction::Regression { statistic, x };
            return Some(Native {
                function,
                argument: Some(y),
                distinct: None,
                filter: call.filter.map(|filter| inputs.add(filter)),
                determined: is_determined(function),
                settled: is_settled(function),
            });
        }
        let (function, distinct) = self.native_function(call)?;
        let argument = call.arguments.first().map(|argument| {
            // Of equal values, each is counted once: that is all that is read of them.
            let canonical = distinct.and_then(|_| self.canonical(*argument, argument.collation()));
            inputs.add(guarded(canonical.unwrap_or(*argument)))
        });
        let filter = call.filter.map(|filter| inputs.add(filter));
        let (determined, settled) = (is_determined(function), is_settled(function));
        Some(Native { function, argument, distinct, filter, determined, settled })
    }

    /// The engine's own aggregate for a call, over columns that `show` makes of expressions, and whether the content
    /// determines its value.
    pub(in crate::compile) fn native_aggregate_over(
        &self,
        call: &Call<'t>,
        show: &mut dyn FnMut(Node<'t>) -> usize,
    ) -> Option<(Aggregate, bool)> {
        let mut inputs = Inputs::default();
        let native = self.native_aggregate(&mut inputs, call)?;
        let shown: Vec<usize> = inputs.expressions.into_iter().map(show).collect();
        Some((native.over(&|input| shown[input]), native.determined))
    }

    pub(in crate::compile) fn cannot_raise(&self, expression: Node<'t>) -> bool {
        let positions: HashMap<_, _> = columns_of(expression).into_iter().enumerate().map(|(at, c)| (c, at)).collect();
        self.native(expression, &positions).is_some_and(|expression| !native::fallible(&expression))
    }

    /// Statistics of pairs of floats.
    fn regression(&self, call: &Call<'t>) -> Option<Regression> {
        let facts = catalog_lookup::function(call.function)?;
        let [y, x] = call.arguments[..] else { return None };
        let floats = [y, x].iter().all(|argument| argument.column_type().kind == Kind::Float8);
        let plain = facts.builtin && !call.distinct && !call.has_order && !call.ordered_set;
        Regression::of_name(&facts.name).filter(|_| floats && plain && self.options.native_expressions)
    }

    /// The function, and the kind of which each distinct argument is taken once.
    fn native_function(&self, call: &Call<'t>) -> Option<(AggregateFunction, Option<Kind>)> {
        use AggregateFunction as F;
        let facts = catalog_lookup::function(call.function)?;
        if !facts.builtin || call.ordered_set || call.variadic || !self.options.native_expressions {
            return None;
        }
        let Some(argument) = call.arguments.first() else {
            return (facts.name == "count").then_some((F::CountRows, None));
        };
        if call.arguments.len() > 1 {
            return None;
        }
        let ty = argument.column_type();
        let kind = ty.kind;
        let numeric =
            matches!(kind, Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Float4 | Kind::Float8 | Kind::Numeric);
        let integer = matches!(kind, Kind::Int2 | Kind::Int4 | Kind::Int8);
        let variance = |sample, root| F::Variance { kind, sample, root };
        let ordered = numeric
            || matches!(kind, Kind::Oid | Kind::Date | Kind::Time | Kind::TimeTz | Kind::Timestamp | Kind::TimestampTz)
            || matches!(kind, Kind::Interval | Kind::Bytea)
            || matches!(kind, Kind::Text | Kind::Bpchar) && catalog_lookup::byte_order(call.collation);
        let function = match facts.name.as_str() {
            "count" => F::Count,
            "sum" if numeric || kind == Kind::Interval => F::Sum(kind),
            "avg" if numeric || kind == Kind::Interval => F::Average(kind),
            "bool_and" | "every" => F::BoolAnd,
            "bool_or" => F::BoolOr,
            "min" if ordered => F::Min(kind),
            "max" if ordered => F::Max(kind),
            "var_pop" if numeric => variance(false, false),
            "var_samp" | "variance" if numeric => variance(true, false),
            "stddev_pop" if numeric => variance(false, true),
            "stddev_samp" | "stddev" if numeric => variance(true, true),
            "bit_and" if integer => F::BitAnd(kind),
            "bit_or" if integer => F::BitOr(kind),
            "bit_xor" if integer => F::BitXor(kind),
            "any_value" if !call.has_order => F::AnyValue,
            _ => return None,
        };
        match function {
            F::BoolAnd | F::BoolOr | F::Min(_) | F::Max(_) | F::BitAnd(_) | F::BitOr(_) | F::AnyValue => {
                Some((function, None))
            }
            _ if !call.distinct => Some((function, None)),
            F::Count if self.canonical(*argument, ty.collation).is_some() => Some((function, Some(Kind::Bytea))),
            F::Count => equality::has_key(&ty).then_some((function, Some(kind))),
            // Zeros of either sign, and NaNs, are equal, and the same to a sum.
            _ if matches!(kind, Kind::Float4 | Kind::Float8) => Some((function, Some(kind))),
            // Which of several equal values is summed shows in a numeric's scale: only PostgreSQL knows which it takes.
            _ => catalog_lookup::equal_image(&ty).then_some((function, Some(kind))),
        }
    }
}

/// Of equal values, any is as great as the other.
fn is_settled(function: AggregateFunction) -> bool {
    let extreme =
        matches!(function, AggregateFunction::Min(_) | AggregateFunction::Max(_) | AggregateFunction::LeastImage);
    extreme || is_determined(function)
}

/// Float sums depend on the order of addition in PostgreSQL, and a minimum on which of equal values came first.
fn is_determined(function: AggregateFunction) -> bool {
    match function {
        AggregateFunction::Sum(kind) | AggregateFunction::Average(kind) | AggregateFunction::Variance { kind, .. } => {
            !matches!(kind, Kind::Float4 | Kind::Float8)
        }
        AggregateFunction::Min(kind) | AggregateFunction::Max(kind) => {
            !matches!(kind, Kind::Float4 | Kind::Float8 | Kind::Numeric | Kind::Bpchar | Kind::Interval)
        }
        AggregateFunction::Regression { statistic, .. } => statistic == Regression::Count,
        AggregateFunction::LeastImage | AggregateFunction::AnyValue => false,
        AggregateFunction::CountRows
        | AggregateFunction::Count
        | AggregateFunction::BoolAnd
        | AggregateFunction::BoolOr
        | AggregateFunction::BitAnd(_)
        | AggregateFunction::BitOr(_)
        | AggregateFunction::BitXor(_) => true,
    }
}

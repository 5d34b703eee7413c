//! Of which of the aggregates that PostgreSQL evaluates the content of the group determines the result (HAZARDS E20).

use crate::pg::catalog_lookup;
use crate::pg::node::{Aggregate as Call, View};
use trickle_operators::value::{ColumnType, Kind};

/// Aggregates of the server whose result is the same for all orders of their input, unless it is of floats.
const ORDER_FREE: &[&str] = &[
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "every",
    "max",
    "min",
    "mode",
    "percentile_cont",
    "percentile_disc",
    "range_agg",
    "range_intersect_agg",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "sum",
    "var_pop",
    "var_samp",
    "variance",
];

/// Those of them that take one of several equal values.
const CHOOSING: &[&str] = &["max", "min", "mode", "percentile_disc"];

/// Aggregates that only count: which of several equal values there are makes no difference to them.
const COUNTING: &[&str] = &["count", "cume_dist", "dense_rank", "percent_rank", "rank", "regr_count"];

/// Whether the content of the group determines the aggregate's value: it does not depend on the order of its input, or
/// the order is given by all of its arguments.
pub(super) fn is_determined(call: &Call<'_>) -> bool {
    let types: Vec<ColumnType> = call.arguments.iter().map(|argument| argument.column_type()).collect();
    let constant = |at: usize| matches!(call.arguments[at].view(), View::Const(_));
    let ordered = call.has_order && !call.order_of_input;
    let sorted = call.distinct || ordered && (0..types.len()).all(|at| call.order.contains(&at) || constant(at));
    match order_free(call.function, &types, call.distinct) {
        Some(determined) => determined,
        None => types.iter().all(catalog_lookup::equal_image) && sorted,
    }
}

/// Whether the order of its input is worth giving to an aggregate: to those of the server that put values side by side, and to
/// those that it knows nothing of.
pub(in crate::compile) fn depends_on_order(call: &Call<'_>) -> bool {
    let Some(facts) = catalog_lookup::function(call.function) else { return false };
    let puts_together = ["array_agg", "json", "string_agg", "xmlagg"].iter().any(|name| facts.name.starts_with(name));
    !facts.builtin || puts_together
}

/// Whether the function's value is the same for all orders of its input.
pub(in crate::compile) fn is_order_free(function: u32, types: &[ColumnType], distinct: bool) -> bool {
    order_free(function, types, distinct).unwrap_or(false)
}

/// The same; none if the function is not known for that.
fn order_free(function: u32, types: &[ColumnType], distinct: bool) -> Option<bool> {
    let name = catalog_lookup::function(function).filter(|facts| facts.builtin).map(|facts| facts.name)?;
    let name = name.as_str();
    if COUNTING.contains(&name) {
        return Some(true);
    }
    if !ORDER_FREE.contains(&name) {
        return None;
    }
    let floats = types.iter().any(|ty| matches!(ty.kind, Kind::Float4 | Kind::Float8));
    // Numerics that are equal may have different display scales. A sum shows the greatest of them, in any order; but not
    // where only one of the equal values is taken.
    let one_of_equals = distinct || CHOOSING.contains(&name);
    let exact = types.iter().all(catalog_lookup::equal_image);
    Some(!floats && (exact || !one_of_equals && types.iter().all(|ty| ty.kind == Kind::Numeric)))
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_are_sorted() {
        assert!(super::ORDER_FREE.is_sorted() && super::CHOOSING.is_sorted() && super::COUNTING.is_sorted());
    }
}

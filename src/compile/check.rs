//! What no plan exists for: clauses, and expressions that are more than a function of their row.

use super::{Compiler, Lowered, NotIncremental};
use crate::pg::catalog_lookup::{self, Volatility};
use crate::pg::node::{Node, View};
use crate::pg::query::Query;

/// STABLE functions of pg_catalog that depend on their arguments and on settings only. The settings are pinned for each
/// stream table (HAZARDS H27), so these are functions of their row. What reads the clock, the session, the catalogs or the
/// server's files is not here, and neither is what depends on a setting that is not pinned. Of conversions from text this
/// holds for some types only: see [`super::conversion`].
const SETTING_DEPENDENT: &[&str] = &[
    "anyarray_out",
    "anyenum_out",
    "anyrange_out",
    "anytextcat",
    "array_in",
    "array_out",
    "array_to_json",
    "array_to_string",
    "cash_in",
    "cash_out",
    "concat",
    "concat_ws",
    "convert",
    "convert_from",
    "convert_to",
    "date",
    "date_add",
    "date_cmp_timestamptz",
    "date_eq_timestamptz",
    "date_ge_timestamptz",
    "date_gt_timestamptz",
    "date_in",
    "date_le_timestamptz",
    "date_lt_timestamptz",
    "date_ne_timestamptz",
    "date_out",
    "date_part",
    "date_subtract",
    "date_trunc",
    "domain_in",
    "enum_in",
    "enum_out",
    "extract",
    "format",
    "generate_series",
    "in_range",
    "interval_in",
    "interval_out",
    "interval_pl_timestamptz",
    "json_agg",
    "json_agg_strict",
    "json_agg_strict_transfn",
    "json_agg_transfn",
    "json_build_array",
    "json_build_object",
    "json_object_agg",
    "json_object_agg_strict",
    "json_object_agg_strict_transfn",
    "json_object_agg_transfn",
    "json_object_agg_unique",
    "json_object_agg_unique_strict",
    "json_object_agg_unique_strict_transfn",
    "json_object_agg_unique_transfn",
    "json_populate_record",
    "json_populate_recordset",
    "json_to_record",
    "json_to_recordset",
    "json_to_tsvector",
    "jsonb_agg",
    "jsonb_agg_finalfn",
    "jsonb_agg_strict",
    "jsonb_agg_strict_transfn",
    "jsonb_agg_transfn",
    "jsonb_build_array",
    "jsonb_build_object",
    "jsonb_object_agg",
    "jsonb_object_agg_finalfn",
    "jsonb_object_agg_strict",
    "jsonb_object_agg_strict_transfn",
    "jsonb_object_agg_transfn",
    "jsonb_object_agg_unique",
    "jsonb_object_agg_unique_strict",
    "jsonb_object_agg_unique_strict_transfn",
    "jsonb_object_agg_unique_transfn",
    "jsonb_populate_record",
    "jsonb_populate_record_valid",
    "jsonb_populate_recordset",
    "jsonb_to_record",
    "jsonb_to_recordset",
    "jsonb_to_tsvector",
    "length",
    "make_timestamptz",
    "money",
    "multirange_in",
    "multirange_out",
    "numeric",
    "overlaps",
    "pg_collation_for",
    "pg_typeof",
    "phraseto_tsquery",
    "plainto_tsquery",
    "quote_literal",
    "quote_nullable",
    "range_in",
    "range_out",
    "record_in",
    "record_out",
    "row_to_json",
    "textanycat",
    "time",
    "time_in",
    "timestamp",
    "timestamp_cmp_timestamptz",
    "timestamp_eq_timestamptz",
    "timestamp_ge_timestamptz",
    "timestamp_gt_timestamptz",
    "timestamp_in",
    "timestamp_le_timestamptz",
    "timestamp_lt_timestamptz",
    "timestamp_ne_timestamptz",
    "timestamp_out",
    "timestamptz",
    "timestamptz_cmp_date",
    "timestamptz_cmp_timestamp",
    "timestamptz_eq_date",
    "timestamptz_eq_timestamp",
    "timestamptz_ge_date",
    "timestamptz_ge_timestamp",
    "timestamptz_gt_date",
    "timestamptz_gt_timestamp",
    "timestamptz_in",
    "timestamptz_le_date",
    "timestamptz_le_timestamp",
    "timestamptz_lt_date",
    "timestamptz_lt_timestamp",
    "timestamptz_mi_interval",
    "timestamptz_ne_date",
    "timestamptz_ne_timestamp",
    "timestamptz_out",
    "timestamptz_pl_interval",
    "timetz",
    "timetz_in",
    "timezone",
    "to_char",
    "to_date",
    "to_json",
    "to_jsonb",
    "to_number",
    "to_timestamp",
    "to_tsquery",
    "to_tsvector",
    "ts_headline",
    "ts_match_tq",
    "ts_match_tt",
    "websearch_to_tsquery",
];

/// Those of STABLE functions that read the clock, for a better reason.
const CLOCK: &[&str] = &["now", "transaction_timestamp", "statement_timestamp", "clock_timestamp", "timeofday", "age"];

impl<'t> Compiler<'t, '_> {
    /// Clauses that have no plan yet.
    pub(super) fn check_clauses(&self, query: Query<'t>) -> Lowered<()> {
        let clauses = [
            (query.has_modifying_cte(), "data-modifying WITH", "The query contains a data-modifying WITH clause."),
            (query.has_row_marks(), "FOR UPDATE", "The query contains FOR UPDATE, FOR SHARE or the like."),
        ];
        match clauses.into_iter().find(|(present, ..)| *present) {
            Some((_, reason, detail)) => Err(NotIncremental::new(reason, detail)),
            None => Ok(()),
        }
    }

    /// Whether an expression is a function of its row for ever, as long as definitions and pinned settings do not change.
    pub(super) fn check_expression(&self, expression: Node<'t>, place: &str) -> Lowered<()> {
        let mut problem = None;
        expression.visit(&mut |node| {
            problem = check_node(node, place).err();
            problem.is_some()
        });
        problem.map_or(Ok(()), Err)
    }
}

/// Whether anything in the query is not a function of the rows that it reads.
pub(super) fn unsteady(query: Query<'_>) -> bool {
    query.node().visit(&mut |node| {
        matches!(node.view(), View::CurrentTime(_) | View::NextValue)
            || node.functions().into_iter().any(|function| check_function(function, "").is_err())
    })
}

/// The clock is data only where a row's truth alone depends on it.
pub(super) fn clock(what: &str, place: &str) -> NotIncremental {
    let mut start = what.chars();
    let sentence: String = start.next().into_iter().flat_map(char::to_uppercase).chain(start).collect();
    NotIncremental::new(
        format!("{what} changes with time"),
        format!(
            "{sentence} in {place} changes with time. Only temporal filters may read the clock: conditions that compare a date or timestamp with it."
        ),
    )
}

fn check_node(node: Node<'_>, place: &str) -> Lowered<()> {
    let found = |reason: &str, detail: String| Err(NotIncremental::new(reason, detail));
    match node.view() {
        View::SubLink => return found("subquery in an expression", format!("There is a subquery in {place}.")),
        View::Grouping { levels_up, .. } if levels_up > 0 => {
            return found("GROUPING() of an outer query", format!("GROUPING() in {place} is of the query around it."))
        }
        View::Param => return found("parameter", format!("There is a parameter in {place}.")),
        View::CurrentTime(name) => {
            return Err(clock(name, place));
        }
        View::CurrentUser(name) => {
            return found(
                &format!("{name} depends on the session"),
                format!("{name} in {place} depends on the session."),
            )
        }
        View::NextValue => {
            return found("nextval() is volatile", format!("Function nextval() in {place} is volatile."))
        }
        _ => {}
    }
    super::conversion::check(node, place)?;
    for function in node.functions() {
        check_function(function, place)?;
        if matches!(node.view(), View::Aggregate(_) | View::Window) {
            for part in catalog_lookup::aggregate_parts(function) {
                check_function(part, place)?;
            }
        }
    }
    Ok(())
}

/// Whether a function is one of [`SETTING_DEPENDENT`].
pub(super) fn is_setting_dependent(function: u32) -> bool {
    catalog_lookup::function(function).is_some_and(|facts| {
        facts.builtin
            && facts.volatility == Volatility::Stable
            && SETTING_DEPENDENT.binary_search(&facts.name.as_str()).is_ok()
    })
}

pub(super) fn check_function(function: u32, place: &str) -> Lowered<()> {
    let Some(facts) = catalog_lookup::function(function) else {
        return Err(NotIncremental::new("dropped function", format!("A function in {place} no longer exists.")));
    };
    let name = &facts.name;
    let signature = catalog_lookup::function_signature(function);
    if facts.builtin && CLOCK.contains(&name.as_str()) && facts.volatility != Volatility::Immutable {
        let function = format!("function {name}()");
        return Err(match name.as_str() {
            // These are not the same in all of a statement, or not over an instant.
            "clock_timestamp" | "timeofday" => NotIncremental::new(
                format!("{function} changes with time"),
                format!("Function {signature} in {place} changes with time."),
            ),
            _ => clock(&function, place),
        });
    }
    match facts.volatility {
        Volatility::Immutable => Ok(()),
        Volatility::Volatile => Err(NotIncremental::new(
            format!("function {name}() is volatile"),
            format!("Function {signature} in {place} is volatile."),
        )),
        Volatility::Stable if facts.builtin && SETTING_DEPENDENT.binary_search(&name.as_str()).is_ok() => Ok(()),
        Volatility::Stable => Err(NotIncremental::new(
            format!("function {name}() is stable, not immutable"),
            format!(
                "Function {signature} in {place} is stable: its result may change without a change of its arguments."
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn setting_dependent_functions_are_sorted() {
        assert!(super::SETTING_DEPENDENT.is_sorted());
    }
}

//! What conversions from and to text depend on, beyond their row and the pinned settings.
//!
//! The input functions of dates and times know words such as `'now'` and `'today'`, and timetz takes the day's offset from
//! UTC where none is given: a text that is read as one of them, or as an array, a range, a composite value or a domain with
//! one in it, is not a function of its row. They are STABLE for that reason as much as for their settings, of which only the
//! settings can be pinned. And input and output functions of containers are as good as those of what they contain: a name
//! that is looked up in the catalogs (regclass) makes an array of names depend on the catalogs.

use super::check::{check_function, is_setting_dependent};
use super::{Lowered, NotIncremental};
use crate::pg::node::{Node, View};
use crate::pg::query::RangeEntry;
use crate::pg::{catalog_lookup, type_lookup};

/// Input functions of types that may contain others. A cast tells the type; a call of one does not.
const CONTAINER_INPUT: &[&str] = &["array_in", "domain_in", "multirange_in", "range_in", "record_in"];

/// Functions that make a row like their first argument out of texts.
const POPULATE: &[&str] = &[
    "json_populate_record",
    "json_populate_recordset",
    "jsonb_populate_record",
    "jsonb_populate_record_valid",
    "jsonb_populate_recordset",
];

/// pg_proc OIDs of what takes a named zone's offset of today: `timetz(time)`, and `AT TIME ZONE` and `AT LOCAL` of a timetz.
const OFFSET_OF_TODAY: &[u32] = &[2047, 2037, 6336];

/// pg_type OIDs of what has words for the present: date, time, timestamp, timestamptz, timetz.
const DATES_AND_TIMES: &[u32] = &[1082, 1083, 1114, 1184, 1266];

/// pg_type OID of `record`, whose parts are not in the catalogs.
const RECORD: u32 = 2249;

pub(super) fn check(node: Node<'_>, place: &str) -> Lowered<()> {
    if let Some(ty) = node.reads_text_as() {
        check_input(ty, place)?;
    }
    if node.has_mutable_json_path() {
        return Err(mutable_path(place));
    }
    if let View::Function(call) = node.view() {
        if catalog_lookup::builtin(call.function) {
            check_call(call.function, &call.arguments, place)?;
        }
    }
    if node.functions().into_iter().any(is_setting_dependent) {
        for argument in node.arguments() {
            check_output(argument, place)?;
        }
    }
    Ok(())
}

fn mutable_path(place: &str) -> NotIncremental {
    NotIncremental::new(
        "a JSON path that may read the clock",
        format!("There is a JSON path in {place} that converts dates and times, which may depend on the clock."),
    )
}

fn check_call(function: u32, arguments: &[Node<'_>], place: &str) -> Lowered<()> {
    let Some(facts) = catalog_lookup::function(function) else { return Ok(()) };
    let name = facts.name.as_str();
    if POPULATE.contains(&name) {
        return arguments.first().map_or(Ok(()), |row| check_input(row.type_oid(), place));
    }
    let input = CONTAINER_INPUT.contains(&name)
        || DATES_AND_TIMES.iter().any(|ty| type_lookup::input_function(*ty) == function);
    // With _tz, a path may compare a time with a timetz.
    let path = name.starts_with("jsonb_path_") && name.ends_with("_tz");
    if !input && !path && !OFFSET_OF_TODAY.contains(&function) {
        return Ok(());
    }
    let signature = catalog_lookup::function_signature(function);
    Err(NotIncremental::new(
        format!("function {name}() may read the clock"),
        format!("Function {signature} in {place} may read the clock."),
    ))
}

/// Whether columns that the query gives types to are the same values for ever: a column definition list says what a builtin
/// function makes of JSON, and a table function reads texts.
pub(super) fn check_table(entry: RangeEntry<'_>, calls: Node<'_>, place: &str) -> Lowered<()> {
    if calls.call_expressions().into_iter().all(|call| call.functions().into_iter().all(catalog_lookup::builtin)) {
        entry.defined_types().into_iter().try_for_each(|ty| check_input(ty, place))?;
    }
    match calls.json_table_paths().into_iter().any(|path| calls.has_mutable_path(path)) {
        true => Err(mutable_path(place)),
        false => Ok(()),
    }
}

/// Whether a text that is read as this type is the same value for ever.
fn check_input(ty: u32, place: &str) -> Lowered<()> {
    for part in parts(ty) {
        if DATES_AND_TIMES.contains(&part) || part == RECORD {
            let name = catalog_lookup::type_name(ty);
            let within = match part == ty {
                true => String::new(),
                false => format!(", which contains {}", catalog_lookup::type_name(part)),
            };
            return Err(NotIncremental::new(
                format!("text read as {name} may read the clock"),
                format!(
                    "A text in {place} is read as type {name}{within}: for values like 'today' the result depends on the clock."
                ),
            ));
        }
        check_function(type_lookup::input_function(part), place)?;
    }
    Ok(())
}

/// Whether the value's text is the same for ever.
fn check_output(value: Node<'_>, place: &str) -> Lowered<()> {
    if let Some(fields) = value.row_fields() {
        return fields.into_iter().try_for_each(|field| check_output(field, place));
    }
    parts(value.type_oid())
        .into_iter()
        .filter_map(type_lookup::output_function)
        .try_for_each(|function| check_function(function, place))
}

/// A type and all that its values are made of.
fn parts(ty: u32) -> Vec<u32> {
    let mut parts = vec![ty];
    let mut at = 0;
    while let Some(part) = parts.get(at).copied() {
        for component in type_lookup::component_types(part) {
            if !parts.contains(&component) {
                parts.push(component);
            }
        }
        at += 1;
    }
    parts
}

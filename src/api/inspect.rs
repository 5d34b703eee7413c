//! What stream tables read, how they are defined, which rows fail.

use super::arguments::{definition, required};
use super::require_preloaded;
pub use crate::catalog::sources::sources;
use crate::catalog::{self, Definition};
use crate::pg::definition::qualified_name;
use crate::pg::role::{self, as_extension};
use crate::pg::spi;
use pgrx::prelude::*;

/// A view or stream table that reads a column, given by its position among those that are not dropped.
pub fn reader_of_column(table: u32, position: usize) -> Option<String> {
    let rows = as_extension(|| {
        spi::query(
            "WITH a AS (
                 SELECT attnum FROM pg_catalog.pg_attribute
                  WHERE attrelid = $1::oid AND attnum > 0 AND NOT attisdropped
                  ORDER BY attnum OFFSET $2::int4 LIMIT 1)
             SELECT r.ev_class, l.relid
               FROM a JOIN pg_catalog.pg_depend d ON d.refobjsubid = a.attnum
               JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid
               LEFT JOIN pgtrickle.live_table l ON l.view = r.ev_class
              WHERE d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
                AND d.refobjid = $1::oid
              ORDER BY 1 LIMIT 1",
            &[Some(&table.to_string()), Some(&position.to_string())],
        )
    });
    let [view, stream_table] = <[Option<String>; 2]>::try_from(rows.into_iter().next()?).ok()?;
    let name = |oid: String| qualified_name(oid.parse().ok()?);
    match stream_table {
        Some(table) => Some(format!("stream table {}", name(table)?)),
        None => Some(format!("view {}", name(view?)?)),
    }
}

type DependencyRow = (name!(name, String), name!(source, Option<pg_sys::Oid>), name!(kind, String));

#[pg_extern]
fn dependencies(
    name: Option<&str>,
) -> TableIterator<'static, (name!(name, String), name!(source, Option<pg_sys::Oid>), name!(kind, String))> {
    require_preloaded();
    let definitions = match name {
        Some(name) => vec![definition(name)],
        None => catalog::definition::all(),
    };
    let mut rows: Vec<DependencyRow> = Vec::new();
    for definition in definitions {
        let mut sources = sources(definition.view, false);
        sources.sort_by_key(|source| qualified_name(source.relation));
        for source in sources {
            let kind = match (source.stream_table, source.kind) {
                (Some(_), _) => "stream table",
                (None, b'v') => "view",
                (None, b'm') => "materialized view",
                (None, b'f') => "foreign table",
                (None, b'p') => "partitioned table",
                (None, _) => "table",
            };
            rows.push((definition.name.clone(), Some(pg_sys::Oid::from(source.relation)), kind.to_string()));
        }
    }
    TableIterator::new(rows)
}

#[pg_extern]
fn stream_table_definition(name: &str) -> String {
    require_preloaded();
    let definition = definition(name);
    // Not the text as written: what it names may be called otherwise by now, and the reader's search path may differ.
    let rows =
        as_extension(|| spi::query("SELECT pg_catalog.pg_get_viewdef($1::oid)", &[Some(&definition.view.to_string())]));
    let query = rows.into_iter().flatten().next().flatten().unwrap_or(definition.query);
    let quote = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let schedule = definition.schedule_text.as_deref().map_or("NULL".to_string(), quote);
    format!(
        "SELECT pgtrickle.create_stream_table(\n  name         => {},\n  query        => {},\n  schedule     => {schedule},\n  \
         refresh_mode => {},\n  sla_tier     => {});",
        quote(&definition.name),
        dollar_quote(query.trim().trim_end_matches(';')),
        quote(definition.refresh_mode.name()),
        quote(definition.tier.name()),
    )
}

/// Dollar-quoted with a tag that the text does not contain.
fn dollar_quote(text: &str) -> String {
    let mut tag = String::new();
    while text.contains(&format!("${tag}$")) || text.ends_with('$') && tag.is_empty() {
        tag.push('q');
    }
    format!("${tag}${text}${tag}$")
}

/// Whether the current user may see rows of the definition's sources: its owner, or with SELECT on all that it reads
/// (HAZARDS H52).
pub fn sees_rows(definition: &Definition) -> bool {
    let user = role::current();
    role::owns(user, definition.table)
        || sources(definition.view, true)
            .iter()
            .all(|source| role::has_privilege(user, source.relation, pg_sys::ACL_SELECT))
}

#[pg_extern]
#[allow(clippy::type_complexity)]
fn errors(
    name: &str,
) -> TableIterator<
    'static,
    (
        name!(sqlstate, Option<String>),
        name!(message, Option<String>),
        name!(expression, Option<String>),
        name!(row_text, Option<String>),
        name!(occurrences, Option<i64>),
        name!(noticed_at, Option<TimestampWithTimeZone>),
    ),
> {
    require_preloaded();
    let definition = definition(name);
    let all = sees_rows(&definition);
    let counts = all || role::monitors();
    let rows = as_extension(|| {
        spi::query(
            "SELECT sqlstate, message, expression, row_text, occurrences,
                    (pg_catalog.date_part('epoch', noticed_at - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::int8
               FROM pgtrickle.error_row WHERE relid = $1::oid ORDER BY sqlstate, message, row_text",
            &[Some(&definition.table.to_string())],
        )
    });
    let rows: Vec<_> = rows
        .into_iter()
        .filter_map(|row| <[Option<String>; 6]>::try_from(row).ok())
        .map(|[sqlstate, message, expression, row_text, occurrences, noticed_at]| {
            (
                sqlstate.filter(|_| counts),
                message.filter(|_| all),
                expression.filter(|_| all),
                row_text.filter(|_| all),
                occurrences.filter(|_| counts).and_then(|text| text.parse().ok()),
                noticed_at.filter(|_| counts).and_then(|text| super::status::instant(text.parse().ok()?)),
            )
        })
        .collect();
    TableIterator::new(rows)
}

#[pg_extern]
#[allow(clippy::type_complexity)]
fn refresh_history(
    name: Option<&str>,
) -> TableIterator<
    'static,
    (
        name!(name, String),
        name!(refreshed_at, Option<TimestampWithTimeZone>),
        name!(duration_ms, Option<f64>),
        name!(rows_changed, Option<i64>),
        name!(delta_compute_ms, Option<f64>),
        name!(merge_apply_ms, Option<f64>),
        name!(index_update_ms, Option<f64>),
        name!(error, Option<String>),
        name!(cut_ms, Option<f64>),
        name!(decode_ms, Option<f64>),
        name!(commit_ms, Option<f64>),
    ),
> {
    require_preloaded();
    let definitions = match name {
        Some(name) => vec![definition(name)],
        None => catalog::definition::all(),
    };
    let user = role::current();
    let monitors = role::monitors();
    let mut rows = Vec::new();
    for definition in definitions {
        let owns = role::owns(user, definition.table);
        if !owns && !monitors {
            continue;
        }
        let found = as_extension(|| {
            spi::query(
                "SELECT (pg_catalog.date_part('epoch', refreshed_at - '2000-01-01 00:00:00+00'::timestamptz)
                         * 1000000)::int8, duration_ms, rows_changed, delta_compute_ms, merge_apply_ms, index_update_ms,
                        error, cut_ms, decode_ms, commit_ms
                   FROM pgtrickle.refresh_log WHERE relid = $1::oid ORDER BY refreshed_at DESC",
                &[Some(&definition.table.to_string())],
            )
        });
        for row in found {
            let Ok([at, duration, changed, compute, apply, index, error, cut, decode, commit]) =
                <[Option<String>; 10]>::try_from(row)
            else {
                continue;
            };
            let float = |text: Option<String>| text.and_then(|text| text.parse::<f64>().ok());
            rows.push((
                definition.name.clone(),
                at.and_then(|text| super::status::instant(text.parse().ok()?)),
                float(duration),
                changed.and_then(|text| text.parse().ok()),
                float(compute),
                float(apply),
                float(index),
                error.filter(|_| owns),
                float(cut),
                float(decode),
                float(commit),
            ));
        }
    }
    TableIterator::new(rows)
}

#[pg_extern]
#[allow(clippy::type_complexity)]
fn validate_query(
    query: Option<&str>,
) -> TableIterator<
    'static,
    (
        name!(incremental, bool),
        name!(construct, Option<String>),
        name!(reason, Option<String>),
        name!(hint, Option<String>),
    ),
> {
    require_preloaded();
    let query = required(query, "query");
    TableIterator::once(match super::mode::incremental_plan(query) {
        Ok(_) => (true, None, None, None),
        Err(reason) => (false, Some(reason.construct), Some(reason.detail), reason.hint),
    })
}

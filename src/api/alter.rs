//! Changing a stream table: what its owner wants of it, and its query. A changed query gets a new definition view, and the
//! content is replaced by the difference, all in the caller's transaction.

use super::arguments::{
    self, definition_to_change, require_owner, required, schedule_text, stream_table, suspended_of, Wanted,
};
use super::create::{run_as_owner, view_name};
use super::{inspect, mode, require_preloaded, wake_worker_at_commit};
use crate::catalog::live_table::{self, LiveTable};
use crate::catalog::{self, key, Definition, RefreshMode};
use crate::pg::definition::{self as objects, relation_name, tie, Attribute};
use crate::pg::fill::{fill, Run};
use crate::pg::sink::{self, Delta, SinkError};
use crate::pg::txn::Failure;
use crate::pg::{executor, hooks, image, role, segment, spi, wait};
use hashbrown::HashMap;
use pgrx::prelude::*;
use trickle_operators::value::{ColumnType, Row};

#[pg_extern]
fn alter_stream_table(
    name: Option<&str>,
    query: Option<&str>,
    schedule: Option<&str>,
    refresh_mode: Option<&str>,
    sla_tier: Option<&str>,
    status: Option<&str>,
) {
    require_preloaded();
    role::require_write(c"alter_stream_table()");
    let table = stream_table(required(name, "name"));
    require_owner(table);
    let old = definition_to_change(table);
    let mut new = old.clone();
    if let Some(query) = query {
        new.query = query.to_string();
    }
    if schedule.is_some() {
        new.schedule_text = schedule_text(schedule).map(str::to_string);
    }
    if let Some(refresh_mode) = refresh_mode {
        new.refresh_mode = arguments::refresh_mode_of(refresh_mode);
    }
    if let Some(tier) = sla_tier {
        new.tier = arguments::tier_of(tier);
    }
    if let Some(status) = status {
        new.suspended = suspended_of(status);
    }
    change(&old, &new, query.is_some());
    // One that was not suspended by anybody may have been given up by the worker.
    if status.is_some() && !old.suspended && !new.suspended && super::status::is_given_up(table) {
        live_table::renew(table);
        wake_worker_at_commit();
    }
}

/// Gives an existing stream table a definition; no work if it has it.
pub fn replace(table: u32, wanted: &Wanted<'_>) {
    require_owner(table);
    let old = definition_to_change(table);
    let new = Definition {
        query: wanted.query.to_string(),
        schedule_text: wanted.schedule.map(str::to_string),
        refresh_mode: wanted.refresh_mode,
        tier: wanted.tier,
        ..old.clone()
    };
    change(&old, &new, true);
}

fn change(old: &Definition, new: &Definition, query_given: bool) {
    // The same text may mean other relations than it did: they were renamed, or the search path is another.
    let another_query =
        old.query != new.query || (query_given && mode::relations(&new.query) != mode::relations_of(old.view));
    if old == new && !another_query {
        return;
    }
    if another_query {
        change_query(old, new);
    } else if old.refresh_mode != new.refresh_mode {
        change_mode(old, new.refresh_mode);
    }
    catalog::definition::update(new);
    wake_worker_at_commit();
}

fn change_mode(old: &Definition, refresh_mode: RefreshMode) {
    let judgement = mode::judge(old.view, &relation_name(old.table), refresh_mode, old.owner);
    wait::lock_against_writers(old.table, false);
    // The key of the result is known only while it is incremental; an index that exists serves as well.
    live_table::put(&LiveTable {
        table: old.table,
        id: &old.id,
        view: old.view,
        key_index: old.key_index,
        key_columns: old.key_columns.as_deref(),
        mode: judgement.mode,
        reason: judgement.reason.map(|reason| reason.text()).as_deref(),
    });
}

fn change_query(old: &Definition, new: &Definition) {
    let analysed = objects::Definition::analyse(&new.query);
    let attributes = analysed.attributes();
    let present = objects::attributes_of(old.table);
    let same_columns = attributes == present;
    if !same_columns {
        require_alterable(old, &present, &attributes);
    }
    let key = mode::key(&new.query, new.refresh_mode, old.owner);
    let same_key = same_columns && key::serves(old, &attributes, key.as_ref());
    // Against the worker's apply; readers go on unless columns or key change. As strong as it has to be at once: whoever
    // waits for a stronger lock while holding this one makes a deadlock. The table, then its view: as DROP TABLE does, and
    // the worker.
    wait::lock_against_writers(old.table, !same_key);
    objects::drop_view(old.view);
    let view = analysed.create_view(&view_name(&old.id), old.owner);
    refuse_cycle(old.table, view);
    tie(view, old.table);
    mode::refuse_unsteady(view, &relation_name(old.table), old.owner);
    run_as_owner(old.owner, &old.settings, || {
        fill(view, old.table, Run::Check);
    });
    let judgement = mode::judge(view, &relation_name(old.table), new.refresh_mode, old.owner);
    let keeps = same_key && key::serves(old, &attributes, judgement.key.as_ref());
    if !keeps {
        key::drop(old);
    }
    if !same_columns {
        // Triggers, checks and defaults are the owner's, whoever alters.
        run_as_owner(old.owner, &old.settings, || change_columns(old.table, &present, &attributes));
    }
    run_as_owner(old.owner, &old.settings, || replace_content(old.table, view, &attributes));
    let (key_index, key_columns) = match keeps {
        true => (old.key_index, old.key_columns.clone()),
        false => key::create(old.table, &attributes, judgement.key.as_ref()),
    };
    live_table::put(&LiveTable {
        table: old.table,
        id: &old.id,
        view,
        key_index,
        key_columns: key_columns.as_deref(),
        mode: judgement.mode,
        reason: judgement.reason.map(|reason| reason.text()).as_deref(),
    });
}

/// A column may get another type or be added at the end. Anything else would leave a hole in the table.
fn require_alterable(old: &Definition, present: &[Attribute], wanted: &[Attribute]) {
    let kept = wanted.len() >= present.len() && present.iter().zip(wanted).all(|(old, new)| old.name == new.name);
    if !kept {
        let name = relation_name(old.table);
        Failure::new(b"0A000", format!("cannot remove, rename or reorder columns of stream table \"{name}\""))
            .detail(format!("Its columns are {}; those of the new query are {}.", list(present), list(wanted)))
            .hint("Drop the stream table and create it again.")
            .raise();
    }
    for (at, (present, wanted)) in
        present.iter().zip(wanted).enumerate().filter(|(_, (present, wanted))| present != wanted)
    {
        if let Some(reader) = inspect::reader_of_column(old.table, at) {
            let name = relation_name(old.table);
            Failure::new(
                b"2BP01",
                format!("cannot change the type of column \"{}\" of stream table \"{name}\"", wanted.name),
            )
            .detail(format!(
                "It is {}, would be {}, and {reader} reads it.",
                objects::type_text(present),
                objects::type_text(wanted)
            ))
            .hint("Drop what reads it, or cast in the query.")
            .raise();
        }
    }
}

fn list(attributes: &[Attribute]) -> String {
    let names: Vec<String> = attributes.iter().map(|attribute| format!("\"{}\"", attribute.name)).collect();
    names.join(", ")
}

fn refuse_cycle(table: u32, view: u32) {
    let (mut seen, mut queue) = (Vec::new(), vec![view]);
    while let Some(next) = queue.pop() {
        for source in inspect::sources(next, true) {
            if source.relation == table {
                let name = relation_name(table);
                Failure::new(b"42P17", format!("stream table \"{name}\" cannot read itself")).raise();
            }
            if let Some(upstream) = source.stream_table.filter(|upstream| !seen.contains(upstream)) {
                seen.push(upstream);
                queue.push(upstream);
            }
        }
    }
}

/// The content is of no use with other columns: it goes first.
fn change_columns(table: u32, present: &[Attribute], wanted: &[Attribute]) {
    let Some(name) = objects::qualified_name(table) else { return };
    hooks::maintaining(table, || alter_columns(&name, present, wanted));
}

fn alter_columns(name: &str, present: &[Attribute], wanted: &[Attribute]) {
    spi::execute(&format!("TRUNCATE ONLY {name}"), &[]);
    for (at, attribute) in wanted.iter().enumerate() {
        let column = objects::quote_identifier(&attribute.name);
        let ty = objects::type_text(attribute);
        if at >= present.len() {
            spi::execute(&format!("ALTER TABLE ONLY {name} ADD COLUMN {column} {ty}"), &[]);
        } else if present[at] != *attribute {
            spi::execute(
                &format!(
                    "ALTER TABLE ONLY {name} ALTER COLUMN {column} TYPE {ty} USING NULL::{}",
                    objects::type_name(attribute)
                ),
                &[],
            );
        }
    }
}

/// Writes the difference between what the table has and what the view says, both under one snapshot.
fn replace_content(table: u32, view: u32, attributes: &[Attribute]) {
    let columns: Vec<ColumnType> = attributes
        .iter()
        .map(|one| image::column_type(pg_sys::Oid::from(one.ty), one.typmod, pg_sys::Oid::from(one.collation)))
        .collect();
    // Locks everything that the query reads before the snapshot is taken (HAZARDS H4).
    fill(view, table, Run::Check);
    segment::with_latest_snapshot(|| {
        let mut counts: HashMap<Row, i64> = HashMap::new();
        let read = executor::run_view(view, None, &mut |row| *counts.entry(row.to_owned()).or_default() += 1)
            .and_then(|()| sink::read(table, &columns, &mut |row| *counts.entry(row.to_owned()).or_default() -= 1));
        if let Err(failure) = read {
            failure.raise();
        }
        let mut delta = Delta::default();
        for (row, count) in counts {
            let rows = if count > 0 { &mut delta.inserts } else { &mut delta.deletes };
            rows.extend(std::iter::repeat_n(row, count.unsigned_abs() as usize));
        }
        match sink::write(table, &columns, delta) {
            Ok(_) => {}
            Err(SinkError::Failed(failure)) => failure.raise(),
            Err(SinkError::Diverged(detail)) => Failure::new(b"XX001", detail).raise(),
        }
    });
}

//! Creating a stream table: table, view, catalog rows and first content, all in the caller's transaction. No capture and no
//! lock on the sources beyond reading: the worker attaches it after the commit.

use super::arguments::{required, Wanted};
use super::{alter, mode, require_preloaded, wake_worker_at_commit};
use crate::catalog::definition::{self, NewDefinition};
use crate::catalog::key;
use crate::catalog::live_table::{self, LiveTable};
use crate::pg::definition::{relation_name, tie, Definition, Name};
use crate::pg::fill::{fill, Run};
use crate::pg::txn::Failure;
use crate::pg::{hooks, owner, role, spi};
use pgrx::prelude::*;
use std::ffi::CStr;

/// Settings that the results of STABLE functions of PostgreSQL depend on, and who evaluates: their values are part of the
/// definition (HAZARDS H27).
const PINNED: [&CStr; 13] = [
    c"TimeZone",
    c"DateStyle",
    c"IntervalStyle",
    c"lc_monetary",
    c"lc_numeric",
    c"lc_time",
    c"extra_float_digits",
    c"bytea_output",
    c"xmlbinary",
    c"xmloption",
    c"default_text_search_config",
    c"array_nulls",
    c"pg_trickle.native_expressions",
];

#[pg_extern]
#[allow(clippy::too_many_arguments)]
fn create_stream_table(
    name: Option<&str>,
    query: Option<&str>,
    schedule: Option<&str>,
    refresh_mode: Option<&str>,
    sla_tier: Option<&str>,
    initialize: Option<bool>,
    if_not_exists: Option<bool>,
) -> pg_sys::Oid {
    require_preloaded();
    role::require_write(c"create_stream_table()");
    let name = Name::parse(required(name, "name"));
    let wanted = Wanted::check(query, schedule, refresh_mode, sla_tier);
    let initialize = required(initialize, "initialize");
    let if_not_exists = required(if_not_exists, "if_not_exists");
    if let Some(existing) = name.claim() {
        let stream = hooks::stream_table_view(existing).is_some();
        let kind = if stream { "stream table" } else { "relation" };
        let failure = Failure::new(b"42P07", format!("{kind} \"{}\" already exists", relation_name(existing)));
        if !(stream && if_not_exists) {
            failure.raise();
        }
        Failure { message: format!("{}, skipping", failure.message), ..failure }.notice();
        return pg_sys::Oid::from(existing);
    }
    pg_sys::Oid::from(create(&name, &wanted, initialize))
}

#[pg_extern]
#[allow(clippy::too_many_arguments)]
fn create_or_replace_stream_table(
    name: Option<&str>,
    query: Option<&str>,
    schedule: Option<&str>,
    refresh_mode: Option<&str>,
    sla_tier: Option<&str>,
    initialize: Option<bool>,
    if_not_exists: Option<bool>,
) -> pg_sys::Oid {
    require_preloaded();
    role::require_write(c"create_or_replace_stream_table()");
    let name = Name::parse(required(name, "name"));
    let wanted = Wanted::check(query, schedule, refresh_mode, sla_tier);
    let initialize = required(initialize, "initialize");
    required(if_not_exists, "if_not_exists");
    match name.claim() {
        None => pg_sys::Oid::from(create(&name, &wanted, initialize)),
        Some(existing) => {
            if hooks::stream_table_view(existing).is_none() {
                let text = format!("\"{}\" is not a stream table", relation_name(existing));
                Failure::new(b"42809", text).raise();
            }
            alter::replace(existing, &wanted);
            pg_sys::Oid::from(existing)
        }
    }
}

fn create(name: &Name, wanted: &Wanted<'_>, initialize: bool) -> u32 {
    let analysed = Definition::analyse(wanted.query);
    let attributes = analysed.attributes();
    let caller = role::current();
    let id = new_id();
    let settings = pinned_settings();

    let table = name.create_table(&attributes);
    let view = analysed.create_view(&view_name(&id), caller);
    tie(view, table);
    mode::refuse_unsteady(view, &relation_name(table), caller);
    // First of all whether the owner may read it at all.
    run_as_owner(caller, &settings, || {
        fill(view, table, Run::Check);
    });
    let judgement = mode::judge(view, &relation_name(table), wanted.refresh_mode, caller);
    if initialize {
        run_as_owner(caller, &settings, || {
            fill(view, table, Run::Fill);
        });
    }
    let (key_index, key_columns) = key::create(table, &attributes, judgement.key.as_ref());
    definition::insert(&NewDefinition {
        id: &id,
        table,
        query: wanted.query,
        schedule: wanted.schedule,
        refresh_mode: wanted.refresh_mode,
        tier: wanted.tier,
        settings: &settings,
    });
    live_table::put(&LiveTable {
        table,
        id: &id,
        view,
        key_index,
        key_columns: key_columns.as_deref(),
        mode: judgement.mode,
        reason: judgement.reason.map(|reason| reason.text()).as_deref(),
    });
    wake_worker_at_commit();
    table
}

/// Runs `body` as a stream table's owner with its settings.
pub fn run_as_owner(owner: u32, settings: &[(String, String)], body: impl FnOnce()) {
    let outcome = owner::as_owner(owner, settings, || {
        body();
        Ok(())
    });
    if let Err(failure) = outcome {
        failure.raise();
    }
}

pub fn view_name(id: &str) -> String {
    format!("st_{}", id.replace('-', ""))
}

pub fn new_id() -> String {
    let rows = spi::query("SELECT pg_catalog.gen_random_uuid()", &[]);
    match rows.into_iter().flatten().next().flatten() {
        Some(id) => id,
        None => Failure::new(b"XX000", "could not make an id").raise(),
    }
}

pub fn pinned_settings() -> Vec<(String, String)> {
    PINNED.iter().filter_map(|name| Some((name.to_string_lossy().into_owned(), role::setting(name)?))).collect()
}

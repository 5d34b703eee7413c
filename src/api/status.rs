//! The state of stream tables: the catalog's part, and the counters that the worker keeps in shared memory.

use super::{inspect, require_preloaded};
use crate::catalog::{self, Definition, Tier};
use crate::pg::{inheritance, process, role};
use crate::settings;
use crate::shm;
use crate::shm::status::{Entry, State};
use pgrx::prelude::*;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

const MICROS_PER_SECOND: f64 = 1_000_000.0;

/// An instant as PostgreSQL counts it, for the SQL surface; `None` for 0, which means never.
pub fn instant(micros: i64) -> Option<TimestampWithTimeZone> {
    (micros != 0).then(|| TimestampWithTimeZone::try_from(micros as pg_sys::TimestampTz).ok()).flatten()
}

#[pg_extern]
#[allow(clippy::type_complexity)]
fn stream_table_status() -> TableIterator<
    'static,
    (
        name!(name, String),
        name!(status, String),
        name!(refresh_mode, String),
        name!(sla_tier, String),
        name!(schedule, Option<Interval>),
        name!(schedule_text, Option<String>),
        name!(last_refresh_at, Option<TimestampWithTimeZone>),
        name!(staleness_secs, Option<f64>),
        name!(rows_changed_last_cycle, Option<i64>),
        name!(avg_refresh_ms, Option<f64>),
        name!(pending_change_rows, Option<i64>),
        name!(state_bytes, Option<i64>),
        name!(last_error, Option<String>),
        name!(effective_mode, String),
        name!(mode_reason, Option<String>),
        name!(owner, pg_sys::Oid),
        name!(refreshes, Option<i64>),
        name!(error_rows, Option<i64>),
    ),
> {
    require_preloaded();
    let now = process::now();
    let user = role::current();
    let monitors = role::monitors();
    let rows: Vec<_> = catalog::definition::all()
        .into_iter()
        .map(|definition| {
            let entry = entry(&definition);
            let owns = role::owns(user, definition.table);
            // Counters tell of the sources' traffic (HAZARDS H52).
            let counted = entry.filter(|_| owns || monitors);
            let count = |read: &dyn Fn(&Entry) -> u64| counted.map(|entry| read(entry) as i64);
            let current_at = entry.map(|entry| entry.current_at.load(Relaxed)).filter(|at| *at != 0);
            let refreshes = counted.map(|entry| entry.refreshes.load(Relaxed));
            (
                definition.name.clone(),
                state(&definition, entry).name().to_string(),
                definition.refresh_mode.name().to_string(),
                definition.tier.name().to_string(),
                definition.schedule.bound(now).and_then(|bound| Interval::new(0, 0, bound).ok()),
                definition.schedule_text.clone(),
                current_at.and_then(instant),
                entry.map(|entry| staleness(&definition, entry, now) as f64 / MICROS_PER_SECOND),
                count(&|entry| entry.rows_changed_last.load(Relaxed)),
                counted
                    .zip(refreshes)
                    .filter(|(_, refreshes)| *refreshes > 0)
                    .map(|(entry, refreshes)| entry.refresh_micros.load(Relaxed) as f64 / refreshes as f64 / 1_000.0),
                count(&|entry| entry.pending_rows.load(Relaxed)),
                count(&|entry| entry.state_bytes.load(Relaxed)),
                entry.filter(|_| owns).map(|entry| entry.text()).filter(|text| !text.is_empty()),
                definition.mode.name().to_string(),
                definition.reason.clone(),
                pg_sys::Oid::from(definition.owner),
                refreshes.map(|refreshes| refreshes as i64),
                count(&|entry| entry.error_rows.load(Relaxed)),
            )
        })
        .collect();
    TableIterator::new(rows)
}

/// How old the content is in microseconds: the age of the oldest change that it does not show, and nothing if it shows all
/// of them, however long ago the last one was. Of a table that is not followed at present: since when it is not.
fn staleness(definition: &Definition, entry: &Entry, now: i64) -> i64 {
    let since = match state(definition, Some(entry)) {
        State::Active => [entry.oldest_pending.load(Relaxed)]
            .into_iter()
            .filter(|at| *at != 0)
            .chain(oldest_captured(definition))
            .min()
            .unwrap_or(now),
        _ => entry.current_at.load(Relaxed),
    };
    (now - since).max(0)
}

/// When the oldest change of a table under the definition was committed that the worker has not looked at yet.
fn oldest_captured(definition: &Definition) -> Option<i64> {
    let shared = shm::shared()?;
    let database = process::database();
    let waiting: Vec<(u32, i64)> =
        shared.sources.of(database).filter_map(|(source, counters)| Some((source, counters.oldest()?))).collect();
    let unattributed = shared.databases.find(database).and_then(shm::Database::unattributed);
    if waiting.is_empty() {
        return unattributed;
    }
    let (mut tables, mut views, mut seen) = (Vec::new(), vec![definition.view], Vec::new());
    while let Some(view) = views.pop() {
        seen.push(view);
        for source in inspect::sources(view, true) {
            match source.stream_table {
                Some(upstream) if !seen.contains(&upstream) => views.push(upstream),
                Some(_) => {}
                None => tables.extend(inheritance::family(source.relation)),
            }
        }
    }
    let under = waiting.into_iter().filter(|(source, _)| tables.contains(source)).map(|(_, at)| at);
    under.chain(unattributed).min()
}

fn entry(definition: &Definition) -> Option<&'static Entry> {
    shm::shared()?.statuses.find(process::database(), definition.table)
}

/// Whether the worker does not try any more to refresh the table.
pub fn is_given_up(table: u32) -> bool {
    let entry = shm::shared().and_then(|shared| shared.statuses.find(process::database(), table));
    entry.is_some_and(|entry| matches!(entry.state(), State::Suspended | State::Quarantined))
}

fn state(definition: &Definition, entry: Option<&Entry>) -> State {
    match entry {
        _ if definition.suspended => State::Suspended,
        Some(entry) => entry.state(),
        None => State::Initializing,
    }
}

#[pg_extern]
#[allow(clippy::type_complexity)]
fn change_buffer_status() -> TableIterator<
    'static,
    (
        name!(source_table, pg_sys::Oid),
        name!(stream_tables, i64),
        name!(pending_rows, Option<i64>),
        name!(pending_bytes, Option<i64>),
        name!(oldest_change_at, Option<TimestampWithTimeZone>),
    ),
> {
    require_preloaded();
    let user = role::current();
    let monitors = role::monitors();
    let mut readers: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for definition in catalog::definition::all() {
        for source in inspect::sources(definition.view, true) {
            if source.stream_table.is_none() && matches!(source.kind, b'r' | b'p') {
                readers.entry(source.relation).or_default().push(definition.table);
            }
        }
    }
    let rows: Vec<_> = readers
        .into_iter()
        .map(|(source, readers)| {
            // Counters tell of the source's traffic (HAZARDS H52).
            let may = monitors || role::owns(user, source) || readers.iter().any(|reader| role::owns(user, *reader));
            let parts = if may { inheritance::family(source) } else { Vec::new() };
            let counters: Vec<_> = shm::shared()
                .into_iter()
                .flat_map(|shared| parts.iter().filter_map(|part| shared.sources.find(process::database(), *part)))
                .collect();
            let sum = |of: fn(&shm::sources::Source) -> u64| -> Option<i64> {
                (!counters.is_empty()).then(|| counters.iter().map(|counters| of(counters) as i64).sum())
            };
            (
                pg_sys::Oid::from(source),
                readers.len() as i64,
                sum(shm::sources::Source::pending_rows),
                sum(shm::sources::Source::pending_bytes),
                counters.iter().filter_map(|counters| counters.oldest()).min().and_then(instant),
            )
        })
        .collect();
    TableIterator::new(rows)
}

/// What a tier's stream tables are at, in numbers.
#[derive(Default)]
struct Tally {
    stream_tables: i64,
    suspended: i64,
    failing: i64,
    pending: i64,
    oldest: Option<i64>,
}

#[pg_extern]
#[allow(clippy::type_complexity)]
fn scheduler_status() -> TableIterator<
    'static,
    (
        name!(worker_pid, Option<i32>),
        name!(worker_state, &'static str),
        name!(sla_tier, &'static str),
        name!(stream_tables, i64),
        name!(suspended, i64),
        name!(failing, i64),
        name!(pending, Option<i64>),
        name!(oldest_pending_at, Option<TimestampWithTimeZone>),
        name!(memory_bytes, Option<i64>),
    ),
> {
    require_preloaded();
    let database = shm::shared().and_then(|shared| shared.databases.find(process::database()));
    let worker = database.and_then(|database| database.worker_pid());
    let worker_state = match worker {
        _ if !settings::ENABLED.get() => "disabled",
        Some(_) => "running",
        None => "not running",
    };
    let user = role::current();
    let monitors = role::monitors();
    let mut visible = monitors;
    let mut tallies: BTreeMap<Tier, Tally> = BTreeMap::new();
    for definition in catalog::definition::all() {
        let tally = tallies.entry(definition.tier).or_default();
        let entry = entry(&definition);
        tally.stream_tables += 1;
        match state(&definition, entry) {
            State::Suspended => tally.suspended += 1,
            State::Error | State::Quarantined => tally.failing += 1,
            State::Active | State::Initializing => {}
        }
        // When changes came tells of the sources' traffic (HAZARDS H52).
        if monitors || role::owns(user, definition.table) {
            visible = true;
            let pending = entry.map(|entry| entry.oldest_pending.load(Relaxed)).filter(|at| *at != 0);
            tally.pending += i64::from(pending.is_some());
            tally.oldest = tally.oldest.into_iter().chain(pending).min();
        }
    }
    let memory = database.filter(|_| visible && worker.is_some()).map(|database| database.memory() as i64);
    let rows: Vec<_> = [Tier::Critical, Tier::Standard, Tier::Background]
        .into_iter()
        .map(|tier| {
            let tally = tallies.remove(&tier).unwrap_or_default();
            let pending = visible.then_some(tally.pending);
            let Tally { stream_tables, suspended, failing, oldest, .. } = tally;
            let oldest = oldest.and_then(instant);
            (worker, worker_state, tier.name(), stream_tables, suspended, failing, pending, oldest, memory)
        })
        .collect();
    TableIterator::new(rows)
}

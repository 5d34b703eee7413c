//! Asking the worker and waiting for its answer. What can never come is an error at once (HAZARDS H48).

use super::arguments::{definition, require_maintain, require_select, stream_table};
use super::{inspect, require_preloaded};
use crate::catalog::{self, Definition};
use crate::pg::txn::Failure;
use crate::pg::{lock, process, wait};
use crate::settings;
use crate::shm::requests::{Kind, Ticket};
use crate::shm::{self, Database, Shared};
use pgrx::prelude::*;
use std::collections::VecDeque;

/// How long a waiting session sleeps before it looks whether the worker still lives; answers come by latch.
pub const LOOK_MILLISECONDS: i64 = 1_000;
/// The same while a refresh is kept back.
const LOCK_LOOK_MILLISECONDS: i64 = 60;

/// How long a worker may take to start: the launcher starts one at a time, and waits longer for one that keeps failing.
const START_MICROSECONDS: i64 = 15_000_000;
const START_LOOK_MILLISECONDS: i64 = 20;

#[pg_extern]
fn refresh_stream_table(name: &str) {
    let definition = definition_to_maintain(name);
    ask_for(&definition, Kind::Refresh, None).unwrap_or_else(|failure| failure.raise());
}

/// Those that fail keep none of the others from being refreshed.
#[pg_extern]
fn refresh_all() {
    require_preloaded();
    let mut all = catalog::definition::all();
    // Whoever has suspended one has suspended those that read it.
    let suspended: Vec<u32> = all.iter().filter(|one| one.suspended).map(|one| one.view).collect();
    all.retain(|one| super::arguments::may_maintain(one.table) && !catalog::sources::reads(one.view, &suspended));
    let mut failures = refresh_together(&all);
    // One that was dropped while the others were refreshed is no failure.
    failures.retain(|failure| failure.sqlstate != *b"42P01");
    if failures.len() > 1 {
        let each = failures.iter().map(|failure| match &failure.detail {
            Some(detail) => format!("{}: {detail}", failure.message),
            None => failure.message.clone(),
        });
        let text = format!("could not refresh {} of {} stream tables", failures.len(), all.len());
        Failure { sqlstate: failures[0].sqlstate, ..Failure::new(b"XX000", text) }
            .detail(each.collect::<Vec<_>>().join("\n"))
            .hint("See pgtrickle.stream_table_status() and pgtrickle.errors(). The others are up to date.")
            .raise();
    }
    if let Some(only) = failures.pop() {
        only.raise();
    }
}

#[pg_extern]
fn wait_for(name: Option<&str>, timeout: Option<Interval>) -> bool {
    require_preloaded();
    let table = stream_table(super::arguments::required(name, "name"));
    require_select(table);
    let timeout = timeout.map(|timeout| {
        let micros = timeout.as_micros();
        if micros < 0 {
            Failure::new(b"22023", "timeout cannot be negative").raise();
        }
        i64::try_from(micros).unwrap_or(i64::MAX)
    });
    let definition = super::arguments::definition_of(table);
    ask_for(&definition, Kind::Wait, timeout).unwrap_or_else(|failure| failure.raise())
}

#[pg_extern]
fn rebuild(name: &str) {
    let definition = definition_to_maintain(name);
    ask_for(&definition, Kind::Rebuild, None).unwrap_or_else(|failure| failure.raise());
}

fn definition_to_maintain(name: &str) -> Definition {
    require_preloaded();
    let definition = definition(name);
    require_maintain(definition.table);
    definition
}

/// Raises if the worker's answer could never come.
pub fn refuse_if_hopeless(definition: &Definition) {
    match wait::created_here(definition.table) {
        None => Failure::new(b"42P01", format!("stream table {} does not exist", definition.name)).raise(),
        Some(true) => {
            let text = format!("cannot wait for stream table {} in the transaction that created it", definition.name);
            Failure::new(b"55000", text).hint("Commit first.").raise()
        }
        Some(false) => {}
    }
    if definition.suspended {
        Failure::new(b"55000", format!("stream table {} is suspended", definition.name))
            .hint(format!(
                "Use pgtrickle.alter_stream_table('{}', status => 'active').",
                definition.name.replace('\'', "''")
            ))
            .raise();
    }
    refuse_own_locks(definition);
}

/// How many requests one call has open at a time: others need some of the places too.
const TOGETHER: usize = 32;

/// What failed. Those that are asked for together are refreshed by one cycle.
fn refresh_together(definitions: &[Definition]) -> Vec<Failure> {
    if definitions.is_empty() {
        return Vec::new();
    }
    let (shared, database) = reach_worker();
    definitions.iter().for_each(refuse_if_it_cannot_be);
    let mut failures = Vec::new();
    let mut open = VecDeque::new();
    let mut left = definitions.iter().peekable();
    loop {
        while let Some(definition) = left.next_if(|_| open.len() < TOGETHER) {
            match submit(shared, Kind::Refresh, definition) {
                Ok(ticket) => open.push_back((definition, ticket)),
                Err(failure) => failure.raise(),
            }
        }
        database.wake();
        let Some((definition, ticket)) = open.front() else { return failures };
        match answer(definition, ticket) {
            Some(result) => {
                failures.extend(result.err());
                open.pop_front();
            }
            None => pause(shared, database, definition, i64::MAX),
        }
    }
}

/// Asks and waits; false if the time is up. `timeout` is in microseconds. An error is the worker's answer; what keeps the
/// caller from asking is raised.
fn ask_for(definition: &Definition, kind: Kind, timeout: Option<i64>) -> Result<bool, Failure> {
    let (shared, database) = reach_worker();
    refuse_if_it_cannot_be(definition);
    let deadline = timeout.map(|timeout| process::now().saturating_add(timeout));
    let ticket = submit(shared, kind, definition).unwrap_or_else(|failure| failure.raise());
    database.wake();
    loop {
        if let Some(result) = answer(definition, &ticket) {
            return result.map(|()| true);
        }
        let left = deadline.map_or(i64::MAX, |deadline| deadline - process::now());
        if left <= 0 {
            return Ok(false);
        }
        pause(shared, database, definition, left);
    }
}

fn refuse_if_it_cannot_be(definition: &Definition) {
    if wait::snapshot_is_fixed() {
        Failure::new(b"25001", "cannot wait for stream tables in a transaction that keeps its snapshot")
            .detail("A transaction with isolation level REPEATABLE READ or SERIALIZABLE would not see the result.")
            .hint("Use READ COMMITTED.")
            .raise();
    }
    refuse_if_hopeless(definition);
}

fn submit(shared: &'static Shared, kind: Kind, definition: &Definition) -> Result<Ticket<'static>, Failure> {
    shared.requests.submit(process::database(), kind, definition.table, process::pid(), process::pid())
}

/// The worker's answer, if it is there.
fn answer(definition: &Definition, ticket: &Ticket<'_>) -> Option<Result<(), Failure>> {
    Some(match ticket.poll()? {
        Ok(_) => Ok(()),
        Err(failure) if inspect::sees_rows(definition) => Err(failure),
        // The detail may show what is in the sources (HAZARDS H52).
        Err(failure) => Err(Failure { detail: None, ..failure }),
    })
}

/// Sleeps until something may have happened, for `left` microseconds at most. Raises if nothing can.
fn pause(shared: &'static Shared, database: &Database, definition: &Definition, left: i64) {
    if database.worker_pid().is_none() {
        running_worker(shared);
    }
    let mut look = LOOK_MILLISECONDS;
    if shared.statuses.find(process::database(), definition.table).is_some_and(|entry| !entry.text().is_empty()) {
        // Something keeps it back. A lock on rows shows only while the worker waits for it, a tenth of a second at a
        // time.
        if let Some(worker) = database.worker_pid() {
            if lock::circle(process::pid(), lock::blocking(worker)) {
                in_the_way(definition);
            }
        }
        look = LOCK_LOOK_MILLISECONDS;
    }
    wait::on_latch((left / 1_000 + 1).min(look));
}

pub fn in_the_way(definition: &Definition) -> ! {
    Failure::new(b"55P03", format!("cannot wait for stream table {}", definition.name))
        .detail("Its refresh waits for a lock that is held by this transaction or by one that waits for it.")
        .hint("End the transaction first.")
        .raise()
}

/// The worker, if it is there to be asked.
pub fn reach_worker() -> (&'static Shared, &'static Database) {
    let Some(shared) = shm::shared() else {
        require_preloaded();
        unreachable!("not preloaded is an error")
    };
    if wait::in_recovery() {
        Failure::new(b"55000", "stream tables cannot be refreshed during recovery").raise();
    }
    if !settings::ENABLED.get() {
        Failure::new(b"55000", "stream tables are not maintained while \"pg_trickle.enabled\" is off").raise();
    }
    let database = running_worker(shared);
    if database.worker_pid() == Some(process::pid()) {
        Failure::new(b"55000", "the worker of pg_trickle cannot wait for itself").raise();
    }
    (shared, database)
}

/// The database's worker; one that is about to start, or to start again, is waited for.
pub fn running_worker(shared: &'static Shared) -> &'static Database {
    let deadline = process::now() + START_MICROSECONDS;
    let Some(database) = shared.databases.claim(process::database()) else { no_worker() };
    while database.worker_pid().is_none() {
        if process::now() > deadline {
            no_worker();
        }
        database.wake();
        wait::on_latch(START_LOOK_MILLISECONDS);
    }
    database
}

fn no_worker() -> ! {
    Failure::new(b"55000", "the worker of pg_trickle for this database is not running")
        .hint("See the server log. Each database with stream tables needs one of max_worker_processes.")
        .raise()
}

/// The worker needs to write the table and to read its sources; if this very session stands in the way, no deadlock detector
/// would see it.
fn refuse_own_locks(definition: &Definition) {
    let blocked = |relation: u32, reading| {
        if wait::locked_here(relation, reading) {
            let name = crate::pg::definition::qualified_name(relation).unwrap_or_default();
            Failure::new(b"55P03", format!("cannot wait for stream table {}", definition.name))
                .detail(format!("This transaction itself holds a lock on {name} that the worker would wait for."))
                .raise();
        }
    };
    blocked(definition.table, false);
    for source in inspect::sources(definition.view, true) {
        blocked(source.relation, source.stream_table.is_none());
    }
}

//! Sealed segments: a small pool of relations that all writers of a database append to (HAZARDS, "Buffers").
//!
//! ```text
//!   free ──rotate──▶ active ──rotate──▶ closed ──seal──▶ sealed ──free──▶ free
//! ```
//!
//! **Writers** never wait. One reads which segment is active, takes a conditional RowExclusiveLock on it, which it keeps
//! to the end of its transaction, and then asks again whether the segment is still active; if not it tries the next.
//!
//! **The worker** alone changes states. It *rotates* when an active segment is full: another becomes active, this one is
//! closed. It *seals* a closed segment when it gets a conditional ShareLock on it: that proves that no open transaction,
//! prepared ones included, has rows there, and by the writers' second look none will have. A transaction's locks go after
//! its effects became visible, so every committed row of the segment is visible to a snapshot taken after the grant; that
//! snapshot is stored with the segment. So a cut from a frontier that covers it need not look there again, and when all
//! consumers are past it the segment is *freed*: emptied by new storage under a conditional AccessExclusiveLock,
//! whatever snapshots are open. A savepoint that is rolled back gives up its lock, but its rows are dead too.
//!
//! The states are rows of pgtrickle.segment. The active ones are published in shared memory after the commit that made
//! them so; while nothing is published (a server that has just started) writers look into the table.

use crate::pg::lock::{self, Mode};
use crate::pg::process;
use crate::pg::segment::{self, State};
use crate::pg::snapshot::Frontier;
use crate::pg::txn::{self, Failure};
use crate::shm::databases::LANES;
use crate::shm::Database;
use pgrx::Spi;

const FREE: u8 = b'f';
const ACTIVE: u8 = b'a';
const CLOSED: u8 = b'c';
const SEALED: u8 = b's';

/// Finds an active segment, locks it and has `write` append to it. The answer is `None` if there is no segment to write
/// to; otherwise the lane of it, if that is known.
pub fn place(database: &Database, write: &mut dyn FnMut(u32) -> bool) -> Option<Option<usize>> {
    let first = process::number().max(0) as usize % LANES;
    // A rotation between the two looks sends a writer on; it takes several in a row for the loop to go around again.
    for attempt in 0..3 * LANES {
        let lane = (first + attempt) % LANES;
        if let Some(segment) = database.active(lane) {
            if hold(segment, &|segment| database.is_active(segment)) {
                if write(segment) {
                    return Some(Some(lane));
                }
                lock::unlock(segment, Mode::RowExclusive);
            }
        }
    }
    place_by_catalog(write)
}

fn place_by_catalog(write: &mut dyn FnMut(u32) -> bool) -> Option<Option<usize>> {
    let mut last = None;
    for _ in 0..3 {
        for segment in active_now() {
            last = Some(segment);
            if hold(segment, &|segment| active_now().contains(&segment)) {
                if write(segment) {
                    return Some(None);
                }
                lock::unlock(segment, Mode::RowExclusive);
            }
        }
    }
    // Only a stranger's lock on a segment (LOCK TABLE by a superuser) leads here. Then waiting is the lesser evil.
    let segment = last?;
    lock::lock(segment, Mode::RowExclusive);
    write(segment).then_some(None)
}

/// Takes the lock and looks again. A lock that is held already is as good as new: its holder could only have got it on an
/// active segment, which cannot have been sealed since.
fn hold(segment: u32, still_active: &dyn Fn(u32) -> bool) -> bool {
    if lock::held(segment, Mode::RowExclusive) {
        return true;
    }
    if !lock::try_lock(segment, Mode::RowExclusive) {
        return false;
    }
    if still_active(segment) {
        return true;
    }
    lock::unlock(segment, Mode::RowExclusive);
    false
}

/// The segments that may hold rows that are not visible in `since`.
pub fn unread(since: &Frontier) -> Result<Vec<u32>, Failure> {
    let mut unread = Vec::new();
    for state in segment::states() {
        let wanted = match state.state {
            ACTIVE | CLOSED => true,
            SEALED => !since.covers(&sealed_at(&state)?),
            _ => false,
        };
        if wanted {
            unread.push(state.relation);
        }
    }
    Ok(unread)
}

fn sealed_at(state: &State) -> Result<Frontier, Failure> {
    let text = state.sealed.as_deref().unwrap_or("");
    text.parse().map_err(|error| Failure::new(b"XX001", format!("segment {}: {error}", state.relation)))
}

/// What `maintain` did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Maintenance {
    pub rotated: usize,
    pub sealed: usize,
    pub freed: usize,
    pub created: usize,
    /// Segments closed and not sealed: some writer is still in them.
    pub waiting: usize,
}

/// Whether `maintain` would find an active segment full, told without a transaction.
pub fn full(database: &Database, segment_bytes: u64) -> bool {
    (0..LANES).any(|lane| database.written(lane) >= segment_bytes)
}

/// Publishes the active segments to the writers: at the worker's start, before its first `maintain`.
pub fn publish(database: &Database) {
    database.set_active(&active_now());
}

fn active_now() -> Vec<u32> {
    let states = segment::states();
    let mut active: Vec<u32> =
        states.iter().filter(|state| state.state == ACTIVE).map(|state| state.relation).collect();
    active.sort_unstable();
    active
}

/// Rotates, seals and frees what can be, in the caller's READ COMMITTED transaction, and publishes the new active segments
/// when that commits. `applied` is the oldest frontier that any consumer still starts from; `None` frees nothing.
///
/// Also makes the segments that are missing, so it is how a database gets its first ones.
pub fn maintain(
    database: &'static Database,
    applied: Option<&Frontier>,
    segment_bytes: u64,
) -> Result<Maintenance, Failure> {
    let mut done = Maintenance::default();
    let mut states = segment::states();
    states.sort_by_key(|state| state.relation);
    for state in states.iter_mut() {
        if state.state == CLOSED && lock::try_lock(state.relation, Mode::Share) {
            // After the grant: what the lock proves holds for this snapshot.
            let frontier = segment::with_latest_snapshot(Frontier::take);
            set_state(state.relation, SEALED, Some(&frontier))?;
            state.state = SEALED;
            state.sealed = Some(frontier.to_string());
            done.sealed += 1;
        }
        if state.state == SEALED && applied.is_some() {
            let covered = match applied {
                Some(applied) => applied.covers(&sealed_at(state)?),
                None => false,
            };
            if covered && lock::try_lock(state.relation, Mode::AccessExclusive) {
                segment::empty(state.relation);
                set_state(state.relation, FREE, None)?;
                state.state = FREE;
                done.freed += 1;
            }
        }
    }
    for state in states.iter_mut() {
        if state.state == ACTIVE && segment::size(state.relation) >= segment_bytes {
            set_state(state.relation, CLOSED, None)?;
            state.state = CLOSED;
            done.rotated += 1;
        }
    }
    let mut active = states.iter().filter(|state| state.state == ACTIVE).count();
    for state in states.iter_mut() {
        if active < LANES && state.state == FREE {
            set_state(state.relation, ACTIVE, None)?;
            state.state = ACTIVE;
            active += 1;
        }
    }
    while active < LANES {
        make(states.len() + done.created + 1, ACTIVE)?;
        active += 1;
        done.created += 1;
    }
    // One free segment in reserve, so that the next rotation need not make one.
    if !states.iter().any(|state| state.state == FREE) && done.created == 0 {
        make(states.len() + 1, FREE)?;
        done.created += 1;
    }
    done.waiting = states.iter().filter(|state| state.state == CLOSED).count();
    if done.rotated > 0 || done.created > 0 || done.freed > 0 || database.active(0).is_none() {
        txn::make_own_writes_visible();
        let next = active_now();
        pgrx::register_xact_callback(pgrx::PgXactCallbackEvent::Commit, move || database.set_active(&next));
    }
    Ok(done)
}

fn set_state(relation: u32, state: u8, sealed: Option<&Frontier>) -> Result<(), Failure> {
    let sealed = sealed.map_or("NULL".into(), |frontier| format!("'{frontier}'"));
    let state = char::from(state);
    run(&format!("UPDATE pgtrickle.segment SET state = '{state}', sealed = {sealed} WHERE relation = {relation}"))
}

/// Makes a segment: a relation that cannot be published, that autovacuum leaves alone, and that keeps what fits on a page
/// inline and uncompressed. Its query raises, so that REFRESH MATERIALIZED VIEW cannot empty it.
fn make(number: usize, state: u8) -> Result<(), Failure> {
    let name = format!("pgtrickle.segment_{number}");
    let state = char::from(state);
    for command in [
        "SET LOCAL event_triggers = off".to_string(),
        format!(
            "CREATE MATERIALIZED VIEW {name} USING heap WITH (autovacuum_enabled = off, toast.autovacuum_enabled = off, \
             vacuum_truncate = off, toast.vacuum_truncate = off, toast_tuple_target = 8160) TABLESPACE pg_default AS \
             SELECT NULL::pg_catalog.xid8 AS xid, NULL::pg_catalog.oid AS source, NULL::pg_catalog.int4 AS layout, \
             NULL::pg_catalog.int4 AS rows, NULL::pg_catalog.timestamptz AS captured_at, \
             NULL::pg_catalog.\"char\" AS kind, NULL::pg_catalog.bytea AS payload \
             WHERE pgtrickle.segment_content() WITH NO DATA"
        ),
        format!("ALTER MATERIALIZED VIEW {name} ALTER COLUMN payload SET STORAGE EXTERNAL"),
        format!("ALTER EXTENSION pg_trickle ADD MATERIALIZED VIEW {name}"),
        format!("INSERT INTO pgtrickle.segment (relation, state) VALUES ('{name}'::pg_catalog.regclass, '{state}')"),
    ] {
        run(&command)?;
    }
    Ok(())
}

fn run(command: &str) -> Result<(), Failure> {
    Spi::run(command).map_err(|error| Failure::new(b"XX000", format!("could not run \"{command}\": {error}")))
}

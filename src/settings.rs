//! Every setting of the extension: name, type, unit, default, bounds and description, in one list.
//!
//! A setting is here only if it does something.

use crate::schedule::Schedule;
use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting};
use std::ffi::CString;

pub static ENABLED: GucSetting<bool> = GucSetting::<bool>::new(true);
pub static MAX_PARALLEL_WORKERS: GucSetting<i32> = GucSetting::<i32>::new(1);
pub static DEFAULT_SCHEDULE: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c"5 seconds"));
pub static MEMORY_LIMIT_MB: GucSetting<i32> = GucSetting::<i32>::new(1024);
pub static SEGMENT_SIZE: GucSetting<i32> = GucSetting::<i32>::new(8 * 1024);
/// 0: no limit.
pub static QUERY_TIMEOUT_MS: GucSetting<i32> = GucSetting::<i32>::new(5 * 60 * 1000);
pub static MAX_RECURSION: GucSetting<i32> = GucSetting::<i32>::new(10_000);
pub static NATIVE_EXPRESSIONS: GucSetting<bool> = GucSetting::<bool>::new(true);
pub static HISTORY_RETENTION: GucSetting<i32> = GucSetting::<i32>::new(7 * 24 * 60);

/// Staleness bound of last resort, if `pg_trickle.default_schedule` is not one: `calculated` has nothing to go by there.
const FALLBACK_MICROS: i64 = 5_000_000;

/// Defines all settings. In _PG_init only.
pub fn define() {
    GucRegistry::define_bool_guc(
        c"pg_trickle.enabled",
        c"Whether stream tables are maintained.",
        c"When off, changes are still captured, and applied when it is on again.",
        &ENABLED,
        GucContext::Sighup,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"pg_trickle.max_parallel_workers",
        c"Engine threads of each database's worker.",
        c"Takes effect when the worker starts.",
        &MAX_PARALLEL_WORKERS,
        1,
        64,
        GucContext::Sighup,
        GucFlags::default(),
    );
    crate::pg::settings::define_schedule(
        c"pg_trickle.default_schedule",
        c"Schedule of stream tables that were created without one.",
        c"A bound on staleness, such as '5 seconds' or '100 ms'.",
        &DEFAULT_SCHEDULE,
    );
    GucRegistry::define_int_guc(
        c"pg_trickle.memory_limit_mb",
        c"Memory that the engine of a database may use.",
        c"Beyond it, the stream table that asks for more is suspended.",
        &MEMORY_LIMIT_MB,
        16,
        i32::MAX / 2,
        GucContext::Sighup,
        GucFlags::UNIT_MB,
    );
    GucRegistry::define_int_guc(
        c"pg_trickle.history_retention",
        c"How long pgtrickle.refresh_history() goes back.",
        c"Older entries are removed by the worker.",
        &HISTORY_RETENTION,
        1,
        i32::MAX / 2,
        GucContext::Sighup,
        GucFlags::UNIT_MIN,
    );
    GucRegistry::define_int_guc(
        c"pg_trickle.segment_size",
        c"Size at which a segment of the change buffer is full.",
        c"Another one is then written to, and a full one is emptied as a whole once nobody needs it.",
        &SEGMENT_SIZE,
        64,
        1024 * 1024,
        GucContext::Sighup,
        GucFlags::UNIT_KB,
    );
    GucRegistry::define_int_guc(
        c"pg_trickle.query_timeout",
        c"How long one evaluation of a stream table's query or functions, or one recursion, may take.",
        c"Others of the database wait for an evaluation. Beyond it, the stream table is suspended. 0 turns the limit off.",
        &QUERY_TIMEOUT_MS,
        0,
        i32::MAX,
        GucContext::Sighup,
        GucFlags::UNIT_MS,
    );
    GucRegistry::define_int_guc(
        c"pg_trickle.max_recursion",
        c"How many rounds of recursion a WITH RECURSIVE query of a stream table may take.",
        c"One that takes more is in error until its data let it end. Takes effect when the stream table is built again.",
        &MAX_RECURSION,
        1,
        i32::MAX,
        GucContext::Sighup,
        GucFlags::default(),
    );
    GucRegistry::define_bool_guc(
        c"pg_trickle.native_expressions",
        c"Whether the engine evaluates the expressions that it knows of stream tables created from now on.",
        c"When off, PostgreSQL evaluates all of them, which is how the two are compared.",
        &NATIVE_EXPRESSIONS,
        GucContext::Userset,
        GucFlags::default(),
    );
    crate::pg::settings::reserve_prefix(c"pg_trickle");
}

/// Rounds of recursion that a query may take.
pub fn recursion_rounds() -> u64 {
    MAX_RECURSION.get().max(1) as u64
}

/// Who evaluates the stream table that is compiled: pinned with its other settings, so to be asked with those in force.
pub fn native_expressions() -> bool {
    NATIVE_EXPRESSIONS.get()
}

/// Bytes at which a segment of the change buffer is full.
pub fn segment_bytes() -> u64 {
    (SEGMENT_SIZE.get().max(0) as u64) << 10
}

/// The staleness bound of stream tables without a schedule of their own, in microseconds.
pub fn default_schedule_micros() -> i64 {
    let text = DEFAULT_SCHEDULE.get();
    match text.as_ref().and_then(|text| text.to_str().ok()).map(Schedule::parse) {
        Some(Ok(Schedule::Every(micros))) => micros,
        _ => FALLBACK_MICROS,
    }
}
